"""One table of a STAR file: rows are kept as the lines they are (see `refimpl.io.star`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from refimpl.errors import ConfigError, FormatError
from refimpl.frames import I64

__all__ = ["StarTable", "star_cells", "star_value"]

VERSION = 30001
"""Version that new tables are marked with: the layout of RELION 3.1, which 4 and 5 read too."""

_TOKEN = re.compile(r"""\s*(?:"(.*?)"(?=\s|$)|'(.*?)'(?=\s|$)|(\#.*)|([^\s"']\S*))""")


@dataclass(frozen=True, eq=False)
class StarTable:
    """One ``data_`` block.

    Attributes
    ----------
    name
        What follows ``data_``.
    columns
        Labels without the leading underscore, in the order of the file.
    rows
        Lines of the table as in the file; of a list (no ``loop_``) its ``_label value`` lines.
    head
        Lines above the rows: blank ones, comments, ``data_``, ``loop_`` and the labels.
    is_loop
        Whether it is a table; a list is one row.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    head: tuple[str, ...]
    is_loop: bool = True

    def __len__(self) -> int:
        return len(self.rows) if self.is_loop else 1

    def __contains__(self, column: object) -> bool:
        return column in self.columns

    @classmethod
    def of(cls, name: str, values: Mapping[str, Sequence[str | int | float]]) -> StarTable:
        """Make a table from columns of equal lengths; numbers as RELION formats them.

        Raises
        ------
        ConfigError
            The lengths differ, or a text cannot be written so that RELION reads it.
        """
        lengths = {key: len(column) for key, column in values.items()}
        if len(set(lengths.values())) > 1:
            raise ConfigError(f"columns of data_{name} differ in length: {lengths}", key=name)
        cells = [_aligned([star_value(v) for v in column]) for column in values.values()]
        rows = tuple(" ".join(row) + " " for row in zip(*cells, strict=True))
        head = ["", f"# version {VERSION}", "", f"data_{name}", "", "loop_ "]
        head += [f"_{key} #{i} " for i, key in enumerate(values, 1)]
        return cls(name, tuple(values), rows, tuple(head))

    def column(self, name: str) -> list[str]:
        """Values of a column, without their quotes.

        Raises
        ------
        FormatError
            The table has no such column.
        """
        k = self._index(name)
        if not self.is_loop:
            return [self._list_values()[k]]
        return [
            row.split(None, k + 1)[k] if _is_plain(row) else star_cells(row)[k] for row in self.rows
        ]

    def integers(self, name: str) -> I64:
        """(n,) values of a column of whole numbers.

        Raises
        ------
        FormatError
            The table has no such column, or a value is no whole number.
        """
        values = self.column(name)
        try:
            return np.array([int(value) for value in values], dtype=np.int64)
        except ValueError as error:
            raise FormatError(f"data_{self.name}, _{name}: {error}", key=name) from error

    def take(self, rows: Iterable[int]) -> StarTable:
        """Make a table of some rows, in the given order; numbers from 0."""
        loop = self.as_loop()
        return replace(loop, rows=tuple(loop.rows[i] for i in rows))

    def replaced(self, name: str, values: Sequence[str | int | float]) -> StarTable:
        """Replace a column, or append it; the text of the other cells stays as it is.

        Raises
        ------
        ConfigError
            Not one value a row, or a text that cannot be written.
        """
        loop = self.as_loop()
        if len(values) != len(loop.rows):
            raise ConfigError(f"{len(values)} values for {len(loop.rows)} rows", key=name)
        texts = [star_value(value) for value in values]
        if name in loop.columns:
            k = loop.columns.index(name)
            plain = re.compile(rf"\s*(?:\S+\s+){{{k}}}(\S+)")
            rows = [_swap(row, k, plain, text) for row, text in zip(loop.rows, texts, strict=True)]
            return replace(loop, rows=tuple(rows))
        rows = [_append(row, text) for row, text in zip(loop.rows, _aligned(texts), strict=True)]
        head = (*loop.head, f"_{name} #{len(loop.columns) + 1} ")
        return replace(loop, columns=(*loop.columns, name), rows=tuple(rows), head=head)

    def renamed(self, old: str, new: str) -> StarTable:
        """Rename a column that is there."""
        self._index(old)
        loop = self.as_loop()
        label = re.compile(rf"^(\s*)_{re.escape(old)}(?![^\s#])")
        head = tuple(label.sub(rf"\g<1>_{new}", line) for line in loop.head)
        return replace(loop, head=head, columns=tuple(new if c == old else c for c in loop.columns))

    def as_loop(self) -> StarTable:
        """Make a table of one row of a list; a table stays as it is."""
        if self.is_loop:
            return self
        made = StarTable.of(
            self.name, dict(zip(self.columns, ([v] for v in self._list_values()), strict=True))
        )
        # the version of the file stays: the labels alone are laid out anew
        return replace(made, head=(*self.head, "", *made.head[5:]))

    def _index(self, name: str) -> int:
        if name not in self.columns:
            raise FormatError(f"data_{self.name} has no column _{name}", key=name)
        return self.columns.index(name)

    def _list_values(self) -> list[str]:
        return [star_cells(row)[1] for row in self.rows if row.lstrip().startswith("_")]


def star_cells(row: str) -> list[str]:
    """Values of a row, without quotes; a ``#`` that begins a word ends the row.

    Raises
    ------
    FormatError
        A quote is not closed.
    """
    if _is_plain(row):
        return row.split()
    return [text for text, _, _ in _tokens(row)]


def star_value(value: str | int | float) -> str:
    """Text of a value as RELION formats it: ``%12d``, ``%12.6f``, quotes where they are needed.

    Raises
    ------
    ConfigError
        RELION has no way to read this text: it holds both quotes, line ends or several blanks.
    """
    if isinstance(value, (int, np.integer)):
        return f"{int(value):12d}"
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            raise ConfigError(f"{value} cannot stand in a STAR file for RELION", got=value)
        return f"{float(value):12.6f}"
    if value and not re.search(r"\s", value) and value[0] not in "\"'#_":
        return value
    if re.search(r"[^\S ]|  ", value) or ('"' in value and "'" in value):
        raise ConfigError(f"{value!r} cannot stand in a STAR file for RELION", got=value)
    return f"'{value}'" if '"' in value else f'"{value}"'


def _is_plain(row: str) -> bool:
    """Whether words of a row are just what stands between blanks."""
    return '"' not in row and "'" not in row and "#" not in row


def _tokens(row: str) -> list[tuple[str, int, int]]:
    """Words of a row with where they begin and end, quotes included."""
    out, at = [], 0
    while row[at:].strip():
        found = _TOKEN.match(row, at)
        if found is None:
            raise FormatError(f"a quote is not closed: {row.strip()[:80]}")
        if found[3] is not None:
            break
        text = next(part for part in (found[1], found[2], found[4]) if part is not None)
        begin = found.end() - len(row[at : found.end()].lstrip())
        out.append((text, begin, found.end()))
        at = found.end()
    return out


def _swap(row: str, k: int, plain: re.Pattern[str], text: str) -> str:
    """Row with another text in a cell, in the width of the old one where it fits."""
    if _is_plain(row):
        found = plain.match(row)
        assert found is not None  # rows were counted when the file was read
        begin, end = found.span(1)
    else:
        _, begin, end = _tokens(row)[k]
    text = text.strip()
    while end - begin < len(text) and row[:begin].endswith("  "):
        begin -= 1  # into the blanks before it, so that columns stay in line
    return row[:begin] + text.rjust(end - begin) + row[end:]


def _append(row: str, text: str) -> str:
    """Row with one more cell, before a comment that ends it."""
    end = len(row.rstrip()) if _is_plain(row) else _tokens(row)[-1][2]
    return f"{row[:end]} {text} {row[end:].strip()}"


def _aligned(texts: list[str]) -> list[str]:
    width = max((len(text) for text in texts), default=0)
    return [text.ljust(width) for text in texts]
