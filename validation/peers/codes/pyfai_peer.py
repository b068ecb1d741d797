"""What pyFAI does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Task = tuple[Callable[[], Any], Callable[[Any], dict[str, Any]]]

FIXED = ["wavelength", "rot3"]
NAMES = ("dist", "poni1", "poni2", "rot1", "rot2", "rot3")


def calibrate(given: dict[str, Any]) -> Task:
    """From a near start: extract control points, refine five times; both once more."""
    from pyFAI.calibrant import Calibrant
    from pyFAI.detectors import Detector
    from pyFAI.geometry import Geometry
    from pyFAI.goniometer import SingleGeometry

    image, pixel = given["image"], 1e-3 * float(given["pixel_mm"])
    wavelength_m = 1e-10 * float(given["wavelength_angstrom"])

    def run() -> Any:
        orientation = int(given["orientation"])
        detector = Detector(pixel, pixel, max_shape=image.shape, orientation=orientation)
        detector.mask = given["mask"]
        calibrant = Calibrant(dspacing=given["d_angstrom"].tolist(), wavelength=wavelength_m)
        numbers = dict(zip(NAMES, given["poni"].tolist(), strict=True))
        start = Geometry(detector=detector, wavelength=wavelength_m, **numbers)
        single = SingleGeometry(
            "frame", image, calibrant=calibrant, detector=detector, geometry=start
        )
        for _ in range(2):
            single.extract_cp(max_rings=len(given["d_angstrom"]), pts_per_deg=1.0)
            for _ in range(5):
                single.geometry_refinement.refine2(fix=FIXED)
        return single

    def unpack(single: Any) -> dict[str, Any]:
        found = single.geometry_refinement
        points = np.array(single.control_points.getList())
        expected = found.calc_2th(points[:, 2].astype(int), wavelength_m)
        off = found.tth(points[:, 0], points[:, 1]) - expected
        return {
            "poni": [float(getattr(found, name)) for name in NAMES],
            "own": 1e6 * np.abs(0.5 * off / np.tan(0.5 * expected)).mean(), "points": len(points),
        }  # fmt: skip

    return run, unpack
