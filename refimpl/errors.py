"""The errors of refimpl: one base class, and a standard parent for each kind.

A message says what was got, what is accepted, where, and what to do about it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = [
    "BackendUnavailable",
    "ConfigError",
    "ConvergenceError",
    "FormatError",
    "GeometryError",
    "MissingExtra",
    "NoRingsError",
    "RefimplError",
]


_LONGEST = 1500
"""Characters of a message: what stands in a file may be quoted, a megabyte of it may not."""

_LONGEST_PLACE = 400
"""Characters of the name of a file, which may stand in a file too; its end is told."""


class RefimplError(Exception):
    """Base of every error that refimpl raises on purpose.

    Attributes
    ----------
    path, line, key, got
        Where the trouble is, when known.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | Path | None = None,
        line: int | None = None,
        key: str | None = None,
        got: object = None,
    ) -> None:
        self.path = None if path is None else Path(path)
        self.line = line
        self.key = key
        self.got = got
        if len(message) > _LONGEST:
            left_out = len(message) - _LONGEST
            message = f"{message[:_LONGEST]} ... ({left_out} characters left out)"
        place = "" if path is None else str(path)
        if len(place) > _LONGEST_PLACE:
            place = f"... {place[-_LONGEST_PLACE:]}"
        where = f"{place}:{line}" if place and line is not None else place
        super().__init__(f"{where}: {message}" if where else message)


class ConfigError(RefimplError, ValueError):
    """A parameter, option or key is unknown, missing or out of range."""


class GeometryError(RefimplError, ValueError):
    """A geometry is impossible: degenerate axes, a detector behind the sample."""


class FormatError(RefimplError, ValueError):
    """A file is not what it should be: truncated, wrong type, wrong shape."""


class NoRingsError(FormatError):
    """An image shows no rings, or none that are the calibrant's: bad input, not a failed fit."""


class ConvergenceError(RefimplError, RuntimeError):
    """A calculation ran but found no trustworthy answer."""


class BackendUnavailable(RefimplError, ImportError):  # type: ignore[misc]
    """A backend was asked for by name and cannot be had."""


class MissingExtra(RefimplError, ImportError):  # type: ignore[misc]
    """An optional dependency is needed and not installed."""

    def __init__(self, extra: str, purpose: str) -> None:
        self.extra = extra
        super().__init__(f"{purpose} needs the extra '{extra}': pip install 'refimpl[{extra}]'")
