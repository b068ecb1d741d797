r"""The joint refinement of a detector and all of its panels.

One Levenberg-Marquardt for the global parameters and, for each panel, its shift, rotation, height
and tilts (and dP2), on the pseudo-strain of :mod:`refimpl.powder.refine`. Three things keep what
one frame determines badly from wandering:

* the gauge: what all panels do together is the detector's (:mod:`refimpl.powder.panel_gauge`);
* Gaussian priors about 0, whose widths are variance components: they start from stated values and
  are estimated from the panels' own spread, :math:`s^2 = (\nu s_0^2 + \sum_i E[x_i^2]) / (\nu+p)`
  (expectation-maximisation, :math:`\nu` = 4 pseudo-observations of the stated width; Dempster,
  Laird and Rubin 1977; Harville 1977);
* what a panel's points say next to nothing about is held and named.

Where the model does not suffice, the points of a ring on a panel err together, and count as fewer
than they are: their weights are divided by the design effect, the mean square of the normalised
residuals' sums over that of independent ones (Kish, Survey Sampling, 1965, 5.4; at least 1).

Source of the model: AutoCalibrate manual version 10, section 7; tilts, priors and gauge are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.detector.tilted_flat import JACOBIAN_FIELDS, ring_jacobian
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import FitResult, accumulate_blocks, levenberg_marquardt
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_gauge import gauge
from refimpl.powder.panel_setup import PANEL_GROUPS, PanelSetup
from refimpl.powder.parameters import Parameters
from refimpl.powder.refine import (
    CLIP_SIGMA,
    GeometryFit,
    point_strain,
    strain_sigma,
    taper,
    unexplained,
)

__all__ = ["PanelSolution", "fit_panels"]

PSEUDO_PANELS = 4.0
"""Panels that the stated width of a prior counts as, against those that were measured."""

DETERMINED = 0.05
"""Part of a parameter's stated variance that the points must take away; else it is held."""

OUTER, SETTLED = 60, 1e-5
"""Turns of weights, spread and widths, and the relative change at which they have settled."""


@dataclass(frozen=True, eq=False)
class PanelSolution:
    """Panels of a fit.

    Attributes
    ----------
    corrections, sigma
        (p, 7) numbers and their standard uncertainties, 0 where nothing was refined.
    setup
        What was asked for.
    held
        (p, m) refined fields that are held on a panel.
    reasons
        A sentence for each.
    widths
        Group to the width of its prior as used.
    gauge
        A sentence a constraint.
    points
        (p,) points that carry weight.
    design_effect
        What the weights were divided by.
    names, covariance
        (k,), (k, k) of all parameters: the global ones, then ``3.d_fast_px`` panel by panel.
    """

    corrections: F64
    sigma: F64
    setup: PanelSetup
    held: NDArray[np.bool_]
    reasons: tuple[str, ...]
    widths: dict[str, float]
    gauge: tuple[str, ...]
    points: I64
    design_effect: float
    names: tuple[str, ...]
    covariance: F64


