"""THE conventions as code: axes, handedness, pixel origin, and the way to other codes' frames.

Lab frame: right-handed, +Z along the beam (downstream), +Y up, +X completes it (to the left seen
along the beam), the NeXus/McStas frame. A pixel coordinate is (fast, slow); (0, 0) is the outer
corner of the first pixel and its centre is (0.5, 0.5). ``eta`` is 0 at the top (+Y) and grows
clockwise seen along the beam (+90 degrees is -X), as in MIDAS. A near-field pixel (Y, Z) counts
both axes of the raw image from the other end.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BEAM",
    "F64",
    "I64",
    "LAB_FROM_MIDAS",
    "PIXEL_CENTRE",
    "eta_of_lab",
    "lab_from_midas",
    "midas_from_lab",
    "nearfield_from_raw",
]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

BEAM: Final[tuple[float, float, float]] = (0.0, 0.0, 1.0)
"""Direction of the beam in the lab frame."""

PIXEL_CENTRE: Final[float] = 0.5
"""Offset of a pixel's centre from its outer corner [px]; codes that count from centres lack it."""

LAB_FROM_MIDAS: Final = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
"""The MIDAS frame (X beam, Y left, Z up) is a cyclic permutation of the lab frame."""
LAB_FROM_MIDAS.flags.writeable = False


def lab_from_midas(vectors: F64) -> F64:
    """Rotate (..., 3) vectors from the MIDAS frame to the lab frame."""
    return np.asarray(vectors, dtype=np.float64)[..., [1, 2, 0]]


def midas_from_lab(vectors: F64) -> F64:
    """Rotate (..., 3) vectors from the lab frame to the MIDAS frame."""
    return np.asarray(vectors, dtype=np.float64)[..., [2, 0, 1]]


def eta_of_lab(vectors: F64) -> F64:
    """Azimuth of (..., 3) lab vectors about the beam [rad], in (-pi, pi]: atan2(-x, y)."""
    v = np.asarray(vectors, dtype=np.float64)
    return np.arctan2(0.0 - v[..., 0], v[..., 1])  # not -x: straight down is +pi, never -pi


def nearfield_from_raw(row: I64, column: I64, shape_px: tuple[int, int]) -> tuple[I64, I64]:
    """Near-field pixel (Y, Z) of a raw row and column; `shape_px` is (NY, NZ).

    Y = NY - 1 - column, Z = NZ - 1 - row: the raw image has NZ rows of NY columns. Whole images
    are turned by :func:`refimpl.forward.nearfield_stack.raw_image`.
    """
    return shape_px[0] - 1 - column, shape_px[1] - 1 - row
