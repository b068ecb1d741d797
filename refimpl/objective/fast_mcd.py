r"""Minimum covariance determinant: location and scatter that half of the data can not upset.

Of all subsets of h rows, the estimate is the mean and covariance of the one whose covariance has
the smallest determinant. FAST-MCD finds it from many random starts by C-steps: take the h rows
nearest in Mahalanobis distance, recompute mean and covariance; the determinant never grows.

The raw covariance is then scaled for consistency and for finite n, see
:mod:`refimpl.objective.mcd_factors`.

Source: P. J. Rousseeuw and K. Van Driessen, Technometrics 41 (1999) 212. Branches and counts of
steps follow DIALS. Among thousands of rows the optimum has near neighbours that some seeds end in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, ConvergenceError
from refimpl.frames import F64
from refimpl.objective.mcd_factors import (
    chi_square_quantile,
    consistency_factor,
    finite_sample_factor,
    subset_size,
)

__all__ = [
    "McdEstimate",
    "checked_residuals",
    "fast_mcd",
    "mahalanobis_squared",
    "mcd",
]

GROUP_SIZE: Final = 300
MAX_GROUPS: Final = 5
N_STARTS: Final = 500
N_BEST: Final = 10
FEW_STEPS: Final = 2
MANY_STEPS: Final = 100

_SINGULAR: Final = 1e-14
"""Below this determinant of the correlation matrix, rows count as lying on a hyperplane."""


@dataclass(frozen=True)
class McdEstimate:
    """Robust location and scatter of (n, p) data.

    Attributes
    ----------
    centre
        (p,) mean of the best subset.
    raw_scatter
        (p, p) covariance of the best subset, divisor h - 1.
    scatter
        (p, p) the raw one times both factors.
    consistency, finite_sample
        The factors.
    subset
        (h,) rows of the best subset, ascending.
    """

    centre: F64
    raw_scatter: F64
    scatter: F64
    consistency: float
    finite_sample: float
    subset: NDArray[np.intp]


def checked_residuals(residuals: F64) -> F64:
    """Return residuals as a finite float64 array of two axes, or say what is wrong.

    Raises
    ------
    ConfigError
        Not two axes, or a value is NaN or infinite.
    """
    residuals = np.asarray(residuals, dtype=np.float64)
    if residuals.ndim != 2:
        raise ConfigError(f"residuals have shape {residuals.shape}: expected (n, k)")
    finite = np.isfinite(residuals).all(axis=1)
    if not finite.all():
        raise ConfigError(
            f"{int((~finite).sum())} of {len(residuals)} rows of residuals are not finite, "
            f"the first is row {int(np.argmin(finite))}: select predicted reflections first"
        )
    return residuals


def mahalanobis_squared(data: F64, centre: F64, scatter: F64) -> F64:
    """Squared distances of rows from centres, in the metric of scatters.

    Parameters
    ----------
    data
        (n, p).
    centre, scatter
        (..., p) and (..., p, p): one or many.

    Returns
    -------
    ndarray
        (..., n).
    """
    offsets = data - centre[..., None, :]
    return np.asarray(((offsets @ np.linalg.inv(scatter)) * offsets).sum(axis=-1))


@dataclass
class _Candidates:
    """s subsets: means (s, p), covariances (s, p, p), determinants (s,), rows (s, h)."""

    centre: F64
    scatter: F64
    determinant: F64
    rows: NDArray[np.intp]

    def best(self, count: int) -> _Candidates:
        which = np.argsort(self.determinant, kind="stable")[:count]
        return _Candidates(
            self.centre[which], self.scatter[which], self.determinant[which], self.rows[which]
        )


def _candidates(data: F64, rows: NDArray[np.intp]) -> _Candidates:
    """Mean and covariance of each subset of rows (s, h); determinant 0 where it is singular."""
    chosen = data[rows]
    centre = chosen.mean(axis=1)
    offsets = chosen - centre[:, None, :]
    scatter = np.swapaxes(offsets, 1, 2) @ offsets / (rows.shape[1] - 1)
    determinant = np.linalg.det(scatter)
    bound = np.prod(np.diagonal(scatter, axis1=1, axis2=2), axis=1)
    determinant[~(determinant > _SINGULAR * bound)] = 0.0
    return _Candidates(centre, scatter, determinant, rows)


def _c_steps(data: F64, start: _Candidates, h: int, limit: int) -> _Candidates:
    """At most ``limit`` C-steps of all candidates, until no determinant changes."""
    current = start
    for _ in range(limit):
        distances = mahalanobis_squared(data, current.centre, current.scatter)
        rows = np.argpartition(distances, h - 1, axis=1)[:, :h]
        new = _candidates(data, np.sort(rows, axis=1))  # sorted: equal subsets give equal sums
        if not new.determinant.all():
            raise ConvergenceError(
                f"{h} of {len(data)} rows of residuals lie on a hyperplane: "
                "the minimum covariance determinant is 0; use another outlier rule"
            )
        if np.array_equal(new.determinant, current.determinant):
            return new
        current = new
    return current


def _starts(data: F64, h: int, count: int, rng: np.random.Generator) -> _Candidates:
    """Subsets of h rows, one C-step from random p + 1 rows (more where those are singular)."""
    n, p = data.shape
    orders = np.argsort(rng.random((count, n)), axis=1)
    found = _candidates(data, orders[:, : p + 1])
    for size in range(p + 2, n + 1):
        flat = np.flatnonzero(found.determinant == 0.0)
        if len(flat) == 0:
            break
        longer = _candidates(data, orders[flat, :size])
        found.centre[flat], found.scatter[flat] = longer.centre, longer.scatter
        found.determinant[flat] = longer.determinant
    if not found.determinant.all():
        raise ConvergenceError(
            f"all {n} rows of residuals lie on a hyperplane: "
            "the minimum covariance determinant is 0; use another outlier rule"
        )
    return _c_steps(data, found, h, 1)


def _small(data: F64, h: int, rng: np.random.Generator) -> _Candidates:
    starts = _starts(data, h, N_STARTS, rng)
    best = _c_steps(data, starts, h, FEW_STEPS).best(N_BEST)
    return _c_steps(data, best, h, MANY_STEPS)


def _large(data: F64, h: int, rng: np.random.Generator) -> _Candidates:
    """Random groups, then the groups together, then all rows."""
    n, p = data.shape
    count = min(n // GROUP_SIZE, MAX_GROUPS)
    sample = rng.permutation(n)[: GROUP_SIZE * MAX_GROUPS]
    bests = []
    for group in np.array_split(sample, count):
        part, size = data[group], len(group) * h // n
        starts = _starts(part, size, N_STARTS // count, rng)
        bests.append(_c_steps(part, starts, size, FEW_STEPS).best(N_BEST))
    pooled = _Candidates(
        np.concatenate([best.centre for best in bests]),
        np.concatenate([best.scatter for best in bests]),
        np.concatenate([best.determinant for best in bests]),
        np.zeros((0, 0), dtype=np.intp),  # rows of different groups: of no use any more
    )
    merged = _c_steps(data[sample], pooled, len(sample) * h // n, FEW_STEPS)
    best = merged.best(1 if n > 5000 else N_BEST)
    return _c_steps(data, best, h, _final_steps(n * p))


def _final_steps(values: int) -> int:
    """C-steps on all rows: 100 up to 1e5 values, 10 up to 2e5, one fewer each 1e5, at least 1."""
    return MANY_STEPS if values <= 100_000 else max(1, 12 - math.ceil(values / 100_000))


def fast_mcd(data: F64, *, alpha: float = 0.5, seed: int = 42) -> McdEstimate:
    """Estimate robust location and scatter by FAST-MCD.

    Below 600 rows: 500 starts of p + 1 random rows, 2 C-steps, the best 10 to convergence. From 600
    on: up to 5 disjoint random groups of 300 rows share the starts, the best 10 of each take
    2 C-steps on all groups together, the best 10 of those (1 above 5000 rows) go on with all rows.

    Parameters
    ----------
    data
        (n, p), each column in its own unit.
    alpha
        Part of the rows that the estimate rests on, see :func:`subset_size`; 0.5 resists most.
    seed
        Of the random starts; the optimum is found by most seeds.

    Returns
    -------
    McdEstimate

    Raises
    ------
    ConfigError
        Data are not a finite (n, p) array with p + 1 < n, or alpha is outside 0.5..1.
    ConvergenceError
        Half of the rows lie on a hyperplane.
    """
    data = checked_residuals(data)
    n, p = data.shape
    if p < 1 or n <= p + 1:
        raise ConfigError(f"mcd: {n} rows of {p} residuals: expected more than {p + 1} rows")
    if not 0.5 <= alpha <= 1.0:
        raise ConfigError(
            f"mcd: alpha = {alpha}: expected a number from 0.5 to 1", key="alpha", got=alpha
        )
    h = min(n, subset_size(n, p, alpha))
    rng = np.random.default_rng(seed)
    found = _small(data, h, rng) if n < 2 * GROUP_SIZE else _large(data, h, rng)
    best = found.best(1)
    consistency, finite = consistency_factor(p, h / n), finite_sample_factor(p, n, alpha)
    raw = best.scatter[0]
    return McdEstimate(
        best.centre[0], raw, raw * (consistency * finite), consistency, finite, best.rows[0]
    )


def mcd(
    residuals: F64, *, alpha: float = 0.5, seed: int = 42, probability: float = 0.975
) -> NDArray[np.bool_]:
    """Rows whose squared robust distance is beyond the chi-square quantile of ``probability``.

    Parameters
    ----------
    residuals
        (n, p).
    alpha, seed
        See :func:`fast_mcd`.
    probability
        0.975 gives 9.348 for p = 3.

    Returns
    -------
    ndarray
        (n,) True where rejected.
    """
    estimate = fast_mcd(residuals, alpha=alpha, seed=seed)
    data = checked_residuals(residuals)
    distances = mahalanobis_squared(data, estimate.centre, estimate.scatter)
    return np.asarray(distances > chi_square_quantile(probability, data.shape[1]))
