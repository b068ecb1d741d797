"""One entry of a DIALS experiment list: where it is, its numbers, and how it is changed.

Every value keeps the entry that it was read from (``extra``). A writer changes in it only what the
value says otherwise (:func:`merged`), so that an unchanged model is written as it was, whatever its
age and whatever keys it has that are not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from refimpl.errors import FormatError, RefimplError

__all__ = ["Entry", "Where", "changed", "merged", "plain"]

Entry = Mapping[str, Any]


class Where:
    """File and place in it, for messages."""

    def __init__(self, path: Path, place: str) -> None:
        self.path, self.place = path, place

    def at(self, more: str) -> Where:
        """A place within this one."""
        return Where(self.path, f"{self.place} {more}")

    def error(self, message: str, key: str | None = None) -> FormatError:
        """Error that names the place."""
        return FormatError(f"{self.place}: {message}", path=self.path, key=key)

    def get(self, entry: Entry, key: str) -> Any:
        """Value of a key that must be there."""
        if not isinstance(entry, Mapping):
            raise self.error(f"expected an object, got {type(entry).__name__}")
        if key not in entry:
            raise self.error(f"missing key {key!r}", key)
        return entry[key]

    def numbers(self, entry: Entry, key: str, n: int) -> tuple[float, ...]:
        """``n`` numbers of a key."""
        value = self.get(entry, key)
        try:
            numbers = tuple(float(v) for v in value)
        except (TypeError, ValueError, OverflowError):  # the last: a whole number of 400 digits
            numbers = ()
        if len(numbers) != n:
            raise self.error(f"{key} {value!r:.60}: expected {n} numbers", key)
        return numbers

    def whole(self, entry: Entry, key: str, n: int) -> tuple[int, ...]:
        """``n`` whole numbers of a key."""
        numbers = self.numbers(entry, key, n)
        if not all(map(math.isfinite, numbers)):
            raise self.error(f"{key} {entry[key]!r:.60}: expected {n} whole numbers", key)
        return tuple(int(v) for v in numbers)

    def build(self, make: Callable[..., Any], *args: Any, **fields: Any) -> Any:
        """Make a value; what its own checks refuse is an error of this place."""
        try:
            return make(*args, **fields)
        except FormatError:
            raise  # says already where
        except (RefimplError, AttributeError, TypeError, ValueError) as error:
            raise self.error(str(error)) from error


_NOWHERE: Final = Where(Path("-"), "-")


def plain(value: Any) -> Any:
    """Reduce to the lists and numbers of JSON."""
    if isinstance(value, np.ndarray):
        return value.ravel().tolist()
    return [plain(v) for v in value] if isinstance(value, tuple) else value


def changed(model: Any, read: Callable[[Entry, Where], Any], keys: Mapping[str, str]) -> set[str]:
    """Fields in which a model differs from the entry that it keeps; all without an entry."""
    if not model.extra:
        return set(keys)
    before = read(model.extra, _NOWHERE)
    return {
        name for name in keys if not np.array_equal(getattr(model, name), getattr(before, name))
    }


def merged(
    model: Any, read: Callable[[Entry, Where], Any], keys: Mapping[str, str]
) -> dict[str, Any]:
    """Entry that the model keeps, with the keys of changed fields replaced."""
    other = changed(model, read, keys)
    new = {keys[name]: plain(getattr(model, name)) for name in keys if name in other}
    return {**model.extra, **new}
