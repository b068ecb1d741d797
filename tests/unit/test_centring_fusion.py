"""Points at several rotations to a place in space."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refimpl.centring.camera import SIDES, Camera
from refimpl.centring.fusion import fuse
from refimpl.centring.fusion_files import read_points, scale_of
from refimpl.centring.simulate import scene
from refimpl.errors import ConfigError, FormatError

PLACE = np.array([37.0, -12.0, 21.0])
EVEN = np.linspace(0.0, 2.0 * math.pi, 12, endpoint=False)


def seen(omega: Any, *, axis: float = 0.0, sigma: float = 0.0, seed: int = 0) -> Any:
    s, y, z = PLACE
    points = np.column_stack([np.full(len(omega), s), axis + y * np.cos(omega) + z * np.sin(omega)])
    return points + sigma * np.random.default_rng(seed).normal(size=points.shape)


def test_exact_points_give_the_place() -> None:
    found = fuse(seen(EVEN), EVEN)
    np.testing.assert_allclose(found.centre_um, PLACE, atol=1e-12)
    assert found.used.all()
    np.testing.assert_allclose(found.seen_um(EVEN), seen(EVEN), atol=1e-12)
    two = fuse(seen(EVEN[[0, 3]]), EVEN[[0, 3]])  # face on and edge on
    np.testing.assert_allclose(two.centre_um, PLACE, atol=1e-12)


def test_the_axis_is_found_beside_the_beam() -> None:
    found = fuse(seen(EVEN, axis=8.0), EVEN, axis_um=None)
    assert found.axis_um == pytest.approx(8.0, abs=1e-12)
    np.testing.assert_allclose(found.centre_um, PLACE, atol=1e-12)
    known = fuse(seen(EVEN[:2] * 2.0, axis=8.0), EVEN[:2] * 2.0, axis_um=8.0)
    np.testing.assert_allclose(known.centre_um, PLACE, atol=1e-10)
    assert known.axis_deviation_um == 0.0


@pytest.mark.parametrize("omega", [EVEN, np.radians([0.0, 50.0, 110.0, 260.0])])
@pytest.mark.parametrize("axis_um", [0.0, None])
def test_errors_are_at_the_bound(omega: Any, axis_um: float | None) -> None:
    """The covariance is the bound of Cramer and Rao; 600 repeats know a deviation to 3 %."""
    sigma, away, told = 4.0, [], []
    for seed in range(600):
        points = seen(omega, axis=0.0 if axis_um == 0.0 else 5.0, sigma=sigma, seed=seed)
        found = fuse(points, omega, sigma_um=sigma, axis_um=axis_um, robust=False)
        away.append(found.centre_um - PLACE)
        told.append(found.deviation_um)
    ratio = np.std(away, axis=0) / np.mean(told, axis=0)
    np.testing.assert_allclose(ratio, 1.0, atol=0.12)
    np.testing.assert_allclose(np.mean(away, axis=0) / np.mean(told, axis=0), 0.0, atol=0.17)
    if axis_um == 0.0 and len(omega) == 12:
        np.testing.assert_allclose(told[0], sigma * np.sqrt([1 / 12, 2 / 12, 2 / 12]))


def test_looking_for_outliers_costs_little_and_the_deviation_is_told() -> None:
    found = [fuse(seen(EVEN, sigma=4.0, seed=k), EVEN) for k in range(120)]
    pulls = [(f.centre_um - PLACE) / f.deviation_um for f in found]
    assert np.sqrt(np.mean(np.square(pulls))) < 1.25  # 20 degrees of freedom: 1.05
    assert np.mean([f.sigma_um for f in found]) == pytest.approx(4.0, rel=0.1)
    assert np.mean([f.used.mean() for f in found]) > 0.95


@pytest.mark.parametrize("bad", [1, 4])
def test_points_on_glare_are_left_out(bad: int) -> None:
    points = seen(EVEN, sigma=3.0, seed=4)
    rows = np.random.default_rng(1).choice(12, bad, replace=False)
    points[rows] += np.random.default_rng(2).choice([-1.0, 1.0], (bad, 2)) * [70.0, 90.0]
    found = fuse(points, EVEN)
    assert not found.used[rows].any()
    assert found.used.sum() >= 12 - bad - 1
    assert np.linalg.norm(found.centre_um - PLACE) < 6.0
    assert np.linalg.norm(fuse(points, EVEN, robust=False).centre_um - PLACE) > 8.0


def test_points_of_different_things_are_refused() -> None:
    omega = np.radians(np.arange(0.0, 360.0, 45.0))
    st = np.random.default_rng(3).normal(0.0, 66.0, (8, 2))
    found = fuse(st, omega)
    assert 40.0 < found.sigma_um < 100.0
    assert fuse(st, omega, most_um=found.sigma_um + 0.1).sigma_um == found.sigma_um
    for options in ({}, {"sigma_um": 5.0, "robust": False}):
        with pytest.raises(
            ConfigError, match=r"um from one place \(allowed 30\): they are of diff"
        ):
            fuse(st, omega, most_um=30.0, **options)
    with pytest.raises(ConfigError, match="most 0 um: expected a positive number"):
        fuse(st, omega, most_um=0.0)


def test_order_does_not_matter() -> None:
    points, order = seen(EVEN, sigma=3.0), np.random.default_rng(0).permutation(12)
    one, other = fuse(points, EVEN), fuse(points[order], EVEN[order])
    np.testing.assert_allclose(one.centre_um, other.centre_um, atol=1e-9)
    assert (one.used[order] == other.used).all()


def test_moves_bring_it_into_the_beam() -> None:
    found = fuse(seen(EVEN), EVEN)
    for omega in (0.0, 0.7, 2.0):
        moves = found.moves(omega)
        moved = PLACE + np.array([moves["along_um"], moves["sample_y_um"], moves["sample_z_um"]])
        np.testing.assert_allclose(moved, 0.0, atol=1e-9)
        # across and depth are the same move, seen at the rotation
        c, w = math.cos(omega), math.sin(omega)
        turned = c * moves["across_um"] - w * moves["depth_um"], \
            w * moves["across_um"] + c * moves["depth_um"]  # fmt: skip
        assert turned == pytest.approx((moves["sample_y_um"], moves["sample_z_um"]))


@pytest.mark.parametrize("side", SIDES)
def test_a_simulated_crystal_seen_in_pictures(side: str) -> None:
    """The middle of the crystal's mask at eight rotations is where the crystal is."""
    shown = scene(5, side=side)
    stage = (20.0, -10.0, 5.0)
    omegas = np.linspace(0.0, 2.0 * math.pi, 8, endpoint=False)
    points = []
    for omega in omegas:
        view = shown.view(2.0, omega, stage)
        camera = Camera(1.0 / view.scale, (300.0, 240.0), side)
        rows, columns = np.nonzero(shown.crystal_mask(2.0, omega, at_um=stage))
        points.append(camera.to_um([columns.mean() + 0.5, rows.mean() + 0.5]))
        absolute = Camera(1.0 / view.scale, (300.0, 240.0), side, tuple(view.middle_um))
        xy = np.array([100.0, 77.0])
        np.testing.assert_allclose(absolute.to_um(xy), view.to_um(xy))
        np.testing.assert_allclose(absolute.to_px(view.to_um(xy)), xy)
    found = fuse(points, omegas)
    true = shown.crystals[0].corners_um().mean(axis=0) - stage
    assert np.linalg.norm(found.centre_um - true) < 5.0
    assert found.used.all()  # a part of the beam is no reason to leave one out


