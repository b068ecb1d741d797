r"""The tilted flat detector with harmonic distortion, parallax and panel corrections.

A pixel goes through: rotation about its panel's centre and shift, beam centre and pixel size,
tilt, projection along the ray from the sample onto the plane at the panel's distance, distortion,
parallax. Source: MIDAS, `DetectorGeometry.c` (`dg_pixel_to_REta`) and the AutoCalibrate manual
version 10; the manual's p0..p4 are the first terms of the harmonic series.

Distortion amplitudes and phases :math:`a_k, \phi_k` are kept as :math:`a_k\cos\phi_k` and
:math:`a_k\sin\phi_k`, because the polar form is singular at amplitude 0; see
:mod:`refimpl.detector.distortion` for the published names. Not modelled: curved detectors,
pixel-wise distortion maps, a sample of finite size.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin
from refimpl.frames import F64

__all__ = [
    "CORRECTION_FIELDS",
    "GEOMETRY_FIELDS",
    "HARMONIC_POWERS",
    "JACOBIAN_FIELDS",
    "pixel_position",
    "ring_coordinates",
    "ring_jacobian",
]

GEOMETRY_FIELDS = (
    "lsd_mm", "beam_fast_px", "beam_slow_px", "tx_rad", "ty_rad", "tz_rad",
    "pixel_fast_mm", "pixel_slow_mm", "rho_d_mm", "parallax_mm",
    "iso_r2", "iso_r4", "iso_r6",
    "a1c", "a1s", "a2c", "a2s", "a3c", "a3s", "a4c", "a4s", "a5c", "a5s", "a6c", "a6s",
)  # fmt: skip
"""The 25 numbers of a geometry vector, in order."""

CORRECTION_FIELDS = (
    "centre_fast_px", "centre_slow_px", "d_fast_px", "d_slow_px", "d_theta_rad", "d_lsd_mm", "d_p2",
)  # fmt: skip
"""The 7 numbers of a panel's correction, in order; dY, dZ, dTheta, dLsd, dP2 as published."""

JACOBIAN_FIELDS = (
    "lsd_mm", "beam_fast_px", "beam_slow_px", "tx_rad", "ty_rad", "tz_rad", "parallax_mm",
    *GEOMETRY_FIELDS[10:],
    "d_fast_px", "d_slow_px", "d_theta_rad", "d_lsd_mm", "d_p2",
)  # fmt: skip
"""Columns of :func:`ring_jacobian`: what the radius can be differentiated by."""

HARMONIC_POWERS = (4, 2, 3, 4, 5, 6)
"""Power of rho that goes with the k-fold term, k = 1..6 (1-fold with rho^4 as published)."""


def _tilt(tx: float, ty: float, tz: float) -> list[list[float]]:
    """T = Rx(tx) Ry(ty) Rz(tz) by rows; libm's sine and cosine, as in the twin."""
    cx, sx, cy, sy = math.cos(tx), math.sin(tx), math.cos(ty), math.sin(ty)
    cz, sz = math.cos(tz), math.sin(tz)
    return [
        [cy * cz, -(cy * sz), sy],
        [sx * sy * cz + cx * sz, cx * cz - sx * sy * sz, -(sx * cy)],
        [sx * sz - cx * sy * cz, cx * sy * sz + sx * cz, cx * cy],
    ]


def _tilt_derivatives(tx: float, ty: float, tz: float) -> list[list[list[float]]]:
    """Derivatives of T with respect to tx, ty, tz."""
    cx, sx, cy, sy = math.cos(tx), math.sin(tx), math.cos(ty), math.sin(ty)
    cz, sz = math.cos(tz), math.sin(tz)
    by_tx = [
        [0.0, 0.0, 0.0],
        [cx * sy * cz - sx * sz, -(sx * cz) - cx * sy * sz, -(cx * cy)],
        [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -(sx * cy)],
    ]
    by_ty = [
        [-(sy * cz), sy * sz, cy],
        [sx * cy * cz, -(sx * cy * sz), sx * sy],
        [-(cx * cy * cz), cx * cy * sz, -(cx * sy)],
    ]
    by_tz = [
        [-(cy * sz), -(cy * cz), 0.0],
        [cx * cz - sx * sy * sz, -(sx * sy * cz) - cx * sz, 0.0],
        [sx * cz + cx * sy * sz, cx * sy * cz - sx * sz, 0.0],
    ]
    return [by_tx, by_ty, by_tz]


