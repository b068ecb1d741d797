"""``SpotsInfo.bin``: one bit for each pixel of each frame at each distance, nearly all of them 0.

Bit k = ((distance n_frames + frame) NY + Y) NZ + Z is set where the pixel is lit; it is bit k & 7
of byte k >> 3 (spec 1.8). The file is read and written in blocks and lit pixels are kept as their
sorted numbers k, so that memory goes with the lit pixels, not with the 1.5 GB of the file; what
is dark is not written but left as a hole of the file, where the file system has holes.
"""

from __future__ import annotations

import errno
import math
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import I64
from refimpl.io.atomic import atomic_path

__all__ = ["lit_blocks", "read_lit", "spots_info_bytes", "write_spots_info"]

_BLOCK = 1 << 20  # bytes read at a time, a multiple of 8: where all is lit, 64 MB of numbers
_PAGE_BITS = 8 * 4096  # what is written at a time where anything is lit: a page of most systems


def spots_info_bytes(shape: tuple[int, int, int, int]) -> int:
    """Size of a file of (distances, frames, NY, NZ): whole words of 32 bits.

    The published size is rounded down; the same wherever the pixels fill words, and else the last
    pixels would be lost.
    """
    return -(-math.prod(shape) // 32) * 4


def lit_blocks(path: str | Path, shape: tuple[int, int, int, int]) -> Iterator[I64]:
    """Numbers of the lit pixels, ascending, a block of the file at a time.

    Parameters
    ----------
    path
        The file.
    shape
        (distances, frames, NY, NZ).

    Yields
    ------
    (n,) int64 numbers k; blocks without a lit pixel are left out.

    Raises
    ------
    FormatError
        No such file; another size than the shape needs; a bit beyond the last pixel.
    """
    bits = math.prod(shape)
    sizes = {spots_info_bytes(shape), bits // 32 * 4}
    try:
        size = Path(path).stat().st_size
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    if size not in sizes:
        what = " x ".join(str(n) for n in shape)
        raise FormatError(
            f"{size} bytes: {what} (distances, frames, NY, NZ) need {max(sizes)}", path=path
        )
    with open(path, "rb") as file:
        start, end = _next_data(file, 0)
        while start < size:
            file.seek(start)
            keys = _lit(file.read(min(_BLOCK, end - start)), start)
            if len(keys) and keys[-1] >= bits:
                raise FormatError(f"bit {keys[-1]} is set: the last pixel is {bits - 1}", path=path)
            if len(keys):
                yield keys
            start, end = _next_data(file, min(start + _BLOCK, end))


def _next_data(file: IO[bytes], start: int) -> tuple[int, int]:
    """First byte from `start` on, in steps of 8, that is not in a hole, and where one begins."""
    if not hasattr(os, "SEEK_DATA"):
        return start, sys.maxsize
    try:
        data = os.lseek(file.fileno(), start, os.SEEK_DATA)
        hole = os.lseek(file.fileno(), data, os.SEEK_HOLE)
    except OSError as error:
        # ENXIO: nothing but a hole up to the end; else a file system that does not tell
        return (sys.maxsize if error.errno == errno.ENXIO else start), sys.maxsize
    return data & ~7, (hole + 7) & ~7


def _lit(content: bytes, start: int) -> I64:
    """Bit numbers of a block that begins at byte `start`."""
    short = -len(content) % 8
    words = np.frombuffer(content + b"\x00" * short, dtype="<u8")
    where = np.flatnonzero(words)
    part = words[where].view(np.uint8).reshape(-1, 8)
    row, bit = np.nonzero(np.unpackbits(part, axis=1, bitorder="little"))
    return np.asarray(8 * start + 64 * where[row].astype(np.int64) + bit)


def read_lit(path: str | Path, shape: tuple[int, int, int, int]) -> LitPixels:
    """Lit pixels of a file; memory goes with what is lit. Raises as :func:`lit_blocks`."""
    return LitPixels.from_numbers(lit_blocks(path, shape), shape)


def write_spots_info(path: str | Path, keys: I64, shape: tuple[int, int, int, int]) -> Path:
    """Write a file; atomic.

    Parameters
    ----------
    path
        The file.
    keys
        (n,) numbers k of the lit pixels, in any order; what stands twice counts once.
    shape
        (distances, frames, NY, NZ).

    Raises
    ------
    ConfigError
        A number beyond the last pixel, or below 0; the file cannot be written.
    """
    k = np.sort(np.asarray(keys, dtype=np.int64))
    bits = math.prod(shape)
    if len(k) and not (k[0] >= 0 and k[-1] < bits):
        raise ConfigError(f"lit pixels {k[0]} to {k[-1]}: a stack of {bits} pixels", path=path)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.truncate(spots_info_bytes(shape))
        pages, first = np.unique(k // _PAGE_BITS, return_index=True)
        for page, own in zip(pages.tolist(), np.split(k, first[1:]), strict=False):
            start = page * (_PAGE_BITS // 8)
            end = (int(own[-1]) >> 3) + 1 - start
            lit = np.zeros(8 * end, dtype=np.uint8)
            lit[own - 8 * start] = 1
            file.seek(start)
            file.write(np.packbits(lit, bitorder="little").tobytes())
    return Path(path)
