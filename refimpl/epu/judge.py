"""How well a given matrix puts the holes of a session onto one lattice, whatever its source."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from refimpl.clustering.lattices import (
    axis_of,
    centred,
    origins_of,
    peaks_of,
    phase_power,
    reduced,
)
from refimpl.epu.calibration import Calibration
from refimpl.epu.session import Session
from refimpl.epu.visits import visits_of
from refimpl.errors import ConvergenceError
from refimpl.frames import F64, I64

__all__ = ["judged"]

_HOLES = 3000  # holes that the search for the lattice looks at
_LEAST = 0.35  # of the power that a perfect lattice has
_LOOSE = 0.25  # rms / pitch from which the positions are on no lattice (random: 0.41)


def judged(calibration: Calibration, session: Session) -> Calibration:
    """State rms, hole lattice and holes that coincide, as the matrix of a calibration has them.

    Where the positions are on no lattice these stay unknown, and a note says so.
    """
    visits = visits_of(session)
    place = calibration.positions_um(visits.stage_um, visits.beam_shift)
    square = np.unique(visits.square, return_inverse=True)[1].reshape(-1)
    found = _lattice_of(place, square)
    if found is None:
        note = "by this matrix the holes are on no lattice: wrong for this session, or a lacey grid"
        return replace(calibration, n=len(visits), notes=(*calibration.notes, note))
    lattice, site, rms = found
    key = np.column_stack([square, site])
    return replace(
        calibration, rms_um=rms, n=len(visits), lattice_um=reduced(lattice)[0],
        coincidences=len(key) - len(np.unique(key, axis=0)),
    )  # fmt: skip


def _lattice_of(place: F64, square: I64) -> tuple[F64, I64, float] | None:
    """Lattice of the places, each square with an origin of its own: basis, sites, rms."""
    count = np.bincount(square)
    order = np.argsort(-count[square], kind="stable")[:_HOLES]
    some, group = place[np.sort(order)], square[np.sort(order)]
    n = np.bincount(group)
    if n.max() < 4:
        return None
    extent = max(float(np.ptp(some[group == s], axis=0).max()) for s in np.unique(group))
    area = min(_area(some[group == s]) for s in np.unique(group) if (group == s).sum() > 3)
    step = math.sqrt(area)  # no lattice of these holes is denser, but for those that it skips
    try:
        axis = axis_of(2.5 / step, extent)
    except ConvergenceError:
        return None
    power = phase_power(some, np.ones(len(some), dtype=np.complex128), group, axis)
    power = (power - n.sum()) / max(float((n * (n - 1)).sum()), 1.0)
    q, _ = peaks_of(power, axis, _LEAST, 200)
    q = q[np.hypot(*q.T) > 1.0 / extent * 2.0]
    best: tuple[F64, I64, float] | None = None
    length = np.hypot(*q.T)
    order = np.argsort(np.round(length, 9), kind="stable")[:12]
    for i, a in enumerate(order):
        for b in order[i + 1 :]:
            if abs(q[a, 0] * q[b, 1] - q[a, 1] * q[b, 0]) < 0.4 * length[a] * length[b]:
                continue
            fit = _fitted(place, square, np.linalg.inv(np.stack([q[a], q[b]], axis=1)))
            if fit is not None and (best is None or _misfit(fit) < _misfit(best)):
                best = fit
    return best if best is not None and _misfit(best) < _LOOSE else None


def _area(place: F64) -> float:
    """Area for each place, as if they filled their bounding box."""
    wide, high = np.ptp(place, axis=0)
    return max(float(wide * high) / len(place), 1e-6)


def _misfit(fit: tuple[F64, I64, float]) -> float:
    return fit[2] / math.sqrt(abs(float(np.linalg.det(fit[0]))))


def _fitted(place: F64, square: I64, lattice: F64) -> tuple[F64, I64, float] | None:
    middle, site = centred(place, square), np.zeros((0, 2))
    for _ in range(30):
        x = middle @ np.linalg.inv(lattice)
        now = np.round(x - origins_of(x, square)[square])
        if np.array_equal(now, site):
            break
        site = now
        lattice = np.asarray(np.linalg.lstsq(centred(site, square), middle, rcond=None)[0])
        if abs(np.linalg.det(lattice)) < 1e-9:
            return None
    away = middle - centred(site, square) @ lattice
    return lattice, site.astype(np.int64), float(np.sqrt((away**2).sum(axis=1).mean()))
