"""Longest cell edge to look for, from the distances between neighbouring spots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConvergenceError
from refimpl.frames import F64, I64
from refimpl.units import DEG

__all__ = ["longest_cell"]

MULTIPLIER = 1.3
STEP_RAD = 45.0 * DEG
BIN_HEIGHT = 0.25
SPOTS_PER_BIN = 5


def longest_cell(
    points: F64, phi: F64 | None, entering: NDArray[np.bool_], scan: I64 | None = None
) -> float:
    """Upper limit of the primitive cell's edges [Å], from a histogram of nearest neighbours.

    Neighbours are looked for among spots seen within the same 45 degrees, on the same side of the
    Ewald sphere. The longest 1 % of the distances in direct space are dropped; what is returned is
    1.3 times the longest whose bin holds a quarter of the fullest one.

    Parameters
    ----------
    points
        (n, 3) reciprocal lattice points [1/Å].
    phi
        (n,) [rad], or None for a still.
    entering
        (n,) whether a spot enters the Ewald sphere.
    scan
        (n,) scan of each spot: neighbours are of the same one. None for one scan.

    Raises
    ------
    ConvergenceError
        There are too few neighbours to tell.

    Notes
    -----
    Source: the published program's ``NeighborAnalysis``; bins are logarithmic, five spots each on
    average.
    """
    from scipy.spatial import cKDTree

    block = np.zeros(len(points)) if phi is None else np.floor((phi - phi.min()) / STEP_RAD)
    keys = np.unique(
        np.column_stack([block, entering, block * 0.0 if scan is None else scan]),
        axis=0,
        return_inverse=True,
    )[1].ravel()
    spacing = []
    for key in range(keys.max() + 1):
        some = points[keys == key]
        if len(some) > 1:
            distance = cKDTree(some).query(some, k=2)[0][:, 1]
            spacing.append(1.0 / distance[distance > 0.0])
    direct = np.sort(np.concatenate([*spacing, np.empty(0)]))
    direct = direct[: int(np.floor(0.99 * len(direct)))]
    if len(direct) < 4 * SPOTS_PER_BIN:
        raise ConvergenceError(
            f"the longest cell edge cannot be told from {len(direct)} neighbouring spots: "
            f"expected at least {4 * SPOTS_PER_BIN}; give max_cell_angstrom or unit_cell"
        )
    logs = np.log10(direct)
    counts, edges = np.histogram(logs, bins=len(direct) // SPOTS_PER_BIN)
    middle = 0.5 * (edges[1:] + edges[:-1])
    return MULTIPLIER * float(10.0 ** middle[counts > BIN_HEIGHT * counts.max()].max())
