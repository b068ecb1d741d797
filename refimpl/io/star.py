"""STAR files as RELION 3.1 to 5 reads and writes them: movies, micrographs, particles, optics.

RELION's STAR is not CIF. A blank line ends a table, a row is one line, quotes hold blanks only,
and the comment ``# version 30001`` before a table is read: without it a program takes the file for
one of RELION 3.0. So tables keep the lines as they are in the file, with comments and layout; what
is not changed is written back byte for byte. What RELION would misread or drop silently (rows
after a blank line, rows too short or too long, columns named twice) is refused here.

Source: the description in RELION's ``metadata_table.h``, and its reader's behaviour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from refimpl.errors import FormatError
from refimpl.io.atomic import atomic_path
from refimpl.io.star_table import StarTable, star_cells
from refimpl.reading import MOST_OF_TABLES, check_size

__all__ = ["StarFile", "StarTable", "parse_star", "read_star", "write_star"]


@dataclass(frozen=True, eq=False)
class StarFile:
    """Tables in the order of the file.

    Attributes
    ----------
    tables
        The blocks.
    end
        Lines after the last row.
    path
        Where it was read from.
    """

    tables: tuple[StarTable, ...]
    end: tuple[str, ...] = (" ", "")
    path: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tables."""
        return tuple(table.name for table in self.tables)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def table(self, name: str) -> StarTable:
        """Table of a name.

        Raises
        ------
        FormatError
            There is none.
        """
        if name not in self.names:
            held = ", ".join(f"data_{n}" for n in self.names) or "none"
            raise FormatError(f"no data_{name}: the tables are {held}", path=self.path, key=name)
        return self.tables[self.names.index(name)]

    def with_table(self, table: StarTable) -> StarFile:
        """Replace the table of the same name."""
        self.table(table.name)
        return replace(
            self, tables=tuple(table if t.name == table.name else t for t in self.tables)
        )

    def text(self) -> str:
        """Text of the file; that of an unchanged one is what was read."""
        lines: list[str] = []
        for i, table in enumerate(self.tables):
            if i and self.tables[i - 1].rows and table.head[0].strip():
                lines.append(" ")  # a blank line ends the table above
            lines += [*table.head, *table.rows]
        return "\n".join([*lines, *self.end])


def read_star(path: str | Path) -> StarFile:
    """Read a STAR file.

    Raises
    ------
    FormatError
        It cannot be read, or is not a STAR file that RELION reads; the message has the line.
    """
    try:
        check_size(path, most=MOST_OF_TABLES)
        with open(path, "rb") as file:
            start = file.read(4096)
            if b"\0" in start:
                raise FormatError("not a STAR file: it is binary", path=path)
            data = start + file.read()
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=path) from error
    # names of files are bytes to RELION: what is not UTF-8 comes through unharmed
    return parse_star(data.decode("utf-8", "surrogateescape"), path=path)


def parse_star(text: str, path: str | Path | None = None) -> StarFile:
    """Read the text of a STAR file; CR+LF, which RELION refuses, become LF.

    Raises
    ------
    FormatError
        As `read_star`.
    """
    tables, end = _split(text.replace("\r\n", "\n").split("\n"), path)
    return StarFile(tables, end, None if path is None else Path(path))