def _harmonics(cos_e: F64, sin_e: F64) -> tuple[list[F64], list[F64]]:
    """cos(k e), sin(k e) for k = 1..6 by angle addition: no trigonometry per pixel."""
    cos_k, sin_k = [cos_e], [sin_e]
    for _ in range(5):
        c, s = cos_k[-1], sin_k[-1]
        cos_k.append(c * cos_e - s * sin_e)
        sin_k.append(s * cos_e + c * sin_e)
    return cos_k, sin_k


def _powers(rho: F64) -> list[F64]:
    """rho^0 .. rho^6 by multiplication."""
    out = [np.ones_like(rho), rho]
    for _ in range(5):
        out.append(out[-1] * rho)
    return out


def _distortion(rho: F64, d_p2: F64, cos_k: list[F64], sin_k: list[F64], g: F64) -> F64:
    """D(rho, e), equation of the module docstring."""
    power = _powers(rho)
    total = 1.0 + (g[10] + d_p2) * power[2] + g[11] * power[4] + g[12] * power[6]
    for k, n in enumerate(HARMONIC_POWERS):
        total = total + power[n] * (g[13 + 2 * k] * cos_k[k] - g[14 + 2 * k] * sin_k[k])
    return total


def _corrected(
    fast_px: F64, slow_px: F64, panel: NDArray[np.int32], g: F64, corrections: F64
) -> tuple[F64, F64, F64, F64, F64, F64]:
    """Position after panel correction, with d/d(theta), distance and dP2 of each point."""
    table = np.vstack([corrections, np.zeros((1, 7))])  # the last row serves panel -1
    cf, cs, df, ds, _, d_lsd, d_p2 = table[panel].T
    turn = np.array([(math.cos(t), math.sin(t)) for t in table[:, 4]])[panel]
    x, y = fast_px - cf, slow_px - cs
    free = panel < 0
    fast = np.where(free, fast_px, cf + (x * turn[:, 0] - y * turn[:, 1]) + df)
    slow = np.where(free, slow_px, cs + (x * turn[:, 1] + y * turn[:, 0]) + ds)
    fast_by_theta = np.where(free, 0.0, -(x * turn[:, 1]) - y * turn[:, 0])
    slow_by_theta = np.where(free, 0.0, x * turn[:, 0] - y * turn[:, 1])
    return fast, slow, fast_by_theta, slow_by_theta, g[0] + d_lsd, d_p2


@twin("libm", fast_px="f8 n", slow_px="f8 n", panel="i4 n", geometry="f8 25", corrections="f8 p,7")
def ring_coordinates(
    fast_px: F64, slow_px: F64, panel: NDArray[np.int32], geometry: F64, corrections: F64
) -> tuple[F64, F64, F64]:
    r"""Ring radius and azimuth of points on the detector.

    .. math::

       v &= T\,(0, y, z)^T, \quad X = L + v_x, \quad R = \frac{L}{X}\sqrt{v_y^2 + v_z^2} \\
       R_c &= R\, D(R/\rho_D, \pi/2 - \eta)\, L_0/L + P \sin\arctan(R/L)

    Parameters
    ----------
    fast_px, slow_px
        (n,) [px], model frame, corner origin.
    panel
        (n,) index into `corrections`; -1 for a point without panel correction.
    geometry
        (25,) numbers named by :data:`GEOMETRY_FIELDS`.
    corrections
        (p, 7) numbers named by :data:`CORRECTION_FIELDS`; p may be 0.

    Returns
    -------
    radius_mm
        (n,) corrected ring radius on the plane at the nominal distance L0 = ``lsd_mm``, so that
        ``two_theta = atan(radius_mm / lsd_mm)``. NaN where the point lies behind the sample.
    eta_rad
        (n,) azimuth after the tilt, :mod:`refimpl.frames`.
    eta_untilted_rad
        (n,) azimuth about the beam centre in the plane of the detector (the published programs
        bin by it).

    Notes
    -----
    Source: MIDAS ``dg_pixel_to_REta``; reproduced to 7e-13 px and 3e-14 degrees
    (``forward_model/dg_head``).
    """
    g = geometry
    t = _tilt(g[3], g[4], g[5])
    fast, slow, _, _, lsd, d_p2 = _corrected(fast_px, slow_px, panel, g, corrections)
    y = -(fast - g[1]) * g[6]
    z = (slow - g[2]) * g[7]
    vx, vy, vz = (row[1] * y + row[2] * z for row in t)
    big_x = lsd + vx
    r = np.sqrt(vy * vy + vz * vz)
    with np.errstate(invalid="ignore", divide="ignore"):
        radius = np.where(big_x > 0.0, (lsd / big_x) * r, np.nan)
        cos_e = np.where(r > 0.0, -vy / r, 0.0)  # e = pi/2 - eta; eta = 0 at the beam centre
        sin_e = np.where(r > 0.0, vz / r, 1.0)
    cos_k, sin_k = _harmonics(cos_e, sin_e)
    tangent = radius / lsd
    depth = g[9] * (tangent / np.sqrt(1.0 + tangent * tangent))
    d = _distortion(radius / g[8], d_p2, cos_k, sin_k, g)
    return radius * d * (g[0] / lsd) + depth, np.arctan2(-vy, vz), np.arctan2(-y, z)


