"""Exposures of places that were exposed before: pairs, which to drop, and likely causes.

The published script walks raw lists of neighbours, so that a chain A-B-C is listed twice and its
middle is kept in one group and dropped in another. Here an exposure is kept unless a kept one
before it lies within the radius: for isolated pairs that is the published answer, and for chains
it does not depend on the order of the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from refimpl.epu.pairs import (
    CAUSES,
    causes_of,
    close_pairs,
    components,
    disc_overlap,
    kept_partners,
)
from refimpl.epu.radius import DEFAULT_RADIUS, Radius, common_diameter_um
from refimpl.frames import F64, I64

if TYPE_CHECKING:
    import pandas as pd

    from refimpl.epu.calibration import Calibration
    from refimpl.epu.session import Session

__all__ = ["Duplicates", "find_duplicates"]


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Duplicate exposures of a session.

    Attributes
    ----------
    session, calibration
        What was searched, and where beam shifts lead.
    radius, radius_um
        Rule, and what it is here.
    ignores_same_hole
        Whether pairs of different shots of one hole were left out.
    positions_um
        (n, 2) where each exposure is on the specimen, in stage coordinates.
    pairs
        One row a pair, sorted: ``first`` and ``second`` (rows of the session's table, the earlier
        one first), ``distance_um``, ``overlap`` (part of the second's beam disc that the first
        covers, NaN where no diameter is known), ``cause`` (:data:`refimpl.epu.pairs.CAUSES`).
    component
        (n,) number from 0 of the group that an exposure is in; -1: in no pair.
    kept
        (n,) row of the earliest kept exposure within the radius of a bad one; -1: it is kept.
    """

    session: Session
    calibration: Calibration
    radius: Radius
    radius_um: float
    ignores_same_hole: bool
    positions_um: F64
    pairs: pd.DataFrame
    component: I64
    kept: I64

    @property
    def bad(self) -> NDArray[np.bool_]:
        """(n,) whether an exposure is to be dropped."""
        return self.kept >= 0

    @property
    def n_duplicates(self) -> int:
        """Exposures to be dropped."""
        return int(self.bad.sum())

    @property
    def percent(self) -> float:
        """Part of the exposures to be dropped."""
        return 100.0 * self.n_duplicates / max(len(self.kept), 1)

    @cached_property
    def squares(self) -> pd.DataFrame:
        """One row a grid square; see :func:`refimpl.epu.duplicate_tables.squares_of`."""
        from refimpl.epu.duplicate_tables import squares_of

        return squares_of(self)

    @cached_property
    def exposures(self) -> pd.DataFrame:
        """The exposures of all groups; see :func:`refimpl.epu.duplicate_tables.exposures_of`."""
        from refimpl.epu.duplicate_tables import exposures_of

        return exposures_of(self)

    def as_dict(self) -> dict[str, Any]:
        """Everything that a machine wants to know, for JSON."""
        from refimpl.epu.duplicate_words import summary

        return summary(self)

    def sentences(self) -> tuple[str, ...]:
        """What was found, in words."""
        from refimpl.epu.duplicate_words import sentences

        return sentences(self)


def find_duplicates(
    session: Session,
    calibration: Calibration,
    radius: Radius | str = DEFAULT_RADIUS,
    *,
    ignore_same_hole: bool = False,
    stage_tolerance_um: float = 0.1,
) -> Duplicates:
    """Find the exposures of places that were exposed before.

    Parameters
    ----------
    session
        Exposures in the order of time.
    calibration
        Where beam shifts lead.
    radius
        Rule, or its text as of :meth:`refimpl.epu.radius.Radius.parse`.
    ignore_same_hole
        Leave out pairs of different shots of one hole: they are close on purpose. The same shot
        taken again stays a duplicate.
    stage_tolerance_um
        Read-backs of the stage this close are one place; it acts on the causes only.

    Raises
    ------
    ConfigError
        The radius needs a beam diameter that is not known, or holds millions of pairs.
    """
    import pandas as pd

    rule = Radius.parse(radius) if isinstance(radius, str) else radius
    table = session.table
    um, n = rule.of(table), len(table)
    positions = calibration.positions_um(session.stage_um, session.beam_shift)
    rows = close_pairs(positions, um)
    cause = causes_of(table, rows, stage_tolerance_um)
    if ignore_same_hole:
        intended = cause == CAUSES.index("same hole")
        rows, cause = rows[~intended], cause[~intended]
    first, second = rows.T
    distance = np.hypot(*(positions[first] - positions[second]).T)
    diameter = table["beam_diameter_um"].to_numpy(dtype=np.float64)
    diameter = np.where(np.isnan(diameter), common_diameter_um(table), diameter)
    pairs = pd.DataFrame(
        {
            "first": first,
            "second": second,
            "distance_um": distance,
            "overlap": disc_overlap(distance, diameter[first], diameter[second]),
            "cause": pd.Categorical.from_codes(cause, pd.Index(CAUSES)),
        }
    )
    return Duplicates(
        session, calibration, rule, um, ignore_same_hole, positions, pairs,
        components(n, rows), kept_partners(n, rows),
    )  # fmt: skip
