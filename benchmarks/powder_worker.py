"""One case of benchmarks/powder.py in a process of its own; prints one line of JSON.

    python benchmarks/powder_worker.py CASE [--image FILE] [--repeats 5]

The first call is timed alone: it pays for cold memory and caches. What it imports late counts as
imports. The repeats are the cost where many images are calibrated in one process.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Timing, _once, measure
from process import imports_counted, peak_memory_mb

GEOMETRY = ("distance", "beam_centre", "tilt")
DISTORTION = (*GEOMETRY, "p0", "p1", "p2", "p3", "p4", "p5")
PILATUS2M = "pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5"
GE = "ge-ceria-hexrd/ge_wppf.h5"
PILATUS1M = "pilatus1m-ceria-cpf/CeO2_Pil207_E30_2Nov2016_001.tif"
CERIA = {"calibrant": "CeO2", "lattice_parameter_angstrom": 5.41153}
BEAM_2M = {**CERIA, "wavelength_angstrom": 0.20215155543, "pixel_size_mm": 0.172}
BEAM_GE = {**CERIA, "wavelength_angstrom": 0.1535883535871171, "pixel_size_mm": 0.2}
BEAM_1M = {**CERIA, "wavelength_angstrom": 0.40663, "pixel_size_mm": 0.172}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "pilatus2m": (PILATUS2M, BEAM_2M),
    "pilatus2m-distortion": (PILATUS2M, {**BEAM_2M, "refine": DISTORTION}),
    "pilatus2m-start": (PILATUS2M, BEAM_2M),
    "ge-distortion": (GE, {**BEAM_GE, "refine": DISTORTION}),
    "ge-start": (GE, BEAM_GE),
    "pilatus1m": (PILATUS1M, BEAM_1M),
    "pilatus1m-start": (PILATUS1M, BEAM_1M),
}

MEGAPIXELS = (0.5, 1.0, 2.0, 4.0)
ETA_BINS_DEG = (8.0, 4.0, 2.0, 1.0, 0.5)


def calibration(image: str, settings: dict[str, Any], threads: int | None) -> Callable[[], Any]:
    """File to converged result."""
    from refimpl.powder.calibrate import calibrate

    return lambda: calibrate(image, threads=threads, **settings)


def start_alone(image: str, settings: dict[str, Any], threads: int | None) -> Callable[[], Any]:
    """Return the automatic start on a frame that is in memory already."""
    from refimpl.crystal.calibrants import calibrant
    from refimpl.crystal.rings import rings
    from refimpl.powder.calibrate import WIDEST_ANGLE, automatic_start
    from refimpl.powder.config import config_from
    from refimpl.powder.prepare import prepare, read_source

    config = config_from(settings)
    everything = rings(
        calibrant(config.calibrant.calibrant, config.calibrant.lattice_parameter_angstrom),
        config.beam.wavelength_angstrom,
        WIDEST_ANGLE,
    )
    frame = prepare(read_source(image), config).frame
    return lambda: automatic_start(frame, everything, config, threads=threads)[0]


def one_case(name: str, image: str | None, repeats: int, threads: int | None) -> dict[str, Any]:
    """First call, repeats, peak memory, and the answer."""
    from refimpl import data

    relative, settings = CASES[name]
    path = image or str(data.path(relative))
    before = time.process_time()
    import refimpl.powder.calibrate  # noqa: F401

    imports = time.process_time() - before
    make = start_alone if name.endswith("-start") else calibration
    run = make(path, settings, threads)
    kept: list[Any] = []
    with imports_counted() as late:
        first = _once(lambda: kept.append(run()), 1, 0.0)
    first = replace(first, cpu_s=first.cpu_s - late[0])
    memory = peak_memory_mb()
    out: dict[str, Any] = {
        "imports_cpu": imports + late[0], "first": timing(first), "memory_mb": memory,
        "model": geometry_of(kept[0].model), "n_points": len(kept[0].points),
    }  # fmt: skip
    if hasattr(kept[0], "iterations"):
        out |= {
            "passes": len(kept[0].iterations),
            "converged": kept[0].converged,
            "mean_strain": kept[0].summary.mean_all,
            "first_stages": dict(kept[0].cpu_timing),
        }
        out["patches"] = patches(kept[0].model, kept[0].prepared.frame, kept[0].rings)
    if repeats:
        taken = measure(lambda: kept.__setitem__(0, run()), repeats, attempts=2)
        out["repeats"] = timing(taken)
        if hasattr(kept[0], "cpu_timing"):
            out["stages"] = dict(kept[0].cpu_timing)
    return out


def timing(taken: Timing) -> dict[str, Any]:
    return {
        "cpu": taken.cpu_s,
        "wall": taken.median_s,
        "other_cores": taken.other_cores,
        "quiet": taken.quotable,
    }


def geometry_of(model: Any) -> dict[str, Any]:
    return {
        "lsd_mm": model.lsd_mm,
        "beam_centre_px": list(model.beam_centre_px),
        "tilts_rad": list(model.tilts_rad),
    }


def patches(model: Any, frame: Any, found: Any) -> dict[str, float]:
    """Score a model by patch2deg, the same for every code."""
    from refimpl.powder.patches import score_maps

    score = score_maps(frame.counts, frame.usable != 0, *model.maps(), found)
    return {"mean_abs": score.mean_abs, "rms_px": score.rms_px, "n": len(score.strain)}


def score_poni(poni: dict[str, float], image: str | None) -> dict[str, Any]:
    """Score a geometry that pyFAI found on the Pilatus 2M frame."""
    from refimpl import data
    from refimpl.crystal.calibrants import calibrant
    from refimpl.crystal.rings import rings
    from refimpl.interop.pyfai import Poni, tilted_flat_from_poni
    from refimpl.powder.calibrate import reach
    from refimpl.powder.config import config_from
    from refimpl.powder.prepare import prepare, read_source

    path = image or str(data.path(PILATUS2M))
    source = read_source(path)
    pixel = 1e-3 * float(BEAM_2M["pixel_size_mm"])
    model = tilted_flat_from_poni(
        Poni(
            poni["dist"], poni["poni1"], poni["poni2"], poni["rot1"], poni["rot2"], poni["rot3"],
            pixel, pixel,
        ),
        source.data.shape,
    )  # fmt: skip
    config = config_from({**BEAM_2M, "image_transform": model.image_transform})
    found = rings(calibrant("CeO2", 5.41153), float(BEAM_2M["wavelength_angstrom"]), reach(model))
    frame = prepare(source, config).frame
    return {"patches": patches(model, frame, found), "model": geometry_of(model)}


def simulated_square(megapixels: float) -> tuple[Any, dict[str, Any]]:
    """The same rings on a detector of 250 mm a side, in more or fewer pixels."""
    from refimpl.crystal.calibrants import calibrant
    from refimpl.crystal.rings import rings
    from refimpl.detector.model import TiltedFlat
    from refimpl.forward.powder_image import simulate

    n = round(1000.0 * megapixels**0.5)
    pixel, wavelength = 250.0 / n, 0.20215155543
    model = TiltedFlat(
        (n, n), (pixel, pixel), 740.0, (0.51 * n, 0.48 * n), (0.0, 0.004, -0.003)
    )  # fmt: skip
    frame = simulate(
        model=model, rings=rings(calibrant("CeO2"), wavelength, 0.3),
        wavelength_angstrom=wavelength, fwhm_rad=1.2e-3, mixing=0.4, peak_counts=5000.0,
        background=100.0, seed=1,
    )  # fmt: skip
    settings = {
        "calibrant": "CeO2", "wavelength_angstrom": wavelength, "pixel_size_mm": pixel,
        "image_transform": model.image_transform,
    }  # fmt: skip
    return frame.image, settings


def scaling_row(image: Any, settings: dict[str, Any], repeats: int) -> dict[str, Any]:
    """CPU of the whole and of one pass of peak extraction, one thread."""
    from refimpl.powder.calibrate import calibrate

    kept: list[Any] = []
    per_pass: list[float] = []

    def run() -> None:
        result = calibrate(image, threads=1, **settings)
        kept[:] = [result]
        per_pass.append(result.cpu_timing["peaks"] / len(result.iterations))

    taken = measure(run, repeats, attempts=2)
    result = kept[0]
    return {
        "repeats": timing(taken),
        "passes": len(result.iterations),
        "n_points": len(result.points),
        "start_cpu": result.cpu_timing["automatic start"],
        "peaks_per_pass": sorted(per_pass)[len(per_pass) // 2],
    }


def scale_pixels(repeats: int) -> list[dict[str, Any]]:
    rows = []
    for size in MEGAPIXELS:
        image, settings = simulated_square(size)
        rows.append({"megapixels": image.size / 1e6, **scaling_row(image, settings, repeats)})
    return rows


def scale_bins(image: str | None, repeats: int) -> list[dict[str, Any]]:
    from refimpl import data

    path = image or str(data.path(PILATUS2M))
    return [
        {"eta_bin_deg": width, **scaling_row(path, {**BEAM_2M, "eta_bin_deg": width}, repeats)}
        for width in ETA_BINS_DEG
    ]


def simulate_frame(target: str) -> dict[str, Any]:
    """Write a simulated Pilatus 2M frame, for where the real one is not at hand."""
    from refimpl.forward.scenes import pilatus2m
    from refimpl.io.simulated_frame import save

    return {"image": str(save(pilatus2m().simulate(), Path(target)))}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    special = ("scale-pixels", "scale-bins", "simulate", "score-poni")
    parser.add_argument("case", choices=(*CASES, *special))
    parser.add_argument("--image", help="instead of the real frame; the target of 'simulate'")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--poni", help="JSON with pyFAI's six numbers")
    options = parser.parse_args()
    out: Any
    if options.case == "scale-pixels":
        out = scale_pixels(options.repeats)
    elif options.case == "scale-bins":
        out = scale_bins(options.image, options.repeats)
    elif options.case == "simulate":
        folder = options.image or tempfile.mkdtemp()
        out = simulate_frame(str(Path(folder) / "pilatus2m.tif"))
    elif options.case == "score-poni":
        out = score_poni(json.loads(options.poni), options.image)
    else:
        out = one_case(options.case, options.image, options.repeats, options.threads)
    print(json.dumps(out, default=float))
    return 0


if __name__ == "__main__":
    sys.exit(main())
