"""The published calibration: one factor k, the hole spacing over a distance between clusters.

No rotation, no mirror, no stretch: kept because others use it, and to show what it does. The note
of the published script asks for "a representative small distance"; the rules are named in
:class:`refimpl.clustering.hole_grid.Spacings`.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from refimpl.clustering.beam_shift import Clusters, Spacings, cluster, k_of, spacings
from refimpl.epu.calibration import Calibration
from refimpl.epu.session import Session
from refimpl.errors import ConfigError

__all__ = ["RULES", "scalar"]

RULES = tuple(field.name for field in dataclasses.fields(Spacings))
"""Names of the distances that may stand for the spacing of the holes."""


def scalar(
    session: Session,
    spacing_um: float,
    *,
    rule: str = "smallest_median",
    clusters: Clusters | None = None,
) -> Calibration:
    """Find k from the spacing of the holes.

    Parameters
    ----------
    session
        Exposures.
    spacing_um
        Distance between neighbouring holes.
    rule
        Which distance of the cluster centres stands for it, one of :data:`RULES`.
    clusters
        Of the beam shifts; None: the holes that the data show.

    Raises
    ------
    ConfigError
        An unknown rule, a spacing that is not positive, or one cluster only.
    """
    if rule not in RULES:
        raise ConfigError(
            f"rule {rule!r}: expected one of {', '.join(RULES)}", key="rule", got=rule
        )
    groups = cluster(session.beam_shift) if clusters is None else clusters
    distance = float(getattr(spacings(groups.centres), rule))
    k = k_of(spacing_um, distance)
    note = (
        f"{spacing_um:g} um over {distance:.5f} ({rule} of {len(groups)} clusters); a scalar knows "
        "no rotation and no mirror: positions of different beam shifts may be wrong by micrometres"
    )
    return Calibration("scalar", k * np.eye(2), n=0, notes=(note,))
