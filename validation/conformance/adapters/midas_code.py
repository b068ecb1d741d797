"""Held to the kit: midas-calibrate and midas-hkls, for pixels with distortion and for rings.

PYTHONPATH=validation/conformance/adapters refimpl conform --object midas_code
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from midas_calibrate.geometry_torch import pixel_to_REta_torch
from midas_hkls.hkl_gen import generate_hkls
from midas_hkls.lattice import Lattice
from midas_hkls.space_group import SpaceGroup


def _number(value: Any) -> torch.Tensor:
    return torch.as_tensor(np.asarray(value, dtype=np.float64))


def two_theta_eta(**given: Any) -> dict[str, Any]:
    """Radius and eta of a pixel; MIDAS has one pixel size, so positions are in pixels of that."""
    size = float(given["pixel_fast_mm"])
    ratio = float(given["pixel_slow_mm"]) / size
    lsd_um = 1e3 * float(given["lsd_mm"])
    radius_px, eta_deg = pixel_to_REta_torch(
        _number(given["fast_px"]), _number(given["slow_px"] * ratio), Lsd=_number(lsd_um),
        BC_y=_number(given["beam_fast_px"]), BC_z=_number(given["beam_slow_px"] * ratio),
        **{key: _number(np.rad2deg(given[f"{key}_rad"])) for key in ("tx", "ty", "tz")},
        p_coeffs=_number(given.get("p", np.zeros(15))),
        parallax=_number(1e3 * given.get("parallax_mm", 0.0)), px=_number(1e3 * size),
        rho_d=_number(1e3 * given.get("rho_d_mm", 1.0)),
    )  # fmt: skip
    return {
        "two_theta_rad": np.arctan(radius_px.numpy() * 1e3 * size / lsd_um),
        "eta_rad": np.deg2rad(eta_deg.numpy()),
    }


two_theta_eta_distorted = two_theta_eta_parallax = two_theta_eta


def d_spacing(hkl: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Of its lattice."""
    lattice = Lattice(*cell.tolist())
    return np.array([lattice.d_spacing(*row) for row in hkl.tolist()])


def ring_radii(
    cell: np.ndarray,
    space_group: Any,
    wavelength_angstrom: Any,
    two_theta_max_rad: Any,
    lsd_mm: Any,
) -> dict[str, Any]:
    """Reflections of midas-hkls, joined to rings as the kit does; both Friedel mates are planes."""
    least = wavelength_angstrom / (2.0 * np.sin(0.5 * two_theta_max_rad)) * (1.0 - 1e-12)
    group = SpaceGroup.from_number(int(space_group))
    found = generate_hkls(group, Lattice(*cell.tolist()), d_min=float(least))
    d = np.array([r.d_spacing for r in found])
    planes = np.array([r.multiplicity for r in found])
    first: list[int] = []
    for i, value in enumerate(d):
        if not first or d[first[-1]] - value >= 1e-4:
            first.append(i)
    total = np.add.reduceat(planes, first)
    two_theta = 2.0 * np.arcsin(
        0.5 * wavelength_angstrom * total / np.add.reduceat(d * planes, first)
    )
    return {
        "radius_mm": lsd_mm * np.tan(two_theta), "two_theta_rad": two_theta, "multiplicity": total
    }  # fmt: skip
