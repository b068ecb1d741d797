r"""Small moves of detector groups: from their six parameters to millimetres and radians.

A move is (t, w): the shift of a reference point and the rotation vector, both in the lab. With the
pose of :mod:`refimpl.metrology.detector_parameters`, F = R(d2, tau3) R(d1, tau2) R(dn, tau1) and
the group's point :math:`o = \mathrm{dist}\,d_n + F (s_1 d_1 + s_2 d_2)`,

.. math::

   dw &= d\tau_1 F d_n + d\tau_2 R_3 d_1 + d\tau_3 d_2 \\
   do &= d\,\mathrm{dist}\,d_n + F (ds_1 d_1 + ds_2 d_2) + dw \times F (s_1 d_1 + s_2 d_2)
"""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64
from refimpl.metrology.detector_parameters import MRAD, DetectorParameters
from refimpl.rotations import cross_matrix

__all__ = ["MOVES", "at_point", "group_moves"]

MOVES = ("t_x", "t_y", "t_z", "w_x", "w_y", "w_z")
"""Rows of a move: shift [mm], rotation vector [rad]."""


def group_moves(detector: DetectorParameters, values: F64) -> F64:
    """(g, 6, 6) derivative of each group's move (t of its point, w) by its own values (g, 6)."""
    out = np.zeros((len(values), 6, 6))
    for g, v in enumerate(values):
        d1, d2, dn = detector.axes[g].T
        r1, r2, r3 = detector.turns(g, v[3:])
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
