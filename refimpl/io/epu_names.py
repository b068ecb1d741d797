"""Names of EPU's files: what hole, shot, square and second a file is of.

``FoilHole_<hole>_Data_<area>_<area2>_<date>_<time>`` is an exposure; screening sessions leave out
the ids of the areas. ``FoilHole_<hole>_<date>_<time>`` in a folder ``FoilHoles`` is a picture of
the hole. Ids have 7 or 8 digits, the date 8 and the time 6, always at the end, so the name reads
in one way. The clock of a name is the microscope's own, without a zone.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from pathlib import PurePath
from typing import NamedTuple

__all__ = [
    "ExposureName",
    "FoilHoleName",
    "exposure_name",
    "foil_hole_name",
    "seconds_of",
    "square_of",
    "stamp",
]

_STAMP = r"([0-9]{8})_([0-9]{6})"
_EXPOSURE = re.compile(
    rf"FoilHole_([0-9]+)_Data(?:_([0-9]+))?(?:_([0-9]+))?_{_STAMP}", re.IGNORECASE
)
_FOIL_HOLE = re.compile(rf"FoilHole_([0-9]+)_{_STAMP}", re.IGNORECASE)
_SQUARE = re.compile(r"GridSquare_([0-9]+)", re.IGNORECASE)

# An id is stored as int64; no instrument counts so far.
_DIGITS = 18


class ExposureName(NamedTuple):
    """Ids of an exposure (-1: not in the name) and its second on the microscope's clock [s]."""

    hole: int
    area: int
    area2: int
    stamp_s: float


class FoilHoleName(NamedTuple):
    """Id of a foil hole and the second of its picture on the microscope's clock [s]."""

    hole: int
    stamp_s: float


def stamp(date: str, time: str) -> float:
    """Seconds of ``YYYYMMDD``, ``HHMMSS`` since 1970 on the clock that wrote them, or NaN."""
    year, month, day = int(date[:4]), int(date[4:6]), int(date[6:])
    hour, minute, second = int(time[:2]), int(time[2:4]), int(time[4:])
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return math.nan


def seconds_of(time: str) -> float:
    """Seconds since 1970 UTC of an ISO date and time, NaN where it is none.

    Digits beyond the microsecond are dropped. Without a zone it is taken for UTC: the zone of the
    machine that happens to read the file says nothing about the microscope. Years before 1970 are
    those of clocks that were never set.
    """
    try:
        moment = datetime.fromisoformat(time.strip())
    except ValueError:
        return math.nan
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() if moment.year >= 1970 else math.nan


def exposure_name(stem: str) -> ExposureName | None:
    """Read the name of an exposure without its suffix; None where it is another kind of file.

    ``..._Fractions``, ``..._EER`` and the like are not exposures: nothing may follow the time.
    """
    found = _EXPOSURE.fullmatch(stem)
    if found is None:
        return None
    hole, area, area2, date, time = found.groups()
    return ExposureName(_id(hole), _id(area), _id(area2), stamp(date, time))


def foil_hole_name(stem: str) -> FoilHoleName | None:
    """Read the name of a foil hole's picture without its suffix; None where it is no such file."""
    found = _FOIL_HOLE.fullmatch(stem)
    if found is None:
        return None
    hole, date, time = found.groups()
    return FoilHoleName(_id(hole), stamp(date, time))


def square_of(path: str | PurePath) -> int:
    """Id of the grid square that a path lies in or is named for, the innermost; -1 where none."""
    for part in reversed(PurePath(path).parts):
        found = _SQUARE.match(part)
        if found is not None:
            return _id(found[1])
    return -1


def _id(text: str | None) -> int:
    return -1 if text is None or len(text) > _DIGITS else int(text)
