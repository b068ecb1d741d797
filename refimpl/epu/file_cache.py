"""Values of files that were read before, so that only new files are read again."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from refimpl.errors import FormatError
from refimpl.io.atomic import write_text
from refimpl.io.epu_fields import Fields
from refimpl.reading import check_size, read_bytes

__all__ = ["FileCache"]

_HEAD = ["file", "size", "mtime_ns", *Fields._fields]
_KINDS = [Fields.__annotations__[name] for name in Fields._fields]


class FileCache:
    """Values by file; they count as long as its size and its time of change are the same.

    Only files that could be read are kept: one that was half-written is read again. In memory for
    a folder that is watched, in a CSV file between runs (one of its own for every folder). EPU's
    plans are remembered in memory only.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, Fields]] = {}
        self._plans: dict[str, tuple[int, int, Any]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, file: str, status: os.stat_result) -> Fields | None:
        """Values of a file, or None where it is new or has changed."""
        size, changed, fields = self._known.get(file, (-1, -1, None))
        return fields if (size, changed) == (status.st_size, status.st_mtime_ns) else None

    def put(self, file: str, status: os.stat_result, fields: Fields) -> None:
        """Keep the values of a file."""
        self._known[file] = (status.st_size, status.st_mtime_ns, fields)

    def plan(self, path: str, read: Callable[[bytes], Any]) -> Any:
        """What ``read`` says of the content of a file; only called where that is new."""
        status = os.stat(path)
        size, changed, plan = self._plans.get(path, (-1, -1, None))
        if (size, changed) != (status.st_size, status.st_mtime_ns):
            plan = read(read_bytes(path))
            self._plans[path] = (status.st_size, status.st_mtime_ns, plan)
        return plan

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> FileCache:
        """Read what :meth:`save` wrote; empty where there is no such file yet.

        Raises
        ------
        FormatError
            The file is something else, and would be overwritten.
        """
        made, path = cls(), Path(path)
        if not path.exists():
            return made
        check_size(path)
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            try:
                if next(rows, None) != _HEAD:
                    raise FormatError("not a cache of refimpl, or of another version", path=path)
                for row in rows:
                    made._known[row[0]] = (int(row[1]), int(row[2]), _fields(row[3:]))
            except (ValueError, IndexError, TypeError, csv.Error) as error:
                if isinstance(error, FormatError):
                    raise
                reason = f"damaged ({error}): delete it"
                raise FormatError(reason, path=path, line=rows.line_num) from error
        return made

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write as CSV, sorted by file; return the path."""
        text = io.StringIO(newline="")
        out = csv.writer(text, lineterminator="\n")
        out.writerow(_HEAD)
        for file, (size, changed, fields) in sorted(self._known.items()):
            out.writerow([file, size, changed, *fields[:-1], "\n".join(fields.missing)])
        return write_text(path, text.getvalue())


def _fields(texts: list[str]) -> Fields:
    values: list[Any] = [
        float(text) if kind == "float" else int(text) if kind == "int" else text
        for kind, text in zip(_KINDS, texts, strict=True)
    ]
    values[-1] = tuple(texts[-1].split("\n")) if texts[-1] else ()
    return Fields._make(values)