@dataclass(frozen=True, eq=False)
class _Problem:
    """Points in the order of panels, and what is refined."""

    points: RingPoints
    rings: Rings
    globals: Parameters
    setup: PanelSetup
    first: I64  # (p + 1,) where the points of each panel begin
    free: NDArray[np.bool_]  # (p, m)

    @property
    def g(self) -> int:
        return len(self.globals)

    @property
    def p(self) -> int:
        return len(self.first) - 1

    @property
    def names(self) -> tuple[str, ...]:
        own = (f"{i}.{f}" for i in range(self.p) for f in self.setup.fields)
        return (*self.globals.names, *own)

    def corrections(self, x: F64) -> F64:
        """(p, 9) table at the parameters."""
        table = self.globals.model.corrections
        table[:, 2 + self.setup.columns] = x[self.g :].reshape(self.p, -1)
        return table

    def start(self) -> F64:
        own = self.globals.model.corrections[:, 2 + self.setup.columns]
        return np.concatenate([self.globals.start, own.ravel()])

    def bounds(self) -> tuple[F64, F64]:
        """Search range about the start; a held parameter's is a point."""
        own = self.globals.model.corrections[:, 2 + self.setup.columns]
        reach = np.where(self.free, self.setup.reach(), 0.0)
        low = np.concatenate([self.globals.lower, (own - reach).ravel()])
        return low, np.concatenate([self.globals.upper, (own + reach).ravel()])

    def strain(self, x: F64) -> F64:
        g = self.globals.geometry(x[: self.g])
        return point_strain(self.points, self.rings, g, self.corrections(x))

    def linearised(self, x: F64) -> tuple[F64, F64]:
        """Strain (n,) and its derivatives (n, g + m): globals, then the point's own panel's."""
        g = self.globals.geometry(x[: self.g])
        tangent = np.tan(self.rings.two_theta_rad[self.points.ring])
        radius, _, full = ring_jacobian(
            self.points.fast_px, self.points.slow_px, self.points.panel.astype(np.int32), g,
            self.corrections(x),
        )  # fmt: skip
        own = [JACOBIAN_FIELDS.index(f) for f in self.setup.fields]
        jacobian = np.hstack([self.globals.chain(x[: self.g], full), full[:, own]])
        jacobian = -jacobian / (g[0] * tangent)[:, None]
        if "lsd_mm" in self.globals.names:
            column = self.globals.names.index("lsd_mm")
            jacobian[:, column] += radius / (g[0] * g[0] * tangent)
        return 1.0 - radius / (g[0] * tangent), jacobian

    def normal(self, x: F64, weight: F64, precision: F64, rows: F64) -> Bordered:
        """Arrow-shaped normal equations, priors included."""
        g, m = self.g, len(self.setup.fields)
        strain, jacobian = self.linearised(x)
        sums = accumulate_blocks(strain, jacobian, weight, self.first)
        cost, gradient = float(np.sum(sums[:, 0, 0])), np.sum(sums[:, 1 : 1 + g, 0], axis=0)
        border = np.sum(sums[:, 1 : 1 + g, 1 : 1 + g], axis=0)
        cross = sums[:, 1 : 1 + g, 1 + g :].copy()
        blocks, slopes = sums[:, 1 + g :, 1 + g :].copy(), sums[:, 1 + g :, 0].copy()
        own = x[g:].reshape(self.p, m)
        cost += float(np.sum(precision * own * own))
        np.einsum("pii->pi", blocks)[...] += precision
        slopes += precision * own
        n = int(np.count_nonzero(weight))
        down = np.concatenate([gradient, slopes.ravel()])
        return Bordered(cost, down, n, border, cross, blocks, rows)


def fit_panels(
    points: RingPoints,
    rings: Rings,
    p: Parameters,
    setup: PanelSetup,
    *,
    clip_sigma: float = CLIP_SIGMA,
    emphasis: F64 | None = None,
    before: PanelSolution | None = None,
    tau: float | None = None,
) -> GeometryFit:
    """Fit a geometry and its panels to ring points.

    Parameters
    ----------
    points
        ``panel`` numbers the panels of the model; points with ``used`` False never come in.
    rings
        The calibrant's.
    p
        Global parameters to refine, and from where; the model has the panels, and the
        corrections to start from.
    setup
        What the panels may do.
    clip_sigma
        Iterated outlier rule, in units of a point's own standard deviation.
    emphasis
        (n,) factors on the points' weights; None for none.
    before
        Solution of the last pass: what is held stays held, widths start from there.
    tau
        Start of the unexplained spread [strain]; None: from the residuals.

    Returns
    -------
    GeometryFit
        Its ``fit`` is that of the global parameters, ``panels`` the rest; the model of its
        ``parameters`` has the new corrections.

    Raises
    ------
    ConfigError
        The model has no panels, or points lie on panels that it does not have.
    """
    boxes = p.model.panel_boxes
    if boxes is None:
        raise ConfigError("panels cannot be refined: the detector has none")
    if len(points) and int(points.panel.max()) >= len(boxes):
        raise ConfigError(
            f"ring points lie on panel {int(points.panel.max())}: the detector has {len(boxes)}"
        )
    order = np.argsort(points.panel, kind="stable")
    back = np.argsort(order, kind="stable")
    ordered = points.select(order)
    first = np.searchsorted(ordered.panel, np.arange(len(boxes) + 1))
    free = np.ones((len(boxes), len(setup.fields)), dtype=bool)
    problem = _Problem(ordered, rings, p, setup, first, free)
    boost = np.ones(len(points)) if emphasis is None else emphasis[order]
    state = _State(problem, boost, clip_sigma, before, tau)
    state.run()
    return state.result(back)


