r"""Small moves of detector groups: from their six parameters to millimetres and radians, and back.

A move is (t, w): the shift of a reference point and the rotation vector, both in the lab. With the
pose of :mod:`refimpl.metrology.detector_parameters`, F = R(d2, tau3) R(d1, tau2) R(dn, tau1) and
the group's point :math:`o = \mathrm{dist}\,d_n + F (s_1 d_1 + s_2 d_2)`,

.. math::

   dw &= d\tau_1 F d_n + d\tau_2 R_3 d_1 + d\tau_3 d_2 \\
   do &= d\,\mathrm{dist}\,d_n + F (ds_1 d_1 + ds_2 d_2) + dw \times F (s_1 d_1 + s_2 d_2)
"""

from __future__ import annotations

import numpy as np

from refimpl.errors import GeometryError
from refimpl.frames import F64
from refimpl.metrology.detector_parameters import MRAD, DetectorParameters, turn

__all__ = ["MOVES", "at_point", "cross_matrix", "group_moves", "group_pose", "panel_centres"]
__all__ += ["values_of_pose"]

MOVES = ("t_x", "t_y", "t_z", "w_x", "w_y", "w_z")
"""Rows of a move: shift [mm], rotation vector [rad]."""


def cross_matrix(v: F64) -> F64:
    """(3, 3) matrix of ``v x``."""
    return np.array([[0.0, -v[2], v[1]], [v[2], 0.0, -v[0]], [-v[1], v[0], 0.0]])


def _turns(axes: F64, tau: F64) -> tuple[F64, F64, F64]:
    d1, d2, dn = axes.T
    r1, r2, r3 = (turn(a, t * MRAD)[0] for a, t in zip((dn, d1, d2), tau, strict=True))
    return r1, r2, r3


def group_pose(detector: DetectorParameters, g: int, values: F64) -> tuple[F64, F64]:
    """Rotation F (3, 3) of a group since its axes were fixed, and its point o (3,) [mm]."""
    dist, s1, s2, *tau = values
    r1, r2, r3 = _turns(detector.axes[g], np.asarray(tau))
    d1, d2, dn = detector.axes[g].T
    full = r3 @ r2 @ r1
    return full, dist * dn + full @ (s1 * d1 + s2 * d2)


def values_of_pose(detector: DetectorParameters, g: int, full: F64, point: F64) -> F64:
    """(6,) parameters of a group's pose, the inverse of :func:`group_pose`.

    Raises
    ------
    GeometryError
        The group stands across its first position: no distance along the first normal gives it.
    """
    axes = detector.axes[g]
    d1, d2, dn = axes.T
    m = axes.T @ full @ axes  # = Ry(tau3) Rx(tau2) Rz(tau1) in the group's axes
    if abs(m[2, 2]) < 1e-9 or abs(m[1, 2]) > 1.0 - 1e-12:
        raise GeometryError(f"{detector.prefix}Group{g + 1} has turned by a right angle")
    tau = np.array([np.arctan2(m[1, 0], m[1, 1]), -np.arcsin(m[1, 2]),
                    np.arctan2(m[0, 2], m[2, 2])]) / MRAD  # fmt: skip
    normal = full @ dn
    dist = float(point @ normal) / float(dn @ normal)
    rest = point - dist * dn
    return np.array([dist, rest @ (full @ d1), rest @ (full @ d2), *tau])


def group_moves(detector: DetectorParameters, values: F64) -> F64:
    """(g, 6, 6) derivative of each group's move (t of its point, w) by its own values (g, 6)."""
    out = np.zeros((len(values), 6, 6))
    for g, v in enumerate(values):
        d1, d2, dn = detector.axes[g].T
        r1, r2, r3 = _turns(detector.axes[g], v[3:])
        full = r3 @ r2 @ r1
        place = full @ (v[1] * d1 + v[2] * d2)
        spins = np.column_stack([r3 @ r2 @ dn, r3 @ d1, d2]) * MRAD
        out[g, :3, :3] = np.column_stack([dn, full @ d1, full @ d2])
        out[g, 3:, 3:] = spins
        out[g, :3, 3:] = -cross_matrix(place) @ spins
    return out


def at_point(moves: F64, from_point: F64, to_point: F64) -> F64:
    """(6, k) moves of another point of the same body: t + w x (to - from)."""
    out = moves.copy()
    out[:3] -= cross_matrix(to_point - from_point) @ moves[3:]
    return out


def panel_centres(detector: DetectorParameters, d: F64) -> F64:
    """(p, 3) centres [mm] of panels whose columns are d (p, 3, 3)."""
    modules = detector.detector.modules
    half = 0.5 * np.array([np.array(m.size_px) * np.array(m.pixel_size_mm) for m in modules])
    return np.asarray(d[:, :, 2] + d[:, :, 0] * half[:, :1] + d[:, :, 1] * half[:, 1:])
