"""Lit pixels of a near-field stack, kept sparse: what is dark takes one bit for 1024 pixels.

A pixel is (distance, frame, Y, Z). Each frame is cut into tiles of 32 x 32 pixels. One bit a tile
says whether anything in it is lit (``coarse``, 64 tiles a word); the tiles that are lit are stored,
32 rows of 32 bits each, one after the other, and ``rank`` counts those before each word of
``coarse``. A look-up reads one bit where it is dark, which is nearly everywhere, and three words
where not. Memory: 128 bytes a lit tile, and 1.5 bits a tile. Not here: how pixels are found to be
lit (:mod:`refimpl.nearfield.images`), and files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.lit_tiles import (
    I64,
    TILE,
    U32,
    Shape,
    band_of,
    of_bytes,
    split,
    spread,
    tiled,
    unique_key,
    unpacked,
)
from refimpl.errors import ConfigError, FormatError

__all__ = ["LitPixels", "lit_at"]

U64 = NDArray[np.uint64]

_BLOCK = 1 << 23  # bytes of packed bits, or of anything that is as large, handled at a time
_BLOCK_PIXELS = 1 << 20  # lit pixels that a dilation spreads at a time


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
    def from_bits(cls, packed: bytes | NDArray[np.uint8], shape: Shape) -> LitPixels:
        """Lit pixels from packed bits as published (spec 1.8); of a file: refimpl.io.spots_info.

        Bit k = ((distance * frames + frame) * NY + Y) * NZ + Z is bit k % 8 of byte k // 8. The
        published size is floor(bits / 32) * 4 bytes; up to 31 last bits may be missing.

        Raises
        ------
        FormatError
            Another number of bytes.
        """
        shape = _checked(shape)
        n_bits = int(np.prod([int(n) for n in shape]))
        data = np.frombuffer(packed, dtype=np.uint8)
        if not n_bits // 32 * 4 <= data.size <= -(-n_bits // 32) * 4:
            raise FormatError(
                f"packed bits of {data.size} bytes: expected {n_bits // 32 * 4} for {shape[0]} "
                f"distances, {shape[1]} frames and {shape[2]} x {shape[3]} pixels"
            )
        starts = range(0, data.size, _BLOCK)
        return _join(shape, [of_bytes(shape, data[k : k + _BLOCK], k) for k in starts])

    @classmethod
    def from_numbers(cls, blocks: Iterable[I64], shape: Shape) -> LitPixels:
        """Lit pixels from their numbers k, see :meth:`from_bits`, a block at a time.

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

    def bits(self) -> Iterator[bytes]:
        """Packed bits as published, in blocks of bytes; see :meth:`from_bits`."""
        _, _, ny, nz = self.shape
        size = int(np.prod([int(n) for n in self.shape])) // 32 * 4
        keys = self.tile_keys()
        frame = keys // (self.tile_shape[0] * self.tile_shape[1])
        for start in range(0, size, _BLOCK):
            stop = min(start + _BLOCK, size)
            of_frames = (start * 8 // (ny * nz), (stop * 8 - 1) // (ny * nz))
            first, last = np.searchsorted(frame, [of_frames[0], of_frames[1] + 1])
            rows = slice(int(first), int(last))
            d, f, y, z = self._pixels(keys[rows], self.tiles[rows]).astype(np.int64).T
            at = ((d * self.shape[1] + f) * ny + y) * nz + z - start * 8
            at = at[(at >= 0) & (at < (stop - start) * 8)]
            block = np.zeros(stop - start, dtype=np.uint8)
            np.bitwise_or.at(block, at >> 3, (1 << (at & 7)).astype(np.uint8))
            yield block.tobytes()

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
        return _remapped(self, self.shape, 0, 0, px, frames, wraps)

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
        return _remapped(self, shape, px_bits, frame_bits, dilate, dilate, wraps)

    def near(self, margin_px: int) -> U64:
        """(c,) like ``coarse[0]``: tiles of the first distance with a lit pixel within a margin.

        A pixel in a tile whose bit is not set is at least ``margin_px + 1`` away, in Y or in Z,
        from anything lit in that frame.
        """
        ty, tz = self.tile_shape
        keys = self.tile_keys()
        keys = keys[: np.searchsorted(keys, self.shape[1] * ty * tz)]
        words = self.tiles[: len(keys)]
        frame, tile = np.divmod(keys, ty * tz)
        rows, columns = words != 0, np.bitwise_or.reduce(words, axis=1)
        out = np.zeros(self.coarse.shape[1] * 64, dtype=bool)
        reach = -(-margin_px // TILE)
        for dy in range(-reach, reach + 1):
            band = rows[:, band_of(dy, margin_px)]
            in_y = band.any(axis=1)
            for dz in range(-reach, reach + 1):
                # corners: rows of the band and columns of the other one, not the same pixel:
                # at worst a bit too many
                mask = np.uint32(sum(1 << i for i in range(*band_of(dz, margin_px).indices(TILE))))
                y, z = tile // tz + dy, tile % tz + dz
                hit = in_y & ((columns & mask) != 0) & (y >= 0) & (y < ty) & (z >= 0) & (z < tz)
                out[((frame * ty + y) * tz + z)[hit]] = True
        return np.packbits(out, bitorder="little").view(np.uint64)


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
    """One value of tiles that come in runs; a tile that comes more than once is the union."""
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
    return LitPixels(shape, coarse, before.reshape(coarse.shape).astype(np.int32), tiles)


def _remapped(
    lit: LitPixels,
    shape: Shape,
    px_bits: int,
    frame_bits: int,
    px: int,
    frames: int,
    wraps: bool,
) -> LitPixels:
    """Pixels in cells of powers of two, then dilated; a bounded number of them at a time."""
    per_tile = max(1.0, lit.n_lit / max(len(lit.tiles), 1))
    step = max(1, int(_BLOCK_PIXELS / per_tile / ((2 * px + 1) ** 2 * (2 * frames + 1))))
    parts = []
    for first in range(0, len(lit.tiles), step):
        d, f, y, z = lit.pixels(first, first + step).astype(np.int64).T
        key = unique_key(shape, d, f >> frame_bits, y >> px_bits, z >> px_bits)
        for axis, reach in ((3, px), (2, px), (1, frames)):
            key = spread(key, shape, axis, reach, wraps and axis == 1)
        parts.append(tiled(shape, *split(key, shape)))
    return _join(shape, parts)
