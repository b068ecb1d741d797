"""What a 2 x 2 matrix from beam shift to stage means: scale, rotation, mirror, stretch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from refimpl.frames import F64
from refimpl.units import DEG

__all__ = ["BeamShiftMatrix"]


class BeamShiftMatrix:
    """Base of what has such a matrix, for row vectors."""

    matrix_um: F64

    @property
    def k_um(self) -> float:
        """Micrometres for a beam shift of one: sqrt(abs(det)), the published k."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix_um))))

    @property
    def is_mirrored(self) -> bool:
        """Whether it turns a right hand into a left one."""
        return bool(np.linalg.det(self.matrix_um) < 0.0)

    @property
    def rotation_rad(self) -> float:
        """Angle of the nearest rotation, anticlockwise; of a mirrored one after y was reversed."""
        m = self.matrix_um * np.array([[1.0], [-1.0 if self.is_mirrored else 1.0]])
        return math.atan2(float(m[0, 1] - m[1, 0]), float(m[0, 0] + m[1, 1]))

    @property
    def anisotropy(self) -> float:
        """Larger over smaller singular value; 1: the same scale in all directions."""
        large, small = np.linalg.svd(self.matrix_um, compute_uv=False)
        return float(large / small)

    def words(self) -> dict[str, Any]:
        """The matrix and what it means, for JSON."""
        return {
            "k": self.k_um,
            "matrix": self.matrix_um.tolist(),
            "rotation_deg": self.rotation_rad / DEG,
            "mirror": self.is_mirrored,
            "anisotropy": self.anisotropy,
        }
