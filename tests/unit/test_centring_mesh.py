"""Rasters: islands, files of them, and heat maps beside them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.centring.camera import SIDES, Camera
from refimpl.centring.mesh import Mesh, centre_of_meshes, distances_um, grid_mesh
from refimpl.centring.mesh_files import read_grid_counts, read_meshes
from refimpl.centring.simulate import scene
from refimpl.centring.simulate_collection import Plan, collect
from refimpl.centring.simulate_files import write_collection
from refimpl.centring.simulate_scans import mesh_scan
from refimpl.errors import ConfigError, FormatError


def of_scan(seed: int, omega_rad: float, step_um: float = 10.0, **more: Any) -> tuple[Any, Mesh]:
    shown = scene(seed, **more)
    scan = mesh_scan(shown, omega_rad=omega_rad, step_um=step_um)
    assert scan.grid is not None
    t = math.cos(omega_rad) * scan.at_um[:, 1] + math.sin(omega_rad) * scan.at_um[:, 2]
    centre = (float(scan.at_um[:, 0].mean()), float(t.mean()))
    return shown, grid_mesh(
        scan.rc, scan.grid, (step_um, step_um), centre_um=centre, omega_rad=omega_rad
    )


def test_islands_by_hand() -> None:
    count = np.zeros((5, 7))
    count[1, 1], count[1, 2], count[2, 3] = 100.0, 300.0, 200.0  # 2, 3 touches at a corner
    count[4, 6] = 50.0
    mesh = grid_mesh(count, (5, 7), (10.0, 20.0))
    assert (mesh.background, mesh.step_um) == (0.0, (10.0, 20.0))
    one, two = mesh.islands()
    assert (one.points, one.total, one.most, one.at_rim) == (3, 600.0, 300.0, False)
    assert one.area_um2 == 600.0
    assert one.s_um == pytest.approx((100 * -20 + 300 * -10 + 200 * 0) / 600)
    assert one.t_um == pytest.approx((100 * -20 + 300 * -20 + 200 * 0) / 600)
    assert (one.best_s_um, one.best_t_um) == (-10.0, -20.0) == mesh.best_um
    assert (one.length_um, one.width_um) == (30.0, 40.0)
    assert (two.s_um, two.t_um, two.at_rim) == (30.0, 40.0, True)
    away = distances_um((one, two))
    assert away[0, 1] == pytest.approx(math.hypot(30.0 - one.s_um, 40.0 - one.t_um))
    assert (away == away.T).all()
    assert len(mesh.islands(diagonal=False)) == 3
    assert mesh.islands(1000.0) == ()
    np.testing.assert_allclose(mesh.at([(-10.0, -20.0), (-5.0, -20.0)]), [300.0, 150.0])
    assert math.isnan(float(mesh.at((100.0, 0.0))))


def test_noise_alone_has_no_islands() -> None:
    rng = np.random.default_rng(0)
    empty = [grid_mesh(rng.poisson(1.5, (15, 20)), (15, 20), (10.0, 10.0)) for _ in range(50)]
    assert sum(bool(mesh.islands()) for mesh in empty) <= 5


def test_the_middle_is_known_as_well_as_it_says() -> None:
    """Repeats of one mesh: the spread of its centre of mass is the deviation that it tells."""
    expected = grid_mesh(scene(3).rc_map(2.0, 0.0)[::12, ::12], (40, 50), (9.0, 9.0))
    rng, found = np.random.default_rng(0), []
    for _ in range(200):
        counts = rng.poisson(expected.count)
        found.append(grid_mesh(counts, (40, 50), (9.0, 9.0)).islands(20.0)[0])
    for name in ("s", "t"):
        spread = np.std([getattr(f, f"{name}_um") for f in found])
        told = np.mean([getattr(f, f"{name}_deviation_um") for f in found])
        assert 0.7 < spread / told < 1.5


@pytest.mark.parametrize("seed", [2, 5, 9])
def test_a_simulated_crystal_is_the_island(seed: int) -> None:
    shown, mesh = of_scan(seed, 0.0)
    crystal = shown.crystals[0]
    island = mesh.islands()[0]
    assert math.dist((island.s_um, island.t_um), crystal.silhouette_um(0.0).mean(axis=0)) < 15.0
    assert crystal.inside_um(np.array([[island.s_um, island.t_um]]), 0.0)[0] > 0.0


def test_two_meshes_give_the_place_in_space() -> None:
    meshes = [of_scan(5, omega)[1] for omega in (0.0, math.pi / 2)]
    found = centre_of_meshes(meshes)
    assert found is not None
    true = scene(5).crystals[0].corners_um().mean(axis=0)
    assert np.linalg.norm(found.centre_um - true) < 12.0
    assert centre_of_meshes([meshes[0], of_scan(5, 1.5, crystals=0)[1]]) is None
    with pytest.raises(ConfigError, match="too few sides"):
        centre_of_meshes([meshes[0], meshes[0]])


@pytest.mark.parametrize("fast", ["s", "t"])
@pytest.mark.parametrize("order", ["rows", "snake"])
def test_orders_of_a_scan(order: str, fast: str) -> None:
    true = np.arange(12.0).reshape(3, 4)
    lines = true if fast == "s" else true.T
    shots = [line[::-1] if order == "snake" and k % 2 else line for k, line in enumerate(lines)]
    mesh = grid_mesh(np.concatenate(shots), (3, 4), (5.0, 7.0), order=order, fast=fast)
    np.testing.assert_array_equal(mesh.count, true)
    np.testing.assert_allclose(mesh.s_um, [-7.5, -2.5, 2.5, 7.5])
    np.testing.assert_allclose(mesh.t_um, [-7.0, 0.0, 7.0])
    back = grid_mesh(true, (3, 4), (-5.0, 7.0))
    np.testing.assert_allclose(back.at((7.5, -7.0)), 0.0)  # the scan began at the far end


def test_a_line_is_a_mesh_too() -> None:
    line = grid_mesh([0.0, 50.0, 90.0, 0.0], (1, 4), (10.0, 10.0))
    assert line.islands()[0].points == 2
    assert float(line.at((5.0, 0.0))) == 90.0


def test_the_simulators_file(tmp_path: Path) -> None:
    made = collect(Plan(crystals=2, scans=("helical", "mesh"), seconds=1.0), seed=3)
    write_collection(made, tmp_path / "run")
    found = read_meshes(tmp_path / "run" / "mesh.csv")
    assert [m.name for m in found] == [made.shown[k].name for k, _ in made.meshes]
    for mesh, (_, scan) in zip(found, made.meshes, strict=True):
        assert mesh.count.shape == scan.grid
        np.testing.assert_array_equal(mesh.count.ravel(), scan.rc)
        np.testing.assert_allclose(np.tile(mesh.s_um, len(mesh.t_um)), scan.at_um[:, 0], atol=2e-3)
        assert mesh.omega_rad == pytest.approx(float(scan.omega_rad[0]) % (2 * math.pi), abs=1e-6)


def test_gaps_and_files_that_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "mesh.csv"
    path.write_text("s_um,t_um,rc\n0,0,1\n20,0,2\n0,10,3\n40,10,4\n")
    (mesh,) = read_meshes(path)
    np.testing.assert_array_equal(mesh.count, [[1, 2, math.nan], [3, math.nan, 4]])
    assert math.isnan(mesh.omega_rad)
    for rows, text in (
        ("0,0,1\n0,0,2\n", "mesh.csv:3: a point of the mesh comes twice"),
        ("0,0,1\n10,0,1\n13,0,1\n", "s_um of the mesh: the points are not on an even grid"),
        ("0,0,-1\n", "mesh.csv:2: rc -1: expected a number of 0 or more"),
        ("0,x,1\n", "t_um 'x': expected a number"),
        ("0,,1\n", "t_um nan: expected a number"),
        ("0,0,\n10,0,\n", "mesh.csv:2: mesh : no point has a count"),
        ("0,0,inf\n", "mesh.csv:2: rc inf: expected a number of 0 or more"),
        ("".join(f"{k},{k},1\n" for k in range(3200)), "mesh.csv:2: 3200 points of the mesh on a"),
    ):
        path.write_text("s_um,t_um,rc\n" + rows)
        with pytest.raises(FormatError, match=text):
            read_meshes(path)


def test_counts_of_a_grid_scan(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    path.write_text("frame,rc,series\n7,1,a\n8,2,a\n10,4,a\n7,9,b\n")
    mesh = read_grid_counts(path, (2, 2), (10.0, 10.0), series="a", order="snake")
    np.testing.assert_array_equal(mesh.count, [[1, 2], [4, math.nan]])
    with pytest.raises(ConfigError, match="2 series: choose one of a, b"):
        read_grid_counts(path, (2, 2), (10.0, 10.0))
    with pytest.raises(FormatError, match="no series 'c' among a, b"):
        read_grid_counts(path, (2, 2), (10.0, 10.0), series="c")
    with pytest.raises(FormatError, match=r"counts.csv:4: frame 10: a grid of 1 x 2 from frame 7"):
        read_grid_counts(path, (1, 2), (10.0, 10.0), series="a")
    path.write_text("frame,rc\n7,1\n7,2\n")
    with pytest.raises(FormatError, match="frame 7 comes twice"):
        read_grid_counts(path, (1, 2), (10.0, 10.0))
    with pytest.raises(ConfigError, match="no column series: 'a' cannot be chosen"):
        read_grid_counts(path, (1, 2), (10.0, 10.0), series="a")
    for rows, text in (
        ("7,\n7,2\n", "counts.csv:3: frame 7 comes twice"),
        ("7,-1\n", "counts.csv:2: rc -1: expected a number of 0 or more"),
        ("7,inf\n", "counts.csv:2: rc inf: expected a number of 0 or more"),
        ("7,\n8,\n", "counts.csv:2: no frame has a count"),
        (f"7,1\n{10**30},1\n", f"counts.csv:3: frame {10**30}: a grid of 1 x 2"),
    ):
        path.write_text("frame,rc\n" + rows)
        with pytest.raises(FormatError, match=text):
            read_grid_counts(path, (1, 2), (10.0, 10.0))
    for grid in ((0, 3), (-2, -2), (10**6, 10**6)):
        with pytest.raises(ConfigError, match=f"grid of {grid[0]} x {grid[1]}: expected 1 point"):
            read_grid_counts(path, grid, (10.0, 10.0))


@pytest.mark.parametrize("least", [-1.0, math.nan, math.inf])
def test_a_limit_that_cannot_be(least: float) -> None:
    mesh = grid_mesh([1.0], (1, 1), (1.0, 1.0))
    with pytest.raises(ConfigError, match="reflections: expected 0 or more"):
        mesh.islands(least)


@pytest.mark.parametrize(
    ("arguments", "options", "text"),
    [
        (((2, 2), (1.0, 1.0)), {}, "grid of 2 rows and 2 columns: 3 counts"),
        (((1, 3), (1.0, 1.0)), {"order": "zigzag"}, "order 'zigzag'"),
        (((1, 3), (0.0, 1.0)), {}, "expected numbers other than 0"),
    ],
)
def test_meshes_that_cannot_be(arguments: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        grid_mesh([1.0, 2.0, 3.0], *arguments, **options)
    with pytest.raises(ConfigError, match="no point has a count"):
        grid_mesh([math.nan], (1, 1), (1.0, 1.0))
    with pytest.raises(ConfigError, match="below 0"):
        grid_mesh([-1.0], (1, 1), (1.0, 1.0))


@pytest.mark.parametrize("side", SIDES)
def test_a_true_heat_map_agrees_with_the_mesh(side: str) -> None:
    pytest.importorskip("torch", reason="needs the extra centring (torch)")
    from refimpl.centring.heatmap import HeatMap
    from refimpl.centring.mesh_heat import compare

    shown, mesh = of_scan(5, 0.3, side=side)
    view = shown.view(2.0, 0.3, (15.0, -5.0, 0.0))
    true = shown.rc_map(2.0, 0.3, at_um=(15.0, -5.0, 0.0))[2::5, 2::5]
    x, y = np.arange(2, 600, 5) + 0.5, np.arange(2, 480, 5) + 0.5
    heat = HeatMap(x, y, true / 100.0, true, np.zeros(true.shape))
    s, t = view.middle_um
    camera = Camera(1.0 / view.scale, (300.0, 240.0), side, (float(s), float(t)))
    found = compare(mesh, heat, camera)
    assert found.spearman > 0.7
    assert found.pearson > 0.9  # what the noise of counting leaves
    assert found.away_um < 15.0
    assert found.away_from_middle_um < 20.0
    assert found.relative > 0.85
    assert found.hits_both >= 0.9 * found.hits_measured
    wrong = compare(mesh, heat, Camera(1.0 / view.scale, (300.0, 240.0), side, (120.0, 60.0)))
    assert wrong.pearson < 0.5 < found.pearson
    assert wrong.away_um > 80.0
    nothing = compare(mesh, heat, camera, least=1e6)
    assert math.isnan(nothing.away_um)
    assert nothing.relative == 0.0
    told = HeatMap(x, y, true, np.full(true.shape, np.nan), np.zeros(true.shape))
    assert compare(mesh, told, camera).spearman == pytest.approx(found.spearman)
    with pytest.raises(ConfigError, match="0 points in common: check the scale"):
        compare(mesh, heat, Camera(0.5, (9000.0, 0.0), side))