@pytest.mark.parametrize(
    ("degrees", "options", "text"),
    [
        ([], {}, "0 points: 2 or more are needed"),
        ([0.0], {}, "1 points: 2 or more are needed"),
        ([0.0, 180.0], {}, "too few sides to tell its depth: add"),
        ([0.0, 10.0], {}, "too few sides"),
        ([0.0, 90.0, 0.0], {"axis_um": None}, "its depth and the axis"),
        ([0.0, 90.0], {"sigma_um": 0.0}, "sigma 0 um: expected a positive"),
        ([0.0, 90.0], {"allowed": -1.0}, "allowed -1 deviations"),
        ([0.0, math.nan], {}, "not a finite number"),
    ],
)
def test_what_cannot_be_fused(degrees: list[float], options: dict[str, Any], text: str) -> None:
    omega = np.radians(degrees)
    with pytest.raises(ConfigError, match=text):
        fuse(np.zeros((len(omega), 2)), omega, **options)
    with pytest.raises(ConfigError, match=r"points of shape \(2,\) at 2 rotations"):
        fuse([1.0, 2.0], [0.0, 1.0])


def test_tables_of_points(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(
        "crystal,omega,zoom,x,y\na,0,1,310,240\nb,0,3,300,250\na,90,1,310,220\nb,90,3,,\n"
    )
    a, b = read_points(path, scale=scale_of("0.25,0.25"), middle_px=(300.0, 240.0))
    assert (a.name, b.name) == ("a", "b")
    np.testing.assert_allclose(a.st_um, [[20.0, 0.0], [20.0, -40.0]])  # 0.5 px/um
    np.testing.assert_allclose(a.omega_rad, [0.0, math.pi / 2])
    np.testing.assert_allclose(b.st_um, [[0.0, 10.0]])  # 1 px/um; no point at 90 degrees
    with pytest.raises(ConfigError, match="place of the beam"):
        read_points(path)
    with pytest.raises(ConfigError, match="a scale"):
        read_points(path, middle_px=(1.0, 1.0))
    path.write_text("omega_deg,s_um,t_um\n0,1,2\nnan,1,2\n")
    with pytest.raises(FormatError, match=r"points.csv:3: omega_deg nan: expected a number"):
        read_points(path)
    path.write_text("omega_deg,s_um\n0,1\n")
    with pytest.raises(FormatError, match="no columns s_um, t_um or x_px, y_px"):
        read_points(path)
    path.write_text("omega_deg,x_px,y_px,um_per_px\n0,1,2,-3\n")
    with pytest.raises(FormatError, match=r"a scale of -0\.333333 px/um"):
        read_points(path, middle_px=(0.0, 0.0))
    assert scale_of("2") == (0.5, 0.0)
    for text in ("0", "a", "1,", "1,2,3", "--1"):
        with pytest.raises(ConfigError, match="expected a positive number, or A,B"):
            scale_of(text)
