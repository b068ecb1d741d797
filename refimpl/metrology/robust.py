r"""Refinement under a robust loss, beside or in place of the rejection of outliers.

Iteratively reweighted least squares: minimise, scale the weighted residuals of X, Y and phi each by
1.48 times their median size, weight them anew, until no weight changes. What comes out is the
minimum of :math:`\sum_k s_k^2 \sum_i \rho(\sqrt{w_{ik}} r_{ik} / s_k)`. Its covariance is the
sandwich :math:`A^{-1} M A^{-1}` with :math:`A = \sum_k \overline{\psi'_k} J_k^T W_k J_k` and
:math:`M = \sum_k s_k^2 \overline{\psi_k^2} J_k^T W_k J_k`. Source: P. J. Huber, Robust Statistics,
Wiley 1981, 7.6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.engines import Trajectory
from refimpl.metrology.problem import RefinementProblem
from refimpl.objective.robust_loss import LOSSES, mad_sigma, robust_weights

__all__ = ["check_loss", "refine_robustly"]

ROUNDS, SETTLED = 30, 1e-3
"""Most rounds, and change of a weight below which it is done."""


def check_loss(loss: str) -> None:
    """Refuse a loss that is not known.

    Raises
    ------
    ConfigError
        Neither ``none`` nor one of :data:`refimpl.objective.robust_loss.LOSSES`.
    """
    if loss not in ("none", *LOSSES):
        raise ConfigError(f"loss {loss!r}: expected one of none, {', '.join(LOSSES)}", key="loss")


def refine_robustly(
    problem: RefinementProblem, loss: str, solve: Callable[[RefinementProblem], Trajectory]
) -> tuple[Trajectory, F64]:
    """Minimise a robust loss.

    Parameters
    ----------
    problem
        Its weights are changed while it runs, and are what they were after it.
    loss
        ``huber`` or ``biweight``. The biweight's minimum depends on the start: it is that of the
        Huber loss.
    solve
        Minimises the weighted sum of squares.

    Returns
    -------
    trajectory
        Of all rounds; with the sandwich covariance. It has converged if the weights have settled
        and every search has converged.
    factors
        (n, 3) that the weights ended with, 1 where a residual is small.

    Raises
    ------
    ConfigError
        The loss is unknown.
    """
    if loss not in LOSSES:
        raise ConfigError(f"loss {loss!r}: expected one of {', '.join(LOSSES)}", key="loss")
    base, models = problem.weight.copy(), problem.models
    try:
        found = solve(problem)
        factors, settled = np.ones_like(base), True
        for name in ("huber",) if loss == "huber" else ("huber", loss):
            for _ in range(ROUNDS):
                u = _scaled(problem, found.x, base)
                new = robust_weights(u, name, sigma=np.ones(3))
                change = float(np.max(np.abs(new - factors)))
                factors = new
                if change < SETTLED:
                    break
                problem.weight = base * factors
                problem.models = replace(models, initial=problem.full(found.x))
                more = solve(problem)
                ended = found.converged and more.converged
                found = replace(more, steps=found.steps + more.steps, converged=ended)
            else:
                settled = False
        problem.weight = base
        covariance = _sandwich(problem, found.x, loss, base)
    finally:
        problem.weight, problem.models = base, models
    if not settled:
        reason = f"weights of the {loss} loss did not settle in {ROUNDS} rounds"
        found = replace(found, reason=reason, converged=False)
    return replace(found, covariance=covariance), factors


def _weighted(problem: RefinementProblem, x: F64, base: F64) -> F64:
    """(n, 3) residuals in units of their stated uncertainty; 0 where nothing is predicted."""
    return np.nan_to_num(problem.residuals(x) * np.sqrt(base), nan=0.0)


def _scaled(problem: RefinementProblem, x: F64, base: F64) -> F64:
    u = _weighted(problem, x, base)
    return np.asarray(u / _scale(u))


def _scale(u: F64) -> F64:
    """(3,) scale of the columns; 1 where most are 0."""
    s = mad_sigma(u)
    return np.where(s > 0.0, s, 1.0)


def _sandwich(problem: RefinementProblem, x: F64, loss: str, base: F64) -> F64:
    """(f, f) covariance; 0 for what no reflection sees."""
    chosen = LOSSES[loss]
    raw = _weighted(problem, x, base)
    s = _scale(raw)
    u = raw / s
    psi = chosen.weights(u, chosen.tuning) * u
    h = 1e-6  # psi has corners, where the derivative does not matter
    up, down = ((u + d) * chosen.weights(u + d, chosen.tuning) for d in (h, -h))
    slope = (up - down) / (2.0 * h)
    n = u.size
    spent = n / max(n - len(x), 1)
    problem.weight = base * slope.mean(axis=0)
    bread = problem.normal(x).hessian
    problem.weight = base * (s * s * np.mean(psi**2, axis=0) * spent)
    meat = problem.normal(x).hessian
    scale = np.sqrt(np.maximum(np.diag(meat), 0.0))
    scale = np.where(scale > 0.0, scale, 1.0)
    both = np.outer(scale, scale)
    inverse = np.linalg.pinv(bread / both, rcond=1e-11, hermitian=True)
    return np.asarray(inverse @ (meat / both) @ inverse / both)
