r"""A second way to a gauge: rigid moves as parameters, constraints as part of the equations.

With :math:`S = \partial v/\partial\delta` and :math:`T = \partial v/\partial y` of the composed
poses (:mod:`refimpl.metrology.gauge`) the arrow of the published parameters becomes one of
(y, border, delta) with the rows K as Lagrange multipliers; no derivative of a prediction is new.
The end is the published one to rounding: what :func:`refimpl.metrology.gauge.state_gauge`, which
only tells it otherwise, is tested against.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64
from refimpl.metrology.gauge import HELD, Gauge, GaugeAnswer
from refimpl.metrology.problem import RefinementProblem
from refimpl.metrology.siblings import siblings
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import FitResult, levenberg_marquardt

__all__ = ["GaugedProblem", "fit_in_gauge"]


class GaugedProblem:
    """Arrow-shaped equations of a refinement in a gauge; x is (y, border, changes).

    Parameters
    ----------
    problem
        With one detector.
    gauge
        Choice.
    """

    def __init__(self, problem: RefinementProblem, gauge: Gauge) -> None:
        self.problem, self.gauge = problem, gauge
        self.siblings = siblings(problem.models, gauge)
        self.r = len(self.siblings.rows)
        self.size = problem.models.detectors[0].initial.size

    @cached_property
    def names(self) -> tuple[str, ...]:
        """(r + k,) names."""
        names = self.problem.models.names
        return (*self.siblings.names, *names[self.size :], *names[: self.size])

    @cached_property
    def free(self) -> NDArray[np.bool_]:
        """(r + k,) what is refined."""
        free = self.problem.models.free
        return np.concatenate([np.ones(self.r, dtype=bool), free[self.size :], free[: self.size]])

    @cached_property
    def start(self) -> F64:
        """(r + k,) no move, the border as it is, no change."""
        border = self.problem.models.initial[self.size :]
        return np.concatenate([np.zeros(self.r), border, np.zeros(self.size)])

    def _split(self, x: F64) -> tuple[F64, F64, F64]:
        border = len(x) - self.size
        return x[: self.r], x[self.r : border], x[border:].reshape(-1, 6)

    def full(self, x: F64) -> F64:
        """(k,) all published values."""
        y, border, delta = self._split(x)
        return np.concatenate([self.siblings.composed(y, delta).ravel(), border])

    def bordered(self, x: F64) -> Bordered:
        """Normal equations at x."""
        y, _, delta = self._split(x)
        base = self.problem.bordered(self.full(x)[self.problem.free])
        s, t = self.siblings.derivatives(y, delta)
        b = base.g
        down = base.gradient[b:].reshape(-1, 6)
        blocks_t = np.einsum("gij,gjr->gir", base.blocks, t)
        border = np.zeros((self.r + b, self.r + b))
        border[: self.r, : self.r] = np.einsum("gir,gis->rs", t, blocks_t)
        border[self.r :, : self.r] = np.einsum("gbi,gir->br", base.cross, t)
        border[: self.r, self.r :] = border[self.r :, : self.r].T
        border[self.r :, self.r :] = base.border
        cross = np.concatenate(
            [np.einsum("gir,gij->grj", blocks_t, s), np.einsum("gbi,gij->gbj", base.cross, s)],
            axis=1,
        )
        blocks = np.einsum("gki,gkl,glj->gij", s, base.blocks, s)
        gradient = np.concatenate(
            [np.einsum("gir,gi->r", t, down), base.gradient[:b],
             np.einsum("gij,gi->gj", s, down).ravel()]
        )  # fmt: skip
        return Bordered(base.cost, gradient, base.n, border, cross, blocks, self.siblings.rows)

    def published_covariance(self, x: F64, covariance: F64) -> F64:
        """(f, f) of the published free parameters from that of x (r + k, r + k)."""
        y, border, delta = self._split(x)
        s, t = self.siblings.derivatives(y, delta)
        n = self.size
        to = np.zeros((n + len(border), len(x)))
        to[:n, : self.r] = t.reshape(n, self.r)
        for g in range(n // 6):
            at = slice(6 * g, 6 * g + 6)
            to[at, len(x) - n + 6 * g : len(x) - n + 6 * g + 6] = s[g]
        to[n:, self.r : self.r + len(border)] = np.eye(len(border))
        to = to[self.problem.free]
        return np.asarray(to @ covariance @ to.T)


def fit_in_gauge(
    problem: RefinementProblem,
    gauge: Gauge,
    *,
    tolerance: float = 1e-6,
    noted: Callable[[F64, Bordered], Bordered] | None = None,
) -> tuple[GaugedProblem, FitResult, GaugeAnswer]:
    """Minimise in a gauge.

    Parameters
    ----------
    problem
        With one detector.
    gauge
        Choice.
    tolerance
        See :func:`refimpl.objective.least_squares.levenberg_marquardt`.
    noted
        Called with the published free values and the equations of every point.

    Returns
    -------
    problem, fit, answer
        The fit's covariance is not scaled; the answer's is, by the reduced chi-square.
    """
    own = GaugedProblem(problem, gauge)

    def at(x: F64) -> Bordered:
        normal = own.bordered(x)
        return normal if noted is None else noted(own.full(x)[problem.free], normal)

    start = own.start
    fit = levenberg_marquardt(
        at, start, own.names, tolerance=tolerance,
        lower=np.where(own.free, -np.inf, start), upper=np.where(own.free, np.inf, start),
    )  # fmt: skip
    y, _, delta = own._split(fit.x)
    scale = fit.cost / max(3 * len(problem.observed) - int(problem.models.free.sum()), 1)
    keep = np.concatenate([np.arange(own.r), np.arange(len(start) - own.size, len(start))])
    covariance = scale * fit.covariance[np.ix_(keep, keep)]
    sentences = (*own.siblings.sentences, HELD)
    return own, fit, GaugeAnswer(gauge, own.siblings, y, delta, covariance, sentences)
