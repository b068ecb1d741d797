"""Local maximisation of the confidence about starting orientations.

The confidence is a step function of the orientation: a simplex that stops when its values agree
stops on a plateau, which is how published fits end (spec 5.2). So here a simplex in the rotation
vector goes on until it is small, is begun again with shorter edges, and where the confidence stays
low the surroundings of the start are strewn with points and the best of them are climbed from.
The top is a plateau too: its middle is returned, not the first point of it that was met.
The published fit (Euler angles in a box, NLopt's simplex and stopping rules) is here as well.
Vectors are in the MIDAS near-field frame. Not here: which orientations to start from
(:mod:`refimpl.nearfield.search`, :mod:`refimpl.nearfield.blind`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64, I64
from refimpl.nearfield.fit_settings import FitSettings
from refimpl.objective.overlap import confidence, maximise
from refimpl.objective.simplex import minimise_simplex
from refimpl.rotations import euler_of_matrix, matrix_of_euler

__all__ = [
    "FitSettings",
    "Fitted",
    "centred",
    "climbed",
    "confidences",
    "points_in_ball",
    "published_fit",
    "scattered",
    "turned",
    "within",
]

_BATCH = 1 << 15  # orientations whose confidence is found in one call: 4 MB

# Numbers of the generalised golden ratio in three dimensions: the root of x^4 = x + 1.
_GOLDEN = 1.2207440846057596


class Fitted(NamedTuple):
    """Where n fits ended: (n, 3, 3) orientations, (n,) confidences, (n,) evaluations."""

    orientations: F64
    confidence: F64
    evaluations: I64


def points_in_ball(n: int) -> F64:
    """(n, 3) points spread evenly over the ball of radius 1, always the same; the first is 0.

    Source: additive recurrence with the generalised golden ratio (M. Roberts, 2018, "The
    unreasonable effectiveness of quasirandom sequences"), points outside the ball left out.
    """
    step = _GOLDEN ** -np.arange(1.0, 4.0)
    cube = 2.0 * ((0.5 + np.arange(4.0 * n + 32.0)[:, None] * step) % 1.0) - 1.0
    return np.ascontiguousarray(cube[(cube * cube).sum(axis=1) <= 1.0][:n])


def turned(orientations: F64, vectors: F64) -> F64:
    """Orientations turned in the sample by vectors 2 tan(angle / 2) times the axis.

    Parameters
    ----------
    orientations
        (..., 3, 3).
    vectors
        (..., 3) [rad], small; the leading axes are broadcast.

    Notes
    -----
    Source: :func:`refimpl.objective.overlap_climb.turned`. Only arithmetic, element by element:
    the same bits however many come at a time.
    """
    a, b, c = np.moveaxis(0.5 * vectors, -1, 0)
    s = 2.0 / (1.0 + (a * a + b * b + c * c))
    rows = (
        (1.0 - s * (b * b + c * c), s * (a * b - c), s * (a * c + b)),
        (s * (a * b + c), 1.0 - s * (a * a + c * c), s * (b * c - a)),
        (s * (a * c - b), s * (b * c + a), 1.0 - s * (a * a + b * b)),
    )
    u = orientations
    turn = [[e[..., None] for e in row] for row in rows]
    return np.stack(
        [r[0] * u[..., 0, :] + r[1] * u[..., 1, :] + r[2] * u[..., 2, :] for r in turn], axis=-2
    )


def within(found: F64, starts: F64, tolerance_rad: float) -> NDArray[np.bool_]:
    """(n,) whether the rotation from start to end, both (n, 3, 3), is within OrientTol."""
    trace = sum(found[:, i, j] * starts[:, i, j] for i in range(3) for j in range(3))
    return np.asarray(0.5 * (trace - 1.0) >= np.cos(tolerance_rad))


def climbed(
    vertices: F64,
    starts: F64,
    setup: Setup,
    lit: LitPixels,
    settings: FitSettings,
    edges_rad: tuple[float, ...],
    size_rad: float,
) -> Fitted:
    """Simplices of falling edges from n starts, each item by itself.

    Parameters
    ----------
    vertices
        (n, k, 2) corners of the voxel of each start [mm].
    starts
        (n, 3, 3) orientations, crystal to sample.
    setup, lit, settings
        What is compared with what, and how.
    edges_rad, size_rad
        See :class:`FitSettings`. No edge is longer than half the tolerance.
    """
    if not len(starts):
        return Fitted(np.zeros((0, 3, 3)), np.zeros(0), np.zeros(0, np.int64))
    edges = tuple(min(edge, 0.5 * settings.tolerance_rad) for edge in edges_rad)
    got = maximise(
        np.ascontiguousarray(vertices), np.ascontiguousarray(starts), setup, lit,
        edges_rad=edges, size_rad=min(size_rad, 0.25 * min(edges)),
        max_evaluations=settings.max_evaluations, enough=settings.enough, threads=1,
    )  # fmt: skip
    return Fitted(got.orientations, got.confidence, np.asarray(got.evaluations, dtype=np.int64))


def scattered(
    vertices: F64, centres: F64, setup: Setup, lit: LitPixels, settings: FitSettings
) -> Fitted:
    """Best of what is reached from points strewn about n orientations; arguments as climbed's."""
    vectors = points_in_ball(settings.scatter_points) * settings.scatter_radius_rad
    n, m = len(centres), len(vectors)
    best = min(settings.scatter_best, m)
    if not n:
        return climbed(vertices, centres, setup, lit, settings, settings.edges_rad, 1.0)
    tried, chosen = np.empty((n, m)), np.empty((n, best, 3, 3))
    step = max(1, _BATCH // m)
    for i in range(0, n, step):
        part = slice(i, min(i + step, n))
        strewn = turned(centres[part, None], vectors)
        tried[part] = confidences(np.repeat(vertices[part], m, axis=0), strewn, setup, lit)
        top = np.argsort(-tried[part], axis=1, kind="stable")[:, :best]
        chosen[part] = np.take_along_axis(strewn, top[:, :, None, None], axis=1)
    corners = np.repeat(vertices, best, axis=0)
    one = slice(0, 1) if settings.scatter_last < best else slice(None)
    size = settings.first_size_rad if settings.scatter_last < best else settings.size_rad
    edges = settings.edges_rad[one]
    got = climbed(corners, chosen.reshape(-1, 3, 3), setup, lit, settings, edges, size)
    fits, c = got.orientations.reshape(n, best, 3, 3), got.confidence.reshape(n, best)
    evaluations = m + got.evaluations.reshape(n, best).sum(axis=1)
    if settings.scatter_last < best:
        last = np.argsort(-c, axis=1, kind="stable")[:, : settings.scatter_last]
        fits = np.take_along_axis(fits, last[:, :, None, None], axis=1)
        corners = np.repeat(vertices, settings.scatter_last, axis=0)
        got = climbed(
            corners, fits.reshape(-1, 3, 3), setup, lit, settings, settings.edges_rad,
            settings.size_rad,
        )  # fmt: skip
        fits, c = got.orientations.reshape(fits.shape), got.confidence.reshape(n, -1)
        evaluations = evaluations + got.evaluations.reshape(n, -1).sum(axis=1)
    row, at = np.arange(n), c.argmax(axis=1)
    return Fitted(fits[row, at], c[row, at], evaluations)


def centred(
    vertices: F64,
    orientations: F64,
    values: F64,
    setup: Setup,
    lit: LitPixels,
    settings: FitSettings,
) -> Fitted:
    """Middle of the plateau on which each of n orientations lies.

    The mean of the points strewn about it that are as good is taken if it is as good itself; a
    better point that turns up is taken in any case. So no confidence falls.

    Parameters
    ----------
    vertices, orientations
        As in :func:`climbed`.
    values
        (n,) their confidences.
    setup, lit, settings
        As in :func:`climbed`.
    """
    spent = np.zeros(len(orientations), dtype=np.int64)
    if not settings.centre_points or not len(orientations):
        return Fitted(orientations, values, spent)
    vectors = points_in_ball(settings.centre_points) * settings.centre_radius_rad
    strewn = turned(orientations[:, None], vectors)
    m = len(vectors)
    c = confidences(np.repeat(vertices, m, axis=0), strewn, setup, lit)
    top = np.maximum(values, c.max(axis=1))
    equal = c >= top[:, None]
    weight = np.maximum(equal.sum(axis=1), 1)
    # summed in order: the same bits however many voxels come at a time
    total = np.stack([np.add.accumulate(equal * v, axis=1)[:, -1] for v in vectors.T], axis=1)
    middle = turned(orientations, total / weight[:, None])
    at_middle = confidence(vertices, middle, setup, lit, threads=1).confidence
    first = strewn[np.arange(len(strewn)), equal.argmax(axis=1)]
    found = np.where((top > values)[:, None, None], first, orientations)
    good = at_middle >= top
    return Fitted(
        np.where(good[:, None, None], middle, found), np.where(good, at_middle, top), spent + m + 1
    )


def published_fit(
    vertices: F64, start: F64, setup: Setup, lit: LitPixels, settings: FitSettings
) -> Fitted:
    """Fit of one start of one voxel as published: 1 - C over Euler angles within a box.

    Parameters
    ----------
    vertices
        (k, 2) corners [mm].
    start
        (3, 3) orientation.
    setup, lit, settings
        As in :func:`climbed`; only the tolerance and the limit on evaluations are used.

    Notes
    -----
    Source: spec 1.9, phase 2: NLopt's LN_NELDERMEAD, relative tolerances 1e-5 on value and place.
    """
    euler = euler_of_matrix(start)
    tolerance = settings.tolerance_rad

    def lack(x: F64) -> float:
        got = confidence(vertices, matrix_of_euler(x)[None], setup, lit, threads=1)
        return 1.0 - float(got.confidence[0])

    got = minimise_simplex(
        lack, euler, euler - tolerance, euler + tolerance, 1e-5, 1e-5, settings.max_evaluations
    )
    matrix = matrix_of_euler(got.x)[None]
    return Fitted(matrix, np.array([1.0 - got.value]), np.array([got.evaluations]))


def confidences(vertices: F64, strewn: F64, setup: Setup, lit: LitPixels) -> F64:
    """(n, m) confidences of (n, m, 3, 3) orientations; vertices (n m, k, 2)."""
    n, m = strewn.shape[:2]
    flat = np.ascontiguousarray(strewn.reshape(-1, 3, 3))
    out = [
        confidence(vertices[i : i + _BATCH], flat[i : i + _BATCH], setup, lit, threads=1).confidence
        for i in range(0, len(flat), _BATCH)
    ]
    return np.concatenate(out).reshape(n, m)
