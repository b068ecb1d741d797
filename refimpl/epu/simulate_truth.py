"""What really happened in a simulated session, and how well a search has found it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64

__all__ = ["KINDS", "RADIUS_UM", "Truth", "truth_of"]

KINDS = ("normal", "revisit", "overlap", "missed", "single", "near")
"""Kinds of exposures; a revisited, overlapped or missed hole counts from its second exposure on."""

RADIUS_UM = 0.2
"""Exposures closer than this are duplicates."""


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth about a session.

    Attributes
    ----------
    matrix_um
        (2, 2) [um], ``true_um = stage + beam_shift @ matrix_um``.
    lattice_um
        (2, 2) [um], rows; None on a lacey grid.
    pitch_um
        (2,) lengths of the rows; None likewise.
    true_um
        (n, 2) where the beam was.
    kind
        (n,) one of :data:`KINDS`: what the plan made of it.
    pairs
        (p, 2) exposures closer than 0.2 um, first the earlier, sorted.
    bad
        (n,) exposures that have a kept one within 0.2 um, kept in the order of time.
    """

    matrix_um: F64
    lattice_um: F64 | None
    pitch_um: F64 | None
    true_um: F64
    kind: NDArray[np.str_]
    pairs: I64
    bad: NDArray[np.bool_]

    @property
    def k_um(self) -> float:
        """Mean scale of the beam shift."""
        return float(np.sqrt(abs(np.linalg.det(self.matrix_um))))

    def score(self, bad: NDArray[np.bool_]) -> tuple[float, float]:
        """Precision and recall of (n,) exposures that a search calls bad; of none, precision 1."""
        hits = int((bad & self.bad).sum())
        flagged, true = int(bad.sum()), int(self.bad.sum())
        return hits / flagged if flagged else 1.0, hits / true if true else 1.0

    def as_dict(self) -> dict[str, Any]:
        """Everything, for truth.json."""
        return {
            "matrix_um": self.matrix_um, "lattice_um": self.lattice_um, "pitch_um": self.pitch_um,
            "k_um": self.k_um, "radius_um": RADIUS_UM, "true_um": self.true_um,
            "kind": self.kind.tolist(), "pairs": self.pairs,
            "bad": np.nonzero(self.bad)[0].tolist(),
        }  # fmt: skip


def truth_of(matrix_um: F64, lattice_um: F64 | None, true_um: F64, kind: NDArray[np.str_]) -> Truth:
    """Find the true pairs and what a keeper of the first exposure drops; rows in time order."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(true_um).query_pairs(RADIUS_UM, output_type="ndarray").astype(np.int64)
    pairs = np.sort(pairs, axis=1)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    bad = np.zeros(len(true_um), dtype=bool)
    for first, second in pairs.tolist():  # sorted by the first: what it drops is settled in order
        if not bad[first]:
            bad[second] = True
    pitch = None if lattice_um is None else np.hypot(*lattice_um.T)
    return Truth(matrix_um, lattice_um, pitch, true_um, kind, pairs, bad)
