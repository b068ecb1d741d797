"""Held to the kit: pyFAI, for pixels, through the .poni geometry that refimpl writes for them.

PYTHONPATH=validation/conformance/adapters refimpl conform --object pyfai_code
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pyFAI.detectors import Detector
from pyFAI.geometry import Geometry

from refimpl.detector.model import TiltedFlat
from refimpl.interop.pyfai import poni_from_tilted_flat


def geometry(given: dict[str, Any]) -> Geometry:
    """Geometry of pyFAI for a tilted plane; rows count upwards, as in the kit."""
    names = ("lsd_mm", "beam_fast_px", "beam_slow_px", "tx_rad", "ty_rad", "tz_rad")
    lsd, fast, slow, *tilts = (float(given[name]) for name in names)
    pixel = float(given["pixel_fast_mm"]), float(given["pixel_slow_mm"])
    model = TiltedFlat((1700, 1500), pixel, lsd, (fast, slow), tuple(tilts), image_transform=())
    poni = poni_from_tilted_flat(model)
    detector = Detector(poni.pixel1_m, poni.pixel2_m, max_shape=poni.shape, orientation=3)
    rotations = poni.rot1_rad, poni.rot2_rad, poni.rot3_rad
    return Geometry(poni.dist_m, poni.poni1_m, poni.poni2_m, *rotations, detector=detector)


def centred(given: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Pixel coordinates as pyFAI counts them: slow, then fast, from the first pixel's centre."""
    return given["slow_px"] - 0.5, given["fast_px"] - 0.5


def pixel_to_lab(**given: Any) -> dict[str, Any]:
    """t3, t1, t2 of pyFAI are our z, y, -x."""
    d1, d2 = centred(given)
    z, y, x = geometry(given).calc_pos_zyx(d1=d1, d2=d2)
    return {"x_mm": -1e3 * np.ravel(x), "y_mm": 1e3 * np.ravel(y), "z_mm": 1e3 * np.ravel(z)}


def two_theta_eta(**given: Any) -> dict[str, Any]:
    """Its chi grows the other way, from the side."""
    d1, d2 = centred(given)
    found = geometry(given)
    return {
        "two_theta_rad": found.tth(d1, d2, path="cos"),
        "eta_rad": 0.5 * np.pi - found.chi(d1, d2),
    }