class _State:
    """Turns of fit, unexplained spread, outlier weights and widths of the priors."""

    def __init__(
        self,
        problem: _Problem,
        boost: F64,
        clip_sigma: float,
        before: PanelSolution | None,
        tau: float | None,
    ) -> None:
        self.boost, self.clip_sigma = boost, clip_sigma
        points = problem.points
        self.sigma, self.coverage = strain_sigma(points), points.coverage
        self.keep = points.used.astype(np.float64)
        self.stated = problem.setup.stated()
        self.widths = dict(self.stated if before is None else before.widths)
        x = problem.start()
        strain = problem.strain(x)
        if tau is None:
            middle = np.median(strain[points.used]) if np.any(points.used) else 0.0
            tau = 1.4826 * float(np.median(np.abs(strain - middle)[points.used]))
        self.tau, self.design = tau, 1.0
        self.x = x
        ring = problem.points.ring
        self.group = problem.points.panel * (int(ring.max(initial=0)) + 1) + ring
        self.counts = _counts(problem, self.keep)
        held = np.zeros(problem.free.shape, dtype=bool) if before is None else before.held
        held = held | (self.counts < max(problem.setup.min_points, 1))[:, None]
        self.problem = replace(problem, free=~held)
        self.fit: FitResult | None = None
        self.gauge: tuple[str, ...] = ()
        self.variance = np.zeros(held.shape)

    def weight(self) -> F64:
        spread = self.sigma * self.sigma + self.tau * self.tau / self.coverage
        return np.asarray(self.keep * self.boost / (spread * self.design))

    def precision(self) -> F64:
        """(m,) of the priors."""
        return 1.0 / self.problem.setup.spread(self.widths) ** 2

    def run(self) -> None:
        """Settle, hold what the points turn out not to determine, and settle again."""
        self._settle()
        held = self._undetermined()
        if np.any(held & self.problem.free):
            self.problem = replace(self.problem, free=self.problem.free & ~held)
            own = self.x[self.problem.g :].reshape(held.shape)
            own[held] = self.problem.start()[self.problem.g :].reshape(held.shape)[held]
            self._settle()
        self._minimise(full=True)

    def _settle(self) -> None:
        for _ in range(OUTER):
            before = np.array([self.tau, self.design, *self.widths.values()])
            kept = self.keep
            self._minimise(full=False)
            self._reweight()
            after = np.array([self.tau, self.design, *self.widths.values()])
            change = np.max(np.abs(after - before) / np.maximum(before, 1e-300))
            if change < SETTLED and np.max(np.abs(self.keep - kept), initial=0.0) < 1e-4:
                return

    def _minimise(self, full: bool) -> None:
        problem, weight, precision = self.problem, self.weight(), self.precision()
        none = np.zeros((0, problem.p, len(problem.setup.fields)))
        bare = problem.normal(self.x, weight, np.zeros_like(precision), none)
        rows, self.gauge = gauge(problem.globals, problem.setup, problem.free, bare.cross)
        start = _onto(self.x, problem.g, np.where(problem.free, rows, 0.0))
        low, high = problem.bounds()

        def call(x: F64) -> Bordered:
            if not problem.globals.geometry(x[: problem.g])[0] > 0.0:
                return replace(bare, cost=np.inf)
            return problem.normal(x, weight, precision, rows)

        self.fit = levenberg_marquardt(
            call,
            start,
            problem.names,
            lower=low,
            upper=high,
            covariance=full,
            damping=1e-9,
        )
        self.x = self.fit.x
        normal = call(self.x)
        use = np.concatenate([np.ones(problem.g, dtype=bool), problem.free.ravel()])
        use &= ~np.isin(problem.names, (*self.fit.undetermined, *self.fit.at_bound))
        self.variance = normal.variances(use)

    def _reweight(self) -> None:
        """Spread that the fit errors do not explain, taper of outliers, widths of the priors."""
        problem = self.problem
        strain = problem.strain(self.x)
        m = self.variance
        precision = self.precision()
        absorbed = float(np.sum(problem.free * (1.0 - precision * m))) + problem.g
        self.tau = unexplained(strain, self.sigma, self.coverage, self.keep, absorbed)
        spread = np.sqrt(self.sigma**2 + self.tau**2 / self.coverage)
        distance = np.abs(strain) / (self.clip_sigma * spread)
        self.keep = np.where(problem.points.used, taper(distance), 0.0)
        together = np.bincount(self.group, self.keep * strain / spread)
        self.design = max(float(np.sum(together**2) / max(np.sum(self.keep**2), 1.0)), 1.0)
        if problem.setup.learn:
            self.widths = self._learnt()

    def _learnt(self) -> dict[str, float]:
        """Next widths: the expected squares of what is free, and the stated ones."""
        problem, out, at = self.problem, {}, 0
        own = self.x[problem.g :].reshape(problem.free.shape)
        square = np.where(problem.free, own * own + self.variance, 0.0)
        for group in problem.setup.groups:
            here = slice(at, at + len(PANEL_GROUPS[group]))
            at = here.stop
            n, s0 = float(np.count_nonzero(problem.free[:, here])), self.stated[group]
            if not np.isfinite(s0):
                out[group] = s0
                continue
            total = PSEUDO_PANELS * s0 * s0 + float(np.sum(square[:, here]))
            out[group] = float(np.sqrt(total / (PSEUDO_PANELS + n)))
        return out

    def _undetermined(self) -> NDArray[np.bool_]:
        """(p, m) what a panel's points do not determine, were all else known."""
        problem, setup = self.problem, self.problem.setup
        none = np.zeros((0, problem.p, len(setup.fields)))
        bare = problem.normal(self.x, self.weight(), np.zeros(len(setup.fields)), none)
        # without a prior anything would be welcome: then a metre of the parameter's own kind
        wide = setup.spread({g: min(v, 1e3) for g, v in self.stated.items()})
        information = bare.blocks * np.outer(wide, wide)
        left = np.linalg.inv(information + np.eye(len(wide)))
        return np.asarray(np.einsum("pii->pi", left) > 1.0 - DETERMINED)

    def _reasons(self) -> tuple[str, ...]:
        held = ~self.problem.free
        few = self.counts < max(self.problem.setup.min_points, 1)
        return tuple(
            _reason(int(i), int(self.counts[i]), held[i], few[i], self.problem)
            for i in np.flatnonzero(np.any(held, axis=1))
        )

    def result(self, back: I64) -> GeometryFit:
        problem, fit = self.problem, self.fit
        assert fit is not None
        g, weight = problem.g, self.weight()
        table = problem.corrections(self.x)
        sigma = np.zeros((problem.p, 7))
        sigma[:, problem.setup.columns] = np.sqrt(self.variance)
        solution = PanelSolution(
            corrections=table[:, 2:], sigma=sigma, setup=problem.setup, held=~problem.free,
            reasons=self._reasons(), widths=self.widths, gauge=self.gauge,
            points=_counts(problem, weight), design_effect=self.design, names=fit.names,
            covariance=fit.covariance,
        )  # fmt: skip
        own = tuple(name for name in fit.undetermined if name in problem.globals.names)
        bound = tuple(name for name in fit.at_bound if name in problem.globals.names)
        of_globals = replace(
            fit, names=problem.globals.names, x=fit.x[:g], covariance=fit.covariance[:g, :g],
            undetermined=own, at_bound=bound,
        )  # fmt: skip
        model = problem.globals.model.replace(panel_corrections=table[:, 2:])
        strain = problem.strain(self.x)
        return GeometryFit(
            of_globals, replace(problem.globals, model=model), strain[back], weight[back],
            (self.keep > 0.0)[back], self.tau, solution,
        )  # fmt: skip


