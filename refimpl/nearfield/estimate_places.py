"""Places of a map that an estimate works: drawn evenly, with the points about them on every grid.

A place is one point of the finest grid, the point of each coarser grid that it lies in, and as
much of every grid about these as decides what is done there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from refimpl.forward.nearfield_setup import Voxels
from refimpl.frames import F64, I64
from refimpl.nearfield.compare import pitch_mm
from refimpl.nearfield.loops import MultiresSettings, grains_of
from refimpl.nearfield.maps import NearfieldMap

__all__ = ["FIRST", "Places", "places_of", "unseen_grains"]

FIRST, _ABOUT, _LAST = 1.6, 2.2, 2.06
"""Points about the middle of a place, in distances of neighbours: on the coarsest grid those that
a finer point begins from (refimpl.nearfield.needs), then those that its neighbours begin from as
well, and at last those that share a corner with it."""
_MORTON_BITS = 10


@dataclass(frozen=True, eq=False)
class Places:
    """Middles of n places on each grid, and the points about them.

    Attributes
    ----------
    middle
        (n,) row of the middle among ``points``, for each grid.
    points
        Points of all places, each once, for each grid.
    totals
        Points of each whole grid.
    """

    middle: tuple[I64, ...]
    points: tuple[Voxels, ...]
    totals: tuple[int, ...]


def _scattered_rows(xy: F64, n: int, seed: int) -> I64:
    """Rows of n points, one of each of n equal parts of a curve that fills the plane."""
    span = np.ptp(xy, axis=0).max(initial=0.0)
    cell = (xy - xy.min(axis=0)) / (span or 1.0) * (2**_MORTON_BITS - 1)
    bits = (cell.astype(np.int64)[:, :, None] >> np.arange(_MORTON_BITS)) & 1
    weights = 1 << (2 * np.arange(_MORTON_BITS))
    order = np.argsort(bits[:, 0] @ weights + bits[:, 1] @ (2 * weights), kind="stable")
    edges = np.linspace(0, len(xy), n + 1).astype(np.int64)
    picks = np.random.default_rng(seed).integers(edges[:-1], edges[1:])
    return np.asarray(order[picks])


def places_of(grids: Sequence[Voxels], n: int, seed: int) -> Places:
    """Draw places, evenly over the finest grid.

    Parameters
    ----------
    grids
        From coarse to fine.
    n
        Places; at most one for each point of the finest grid.
    seed
        Of the draw.
    """
    finest = grids[-1]
    xy = finest.xy_mm[_scattered_rows(finest.xy_mm, min(n, len(finest)), seed)]
    trees = [cKDTree(grid.xy_mm) for grid in grids]
    nearest = [np.asarray(tree.query(xy)[1], dtype=np.int64) for tree in trees]
    middle, points = [], []
    for k, (grid, tree) in enumerate(zip(grids, trees, strict=True)):
        rows = nearest[k]
        if len(grids) > 1:
            about = grids[max(k, 1)].xy_mm[nearest[max(k, 1)]]
            reach = FIRST if k == 0 else _LAST if k == len(grids) - 1 else _ABOUT
            pitch = pitch_mm(grid)
            near = tree.query_ball_point(about, reach * pitch) if np.isfinite(pitch) else []
            rows = np.unique(np.concatenate([rows, *(np.array(r, np.int64) for r in near)]))
        else:
            rows = np.unique(rows)
        middle.append(np.searchsorted(rows, nearest[k]))
        points.append(grid[rows])
    return Places(tuple(middle), tuple(points), tuple(len(grid) for grid in grids))


def unseen_grains(first: NearfieldMap, middle: I64, settings: MultiresSettings) -> float:
    """Grains of the whole map that no place met, by how many were met once and twice.

    A lower bound: A. Chao (1984), Scandinavian Journal of Statistics 11, 265, in the form without
    bias, f1 (f1 - 1) / (2 (f2 + 1)).
    """
    rows = np.flatnonzero(first.confidence[middle] >= settings.grain_least)
    if not len(rows):
        return 0.0
    label = grains_of(first, settings).label[middle[rows]]
    counts = np.bincount(label[label >= 0])
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once * (once - 1) / (2.0 * (twice + 1))
