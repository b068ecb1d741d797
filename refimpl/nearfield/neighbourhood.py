"""Voxels fitted from orientations about them, and those that their neighbours dispute.

The published keyword for the latter, NearestMisorientation, is read by all published programs and
acted on by none (spec 1.9). Vectors are in the MIDAS near-field frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64, I64
from refimpl.nearfield.compare import neighbours
from refimpl.nearfield.fit_settings import SearchSettings
from refimpl.nearfield.refine import (
    climbed,
    confidences,
    points_in_ball,
    scattered,
    turned,
    within,
)
from refimpl.nearfield.search import best_of_each, topped
from refimpl.nearfield.solutions import NO_SEED, Solutions, Tried, settled
from refimpl.rotations import matrix_of_euler, quaternion_of_euler, quaternion_of_matrix
from refimpl.units import DEG

__all__ = ["disputed", "from_neighbours", "from_starts", "neighbour_table"]

_CLOSE = 0.1  # confidence that a start may be behind the best one and is looked at more closely
_SPECIFIC_POINTS, _SPECIFIC_RADIUS = 128, 0.05 * DEG


def neighbour_table(voxels: Voxels) -> I64:
    """(v, m) rows of the voxels that share an edge with each, -1 where there are fewer.

    Parameters
    ----------
    voxels
        The grid; see :func:`refimpl.nearfield.compare.neighbours`.
    """
    pairs = neighbours(voxels)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    count = np.bincount(both[:, 0], minlength=len(voxels))
    out = np.full((len(voxels), int(count.max(initial=0))), -1, dtype=np.int64)
    place = np.arange(len(both)) - np.repeat(np.cumsum(count) - count, count)
    out[both[:, 0], place] = both[:, 1]
    return out


def disputed(
    euler_rad: F64,
    nearest: I64,
    angle_rad: float,
    space_group: int,
    cell: Sequence[float] | None = None,
) -> NDArray[np.bool_]:
    """(v,) voxels whose nearest neighbours all differ from them by more than an angle.

    Neighbours without a solution say nothing; a voxel without one is disputed if any of its
    neighbours has one. A voxel whose neighbours all say nothing is not disputed.

    Parameters
    ----------
    euler_rad
        (v, 3) orientations, NaN without a solution.
    nearest
        (v, m) of :func:`neighbour_table`.
    angle_rad
        NearestMisorientation.
    space_group, cell
        Of the crystal: see :func:`refimpl.crystal.symmetry_operators.operators`.
    """
    q = quaternion_of_euler(euler_rad)
    solved: NDArray[np.bool_] = np.asarray(np.isfinite(euler_rad).all(axis=1))
    there = (nearest >= 0) & solved[nearest]
    i, j = np.nonzero(there)
    angle = np.full(nearest.shape, np.inf)
    angle[i, j] = misorientation(q[i], q[nearest[i, j]], operators(space_group, cell))
    angle = np.where(np.isnan(angle), np.inf, angle)  # of a voxel without a solution
    return np.asarray(there.any(axis=1) & ~(there & (angle <= angle_rad)).any(axis=1))


def from_neighbours(
    vertices: F64,
    before: Solutions,
    orientations: F64,
    setup: Setup,
    lit: LitPixels,
    settings: SearchSettings,
) -> Solutions:
    """Fit voxels again from the orientations of their neighbours; accepted only if better.

    Parameters
    ----------
    vertices
        (v, k, 2) corners [mm].
    before
        (v rows) what they have; kept where the new confidence is not larger. Their saved solutions
        stay candidates.
    orientations
        (v, m, 3) Euler angles of the neighbours, NaN where there is none.
    setup, lit, settings
        As of :func:`refimpl.nearfield.search.search`.
    """
    around, spent = _climbed_from(vertices, orientations, setup, lit, settings)
    mine, slot = np.nonzero(np.isfinite(before.euler_rad[:, :, 0]))
    old = Tried(
        mine, before.seed[mine], matrix_of_euler(before.euler_rad[mine, slot]),
        before.confidence[mine, slot],
    )  # fmt: skip
    tried = old + around
    new = settled(
        vertices, tried, before.n_kept, before.evaluations + spent, setup, lit,
        n_saved=settings.n_saved, angle_rad=settings.saved_angle_rad,
        operators=operators(setup.space_group, setup.cell),
    )  # fmt: skip
    worse = np.flatnonzero(~(new.confidence[:, 0] > before.confidence[:, 0]))
    kept = before.rows(worse)
    return new.changed(worse, kept).counted(new.evaluations)


def from_starts(
    vertices: F64, starts: F64, setup: Setup, lit: LitPixels, settings: SearchSettings
) -> Solutions:
    """Fit voxels from orientations of their own.

    Where there are several, those that come near the best are looked at more closely, and of two
    that explain the voxel equally well the more specific one counts.

    Parameters
    ----------
    vertices
        (v, k, 2) corners [mm].
    starts
        (v, m, 3) Euler angles of different orientations, NaN where there is none.
    setup, lit, settings
        As of :func:`refimpl.nearfield.search.search`.

    Returns
    -------
    One row per voxel; `n_kept` counts its starts.
    """
    there = np.isfinite(starts[:, :, 0]).sum(axis=1)
    tried, spent = _climbed_from(vertices, starts, setup, lit, settings)
    if settings.fit.scatter_starts:
        _looked_at(vertices, tried, spent, there, setup, lit, settings)
    tried = _specific_first(vertices, tried, spent, setup, lit, settings)
    tried = topped(vertices, tried, spent, setup, lit, settings.fit)
    return settled(
        vertices, tried, there, spent, setup, lit, n_saved=settings.n_saved,
        angle_rad=settings.saved_angle_rad, operators=operators(setup.space_group, setup.cell),
    )  # fmt: skip


def _climbed_from(
    vertices: F64, euler_rad: F64, setup: Setup, lit: LitPixels, settings: SearchSettings
) -> tuple[Tried, I64]:
    """Climb from (v, m, 3) orientations of each voxel, within OrientTol; evaluations of each."""
    at, which = np.nonzero(np.isfinite(euler_rad[:, :, 0]))
    starts, fit = matrix_of_euler(euler_rad[at, which]), settings.fit
    got = climbed(vertices[at], starts, setup, lit, fit, fit.first_edges_rad, fit.first_size_rad)
    n = got.evaluations
    got = climbed(vertices[at], got.orientations, setup, lit, fit, fit.edges_rad, fit.size_rad)
    spent = np.bincount(at, weights=n + got.evaluations, minlength=len(vertices))
    ok = within(got.orientations, starts, fit.tolerance_rad)
    seed = np.full(int(ok.sum()), NO_SEED)
    tried = Tried(at[ok], seed, got.orientations[ok], got.confidence[ok])
    return tried, spent.astype(np.int64)


def _looked_at(
    vertices: F64,
    tried: Tried,
    spent: I64,
    there: I64,
    setup: Setup,
    lit: LitPixels,
    settings: SearchSettings,
) -> None:
    """Strew points about the best ends of voxels with several starts; climb from the best."""
    fit, best = settings.fit, np.zeros(len(vertices))
    np.maximum.at(best, tried.voxel, tried.confidence)
    close = (there[tried.voxel] > 1) & (tried.confidence >= best[tried.voxel] - _CLOSE)
    rows = np.flatnonzero(close & (tried.confidence < fit.enough))
    rows = rows[best_of_each(tried.voxel[rows], tried.confidence[rows], fit.scatter_starts)]
    at = tried.voxel[rows]
    more = scattered(vertices[at], tried.orientations[rows], setup, lit, fit)
    np.add.at(spent, at, more.evaluations)
    up = more.confidence > tried.confidence[rows]
    tried.orientations[rows[up]] = more.orientations[up]
    tried.confidence[rows[up]] = more.confidence[up]


def _specific_first(
    vertices: F64, tried: Tried, spent: I64, setup: Setup, lit: LitPixels, s: SearchSettings
) -> Tried:
    """Of candidates that explain a voxel equally well, put the most specific one first.

    At a grain boundary the spots of a voxel are lit for the orientation of the neighbouring grain
    too, and nearly so about it, because the neighbours light them. That those of its own are lit
    has no other reason than the voxel: so of equals the one counts about which the confidence is
    lowest.
    """
    best = np.zeros(len(vertices))
    np.maximum.at(best, tried.voxel, tried.confidence)
    equal = np.flatnonzero((tried.confidence >= best[tried.voxel]) & (tried.confidence > 0.0))
    several = np.bincount(tried.voxel[equal], minlength=len(vertices)) > 1
    equal = equal[several[tried.voxel[equal]]]
    if not len(equal):
        return tried
    vectors = points_in_ball(_SPECIFIC_POINTS) * _SPECIFIC_RADIUS
    strewn = turned(tried.orientations[equal, None], vectors)
    corners = np.repeat(vertices[tried.voxel[equal]], len(vectors), axis=0)
    c = confidences(corners, strewn, setup, lit)
    np.add.at(spent, tried.voxel[equal], len(vectors))
    width = np.add.accumulate(c, axis=1)[:, -1]  # in order, whatever comes at a time
    q, group = quaternion_of_matrix(tried.orientations), operators(setup.space_group, setup.cell)
    order = np.arange(len(tried.voxel))
    for i in np.unique(tried.voxel[equal]):
        own = tried.voxel[equal] == i
        rows, wide = equal[own], width[own]
        # climbs that ended on one plateau: its width is that of the widest
        n = len(rows)
        pairs = misorientation(np.repeat(q[rows], n, axis=0), np.tile(q[rows], (n, 1)), group)
        same = pairs.reshape(n, n) < s.saved_angle_rad
        winner = rows[int(np.where(same, wide, 0).max(axis=1).argmin())]
        order[winner], order[rows[0]] = order[rows[0]], order[winner]
    return Tried(*(getattr(tried, f.name)[order] for f in fields(Tried)))
