"""The joint fit of several frames on fixed points, and what it turns out to determine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import FitResult, Normal
from refimpl.powder.joint_border import FramePoints, Sharing, joint_problem
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_gauge import gauge
from refimpl.powder.panel_problem import PanelProblem
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.panel_turns import Turns
from refimpl.powder.panels import geometry_fits
from refimpl.powder.refine import CLIP_SIGMA, GeometryFit, clusters_of, jackknife, strain_sigma

__all__ = ["LEAST_KNOWN", "JointFit", "fit_joint", "forecast"]

LEAST_KNOWN = 1e-3
"""Relative standard uncertainty above which a pixel size or wavelength counts as not determined:
makers and monochromators know them better than that."""

HOPELESS = 0.03
"""The same before the first turn: the weights are not yet known, and beyond it a fit wanders."""


@dataclass(frozen=True, eq=False)
class JointFit:
    """Several frames fitted together, on fixed points.

    Attributes
    ----------
    frames
        Fit of each frame; ``panels`` is that of all.
    sharing
        What they have in common.
    names, x, covariance
        (g,), (g,), (g, g) of the border: ``lsd_mm[2]`` of the second frame, plain names of what is
        shared, and the candidates as logarithms.
    start
        (g,) where it began.
    active
        Candidates that are refined.
    dropped
        Candidates that were wanted and are not determined, held at 0.
    undetermined, at_bound
        Names of the border.
    clusters
        Groups of points that the covariance takes to err together; 0 if each errs alone.
    """

    frames: tuple[GeometryFit, ...]
    sharing: Sharing
    names: tuple[str, ...]
    x: F64
    covariance: F64
    start: F64
    active: tuple[str, ...]
    dropped: tuple[str, ...]
    undetermined: tuple[str, ...]
    at_bound: tuple[str, ...]
    clusters: int

    @property
    def sigma(self) -> F64:
        """(g,) standard uncertainties."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    @property
    def logarithms(self) -> dict[str, float]:
        """Candidate to the logarithm of its value over the given one."""
        return {name: float(self.x[self.names.index(name)]) for name in self.sharing.candidates}

    def uncertainty(self, name: str) -> float:
        """Relative standard uncertainty of a candidate; 0 if held."""
        return float(self.sigma[self.names.index(name)])


def fit_joint(
    frames: Sequence[FramePoints],
    sharing: Sharing,
    setup: PanelSetup | None = None,
    *,
    clip_sigma: float = CLIP_SIGMA,
    active: Sequence[str] | None = None,
    before: JointFit | None = None,
) -> JointFit:
    """Fit several frames of one detector together.

    A candidate that turns out not to be determined to :data:`LEAST_KNOWN` is held at its given
    value, the last wanted first, and the fit is made again without it: before anything moves, and
    again at the end.

    Parameters
    ----------
    frames
        Points, rings and parameters of each.
    sharing
        What they have in common.
    setup
        What the panels may do; None: one surface.
    clip_sigma
        As of :func:`refimpl.powder.refine.fit_geometry`.
    active
        Candidates to refine; None: those that the frames want, less those given up before.
    before
        Fit of the last pass: what is held stays held, widths and logarithms start from there. Of
        one surface: its logarithms alone.
    """
    stage = before if before is None or setup is None or before.frames[0].panels else None
    if active is None:
        active = [n for n in sharing.wanted if stage is None or n in stage.active]
    while True:
        turns, orders = _turns(frames, sharing, setup, active, clip_sigma, before, stage)
        start = _known_to(turns.problem, turns.x, turns.weights(), turns.precision(), active)
        if lost := _worst(start, active, HOPELESS):
            active = [n for n in active if n != lost]
            continue
        turns.run()
        if setup is None:
            turns.fit = _clustered(turns)
        fit = turns.fit
        assert fit is not None
        at = [fit.names.index(n) for n in active]
        sigma = {n: float(fit.sigma[i]) for n, i in zip(active, at, strict=True)}
        loose = {n: np.inf if n in fit.undetermined else sigma[n] for n in active}
        if lost := _worst(loose, active):
            active = [n for n in active if n != lost]
            continue
        return _result(turns, orders, sharing, tuple(active))


def _turns(
    frames: Sequence[FramePoints],
    sharing: Sharing,
    setup: PanelSetup | None,
    active: Sequence[str],
    clip_sigma: float,
    before: JointFit | None,
    stage: JointFit | None,
) -> tuple[Turns, list[I64]]:
    """Turns before the first, and the order of each frame's points."""
    panels = None if stage is None else stage.frames[0].panels
    problem, orders = joint_problem(
        frames, sharing, setup, active, {} if before is None else before.logarithms,
        None if panels is None else panels.held,
    )  # fmt: skip
    boosts = [
        np.ones(len(f.points)) if f.emphasis is None else f.emphasis[order]
        for f, order in zip(frames, orders, strict=True)
    ]
    widths = None if panels is None else panels.widths
    taus = None if stage is None else [f.tau for f in stage.frames]
    return Turns(problem, boosts, clip_sigma, widths, taus), orders


def _worst(
    loose: Mapping[str, float], active: Sequence[str], limit: float = LEAST_KNOWN
) -> str | None:
    """The candidate to give up: of those not determined, the last wanted."""
    lost = [name for name in active if not loose[name] < limit]
    return lost[-1] if lost else None


