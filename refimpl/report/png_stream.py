"""A grey PNG that is written a band of lines at a time, so that none is too large for the memory.

Format: W3C PNG specification, third edition: 8 bits, colour type 0, each line with filter 1 (Sub)
or 2 (Up), whichever leaves the smaller sum, as its clause 12.7 advises.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.io.atomic import atomic_path

__all__ = ["MOST_PX", "GreyPng", "grey_png"]

MOST_PX = 2**31 - 1
"""Longest side that the format has."""


class GreyPng:
    """Takes bands of lines, from the top, until the picture is full.

    Parameters
    ----------
    file
        Open for writing bytes.
    width, height
        Of the whole picture [px].
    """

    def __init__(self, file: BinaryIO, width: int, height: int) -> None:
        if not (0 < width <= MOST_PX and 0 < height <= MOST_PX):
            raise ConfigError(f"a picture of {width} x {height} px: sides are 1 to {MOST_PX}")
        self.width, self.height, self.lines = width, height, 0
        self._file, self._deflate = file, zlib.compressobj(6)
        self._above = np.zeros(width, dtype=np.uint8)
        file.write(b"\x89PNG\r\n\x1a\n")
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))

    def _chunk(self, kind: bytes, data: bytes) -> None:
        check = zlib.crc32(data, zlib.crc32(kind))
        self._file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check))

    def write(self, band: NDArray[np.uint8]) -> None:
        """Append (lines, width) grey values.

        Raises
        ------
        ConfigError
            It is not as wide as the picture, or there is no room left for it.
        """
        if band.ndim != 2 or band.shape[1] != self.width or band.dtype != np.uint8:
            raise ConfigError(
                f"a band {band.shape} of {band.dtype}: expected (n, {self.width}) uint8"
            )
        if self.lines + len(band) > self.height:
            raise ConfigError(f"{self.lines + len(band)} lines for a picture of {self.height}")
        if not len(band):
            return
        left = np.diff(band, axis=1, prepend=np.uint8(0))
        up = np.diff(band, axis=0, prepend=self._above[None])
        cost = [np.abs(lines.view(np.int8).astype(np.int16)).sum(axis=1) for lines in (left, up)]
        upward = cost[1] < cost[0]
        lines = np.empty((len(band), self.width + 1), dtype=np.uint8)
        lines[:, 0] = np.where(upward, 2, 1)
        lines[:, 1:] = np.where(upward[:, None], up, left)
        self._above = band[-1].copy()
        self.lines += len(band)
        if data := self._deflate.compress(lines.tobytes()):
            self._chunk(b"IDAT", data)

    def close(self) -> None:
        """Write what is left.

        Raises
        ------
        ConfigError
            Lines are missing.
        """
        if self.lines != self.height:
            raise ConfigError(f"{self.lines} lines for a picture of {self.height}")
        self._chunk(b"IDAT", self._deflate.flush())
        self._chunk(b"IEND", b"")


@contextmanager
def grey_png(path: str | os.PathLike[str], width: int, height: int) -> Iterator[GreyPng]:
    """Open a picture to be written band by band; the file appears whole or not at all.

    Raises
    ------
    ConfigError
        The file cannot be written, or the picture was not filled.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        picture = GreyPng(file, width, height)
        yield picture
        picture.close()
