"""One flat panel of pixels as the parametrised model: the way into refimpl from any other code.

Every other code's single flat detector is a :class:`~refimpl.detector.panel.Panel` once its
frame is turned into ours; this module finds the numbers of
:class:`~refimpl.detector.model.TiltedFlat` that put every pixel at exactly the same place.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL, model_from_file, transformed_shape
from refimpl.detector.panel import Panel
from refimpl.errors import GeometryError
from refimpl.frames import F64, midas_from_lab
from refimpl.rotations import tilts_of_matrix

__all__ = ["panel_of_tilted_flat", "require_plain", "tilted_flat_from_panel", "upright_codes"]


def tilted_flat_from_panel(
    panel: Panel, *, image_transform: Sequence[int] | None = None
) -> TiltedFlat:
    """Model whose every pixel lies where the panel's does.

    Parameters
    ----------
    panel
        Vectors in the lab frame, in the pixel order of the image as stored.
    image_transform
        ImTransOpt codes that take that image to the model frame. None chooses the one of the
        eight that leaves the smallest roll ``tx``.

    Raises
    ------
    GeometryError
        The beam does not cross the panel's plane downstream of the sample, or the codes mirror
        the image with respect to the panel.
    """
    origin, fast, slow = (
        midas_from_lab(np.asarray(v, dtype=np.float64))
        for v in (panel.origin_mm, panel.fast_axis, panel.slow_axis)
    )
    normal = np.cross(fast, slow)
    if normal[0] == 0.0 or (lsd := float(origin @ normal / normal[0])) <= 0.0:
        raise GeometryError(
            f"panel {panel.name!r}: its plane does not cross the beam downstream of the sample"
        )
    hit = np.array([lsd, 0.0, 0.0]) - origin
    beam_file = np.array([fast @ hit, slow @ hit]) / panel.pixel_size_mm
    n_fast, n_slow = panel.size_px
    codes = upright_codes(fast, slow) if image_transform is None else tuple(image_transform)
    matrix, offset = model_from_file(codes, (n_slow, n_fast))
    beam = matrix @ beam_file + offset
    right, up = matrix @ np.stack([fast, slow])  # axes of the model frame
    tilt = np.stack([np.cross(-right, up), -right, up], axis=1)
    if tilt[0, 0] <= 0.0:
        raise GeometryError(
            f"panel {panel.name!r}: image transform {list(codes)} mirrors the image with respect "
            "to the panel; another number of flips is needed"
        )
    size = np.abs(matrix) @ panel.pixel_size_mm
    return TiltedFlat(
        shape=transformed_shape(codes, (n_slow, n_fast)),
        pixel_size_mm=(float(size[0]), float(size[1])),
        lsd_mm=lsd,
        beam_centre_px=(float(beam[0]), float(beam[1])),
        tilts_rad=tilts_of_matrix(tilt),
        image_transform=codes,
    )


def upright_codes(fast: F64, slow: F64) -> tuple[int, ...]:
    """Image transform whose model axes are nearest to right (-Y) and up (+Z) in the MIDAS frame."""

    def fit(codes: tuple[int, ...]) -> float:
        right, up = model_from_file(codes, (1, 1))[0] @ np.stack([fast, slow])
        return float(up[2] - right[1])

    return max(DIHEDRAL, key=fit)


def require_plain(model: TiltedFlat, target: str, *, panels: bool = False) -> None:
    """Refuse what another code's format cannot hold.

    Raises
    ------
    GeometryError
        The model has distortion, parallax or (unless `panels`) panel corrections.
    """
    extra = [f"p{i}" for i, v in enumerate(model.p) if v != 0.0 and i not in _PHASE_INDICES]
    if model.parallax_mm != 0.0:
        extra.append("parallax")
    if not panels and model.panel_corrections is not None and np.any(model.panel_corrections):
        extra.append("panel corrections")
    if extra:
        raise GeometryError(
            f"{target} cannot hold {', '.join(extra)}: write a geometry without them, or use "
            "geometry.json"
        )


_PHASE_INDICES = frozenset((3, 6, 8, 10, 12, 14))
"""A phase without an amplitude distorts nothing."""


def panel_of_tilted_flat(model: TiltedFlat) -> Panel:
    """Return the whole surface as one panel, in the pixel order of the image as stored."""
    plain = model.replace(panel_boxes=None, panel_corrections=None)
    return plain.detector().panels[0]
