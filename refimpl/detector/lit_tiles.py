"""Tiles of 32 x 32 pixels, 32 words each: made from pixels, joined, and unpacked again.

A tile is known by its place (distance * frames + frame) * tiles of a frame + tile of the frame.
Not here: what looks them up, see :mod:`refimpl.detector.lit_pixels`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["TILE", "joined", "tiled", "unpacked"]

TILE = 32
"""Rows and columns of a tile."""

I64 = NDArray[np.int64]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
Shape = tuple[int, int, int, int]  # distances, frames, Y, Z


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


def joined(shape: Shape, parts: list[tuple[I64, U32]]) -> tuple[U64, NDArray[np.int32], U32]:
    """Runs of tiles as they are looked up; a tile that comes more than once is the union.

    Returns
    -------
    ``coarse``, ``rank`` and ``tiles`` of :class:`~refimpl.detector.lit_pixels.LitPixels`.
    """
    keys = np.concatenate([np.zeros(0, np.int64), *(p[0] for p in parts)])
    tiles = np.concatenate([np.zeros((0, TILE), np.uint32), *(p[1] for p in parts)])
    if not (np.diff(keys) > 0).all():
        keys, inverse = np.unique(keys, return_inverse=True)
        merged = np.zeros((len(keys), TILE), dtype=np.uint32)
        np.bitwise_or.at(merged, inverse.reshape(-1), tiles)
        tiles = merged
    per_distance = shape[1] * -(-shape[2] // TILE) * -(-shape[3] // TILE)
    words = -(-per_distance // 64)
    coarse = np.zeros((shape[0], words), dtype=np.uint64)
    distance, k = np.divmod(keys, per_distance)
    bit = np.uint64(1) << (k & 63).astype(np.uint64)
    np.bitwise_or.at(coarse, (distance, k >> 6), bit)
    stored = np.bincount(distance * words + (k >> 6), minlength=shape[0] * words)
    before = np.cumsum(stored) - stored
    return coarse, before.reshape(coarse.shape).astype(np.int32), tiles
