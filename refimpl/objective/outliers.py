"""Rules that reject outlying residuals: Tukey's fences, robust distances, Rayleigh tail, none.

Every rule takes the residuals of one job, calculated minus observed, and says which rows it
rejects; how a data set is split into jobs is the caller's business. The rule ``mcd`` is
:func:`refimpl.objective.fast_mcd.mcd`.

Sources: J. W. Tukey, Exploratory Data Analysis (1977), with hinges as R's ``fivenum``; N. K. Sauter
and B. K. Poon, J. Appl. Cryst. 43 (2010) 611, with the fit and the grid of its implementation in
cctbx (rstbx).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.objective.fast_mcd import checked_residuals, mcd

__all__ = [
    "METHODS",
    "Method",
    "five_numbers",
    "null",
    "rayleigh_sigma",
    "reject",
    "sauter_poon",
    "tukey",
    "tukey_fences",
]

Bool = NDArray[np.bool_]
Method = Literal["tukey", "mcd", "sauter_poon", "null"]
METHODS: Final[tuple[str, ...]] = get_args(Method)

_RAYLEIGH_SD: Final = math.sqrt((4.0 - math.pi) / 2.0)
"""Standard deviation of a Rayleigh distribution with sigma = 1."""


def five_numbers(values: F64) -> F64:
    """Minimum, lower hinge, median, upper hinge, maximum of each column, as R's ``fivenum``.

    A hinge is the median of half of the sorted values; with an odd number of them the median
    belongs to both halves.

    Parameters
    ----------
    values
        (n,) or (n, k), any unit.

    Returns
    -------
    ndarray
        (5,) or (5, k), in the unit of the values; NaN where n = 0.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    if n == 0:
        return np.full((5, *values.shape[1:]), np.nan)
    quarter = math.floor((n + 3) / 2) / 2  # Tukey's depth of the hinges
    depths = np.array([1, quarter, (n + 1) / 2, n + 1 - quarter, n]) - 1.0
    low, high = np.floor(depths).astype(np.intp), np.ceil(depths).astype(np.intp)
    ordered = np.empty_like(values)
    for column in np.ndindex(values.shape[1:]):
        where = (slice(None), *column)
        ordered[where] = np.partition(values[where], np.union1d(low, high))
    return np.asarray(0.5 * (ordered[low] + ordered[high]))


def tukey(residuals: F64, *, iqr_multiplier: float = 1.5) -> Bool:
    """Rows with any residual outside Tukey's fences Q1 - m IQR and Q3 + m IQR.

    Parameters
    ----------
    residuals
        (n, k); each column in its own unit.
    iqr_multiplier
        m; 1.5 is Tukey's rule, the published indexing uses 2.

    Returns
    -------
    ndarray
        (n,) True where rejected. A value on the fence is kept.

    Raises
    ------
    ConfigError
        Residuals are not a finite (n, k) array, or m is negative.
    """
    residuals = checked_residuals(residuals)
    if not iqr_multiplier >= 0.0:
        raise ConfigError(
            f"iqr_multiplier = {iqr_multiplier}: expected a number that is not negative",
            key="iqr_multiplier",
            got=iqr_multiplier,
        )
    low, high = tukey_fences(residuals, iqr_multiplier=iqr_multiplier)
    return np.asarray(((residuals > high) | (residuals < low)).any(axis=1))


def tukey_fences(residuals: F64, *, iqr_multiplier: float = 1.5) -> tuple[F64, F64]:
    """Fences Q1 - m IQR and Q3 + m IQR of each column, (k,) each; see :func:`tukey`."""
    _, q1, _, q3, _ = five_numbers(residuals)
    margin = iqr_multiplier * (q3 - q1)
    return np.asarray(q1 - margin), np.asarray(q3 + margin)


def null(residuals: F64) -> Bool:
    """Reject nothing: (n,) False."""
    return np.zeros(len(checked_residuals(residuals)), dtype=bool)


