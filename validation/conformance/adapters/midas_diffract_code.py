"""Held to the kit: midas-diffract, for the near-field spots of orientations.

PYTHONPATH=validation/conformance/adapters refimpl conform --object midas_diffract_code
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from midas_diffract import HEDMForwardModel, HEDMGeometry
from midas_hkls.lattice import Lattice


def nearfield_spots(**given: Any) -> dict[str, Any]:
    """Omega and eta of its Bragg geometry; the ranges and boxes of the kit are applied here.

    Its own lattice adds 1e-7 to denominators, and so is off by that: the vectors come from
    midas-hkls, turned to x along a*.
    """
    lattice = Lattice(*given["cell"].tolist()).reciprocal_cartesian_vectors()
    upper = np.linalg.qr(lattice.T)[1]
    g = given["hkl"] @ (upper * np.sign(np.diag(upper))[:, None]).T
    theta = np.arcsin(0.5 * float(given["wavelength_angstrom"]) * np.linalg.norm(g, axis=1))
    lsd = float(given["lsd_mm"])
    vectors, angles, turns = (
        torch.as_tensor(np.ascontiguousarray(v)) for v in (g, theta, given["orientation"])
    )
    model = HEDMForwardModel(
        hkls=vectors, thetas=angles, geometry=HEDMGeometry(
            Lsd=1e3 * lsd, y_BC=0.0, z_BC=0.0, px=1.0, omega_start=-180.0, omega_step=1.0,
            n_frames=360, n_pixels_y=1, n_pixels_z=1, flip_y=False,
            min_eta=float(np.degrees(given["exclude_pole_rad"])),
            wavelength=float(given["wavelength_angstrom"]),
            wedge=float(np.degrees(given["wedge_rad"])),
        ),
    )  # fmt: skip
    found = model.calc_bragg_geometry(turns, vectors, angles)
    omega, eta, two_theta, valid = (v.numpy() for v in found)
    radius = lsd * np.tan(two_theta)
    y, z = -radius * np.sin(eta), radius * np.cos(eta)
    keep = np.zeros(omega.shape, dtype=bool)
    for (low, high), (y0, y1, z0, z1) in zip(given["ranges_rad"], given["boxes_mm"], strict=True):
        inside = (omega > low) & (omega < high)
        keep |= inside & (y > y0) & (y < y1) & (z > z0) & (z < z1)
    branch, hkl = np.nonzero(keep & (valid > 0.0))
    order = np.lexsort((omega[branch, hkl], hkl, branch % len(turns)))
    branch, hkl = branch[order], hkl[order]
    return {
        "orientation_row": branch % len(turns), "hkl_row": hkl, "y_mm": y[branch, hkl],
        "z_mm": z[branch, hkl], "omega_rad": omega[branch, hkl],
    }  # fmt: skip
