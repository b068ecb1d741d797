"""What a search returns: one row per voxel, and which of its candidates are kept.

Not here: the map that is made of it (:mod:`refimpl.nearfield.maps`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from refimpl.crystal.misorientation import misorientation
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64, I64
from refimpl.objective.overlap import confidence
from refimpl.rotations import euler_of_matrix, matrix_of_euler, quaternion_of_matrix

__all__ = ["NO_SEED", "Solutions", "Tried", "joined", "save_distinct", "settled"]

NO_SEED = -1


@dataclass(frozen=True, eq=False)
class Tried:
    """Fits of n candidates of some voxels, in any order.

    Attributes
    ----------
    voxel, seed
        (n,) row of the voxel in its block; row of the seed it came from, or -1.
    orientations
        (n, 3, 3).
    confidence
        (n,).
    """

    voxel: I64
    seed: I64
    orientations: F64
    confidence: F64

    def __add__(self, other: Tried) -> Tried:
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Tried(*(np.concatenate(pair) for pair in pairs))


@dataclass(frozen=True, eq=False)
class Solutions:
    """Answers for v voxels, d distances, s saved solutions; a row without one is NaN and 0.

    Attributes
    ----------
    euler_rad
        (v, s, 3) Bunge angles, best first.
    confidence
        (v, s), of these very angles.
    by_distance
        (v, d) of the best solution, each distance alone; NaN without one.
    seed
        (v,) row of the seed that the best came from; -1 without one.
    n_kept, evaluations
        (v,) seeds that passed the screen; confidences that were asked for.
    """

    euler_rad: F64
    confidence: F64
    by_distance: F64
    seed: I64
    n_kept: I64
    evaluations: I64

    def __len__(self) -> int:
        return len(self.seed)

    def changed(self, rows: I64, other: Solutions) -> Solutions:
        """Same answers, with those of some rows taken from another set."""
        new = {f.name: np.array(getattr(self, f.name)) for f in fields(self)}
        for name, array in new.items():
            array[rows] = getattr(other, name)
        return replace(self, **new)

    def counted(self, evaluations: I64) -> Solutions:
        """Same answers, after so many evaluations."""
        return replace(self, evaluations=evaluations)

    def rows(self, which: I64) -> Solutions:
        """Answers of some voxels."""
        return Solutions(*(getattr(self, f.name)[which] for f in fields(self)))


def joined(parts: Sequence[Solutions]) -> Solutions:
    """Answers of one block after the other."""
    columns = ([getattr(p, f.name) for p in parts] for f in fields(Solutions))
    return Solutions(*(np.concatenate(column) for column in columns))


def save_distinct(
    orientations: F64, values: F64, n: int, angle_rad: float, operators: F64
) -> list[int]:
    """Rows of the best solutions that differ from each other, best first.

    A solution nearer than the angle to a better one is left out; of equal confidence the earlier
    row is the better one. (Published, whoever came first stays, even if worse: fault 13.)

    Parameters
    ----------
    orientations
        (m, 3, 3) of one voxel.
    values
        (m,) confidences.
    n
        How many at most.
    angle_rad
        MinMisoNSaves.
    operators
        (k, 4) group of the crystal.
    """
    if n == 1:
        return [int(values.argmax())]
    quaternions = quaternion_of_matrix(orientations)
    saved: list[int] = []
    for row in np.argsort(-values, kind="stable"):
        if len(saved) == n:
            break
        if saved:
            here = np.repeat(quaternions[row][None], len(saved), axis=0)
            if misorientation(quaternions[saved], here, operators).min() < angle_rad:
                continue
        saved.append(int(row))
    return saved


def settled(
    vertices: F64,
    tried: Tried,
    n_kept: I64,
    evaluations: I64,
    setup: Setup,
    lit: LitPixels,
    *,
    n_saved: int,
    angle_rad: float,
    operators: F64,
) -> Solutions:
    """Choose the best candidates of each voxel and state their confidence anew.

    A file holds Euler angles: the confidence is that of the angles, so that whoever reads them
    finds the same; it is one more evaluation, and differs from the fit's only where a spot lies
    within rounding of the edge of a pixel.

    Parameters
    ----------
    vertices
        (v, k, 2) corners [mm].
    tried
        Candidates; of equal confidence the earlier one of a voxel is chosen.
    n_kept, evaluations
        (v,) of the search so far.
    setup, lit
        What is compared with what.
    n_saved, angle_rad, operators
        As of :func:`save_distinct`.
    """
    v, d = len(vertices), setup.detector.n_distances
    euler, seed = np.full((v, n_saved, 3), np.nan), np.full(v, NO_SEED, dtype=np.int64)
    order = np.argsort(tried.voxel, kind="stable")
    edges = np.searchsorted(tried.voxel[order], np.arange(v + 1))
    for i in range(v):
        rows = order[edges[i] : edges[i + 1]]
        rows = rows[tried.confidence[rows] > 0.0]
        if not len(rows):
            continue
        u, c = tried.orientations[rows], tried.confidence[rows]
        best = save_distinct(u, c, n_saved, angle_rad, operators)
        euler[i, : len(best)] = euler_of_matrix(u[best])
        seed[i] = tried.seed[rows[best[0]]]
    values, by_distance = np.zeros((v, n_saved)), np.full((v, d), np.nan)
    at, slot = np.nonzero(np.isfinite(euler[:, :, 0]))
    if len(at):
        u = np.ascontiguousarray(matrix_of_euler(euler[at, slot]))
        got = confidence(np.ascontiguousarray(vertices[at]), u, setup, lit, threads=1)
        values[at, slot] = got.confidence
        by_distance[at[slot == 0]] = got.by_distance[slot == 0]
    spent = evaluations + np.bincount(at, minlength=v)
    return Solutions(euler, values, by_distance, seed, n_kept, spent)
