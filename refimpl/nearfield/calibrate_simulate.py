"""Simulated crystals for a calibration: known truth, stated errors, and the chi-square of a result.

A crystal is a disc of points of one orientation; every spot is shifted alike at all distances (as
a threshold or uneven illumination does) and at each by itself, then lights the pixels that its
points reach. Not simulated: mosaic spread, overlaps of intensity, stray pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64, I64
from refimpl.nearfield.calibrate import Calibration
from refimpl.nearfield.calibrate_model import Crystal, Geometry, place, spots_of
from refimpl.rotations import expmap, rotation_vector

__all__ = ["changes_to", "chi_square", "disc_pixels", "displaced"]


def disc_pixels(
    geometry: Geometry,
    setup: Setup,
    crystals: Sequence[Crystal],
    rng: np.random.Generator,
    *,
    common_px: float = 1.0,
    own_px: float = 0.3,
    radius_mm: float = 0.012,
    pitch_mm: float = 0.001,
) -> tuple[I64, tuple[int, int, int, int]]:
    """Lit pixels of crystals that are discs.

    Parameters
    ----------
    geometry, setup, crystals
        As for :func:`~refimpl.nearfield.calibrate_model.spots_of`.
    rng
        Of the shifts.
    common_px, own_px
        Standard deviations of a spot's shift that all distances share, and of its own at each.
    radius_mm, pitch_mm
        Of the discs, and of their points; a pitch above the pixel size leaves gaps.

    Returns
    -------
    pixels
        (n, 4) distance, frame, Y, Z, with repetitions.
    shape
        Of the stack.
    """
    spots, d = spots_of(geometry, setup, list(crystals)), len(geometry.lsd_mm)
    n = len(spots)
    shift = rng.normal(0.0, common_px, (n, 1, 2)) + rng.normal(0.0, own_px, (n, d, 2))
    side = np.arange(-radius_mm, radius_mm + 0.5 * pitch_mm, pitch_mm)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    out = [np.zeros((0, 4), dtype=np.int64)]
    for point in points[(points**2).sum(axis=1) <= radius_mm**2]:
        moved = [Crystal(c.u_matrix, c.position_mm + point) for c in crystals]
        at = place(geometry, setup, moved, spots.crystal, spots.row, spots.root)
        yz, frame = np.floor(at.yz_px + shift), np.floor(at.frame)
        rows = [np.column_stack([np.full(n, i), frame, yz[:, i]]) for i in range(d)]
        out.append(np.concatenate(rows).astype(np.int64))
    pixels = np.concatenate(out)
    shape = (d, setup.scan.n_frames, *geometry.shape_px)
    inside = ((pixels >= 0) & (pixels < np.array(shape))).all(axis=1)
    return pixels[inside], shape


def displaced(
    start: Geometry, crystal: Crystal, rng: np.random.Generator, *, wedge_rad: float = 0.0
) -> tuple[Geometry, Crystal]:
    """A truth up to 0.1 mm, 5 px, 0.6 degrees from a start, its crystal 0.3 degrees and 0.02 mm."""
    d = len(start.lsd_mm)
    geometry = start.changed(
        lsd_mm=start.lsd_mm + rng.uniform(-0.1, 0.1, d),
        beam_centre_px=start.beam_centre_px + rng.uniform(-5.0, 5.0, (d, 2)),
        tilts_rad=start.tilts_rad + rng.uniform(-0.01, 0.01, 3),
        wedge_rad=start.wedge_rad + wedge_rad,
    )
    turned = expmap(rng.uniform(-3e-3, 3e-3, 3)) @ crystal.u_matrix
    return geometry, Crystal(turned, crystal.position_mm + rng.uniform(-0.02, 0.02, 2))


def changes_to(found: Calibration, geometry: Geometry, crystals: Sequence[Crystal]) -> F64:
    """(k,) values that the parameters of a calibration should have come to."""
    start = found.start
    lsd = geometry.lsd_mm - start.lsd_mm
    tilts = geometry.tilts_rad - start.tilts_rad
    shared = "tx" in found.position.fit.names
    own = [
        np.concatenate([rotation_vector(c.u_matrix @ s.u_matrix.T), c.position_mm - s.position_mm])
        for c, s in zip(crystals, found.start_crystals, strict=True)
    ]
    return np.concatenate([
        lsd[:1], lsd[1:] - lsd[0], (geometry.beam_centre_px - start.beam_centre_px).T.ravel(),
        tilts[0] if shared else tilts.T.ravel(), [geometry.wedge_rad - start.wedge_rad], *own,
    ])  # fmt: skip


def chi_square(
    found: Calibration, geometry: Geometry, crystals: Sequence[Crystal]
) -> tuple[float, int]:
    """Errors of the free parameters over their stated covariance: chi-square, and their number."""
    fit = found.position.fit
    free = fit.sigma > 0.0
    error = (fit.x - changes_to(found, geometry, crystals))[free]
    covariance = fit.covariance[np.ix_(free, free)]
    return float(error @ np.linalg.solve(covariance, error)), len(error)
