"""Where a calibration puts the holes of a session, and how well that is a lattice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from refimpl.clustering.lattices import origins_of
from refimpl.epu.calibration import Calibration
from refimpl.epu.session import Session
from refimpl.epu.visits import Visits, visits_of
from refimpl.frames import F64, I64

__all__ = ["HoleMap", "hole_map"]


@dataclass(frozen=True, eq=False)
class HoleMap:
    """Visits of holes on the specimen: n exposures, h visits.

    Attributes
    ----------
    visits
        What was visited.
    centres_um
        (h, 2) middles of the holes, in stage coordinates.
    positions_um
        (n, 2) exposures.
    lattice_um
        (2, 2) rows: vectors between neighbouring holes; None: not known.
    """

    visits: Visits
    centres_um: F64
    positions_um: F64
    lattice_um: F64 | None

    @cached_property
    def origins_um(self) -> F64:
        """(q, 2) a node of the lattice, square by square: each has a film of its own."""
        if self.lattice_um is None:
            return np.zeros((int(self.visits.square.max(initial=-1)) + 1, 2))
        turns = self.centres_um @ np.linalg.inv(self.lattice_um)
        return np.asarray(origins_of(turns, self.visits.square) @ self.lattice_um)

    @cached_property
    def nodes_um(self) -> F64:
        """(h, 2) nearest node of each visit; NaN without a lattice."""
        if self.lattice_um is None:
            return np.full_like(self.centres_um, np.nan)
        origin = self.origins_um[self.visits.square]
        steps = np.round((self.centres_um - origin) @ np.linalg.inv(self.lattice_um))
        return np.asarray(origin + steps @ self.lattice_um)

    @property
    def off_um(self) -> F64:
        """(h, 2) from the nearest node; NaN without a lattice."""
        return np.asarray(self.centres_um - self.nodes_um)

    @property
    def rms_um(self) -> float:
        """Root mean square of the distances from the lattice; NaN without one."""
        if not len(self.off_um):
            return float("nan")
        return float(np.sqrt(np.mean(np.sum(self.off_um**2, axis=1))))

    @cached_property
    def together(self) -> I64:
        """(c, 2) pairs of visits nearer than half the distance of neighbouring holes.

        Holes cannot overlap: either one hole was visited twice, or the calibration is wrong.
        """
        if self.lattice_um is None or len(self.centres_um) < 2:
            return np.zeros((0, 2), dtype=np.int64)
        reach = 0.5 * float(np.hypot(*self.lattice_um.T).min())
        pairs = cKDTree(self.centres_um).query_pairs(reach, output_type="ndarray")
        return np.sort(pairs.astype(np.int64).reshape(-1, 2), axis=1)

    def cells(self, share: float = 1.0) -> F64:
        """(h, 4, 2) corners of the lattice cell about each visit, shrunk to a share."""
        if self.lattice_um is None:
            return np.zeros((0, 4, 2))
        corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) @ self.lattice_um
        return np.asarray(self.centres_um[:, None] + share * corners)

    def within(self, low: F64, high: F64) -> HoleMap:
        """Map of the visits whose middle lies in a frame, and of their exposures."""
        here = np.all((self.centres_um > low) & (self.centres_um < high), axis=1)
        some = self.visits.some(here)
        seen = some.row >= 0
        some = replace(some, row=some.row[seen])
        return HoleMap(some, self.centres_um[here], self.positions_um[seen], self.lattice_um)


def hole_map(session: Session, calibration: Calibration, lattice_um: F64 | None = None) -> HoleMap:
    """Holes of a session as a calibration has them.

    Parameters
    ----------
    session, calibration
        Exposures, and where their beam shifts lead.
    lattice_um
        (2, 2) over the calibration's own.
    """
    visits = visits_of(session)
    return HoleMap(
        visits,
        calibration.positions_um(visits.stage_um, visits.beam_shift),
        calibration.positions_um(session.stage_um, session.beam_shift),
        calibration.lattice_um if lattice_um is None else lattice_um,
    )
