"""The published clustering of a near-field map, Mic2GrainsList: greedy, best voxel first.

Each grain is a voxel and the later ones within an angle of it: no average, and a drift across a
grain splits it. :mod:`refimpl.clustering.grains` follows the neighbours instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.clustering.greedy_grains import greedy_labels
from refimpl.clustering.neighbours import check_rows
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
    threads: int | None = None,
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
    threads
        Of the twin; None for all. They change nothing in the result.

    Raises
    ------
    ConfigError
        The limit is not positive, or a pair names a point that is not there.

    Notes
    -----
    Source: section 1.12 of the near-field specification.
    """
    if not limit_rad > 0.0:
        raise ConfigError(f"limit of a grain {limit_rad!r} rad: expected a positive angle")
    free = confidence >= least_confidence
    free &= np.isfinite(quaternion).all(axis=1)
    order = np.flatnonzero(free)
    order = order[np.argsort(-confidence[order], kind="stable")]
    if pairs is not None:
        check_rows("pairs", pairs, len(quaternion))
    label = greedy_labels(
        quaternion, order, operators, limit_rad, pairs,
        threads=threads,  # type: ignore[call-arg]
    )  # fmt: skip
    n_points = np.bincount(label[order])
    centre = np.empty(len(n_points), dtype=np.int64)
    # of a grain's points in this order the first is its centre; the last assignment stays
    centre[label[order[::-1]]] = order[::-1]
    return GreedyGrains(centre, n_points, label)


def published_radius(n_points: I64, edge_mm: float | F64) -> F64:
    """(g,) radius [mm] of the disc with the area of so many triangles of an edge."""
    return np.asarray(np.sqrt(n_points * np.sqrt(3.0) / 4.0 * edge_mm**2 / np.pi))
