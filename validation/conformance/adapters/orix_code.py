"""Held to the kit: orix, for misorientations and Euler angles.

PYTHONPATH=validation/conformance/adapters refimpl conform --object orix_code
"""

from __future__ import annotations

from typing import Any

import numpy as np
from orix.quaternion import Orientation, Rotation, symmetry

GROUPS = {
    "-1": "C1", "mmm": "D2", "4/m": "C4", "4/mmm": "D4", "-3": "C3", "-31m": "D3", "-3m1": "D3",
    "6/m": "C6", "6/mmm": "D6", "m-3": "T", "m-3m": "O",
}  # fmt: skip
"""Name of the class's rotations in orix, whose D3 has a two-fold along x: -31m of the kit."""


def misorientation(laue_class: str, q1: np.ndarray, q2: np.ndarray) -> np.ndarray:
    """Angle between orientations; orix turns the sample into the crystal, the inverse of ours."""
    if laue_class == "2/m":  # unique axis b, which is y
        group = symmetry.Symmetry([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    else:
        group = getattr(symmetry, GROUPS[laue_class])
    turn = Rotation.from_axes_angles([0, 0, 1], np.deg2rad(30.0 * (laue_class == "-3m1")))
    one, two = (Orientation((turn * ~Rotation(q)).data, symmetry=group) for q in (q1, q2))
    return one.angle_with(two)


def euler_to_matrix(euler_rad: np.ndarray) -> dict[str, Any]:
    """Bunge's angles give the matrix from the sample to the crystal."""
    rotation = ~Rotation.from_euler(euler_rad)
    q = rotation.data
    return {"matrix": rotation.to_matrix(), "quaternion": np.where(q[:, :1] < 0.0, -q, q)}
