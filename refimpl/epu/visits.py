"""Exposures to visits of holes: where the stage was, and the beam shift to the hole's middle.

The shots of a hole differ by a fixed offset each; what is left after taking it off is one point a
hole. Holes that were exposed without a move of the stage in between share a stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from refimpl.clustering.lattices import centred, means_of
from refimpl.epu.session import Session
from refimpl.frames import F64, I64

__all__ = ["SQUARE_UM", "STAY_UM", "Visits", "visits_of"]

STAY_UM = 0.1
"""Steps between exposures up to this are the jitter of the read-back (real session: 4 nm)."""

SQUARE_UM = 200.0
"""Squares are narrower on grids of 100 mesh (254 um apart, bars included) and finer."""

STEP_UM = 20.0
"""Stage positions of a square are closer, those of two squares farther apart (bars: 25 um)."""


@dataclass(frozen=True, eq=False)
class Visits:
    """Visits of holes, in the order of time.

    Attributes
    ----------
    beam_shift
        (h, 2) to the middle of the hole.
    stage_um
        (h, 2) read-back, mean over the shots.
    stay, square
        (h,) which stay of the stage; which grid square, counted from 0.
    hole, shots
        (h,) hole id; exposures.
    row
        (n,) visit of each exposure.
    """

    beam_shift: F64
    stage_um: F64
    stay: I64
    square: I64
    hole: I64
    shots: I64
    row: I64

    def __len__(self) -> int:
        return len(self.stay)

    def some(self, kept: NDArray[np.bool_]) -> Visits:
        """Some of the visits; exposures of others have row -1."""
        number = np.where(kept, np.cumsum(kept) - 1, -1)
        return Visits(
            self.beam_shift[kept], self.stage_um[kept], self.stay[kept], self.square[kept],
            self.hole[kept], self.shots[kept], number[self.row],
        )  # fmt: skip


def visits_of(session: Session) -> Visits:
    """Group the exposures of a session.

    Where the hole ids are unknown each exposure is a visit of its own, and shots are not told from
    holes: a lattice can then only be found for single shots.
    """
    table = session.table
    stage, shift = session.stage_um, session.beam_shift
    square = _patches(stage, table["square"].to_numpy())
    moved = np.hypot(*np.diff(stage, axis=0).T) > STAY_UM
    moved |= np.diff(square) != 0
    stay = np.concatenate([[0], np.cumsum(moved)]) if len(stage) else np.zeros(0, dtype=np.int64)
    hole = table["hole"].to_numpy(dtype=np.int64)
    if (hole < 0).all():
        hole = np.arange(len(table))
    key, first, row = np.unique(
        np.stack([stay, hole], axis=1), axis=0, return_index=True, return_inverse=True
    )
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    row = rank[row.reshape(-1)]
    shots = np.bincount(row, minlength=len(key))
    area = np.unique(table["area"].to_numpy(), return_inverse=True)[1]
    shift = shift - _shot_offsets(shift, row, shots, area)[area]
    first = first[order]
    return Visits(
        means_of(shift, row), means_of(stage, row), stay[first], square[first],
        hole[first], shots, row,
    )  # fmt: skip


def _patches(stage: F64, square: I64) -> I64:
    """(n,) grid square of each exposure, from 0; what is too wide for one is cut into patches.

    So it is where squares are not known: a table without them, or a whole grid in one folder. To
    cut a square in two costs little, to take two for one mixes their lattices.
    """
    patch, tile = np.zeros(len(stage), dtype=np.int64), np.zeros((len(stage), 2))
    for name in np.unique(square):
        here = np.flatnonzero(square == name)
        if name >= 0 and np.ptp(stage[here], axis=0).max() <= SQUARE_UM:
            continue
        patch[here] = _joined(stage[here])
        for part in np.unique(patch[here]):
            own = here[patch[here] == part]
            if np.ptp(stage[own], axis=0).max() > SQUARE_UM:
                tile[own] = np.floor(stage[own] / SQUARE_UM)
    key = np.column_stack([square, patch, tile])
    return np.asarray(np.unique(key, axis=0, return_inverse=True)[1].reshape(-1))


def _joined(stage: F64) -> I64:
    """(n,) patches of places that steps of at most :data:`STEP_UM` join."""
    place, row = np.unique(np.round(stage), axis=0, return_inverse=True)
    pairs = cKDTree(place).query_pairs(STEP_UM, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(place), len(place)))
    return np.asarray(connected_components(graph, directed=False)[1][row.reshape(-1)])


def _shot_offsets(shift: F64, row: I64, shots: I64, area: I64) -> F64:
    """(a, 2) offset of each shot of the template from the middle of them all.

    From the holes that have most shots: the middle of an incomplete one is another place.
    """
    whole = shots[row] == shots.max(initial=1)
    away = centred(shift, row)[whole]
    seen = area[whole]
    offsets = np.zeros((int(area.max(initial=0)) + 1, 2))
    offsets[: int(seen.max(initial=0)) + 1] = means_of(away, seen)
    return offsets
