"""Geometry to and from other codes: pyFAI, HEXRD, GSAS-II and NeXus (read only), MIDAS.

Every code has its own frame, pixel origin and units; each is converted here, once. Files are
written by the callers, through :mod:`refimpl.io.atomic`.
"""

from __future__ import annotations

from refimpl.interop.gsas import read_imctrl, tilted_flat_from_imctrl
from refimpl.interop.hexrd import (
    detector_from_hexrd,
    hexrd_from_tilted_flat,
    read_hexrd,
    tilted_flat_from_hexrd,
)
from refimpl.interop.midas import midas_from_tilted_flat, tilted_flat_from_midas
from refimpl.interop.nexus import detector_from_nexus
from refimpl.interop.panels import boxes_of_detector, tilted_flat_from_panels
from refimpl.interop.plane import tilted_flat_from_panel
from refimpl.interop.pyfai import (
    format_poni,
    poni_from_tilted_flat,
    read_poni,
    tilted_flat_from_poni,
)

__all__ = [
    "boxes_of_detector",
    "detector_from_hexrd",
    "detector_from_nexus",
    "format_poni",
    "hexrd_from_tilted_flat",
    "midas_from_tilted_flat",
    "poni_from_tilted_flat",
    "read_hexrd",
    "read_imctrl",
    "read_poni",
    "tilted_flat_from_hexrd",
    "tilted_flat_from_imctrl",
    "tilted_flat_from_midas",
    "tilted_flat_from_panel",
    "tilted_flat_from_panels",
    "tilted_flat_from_poni",
]
