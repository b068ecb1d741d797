r"""Prediction of reflections from a rotating crystal, and its derivatives by every model.

With :math:`p_0 = S F U B h` the reciprocal lattice vector at :math:`\varphi = 0`, the axis
:math:`m_2 = S\hat e`, :math:`m_1 = (m_2 \times s_0)/|\cdot|` and :math:`m_3 = m_1 \times m_2`, the
Laue equation fixes

.. math:: p\cdot m_3 = \frac{-p^2/2 - (p_0\cdot m_2)(s_0\cdot m_2)}{s_0\cdot m_3},\qquad
          p\cdot m_1 = \pm\sqrt{\rho^2 - (p\cdot m_3)^2}

with :math:`\rho^2 = p^2 - (p_0\cdot m_2)^2`; the two signs are the entering and the leaving
crossing of the Ewald sphere. The ray :math:`s_1 = p + s_0` meets the panel
:math:`d = (f|s|o)` where :math:`(u, v, w)^T = d^{-1} s_1`: at :math:`X = u/w`, :math:`Y = v/w`.

Source: W. Kabsch, Acta Cryst. D66 (2010) 133; D. G. Waterman et al., Acta Cryst. D72 (2016) 558,
and DIALS' conventions. Vectors are in whatever lab frame the caller uses. Not modelled: stills,
crystals that change during the scan.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin
from refimpl.frames import F64

__all__ = ["NEVER", "OFF_PANEL", "SEEN", "predict_rotation", "rotation_jacobian"]

SEEN, NEVER, OFF_PANEL = 0, 1, 2
"""Status: predicted; the point never meets the sphere; the ray never meets the panel's plane."""

_POINTS = {
    "p0": "f8 n,3", "panel": "i4 n", "entering": "u1 n", "phi_near": "f8 n", "s0": "f8 3",
    "axis": "f8 3", "inverse_d": "f8 p,3,3",
}  # fmt: skip


def _dot(a: F64, b: F64) -> F64:
    """(n,) scalar products, the three terms added in order as in the twin."""
    return np.asarray(a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2])


def _cross(a: F64, b: F64) -> F64:
    return np.stack(
        [
            a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
            a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
            a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
        ],
        axis=-1,
    )


def _frame(s0: F64, axis: F64) -> tuple[F64, F64, F64]:
    m1 = _cross(axis, s0)
    m1 = m1 / np.sqrt(_dot(m1, m1))
    return m1, axis, _cross(m1, axis)


def _rays(
    p0: F64, entering: NDArray[np.uint8], phi_near: F64, s0: F64, axis: F64
) -> tuple[F64, F64, F64, NDArray[np.uint8]]:
    """Reciprocal lattice vector p (n, 3) on the sphere, phi (n), m-components and status."""
    m1, m2, m3 = _frame(s0, axis)
    p01, p02, p03 = _dot(p0, m1), _dot(p0, m2), _dot(p0, m3)
    p2 = _dot(p0, p0)
    rho2 = p2 - p02 * p02
    along3 = (-0.5 * p2 - p02 * _dot(s0, m2)) / _dot(s0, m3)
    rest = rho2 - along3 * along3
    never = ~(rest >= 0.0) | (p2 > 4.0 * _dot(s0, s0))
    root = np.sqrt(np.where(never, np.nan, rest))
    # entering is s1 . (s0 x axis) < 0; s0 x axis points against m1, so p . m1 > 0
    along1 = np.where(entering != 0, root, -root)
    cos = (along1 * p01 + along3 * p03) / rho2
    sin = (along1 * p03 - along3 * p01) / rho2
    phi = np.arctan2(sin, cos)
    turns = np.rint((phi_near - phi) / (2.0 * np.pi))
    phi = phi + turns * (2.0 * np.pi)
    p = along1[:, None] * m1 + p02[:, None] * m2 + along3[:, None] * m3
    status = np.where(never, NEVER, SEEN).astype(np.uint8)
    return p, phi, np.stack([cos, sin], axis=-1), status


def check_panels(panel: NDArray[np.int32], inverse_d: F64) -> None:
    """Refuse an index of a panel that is not there."""
    if len(panel) and not 0 <= panel.min() <= panel.max() < len(inverse_d):
        bad = panel[(panel < 0) | (panel >= len(inverse_d))][0]
        raise IndexError(f"panel index {bad}: there are {len(inverse_d)} panels")


@twin("libm", check=check_panels, **_POINTS)
def predict_rotation(
    p0: F64,
    panel: NDArray[np.int32],
    entering: NDArray[np.uint8],
    phi_near: F64,
    s0: F64,
    axis: F64,
    inverse_d: F64,
) -> tuple[F64, F64, NDArray[np.uint8]]:
    """Where and when reflections are seen.

    Parameters
    ----------
    p0
        (n, 3) reciprocal lattice vectors S F U B h at phi = 0 [1/angstrom].
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

    Returns
    -------
    xyz
        (n, 3) X, Y on the panel [mm] and phi [rad]; NaN where there is none.
    s1
        (n, 3) diffracted beam vector [1/angstrom].
    status
        (n,) :data:`SEEN`, :data:`NEVER` or :data:`OFF_PANEL`.
    """
    p, phi, _, status = _rays(p0, entering, phi_near, s0, axis)
    s1 = p + s0
    d = inverse_d[panel]
    u, v, w = (_dot(d[:, i], s1) for i in range(3))
    with np.errstate(invalid="ignore", divide="ignore"):
        behind = (status == SEEN) & ~(w > 0.0)
        x, y = np.where(w > 0.0, u / w, np.nan), np.where(w > 0.0, v / w, np.nan)
    status = np.where(behind, OFF_PANEL, status).astype(np.uint8)
    return np.stack([x, y, phi], axis=-1), s1, status


