"""Maps on pixels: nearest voxels, and grains by the symmetry of the map's own space group."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Voxels
from refimpl.nearfield.map_pixels import (
    FILL,
    grain_pixels,
    grod_pixels,
    kam_pixels,
    paint,
    write_map_files,
)
from refimpl.nearfield.maps import NearfieldMap
from refimpl.units import DEG

RNG = np.random.default_rng(5)


def scattered(n: int, edge_um: float = 2.5, space_group: int = 225) -> NearfieldMap:
    """Voxels at random, at no pixel's corner, with angles of their own."""
    xy = 1e-3 * RNG.uniform(-20.0, 20.0, (n, 2))
    voxels = Voxels(xy, np.full(n, 1e-3 * edge_um), np.ones(n, dtype=bool))
    euler = RNG.uniform(0.0, 1.0, (n, 3))
    return NearfieldMap.of(
        voxels, euler, RNG.uniform(0.1, 1.0, n), space_group, seed=np.arange(n) + 100
    )


def of_rows(euler: np.ndarray, space_group: int, pitch_um: float = 8.0) -> NearfieldMap:
    """Voxels in one row."""
    x = 1e-3 * pitch_um * np.arange(len(euler))
    voxels = Voxels(
        np.stack([x, 0 * x], axis=1), np.full(len(x), 1e-3), np.ones(len(x), dtype=bool)
    )
    return NearfieldMap.of(voxels, euler, np.linspace(0.5, 1.0, len(x)), space_group)


def test_fault_06_every_pixel_carries_its_nearest_voxel() -> None:
    m = scattered(300)
    pixels = paint(m)
    i, j = np.nonzero(pixels.painted)
    points = np.stack([pixels.origin_um[0] + j, pixels.origin_um[1] + i], axis=1)
    distance, nearest = cKDTree(m.voxels.xy_mm * 1e3).query(points)
    inside = distance <= 7.5  # what each voxel paints along both axes at least
    assert (pixels.voxel[i, j] == nearest)[inside].all()
    np.testing.assert_allclose(pixels.distance_um[i, j][inside], distance[inside], atol=1e-9)
    assert inside.sum() > 1500


def test_pixels_reach_beyond_the_voxels() -> None:
    m = of_rows(np.zeros((3, 3)), 225)
    pixels = paint(m)
    assert pixels.origin_um == (-26.0, -26.0)
    assert pixels.voxel.shape == (53, 69)  # 2 x 26 and 16 + 2 x 26 um, and one
    row = pixels.voxel[26]
    assert row[[19, 20, 26, 30, 31, 34]].tolist() == [-1, 0, 0, 0, 1, 1]  # half way is at 30
    assert np.nonzero(pixels.painted)[0].min() == 20  # an edge and 5 um
    finer = paint(m, step_um=0.5)
    assert finer.voxel[52, 52] == 0
    assert finer.voxel.shape == (105, 137)


def test_only_voxels_with_a_solution_paint() -> None:
    euler = np.zeros((3, 3))
    euler[1] = np.nan
    m = of_rows(euler, 225)
    assert set(np.unique(paint(m).voxel)) == {-1, 0, 2}
    assert set(np.unique(paint(m, rows=np.ones(3, dtype=bool)).voxel)) == {-1, 0, 1, 2}
    nothing = of_rows(np.full((2, 3), np.nan), 225)
    assert not paint(nothing).painted.any()
    assert (grain_pixels(nothing, paint(nothing), 0.1) == -1).all()
    assert np.isnan(kam_pixels(nothing, paint(nothing))).all()


def test_fault_10_grains_follow_the_space_group() -> None:
    # a turn of 60 degrees about c is none in 6/mmm, and one of 30 in a cubic crystal
    euler = np.array([[0.2, 0.5, 0.0], [0.2, 0.5, np.pi / 3.0], [0.2, 0.5, 2.0 * np.pi / 3.0]])
    hexagonal, cubic = of_rows(euler, 194), of_rows(euler, 225)
    for m, wanted in ((hexagonal, 1), (cubic, 3)):
        pixels = paint(m)
        grain = grain_pixels(m, pixels, 5.0 * DEG)
        assert grain.max() == wanted
        kam = kam_pixels(m, pixels)
        assert np.isnan(kam[~pixels.painted]).all()
        if wanted == 1:
            assert np.nanmax(kam) < 1e-7
        else:
            # in the uppermost row 2 of 5 neighbours are beyond the boundary
            assert np.nanmax(kam) == pytest.approx(2.0 / 5.0 * 30.0 * DEG, rel=1e-9)
    assert (grain_pixels(cubic, paint(cubic), 31.0 * DEG).max()) == 1


def test_misorientation_within_a_grain_counts_from_its_best_pixel() -> None:
    euler = np.array([[0.2, 0.0, 0.0], [0.2, 0.02, 0.0], [0.2, 0.05, 0.0]])
    m = of_rows(euler, 225)
    pixels = paint(m)
    grain = grain_pixels(m, pixels, 5.0 * DEG)
    grod = grod_pixels(m, pixels, grain)
    for voxel, angle in ((0, 0.05), (1, 0.03), (2, 0.0)):
        np.testing.assert_allclose(grod[pixels.voxel == voxel], angle, atol=1e-7)
    assert np.isnan(grod[~pixels.painted]).all()


def test_the_files_are_laid_out_as_published(tmp_path: Path) -> None:
    m = scattered(40)
    written = write_map_files(tmp_path / "t.map", m, angle_rad=5.0 * DEG)
    assert [p.name for p in written] == ["t.map", "t.map.kam", "t.map.grainId", "t.map.grod"]
    data = np.fromfile(written[0])
    nx, ny = (int(v) for v in data[:2])
    pixels = paint(m)
    assert (ny, nx) == pixels.voxel.shape
    assert tuple(data[2:4]) == pixels.origin_um
    planes = data[4:].reshape(7, ny, nx)
    voxel, painted = pixels.voxel, pixels.painted
    assert (planes[:, ~painted] == FILL).all()
    np.testing.assert_array_equal(planes[0][painted], m.confidence[voxel[painted]])
    np.testing.assert_array_equal(planes[2][painted], m.euler_rad[voxel[painted], 1])
    np.testing.assert_array_equal(planes[4][painted], voxel[painted] + 100)
    assert (planes[5][painted] == 1).all()
    np.testing.assert_array_equal(planes[6][painted], pixels.distance_um[painted])
    for path in written[1:]:
        one = np.fromfile(path)
        assert one[:4].tolist() == data[:4].tolist()
        assert one.size == 4 + nx * ny
        assert (one[4:].reshape(ny, nx)[~painted] == FILL).all()
        assert (one[4:].reshape(ny, nx)[painted] >= 0.0).all()


def test_steps_that_cannot_be_are_refused() -> None:
    m = scattered(3)
    with pytest.raises(ConfigError, match="step of 0 um: expected a positive one"):
        paint(m, step_um=0.0)
    with pytest.raises(ConfigError, match="pixels of 1e-05 um: expected at most 4e"):
        paint(m, step_um=1e-5)
