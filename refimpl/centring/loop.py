"""Where the loop is in a photograph: the published programs lucid3 and lucid2, and corrected.

They find the loop, not the crystal, by edges and thresholds tuned at one beamline: the comparator
of Schurmann & Lindhe (2019). Mode ``corrected`` mends three things: lucid3's y is 10 px too small,
its pin must enter from the left, its lengths hold at about 2 um/px only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.loop_edges import LUCID2, LUCID3, U8, Recipe, opencv, outline
from refimpl.centring.loop_walk import target_of
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64

__all__ = ["MODES", "PIN_SIDES", "Loop", "find_loop", "locate_loop"]

MODES: Final = ("corrected", "lucid3", "lucid2")
PIN_SIDES: Final = ("left", "right", "top", "bottom")

_TUNED_UM_PER_PX: Final = 2.0
_NONE: Final = "No loop detected"
_GREY: Final = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Loop:
    """Where to centre, or that there is no loop.

    Attributes
    ----------
    is_found
        Whether there is one.
    x_px, y_px
        Point from the outer corner of the first pixel; NaN where there is none.
    kind
        What lucid took it for: ``narrow``, ``loop``, ``support``; empty where there is none.
    mode
        Which of :data:`MODES`.
    coord
        The published answer: ``("Coord", x, y)``, counted from pixel centres, or
        ``("No loop detected", -1, -1)``. In mode ``corrected`` the same, of the corrected point.
    """

    is_found: bool
    x_px: float
    y_px: float
    kind: str
    mode: str
    coord: tuple[str, int, int]


def find_loop(
    image: str | Path | NDArray[np.generic], rotation: bool = False, *, mode: str = "lucid3"
) -> tuple[str, int, int]:
    """Find the loop with lucid3's own signature and answer, as MXCuBE calls it.

    Parameters
    ----------
    image
        File, or picture (rows, columns[, 3]) as RGB, 0 to 255. lucid3 swaps red and blue of files,
        so the same picture given both ways may differ by some pixels.
    rotation
        For a vertical axis: the pin enters from the bottom.
    mode
        One of :data:`MODES`.

    Returns
    -------
    ``("Coord", x, y)`` or ``("No loop detected", -1, -1)``.

    Raises
    ------
    ConfigError, FormatError, MissingExtra
        As :func:`locate_loop`.
    """
    return locate_loop(image, mode=mode, pin_side="bottom" if rotation else "left").coord


def locate_loop(
    image: str | Path | NDArray[np.generic],
    *,
    mode: str = "corrected",
    um_per_px: float | None = None,
    pin_side: str = "left",
) -> Loop:
    """Find the loop.

    Parameters
    ----------
    image
        File, or picture (rows, columns[, 3]) as RGB, 0 to 255.
    mode
        ``corrected``, ``lucid3`` or ``lucid2``.
    um_per_px
        Scale of the picture, for which it is resized; mode ``corrected`` only. None: as tuned.
    pin_side
        Where the pin enters: ``left``, ``right``, ``top``, ``bottom``.

    Raises
    ------
    ConfigError
        Unknown mode or side; a scale that is not positive or of a published mode; a picture of
        another shape or too small.
    FormatError
        A file that is not a picture.
    MissingExtra
        OpenCV is not installed.
    """
    _check(mode, um_per_px, pin_side)
    grey = _grey(image, published=mode != "corrected")
    turned = np.ascontiguousarray(_TURN[pin_side](grey))
    scale = 1.0
    if um_per_px is not None:
        scale = um_per_px / _TUNED_UM_PER_PX
        turned = _resized(turned, scale)
    found = _published(turned, mode)
    if found is None:
        return Loop(False, np.nan, np.nan, "", mode, (_NONE, -1, -1))
    x, y, kind = found
    size = (turned.shape[1], turned.shape[0])
    x_px, y_px = _back((x + 0.5, y + 0.5), size, pin_side)
    x_px, y_px = x_px / scale, y_px / scale
    coord = ("Coord", int(np.floor(x_px)), int(np.floor(y_px)))
    return Loop(True, float(x_px), float(y_px), kind, mode, coord)


def _check(mode: str, um_per_px: float | None, pin_side: str) -> None:
    if mode not in MODES:
        raise ConfigError(f"mode {mode!r}: expected {', '.join(MODES)}", key="mode", got=mode)
    if pin_side not in PIN_SIDES:
        raise ConfigError(
            f"pin side {pin_side!r}: expected {', '.join(PIN_SIDES)}", key="pin_side", got=pin_side
        )
    if um_per_px is not None and mode != "corrected":
        raise ConfigError(f"um/px is for mode corrected: {mode} knows one scale", key="um_per_px")
    if um_per_px is not None and not (np.isfinite(um_per_px) and um_per_px > 0):
        raise ConfigError(f"um/px = {um_per_px:g}: expected a positive number", key="um_per_px")


def _published(grey: U8 | F64, mode: str) -> tuple[int, int, str] | None:
    """Target (x, y) counted from pixel centres, of a picture whose pin enters from the left."""
    recipe: Recipe = LUCID2 if mode == "lucid2" else LUCID3
    points = outline(grey, recipe)
    if points is None or len(points) < 3:
        return None
    target = target_of(points)
    dx, dy = recipe.true_offset_px if mode == "corrected" else recipe.offset_px
    x, y = target.x + dx, target.y + dy
    rows, columns = grey.shape
    if x < 0.2 * columns and not 0.2 * rows <= y <= 0.8 * rows:
        return None
    return x, y, target.kind


def _grey(image: str | Path | NDArray[np.generic], *, published: bool) -> U8 | F64:
    """Grey picture: bytes from a file, floats from an array."""
    cv2 = opencv()
    if isinstance(image, (str, Path)):
        try:
            data = np.fromfile(image, np.uint8)
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror}", path=image) from error
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if picture is None:
            raise FormatError("is not a picture that OpenCV reads", path=image)
        # OpenCV reads blue first; lucid3 takes it for red
        return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY if published else cv2.COLOR_BGR2GRAY)
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 3:
        return array.astype(np.float64) @ np.array(_GREY)
    if array.ndim == 2:
        return array.astype(np.float64)
    raise ConfigError(f"picture of shape {array.shape}: expected (rows, columns[, 3])")


_TURN: Final = {
    "left": lambda grey: grey,
    "right": lambda grey: grey[:, ::-1],
    "bottom": lambda grey: np.rot90(grey, 3),
    "top": lambda grey: grey.T,
}


def _back(point: tuple[float, float], size: tuple[int, int], pin_side: str) -> tuple[float, float]:
    """Point of the turned picture of this size (columns, rows) in the picture as it was."""
    x, y = point
    if pin_side == "right":
        return size[0] - x, y
    if pin_side == "bottom":  # a quarter turn clockwise brought it to the left
        return y, size[0] - x
    return (y, x) if pin_side == "top" else (x, y)


def _resized(grey: U8 | F64, scale: float) -> U8 | F64:
    cv2 = opencv()
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(grey, None, fx=scale, fy=scale, interpolation=way)
