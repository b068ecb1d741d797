r"""Pseudo-Voigt fits of one ring, or of two neighbouring rings, in one bin.

The model of a pixel with response c at x is

.. math:: m = c\,\Big(b_0 + b_1 (x - x_0) + \sum_k A_k [\mu L(x - x_k) + (1-\mu) G(x - x_k)]\Big),

L and G of full width at half maximum :math:`\Gamma`, height 1 (MIDAS later form, spec 1.8). It is
fitted to the unbinned pixels by iteratively reweighted least squares with the variance
:math:`V(m) = g\,\max(m, m_0) + v_0 + (\rho m)^2`; for counts (g = 1, v0 = rho = 0) its fixed
point is the maximum of the Poisson likelihood (Fisher scoring), so the centres sit at the
Cramer-Rao bound. The relative term stands for the grains of a real powder. Two rings
share width, mixing and background, and stay in order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_offsets
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["MAX_ITERATIONS", "PEAK_FIELDS", "STATUS", "fit_ring_peaks"]

PEAK_FIELDS = ("centre", "height", "fwhm", "mixing", "background", "slope", "centre_2", "height_2")
"""Parameters of a fit, in order; the last two only for a pair of rings."""

STATUS = {
    0: "converged",
    1: "iteration limit",
    2: "too few pixels",
    3: "no peak",
    4: "centre not determined",
}
"""Meaning of the status codes."""

MAX_ITERATIONS = 40
MIN_PIXELS = 12
REWEIGHT = 12
"""Iterations after which the weights stand still: a profile that is no pseudo-Voigt can otherwise
chase its own weights for ever. Good fits are done before."""
WIDTH_RANGE = 4.0
"""A fitted width stays within this factor of its start value."""

_SUB_BINS = 32
_FAR = 1e9  # cells; a pixel that lies so far from its window has no place in the coarse profile
_LN2_4 = 4.0 * 0.6931471805599453
_LEAST_MODEL = 0.1
"""m0: counts below which the variance no longer falls: empty pixels keep a finite weight."""


def _start(x: F64, y: F64, low: float, high: float, expected: F64, width: float) -> F64:
    """Start values from a coarse profile: background from its edges, height from its maximum."""
    with np.errstate(all="ignore"):
        place = (x - low) * (_SUB_BINS / (high - low))
    if not (np.abs(place) < _FAR).all():  # NaN, or a window without width
        return np.full(8, np.nan)
    cell = np.clip(place.astype(np.int64), 0, _SUB_BINS - 1)
    total = np.zeros(_SUB_BINS)
    count = np.zeros(_SUB_BINS)
    np.add.at(total, cell, y)  # adds one by one, in order, like the twin
    np.add.at(count, cell, 1.0)
    if not np.all(np.isfinite(total)):  # a NaN among the counts: no start, so no fit
        return np.full(8, np.nan)
    p = np.zeros(8)
    # lower third of the filled cells: robust against where in the window the peak is
    filled = np.sort(total[count > 0] / count[count > 0])
    quiet = max(1, len(filled) // 3)
    background = 0.0
    for value in filled[:quiet]:
        background += value
    p[4] = background / quiet
    p[2], p[3] = width, 0.5
    for k, centre in enumerate(expected):
        near = np.abs(low + (np.arange(_SUB_BINS) + 0.5) * (high - low) / _SUB_BINS - centre)
        reach = (high - low) if len(expected) == 1 else 0.5 * abs(expected[1] - expected[0])
        allowed = (near < reach) & (count > 0)
        profile = np.where(allowed, total / np.maximum(count, 1.0) - p[4], -np.inf)
        best = int(np.argmax(profile))
        weight = moment = 0.0
        for j in range(max(best - 2, 0), min(best + 3, _SUB_BINS)):
            if count[j] > 0 and profile[j] > 0.0:
                weight += profile[j]
                moment += profile[j] * (low + (j + 0.5) * (high - low) / _SUB_BINS)
        p[0 if k == 0 else 6] = moment / weight if weight > 0.0 else centre
        p[1 if k == 0 else 7] = max(profile[best], 0.0) if np.isfinite(profile[best]) else 0.0
    return p


def _evaluate(x: F64, c: F64, e: F64, p: F64, middle: float, n_par: int) -> tuple[F64, F64]:
    """Model and its derivatives, (n,) and (n, n_par)."""
    jacobian = np.empty((len(x), n_par))
    model = p[4] + p[5] * (x - middle) + e
    jacobian[:, 4], jacobian[:, 5] = 1.0, x - middle
    jacobian[:, 2] = jacobian[:, 3] = 0.0
    for at_centre, at_height in ((0, 1), (6, 7))[: 1 if n_par == 6 else 2]:
        u = (x - p[at_centre]) / p[2]
        lorentz = 1.0 / (1.0 + 4.0 * u * u)
        gauss = np.exp(-_LN2_4 * u * u)
        shape = p[3] * lorentz + (1.0 - p[3]) * gauss
        # d(shape)/du, without its factor u
        bend = p[3] * 8.0 * lorentz * lorentz + (1.0 - p[3]) * 2.0 * _LN2_4 * gauss
        model = model + p[at_height] * shape
        jacobian[:, at_centre] = p[at_height] * bend * u / p[2]
        jacobian[:, at_height] = shape
        jacobian[:, 2] += p[at_height] * bend * u * u / p[2]
        jacobian[:, 3] += p[at_height] * (lorentz - gauss)
    return c * model, c[:, None] * jacobian


def _weight(model: F64, gain: float, v0: float, rel2: float) -> F64:
    return 1.0 / (gain * np.maximum(model, _LEAST_MODEL) + v0 + rel2 * model * model)


def _normal(y: F64, model: F64, jacobian: F64, weight: F64) -> tuple[F64, F64]:
    weighted = jacobian * weight[:, None]
    return weighted.T @ jacobian, weighted.T @ (y - model)


def _bounds(expected: F64, low: float, high: float, width: float, n_par: int) -> tuple[F64, F64]:
    lower = np.array([low, 0.0, width / WIDTH_RANGE, 0.0, -np.inf, -np.inf, low, 0.0])
    widest = max(min(width * WIDTH_RANGE, high - low), width / WIDTH_RANGE)
    upper = np.array([high, np.inf, widest, 1.0, np.inf, np.inf, high, np.inf])
    if n_par == 8:  # ordered: neither centre may pass the middle of the pair
        upper[0] = lower[6] = 0.5 * (expected[0] + expected[1])
    return lower[:n_par], upper[:n_par]


def _solve(a: F64, b: F64, damping: float, free: NDArray[np.bool_]) -> F64 | None:
    """Cholesky solution of the damped, scaled system for the free parameters."""
    scale = np.sqrt(np.diag(a))
    if np.any(~(scale[free] > 0.0)):
        return None
    step = np.zeros(len(b))
    s = scale[free]
    m = a[np.ix_(free, free)] / np.outer(s, s) + damping * np.eye(len(s))
    try:
        np.linalg.cholesky(m)
    except np.linalg.LinAlgError:
        return None
    step[free] = np.linalg.solve(m, b[free] / s) / s
    return step


def _fit_one(
    x: F64,
    y: F64,
    c: F64,
    expected: F64,
    window: F64,
    width: float,
    noise: tuple[float, float, float],
    e: F64,
    tolerance: float,
) -> tuple[F64, F64, float, int, int]:
    """Parameters (8,), standard errors (8,), chi-square, iterations, status of one bin."""
    nothing = np.full(8, np.nan)
    gain, v0, rel2 = noise
    n_par = 6 if np.isnan(expected[1]) else 8
    low, high = window
    if len(x) < MIN_PIXELS + n_par - 6:
        return nothing, nothing, np.nan, 0, 2
    lower, upper = _bounds(expected, low, high, width, n_par)
    middle = 0.5 * (low + high)
    p = _start(x, y / c - e, low, high, expected[: n_par // 2 - 2], width)[:n_par]
    p = np.minimum(np.maximum(p, lower), upper)
    if not (p[1] > 0.0 and (n_par == 6 or p[7] > 0.0)):
        return nothing, nothing, np.nan, 0, 3
    model, jacobian = _evaluate(x, c, e, p, middle, n_par)
    weight = _weight(model, gain, v0, rel2)
    a, b = _normal(y, model, jacobian, weight)
    damping, status, iteration = 1e-3, 1, 0
    for iteration in range(1, MAX_ITERATIONS + 1):
        free = ~(((p <= lower) & (b < 0.0)) | ((p >= upper) & (b > 0.0)))
        step = _solve(a, b, damping, free)
        if step is None:
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e8:
                break
            continue
        trial = np.minimum(np.maximum(p + step, lower), upper)
        before = float(np.sum(weight * (y - model) ** 2))
        # a misfit widens the true standard errors by the root of the reduced chi-square
        reach = tolerance * np.sqrt(max(before / (len(x) - n_par + 1), 1.0))
        if np.all(np.abs(trial - p) * np.sqrt(np.diag(a)) < reach):
            p, status = trial, 0  # the model would not change visibly: no need to evaluate it
            break
        new_model, new_jacobian = _evaluate(x, c, e, trial, middle, n_par)
        after = float(np.sum(weight * (y - new_model) ** 2))
        if not after <= before * (1.0 + 1e-9):
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e8:
                break
            continue
        p, model, jacobian = trial, new_model, new_jacobian
        if iteration <= REWEIGHT:
            weight = _weight(model, gain, v0, rel2)
        a, b = _normal(y, model, jacobian, weight)
        damping = 0.1 * damping if damping > 1e-7 else 0.0
    chi2 = float(np.sum(weight * (y - model) ** 2))
    free = ~(((p <= lower) & (b < 0.0)) | ((p >= upper) & (b > 0.0)))
    out, sigma = nothing.copy(), nothing.copy()
    out[:n_par] = p
    sigma[:n_par] = _standard_errors(a, free)
    if status == 0 and not np.isfinite(sigma[0]):
        status = 4
    return out, sigma, chi2, iteration, status


def _standard_errors(a: F64, free: NDArray[np.bool_]) -> F64:
    """Square roots of the diagonal of the inverse; 0 for a parameter on its bound."""
    scale = np.sqrt(np.diag(a))
    sigma = np.zeros(len(a))
    s = scale[free]
    if np.any(~(s > 0.0)):
        return np.full(len(a), np.nan)
    m = a[np.ix_(free, free)] / np.outer(s, s)
    try:
        np.linalg.cholesky(m)
    except np.linalg.LinAlgError:
        return np.full(len(a), np.nan)
    sigma[free] = np.sqrt(np.diag(np.linalg.inv(m))) / s
    return sigma


_MOST_COUNTS = 1e150


def _check_bins(x: F64, counts: F64, offsets: I64, expected: F64) -> None:
    check_offsets("offsets", offsets, len(expected), len(x), "x")
    size = np.abs(counts)  # infinity and NaN: no fit
    if bool(((size > _MOST_COUNTS) & (size < np.inf)).any()):
        raise ConfigError(f"counts beyond {_MOST_COUNTS:g}: their squares overflow")


@twin(
    "iterative", check=_check_bins, x="f8 m", counts="f8 m", response="f8 m", offsets="i8 o",
    expected="f8 b,2", windows="f8 b,2", width="f8 b", extra="f8 m",
)  # fmt: skip
def fit_ring_peaks(
    x: F64,
    counts: F64,
    response: F64,
    offsets: I64,
    expected: F64,
    windows: F64,
    width: F64,
    gain: float = 1.0,
    variance_floor: float = 0.0,
    relative_noise: float = 0.0,
    step_tolerance: float = 1e-6,
    extra: F64 | None = None,
) -> tuple[F64, F64, F64, I64, I64]:
    """Fit every bin.

    Parameters
    ----------
    x, counts, response
        (m,) abscissa (2-theta [rad], or anything else), observed counts and relative response of
        each pixel.
    offsets
        (b + 1,) bin b holds pixels ``offsets[b]:offsets[b + 1]``.
    expected
        (b, 2) expected centres, second NaN for a single ring; used to start and to keep a pair
        in order.
    windows
        (b, 2) range of x of each bin; the background's slope turns about its middle.
    width
        (b,) start value of the FWHM; the fit stays within :data:`WIDTH_RANGE` of it.
    gain, variance_floor, relative_noise
        V = gain max(m, 0.1) + variance_floor + (relative_noise m)^2, in counts.
    step_tolerance
        Stop when a step moves no parameter by more than this part of its standard error.
    extra
        (m,) what the model adds that is known, before the response: tails of other rings.

    Returns
    -------
    parameters, sigma
        (b, 8) each, :data:`PEAK_FIELDS`; sigma 0 for a parameter on its bound, NaN where unknown.
    chi2
        (b,) sum of squared residuals over their variance.
    iterations, status
        (b,) each; :data:`STATUS`.
    """
    n = len(offsets) - 1
    parameters, sigma, chi2 = np.empty((n, 8)), np.empty((n, 8)), np.empty(n)
    iterations, status = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    for b in range(n):
        s = slice(offsets[b], offsets[b + 1])
        parameters[b], sigma[b], chi2[b], iterations[b], status[b] = _fit_one(
            x[s],
            counts[s],
            response[s],
            expected[b],
            windows[b],
            width[b],
            (gain, variance_floor, relative_noise * relative_noise),
            np.zeros(len(x[s])) if extra is None else extra[s],
            step_tolerance,
        )
    return parameters, sigma, chi2, iterations, status
