"""Exposures as CSV: what other software recorded, or what was read before.

The header names columns of the table (:data:`refimpl.epu.exposures.COLUMNS`), in any order; the
required ones must be there. An empty cell is unknown. Numbers are written with the digits that
restore them.
"""

from __future__ import annotations

import csv
import difflib
import io
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.epu.exposures import COLUMNS, REQUIRED, errors_of, table_of
from refimpl.epu.session import Session
from refimpl.errors import ConfigError, FormatError
from refimpl.io.atomic import write_text
from refimpl.reading import check_size

if TYPE_CHECKING:
    from _csv import Reader

__all__ = ["read_csv", "write_csv"]

_LARGEST = (1 << 63) - 1


def write_csv(session: Session, path: str | os.PathLike[str]) -> Path:
    """Write the exposures of a session, all columns; return the path."""
    text = io.StringIO(newline="")
    out = csv.writer(text, lineterminator="\n")
    out.writerow(COLUMNS)
    columns = [_texts(session.table[name].tolist(), kind) for name, kind in COLUMNS.items()]
    out.writerows(zip(*columns, strict=True))
    return write_text(path, text.getvalue())


def read_csv(path: str | os.PathLike[str]) -> Session:
    """Read exposures from a table.

    Parameters
    ----------
    path
        CSV in UTF-8, comma separated, with a header. Rows that cannot be used (a wrong number of
        cells, a number that is none, a required one missing) go to the table of errors with
        their line.

    Raises
    ------
    ConfigError
        There is no such file.
    FormatError
        No header, or one with a column that is unknown, missing or there twice; not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is a folder, a file is needed" if path.is_dir() else "does not exist"
        raise ConfigError(f"the table of exposures {kind}", path=path)
    errors: list[tuple[str, str, bool]] = []
    check_size(path)
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        try:
            header = _header(rows, path)
            good = list(_rows(rows, header, str(path), errors))
        except (UnicodeDecodeError, csv.Error) as error:
            raise FormatError(f"not a CSV table: {error}", path=path, line=rows.line_num) from error
    columns = {name: [row[i] for row in good] for i, name in enumerate(header)}
    return Session(table_of(**columns), errors=errors_of(errors), folder=path.parent)


def _texts(values: list[Any], kind: str) -> list[str]:
    if kind == "number":
        return [repr(value) if np.isfinite(value) else "" for value in values]
    if kind == "id":
        return ["" if value == -1 else str(value) for value in values]
    return values


def _header(rows: Reader, path: Path) -> list[str]:
    header = [name.strip() for name in next(rows, [])]
    for name in header:
        if name not in COLUMNS:
            near = difflib.get_close_matches(name, COLUMNS, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(COLUMNS)}"
            raise FormatError(f"unknown column {name!r}{hint}", path=path, line=1, key=name)
        if header.count(name) > 1:
            raise FormatError(f"column {name!r} stands there twice", path=path, line=1, key=name)
    for name in REQUIRED:
        if name not in header:
            raise FormatError(f"no column {name!r}", path=path, line=1, key=name)
    return header


def _rows(
    rows: Reader, header: list[str], path: str, errors: list[tuple[str, str, bool]]
) -> Iterator[list[Any]]:
    for row in rows:
        if not any(row):
            continue
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} cells, the header has {len(header)}")
            yield [_value(name, text) for name, text in zip(header, row, strict=True)]
        except ValueError as error:
            errors.append((f"{path}:{rows.line_num}", str(error), False))


def _value(name: str, text: str) -> Any:
    """Value of a cell; ValueError where it cannot be."""
    kind, text = COLUMNS[name], text.strip()
    if kind == "text":
        return text
    if not text:
        if name in REQUIRED:
            raise ValueError(f"no {name}")
        return -1 if kind == "id" else np.nan
    try:
        value = int(text) if kind == "id" else float(text)
    except ValueError:
        value = None
    if value is None or "_" in text:  # Python also takes 1_000
        raise ValueError(f"{name} is not a number: {text!r}")
    if not (abs(value) <= _LARGEST if kind == "id" else math.isfinite(value)):
        raise ValueError(f"{name} is out of range: {text!r}")
    return value
