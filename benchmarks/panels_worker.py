"""One case of benchmarks/panels.py in a process of its own; prints one line of JSON.

    python benchmarks/panels_worker.py frame [--image FILE] [--threads 1] [--repeats 3]
    python benchmarks/panels_worker.py scale --panels 96

The geometry fit alone starts at the best single surface of the points of the last pass, with every
panel in place: all of its turns of weights, priors and outliers are in it, no peak extraction is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness import _once, measure
from powder_worker import BEAM_2M, PILATUS2M, geometry_of, timing
from process import imports_counted, peak_memory_mb

SHIFTS = {"panels_grid": "pilatus2m-half", "panel_refine": ("shift",)}
"""48 half-modules x 2 numbers, and the 5 of the detector."""


def run_case(calibration: Callable[[], Any], repeats: int, fits: int) -> tuple[Any, dict[str, Any]]:
    """First call after the imports, peak memory, repeats, and the geometry fit alone."""
    before = time.process_time()
    import refimpl.powder.calibrate  # noqa: F401

    imports = time.process_time() - before
    kept: list[Any] = []
    with imports_counted() as late:
        first = _once(lambda: kept.append(calibration()), 1, 0.0)
    first = replace(first, cpu_s=first.cpu_s - late[0])
    memory = peak_memory_mb()
    result = kept[0]
    out: dict[str, Any] = {
        "imports_cpu": imports + late[0], "first": timing(first), "memory_mb": memory,
        "stages": dict(result.cpu_timing), "n_points": int(result.points.used.sum()),
        "passes": len(result.iterations), "converged": result.converged,
        "parameters": len(result.panels.correlation_names), "model": geometry_of(result.model),
        "held": len(result.panels.reasons),
    }  # fmt: skip
    if repeats:
        out["repeats"] = timing(measure(calibration, repeats, attempts=2))
    if fits:
        out["fit"] = timing(measure(geometry_fit(result)[0], fits, attempts=2))
    return result, out


def geometry_fit(result: Any) -> tuple[Callable[[], Any], Any]:
    """Joint fit on the points of a result, from the best single surface; and that surface."""
    from refimpl.powder.panel_passes import panel_setup
    from refimpl.powder.panels import fit_panels
    from refimpl.powder.parameters import parameters
    from refimpl.powder.refine import fit_geometry

    c = result.config.calibrate
    flat = result.model.replace(panel_boxes=None, panel_corrections=None)
    free = parameters(flat, c.refine, c.tolerances)
    single = fit_geometry(result.points, result.rings, free)
    surface = single.parameters.at(single.fit.x)
    cut = free.moved_to(surface.replace(panel_boxes=result.panels.boxes))
    setup = panel_setup(result.config)
    assert setup is not None
    return lambda: fit_panels(result.points, result.rings, cut, setup), surface


def published(result: Any, attempts: int) -> dict[str, Any]:
    """The published Nelder-Mead on the same points from the same single surface."""
    from refimpl.powder.published_options import PublishedOptions
    from refimpl.powder.published_panel_options import PanelOptions
    from refimpl.powder.published_panels import fit_published_panels, panel_strain_of
    from refimpl.powder.published_points import PublishedPoints

    ours, surface = geometry_fit(result)
    p = result.points.select(result.points.used)
    points = PublishedPoints(
        ring=p.ring, two_theta_rad=result.rings.two_theta_rad[p.ring], eta_rad=p.eta_rad,
        radius_mm=result.model.lsd_mm * p.two_theta_rad, fast_px=p.fast_px, slow_px=p.slow_px,
        n_bins=len(p), evaluations=0,
    )  # fmt: skip
    panel = p.panel.astype("i4")
    start = surface.replace(panel_boxes=result.panels.boxes)
    # as the runs of the published program that docs/validation compares with: 1 px, no distortion
    options = PublishedOptions(tol_p0=0.0, tol_p1=0.0, tol_p2=0.0, tol_p3_deg=0.0)
    panels = PanelOptions(tol_shift_px=1.0)
    kept: list[Any] = []
    taken = measure(
        lambda: kept.append(fit_published_panels(points, panel, start, options, panels)),
        2, attempts=attempts,
    )  # fmt: skip
    model, evaluations, reason = kept[-1]
    fitted = ours()
    mine = fitted.parameters.model.with_geometry(fitted.parameters.geometry(fitted.fit.x))
    return {
        "published": timing(taken), "evaluations": evaluations, "reason": str(reason),
        "published_lsd_mm": model.lsd_mm, "lsd_mm": mine.lsd_mm,
        "points": len(points), "unknowns": 5 + 2 * (len(start.panel_boxes) - 1),
        "mean_strain": {
            name: float(abs(panel_strain_of(points, panel, m)).mean())
            for name, m in (("start", start), ("published", model), ("ours", mine))
        },
    }  # fmt: skip


def frame_case(image: str | None, repeats: int, threads: int | None) -> dict[str, Any]:
    """Pilatus 2M, 48 half-modules, in-plane shifts."""
    from refimpl import data

    def calibration() -> Any:
        from refimpl.powder.calibrate import calibrate

        path = image or str(data.path(PILATUS2M))
        return calibrate(path, threads=threads, **BEAM_2M, **SHIFTS)

    result, out = run_case(calibration, repeats, 5 if repeats else 0)
    out["cross_validated"] = asdict(result.cross_validated) if result.cross_validated else None
    if repeats:
        out["nelder_mead"] = published(result, attempts=2)
    return out


def scale_case(panels: int, repeats: int, threads: int | None) -> dict[str, Any]:
    """Simulated frame of so many panels, file to result once and geometry fit alone."""
    import tempfile

    from refimpl.forward.panel_scenes import scaling_scene
    from refimpl.testing.panel_recovery import write_grid

    scene = scaling_scene(panels)
    frame = scene.simulate()
    with tempfile.TemporaryDirectory() as folder:
        path = frame.save(Path(folder) / "frame.tif")
        grid = write_grid(scene.grid, Path(folder) / "grid.json")

        def calibration() -> Any:
            from refimpl.powder.calibrate import calibrate

            return calibrate(
                str(path), calibrant=scene.calibrant, panels_grid=str(grid), threads=threads,
                wavelength_angstrom=scene.arguments["wavelength_angstrom"], polarisation=0.95,
                pixel_size_mm=scene.model.pixel_size_mm,
                image_transform=scene.model.image_transform,
                panel_refine=("shift", "rotation", "height"),
            )  # fmt: skip

        return {"panels": panels, **run_case(calibration, 0, repeats)[1]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("case", choices=("frame", "scale"))
    parser.add_argument("--image", help="instead of the real frame")
    parser.add_argument("--panels", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    if options.case == "frame":
        out = frame_case(options.image, options.repeats, options.threads)
    else:
        out = scale_case(options.panels, options.repeats, options.threads)
    print(json.dumps(out, default=float))
    return 0


if __name__ == "__main__":
    sys.exit(main())
