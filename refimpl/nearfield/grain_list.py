"""Grains of a map as ``Grains.csv``: the published Mic2GrainsList, and our own beside it.

Published: the best voxel is a grain with its orientation as it is, and takes what is near it. Ours
(``spatial``) follows neighbours and averages. Either list seeds a finer map.
"""

from __future__ import annotations

import numpy as np

from refimpl.clustering.grains import grain_table, segment
from refimpl.clustering.neighbours import neighbour_pairs
from refimpl.clustering.published_grains import GreedyGrains, greedy_grains, published_radius
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.io.grains_csv import GrainTable
from refimpl.nearfield.maps import NearfieldMap
from refimpl.rotations import matrix_of_quaternion
from refimpl.units import DEG

__all__ = ["PUBLISHED_LEAST", "PUBLISHED_REACH", "grain_list", "greedy_table"]

PUBLISHED_LEAST = 0.04
"""Confidence from which Mic2GrainsList takes voxels where nothing else is stated."""

PUBLISHED_REACH = 2.0
"""Distance [edges] up to which voxels are its neighbours."""

_ROUNDING = 1e-6
"""Slack of that distance: in a regular grid many are exactly two edges apart, but for rounding."""


def grain_list(
    result: NearfieldMap,
    *,
    max_angle_rad: float = 1.0 * DEG,
    least_confidence: float = PUBLISHED_LEAST,
    neighbours: bool = False,
    spatial: bool = False,
    threads: int | None = None,
) -> GrainTable:
    """Grains of a map.

    Parameters
    ----------
    result
        The map; its cell goes into the table.
    max_angle_rad
        MaxAngle: voxels nearer than this to the centre are its grain. With `spatial`, neighbours
        up to this apart are.
    least_confidence
        Voxels below it count for nothing.
    neighbours
        A grain ends where steps of up to two edges do not reach (published argument 4).
    spatial
        Grains that follow neighbours, up to two edges apart, instead of comparing with a centre;
        each with the mean of its orientations and positions; the largest first.
    threads
        Of the clustering; the result does not depend on them.

    Returns
    -------
    By falling confidence of the centres, numbers from 1: orientation and position of the centre as
    they are, z = 0; radius of the circle of the voxels' area; confidence 1, as published.

    Raises
    ------
    ConfigError
        No voxel has the confidence, the map has no cell, the limit is not positive, or both
        `neighbours` and `spatial`.

    Notes
    -----
    Source: section 1.12 of the near-field specification. Unlike published, the edge is that of the
    voxels, not that of a header which is 0 where the first row is empty (6.2, fault 5); a square's
    area is its own; and of voxels of one confidence the first comes first.
    """
    if neighbours and spatial:
        raise ConfigError("neighbours and spatial: grains of the one kind or of the other")
    good = result.solved & (result.confidence >= least_confidence)
    if not good.any():
        best = result.confidence[result.solved].max(initial=0.0)
        raise ConfigError(
            f"no voxel of confidence {least_confidence:g} or more: the best has {best:g}",
            key="min_confidence", got=least_confidence,
        )  # fmt: skip
    q = np.where(good[:, None], result.quaternions, np.nan)
    if spatial:
        label = _by_size(segment(q, _pairs(result), result.operators, max_angle_rad))
        means = grain_table(q, label, result.operators, result.voxels.xy_mm)
        orientations, xy = matrix_of_quaternion(means.quaternion), means.centre
    else:
        found = greedy_grains(
            q, result.confidence, result.operators, limit_rad=max_angle_rad,
            least_confidence=least_confidence, pairs=_pairs(result) if neighbours else None,
            threads=threads,
        )  # fmt: skip
        return greedy_table(result, found)
    return _table(result, label, orientations, xy)


def greedy_table(result: NearfieldMap, found: GreedyGrains) -> GrainTable:
    """Table of the grains of a map; see :func:`grain_list`. There may be none.

    Raises
    ------
    ConfigError
        The map has no cell.
    """
    own = found.centre
    return _table(result, found.label, result.matrices[own], result.voxels.xy_mm[own])


def _table(result: NearfieldMap, label: I64, orientations: F64, xy: F64) -> GrainTable:
    n = len(xy)
    if result.cell is None:
        raise ConfigError(
            "the map has no cell: a list of grains states a, b, c, alpha, beta, gamma"
        )
    return GrainTable(
        ids=np.arange(1, n + 1),
        orientations=orientations,
        position_mm=np.column_stack([xy, np.zeros(n)]),
        cells=np.tile(np.asarray(result.cell, dtype=np.float64), (n, 1)),
        radius_mm=_radius_mm(result, label) if n else np.zeros(0),
        confidence=np.ones(n),
    )


def _pairs(result: NearfieldMap) -> I64:
    """(k, 2) voxels no farther apart than two of the largest edges."""
    edge = float(result.voxels.edge_mm.max())
    if not edge > 0.0:
        raise ConfigError("neighbours: the voxels are points, which have no edge")
    return neighbour_pairs(result.voxels.xy_mm, PUBLISHED_REACH * edge * (1.0 + _ROUNDING))


def _by_size(label: I64) -> I64:
    """Labels of grains, the largest first; of equal ones the first."""
    order = np.argsort(-np.bincount(label[label >= 0]), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return np.where(label >= 0, rank[label], -1)


def _radius_mm(result: NearfieldMap, label: I64) -> F64:
    """(g,) of the circle with the area of a grain's voxels; their edges may differ."""
    inside = label >= 0
    count = np.bincount(label[inside])
    edge = result.voxels.edge_mm[inside]
    if (edge == edge[0]).all():
        root = np.full(len(count), edge[0])
    else:
        root = np.sqrt(np.bincount(label[inside], edge**2) / count)
    if result.voxels.shape == "square":  # of the triangle of the same area
        root = root * np.sqrt(4.0 / np.sqrt(3.0))
    return published_radius(count, root)
