"""A montage of pictures in rows, streamed: at most one row of them is in memory.

Not here: which pictures, and what is said of them (:mod:`refimpl.report.epu_montage`).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.report.png_stream import grey_png

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

__all__ = ["Case", "Tile", "draw_cases", "tile_size"]

MARGIN_PX, _SAMPLE = 3, 64
LARGEST_PX = 448
"""Of a tile: 100 rows of four are then 87 megapixels, which all readers of PNG open."""

SMALLEST_PX = 256
"""Longest side of a tile, at least: smaller pictures are enlarged by a whole factor."""

_PAPER, _MISSING, _INK = 255, 150, 0


@dataclass(frozen=True)
class Tile:
    """One picture: its file (None: there is none), the name shown where it is missing, a stamp."""

    path: Path | None
    name: str
    stamp: str = ""


@dataclass(frozen=True)
class Case:
    """Pictures that stand side by side, and the lines above them."""

    caption: tuple[str, ...]
    tiles: tuple[Tile, ...]


def _broken() -> tuple[type[BaseException], ...]:
    """What Pillow raises where a file is no picture, is cut off, or would fill the memory."""
    from PIL import Image

    return (
        *(OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error),
        *(Image.DecompressionBombError, Image.DecompressionBombWarning),
    )


def tile_size(cases: Sequence[Case], *, resize: bool = False) -> tuple[int, int]:
    """Width and height of all tiles [px]: the largest of the first pictures, 256 to 448 long.

    With `resize` half of it. Without any picture they are square.
    """
    from PIL import Image

    wide, tall, seen = 0, 0, 0
    for path in (tile.path for case in cases for tile in case.tiles):
        if path is None:
            continue
        try:
            with Image.open(path) as picture:
                size = picture.size
        except _broken():
            continue
        shrink = min(1.0, LARGEST_PX / max(size))
        wide, tall = max(wide, round(size[0] * shrink)), max(tall, round(size[1] * shrink))
        seen += 1
        if seen == _SAMPLE:
            break
    if not seen:
        wide = tall = LARGEST_PX
    factor = max(1, SMALLEST_PX // max(wide, tall)) / (2.0 if resize else 1.0)
    return max(round(wide * factor), 1), max(round(tall * factor), 1)


@lru_cache(maxsize=4)
def _font(size: int) -> FreeTypeFont:
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(
        str(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")), size
    )


def _fitting(text: str, font: FreeTypeFont, wide: float) -> str:
    """Text, its middle left out where it is too long."""
    if font.getlength(text) <= wide:
        return text
    for n in range(len(text) - 1, 1, -1):
        short = f"{text[: n // 3]}…{text[len(text) - (n - n // 3) :]}"
        if font.getlength(short) <= wide:
            return short
    return ""


def _wrapped(text: str, font: FreeTypeFont, wide: float) -> list[str]:
    """Whole text in lines that fit, broken wherever they have to be."""
    lines = [""]
    for letter in text:
        if lines[-1] and font.getlength(lines[-1] + letter) > wide:
            lines.append("")
        lines[-1] += letter
    return lines


def _picture(path: Path, size: tuple[int, int]) -> Image:
    """Grey picture that fits into the tile, in its own proportions."""
    from PIL import Image

    with Image.open(path) as picture:
        # A JPEG is decoded at about the size that is wanted, in a fraction of time and memory.
        picture.draft("L", (2 * size[0], 2 * size[1]))
        grey = picture.convert("L")
    factor = min(size[0] // grey.width, size[1] // grey.height)
    if factor > 1:
        return grey.resize((factor * grey.width, factor * grey.height), Image.Resampling.NEAREST)
    grey.thumbnail(size, Image.Resampling.BOX, reducing_gap=None)
    return grey


def _draw_tile(tile: Tile, size: tuple[int, int], text_px: int) -> tuple[Image, str]:
    """Tile, and why its picture is missing ("": it is not)."""
    from PIL import Image, ImageDraw

    why, font = "", _font(text_px)
    canvas = Image.new("L", size, _MISSING)
    if tile.path is None:
        why = "no picture"
    elif not tile.path.is_file():
        why = "no such picture"
    else:
        try:
            grey = _picture(tile.path, size)
            canvas.paste(grey, ((size[0] - grey.width) // 2, (size[1] - grey.height) // 2))
        except _broken():
            why = "cannot be read"
    draw = ImageDraw.Draw(canvas)
    if why:
        for i, line in enumerate([why, *_wrapped(tile.name, font, size[0] - text_px)]):
            place = (0.5 * size[0], 0.4 * size[1] + 1.6 * text_px * i)
            draw.text(place, line, _INK, font, anchor="mm")
    if tile.stamp:
        stamp = _fitting(tile.stamp, font, size[0] - text_px)
        draw.rectangle((0, 0, font.getlength(stamp) + text_px, 1.6 * text_px), _PAPER)
        draw.text((0.5 * text_px, 0.8 * text_px), stamp, _INK, font, anchor="lm")
    return canvas, why


def draw_cases(
    path: str | os.PathLike[str],
    cases: Sequence[Case],
    *,
    title: str,
    cases_a_row: int = 1,
    resize: bool = False,
    progress: Callable[[int, int], Any] | None = None,
) -> tuple[str, ...]:
    """Write the montage, whole or not at all.

    Parameters
    ----------
    path
        A PNG.
    cases
        All with the same number of tiles, at least one.
    title
        Line at the top.
    cases_a_row
        Cases side by side.
    resize
        Half the size.
    progress
        Called as ``progress(cases done, cases)``.

    Returns
    -------
    Missing pictures, ``name: why``, in the order of the tiles.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    from PIL import Image, ImageDraw

    size = tile_size(cases, resize=resize)
    text_px = min(max(size[0] // 21, 8), 15)
    margin, strip = MARGIN_PX, 2 * text_px
    lines = max(len(case.caption) for case in cases)
    above = round((1.5 * lines + 0.5) * text_px)
    n_tiles = len(cases[0].tiles)
    case_wide = n_tiles * (size[0] + margin) + margin
    wide = min(cases_a_row, len(cases)) * case_wide
    tall = above + size[1] + margin
    rows = -(-len(cases) // cases_a_row)
    missing: list[str] = []
    with grey_png(path, wide, strip + rows * tall) as out:
        band = Image.new("L", (wide, strip), _PAPER)
        words = _fitting(title, _font(text_px), wide - 2 * margin)
        ImageDraw.Draw(band).text((margin, text_px), words, _INK, _font(text_px), anchor="lm")
        out.write(np.asarray(band))
        for row in range(rows):
            band = Image.new("L", (wide, tall), _PAPER)
            draw = ImageDraw.Draw(band)
            for k, case in enumerate(cases[row * cases_a_row : (row + 1) * cases_a_row]):
                left = k * case_wide + margin
                for i, line in enumerate(case.caption):
                    words = _fitting(line, _font(text_px), case_wide - 2 * margin)
                    place = (left, (1.5 * i + 1.0) * text_px)
                    draw.text(place, words, _INK, _font(text_px), anchor="lm")
                for i, tile in enumerate(case.tiles):
                    drawn, why = _draw_tile(tile, size, text_px)
                    band.paste(drawn, (left + i * (size[0] + margin), above))
                    if why:
                        missing.append(f"{tile.name}: {why}")
                if progress is not None:
                    progress(row * cases_a_row + k + 1, len(cases))
            out.write(np.asarray(band))
    return tuple(missing)
