"""Tables of figures: printed, and written between the markers of docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from refimpl.dispatch import current_backend, resolve_threads
from refimpl.io.atomic import atomic_path

__all__ = ["Table", "add_options", "exponent", "finish", "machine", "seconds"]

VERSIONS = ("numpy", "scipy")


@dataclass
class Table:
    """One table of a benchmark; a row that was not measured on a quiet machine says so."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __init__(self, title: str, *columns: str) -> None:
        self.title, self.columns, self.rows, self.notes = title, columns, [], []

    def add(self, *cells: object, quiet: bool = True) -> None:
        """Append a row, and print it."""
        row = tuple(str(c) for c in cells)
        if len(row) != len(self.columns):
            raise ValueError(f"{self.title}: {len(row)} cells for {len(self.columns)} columns")
        if not quiet:
            row = (f"{row[0]} (machine busy: not quoted)", *row[1:])
        self.rows.append(row)
        print(f"  {self.title}: " + " | ".join(row), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """Add a sentence below the table."""
        self.notes.append(text)
        print(f"  {text}", file=sys.stderr, flush=True)

    def markdown(self) -> str:
        """Return the table as markdown."""
        lines = [f"**{self.title}**", "", "| " + " | ".join(self.columns) + " |"]
        lines.append("|" + "---|" * len(self.columns))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        for text in self.notes:
            lines += ["", text]
        return "\n".join(lines)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that every benchmark has."""
    parser.add_argument(
        "--update", type=Path, metavar="FILE", help="also write the tables between FILE's markers"
    )


def machine() -> str:
    """What the figures were measured with, in general words."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in VERSIONS]
    return (
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {platform.system()} on "
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{', '.join(versions)}; refimpl {importlib.metadata.version('refimpl')}, backend "
        f"{current_backend()}, {resolve_threads()} threads where none are named"
    )


def seconds(value: float) -> str:
    """Return a time with three digits and its unit."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= scale:
            digits = max(0, 2 - math.floor(math.log10(value / scale)))
            return f"{value / scale:.{digits}f} {unit}"
    return f"{value:.2e} s"


def exponent(what: str, against: str, points: Sequence[tuple[float, float]]) -> str:
    """Least-squares power law and straight line through (size, seconds)."""
    if len(points) < 3:
        return f"{what} against {against}: too few cases on a quiet machine for a fit"
    n = len(points)
    power = _slope([(math.log(a), math.log(b)) for a, b in points])[0]
    slope, start = _slope(list(points))
    worst = max(abs(start + slope * a - b) / b for a, b in points)
    return (
        f"{what} grow as {against}^{power:.2f} (fit to {n} cases); the straight line "
        f"{seconds(max(start, 0.0)) if start > 0 else '0 s'} + {slope:.3g} s a unit meets every "
        f"case within {100.0 * worst:.0f} %"
    )


def _slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Slope and intercept of the least-squares line."""
    n = len(points)
    mx, my = sum(a for a, _ in points) / n, sum(b for _, b in points) / n
    slope = sum((a - mx) * (b - my) for a, b in points) / sum((a - mx) ** 2 for a, _ in points)
    return slope, my - slope * mx


def finish(section: str, tables: Sequence[Table], options: argparse.Namespace) -> int:
    """Print everything, and write it into a page between ``begin`` and ``end`` of the section."""
    command = " ".join(["python", _relative(sys.argv[0]), *_shown(sys.argv[1:])])
    text = "\n\n".join([f"`{command}`: {machine()}.", *(t.markdown() for t in tables)])
    print(text)
    if options.update is not None:
        _write_between(options.update, section, text)
    return 0


def _relative(script: str) -> str:
    path, root = Path(script).resolve(), Path(__file__).parents[1]
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _shown(arguments: Sequence[str]) -> list[str]:
    """Arguments that mean something elsewhere: no page to update, no folder of this machine."""
    out, skip = [], False
    for word in arguments:
        if skip:
            skip = False
        elif word in ("--update", "--peer-python", "--data", "--keep"):
            skip = True
        elif not word.startswith(("--update=", "--peer-python=", "--data=", "--keep=")):
            out.append(Path(word).name if Path(word).is_absolute() else word)
    return out


def _write_between(page: Path, section: str, text: str) -> None:
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    old = page.read_text(encoding="utf-8")
    if old.count(begin) != 1 or old.count(end) != 1 or old.index(begin) > old.index(end):
        raise SystemExit(f"{page}: expected one line '{begin}' and after it one '{end}'")
    head, rest = old.split(begin)
    tail = rest.split(end)[1]
    with atomic_path(page) as new:
        new.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}", encoding="utf-8")
