"""Covariance of a refinement whose outliers were rejected: what was kept says less than it seems.

The published uncertainties take the kept residuals for all there ever were. See
:mod:`refimpl.objective.truncation` for what is done here instead, and docs/theory/metrology.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.constraints import tie_matrix
from refimpl.metrology.engines import Trajectory
from refimpl.metrology.outlier_jobs import OutlierReport
from refimpl.metrology.problem import RefinementProblem
from refimpl.objective.least_squares import Normal
from refimpl.objective.mcd_factors import chi_square_quantile
from refimpl.objective.outliers import tukey_fences
from refimpl.objective.truncation import kept_in_ball, kept_inside

__all__ = ["fences", "kept_covariance", "kept_share"]

ROUNDS, SETTLED = 30, 1e-5
"""Of the scale of the weights, which the shares hang on: most rounds, and relative change at which
it is done; with a million residuals it is known to 1e-3."""

MCD_PROBABILITY = 0.975
"""Of :func:`refimpl.objective.fast_mcd.mcd`."""


def fences(
    report: OutlierReport,
    judged: F64,
    at: NDArray[np.intp],
    residuals: F64,
    *,
    iqr_multiplier: float,
) -> tuple[F64, F64]:
    """Between which values the residuals after the fit were kept.

    Parameters
    ----------
    report
        What was rejected.
    judged
        (n, 3) residuals that it judged, of stills (n, 2).
    at
        (m,) rows of `judged` that were fitted.
    residuals
        (m, 3) of those after the fit.
    iqr_multiplier
        Of the rule ``tukey``.

    Returns
    -------
    low, high
        (m, 3) in the unit of the residuals; infinite where there is no fence. For ``sauter_poon``
        X and Y of `high` hold the radius of the circle within which all were kept.
    """
    low, high = np.full_like(residuals, -np.inf), np.full_like(residuals, np.inf)
    columns, place = judged.shape[1], np.full(len(judged), -1)
    place[at] = np.arange(len(at))
    for job, small in zip(report.jobs, report.too_small, strict=True):
        mine = place[job.rows]
        mine = mine[mine >= 0]
        if small or not len(mine):
            continue
        if report.method == "tukey":
            least, most = tukey_fences(judged[job.rows], iqr_multiplier=iqr_multiplier)
            moved = judged[at[mine]] - residuals[mine, :columns]
            low[mine, :columns], high[mine, :columns] = least - moved, most - moved
        elif report.method == "sauter_poon" and report.rejected[job.rows].any():
            kept = job.rows[~report.rejected[job.rows]]
            high[mine, :2] = np.max(np.hypot(judged[kept, 0], judged[kept, 1]))
    return low, high


def kept_share(method: str, low: F64, high: F64, sigma: F64, columns: int = 3) -> F64:
    """Part of its information that each residual keeps, that it was not rejected being known.

    Parameters
    ----------
    method
        Rule that was applied.
    low, high
        (m, 3), see :func:`fences`.
    sigma
        (m, 3) standard deviations of the errors; the unit of the residuals.
    columns
        Residuals that were judged: 3, of stills 2.

    Returns
    -------
    ndarray
        (m, 3) in [0.05, 1]. Exact for ``tukey`` and independent normal errors; for ``mcd`` it is
        that of errors of one size, for ``sauter_poon`` that of a circle.
    """
    share = np.ones_like(sigma)
    if method == "mcd":
        share[:, :columns] = kept_in_ball(chi_square_quantile(MCD_PROBABILITY, columns), columns)
    elif method == "tukey":
        share[:, :columns] = kept_inside(
            low[:, :columns] / sigma[:, :columns], high[:, :columns] / sigma[:, :columns]
        )
    elif method == "sauter_poon":
        share[:, :2] = kept_in_ball((high[:, :2] / sigma[:, :2]) ** 2, 2)
    return share


def kept_covariance(
    problem: RefinementProblem,
    found: Trajectory,
    report: OutlierReport,
    judged: F64,
    judged_row: NDArray[np.intp],
    constraints: Sequence[str] = (),
    *,
    iqr_multiplier: float,
) -> Trajectory:
    """The trajectory with the covariance that holds after the rejection of outliers.

    Parameters
    ----------
    problem
        That was fitted.
    found
        Its outcome.
    report, judged, iqr_multiplier
        See :func:`fences`.
    judged_row
        (n,) rows of the table that were judged.
    constraints
        As fitted; see :mod:`refimpl.metrology.constraints`.

    Returns
    -------
    Trajectory
        Its covariance is that of the undamped normal matrix, whatever the engine; 0 for what the
        data leave open, which is named. The fences are taken to follow the fit, as they do when it
        started near its end; otherwise the covariance is too large, by 12 % in variance for
        Tukey's 1.5 at most.

    Raises
    ------
    ConfigError
        A reflection was fitted that was not judged.
    """
    at = _fitted(problem, judged_row)
    residuals, base = problem.residuals(found.x), problem.weight.copy()
    squares = float(np.nansum(base * residuals**2))
    counts = (base > 0.0) & np.isfinite(residuals)  # the published engines may lose reflections
    free = found.covariance.diagonal() > 0.0
    parameters = int(free.sum())
    if constraints:
        members = tie_matrix(problem.names, constraints)[2]
        parameters = sum(bool(free[own[0]]) for own in members)
    scale, share = found.steps[-1].reduced_chi_squared, np.ones_like(base)
    with np.errstate(divide="ignore"):
        one = 1.0 / np.sqrt(base)
    low, high = fences(report, judged, at, residuals, iqr_multiplier=iqr_multiplier)
    for _ in range(ROUNDS):
        share = kept_share(report.method, low, high, np.sqrt(scale) * one, judged.shape[1])
        before, scale = scale, squares / max(float(share[counts].sum()) - parameters, 1.0)
        if abs(scale - before) < SETTLED * scale:
            break
    problem.weight = base * share
    try:
        covariance, weak = _inverse(problem, found.x, free, constraints)
    finally:
        problem.weight = base
    open_ = (*found.undetermined, *(n for n in weak if n not in found.undetermined))
    return replace(found, covariance=scale * covariance, undetermined=open_)


def _fitted(problem: RefinementProblem, judged_row: NDArray[np.intp]) -> NDArray[np.intp]:
    """(m,) places among the rows that were judged of those that were fitted."""
    order = np.argsort(judged_row)
    wanted = problem.observed.row
    at = order[np.clip(np.searchsorted(judged_row, wanted, sorter=order), 0, len(order) - 1)]
    if np.any(judged_row[at] != wanted):
        row = int(wanted[np.argmax(judged_row[at] != wanted)])
        raise ConfigError(f"row {row} was fitted, but it is none of the {len(order)} judged ones")
    return np.asarray(at)


def _inverse(
    problem: RefinementProblem, x: F64, free: NDArray[np.bool_], constraints: Sequence[str]
) -> tuple[F64, tuple[str, ...]]:
    """(f, f) inverse of the normal matrix over what is determined, under the constraints.

    Also the names of what is not: the published engines do not tell, and their damping hides it.
    """
    if constraints:
        matrix, names, members = tie_matrix(problem.names, constraints)
        full = problem.normal(x)
        tied = Normal(
            full.cost, matrix.T @ full.gradient, matrix.T @ full.hessian @ matrix, full.n
        )  # fmt: skip
        use = free[[own[0] for own in members]]  # who is tied is determined together
        weak, _ = tied.weak(use)
        inverse = matrix @ tied.covariance(use & ~weak) @ matrix.T
        return np.asarray(inverse), _named(names, weak)
    if not problem.is_arrow:
        normal = problem.normal(x)
        weak, _ = normal.weak(free)
        return normal.covariance(free & ~weak), _named(problem.names, weak)
    order, _ = problem.arrow_order()
    own = np.argsort(order)[problem.free]
    use = np.zeros(len(order), dtype=bool)
    use[own] = free
    bordered = problem.bordered(x)
    weak, _ = bordered.weak(use)
    inverse = bordered.covariance(use & ~weak)[np.ix_(own, own)]
    return inverse, _named(problem.names, weak[own])


def _named(names: Sequence[str], weak: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(name for name, lost in zip(names, weak, strict=True) if lost)
