"""Shapes of the spots of a distl count, and which of them are good enough to index.

A spot is described by the ellipse of its intensity above background; good ones have one or two
maxima, are not lopsided, not outstandingly strong, and not close to a neighbour unless that
distance is common (then it is the lattice).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64

__all__ = ["largest_cell", "nearest", "separated", "shapes"]

_CLOSE = 1.2  # in multiples of the major axis


def shapes(slow: I64, fast: I64, weight: F64, offsets: I64) -> dict[str, F64]:
    r"""Centre of mass and ellipse of spots.

    Parameters
    ----------
    slow, fast
        (n,) pixels of the spots, spot by spot.
    weight
        (n,) counts above background.
    offsets
        (k + 1,) where the spots begin.

    Returns
    -------
    ``slow``, ``fast``
        (k,) centre of mass [px], counted from pixel centres.
    ``a``, ``b``
        (k,) semi-axes [px] of the uniform ellipse with these moments :math:`\lambda`:
        :math:`\sqrt{4 \max(1, \lambda) / \sum w}`.
    ``axis_slow``, ``axis_fast``
        (k,) direction of the major axis.
    ``eccentricity``
        (k,) :math:`\sqrt{1 - \lambda_b / \lambda_a}`.
    ``major``
        (k,) twice the largest distance of a pixel from the mean one [px], or the width across it.
    """
    k = len(offsets) - 1
    spot = np.repeat(np.arange(k), np.diff(offsets))
    total = np.bincount(spot, weight, k)
    centre = [np.bincount(spot, weight * v, k) / total for v in (slow, fast)]
    ds, df = slow - centre[0][spot], fast - centre[1][spot]
    tensor = np.empty((k, 2, 2))  # of inertia, for rotation in the plane
    tensor[:, 0, 0] = np.bincount(spot, weight * (df * df), k)
    tensor[:, 1, 1] = np.bincount(spot, weight * (ds * ds), k)
    tensor[:, 0, 1] = tensor[:, 1, 0] = -np.bincount(spot, weight * ds * df, k)
    values, vectors = np.linalg.eigh(tensor)
    large, small = values[:, 1], values[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        round_ = np.where(large > 0.0, np.minimum(1.0, small / large), 1.0)
    return {
        "slow": centre[0],
        "fast": centre[1],
        "a": np.sqrt(4.0 * np.maximum(1.0, large) / total),
        "b": np.sqrt(4.0 * np.maximum(1.0, small) / total),
        "axis_slow": vectors[:, 0, 0],
        "axis_fast": vectors[:, 1, 0],
        "eccentricity": np.sqrt(1.0 - round_),
        "major": _major_axis(slow, fast, offsets, spot),
    }


def _major_axis(slow: I64, fast: I64, offsets: I64, spot: I64) -> F64:
    """Length over the pixels, whatever their counts."""
    k = len(offsets) - 1
    size = np.diff(offsets)
    ds = slow - (np.bincount(spot, slow, k) / size)[spot]
    df = fast - (np.bincount(spot, fast, k) / size)[spot]
    square = ds * ds + df * df
    first = offsets[:-1]
    furthest = np.maximum.reduceat(square, first)
    at = np.flatnonzero(square == furthest[spot])
    far = at[np.unique(spot[at], return_index=True)[1]]
    across = np.abs(ds[far][spot] * df - ds * df[far][spot])
    major = 2.0 * np.sqrt(furthest)
    with np.errstate(divide="ignore", invalid="ignore"):
        minor = 4.0 * np.maximum.reduceat(across, first) / major
    return np.where(major >= minor, major, minor)


def nearest(points: I64, query: I64) -> tuple[I64, F64]:
    """Nearest other point of each query point: its number and the distance [px].

    Points at the place of the query do not count; -1 and infinity where there is no other.
    """
    from scipy.spatial import cKDTree

    if len(query) == 0 or len(points) < 2:
        return np.full(len(query), -1, dtype=np.int64), np.full(len(query), np.inf)
    tree = cKDTree(points.astype(np.float64))
    many = min(4, len(points))
    distance, which = tree.query(query.astype(np.float64), k=many)
    distance = np.where(distance > 0.0, distance, np.inf)
    best = np.argmin(distance, axis=1)
    row = np.arange(len(query))
    return which[row, best].astype(np.int64), distance[row, best]


def _common_vectors(points: I64, mean_area: float, enough: int) -> I64:
    """(v, 2) vectors to nearest neighbours that many spots share: those of the lattice."""
    which, _ = nearest(points, points)
    reach = int(math.sqrt(20.0 * mean_area) / 2.0) + 1
    plot = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.int64)
    vector = (points[which] - points)[which >= 0]
    vector = vector[(np.abs(vector) <= reach).all(axis=1)]
    np.add.at(plot, (reach + vector[:, 0], reach + vector[:, 1]), 1)
    np.add.at(plot, (reach - vector[:, 0], reach - vector[:, 1]), 1)
    highest = plot[1:-1].max(initial=0)
    found = []
    for x in range(1 - reach, reach):
        for y in range(0, reach):
            if y == 0 and x <= 0:
                continue
            s, f = reach + x, reach + y
            value = plot[s, f]
            after = (plot[s, f + 1], plot[s + 1, f + 1], plot[s + 1, f], plot[s + 1, f - 1])
            before = (plot[s, f - 1], plot[s - 1, f - 1], plot[s - 1, f], plot[s - 1, f + 1])
            is_top = value >= max(after) and value > max(before)
            if is_top and value > 0.2 * highest and value > 0.05 * enough:
                found.append((x, y))
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def separated(points: I64, chosen: I64, shape: dict[str, F64], mean_area: float) -> tuple[I64, F64]:
    """Spots of a list that stand apart, with the distance [px] to the nearest spot of all.

    Parameters
    ----------
    points
        (n, 2) peak pixels (slow, fast) of all spots.
    chosen
        Numbers of the spots to choose from.
    shape
        Of all spots, see :func:`shapes`.
    mean_area
        Of the spots with few maxima [px].

    Notes
    -----
    As in distl a common vector, which points to growing fast coordinates, excuses a spot only where
    its neighbour lies on that side, not its neighbour.
    """
    which, distance = nearest(points, points[chosen])
    vectors = _common_vectors(points, mean_area, len(chosen))
    use = len(vectors) <= 3
    keep = _are_compact(chosen, shape, vectors) if use else np.full(len(chosen), True)
    step = points[which] - points[chosen]
    close = shape["major"][chosen] * _CLOSE > np.sqrt((step * step).sum(axis=1))
    if use and len(vectors):
        close &= ~(np.abs(step[:, None] - vectors[None]) <= 1).all(axis=2).any(axis=1)
    keep &= ~close & (which >= 0)
    return chosen[keep], distance[keep]


def _are_compact(chosen: I64, shape: dict[str, F64], vectors: I64) -> NDArray[np.bool_]:
    """Whether the ellipse is narrower, along each common vector, than the vector is long."""
    compact = np.full(len(chosen), True)
    a, b = shape["a"][chosen], shape["b"][chosen]
    for vector in vectors:
        square = float((vector * vector).sum())
        dot = shape["axis_slow"][chosen] * vector[0] + shape["axis_fast"][chosen] * vector[1]
        cosine = dot / math.sqrt(square)
        sine2 = 1.0 - np.minimum(cosine * cosine, 1.0)
        width2 = 4.0 * (a * a * b * b / (a * a * sine2 + b * b * cosine * cosine))
        compact &= width2 < square
    return compact


def largest_cell(distance_mm: F64, pixel_size_mm: float, bin_size: int) -> float | None:
    """Distance [mm] of neighbours that stands for the longest cell edge; None below three spots.

    The smaller of the most frequent distance and the fifth percentile.
    """
    n = len(distance_mm)
    if n <= 2:
        return None
    mean, least = float(distance_mm.mean()), float(distance_mm.min())
    fine = max(pixel_size_mm / 2.0, mean / (1.0 + n / bin_size))
    counts = np.zeros(int(mean * 4 / fine), dtype=np.int64)
    at = ((distance_mm - least) / fine).astype(np.int64)
    np.add.at(counts, at[at < len(counts)], 1)
    frequent = least + (0.5 + int(np.argmax(counts))) * fine
    return min(frequent, float(np.sort(distance_mm)[int(0.05 * n)]))