def rayleigh_sigma(radii: F64, fraction_below: F64) -> float:
    r"""Sigma of the Rayleigh distribution whose cumulative curve fits points best.

    Least squares of :math:`1-\exp(-r^2/2\sigma^2)` to the fractions, Gauss-Newton in
    :math:`\ln\sigma` from the sigma that meets the last point.

    Parameters
    ----------
    radii, fraction_below
        (n,) sorted radii, any unit, and the fraction of all points below each, in [0, 1).

    Returns
    -------
    float
        Sigma in the unit of the radii; 0 where all radii are 0.
    """
    if len(radii) == 0 or radii[-1] <= 0.0 or fraction_below[-1] <= 0.0:
        return 0.0
    log_sigma = 0.5 * math.log(-(radii[-1] ** 2) / (2.0 * math.log1p(-fraction_below[-1])))
    for _ in range(100):
        u = 0.5 * (radii * math.exp(-log_sigma)) ** 2
        slope = -2.0 * u * np.exp(-u)
        step = float(slope @ (-np.expm1(-u) - fraction_below) / (slope @ slope))
        log_sigma -= step
        if abs(step) < 1e-13:
            break
    return math.exp(log_sigma)


def sauter_poon(
    residuals: F64, *, fraction: float = 0.4, grid_step: float | None = 0.002, grid_size: int = 500
) -> Bool:
    """Rows in the tail that leaves the Rayleigh distribution of the best radial residuals.

    The radial residuals are sorted and a Rayleigh distribution is fitted to the cumulative curve
    of the smallest. Going outwards, the tail begins where the observed curve is beyond the fitted
    one by at least one standard deviation of the fitted distribution, at equal fraction; all
    radii from there on are rejected.

    Parameters
    ----------
    residuals
        (n, >= 2) [mm]; the first two columns, x and y, are used.
    fraction
        Part of the points that is fitted; below 4 points nothing is rejected.
    grid_step, grid_size
        [mm] The fitted curve is walked in this many steps from 0, as the published program does
        (0.002 mm up to 1 mm). ``None`` visits every observed fraction instead: then the rule does
        not depend on the unit, and sees tails that lie between two steps of the grid.

    Returns
    -------
    ndarray
        (n,) True where rejected.

    Raises
    ------
    ConfigError
        Residuals are not a finite array of two columns or more.
    """
    residuals = checked_residuals(residuals)
    if residuals.shape[1] < 2:
        raise ConfigError(
            f"sauter_poon needs x and y residuals: got {residuals.shape[1]} column, expected 2"
        )
    radii = np.hypot(residuals[:, 0], residuals[:, 1])
    order = np.argsort(radii, kind="stable")
    ordered, n = radii[order], len(radii)
    below = np.arange(n) / n if n else np.zeros(0)
    limit = int(fraction * n)
    sigma = rayleigh_sigma(ordered[:limit], below[:limit]) if limit >= 4 else 0.0
    rejected = np.zeros(n, dtype=bool)
    if sigma > 0.0:
        if grid_step is None:
            # A hair outwards: the fraction at each radius must not round below the observed one.
            expected = sigma * np.sqrt(-2.0 * np.log1p(-below)) * (1.0 + 1e-12)
        else:
            expected = np.arange(grid_size, dtype=np.float64) * grid_step
        rejected[order[_tail(ordered, below, np.asarray(expected), sigma) :]] = True
    return rejected


def _tail(radii: F64, below: F64, expected: F64, sigma: float) -> int:
    """Index of the first sorted radius of the tail; n where there is none."""
    at = -np.expm1(-0.5 * (expected / sigma) ** 2)
    upper = np.searchsorted(below, at, side="right")  # first observed fraction above the fitted one
    inside = (upper >= 1) & (upper < len(radii))
    upper, expected = upper[inside], expected[inside]
    far = (radii[upper] - expected >= _RAYLEIGH_SD * sigma) & (radii[upper - 1] > expected)
    return int(upper[np.argmax(far)]) - 1 if far.any() else len(radii)


def reject(
    residuals: F64, method: str, *, iqr_multiplier: float = 1.5, alpha: float = 0.5, seed: int = 42
) -> Bool:
    """Apply one of :data:`METHODS` by name.

    Parameters
    ----------
    residuals
        (n, k), see the rules.
    method
        One of :data:`METHODS`.
    iqr_multiplier
        Of ``tukey``.
    alpha, seed
        Of ``mcd``.

    Returns
    -------
    ndarray
        (n,) True where rejected.

    Raises
    ------
    ConfigError
        The method is unknown, or the rule refuses the residuals.
    """
    rules: dict[str, Callable[[F64], Bool]] = {
        "tukey": lambda r: tukey(r, iqr_multiplier=iqr_multiplier),
        "mcd": lambda r: mcd(r, alpha=alpha, seed=seed),
        "sauter_poon": sauter_poon,
        "null": null,
    }
    if method not in rules:
        raise ConfigError(
            f"outlier method {method!r} is unknown: expected one of {', '.join(METHODS)}",
            key="outlier",
            got=method,
        )
    return rules[method](residuals)
