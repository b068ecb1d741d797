"""The published clustering of a near-field map, Mic2GrainsList: greedy, best voxel first.

Each grain is a voxel and the later ones within an angle of it: no average, and a drift across a
grain splits it. :mod:`refimpl.clustering.grains` follows the neighbours instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.misorientation import misorientation
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.units import DEG

__all__ = ["GreedyGrains", "greedy_grains", "published_radius"]


@dataclass(frozen=True, eq=False)
class GreedyGrains:
    """What the greedy clustering finds.

    Attributes
    ----------
    centre
        (g,) point whose orientation is the grain's, as it is; by falling confidence.
    n_points
        (g,) points, the centre included.
    label
        (v,) grain of each point; -1 where the confidence is too low.
    """

    centre: I64
    n_points: I64
    label: I64


def greedy_grains(
    quaternion: F64,
    confidence: F64,
    operators: F64,
    *,
    limit_rad: float = 1.0 * DEG,
    least_confidence: float = 0.0,
    pairs: I64 | None = None,
) -> GreedyGrains:
    """Cluster as Mic2GrainsList does.

    Parameters
    ----------
    quaternion
        (v, 4) orientations, crystal to sample.
    confidence
        (v,). Of equal ones the first point comes first; in the published program, any.
    operators
        (m, 4) group of the crystal.
    limit_rad
        Published MaxAngle: a point nearer than this belongs to the centre, exclusive.
    least_confidence
        Points below it belong to no grain, nor do those whose confidence is NaN.
    pairs
        (k, 2) neighbours: a grain is then what steps between neighbours reach from its centre,
        each compared with the centre (published: within 2 TriEdgeSize). None: wherever it lies.

    Raises
    ------
    ConfigError
        The limit is not positive.

    Notes
    -----
    Source: section 1.12 of the near-field specification.
    """
    if not limit_rad > 0.0:
        raise ConfigError(f"limit of a grain {limit_rad!r} rad: expected a positive angle")
    q, n = np.asarray(quaternion, dtype=np.float64), len(quaternion)
    free = confidence >= least_confidence
    free &= np.isfinite(q).all(axis=1)
    order = np.flatnonzero(free)
    order = order[np.argsort(-confidence[order], kind="stable")]
    label = np.full(n, -1, dtype=np.int64)
    near = None if pairs is None else _adjacency(pairs, n)
    centres: list[int] = []
    for i in order:
        if not free[i]:
            continue
        left = np.flatnonzero(free)
        angle = misorientation(np.broadcast_to(q[i], (len(left), 4)), q[left], operators)
        alike = np.zeros(n, dtype=bool)
        alike[left[angle < limit_rad]] = True
        alike[i] = True
        members = alike if near is None else _flood(int(i), alike, *near)
        label[members] = len(centres)
        free &= ~members
        centres.append(int(i))
    count = np.bincount(label[label >= 0], minlength=len(centres))
    return GreedyGrains(np.array(centres, dtype=np.int64), count, label)


def published_radius(n_points: I64, edge_mm: float) -> F64:
    """(g,) radius [mm] of the disc with the area of so many triangles of an edge."""
    return np.asarray(np.sqrt(n_points * np.sqrt(3.0) / 4.0 * edge_mm**2 / np.pi))


def _adjacency(pairs: I64, n: int) -> tuple[I64, I64]:
    """Neighbours of all points, one after the other, and (n + 1,) where each one's begin."""
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    ends = ends[np.argsort(ends[:, 0], kind="stable")]
    begin = np.searchsorted(ends[:, 0], np.arange(n + 1))
    return ends[:, 1], begin.astype(np.int64)


def _flood(start: int, allowed: NDArray[np.bool_], near: I64, begin: I64) -> NDArray[np.bool_]:
    """(n,) allowed points that steps between neighbours reach."""
    reached = np.zeros(len(allowed), dtype=bool)
    reached[start] = True
    stack = [start]
    while stack:
        i = stack.pop()
        for j in near[begin[i] : begin[i + 1]].tolist():
            if allowed[j] and not reached[j]:
                reached[j] = True
                stack.append(j)
    return reached
