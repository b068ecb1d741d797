r"""Where and when the reflections of orientations are seen: both crossings of the Ewald sphere.

With :math:`g = U\,B\,hkl` in the sample and :math:`v = |g|\sin\theta`, the rotation axis leaning by
the wedge W, diffraction needs

.. math:: (R_y(-W)\,R_z(\omega)\,g)_x = -v \iff g_x\cos\omega - g_y\sin\omega = -v',\qquad
          v' = \frac{v - g_z\sin W}{\cos W}

so with :math:`\rho^2 = g_x^2 + g_y^2` and :math:`\delta = \mathrm{atan2}(g_y, g_x)` the two
crossings have :math:`\cos(\omega + \delta) = -v'/\rho`, :math:`\sin(\omega + \delta) = \pm s`: sine
and cosine of omega are algebraic. The diffracted ray leaves along
:math:`(\cdot, \rho\,s, g_z\cos W - v'\sin W)` and meets the untilted detector at the distance Lsd
on the ring of radius :math:`Lsd\tan 2\theta`.

Source: near-field specification 1.0, 1.7 and 1.9. Vectors are in the MIDAS near-field frame: x
along the beam, z up and the rotation axis at W = 0. Not modelled: energy width, strain within one
call (the far field calls once a grain), a sample away from the axis (that is
:mod:`refimpl.forward.nearfield_pixels`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_finite
from refimpl.dispatch import twin
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64, I64

__all__ = ["NearfieldSpots", "spots_of_setup", "theory_spots"]

_BLOCK = 64  # orientations of the definition at a time: its arrays are (block, h, 2)

ON_AXIS = 1e-12
"""Below this |g_y| [1/Å] the first root is the one of positive omega, as published."""


def _contains(ranges: F64, boxes: F64, omega: F64, yl: F64, zl: F64) -> NDArray[np.bool_]:
    """Whether any range holds the angle and its own box the place; all limits open."""
    out = np.zeros(omega.shape, dtype=bool)
    for (lo, hi), (ylo, yhi, zlo, zhi) in zip(ranges, boxes, strict=True):
        out |= (lo < omega) & (omega < hi) & (ylo < yl) & (yl < yhi) & (zlo < zl) & (zl < zhi)
    return out


def _published_shift(y: F64, z: F64, two_theta: F64, wedge: float) -> tuple[F64, F64]:
    r"""Cosine and sine of the published change of omega by a wedge (spec 1.9).

    The vector :math:`k = (-\sin 2\theta, \cos 2\theta\,e_y, \cos 2\theta\,e_z)` (2 theta stands
    where theta is meant) is turned about y by the wedge; the change is the smaller turn about z
    that brings it to its Bragg condition.
    """
    k1, k2, k3 = -np.sin(two_theta), np.cos(two_theta) * y, np.cos(two_theta) * z
    g1 = k3 * np.sin(wedge) + k1 * np.cos(wedge)
    rho2 = g1 * g1 + k2 * k2
    rho = np.sqrt(np.where((rho2 > 0.0) & (k1 * k1 <= rho2), rho2, np.nan))
    c0 = k1 / rho
    s0 = np.sqrt(np.maximum((1.0 - c0) * (1.0 + c0), 0.0))
    cd, sd = g1 / rho, k2 / rho
    s0 = np.where(sd < 0.0, -s0, s0)  # of the two, the one of larger cosine
    return c0 * cd + s0 * sd, s0 * cd - c0 * sd


def _check_angles(exclude_pole_rad: float, wedge_rad: float) -> None:
    check_finite(exclude_pole_rad=exclude_pole_rad, wedge_rad=wedge_rad)


@twin(
    "libm", check=_check_angles, orientations="f8 n,3,3", g="f8 h,3", theta_rad="f8 h",
    ranges_rad="f8 k,2", boxes_mm="f8 k,4",
)  # fmt: skip
def theory_spots(
    orientations: F64,
    g: F64,
    theta_rad: F64,
    ranges_rad: F64,
    boxes_mm: F64,
    exclude_pole_rad: float,
    wedge_rad: float,
    published_wedge: bool,
    lsd0_mm: float,
) -> tuple[F64, F64, F64, I64, NDArray[np.int32]]:
    """Spots of every orientation, seen from a source on the rotation axis.

    Parameters
    ----------
    orientations
        (n, 3, 3) crystal to sample, g_sample = U g_crystal.
    g
        (h, 3) reciprocal vectors B hkl in the crystal, without 2 pi [1/Å].
    theta_rad
        (h,) Bragg angles.
    ranges_rad, boxes_mm
        (k, 2) omega and (k, 4) ylo, yhi, zlo, zhi of the untilted position; a spot is kept if for
        some i it lies in range i and box i, limits excluded. None: no spots.
    exclude_pole_rad
        Spots nearer than this to the rotation axis in eta, up or down, are left out.
    wedge_rad
        W of the module's formula.
    published_wedge
        Shift omega as MIDAS C does instead, which takes 2 theta for theta and leaves eta alone;
        ranges, boxes and pole are judged before the shift, the ranges again after it.
    lsd0_mm
        Distance that the positions are given at.

    Returns
    -------
    yl_mm, zl_mm
        (s,) positions on the untilted detector.
    omega_rad
        (s,) in (-pi, pi].
    key
        (n, 2) number of spots and row of the first, of each orientation.
    hkl_row
        (s,) int32 row of g. Order: orientation, row of g, root, that of larger cos omega first.

    Notes
    -----
    Source: near-field specification 1.7 (selection, order) and 1.9 (wedge). An orientation with
    NaN has no spots. Accuracy: equation (1) holds to 1e-12 for reciprocal vectors up to 2 per Å.
    Where the sphere is only touched the two roots coincide and both are given.
    Twin: ``refimpl/_ext/nearfield_spots.pyx``.
    """
    parts = []
    for start in range(0, len(orientations), _BLOCK):
        u = orientations[start : start + _BLOCK, None]
        gx, gy, gz = (
            u[..., i, 0] * g[:, 0] + u[..., i, 1] * g[:, 1] + u[..., i, 2] * g[:, 2]
            for i in range(3)
        )
        lean = 0.0 if published_wedge else wedge_rad
        length = np.sqrt(gx * gx + gy * gy + gz * gz)  # kept by every turn
        v, along = np.sin(theta_rad) * length, (np.cos(theta_rad) * length)[..., None]
        need = (v - np.sin(lean) * gz) / np.cos(lean)
        rho2 = gx * gx + gy * gy
        rest = rho2 - need * need
        y = np.sqrt(np.where((rho2 > 0.0) & (rest >= 0.0), rest, np.nan))
        y = np.where(np.where(np.abs(gy) < ON_AXIS, gx, gy) < 0.0, -y, y)
        y = np.stack([y, -y], axis=-1)  # rho sin(omega + delta), larger cos omega first
        z = (np.cos(lean) * gz - np.sin(lean) * need)[..., None]
        scale = (lsd0_mm * np.tan(2.0 * theta_rad))[:, None] / along
        yl, zl = scale * y, np.broadcast_to(scale * z, y.shape)  # both roots at one height
        gx, gy, need, rho2 = (a[..., None] for a in (gx, gy, need, rho2))
        with np.errstate(divide="ignore", invalid="ignore"):
            cos, sin = (y * gy - need * gx) / rho2, (y * gx + need * gy) / rho2
        omega = np.arctan2(sin + 0.0, cos)  # + 0: half a turn is +pi, never -pi
        keep = np.abs(z) <= np.cos(exclude_pole_rad) * along
        keep = keep & _contains(ranges_rad, boxes_mm, omega, yl, zl)
        if published_wedge:
            two_theta = 2.0 * theta_rad[:, None]
            cw, sw = _published_shift(y / along, z / along, two_theta, wedge_rad)
            omega = np.arctan2(sin * cw - cos * sw + 0.0, cos * cw + sin * sw)
            inside = [(lo < omega) & (omega < hi) for lo, hi in ranges_rad]
            keep &= np.any(inside, axis=0) if inside else False
        row = np.broadcast_to(np.arange(len(g), dtype=np.int32)[:, None], keep.shape)
        parts.append((yl[keep], zl[keep], omega[keep], row[keep], keep.sum(axis=(1, 2))))
    none = (np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, np.int32), np.zeros(0, np.int64))
    yl, zl, omega, row, count = (np.concatenate(p) for p in zip(none, *parts, strict=True))
    key = np.stack([count, np.cumsum(count) - count], axis=-1).astype(np.int64)
    return yl, zl, omega, key, row


@dataclass(frozen=True, eq=False)
class NearfieldSpots:
    """Spots of a list of orientations; the columns of :func:`theory_spots`.

    Attributes
    ----------
    yl_mm, zl_mm, omega_rad, hkl_row
        (s,).
    key
        (n, 2) number of spots and row of the first, of each orientation.
    """

    yl_mm: F64
    zl_mm: F64
    omega_rad: F64
    key: I64
    hkl_row: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.yl_mm)

    @property
    def owner(self) -> I64:
        """(s,) orientation that each spot belongs to."""
        return np.repeat(np.arange(len(self.key)), self.key[:, 0])


def spots_of_setup(
    setup: Setup,
    orientations: F64,
    *,
    backend: str | None = None,
    threads: int | None = None,
) -> NearfieldSpots:
    """Spots of (n, 3, 3) orientations in an experiment, by :func:`theory_spots`.

    Memory grows with the spots, 28 bytes each: feed long lists of orientations in blocks.
    """
    scan, reflections = setup.scan, setup.reflections
    return NearfieldSpots(
        *theory_spots(
            orientations,
            reflections.g,
            reflections.theta_rad,
            scan.ranges_rad,
            scan.boxes_mm,
            scan.exclude_pole_rad,
            scan.wedge_rad,
            scan.published_wedge,
            float(setup.detector.lsd_mm[0]),
            backend=backend,  # type: ignore[call-arg]
            threads=threads,
        )
    )
