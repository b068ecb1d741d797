"""Pictures of simulated scenes beside their count maps, for people to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from refimpl.centring.simulate_collection import Shown

__all__ = ["sheet_of"]

OMEGAS_RAD = (0.0, math.radians(50.0), math.radians(90.0))


def sheet_of(shown: Sequence[Shown]) -> NDArray[np.uint8]:
    """One row a scene, three rotations, each a picture and its map (half size, map to its top)."""
    rows = []
    for one in shown:
        cells = []
        for omega in OMEGAS_RAD:
            picture = one.scene.picture(one.zoom, omega)
            counts = one.scene.rc_map(one.zoom, omega)
            scaled = np.rint(counts * (255.0 / max(float(counts.max()), 50.0))).astype(np.uint8)
            cells += [picture[::2, ::2], scaled[::2, ::2]]
        rows.append(np.hstack(cells))
    return np.vstack(rows)
