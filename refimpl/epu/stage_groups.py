"""Exposures taken without moving the stage between them, and visits of the stage to one place."""

from __future__ import annotations

import numpy as np

from refimpl.clustering.grains import by_first_appearance
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["stage_groups", "stage_visits"]

_CELLS = 50
"""Positions are rounded to this part of the tolerance: jitter of a read-back is far below it, and
a place where the stage stood a thousand times is a few points, not a million pairs."""


def stage_groups(stage_um: F64, tolerance_um: float = 0.1) -> I64:
    """Label the positions between which the stage did not move.

    Two read-backs are of one place if steps of at most the tolerance lead from one to the other
    over read-backs in between.

    Parameters
    ----------
    stage_um
        (n, 2) positions read back from the stage.
    tolerance_um
        Longest step; far above the jitter of a read-back (2 nm), far below a move (1 um).

    Returns
    -------
    (n,) labels from 0, by first appearance.

    Raises
    ------
    ConfigError
        The tolerance is not positive, or a position is not finite.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    stage = np.asarray(stage_um, dtype=np.float64).reshape(-1, 2)
    if not tolerance_um > 0.0:
        raise ConfigError(f"stage tolerance {tolerance_um:g} um: expected > 0", got=tolerance_um)
    if not np.isfinite(stage).all():
        raise ConfigError("stage positions: expected finite numbers")
    if len(stage) == 0:
        return np.zeros(0, dtype=np.int64)
    # from the corner: neither the origin nor the order of the exposures changes the rounding
    cells = np.round((stage - stage.min(axis=0)) * (_CELLS / tolerance_um))
    order = np.lexsort(cells.T)
    new = np.ones(len(cells), dtype=bool)
    new[1:] = (cells[order[1:]] != cells[order[:-1]]).any(axis=1)
    places, where = cells[order[new]], np.empty(len(cells), dtype=np.int64)
    where[order] = np.cumsum(new) - 1
    # half a cell more: a step of just the tolerance is one whichever way its ends are rounded
    pairs = cKDTree(places).query_pairs(_CELLS + 0.5, output_type="ndarray")
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), pairs.T), (len(places), len(places)))
    return by_first_appearance(connected_components(graph, directed=False)[1][where])


def stage_visits(groups: I64) -> I64:
    """Number the visits of the stage to its places.

    Parameters
    ----------
    groups
        (n,) labels of places, in the order of time.

    Returns
    -------
    (n,) numbers from 0 that grow by one whenever the place changes: two exposures of one number
    were taken without the stage having left in between.
    """
    groups = np.asarray(groups, dtype=np.int64)
    moved = np.zeros(len(groups), dtype=np.int64)
    moved[1:] = groups[1:] != groups[:-1]
    return np.cumsum(moved)
