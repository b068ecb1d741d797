"""The journal of a minimisation, as the published programs keep it, and its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from refimpl.frames import F64

__all__ = ["Step", "Trajectory"]


@dataclass(frozen=True, eq=False)
class Step:
    """One row of the published journal.

    Attributes
    ----------
    x
        (f,) free values.
    step
        (f,) the step that is taken next, or would be.
    objective
        Half the weighted sum of squares.
    rmsd
        (3,) [mm, mm, rad].
    mu, nu
        Damping; 0 where there is none.
    gradient_norm, step_norm
        Of the gradient and of the step.
    reduced_chi_squared
        Weighted sum of squares over degrees of freedom.
    """

    x: F64
    step: F64
    objective: float
    rmsd: F64
    mu: float
    nu: float
    gradient_norm: float
    step_norm: float
    reduced_chi_squared: float


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A whole minimisation.

    Attributes
    ----------
    steps
        Journal; the last is the answer.
    reason
        Why it ended.
    converged
        Whether it ended by itself, and not by its limit of steps.
    covariance
        (f, f) of the free parameters, scaled by the reduced chi-square.
    undetermined
        Names of free parameters that the data leave open; our engine holds them, the published
        ones move them as their damping has it.
    solves
        Linear systems solved, or evaluations.
    first_system
        (f, f) matrix of the first damped system of the published engine.
    """

    steps: tuple[Step, ...]
    reason: str
    covariance: F64
    undetermined: tuple[str, ...] = ()
    solves: int = 0
    first_system: F64 | None = field(default=None, repr=False)
    converged: bool = field(kw_only=True)

    @property
    def x(self) -> F64:
        """(f,) answer."""
        return self.steps[-1].x
