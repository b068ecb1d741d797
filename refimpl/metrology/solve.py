"""Minimise under what is asked for beside the engine: a robust loss, constraints."""

from __future__ import annotations

from collections.abc import Sequence

from refimpl.errors import ConfigError
from refimpl.metrology.constraints import TiedProblem
from refimpl.metrology.engines import Trajectory, run_engine
from refimpl.metrology.problem import RefinementProblem
from refimpl.metrology.robust import refine_robustly

__all__ = ["solve"]


def solve(
    problem: RefinementProblem,
    engine: str,
    *,
    loss: str = "none",
    constraints: Sequence[str] = (),
    **options: object,
) -> Trajectory:
    """Minimise.

    Parameters
    ----------
    problem
        Refinement.
    engine
        One of :data:`refimpl.metrology.engines.ENGINES`.
    loss
        ``none``, ``huber`` or ``biweight``; see :mod:`refimpl.metrology.robust`.
    constraints
        Parts of names of parameters that shift together; see
        :mod:`refimpl.metrology.constraints`.
    options
        Of the engine.

    Raises
    ------
    ConfigError
        A constraint matches nothing, or both are asked for: the covariance of the one does not
        know of the other.
    """
    if constraints and loss != "none":
        raise ConfigError(f"loss {loss} and constraints {', '.join(constraints)}: choose one")
    if constraints:
        tied = TiedProblem(problem, constraints)
        found = run_engine(engine, tied, **options)  # type: ignore[arg-type]
        return tied.released_trajectory(found)
    if loss == "none":
        return run_engine(engine, problem, **options)
    return refine_robustly(problem, loss, lambda p: run_engine(engine, p, **options))[0]
