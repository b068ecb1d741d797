"""Lit pixels: every way in and out, against sets of tuples; what is refused."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.detector.lit_pixels import LitPixels, lit_at
from refimpl.errors import ConfigError
from refimpl.io.spots_info import read_lit, write_spots_info

Pixels = set[tuple[int, ...]]
SHAPE = (2, 5, 67, 41)  # no multiple of a tile, of a byte or of a word


def some_pixels(rng: np.random.Generator, n: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    corner = rng.choice([0, 20], 2)
    low = np.array([0, 0, *corner])
    return rng.integers(low, np.array(shape), (n, 4))


def as_set(rows: np.ndarray) -> Pixels:
    return {tuple(int(v) for v in row) for row in rows}


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 200))
def test_every_way_gives_the_same_pixels(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    rows = some_pixels(rng, n)
    lit = LitPixels.from_hits(rows, SHAPE)
    assert as_set(lit.pixels()) == as_set(rows)
    assert lit.n_lit == len(as_set(rows))
    dense = np.zeros(SHAPE, dtype=bool)
    dense[tuple(rows.T)] = True
    frames = [(d, f, dense[d, f]) for d in range(SHAPE[0]) for f in range(SHAPE[1])]
    rng.shuffle(frames)  # type: ignore[arg-type]
    numbers = np.split(np.flatnonzero(dense), [n // 3, n // 2])
    others = [LitPixels.from_frames(frames, SHAPE), LitPixels.from_numbers(numbers, SHAPE)]
    for other in others:
        for name in ("coarse", "rank", "tiles"):
            assert np.array_equal(getattr(lit, name), getattr(other, name)), name


@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 60))
def test_lookup_is_that_of_a_dictionary(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    rows = some_pixels(rng, n)
    lit, known = LitPixels.from_hits(rows, SHAPE), as_set(rows)
    asked = np.concatenate([rows, some_pixels(rng, 300)])
    for d in range(SHAPE[0]):
        f, y, z = asked[:, 1:].T
        found = lit_at(lit.coarse, lit.rank, lit.tiles, lit.tile_shape, d, f, y, z)
        assert found.tolist() == [(d, *map(int, row)) in known for row in asked[:, 1:]]


def brute_dilation(
    known: Pixels, shape: tuple[int, ...], px: int, frames: int, wraps: bool
) -> Pixels:
    out = set()
    moves = itertools.product(range(-frames, frames + 1), *[range(-px, px + 1)] * 2)
    for (d, f, y, z), (df, dy, dz) in itertools.product(known, list(moves)):
        to = (d, (f + df) % shape[1] if wraps else f + df, y + dy, z + dz)
        if all(0 <= v < n for v, n in zip(to, shape, strict=True)):
            out.add(to)
    return out


@given(
    seed=st.integers(0, 2**32 - 1),
    px=st.integers(0, 3),
    frames=st.integers(0, 2),
    wraps=st.booleans(),
)
def test_dilation(seed: int, px: int, frames: int, wraps: bool) -> None:
    rows = some_pixels(np.random.default_rng(seed), 12)
    wide = LitPixels.from_hits(rows, SHAPE).dilated(px, frames, wraps=wraps)
    assert as_set(wide.pixels()) == brute_dilation(as_set(rows), SHAPE, px, frames, wraps)


@given(
    seed=st.integers(0, 2**32 - 1),
    a=st.integers(0, 5),
    b=st.integers(0, 2),
    dilate=st.integers(0, 1),
)
def test_a_level_of_the_pyramid(seed: int, a: int, b: int, dilate: int) -> None:
    rows = some_pixels(np.random.default_rng(seed), 12)
    level = LitPixels.from_hits(rows, SHAPE).coarser(a, b, dilate=dilate, wraps=True)
    cell = (1, 1 << b, 1 << a, 1 << a)
    shape = tuple(-(-n // c) for n, c in zip(SHAPE, cell, strict=True))
    assert level.shape == shape
    cells = {tuple(v // c for v, c in zip(row, cell, strict=True)) for row in as_set(rows)}
    assert as_set(level.pixels()) == brute_dilation(cells, shape, dilate, dilate, True)


@given(seed=st.integers(0, 2**32 - 1), margin=st.sampled_from([0, 1, 5, 31, 32, 33, 70]))
def test_a_tile_not_near_has_nothing_within_the_margin(seed: int, margin: int) -> None:
    shape = (2, 3, 200, 170)
    rows = some_pixels(np.random.default_rng(seed), 3, shape)
    lit = LitPixels.from_hits(rows, shape)
    bits = np.unpackbits(lit.near(margin).view(np.uint8), bitorder="little")
    ty, tz = lit.tile_shape
    near = bits[: 3 * ty * tz].reshape(3, ty, tz).astype(bool)
    assert not bits[3 * ty * tz :].any()
    wide = LitPixels.from_hits(rows[rows[:, 0] == 0], shape).dilated(margin, 0).pixels()
    needed = np.zeros_like(near)
    needed[wide[:, 1], wide[:, 2] // 32, wide[:, 3] // 32] = True
    assert (near | ~needed).all()
    if margin == 0:
        assert np.array_equal(near, needed)
    # and not much more than needed: no tile that a margin of a tile more would not reach
    wider = LitPixels.from_hits(rows[rows[:, 0] == 0], shape).dilated(margin + 32, 0).pixels()
    allowed = np.zeros_like(near)
    allowed[wider[:, 1], wider[:, 2] // 32, wider[:, 3] // 32] = True
    assert (allowed | ~near).all()


def test_blocks_of_bits_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file larger than a block, the blocks cutting frames and tiles anywhere."""
    rows = some_pixels(np.random.default_rng(3), 400)
    lit = LitPixels.from_hits(rows, SHAPE)
    monkeypatch.setattr("refimpl.detector.lit_reach._BLOCK_PIXELS", 10)
    monkeypatch.setattr("refimpl.io.spots_info._BLOCK", 56)
    numbers = np.ravel_multi_index(tuple(rows.T), SHAPE)
    again = read_lit(write_spots_info(tmp_path / "SpotsInfo.bin", numbers, SHAPE), SHAPE)
    assert np.array_equal(again.tiles, lit.tiles)
    assert np.array_equal(again.coarse, lit.coarse)
    assert as_set(lit.dilated(1, 1).pixels()) == brute_dilation(as_set(rows), SHAPE, 1, 1, False)


