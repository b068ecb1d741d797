"""24 modules of the Pilatus 2M frame against HEXRD's composite of six numbers a module."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from panel_places import Agreement, RingPlaces, places_of
from panel_tables import FLAGGED, FRAME, SETTINGS, listed, markdown

from refimpl import data
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_boxes import published_order
from refimpl.detector.panel_grid import named_grid
from refimpl.frames import F64, I64
from refimpl.interop.hexrd import detector_from_hexrd, read_hexrd
from refimpl.interop.panels import tilted_flat_from_panels
from refimpl.powder import PowderResult, calibrate
from refimpl.powder.observations import RingPoints
from refimpl.powder.panel_patches import SPLITS, held_out_score, panel_points, split_labels
from refimpl.powder.panel_setup import PanelSetup
from refimpl.powder.panels import fit_panels
from refimpl.powder.parameters import parameters
from refimpl.units import MICROSTRAIN

__all__ = ["against_hexrd", "modules", "modules_tables"]


def hexrd_composite() -> tuple[TiltedFlat, F64]:
    """HEXRD's 24 panels as one model, and where our module i stands in it."""
    instrument = read_hexrd(data.path(f"{FRAME}/geometry_24panels.json"))
    origins = {}
    for panel in instrument.panels:
        row, column = (int(n) for n in panel.name.split("_")[-2:])
        origins[panel.name] = (494 * column, 212 * row)
    model = tilted_flat_from_panels(detector_from_hexrd(instrument, (1679, 1475), origins))
    return model, published_order(model.panel_boxes)


def against_hexrd(result: PowderResult, *, tilts: bool = True) -> tuple[RingPlaces, F64, F64, F64]:
    """Places, our displacements of 24 modules with uncertainties, and HEXRD's."""
    composite, order = hexrd_composite()
    places = places_of(result.points, result.model, tilts=tilts)
    theirs = places.radial(composite, order[places.points.panel])
    return places, places.radial(result.model), places.sigma(result.fit), theirs


def modules(**choice: object) -> PowderResult:
    """24 modules of the frame, in bins of a degree."""
    return calibrate(data.path(FRAME), **SETTINGS, panels_grid="pilatus2m", **choice)


def modules_tables() -> list[str]:
    """24 modules: everything refined, and shifts alone."""
    whole = modules()
    results = {"6 a module": whole, "shifts alone": modules(panel_refine=("shift",))}
    flagged = Agreement.of(*_displacements(whole)).beyond(FLAGGED)
    return [
        _summary(results),
        _by_module(results),
        _scores(whole, places_of(whole.points, whole.model).seen[flagged]),
        _choices(),
        _expansions(whole),
    ]


def _displacements(result: PowderResult) -> tuple[F64, F64, F64]:
    _, ours, sigma, theirs = against_hexrd(result)
    return ours, theirs, sigma


def _summary(results: dict[str, PowderResult]) -> str:
    rows = []
    for name, result in results.items():
        for tilts in (True, False):
            places, ours, sigma, theirs = against_hexrd(result, tilts=tilts)
            found = Agreement.of(ours, theirs, sigma)
            rows.append([
                name, "5, with tilts" if tilts else "3, without tilts", f"{found.correlation:.4f}",
                f"{found.rms:.4f}", f"{np.sqrt(np.mean(theirs**2)):.3f}",
                f"{np.median(sigma):.4f}", f"{found.rms_z:.2f}",
                listed(places.seen[found.beyond(FLAGGED)]),
            ])  # fmt: skip
    head = ["ours", "modes taken out", "correlation", "rms difference [px]", "rms of HEXRD's [px]",
            "our σ, median [px]", "rms of difference / σ", "beyond 3 σ"]  # fmt: skip
    return markdown("24 modules: radial displacement of the rings, ours and HEXRD's", head, rows)


def _by_module(results: dict[str, PowderResult]) -> str:
    found = [against_hexrd(r) for r in results.values()]
    rows = [
        [i, found[0][0].count()[k], f"{found[0][3][k]:+.3f}"]
        + [word for _, u, s, t in found
           for word in (f"{u[k]:+.3f} ± {s[k]:.3f}",
                        f"{t[k] - u[k]:+.3f} ({(t[k] - u[k]) / s[k]:+.1f} σ)")]
        for k, i in enumerate(found[0][0].seen)
    ]  # fmt: skip
    head = ["module", "points", "HEXRD"]
    head += [word for name in results for word in (name, "HEXRD − ours")]
    return markdown("The same, module by module [px]", head, rows)


def _strain(model: TiltedFlat, result: PowderResult, panel: I64) -> F64:
    """(n,) absolute strain of the points of a result at any geometry."""
    points = result.points
    radius, _ = model.ring_coordinates(points.fast_px, points.slow_px, panel.astype(np.int32))
    tangent = np.tan(result.rings.two_theta_rad[points.ring])
    return np.abs(1.0 - radius / (model.lsd_mm * tangent))


