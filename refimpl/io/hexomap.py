"""Lit pixels that IceNine and HEXOMAP wrote: binary peak files, and the npz stacks made of them.

A binary peak file is a float32 version, then blocks with a header of 20 bytes (magic 0xFEEDBEEF,
four 16-bit numbers: type, format, children, length of the name; 32-bit size; two 16-bit chunk
numbers) and a name: first one without pixels, whose five 32-bit words locate the others, then
first coordinate, second coordinate (uint16), intensity (float32) and number of the peak (uint16).
The published near-field programs write the same with a magic of 1. Pixels are as in the file; who
calls knows their axes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.frames import I64
from refimpl.io.frame_source import BROKEN, first_line
from refimpl.io.lit_files import FramePixels
from refimpl.reading import MOST_OF_TABLES, read_bytes

__all__ = ["PeakFile", "read_ice9_stack", "read_npz_stack", "read_peak_file"]

U16 = NDArray[np.uint16]

_MAGIC = (0xFEEDBEEF, 1)
_HEADER = struct.Struct("<IHHHHIHH")
_MOST_PX = np.iinfo(np.uint16).max + 1


@dataclass(frozen=True, eq=False)
class PeakFile:
    """Pixels of one frame: two coordinates and an intensity (n,) each, as in the file."""

    first: U16
    second: U16
    intensity: NDArray[np.float32]


def read_peak_file(path: str | Path) -> PeakFile:
    """Read one binary peak file (``.bin0``, ``.bin1``, ...).

    Raises
    ------
    FormatError
        Missing, truncated, or another kind of file; blocks of different lengths.
    """
    try:
        data = read_bytes(path, most=MOST_OF_TABLES)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    if not data:
        raise FormatError("the peak file is empty: 0 bytes", path=path)
    at = _skip_header(data, 4, path)[0] + 5 * 4
    columns: list[NDArray[np.generic]] = []
    for dtype in ("<u2", "<u2", "<f4", "<u2"):
        at, size = _skip_header(data, at, path)
        n = size // np.dtype(dtype).itemsize
        if columns and n != len(columns[0]):
            raise FormatError(f"{n} values in a block, {len(columns[0])} in the first", path=path)
        if at + size > len(data):
            raise FormatError(f"truncated: {len(data)} bytes, of {at + size} or more", path=path)
        columns.append(np.frombuffer(data, dtype, n, at))
        at += n * np.dtype(dtype).itemsize
    return PeakFile(
        columns[0].astype(np.uint16), columns[1].astype(np.uint16), columns[2].astype(np.float32)
    )


def _skip_header(data: bytes, at: int, path: str | Path) -> tuple[int, int]:
    """Where a block's content begins, and its bytes."""
    end = at + _HEADER.size
    if end > len(data):
        raise FormatError(f"truncated: {len(data)} bytes, of {end} or more", path=path)
    magic, _, _, _, name_size, size, _, _ = _HEADER.unpack_from(data, at)
    if magic not in _MAGIC or size < name_size:
        raise FormatError(f"not a binary peak file: no block at byte {at}", path=path)
    return end + name_size, size - name_size


def read_ice9_stack(
    files: Sequence[Path], shape_px: tuple[int, int], *, ice9: bool
) -> tuple[FramePixels, int]:
    """Pixels of one distance from a peak file for each frame.

    Parameters
    ----------
    files
        One a frame, in the order of the frames.
    shape_px
        (NY, NZ).
    ice9
        ``Ice9Input``: the second coordinate is turned, Z = NZ - value.

    Returns
    -------
    The pixels, and how many lay outside the detector and were left out: with `ice9` that is where
    the published formula puts those of the file's Z = 0.

    Raises
    ------
    FormatError
        As :func:`read_peak_file`.
    """
    parts: list[I64] = []
    outside = 0
    for path in files:
        peaks = read_peak_file(path)
        y, z = peaks.first.astype(np.int64), peaks.second.astype(np.int64)
        if ice9:
            z = shape_px[1] - z
        inside = (y < shape_px[0]) & (z < shape_px[1])
        outside += int((~inside).sum())
        parts.append(np.unique(y[inside] * shape_px[1] + z[inside]))
    return _joined(parts, shape_px), outside