@twin("libm", fast_px="f8 n", slow_px="f8 n", panel="i4 n", geometry="f8 25", corrections="f8 p,7")
def ring_jacobian(
    fast_px: F64, slow_px: F64, panel: NDArray[np.int32], geometry: F64, corrections: F64
) -> tuple[F64, F64, F64]:
    """Ring radius, azimuth and the radius' derivatives.

    Parameters
    ----------
    fast_px, slow_px, panel, geometry, corrections
        As in :func:`ring_coordinates`.

    Returns
    -------
    radius_mm, eta_rad
        As in :func:`ring_coordinates`.
    jacobian
        (n, 27): derivative of ``radius_mm`` by each of :data:`JACOBIAN_FIELDS`; the last five
        are with respect to the corrections of the point's own panel (0 for panel -1, except
        ``d_lsd_mm`` and ``d_p2``, which exist for every point).

    Notes
    -----
    Derived by hand from :func:`ring_coordinates` (docs/theory/powder); checked against central
    differences and complex-step-free mpmath derivatives.
    """
    g = geometry
    t = _tilt(g[3], g[4], g[5])
    fast, slow, fast_th, slow_th, lsd, d_p2 = _corrected(fast_px, slow_px, panel, g, corrections)
    y = -(fast - g[1]) * g[6]
    z = (slow - g[2]) * g[7]
    vx, vy, vz = (row[1] * y + row[2] * z for row in t)
    big_x = lsd + vx
    r = np.sqrt(vy * vy + vz * vz)
    with np.errstate(invalid="ignore", divide="ignore"):
        radius = np.where(big_x > 0.0, (lsd / big_x) * r, np.nan)
        cos_e = np.where(r > 0.0, -vy / r, 0.0)
        sin_e = np.where(r > 0.0, vz / r, 1.0)
        over_r = np.where(r > 0.0, 1.0 / r, 0.0)
    cos_k, sin_k = _harmonics(cos_e, sin_e)
    rho = radius / g[8]
    power = _powers(rho)
    d = _distortion(rho, d_p2, cos_k, sin_k, g)
    d_by_rho = 2.0 * (g[10] + d_p2) * rho + 4.0 * g[11] * power[3] + 6.0 * g[12] * power[5]
    d_by_e = np.zeros_like(rho)
    for k, n in enumerate(HARMONIC_POWERS):
        ac, as_ = g[13 + 2 * k], g[14 + 2 * k]
        d_by_rho = d_by_rho + n * power[n - 1] * (ac * cos_k[k] - as_ * sin_k[k])
        d_by_e = d_by_e - (k + 1) * power[n] * (ac * sin_k[k] + as_ * cos_k[k])
    ratio = g[0] / lsd
    tangent = radius / lsd
    secant = np.sqrt(1.0 + tangent * tangent)
    depth = tangent / secant
    depth_by_t = 1.0 / (secant * secant * secant)
    rc_by_r = ratio * (d + rho * d_by_rho) + g[9] * depth_by_t / lsd
    rc_by_e = radius * ratio * d_by_e
    rc_by_lsd = -(radius * d * ratio / lsd) - g[9] * depth_by_t * tangent / lsd
    # gradient of the corrected radius with respect to v
    gx = rc_by_r * (-(radius / big_x))
    gy = rc_by_r * (lsd * vy / big_x * over_r) + rc_by_e * (vz * over_r * over_r)
    gz = rc_by_r * (lsd * vz / big_x * over_r) - rc_by_e * (vy * over_r * over_r)
    by_y = gx * t[0][1] + gy * t[1][1] + gz * t[2][1]
    by_z = gx * t[0][2] + gy * t[1][2] + gz * t[2][2]
    by_distance = rc_by_r * ((r / big_x) * (vx / big_x)) + rc_by_lsd
    jacobian = np.empty((len(fast_px), len(JACOBIAN_FIELDS)))
    jacobian[:, 0] = by_distance + radius * d / lsd
    jacobian[:, 1] = by_y * g[6]
    jacobian[:, 2] = -(by_z * g[7])
    for column, dt in enumerate(_tilt_derivatives(g[3], g[4], g[5])):
        dvx, dvy, dvz = (row[1] * y + row[2] * z for row in dt)
        jacobian[:, 3 + column] = gx * dvx + gy * dvy + gz * dvz
    jacobian[:, 6] = depth
    scaled = radius * ratio
    for column, n in enumerate((2, 4, 6)):
        jacobian[:, 7 + column] = scaled * power[n]
    for k, n in enumerate(HARMONIC_POWERS):
        jacobian[:, 10 + 2 * k] = scaled * power[n] * cos_k[k]
        jacobian[:, 11 + 2 * k] = -(scaled * power[n] * sin_k[k])
    attached = np.where(panel < 0, 0.0, 1.0)
    jacobian[:, 22] = -(by_y * g[6]) * attached
    jacobian[:, 23] = by_z * g[7] * attached
    jacobian[:, 24] = by_z * g[7] * slow_th - by_y * g[6] * fast_th
    jacobian[:, 25] = by_distance
    jacobian[:, 26] = scaled * power[2]
    return radius * d * ratio + g[9] * depth, np.arctan2(-vy, vz), jacobian


