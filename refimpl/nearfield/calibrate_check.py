"""The published criterion as a check on a calibration: whether predicted pixels are lit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.lit_pixels import LitPixels, lit_at
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64
from refimpl.nearfield.calibrate_model import Crystal, Geometry, SpotList, place, spots_of

__all__ = ["Hits", "lit_fraction_map", "spot_hits", "spots_lit"]


@dataclass(frozen=True)
class Hits:
    """How many of the spots looked for are lit at every distance."""

    lit: int
    total: int

    @property
    def fraction(self) -> float:
        """Lit over total; 0 of 0 is 0."""
        return self.lit / self.total if self.total else 0.0


def spot_hits(
    geometry: Geometry, setup: Setup, crystals: Sequence[Crystal], lit: LitPixels
) -> Hits:
    """Spots of the crystals' centres whose pixel is lit at every distance.

    Parameters
    ----------
    geometry, setup, crystals
        As for :func:`~refimpl.nearfield.calibrate_model.spots_of`.
    lit
        Lit pixels; ``lit.dilated(0, 1)`` allows a frame to either side, at each distance by itself.
    """
    found = spots_lit(spots_of(geometry, setup, list(crystals)), lit)
    return Hits(int(found.sum()), len(found))


def spots_lit(spots: SpotList, lit: LitPixels) -> NDArray[np.bool_]:
    """(s,) whether a spot's pixel is lit at every distance; outside the stack is dark."""
    frame = np.floor(spots.frame).astype(np.int64)
    found = (frame >= 0) & (frame < lit.shape[1])
    pixel = np.floor(np.nan_to_num(spots.yz_px, nan=-1.0)).astype(np.int64)
    found &= ((pixel >= 0) & (pixel < np.array(lit.shape[2:]))).all(axis=(1, 2))
    at = np.flatnonzero(found)
    for d in range(lit.shape[0]):
        y, z = pixel[at, d].T
        found[at] &= lit_at(lit.coarse, lit.rank, lit.tiles, lit.tile_shape, d, frame[at], y, z)
    return np.asarray(found)


def lit_fraction_map(
    geometry: Geometry, setup: Setup, crystal: Crystal, lit: LitPixels, xy_mm: F64
) -> F64:
    """Fraction of a crystal's spots that are lit, seen from other points of the sample.

    Parameters
    ----------
    geometry, setup, lit
        As for :func:`spot_hits`.
    crystal
        Its orientation; the spots are those that its centre shows on every detector.
    xy_mm
        (v, 2) points.

    Returns
    -------
    (v,) fractions: an image of the crystal's extent, where each spot is as wide as the crystal.
    """
    spots = spots_of(geometry, setup, [crystal])
    out = np.zeros(len(xy_mm))
    for i, point in enumerate(xy_mm):
        moved = [Crystal(crystal.u_matrix, np.asarray(point))]
        at = place(geometry, setup, moved, spots.crystal, spots.row, spots.root)
        out[i] = spots_lit(at, lit).mean() if len(spots) else 0.0
    return out
