"""Grains of an orientation map: segmentation, mean orientations, and spreads inside a grain.

A map is a list of points with an orientation each, and pairs of points that are neighbours; a
point without a solution has NaN for its quaternion, and belongs to no grain. Grains are what steps
between neighbours of at most an angle can reach (flood fill). Not here: boundaries as lines, twin
relations, and grains that several layers share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.clustering.neighbours import check_rows, pair_angles
from refimpl.crystal.fundamental_zone import fundamental_zone
from refimpl.crystal.misorientation import disorientation, misorientation
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.rotations import multiply_quaternions

__all__ = [
    "Grains",
    "by_first_appearance",
    "grain_table",
    "kernel_average",
    "mean_orientations",
    "reference_deviation",
    "segment",
]

ROUNDS = 20
"""Most rounds of a mean: each moves the images nearest to the last mean."""

SETTLED = 1e-14
"""A mean that moves by less [quaternion components] is done."""


@dataclass(frozen=True, eq=False)
class Grains:
    """One row a grain.

    Attributes
    ----------
    quaternion
        (g, 4) mean orientation in the fundamental zone, crystal to sample.
    n_points
        (g,) points.
    centre
        (g, 2) or (g, 3) mean position, in the unit of the positions.
    spread_rad
        (g,) mean misorientation of the points with the mean (grain orientation spread).
    """

    quaternion: F64
    n_points: I64
    centre: F64
    spread_rad: F64

    def __len__(self) -> int:
        """Number of grains."""
        return len(self.n_points)


# --- grains -------------------------------------------------------------------------------------


def segment(
    quaternion: F64, pairs: I64, operators: F64, limit_rad: float, angles: F64 | None = None
) -> I64:
    """Label the grains of a map.

    Parameters
    ----------
    quaternion
        (v, 4) orientations, crystal to sample; NaN without a solution.
    pairs
        (k, 2) neighbours.
    operators
        (m, 4) group of the crystal.
    limit_rad
        Largest misorientation of neighbours in a grain, inclusive (published GBAngle: 5 degrees).
    angles
        (k,) from :func:`pair_angles`, where it is there already.

    Returns
    -------
    (v,) 0, 1, ... in the order of the points; -1 without a solution.

    Raises
    ------
    ConfigError
        The limit is negative, or a pair names a point that is not there.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not limit_rad >= 0.0:
        raise ConfigError(f"limit of a grain {limit_rad!r} rad: expected an angle of 0 or more")
    between = pair_angles(quaternion, pairs, operators) if angles is None else angles
    a, b = pairs[between <= limit_rad].T
    n = len(quaternion)
    graph = coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n))
    label = connected_components(graph, directed=False)[1].astype(np.int64)
    return by_first_appearance(np.where(np.isfinite(quaternion).all(axis=1), label, -1))


