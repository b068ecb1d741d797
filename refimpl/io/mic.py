"""Published near-field maps (``.mic``): text, binary (11 float64 a row) and ``.AllMatches``.

Columns as in the manual: row of the seed, number of kept seeds, fit seconds, x, y [um], edge [um],
+1 or -1 for a triangle up or down, Bunge angles [rad], confidence; the text has the phase too.
A table keeps the columns as the file has them, so that what is read is written back byte for byte;
its properties are in mm and rad, in the MIDAS near-field frame. Our files have a row for every
voxel of the grid; the published text leaves out rows without an orientation, and the published
binary has holes (rows of zeros) there, which makes its header ``%TriEdgeSize`` 0 where the first
row is one: ours is the edge of the first row that has one.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from refimpl.errors import FormatError
from refimpl.frames import F64
from refimpl.io.atomic import atomic_path, write_text
from refimpl.io.mic_table import N_COLUMNS, MicTable, first_edge_um
from refimpl.reading import MOST_OF_TABLES, read_bytes

__all__ = ["MIC_COLUMNS", "MicTable", "format_mic", "header_lines", "parse_mic", "read_mic"]
__all__ += ["write_mic", "write_mic_binary"]

MIC_COLUMNS = (
    "OrientationRowNr", "OrientationID", "RunTime", "X", "Y", "TriEdgeSize", "UpDown", "Eul1",
    "Eul2", "Eul3", "Confidence", "PhaseNr",
)  # fmt: skip
"""Names in the last line of the text's header, after a ``%``."""

_ROW_BYTES = 8 * N_COLUMNS


def header_lines(table: MicTable) -> list[str]:
    """First three lines of the text files."""
    return [
        f"%TriEdgeSize {table.tri_edge_um:f}",
        f"%NumPhases {table.n_phases}",
        f"%GlobalPosition {table.global_position_um:f}",
    ]


def format_mic(table: MicTable, *, published_rows: bool = False) -> str:
    """Text of a map: 6 decimals, a TAB after each.

    Parameters
    ----------
    table
        The map.
    published_rows
        Leave out rows whose confidence is 0, as the published program does.
    """
    keep = table.confidence != 0.0 if published_rows else np.ones(len(table), dtype=bool)
    lines = [*header_lines(table), "%" + "\t".join(MIC_COLUMNS)]
    row = "%f\t" * N_COLUMNS + "%d"
    lines += [
        row % (*values, phase)
        for values, phase in zip(
            table.columns[keep].tolist(), table.phase[keep].tolist(), strict=True
        )
    ]
    return "\n".join(lines) + "\n"


def parse_mic(text: str, path: str | Path | None = None) -> MicTable:
    """Map of the text of a file; rows without a phase are of phase 1.

    Raises
    ------
    FormatError
        With the line: a row has not 11 or 12 numbers.
    """
    lines = text.splitlines()
    head = {"TriEdgeSize": 0.0, "NumPhases": 1.0, "GlobalPosition": 0.0}
    for number, line in enumerate(lines, start=1):
        if not line.startswith("%"):
            break
        words = line[1:].split()
        if len(words) == 2 and words[0] in head:
            head[words[0]] = _numbers([words[1]], line, path, number)[0]
    body = "\n".join(line for line in lines if line.strip() and not line.startswith("%"))
    try:
        data = np.loadtxt(io.StringIO(body), comments=None, ndmin=2) if body else _slow([], path)
    except ValueError:
        data = _slow(lines, path)
    if data.shape[1] not in (N_COLUMNS, N_COLUMNS + 1):
        data = _slow(lines, path)
    phase = data[:, N_COLUMNS] if data.shape[1] > N_COLUMNS else np.ones(len(data))
    for name, values in (("NumPhases", np.array(head["NumPhases"])), ("a phase", phase)):
        if not (np.abs(values) < 2**31).all():
            raise FormatError(f"{name} is no whole number that a file can mean", path=path)
    return MicTable(
        np.ascontiguousarray(data[:, :N_COLUMNS]),
        phase.astype(np.int64),
        int(head["NumPhases"]),
        head["GlobalPosition"],
        head["TriEdgeSize"],
    )


def _numbers(words: list[str], line: str, path: str | Path | None, number: int) -> list[float]:
    try:
        return [float(word) for word in words]
    except ValueError:
        raise FormatError(
            f"{line.strip()[:60]!r}: expected numbers", path=path, line=number
        ) from None


def _slow(lines: list[str], path: str | Path | None) -> F64:
    """Rows one by one, to say which is bad."""
    rows = []
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or line.startswith("%"):
            continue
        values = _numbers(words, line, path, number)
        if len(values) not in (N_COLUMNS, N_COLUMNS + 1):
            raise FormatError(
                f"{len(values)} numbers: a row of a .mic file has {N_COLUMNS} or {N_COLUMNS + 1}",
                path=path,
                line=number,
            )
        rows.append([*values, 1.0][: N_COLUMNS + 1])
    return np.array(rows).reshape(-1, N_COLUMNS + 1)


def read_mic(path: str | Path) -> MicTable:
    """Map of a file, text or binary: the text's header begins with a percent sign.

    Raises
    ------
    FormatError
        No such file; a bad row of a text; a binary that is not whole rows of 11 float64, or whose
        triangles are neither up nor down.
    """
    try:
        content = read_bytes(path, most=MOST_OF_TABLES)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    if not content:
        raise FormatError("an empty file: a map (.mic) is needed", path=path)
    if content[:1] == b"%" or b"\x00" not in content[: 4 * _ROW_BYTES]:
        return parse_mic(content.decode("utf-8", errors="replace"), path)
    if len(content) % _ROW_BYTES:
        raise FormatError(
            f"{len(content)} bytes: a binary map has rows of {_ROW_BYTES} bytes", path=path
        )
    columns = np.frombuffer(content, dtype="<f8").reshape(-1, N_COLUMNS).astype(np.float64)
    if not np.isin(columns[:, 6], (-1.0, 0.0, 1.0)).all():
        raise FormatError("column 7 is not +1 or -1: not a binary map", path=path)
    phase = np.ones(len(columns), dtype=np.int64)
    return MicTable(columns, phase, tri_edge_um=first_edge_um(columns))


def write_mic(path: str | Path, table: MicTable, *, published_rows: bool = False) -> Path:
    """Write the text of a map; see :func:`format_mic`. Atomic."""
    return write_text(path, format_mic(table, published_rows=published_rows))


def write_mic_binary(path: str | Path, table: MicTable) -> Path:
    """Write a binary map, 11 float64 a row; atomic, so that no older rows survive."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(np.ascontiguousarray(table.columns, dtype="<f8").tobytes())
    return Path(path)
