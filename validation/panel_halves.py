"""48 half-modules of the Pilatus 2M frame against the published runs and a robust reference."""

from __future__ import annotations

import numpy as np
from panel_places import Agreement, RingPlaces, in_plane, in_plane_sigma, places_of
from panel_tables import FLAGGED, FRAME, SETTINGS, listed, markdown
from published_panel_runs import DETECTOR, PublishedPanels, read_run

from refimpl import data
from refimpl.detector.model import TiltedFlat
from refimpl.frames import F64
from refimpl.objective.pseudo_strain import strain_summary
from refimpl.powder import PowderResult, calibrate
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.panels import fit_panels
from refimpl.powder.refine import GeometryFit
from refimpl.units import MICROSTRAIN

__all__ = ["halves_tables"]

RUNS = {"D": "panels-it10", "E": "panels-full-it10"}


def refit(run: PublishedPanels, result: PowderResult) -> GeometryFit:
    """Our fit of the shifts, to the points that a published run wrote."""
    assert result.fit.panels is not None
    blank = result.model.replace(panel_corrections=None)
    free = result.fit.parameters.moved_to(blank)
    return fit_panels(run.points, run.rings, free, result.fit.panels.setup)


def halves_tables() -> list[str]:
    """48 half-modules, two shifts each, against everything that was published on them."""
    result = calibrate(
        data.path(FRAME), **SETTINGS, panels_grid="pilatus2m-half", panel_refine=("shift",)
    )
    boxes = result.model.panel_boxes
    assert boxes is not None
    places = places_of(result.points, result.model)
    ours, sigma = places.radial(result.model), places.sigma(result.fit)
    runs = {label: read_run(name, boxes) for label, name in RUNS.items()}
    moves = np.zeros((len(boxes), 7))
    moves[:, :2] = np.loadtxt(data.path("powder-golden/lm_gauge_panels.txt"))[:, 1:]
    others = {"reference": result.model.replace(panel_corrections=moves)}
    others |= {label: run.model for label, run in runs.items()}
    refits = {label: refit(run, result) for label, run in runs.items()}
    others |= {
        f"our fit, {label}'s points": f.parameters.at(f.fit.x) for label, f in refits.items()
    }
    radial = {name: places.radial(model) for name, model in others.items()}
    minima = {label: least(run) for label, run in runs.items()}
    return [
        _summary(result, places, ours, sigma, others, radial),
        _radial_table(places, ours, sigma, radial),
        _vector_table(result, places, others),
        _vectors(result, places, others, runs, minima),
        *(
            _why(run, label, places, ours, sigma, refits[label], minima[label])
            for label, run in runs.items()
        ),
        _facts(result, runs, refits),
    ]  # fmt: skip


def least(run: PublishedPanels) -> TiltedFlat:
    """Minimum of a run's objective with shifts and detector alone: fewer unknowns than it had."""
    panels = [int(i) for i in np.unique(run.points.panel) if i != run.fixed]
    moves = np.zeros_like(run.model.panel_corrections)
    moves[:, :2] = run.model.panel_corrections[:, :2]
    return run.minimum(run.model.replace(p=(0.0,) * 15, panel_corrections=moves), panels, DETECTOR)


