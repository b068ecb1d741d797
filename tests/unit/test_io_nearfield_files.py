"""Grid, seeds, grains, spots of seeds and lit pixels: round trips, goldens, bad files."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import ConfigError, FormatError
from refimpl.io.grains_csv import format_grains, read_grains, write_grains
from refimpl.io.nearfield_files import (
    SeedSpots,
    format_grid,
    format_seeds,
    read_grid,
    read_seed_spots,
    read_seeds,
    write_grid,
    write_seed_spots,
    write_seeds,
)
from refimpl.io.spots_info import (
    lit_blocks,
    read_lit,
    spots_info_bytes,
    write_spots_info,
)
from refimpl.rotations import matrix_of_quaternion, quaternion_of_matrix

SHAPE = (2, 3, 16, 32)
AU = (2, 1440, 2048, 2048)


# --- grid


def test_the_published_grid_is_written_back(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    path = real_data("nearfield-golden/au_grid.txt")
    grid = read_grid(path)
    assert len(grid) == 3456
    np.testing.assert_allclose(grid.edge_mm, 0.001, rtol=1e-15)
    assert (int(grid.up.sum()), bool(grid.up[0])) == (1728, False)
    write_grid(tmp_path / "grid.txt", grid)
    assert (tmp_path / "grid.txt").read_bytes() == path.read_bytes()
    assert format_grid(grid[:1]) == "1\n0.577350 0.288675 -28.750000 -50.518149 0.500000\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "grid.txt:1: '': expected the number of grid points"),
        ("1 2\n", "grid.txt:1: '1 2': expected the number of grid points"),
        ("1\n0.5 0.3 1\n", "grid.txt:2: 3 numbers: expected 5"),
        ("1\n0.5 0.3 x 1 2\n", "grid.txt:2: '0.5 0.3 x 1 2': expected numbers"),
        ("1\n0.6 0.3 0 0 0.5\n", "grid.txt:2: '0.6 0.3 0 0 0.5': not an equilateral triangle"),
        ("2\n\n0.57735 0.288675 0 0 0.5\n", "grid.txt: 1 grid points: the first line says 2"),
    ],
)
def test_grids_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "grid.txt").write_text(text)
    with pytest.raises(FormatError, match=re.escape(message)):
        read_grid(tmp_path / "grid.txt")


# --- seeds and grains


def test_seeds_of_grains_are_the_published_list(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    grains = read_grains(real_data("nearfield-golden/grs.csv"))
    q = quaternion_of_matrix(grains.orientations)
    write_seeds(tmp_path / "s.txt", q, grains.cells, grains.ids, decimals=6)
    golden = real_data("nearfield-golden/au_seeds4.txt")
    assert (tmp_path / "s.txt").read_bytes() == golden.read_bytes()
    np.testing.assert_allclose(read_seeds(golden, 4), q, atol=1e-6)  # 6 decimals


def test_seeds_are_scaled_and_turned_to_positive_w(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("# mine\n-0.6,0.0,-0.8000004,0.0\n\n1,0,0,0,4.08,x\n")
    q = read_seeds(tmp_path / "s.txt")
    np.testing.assert_allclose(q, [[0.6, 0.0, 0.8, 0.0], [1.0, 0.0, 0.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose((q * q).sum(axis=1), 1.0, rtol=1e-15)
    assert format_seeds(np.array([[1.0, 0.0, 0.0, 0.0]])).startswith("1.000000000,0.000000000")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.txt: no seeds: expected lines w,x,y,z"),
        ("1,0,0,0\n0.5 0.5 0.5 0.5\n", "s.txt:2: '0.5 0.5 0.5 0.5': expected numbers"),
        ("1,0,0\n", "s.txt:1: '1,0,0': expected a seed w,x,y,z, parted by commas"),
        ("1,0,0,nan\n", "s.txt:1: '1,0,0,nan': expected a seed"),
        ("# 1\n1,0,0,0\n\n1,1,0,0\n", "s.txt:4: norm 1.41421: expected a quaternion w,x,y,z"),
        ("0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9\n", "s.txt:1: norm 0.547723: expected a quaternion"),
    ],
)
def test_seeds_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "s.txt").write_text(text)
    with pytest.raises(FormatError, match=re.escape(message)):
        read_seeds(tmp_path / "s.txt")


def test_seeds_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_bytes(np.ones(8).tobytes())
    with pytest.raises(FormatError, match="not a text file"):
        read_seeds(tmp_path / "s.txt")
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_seeds(tmp_path / "no.txt")


def test_fault_11_a_wrong_number_of_seeds_is_told_before_anything_is_written(
    tmp_path: Path,
) -> None:
    """Published: MakeDiffrSpots writes beyond its array of seeds, then reports the number."""
    write_seeds(tmp_path / "s.txt", np.tile([1.0, 0.0, 0.0, 0.0], (3, 1)))
    assert len(read_seeds(tmp_path / "s.txt", 3)) == 3
    with pytest.raises(FormatError, match=r"s\.txt: 3 seeds: NrOrientations is 2"):
        read_seeds(tmp_path / "s.txt", 2)


def test_grains_are_written_with_the_published_header(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    grains = read_grains(real_data("nearfield-golden/grs.csv"))
    assert len(grains) == 4
    assert grains.cells[0].tolist() == [4.08, 4.08, 4.08, 90.0, 90.0, 90.0]
    assert np.isnan(grains.confidence).all()
    write_grains(tmp_path / "Grains.csv", grains, 225)
    text = (tmp_path / "Grains.csv").read_text()
    assert text == format_grains(grains, 225)
    lines = text.splitlines()
    assert lines[0] == "%NumGrains 4"
    assert [line[0] for line in lines[:10]] == ["%"] * 9 + ["1"]
    back = read_grains(tmp_path / "Grains.csv")
    np.testing.assert_allclose(back.orientations, grains.orientations, atol=1e-12)
    assert back.confidence.tolist() == [1.0] * 4
    assert back.ids.tolist() == [1, 2, 3, 4]


GRAIN = "1 1 0 0 0 1 0 0 0 1 0 0 0 4.08 4.08 4.08 90 90 90"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%NumGrains 0\n", "g.csv: no grains: expected lines 'ID U11 .. U33 x y z a b c ...'"),
        ("%\n1 2 3\n", "g.csv:2: '1 2 3': expected 'ID U11 .. U33 x y z a b c alpha beta"),
        (GRAIN.replace("1 0 0 0 1", "2 0 0 0 1", 1), "g.csv:1: the matrix of grain 1 is not a"),
        (GRAIN.replace("90 90 90", "90 0 90"), "g.csv:1: the cell of grain 1 is not positive"),
    ],
)
def test_grains_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(FormatError, match=re.escape(message)):
        read_grains(tmp_path / "g.csv")
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_grains(tmp_path / "no.csv")


# --- spots of seeds


def _spots() -> SeedSpots:
    q = np.array([[1.0, 0.0, 0.0, 0.0], [0.6, 0.0, 0.8, 0.0]])
    key = np.array([[2, 0], [1, 2]], dtype=np.int32)
    y, z, omega = np.array([[0.5, -0.5, 0.25], [1.0, 1.5, 2.0], [-1.0, 0.5, 3.0]])
    return SeedSpots(y, z, omega, key, matrix_of_quaternion(q))


def test_spots_of_seeds_come_back(tmp_path: Path) -> None:
    spots = _spots()
    write_seed_spots(tmp_path, spots)
    raw = np.fromfile(tmp_path / "DiffractionSpots.bin", dtype="<f8").reshape(-1, 3)
    np.testing.assert_allclose(raw[0], [500.0, 1000.0, -180.0 / np.pi], rtol=1e-15)
    back = read_seed_spots(tmp_path)
    for name in ("yl_mm", "zl_mm", "omega_rad", "orientations"):
        # um and degrees and back: a rounding or two
        np.testing.assert_allclose(getattr(back, name), getattr(spots, name), rtol=1e-15)
    np.testing.assert_array_equal(back.key, spots.key)


def test_published_spots_of_seeds(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    golden = np.load(real_data("nearfield-golden/au_makediffrspots4.npz"))
    (tmp_path / "DiffractionSpots.bin").write_bytes(golden["spots"].tobytes())
    (tmp_path / "Key.bin").write_bytes(golden["key"].tobytes())
    (tmp_path / "OrientMat.bin").write_bytes(golden["orientmat"].tobytes())
    spots = read_seed_spots(tmp_path)
    assert spots.key[:, 0].sum() == len(spots.yl_mm) == 382
    # 6 decimals of the quaternions in its input
    np.testing.assert_allclose(np.linalg.det(spots.orientations), 1.0, rtol=1e-14)


def test_spots_of_seeds_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"DiffractionSpots\.bin: cannot be read: No such file"):
        read_seed_spots(tmp_path)
    files = {
        "DiffractionSpots.bin": np.zeros((3, 3)), "Key.bin": np.array([[3, 0]], dtype="<i4"),
        "OrientMat.bin": np.eye(3),
    }  # fmt: skip
    for name, change, message in (
        ("DiffractionSpots.bin", np.zeros(4), "DiffractionSpots.bin: 32 bytes: rows have 24"),
        ("Key.bin", np.array([[4, 0]], dtype="<i4"), "Key.bin: spots up to 4: DiffractionSpots"),
        ("OrientMat.bin", np.zeros((2, 9)), "Key.bin: 1 seeds: OrientMat.bin has 2"),
        ("OrientMat.bin", -np.eye(3), "OrientMat.bin: matrix 0 has determinant -1: expected rot"),
    ):
        for file, content in (files | {name: change}).items():
            (tmp_path / file).write_bytes(content.tobytes())
        with pytest.raises(FormatError, match=re.escape(message)):
            read_seed_spots(tmp_path)


# --- lit pixels


def numbers_in(path: Path, shape: tuple[int, int, int, int]) -> np.ndarray:
    """Numbers of the lit pixels of a file, ascending."""
    rows = read_lit(path, shape).pixels().astype(np.int64)
    return np.sort(np.ravel_multi_index(tuple(rows.T), shape))


@given(st.sets(st.integers(0, int(np.prod(SHAPE)) - 1), max_size=60))
def test_lit_pixels_come_back(tmp_path_factory: pytest.TempPathFactory, lit: set[int]) -> None:
    path = tmp_path_factory.getbasetemp() / "bits.bin"
    keys = np.array([*lit, *lit], dtype=np.int64)
    write_spots_info(path, keys, SHAPE)
    np.testing.assert_array_equal(numbers_in(path, SHAPE), sorted(lit))
    bits = np.unpackbits(np.fromfile(path, dtype=np.uint8), bitorder="little")
    np.testing.assert_array_equal(np.flatnonzero(bits), sorted(lit))


def test_pixels_that_do_not_fill_words_are_not_lost(tmp_path: Path) -> None:
    """Published: the size is rounded down to words, here to 0."""
    shape = (1, 1, 3, 5)
    write_spots_info(tmp_path / "b", np.array([14]), shape)
    assert spots_info_bytes(shape) == (tmp_path / "b").stat().st_size == 4
    assert numbers_in(tmp_path / "b", shape).tolist() == [14]
    (tmp_path / "b").write_bytes(b"")
    assert numbers_in(tmp_path / "b", shape).tolist() == []


def test_a_file_of_the_published_size_is_a_few_pages(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    sparse = np.load(real_data("nearfield-golden/au_spotsinfo_sparse.npz"))
    index = [sparse[name].astype(np.int64) for name in ("layer", "frame", "y", "z")]
    keys = np.sort(np.ravel_multi_index(index, AU))
    path = tmp_path / "SpotsInfo.bin"
    write_spots_info(path, keys, AU)
    assert path.stat().st_size == 1_509_949_440
    if path.stat().st_blocks * 512 > 100e6:
        pytest.skip("the file system has no holes: this would read 1.5 GB")
    np.testing.assert_array_equal(numbers_in(path, AU), keys)
    assert max(len(block) for block in lit_blocks(path, AU)) < len(keys)


def test_holes_are_read_where_they_cannot_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    write_spots_info(tmp_path / "b", np.array([5, 77]), SHAPE)
    if hasattr(os, "SEEK_DATA"):
        monkeypatch.delattr(os, "SEEK_DATA")
    assert numbers_in(tmp_path / "b", SHAPE).tolist() == [5, 77]


def test_lit_pixels_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "b"
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        numbers_in(path, SHAPE)
    path.write_bytes(b"\x00" * 10)
    what = "10 bytes: 2 x 3 x 16 x 32 (distances, frames, NY, NZ) need 384"
    with pytest.raises(FormatError, match=re.escape(what)):
        numbers_in(path, SHAPE)
    path.write_bytes(b"\x00\x80\x00\x00")
    with pytest.raises(FormatError, match="bit 15 is set: the last pixel is 14"):
        numbers_in(path, (1, 1, 3, 5))
    with pytest.raises(ConfigError, match="lit pixels 0 to 3072: a stack of 3072 pixels"):
        write_spots_info(path, np.array([0, 3072]), SHAPE)
