"""When a detector wrote which frame: its log, or a table.

The time stamps inside the HDF5 files of an Eiger are not to be relied on; its log has the time at
which each frame was written (thesis, section 2.1.3). Such logs differ from site to site, so what
a line looks like can be said with a regular expression.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refimpl.errors import ConfigError, FormatError
from refimpl.io.log_tables import read_log_table
from refimpl.io.time_stamps import STAMP, seconds_of
from refimpl.reading import check_size

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LINE", "read_eiger_log"]

LINE: Final = (
    rf"(?P<time>{STAMP}).*?(?:(?:series|sequence)[ =:#_]*(?P<series>\w+).*?)?"
    r"\b(?:frame|image)s?(?:[ _]?(?:number|nr|no\.?|id|index))?[ =:#_]*(?P<frame>\d+)\b"
)
"""Expression of a line: a time, perhaps a series, and the number after ``frame`` or ``image``."""

_NAMES: Final = {
    "frame": ("frame", "image", "number", "frame_number"),
    "time_s": ("time_s", "time", "timestamp", "time_stamp", "epoch"),
    "crystal": ("crystal", "crystal_id", "sample"),
    "series": ("series", "scan"),
    "rc": ("rc", "spot_total"),
}


def read_eiger_log(path: str | Path, pattern: str | None = None) -> pd.DataFrame:
    """Frames in the order of their times.

    Parameters
    ----------
    path
        CSV table with a header (``frame``, ``time_s``, perhaps ``series``, ``crystal``, ``rc``), or
        the lines of a log.
    pattern
        Regular expression with groups ``time`` and ``frame``, perhaps ``series`` and ``crystal``,
        that finds the lines of a log that count; None for :data:`LINE`. Case does not count.

    Returns
    -------
    Columns ``frame``, ``time_s`` [s, by the detector's clock], perhaps ``series`` and ``crystal``.
    ``attrs["n_skipped"]`` is the number of lines that say nothing of a frame.

    Raises
    ------
    FormatError
        The file cannot be read, no line has a frame, or a frame of a series was written twice.
    ConfigError
        The pattern is no regular expression with these groups.
    """
    place = Path(path)
    line = _compiled(LINE if pattern is None else pattern)
    try:
        check_size(place)
        with place.open(encoding="utf-8", errors="replace") as file:
            first = file.readline()
            is_table = pattern is None and "," in first and line.search(first) is None
            table = None if is_table else _of_lines(line, [first, *file], place)
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=place) from error
    if table is None:
        table = read_log_table(place, _NAMES, needed=("frame", "time_s"))
    keys = [name for name in ("series", "frame") if name in table.columns]
    twice = table.duplicated(keys)
    if twice.any():
        named = ", ".join(f"{key} {table[key][twice].iloc[0]}" for key in keys)
        raise FormatError(f"{named} was written twice: give the log of one run", path=place)
    return table.sort_values(["time_s", "frame"], kind="stable", ignore_index=True)


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        line = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ConfigError(
            f"{pattern!r}: not a regular expression: {error}", key="pattern"
        ) from error
    missing = {"time", "frame"} - line.groupindex.keys()
    if missing:
        raise ConfigError(
            f"{pattern!r}: expected a group (?P<{min(missing)}>...)", key="pattern", got=pattern
        )
    return line


def _of_lines(line: re.Pattern[str], lines: list[str], path: Path) -> pd.DataFrame:
    import pandas as pd

    names = [n for n in ("frame", "time", "series", "crystal") if n in line.groupindex]
    rows = []
    for number, text in enumerate(lines, start=1):
        found = line.search(text)
        if found is None:
            continue
        try:
            row: list[object] = [int(found["frame"]), seconds_of(found["time"])]
        except ValueError as error:
            raise FormatError(str(error), path=path, line=number) from error
        rows.append(row + [found[name] for name in names[2:]])
    if not rows:
        raise FormatError(
            f"none of {len(lines)} lines has a time and the number of a frame; say with a pattern "
            "what such a line looks like",
            path=path,
        )
    table = pd.DataFrame(rows, columns=["frame", "time_s", *names[2:]])
    for name in names[2:]:
        if table[name].isna().all():
            table = table.drop(columns=name)
    table.attrs["n_skipped"] = len(lines) - len(rows)
    return table
