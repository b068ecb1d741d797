r"""The tilted flat detector with harmonic distortion, parallax and panel corrections.

A pixel goes through: rotation about its panel's centre and shift, beam centre and pixel size,
tilt of the panel, tilt of the detector, projection along the ray from the sample onto the plane at
the panel's distance, distortion, parallax. Source: MIDAS, `DetectorGeometry.c`
(`dg_pixel_to_REta`) and the AutoCalibrate manual version 10; the manual's p0..p4 are the first
terms of the harmonic series. The two tilts of a panel are not published; at 0 they change nothing.

Distortion amplitudes and phases :math:`a_k, \phi_k` are kept as :math:`a_k\cos\phi_k` and
:math:`a_k\sin\phi_k`, because the polar form is singular at amplitude 0; see
:mod:`refimpl.detector.distortion` for the published names. Not modelled: curved detectors,
pixel-wise distortion maps, a sample of finite size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin
from refimpl.frames import F64

__all__ = [
    "CORRECTION_FIELDS",
    "GEOMETRY_FIELDS",
    "HARMONIC_POWERS",
    "JACOBIAN_FIELDS",
    "PANEL_FIELDS",
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

PANEL_FIELDS = (
    "d_fast_px", "d_slow_px", "d_theta_rad", "d_lsd_mm", "d_p2", "tilt_fast_rad", "tilt_slow_rad",
)  # fmt: skip
"""What a panel may be corrected by: dY, dZ, dTheta, dLsd, dP2 as published, and its rotation about
its own fast and slow axes through its centre (about +Y, then +Z of the MIDAS frame)."""

CORRECTION_FIELDS = ("centre_fast_px", "centre_slow_px", *PANEL_FIELDS)
"""The 9 numbers of a panel's correction, in order."""

JACOBIAN_FIELDS = (
    "lsd_mm", "beam_fast_px", "beam_slow_px", "tx_rad", "ty_rad", "tz_rad", "parallax_mm",
    *GEOMETRY_FIELDS[10:],
    *PANEL_FIELDS, "pixel_fast_mm", "pixel_slow_mm",
)  # fmt: skip
"""Columns of :func:`ring_jacobian`: what the radius can be differentiated by."""

HARMONIC_POWERS = (4, 2, 3, 4, 5, 6)
"""Power of rho that goes with the k-fold term, k = 1..6 (1-fold with rho^4 as published)."""


def _cosine(angle: float) -> float:
    """Cosine by libm; NaN of infinity, as C has it."""
    return math.cos(angle) if math.isfinite(angle) else math.nan


def _sine(angle: float) -> float:
    return math.sin(angle) if math.isfinite(angle) else math.nan


def _tilt(tx: float, ty: float, tz: float) -> list[list[float]]:
    """T = Rx(tx) Ry(ty) Rz(tz) by rows; libm's sine and cosine, as in the twin."""
    cx, sx, cy, sy = _cosine(tx), _sine(tx), _cosine(ty), _sine(ty)
    cz, sz = _cosine(tz), _sine(tz)
    return [
        [cy * cz, -(cy * sz), sy],
        [sx * sy * cz + cx * sz, cx * cz - sx * sy * sz, -(sx * cy)],
        [sx * sz - cx * sy * cz, cx * sy * sz + sx * cz, cx * cy],
    ]


def _tilt_derivatives(tx: float, ty: float, tz: float) -> list[list[list[float]]]:
    """Derivatives of T with respect to tx, ty, tz."""
    cx, sx, cy, sy = _cosine(tx), _sine(tx), _cosine(ty), _sine(ty)
    cz, sz = _cosine(tz), _sine(tz)
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


@dataclass(frozen=True, eq=False)
class _Placed:
    """Points on their corrected panels; arrays (n,).

    ``x, y, z`` is the place in the frame of the detector's plane [mm], ``u_fast, u_slow`` [px] the
    place on the turned panel from its centre, ``fast_by, slow_by`` its derivative by dTheta,
    ``fast, slow`` [px] the place from the beam centre before the panel's tilt.
    """

    fast: F64
    slow: F64
    u_fast: F64
    u_slow: F64
    fast_by: F64
    slow_by: F64
    x: F64
    y: F64
    z: F64
    tilt: F64
    lsd: F64
    d_p2: F64


