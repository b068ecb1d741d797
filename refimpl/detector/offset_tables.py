"""Tables of corrections by pixel, as of an image: from two detectors, and to the panels of one.

A correction is what is *added* to the pixel where a photon was recorded, to find the pixel where an
ideal detector would have recorded it [px]: the sense of X-/Y-CORRECTIONS of XDS. The offsets dx, dy
of :meth:`Hierarchy.pixel_to_mm` are subtracted, hence have the opposite sign. Files are in
``io.xds_tables``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.hierarchy import Hierarchy, OffsetTables
from refimpl.errors import GeometryError
from refimpl.frames import F64

__all__ = ["corrections_of_detectors", "offsets_of_corrections"]

_ROWS = 64
"""Rows of pixels handled at once: bounds the memory."""


def offsets_of_corrections(detector: Hierarchy, x_px: F64, y_px: F64) -> OffsetTables:
    """Offsets dx, dy of each panel from corrections of the whole image.

    Parameters
    ----------
    x_px, y_px
        (n_slow, n_fast) corrections of the image that the panels are parts of.

    Raises
    ------
    GeometryError
        Tables of different shapes, or a panel that reaches beyond them.
    """
    if x_px.shape != y_px.shape or x_px.ndim != 2:
        raise GeometryError(f"corrections of shapes {x_px.shape} and {y_px.shape}: expected equal")
    tables = []
    for k, module in enumerate(detector.modules):
        (fast0, slow0), (n_fast, n_slow) = module.raw_image_offset, module.size_px
        part = (slice(slow0, slow0 + n_slow), slice(fast0, fast0 + n_fast))
        if x_px[part].shape != (n_slow, n_fast):
            raise GeometryError(
                f"panel {k} needs rows {slow0} to {slow0 + n_slow} and columns {fast0} to "
                f"{fast0 + n_fast}: the corrections have shape {x_px.shape}"
            )
        tables.append((-x_px[part], -y_px[part]))
    return tables


def corrections_of_detectors(
    detector: Hierarchy, reference: Hierarchy, shape: tuple[int, int]
) -> tuple[F64, F64]:
    """Corrections that let the reference stand for a detector: export of a metrology.

    For each pixel centre of ``detector`` the ray through it is met with the one panel of
    ``reference``; the correction is the pixel found there less the pixel itself. Both use their
    own parallax.

    Parameters
    ----------
    detector
        Panels of an image, where they are.
    reference
        One ideal panel that is the whole image.
    shape
        (n_slow, n_fast) of the image.

    Returns
    -------
    x_px, y_px
        (n_slow, n_fast); 0 between the panels.

    Raises
    ------
    GeometryError
        The reference has several panels, or a panel reaches beyond the image.
    """
    if len(reference) != 1:
        raise GeometryError(f"the reference has {len(reference)} panels: expected one")
    out = np.zeros((2, *shape))
    d, back = detector.d, reference.inverse_d[0]
    for k, module in enumerate(detector.modules):
        (fast0, slow0), (n_fast, n_slow) = module.raw_image_offset, module.size_px
        if slow0 + n_slow > shape[0] or fast0 + n_fast > shape[1]:
            raise GeometryError(f"panel {k} reaches beyond an image of shape {shape}")
        for row in range(0, n_slow, _ROWS):
            rows = np.arange(row, min(row + _ROWS, n_slow))
            x, y = (a.ravel() for a in np.meshgrid(np.arange(n_fast) + 0.5, rows + 0.5))
            found = _on_reference(detector, reference, d[k], back, k, x, y)
            part = (slice(slow0 + row, slow0 + row + len(rows)), slice(fast0, fast0 + n_fast))
            for axis, (there, here) in enumerate(zip(found, (x + fast0, y + slow0), strict=True)):
                out[axis][part] = (there - here).reshape(len(rows), n_fast)
    return out[0], out[1]


def _on_reference(
    detector: Hierarchy, reference: Hierarchy, d: F64, back: F64, k: int, x: F64, y: F64
) -> tuple[F64, F64]:
    """Pixels of the reference that see the rays through pixels of panel ``k``."""
    index: NDArray[np.int64] = np.full(len(x), k, dtype=np.int64)
    x_mm, y_mm = detector.pixel_to_mm(index, x, y)
    u, v, w = back @ (d @ np.stack([x_mm, y_mm, np.ones_like(x_mm)]))
    return reference.mm_to_pixel(np.zeros_like(index), u / w, v / w)
