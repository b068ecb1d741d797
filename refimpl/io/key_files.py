"""``Key value`` files: what a key is, a table of keys, and one reader and one writer for them all.

More lenient than the published readers where that loses nothing (tabs, comments, any order) and
stricter where they guess (unknown keys, missing or surplus values, values out of range). Values
stay in the units of the file; entering refimpl's units is the caller's business.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from refimpl.errors import ConfigError, FormatError
from refimpl.io.atomic import write_text
from refimpl.reading import read_bytes

__all__ = ["Key", "KeyTable", "KeyValues", "Value", "key_lines", "read_key_values"]
__all__ += ["write_key_values"]

Value = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | None

_COMMENT = re.compile(r"(^|\s)#.*$")


@dataclass(frozen=True)
class Key:
    """One key of a parameter file.

    Attributes
    ----------
    name
        Canonical spelling.
    kind
        Type of each value; a "flag" may stand alone, which means 1.
    default
        What the published programs assume; None: nothing, the key must be given if needed.
    unit
        Unit of the value in the file.
    help
        One line.
    count
        Values on the line; 0 means one or more.
    repeatable
        Whether it may stand on several lines, whose values are collected in order.
    aliases
        Other spellings that the published programs use.
    default_key
        Key whose value is the default when the file gives that one.
    choices
        Accepted values, if few.
    positive, not_negative
        Whether values must be above zero, or not below it.
    unused
        Why the key is accepted although nothing acts on it; empty: something does.
    refused
        Why the key is known and yet an error; empty: it is accepted.
    """

    name: str
    kind: Literal["int", "float", "str", "flag"]
    default: Value
    unit: str
    help: str
    count: int = 1
    repeatable: bool = False
    aliases: tuple[str, ...] = ()
    default_key: str | None = None
    choices: tuple[int, ...] = ()
    positive: bool = False
    not_negative: bool = False
    unused: str = ""
    refused: str = ""


class KeyTable(Mapping[str, Key]):
    """The keys of a kind of file, by canonical name and in order.

    Parameters
    ----------
    keys
        Every key.
    last_wins
        What a second line of a key that is not repeatable does: replace the first, or be an error.
    what
        What the file is called in messages.
    """

    def __init__(self, keys: Iterable[Key], *, last_wins: bool = False, what: str) -> None:
        self._keys = {key.name: key for key in keys}
        self._by_spelling = {s: k for k in self._keys.values() for s in (k.name, *k.aliases)}
        self.last_wins = last_wins
        self.what = what

    def __getitem__(self, name: str) -> Key:
        return self._keys[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, name: str, *, path: str | Path | None = None, line: int | None = None) -> Key:
        """Key of a spelling.

        Raises
        ------
        ConfigError
            It is unknown; the message names the nearest known one. Or it is refused; the message
            says why.
        """
        known = self._by_spelling.get(name)
        if known is not None and not known.refused:
            return known
        if known is not None:
            problem = f"{known.name} is not accepted: {known.refused}"
        else:
            lower = {s.lower(): s for s, key in self._by_spelling.items() if not key.refused}
            near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.0)
            problem = f"unknown key {name!r}; did you mean {lower[near[0]]!r}?"
        raise ConfigError(problem, path=path, line=line, key=name, got=name)


@dataclass(frozen=True)
class KeyValues(Mapping[str, Value]):
    """Parameters by canonical key, in the units of the file.

    Iterating gives the keys that were set; ``[key]`` gives defaults too. A subclass names its
    table.

    Attributes
    ----------
    given
        What was set. Repeatable keys and keys of several values hold tuples.
    path
        The file, if any.
    lines
        Line of each key in the file, the last one where it stands on several.
    """

    table: ClassVar[KeyTable]

    given: Mapping[str, Value] = field(default_factory=dict)
    path: Path | None = None
    lines: Mapping[str, int] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Value:
        key = self.table.find(name)
        if key.name in self.given:
            return self.given[key.name]
        if key.default_key is not None:
            return self[key.default_key]
        return key.default

    def __iter__(self) -> Iterator[str]:
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.table.find(name).name in self.given

    def number(self, name: str) -> float:
        """Value of a single-number key.

        Raises
        ------
        ConfigError
            It is neither given nor has a default.
        """
        value = self[name]
        if not isinstance(value, (int, float)):
            raise ConfigError(f"the key {name!r} is needed", path=self.path, key=name)
        return float(value)

    def require(self, *names: str) -> None:
        """Check that keys are set.

        Raises
        ------
        ConfigError
            Some are missing; all of them are named.
        """
        missing = [name for name in names if name not in self]
        if missing:
            raise ConfigError(
                f"missing key{'s' if len(missing) > 1 else ''}: {', '.join(missing)}",
                path=self.path,
                key=missing[0],
            )

    def refuse(self, name: str, message: str) -> ConfigError:
        """Error about a key, at its line in the file."""
        key = self.table.find(name).name
        line = self.lines.get(key)
        return ConfigError(message, path=self.path, line=line, key=key, got=self.given.get(key))


def read_key_values(file: Path, table: KeyTable) -> tuple[dict[str, Value], dict[str, int]]:
    """Read the values of a file and the line of each key.

    Blank lines and ``#`` comments (at the start or after a blank) are skipped; keys and values
    are parted by blanks or tabs; the text of a string key may hold blanks.

    Raises
    ------
    FormatError
        No such file, or not text.
    ConfigError
        With file and line: unknown key (the nearest known one is named) or refused key, duplicate
        of a key that may stand once, wrong number or type of values, value out of range.
    """
    values: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(_text(file, table.what).splitlines(), start=1):
        words = _COMMENT.sub("", line).split(maxsplit=1)
        if not words:
            continue
        key = table.find(words[0], path=file, line=number)
        value = _parse(key, words[1].strip() if len(words) > 1 else "", file, number)
        if key.repeatable:
            values[key.name] = (*values.get(key.name, ()), value)  # type: ignore[misc]
        elif key.name in values and not table.last_wins:
            raise ConfigError(
                f"duplicate key {words[0]!r}, first given in line {lines[key.name]}",
                path=file,
                line=number,
                key=key.name,
            )
        else:
            values[key.name] = value
        lines[key.name] = number
    return values, lines


def _text(file: Path, what: str) -> str:
    try:
        content = read_bytes(file)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=file) from error
    if b"\x00" in content:
        raise FormatError(f"not a text file; {what} is needed", path=file)
    return content.decode("utf-8-sig", errors="replace")


def _parse(key: Key, text: str, file: Path, line: int) -> Any:
    """Value of one line, checked against its key."""
    words = [text] if key.kind == "str" and text else text.split()
    if key.kind == "flag" and not words:
        return 1
    wanted = "1 or more values" if key.count == 0 else f"{key.count} value{'s'[: key.count > 1]}"
    if len(words) != key.count if key.count else not words:
        raise ConfigError(
            f"{key.name} needs {wanted} ({key.help}), got {len(words)}",
            path=file,
            line=line,
            key=key.name,
            got=text,
        )
    parsed = tuple(_number(key, word, file, line) for word in words)
    return parsed if key.count != 1 else parsed[0]


def _number(key: Key, word: str, file: Path | None, line: int | None) -> int | float | str:
    """Convert one word, checking its type and range."""
    if key.kind == "str":
        return word
    whole_needed = key.kind != "float"
    try:
        number = float(word)
    except ValueError:
        number = float("nan")
    # NaN and infinities fail the first test; 2.0 is an integer, as the published writer has it.
    whole = number - number == 0 and number == int(number)
    if number - number != 0 or (whole_needed and not whole):
        what = "an integer" if whole_needed else "a number"
        problem = f"needs {what}, got {word!r}"
    elif key.choices and number not in key.choices:
        low, high = min(key.choices), max(key.choices)
        problem = f"must be {low} to {high}, got {word}"
    elif key.positive and number <= 0:
        problem = f"must be above zero, got {word}"
    elif key.not_negative and number < 0:
        problem = f"must not be negative, got {word}"
    else:
        return int(number) if whole_needed else number
    raise ConfigError(
        f"{key.name} {problem} ({key.help})", path=file, line=line, key=key.name, got=word
    )


def _written(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(_written(item) for item in value)
    return str(value) if isinstance(value, (int, str)) else repr(float(value))


def key_lines(key: Key, value: Any, spelling: str | None = None) -> list[str]:
    """Lines of a key: one, or one a value where it is repeatable."""
    name = spelling or key.name
    if key.repeatable:
        return [f"{name} {_written(item)}" for item in value]
    return [f"{name} {_written(value)}"]


def write_key_values(path: str | Path, values: Mapping[str, Any], table: KeyTable) -> Path:
    """Write ``Key value`` lines in the given order; atomic.

    Floats have the shortest digits that restore them. Keys without a value are left out.

    Raises
    ------
    ConfigError
        An unknown key, or the file cannot be written.
    """
    lines: list[str] = []
    for name in values:
        key, value = table.find(name), values[name]
        if value is not None and value != ():
            lines.extend(key_lines(key, value))
    return write_text(path, "\n".join(lines) + "\n")
