r"""Which pixels and frames the spots of a voxel touch, on every detector distance.

A point (a, b) of the sample, turned by omega and leaning by the wedge W, sees a spot
:math:`(y_l, z_l)` of :mod:`refimpl.forward.nearfield_spots` at

.. math::

   x_a &= a\cos\omega - b\sin\omega, \quad y_a = a\sin\omega + b\cos\omega, \quad
   t = 1 - x_a\cos W / L_0 \\
   y' &= y_a + y_l\,t, \quad z' = x_a\sin W + z_l\,t \qquad (3) \\
   q &= R\,(0, y', z') - P_0, \quad P_0 = R\,(-L_0, 0, 0) \\
   Y &= (P_{0y} - q_y P_{0x}/q_x)/px + BC_y, \quad Z = (P_{0z} - q_z P_{0x}/q_x)/px + BC_z
   \qquad (4)

at the first distance. *Scaled* geometry, the published one and the default: the spot of the origin
is carried to distance d about the beam centre, by :math:`L_d/L_0`, floored, and the footprint's
whole-pixel offsets, found once at the first distance, are added (5). *Exact* geometry: the ray
from each corner, from where it really is, meets the tilted detector at each distance, and every
pixel that the corners' polygon touches counts. The two differ by a pixel or two: of pixels
simulated exactly for the published gold example, the scaled geometry of the same map finds 0.956
(edges of 1 um) to 0.974 (5 um) lit, and all of them once the lit pixels are dilated by one.

Source: near-field specification 1.9; the wedge by :math:`R_y(-W)R_z(\omega)` for the place too.
Vectors are in the MIDAS near-field frame. Not modelled: partial cover of a pixel, absorption.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_finite, check_within
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_projection import (
    footprint_pixels,
    met,
    projected,
    round_away,
    touched_pixels,
)
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.forward.nearfield_spots import NearfieldSpots
from refimpl.frames import F64, I64

__all__ = ["pixels_of_setup", "voxel_pixels"]

I32 = NDArray[np.int32]

CORNERS = 4
"""Most corners of a voxel."""

FAR_PX = 1e8
"""A spot with a corner farther out than this [px], or nowhere (NaN), is left out."""


def _scaled_hits(
    yl: float, zl: float, xyz: F64, filled: bool, published: bool, rotation: F64, lsd: F64,
    centre: F64, per_mm: float, shape: I64,
) -> list[tuple[int, int, int]]:  # fmt: skip
    """(distance, Y, Z) of one spot, footprint found at the first distance."""
    origin = np.zeros((1, 3))
    place = np.concatenate([origin, xyz])
    y, z = projected(yl, zl, place, rotation, float(lsd[0]), centre[0], per_mm)
    if not (np.abs(y) < FAR_PX).all() or not (np.abs(z) < FAR_PX).all():
        return []
    ratio = lsd / lsd[0]
    base_y = np.floor((y[0] - centre[0, 0]) * ratio + centre[:, 0]).astype(np.int64)
    base_z = np.floor((z[0] - centre[0, 1]) * ratio + centre[:, 1]).astype(np.int64)
    dy, dz = y[1:] - y[0], z[1:] - z[0]
    if filled:
        box = (-base_y[0], shape[0] - 1 - base_y[0], -base_z[0], shape[1] - 1 - base_z[0])
        oy, oz = footprint_pixels(
            round_away(dy), round_away(dz), tuple(int(b) for b in box), published=published
        )
    else:
        oy, oz = (round_away(np.cumsum(d)[-1:] / len(d)) for d in (dy, dz))
    out = []
    for py, pz in zip(oy, oz, strict=True):
        for d in range(len(lsd)):
            at = int(base_y[d] + py), int(base_z[d] + pz)
            if not (0 <= at[0] < shape[0] and 0 <= at[1] < shape[1]):
                break  # as published: nothing beyond the first distance that does not see it
            out.append((d, *at))
    return out


def _exact_hits(
    ray: tuple[float, float], xyz: F64, rotation: F64, lsd: F64, centre: F64, per_mm: float,
    shape: I64,
) -> list[tuple[int, int, int]]:  # fmt: skip
    """(distance, Y, Z) of one spot, each distance by itself."""
    out = []
    for d in range(len(lsd)):
        y, z = met(ray, xyz, rotation, float(lsd[d]), centre[d], per_mm)
        if (np.abs(y) < FAR_PX).all() and (np.abs(z) < FAR_PX).all():
            out += [(d, int(a), int(b)) for a, b in zip(*touched_pixels(y, z, shape), strict=True)]
    return out


def _check(key: I64, n_spots: int, corners: int) -> None:
    if not 1 <= corners <= CORNERS:
        raise IndexError(f"voxels of {corners} corners: expected 1 to {CORNERS}")
    bad = (key < 0).any(axis=1) | (key[:, 1] > n_spots - np.minimum(key[:, 0], n_spots + 1))
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise IndexError(f"key of voxel {row}: {key[row].tolist()}: there are {n_spots} spots")


def _check_camera(
    vertices_mm: F64, key: I64, yl_mm: F64, pixel_size_mm: float, shape_px: I64, n_frames: int,
    wedge_rad: float,
) -> None:  # fmt: skip
    _check(key, len(yl_mm), vertices_mm.shape[1])
    check_within("shape_px", shape_px, 0, 2**30)
    check_within("n_frames", n_frames, 0, 2**31 - 1)
    check_finite(wedge_rad=wedge_rad)
    if not pixel_size_mm > 0.0:
        raise ConfigError(f"pixel_size_mm = {pixel_size_mm}: expected above 0", got=pixel_size_mm)


@twin(
    "libm", check=_check_camera, vertices_mm="f8 n,k,2", edge_mm="f8 n", key="i8 n,2",
    yl_mm="f8 s", zl_mm="f8 s", omega_rad="f8 s", rotation="f8 3,3", lsd_mm="f8 d",
    beam_centre_px="f8 d,2", shape_px="i8 2",
)  # fmt: skip
def voxel_pixels(
    vertices_mm: F64,
    edge_mm: F64,
    key: I64,
    yl_mm: F64,
    zl_mm: F64,
    omega_rad: F64,
    rotation: F64,
    lsd_mm: F64,
    beam_centre_px: F64,
    pixel_size_mm: float,
    shape_px: I64,
    start_rad: float,
    step_rad: float,
    n_frames: int,
    wedge_rad: float,
    published_footprint: bool,
    exact: bool,
) -> I32:
    """Pixels that the spots of each voxel touch.

    Parameters
    ----------
    vertices_mm
        (n, k, 2) corners of each voxel in the sample plane, in order round it; 1 to 4.
    edge_mm
        (n,) edge length. Scaled geometry fills the polygon where it exceeds a pixel and lights
        one pixel, of the mean of the corners, where it does not.
    key
        (n, 2) number of spots of each voxel and row of the first.
    yl_mm, zl_mm, omega_rad
        (s,) spots of :func:`~refimpl.forward.nearfield_spots.theory_spots`.
    rotation
        (3, 3) tilt R of the detector.
    lsd_mm, beam_centre_px
        (d,) distances and (d, 2) beam centres [Y, Z].
    pixel_size_mm, shape_px
        Pixel and numbers of pixels (NY, NZ).
    start_rad, step_rad, n_frames
        Frame f covers omega from start + f step; spots outside the frames are left out.
    wedge_rad
        Lean of the sample's place; 0 for the published wedge, which does not turn it.
    published_footprint
        Scaled geometry: fill counter-clockwise corners only, as MIDAS C (spec 6.2, fault 7).
    exact
        Exact instead of scaled geometry.

    Returns
    -------
    (hits, 5) int32: voxel, distance, frame, Y, Z. Order: voxel, spot, then pixel (Z outer) and
    distance for the scaled geometry, distance and pixel for the exact one. A pixel touched by
    two spots of a voxel is there twice.

    Raises
    ------
    IndexError
        A key points beyond the spots, or a voxel has more than four corners.

    Notes
    -----
    Source: near-field specification 1.9 (projection, footprint) and 1.13 (a pixel is dropped at
    the first distance that does not see it, and at the later ones). Spots with a corner that is
    NaN or beyond 1e8 px are left out. Twin: ``refimpl/_ext/nearfield_pixels.pyx``.
    """
    per_mm = 1.0 / pixel_size_mm
    cos_w, sin_w = math.cos(wedge_rad), math.sin(wedge_rad)
    rows: list[tuple[int, ...]] = []
    for voxel in range(len(vertices_mm) if len(lsd_mm) else 0):
        a, b = vertices_mm[voxel].T
        for spot in range(key[voxel, 1], key[voxel, 1] + key[voxel, 0]):
            yl, zl, omega = float(yl_mm[spot]), float(zl_mm[spot]), omega_rad[spot]
            frame = np.floor((omega - start_rad) / step_rad)
            if not 0 <= frame < n_frames:
                continue
            c, s = math.cos(omega), math.sin(omega)  # libm's, as in the twin
            xa, ya = a * c - b * s, a * s + b * c
            xyz = np.stack([cos_w * xa, ya, sin_w * xa], axis=-1)
            if exact:
                ray = yl / lsd_mm[0], zl / lsd_mm[0]
                hits = _exact_hits(ray, xyz, rotation, lsd_mm, beam_centre_px, per_mm, shape_px)
            else:
                hits = _scaled_hits(
                    yl, zl, xyz, bool(edge_mm[voxel] > pixel_size_mm), published_footprint,
                    rotation, lsd_mm, beam_centre_px, per_mm, shape_px,
                )  # fmt: skip
            rows += [(voxel, d, int(frame), y, z) for d, y, z in hits]
    return np.array(rows, dtype=np.int32).reshape(-1, 5)


def pixels_of_setup(
    setup: Setup,
    voxels: Voxels,
    spots: NearfieldSpots,
    *,
    published_footprint: bool = False,
    exact: bool = False,
    backend: str | None = None,
    threads: int | None = None,
) -> I32:
    """Pixels of voxels whose orientations gave `spots`, one orientation a voxel.

    See :func:`voxel_pixels`; memory grows with the hits, 20 bytes each.
    """
    detector, scan = setup.detector, setup.scan
    hits: I32 = voxel_pixels(
        voxels.vertices(),
        voxels.edge_mm,
        spots.key,
        spots.yl_mm,
        spots.zl_mm,
        spots.omega_rad,
        detector.rotation,
        detector.lsd_mm,
        detector.beam_centre_px,
        detector.pixel_size_mm,
        np.array(detector.shape_px),
        scan.start_rad,
        scan.step_rad,
        scan.n_frames,
        0.0 if scan.published_wedge else scan.wedge_rad,
        published_footprint,
        exact,
        backend=backend,  # type: ignore[call-arg]
        threads=threads,
    )
    return hits
