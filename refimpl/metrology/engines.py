r"""How the minimum is found: the published Levenberg-Marquardt, Gauss-Newton, and our own.

The published one adds :math:`\mu` times the identity to a normal matrix in mixed units (mm, mrad,
1e5/angstrom^2), and stops when the RMSDs change by less than 1e-4 of themselves, before the step
at hand is taken: on several panels that is some 0.03 % above the minimum. Ours damps in the
parameters' own curvature, on an arrow-shaped matrix, and stops when no parameter moves.
Source: DIALS ``engine.py`` (spec 2.13); K. Madsen, H. B. Nielsen, O. Tingleff, Methods for
non-linear least squares problems, 2nd ed., DTU 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConvergenceError
from refimpl.frames import F64
from refimpl.metrology.problem import RefinementProblem
from refimpl.metrology.rmsd import rmsd
from refimpl.metrology.trajectory import Step, Trajectory
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import Normal, levenberg_marquardt

__all__ = ["ENGINES", "MOST_STEPS", "Step", "Trajectory", "run_engine"]

TAU, NU_LIMIT, RMSD_CHANGE = 1e-3, 8192.0, 1e-4
"""Of the published engine: first damping, last growth of it, change that ends it."""

MOST_STEPS: Final[Mapping[str, int]] = MappingProxyType(
    {"arrow": 200, "levmar": 100, "gauss_newton": 20}
)
"""Steps after which each engine gives up: of ours those that are tried, of the others, as
published, rows of the journal."""

TOLERANCE = 1e-6
"""Ours ends when no parameter moves by more than this part of its standard uncertainty."""


Progress = Callable[[int, F64], None]
L = TypeVar("L", Normal, Bordered)


def _rmsd(problem: RefinementProblem, x: F64) -> F64:
    """(3,) over the reflections that are predicted."""
    r = problem.residuals(x)
    whole = rmsd(r)
    return whole if np.isfinite(whole).all() else rmsd(r[np.isfinite(r).all(axis=1)])


def _checked_gradient(problem: RefinementProblem, gradient: F64) -> None:
    """Refuse parameters that no reflection sees, as published."""
    if np.any(gradient == 0.0):
        names = [n for n, g in zip(problem.names, gradient, strict=True) if g == 0.0]
        raise ConvergenceError(
            f"no reflection depends on {', '.join(names[:6])}{' ...' if len(names) > 6 else ''}: "
            "fix them (auto_reduction fix does)"
        )


def levmar(
    problem: RefinementProblem,
    *,
    target: F64 | None = None,
    max_steps: int = MOST_STEPS["levmar"],
    damped: bool = True,
    progress: Progress | None = None,
) -> Trajectory:
    """Published Levenberg-Marquardt, step by step; undamped it is the published Gauss-Newton.

    Reflections that a step loses leave the sum, which lowers the objective: so it is in DIALS,
    whose matches are those that are predicted, and so it stays here.

    Parameters
    ----------
    problem
        What is fitted.
    target
        (3,) RMSDs [mm, mm, rad] that are good enough; None: none are.
    max_steps
        Rows of the journal.
    damped
        False: mu is 0.
    progress
        Called with the step's number and its RMSDs.

    Raises
    ------
    ConvergenceError
        A free parameter is seen by no reflection, or the normal matrix is singular.
    """
    x = problem.start
    normal = problem.normal(x)
    _checked_gradient(problem, normal.gradient)
    n_residuals = 3 * len(problem.observed)
    mu = TAU * float(np.max(np.diag(normal.hessian))) if damped else 0.0
    nu, steps, solves = 2.0, [], 0
    first: F64 | None = None
    reason, system, here = "maximum number of steps", normal.hessian, _rmsd(problem, x)
    converged = True
    while True:
        system = normal.hessian + mu * np.eye(len(x))
        first = system if first is None else first
        try:
            h = -np.linalg.solve(system, normal.gradient)
        except np.linalg.LinAlgError as exc:
            raise ConvergenceError("the normal matrix is singular: fix some parameters") from exc
        solves += 1
        objective = 0.5 * normal.cost
        row = Step(
            x.copy(), np.asarray(h), objective, here, mu, nu,
            float(np.linalg.norm(normal.gradient)), float(np.linalg.norm(h)),
            2.0 * objective / max(n_residuals - len(x), 1),
        )  # fmt: skip
        steps.append(row)
        if progress is not None:
            progress(len(steps) - 1, row.rmsd)
        if target is not None and np.all(row.rmsd < target):
            reason = "RMSD target achieved"
            break
        if len(steps) > 1 and np.all(
            np.abs(row.rmsd - steps[-2].rmsd) / steps[-2].rmsd < RMSD_CHANGE
        ):
            reason = "RMSD no longer decreasing"
            break
        if len(steps) - 1 >= max_steps:
            converged = False
            break
        expected = 0.5 * float(h @ (mu * h - normal.gradient))
        if expected == 0.0:
            reason = "objective is flat"
            break
        new = problem.normal(x + h)
        rho = (objective - 0.5 * new.cost) / expected
        if rho > 0.0 or not damped:
            x, normal, here = x + h, new, _rmsd(problem, x + h)
            mu, nu = mu * max(1.0 / 3.0, 1.0 - (2.0 * rho - 1.0) ** 3) if damped else 0.0, 2.0
            continue
        steps.pop()
        if nu >= NU_LIMIT:
            steps.append(row)
            reason = "step too small: no better point was found"
            break
        mu, nu = mu * nu, 2.0 * nu
    covariance = np.asarray(steps[-1].reduced_chi_squared * np.linalg.inv(system))
    return Trajectory(tuple(steps), reason, covariance, (), solves, first, converged=converged)


def gauss_newton(problem: RefinementProblem, **options: object) -> Trajectory:
    """Published Gauss-Newton: no damping, at most 20 steps."""
    limit = {"max_steps": MOST_STEPS["gauss_newton"]}
    return levmar(problem, damped=False, **{**limit, **options})  # type: ignore[arg-type]


def arrow(
    problem: RefinementProblem,
    *,
    max_steps: int = MOST_STEPS["arrow"],
    progress: Progress | None = None,
) -> Trajectory:
    """Our own: scaled damping on arrow-shaped normal equations, until no parameter moves.

    A step that loses a reflection, so that it can no longer be predicted, is refused.

    Parameters
    ----------
    problem
        What is fitted.
    max_steps
        Steps that are tried at most.
    progress
        Called with the number of a step that was taken, and its RMSDs.
    """
    journal = _Journal(problem, progress)
    limits: Any = {"tolerance": TOLERANCE, "max_evaluations": max_steps + 1}
    if problem.is_arrow:
        order, free = problem.arrow_order()
        start = problem.models.initial[order]
        own = np.argsort(order)[problem.free]  # where the free parameters stand
        fit = levenberg_marquardt(
            lambda x: journal.noted(x[own], problem.bordered(x[own]), own), start,
            tuple(problem.models.names[k] for k in order),
            lower=np.where(free, -np.inf, start), upper=np.where(free, np.inf, start), **limits,
        )  # fmt: skip
        covariance = fit.covariance[np.ix_(own, own)]
    else:
        fit = levenberg_marquardt(
            lambda x: journal.noted(x, problem.normal(x)), problem.start, problem.names, **limits
        )
        covariance = fit.covariance
    scale = journal.steps[-1].reduced_chi_squared
    stopped = fit.reason.startswith("stopped after")
    ended = f"stopped after {max_steps} step{'s' if max_steps != 1 else ''}"
    reason = ended if stopped else fit.reason
    return Trajectory(
        tuple(journal.steps), reason, scale * covariance, fit.undetermined, fit.evaluations,
        converged=not stopped,
    )  # fmt: skip


class _Journal:
    """Rows for every point that is no worse than those before: those that the search goes to."""

    def __init__(self, problem: RefinementProblem, progress: Progress | None) -> None:
        self.problem, self.progress = problem, progress
        self.steps: list[Step] = []
        self.best, self.n = np.inf, 0

    def noted(self, x: F64, normal: L, own: NDArray[np.intp] | slice = slice(None)) -> L:
        """Normal equations as they are, or of infinite cost where reflections were lost.

        `own` are the places of x (f,) in the gradient.
        """
        if normal.n < self.n:
            return replace(normal, cost=np.inf)
        if normal.cost <= self.best:
            self.best, self.n = normal.cost, normal.n
            self.add(x, normal.cost, float(np.linalg.norm(normal.gradient[own])))
        return normal

    def add(self, x: F64, cost: float, gradient: float) -> None:
        dof = max(3 * len(self.problem.observed) - len(x), 1)
        here = _rmsd(self.problem, x)
        self.steps.append(
            Step(x.copy(), np.zeros(len(x)), 0.5 * cost, here, 0.0, 0.0, gradient, 0.0, cost / dof)
        )
        if self.progress is not None:
            self.progress(len(self.steps) - 1, here)


ENGINES: dict[str, Callable[..., Trajectory]] = {
    "arrow": arrow, "levmar": levmar, "gauss_newton": gauss_newton,
}  # fmt: skip
"""Engines by name; ``arrow`` is the default."""


def run_engine(name: str, problem: RefinementProblem, **options: object) -> Trajectory:
    """Minimise with an engine by name."""
    return ENGINES[name](problem, **options)
