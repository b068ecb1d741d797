"""Listings of ``distl.signal_strength``: every field, of one image or of many.

A log may hold several runs, and a run several images: their listings come first, then as many
paragraphs on the signal. Lines that a page has broken (the published example is printed so) are
read all the same, since blanks and line ends count alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from refimpl.errors import FormatError
from refimpl.reading import read_text

__all__ = ["DistlRecord", "parse_distl_log", "read_distl_log"]


@dataclass(frozen=True)
class DistlRecord:
    """What distl says of one image; None is what it says nothing, or ``None``, of.

    Attributes
    ----------
    file
        Name of the image, as written.
    spot_total, remove_ice, in_resolution, good_bragg, ice_rings, overloads
        Counts of the listing. The reflection count of the centring is ``spot_total``.
    method1_angstrom, method2_angstrom
        Resolution by the two methods.
    max_cell_angstrom, mean_eccentricity
        Longest cell edge; shape of the spots.
    saturation_percent, saturation_peaks
        Saturation of so many highest peaks.
    method2_cutoff_percent
        Bin population cutoff for the second resolution.
    image_number, focus_spots
        Number of the image, and its spots within the input resolution range.
    total_signal
        Integrated signal of the good Bragg candidates, pixel-ADC units above local background.
    signal_min, signal_max, signal_mean
        Integrated signal of the focus spots, in these units.
    saturation_min_percent, saturation_max_percent, saturation_mean_percent
        Of the focus spots.
    detector
        Line before the listing that names the beamline's detector, or empty.
    parameters
        Parameters of the run by their full names (``distl.res.outer``), as text.
    """

    file: str
    spot_total: int
    remove_ice: int | None = None
    in_resolution: int | None = None
    good_bragg: int | None = None
    ice_rings: int | None = None
    method1_angstrom: float | None = None
    method2_angstrom: float | None = None
    max_cell_angstrom: float | None = None
    mean_eccentricity: float | None = None
    saturation_percent: float | None = None
    saturation_peaks: int | None = None
    overloads: int | None = None
    method2_cutoff_percent: float | None = None
    image_number: int | None = None
    focus_spots: int | None = None
    total_signal: float | None = None
    signal_min: float | None = None
    signal_max: float | None = None
    signal_mean: float | None = None
    saturation_min_percent: float | None = None
    saturation_max_percent: float | None = None
    saturation_mean_percent: float | None = None
    detector: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def frame(self) -> int | None:
        """Number of the image: as stated, or else the last digits of its name."""
        if self.image_number is not None:
            return self.image_number
        digits = re.findall(r"\d+", re.sub(r"\.\w+$", "", self.file))
        return int(digits[-1]) if digits else None


_V: Final = r"(\S+)"
_LISTED: Final[dict[str, tuple[str, type]]] = {
    "spot_total": (rf"Spot Total : {_V}", int),
    "remove_ice": (rf"Remove Ice : {_V}", int),
    "in_resolution": (rf"In-Resolution Total : {_V}", int),
    "good_bragg": (rf"Good Bragg Candidates : {_V}", int),
    "ice_rings": (rf"Ice Rings : {_V}", int),
    "method1_angstrom": (rf"Method 1 Resolution : {_V}", float),
    "method2_angstrom": (rf"Method 2 Resolution : {_V}", float),
    "max_cell_angstrom": (rf"Maximum unit cell : {_V}", float),
    "mean_eccentricity": (rf"<Spot model eccentricity> : {_V}", float),
    "saturation_peaks": (r"%Saturation, Top (\S+) Peaks :", int),
    "saturation_percent": (rf"%Saturation, Top \S+ Peaks : {_V}", float),
    "overloads": (rf"In-Resolution Ovrld Spots : {_V}", int),
}
_NOTED: Final[dict[str, tuple[str, type]]] = {
    "image_number": (r"Number of focus spots on image #(\d+) within", int),
    "focus_spots": (rf"focus spots on image #\d+ within the input resolution range: {_V}", int),
    "total_signal": (r"\(just the good Bragg candidates\) ([-\d.eE+]+)", float),
    "signal_min": (rf"Signals range from {_V} to", float),
    "signal_max": (rf"Signals range from \S+ to {_V}", float),
    "signal_mean": (rf"with mean integrated signal {_V}", float),
    "saturation_min_percent": (r"Saturations range from ([^\s%]+)%? to", float),
    "saturation_max_percent": (r"Saturations range from \S+ to ([^\s%]+)", float),
    "saturation_mean_percent": (r"with mean saturation ([^\s%]+)", float),
}
_CUTOFF: Final = r"Bin population cutoff for method 2 resolution: ([^\s%]+)"


def _loose(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(" : ", r"\s*:\s*").replace(" ", r"\s+"))


_FILE: Final = re.compile(r"^[ \t]*File[ \t]*:\s*(\S[^\n]*?)[ \t]*$", re.MULTILINE)
_NOTES: Final = _loose(r"Number of focus spots on image #")
_RUN: Final = re.compile(r"#phil __ON__(.*?)#phil __OFF__", re.DOTALL)


def read_distl_log(path: str | Path) -> tuple[DistlRecord, ...]:
    """Records of the images of a log, in its order.

    Raises
    ------
    FormatError
        The file cannot be read, holds no listing, or one that is broken off; the line is named.
    """
    file = Path(path)
    try:
        text = read_text(file, errors="replace")
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=file) from error
    return parse_distl_log(text, path=file)


def parse_distl_log(text: str, *, path: Path | None = None) -> tuple[DistlRecord, ...]:
    """Records of the images in a log's text; see :func:`read_distl_log`."""
    out: list[DistlRecord] = []
    for start, end, parameters in _runs(text):
        out += _of_run(text, start, end, parameters, path)
    if not out:
        raise FormatError("no listing of distl.signal_strength found (File, Spot Total)", path=path)
    return tuple(out)


