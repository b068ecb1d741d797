r"""Geometry to and from pyFAI: the .poni file, versions 1 and 2.

pyFAI's axes are 1 up, 2 to the right seen along the beam, 3 along the beam; a pixel at metric
position :math:`(d_1, d_2)` on the detector (its corner at 0, so a pixel's centre is half a pixel
in) lies at

.. math::

   t = R_3(r_3)\,R_2(r_2)\,R_1(r_1)\,(d_1 - \mathrm{poni}_1, d_2 - \mathrm{poni}_2, L)^T

with :math:`R_1, R_2` left-handed and :math:`R_3` right-handed, so in our lab frame
:math:`(x, y, z) = (-t_2, t_1, t_3)`. Source: Kieffer & Karkoulis (2013), J. Phys. Conf. Ser. 425,
202012, and pyFAI's documentation; reproduced to 1e-14 rad (``interop/pyfai_poni``).

pyFAI takes row 0 of the image it is given for the bottom one. Programs that flip the image first
(Dioptas) write files that hold for the flipped image: name the flip in `image_transform`. *Not*
read: splines, curved, hexagonal and pixel-wise distorted detectors.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL, model_from_file, transformed_shape
from refimpl.detector.panel import Panel
from refimpl.errors import ConfigError, GeometryError
from refimpl.frames import F64
from refimpl.interop.plane import panel_of_tilted_flat, require_plain, tilted_flat_from_panel
from refimpl.interop.poni_file import (
    ANGSTROM_PER_M,
    ORIENTATIONS,
    Poni,
    format_poni,
    parse_poni,
    read_poni,
)
from refimpl.units import M

__all__ = [
    "Poni",
    "format_poni",
    "parse_poni",
    "poni_from_tilted_flat",
    "read_poni",
    "tilted_flat_from_poni",
]


def tilted_flat_from_poni(
    poni: Poni, shape: tuple[int, int] | None = None, *, image_transform: Sequence[int] = ()
) -> TiltedFlat:
    """Model that puts every pixel where pyFAI does.

    Parameters
    ----------
    poni
        Geometry.
    shape
        (n_slow, n_fast) of the image as stored; needed where the file does not say.
    image_transform
        ImTransOpt codes that take the stored image to the one that pyFAI was given: ``(2,)`` for
        files of Dioptas.

    Raises
    ------
    ConfigError
        The shape is neither given nor in the file, or the two differ.
    """
    given = poni.shape if shape is None else transformed_shape(image_transform, shape)
    if given is None:
        raise ConfigError("the .poni file does not give the shape of the image: name it (shape=)")
    if poni.shape is not None and given != poni.shape:
        raise ConfigError(
            f"image of shape {given} with a geometry for {poni.shape} (rows, columns)"
        )
    codes = (*image_transform, *ORIENTATIONS[poni.orientation])
    pixel = (poni.pixel2_m * M, poni.pixel1_m * M)
    seen = tilted_flat_from_panel(_panel(poni, given, pixel), image_transform=())
    return seen.replace(image_transform=_shortest(codes))


def _panel(poni: Poni, shape: tuple[int, int], pixel_mm: tuple[float, float]) -> Panel:
    """The image after the flips of the orientation, as vectors."""
    t = poni.rotation()
    corner = t @ np.array([-poni.poni1_m, -poni.poni2_m, poni.dist_m]) * M
    return Panel("poni", _lab(corner), _lab(t[:, 1]), _lab(t[:, 0]), pixel_mm, shape[::-1])


def _lab(t: F64) -> tuple[float, float, float]:
    """Lab vector of one in pyFAI's axes (up, right, along the beam)."""
    return -float(t[1]), float(t[0]), float(t[2])


def _shortest(codes: Sequence[int]) -> tuple[int, ...]:
    """Shortest list of codes for the same transform."""
    matrix = model_from_file(codes, (2, 3))[0]
    same = (c for c in DIHEDRAL if np.array_equal(model_from_file(c, (2, 3))[0], matrix))
    return next(same)


def poni_from_tilted_flat(model: TiltedFlat, wavelength_angstrom: float | None = None) -> Poni:
    """Geometry for pyFAI, for the image as stored.

    Raises
    ------
    GeometryError
        The model has distortion, parallax, panel corrections or a transposed image, which a .poni
        file cannot hold.
    """
    require_plain(model, "a .poni file")
    codes = _shortest(model.image_transform)
    orientation = {flips: number for number, flips in ORIENTATIONS.items()}.get(codes)
    if orientation is None:
        raise GeometryError(
            f"a .poni file cannot hold the transposed image transform "
            f"{list(model.image_transform)}: transpose the image first"
        )
    panel = panel_of_tilted_flat(model.replace(image_transform=()))
    slow, fast, corner = (
        np.array([v[1], -v[0], v[2]]) for v in (panel.slow_axis, panel.fast_axis, panel.origin_mm)
    )
    normal = np.cross(slow, fast)
    r = np.stack([slow, fast, normal], axis=1)
    return Poni(
        dist_m=float(corner @ normal) / M,
        poni1_m=-float(corner @ slow) / M,
        poni2_m=-float(corner @ fast) / M,
        rot1_rad=float(np.arctan2(-r[2, 1], r[2, 2])),
        rot2_rad=float(np.arctan2(r[2, 0], np.hypot(r[2, 1], r[2, 2]))),
        rot3_rad=float(np.arctan2(r[1, 0], r[0, 0])),
        pixel1_m=panel.pixel_size_mm[1] / M,
        pixel2_m=panel.pixel_size_mm[0] / M,
        shape=transformed_shape(codes, model.shape),
        wavelength_m=None if wavelength_angstrom is None else wavelength_angstrom / ANGSTROM_PER_M,
        orientation=orientation,
    )
