"""Labels of the published greedy clustering, by every centre and every point; and its twin.

The definition compares each centre with all that is left, n times the number of grains. The twin
looks the centres up by orientation, and asks neighbours only where neighbours are what counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_within
from refimpl.crystal.misorientation import check_operators, misorientation
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["greedy_labels"]


SHORT = 1e-70
"""Quaternions may be this short, and as much longer than 1."""


def _check_points(
    quaternion: F64, order: I64, operators: F64, limit_rad: float, pairs: I64 | None
) -> None:
    last = len(quaternion) - 1
    check_within("order", order, 0, last)
    if pairs is not None:
        check_within("pairs", pairs, 0, last)
    check_operators(operators)
    if not limit_rad >= 0.0:
        raise ConfigError(f"limit_rad = {limit_rad}: expected 0 or more", got=limit_rad)
    size = np.abs(quaternion).max(axis=1, initial=0.0)
    if ((size > 0.0) & (size < np.inf) & ~((size >= SHORT) & (size <= 1.0 / SHORT))).any():
        raise ConfigError(f"quaternion: a length is beyond {SHORT:g} to {1.0 / SHORT:g}")


@twin(
    "libm", check=_check_points, quaternion="f8 n,4", order="i8 k", operators="f8 m,4",
    pairs="i8 p,2",
)  # fmt: skip
def greedy_labels(
    quaternion: F64, order: I64, operators: F64, limit_rad: float, pairs: I64 | None = None
) -> I64:
    """Label the points: each takes those left that are near it, the first of the order first.

    Parameters
    ----------
    quaternion
        (v, 4) orientations, crystal to sample.
    order
        (n,) rows of the points that count.
    operators
        (m, 4) group of the crystal.
    limit_rad
        Misorientations below it are near.
    pairs
        (p, 2) neighbours: only what steps between near points reach. None: wherever they lie.

    Returns
    -------
    (v,) 0, 1, ... in the order of the centres, -1 for points that do not count. A point that is
    not even near itself (a zero quaternion) is alone.

    Notes
    -----
    Source: section 1.12 of the near-field specification. Twin: ``refimpl/_ext/greedy_grains.pyx``;
    n log n, where grains are few n: a point is compared with the few centres of one cell of
    orientation space. Its memory: 8 bytes a point for the labels and some 300 a centre; with
    pairs 32 a point and 16 a pair. Lengths of quaternions from 1e-70 to 1e70: products of others
    overflow in the definition.
    """
    q, n = np.asarray(quaternion, dtype=np.float64), len(quaternion)
    free = np.zeros(n, dtype=bool)
    free[order] = True
    label = np.full(n, -1, dtype=np.int64)
    near = None if pairs is None else _adjacency(pairs, n)
    count = 0
    for i in order:
        if not free[i]:
            continue
        left = np.flatnonzero(free)
        angle = misorientation(np.broadcast_to(q[i], (len(left), 4)), q[left], operators)
        alike = np.zeros(n, dtype=bool)
        alike[left[angle < limit_rad]] = True
        alike[i] = True
        members = alike if near is None else _flood(int(i), alike, *near)
        label[members] = count
        free &= ~members
        count += 1
    return label


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
