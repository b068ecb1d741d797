"""Two near-field maps voxel by voxel: misorientation, wrong twins, distance from a boundary.

Angles of a map are rad, and become degrees once, in the properties named ``_deg``: the published
test of the reconstruction turns the file's radians by pi/180 a second time, so that an error of 10
degrees passes for 0.17 (near-field specification 6.2, fault 12).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from refimpl.clustering.grains import segment
from refimpl.clustering.neighbours import neighbour_pairs, pair_angles
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import laue_class
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.frames import F64, I64
from refimpl.nearfield.maps import NearfieldMap
from refimpl.rotations import multiply_quaternions
from refimpl.units import DEG

__all__ = ["LIMITS_DEG", "MapComparison", "boundary_distance", "compare_maps", "neighbours"]
__all__ += ["pitch_mm"]

LIMITS_DEG: Final = (0.05, 0.25, 1.0, 5.0)
"""Misorientations that shares of voxels are told for."""
_TWIN_TOLERANCE = 2.0 * DEG
_GRAIN_ANGLE = 5.0 * DEG
_FIRST_NEAREST, _ALIKE = 8, 0.02
_NEIGHBOUR, _SAME = 1.05, 1e-3
"""Slack of the nearest-neighbour distance; part of it within which two points are one."""


@dataclass(frozen=True, eq=False)
class MapComparison:
    """A map against a reference, n pairs of voxels.

    Attributes
    ----------
    rows, reference_rows
        (n,) voxels of the map and of the reference that belong together; both have a solution
        and the confidence asked for.
    misorientation_rad
        (n,).
    twin
        (n,) bool: they are a Sigma 3 twin of each other (cubic crystals; elsewhere False).
    boundary_mm
        (n,) distance of the reference's voxel from the nearest one of another grain; inf without
        one.
    confidence
        (n, 2) of the map and of the reference.
    missing
        Voxels of the reference that count and have no partner with a solution.
    matched_by
        ``index`` for one grid, ``position`` for two.
    """

    rows: I64
    reference_rows: I64
    misorientation_rad: F64
    twin: NDArray[np.bool_]
    boundary_mm: F64
    confidence: F64
    missing: int
    matched_by: str

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def misorientation_deg(self) -> F64:
        """(n,) the only place where they become degrees."""
        return self.misorientation_rad / DEG

    def share_below(self, limit_deg: float, *, away_mm: float = 0.0) -> float:
        """Share of the pairs, at least a distance from a boundary, below a misorientation."""
        keep = self.boundary_mm > away_mm
        return _mean(self.misorientation_deg[keep] < limit_deg)

    def summary(self, limits_deg: Sequence[float] = LIMITS_DEG) -> dict[str, Any]:
        """Numbers that everybody asks for; shares are 0 to 1, angles in degrees."""
        deg = self.misorientation_deg
        some = len(deg) > 0
        return {
            "pairs": len(self),
            "missing": self.missing,
            "matched_by": self.matched_by,
            "mean_deg": float(deg.mean()) if some else None,
            "median_deg": float(np.median(deg)) if some else None,
            "p90_deg": float(np.percentile(deg, 90.0)) if some else None,
            "largest_deg": float(deg.max()) if some else None,
            "below_deg": {f"{limit:g}": self.share_below(limit) for limit in limits_deg},
            "twins": int(self.twin.sum()),
            "twin_share": _mean(self.twin),
            "mean_confidence": [float(c) for c in self.confidence.mean(axis=0)] if some else None,
        }

    def sentences(self) -> list[str]:
        """The same in words."""
        s = self.summary()
        lines = [f"{s['pairs']} voxels compared by {self.matched_by}, {self.missing} missing"]
        if not len(self):
            return lines
        shares = ", ".join(f"{100.0 * v:.2f} % < {k} deg" for k, v in s["below_deg"].items())
        lines += [
            f"misorientation: median {s['median_deg']:.4f} deg, mean {s['mean_deg']:.4f}, "
            f"90 % below {s['p90_deg']:.4f}, largest {s['largest_deg']:.2f}",
            shares,
            f"{s['twins']} wrong twins ({100.0 * s['twin_share']:.2f} %)",
        ]
        off = self.misorientation_deg > 1.0
        if off.any() and np.isfinite(self.boundary_mm).any():
            far = 1e3 * float(np.median(self.boundary_mm[off]))
            lines.append(
                f"{int(off.sum())} are off by more than 1 deg, their median distance from another "
                f"grain {far:.2f} um"
            )
        return lines


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def compare_maps(
    result: NearfieldMap,
    reference: NearfieldMap,
    *,
    min_confidence: float = 0.0,
    reference_min_confidence: float = 0.0,
    grain_angle_rad: float = _GRAIN_ANGLE,
    twin_tolerance_rad: float = _TWIN_TOLERANCE,
) -> MapComparison:
    """Compare a map with a reference: rows of one grid by index, else each with the nearest.

    Parameters
    ----------
    result, reference
        Maps of one space group.
    min_confidence, reference_min_confidence
        Voxels below it do not count; those without a solution never do.
    grain_angle_rad
        Between grains of the reference, for the distance from a boundary.
    twin_tolerance_rad
        How far two orientations may be from an exact Sigma 3 twin and be called one.

    Returns
    -------
    One pair for each voxel of the reference that counts and has a partner that does. On another
    grid the partner is the nearest voxel, if the reference's lies within one pitch of it, or half
    of one where both grids have the same.

    Raises
    ------
    ConfigError
        The maps are of different Laue classes.
    """
    names = [laue_class(m.space_group) for m in (result, reference)]
    if names[0] != names[1]:
        raise ConfigError(
            f"space groups {result.space_group} ({names[0]}) and {reference.space_group} "
            f"({names[1]}): expected two of one Laue class",
            key="SpaceGroup",
        )
    partner, matched_by = _partners(result.voxels, reference.voxels)
    counts = reference.solved & (reference.confidence >= reference_min_confidence)
    good = result.solved & (result.confidence >= min_confidence)
    there = counts & (partner >= 0)
    there[there] = good[partner[there]]
    rows, own = partner[there], np.flatnonzero(there)
    q1, q2 = result.quaternions[rows], reference.quaternions[own]
    boundary = boundary_distance(reference, grain_angle_rad, counts)
    return MapComparison(
        rows=rows, reference_rows=own,
        misorientation_rad=misorientation(q1, q2, reference.operators),
        twin=_are_twins(q1, q2, reference, twin_tolerance_rad),
        boundary_mm=boundary[own],
        confidence=np.stack([result.confidence[rows], reference.confidence[own]], axis=1),
        missing=int(counts.sum() - there.sum()), matched_by=matched_by,
    )  # fmt: skip


def _partners(voxels: Voxels, reference: Voxels) -> tuple[I64, str]:
    """(v,) row for each voxel of the reference, -1 for none; and how they were found."""
    pitch = pitch_mm(voxels)
    if len(voxels) == len(reference):
        apart = np.abs(voxels.xy_mm - reference.xy_mm).max(initial=0.0)
        if apart <= _SAME * (pitch if np.isfinite(pitch) else 1.0):
            return np.arange(len(reference)), "index"
    if not len(voxels) or not len(reference):
        return np.full(len(reference), -1, dtype=np.int64), "position"
    distance, row = cKDTree(voxels.xy_mm).query(reference.xy_mm)
    # the corner of a cell is a pitch from its centre; of one grid in two parts only equals count
    alike = abs(pitch_mm(reference) - pitch) <= _ALIKE * pitch
    reach = 0.5 * pitch if alike else pitch
    return np.where(distance <= reach, row, -1).astype(np.int64), "position"


def pitch_mm(voxels: Voxels) -> float:
    """Distance of nearest neighbours in a grid, the median; inf of a single voxel."""
    if len(voxels) < 2:
        return float("inf")
    return float(np.median(cKDTree(voxels.xy_mm).query(voxels.xy_mm, k=2)[0][:, 1]))


def neighbours(voxels: Voxels) -> I64:
    """(k, 2) pairs of voxels that share an edge (of squares: a side), the lower row first."""
    if len(voxels) < 2:
        return np.zeros((0, 2), dtype=np.int64)
    return neighbour_pairs(voxels.xy_mm, _NEIGHBOUR * pitch_mm(voxels))


def _are_twins(q1: F64, q2: F64, m: NearfieldMap, tolerance: float) -> NDArray[np.bool_]:
    """(n,) whether one is the other's Sigma 3 twin: 60 degrees about one of the four 111."""
    if laue_class(m.space_group) not in ("m-3", "m-3m"):
        return np.zeros(len(q1), dtype=bool)
    axes = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, 1, 1]]) / np.sqrt(3.0)
    found = np.zeros(len(q1), dtype=bool)
    for axis in axes:
        for sign in (1.0, -1.0):  # the same in m-3m, two in m-3
            twin = np.array([np.sqrt(0.75), *(0.5 * sign * axis)])
            turned = multiply_quaternions(q1, np.broadcast_to(twin, q1.shape))
            angle = misorientation(np.ascontiguousarray(turned), q2, m.operators)
            found |= angle < tolerance
    return found


