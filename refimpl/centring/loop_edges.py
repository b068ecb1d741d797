"""From a grey picture to the outline of pin and loop, step by step as lucid3 and lucid2 do it.

Re-implemented from a description of the steps. All lengths are pixels of a picture at about
2 um/px, for which the published constants were tuned; the pin enters from the left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, MissingExtra
from refimpl.frames import F64, I64

__all__ = ["LEAST_PX", "LUCID2", "LUCID3", "Recipe", "opencv", "outline", "threshold_of"]

U8 = NDArray[np.uint8]

_SHRINK, _BORDER, _CORNER = 4, 10, 50
_FALLBACK: Final = 20

LEAST_PX: Final = 4 * _CORNER
"""Shortest side of a picture that lucid's borders leave something of."""


@dataclass(frozen=True)
class Recipe:
    """Where the two published programs differ.

    Attributes
    ----------
    far_px
        Taken off at the right and at the bottom each time 4 px are at the left and at the top.
    kernel_px
        Of the closing: columns, rows.
    contrast, corners, dilate
        Whether the contrast step, the mask of the left corners, the dilation are done.
    border_rows
        Whether the border moves rows as it does columns. lucid3's does not, though its answer is
        corrected as if it did: its y is 10 px too small.
    second_threshold
        Where the blurred picture is cut; None: where it was cut first.
    min_area, min_points
        An outline is kept if its area is more than this fraction of the picture, or if it has
        more points than that.
    """

    far_px: int = 8
    kernel_px: tuple[int, int] = (5, 3)
    contrast: bool = True
    corners: bool = True
    dilate: bool = True
    border_rows: bool = False
    second_threshold: int | None = None
    min_area: float = 0.02
    min_points: int = 125

    @property
    def offset_px(self) -> tuple[int, int]:
        """What the published program adds to (x, y) of the outline."""
        return (2 * _SHRINK - _BORDER,) * 2

    @property
    def true_offset_px(self) -> tuple[int, int]:
        """What brings (x, y) of the outline back to the picture."""
        return 2 * _SHRINK - _BORDER, 2 * _SHRINK - (_BORDER if self.border_rows else 0)


LUCID3: Final = Recipe()
LUCID2: Final = Recipe(
    far_px=4, kernel_px=(7, 3), contrast=False, corners=False, dilate=False, border_rows=True,
    second_threshold=1, min_area=0.015,
)  # fmt: skip


def opencv() -> Any:
    """The module cv2.

    Raises
    ------
    MissingExtra
        It is not installed.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("centring", "finding the loop") from error
    return cv2


def outline(grey: U8 | F64, recipe: Recipe = LUCID3) -> I64 | None:
    """Outline of pin and loop in the frame of the edge picture.

    Parameters
    ----------
    grey
        Picture (rows, columns), 0 to 255; bytes and floats are rounded at different steps.
    recipe
        Which program.

    Returns
    -------
    (n, 2) points x, y in their order along the outline, or None where nothing is large enough.

    Raises
    ------
    ConfigError
        The picture is too small for the borders.
    """
    rows, columns = grey.shape
    if min(rows, columns) < LEAST_PX:
        raise ConfigError(
            f"picture of {columns} x {rows} px is too small for lucid: expected {LEAST_PX} px "
            "or more, seen at about 2 um/px"
        )
    return _largest(_edges(_framed(_relief(grey, recipe), recipe), recipe), recipe)


def _relief(grey: U8 | F64, recipe: Recipe) -> U8:
    """Steps 2 to 7: where the picture is uneven, closed to areas."""
    cv2 = opencv()
    rows, columns = grey.shape
    inner = np.s_[_SHRINK : rows - recipe.far_px, _SHRINK : columns - recipe.far_px]
    smooth = cv2.GaussianBlur(np.ascontiguousarray(grey[inner]), (11, 9), 0)
    if recipe.contrast:
        smooth = _darkened(smooth)
    # the second crop counts from the size of the whole picture, so it takes the near sides only
    bent = cv2.Laplacian(smooth, cv2.CV_64F, ksize=5)[inner]
    bent = cv2.GaussianBlur(bent, (21, 11), 0)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, recipe.kernel_px)
    closed = cv2.morphologyEx(bent, cv2.MORPH_CLOSE, kernel, iterations=6)
    return np.where((closed < 0) | (closed >= 255), 0, closed).astype(np.uint8)


def _darkened(smooth: U8 | F64) -> U8 | F64:
    """Step 4: what is dark in the middle becomes black."""
    rows, columns = smooth.shape
    y, x = np.ogrid[:rows, :columns]
    middle_y, middle_x = rows // 2, columns // 2
    radius = 0.8 * min(middle_x, middle_y)
    disc = (x - middle_x) ** 2 + (y - middle_y) ** 2 <= radius**2
    out = smooth.copy()
    out[disc & (smooth < min(0.25 * float(smooth.max()), 25.0))] = 0
    return out


def _framed(relief: U8, recipe: Recipe) -> U8:
    """Steps 8 and 9a: black border; columns (lucid2: rows too) are moved by it."""
    inside = relief.copy()
    if recipe.border_rows:
        return np.pad(inside, _BORDER)
    inside[:_BORDER] = inside[-_BORDER:] = 0
    inside[:, :_BORDER] = inside[:, -_BORDER:] = 0
    out = np.pad(inside, ((0, 0), (_BORDER, _BORDER)))
    if recipe.corners:
        out[:_CORNER, :_CORNER] = out[-_CORNER:, :_CORNER] = 0
    return out


def threshold_of(relief: U8) -> int:
    """Step 9: foot of the histogram beyond 80 % of the pixels that are not black.

    From there on while a bin is lower than the one before it, or more than twice as high, or above
    1 % of these pixels. Where an empty bin comes first: 20.
    """
    counts = np.bincount(relief.ravel(), minlength=256)[:255].astype(np.float64)
    lit = counts[1:].sum()
    at = 1 + int(np.searchsorted(np.cumsum(counts[1:]), 0.8 * lit))
    while at < len(counts) and counts[at] and counts[at - 1]:
        rise = (counts[at] - counts[at - 1]) / counts[at - 1]
        if not (rise < 0 or int(rise) > 0.1 or counts[at] > 0.01 * lit):
            return at
        at += 1
    return _FALLBACK


def _edges(framed: U8, recipe: Recipe) -> U8:
    """Steps 9 to 13: lines about what lies above the threshold, made smooth.

    The picture becomes black and white at the threshold, is blurred, and is cut a second time, low:
    that moves the outline outwards and rounds it.
    """
    cv2 = opencv()
    level = threshold_of(framed)
    _, white = cv2.threshold(framed, level, 255, cv2.THRESH_BINARY)
    smooth = cv2.GaussianBlur(white, (11, 11), 0)
    second = level if recipe.second_threshold is None else recipe.second_threshold
    _, low = cv2.threshold(smooth, second, 255, cv2.THRESH_BINARY_INV)
    lines: U8 = cv2.Canny(low, 0, 2)
    return cv2.dilate(lines, np.ones((3, 3), np.uint8)) if recipe.dilate else lines


def _largest(edges: U8, recipe: Recipe) -> I64 | None:
    """Step 14: the outline of largest area among those long or large enough."""
    cv2 = opencv()
    found, _ = cv2.findContours(edges, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    areas = [cv2.contourArea(points) for points in found]
    kept = [
        (area, -k) for k, (area, points) in enumerate(zip(areas, found, strict=True))
        if area > recipe.min_area * edges.size or len(points) > recipe.min_points
    ]  # fmt: skip
    return found[-max(kept)[1]][:, 0].astype(np.int64) if kept else None
