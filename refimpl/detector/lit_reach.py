"""What lies near lit pixels: dilations, cells of a pyramid, tiles within a margin.

Lit pixels come as :class:`~refimpl.detector.lit_pixels.LitPixels`, which calls this; places in the
stack are numbers ((distance * frames + frame) * NY + Y) * NZ + Z.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from refimpl.detector.lit_tiles import I64, TILE, U32, Shape, tiled

if TYPE_CHECKING:
    from refimpl.detector.lit_pixels import LitPixels

__all__ = ["reached", "tiles_near"]

_BLOCK_PIXELS = 1 << 20  # lit pixels that a dilation spreads at a time


def reached(
    lit: LitPixels,
    shape: Shape,
    px_bits: int,
    frame_bits: int,
    px: int,
    frames: int,
    wraps: bool,
) -> list[tuple[I64, U32]]:
    """Tiles of pixels in cells of powers of two, then dilated; a bounded number at a time.

    Parameters
    ----------
    lit
        The pixels.
    shape
        Of the stack of cells.
    px_bits, frame_bits
        A cell is 2^px_bits px by 2^frame_bits frames.
    px, frames, wraps
        Cells to either side that are lit, too; whether the last frame is beside the first.
    """
    per_tile = max(1.0, lit.n_lit / max(len(lit.tiles), 1))
    step = max(1, int(_BLOCK_PIXELS / per_tile / ((2 * px + 1) ** 2 * (2 * frames + 1))))
    parts = []
    for first in range(0, len(lit.tiles), step):
        d, f, y, z = lit.pixels(first, first + step).astype(np.int64).T
        key = _unique_key(shape, d, f >> frame_bits, y >> px_bits, z >> px_bits)
        for axis, reach in ((3, px), (2, px), (1, frames)):
            key = _spread(key, shape, axis, reach, wraps and axis == 1)
        parts.append(tiled(shape, *_split(key, shape)))
    return parts


def tiles_near(keys: I64, tiles: U32, tile_shape: tuple[int, int], margin_px: int) -> I64:
    """Places of all tiles with a lit pixel within a margin; some corners more than once, or more.

    Parameters
    ----------
    keys, tiles
        (t,) frame * tiles of a frame + tile, and (t, 32) words, of one distance.
    tile_shape
        Tiles of a frame in Y and in Z.
    margin_px
        In Y and in Z.
    """
    ty, tz = tile_shape
    frame, tile = np.divmod(keys, ty * tz)
    rows, columns = tiles != 0, np.bitwise_or.reduce(tiles, axis=1)
    reach = -(-margin_px // TILE)
    found = []
    for dy in range(-reach, reach + 1):
        in_y = rows[:, _band_of(dy, margin_px)].any(axis=1)
        for dz in range(-reach, reach + 1):
            # corners: rows of the band and columns of the other one, not the same pixel: at worst
            # a tile too many
            mask = np.uint32(sum(1 << i for i in range(*_band_of(dz, margin_px).indices(TILE))))
            y, z = tile // tz + dy, tile % tz + dz
            hit = in_y & ((columns & mask) != 0) & (y >= 0) & (y < ty) & (z >= 0) & (z < tz)
            found.append(((frame * ty + y) * tz + z)[hit])
    return np.concatenate(found)


def _band_of(offset: int, margin: int) -> slice:
    """Rows of a tile within ``margin`` of the tile that lies ``offset`` tiles further."""
    if offset == 0:
        return slice(0, TILE)
    if offset > 0:
        return slice(max(TILE * offset - margin, 0), TILE)
    return slice(0, min(max(margin + TILE * (offset + 1), 0), TILE))


def _unique_key(shape: Shape, d: I64, f: I64, y: I64, z: I64) -> I64:
    """Places of pixels in the stack, in order, each once."""
    return np.unique(((d * shape[1] + f) * shape[2] + y) * shape[3] + z)


def _split(key: I64, shape: Shape) -> tuple[I64, I64, I64, I64]:
    """Distance, frame, Y, Z of places in the stack."""
    rest, z = np.divmod(key, shape[3])
    rest, y = np.divmod(rest, shape[2])
    d, f = np.divmod(rest, shape[1])
    return d, f, y, z


def _spread(key: I64, shape: Shape, axis: int, reach: int, wraps: bool) -> I64:
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
