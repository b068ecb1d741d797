"""From positions on panels to reciprocal space: where on the lattice each observed spot lies.

A spot at (x, y) on a panel was made by the beam ``s1``, which points from the sample to the spot
and has length 1/wavelength. The reciprocal lattice point is ``s1 - s0``, turned back by the
rotation angle at which it was seen. Vectors are columns [1/Å] without 2 pi; any right-handed frame
will do, so long as all vectors are in it. Not here: pixels to mm and parallax, which belong to the
detector.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import GeometryError
from refimpl.frames import F64

__all__ = ["diffracted_beams", "panel_to_lab", "reciprocal_points", "rotate_about"]


def rotate_about(axis: F64, angle: F64, vectors: F64) -> F64:
    r"""Each vector turned about one axis by its own angle.

    .. math:: R(e, \varphi) v = v \cos\varphi + e \times v \sin\varphi
        + e (e \cdot v)(1 - \cos\varphi)

    Parameters
    ----------
    axis
        (3,) unit vector.
    angle
        (n,) [rad].
    vectors
        (n, 3).

    Returns
    -------
    (n, 3).

    Notes
    -----
    Source: Rodrigues' formula.
    """
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    along = (vectors @ axis)[:, None] * axis
    return vectors * c + np.cross(axis, vectors) * s + along * (1.0 - c)


def panel_to_lab(panel: NDArray[np.integer], xy_mm: F64, d: F64) -> F64:
    """Lab positions of points on panels, x fast + y slow + origin.

    Parameters
    ----------
    panel
        (n,) index of each point's panel.
    xy_mm
        (n, 2) [mm] along fast and slow.
    d
        (p, 3, 3) columns fast, slow, origin of every panel [1, 1, mm].

    Returns
    -------
    (n, 3) [mm].

    Raises
    ------
    GeometryError
        A point names a panel that the detector has not.
    """
    which = np.asarray(panel, dtype=np.int64)
    if which.size and not (which.min() >= 0 and which.max() < len(d)):
        bad = which[(which < 0) | (which >= len(d))][0]
        raise GeometryError(
            f"a spot is on panel {bad}: expected 0 to {len(d) - 1}, the detector has "
            f"{len(d)} panels; the spots are of another detector",
            got=int(bad),
        )
    fast, slow, origin = d[which, :, 0], d[which, :, 1], d[which, :, 2]
    return xy_mm[:, :1] * fast + xy_mm[:, 1:] * slow + origin


def diffracted_beams(
    panel: NDArray[np.integer], xy_mm: F64, d: F64, wavelength_angstrom: float
) -> F64:
    """Beams that made spots, from the sample to the spot, of length 1/wavelength.

    Parameters
    ----------
    panel, xy_mm, d
        As in :func:`panel_to_lab`.
    wavelength_angstrom
        [Å].

    Returns
    -------
    (n, 3) ``s1`` [1/Å].
    """
    lab = panel_to_lab(panel, xy_mm, d)
    length = np.sqrt((lab * lab).sum(axis=1))[:, None]
    return lab / (length * wavelength_angstrom)


def reciprocal_points(
    s1: F64, s0: F64, phi: F64 | None, axis: F64, setting: F64, fixed: F64
) -> F64:
    r"""Reciprocal lattice points at angle zero of the goniometer.

    .. math:: r = F^{-1} R(e, -\varphi) S^{-1} (s_1 - s_0)

    Parameters
    ----------
    s1
        (n, 3) observed beams [1/Å].
    s0
        (3,) incident beam, source to sample, length 1/wavelength [1/Å].
    phi
        (n,) rotation angle of each spot [rad]; None for a still.
    axis
        (3,) rotation axis before the setting rotation, unit vector.
    setting, fixed
        (3, 3) rotation matrices S and F of the goniometer.

    Returns
    -------
    (n, 3) [1/Å].

    Notes
    -----
    Accuracy: 1e-15/Å against the published program (``rlp_th82``).
    """
    points = (s1 - s0) @ np.linalg.inv(setting).T
    if phi is not None:
        points = rotate_about(axis, -np.asarray(phi, dtype=np.float64), points)
    return np.asarray(points @ np.linalg.inv(fixed).T)
