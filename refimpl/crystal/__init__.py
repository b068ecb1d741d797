"""Cells, Miller indices, symmetry, calibrants and the rings they make."""

from __future__ import annotations

from refimpl.crystal.calibrants import (
    CALIBRANTS,
    Calibrant,
    calibrant,
    calibrant_from_cell,
    calibrant_from_d_spacings,
    lamellar,
)
from refimpl.crystal.reflections import Site
from refimpl.crystal.rings import Rings, rings, two_theta_of_d

__all__ = [
    "CALIBRANTS",
    "Calibrant",
    "Rings",
    "Site",
    "calibrant",
    "calibrant_from_cell",
    "calibrant_from_d_spacings",
    "lamellar",
    "rings",
    "two_theta_of_d",
]
