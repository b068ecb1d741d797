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

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.objective.least_squares import FitResult
from refimpl.powder.frame_residuals import FrameProblem
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_gauge import floated
from refimpl.powder.panel_problem import PanelProblem
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.panel_turns import Turns
from refimpl.powder.parameters import Parameters
from refimpl.powder.refine import CLIP_SIGMA, GeometryFit

__all__ = ["PanelSolution", "fit_panels", "frame_problem", "geometry_fits"]


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
        (p, m) refined fields that are held where they are on a panel.
    weak
        (p, m) fields of which a panel's points say next to nothing: their priors hold them.
    reasons
        A sentence for each panel that is held, or of which the points say nothing on some field:
        that is free, so that others which it goes with do not pretend, but its prior holds it.
    widths
        Group to the width of its prior as used.
    gauge
        A sentence a constraint.
    points
        (p,) points that carry weight.
    design_effect
        What the weights were divided by; of several frames, the largest.
    settled
        Whether weights, outliers and widths of the priors came to rest.
    names, covariance
        (k,), (k, k) of all parameters: the global ones, then ``3.d_fast_px`` panel by panel.
    """

    corrections: F64
    sigma: F64
    setup: PanelSetup
    held: NDArray[np.bool_]
    weak: NDArray[np.bool_]
    reasons: tuple[str, ...]
    widths: dict[str, float]
    gauge: tuple[str, ...]
    points: I64
    design_effect: float
    settled: bool
    names: tuple[str, ...]
    covariance: F64


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
    boost = np.ones(len(points)) if emphasis is None else emphasis
    frame, order = frame_problem(points, rings, p, np.arange(len(p)), np.zeros(len(p)))
    moves = p.model.corrections
    free = np.ones((len(moves), len(setup.fields)), dtype=bool)
    problem = PanelProblem(
        (frame,), p.names, p.start, p.lower, p.upper, setup, moves,
        free if before is None else ~before.held,
    )  # fmt: skip
    turns = Turns(
        floated(problem, setup), [boost[order]], clip_sigma,
        None if before is None else before.widths, None if tau is None else [tau],
    )  # fmt: skip
    turns.run()
    return geometry_fits(turns, [order])[0]


def frame_problem(
    points: RingPoints,
    rings: Rings,
    p: Parameters,
    at: I64,
    offset: F64,
    pixel: int = -1,
    wavelength: int = -1,
    pivot: tuple[float, float] | None = None,
) -> tuple[FrameProblem, I64]:
    """Points of a frame in the order of panels, for a problem with panels.

    Parameters
    ----------
    points, rings, p
        As of :func:`fit_panels`.
    at, offset, pixel, wavelength, pivot
        As of :class:`~refimpl.powder.panel_problem.FrameProblem`.

    Returns
    -------
    frame
        The problem's.
    order
        (n,) which of the points stands where in it.

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
    ordered = points.select(order)
    first = np.searchsorted(ordered.panel, np.arange(len(boxes) + 1))
    return FrameProblem(ordered, rings, p, first, at, offset, pixel, wavelength, pivot), order


def geometry_fits(turns: Turns, orders: list[I64]) -> list[GeometryFit]:
    """What the turns came to, frame by frame; the panels are those of all.

    Parameters
    ----------
    turns
        After :meth:`~refimpl.powder.panel_turns.Turns.run`.
    orders
        (n,) which of a frame's points stands where in its problem.
    """
    problem, fit = turns.problem, turns.fit
    assert fit is not None
    table = problem.corrections(turns.x)
    solution = None if problem.setup is None else _solution(turns, problem.setup, fit)
    out = []
    for frame, w, strain, order in zip(
        problem.frames, turns.frames, problem.strains(turns.x), orders, strict=True
    ):
        back = np.argsort(order, kind="stable")
        model = frame.globals.model
        if frame.pixel >= 0:
            model = model.with_geometry(frame.geometry(turns.x[: problem.g]))
        if problem.setup is not None:
            model = model.replace(panel_corrections=table[:, 2:])
        own = _of_frame(frame, fit, turns.x, problem.names)
        free = replace(frame.globals, model=model)
        weight, used = w.now()[back], (w.keep > 0.0)[back]
        out.append(GeometryFit(own, free, strain[back], weight, used, w.tau, solution))
    return out


