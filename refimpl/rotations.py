"""Active rotations of column vectors in a right-handed frame; angles in rad.

What is *not* here: orientations of crystals and their symmetry, which live in ``crystal``.
"""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64

__all__ = ["expmap", "midas_tilt", "rx", "ry", "rz", "tilts_of_matrix"]


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


def expmap(vector: F64) -> F64:
    """Rotation matrix of an exponential map, axis times angle (HEXRD's ``tilt``).

    Source: Rodrigues' formula.
    """
    v = np.asarray(vector, dtype=np.float64)
    angle = float(np.sqrt(v @ v))
    k = np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])
    if angle < 1e-12:  # the series' next term is below double precision
        return np.eye(3) + k
    return (
        np.eye(3)
        + (np.sin(angle) / angle) * k
        + ((1.0 - np.cos(angle)) / (angle * angle)) * (k @ k)
    )