def by_first_appearance(label: I64) -> I64:
    """Labels renumbered 0, 1, ... in the order in which they come; negative ones become -1."""
    out = np.full(len(label), -1, dtype=np.int64)
    inside = label >= 0
    _, first, back = np.unique(label[inside], return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    out[inside] = rank[back]
    return out


def mean_orientations(
    quaternion: F64, label: I64, operators: F64, weight: F64 | None = None
) -> F64:
    r"""Mean orientation of each grain, its symmetry allowed for.

    .. math:: \bar q = \arg\max_{|q| = 1} \sum_i w_i (q \cdot q_i S_i)^2

    with :math:`S_i` the operator that brings point i nearest to the mean: found anew from each
    mean, starting at the grain's first point, until it stays.

    Parameters
    ----------
    quaternion
        (v, 4) unit quaternions.
    label
        (v,) grain of each point, 0 to g - 1; -1 for none.
    operators
        (m, 4) group of the crystal.
    weight
        (v,) not negative; by default all are equal.

    Returns
    -------
    (g, 4) in the fundamental zone, w >= 0; NaN for a number that no point has.

    Notes
    -----
    Source: F. L. Markley et al. (2007), J. Guid. Control Dyn. 30, 1193, eq. 12. It is the mean of
    points within half the zone of each other, as in a grain, and only there unique.
    """
    inside = np.flatnonzero(label >= 0)
    n_grains = int(label.max(initial=-1)) + 1
    out = np.full((n_grains, 4), np.nan)
    if not len(inside):
        return out
    own, q = label[inside], np.asarray(quaternion, dtype=np.float64)[inside]
    w = np.ones(len(q)) if weight is None else np.asarray(weight, dtype=np.float64)[inside]
    present, first = np.unique(own, return_index=True)
    out[present] = q[first]
    for _ in range(ROUNDS):
        start = out[own]
        image = multiply_quaternions(start, disorientation(start, q, operators)[0])
        new = _principal_axes(image, w, own, n_grains)[present]
        new = np.where((new * out[present]).sum(axis=1, keepdims=True) < 0.0, -new, new)
        moved = np.abs(new - out[present]).max()
        out[present] = new
        if moved < SETTLED:
            break
    out[present] = fundamental_zone(out[present], operators)
    return out


def _principal_axes(q: F64, weight: F64, own: I64, n_grains: int) -> F64:
    """(g, 4) eigenvector of the largest eigenvalue of each grain's sum of w q q^T."""
    tensor = np.zeros((n_grains, 4, 4))
    for i in range(4):
        for j in range(i + 1):
            total = np.bincount(own, weight * q[:, i] * q[:, j], minlength=n_grains)
            tensor[:, i, j] = tensor[:, j, i] = total
    return np.asarray(np.linalg.eigh(tensor)[1][:, :, -1])


def grain_table(quaternion: F64, label: I64, operators: F64, position: F64) -> Grains:
    """Mean orientation, size, place and spread of each grain.

    Parameters
    ----------
    quaternion, label, operators
        As of :func:`mean_orientations`; labels without a gap.
    position
        (v, 2) or (v, 3).

    Raises
    ------
    ConfigError
        A grain has no point.
    """
    inside = label >= 0
    own = label[inside]
    count = np.bincount(own)
    if (count == 0).any():
        raise ConfigError(f"grain {int(count.argmin())} has no point: expected labels without gap")
    mean = mean_orientations(quaternion, label, operators)
    angle = reference_deviation(quaternion, label, mean, operators)[inside]
    centre = [np.bincount(own, x, minlength=len(count)) / count for x in position[inside].T]
    spread = np.bincount(own, angle, minlength=len(count)) / count
    return Grains(mean, count, np.stack(centre, axis=1), spread)


# --- spreads ------------------------------------------------------------------------------------


def kernel_average(n: int, pairs: I64, angles: F64, limit_rad: float = np.inf) -> F64:
    """Kernel average misorientation: mean over each point's neighbours (KAM).

    Parameters
    ----------
    n
        Number of points.
    pairs, angles
        (k, 2) and (k,) [rad], see :func:`pair_angles`; a NaN is left out.
    limit_rad
        Larger misorientations belong to a boundary and are left out; the published program has no
        limit.

    Returns
    -------
    (n,) [rad]; NaN for a point without a neighbour.
    """
    check_rows("pairs", pairs, n)
    keep = angles <= limit_rad
    ends, twice = pairs[keep].T.ravel(), np.tile(angles[keep], 2)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(ends, twice, minlength=n) / np.bincount(ends, minlength=n))


def reference_deviation(quaternion: F64, label: I64, reference: F64, operators: F64) -> F64:
    """Grain reference orientation deviation: misorientation of points with their grain (GROD).

    Parameters
    ----------
    quaternion
        (v, 4) orientations.
    label
        (v,) grain of each point; -1 for none.
    reference
        (g, 4) orientation of each grain: its mean, or that of its best point as published.
    operators
        (m, 4) group of the crystal.

    Returns
    -------
    (v,) [rad]; NaN outside of grains.
    """
    check_rows("labels", label[label >= 0], len(reference))
    out = np.full(len(label), np.nan)
    inside = label >= 0
    q = np.asarray(quaternion, dtype=np.float64)[inside]
    out[inside] = misorientation(q, reference[label[inside]], operators)
    return out
