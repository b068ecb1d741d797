r"""Climb to the orientation of largest confidence: a simplex that no plateau stops.

Confidence is piecewise constant, a ratio of whole numbers: a simplex whose four values are equal
has found nothing yet, and the published rule, which stops there, ends half a degree short. This one
ends when it is small, or at a confidence that is enough. It moves in the vector
:math:`x = 2 n\tan(\alpha/2)` of the turn from its start, in which E = 1 + (2 / (1 + q^2)) ([q] +
[q]^2) with q = x / 2 and [q] its cross product: no angle, no branch, only arithmetic.

Source: J. A. Nelder and R. Mead, Comput. J. 7 (1965) 308; near-field specification 1.9, 5.2.
Vectors are in the MIDAS near-field frame. Not here: where to start, see nearfield/search.py; the
published optimiser with its stopping rules is :mod:`refimpl.objective.simplex`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from refimpl.bounds import check_finite, check_within
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.objective.overlap_counts import (
    I32,
    SCENE,
    U8,
    U32,
    U64,
    check_scene,
    count_overlap,
)

__all__ = ["climb", "turned"]

Confidence = Callable[[F64], float]


def turned(u: F64, x: F64) -> F64:
    """Orientation u (3, 3) turned by x (3,) = 2 tan(angle / 2) times the axis [rad]."""
    a, b, c = 0.5 * x
    s = 2.0 / (1.0 + (a * a + b * b + c * c))
    e = [
        [1.0 - s * (b * b + c * c), s * (a * b - c), s * (a * c + b)],
        [s * (a * b + c), 1.0 - s * (a * a + c * c), s * (b * c - a)],
        [s * (a * c - b), s * (b * c + a), 1.0 - s * (a * a + b * b)],
    ]
    return np.array([row[0] * u[0] + row[1] * u[1] + row[2] * u[2] for row in e])


def _between(a: F64, b: F64, at: float) -> F64:
    return a + at * (b - a)


def _step(f: Confidence, points: F64, values: F64, best: int, worst: int) -> int:
    """Reflect, expand, contract or shrink once, in place; how often f was called."""
    others = [i for i in range(4) if i != worst]
    second = min(others, key=lambda i: (values[i], i))
    centre = np.zeros(3)
    for i in others:
        centre = centre + points[i] / 3.0
    reflected = _between(centre, points[worst], -1.0)
    at_reflected = f(reflected)
    if at_reflected > values[best]:
        expanded = _between(centre, points[worst], -2.0)
        at_expanded = f(expanded)
        further = at_expanded > at_reflected
        points[worst] = expanded if further else reflected
        values[worst] = at_expanded if further else at_reflected
        return 2
    if at_reflected > values[second]:
        points[worst], values[worst] = reflected, at_reflected
        return 1
    outside = at_reflected > values[worst]
    contracted = _between(centre, reflected if outside else points[worst], 0.5)
    at_contracted = f(contracted)
    if at_contracted > max(values[worst], at_reflected):
        points[worst], values[worst] = contracted, at_contracted
        return 2
    for i in range(4):
        if i != best:
            points[i] = _between(points[best], points[i], 0.5)
            values[i] = f(points[i])
    return 5


def _simplex(
    f: Confidence, edge: float, size: float, enough: float, most: int
) -> tuple[F64, float, int]:
    """Best point, its value and the number of calls, of one simplex about the origin."""
    points = np.full((4, 3), -0.25 * edge)
    points[[1, 2, 3], [0, 1, 2]] = 0.75 * edge
    values = np.array([f(p) for p in points])
    n = 4
    while True:
        best = int(np.argmax(values))  # of equals the first, and of the worst the last
        worst = 3 - int(np.argmin(values[::-1]))
        small = np.abs(points - points[best]).max() < size
        if values[best] >= enough or n >= most or small:
            return points[best], float(values[best]), n
        n += _step(f, points, values, best, worst)


def _check_climb(
    vertices: F64, camera: F64, distances: F64, scan: F64, coarse: U64, rank: I32, tiles: U32,
    edges_rad: F64, most: int,
) -> None:  # fmt: skip
    check_scene(vertices.shape[1], camera, distances, scan, coarse, rank, tiles)
    check_finite(wedge=camera[12], pole=camera[14])
    check_within("most", most, 1, 2**31 - 1)
    if not np.isfinite(edges_rad).all():
        raise ConfigError("edges_rad are not finite")


@twin(
    "arithmetic", check=_check_climb, vertices="f8 n,k,2", orientations="f8 n,3,3",
    single="u1 n", **SCENE, edges_rad="f8 e",
)  # fmt: skip
def climb(
    vertices: F64,
    orientations: F64,
    single: U8,
    g: F64,
    theta_rad: F64,
    ranges: F64,
    boxes: F64,
    camera: F64,
    distances: F64,
    scan: F64,
    coarse: U64,
    rank: I32,
    tiles: U32,
    published: bool,
    edges_rad: F64,
    size_rad: float,
    most: int,
    enough: float,
) -> tuple[F64, F64, I32]:
    """Climb in confidence from an orientation for each voxel, by simplices one after the other.

    Parameters
    ----------
    vertices, single, g, theta_rad, ranges, boxes, camera, distances, scan, coarse, rank, tiles, \
    published
        As of :func:`refimpl.objective.overlap_counts.count_overlap`.
    orientations
        (n, 3, 3) where to start; rows are independent of each other.
    edges_rad
        (e,) edge of the first simplex of each climb; each starts from the best found so far.
    size_rad
        A simplex ends when none of its vertices differs by this in a coordinate from the best, or
        by a quarter of its first edge if that is less. It never ends because values are equal.
    most
        Confidences that one simplex may ask for; the last step may exceed it by four.
    enough
        Stop at this confidence.

    Returns
    -------
    orientations
        (n, 3, 3) best found; the start itself where nothing was better.
    confidence
        (n,).
    evaluations
        (n,) confidences asked for.

    Notes
    -----
    Twin: ``refimpl/_ext/overlap_climb.pyx``.
    """
    scene = (g, theta_rad, ranges, boxes, camera, distances, scan, coarse, rank, tiles, published)
    found = np.array(orientations)
    confidence, evaluations = np.zeros(len(found)), np.zeros(len(found), dtype=np.int32)
    for i in range(len(found)):
        rows = slice(i, i + 1)

        def at(u: F64, rows: slice = rows) -> float:
            counts = count_overlap(
                vertices[rows],
                u[None],
                single[rows],
                *scene,
                backend="python",  # type: ignore[call-arg]
            )[0]
            return float(counts[1]) / float(counts[0]) if counts[0] else 0.0

        confidence[i], evaluations[i] = at(found[i]), 1
        for edge in edges_rad:
            if confidence[i] >= enough:
                break
            start = found[i].copy()
            x, value, n = _simplex(
                lambda x, start=start, at=at: at(turned(start, x)),  # type: ignore[misc]
                float(edge), min(size_rad, 0.25 * float(edge)), enough, most,
            )  # fmt: skip
            evaluations[i] += n
            if value > confidence[i]:
                confidence[i], found[i] = value, turned(start, x)
    return found, confidence, evaluations