@twin(
    "libm", check=check_panels, **_POINTS, hkl="f8 n,3", crystal="f8 c,3,3", beam="f8 b,3",
    detector="f8 p,m,3,3",
)  # fmt: skip
def rotation_jacobian(
    p0: F64,
    panel: NDArray[np.int32],
    entering: NDArray[np.uint8],
    phi_near: F64,
    s0: F64,
    axis: F64,
    inverse_d: F64,
    hkl: F64,
    crystal: F64,
    beam: F64,
    detector: F64,
) -> tuple[F64, F64, NDArray[np.uint8]]:
    r"""Predictions and their derivatives by the parameters of beam, crystal and own panel.

    .. math::

       q &= (e \times r)\cdot s_0, \qquad d\varphi = -\frac{dr\cdot s_1}{q} \text{ (crystal)},\quad
       -\frac{ds_0\cdot r}{q} \text{ (beam)} \\
       d(u,v,w)^T &= D\,(dr + (e\times r)\,d\varphi) ,\quad
       D\,((e\times r)\,d\varphi + ds_0) ,\quad -D\,(\partial d)\,(u,v,w)^T

    Parameters
    ----------
    p0, panel, entering, phi_near, s0, axis, inverse_d
        As of :func:`predict_rotation`.
    hkl
        (n, 3) Miller indices.
    crystal
        (c, 3, 3) derivatives of S F U B by c parameters: dp0 = crystal @ hkl.
    beam
        (b, 3) derivatives of s0 by b parameters.
    detector
        (p, m, 3, 3) derivatives of each panel's (fast | slow | origin) by the m parameters of the
        group that it belongs to.

    Returns
    -------
    xyz
        (n, 3) as of :func:`predict_rotation`.
    jacobian
        (n, 3, b + c + m) of X, Y, phi: beam, crystal, detector. 0 where nothing is predicted.
    status
        (n,).
    """
    b, c, m = len(beam), len(crystal), detector.shape[1]
    r, phi, turn, status = _rays(p0, entering, phi_near, s0, axis)
    s1 = r + s0
    inverse = inverse_d[panel]
    u, v, w = (_dot(inverse[:, i], s1) for i in range(3))
    e_r = _cross(np.broadcast_to(axis, r.shape), r)
    q = _dot(e_r, s0)
    out = np.zeros((len(p0), 3, b + c + m))
    with np.errstate(invalid="ignore", divide="ignore"):
        status = np.where((status == SEEN) & ~(w > 0.0), OFF_PANEL, status).astype(np.uint8)
        x, y = np.where(w > 0.0, u / w, np.nan), np.where(w > 0.0, v / w, np.nan)
        # rows of D that turn a change of the ray into one of X and of Y
        rows = [
            (inverse[:, i] - at[:, None] * inverse[:, 2]) / w[:, None] for i, at in ((0, x), (1, y))
        ]
        by_crystal = [row - (_dot(row, e_r) / q)[:, None] * s1 for row in rows]
        by_crystal.append(-s1 / q[:, None])
        by_beam = [row - (_dot(row, e_r) / q)[:, None] * r for row in rows]
        by_beam.append(-r / q[:, None])
        for k in range(b):
            for i, row in enumerate(by_beam):
                out[:, i, k] = _dot(row, beam[k])
        for k in range(c):
            at_zero = np.stack([_dot(hkl, crystal[k, i]) for i in range(3)], axis=-1)
            change = _turned(at_zero, axis, turn)
            for i, row in enumerate(by_crystal):
                out[:, i, b + k] = _dot(row, change)
        pv = np.stack([u, v, w], axis=-1)
        for k in range(m):
            slope = detector[panel, k]
            change = np.stack([_dot(slope[:, i], pv) for i in range(3)], axis=-1)
            for i, row in enumerate(rows):
                out[:, i, b + c + k] = -_dot(row, change)
    out[status != SEEN] = 0.0
    return np.stack([x, y, phi], axis=-1), out, status


def _turned(vector: F64, axis: F64, turn: F64) -> F64:
    """(n, 3) vectors turned about the axis by angles of cosine and sine `turn` (Rodrigues)."""
    cos, sin = turn[:, :1], turn[:, 1:]
    along = _dot(vector, axis)[:, None] * axis
    across = _cross(np.broadcast_to(axis, vector.shape), vector)
    return np.asarray((vector - along) * cos + across * sin + along)
