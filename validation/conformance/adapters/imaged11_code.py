"""Held to the kit: ImageD11, for its transform of peaks and its d-spacings.

PYTHONPATH=validation/conformance/adapters refimpl conform --object imaged11_code
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ImageD11 import transform
from ImageD11.unitcell import unitcell


def parameters(given: dict[str, Any]) -> dict[str, float]:
    """Same tilts as the kit's: Rx Ry Rz; x along the beam, z up; lengths in micrometres."""
    return {
        "y_center": float(given["beam_fast_px"]), "z_center": float(given["beam_slow_px"]),
        "y_size": 1e3 * float(given["pixel_fast_mm"]),
        "z_size": 1e3 * float(given["pixel_slow_mm"]), "distance": 1e3 * float(given["lsd_mm"]),
        "tilt_x": float(given["tx_rad"]), "tilt_y": float(given["ty_rad"]),
        "tilt_z": float(given["tz_rad"]), "o11": 1.0, "o12": 0.0, "o21": 0.0, "o22": -1.0,
    }  # fmt: skip


def pixel_to_lab(**given: Any) -> dict[str, Any]:
    """Frame of MIDAS, which lab X, Y, Z are the Y, Z, X of."""
    peaks = np.array([given["slow_px"], given["fast_px"]])
    z, x, y = 1e-3 * transform.compute_xyz_lab(peaks, **parameters(given))
    return {"x_mm": x, "y_mm": y, "z_mm": z}


def two_theta_eta(**given: Any) -> dict[str, Any]:
    """Both in degrees there."""
    peaks = np.array([given["slow_px"], given["fast_px"]])
    two_theta, eta = transform.compute_tth_eta(peaks, **parameters(given))
    return {"two_theta_rad": np.deg2rad(two_theta), "eta_rad": np.deg2rad(eta)}


def d_spacing(hkl: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """From 1/d of its unit cell."""
    lattice = unitcell(cell.tolist(), "P")
    return np.array([1.0 / lattice.ds(row) for row in hkl])
