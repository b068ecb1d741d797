r"""Levenberg-Marquardt on the normal equations, with bounds, held parameters and the covariance.

The fitter never sees a whole Jacobian: a problem hands it the cost, the gradient and
:math:`J^T W J`, accumulated in chunks. Parameters are scaled by the curvature, so their units do
not matter. What the data do not determine is found from the eigenvalues of the scaled normal
matrix, named, and held where it is. Source: Marquardt (1963); bounds by an active set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_offsets
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["CHUNK", "UNDETERMINED", "FitResult", "Linearised", "Normal", "accumulate_blocks"]
__all__ += ["accumulate_normal", "levenberg_marquardt", "weakest"]

CHUNK = 256
"""Rows that are summed one after another; chunk sums are added in order."""

UNDETERMINED = 1e-11
"""Eigenvalue of the scaled normal matrix, relative to the largest, below which a combination of
parameters counts as not determined: some 1e5 times rounding, far below what any real data give."""


@twin("arithmetic", residual="f8 n", jacobian="f8 n,k", weight="f8 n")
def accumulate_normal(residual: F64, jacobian: F64, weight: F64) -> tuple[float, F64, F64]:
    """Weighted cost, gradient and normal matrix of a linearised problem.

    Parameters
    ----------
    residual, jacobian, weight
        (n,), (n, k), (n,).

    Returns
    -------
    cost
        ``sum(weight * residual**2)``.
    gradient
        (k,) ``J^T W r``.
    hessian
        (k, k) ``J^T W J``.

    Notes
    -----
    Sums run over chunks of :data:`CHUNK` rows, each row after row; the chunk sums are added in
    order. So they do not depend on the number of threads.
    """
    total = _chunked(residual, jacobian, weight)
    return float(total[0, 0]), total[1:, 0].copy(), total[1:, 1:].copy()


def _check_blocks(residual: F64, first: I64) -> None:
    check_offsets("first", first, None, len(residual), "residual")


@twin(
    "arithmetic", check=_check_blocks, residual="f8 n", jacobian="f8 n,k", weight="f8 n",
    first="i8 q",
)  # fmt: skip
def accumulate_blocks(residual: F64, jacobian: F64, weight: F64, first: I64) -> F64:
    """Normal matrices of consecutive blocks of rows, as :func:`accumulate_normal` would sum them.

    Parameters
    ----------
    residual, jacobian, weight
        (n,), (n, k), (n,).
    first
        (q,) rising from 0 to n at most: block i is the rows ``first[i]`` to ``first[i + 1]``.

    Returns
    -------
    (q - 1, k + 1, k + 1) ``[r J]^T W [r J]`` of each block: its first element is the cost, the
    rest of its first column the gradient.
    """
    p, k = max(len(first) - 1, 0), jacobian.shape[1]
    out = np.zeros((p, k + 1, k + 1))
    for i in range(p):
        rows = slice(first[i], first[i + 1])
        out[i] = _chunked(residual[rows], jacobian[rows], weight[rows])
    return out


def _chunked(residual: F64, jacobian: F64, weight: F64) -> F64:
    """(k + 1, k + 1) [r J]^T W [r J], chunk sums added in order."""
    n, k = jacobian.shape
    weighted = weight[:, None] * np.hstack([residual[:, None], jacobian])
    right = np.hstack([residual[:, None], jacobian])
    total = np.zeros((k + 1, k + 1))
    for first in range(0, n, CHUNK):
        rows = slice(first, first + CHUNK)
        terms = weighted[rows, :, None] * right[rows, None, :]
        # accumulate adds row after row from 0, where sum() would add pairwise
        start = np.zeros((1, k + 1, k + 1))
        total = total + np.add.accumulate(np.concatenate([start, terms]), axis=0)[-1]
    return np.asarray(np.tril(total) + np.tril(total, -1).T)


class Linearised(Protocol):
    """What a problem hands to the fitter at one point, however it stores its normal matrix."""

    @property
    def cost(self) -> float:
        """Weighted sum of squared residuals."""

    @property
    def gradient(self) -> F64:
        """(k,) J^T W r, for ``r(x + d) = r + J d``."""

    @property
    def n(self) -> int:
        """Number of residuals that carry weight."""

    def curvature(self) -> F64:
        """(k,) diagonal of J^T W J."""

    def weak(self, free: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float]:
        """Free parameters that are not determined, and the condition number of the rest."""

    def step(self, x: F64, damping: float, use: NDArray[np.bool_]) -> F64:
        """(k,) damped step from x (k,) in the parameters `use`, 0 in the others."""

    def covariance(self, use: NDArray[np.bool_]) -> F64:
        """(k, k) inverse of the normal matrix over `use`, 0 elsewhere."""


L = TypeVar("L", bound=Linearised)


@dataclass(frozen=True)
class Normal:
    """A dense normal matrix.

    Attributes
    ----------
    cost
        Weighted sum of squared residuals.
    gradient, hessian
        (k,) J^T W r and (k, k) J^T W J, for ``r(x + d) = r + J d``.
    n
        Number of residuals that carry weight.
    """

    cost: float
    gradient: F64
    hessian: F64
    n: int

    def curvature(self) -> F64:
        """(k,) diagonal of the normal matrix."""
        return np.diag(self.hessian)

    def weak(self, free: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float]:
        """Free parameters that are not determined, and the condition number of the rest."""
        return weakest(self.hessian, free)

    def step(self, x: F64, damping: float, use: NDArray[np.bool_]) -> F64:
        """(k,) damped step in the parameters `use`; it does not depend on x."""
        at = np.flatnonzero(use)
        step = np.zeros(len(use))
        if len(at):
            scale = np.sqrt(np.diag(self.hessian)[at])
            m = self.hessian[np.ix_(at, at)] / np.outer(scale, scale)
            m[np.diag_indices_from(m)] += damping
            step[at] = np.linalg.solve(m, -self.gradient[at] / scale) / scale
        return step

    def covariance(self, use: NDArray[np.bool_]) -> F64:
        """(k, k) inverse of the normal matrix over `use`, 0 elsewhere."""
        out = np.zeros_like(self.hessian)
        at = np.flatnonzero(use)
        if len(at):
            scale = np.sqrt(np.diag(self.hessian)[at])
            m = self.hessian[np.ix_(at, at)] / np.outer(scale, scale)
            out[np.ix_(at, at)] = np.linalg.inv(m) / np.outer(scale, scale)
        return out


@dataclass(frozen=True)
class FitResult:
    """Outcome of a fit.

    Attributes
    ----------
    names, x
        (k,) parameters.
    covariance
        (k, k) inverse of J^T W J over what is determined; multiply by :attr:`reduced_chi2` if the
        weights are only relative. 0 for held parameters and for those on a bound.
    n, cost, cost_before
        Residuals with weight; weighted sum of squares at the end and at the start.
    evaluations, reason
        Work, and why it stopped.
    condition
        Condition number of the scaled normal matrix.
    undetermined
        Names of parameters that the data do not determine (held at their start values).
    at_bound
        Names of parameters on a bound.
    history
        Cost after each accepted step.
    clusters
        Groups of residuals that the covariance takes to err together; 0 if each errs alone.
    """

    names: tuple[str, ...]
    x: F64
    covariance: F64
    n: int
    cost: float
    cost_before: float
    evaluations: int
    reason: str
    condition: float
    undetermined: tuple[str, ...] = ()
    at_bound: tuple[str, ...] = ()
    history: tuple[float, ...] = field(default=(), repr=False)
    clusters: int = 0

    @property
    def sigma(self) -> F64:
        """(k,) standard uncertainties."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    @property
    def reduced_chi2(self) -> float:
        """Cost over degrees of freedom."""
        free = int(np.count_nonzero(np.diag(self.covariance) > 0.0))
        return self.cost / max(self.n - free, 1)

    @property
    def correlation(self) -> F64:
        """(k, k) correlation matrix; identity rows for parameters without uncertainty."""
        s = self.sigma
        safe = np.where(s > 0.0, s, 1.0)
        out = self.covariance / np.outer(safe, safe)
        out[np.diag_indices_from(out)] = 1.0
        return out