def test_memory_is_that_of_what_is_lit() -> None:
    """The size of the gold case, 1.5 GB of bits: a few megabytes."""
    rng = np.random.default_rng(1)
    shape = (2, 1440, 2048, 2048)
    lit = LitPixels.from_hits(rng.integers(0, shape, (2000, 4)), shape)
    # 2.9 million tiles of 1.5 bits, and 128 bytes for each of 2000
    assert lit.nbytes < 2.3e6 + 2000 * 128
    other = pickle.loads(pickle.dumps(lit))
    assert np.array_equal(other.tiles, lit.tiles)
    assert not other.tiles.flags.writeable


def test_an_empty_stack() -> None:
    lit = LitPixels.from_hits(np.zeros((0, 4), dtype=int), SHAPE)
    assert lit.n_lit == 0
    assert lit.pixels().shape == (0, 4)
    assert lit.coarser(2, 1).n_lit == lit.dilated(1, 1).n_lit == 0
    one = np.zeros(3, dtype=np.int64)
    assert not lit_at(lit.coarse, lit.rank, lit.tiles, lit.tile_shape, 0, one, one, one).any()


@pytest.mark.parametrize(
    ("hits", "message"),
    [
        (np.zeros((3, 5)), r"hits have shape \(3, 5\): expected \(n, 4\)"),
        (np.array([[0, 0, 67, 0]]), r"pixel \(0, 0, 67, 0\) is outside the stack of \(2, 5, 67"),
        (np.array([[0, -1, 6, 0]]), r"pixel \(0, -1, 6, 0\) is outside"),
    ],
)
def test_hits_refused(hits: np.ndarray, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LitPixels.from_hits(hits, SHAPE)


def test_other_input_refused() -> None:
    with pytest.raises(ConfigError, match=r"a stack of \(2, 0, 67, 41\): expected positive"):
        LitPixels.from_hits(np.zeros((0, 4)), (2, 0, 67, 41))
    image = np.zeros((67, 41))
    with pytest.raises(ConfigError, match="frame 5 at distance 1 is outside the stack"):
        LitPixels.from_frames([(1, 5, image)], SHAPE)
    with pytest.raises(ConfigError, match=r"frame 2 at distance 0 has \(41, 67\) pixels: expected"):
        LitPixels.from_frames([(0, 2, image.T)], SHAPE)
    with pytest.raises(ConfigError, match=r"pixel number 27470 is outside \(2, 5, 67, 41\)"):
        LitPixels.from_numbers([np.array([0, 27470])], SHAPE)
    lit = LitPixels.from_hits(np.zeros((0, 4)), SHAPE)
    with pytest.raises(ConfigError, match="dilated by -1 px and 0 frames: expected 0 up"):
        lit.dilated(-1, 0)
    with pytest.raises(ConfigError, match=r"cells of 2\^-2 px and 2\^0 frames dilated by 1"):
        lit.coarser(-2, 0)
