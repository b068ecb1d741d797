"""MIDAS parameter files: ``Key value`` lines, read strictly and written as published.

More lenient than the published reader where that loses nothing (tabs, comments, any order of the
panel keys) and stricter where it guessed (unknown keys, duplicates, missing or surplus values).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refimpl.errors import ConfigError, FormatError
from refimpl.io.atomic import write_text
from refimpl.io.midas_keys import KEYS, Key, Value, find_key

__all__ = ["REFINED_ORDER", "MidasParams", "read_params", "write_params", "write_refined"]

_COMMENT = re.compile(r"(^|\s)#.*$")

REFINED_ORDER = (
    "Lsd", "BC", "tx", "ty", "tz", "p0", "p1", "p2", "p3", "RhoD", "Wavelength", "px", "RMin",
    "RMax", "RBinSize", "EtaMin", "EtaMax", "NrPixelsY", "NrPixelsZ", "EtaBinSize", "DoSmoothing",
    "DoPeakFit", "SkipFrame", "MultiplePeaks", "DataType", "NPanelsY", "NPanelsZ", "PanelSizeY",
    "PanelSizeZ", "PanelGapsY", "PanelGapsZ", "PanelShiftsFile", "tolShifts", "ImTransOpt",
    "BadPxIntensity", "GapIntensity",
)  # fmt: skip
"""Keys of ``refined_MIDAS_params.txt`` in the order of the published writer."""
_REFINED_ALWAYS = REFINED_ORDER[: REFINED_ORDER.index("NPanelsY")]
_REFINED_SPELLING = {"SkipFrame": "skipFrame"}


@dataclass(frozen=True)
class MidasParams(Mapping[str, Value]):
    """Parameters by canonical key, in the units of the file.

    Iterating gives the keys that were set; ``[key]`` gives defaults too.

    Attributes
    ----------
    given
        What was set. Repeatable keys and keys of several values hold tuples.
    path
        The file, if any.
    lines
        Line of each key in the file.
    """

    given: Mapping[str, Value] = field(default_factory=dict)
    path: Path | None = None
    lines: Mapping[str, int] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Value:
        key = find_key(name)
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
        return isinstance(name, str) and find_key(name).name in self.given

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

    @property
    def shape(self) -> tuple[int, int] | None:
        """(n_slow, n_fast) of the raw frames [px], or None where the file does not say."""
        rows, columns = self["NrPixelsZ"] or self["NrPixels"], self["NrPixelsY"] or self["NrPixels"]
        if isinstance(rows, int) and isinstance(columns, int):
            return rows, columns
        return None

    def data_files(self) -> list[Path]:
        """``Folder/FileStem_%0{Padding}d{Ext}`` for StartNr to EndNr.

        Raises
        ------
        ConfigError
            A file key is missing, or EndNr is before StartNr.
        """
        self.require("FileStem", "Ext", "StartNr")
        first, digits = int(self.number("StartNr")), int(self.number("Padding"))
        last = int(self.number("EndNr")) if "EndNr" in self else first
        if last < first:
            raise ConfigError(
                f"EndNr {last} is before StartNr {first}", path=self.path, key="EndNr"
            )
        folder = Path(str(self["Folder"] or "."))
        stem, suffix = self["FileStem"], self["Ext"]
        return [folder / f"{stem}_{n:0{digits}d}{suffix}" for n in range(first, last + 1)]

    def image_options(self) -> dict[str, Any]:
        """Keyword arguments for :func:`refimpl.io.images.read` that the file states."""
        options: dict[str, Any] = {"transforms": self["ImTransOpt"]}
        if self["SkipFrame"]:
            options["skip_frames"] = self["SkipFrame"]
        if "DataType" in self:
            options["data_type"] = self["DataType"]
        if "HeadSize" in self:
            options["head_size"] = self["HeadSize"]
        if self.shape is not None:
            options["shape"] = self.shape
        if "BadPxIntensity" in self:
            options["bad_values"] = self["BadPxIntensity"]
        if "GapIntensity" in self:
            options["gap_values"] = self["GapIntensity"]
        if "MaskFile" in self:
            options["mask"] = self["MaskFile"]
        return options


def read_params(path: str | Path) -> MidasParams:
    """Read a parameter file.

    Blank lines and ``#`` comments (at the start or after a blank) are skipped; keys and values
    are parted by blanks or tabs; the text of a string key may hold blanks.

    Raises
    ------
    FormatError
        No such file, or not text.
    ConfigError
        With file and line: unknown key (the nearest known one is named), duplicate of a key that
        may stand once, wrong number or type of values, value out of range; panel gaps that do not
        fit the number of panels.
    """
    file = Path(path)
    values: dict[str, Value] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(_text(file).splitlines(), start=1):
        words = _COMMENT.sub("", line).split(maxsplit=1)
        if not words:
            continue
        key = find_key(words[0], path=str(file), line=number)
        value = _parse(key, words[1].strip() if len(words) > 1 else "", file, number)
        if key.repeatable:
            values[key.name] = (*values.get(key.name, ()), value)  # type: ignore[misc]
        elif key.name in values:
            raise ConfigError(
                f"duplicate key {words[0]!r}, first given in line {lines[key.name]}",
                path=file,
                line=number,
                key=key.name,
            )
        else:
            values[key.name] = value
        lines[key.name] = number
    params = MidasParams(values, file, lines)
    _check_gaps(params)
    return params


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=file) from error
    if b"\x00" in content:
        raise FormatError("not a text file; a MIDAS parameter file is needed", path=file)
    return content.decode("utf-8-sig", errors="replace")


def _parse(key: Key, text: str, file: Path, line: int) -> Any:
    """Value of one line, checked against its key."""
    words = [text] if key.kind == "str" and text else text.split()
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
    try:
        number = float(word)
    except ValueError:
        number = float("nan")
    # NaN and infinities fail the first test; 2.0 is an integer, as the published writer has it.
    whole = number - number == 0 and number == int(number)
    if number - number != 0 or (key.kind == "int" and not whole):
        what = "an integer" if key.kind == "int" else "a number"
        problem = f"needs {what}, got {word!r}"
    elif key.choices and number not in key.choices:
        low, high = min(key.choices), max(key.choices)
        problem = f"must be {low} to {high}, got {word}"
    elif key.positive and number <= 0:
        problem = f"must be above zero, got {word}"
    else:
        return int(number) if key.kind == "int" else number
    raise ConfigError(
        f"{key.name} {problem} ({key.help})", path=file, line=line, key=key.name, got=word
    )


def _check_gaps(params: MidasParams) -> None:
    for axis in "YZ":
        gaps, n_panels = params[f"PanelGaps{axis}"], params[f"NPanels{axis}"]
        n_gaps = len(gaps) if isinstance(gaps, tuple) else 0
        if isinstance(n_panels, int) and n_panels > 1 and n_gaps != n_panels - 1:
            raise ConfigError(
                f"PanelGaps{axis} has {n_gaps} gaps, {n_panels} panels need {n_panels - 1}",
                path=params.path,
                line=params.lines.get(f"PanelGaps{axis}", params.lines[f"NPanels{axis}"]),
                key=f"PanelGaps{axis}",
            )


def _written(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(_written(item) for item in value)
    return str(value) if isinstance(value, (int, str)) else repr(float(value))


def _key_lines(name: str, value: Any, spelling: str) -> list[str]:
    if KEYS[name].repeatable:
        return [f"{spelling} {_written(item)}" for item in value]
    return [f"{spelling} {_written(value)}"]


def write_params(path: str | Path, params: Mapping[str, Any]) -> Path:
    """Write a parameter file, one ``Key value`` line a key, in the given order; atomic.

    Floats have the shortest digits that restore them. Keys without a value are left out.

    Raises
    ------
    ConfigError
        An unknown key, or the file cannot be written.
    """
    lines: list[str] = []
    for name in params:
        key, value = find_key(name), params[name]
        if value is not None and value != ():
            lines.extend(_key_lines(key.name, value, key.name))
    return write_text(path, "\n".join(lines) + "\n")


def write_refined(path: str | Path, params: Mapping[str, Any]) -> Path:
    """Write ``refined_MIDAS_params.txt``: the published keys in the published order; atomic.

    Keys of the published file that ``params`` lacks get the published constants. The published
    file has no place for p4 and later terms, the crystal and the tolerances: what ``params``
    holds beyond the published keys is appended after them, so that nothing of the geometry is
    lost.

    Raises
    ------
    ConfigError
        An unknown key, a needed one is missing, or the file cannot be written.
    """
    given = {find_key(name).name: params[name] for name in params if params[name] is not None}
    lines: list[str] = []
    for name in REFINED_ORDER:
        value = given.get(name)
        if value is None and (name in _REFINED_ALWAYS or name == "ImTransOpt"):
            value = KEYS[name].default
            value = int(value) if isinstance(value, float) and value.is_integer() else value
            if value is None:
                raise ConfigError(f"the refined parameters lack {name!r}", path=path, key=name)
        if value is not None and value != ():
            lines.extend(_key_lines(name, value, _REFINED_SPELLING.get(name, name)))
    for name, value in given.items():
        if name not in REFINED_ORDER and value != ():
            lines.extend(_key_lines(name, value, name))
    return write_text(path, "\n".join(lines) + "\n")
