r"""Between pixels and millimetres on a panel, with the depth at which a photon is absorbed.

With :math:`\hat s` the direction from the sample to the point, :math:`n` the normal of the panel
on the far side, :math:`c = \hat s \cdot n`, sensor thickness :math:`t` and attenuation
:math:`\mu`, a photon is displaced along the panel by :math:`o\,(\hat s \cdot f, \hat s \cdot s)`:

.. math:: o = \frac 1\mu - \left(\frac t c + \frac 1\mu\right) e^{-\mu t / c}
            = \int_0^{t/c} \mu x e^{-\mu x} dx

This is the published quantity (dxtbx, ``parallax_correction.h``). It is *not* divided by the
absorbed fraction :math:`1 - e^{-\mu t/c}`; the mean depth of the photons that are absorbed would
be ``attenuation_depth(..., normalised=True)``. The way back uses the direction of the corrected
point, so that the two are inverse to second order only, as published.
"""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64

__all__ = ["attenuation_depth", "mm_from_px", "px_from_mm", "shift_mm"]


def attenuation_depth(cosine: F64, mu_per_mm: F64, thickness_mm: F64, *, normalised: bool) -> F64:
    """Path in the sensor before absorption, o of the module's formula.

    Parameters
    ----------
    cosine
        (n,) cosine between the ray and the panel's normal.
    mu_per_mm, thickness_mm
        (n,) attenuation [1/mm], sensor thickness [mm].
    normalised
        Divide by the absorbed fraction: the mean over the photons that are absorbed.

    Returns
    -------
    (n,) [mm]; 0 where nothing is absorbed (attenuation or thickness not positive).
    """
    cosine, mu, thickness = np.broadcast_arrays(cosine, mu_per_mm, thickness_mm)
    known = (mu > 0.0) & (thickness > 0.0)
    mu_safe = np.where(known, mu, 1.0)
    path = np.where(known, thickness, 0.0) / cosine
    depth = 1.0 / mu_safe - (path + 1.0 / mu_safe) * np.exp(-mu_safe * path)
    if normalised:
        absorbed = -np.expm1(-mu_safe * path)
        depth = depth / np.where(absorbed > 0.0, absorbed, 1.0)
    return np.where(known, depth, 0.0)


def shift_mm(
    d: F64, x_mm: F64, y_mm: F64, mu_per_mm: F64, thickness_mm: F64, *, normalised: bool = False
) -> tuple[F64, F64]:
    """Displacement along the panel of photons whose ray meets its surface at (x, y).

    Parameters
    ----------
    d
        (n, 3, 3) columns fast, slow, origin [mm] of each point's panel.
    x_mm, y_mm
        (n,) on the panel.
    mu_per_mm, thickness_mm
        (n,) [1/mm], [mm].
    normalised
        See :func:`attenuation_depth`.

    Returns
    -------
    dx_mm, dy_mm
        (n,) along fast and slow.
    """
    fast, slow, origin = d[..., 0], d[..., 1], d[..., 2]
    ray = origin + x_mm[..., None] * fast + y_mm[..., None] * slow
    ray = ray / np.sqrt((ray * ray).sum(axis=-1))[..., None]
    normal = np.cross(fast, slow)
    away = np.where((origin * normal).sum(axis=-1) < 0.0, -1.0, 1.0)
    cosine = away * (ray * normal).sum(axis=-1)
    depth = attenuation_depth(cosine, mu_per_mm, thickness_mm, normalised=normalised)
    return depth * (ray * fast).sum(axis=-1), depth * (ray * slow).sum(axis=-1)


def mm_from_px(
    d: F64, x_px: F64, y_px: F64, pixel_mm: F64, mu_per_mm: F64, thickness_mm: F64
) -> tuple[F64, F64]:
    """Position on the panel [mm] where the ray met its surface, of points in pixels.

    Parameters
    ----------
    d
        (n, 3, 3) columns fast, slow, origin [mm].
    x_px, y_px
        (n,) panel pixel coordinates (fast, slow).
    pixel_mm
        (n, 2) pixel size along fast and slow.
    mu_per_mm, thickness_mm
        (n,); 0 for no correction.
    """
    x, y = x_px * pixel_mm[..., 0], y_px * pixel_mm[..., 1]
    dx, dy = shift_mm(d, x, y, mu_per_mm, thickness_mm)
    return x - dx, y - dy


def px_from_mm(
    d: F64, x_mm: F64, y_mm: F64, pixel_mm: F64, mu_per_mm: F64, thickness_mm: F64
) -> tuple[F64, F64]:
    """Panel pixel coordinates at which the ray through (x, y) [mm] is recorded.

    Arguments as of :func:`mm_from_px`, of which this is the published (approximate) inverse.
    """
    dx, dy = shift_mm(d, x_mm, y_mm, mu_per_mm, thickness_mm)
    return (x_mm + dx) / pixel_mm[..., 0], (y_mm + dy) / pixel_mm[..., 1]
