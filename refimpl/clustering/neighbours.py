"""Which points of a map are neighbours, and how far apart their orientations are."""

from __future__ import annotations

import numpy as np

from refimpl.crystal.misorientation import misorientation
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["check_rows", "image_pairs", "neighbour_pairs", "pair_angles"]


def neighbour_pairs(position: F64, reach: float) -> I64:
    """Pairs of points no farther apart than `reach`.

    Parameters
    ----------
    position
        (v, 2) or (v, 3).
    reach
        In the same unit; of triangles of edge g, 0.58 g joins those that share an edge and 1.16 g
        those that share a corner.

    Returns
    -------
    (k, 2) rising rows, the smaller first.

    Raises
    ------
    ConfigError
        `reach` is not positive.
    """
    from scipy.spatial import cKDTree

    if not (np.isfinite(reach) and reach > 0.0):
        raise ConfigError(f"reach of neighbours {reach!r}: expected a positive number")
    if not len(position):
        return np.zeros((0, 2), dtype=np.int64)
    pairs = cKDTree(position).query_pairs(reach, output_type="ndarray").astype(np.int64)
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def image_pairs(shape: tuple[int, int], *, diagonal: bool = True) -> I64:
    """(k, 2) flat indices of neighbouring pixels, by edges and, with `diagonal`, by corners too."""
    index = np.arange(shape[0] * shape[1], dtype=np.int64).reshape(shape)
    steps = [(index[:, :-1], index[:, 1:]), (index[:-1], index[1:])]
    if diagonal:
        steps += [(index[:-1, :-1], index[1:, 1:]), (index[:-1, 1:], index[1:, :-1])]
    pairs = np.concatenate([np.column_stack([a.ravel(), b.ravel()]) for a, b in steps])
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))])


def pair_angles(quaternion: F64, pairs: I64, operators: F64) -> F64:
    """(k,) misorientation [rad] of pairs of points; NaN where one has no solution.

    Raises
    ------
    ConfigError
        A pair names a point that is not there.
    """
    check_rows("pairs", pairs, len(quaternion))
    q = np.asarray(quaternion, dtype=np.float64)
    return misorientation(q[pairs[:, 0]], q[pairs[:, 1]], operators)


def check_rows(name: str, rows: I64, n: int) -> None:
    """Refuse rows that name a point beyond the map's `n`."""
    if len(rows) and (rows.min() < 0 or rows.max() >= n):
        bad = rows.min() if rows.min() < 0 else rows.max()
        raise ConfigError(f"{name} name point {bad}: the map has {n}")