def _placed(
    fast_px: F64, slow_px: F64, panel: NDArray[np.int32], g: F64, corrections: F64
) -> _Placed:
    """Panel correction, beam centre, pixel size and the panel's own tilt."""
    table = _table(corrections)
    cf, cs, df, ds, _, d_lsd, d_p2, _, _ = table[panel].T
    trig = np.array([_trigonometry(row) for row in table])[panel]
    turn, tilt = trig[:, :2], trig[:, 2:].T
    x, w = fast_px - cf, slow_px - cs
    free = panel < 0
    u = np.where(free, 0.0, x * turn[:, 0] - w * turn[:, 1])
    v = np.where(free, 0.0, x * turn[:, 1] + w * turn[:, 0])
    fast = np.where(free, fast_px, cf + u + df) - g[1]
    slow = np.where(free, slow_px, cs + v + ds) - g[2]
    u_by = np.where(free, 0.0, -(x * turn[:, 1]) - w * turn[:, 0])
    v_by = np.where(free, 0.0, x * turn[:, 0] - w * turn[:, 1])
    uy, uz = -u * g[6], v * g[7]
    ca, sa, cb, sb = tilt
    out = sa * uz - ca * sb * uy
    y = -fast * g[6] + (cb - 1.0) * uy
    z = slow * g[7] + (sa * sb * uy + (ca - 1.0) * uz)
    return _Placed(fast, slow, u, v, u_by, v_by, out, y, z, tilt, g[0] + d_lsd, d_p2)


def _check_panel(panel: NDArray[np.int32], corrections: F64) -> None:
    if len(panel) and not -1 <= panel.min() <= panel.max() < len(corrections):
        bad = panel[(panel < -1) | (panel >= len(corrections))][0]
        raise IndexError(f"panel index {bad}: there are corrections of {len(corrections)} panels")


def _table(corrections: F64) -> F64:
    """(p + 1, 9) corrections; the last row serves panel -1."""
    return np.vstack([corrections, np.zeros((1, 9))])


def _trigonometry(correction: F64) -> tuple[float, float, float, float, float, float]:
    """Cosine and sine of a panel's dTheta and of its two tilts."""
    return tuple(f(correction[k]) for k in (4, 7, 8) for f in (_cosine, _sine))  # type: ignore[return-value]


@twin(
    "libm", check=_check_panel, fast_px="f8 n", slow_px="f8 n", panel="i4 n", geometry="f8 25",
    corrections="f8 p,9",
)  # fmt: skip
def ring_coordinates(
    fast_px: F64, slow_px: F64, panel: NDArray[np.int32], geometry: F64, corrections: F64
) -> tuple[F64, F64, F64]:
    r"""Ring radius and azimuth of points on the detector.

    .. math::

       v &= T\,(x, y, z)^T, \quad X = L + v_x, \quad R = \frac{L}{X}\sqrt{v_y^2 + v_z^2} \\
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
        (p, 9) numbers named by :data:`CORRECTION_FIELDS`; p may be 0.

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
    at = _placed(fast_px, slow_px, panel, g, corrections)
    x, y, z, lsd, d_p2 = at.x, at.y, at.z, at.lsd, at.d_p2
    vx, vy, vz = (row[0] * x + row[1] * y + row[2] * z for row in t)
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


@twin(
    "libm", check=_check_panel, fast_px="f8 n", slow_px="f8 n", panel="i4 n", geometry="f8 25",
    corrections="f8 p,9",
)  # fmt: skip
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
        (n, 31): derivative of ``radius_mm`` by each of :data:`JACOBIAN_FIELDS`; those of
        :data:`PANEL_FIELDS` are with respect to the corrections of the point's own panel (0 for
        panel -1, except ``d_lsd_mm`` and ``d_p2``, which exist for every point).

    Notes
    -----
    Derived by hand from :func:`ring_coordinates` (docs/theory/powder); checked against central
    differences and complex-step-free mpmath derivatives.
    """
    g = geometry
    t = _tilt(g[3], g[4], g[5])
    at = _placed(fast_px, slow_px, panel, g, corrections)
    x, y, z, lsd, d_p2 = at.x, at.y, at.z, at.lsd, at.d_p2
    vx, vy, vz = (row[0] * x + row[1] * y + row[2] * z for row in t)
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
    by_x = gx * t[0][0] + gy * t[1][0] + gz * t[2][0]
    by_y = gx * t[0][1] + gy * t[1][1] + gz * t[2][1]
    by_z = gx * t[0][2] + gy * t[1][2] + gz * t[2][2]
    by_distance = rc_by_r * ((r / big_x) * (vx / big_x)) + rc_by_lsd
    jacobian = np.empty((len(fast_px), len(JACOBIAN_FIELDS)))
    jacobian[:, 0] = by_distance + radius * d / lsd
    jacobian[:, 1] = by_y * g[6]
    jacobian[:, 2] = -(by_z * g[7])
    for column, dt in enumerate(_tilt_derivatives(g[3], g[4], g[5])):
        dvx, dvy, dvz = (row[0] * x + row[1] * y + row[2] * z for row in dt)
        jacobian[:, 3 + column] = gx * dvx + gy * dvy + gz * dvz
    jacobian[:, 6] = depth
    scaled = radius * ratio
    for column, n in enumerate((2, 4, 6)):
        jacobian[:, 7 + column] = scaled * power[n]
    for k, n in enumerate(HARMONIC_POWERS):
        jacobian[:, 10 + 2 * k] = scaled * power[n] * cos_k[k]
        jacobian[:, 11 + 2 * k] = -(scaled * power[n] * sin_k[k])
    jacobian[:, 25] = by_distance
    jacobian[:, 26] = scaled * power[2]
    _panel_columns(jacobian, at, panel, g, by_x, by_y, by_z)
    return radius * d * ratio + g[9] * depth, np.arctan2(-vy, vz), jacobian


