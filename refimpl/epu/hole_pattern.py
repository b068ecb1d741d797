"""The lattice of holes as the beam shift sees it: which steps lead from hole to hole.

Within one stay of the stage all holes are reached by beam shift alone, so their differences are
steps of the hole lattice, whatever the stage did before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from refimpl.clustering.lattices import (
    axis_of,
    centred,
    origins_of,
    peaks_of,
    phase_power,
    reduced,
)
from refimpl.epu.visits import Visits
from refimpl.errors import ConvergenceError
from refimpl.frames import F64, I64

__all__ = ["Pattern", "pattern_of"]

_STAYS = 300  # so many stays show the lattice; more only cost time
_LEAST = 0.5  # of the power that a perfect lattice has
_LOOSE = 0.12  # rms of the steps over their length from which they are no lattice (random: 0.4)


@dataclass(frozen=True, eq=False)
class Pattern:
    """Steps of the beam shift between neighbouring holes.

    Attributes
    ----------
    basis
        (2, 2) rows: the two shortest steps.
    rms
        Root mean square distance of holes from the lattice of their stay, in beam shift.
    stays
        Stays of several holes that it rests on.
    """

    basis: F64
    rms: float
    stays: int


def pattern_of(visits: Visits) -> Pattern:
    """Find the steps of the beam shift between holes.

    Raises
    ------
    ConvergenceError
        No stay has several holes, all holes of a stay are on one line, or they are on no lattice.
    """
    count = np.bincount(visits.stay)
    several = np.flatnonzero(count > 1)
    if not len(several):
        raise ConvergenceError(
            "no lattice from the beam shifts: the stage moved for every hole, so that the beam "
            "shift never led from one to another"
        )
    # stays with most holes first; equal ones in the order of time
    several = np.sort(several[np.argsort(-count[several], kind="stable")][:_STAYS])
    rows = np.flatnonzero(np.isin(visits.stay, several))
    shift, stay = visits.beam_shift[rows], visits.stay[rows]
    basis = _first_basis(shift, stay)
    for _ in range(20):
        steps = shift @ np.linalg.inv(basis)
        steps = np.round(steps - origins_of(steps, stay)[stay])
        middle, held = centred(shift, stay), centred(steps, stay)
        found = np.asarray(np.linalg.lstsq(held, middle, rcond=None)[0], dtype=np.float64)
        if np.linalg.det(found) == 0.0:
            raise ConvergenceError(_NO_LATTICE)
        if np.array_equal(found, basis):
            break
        basis = found
    away = middle - held @ basis
    rms = float(np.sqrt((away**2).sum(axis=1).mean()))
    if rms > _LOOSE * np.sqrt(abs(np.linalg.det(basis))):
        raise ConvergenceError(_NO_LATTICE)
    return Pattern(reduced(basis)[0], rms, len(several))


_NO_LATTICE = (
    "no lattice from the beam shifts: the holes that they lead to are on none (a lacey grid, or "
    "targets set by hand): give the matrix or k, or use the metadata (GridSquare_*.dm)"
)


def _first_basis(shift: F64, stay: I64) -> F64:
    """Rough steps, from the peaks of the phase sums."""
    extent, near = 0.0, []
    for name in np.unique(stay):
        here = shift[stay == name]
        extent = max(extent, float(np.ptp(here, axis=0).max()))
        near.append(cKDTree(here).query(here, k=2)[0][:, 1])
    apart = np.concatenate(near)
    apart = apart[apart > 1e-3 * extent]  # the same hole twice
    if not len(apart):
        raise ConvergenceError(_NO_LATTICE)
    step = float(np.median(apart))
    axis = axis_of(1.5 / step, extent, parts=6)
    power = phase_power(shift, np.ones(len(shift), dtype=np.complex128), stay, axis)
    count = np.bincount(stay)
    # a hole always agrees with itself: what is left is the share of pairs that agree
    power = (power - count.sum()) / float((count * (count - 1)).sum())
    places, heights = peaks_of(power, axis, _LEAST, 100)
    far = np.hypot(*places.T) > 0.35 / step
    places, heights = places[far], heights[far]
    for i, j in _by_length(places):
        p, q = places[i], places[j]
        cross = abs(p[0] * q[1] - p[1] * q[0])
        if cross > 0.4 * np.hypot(*p) * np.hypot(*q):
            return np.asarray(np.linalg.inv(np.stack([p, q], axis=1)))
    if np.linalg.matrix_rank(centred(shift, stay), tol=0.1 * step) < 2:
        raise ConvergenceError(
            "no lattice from the beam shifts: the holes of every stay are on one line, which says "
            "nothing of the other direction"
        )
    raise ConvergenceError(_NO_LATTICE)


def _by_length(places: F64) -> list[tuple[int, int]]:
    """Pairs of places, short ones first."""
    order = np.argsort(np.round(np.hypot(*places.T), 9), kind="stable").tolist()
    pairs = [(i, j) for a, i in enumerate(order) for j in order[a + 1 :]]
    length = np.hypot(*places.T)
    return sorted(pairs, key=lambda ij: (round(float(length[ij[0]] + length[ij[1]]), 9), ij))
