"""Held to the kit: gemmi, for d-spacings and powder rings.

PYTHONPATH=validation/conformance/adapters refimpl conform --object gemmi_code
"""

from __future__ import annotations

import itertools
from typing import Any

import gemmi
import numpy as np


def d_spacing(hkl: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Of its unit cell."""
    lattice = gemmi.UnitCell(*cell.tolist())
    return np.array([lattice.calculate_d(row.tolist()) for row in hkl])


def ring_radii(
    cell: np.ndarray,
    space_group: Any,
    wavelength_angstrom: Any,
    two_theta_max_rad: Any,
    lsd_mm: Any,
) -> dict[str, Any]:
    """Every reflection of the sphere by itself, its absences by the group's operations."""
    lattice = gemmi.UnitCell(*cell.tolist())
    operations = gemmi.find_spacegroup_by_number(int(space_group)).operations()
    least = wavelength_angstrom / (2.0 * np.sin(0.5 * two_theta_max_rad)) * (1.0 - 1e-12)
    most = [int(edge / least) + 1 for edge in cell[:3] * 1.5]
    spacings = [
        lattice.calculate_d(hkl)
        for hkl in itertools.product(*(range(-m, m + 1) for m in most))
        if any(hkl) and not operations.is_systematically_absent(hkl)
    ]
    d = np.sort([v for v in spacings if v >= least])[::-1]
    first: list[int] = []
    for i, value in enumerate(d):
        if not first or d[first[-1]] - value >= 1e-4:
            first.append(i)
    parts = np.split(d, first[1:])
    two_theta = 2.0 * np.arcsin(0.5 * wavelength_angstrom / np.array([p.mean() for p in parts]))
    return {
        "radius_mm": lsd_mm * np.tan(two_theta), "two_theta_rad": two_theta,
        "multiplicity": np.array([len(part) for part in parts]),
    }  # fmt: skip
