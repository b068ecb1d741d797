"""Centres of beam-shift groups on the grid of holes: their numbers, and the distances between them.

The holes of a foil lie on a lattice, so the centres of the groups do too, nearly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.clustering.spanning_tree import check_points
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = [
    "Spacings",
    "distances",
    "grid_indices",
    "k_of",
    "lattice_edges",
    "number_on_grid",
    "spacings",
]

EDGE_REACH = 2.0**0.25
"""Longest edge of the lattice, over the median distance to the nearest centre: half-way, in ratio,
from the side of a square to its diagonal."""

TIE = 1e-6
"""Centres whose distances agree to this part of the largest tie, as in a perfect grid."""


@dataclass(frozen=True)
class Spacings:
    """Distances between centres that may stand for the spacing of the holes.

    Attributes
    ----------
    min
        Smallest of all.
    nn_mean, nn_median
        Of each centre's distance to the nearest other.
    edge_mean
        Mean over all edges of the lattice (:func:`lattice_edges`); it averages both directions,
        where the nearest-neighbour means see the shorter one only.
    smallest_median
        Median of the n smallest distances of n centres: "a representative small distance" of the
        published README, whose worked example (4 um, 5 centres) it answers with 0.163, k = 24.5.
    """

    min: float
    nn_mean: float
    nn_median: float
    edge_mean: float
    smallest_median: float


def distances(centres: F64) -> F64:
    """(n, n) distances between centres, 0 on the diagonal.

    Parameters
    ----------
    centres
        (n, 2), or already the (n, n) matrix, for n other than 2.
    """
    values = np.asarray(centres, dtype=np.float64)
    if values.ndim == 2 and values.shape[0] == values.shape[1] and len(values) > 2:
        return values
    values = check_points(values)
    return np.asarray(np.hypot(*(values[:, None, :] - values[None, :, :]).transpose(2, 0, 1)))


def spacings(centres: F64) -> Spacings:
    """Distances that may stand for the spacing of the holes.

    Parameters
    ----------
    centres
        (n, 2) centres of groups, or their (n, n) matrix of distances for n other than 2.

    Raises
    ------
    ConfigError
        Fewer than two centres.
    """
    matrix = distances(centres)
    n = len(matrix)
    if n < 2:
        raise ConfigError(f"{n} centre(s): a spacing needs two")
    upper = matrix[np.triu_indices(n, 1)]
    nearest = np.min(matrix + np.diag(np.full(n, np.inf)), axis=1)
    reach = EDGE_REACH * float(np.median(nearest))
    return Spacings(
        min=float(upper.min()),
        nn_mean=float(nearest.mean()),
        nn_median=float(np.median(nearest)),
        edge_mean=float(upper[upper <= reach].mean()),
        smallest_median=float(np.median(np.sort(upper)[:n])),
    )


def k_of(spacing_um: float, distance: float) -> float:
    """Published coefficient [um per unit of beam shift]: spacing of the holes over a distance.

    Raises
    ------
    ConfigError
        One of them is not positive.
    """
    if not (np.isfinite(spacing_um) and spacing_um > 0.0):
        raise ConfigError(f"spacing of the holes {spacing_um!r} um: expected a positive number")
    if not (np.isfinite(distance) and distance > 0.0):
        raise ConfigError(f"distance of beam shifts {distance!r}: expected a positive number")
    return float(spacing_um) / float(distance)


def lattice_edges(centres: F64) -> I64:
    """(m, 2) pairs of centres one step of the lattice apart, the smaller index first."""
    matrix = distances(centres)
    n = len(matrix)
    if n < 2:
        return np.zeros((0, 2), dtype=np.int64)
    nearest = np.min(matrix + np.diag(np.full(n, np.inf)), axis=1)
    first, second = np.triu_indices(n, 1)
    kept = matrix[first, second] <= EDGE_REACH * float(np.median(nearest))
    return np.column_stack([first[kept], second[kept]]).astype(np.int64)


def grid_indices(centres: F64) -> I64:
    """(n, 2) integer position of each centre on the lattice; (0, 0) is nearest to no beam shift.

    The first axis is the direction of the lattice within 45 degrees of +x, the second a quarter
    turn on, counter-clockwise. Centres that are on no lattice get the nearest integers.
    """
    values = check_points(centres)
    n = len(values)
    if n == 0:
        return np.zeros((0, 2), dtype=np.int64)
    origin = values[_origin(values)]
    edges = lattice_edges(values)
    if n < 2 or not len(edges):
        return np.zeros((n, 2), dtype=np.int64)
    step = values[edges[:, 1]] - values[edges[:, 0]]
    basis = _basis(step)
    # Refine on the whole grid: far centres would round wrongly with a basis of single steps.
    index = np.rint((values - origin) @ np.linalg.inv(basis))
    for _ in range(3):
        design = np.column_stack([index, np.ones(n)])
        if np.linalg.matrix_rank(design) < 3:
            break
        fitted = np.linalg.lstsq(design, values, rcond=None)[0]
        if abs(np.linalg.det(fitted[:2])) < 0.25 * abs(np.linalg.det(basis)):
            break
        index = np.rint((values - origin) @ np.linalg.inv(fitted[:2]))
    return index.astype(np.int64)


def number_on_grid(centres: F64) -> I64:
    """Number of each centre: from the middle ring by ring, counter-clockwise, from 1.

    The order of EPU_Group_AFIS: square rings (largest of the two grid indices) around the centre
    nearest to no beam shift; within a ring by angle from the first axis of :func:`grid_indices`.

    Parameters
    ----------
    centres
        (n, 2); any n, in any order.

    Returns
    -------
    (n,) a permutation of 1..n.
    """
    values = check_points(centres)
    index = grid_indices(values)
    ring = np.abs(index).max(axis=1, initial=0)
    angle = np.mod(np.arctan2(index[:, 1], index[:, 0]), 2.0 * np.pi)
    # Centres that share a grid index (no lattice) are told apart by their own places.
    order = np.lexsort((values[:, 1], values[:, 0], np.hypot(*values.T), angle, ring))
    number = np.empty(len(values), dtype=np.int64)
    number[order] = np.arange(1, len(values) + 1)
    return number


def _origin(values: F64) -> int:
    """Index of the centre nearest to no beam shift; of equals, the least x, then the least y."""
    size = np.hypot(*values.T)
    same = TIE * float(size.max())
    near = np.flatnonzero(size <= size.min() + same)
    x, y = np.rint(values[near].T / same) if same > 0.0 else values[near].T
    return int(near[np.lexsort((y, x))[0]])


def _basis(step: F64) -> F64:
    """(2, 2) rows: steps of the lattice averaged along the two axes, the first nearest to +x."""
    angle = np.arctan2(step[:, 1], step[:, 0])
    # The mean direction of a square lattice is that of four times the angle.
    turn = np.angle(np.mean(np.exp(4j * angle))) / 4.0
    quarter = np.mod(np.rint((angle - turn) / (np.pi / 2.0)), 4).astype(int)
    first = np.where((quarter == 0)[:, None], step, -step)[quarter % 2 == 0]
    second = np.where((quarter == 1)[:, None], step, -step)[quarter % 2 == 1]
    a = first.mean(axis=0) if len(first) else None
    b = second.mean(axis=0) if len(second) else None
    if a is None and b is not None:
        a = np.array([b[1], -b[0]])
    if b is None and a is not None:
        b = np.array([-a[1], a[0]])
    return np.array([a, b])
