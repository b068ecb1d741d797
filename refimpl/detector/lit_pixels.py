"""Lit pixels of a near-field stack, kept sparse: what is dark takes one bit for 1024 pixels.

A pixel is (distance, frame, Y, Z). Each frame is cut into tiles of 32 x 32 pixels. One bit a tile
says whether anything in it is lit (``coarse``, 64 tiles a word); the tiles that are lit are stored,
32 rows of 32 bits each, one after the other, and ``rank`` counts those before each word of
``coarse``. A look-up reads one bit where it is dark, which is nearly everywhere, and three words
where not. Memory: 128 bytes a lit tile, and 1.5 bits a tile. Not here: how pixels are found to be
lit (:mod:`refimpl.nearfield.images`), and files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.lit_reach import reached, tiles_near
from refimpl.detector.lit_tiles import (
    I64,
    TILE,
    U32,
    U64,
    Shape,
    joined,
    tiled,
    unpacked,
)
from refimpl.errors import ConfigError

__all__ = ["LitPixels", "lit_at"]


@dataclass(frozen=True, eq=False)
class LitPixels:
    """Which pixels of which frames at which distances are lit.

    Attributes
    ----------
    shape
        Numbers of (distances, frames, Y, Z).
    coarse
        (d, c) uint64; bit ``k % 64`` of word ``k // 64`` is set if tile k holds a lit pixel, with
        k = (frame * tiles in Y + Y // 32) * tiles in Z + Z // 32.
    rank
        (d, c) int32, stored tiles before each word of ``coarse``.
    tiles
        (t, 32) uint32; bit ``Z % 32`` of word ``Y % 32``.
    """

    shape: Shape
    coarse: U64
    rank: NDArray[np.int32]
    tiles: U32

    def __post_init__(self) -> None:
        for array in (self.coarse, self.rank, self.tiles):
            array.flags.writeable = False

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Tiles in Y and in Z."""
        return -(-self.shape[2] // TILE), -(-self.shape[3] // TILE)

    @property
    def n_lit(self) -> int:
        """Number of lit pixels."""
        return int(np.bitwise_count(self.tiles).sum(dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.coarse.nbytes + self.rank.nbytes + self.tiles.nbytes

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    # --- made from ------------------------------------------------------------------------------

    @classmethod
    def from_hits(cls, hits: NDArray[Any], shape: Shape) -> LitPixels:
        """Lit pixels from rows (distance, frame, Y, Z), (n, 4), in any order, with repetitions.

        Raises
        ------
        ConfigError
            Rows of another length, or a pixel outside ``shape``.
        """
        rows = np.asarray(hits)
        if rows.ndim != 2 or rows.shape[1] != 4:
            raise ConfigError(
                f"LitPixels: hits have shape {rows.shape}: expected (n, 4), "
                "distance, frame, Y and Z"
            )
        shape = _checked(shape)
        outside = ((rows < 0) | (rows >= np.array(shape))).any(axis=1)
        if outside.any():
            got = tuple(int(v) for v in rows[np.flatnonzero(outside)[0]])
            raise ConfigError(f"LitPixels: pixel {got} is outside the stack of {shape}")
        d, f, y, z = (rows[:, i].astype(np.int64) for i in range(4))
        return _join(shape, [tiled(shape, d, f, y, z)])

    @classmethod
    def from_frames(
        cls, frames: Iterable[tuple[int, int, NDArray[Any]]], shape: Shape
    ) -> LitPixels:
        """Lit pixels from (distance, frame, image (NY, NZ)) one at a time; not zero is lit.

        An image is indexed [Y, Z], that is, flipped from the raw one. Any order will do; frames
        that do not come are dark; one that comes twice is lit where either is.

        Raises
        ------
        ConfigError
            An image of another size, or a number that is outside ``shape``.
        """
        shape = _checked(shape)
        parts = []
        for distance, frame, image in frames:
            if not (0 <= distance < shape[0] and 0 <= frame < shape[1]):
                raise ConfigError(
                    f"LitPixels: frame {frame} at distance {distance} is outside the stack "
                    f"of {shape}"
                )
            if image.shape != shape[2:]:
                raise ConfigError(
                    f"LitPixels: frame {frame} at distance {distance} has {image.shape} pixels: "
                    f"expected {shape[2:]}"
                )
            at = np.flatnonzero(np.ascontiguousarray(image))
            d, f = np.full(len(at), distance), np.full(len(at), frame)
            parts.append(tiled(shape, d, f, at // shape[3], at % shape[3]))
        return _join(shape, parts)

    @classmethod
    def from_numbers(cls, blocks: Iterable[I64], shape: Shape) -> LitPixels:
        """Lit pixels from their numbers, a block at a time; of a file: refimpl.io.spots_info.

        The number of a pixel is ((distance * frames + frame) * NY + Y) * NZ + Z (spec 1.8).

        Raises
        ------
        ConfigError
            A number that is outside the stack.
        """
        shape = _checked(shape)
        _, frames, ny, nz = shape
        parts = []
        for k in blocks:
            if len(k) and not 0 <= k.min() <= k.max() < int(np.prod(shape, dtype=np.int64)):
                raise ConfigError(f"LitPixels: pixel number {k.max()} is outside {shape}")
            row, z = np.divmod(k, nz)
            frame, y = np.divmod(row, ny)
            d, f = np.divmod(frame, frames)
            parts.append(tiled(shape, d, f, y, z))
        return _join(shape, parts)

    # --- turned into ----------------------------------------------------------------------------

    def pixels(self, first: int = 0, last: int | None = None) -> NDArray[np.int32]:
        """(n, 4) distance, frame, Y, Z of what is lit, of stored tiles first to last (excluded).

        Order: distance, frame, tile, Y, Z.
        """
        return self._pixels(self.tile_keys()[first:last], self.tiles[first:last])

    def _pixels(self, keys: I64, tiles: U32) -> NDArray[np.int32]:
        rows, bits = np.nonzero(unpacked(tiles))
        frame_tiles = self.tile_shape[0] * self.tile_shape[1]
        frame, tile = np.divmod(keys[rows], frame_tiles)
        y = tile // self.tile_shape[1] * TILE + bits // TILE
        z = tile % self.tile_shape[1] * TILE + bits % TILE
        columns = [frame // self.shape[1], frame % self.shape[1], y, z]
        return np.stack(columns, axis=-1).astype(np.int32)

    def tile_keys(self) -> I64:
        """(t,) place of each stored tile, (distance * frames + frame) * tiles of a frame + tile."""
        n = self.shape[1] * self.tile_shape[0] * self.tile_shape[1]
        keys = [
            np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")) + d * n
            for d, row in enumerate(self.coarse)
        ]
        return np.concatenate(keys).astype(np.int64)

    def dilated(self, px: int, frames: int, *, wraps: bool = False) -> LitPixels:
        """Also lit: every pixel within ``px`` in Y and in Z and within ``frames``.

        ``wraps`` joins the last frame to the first: a scan of a whole turn.

        Raises
        ------
        ConfigError
            A negative number.
        """
        if px < 0 or frames < 0:
            raise ConfigError(f"LitPixels: dilated by {px} px and {frames} frames: expected 0 up")
        return _join(self.shape, reached(self, self.shape, 0, 0, px, frames, wraps))

    def coarser(
        self, px_bits: int, frame_bits: int, *, dilate: int = 1, wraps: bool = False
    ) -> LitPixels:
        """Level of a pyramid: cells of 2^px_bits px by 2^frame_bits frames, lit if any pixel is.

        The cells are then dilated by ``dilate`` in Y, Z and frames. The same kernels run on them,
        with :func:`refimpl.objective.overlap.coarser_setup`.

        Raises
        ------
        ConfigError
            A negative number.
        """
        if min(px_bits, frame_bits, dilate) < 0:
            raise ConfigError(
                f"LitPixels: cells of 2^{px_bits} px and 2^{frame_bits} frames dilated by "
                f"{dilate}: expected 0 up"
            )
        d, f, ny, nz = self.shape
        up = ((1 << px_bits) - 1, (1 << frame_bits) - 1)
        shape = (d, (f + up[1]) >> frame_bits, (ny + up[0]) >> px_bits, (nz + up[0]) >> px_bits)
        return _join(shape, reached(self, shape, px_bits, frame_bits, dilate, dilate, wraps))

    def near(self, margin_px: int) -> U64:
        """(c,) like ``coarse[0]``: tiles of the first distance with a lit pixel within a margin.

        A pixel in a tile whose bit is not set is at least ``margin_px + 1`` away, in Y or in Z,
        from anything lit in that frame.
        """
        ty, tz = self.tile_shape
        keys = self.tile_keys()
        keys = keys[: np.searchsorted(keys, self.shape[1] * ty * tz)]
        near = np.zeros(self.coarse.shape[1] * 64, dtype=bool)
        near[tiles_near(keys, self.tiles[: len(keys)], (ty, tz), margin_px)] = True
        return np.packbits(near, bitorder="little").view(np.uint64)


def lit_at(
    coarse: U64,
    rank: NDArray[np.int32],
    tiles: U32,
    tile_shape: tuple[int, int],
    distance: int,
    frame: I64,
    y: I64,
    z: I64,
) -> NDArray[np.bool_]:
    """Whether pixels of one distance are lit; the look-up of every kernel.

    Parameters
    ----------
    coarse, rank, tiles, tile_shape
        Of :class:`LitPixels`.
    distance
        One for all.
    frame, y, z
        Of equal shape; every pixel inside the stack.

    Returns
    -------
    Of their shape.
    """
    k = (frame * tile_shape[0] + (y >> 5)) * tile_shape[1] + (z >> 5)
    word, bit = coarse[distance][k >> 6], (k & 63).astype(np.uint64)
    one = np.uint64(1)
    stored = ((word >> bit) & one) != 0
    below = word & ((one << bit) - one)
    index = rank[distance][k >> 6] + np.bitwise_count(below).astype(np.int64)
    rows = tiles[np.where(stored, index, 0), y & 31] if len(tiles) else np.zeros_like(y, np.uint32)
    found: NDArray[np.bool_] = (rows >> (z & 31).astype(np.uint32)) & np.uint32(1) != 0
    return np.asarray(stored & found)


def _checked(shape: Shape) -> Shape:
    d, f, ny, nz = (int(n) for n in shape)
    if min(d, f, ny, nz) < 1:
        raise ConfigError(
            f"LitPixels: a stack of {(d, f, ny, nz)}: expected positive numbers of distances, "
            "frames, Y and Z"
        )
    return d, f, ny, nz


def _join(shape: Shape, parts: list[tuple[I64, U32]]) -> LitPixels:
    return LitPixels(shape, *joined(shape, parts))