def read_npz_stack(path: str | Path, *, least: int = 0) -> FramePixels:
    """Pixels of one distance from an npz stack of HEXOMAP's gold crystal.

    The file holds ``x`` and ``y`` (column and row), ``intensity``, ``ptr`` (where each file
    begins) and ``shape`` (rows, columns). HEXOMAP turns the other way: file j is frame N - 1 - j
    of the omega that grows. Its columns grow along +y of the MIDAS frame and its rows along -z, so
    Y = x and Z = rows - 1 - y.

    Parameters
    ----------
    path
        The file.
    least
        Pixels of a smaller intensity are left out.

    Returns
    -------
    Near-field pixels, the frames in the order of growing omega.

    Raises
    ------
    FormatError
        Missing, damaged or another file; pixels outside the detector.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            x, y, intensity, ptr, shape = (
                file[name] for name in ("x", "y", "intensity", "ptr", "shape")
            )
    except BROKEN as error:
        raise FormatError(f"not a readable npz stack: {first_line(error)}", path=path) from error
    arrays = {"x": x, "y": y, "intensity": intensity, "ptr": ptr, "shape": shape}
    for name, array in arrays.items():
        whole = isinstance(array, np.ndarray) and array.dtype.kind in "iu"  # else bytes, not .npy
        if not whole or array.ndim != 1 or (name == "shape" and len(array) != 2):
            what = "two whole numbers" if name == "shape" else "a row of whole numbers"
            raise FormatError(f"not a readable npz stack: {name} is not {what}", path=path)
    n_rows, n_columns = (int(n) for n in shape)
    if not (0 < n_rows <= _MOST_PX and 0 < n_columns <= _MOST_PX):
        raise FormatError(
            f"a detector of {n_rows} x {n_columns} pixels: expected 1 to {_MOST_PX} each",
            path=path,
        )
    _check_npz(path, x, y, intensity, ptr, (n_rows, n_columns))
    parts = []
    for j in range(len(ptr) - 2, -1, -1):
        own = np.arange(int(ptr[j]), int(ptr[j + 1]))
        own = own[intensity[own] >= least]
        parts.append(np.unique(x[own].astype(np.int64) * n_rows + n_rows - 1 - y[own]))
    return _joined(parts, (n_columns, n_rows))


def _check_npz(
    path: str | Path, x: U16, y: U16, intensity: U16, ptr: I64, shape: tuple[int, int]
) -> None:
    n = len(x)
    fits = len(ptr) > 1 and ptr[0] == 0 and ptr[-1] == n and not (np.diff(ptr) < 0).any()
    if len(y) != n or len(intensity) != n or not fits:
        raise FormatError(
            f"{n} x, {len(y)} y, {len(intensity)} intensities: ptr does not part them into frames",
            path=path,
        )
    if n and (min(x.min(), y.min()) < 0 or x.max() >= shape[1] or y.max() >= shape[0]):
        raise FormatError(
            f"pixels of columns {x.min()} to {x.max()}, rows {y.min()} to {y.max()}: outside "
            f"{shape[1]} x {shape[0]}",
            path=path,
        )


def _joined(parts: list[I64], shape_px: tuple[int, int]) -> FramePixels:
    """Frames of flat near-field indices y NZ + z."""
    if not parts:
        raise ConfigError("a stack of no frames: expected at least one")
    y, z = np.divmod(np.concatenate(parts), shape_px[1])
    ptr = np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int64)
    return FramePixels(shape_px, y.astype(np.uint16), z.astype(np.uint16), ptr)