def _summary(
    result: PowderResult, places: RingPlaces, ours: F64, sigma: F64,
    others: dict[str, TiltedFlat], radial: dict[str, F64],
) -> str:  # fmt: skip
    boxes, points = result.model.panel_boxes, places.points
    mine = in_plane(boxes, result.model.panel_corrections, places.seen)
    error = in_plane_sigma(boxes, result.fit, places.seen)
    shifts = places.of_shifts(result.model.panel_corrections)
    tangent = np.tan(result.rings.two_theta_rad[points.ring])
    rows = []
    for name, model in others.items():
        whole = Agreement.of(ours, radial[name], sigma)
        alone = Agreement.of(shifts, places.of_shifts(model.panel_corrections), sigma)
        apart = in_plane(boxes, model.panel_corrections, places.seen) - mine
        where = (points.fast_px, points.slow_px, points.panel.astype(np.int32))
        strain = 1.0 - model.ring_coordinates(*where)[0] / (model.lsd_mm * tangent)
        rows.append([
            name, f"{whole.correlation:.4f}", f"{whole.rms:.4f}", f"{whole.rms_z:.2f}",
            listed(places.seen[whole.beyond(FLAGGED)]),
            f"{alone.correlation:.3f}, {alone.rms:.3f}",
            f"{np.sqrt(np.mean(apart**2)):.3f}", f"{np.sqrt(np.mean((apart / error) ** 2)):.2f}",
            "" if name == "reference" else f"{strain_summary(strain).median / MICROSTRAIN:.1f}",
        ])  # fmt: skip
    head = ["against", "correlation", "rms difference [px]", "rms of difference / σ", "beyond 3 σ",
            "of the shifts alone: correlation, rms", "dY, dZ: rms difference [px]",
            "dY, dZ: rms of difference / σ", "median strain on our points [µε]"]  # fmt: skip
    own = f"{np.median(np.abs(result.strain[result.points.used])) / MICROSTRAIN:.1f}"
    title = (
        f"48 half-modules, radial displacement: ours (σ {np.median(sigma):.4f} px, dY and dZ "
        f"{np.median(error):.3f} px in the median; median strain {own} µε) and others'"
    )
    return markdown(title, head, rows)


def _radial_table(places: RingPlaces, ours: F64, sigma: F64, radial: dict[str, F64]) -> str:
    rows = [
        [i, places.count()[k], f"{ours[k]:+.3f} ± {sigma[k]:.3f}"]
        + [f"{u[k] - ours[k]:+.3f} ({(u[k] - ours[k]) / sigma[k]:+.1f} σ)" for u in radial.values()]
        for k, i in enumerate(places.seen)
    ]
    head = ["panel", "points", "ours", *(f"{name} − ours" for name in radial)]
    return markdown("Radial displacement, panel by panel [px]", head, rows)


def _vector_table(result: PowderResult, places: RingPlaces, others: dict[str, TiltedFlat]) -> str:
    boxes = result.model.panel_boxes
    mine = in_plane(boxes, result.model.panel_corrections, places.seen)
    error = in_plane_sigma(boxes, result.fit, places.seen)
    names = ["reference", *RUNS]
    theirs = [in_plane(boxes, others[n].panel_corrections, places.seen) for n in names]
    rows = [
        [i, *(f"{mine[k, c]:+.2f} ± {error[k, c]:.2f}" for c in (0, 1)),
         *(f"{t[k, 0]:+.2f}, {t[k, 1]:+.2f}" for t in theirs)]
        for k, i in enumerate(places.seen)
    ]  # fmt: skip
    head = ["panel", "ours: dY", "ours: dZ", *(f"{n}: dY, dZ" for n in names)]
    title = "Shifts with sums, net rotation and expansion of 0 [px]"
    return markdown(title, head, rows)


def _vectors(
    result: PowderResult, places: RingPlaces, others: dict[str, TiltedFlat],
    runs: dict[str, PublishedPanels], minima: dict[str, TiltedFlat],
) -> str:  # fmt: skip
    """Whole shifts: what the points, the priors, and the search for the minimum do to them."""
    boxes, seen = result.model.panel_boxes, places.seen
    bare = PanelSetup(refine=("shift",), priors={"shift": np.inf}, learn=False)
    assert result.fit.panels is not None
    usual = result.fit.panels.setup
    sets = {"ours": (result.points, result.rings)}
    sets |= {f"{label}'s": (run.points, run.rings) for label, run in runs.items()}
    free = result.fit.parameters.moved_to(result.model.replace(panel_corrections=None))
    cases = [("reference", others["reference"], "ours", usual)]
    cases += [
        ("reference", others["reference"], of, setup)
        for of, setup in (("ours", bare), ("D's", usual), ("D's", bare))
    ]
    for label, run in runs.items():
        cases.append((label, run.model, f"{label}'s", bare))
        cases.append((f"minimum of {label}'s objective", minima[label], f"{label}'s", bare))
    rows = []
    for name, model, of, setup in cases:
        fit = fit_panels(*sets[of], free, setup)
        assert fit.panels is not None
        apart = in_plane(boxes, model.panel_corrections, seen)
        apart = apart - in_plane(boxes, fit.panels.corrections, seen)
        z = apart / in_plane_sigma(boxes, fit, seen)
        rows.append([
            name, of, "yes" if setup is usual else "no", f"{np.sqrt(np.mean(apart**2)):.3f}",
            f"{np.sqrt(np.mean(z**2)):.2f}", listed(seen[np.any(np.abs(z) > FLAGGED, axis=1)]),
        ])  # fmt: skip
    head = ["shifts of", "against our fit of points", "with priors", "rms difference [px]",
            "rms of difference / σ", "beyond 3 σ"]  # fmt: skip
    return markdown("Whole shifts dY, dZ", head, rows)


