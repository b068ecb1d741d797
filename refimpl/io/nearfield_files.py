"""Small published near-field files: the grid, seeds, grains, and the spots of seeds.

``grid.txt`` (spec 1.5), lists of seeds ``w,x,y,z[,...]`` (1.3, 1.4), ``Grains.csv`` as the near
field reads and writes it (1.3, 1.12), ``DiffractionSpots.bin``, ``Key.bin`` and ``OrientMat.bin``
(1.7). The files are in um and degrees, the values here in mm and rad.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.frames import F64, I64
from refimpl.io.atomic import atomic_path, write_text
from refimpl.reading import MOST_OF_TABLES, read_bytes
from refimpl.units import DEG, UM

__all__ = ["SeedSpots", "format_grid", "format_seeds", "read_grid", "read_seed_spots"]
__all__ += ["read_seeds", "write_grid", "write_seed_spots", "write_seeds"]

_UNIT = 1e-3
"""How far the norm of a quaternion in a file may be from 1; they have 6 decimals."""


def _content(path: str | Path) -> bytes:
    try:
        return read_bytes(path, most=MOST_OF_TABLES)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error


def _lines(path: str | Path) -> list[str]:
    content = _content(path)
    if b"\x00" in content:
        raise FormatError("not a text file", path=path)
    return content.decode("utf-8-sig", errors="replace").splitlines()


def _row(line: str, path: str | Path, number: int, *, comma: bool = False) -> list[float]:
    words = line.split(",") if comma else line.split()
    try:
        return [float(word) for word in words]
    except ValueError:
        raise FormatError(
            f"{line.strip()[:60]!r}: expected numbers", path=path, line=number
        ) from None


# --- grid.txt


def format_grid(grid: Voxels) -> str:
    """Text of ``grid.txt``: the count, then dy1 dy2 x y e/2 [um] of each triangle, 6 decimals."""
    e = grid.edge_mm / UM
    far, near = e / np.sqrt(3.0), e / (2.0 * np.sqrt(3.0))
    columns = [
        np.where(grid.up, near, far),
        np.where(grid.up, far, near),
        *(grid.xy_mm / UM).T,
        e / 2.0,
    ]
    rows = np.stack(columns, axis=1).tolist()
    lines = [" ".join(f"{value:f}" for value in row) for row in rows]
    return "\n".join([str(len(grid)), *lines]) + "\n"


def write_grid(path: str | Path, grid: Voxels) -> Path:
    """Write ``grid.txt``; atomic."""
    return write_text(path, format_grid(grid))


def read_grid(path: str | Path) -> Voxels:
    """Triangles of ``grid.txt``.

    Raises
    ------
    FormatError
        With the line: no count, a row that has not five numbers, other triangles than equilateral
        ones; more or fewer rows than the count.
    """
    lines = _lines(path)
    head = lines[0].split() if lines else []
    if len(head) != 1 or not head[0].isdecimal() or len(head[0]) > 18:
        got = lines[0][:40] if lines else ""
        raise FormatError(f"{got!r}: expected the number of grid points", path=path, line=1)
    rows: list[list[float]] = []
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        row = _row(line, path, number)
        if len(row) != 5:
            raise FormatError(f"{len(row)} numbers: expected 5", path=path, line=number)
        far = max(row[:2])
        # 2 e-6: both columns are rounded to 6 decimals [um]
        if not (row[4] > 0.0 and abs(far - 2.0 * row[4] / np.sqrt(3.0)) <= 2e-6 + 1e-5 * far):
            raise FormatError(
                f"{line.strip()!r}: not an equilateral triangle", path=path, line=number
            )
        rows.append(row)
    if len(rows) != int(head[0]):
        raise FormatError(f"{len(rows)} grid points: the first line says {head[0]}", path=path)
    t = np.array(rows).reshape(-1, 5)
    return Voxels(t[:, 2:4] * UM, 2.0 * t[:, 4] * UM, t[:, 0] <= t[:, 1])


# --- seeds


def format_seeds(
    quaternions: F64, cells: F64 | None = None, ids: I64 | None = None, *, decimals: int = 9
) -> str:
    """Text of a list of seeds, ``w,x,y,z`` a line.

    Parameters
    ----------
    quaternions
        (n, 4).
    cells, ids
        (n, 6) cells [angstrom, deg] and (n,) numbers, appended as by the published program.
    decimals
        Digits after the point; published: 6.
    """
    columns = quaternions if cells is None else np.concatenate([quaternions, cells], axis=1)
    one = ",".join([f"%.{decimals}f"] * columns.shape[1])
    lines = [one % tuple(row) for row in columns.tolist()]
    if ids is not None:
        lines = [f"{line},{int(i)}" for line, i in zip(lines, ids, strict=True)]
    return "\n".join(lines) + "\n"


def write_seeds(
    path: str | Path,
    quaternions: F64,
    cells: F64 | None = None,
    ids: I64 | None = None,
    *,
    decimals: int = 9,
) -> Path:
    """Write a list of seeds; see :func:`format_seeds`. Atomic."""
    return write_text(path, format_seeds(quaternions, cells, ids, decimals=decimals))


def read_seeds(path: str | Path, expected: int | None = None) -> F64:
    """Quaternions (n, 4) of a list of seeds, scaled to 1, w >= 0.

    Parameters
    ----------
    path
        The file.
    expected
        NrOrientations, where it is to be checked.

    Raises
    ------
    FormatError
        With the line: fewer than four numbers parted by commas, or four that are no quaternion of
        a rotation; no lines; another number of them than `expected`.
    """
    lines = _lines(path)
    try:
        q = np.loadtxt(lines, delimiter=",", usecols=(0, 1, 2, 3), ndmin=2) if lines else None
    except ValueError:
        q = None
    if q is None or not np.isfinite(q).all():
        q = _slow_seeds(lines, path)
    norm = np.sqrt((q * q).sum(axis=1))
    if (bad := np.flatnonzero(~(np.abs(norm - 1.0) <= _UNIT))).size:
        row = int(bad[0])
        line = [n for n, text in enumerate(lines, start=1) if text.split("#")[0].strip()][row]
        raise FormatError(
            f"norm {norm[row]:.6g}: expected a quaternion w,x,y,z of norm 1", path=path, line=line
        )
    if expected is not None and len(q) != expected:
        raise FormatError(f"{len(q)} seeds: NrOrientations is {expected}", path=path)
    q = q / norm[:, None]
    return np.ascontiguousarray(np.where(q[:, :1] < 0.0, -q, q))


def _slow_seeds(lines: list[str], path: str | Path) -> F64:
    rows = []
    for number, line in enumerate(lines, start=1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        row = _row(",".join(text.split(",")[:4]), path, number, comma=True)
        if len(row) < 4 or not np.isfinite(row).all():
            raise FormatError(
                f"{text[:60]!r}: expected a seed w,x,y,z, parted by commas", path=path, line=number
            )
        rows.append(row)
    if not rows:
        raise FormatError("no seeds: expected lines w,x,y,z", path=path)
    return np.array(rows)


# --- spots of seeds


@dataclass(frozen=True, eq=False)
class SeedSpots:
    """Nominal spots of every seed at the first distance, from the origin, without tilts.

    Attributes
    ----------
    yl_mm, zl_mm, omega_rad
        (s,).
    key
        (o, 2) int32: number of spots of each seed, and its first.
    orientations
        (o, 3, 3) crystal to sample, of determinant 1.
    """

    yl_mm: F64
    zl_mm: F64
    omega_rad: F64
    key: NDArray[np.int32]
    orientations: F64


def _table(path: Path, dtype: str, width: int) -> NDArray[np.generic]:
    content = _content(path)
    row = np.dtype(dtype).itemsize * width
    if len(content) % row:
        raise FormatError(f"{len(content)} bytes: rows have {row}", path=path)
    return np.frombuffer(content, dtype=dtype).reshape(-1, width)


def read_seed_spots(folder: str | Path) -> SeedSpots:
    """Read ``DiffractionSpots.bin``, ``Key.bin`` and ``OrientMat.bin`` of a folder.

    Raises
    ------
    FormatError
        One of them is missing or not whole rows; their numbers of seeds differ; a seed's spots are
        not in the file; a matrix is not a rotation (to 1e-3 in its determinant).
    """
    base = Path(folder)
    spots = _table(base / "DiffractionSpots.bin", "<f8", 3).astype(np.float64)
    key = _table(base / "Key.bin", "<i4", 2).astype(np.int32)
    matrices = _table(base / "OrientMat.bin", "<f8", 9).astype(np.float64).reshape(-1, 3, 3)
    if len(key) != len(matrices):
        raise FormatError(
            f"{len(key)} seeds: OrientMat.bin has {len(matrices)}", path=base / "Key.bin"
        )
    last = key.astype(np.int64).sum(axis=1)
    if len(key) and ((key < 0).any() or last.max() > len(spots)):
        raise FormatError(
            f"spots up to {last.max()}: DiffractionSpots.bin has {len(spots)}",
            path=base / "Key.bin",
        )
    volume = np.linalg.det(matrices)
    if not (np.abs(volume - 1.0) <= _UNIT).all():
        row = int(np.flatnonzero(~(np.abs(volume - 1.0) <= _UNIT))[0])
        raise FormatError(
            f"matrix {row} has determinant {volume[row]:.6g}: expected rotations",
            path=base / "OrientMat.bin",
        )
    y, z, omega = spots.T
    scaled = matrices * (volume ** (-1.0 / 3.0))[:, None, None]  # as the published fit does
    return SeedSpots(y * UM, z * UM, omega * DEG, key, scaled)


def write_seed_spots(folder: str | Path, spots: SeedSpots) -> None:
    """Write the three files of :func:`read_seed_spots`; each is atomic."""
    base = Path(folder)
    table = np.stack([spots.yl_mm / UM, spots.zl_mm / UM, spots.omega_rad / DEG], axis=1)
    for name, array, dtype in (
        ("DiffractionSpots.bin", table, "<f8"),
        ("Key.bin", spots.key, "<i4"),
        ("OrientMat.bin", spots.orientations, "<f8"),
    ):
        with atomic_path(base / name) as temporary:
            temporary.write_bytes(np.ascontiguousarray(array, dtype=dtype).tobytes())
