"""What the report of a near-field map shows: its voxels on paper, grains, and neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refimpl.clustering.grains import kernel_average, segment
from refimpl.clustering.neighbours import pair_angles
from refimpl.frames import F64, I64
from refimpl.nearfield.compare import MapComparison, neighbours, pitch_mm
from refimpl.nearfield.maps import NearfieldMap
from refimpl.units import DEG, UM

__all__ = ["Grain", "MapView"]


@dataclass(frozen=True)
class Grain:
    """One grain of a map; numbers from 1, the largest first."""

    number: int
    voxels: int
    area_um2: float
    diameter_um: float
    centre_um: tuple[float, float]
    confidence: float
    kam_deg: float
    euler_deg: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class MapView:
    """A map as its report shows it: v voxels, k pairs of neighbours.

    Attributes
    ----------
    result
        The map.
    title
        Of the page.
    comparison, reference
        The map against a reference, and what that is called.
    min_confidence
        Voxels below it are left white, as the published viewers do.
    grain_angle_rad
        Neighbours that differ by more belong to two grains.
    """

    result: NearfieldMap
    title: str = "Near-field map"
    comparison: MapComparison | None = None
    reference: str = ""
    min_confidence: float = 0.0
    grain_angle_rad: float = 5.0 * DEG

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """(v,) voxels with a solution that is good enough."""
        return self.result.solved & (self.result.confidence >= self.min_confidence)

    @cached_property
    def pitch_um(self) -> float:
        """Distance of nearest neighbours; of a single voxel its edge."""
        pitch = pitch_mm(self.result.voxels) / UM
        if np.isfinite(pitch):
            return pitch
        edges = self.result.voxels.edge_mm / UM
        return float(edges[0]) if len(edges) and edges[0] > 0.0 else 1.0

    @cached_property
    def side_um(self) -> float:
        """Side of the cell that a voxel has in the grid, whatever part of it is probed."""
        return self.pitch_um * (np.sqrt(3.0) if self.result.voxels.shape == "triangle" else 1.0)

    @cached_property
    def cell_um2(self) -> float:
        """Area of that cell."""
        shape = self.result.voxels.shape
        return self.side_um**2 * (0.25 * np.sqrt(3.0) if shape == "triangle" else 1.0)

    @cached_property
    def xy_um(self) -> F64:
        """(v, 2) centres."""
        return np.asarray(self.result.voxels.xy_mm / UM)

    @cached_property
    def points_up(self) -> NDArray[np.bool_]:
        """(v,) whether the triangle that tiles the grid here points to +y.

        It follows from where the neighbours lie. The published grid's own flag is the other way
        round everywhere at y > 0, so that the triangles that it says overlap and leave holes there.
        """
        a, b = neighbours(self.result.voxels).T
        along = self.xy_um[b] - self.xy_um[a]
        third = np.sin(3.0 * np.arctan2(along[:, 1], along[:, 0]))
        n = len(self.result)
        total = np.bincount(a, third, n) - np.bincount(b, third, n)
        return np.where(np.abs(total) > 0.5, total > 0.0, self.result.voxels.up)

    def outlines(self, rows: I64) -> F64:
        """(n, 3 or 4, 2) cells of voxels [um]."""
        side, xy = self.side_um, self.xy_um[rows]
        if self.result.voxels.shape == "triangle":
            tall = side / np.sqrt(3.0)
            corners = np.array([[0.0, tall], [-0.5 * side, -0.5 * tall], [0.5 * side, -0.5 * tall]])
            way = np.where(self.points_up[rows], 1.0, -1.0)
            offsets = corners * np.stack([np.ones_like(way), way], axis=-1)[:, None, :]
        else:
            offsets = side * np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        return np.asarray(xy[:, None, :] + offsets)

    @cached_property
    def pairs(self) -> I64:
        """(k, 2) neighbours that are both shown."""
        pairs = neighbours(self.result.voxels)
        return pairs[self.shown[pairs].all(axis=1)]

    @cached_property
    def pair_rad(self) -> F64:
        """(k,) misorientation of neighbours."""
        return pair_angles(self.result.quaternions, self.pairs, self.result.operators)

    @cached_property
    def grain(self) -> I64:
        """(v,) number of the grain of each voxel, from 1, the largest first; 0 where none is."""
        m = self.result
        label = segment(m.quaternions, self.pairs, m.operators, self.grain_angle_rad, self.pair_rad)
        values, count = np.unique(label[self.shown], return_counts=True)
        number = np.zeros(len(m) + 1, dtype=np.int64)  # the last: of label -1
        number[values[np.lexsort((values, -count))]] = np.arange(1, len(values) + 1)
        return np.where(self.shown, number[label], 0)

    @property
    def n_grains(self) -> int:
        """Number of grains."""
        return int(self.grain.max(initial=0))

    @cached_property
    def kam_deg(self) -> F64:
        """(v,) mean misorientation with neighbours of the same grain; NaN without one."""
        inside = self.grain[self.pairs[:, 0]] == self.grain[self.pairs[:, 1]]
        average = kernel_average(len(self.result), self.pairs[inside], self.pair_rad[inside])
        return np.asarray(average / DEG)

    @cached_property
    def across(self) -> NDArray[np.bool_]:
        """(k,) pairs of two grains."""
        return np.asarray(self.grain[self.pairs[:, 0]] != self.grain[self.pairs[:, 1]])

    def boundaries(self) -> F64:
        """(b, 2, 2) lines between the voxels of two grains [um]."""
        a, b = (self.xy_um[self.pairs[self.across, i]] for i in (0, 1))
        along = b - a
        turned = np.stack([-along[:, 1], along[:, 0]], axis=-1)
        half = 0.5 * self.side_um * turned / np.linalg.norm(turned, axis=-1, keepdims=True)
        middle = 0.5 * (a + b)
        return np.stack([middle - half, middle + half], axis=1)

    def grains(self, most: int | None = None) -> list[Grain]:
        """Grains, the largest first."""
        out = []
        kam = self.kam_deg
        n = self.n_grains if most is None else min(most, self.n_grains)
        order = np.argsort(self.grain, kind="stable")
        ends = np.searchsorted(self.grain[order], np.arange(1, n + 2))
        for number in range(1, n + 1):
            rows = order[ends[number - 1] : ends[number]]
            area = len(rows) * self.cell_um2
            best = rows[np.argmax(self.result.confidence[rows])]
            x, y = self.xy_um[rows].mean(axis=0)
            some = np.isfinite(kam[rows])
            phi1, phi, phi2 = (float(e) for e in self.result.euler_rad[best] / DEG)
            out.append(
                Grain(
                    number, len(rows), area, 2.0 * float(np.sqrt(area / np.pi)),
                    (float(x), float(y)), float(self.result.confidence[rows].mean()),
                    float(kam[rows][some].mean()) if some.any() else float("nan"),
                    (phi1, phi, phi2),
                )
            )  # fmt: skip
        return out

    @cached_property
    def misorientation_deg(self) -> F64:
        """(v,) from the reference, on the voxels of this map; NaN where there is none."""
        out = np.full(len(self.result), np.nan)
        if self.comparison is not None:
            out[self.comparison.rows] = self.comparison.misorientation_deg
        return out
