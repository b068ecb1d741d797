"""Voxels that their neighbours dispute: found, and fitted again from these.

The published keyword for it, NearestMisorientation, is read by all published programs and acted on
by none (spec 1.9). Vectors are in the MIDAS near-field frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64, I64
from refimpl.nearfield.compare import neighbours
from refimpl.nearfield.fit_settings import SearchSettings
from refimpl.nearfield.refine import climbed, within
from refimpl.nearfield.solutions import NO_SEED, Solutions, Tried, settled
from refimpl.rotations import matrix_of_euler, quaternion_of_euler

__all__ = ["disputed", "from_neighbours", "neighbour_table"]


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
    v, d = len(vertices), np.isfinite(orientations[:, :, 0])
    at, which = np.nonzero(d)
    starts = matrix_of_euler(orientations[at, which])
    fit = settings.fit
    got = climbed(vertices[at], starts, setup, lit, fit, fit.first_edges_rad, fit.first_size_rad)
    spent = np.bincount(at, weights=got.evaluations, minlength=v).astype(np.int64)
    got = climbed(vertices[at], got.orientations, setup, lit, fit, fit.edges_rad, fit.size_rad)
    spent += np.bincount(at, weights=got.evaluations, minlength=v).astype(np.int64)
    mine, slot = np.nonzero(np.isfinite(before.euler_rad[:, :, 0]))
    old = Tried(
        mine, before.seed[mine], matrix_of_euler(before.euler_rad[mine, slot]),
        before.confidence[mine, slot],
    )  # fmt: skip
    ok = within(got.orientations, starts, fit.tolerance_rad)
    seed = np.full(int(ok.sum()), NO_SEED)
    tried = old + Tried(at[ok], seed, got.orientations[ok], got.confidence[ok])
    new = settled(
        vertices, tried, before.n_kept, before.evaluations + spent, setup, lit,
        n_saved=settings.n_saved, angle_rad=settings.saved_angle_rad,
        operators=operators(setup.space_group, setup.cell),
    )  # fmt: skip
    worse = np.flatnonzero(~(new.confidence[:, 0] > before.confidence[:, 0]))
    kept = before.rows(worse)
    return new.changed(worse, kept).counted(new.evaluations)
