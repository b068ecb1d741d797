"""What the report of an EPU session shows: exposures, calibration, duplicates, groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from refimpl.clustering.beam_shift import Clusters, Level, levels
from refimpl.epu.affine import affine
from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import Duplicates, find_duplicates
from refimpl.epu.session import Session
from refimpl.frames import F64, I64
from refimpl.report.epu_holes import HoleMap, hole_map

__all__ = ["EpuView"]

FEW_VISITS, FEW_PITCHES = 700, 120.0
"""A session of up to so many hole visits, on so many hole distances, is drawn hole by hole."""


@dataclass(frozen=True, eq=False)
class EpuView:
    """A session as its report shows it: n exposures, h visits of holes.

    Attributes
    ----------
    duplicates
        What was found; it knows session and calibration.
    clusters
        Groups of beam shifts; None: left out.
    title
        Of the page.
    scalar_k_um
        The k that one number instead of a matrix would have; None: that of the matrix.
    """

    duplicates: Duplicates
    clusters: Clusters | None = None
    title: str = "EPU session"
    scalar_k_um: float | None = None

    @property
    def session(self) -> Session:
        """Exposures."""
        return self.duplicates.session

    @property
    def calibration(self) -> Calibration:
        """Beam shift to stage."""
        return self.duplicates.calibration

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Levels of grouping of the beam shifts, finest first."""
        return levels(self.session.beam_shift) if len(self.session) else ()

    @cached_property
    def holes(self) -> HoleMap:
        """Visits of holes, where the calibration has them."""
        return hole_map(self.session, self.calibration)

    @property
    def is_scalar(self) -> bool:
        """Whether the calibration is one number."""
        m = self.calibration.matrix_um
        return bool(np.array_equal(m, m[0, 0] * np.eye(2)))

    @cached_property
    def scalar(self) -> Calibration:
        """What one number would have made of it."""
        return affine(self.calibration.k_um if self.scalar_k_um is None else self.scalar_k_um)

    @cached_property
    def scalar_holes(self) -> HoleMap:
        """Visits of holes with one number, on the lattice of the calibration."""
        return hole_map(self.session, self.scalar, self.calibration.lattice_um)

    @cached_property
    def scalar_duplicates(self) -> Duplicates:
        """What one number would have found."""
        return find_duplicates(
            self.session, self.scalar, self.duplicates.radius,
            ignore_same_hole=self.duplicates.ignores_same_hole,
        )  # fmt: skip

    @cached_property
    def is_small(self) -> bool:
        """Whether every hole is seen on one map."""
        holes = self.holes
        if len(holes.visits) > FEW_VISITS or holes.lattice_um is None:
            return False
        extent = float(np.ptp(holes.centres_um, axis=0).max(initial=0.0))
        return extent < FEW_PITCHES * float(np.hypot(*holes.lattice_um.T).min())

    @cached_property
    def nearest_um(self) -> tuple[F64, F64]:
        """(n,) distance of the nearest exposure of the same visit, and of any other; inf: none."""
        visit = self.holes.visits.row
        same, other = (np.full(len(visit), np.inf) for _ in range(2))
        if not len(visit):
            return same, other
        # so many that a visit cannot fill the whole list; what it fills all the same stays inf
        k = min(int(self.holes.visits.shots.max()) + 1, 16, len(visit) - 1)
        if not k:
            return same, other
        away, rows = cKDTree(self.duplicates.positions_um).query(
            self.duplicates.positions_um, k=np.arange(1, k + 2)
        )
        mine = rows == np.arange(len(visit))[:, None]
        inside = visit[rows] == visit[:, None]
        same = np.where(inside & ~mine, away, np.inf).min(axis=1)
        other = np.where(~inside, away, np.inf).min(axis=1)
        return same, other

    @cached_property
    def cases(self) -> I64:
        """(c, 2) the exposure that is kept, and the bad one; in the order of the bad ones."""
        bad = np.flatnonzero(self.duplicates.bad)
        return np.stack([self.duplicates.kept[bad], bad], axis=1)
