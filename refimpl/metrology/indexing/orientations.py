"""How far one crystal is turned from another of the same cell."""

from __future__ import annotations

import numpy as np

from refimpl.crystal.reduction import unimodular_changes
from refimpl.frames import F64

__all__ = ["misorientation"]

LARGEST_STRAIN = 0.05
"""Cells that differ by more are not the same."""


def misorientation(one: F64, other: F64) -> float:
    """Smallest angle [rad] that turns one lattice into another; infinite for another cell.

    Parameters
    ----------
    one, other
        (3, 3) rows a, b, c [Å], both reduced or both conventional.

    Notes
    -----
    Every change of basis with elements -1, 0, 1 is tried; the rotation is the nearest to the
    linear map, from its singular value decomposition.
    """
    inverse = np.linalg.inv(np.asarray(one))
    maps = inverse @ (unimodular_changes() @ np.asarray(other))  # row vectors: v -> v M
    u, stretch, v = np.linalg.svd(maps)
    same = (np.abs(stretch - 1.0) < LARGEST_STRAIN).all(axis=1)
    if not same.any():
        return float(np.inf)
    turns = u[same] @ v[same]
    cosine = 0.5 * (np.trace(turns, axis1=1, axis2=2) - 1.0)
    return float(np.arccos(np.clip(cosine.max(), -1.0, 1.0)))
