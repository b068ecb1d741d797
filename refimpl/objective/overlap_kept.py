"""Candidates of a screening that are kept, while block after block of them comes in.

Not here: their confidences (:mod:`refimpl.objective.overlap_spots`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.frames import F64, I64

__all__ = ["Kept", "Screened"]


@dataclass(frozen=True, eq=False)
class Screened:
    """Candidates kept for each voxel.

    Attributes
    ----------
    start
        (v + 1,) rows of voxel i are start[i] to start[i + 1].
    orientation
        (t,) row of the candidate; of a voxel by falling confidence, of equals the smaller first.
    confidence
        (t,).
    """

    start: I64
    orientation: I64
    confidence: F64


class Kept:
    """Candidates kept so far; ``floor`` is what the next of a voxel must reach at least."""

    def __init__(self, n: int, least: float, keep: int | None) -> None:
        self.keep, self.n = keep, n
        self.floor = np.full(n, max(least, np.nextafter(0.0, 1.0)))
        self.voxel, self.row = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        self.value = np.zeros(0)

    def add(self, confidences: F64, first: int) -> None:
        """Keep those of a block (n, o), 0 where below the floor, of candidates from `first` on."""
        voxel, row = np.nonzero(confidences)
        self.voxel = np.concatenate([self.voxel, voxel])
        self.row = np.concatenate([self.row, row + first])
        self.value = np.concatenate([self.value, confidences[voxel, row]])
        if self.keep is not None:
            self._prune(self.keep)

    def _prune(self, keep: int) -> None:
        """Only the best stay; the last of a full list is the floor from now on."""
        start = self._sort()
        place = np.arange(len(self.voxel)) - start[self.voxel]
        full = np.flatnonzero(place == keep - 1)
        self.floor[self.voxel[full]] = self.value[full]
        few = place < keep
        self.voxel, self.row, self.value = self.voxel[few], self.row[few], self.value[few]

    def _sort(self) -> I64:
        order = np.lexsort((self.row, -self.value, self.voxel))
        self.voxel, self.row, self.value = self.voxel[order], self.row[order], self.value[order]
        return np.searchsorted(self.voxel, np.arange(self.n + 1)).astype(np.int64)

    def result(self) -> Screened:
        """All that is kept, in order."""
        start = self._sort()
        return Screened(start, self.row, self.value)
