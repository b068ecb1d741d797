"""Grains of a map as a table: the published ones, and those that follow neighbours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from refimpl.clustering.published_grains import published_radius
from refimpl.crystal.misorientation import misorientation
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Voxels, VoxelShape
from refimpl.io.grains_csv import read_grains, write_grains
from refimpl.nearfield.grain_list import grain_list
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.outputs import read_map
from refimpl.rotations import matrix_of_euler, quaternion_of_matrix
from refimpl.units import DEG, UM

AU = (4.08, 4.08, 4.08, 90.0, 90.0, 90.0)


def strip(
    phi_deg: list[float], confidence: list[float], shape: VoxelShape = "triangle"
) -> NearfieldMap:
    """Voxels side by side, an edge of 4 um apart, turned about z by so much."""
    n = len(phi_deg)
    x = 4.0 * UM * np.arange(n)
    voxels = Voxels(np.stack([x, x + 0.5], axis=1), np.full(n, 4.0 * UM), np.ones(n, bool), shape)
    euler = np.column_stack([np.array(phi_deg) * DEG, np.full(n, 0.4), np.full(n, 0.3)])
    return NearfieldMap.of(voxels, euler, np.array(confidence), 225, cell=AU)


def test_the_centre_as_it_is() -> None:
    """0.6 degrees a voxel: what is nearer than one degree to the best voxel, and the rest."""
    m = strip([0.0, 0.6, 1.2, 1.8, np.nan, 0.6, 0.0], [0.5, 0.6, 0.9, 0.4, 0.0, 0.7, 0.03])
    table = grain_list(m)
    assert table.ids.tolist() == [1, 2]
    np.testing.assert_array_equal(table.orientations, m.matrices[[2, 0]])
    np.testing.assert_array_equal(table.position_mm[:, :2], m.voxels.xy_mm[[2, 0]])
    assert table.position_mm[:, 2].tolist() == [0.0, 0.0]
    expected = published_radius(np.array([4, 1]), 4.0 * UM)
    np.testing.assert_array_equal(table.radius_mm, expected)
    np.testing.assert_array_equal(table.cells, [AU] * 2)
    assert len(grain_list(m, max_angle_rad=2.0 * DEG)) == 1
    weak = grain_list(m, least_confidence=0.0)  # the last voxel, too
    np.testing.assert_array_equal(weak.radius_mm, published_radius(np.array([4, 2]), 4.0 * UM))


def test_neighbours_are_within_two_edges() -> None:
    same, apart = [0.0, 0.0, np.nan, 0.0], [0.0, 0.0, np.nan, np.nan, 0.0]
    assert len(grain_list(strip(same, [0.5] * 4), neighbours=True)) == 2  # diagonal steps of 0.5 mm
    for angles, grains in ((same, 1), (apart, 2)):
        m = strip(angles, [0.5] * len(angles))
        xy = m.voxels.xy_mm * [1.0, 0.0]  # exactly 4 um a step, two edges are reached
        flat = m.changed(voxels=Voxels(xy, m.voxels.edge_mm, m.voxels.up))
        assert len(grain_list(flat, neighbours=True)) == grains
        assert len(grain_list(flat)) == 1


def test_grains_that_follow_neighbours_average() -> None:
    m = strip([0.0, 0.6, 1.2, 30.0, 30.2, 30.2, 30.0], [0.5, 0.9, 0.5, 1.0, 0.6, 0.6, 0.6])
    m = m.changed(voxels=Voxels(m.voxels.xy_mm * [1.0, 0.0], m.voxels.edge_mm, m.voxels.up))
    table = grain_list(m, spatial=True)
    np.testing.assert_allclose(table.position_mm[:, 0], [18.0 * UM, 4.0 * UM], rtol=1e-12)
    wanted = np.column_stack([np.array([30.1, 0.6]) * DEG, [0.4, 0.4], [0.3, 0.3]])
    angle = misorientation(
        quaternion_of_matrix(table.orientations),
        quaternion_of_matrix(matrix_of_euler(wanted)), m.operators,
    )  # fmt: skip
    assert angle.max() < 1e-9
    with pytest.raises(ConfigError, match="grains of the one kind or of the other"):
        grain_list(m, spatial=True, neighbours=True)


def test_the_area_is_that_of_the_voxels() -> None:
    square = grain_list(strip([0.0] * 3, [1.0] * 3, "square"))
    assert np.pi * square.radius_mm[0] ** 2 == pytest.approx(3 * (4.0 * UM) ** 2, rel=1e-12)
    m = strip([0.0] * 3, [1.0] * 3)
    edges = np.array([4.0, 2.0, 2.0]) * UM
    mixed = grain_list(m.changed(voxels=Voxels(m.voxels.xy_mm, edges, m.voxels.up)))
    area = 3**0.5 / 4 * (edges**2).sum()
    assert np.pi * mixed.radius_mm[0] ** 2 == pytest.approx(area, rel=1e-12)


def test_maps_that_have_no_grains() -> None:
    with pytest.raises(ConfigError, match=r"no voxel of confidence 0.6 or more: the best has 0.5"):
        grain_list(strip([0.0], [0.5]), least_confidence=0.6)
    with pytest.raises(ConfigError, match=r"no voxel of confidence 0 or more: the best has 0"):
        grain_list(strip([np.nan], [0.5]), least_confidence=0.0)
    with pytest.raises(ConfigError, match="the map has no cell"):
        grain_list(strip([0.0], [0.5]).changed(cell=None))
    points = Voxels(np.zeros((1, 2)), np.zeros(1), np.ones(1, bool), "point")
    with pytest.raises(ConfigError, match="the voxels are points, which have no edge"):
        grain_list(strip([0.0], [0.5]).changed(voxels=points), neighbours=True)


def test_the_gold_map_is_two_grains(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    """796 + 718 voxels of confidence 0.7 or more (specification 3), in every way."""
    m = read_map(real_data("nearfield-golden") / "Au_txt.mic", space_group=225, cell=AU)
    assert set(m.voxels.edge_mm) == {1.0 * UM}  # it says so, of a grid of 2.5 um
    v = m.voxels
    m = m.changed(voxels=Voxels(v.xy_mm, np.full(len(v), 2.5 * UM), v.up))
    expected = published_radius(np.array([796, 718]), 2.5 * UM)
    for kind in ("anywhere", "neighbours", "spatial"):
        table = grain_list(
            m, max_angle_rad=5.0 * DEG, least_confidence=0.7, neighbours=kind == "neighbours",
            spatial=kind == "spatial",
        )  # fmt: skip
        np.testing.assert_allclose(table.radius_mm, expected, rtol=1e-12)
    write_grains(tmp_path / "Grains.csv", table, 225)
    lines = (tmp_path / "Grains.csv").read_text().splitlines()
    assert lines[0] == "%NumGrains 2"
    assert [line.startswith("%") for line in lines] == [True] * 9 + [False] * 2
    words = lines[9].split()
    assert len(words) == 24
    assert words[12:13] + words[19:22] == ["0.000000", "0", "0", "0"]
    assert len(words[1].split(".")[1]) == 12
    assert float(words[22]) == pytest.approx(expected[0] / UM, abs=1e-6)
    assert float(words[23]) == 1.0
    np.testing.assert_allclose(
        read_grains(tmp_path / "Grains.csv").orientations, table.orientations, atol=1e-12
    )