def _known_to(
    problem: PanelProblem, x: F64, weights: list[F64], precision: F64, names: Sequence[str]
) -> dict[str, float]:
    """Relative standard uncertainty of candidates, all refined together; inf: not determined.

    From the normal matrix at x, with the priors and the gauge. Where a set of candidates depends
    on each other, all of them are not determined: which one is found weak means nothing.
    """
    normal = _normal(problem, x, weights, precision)
    place = {name: problem.names.index(name) for name in names}
    use = np.ones(problem.g, dtype=bool)
    use[[i for i, name in enumerate(problem.names) if _is_candidate(name)]] = False
    use[list(place.values())] = True

    def weak(border: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return normal.weak(np.concatenate([border, problem.free.ravel()]))[0]

    lost = weak(use)
    good = np.concatenate([use, problem.free.ravel()]) & ~lost
    if isinstance(normal, Bordered):
        variance = normal.border_variances(good)
    else:
        variance = np.diag(normal.covariance(good))
    out = {}
    for name, i in place.items():
        without = use.copy()
        without[i] = False
        takes_part = np.sum(lost[: problem.g]) > np.sum(weak(without)[: problem.g])
        out[name] = np.inf if takes_part else float(np.sqrt(variance[i]))
    return out


def _is_candidate(name: str) -> bool:
    return name == "pixel_size" or name.startswith("wavelength[")


def _normal(problem: PanelProblem, x: F64, weights: list[F64], precision: F64) -> Bordered | Normal:
    if problem.setup is None:
        return problem.dense(x, weights)
    none = np.zeros((0, problem.p, len(problem.fields)))
    bare = problem.normal(x, weights, np.zeros_like(precision), none)
    rows, _ = gauge(problem, problem.setup, bare.cross)
    return problem.normal(x, weights, precision, rows)


def _clustered(turns: Turns) -> FitResult:
    """Fit whose covariance knows that the points of a panel err together, in all frames alike."""
    problem, fit = turns.problem, turns.fit
    assert fit is not None
    points = _all_points([f.points for f in problem.frames])
    used = np.concatenate([w.keep > 0.0 for w in turns.frames])
    # every frame sees every cluster: its own parameters are what they must outnumber
    clusters = clusters_of(points, used, max(len(f.columns) for f in problem.frames))
    sigma = np.concatenate([strain_sigma(f.points) for f in problem.frames])
    beyond = np.repeat([w.tau for w in turns.frames], [len(f.points) for f in problem.frames])
    if clusters is None or np.median(beyond[used]) <= np.median(sigma[used]):
        return fit
    strains, rows = [], []
    for frame in problem.frames:
        strain, jacobian = frame.linearised(turns.x, problem.moves, ())
        full = np.zeros((len(strain), problem.g))
        full[:, frame.columns] = jacobian
        strains.append(strain)
        rows.append(full)
    covariance = jackknife(
        np.concatenate(strains), np.vstack(rows), np.concatenate(turns.weights()), clusters,
        fit.sigma > 0.0,
    )  # fmt: skip
    return replace(fit, covariance=covariance, clusters=int(clusters.max()) + 1)


def _all_points(frames: Sequence[RingPoints]) -> RingPoints:
    columns = RingPoints.__annotations__
    return RingPoints(**{name: np.concatenate([getattr(f, name) for f in frames])
                         for name in columns})  # fmt: skip


def _result(turns: Turns, orders: list[I64], sharing: Sharing, active: tuple[str, ...]) -> JointFit:
    problem, fit = turns.problem, turns.fit
    assert fit is not None
    g = problem.g - (0 if problem.floating is None else len(problem.floating))
    own = problem.names[:g]
    return JointFit(
        frames=tuple(geometry_fits(turns, orders)), sharing=sharing, names=own,
        x=turns.x[:g], covariance=fit.covariance[:g, :g], start=problem.start[:g], active=active,
        dropped=tuple(n for n in sharing.wanted if n not in active),
        undetermined=tuple(n for n in fit.undetermined if n in own),
        at_bound=tuple(n for n in fit.at_bound if n in own), clusters=fit.clusters,
    )  # fmt: skip


def forecast(
    frames: Sequence[FramePoints], fit: JointFit, names: Sequence[str], *, travel: bool = True
) -> dict[str, float]:
    """Relative standard uncertainty that candidates have, or would have, all refined together.

    Parameters
    ----------
    frames
        Those of the fit.
    fit
        Where the derivatives are taken, and the weights from.
    names
        Candidates; ``inf`` is returned where they are not determined.
    travel
        Whether the given travel may be used.
    """
    panels = fit.frames[0].panels
    setup = None if panels is None else panels.setup
    moved = [
        replace(f, free=f.at(own.parameters.at(own.fit.x)))
        for f, own in zip(frames, fit.frames, strict=True)
    ]
    problem, orders = joint_problem(
        moved, fit.sharing if travel else replace(fit.sharing, travel_mm=None), setup,
        tuple(names), fit.logarithms, None if panels is None else panels.held,
    )  # fmt: skip
    weights = [own.weight[order] for own, order in zip(fit.frames, orders, strict=True)]
    precision = np.zeros(0) if panels is None else 1.0 / panels.setup.spread(panels.widths) ** 2
    return _known_to(problem, problem.first(), weights, precision, names)
