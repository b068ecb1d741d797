"""Tables of corrections by pixel, from those of an image to those of the panels.

A correction is what is *added* to the pixel where a photon was recorded, to find the pixel where an
ideal detector would have recorded it [px]: the sense of X-/Y-CORRECTIONS of XDS. The offsets dx, dy
of :meth:`Hierarchy.pixel_to_mm` are subtracted, hence have the opposite sign. Files are in
``io.xds_tables``,
tables of a refined detector in ``metrology.correction_tables``.
"""

from __future__ import annotations

from refimpl.detector.hierarchy import Hierarchy, OffsetTables
from refimpl.errors import GeometryError
from refimpl.frames import F64

__all__ = ["offsets_of_corrections"]


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