def _panel_columns(
    jacobian: F64, at: _Placed, panel: NDArray[np.int32], g: F64, by_x: F64, by_y: F64, by_z: F64
) -> None:
    """Columns of what moves a panel in its own frame, and of the pixel sizes."""
    ca, sa, cb, sb = at.tilt
    uy, uz = -at.u_fast * g[6], at.u_slow * g[7]
    by_uy = by_y * cb + (by_z * (sa * sb) - by_x * (ca * sb))
    by_uz = by_x * sa + by_z * ca
    attached = np.where(panel < 0, 0.0, 1.0)
    jacobian[:, 22] = -(by_y * g[6]) * attached
    jacobian[:, 23] = by_z * g[7] * attached
    jacobian[:, 24] = by_uz * g[7] * at.slow_by - by_uy * g[6] * at.fast_by
    jacobian[:, 27] = by_x * (ca * uz + sa * sb * uy) + by_z * (ca * sb * uy - sa * uz)
    jacobian[:, 28] = by_z * (sa * cb * uy) - by_x * (ca * cb * uy) - by_y * (sb * uy)
    jacobian[:, 29] = -(by_y * at.fast) - (by_uy - by_y) * at.u_fast
    jacobian[:, 30] = by_z * at.slow + (by_uz - by_z) * at.u_slow


@twin(
    "libm", check=_check_panel, radius_mm="f8 n", eta_rad="f8 n", panel="i4 n",
    geometry="f8 25", corrections="f8 p,9",
)  # fmt: skip
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
    table = _table(corrections)
    cf, cs, df, ds, _, d_lsd, d_p2, _, _ = table[panel].T
    turn_c, turn_s, ca, sa, cb, sb = np.array([_trigonometry(row) for row in table])[panel].T
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
        # the ray, and the sample seen from the plane's origin, in the frame of the plane
        qx, qy, qz = lsd, -(radius * sin_eta), radius * cos_eta
        ray = [row[0] * qx + row[1] * qy + row[2] * qz for row in zip(*t, strict=True)]
        # of the panel's plane: its centre c, from which it is tilted, and its normal
        cy = -(cf + df - g[1]) * g[6]
        cz = (cs + ds - g[2]) * g[7]
        normal = (ca * cb, sb, -(sa * cb))
        along = normal[0] * ray[0] + normal[1] * ray[1] + normal[2] * ray[2]
        away = t[0][0] * normal[0] + t[0][1] * normal[1] + t[0][2] * normal[2]
        scale = (away * lsd + (normal[1] * cy + normal[2] * cz)) / along
        scale = np.where(scale > 0.0, scale, np.nan)
        hx = scale * ray[0] - t[0][0] * lsd
        hy = scale * ray[1] - t[0][1] * lsd - cy
        hz = scale * ray[2] - t[0][2] * lsd - cz
        # back by the panel's tilt: the transpose of Ry(a) Rz(b)
        uy = cb * hy + (sa * sb * hz - ca * sb * hx)
        uz = sa * hx + ca * hz
    u, v = -uy / g[6], uz / g[7]
    free = panel < 0
    return (
        np.where(free, g[1] - (hy + cy) / g[6], cf + (u * turn_c + v * turn_s)),
        np.where(free, g[2] + (hz + cz) / g[7], cs + (v * turn_c - u * turn_s)),
    )