@twin(
    "libm", radius_mm="f8 n", eta_rad="f8 n", panel="i4 n", geometry="f8 25", corrections="f8 p,7"
)
def pixel_position(
    radius_mm: F64, eta_rad: F64, panel: NDArray[np.int32], geometry: F64, corrections: F64
) -> tuple[F64, F64]:
    """Inverse of :func:`ring_coordinates`: where a ring point lies on a given panel.

    The distortion keeps eta, so its inverse is a Newton iteration in the radius alone; the rest
    is the intersection of a ray with the plane of the detector, in closed form.

    Parameters
    ----------
    radius_mm, eta_rad
        (n,) corrected ring radius and azimuth after the tilt.
    panel, geometry, corrections
        As in :func:`ring_coordinates`.

    Returns
    -------
    fast_px, slow_px
        (n,) [px], model frame, corner origin; NaN where the ray misses the plane of the detector
        or the distortion cannot be inverted.
    """
    g = geometry
    t = _tilt(g[3], g[4], g[5])
    table = np.vstack([corrections, np.zeros((1, 7))])
    cf, cs, df, ds, _, d_lsd, d_p2 = table[panel].T
    turn = np.array([(math.cos(a), math.sin(a)) for a in table[:, 4]])[panel]
    lsd = g[0] + d_lsd
    ratio = g[0] / lsd
    sin_eta, cos_eta = np.sin(eta_rad), np.cos(eta_rad)
    cos_k, sin_k = _harmonics(sin_eta, cos_eta)  # e = pi/2 - eta
    radius = radius_mm / ratio
    moving = np.ones(len(radius_mm), dtype=bool)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        for _ in range(50):
            rho = radius / g[8]
            power = _powers(rho)
            d = _distortion(rho, d_p2, cos_k, sin_k, g)
            by_rho = 2.0 * (g[10] + d_p2) * rho + 4.0 * g[11] * power[3] + 6.0 * g[12] * power[5]
            for k, n in enumerate(HARMONIC_POWERS):
                term = g[13 + 2 * k] * cos_k[k] - g[14 + 2 * k] * sin_k[k]
                by_rho = by_rho + n * power[n - 1] * term
            tangent = radius / lsd
            secant = np.sqrt(1.0 + tangent * tangent)
            value = radius * d * ratio + g[9] * (tangent / secant) - radius_mm
            slope = ratio * (d + rho * by_rho) + g[9] / (secant * secant * secant) / lsd
            step = np.where(moving, value / slope, 0.0)
            radius = radius - step
            moving = moving & (np.abs(step) > 1e-14 * np.abs(radius))
            if not moving.any():
                break
        # two or three points may flicker in the last bit for ever: that is convergence too
        radius = np.where(np.abs(step) > 1e-11 * np.abs(radius), np.nan, radius)
        along = t[0][0] * lsd - t[1][0] * (radius * sin_eta) + t[2][0] * (radius * cos_eta)
        scale = lsd * t[0][0] / along
        px = np.where(scale > 0.0, scale * lsd - lsd, np.nan)
        py, pz = -(scale * radius * sin_eta), scale * radius * cos_eta
        y = t[0][1] * px + t[1][1] * py + t[2][1] * pz
        z = t[0][2] * px + t[1][2] * py + t[2][2] * pz
    fast, slow = g[1] - y / g[6], g[2] + z / g[7]
    x, w = fast - cf - df, slow - cs - ds
    free = panel < 0
    return (
        np.where(free, fast, cf + (x * turn[:, 0] + w * turn[:, 1])),
        np.where(free, slow, cs + (w * turn[:, 0] - x * turn[:, 1])),
    )
