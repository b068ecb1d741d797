"""Active rotations of column vectors in a right-handed frame; angles in rad.

Orientations of crystals are the matrices U (crystal to sample, ``g_sample = U g_crystal``), Bunge's
Euler angles (phi1, Phi, phi2) and quaternions (w, x, y, z), in arrays of any leading shape.
What is *not* here: the symmetry of crystals, which lives in ``crystal``.
"""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64

__all__ = ["cross_matrix", "expmap", "left_jacobian", "midas_tilt", "rotation_vector", "rx", "ry"]
__all__ += ["rz", "tilts_of_matrix", "turn_and_slope"]
__all__ += ["conjugate_quaternion", "euler_of_matrix", "euler_of_quaternion", "matrix_of_euler"]
__all__ += ["matrix_of_quaternion", "multiply_quaternions", "quaternion_of_euler"]
__all__ += ["quaternion_of_matrix"]

_POLE = 1e-12
"""Below this sine of Phi/2 or cosine of it, phi1 is 0: only its sum with phi2 means anything."""


def rx(angle: float) -> F64:
    """Rotation about the first axis: y turns towards z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def ry(angle: float) -> F64:
    """Rotation about the second axis: z turns towards x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def rz(angle: float) -> F64:
    """Rotation about the third axis: x turns towards y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def midas_tilt(tx: float, ty: float, tz: float) -> F64:
    """Tilt of a MIDAS detector, T = Rx(tx) Ry(ty) Rz(tz), in the MIDAS frame (X beam, Z up)."""
    return rx(tx) @ (ry(ty) @ rz(tz))


def tilts_of_matrix(matrix: F64) -> tuple[float, float, float]:
    """(tx, ty, tz) [rad] of a rotation, the inverse of :func:`midas_tilt`.

    ty is in [-pi/2, pi/2]; the poles of ty are not a detector that the beam can hit.
    """
    t = np.asarray(matrix, dtype=np.float64)
    ty = float(np.arctan2(t[0, 2], np.hypot(t[0, 0], t[0, 1])))
    return float(np.arctan2(-t[1, 2], t[2, 2])), ty, float(np.arctan2(-t[0, 1], t[0, 0]))


def cross_matrix(v: F64) -> F64:
    """(3, 3) matrix of ``v x``."""
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def turn_and_slope(axis: F64, angle: float) -> tuple[F64, F64]:
    """(3, 3) rotation about a unit axis, and its derivative by the angle (Rodrigues)."""
    k = cross_matrix(axis)
    square = k @ k
    c, s = np.cos(angle), np.sin(angle)
    return np.eye(3) + s * k + (1.0 - c) * square, c * k + s * square


def expmap(vector: F64) -> F64:
    """Rotation matrix of an exponential map, axis times angle (HEXRD's ``tilt``).

    Source: Rodrigues' formula.
    """
    v = np.asarray(vector, dtype=np.float64)
    angle = float(np.sqrt(v @ v))
    k = cross_matrix(v)
    if angle < 1e-12:  # the series' next term is below double precision
        return np.eye(3) + k
    return (
        np.eye(3)
        + (np.sin(angle) / angle) * k
        + ((1.0 - np.cos(angle)) / (angle * angle)) * (k @ k)
    )


def left_jacobian(w: F64) -> F64:
    """(3, 3) J of ``d expmap(w) = [J dw]x expmap(w)``.

    Source: J. Solà et al. (2018), arXiv:1812.01537, eq. 145.
    """
    angle = float(np.sqrt(w @ w))
    k = cross_matrix(w)
    if angle < 1e-3:  # the closed form cancels; the next term is angle**4/120 < 1e-14
        a2 = angle * angle
        return np.eye(3) + (0.5 - a2 / 24.0) * k + (1.0 / 6.0 - a2 / 120.0) * (k @ k)
    one = (1.0 - np.cos(angle)) / angle**2
    return np.asarray(np.eye(3) + one * k + (angle - np.sin(angle)) / angle**3 * (k @ k))


def rotation_vector(matrix: F64) -> F64:
    """(3,) axis times angle of a rotation, the inverse of :func:`expmap`.

    By way of the quaternion of largest component (Shepperd 1978), exact at every angle.
    """
    m = np.asarray(matrix, dtype=np.float64)
    trace = float(np.trace(m))
    k = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])
    four = np.array([1.0 + trace, *(1.0 - trace + 2.0 * np.diag(m))])  # 4 q_i^2
    i = int(four.argmax())
    if i == 0:
        q = np.array([four[0], *k])
    else:
        row = (m + m.T)[i - 1].copy()
        row[i - 1] = four[i]
        q = np.array([k[i - 1], *row])
    q = q / np.sqrt(q @ q)
    q = -q if q[0] < 0.0 else q
    sine = float(np.sqrt(q[1:] @ q[1:]))
    half = float(np.arctan2(sine, q[0]))
    return np.asarray(2.0 * q[1:] * (half / sine if sine > 0.0 else 1.0))


def matrix_of_euler(euler: F64) -> F64:
    r"""Orientation matrix of Bunge's angles, :math:`U = R_z(\varphi_1) R_x(\Phi) R_z(\varphi_2)`.

    Parameters
    ----------
    euler
        (..., 3) phi1, Phi, phi2 [rad].

    Returns
    -------
    (..., 3, 3) crystal to sample: ``g_sample = U g_crystal``, the transpose of the textbook's
    matrix from the sample to the crystal.

    Notes
    -----
    Source: section 1.1 of the near-field specification; H.-J. Bunge (1982).
    """
    e = np.asarray(euler, dtype=np.float64)
    (c1, c, c2), (s1, s, s2) = np.moveaxis(np.cos(e), -1, 0), np.moveaxis(np.sin(e), -1, 0)
    rows = [
        [c1 * c2 - s1 * s2 * c, -c1 * s2 - s1 * c2 * c, s1 * s],
        [s1 * c2 + c1 * s2 * c, -s1 * s2 + c1 * c2 * c, -c1 * s],
        [s * s2, s * c2, c],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_of_euler(euler: F64) -> F64:
    """(..., 4) unit quaternion, w >= 0, of (..., 3) Bunge angles [rad]."""
    e = np.asarray(euler, dtype=np.float64)
    half, plus, minus = (
        0.5 * e[..., 1],
        0.5 * (e[..., 0] + e[..., 2]),
        0.5 * (e[..., 0] - e[..., 2]),
    )
    c, s = np.cos(half), np.sin(half)
    parts = [c * np.cos(plus), s * np.cos(minus), s * np.sin(minus), c * np.sin(plus)]
    return _with_positive_w(np.stack(parts, axis=-1))


def euler_of_quaternion(quaternion: F64) -> F64:
    """Bunge's angles of unit quaternions, in the published range.

    Parameters
    ----------
    quaternion
        (..., 4) w, x, y, z.

    Returns
    -------
    (..., 3) phi1 in [0, 2 pi), Phi in [0, pi], phi2 in [0, 2 pi) [rad]. Where Phi is 0 or pi, phi1
    is 0.

    Notes
    -----
    The sum and the difference of phi1 and phi2 come from (w, z) and (x, y), so that the rotation is
    right to rounding at every Phi. The published program uses acos and takes Phi for 0 below
    4.5e-5 rad.
    """
    w, x, y, z = np.moveaxis(np.asarray(quaternion, dtype=np.float64), -1, 0)
    sine, cosine = np.hypot(x, y), np.hypot(w, z)
    plus, minus = np.arctan2(z, w), np.arctan2(y, x)
    phi1 = np.where(sine < _POLE, 0.0, np.where(cosine < _POLE, 0.0, plus + minus))
    phi2 = np.where(sine < _POLE, 2.0 * plus, np.where(cosine < _POLE, -2.0 * minus, plus - minus))
    return np.stack([_one_turn(phi1), 2.0 * np.arctan2(sine, cosine), _one_turn(phi2)], axis=-1)


def euler_of_matrix(matrix: F64) -> F64:
    """Bunge's angles of orientation matrices, the inverse of :func:`matrix_of_euler`.

    Parameters
    ----------
    matrix
        (..., 3, 3) rotations, crystal to sample.

    Returns
    -------
    (..., 3) [rad], in the range of :func:`euler_of_quaternion`.
    """
    return euler_of_quaternion(quaternion_of_matrix(matrix))


def quaternion_of_matrix(matrix: F64) -> F64:
    """Unit quaternion of rotation matrices, by way of its largest component (Shepperd 1978).

    Parameters
    ----------
    matrix
        (..., 3, 3) rotations; rounding errors of up to 1e-6, as in a file, are averaged out.

    Returns
    -------
    (..., 4) w, x, y, z with w >= 0.
    """
    m = np.asarray(matrix, dtype=np.float64)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    wx, wy = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0]
    wz, xy = m[..., 1, 0] - m[..., 0, 1], m[..., 0, 1] + m[..., 1, 0]
    xz, yz = m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    four = [1.0 + xx + yy + zz, 1.0 + xx - yy - zz, 1.0 - xx + yy - zz, 1.0 - xx - yy + zz]
    # row i is 4 q_i q
    rows = [
        [four[0], wx, wy, wz],
        [wx, four[1], xy, xz],
        [wy, xy, four[2], yz],
        [wz, xz, yz, four[3]],
    ]
    products = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    largest = np.stack(four, axis=-1).argmax(axis=-1)
    q = np.take_along_axis(products, largest[..., None, None], axis=-2)[..., 0, :]
    return _with_positive_w(q / np.sqrt((q * q).sum(axis=-1, keepdims=True)))


def matrix_of_quaternion(quaternion: F64) -> F64:
    """(..., 3, 3) rotation matrices of (..., 4) unit quaternions w, x, y, z (specification 1.1)."""
    w, x, y, z = np.moveaxis(np.asarray(quaternion, dtype=np.float64), -1, 0)
    rows = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def multiply_quaternions(a: F64, b: F64) -> F64:
    """(..., 4) Hamilton product: the rotation `b` followed by the rotation `a`; they broadcast."""
    aw, ax, ay, az = np.moveaxis(np.asarray(a, dtype=np.float64), -1, 0)
    bw, bx, by, bz = np.moveaxis(np.asarray(b, dtype=np.float64), -1, 0)
    parts = [
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    ]
    return np.stack(parts, axis=-1)


def conjugate_quaternion(quaternion: F64) -> F64:
    """(..., 4) inverse of unit quaternions."""
    signs = np.array([1.0, -1.0, -1.0, -1.0])
    return np.asarray(np.asarray(quaternion, dtype=np.float64) * signs)


def _with_positive_w(quaternion: F64) -> F64:
    return np.asarray(np.where(quaternion[..., :1] < 0.0, -quaternion, quaternion))


def _one_turn(angle: F64) -> F64:
    """Angle in [0, 2 pi); the remainder of a tiny negative one rounds to 2 pi itself."""
    turned = np.mod(angle, 2.0 * np.pi)
    return np.asarray(np.where(turned >= 2.0 * np.pi, 0.0, turned))
