"""Geometry to and from MIDAS parameter files: Lsd, BC, tx ty tz, p0..p14, RhoD, px, panels.

MIDAS counts pixels from their centres in the image after ImTransOpt (Y to the right, Z up), so its
beam centre is half a pixel less than ours; lengths are µm, angles degrees. Reading and writing
the files is the business of :mod:`refimpl.io.midas_params`, whose result is a mapping that goes in
here. Source: AutoCalibrate manual version 10 and its programs at commit 41fd5d04.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import model_from_file, transformed_shape
from refimpl.detector.panel_grid import PanelGrid
from refimpl.errors import ConfigError, GeometryError
from refimpl.frames import I64, PIXEL_CENTRE
from refimpl.units import DEG, UM

__all__ = [
    "midas_from_tilted_flat",
    "padding_px",
    "panel_boxes",
    "panel_grid",
    "stored_shape",
    "tilted_flat_from_midas",
]


def tilted_flat_from_midas(
    params: Mapping[str, Any],
    shape: tuple[int, int] | None = None,
    *,
    published_padding: bool = False,
) -> TiltedFlat:
    """Model of a parameter file.

    Parameters
    ----------
    params
        Values by key, in the units of the file.
    shape
        (n_slow, n_fast) of the image as stored; needed where NrPixelsY and NrPixelsZ are not
        given.
    published_padding
        The published programs copy an image that is not square into a square frame, padded at
        high Y and Z, and flip that: after a flip of the short axis their BC counts from the
        padding. True takes such a BC.

    Raises
    ------
    ConfigError
        Lsd, BC, px or the shape are missing.
    """
    missing = [key for key in ("Lsd", "BC", "px") if params.get(key) is None]
    stored = shape or stored_shape(params)
    if missing or stored is None:
        raise ConfigError(
            "MIDAS parameters lack "
            + ", ".join(missing or ["NrPixelsY and NrPixelsZ (or NrPixels)"])
        )
    codes = _codes(params.get("ImTransOpt"))
    centre = np.array(params["BC"], dtype=np.float64) + PIXEL_CENTRE
    if published_padding:
        centre = centre - padding_px(codes, stored)
    size = float(params["px"]) * UM
    return TiltedFlat(
        shape=transformed_shape(codes, stored),
        pixel_size_mm=(size, size),
        lsd_mm=float(params["Lsd"]) * UM,
        beam_centre_px=(float(centre[0]), float(centre[1])),
        tilts_rad=_tilts(params),
        rho_d_mm=float(params.get("RhoD") or params.get("MaxRingRad") or 0.0) * UM,
        p=tuple(float(params.get(f"p{i}") or 0.0) for i in range(15)),
        parallax_mm=float(params.get("Parallax") or 0.0) * UM,
        panel_boxes=panel_boxes(params),
        image_transform=codes,
    )


def _tilts(params: Mapping[str, Any]) -> tuple[float, float, float]:
    tx, ty, tz = (float(params.get(key) or 0.0) * DEG for key in ("tx", "ty", "tz"))
    return tx, ty, tz


def stored_shape(params: Mapping[str, Any]) -> tuple[int, int] | None:
    """(rows, columns) of the image that a parameter file states, or None."""
    square = params.get("NrPixels")
    rows, columns = params.get("NrPixelsZ") or square, params.get("NrPixelsY") or square
    return None if rows is None or columns is None else (int(rows), int(columns))


def _codes(value: Any) -> tuple[int, ...]:
    codes = () if value is None else tuple(int(v) for v in np.atleast_1d(value))
    return tuple(code for code in codes if code != 0)


def padding_px(codes: tuple[int, ...], stored: tuple[int, int]) -> np.ndarray[Any, Any]:
    """(fast, slow) of the image's corner in the square frame after the transforms [px]."""
    side = max(stored)
    matrix, offset = model_from_file(codes, (side, side))
    corners = np.array([[0.0, 0.0], [stored[1], stored[0]]]) @ matrix.T + offset
    return np.asarray(corners.min(axis=0))


