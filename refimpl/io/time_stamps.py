"""Times as logs and file names write them, as seconds since 1970 UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from refimpl.errors import FormatError

__all__ = ["STAMP", "seconds_of", "stamp_in"]

STAMP: Final = (
    r"(?<!\d)(?:\d{4}-\d\d-\d\d[T _]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\d{4}-?\d\d-?\d\d[T_-]?\d\d[-_]?\d\d[-_]?\d\d(?:[._,-]\d{1,9})?"
    r"|1\d{9}(?:\.\d{1,9})?|1\d{12}|1\d{15})(?!\d)"
)
"""Expression of a time: ISO 8601, the digits of a file name, or seconds, ms or us since 1970."""

_CALENDAR: Final = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)[T _-]?(\d\d)[:_-]?(\d\d)[:_-]?(\d\d)(?:[._,-](\d{1,9}))?"
    r"(?:(Z)|([+-])(\d\d):?(\d\d))?$"
)
_NUMBER: Final = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?$")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LEAST_MS, _LEAST_US = 1e11, 1e14


def seconds_of(text: str) -> float:
    """Seconds since 1970 of a time.

    Parameters
    ----------
    text
        ISO 8601 (a comma may stand for the point, a blank for the T), the bare digits
        ``20181214_170321_123`` of a file name, or a number: seconds, and from 1e11 on milliseconds,
        from 1e14 on microseconds. Without a zone it is taken for UTC: which clock it was is the
        business of whoever compares two of them.

    Raises
    ------
    FormatError
        No time, or one that no calendar has.
    """
    text = text.strip()
    found = _CALENDAR.match(text)
    if found is None or re.fullmatch(r"1\d{12}|1\d{15}", text):
        if _NUMBER.match(text) is None:
            raise FormatError(f"{text!r}: expected a time, as 2018-12-14T17:03:21.123", got=text)
        value = float(text)
        return value / (1e6 if value >= _LEAST_US else 1e3 if value >= _LEAST_MS else 1.0)
    try:
        whole = datetime(*(int(v) for v in found.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type,misc]
    except ValueError as error:
        raise FormatError(f"{text!r}: no such time: {error}", got=text) from error
    if found[9] is not None:
        zone = timedelta(hours=int(found[10]), minutes=int(found[11]))
        whole -= zone if found[9] == "+" else -zone
    fraction = float(f"0.{found[7]}") if found[7] else 0.0
    return (whole - _EPOCH).total_seconds() + fraction


def stamp_in(text: str) -> float | None:
    """Seconds since 1970 of the first time in a text, None where there is none."""
    for found in re.finditer(STAMP, text):
        try:
            return seconds_of(found[0])
        except FormatError:
            continue
    return None
