"""Where rays of a sample meet near-field detectors, and which pixels a polygon there covers.

The definitions behind :mod:`refimpl.forward.nearfield_pixels` and :mod:`refimpl.objective`; the
formulas, numbered as in near-field specification 1.9, are in the former's docstring. Places are in
the MIDAS near-field frame, after omega and wedge. Their compiled counterparts are in
``refimpl/_ext/nearfield_geometry.pxd`` and ``nearfield_hits.pxd``.
"""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64, I64

__all__ = ["footprint_pixels", "met", "projected", "round_away", "touched_pixels"]


def round_away(x: F64) -> I64:
    """Nearest whole number, halves away from zero, as C's round."""
    whole = np.trunc(x)
    return np.asarray(whole + np.where(np.abs(x - whole) >= 0.5, np.copysign(1.0, x), 0.0)).astype(
        np.int64
    )


def _cells(y: tuple[int, int], z: tuple[int, int]) -> tuple[I64, I64]:
    """Whole pixels of a box, limits included, Z outer."""
    py, pz = np.meshgrid(np.arange(y[0], y[1] + 1), np.arange(z[0], z[1] + 1))
    return py.ravel(), pz.ravel()


def footprint_pixels(
    vy: I64, vz: I64, box: tuple[int, ...] | None = None, *, published: bool = False
) -> tuple[I64, I64]:
    """Pixels in a polygon of whole-numbered corners, or 0.99 px from a side's line (CalcPixels2).

    Parameters
    ----------
    vy, vz
        (k,) corners, in order round it.
    box
        ylo, yhi, zlo, zhi, limits included, that clips the polygon's own.
    published
        Demand counter-clockwise corners, and so see only the rims of clockwise ones.

    Returns
    -------
    (n,) Y and Z, Z outer.
    """
    lo, hi = np.iinfo(np.int32).min, np.iinfo(np.int32).max
    ylo, yhi, zlo, zhi = (lo, hi, lo, hi) if box is None else box
    py, pz = _cells(
        (max(vy.min(), ylo), min(vy.max(), yhi)), (max(vz.min(), zlo), min(vz.max(), zhi))
    )
    ny, nz = np.roll(vy, -1), np.roll(vz, -1)
    area = ((vy - vy[0]) * (nz - vz[0]) - (vz - vz[0]) * (ny - vy[0])).sum()
    way = -1 if area < 0 and not published else 1
    inside, rim = np.ones(len(py), dtype=bool), np.zeros(len(py), dtype=bool)
    for ay, az, by, bz in zip(vy, vz, ny, nz, strict=True):
        turn = (by - ay) * (pz - az) - (bz - az) * (py - ay)
        inside &= turn * way >= 0
        rim |= 10000 * turn * turn < 9801 * ((by - ay) ** 2 + (bz - az) ** 2)  # 0.99 px, squared
    keep = inside | rim
    return py[keep], pz[keep]


def touched_pixels(y: F64, z: F64, shape: I64) -> tuple[I64, I64]:
    """Pixels of the detector whose squares a convex polygon touches (separating axes)."""
    py, pz = _cells(
        (max(int(np.floor(y.min())), 0), min(int(np.floor(y.max())), int(shape[0]) - 1)),
        (max(int(np.floor(z.min())), 0), min(int(np.floor(z.max())), int(shape[1]) - 1)),
    )
    ny, nz = np.roll(y, -1), np.roll(z, -1)
    area = ((y - y[0]) * (nz - z[0]) - (z - z[0]) * (ny - y[0])).sum()
    way = -1.0 if area < 0.0 else 1.0
    keep = np.ones(len(py), dtype=bool)
    for ay, az, by, bz in zip(y, z, ny, nz, strict=True):
        turn = (by - ay) * (pz + 0.5 - az) - (bz - az) * (py + 0.5 - ay)
        keep &= turn * way + 0.5 * (np.abs(by - ay) + np.abs(bz - az)) >= 0.0
    return py[keep], pz[keep]


def projected(
    yl: F64 | float, zl: F64 | float, xyz: F64, rotation: F64, lsd: float, centre: F64,
    per_mm: float,
) -> tuple[F64, F64]:  # fmt: skip
    """Pixels Y, Z on the first detector of spots seen from lab places, by formulas 3 and 4.

    Parameters
    ----------
    yl, zl
        Spots [mm], of a shape that broadcasts with `xyz` less its last axis.
    xyz
        (..., 3) places, turned by omega and wedge [mm].
    rotation, lsd, centre, per_mm
        Tilt (3, 3), distance [mm], beam centre (2,) [px] and pixels a mm.
    """
    r = rotation
    p0 = [-(r[i, 0] * lsd) for i in range(3)]
    t = 1.0 - xyz[..., 0] / lsd
    y, z = xyz[..., 1] + yl * t, xyz[..., 2] + zl * t
    q = [r[i, 1] * y + r[i, 2] * z - p0[i] for i in range(3)]
    f = p0[0] / q[0]
    return (p0[1] - q[1] * f) * per_mm + centre[0], (p0[2] - q[2] * f) * per_mm + centre[1]


def met(
    ray: tuple[float, float], xyz: F64, rotation: F64, lsd: float, centre: F64, per_mm: float
) -> tuple[F64, F64]:
    """Pixels (k,) where rays (1, ray) from places (k, 3) meet the tilted detector at lsd."""
    r, x = rotation, xyz[:, 0] - lsd
    s = [r[i, 0] * x + r[i, 1] * xyz[:, 1] + r[i, 2] * xyz[:, 2] for i in range(3)]
    d = [r[i, 0] + r[i, 1] * ray[0] + r[i, 2] * ray[1] for i in range(3)]
    t = -s[0] / d[0]
    return (s[1] + t * d[1]) * per_mm + centre[0], (s[2] + t * d[2]) * per_mm + centre[1]
