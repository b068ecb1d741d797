"""Tables of time-stamped things: CSV with a header, names of columns as people write them."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refimpl.errors import FormatError
from refimpl.io.time_stamps import seconds_of
from refimpl.reading import check_size

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_log_table"]


def read_log_table(
    path: Path, names: Mapping[str, Sequence[str]], *, needed: Sequence[str], lines: bool = False
) -> pd.DataFrame:
    """Read a CSV table whose columns go by one of several names.

    Parameters
    ----------
    names
        Names in a file, lower case, of each column that is known. ``time_s`` is read as a time,
        ``image``, ``crystal`` and ``series`` as text, ``frame`` as a whole number, the others that
        are known as numbers; columns that are not known stay as they are.
    needed
        Columns that must be there.
    lines
        Add a column ``line``: where each row ends in the file.

    Raises
    ------
    FormatError
        The file cannot be read, has no rows or lacks a column; a cell is not what it should be
        (the line is named).
    """
    import pandas as pd

    try:
        check_size(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if row]
    except OSError as error:
        raise FormatError(f"cannot read: {error.strerror}", path=path) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise FormatError(f"not a CSV table: {error}", path=path) from error
    if not rows:
        raise FormatError("an empty file: expected a CSV table with a header", path=path)
    header = [_known(cell, names) for cell in rows[0][1]]
    for column in needed:
        if column not in header:
            raise FormatError(
                f"no column {' or '.join(names[column])} among {', '.join(header)}",
                path=path, line=1, key=column,
            )  # fmt: skip
    if len(set(header)) < len(header):
        raise FormatError(f"two columns of one meaning: {', '.join(header)}", path=path, line=1)
    if len(rows) == 1:
        raise FormatError("a table without rows", path=path)
    columns: dict[str, list[object]] = {column: [] for column in header}
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise FormatError(
                f"{len(row)} cells: the header has {len(header)}", path=path, line=line
            )
        for column, cell in zip(header, row, strict=True):
            columns[column].append(
                _value(column, cell.strip(), column in names, column in needed, path, line)
            )
    if lines:
        columns["line"] = [line for line, _ in rows[1:]]
    return pd.DataFrame(columns)


def _known(cell: str, names: Mapping[str, Sequence[str]]) -> str:
    text = cell.strip()
    return next((column for column, all_ in names.items() if text.lower() in all_), text)


def _value(column: str, cell: str, known: bool, needed: bool, path: Path, line: int) -> object:
    if not known or column in ("image", "crystal", "series"):
        return cell
    if not (cell or needed or column == "frame"):
        return float("nan")
    try:
        if column == "time_s":
            value = seconds_of(cell)
        elif column == "frame":
            return int(cell)
        else:
            value = float(cell) if cell else float("nan")
    except ValueError as error:
        raise FormatError(
            f"{column} {cell!r}: expected a {'time' if column == 'time_s' else 'number'}",
            path=path, line=line, key=column, got=cell,
        ) from error  # fmt: skip
    return value
