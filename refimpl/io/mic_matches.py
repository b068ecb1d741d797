"""The published ``.AllMatches`` beside a map: the best solutions of every voxel, not one alone.

Binary: 7 + 4 n float64 a row: block, number of kept seeds, 0, x, y, edge [um], +1 or -1, then
n times Bunge angles [rad] and confidence. The text has the header of a map and the same columns.
Differences, on purpose: the file is replaced as a whole (the published program writes into an old
one, whose rows survive), and it is filled for one saved solution too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refimpl.errors import FormatError
from refimpl.frames import F64
from refimpl.io.atomic import atomic_path, write_text
from refimpl.reading import MOST_OF_TABLES, read_bytes

__all__ = ["AllMatches", "format_all_matches", "read_all_matches", "write_all_matches"]
__all__ += ["write_all_matches_text"]

_HEAD, _EACH = 7, 4
_HEAD_NAMES = ("BlockNr", "NrKept", "RunTime", "X", "Y", "TriEdgeSize", "UpDown")


@dataclass(frozen=True, eq=False)
class AllMatches:
    """Best solutions of every voxel.

    Attributes
    ----------
    head
        (v, 7) as in the file: block, number of kept seeds, 0, x, y, edge [um], +1 or -1.
    solutions
        (v, n, 4) Bunge angles [rad] and confidence, best first; 0 where there is none.
    """

    head: F64
    solutions: F64

    def __post_init__(self) -> None:
        v = len(self.head)
        if self.head.shape != (v, _HEAD) or self.solutions.shape[::2] != (v, _EACH):
            raise FormatError(
                f"matches of shapes {self.head.shape}, {self.solutions.shape}: expected (v, 7), "
                "(v, n, 4)"
            )


def read_all_matches(path: str | Path, n_solutions: int) -> AllMatches:
    """Read the binary file.

    Parameters
    ----------
    path
        The file.
    n_solutions
        SaveNSolutions of the run that wrote it.

    Raises
    ------
    FormatError
        No such file, or its size is not whole rows.
    """
    try:
        content = read_bytes(path, most=MOST_OF_TABLES)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    width = _HEAD + _EACH * n_solutions
    if len(content) % (8 * width):
        raise FormatError(
            f"{len(content)} bytes: with SaveNSolutions {n_solutions} a row has {8 * width} bytes",
            path=path,
        )
    rows = np.frombuffer(content, dtype="<f8").reshape(-1, width).astype(np.float64)
    return AllMatches(rows[:, :_HEAD], rows[:, _HEAD:].reshape(-1, n_solutions, _EACH))


def _rows(table: AllMatches) -> F64:
    flat = table.solutions.reshape(len(table.head), table.solutions.shape[1] * _EACH)
    return np.concatenate([table.head, flat], axis=1)


def write_all_matches(path: str | Path, table: AllMatches) -> Path:
    """Write the binary file; atomic."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(np.ascontiguousarray(_rows(table), dtype="<f8").tobytes())
    return Path(path)


def format_all_matches(table: AllMatches, header: list[str]) -> str:
    """Text of the file: `header` is that of the map (:func:`refimpl.io.mic.header_lines`)."""
    n = table.solutions.shape[1]
    names = [*_HEAD_NAMES]
    for i in range(1, n + 1):
        names += [f"Eul1_{i}", f"Eul2_{i}", f"Eul3_{i}", f"Confidence_{i}"]
    row = "\t".join(["%f"] * (_HEAD + _EACH * n))
    lines = [*header, "%" + "\t".join(names), *(row % tuple(r) for r in _rows(table).tolist())]
    return "\n".join(lines) + "\n"


def write_all_matches_text(path: str | Path, table: AllMatches, header: list[str]) -> Path:
    """Write the text file; see :func:`format_all_matches`. Atomic."""
    return write_text(path, format_all_matches(table, header))
