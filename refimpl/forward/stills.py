r"""Prediction of reflections on still images, and its derivatives.

A still sees a lattice point q that lies off the Ewald sphere by a small angle. Turned onto the
sphere in the plane of q and the beam it is

.. math:: r = -a\,\hat s_0 + b\,\hat q_\perp,\qquad a = \tfrac12 q^2/|s_0|,\quad b^2 = q^2 - a^2

with :math:`q_\perp` the part of q across the beam; the ray is :math:`s_1 = s_0 + r`, and the angle
that it was turned by is the third residual, :math:`\Delta\psi`, observed to be 0. Source: DIALS'
stills predictor; N. K. Sauter et al., Acta Cryst. D70 (2014) 3299.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.forward.rotation import NEVER, OFF_PANEL, SEEN
from refimpl.frames import F64

__all__ = ["predict_still", "still_jacobian"]


def _rows(a: F64, b: F64) -> F64:
    """(n,) scalar products of rows, or of rows with one vector."""
    return np.asarray((a * b).sum(axis=-1))


class _Still:
    """Points on the sphere and what their derivatives need; arrays (n,) or (n, 3)."""

    def __init__(self, q: F64, s0: F64) -> None:
        self.q, self.size = q, float(np.sqrt(s0 @ s0))
        self.unit = s0 / self.size
        self.along = q @ self.unit
        across = q - self.along[:, None] * self.unit
        self.across = np.sqrt(_rows(across, across))
        self.qq = _rows(q, q)
        self.a = 0.5 * self.qq / self.size
        with np.errstate(invalid="ignore", divide="ignore"):
            self.c = across / self.across[:, None]
            self.b = np.sqrt(self.qq - self.a * self.a)
        self.r = -self.a[:, None] * self.unit + self.b[:, None] * self.c
        self.s1 = self.r + s0

    @property
    def psi(self) -> F64:
        """(n,) angle that q was turned by [rad]."""
        turned = np.arctan2(-self.a, self.b) - np.arctan2(self.along, self.across)
        return np.asarray(np.remainder(turned + np.pi, 2.0 * np.pi) - np.pi)

    def change(self, dq: F64, ds0: F64) -> tuple[F64, F64]:
        """Derivative of s1 (n, 3) and of psi (n,) by one parameter: dq (n, 3), ds0 (3,)."""
        turn = (ds0 - (self.unit @ ds0) * self.unit) / self.size
        by_size = float(self.unit @ ds0)
        half = _rows(self.q, dq)
        da = half / self.size - self.a * by_size / self.size
        db = (half - self.a * da) / self.b
        d_along = dq @ self.unit + self.q @ turn
        d_across = dq - d_along[:, None] * self.unit - self.along[:, None] * turn
        out = _rows(self.c, d_across)
        dc = (d_across - out[:, None] * self.c) / self.across[:, None]
        dr = -da[:, None] * self.unit - self.a[:, None] * turn + db[:, None] * self.c
        dr = dr + self.b[:, None] * dc
        d_psi = (self.a * db - self.b * da - self.across * d_along + self.along * out) / self.qq
        return dr + ds0, d_psi


def predict_still(
    q: F64, panel: NDArray[np.int32], s0: F64, inverse_d: F64
) -> tuple[F64, F64, NDArray[np.uint8]]:
    """Where reflections are seen on a still.

    Parameters
    ----------
    q
        (n, 3) reciprocal lattice vectors in the lab [1/angstrom].
    panel
        (n,) panel that each is looked for on.
    s0
        (3,) beam vector [1/angstrom].
    inverse_d
        (p, 3, 3) inverse of each panel's (fast | slow | origin) [mm].

    Returns
    -------
    xyz
        (n, 3) X, Y on the panel [mm] and the angle off the sphere [rad]; NaN where there is none.
    s1
        (n, 3) diffracted beam vector.
    status
        (n,) as of :func:`refimpl.forward.rotation.predict_rotation`.
    """
    still = _Still(q, s0)
    xyz, _, status = _on_panel(still, panel, inverse_d)
    return xyz, still.s1, status


def still_jacobian(
    q: F64,
    panel: NDArray[np.int32],
    s0: F64,
    inverse_d: F64,
    hkl: F64,
    crystal: F64,
    beam: F64,
    detector: F64,
) -> tuple[F64, F64, NDArray[np.uint8]]:
    """Predictions and their derivatives by the parameters of beam, crystal and own panel.

    Parameters
    ----------
    q, panel, s0, inverse_d
        As of :func:`predict_still`.
    hkl, crystal, beam, detector
        As of :func:`refimpl.forward.rotation.rotation_jacobian`.

    Returns
    -------
    xyz
        (n, 3).
    jacobian
        (n, 3, b + c + m) of X, Y, angle; 0 where nothing is predicted.
    status
        (n,).
    """
    still = _Still(q, s0)
    xyz, pv, status = _on_panel(still, panel, inverse_d)
    inverse, b, c = inverse_d[panel], len(beam), len(crystal)
    out = np.zeros((len(q), 3, b + c + detector.shape[1]))
    with np.errstate(invalid="ignore", divide="ignore"):
        rows = (inverse[:, :2] - xyz[:, :2, None] * inverse[:, 2:]) / pv[:, 2, None, None]
    none = np.zeros_like(q)
    changes = [(none, beam[k]) for k in range(b)]
    changes += [(hkl @ crystal[k].T, np.zeros(3)) for k in range(c)]
    for k, (dq, ds0) in enumerate(changes):
        ds1, out[:, 2, k] = still.change(dq, ds0)
        out[:, :2, k] = np.einsum("nij,nj->ni", rows, ds1)
    for k in range(detector.shape[1]):
        moved = np.einsum("nij,nj->ni", detector[panel, k], pv)
        out[:, :2, b + c + k] = -np.einsum("nij,nj->ni", rows, moved)
    out[status != SEEN] = 0.0
    return xyz, out, status


def _on_panel(
    still: _Still, panel: NDArray[np.int32], inverse_d: F64
) -> tuple[F64, F64, NDArray[np.uint8]]:
    """Xyz (n, 3), D s1 (n, 3), status (n,)."""
    pv = np.einsum("nij,nj->ni", inverse_d[panel], still.s1)
    with np.errstate(invalid="ignore", divide="ignore"):
        never = ~np.isfinite(still.b) | ~(still.across > 0.0)
        behind = ~never & ~(pv[:, 2] > 0.0)
        xy = np.where((pv[:, 2] > 0.0)[:, None], pv[:, :2] / pv[:, 2:], np.nan)
    status = np.where(never, NEVER, np.where(behind, OFF_PANEL, SEEN)).astype(np.uint8)
    return np.column_stack([xy, still.psi]), pv, status
