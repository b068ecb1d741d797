"""Where a finer grid needs a search, and from which orientations it begins.

The published driver compares every point of a finer grid with every grain of the coarser map, and
every bad point with all seeds. Here a point begins from the orientations of the coarser map about
it; the grains of the whole map are for those that this leaves low, all seeds for those that are
still bad, and a point about which the coarser map found nothing stays empty without a search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from refimpl.crystal.misorientation import misorientation
from refimpl.forward.nearfield_setup import Voxels
from refimpl.frames import F64, I64
from refimpl.nearfield.compare import pitch_mm
from refimpl.nearfield.maps import NearfieldMap

__all__ = ["Needs", "needs_of"]

_CORNERS = 2.05  # nearest-neighbour distances within which triangles share a corner

_MOST_NEAR = 24
_LACK = 0.1  # confidence that a finer point may fall behind the coarser ones about it


@dataclass(frozen=True, eq=False)
class Needs:
    """What v points of a finer grid need.

    Attributes
    ----------
    empty
        (v,) no coarser point about it has a good orientation.
    starts_euler_rad
        (v, m, 3) distinct orientations about it, the nearest first; NaN beyond the last.
    level
        (v,) confidence from which such a start is believed.
    nearest
        (v,) row of the nearest coarser point.
    """

    empty: NDArray[np.bool_]
    starts_euler_rad: F64
    level: F64
    nearest: I64


def needs_of(
    coarse: NearfieldMap,
    voxels: Voxels,
    *,
    bad_below: float,
    grain_angle_rad: float,
    factor: float | None = None,
    most: int = 4,
) -> Needs:
    """Look at the coarser map about each point of a finer grid.

    Parameters
    ----------
    coarse
        Map of the coarser grid, whose bad points have been searched again.
    voxels
        Finer grid.
    bad_below
        MinConfidence: coarser points below it say nothing.
    grain_angle_rad
        MaxAngle: orientations that differ by less count as one start.
    factor
        By how much the grid is finer: then those coarser points count that touch the nearest
        corner of the triangle that a point lies in. None: all that share a corner with it.
    most
        Starts of a point.

    Returns
    -------
    Points far from all coarser ones (they were masked) are not empty and have no start.
    """
    v = len(voxels)
    pitch = pitch_mm(coarse.voxels)
    # a triangle's corner is one distance from its centre, a finer point 1 - 1 / factor at most
    near_corner = _CORNERS if factor is None else 1.05 * (2.0 - 1.0 / factor)
    reach = near_corner * pitch if np.isfinite(pitch) else np.inf
    k = min(_MOST_NEAR, len(coarse))
    tree = cKDTree(coarse.voxels.xy_mm)
    distance, near = tree.query(voxels.xy_mm, k=np.arange(1, k + 1))
    there = distance <= reach
    good = there & (coarse.confidence >= bad_below)[near] & coarse.solved[near]
    lowest = np.where(good, coarse.confidence[near], np.inf).min(axis=1)
    level = np.maximum(bad_below, np.where(np.isfinite(lowest), lowest - _LACK, bad_below))
    starts = np.full((v, most, 3), np.nan)
    q, symmetry = coarse.quaternions, coarse.operators
    left = good.copy()
    for slot in range(most):
        rows = np.flatnonzero(left.any(axis=1))
        if not len(rows):
            break
        mine = near[rows, left[rows].argmax(axis=1)]
        starts[rows, slot] = coarse.euler_rad[mine]
        i, j = np.nonzero(left[rows])
        angle = misorientation(q[mine[i]], q[near[rows[i], j]], symmetry)
        same = angle <= grain_angle_rad
        left[rows[i[same]], j[same]] = False
    return Needs(there.any(axis=1) & ~good.any(axis=1), starts, level, near[:, 0])
