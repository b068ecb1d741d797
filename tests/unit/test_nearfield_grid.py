"""Grids of the near field: the published rows, triangles that tile, masks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.forward.nearfield_setup import NearfieldDetector, Voxels
from refimpl.frames import F64
from refimpl.io.nearfield_files import format_grid, write_grid
from refimpl.nearfield.grid import (
    check_view,
    grid_of,
    grid_points,
    hex_grid,
    masked_by_box,
    masked_by_image,
    read_tomo_image,
    square_grid,
)
from refimpl.nearfield.settings import GridTable


def _times_covered(grid: Voxels, points: F64) -> Any:
    """How many triangles each point is in."""
    a, b, c = np.moveaxis(grid.vertices(), 1, 0)
    p = points[:, None, :]

    def side(u: F64, v: F64) -> F64:
        w = v - u
        return np.asarray(w[:, 0] * (p[..., 1] - u[:, 1]) - w[:, 1] * (p[..., 0] - u[:, 0]))

    sides = np.stack([side(a, b), side(b, c), side(c, a)])
    return ((sides > 0).all(axis=0) | (sides < 0).all(axis=0)).sum(axis=1)


def test_the_published_grid_byte_for_byte(real_data: Callable[[str], Path]) -> None:
    grid = hex_grid(0.0025, 0.05, 0.001)
    assert format_grid(grid) == real_data("nearfield-golden/au_grid.txt").read_text()


@given(size=st.floats(0.5, 5.0), radius=st.floats(0.5, 20.0))
def test_there_are_6_n_squared_triangles_half_of_them_up(size: float, radius: float) -> None:
    n = int(np.ceil(2.0 * radius / np.sqrt(3.0) / size))
    for published in (True, False):
        grid = hex_grid(size, radius, published=published)
        assert len(grid) == 6 * n * n
        assert int(grid.up.sum()) == 3 * n * n
        assert (grid.edge_mm == size).all()


def test_our_triangles_tile_the_circle_and_the_published_do_not() -> None:
    angle, r = np.random.default_rng(3).uniform(0.0, 1.0, (2, 1500))
    away = np.sqrt(r)[:, None] * 0.05
    points = away * np.column_stack([np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)])
    assert (_times_covered(hex_grid(0.0025, 0.05, published=False), points) == 1).all()
    published = _times_covered(hex_grid(0.0025, 0.05), points)
    upper = points[:, 1] > 0.0
    # the exchange of up and down leaves a third of the upper half bare and covers a third twice
    assert np.mean(published[upper] == 0) == pytest.approx(1 / 3, abs=0.06)
    assert np.mean(published[upper] == 2) == pytest.approx(1 / 3, abs=0.06)
    below = (points[:, 1] < -0.0025) & (np.abs(points[:, 0]) < 0.02)  # row 1 hangs into row -1
    assert (published[below] == 1).all()


def test_squares_tile_and_go_along_x_first() -> None:
    grid = square_grid(0.5, 0.9)
    assert grid.shape == "square"
    assert grid.xy_mm[:4].tolist() == [[-0.75, -0.75], [-0.25, -0.75], [0.25, -0.75], [0.75, -0.75]]
    assert len(grid) == 16
    assert square_grid(0.5, 0.9, 0.1).edge_mm[0] == 0.1


@pytest.mark.parametrize("make", [hex_grid, square_grid])
def test_sizes_that_are_none(make: Callable[..., Voxels]) -> None:
    for sizes, name in (((0.0, 1.0), "GridSize"), ((1.0, -1.0), "Rsample"), ((1, 1, 0), "Edge")):
        with pytest.raises(ConfigError, match=f"{name}.*: expected a positive size"):
            make(*sizes)


def test_a_box_keeps_its_border() -> None:
    grid = square_grid(0.5, 1.0)
    kept = masked_by_box(grid, (-0.25, 0.75, 0.25, 0.25))
    assert kept.xy_mm.tolist() == [[-0.25, 0.25], [0.25, 0.25], [0.75, 0.25]]
    with pytest.raises(ConfigError, match=r"GridMask \[1.0, 0.0, 0.0, 1.0\] mm: expected xmin"):
        masked_by_box(grid, (1, 0, 0, 1))
    with pytest.raises(ConfigError, match=r"GridMask .* mm leaves no grid point"):
        masked_by_box(grid, (5, 6, 5, 6))


def test_fault_11_the_first_row_of_an_image_is_at_the_top() -> None:
    """Published: row n - yp, one off, and beyond the image for yp = 0."""
    grid = square_grid(1.0, 2.0)  # 4 x 4 points, one on each pixel
    image = np.zeros((4, 4), dtype=np.uint8)
    image[0, 3], image[3, 0] = 1, 9
    kept = masked_by_image(grid, image, 1.0)
    assert kept.xy_mm.tolist() == [[-1.5, -1.5], [1.5, 1.5]]
    every = masked_by_image(grid, np.ones((4, 4), dtype=np.uint8), 1.0)
    assert len(every) == 16
    published = masked_by_image(grid, image, 1.0, published_rows=True)
    assert published.xy_mm.tolist() == [[-1.5, -0.5]]  # image[3, 0]; image[0, 3] is never reached


def test_points_outside_the_image_are_not_sample() -> None:
    image = np.ones((2, 2), dtype=np.uint8)
    grid = square_grid(1.0, 2.0)
    assert len(masked_by_image(grid, image, 1.0)) == 4
    # truncation takes what is less than a pixel before the image for its edge
    assert len(masked_by_image(grid, image, 1.0, published_rows=True)) == 3
    with pytest.raises(ConfigError, match=r"TomoImage of 2 x 2 pixels of 1.0 mm leaves no grid po"):
        masked_by_image(grid, 0 * image, 1.0)
    with pytest.raises(ConfigError, match=r"TomoImage of shape \(2, 3\): expected n x n"):
        masked_by_image(grid, np.ones((2, 3), dtype=np.uint8), 1.0)
    with pytest.raises(ConfigError, match=r"TomoPixelSize 0\.0: expected a positive size"):
        masked_by_image(grid, image, 0.0)


def test_tomography_images(tmp_path: Path) -> None:
    path = tmp_path / "tomo.bin"
    with pytest.raises(FormatError, match=r"tomo\.bin: cannot be read: No such file"):
        read_tomo_image(path)
    path.write_bytes(bytes(range(9)))
    assert read_tomo_image(path)[1].tolist() == [3, 4, 5]
    path.write_bytes(bytes(8))
    with pytest.raises(FormatError, match="8 bytes: a tomography image is raw, n x n pixels"):
        read_tomo_image(path)


def test_the_grid_of_a_run(tmp_path: Path) -> None:
    sizes = {"grid_size_mm": 0.5, "sample_radius_mm": 1.0}
    hexagons = grid_of(GridTable(**sizes))
    assert len(hexagons) == 54
    assert len(grid_of(GridTable(**sizes, published_grid=False))) == 54
    squares = grid_of(GridTable(**sizes, grid="square", edge_mm=0.1))
    assert (squares.shape, squares.edge_mm[0]) == ("square", 0.1)
    write_grid(tmp_path / "grid.txt", hexagons[:7])
    assert len(grid_of(GridTable(grid_file=str(tmp_path / "grid.txt")))) == 7
    assert len(grid_of(GridTable(**sizes, grid_mask_mm=(-0.3, 0.3, -0.3, 0.3)))) < 54
    with pytest.raises(
        ConfigError, match=re.escape("missing: sample_radius_mm (Rsample), or a gr")
    ):
        grid_of(GridTable(grid_size_mm=0.5))
    with pytest.raises(ConfigError, match=re.escape("missing: grid_size_mm (GridSize), or a grid")):
        grid_of(GridTable())


def test_an_image_goes_before_a_box(tmp_path: Path) -> None:
    (tmp_path / "tomo.bin").write_bytes(bytes([1] * 16))
    settings = GridTable(
        grid="square", grid_size_mm=1.0, sample_radius_mm=2.0, grid_mask_mm=(0, 1, 0, 1),
        tomo_image=str(tmp_path / "tomo.bin"), tomo_pixel_mm=1.0,
    )  # fmt: skip
    assert len(grid_of(settings)) == 16
    with pytest.raises(ConfigError, match="TomoImage needs TomoPixelSize"):
        grid_of(settings.model_copy(update={"tomo_pixel_mm": None}))


def test_grid_points_are_rows_of_a_map() -> None:
    row = [4.0, 1.0, 0.0, 10.0, -20.0, 2.5, -1.0, 0.1, 0.2, 0.3, 0.9, 2.0]
    table = grid_points([row, row])
    np.testing.assert_allclose(table.xy_mm[1], [0.01, -0.02], rtol=1e-15)
    assert table.euler_rad[0].tolist() == [0.1, 0.2, 0.3]
    assert table.phase.tolist() == [2, 2]
    assert len(grid_points([])) == 0
    with pytest.raises(ConfigError, match="GridPoints 2 has 11 numbers: expected 12"):
        grid_points([row, row[:11]])


def test_points_beyond_the_view_are_refused() -> None:
    detector = NearfieldDetector(
        np.array([8.0]), np.array([[1000.0, 20.0]]), np.zeros(3), 0.0015, (2048, 2048)
    )
    check_view(hex_grid(0.1, 1.2), detector)
    check_view(hex_grid(0.1, 1.2)[:0], detector)
    with pytest.raises(
        GeometryError, match=r"mm is .* mm from the axis: the detector at 8 mm sees"
    ):
        check_view(hex_grid(0.1, 2.0), detector)
