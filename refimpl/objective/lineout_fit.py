r"""Published peak fits of radial lineouts: one or two pseudo-Voigts by Nelder-Mead.

One peak has 6 parameters, with separate Gaussian and Lorentzian widths:

.. math::

   I(R) = B + A\,[\mu L + (1 - \mu) G], \quad
   L = \frac{1}{1 + (R - R_c)^2 / s_L^2}, \quad
   G = \exp\left(-\frac{(R - R_c)^2}{2 s_G^2}\right)

Two peaks share :math:`\mu` and :math:`B` and have 10. Squares are summed unweighted. Starts, bounds
and stopping rules are those of MIDAS `CalibrantPanelShiftsOMP` as of the AutoCalibrate manual
version 10, defects included: nothing rejects a poor fit (a centre may rest on a bound), the two
centres of a doublet are not ordered, and tolerances sum radii [µm] and counts in one norm. Radii
are in µm here for that reason. :mod:`refimpl.imaging.ring_peaks` is the fit to use.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_within
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.objective.simplex import minimise_simplex

__all__ = ["DOUBLET_FIELDS", "SINGLET_FIELDS", "fit_doublets", "fit_singlets"]

SINGLET_FIELDS = ("centre_um", "mu", "sigma_g_um", "sigma_l_um", "height", "background")
"""Columns of :func:`fit_singlets`, in the order of the published parameter vector."""

DOUBLET_FIELDS = (
    *("centre_1_um", "centre_2_um", "mu", "sigma_g_1_um", "sigma_l_1_um", "height_1"),
    *("sigma_g_2_um", "sigma_l_2_um", "height_2", "background"),
)
"""Columns of :func:`fit_doublets`, in the order of the published parameter vector."""

TOLERANCE = 1e-5  # ftol_rel and xtol_rel
MAX_EVALUATIONS = {6: 5000, 10: 10000}


LEAST_STEP_UM, MOST_UM = 1e-6, 1e12
"""Steps of radius and radii that are lengths on a detector."""


def _check_lineouts(steps: I64, first_um: F64, step_um: F64, middle_um: F64 | None = None) -> None:
    check_within("steps", steps, -(2**31), 2**31 - 1)
    for name, lengths in (("first_um", first_um), ("middle_um", middle_um)):
        if lengths is not None and not (np.abs(lengths) < MOST_UM).all():
            raise ConfigError(f"{name}: expected finite lengths below {MOST_UM:g} um")
    if not ((step_um >= LEAST_STEP_UM) & (step_um < MOST_UM)).all():
        raise ConfigError(f"step_um: expected {LEAST_STEP_UM:g} to {MOST_UM:g} um")


@twin(
    "libm", check=_check_lineouts, profile="f8 b,s", steps="i8 b", first_um="f8 b", step_um="f8 b"
)
def fit_singlets(
    profile: F64, steps: I64, first_um: F64, step_um: F64
) -> tuple[F64, NDArray[np.int32]]:
    """Fit one pseudo-Voigt to each lineout.

    Parameters
    ----------
    profile
        (b, s) intensity; of row i the first ``steps[i]`` values count.
    steps
        (b,)
    first_um, step_um
        (b,) [µm] radius of the first value, and from one to the next.

    Returns
    -------
    parameters
        (b, 6) named by :data:`SINGLET_FIELDS`; NaN for a row without a positive finite maximum.
    evaluations
        (b,) calls of the objective; 0 for such a row.
    """
    parameters = np.full((len(profile), 6), np.nan)
    evaluations = np.zeros(len(profile), dtype=np.int32)
    for i, row in enumerate(profile):
        y = row[: max(0, min(int(steps[i]), len(row)))]
        radii = first_um[i] + np.arange(len(y)) * step_um[i]
        peak = _maximum(y)
        if not peak > 0.0:
            continue
        base = max(0.0, (y[0] + y[-1]) / 2.0)
        half = step_um[i] / 2.0
        wide = step_um[i] * len(y) / 2.0
        start = [_centroid(radii, y), 0.5, step_um[i], step_um[i], peak, base]
        low = [radii[0], 0.0, half, half, peak / 100.0, 0.0]
        high = [radii[-1], 1.0, wide, wide, 1.5 * peak, 1.5 * base]
        parameters[i], evaluations[i] = _fit(start, low, high, radii, y)
    return parameters, evaluations


@twin(
    "libm",
    check=_check_lineouts,
    profile="f8 b,s",
    steps="i8 b",
    first_um="f8 b",
    step_um="f8 b",
    middle_um="f8 b",
)
def fit_doublets(
    profile: F64, steps: I64, first_um: F64, step_um: F64, middle_um: F64
) -> tuple[F64, NDArray[np.int32]]:
    """Fit two pseudo-Voigts with common background and mixing to each lineout.

    Parameters
    ----------
    profile, steps, first_um, step_um
        As in :func:`fit_singlets`.
    middle_um
        (b,) [µm] radius that parts the lineout for the start values.

    Returns
    -------
    parameters
        (b, 10) named by :data:`DOUBLET_FIELDS`; NaN as in :func:`fit_singlets`.
    evaluations
        (b,) calls of the objective.
    """
    parameters = np.full((len(profile), 10), np.nan)
    evaluations = np.zeros(len(profile), dtype=np.int32)
    for i, row in enumerate(profile):
        y = row[: max(0, min(int(steps[i]), len(row)))]
        radii = first_um[i] + np.arange(len(y)) * step_um[i]
        peak = _maximum(y)
        if not peak > 0.0:
            continue
        base = max(0.0, (y[0] + y[-1]) / 2.0)
        step, half, wide = step_um[i], step_um[i] / 2.0, step_um[i] * len(y) / 4.0
        inner = radii < middle_um[i]
        centres = [_centroid(radii[part], y[part]) for part in (inner, ~inner)]
        start = [*centres, 0.5, step, step, 0.6 * peak, step, step, 0.6 * peak, base]
        least = peak / 100.0
        low = [radii[0], radii[0], 0.0, half, half, least, half, half, least, 0.0]
        most, ceiling = 1.5 * peak, 2.0 * base if base > 0.0 else 1.0
        high = [radii[-1], radii[-1], 1.0, wide, wide, most, wide, wide, most, ceiling]
        parameters[i], evaluations[i] = _fit(start, low, high, radii, y)
    return parameters, evaluations


def _maximum(y: F64) -> float:
    """Largest value; NaN if any value is not finite or there are none."""
    total, largest = 0.0, math.nan
    for value in y.tolist():
        total += value - value  # stays 0 only while every value is finite
        largest = value if not largest >= value else largest
    return largest + total


def _centroid(radii: F64, y: F64) -> float:
    """Intensity-weighted mean radius, summed in order; NaN without intensity."""
    above, below = 0.0, 0.0
    for radius, value in zip(radii.tolist(), y.tolist(), strict=True):
        above += radius * value
        below += value
    return above / below if below != 0.0 else math.nan


def _fit(
    start: list[float], low: list[float], high: list[float], radii: F64, y: F64
) -> tuple[F64, int]:
    """Clip the start into its bounds and minimise; a start of NaN moves to the middle."""
    lower = np.array(low)
    upper = np.maximum(np.array(high), lower)
    x0 = np.where(np.isnan(start), 0.5 * (lower + upper), start)
    x0 = np.minimum(np.maximum(x0, lower), upper)
    peaks = _peaks_of(len(start))
    points = list(zip(radii.tolist(), y.tolist(), strict=True))

    def squares(x: F64) -> float:
        return _sum_of_squares(x.tolist(), peaks, points)

    limit = MAX_EVALUATIONS[len(start)]
    found = minimise_simplex(squares, x0, lower, upper, TOLERANCE, TOLERANCE, limit)
    return found.x, found.evaluations


def _peaks_of(n_parameters: int) -> tuple[tuple[int, int, int, int], ...]:
    """Where centre, sigma_g, sigma_l and height of each peak stand in the vector."""
    return ((0, 2, 3, 4),) if n_parameters == 6 else ((0, 3, 4, 5), (1, 6, 7, 8))


def _sum_of_squares(
    x: list[float],
    peaks: tuple[tuple[int, int, int, int], ...],
    points: list[tuple[float, float]],
) -> float:
    """Sum of squared residuals, in order."""
    mu = x[1] if len(peaks) == 1 else x[2]
    total = 0.0
    for radius, value in points:
        model = x[-1]
        for centre, gauss, lorentz, height in peaks:
            d = radius - x[centre]
            dd = d * d
            shape_l = 1.0 / (1.0 + dd / (x[lorentz] * x[lorentz]))
            shape_g = math.exp(-dd / (2.0 * x[gauss] * x[gauss]))
            model = model + x[height] * (mu * shape_l + (1.0 - mu) * shape_g)
        residual = model - value
        total = total + residual * residual
    return total