def _counts(problem: _Problem, weight: F64) -> I64:
    """(p,) points of each panel that carry weight."""
    counts = [np.count_nonzero(weight[a:b]) for a, b in pairwise(problem.first)]
    return np.array(counts, dtype=np.int64)


def _onto(x: F64, g: int, rows: F64) -> F64:
    """Nearest x that meets the constraints."""
    if len(rows) == 0:
        return x
    flat = rows.reshape(len(rows), -1)
    scale = np.sqrt(np.einsum("qi,qi->q", flat, flat))
    flat = flat[scale > 0.0] / scale[scale > 0.0, None]
    gram = np.einsum("qi,ri->qr", flat, flat)
    off = np.linalg.lstsq(gram, np.einsum("qi,i->q", flat, x[g:]))[0]
    return np.concatenate([x[:g], x[g:] - np.einsum("qi,q->i", flat, off)])


def _reason(
    panel: int, count: int, held: NDArray[np.bool_], few: np.bool_, problem: _Problem
) -> str:
    """Why something of a panel is held, in words."""
    setup = problem.setup
    mine = slice(problem.first[panel], problem.first[panel + 1])
    used = problem.points.used[mine]
    rings = len(np.unique(problem.points.ring[mine][used]))
    if few:
        return f"panel {panel}: {count} ring points, fewer than {setup.min_points}: all of it held"
    names = [f for f, h in zip(setup.fields, held, strict=True) if h]
    what = "all of it" if len(names) == len(setup.fields) else ", ".join(names)
    eta = problem.points.eta_rad[mine][used]
    arc = float(np.degrees(np.ptp(np.unwrap(np.sort(eta))))) if len(eta) else 0.0
    return (
        f"panel {panel}: {count} points on {rings} ring{'s' if rings != 1 else ''} over "
        f"{arc:.0f} deg do not determine {what}: held"
    )


def held_names(solution: PanelSolution) -> Mapping[int, tuple[str, ...]]:
    """Panel to the names of its held fields."""
    fields = solution.setup.fields
    return {
        int(i): tuple(f for f, h in zip(fields, solution.held[i], strict=True) if h)
        for i in np.flatnonzero(np.any(solution.held, axis=1))
    }
