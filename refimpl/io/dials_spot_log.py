"""Spots by image in logs of DIALS: dials.find_spots and dials.spot_counts_per_image.

Both print a table with a row for each image; its rules and columns have changed over the years,
its column names have not. A log that was cut short before the table still has the strong pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from refimpl.errors import FormatError
from refimpl.reading import read_text

__all__ = ["DialsSpots", "parse_dials_spot_log", "read_dials_spot_log"]

_LARGEST = 1 << 53  # whole numbers that a float holds exactly


@dataclass(frozen=True)
class DialsSpots:
    """Spots of one image; None is what the log says nothing of.

    Attributes
    ----------
    imageset, image
        Number of the image set, from 0; of the image, as written (from 1).
    spots, spots_no_ice
        Spots; those outside ice rings.
    total_intensity
        Sum over the spots.
    d_min_angstrom, method1_angstrom, method2_angstrom
        Estimated resolution; that of the two methods of distl.
    method1_noisiness, method2_noisiness
        Their noisiness, which stands in brackets.
    indexed, fraction_indexed
        Where the spots were indexed.
    strong_pixels
        Strong pixels on the image.
    """

    imageset: int
    image: int
    spots: int | None = None
    spots_no_ice: int | None = None
    total_intensity: float | None = None
    d_min_angstrom: float | None = None
    method1_angstrom: float | None = None
    method1_noisiness: float | None = None
    method2_angstrom: float | None = None
    method2_noisiness: float | None = None
    indexed: int | None = None
    fraction_indexed: float | None = None
    strong_pixels: int | None = None


_COLUMNS: Final[dict[str, tuple[str, ...]]] = {
    "image": ("image",),
    "#spots": ("spots",),
    "#spots_no_ice": ("spots_no_ice",),
    "total_intensity": ("total_intensity",),
    "d_min": ("d_min_angstrom",),
    "d_min (distl method 1)": ("method1_angstrom", "method1_noisiness"),
    "d_min (distl method 2)": ("method2_angstrom", "method2_noisiness"),
    "#indexed": ("indexed",),
    "fraction_indexed": ("fraction_indexed",),
}
_WHOLE: Final = {"image", "spots", "spots_no_ice", "indexed"}
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_STRONG: Final = re.compile(r"Found (\d+) strong pixels on image (\d+)")
_SET: Final = re.compile(r"Finding strong spots in imageset (\d+)|for imageset (\d+)")


def read_dials_spot_log(path: str | Path) -> tuple[DialsSpots, ...]:
    """Spots of the images of a log, sorted by image set and number.

    Raises
    ------
    FormatError
        The file cannot be read, or has neither the table nor strong pixels; a cell that is no
        number, an image that comes twice; the line is named.
    """
    file = Path(path)
    try:
        text = read_text(file, errors="replace")
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=file) from error
    return parse_dials_spot_log(text, path=file)


def parse_dials_spot_log(text: str, *, path: Path | None = None) -> tuple[DialsSpots, ...]:
    """Spots of the images in a log's text; see :func:`read_dials_spot_log`."""
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    strong: dict[tuple[int, int], int] = {}
    columns: list[str] = []
    imageset, tables = 0, 0
    named = False
    for number, line in enumerate(text.splitlines(), start=1):
        found = _SET.search(line)
        if found is not None:
            imageset, named = _whole(found[1] or found[2], path, number), True
        found = _STRONG.search(line)
        if found is not None:
            strong[imageset, _whole(found[2], path, number)] = _whole(found[1], path, number)
        cells = _cells(line)
        if cells is None:
            continue
        if cells[0] == "image" and "#spots" in cells:
            columns, tables = cells, tables + 1
            imageset = imageset if named else tables - 1
            named = False
        elif columns and len(cells) == len(columns):
            row = _row(columns, cells, path, number)
            key = (imageset, row["image"])
            if key in rows:
                raise FormatError(
                    f"image {key[1]} of image set {key[0]} comes twice", path=path, line=number
                )
            rows[key] = row
        else:
            columns = []
    if not rows and not strong:
        raise FormatError("no table of spots by image and no strong pixels found", path=path)
    return tuple(
        DialsSpots(
            **({"image": key[1]} | rows.get(key, {})), imageset=key[0],
            strong_pixels=strong.get(key),
        )
        for key in sorted(rows.keys() | strong.keys())
    )  # fmt: skip


def _cells(line: str) -> list[str] | None:
    """Cells of a row of a table, None for rules and other lines; what is before it is cut off."""
    start, end = line.find("|"), line.rfind("|")
    if start == end or not set(line[start : end + 1]) - set("|+-= "):
        return None
    return [cell.strip() for cell in line[start + 1 : end].split("|")]


def _whole(text: str, path: Path | None, line: int) -> int:
    value = float(text)
    if not abs(value) < _LARGEST:
        raise FormatError(f"{text[:40]} is too large a number", path=path, line=line)
    return int(value)


def _row(columns: list[str], cells: list[str], path: Path | None, line: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        names = _COLUMNS.get(column, ())
        numbers = _NUMBER.findall(cell)
        if names and not numbers and cell not in ("", "-"):
            raise FormatError(f"{column} {cell!r}: expected a number", path=path, line=line)
        for name, text in zip(names, numbers, strict=False):
            out[name] = _whole(text, path, line) if name in _WHOLE else float(text)
    if "image" not in out:
        raise FormatError("a row without a number of the image", path=path, line=line)
    return out
