"""Tables of photographs with reflection counts, as ``refimpl centring match`` writes them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refimpl.errors import FormatError
from refimpl.io.log_tables import read_log_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_picture_table", "read_picture_table"]

_NAMES: Final = {
    "image": ("image", "file", "filename", "picture", "path", "name"),
    "rc": ("rc", "spot_total", "count", "reflections"),
    "crystal": ("crystal", "crystal_id", "sample"),
    "zoom": ("zoom",),
    "omega_deg": ("omega_deg", "omega"),
    "time_s": ("time_s", "time", "timestamp", "time_stamp", "epoch"),
    "x_px": ("x_px",),
    "y_px": ("y_px",),
}
_NEEDED: Final = ("image", "rc", "crystal")


def read_picture_table(path: str | Path) -> pd.DataFrame:
    """Read a table of pictures.

    Parameters
    ----------
    path
        CSV with a header: ``image`` (relative to the table's folder), ``rc``, ``crystal``, and
        where there are any ``zoom``, ``omega_deg``, ``time_s``; ``x_px`` and ``y_px`` are where in
        the picture the beam was, from its outer corner, if not in its middle: a mesh scan over one
        picture has a row a point.

    Returns
    -------
    Those columns (others are kept), and ``line``. Numbers that are not there are NaN.

    Raises
    ------
    FormatError
        The file cannot be read or lacks a column; a count is not a number of 0 or more, a name is
        empty, half a place is given, or a row comes twice (the line is named).
    """
    place = Path(path)
    table = read_log_table(place, _NAMES, needed=_NEEDED, lines=True)
    for column in ("zoom", "omega_deg", "time_s", "x_px", "y_px"):
        if column not in table.columns:
            table[column] = math.nan
    seen: dict[tuple[object, ...], int] = {}
    columns = ("line", "image", "crystal", "rc", "x_px", "y_px")
    for line, image, crystal, rc, x, y in zip(*(table[c].tolist() for c in columns), strict=True):
        wrong = None
        if not image or not crystal:
            wrong = "image" if not image else "crystal", "an empty cell"
        elif not (math.isfinite(rc) and rc >= 0.0):
            wrong = "rc", f"reflection count {rc:g}: expected a number of 0 or more"
        elif math.isnan(x) != math.isnan(y) or math.isinf(x) or math.isinf(y):
            wrong = "x_px", f"x_px {x:g} and y_px {y:g}: expected both or none"
        # NaN is not equal to itself: None stands for "in the middle"
        key = (image, None if math.isnan(x) else (x, y))
        if wrong is None and key in seen:
            wrong = "image", f"picture {image} comes twice, first in line {seen[key]}"
        if wrong is not None:
            raise FormatError(wrong[1], path=place, line=line, key=wrong[0])
        seen[key] = line
    return table


def find_picture_table(folder: str | Path) -> Path:
    """Table of a folder: ``table.csv``, or ``pairs.csv``, or the only CSV file in it.

    Raises
    ------
    FormatError
        There is none, or one of several cannot be told from the others.
    """
    place = Path(folder)
    for name in ("table.csv", "pairs.csv"):
        if (place / name).is_file():
            return place / name
    found = sorted(place.glob("*.csv"))
    if len(found) != 1:
        raise FormatError(
            f"{len(found)} CSV files and no table.csv: expected a table with columns "
            f"{', '.join(_NEEDED)}",
            path=place,
        )
    return found[0]