def _runs(text: str) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Spans of text with the parameters that were printed before them."""
    heads = list(_RUN.finditer(text))
    if not heads or heads[0].start() > 0:
        yield 0, heads[0].start() if heads else len(text), {}
    for k, head in enumerate(heads):
        end = heads[k + 1].start() if k + 1 < len(heads) else len(text)
        yield head.end(), end, _parameters(head[1])


def _of_run(
    text: str, start: int, end: int, parameters: dict[str, str], path: Path | None
) -> list[DistlRecord]:
    files = list(_FILE.finditer(text, start, end))
    marks = sorted(
        [f.start() for f in files] + [n.start() for n in _NOTES.finditer(text, start, end)]
    )
    after = dict(zip(marks, [*marks, end][1:], strict=True))
    records: list[DistlRecord] = []
    without: list[int] = []
    at = {f.start(): f for f in files}
    for mark in marks:
        if mark in at:
            found = _fields(text, mark, after[mark], _LISTED, path)
            if "spot_total" not in found:
                raise FormatError(
                    f"listing of {at[mark][1]} has no 'Spot Total': broken off",
                    path=path, line=_line(text, mark), key="Spot Total",
                )  # fmt: skip
            without.append(len(records))
            title = _title(text, start, mark) if not records else records[0].detector
            records.append(
                DistlRecord(file=at[mark][1], detector=title, parameters=parameters, **found)
            )
        elif without:
            noted = _fields(text, mark, after[mark], _NOTED, path)
            k = without.pop(0)
            records[k] = replace(records[k], **noted)
    cutoff = _fields(text, start, end, {"method2_cutoff_percent": (_CUTOFF, float)}, path)
    return [replace(record, **cutoff) for record in records]


def _fields(
    text: str, start: int, end: int, table: Mapping[str, tuple[str, type]], path: Path | None
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, (pattern, kind) in table.items():
        found = _loose(pattern).search(text, start, end)
        if found is None or found[1] == "None":
            continue
        try:
            out[name] = kind(found[1])
        except ValueError as error:
            raise FormatError(
                f"{' '.join(found[0].split())!r}: expected a number",
                path=path, line=_line(text, found.start(1)), key=name, got=found[1],
            ) from error  # fmt: skip
    return out


def _title(text: str, start: int, mark: int) -> str:
    """Last line of words before the first listing: the beamline's name of its detector."""
    lines = [line.strip() for line in text[start:mark].splitlines() if line.strip(" `\t")]
    return lines[-1] if lines and not re.search(r"[:={}#]", lines[-1]) else ""


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _parameters(block: str) -> dict[str, str]:
    """Parameters of a block of nested scopes; a broken string is put together again."""
    block = re.sub(
        r'"([^"]*)"', lambda m: '"' + "".join(s.strip() for s in m[1].splitlines()) + '"', block
    )
    scopes: list[str] = []
    out: dict[str, str] = {}
    for raw in block.splitlines():
        line = raw.strip(" `\t")
        if line.endswith("{"):
            scopes.append(line[:-1].strip())
        elif line == "}":
            del scopes[-1:]
        elif "=" in line:
            name, value = (part.strip() for part in line.split("=", 1))
            out[".".join([*scopes, "_".join(name.split())])] = value.strip('"')
    return out
