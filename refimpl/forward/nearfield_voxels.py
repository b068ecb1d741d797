"""Voxels of a near-field map: where they are and what they cover.

The sample's plane of the MIDAS near-field frame, at omega = 0, see
:mod:`refimpl.forward.nearfield_setup`. Not modelled: strain of a voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from refimpl.forward.nearfield_fields import field_array, refusal
from refimpl.frames import F64

__all__ = ["VoxelShape", "Voxels"]

VoxelShape = Literal["triangle", "square", "point"]
"""Footprint of a voxel; what the pixels of a spot are made from."""

_VERTICES = {"triangle": 3, "square": 4, "point": 1}


@dataclass(frozen=True, eq=False)
class Voxels:
    """Points of a map with what they cover.

    Attributes
    ----------
    xy_mm
        (v, 2) positions in the sample at omega = 0.
    edge_mm
        (v,) edge length of the triangle or square, positive (0 is accepted for points).
    up
        (v,) bool: the triangle points to +y. Squares and points ignore it.
    shape
        "triangle", "square" or "point".
    """

    xy_mm: F64
    edge_mm: F64
    up: NDArray[np.bool_]
    shape: VoxelShape = "triangle"

    def __post_init__(self) -> None:
        if self.shape not in _VERTICES:
            raise refusal(self, "shape", repr(self.shape), "expected triangle, square or point")
        n = len(field_array(self, "xy_mm", (None, 2)))
        edge = field_array(self, "edge_mm", (n,))
        field_array(self, "up", (n,), np.bool_)
        least = 0.0 if self.shape == "point" else np.nextafter(0.0, 1.0)
        if not (edge >= least).all():
            raise refusal(self, "edge_mm", float(edge.min()), "expected positive edges")

    def __len__(self) -> int:
        return len(self.edge_mm)

    def __getitem__(self, rows: Any) -> Voxels:
        """Voxels of a slice, mask or list of rows."""
        return Voxels(self.xy_mm[rows], self.edge_mm[rows], self.up[rows], self.shape)

    def vertices(self) -> F64:
        """(v, k, 2) corners [mm], k = 3, 4 or 1.

        A triangle's are in the order of spec 1.5: apex, left, right (up triangles are
        counter-clockwise, down triangles clockwise); a square's counter-clockwise from the
        lower left; a point's is itself.
        """
        e = self.edge_mm
        if self.shape == "point":
            offsets = np.zeros((len(e), 1, 2))
        elif self.shape == "square":
            corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
            offsets = e[:, None, None] * corners
        else:
            way = np.where(self.up, 1.0, -1.0)
            apex, base = way * (e / np.sqrt(3.0)), -way * (e / (2.0 * np.sqrt(3.0)))
            zero = np.zeros_like(e)
            offsets = np.stack(
                [
                    np.stack([zero, apex], axis=-1),
                    np.stack([-e / 2.0, base], axis=-1),
                    np.stack([e / 2.0, base], axis=-1),
                ],
                axis=1,
            )
        return np.ascontiguousarray(self.xy_mm[:, None, :] + offsets)