def write_star(path: str | Path, star: StarFile) -> Path:
    """Write a STAR file, whole or not at all; return the path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(star.text().encode("utf-8", "surrogateescape"))
    return Path(path)


def _split(
    lines: list[str], path: str | Path | None
) -> tuple[tuple[StarTable, ...], tuple[str, ...]]:
    """Tables of a file, and the lines after the last row."""
    starts = [i for i, line in enumerate(lines) if line.startswith("data_")]
    if not starts:
        raise FormatError("not a STAR file: no line begins with data_", path=path)
    for i, line in enumerate(lines[: starts[0]]):
        if _matters(line):
            raise FormatError(f"not a STAR file: {line.strip()[:60]!r} stands before data_",
                              path=path, line=i + 1)  # fmt: skip
    tables: dict[str, StarTable] = {}
    at = 0
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        table, at = _block(lines, at, start, stop, path)
        if table.name in tables:
            raise FormatError(f"data_{table.name} is there twice", path=path, line=start + 1)
        tables[table.name] = table
    return tuple(tables.values()), tuple(lines[at:])


def _block(
    lines: list[str], at: int, start: int, stop: int, path: str | Path | None
) -> tuple[StarTable, int]:
    """Table whose ``data_`` line is ``start``, and the first line after its rows."""
    i = start + 1
    while i < stop and not _matters(lines[i]):
        i += 1
    name = lines[start][5:].split("#")[0].strip()
    if i == stop:
        return StarTable(name, (), (), tuple(lines[at : start + 1])), start + 1
    if lines[i].strip() == "loop_":
        return _loop(name, lines, at, i + 1, stop, path)
    return _list(name, lines, at, i, stop, path)


def _loop(
    name: str, lines: list[str], at: int, i: int, stop: int, path: str | Path | None
) -> tuple[StarTable, int]:
    """Table whose ``loop_`` is the line before ``i``."""
    columns: list[str] = []
    while i < stop and (lines[i].lstrip().startswith("_") or not _matters(lines[i])):
        if _matters(lines[i]):
            columns.append(_label(lines[i], columns, path, i))
        elif columns and not lines[i].strip():
            break  # a table without rows
        i += 1
    first = i
    while i < stop and lines[i].strip():
        _check_row(lines[i], name, len(columns), path, i)
        i += 1
    last = i
    if first < last == stop < len(lines):
        raise FormatError(f"no blank line ends data_{name}: RELION reads on", path=path,
                          line=stop + 1)  # fmt: skip
    for j in range(last, stop):
        if _matters(lines[j]):
            raise FormatError(f"data_{name} goes on after a blank line, where RELION stops reading",
                              path=path, line=j + 1)  # fmt: skip
    head = tuple(lines[at:first])
    return StarTable(name, tuple(columns), tuple(lines[first:last]), head), last


def _list(
    name: str, lines: list[str], at: int, i: int, stop: int, path: str | Path | None
) -> tuple[StarTable, int]:
    """List of ``_label value`` lines, from line ``i``."""
    columns: list[str] = []
    first, last = i, i
    for j in range(i, stop):
        if not _matters(lines[j]):
            continue
        if not lines[j].lstrip().startswith("_"):
            raise FormatError(f"data_{name}: expected loop_ or '_label value', got "
                              f"{lines[j].strip()[:60]!r}", path=path, line=j + 1)  # fmt: skip
        columns.append(_label(lines[j], columns, path, j))
        _check_row(lines[j], name, 2, path, j)
        last = j + 1
    rows, head = tuple(lines[first:last]), tuple(lines[at:first])
    return StarTable(name, tuple(columns), rows, head, is_loop=False), last


def _label(line: str, known: list[str], path: str | Path | None, i: int) -> str:
    label = line.split("#")[0].split()[0][1:]
    if label in known:
        raise FormatError(f"column _{label} is there twice", path=path, line=i + 1, key=label)
    return label


def _check_row(row: str, name: str, n: int, path: str | Path | None, i: int) -> None:
    """Refuse a row that RELION would refuse, or read in another way than it looks."""
    try:
        found = len(star_cells(row))
    except FormatError as error:
        raise FormatError(str(error), path=path, line=i + 1) from error
    if found == n:
        return
    if row.lstrip().startswith("#"):
        raise FormatError(f"data_{name}: a comment among the rows, which RELION reads as a row",
                          path=path, line=i + 1)  # fmt: skip
    raise FormatError(f"data_{name}: a row of {found} values for {n} columns",
                      path=path, line=i + 1)  # fmt: skip


def _matters(line: str) -> bool:
    """Whether a line is neither blank nor a comment."""
    text = line.strip()
    return bool(text) and not text.startswith("#")
