"""``Grains.csv``: orientations and cells of grains, as the near field reads and writes them.

Columns, parted by blanks: number, U row by row (crystal to sample, 9), position (3, um), cell (6),
then at least nothing; the far field has more, of which the radius [um] is column 23 and the
confidence column 24. Lines that begin with a percent sign are comments (spec 1.3, 1.12).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refimpl.errors import FormatError
from refimpl.frames import F64, I64
from refimpl.io.atomic import write_text
from refimpl.reading import read_text
from refimpl.units import UM

__all__ = ["GrainTable", "format_grains", "read_grains", "write_grains"]

_LEAST = 19
_ROTATION = 1e-3


@dataclass(frozen=True, eq=False)
class GrainTable:
    """Grains of a file.

    Attributes
    ----------
    ids
        (g,) numbers.
    orientations
        (g, 3, 3) crystal to sample.
    position_mm
        (g, 3) in the MIDAS frame.
    cells
        (g, 6) a, b, c [angstrom], alpha, beta, gamma [deg].
    radius_mm, confidence
        (g,); NaN where the file has none.
    """

    ids: I64
    orientations: F64
    position_mm: F64
    cells: F64
    radius_mm: F64
    confidence: F64

    def __len__(self) -> int:
        return len(self.ids)


def read_grains(path: str | Path) -> GrainTable:
    """Read a file.

    Raises
    ------
    FormatError
        No such file, no grains; with the line: fewer than 19 numbers, a matrix that is not a
        rotation to 1e-3, a cell that is not positive.
    """
    try:
        text = read_text(path, errors="replace")
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("%"):
            rows.append(_grain(line, path, number))
    if not rows:
        raise FormatError("no grains: expected lines 'ID U11 .. U33 x y z a b c ...'", path=path)
    t = np.array(rows)
    return GrainTable(
        ids=t[:, 0].astype(np.int64),
        orientations=np.ascontiguousarray(t[:, 1:10].reshape(-1, 3, 3)),
        position_mm=t[:, 10:13] * UM,
        cells=np.ascontiguousarray(t[:, 13:19]),
        radius_mm=t[:, 22] * UM,
        confidence=t[:, 23],
    )


def _grain(line: str, path: str | Path, number: int) -> list[float]:
    words = line.replace(",", " ").split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) < _LEAST:
        raise FormatError(
            f"{line.strip()[:50]!r}: expected 'ID U11 .. U33 x y z a b c alpha beta gamma ...'",
            path=path,
            line=number,
        )
    u = np.array(values[1:10]).reshape(3, 3)
    if not (np.abs(u @ u.T - np.eye(3)).max() <= _ROTATION and np.linalg.det(u) > 0.0):
        raise FormatError(
            f"the matrix of grain {words[0]} is not a rotation", path=path, line=number
        )
    if not min(values[13:19]) > 0.0:
        raise FormatError(f"the cell of grain {words[0]} is not positive", path=path, line=number)
    return [*values, *[float("nan")] * (24 - len(values))][:24]


def format_grains(grains: GrainTable, space_group: int) -> str:
    """Text of a file with the published nine lines of header, matrices to 12 decimals."""
    cell = grains.cells[0] if len(grains) else np.zeros(6)
    names = [f"O{i}{j}" for i in (1, 2, 3) for j in (1, 2, 3)]
    names += ["X", "Y", "Z", "a", "b", "c", "alpha", "beta", "gamma", "DiffPos", "DiffOme"]
    names += ["DiffAngle", "GrainRadius", "Confidence"]
    lines = [
        f"%NumGrains {len(grains)}",
        "%BeamCenter 0.000000",
        "%BeamThickness 0.000000",
        "%GlobalPosition 0.000000",
        "%NumPhases 1",
        "%PhaseInfo",
        f"%\tSpaceGroup:{space_group}",
        "%\tLattice Parameter: " + " ".join(f"{v:f}" for v in cell),
        "%" + "\t".join(["GrainID", *names]),
    ]
    for i in range(len(grains)):
        numbers = [f"{v:.12f}" for v in grains.orientations[i].ravel()]
        numbers += [f"{v:f}" for v in (*grains.position_mm[i] / UM, *grains.cells[i])]
        tail = (np.nan_to_num(grains.radius_mm[i] / UM), np.nan_to_num(grains.confidence[i], nan=1))
        numbers += ["0", "0", "0", *(f"{v:f}" for v in tail)]
        lines.append("\t".join([str(int(grains.ids[i])), *numbers]))
    return "\n".join(lines) + "\n"


def write_grains(path: str | Path, grains: GrainTable, space_group: int) -> Path:
    """Write a file; see :func:`format_grains`. Atomic."""
    return write_text(path, format_grains(grains, space_group))
