"""What refimpl does, as any user calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Task = tuple[Callable[[], Any], Callable[[Any], dict[str, Any]]]


def calibrate(given: dict[str, Any]) -> Task:
    """Calibrate a powder frame from no guess."""
    from refimpl.powder.calibrate import calibrate as calibrated

    def run() -> Any:
        return calibrated(
            given["image"], mask=given["mask"], calibrant=str(given["calibrant"]),
            lattice_parameter_angstrom=float(given["cell"][0]), image_transform=(),
            wavelength_angstrom=float(given["wavelength_angstrom"]), threads=given["threads"],
            pixel_size_mm=float(given["pixel_mm"]),
            polarisation=None if np.isnan(given["polarisation"]) else float(given["polarisation"]),
        )  # fmt: skip

    def unpack(found: Any) -> dict[str, Any]:
        model = found.model
        sigma = dict(zip(found.covariance_names, np.diag(found.covariance) ** 0.5, strict=True))
        return {
            "lsd_mm": model.lsd_mm, "beam_px": model.beam_centre_px, "tilts_rad": model.tilts_rad,
            "sigma_lsd_mm": sigma["lsd_mm"], "own": 1e6 * found.summary.mean_all,
            "points": len(found.points),
        }  # fmt: skip

    return run, unpack


def distl_listing(given: dict[str, Any]) -> tuple[Any, Any]:
    """List one still as distl does; without the file's name."""
    from refimpl.imaging.distl import FlatDetector, count_spots

    pixel = 1000 * 172e-6
    fast, slow = given["beam_px"].tolist()
    detector = FlatDetector(
        given["image"].shape, pixel, float(given["lsd_mm"]), float(given["wavelength_angstrom"]),
        (fast * pixel, slow * pixel),
    )  # fmt: skip

    def run() -> Any:
        return count_spots(given["image"], detector, overload=int(given["overload"]),
                           threads=int(given["threads"]))  # fmt: skip

    return run, lambda found: {"lines": np.array(found.listing("").splitlines()[1:12])}


def index(given: dict[str, Any]) -> Task:
    """Fourier vectors, candidates, macro-cycles of refinement; beam and detector refined too."""
    from refimpl.io.reflection_table import STRONG, ReflectionTable
    from refimpl.metrology.indexing import IndexSettings
    from refimpl.metrology.indexing import index as indexed
    from refimpl.testing.lattice_spots import small_experiment

    spots = ReflectionTable({
        "panel": given["panel"], "xyzobs.px.value": given["px"],
        "xyzobs.px.variance": given["variance"],
        "flags": np.full(len(given["panel"]), STRONG, dtype=np.uint64),
    })  # fmt: skip
    experiment = small_experiment(float(given["degrees"]))
    settings = IndexSettings(unit_cell=tuple(given["cell"]), max_lattices=int(given["n"]))

    def run() -> Any:
        return indexed((experiment,), spots, settings, threads=given["threads"])

    def unpack(found: Any) -> dict[str, Any]:
        return {"bases": [e.crystal.real_space for e in found.experiments]}

    return run, unpack