def boundary_distance(
    reference: NearfieldMap, angle_rad: float, counts: NDArray[np.bool_] | None = None
) -> F64:
    """Distance of each voxel's centre from the nearest one that belongs to another grain.

    Parameters
    ----------
    reference
        The map.
    angle_rad
        Neighbours that differ by more belong to two grains.
    counts
        (v,) voxels that belong to the sample; by default those with a solution. The outer surface
        is no boundary.

    Returns
    -------
    (v,) [mm]: to the nearest voxel of the far side of a boundary; inf where there is no boundary.
    """
    keep = reference.solved if counts is None else counts
    pairs = neighbours(reference.voxels)
    pairs = pairs[keep[pairs].all(axis=1)]
    q, symmetry = reference.quaternions, reference.operators
    angle = pair_angles(q, pairs, symmetry)
    across = pairs[angle > angle_rad]
    out = np.full(len(reference), np.inf)
    if not len(across):
        return out
    label = segment(q, pairs, symmetry, angle_rad, angle)
    edge = np.unique(across)  # voxels with a neighbour of another grain, of all grains
    xy = reference.voxels.xy_mm
    tree, left, k = cKDTree(xy[edge]), np.flatnonzero(keep), _FIRST_NEAREST
    while len(left):  # the nearest few may all be of the own grain: then look at more
        k = min(k, len(edge))
        distance, row = tree.query(xy[left], k=np.arange(1, k + 1))
        other = label[edge[row]] != label[left][:, None]
        found = other.any(axis=1)
        first = other.argmax(axis=1)[:, None]
        out[left[found]] = np.take_along_axis(distance, first, axis=1)[found, 0]
        left = left[~found] if k < len(edge) else left[:0]
        k *= 4
    return out
