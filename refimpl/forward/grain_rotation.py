r"""Prediction of reflections from grains away from the rotation axis, and its derivatives.

The crossing of the Ewald sphere, and so :math:`\varphi`, :math:`r` and :math:`s_1`, are those of
:mod:`refimpl.forward.rotation`; but the ray starts where the grain has been turned to,
:math:`t = R(\varphi)\,t_0` with :math:`t_0 = S F x` of a grain at x in the sample. It meets the
panel :math:`d = (f|s|o)`, :math:`D = d^{-1}`, where

.. math::

   D\,(t + a\,s_1) = (X, Y, 1)^T
   \quad\Rightarrow\quad a = \frac{1 - (Dt)_3}{(Ds_1)_3},\quad
   X = (Dt)_1 + a\,(Ds_1)_1,\quad Y = (Dt)_2 + a\,(Ds_1)_2

With :math:`\rho_i = D_i - (Ds_1)_i/(Ds_1)_3\,D_3` (rows of D) and :math:`q = (e\times r)\cdot s_0`
every derivative follows from what changes at fixed :math:`\varphi`:

.. math::

   d\varphi = -\frac{dr\cdot s_1 + ds_0\cdot r}{q},\qquad
   dX_i = \rho_i\cdot\bigl[dt + (e\times t)\,d\varphi
          + a\,(dr + ds_0 + (e\times r)\,d\varphi) - (\partial d)\,(X, Y, 1)^T\bigr]

Source: J. V. Bernier et al., J. Strain Anal. 46 (2011) 527 (grains at a position);
H. F. Poulsen, Three-Dimensional X-ray Diffraction Microscopy (Springer, 2004); derivatives are
ours. Angstrom cancel: t, X, Y and d are in mm. Not here: the size of a grain, attenuation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.forward.rotation import OFF_PANEL, SEEN, _cross, _dot, _rays, _turned, check_panels
from refimpl.frames import F64

__all__ = ["GrainSpots", "grain_jacobian", "predict_grains"]


@dataclass(frozen=True, eq=False)
class GrainSpots:
    """Reflections of grains, and all that their prediction needs.

    Attributes
    ----------
    p0
        (n, 3) reciprocal lattice vectors S F U B h at phi = 0 [1/angstrom].
    start
        (n, 3) where the grain of each is at phi = 0 in the lab, S F x [mm].
    panel
        (n,) panel that each is looked for on.
    entering
        (n,) 1 for the crossing into the sphere, 0 for the one out of it.
    phi_near
        (n,) phi is given in the turn nearest to this [rad].
    s0
        (3,) beam vector, of length 1/wavelength [1/angstrom].
    axis
        (3,) unit vector of the rotation axis as set, S e.
    inverse_d
        (p, 3, 3) inverse of each panel's (fast | slow | origin) [mm].
    """

    p0: F64
    start: F64
    panel: NDArray[np.int32]
    entering: NDArray[np.uint8]
    phi_near: F64
    s0: F64
    axis: F64
    inverse_d: F64


@dataclass(frozen=True, eq=False)
class _Seen:
    """The geometry of each ray, NaN where there is none."""

    xyz: F64
    status: NDArray[np.uint8]
    r: F64
    s1: F64
    t: F64
    turn: F64
    along: F64
    rows: F64


def _trace(g: GrainSpots) -> _Seen:
    check_panels(g.panel, g.inverse_d)
    r, phi, turn, status = _rays(g.p0, g.entering, g.phi_near, g.s0, g.axis)
    s1 = r + g.s0
    t = _turned(g.start, g.axis, turn)
    d = g.inverse_d[g.panel]
    ray = np.stack([_dot(d[:, i], s1) for i in range(3)], axis=-1)
    at = np.stack([_dot(d[:, i], t) for i in range(3)], axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        along = (1.0 - at[:, 2]) / ray[:, 2]
        met = along > 0.0
        along = np.where(met, along, np.nan)
        x, y = at[:, 0] + along * ray[:, 0], at[:, 1] + along * ray[:, 1]
        rows = d[:, :2] - (ray[:, :2] / ray[:, 2:])[:, :, None] * d[:, 2:]
    status = np.where((status == SEEN) & ~met, OFF_PANEL, status).astype(np.uint8)
    return _Seen(np.stack([x, y, phi], axis=-1), status, r, s1, t, turn, along, rows)


def predict_grains(spots: GrainSpots) -> tuple[F64, F64, NDArray[np.uint8]]:
    """Where and when reflections of grains are seen.

    Parameters
    ----------
    spots
        The reflections.

    Returns
    -------
    xyz
        (n, 3) X, Y on the panel [mm] and phi [rad]; NaN where there is none.
    s1
        (n, 3) diffracted beam vector [1/angstrom].
    status
        (n,) :data:`~refimpl.forward.rotation.SEEN`, ``NEVER`` or ``OFF_PANEL``.

    Raises
    ------
    IndexError
        A panel that is not there.
    """
    seen = _trace(spots)
    return seen.xyz, seen.s1, seen.status


def grain_jacobian(
    spots: GrainSpots, crystal: F64, position: F64, beam: F64, setting: F64, detector: F64
) -> tuple[F64, F64, NDArray[np.uint8]]:
    """Predictions and their derivatives by the parameters of every model.

    Parameters
    ----------
    spots
        The reflections.
    crystal
        (n, c, 3) derivatives of p0 by c parameters of the spot's own grain.
    position
        (t, 3) derivatives of `start` by t parameters of the grain's position.
    beam
        (b, 3) derivatives of s0 by b parameters.
    setting
        (g, 3) rotation vectors, in the lab, by which g parameters turn axis, crystal and position
        alike (the setting rotation S of the goniometer).
    detector
        (p, m, 3, 3) derivatives of each panel's (fast | slow | origin) by m parameters of its own.

    Returns
    -------
    xyz
        (n, 3) as of :func:`predict_grains`.
    jacobian
        (n, 3, b + g + c + t + m) of X, Y, phi: beam, setting, crystal, position, detector.
        0 where nothing is predicted.
    status
        (n,).
    """
    see = _trace(spots)
    axis = np.broadcast_to(spots.axis, see.r.shape)
    e_r, e_t = _cross(axis, see.r), _cross(axis, see.t)
    q = _dot(e_r, spots.s0)
    none = np.zeros_like(see.r)
    columns = []

    def add(dr: F64, dt: F64, ds0: F64 = none) -> None:
        dphi = -(_dot(dr, see.s1) + _dot(ds0, see.r)) / q
        move = dt + e_t * dphi[:, None]
        move = move + see.along[:, None] * (dr + ds0 + e_r * dphi[:, None])
        columns.append(np.stack([*(_dot(see.rows[:, i], move) for i in range(2)), dphi], axis=-1))

    with np.errstate(invalid="ignore", divide="ignore"):
        for v in beam:
            add(none, none, np.broadcast_to(v, none.shape))
        for v in setting:
            w = np.broadcast_to(v, none.shape)
            add(_cross(w, see.r), _cross(w, see.t))
        for k in range(crystal.shape[1]):
            add(_turned(crystal[:, k], spots.axis, see.turn), none)
        for v in position:
            add(none, _turned(np.broadcast_to(v, none.shape), spots.axis, see.turn))
        at = np.concatenate([see.xyz[:, :2], np.ones((len(none), 1))], axis=1)
        for k in range(detector.shape[1]):
            slope = detector[spots.panel, k]
            move = np.stack([_dot(slope[:, i], at) for i in range(3)], axis=-1)
            by = [-_dot(see.rows[:, i], move) for i in range(2)]
            columns.append(np.stack([*by, np.zeros(len(at))], axis=-1))
    out = np.stack(columns, axis=-1) if columns else np.zeros((len(none), 3, 0))
    out[see.status != SEEN] = 0.0
    return see.xyz, out, see.status
