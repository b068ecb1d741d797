"""Active rotations of column vectors in a right-handed frame; angles in rad.

What is *not* here: orientations of crystals and their symmetry, which live in ``crystal``.
"""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64

__all__ = ["cross_matrix", "expmap", "left_jacobian", "midas_tilt", "rotation_vector", "rx", "ry"]
__all__ += ["rz", "tilts_of_matrix", "turn_and_slope"]


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
