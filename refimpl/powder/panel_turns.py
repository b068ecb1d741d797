"""Turns of fit, unexplained spread, outlier weights and widths of priors, until all stand still.

Every frame has an unexplained spread of its own, and a design effect: the points of a ring on a
panel of it err together (:mod:`refimpl.powder.panels`). The priors are those of all frames.
Where the problem lets them float, they say nothing of what all panels do together: the gauge that
the panels are stated in would otherwise move what the priors expect, and with it the answer.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import FitResult, Normal, levenberg_marquardt
from refimpl.powder.frame_residuals import FrameProblem
from refimpl.powder.panel_gauge import gauge
from refimpl.powder.panel_problem import PanelProblem
from refimpl.powder.panel_setup import PANEL_GROUPS, PanelSetup
from refimpl.powder.refine import strain_sigma, taper, unexplained

__all__ = ["Turns"]

PSEUDO_PANELS = 4.0
"""Panels that the stated width of a prior counts as, against those that were measured."""

DETERMINED = 0.05
"""Part of a parameter's stated variance that the points must take away; else it is named."""

OUTER, COARSE, SETTLED = 60, 1e-2, 1e-5
"""Turns of weights, spread and widths, and the relative changes at which they have settled: roughly
before points are judged, and in the end."""

STEPS = 20
"""Evaluations a turn: weights that are about to change need no more."""


class _Weights:
    """Weights of one frame's points: spread, design effect and outliers."""

    def __init__(self, frame: FrameProblem, boost: F64, strain: F64, tau: float | None) -> None:
        points = frame.points
        self.boost, self.used = boost, points.used
        self.sigma, self.coverage = strain_sigma(points), points.coverage
        self.keep = points.used.astype(np.float64)
        if tau is None:
            middle = np.median(strain[points.used]) if np.any(points.used) else 0.0
            seen = np.abs(strain - middle)[points.used]
            tau = 1.4826 * float(np.median(seen)) if len(seen) else 0.0
        self.tau, self.design = tau, 1.0
        self.group = points.panel * (int(points.ring.max(initial=0)) + 1) + points.ring

    def now(self) -> F64:
        """(n,) of the weighted squares."""
        spread = self.sigma * self.sigma + self.tau * self.tau / self.coverage
        return np.asarray(self.keep * self.boost / (spread * self.design))

    def renew(self, strain: F64, clip_sigma: float, absorbed: float) -> None:
        """From the residuals of a fit that spent so many parameters on these points."""
        self.tau = unexplained(strain, self.sigma, self.coverage, self.keep, absorbed)
        spread = np.sqrt(self.sigma**2 + self.tau**2 / self.coverage)
        distance = np.abs(strain) / (clip_sigma * spread)
        self.keep = np.where(self.used, taper(distance), 0.0)
        together = np.bincount(self.group, self.keep * strain / spread)
        self.design = max(float(np.sum(together**2) / max(np.sum(self.keep**2), 1.0)), 1.0)


