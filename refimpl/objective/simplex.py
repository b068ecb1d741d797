"""Nelder-Mead simplex within bounds, with the rules of NLopt's LN_NELDERMEAD.

Source: J. A. Nelder and R. Mead, Comput. J. 7 (1965) 308, doi:10.1093/comjnl/7.4.308; bounds by
clipping, M. J. Box, Comput. J. 8 (1965) 42; first simplex and stopping rules: NLopt 2.7 (manual
and `nldrmd.c`). The same rules give the same points, so a published fit is repeated step by step.

Not reproduced: the published limits on wall time (30 s a fit). They make an answer depend on the
load of the machine; the limit on evaluations bounds the work instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["SimplexResult", "initial_step", "minimise_simplex"]

Reason = Literal["ftol", "xtol", "max_evaluations", "nothing free"]

REFLECT, EXPAND, CONTRACT, SHRINK = 1.0, 2.0, 0.5, 0.5
ROUNDOFF = 1e-13  # two coordinates this close, relative to their sum, are the same


@dataclass(frozen=True, eq=False)
class SimplexResult:
    """Where the simplex ended.

    Attributes
    ----------
    x
        (n,) best point that was evaluated.
    value
        Objective there.
    evaluations
        Calls of the objective, restarts included.
    reason
        ``ftol``: best and worst vertex agree; ``xtol``: the simplex is small;
        ``max_evaluations``; ``nothing free``: every bound pair is equal.
    """

    x: F64
    value: float
    evaluations: int
    reason: Reason


def initial_step(x0: F64, lower: F64, upper: F64) -> F64:
    """First step of each parameter: a quarter of its range, or 3/4 of the way to a near bound.

    Source: `nlopt_set_default_initial_step`, for finite bounds. 0 where the bounds are equal.
    """
    step = 0.25 * (upper - lower)
    step = np.where((upper > x0) & (upper - x0 < step), 0.75 * (upper - x0), step)
    return np.where((x0 > lower) & (x0 - lower < step), 0.75 * (x0 - lower), step)


def minimise_simplex(
    f: Callable[[F64], float],
    x0: F64,
    lower: F64,
    upper: F64,
    ftol_rel: float = 1e-5,
    xtol_rel: float = 1e-5,
    max_evaluations: int = 5000,
    restarts: int = 0,
) -> SimplexResult:
    """Minimise ``f`` within bounds by the Nelder-Mead simplex.

    Parameters
    ----------
    f
        Objective; NaN counts as +infinity.
    x0, lower, upper
        (n,) start and finite bounds; equal bounds freeze a parameter, which is then left out of
        the simplex and of the stopping rules.
    ftol_rel
        Stop when best and worst vertex differ by less than this, relative to their mean size.
    xtol_rel
        Stop when the vertices' greatest distances from the centroid sum to less than this times
        the sum of the absolute coordinates: one sum over all parameters, so their units matter.
    max_evaluations
        Limit on calls of ``f``, restarts included.
    restarts
        Begin again from the best point with a fresh simplex up to this many times, as long as
        that gains more than ``ftol_rel``: a simplex can collapse away from any minimum.

    Raises
    ------
    ConfigError
        Shapes differ, a bound is infinite or crossed, or the start is outside.
    """
    x0, lower, upper = (np.array(a, dtype=np.float64) for a in (x0, lower, upper))
    _check(x0, lower, upper, max_evaluations)
    free = upper > lower
    counted = _Counted(f, x0, free, max_evaluations)
    if not free.any():
        return SimplexResult(x0, counted(x0[free]), 1, "nothing free")
    reason: Reason = "xtol"
    for _ in range(restarts + 1):
        before = counted.best_value
        start = counted.best_x.copy()
        reason = _one_simplex(counted, start, lower[free], upper[free], ftol_rel, xtol_rel)
        gain = before - counted.best_value
        if reason == "max_evaluations" or not gain > ftol_rel * abs(counted.best_value):
            break
    x = x0.copy()
    x[free] = counted.best_x
    return SimplexResult(x, counted.best_value, counted.evaluations, reason)


def _check(x0: F64, lower: F64, upper: F64, max_evaluations: int) -> None:
    if not (x0.ndim == 1 and x0.shape == lower.shape == upper.shape):
        raise ConfigError(
            f"minimise_simplex: x0 {x0.shape}, lower {lower.shape}, upper {upper.shape}: "
            "expected three equal lengths"
        )
    bad = np.flatnonzero(~(np.isfinite(lower) & np.isfinite(upper) & (lower <= upper)))
    if bad.size:
        i = bad[0]
        raise ConfigError(
            f"minimise_simplex: bounds of parameter {i} are {lower[i]:g} and {upper[i]:g}: "
            "expected finite numbers in rising order"
        )
    bad = np.flatnonzero(~((lower <= x0) & (x0 <= upper)))
    if bad.size:
        i = bad[0]
        raise ConfigError(
            f"minimise_simplex: parameter {i} starts at {x0[i]:g}, "
            f"outside its bounds {lower[i]:g} to {upper[i]:g}"
        )
    if max_evaluations < 1:
        raise ConfigError(f"minimise_simplex: max_evaluations = {max_evaluations}: expected 1 up")


class _Counted:
    """The objective over the free parameters: counts calls and keeps the best point."""

    def __init__(
        self, f: Callable[[F64], float], x0: F64, free: NDArray[np.bool_], limit: int
    ) -> None:
        self.f, self.template, self.free, self.limit = f, x0, free, limit
        self.evaluations = 0
        self.best_x = x0[free].copy()
        self.best_value = math.inf

    def __call__(self, x: F64) -> float:
        full = self.template.copy()
        full[self.free] = x
        value = float(self.f(full))
        value = math.inf if math.isnan(value) else value
        self.evaluations += 1
        if value <= self.best_value:
            self.best_value = value
            self.best_x = x.copy()
        return value

    @property
    def exhausted(self) -> bool:
        return self.evaluations >= self.limit


def _first_vertex(x: float, step: float, lower: float, upper: float) -> float:
    """One coordinate of the first simplex, turned back where a bound is in the way."""
    at = x + step
    if at > upper:
        at = upper if upper - x > abs(step) * 0.1 else x - abs(step)
    if at < lower:
        if x - lower > abs(step) * 0.1:
            return lower
        at = x + abs(step)
        if at > upper:
            at = 0.5 * ((upper if upper - x > x - lower else lower) + x)
    return at


def _move(centre: F64, scale: float, vertex: F64, lower: F64, upper: F64) -> tuple[F64, bool]:
    """Return centre + scale (centre - vertex) within bounds, and whether it is a new point."""
    to = np.minimum(np.maximum(centre + scale * (centre - vertex), lower), upper)
    at_centre = np.abs(to - centre) <= ROUNDOFF * (np.abs(to) + np.abs(centre))
    at_vertex = np.abs(to - vertex) <= ROUNDOFF * (np.abs(to) + np.abs(vertex))
    return to, not (at_centre.all() or at_vertex.all())


def _sum(values: F64) -> float:
    """Sum in order, as the compiled twins of the callers do (NumPy's is pairwise)."""
    return float(np.add.accumulate(values)[-1])


def _converged(
    points: F64, values: F64, order: NDArray[np.intp], ftol: float, xtol: float
) -> Reason | None:
    """Published stopping rules on a simplex with known ranking."""
    low, high = values[order[0]], values[order[-1]]
    gap = abs(low - high)
    if math.isfinite(high) and (
        gap < ftol * (abs(low) + abs(high)) * 0.5 or (ftol > 0 and gap == 0)
    ):
        return "ftol"
    centre = _centroid(points, int(order[-1]))
    # the spread is added to the centroid and taken off again, as published: rounding included
    far = np.abs(points - centre).max(axis=0) + centre
    if _sum(np.abs(centre - far)) < xtol * _sum(np.abs(centre)):
        return "xtol"
    return None


def _centroid(points: F64, worst: int) -> F64:
    """Mean of all vertices but the worst, summed in order."""
    total = np.zeros(points.shape[1])
    for i, point in enumerate(points):
        if i != worst:
            total = total + point
    return total * (1.0 / points.shape[1])


def _one_simplex(f: _Counted, x: F64, lower: F64, upper: F64, ftol: float, xtol: float) -> Reason:
    """Run one simplex to its end; the best point stays in ``f``."""
    n = len(x)
    step = initial_step(x, lower, upper)
    points, values = np.tile(x, (n + 1, 1)), np.empty(n + 1)
    best, best_value = x, math.inf
    for i in range(-1, n):
        if i >= 0:  # each vertex steps away from the best one so far, as NLopt's do
            points[i + 1] = best
            points[i + 1, i] = _first_vertex(best[i], step[i], lower[i], upper[i])
        values[i + 1] = f(points[i + 1])
        if values[i + 1] <= best_value:
            best, best_value = points[i + 1].copy(), values[i + 1]
        if f.exhausted:
            return "max_evaluations"
    while True:
        order = np.argsort(values, kind="stable")  # ties: the earlier vertex is the better one
        reason = _converged(points, values, order, ftol, xtol)
        if reason is not None:
            return reason
        reason = _step(f, points, values, order, lower, upper)
        if reason is not None:
            return reason


def _step(
    f: _Counted, points: F64, values: F64, order: NDArray[np.intp], lower: F64, upper: F64
) -> Reason | None:
    """Reflect, expand, contract or shrink once, in place."""
    best, second, worst = int(order[0]), int(order[-2]), int(order[-1])
    centre = _centroid(points, worst)
    reflected, moved = _move(centre, REFLECT, points[worst], lower, upper)
    if not moved:
        return "xtol"
    at_reflected = f(reflected)
    if f.exhausted:
        return "max_evaluations"
    if values[best] <= at_reflected < values[second]:
        points[worst], values[worst] = reflected, at_reflected
        return None
    expand = at_reflected < values[best]
    scale = EXPAND if expand else -CONTRACT if values[worst] <= at_reflected else CONTRACT
    tried, moved = _move(centre, scale, points[worst], lower, upper)
    if not moved:
        return "xtol"
    at_tried = f(tried)
    if f.exhausted:
        return "max_evaluations"
    if expand and at_tried >= at_reflected:
        tried, at_tried = reflected, at_reflected
    elif not expand and not (at_tried < at_reflected and at_tried < values[worst]):
        return _shrink(f, points, values, best, lower, upper)
    points[worst], values[worst] = tried, at_tried
    return None


def _shrink(
    f: _Counted, points: F64, values: F64, best: int, lower: F64, upper: F64
) -> Reason | None:
    """Pull every vertex half-way to the best one."""
    for i in range(len(points)):
        if i == best:
            continue
        points[i], moved = _move(points[best], -SHRINK, points[i], lower, upper)
        if not moved:
            return "xtol"
        values[i] = f(points[i])
        if f.exhausted:
            return "max_evaluations"
    return None
