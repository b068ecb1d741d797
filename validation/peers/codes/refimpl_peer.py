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
