"""The second stage of a calibration: passes in which the panels are refined as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.frames import F64, I64
from refimpl.objective.pseudo_strain import strain_summary
from refimpl.powder.config import PowderConfig
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_result import PanelTable
from refimpl.powder.panel_setup import PANEL_GROUPS, PanelSetup
from refimpl.powder.panels import fit_panels
from refimpl.powder.parameters import Parameters
from refimpl.powder.passes import Passes, run_passes
from refimpl.powder.prepare import Prepared
from refimpl.powder.refine import GeometryFit, fit_geometry, fit_published, point_strain
from refimpl.powder.result import PowderResult

__all__ = ["add_panels", "expansion", "fit_surface", "halves", "panel_setup", "with_panels"]

SURE = 5.0
"""Standard uncertainties beyond which an expansion that the gauge forbids is spoken of."""

_UNSETTLED = (
    "Weights, outliers and widths of the panels' priors did not come to rest: the points say "
    "little of so many parameters. Refine fewer (panel_refine), or state the priors "
    "(panel_learn_priors = false)."
)


def panel_setup(config: PowderConfig) -> PanelSetup | None:
    """What the settings say of panels; None for one surface."""
    c = config.panels
    if c.panels_grid == "none":
        return None
    return PanelSetup(
        refine=c.panel_refine, priors=c.panel_priors, learn=c.panel_learn_priors,
        tolerances=c.panel_tolerances, min_points=c.min_indices,
        free_expansion=c.panel_expansion == "free",
    )  # fmt: skip


def emphasis(points: RingPoints, config: PowderConfig) -> F64 | None:
    """(n,) published factors on the weights (NormalizeRingWeights, WeightByRadius), mean 1."""
    c = config.calibrate
    if not (c.normalize_ring_weights or c.weight_by_radius):
        return None
    out = np.ones(len(points))
    if c.normalize_ring_weights:
        seen = np.bincount(points.ring, points.used)
        out /= np.maximum(seen[points.ring], 1.0)
    if c.weight_by_radius:
        out *= np.tan(points.two_theta_rad)
    return np.asarray(out / np.mean(out[points.used])) if np.any(points.used) else out


def fit_surface(
    points: RingPoints, found: Rings, free: Parameters, config: PowderConfig
) -> GeometryFit:
    """Fit the global parameters alone, as the settings say."""
    c = config.calibrate
    if c.objective == "published":
        return fit_published(points, found, free)
    return fit_geometry(
        points, found, free, clip_sigma=c.clip_sigma, solver=c.solver,
        emphasis=emphasis(points, config),
    )  # fmt: skip


def _fit_with_panels(
    points: RingPoints,
    found: Rings,
    free: Parameters,
    config: PowderConfig,
    setup: PanelSetup,
    last: GeometryFit | None,
) -> GeometryFit:
    return fit_panels(
        points, found, free, setup, clip_sigma=config.calibrate.clip_sigma,
        emphasis=emphasis(points, config),
        before=None if last is None else last.panels,
        tau=None if last is None else last.tau,
    )  # fmt: skip


def with_panels(
    single: Passes,
    prepared: Prepared,
    config: PowderConfig,
    found: Rings,
    free: Parameters,
    setup: PanelSetup,
    start: TiltedFlat | None,
    *,
    n_eta: int,
    stage: Callable[[str, int], None],
    threads: int | None,
) -> Passes:
    """Passes that begin at the best single surface and refine its panels.

    Corrections of the start geometry are where the panels begin, if they are the same panels.
    """
    boxes = prepared.frame.boxes
    moves = None
    if start is not None and start.panel_corrections is not None:
        same = start.panel_boxes is not None and np.array_equal(start.panel_boxes, boxes)
        moves = start.panel_corrections if same else None
    model = single.model.replace(panel_boxes=boxes, panel_corrections=moves)

    def fit(points: RingPoints, free: Parameters, last: GeometryFit | None) -> GeometryFit:
        return _fit_with_panels(points, found, free, config, setup, last)

    return run_passes(
        single.frame, config, found, free.moved_to(model), single.lines, fit,
        n_eta=n_eta, least_points=len(free) + 3, done=len(single.iterations), stage=stage,
        threads=threads,
    )  # fmt: skip


def halves(passes: Passes, found: Rings, config: PowderConfig, setup: PanelSetup | None) -> F64:
    """Strain of every used point at a geometry fitted to the other half of the azimuthal bins."""
    return held_out(passes, found, config, setup, passes.points.eta_bin % 2)


def held_out(
    passes: Passes, found: Rings, config: PowderConfig, setup: PanelSetup | None, half: I64
) -> F64:
    """(n,) strain of every used point at a geometry that was fitted to the points of other halves.

    Parameters
    ----------
    passes
        Points, and where the fits begin.
    found, config, setup
        Of the calibration.
    half
        (n,) which half a point belongs to.

    Returns
    -------
    (n,) NaN for points not used, and where a half cannot be fitted.
    """
    points, free = passes.points, passes.fit.parameters.moved_to(passes.model)
    out = np.full(len(points), np.nan)
    for h in np.unique(half):
        mine = points.used & (half != h)
        score = points.used & (half == h)
        if np.count_nonzero(mine) <= len(free) or not np.any(score):
            return np.full(len(points), np.nan)
        other = points.with_used(mine)
        if setup is None:
            fit = fit_surface(other, found, free, config)
        else:  # what is held, and the priors, are learnt anew: nothing of the other half
            cold = replace(free, model=free.model.replace(panel_corrections=None))
            fit = _fit_with_panels(other, found, cold, config, setup, None)
        model = fit.parameters.at(fit.fit.x)
        strain = point_strain(points, found, model.geometry, model.corrections)
        out[score] = strain[score]
    return out


def expansion(
    passes: Passes, found: Rings, config: PowderConfig
) -> tuple[float, float, float] | None:
    """Radial expansion that the rings would choose if it were free.

    Returns
    -------
    expansion, sigma, lsd_mm
        Shift away from the middle over the distance from it, its standard uncertainty, and the
        mean distance of the panels that goes with it; None where it is free already or shifts are
        not refined.
    """
    setup, solution = panel_setup(config), passes.fit.panels
    if setup is None or solution is None or setup.free_expansion or "shift" not in setup.refine:
        return None
    free = passes.fit.parameters.moved_to(passes.model)
    loose = _fit_with_panels(
        passes.points, found, free, config, replace(setup, free_expansion=True), passes.fit
    )
    assert loose.panels is not None
    boxes = np.asarray(passes.model.panel_boxes, dtype=np.float64)
    on = ~np.all(loose.panels.held[:, :2], axis=1)
    if np.count_nonzero(on) < 2:
        return None
    arm = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    arm = np.where(on[:, None], arm - arm[on].mean(axis=0), 0.0)
    size = float(np.sum(arm * arm))
    row = np.zeros(len(loose.panels.names))
    g, m = len(loose.fit.names), len(setup.fields)
    row[g + setup.fields.index("d_fast_px") :: m] = arm[:, 0] / size
    row[g + setup.fields.index("d_slow_px") :: m] = arm[:, 1] / size
    value = float(np.sum(arm * loose.panels.corrections[:, :2])) / size
    sigma = float(np.sqrt(np.maximum(row @ loose.panels.covariance @ row, 0.0)))
    height = float(np.mean(loose.panels.corrections[on, 3]))
    return value, sigma, loose.parameters.at(loose.fit.x).lsd_mm + height


def _said_of_expansion(found: tuple[float, float, float] | None) -> tuple[str, ...]:
    """Sentence for the reader where the rings contradict the gauge."""
    if found is None or not abs(found[0]) > SURE * found[1]:
        return ()
    value, sigma, lsd = found
    return (
        f"The slopes within panels ask for a radial expansion of all panels by {value * 1e6:.0f} "
        f"+- {sigma * 1e6:.0f} ppm (and the panels to a mean distance of {lsd:.3f} mm), which "
        "the gauge holds at 0: the panels "
        f"lie {'farther apart' if value > 0.0 else 'closer together'} than the grid says, or their "
        "slopes have a cause that is not refined. "
        "panel_expansion = free lets it go.",
    )


def add_panels(
    result: PowderResult, single: Passes, passes: Passes, halves_single: F64
) -> PowderResult:
    """Result with its panels, and with what the best single surface would have said."""
    solution = passes.fit.panels
    assert solution is not None
    surface = single.model.replace(panel_boxes=None, panel_corrections=None)
    before = point_strain(passes.points, result.rings, surface.geometry, surface.corrections)
    used = passes.fit.used
    fields = np.zeros((len(solution.held), 7), dtype=bool)
    fields[:, solution.setup.columns] = solution.held | solution.weak
    sigma = np.sqrt(np.maximum(np.diag(solution.covariance), 0.0))
    shown = sigma > 0.0
    safe = np.where(shown, sigma, 1.0)
    correlation = solution.covariance / np.outer(safe, safe)
    priors = {
        field: width
        for group, width in solution.widths.items()
        if np.isfinite(width)
        for field in PANEL_GROUPS[group]
    }
    boxes = passes.model.panel_boxes
    assert boxes is not None
    table = PanelTable(
        boxes=boxes,
        corrections=solution.corrections,
        sigma=solution.sigma,
        refined=solution.setup.fields,
        held=fields,
        reasons=solution.reasons,
        points=solution.points,
        strain=_by_panel(np.abs(result.strain), passes.points.panel, used, len(boxes)),
        strain_before=_by_panel(np.abs(before), passes.points.panel, used, len(boxes)),
        gauge=solution.gauge,
        priors=priors,
        global_names=passes.fit.fit.names,
        correlation_names=tuple(n for n, s in zip(solution.names, shown, strict=True) if s),
        correlation=correlation[np.ix_(shown, shown)],
    )
    other = halves_single[np.isfinite(halves_single)]
    return replace(
        result,
        panels=table,
        strain_before=before,
        cross_validated_single=strain_summary(other) if len(other) else None,
        iterations=(*single.iterations, *passes.iterations),
        warnings=(
            *(() if solution.settled else (_UNSETTLED,)),
            *_said_of_expansion(expansion(passes, result.rings, result.config)),
            *result.warnings,
        ),
    )


def _by_panel(values: F64, panel: I64, used: np.ndarray, n: int) -> F64:
    """(n,) mean of the used points of each panel; NaN where there is none."""
    count = np.bincount(panel, used, n)
    total = np.bincount(panel, np.where(used, values, 0.0), n)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count > 0, total / count, np.nan))
