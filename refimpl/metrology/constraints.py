r"""Parameters that shift together: the published equal-shift constraint.

All free parameters that match a name become one: its value is the mean of theirs, its column the
sum of theirs, and the step that it takes is added to each. With T the 0/1 matrix of who follows
whom, :math:`x = x_0 + T (y - y_0)`, :math:`g_y = T^T g`, :math:`N_y = T^T N T`. The damping of the
published engine acts on y. Source: DIALS ``EqualShiftConstraint`` (spec 2.9).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.engines import Trajectory
from refimpl.metrology.problem import Observations, RefinementProblem
from refimpl.objective.least_squares import Normal

__all__ = ["TiedProblem", "tie_matrix"]

_PREFIX = re.compile(r"^(Detector|Beam|Crystal)\d+")


def tie_matrix(
    names: Sequence[str], patterns: Sequence[str]
) -> tuple[F64, tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Who follows whom.

    Parameters
    ----------
    names
        (f,) free parameters.
    patterns
        Parts of names without the model's, such as ``Dist``; each is one constraint.

    Returns
    -------
    matrix
        (f, h) of 0 and 1: first the parameters that are free of constraints, then the constraints.
    names
        (h,) of the columns.
    members
        Parameters (positions) of each column.

    Raises
    ------
    ConfigError
        A pattern matches fewer than two free parameters, or one that is tied already.
    """
    tied: dict[int, str] = {}
    groups: list[tuple[int, ...]] = []
    for pattern in patterns:
        own = [i for i, name in enumerate(names) if pattern in _PREFIX.sub("", name)]
        if len(own) < 2:
            raise ConfigError(
                f"constraint {pattern!r} matches {len(own)} free parameter(s): expected two or "
                "more, by a part of their names such as Dist, Tau2, g_param_0"
            )
        for i in own:
            if i in tied:
                raise ConfigError(
                    f"constraint {pattern!r}: {names[i]} is tied by {tied[i]!r} already"
                )
            tied[i] = pattern
        groups.append(tuple(own))
    alone = [(i,) for i in range(len(names)) if i not in tied]
    members = (*alone, *groups)
    matrix = np.zeros((len(names), len(members)))
    for column, own_members in enumerate(members):
        matrix[list(own_members), column] = 1.0
    said = [f"{p} of {len(g)} tied" for p, g in zip(patterns, groups, strict=True)]
    return matrix, (*(names[i] for (i,) in alone), *said), members


class TiedProblem:
    """A refinement in fewer parameters; the engines take it as one of few parameters.

    Parameters
    ----------
    problem
        In all free parameters.
    patterns
        See :func:`tie_matrix`.
    """

    is_arrow = False

    def __init__(self, problem: RefinementProblem, patterns: Sequence[str]) -> None:
        self.problem = problem
        self.matrix, self.names, members = tie_matrix(problem.names, patterns)
        self.origin = problem.start
        self.start: F64 = np.array([self.origin[list(own)].mean() for own in members])

    @property
    def observed(self) -> Observations:
        """Reflections in the order of the fit."""
        return self.problem.observed

    def released(self, y: F64) -> F64:
        """(f,) free parameters at y (h,)."""
        return np.asarray(self.origin + self.matrix @ (y - self.start))

    def residuals(self, y: F64) -> F64:
        """See :meth:`RefinementProblem.residuals`."""
        return self.problem.residuals(self.released(y))

    def normal(self, y: F64) -> Normal:
        """Normal equations of the tied parameters."""
        n = self.problem.normal(self.released(y))
        t = self.matrix
        return Normal(n.cost, t.T @ n.gradient, t.T @ n.hessian @ t, n.n)

    def released_trajectory(self, found: Trajectory) -> Trajectory:
        """Journal and covariance in all free parameters."""
        steps = tuple(
            replace(s, x=self.released(s.x), step=self.matrix @ s.step) for s in found.steps
        )
        covariance = self.matrix @ found.covariance @ self.matrix.T
        return replace(found, steps=steps, covariance=covariance)