def panel_boxes(params: Mapping[str, Any]) -> I64 | None:
    """(p, 4) fast0, slow0, fast1, slow1 of the panels, half open [px]; None without a grid.

    Panel ``iY * NPanelsZ + iZ`` is in column iY from the left and row iZ from below, in the image
    after ImTransOpt. Whether they fit an image is another question:
    :meth:`~refimpl.detector.panel_grid.PanelGrid.check` of :func:`panel_grid`.

    Raises
    ------
    GeometryError
        Sizes or gaps do not fit the number of panels.
    """
    grid = panel_grid(params)
    return None if grid is None else grid.boxes()


def panel_grid(params: Mapping[str, Any]) -> PanelGrid | None:
    """Grid that the keys NPanelsY ... PanelGapsZ describe; None without one.

    Raises
    ------
    GeometryError
        Sizes or gaps do not fit the number of panels.
    """
    across, up = int(params.get("NPanelsY") or 0), int(params.get("NPanelsZ") or 0)
    if across * up <= 1:
        return None
    size_y, gaps_y = _size_and_gaps(params, "Y", across)
    size_z, gaps_z = _size_and_gaps(params, "Z", up)
    return PanelGrid(across, up, size_y, size_z, gaps_y, gaps_z)


def _size_and_gaps(params: Mapping[str, Any], axis: str, count: int) -> tuple[int, tuple[int, ...]]:
    size = int(params.get(f"PanelSize{axis}") or 0)
    given = params.get(f"PanelGaps{axis}")
    gaps = tuple(int(v) for v in np.atleast_1d(() if given is None else given))
    if size <= 0 or len(gaps) != count - 1:
        raise GeometryError(
            f"NPanels{axis} {count}: expected a PanelSize{axis} above 0 and {count - 1} "
            f"PanelGaps{axis}, got {size} and {len(gaps)}"
        )
    return size, gaps


def midas_from_tilted_flat(model: TiltedFlat) -> dict[str, Any]:
    """Values by key in the units of the file, for :func:`refimpl.io.midas_params.write_params`.

    Panel corrections are not parameters but a file of their own (PanelShiftsFile).

    Raises
    ------
    GeometryError
        The pixels are not square, or the panels are not a grid.
    """
    fast, slow = model.pixel_size_mm
    if abs(fast - slow) > 1e-12 * fast:
        raise GeometryError(f"MIDAS has one pixel size: {fast:g} x {slow:g} mm are not square")
    rows, columns = transformed_shape(model.image_transform, model.shape)
    values: dict[str, Any] = {
        "Lsd": model.lsd_mm / UM,
        "BC": tuple(v - PIXEL_CENTRE for v in model.beam_centre_px),
        **{f"t{axis}": v / DEG for axis, v in zip("xyz", model.tilts_rad, strict=True)},
        **{f"p{i}": v for i, v in enumerate(model.p) if i < 4 or v != 0.0},
        "RhoD": model.rho_d_mm / UM,
        "px": fast / UM,
        "NrPixelsY": columns,
        "NrPixelsZ": rows,
        "ImTransOpt": tuple(model.image_transform) or (0,),
    }
    if model.parallax_mm != 0.0:
        values["Parallax"] = model.parallax_mm / UM
    return values | _grid(model.panel_boxes)


def _grid(boxes: I64 | None) -> dict[str, Any]:
    """Keys of the panel grid that gives the boxes."""
    if boxes is None:
        return {}
    try:
        grid = PanelGrid.from_boxes(boxes)
    except GeometryError as error:
        raise GeometryError(
            "the panels are not a grid of equal ones in the order MIDAS numbers them"
        ) from error
    return {
        "NPanelsY": grid.n_fast,
        "NPanelsZ": grid.n_slow,
        "PanelSizeY": grid.size_fast_px,
        "PanelSizeZ": grid.size_slow_px,
        "PanelGapsY": grid.gaps_fast_px,
        "PanelGapsZ": grid.gaps_slow_px,
    }