def _of_frame(frame: FrameProblem, fit: FitResult, x: F64, names: tuple[str, ...]) -> FitResult:
    """Fit of a frame's own parameters."""
    own = dict(zip((names[i] for i in frame.at), frame.globals.names, strict=True))
    values = x[frame.at] + frame.offset
    covariance = fit.covariance[np.ix_(frame.at, frame.at)]
    if frame.pivot is not None and "lsd_mm" in frame.globals.names:
        g = len(names)
        values[frame.globals.names.index("lsd_mm")] = frame.geometry(x[:g])[0]
        by = frame.spread(x[:g])
        covariance = by @ fit.covariance[:g, :g] @ by.T
    return replace(
        fit, names=frame.globals.names, x=values, covariance=covariance,
        undetermined=tuple(own[name] for name in fit.undetermined if name in own),
        at_bound=tuple(own[name] for name in fit.at_bound if name in own),
    )  # fmt: skip


def _solution(turns: Turns, setup: PanelSetup, fit: FitResult) -> PanelSolution:
    problem = turns.problem
    sigma = np.zeros((problem.p, 7))
    sigma[:, setup.columns] = np.sqrt(np.maximum(turns.variance, 0.0))
    held = ~problem.free
    real = np.array([not name.startswith("floating[") for name in fit.names])
    return PanelSolution(
        corrections=problem.corrections(turns.x)[:, 2:], sigma=sigma, setup=setup, held=held,
        weak=turns.weak,
        reasons=tuple(
            _reason(int(i), int(turns.counts[i]), turns.weak[i], turns.few[i], problem, setup)
            for i in np.flatnonzero(turns.few | np.any(turns.weak, axis=1))
        ),
        widths=turns.widths, gauge=turns.gauge, points=turns.carrying(),
        design_effect=max(w.design for w in turns.frames), settled=turns.settled,
        names=tuple(name for name, keep in zip(fit.names, real, strict=True) if keep),
        covariance=fit.covariance[np.ix_(real, real)],
    )  # fmt: skip


def _reason(
    panel: int,
    count: int,
    held: NDArray[np.bool_],
    few: np.bool_,
    problem: PanelProblem,
    setup: PanelSetup,
) -> str:
    """Why something of a panel is held, or stands by its prior alone, in words."""
    if few:
        return f"panel {panel}: {count} ring points, fewer than {setup.min_points}: all of it held"
    names = [f for f, h in zip(setup.fields, held, strict=True) if h]
    what = "all of it" if len(names) == len(setup.fields) else ", ".join(names)
    rings, etas = 0, []
    for frame in problem.frames:
        mine = slice(frame.first[panel], frame.first[panel + 1])
        used = frame.points.used[mine]
        rings += len(np.unique(frame.points.ring[mine][used]))
        etas.append(frame.points.eta_rad[mine][used])
    eta = np.concatenate(etas)
    arc = float(np.degrees(np.ptp(np.unwrap(np.sort(eta))))) if len(eta) else 0.0
    return (
        f"panel {panel}: {count} points on {rings} ring{'s' if rings != 1 else ''} over "
        f"{arc:.0f} deg do not determine {what}: held by its prior"
    )


def held_names(solution: PanelSolution) -> Mapping[int, tuple[str, ...]]:
    """Panel to the names of its held fields."""
    fields = solution.setup.fields
    return {
        int(i): tuple(f for f, h in zip(fields, solution.held[i], strict=True) if h)
        for i in np.flatnonzero(np.any(solution.held, axis=1))
    }
