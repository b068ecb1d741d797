"""Tiles of 32 x 32 pixels, 32 words each: made from pixels, from packed bits, and spread.

A tile is known by its place (distance * frames + frame) * tiles of a frame + tile of the frame.
Not here: what looks them up, see :mod:`refimpl.detector.lit_pixels`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "TILE",
    "band_of",
    "of_bytes",
    "split",
    "spread",
    "tiled",
    "unique_key",
    "unpacked",
]

TILE = 32
"""Rows and columns of a tile."""

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
Shape = tuple[int, int, int, int]  # distances, frames, Y, Z


def band_of(offset: int, margin: int) -> slice:
    """Rows of a tile within ``margin`` of the tile that lies ``offset`` tiles further."""
    if offset == 0:
        return slice(0, TILE)
    if offset > 0:
        return slice(max(TILE * offset - margin, 0), TILE)
    return slice(0, min(max(margin + TILE * (offset + 1), 0), TILE))


def unpacked(tiles: U32) -> NDArray[np.uint8]:
    """(t, 1024) bits of tiles, row by row."""
    as_bytes = tiles.astype("<u4", copy=False).view(np.uint8)
    return np.unpackbits(as_bytes, bitorder="little").reshape(len(tiles), TILE * TILE)


def tiled(shape: Shape, d: I64, f: I64, y: I64, z: I64) -> tuple[I64, U32]:
    """Keys (t,) in order and words (t, 32) of the tiles that hold some pixels."""
    ty, tz = -(-shape[2] // TILE), -(-shape[3] // TILE)
    key = ((d * shape[1] + f) * ty + (y >> 5)) * tz + (z >> 5)
    keys, inverse = np.unique(key, return_inverse=True)
    words = np.zeros((len(keys), TILE), dtype=np.uint32)
    bit = np.uint32(1) << (z & 31).astype(np.uint32)
    np.bitwise_or.at(words, (inverse.reshape(-1), y & 31), bit)
    return keys, words


def of_bytes(shape: Shape, data: NDArray[np.uint8], start: int) -> tuple[I64, U32]:
    """Tiles of a run of packed bits that begins at byte ``start``."""
    at = np.flatnonzero(data)
    rows, bits = np.nonzero(np.unpackbits(data[at][:, None], axis=1, bitorder="little"))
    k = (at[rows] + start) * 8 + bits
    k = k[k < int(np.prod([int(n) for n in shape]))]
    k, z = np.divmod(k, shape[3])
    k, y = np.divmod(k, shape[2])
    d, f = np.divmod(k, shape[1])
    return tiled(shape, d, f, y, z)


def unique_key(shape: Shape, d: I64, f: I64, y: I64, z: I64) -> I64:
    """Places of pixels in the stack, in order, each once."""
    return np.unique(((d * shape[1] + f) * shape[2] + y) * shape[3] + z)


def split(key: I64, shape: Shape) -> tuple[I64, I64, I64, I64]:
    """Distance, frame, Y, Z of places in the stack."""
    rest, z = np.divmod(key, shape[3])
    rest, y = np.divmod(rest, shape[2])
    d, f = np.divmod(rest, shape[1])
    return d, f, y, z


def spread(key: I64, shape: Shape, axis: int, reach: int, wraps: bool) -> I64:
    """Keys and those up to ``reach`` away along one axis."""
    if reach == 0:
        return key
    stride = int(np.prod([int(n) for n in shape[axis + 1 :]]))
    n = shape[axis]
    place = key // stride % n
    parts: list[I64] = []
    for move in range(-reach, reach + 1):
        to = place + move
        if wraps:
            parts.append(key + (to % n - place) * stride)
        else:
            inside = (to >= 0) & (to < n)
            parts.append(key[inside] + move * stride)
    return np.unique(np.concatenate(parts))