class Turns:
    """State of a fit of a problem.

    Parameters
    ----------
    problem
        What is refined; its `free` is what may be.
    boosts
        (n,) factors on the weights of each frame's points.
    clip_sigma
        Iterated outlier rule, in units of a point's own standard deviation.
    widths
        Widths of the priors to start with; None: the stated ones.
    taus
        Start of each frame's unexplained spread [strain]; None: from the residuals.
    """

    def __init__(
        self,
        problem: PanelProblem,
        boosts: list[F64],
        clip_sigma: float,
        widths: dict[str, float] | None = None,
        taus: list[float] | None = None,
    ) -> None:
        self.clip_sigma = clip_sigma
        self.stated = {} if problem.setup is None else problem.setup.stated()
        self.widths = dict(self.stated if widths is None else widths)
        self.x = problem.first()
        strains = problem.strains(self.x)
        self.frames = [
            _Weights(frame, boosts[i], strains[i], None if taus is None else taus[i])
            for i, frame in enumerate(problem.frames)
        ]
        self.problem = problem
        self.counts = self.carrying()
        least = 0 if problem.setup is None else max(problem.setup.min_points, 1)
        self.few = self.counts < least
        self.problem = replace(problem, free=problem.free & ~self.few[:, None])
        self.fit: FitResult | None = None
        self.settled = False
        self.gauge: tuple[str, ...] = ()
        self.variance = np.zeros(problem.free.shape)
        self.square, self.loose = (np.zeros(problem.free.shape) for _ in range(2))
        self.spent = float(np.count_nonzero(problem.lower < problem.upper))
        self.weak = np.zeros(problem.free.shape, dtype=bool)

    def weights(self) -> list[F64]:
        """(n,) of each frame's points."""
        return [w.now() for w in self.frames]

    def carrying(self) -> I64:
        """(p,) points of each panel that carry weight, of all frames."""
        total = np.zeros(self.problem.p, dtype=np.int64)
        if self.problem.p == 0:
            return total
        for frame, weight in zip(self.problem.frames, self.weights(), strict=True):
            total += [np.count_nonzero(weight[a:b]) for a, b in pairwise(frame.first)]
        return total

    def precision(self) -> F64:
        """(m,) of the priors."""
        setup = self.problem.setup
        return np.zeros(0) if setup is None else 1.0 / setup.spread(self.widths) ** 2

    def run(self) -> None:
        """Settle, then find what the points did not determine."""
        self._settle()
        self.minimise(full=True)
        if self.problem.setup is not None:
            self.weak = self._undetermined(self.problem.setup) & ~self.few[:, None]

    def _scales(self) -> F64:
        spreads = [value for w in self.frames for value in (w.tau, w.design)]
        finite = [w for w in self.widths.values() if np.isfinite(w)]
        return np.array([*spreads, *finite])

    def _settle(self) -> None:
        """First with every point, then with the outlier rule, until nothing changes.

        A panel that starts far from where it is has points far off; were they judged before the
        fit has come to them they would be out, and nothing would ever bring the panel there.
        """
        for clip_sigma, enough in ((np.inf, COARSE), (self.clip_sigma, SETTLED)):
            self.settled = False
            for _ in range(OUTER):
                before, kept = self._scales(), [w.keep for w in self.frames]
                self.minimise(full=False)
                self._reweight(clip_sigma)
                after = self._scales()
                floor = np.maximum(before, 1e-300)
                change = np.max(np.abs(after - before) / floor, initial=0.0)
                moved = [
                    np.max(np.abs(w.keep - k), initial=0.0)
                    for w, k in zip(self.frames, kept, strict=True)
                ]
                self.settled = bool(change < enough and max(moved) < 10.0 * enough)
                if self.settled:
                    break

    def minimise(self, full: bool) -> None:
        """Fit at the present weights and widths; `full`: with the covariance of everything."""
        if self.problem.setup is None:
            self._minimise_border()
        else:
            self._minimise_all(self.problem.setup, full)

    def _minimise_border(self) -> None:
        problem, weights = self.problem, self.weights()

        def call(x: F64) -> Normal:
            if not problem.possible(x):
                return Normal(np.inf, np.zeros(problem.g), np.eye(problem.g), 0)
            return problem.dense(x, weights)

        self.fit = levenberg_marquardt(
            call, self.x, problem.names, lower=problem.lower, upper=problem.upper, damping=1e-9
        )
        self.x = self.fit.x

    def _minimise_all(self, setup: PanelSetup, full: bool) -> None:
        problem, weights, precision = self.problem, self.weights(), self.precision()
        bare = self.bare(problem, weights)
        rows, self.gauge = gauge(problem, setup, bare.cross)
        low, high = problem.bounds()
        start = np.clip(self._onto(rows, weights, precision), low, high)

        def call(x: F64) -> Bordered:
            if not problem.possible(x):
                return replace(bare, cost=np.inf)
            return problem.normal(x, weights, precision, rows)

        self.fit = levenberg_marquardt(
            call, start, problem.all_names, lower=low, upper=high, covariance=full, damping=1e-9,
            max_evaluations=200 if full else STEPS,
        )  # fmt: skip
        self.x = self.fit.x
        normal = call(self.x)
        use = np.concatenate([problem.lower < problem.upper, problem.free.ravel()])
        use &= ~np.isin(problem.all_names, (*self.fit.undetermined, *self.fit.at_bound))
        self.variance = normal.variances(use)
        self.square = problem.seen_by_priors(self.x) ** 2
        self.loose = loose = normal.variances(use, problem.along)
        # what the priors leave of all parameters, less one for each constraint: no gauge changes it
        self.spent = float(np.sum(problem.free * (1.0 - precision * loose)))
        self.spent += int(np.count_nonzero(problem.lower < problem.upper)) - len(rows)

    def _onto(self, rows: F64, weights: list[F64], precision: F64) -> F64:
        """Nearest x that meets the constraints, near in the metric of the data.

        Where a constraint only chooses among equals, this moves along what no ring sees; a
        projection in px, mm and rad alike would jump in whatever has the largest coefficient.
        """
        problem = self.problem
        here = problem.normal(self.x, weights, precision, rows)
        use = np.concatenate([problem.lower < problem.upper, problem.free.ravel()])
        weak, _ = here.weak(use)
        still = replace(here, gradient=np.zeros_like(here.gradient))
        return self.x + still.step(self.x, 0.0, use & ~weak)

    def bare(self, problem: PanelProblem, weights: list[F64]) -> Bordered:
        """Normal equations without priors and constraints."""
        m = len(problem.fields)
        return problem.normal(self.x, weights, np.zeros(m), np.zeros((0, problem.p, m)))

    def _reweight(self, clip_sigma: float) -> None:
        """Spreads, outliers, and widths of the priors, after a fit."""
        problem = self.problem
        kept = [float(np.sum(w.keep)) for w in self.frames]
        for w, n, strain in zip(self.frames, kept, problem.strains(self.x), strict=True):
            part = n / sum(kept) if sum(kept) > 0.0 else 1.0
            w.renew(strain, clip_sigma, self.spent * part)
        if problem.setup is not None and problem.setup.learn:
            self.widths = self._learnt(problem.setup)

    def _learnt(self, setup: PanelSetup) -> dict[str, float]:
        """Next widths: the squares of what is free over how many the points determined.

        Where nothing changes any more, the width squared is the mean of square plus variance, that
        of the stated panels among them: the maximum of the marginal likelihood. Counting what is
        determined (:cite:t:`mackay1992`, section 4) comes to the same place as
        averaging both, and in far fewer turns where the points determine little.
        """
        problem, out, at = self.problem, {}, 0
        for group in setup.groups:
            here = slice(at, at + len(PANEL_GROUPS[group]))
            at = here.stop
            s0, before = self.stated[group], self.widths[group]
            if not np.isfinite(s0):
                out[group] = s0
                continue
            free = problem.free[:, here]
            determined = np.clip(1.0 - self.loose[:, here] / before**2, 0.0, 1.0)
            total = PSEUDO_PANELS * s0 * s0 + float(np.sum(self.square[:, here][free]))
            out[group] = float(np.sqrt(total / (PSEUDO_PANELS + float(np.sum(determined[free])))))
        return out

    def _undetermined(self, setup: PanelSetup) -> NDArray[np.bool_]:
        """(p, m) what a panel's points do not determine, were all else known."""
        bare = self.bare(self.problem, self.weights())
        # without a prior anything would be welcome: then a metre of the parameter's own kind
        wide = setup.spread({g: min(v, 1e3) for g, v in self.stated.items()})
        information = bare.blocks * np.outer(wide, wide)
        left = np.linalg.inv(information + np.eye(len(wide)))
        return np.asarray(np.einsum("pii->pi", left) > 1.0 - DETERMINED)
