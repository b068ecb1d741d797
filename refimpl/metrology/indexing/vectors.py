"""Lists of lattice vectors: directions to try, grouping of near-equal ones, refinement."""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64
from refimpl.units import DEG

__all__ = ["distinct_vectors", "hemisphere", "refined_vectors", "without_multiples"]

LENGTH_TOLERANCE = 0.1
ANGLE_TOLERANCE_DEG = 5.0
MULTIPLE_TOLERANCE = 0.2


def hemisphere(step_rad: float) -> F64:
    """Unit vectors (m, 3) about ``step_rad`` apart over the half sphere z >= 0.

    Rings of equal polar angle, each divided equally: Steller, Bolotovsky & Rossmann (1997),
    J. Appl. Cryst. 30, 1036.
    """
    rings = max(1, round(0.5 * np.pi / step_rad))
    directions = [np.array([[0.0, 0.0, 1.0]])]
    for k in range(1, rings + 1):
        polar = 0.5 * np.pi * k / rings
        around = 2.0 * np.pi if k < rings else np.pi  # on the equator v and -v are both there
        count = max(1, round(around * np.sin(polar) / step_rad))
        azimuth = around * np.arange(count) / count
        ring = np.full((count, 3), np.cos(polar))
        ring[:, 0] = np.sin(polar) * np.cos(azimuth)
        ring[:, 1] = np.sin(polar) * np.sin(azimuth)
        directions.append(ring)
    return np.concatenate(directions)


def _cosines(vectors: F64, one: F64) -> F64:
    lengths = np.sqrt((vectors * vectors).sum(axis=1) * (one @ one))
    return (vectors @ one) / np.maximum(lengths, 1e-300)


def distinct_vectors(vectors: F64, weights: F64, most: int) -> tuple[F64, F64]:
    """Heaviest vector of each group of vectors alike within 10 % in length and 5 degrees.

    v and -v are alike. Vectors are taken by falling weight; each joins the first group whose head
    it is like, or heads a new one, until there are ``most``.

    Returns
    -------
    Heads (g, 3) and their weights (g,), by falling weight.
    """
    left = np.argsort(-weights, kind="stable")
    lengths = np.sqrt((vectors * vectors).sum(axis=1))
    heads: list[int] = []
    while left.size and len(heads) < most:
        head = int(left[0])
        heads.append(head)
        near = np.abs(lengths[left] / lengths[head] - 1.0) < LENGTH_TOLERANCE
        cosine = np.abs(_cosines(vectors[left], vectors[head]))
        left = left[~(near & (cosine > np.cos(ANGLE_TOLERANCE_DEG * DEG)))]
    return vectors[heads], weights[heads]


def without_multiples(vectors: F64, weights: F64) -> tuple[F64, F64]:
    """Drop vectors that are near a whole multiple of a shorter one that weighs no less.

    Near means within 5 degrees, and 0.2 of a whole number.

    Returns
    -------
    Vectors and weights that are left, by falling weight.
    """
    order = np.argsort((vectors * vectors).sum(axis=1), kind="stable")
    kept: list[int] = []
    for i in order:
        if kept:
            parallel = np.abs(_cosines(vectors[kept], vectors[i])) > np.cos(
                ANGLE_TOLERANCE_DEG * DEG
            )
            ratio = np.linalg.norm(vectors[i]) / np.linalg.norm(vectors[kept], axis=1)
            multiple = (np.abs(ratio - np.rint(ratio)) < MULTIPLE_TOLERANCE) & (ratio > 1.5)
            if bool((parallel & multiple & (weights[kept] >= weights[i])).any()):
                continue
        kept.append(int(i))
    chosen = np.array(sorted(kept, key=lambda i: -weights[i]), dtype=np.int64)
    return vectors[chosen], weights[chosen]


def refined_vectors(points: F64, vectors: F64, error_rad: float, cycles: int = 6) -> F64:
    r"""Vectors moved to where products with the points are nearest to whole numbers.

    Linear least squares of :math:`r_j \cdot v` on its nearest whole number, first over the points
    so near the origin that an error of ``error_rad`` in direction cannot count a period wrong, and
    then over more and more.

    Parameters
    ----------
    points
        (n, 3) [1/Å].
    vectors
        (m, 3) [Å].
    error_rad
        Error in direction of the vectors given [rad].
    cycles
        Steps; each doubles the reach.

    Returns
    -------
    (m, 3) [Å]; a vector with fewer than ten points in reach stays as it was.
    """
    out = np.array(vectors)
    size = np.sqrt((points * points).sum(axis=1))
    order = np.argsort(size, kind="stable")
    points, size = points[order], size[order]
    for i, vector in enumerate(vectors):
        reach = 0.2 / (error_rad * np.linalg.norm(vector))
        for _ in range(cycles):
            some = points[: max(10, int(np.searchsorted(size, reach)))]
            turns = some @ out[i]
            whole = np.rint(turns)
            good = np.abs(turns - whole) < 0.25
            if good.sum() < 10:
                break
            chosen = some[good]
            normal = chosen.T @ chosen
            if np.linalg.cond(normal) < 1e8:
                out[i] = np.linalg.solve(normal, chosen.T @ whole[good])
            reach *= 2.0
    return out