def _why(
    run: PublishedPanels, label: str, places: RingPlaces, ours: F64, sigma: F64,
    own_fit: GeometryFit, best: TiltedFlat,
) -> str:  # fmt: skip
    """For every panel that differs: do the points, the objective, or the search for its minimum."""
    seen = places.seen
    z = {
        "run": (places.radial(run.model) - ours) / sigma,
        "squares": (places.radial(own_fit.parameters.at(own_fit.fit.x)) - ours) / sigma,
        "least": (places.radial(best) - ours) / sigma,
    }
    rows = []
    for k in np.flatnonzero(np.abs(z["run"]) > FLAGGED):
        i = int(seen[k])
        moved = run.minimum(run.model, [i], ())
        before, after = (run.strain_of(m, i) / MICROSTRAIN for m in (run.model, moved))
        rows.append([
            i, *(f"{z[name][k]:+.1f}" for name in z), f"{before:.0f} → {after:.0f}",
            f"{(places.radial(moved)[k] - ours[k]) / sigma[k]:+.1f}",
        ])  # fmt: skip
    less = run.objective(run.model), run.objective(best)
    title = (
        f"Run {label}, panels beyond 3 σ. Its objective stopped at {less[0] / MICROSTRAIN:.1f} µε; "
        f"with shifts and detector alone, no distortion, the minimum is {less[1] / MICROSTRAIN:.1f}"
    )
    head = ["panel", "run − ours [σ]", "our fit of its points [σ]", "minimum of its objective [σ]",
            "its strain when it alone is moved [µε]", "and then [σ]"]  # fmt: skip
    return markdown(title, head, rows)


def _facts(
    result: PowderResult, runs: dict[str, PublishedPanels], refits: dict[str, GeometryFit]
) -> str:
    """Distances, iterations, distortion, repetition: one row a run."""
    rows = []
    for label, run in runs.items():
        number, off = run.iteration_of_points()
        refitted = refits[label].parameters.at(refits[label].fit.x)
        flat = run.model.replace(p=(0.0,) * 15)
        where = (run.points.fast_px, run.points.slow_px, run.points.panel.astype(np.int32))
        bend = (run.model.ring_coordinates(*where)[0] - flat.ring_coordinates(*where)[0]) / 0.172
        repeated, again = run.lengths_of_repetition(), "–"
        if repeated is not None:
            apart = np.abs(repeated - np.hypot(*run.model.panel_corrections[:, :2].T))
            again = f"{np.median(apart):.3f}, {np.max(apart):.2f} (panel {np.argmax(apart)})"
        rows.append([
            label, f"{run.model.lsd_mm:.3f}", f"{refitted.lsd_mm:.3f}",
            f"{np.min(bend):+.2f} to {np.max(bend):+.2f}", f"{number} (to {off:.0e}°)", again,
        ])  # fmt: skip
    head = [
        "run",
        "Lsd [mm]",
        "Lsd of our fit of its points [mm]",
        "its distortion [px]",
        "iteration of its points",
        "lengths of shifts in a repetition: median, largest change",
    ]
    title = f"The published runs (ours: Lsd {result.model.lsd_mm:.3f} mm)"
    return markdown(title, head, rows)
