"""Held to the kit: xfab, the library below FABLE, for d-spacings, rings and orientations.

PYTHONPATH=validation/conformance/adapters refimpl conform --object xfab_code
"""

from __future__ import annotations

from typing import Any

import numpy as np
from xfab import symmetry, tools

SYSTEMS = {"-1": 1, "2/m": 2, "mmm": 3, "4/mmm": 4, "-3m1": 5, "6/mmm": 6, "m-3m": 7}
"""Crystal systems: the Laue class of highest symmetry of each, its trigonal two-folds along a."""


def d_spacing(hkl: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """From sin(theta) / lambda."""
    return np.array([0.5 / tools.sintl(cell, row) for row in hkl])


def matrix(q: np.ndarray) -> np.ndarray:
    """Rotation of a unit quaternion."""
    w, x, y, z = q / np.sqrt(q @ q)
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip


def misorientation(laue_class: str, q1: np.ndarray, q2: np.ndarray) -> np.ndarray:
    """Least angle over the rotations of the crystal system."""
    if laue_class not in SYSTEMS:
        raise NotImplementedError(laue_class)
    system = SYSTEMS[laue_class]
    pairs = zip(q1, q2, strict=True)
    found = [symmetry.Umis(matrix(a), matrix(b), system)[:, 1].min() for a, b in pairs]
    return np.deg2rad(found)


def euler_to_matrix(euler_rad: np.ndarray) -> dict[str, Any]:
    """The U of FABLE is that of the kit; its Rodrigues vectors turn the other way."""
    u = np.array([tools.euler_to_u(*angles) for angles in euler_rad])
    rodrigues = -np.array([tools.u_to_rod(one) for one in u])
    w = 1.0 / np.sqrt(1.0 + (rodrigues**2).sum(axis=1))
    return {"matrix": u, "quaternion": np.column_stack([w, w[:, None] * rodrigues])}


def ring_radii(
    cell: np.ndarray,
    space_group: Any,
    wavelength_angstrom: Any,
    two_theta_max_rad: Any,
    lsd_mm: Any,
) -> dict[str, Any]:
    """Rings of all reflections that the space group allows, joined as the kit joins them."""
    most = np.sin(0.5 * two_theta_max_rad) / wavelength_angstrom
    hkl = tools.genhkl_all(cell, 0.0, most * (1.0 + 1e-12), sgno=int(space_group))
    d = np.array([0.5 / tools.sintl(cell, row) for row in hkl])
    d = d[np.argsort(-d, kind="stable")]
    first: list[int] = []
    for i, value in enumerate(d):
        if not first or d[first[-1]] - value >= 1e-4:
            first.append(i)
    parts = np.split(d, first[1:])
    mean = np.array([part.mean() for part in parts])
    two_theta = 2.0 * np.arcsin(0.5 * wavelength_angstrom / mean)
    return {
        "radius_mm": lsd_mm * np.tan(two_theta), "two_theta_rad": two_theta,
        "multiplicity": np.array([len(part) for part in parts]),
    }  # fmt: skip