def weakest(hessian: F64, free: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float]:
    """Free parameters that are not determined, and the condition number of the rest.

    Parameters
    ----------
    hessian
        (k, k) normal matrix.
    free
        (k,) parameters to look at.
    """
    weak = np.zeros(len(free), dtype=bool)
    scale = np.sqrt(np.maximum(np.diag(hessian), 0.0))
    weak |= free & ~(scale > 0.0)
    condition = np.inf
    while True:
        use = np.flatnonzero(free & ~weak)
        if len(use) == 0:
            return weak, np.inf
        m = hessian[np.ix_(use, use)] / np.outer(scale[use], scale[use])
        values, vectors = np.linalg.eigh(m)
        condition = float(values[-1] / values[0]) if values[0] > 1e-30 * values[-1] else np.inf
        if values[0] > UNDETERMINED * values[-1]:
            return weak, condition
        # hold the parameter that the weakest combination is made of, and look again
        weak[use[int(np.argmax(np.abs(vectors[:, 0])))]] = True


def levenberg_marquardt(
    problem: Callable[[F64], L],
    x0: F64,
    names: Sequence[str],
    *,
    lower: F64 | None = None,
    upper: F64 | None = None,
    tolerance: float = 1e-7,
    max_evaluations: int = 200,
    covariance: bool = True,
    damping: float = 1e-3,
) -> FitResult:
    """Minimise a weighted sum of squares.

    Parameters
    ----------
    problem
        Called with (k,) parameters; returns a :class:`Normal`, or another :class:`Linearised`.
        A cost that is not finite makes the step be refused.
    x0, names
        (k,) start values and names.
    lower, upper
        (k,) bounds; equal bounds hold a parameter.
    tolerance
        Stop when every parameter moves by less than this part of its standard uncertainty.
    max_evaluations
        Calls of `problem`.
    covariance
        Whether it is wanted; with thousands of parameters it costs more than the fit. Without it
        the result's is all 0.
    damping
        Of the first step, relative to the curvature.

    Raises
    ------
    ConfigError
        Lengths differ, bounds cross, or the cost is not finite at the start.
    """
    x = np.array(x0, dtype=np.float64)
    k = len(x)
    lower = np.full(k, -np.inf) if lower is None else np.asarray(lower, dtype=np.float64)
    upper = np.full(k, np.inf) if upper is None else np.asarray(upper, dtype=np.float64)
    if not len(names) == len(lower) == len(upper) == k or np.any(lower > upper):
        raise ConfigError("levenberg_marquardt: names and bounds do not fit the parameters")
    x = np.minimum(np.maximum(x, lower), upper)
    now = problem(x)
    if not np.isfinite(now.cost):
        raise ConfigError("levenberg_marquardt: the cost is not finite at the start values")
    before, history, evaluations = now.cost, [now.cost], 1
    reason = f"stopped after {max_evaluations} evaluations"
    while evaluations < max_evaluations:
        free = _free(now, x, lower, upper)
        weak, _ = now.weak(free)
        step = now.step(x, damping, free & ~weak)
        trial = np.minimum(np.maximum(x + step, lower), upper)
        moved = np.abs(trial - x) * np.sqrt(np.maximum(now.curvature(), 0.0))
        small = bool(np.all(moved < tolerance))
        new = problem(trial)
        evaluations += 1
        if np.isfinite(new.cost) and (new.cost <= now.cost or small):
            better = new.cost <= now.cost
            x, now = (trial, new) if better else (x, now)
            history.append(now.cost)
            damping = 0.1 * damping if damping > 1e-9 else 0.0
            if small:
                reason = "converged"
                break
        else:
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e12:
                reason = "no step lowers the cost"
                break
    free = _free(now, x, lower, upper)
    weak, condition = now.weak(free)
    return FitResult(
        names=tuple(names),
        x=x,
        covariance=now.covariance(free & ~weak) if covariance else np.zeros((k, k)),
        n=now.n,
        cost=now.cost,
        cost_before=before,
        evaluations=evaluations,
        reason=reason,
        condition=condition,
        undetermined=tuple(n for n, w in zip(names, weak, strict=True) if w),
        at_bound=tuple(
            n for n, f, a, b in zip(names, free, lower, upper, strict=True) if not f and a < b
        ),
        history=tuple(history),
    )


def _free(normal: Linearised, x: F64, lower: F64, upper: F64) -> NDArray[np.bool_]:
    """Parameters that no bound holds: on a bound and pushed outwards is held."""
    held = ((x <= lower) & (normal.gradient > 0.0)) | ((x >= upper) & (normal.gradient < 0.0))
    return ~(held | (lower == upper))