def _scores(result: PowderResult, flagged: I64) -> str:
    """Whether halves of the points agree within their errors, and who predicts the other half."""
    composite, order = hexrd_composite()
    points, places = result.points, places_of(result.points, result.model)
    free = result.fit.parameters.moved_to(result.model.replace(panel_corrections=None))
    assert result.fit.panels is not None
    theirs = _strain(composite, result, order[points.panel])
    rows = []
    for split in SPLITS:
        half, ours = split_labels(points, split), np.full(len(points), np.nan)
        found, sigma = [], []
        for h in (0, 1):
            fit = fit_panels(
                points.with_used(points.used & (half != h)), result.rings, free,
                result.fit.panels.setup,
            )  # fmt: skip
            model = fit.parameters.at(fit.fit.x)
            found.append(places.radial(model))
            sigma.append(places.sigma(fit))
            ours[half == h] = _strain(model, result, points.panel)[half == h]
        apart = found[0] - found[1]
        rows.append([
            split, f"{np.sqrt(np.mean(apart**2)):.4f}",
            f"{np.sqrt(np.mean((apart / np.hypot(*sigma)) ** 2)):.2f}",
            _pair(ours, theirs, points.used),
            *(_pair(ours, theirs, points.used & (points.panel == i)) for i in flagged),
        ])  # fmt: skip
    head = ["split", "halves differ, rms [px]", "rms of difference / σ", "held out, ours / HEXRD",
            *(f"module {i}" for i in flagged)]  # fmt: skip
    title = "6 a module: halves of the points, and mean strain of the half not fitted [µε]"
    return markdown(title, head, rows)


def _pair(ours: F64, theirs: F64, where: NDArray[np.bool_]) -> str:
    mine, other = (float(np.mean(v[where])) / MICROSTRAIN for v in (ours, theirs))
    return f"{mine:.0f} / {other:.0f}"


def _choices() -> str:
    """What each group of parameters is worth on points that were not fitted (panel1deg)."""
    flat = calibrate(data.path(FRAME), **(SETTINGS | {"eta_bin_deg": 2.0}))
    frame, boxes = flat.prepared.frame, named_grid("pilatus2m").boxes()
    points = panel_points(frame.counts, frame.usable != 0, flat.model, boxes, flat.rings)
    free = parameters(flat.model.replace(panel_boxes=boxes), ("distance", "beam_centre", "tilt"))
    everything = PanelSetup().refine
    choices = {
        ", ".join(refine): PanelSetup(refine=refine)
        for refine in (
            ("shift",), ("shift", "rotation"), ("shift", "height"), ("shift", "tilt"), everything,
        )
    }  # fmt: skip
    bare = dict.fromkeys(everything, np.inf)
    choices["all of these without priors"] = PanelSetup(priors=bare, learn=False)
    rows = []
    for name, setup in choices.items():

        def fit(some: RingPoints, setup: PanelSetup = setup) -> TiltedFlat:
            found = fit_panels(some, flat.rings, free, setup)
            return found.parameters.at(found.fit.x)

        scores = (
            held_out_score(points, flat.rings, fit, split_labels(points, split)) for split in SPLITS
        )
        rows.append([name, *(f"{s.mean_abs / MICROSTRAIN:.0f}" for s in scores)])
    title = (
        f"24 modules: mean strain [µε] of {len(points)} points at geometries fitted to the other "
        "half, no cut"
    )
    return markdown(title, ["refined", *SPLITS], rows)


def _expansions(whole: PowderResult) -> str:
    """Radial expansion of the shifts, and the distance that goes with it."""
    composite, _ = hexrd_composite()
    free = modules(panel_expansion="free")
    rows = []
    for name, result in (("ours", whole), ("ours, expansion free", free)):
        assert result.cross_validated is not None
        boxes, moves = result.model.panel_boxes, result.model.panel_corrections
        rows.append([
            name, *_expansion(boxes, moves, result.model.lsd_mm),
            f"{result.cross_validated.clip_mean / MICROSTRAIN:.1f}",
        ])  # fmt: skip
    boxes, moves = composite.panel_boxes, composite.panel_corrections
    rows.append(["HEXRD", *_expansion(boxes, moves, composite.lsd_mm), ""])
    head = ["", "expansion [ppm]", "distance, mean of the modules [mm]",
            "cross-validated, clipped [µε]"]  # fmt: skip
    return markdown("Expansion of the shifts, 6 a module", head, rows)


def _expansion(boxes: I64 | None, moves: F64 | None, lsd_mm: float) -> tuple[str, str]:
    assert boxes is not None
    assert moves is not None
    centre = 0.5 * (boxes[:, :2] + boxes[:, 2:]).astype(np.float64)
    arm = centre - centre.mean(axis=0)
    value = float(np.sum(arm * moves[:, :2]) / np.sum(arm * arm))
    return f"{value * 1e6:+.0f}", f"{lsd_mm + float(np.mean(moves[:, 3])):.3f}"
