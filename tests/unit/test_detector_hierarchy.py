"""Trees of panels: local and global frames, levels, pixels and millimetres, and every refusal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.detector.hierarchy import Group, Hierarchy, Module
from refimpl.detector.parallax import attenuation_depth, mm_from_px, px_from_mm, shift_mm
from refimpl.errors import ConfigError, GeometryError
from refimpl.rotations import expmap

X, Y, Z = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
MINUS_Y = (0.0, -1.0, 0.0)


def module(k: int, origin=(0.0, 0.0, 0.0), fast=X, slow=Y, **more) -> Module:
    return Module(f"p{k}", fast, slow, origin, (50, 40), (0.1, 0.2), **more)


def tree(**more) -> Hierarchy:
    """Panels 0 and 1 in a group that is turned by 90 degrees about Z, panel 2 beside the group."""
    panels = (
        module(0, **more),
        module(1, (6.0, 1.0, 0.5), **more),
        module(2, (-10.0, 3.0, 1.0), **more),
    )
    inner = Group("inner", Y, (-1.0, 0.0, 0.0), (20.0, 0.0, 2.0), (1, 0))
    return Hierarchy(panels, Group("root", X, MINUS_Y, (-5.0, 5.0, -100.0), (inner, 2)))


def test_frames_are_local_to_their_parents():
    d = tree().d
    # by hand: the root turns Y and Z round; the group's X is the root's Y, hence -Y in the lab
    assert np.array_equal(d[2][:, 0], X)
    assert np.array_equal(d[2][:, 1], MINUS_Y)
    assert np.array_equal(d[2][:, 2], [-15.0, 2.0, -101.0])
    assert np.array_equal(d[0], np.array([MINUS_Y, (-1.0, 0.0, 0.0), (15.0, 5.0, -102.0)]).T)
    # panel 1: 6 along the group's fast (-Y), 1 along its slow (-X), 0.5 along its normal (-Z)
    assert np.array_equal(d[1][:, 2], [14.0, -1.0, -102.5])


def test_inverse_of_frames():
    detector = tree()
    assert np.allclose(detector.inverse_d @ detector.d, np.eye(3), atol=1e-14)


def test_a_panel_in_the_plane_of_the_sample_has_no_inverse():
    with pytest.raises(GeometryError, match=r"panel 0 \('p0'\): the sample lies in its plane"):
        _ = Hierarchy((module(0),)).inverse_d


def test_levels_of_the_tree():
    detector = tree()
    assert detector.depth == 2
    assert [(path, panels) for path, panels, _ in detector.groups(0)] == [((), (1, 0, 2))]
    assert [(path, panels) for path, panels, _ in detector.groups(1)] == [
        ((0,), (1, 0)),
        ((1,), (2,)),
    ]
    # the leaf at level 1 counts as a group below it too
    assert [(path, panels) for path, panels, _ in detector.groups(2)] == [
        ((0, 0), (1,)),
        ((0, 1), (0,)),
        ((1,), (2,)),
    ]
    assert np.array_equal(detector.groups(2)[0][2], detector.d[1])


def test_without_a_tree_there_are_all_panels_and_each():
    detector = Hierarchy((module(0), module(1, (1.0, 0.0, 0.0))))
    assert [panels for _, panels, _ in detector.groups(0)] == [(0, 1)]
    assert [panels for _, panels, _ in detector.groups(1)] == [(0,), (1,)]
    with pytest.raises(ConfigError, match="hierarchy level 2: this detector has levels 0 to 1"):
        detector.groups(2)


def test_a_level_that_is_not_there():
    with pytest.raises(ConfigError, match="hierarchy level 3: this detector has levels 0 to 2"):
        tree().groups(3)


def moved(d):
    turn = expmap(np.array([0.01, -0.02, 0.03]))
    out = turn @ d
    out[:, 2] += [0.1, 0.2, -0.3]
    return out


def test_new_global_frames_of_panels():
    detector = tree()
    d = detector.d
    d[1] = moved(d[1])
    new = detector.with_d(d)
    assert np.allclose(new.d, d, atol=1e-14, rtol=0)
    assert new.root == detector.root
    assert (new.modules[0], new.modules[2]) == (detector.modules[0], detector.modules[2])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_new_frames_of_groups_carry_what_hangs_on_them(level):
    detector = tree()
    frames = np.array([frame for _, _, frame in detector.groups(level)])
    frames[0] = moved(frames[0])
    new = detector.with_group_frames(level, frames)
    assert np.allclose([f for _, _, f in new.groups(level)], frames, atol=1e-14, rtol=0)
    hit = detector.groups(level)[0][1]
    for panel in range(3):
        expected = moved(detector.d[panel]) if panel in hit else detector.d[panel]
        if panel in hit:  # moved as one body with its group
            turn = expmap(np.array([0.01, -0.02, 0.03]))
            expected[:, 2] = turn @ detector.d[panel][:, 2] + [0.1, 0.2, -0.3]
        assert np.allclose(new.d[panel], expected, atol=1e-13, rtol=0)


def test_groups_that_stay_keep_their_bits():
    detector = tree()
    for level in range(3):
        frames = np.array([frame for _, _, frame in detector.groups(level)])
        assert detector.with_group_frames(level, frames) == detector


@pytest.mark.parametrize("level", [0, 1])
def test_groups_without_a_tree(level):
    detector = Hierarchy((module(0, (0.0, 0.0, -9.0)), module(1, (1.0, 0.0, -9.0))))
    frames = np.array([moved(frame) for _, _, frame in detector.groups(level)])
    new = detector.with_group_frames(level, frames)
    assert new.root is None
    if level == 1:
        assert np.allclose(new.d, frames, atol=1e-14)
    else:
        turn = expmap(np.array([0.01, -0.02, 0.03]))
        assert np.allclose(new.d[..., :2], turn @ detector.d[..., :2], atol=1e-14)


def test_refused_trees():
    with pytest.raises(GeometryError, match="a detector needs at least one panel"):
        Hierarchy(())
    for children, wrong in (((0,), [1]), ((0, 1, 1), [1]), ((0, 1, 2), [2])):
        with pytest.raises(GeometryError, match=r"each of the 2 panels once") as caught:
            Hierarchy((module(0), module(1)), Group("", X, Y, (0.0, 0.0, 0.0), children))
        assert str(caught.value).endswith(f"wrong: {wrong}")
    with pytest.raises(GeometryError, match="group 'empty' has no children"):
        Group("empty", X, Y, (0.0, 0.0, 0.0), ())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"slow_axis": (0.0, 2.0, 0.0)}, "are not two perpendicular unit vectors"),
        ({"slow_axis": X}, "are not two perpendicular unit vectors"),
        ({"slow_axis": (float("nan"), 1.0, 0.0)}, "are not two perpendicular unit vectors"),
        ({"origin_mm": (0.0, 0.0)}, "fast_axis, slow_axis and origin need three numbers each"),
        ({"origin_mm": (0.0, 0.0, float("inf"))}, "is not finite"),
        ({"size_px": (0, 5)}, r"image_size \(0, 5\) and pixel_size .* must be positive"),
        ({"pixel_size_mm": (0.1, -0.1)}, "must be positive"),
    ],
)
def test_refused_panels(change, message):
    with pytest.raises(GeometryError, match=f"panel 'p0'.*{message}"):
        replace(module(0), **change)


def test_refused_frames():
    with pytest.raises(GeometryError, match=r"d has shape \(2, 3, 3\): expected \(3, 3, 3\)"):
        tree().with_d(np.zeros((2, 3, 3)))
    with pytest.raises(GeometryError, match=r"frames has shape \(3, 3, 3\): expected \(2, 3, 3\)"):
        tree().with_group_frames(1, np.zeros((3, 3, 3)))


# --- pixels and millimetres -----------------------------------------------------------------------


def test_pixels_and_millimetres_without_parallax():
    x, y = tree().pixel_to_mm(np.array([0, 2]), np.array([0.5, 10.0]), np.array([1.0, 20.0]))
    assert np.allclose((x, y), ([0.05, 1.0], [0.2, 4.0]), rtol=1e-15)
    assert np.allclose(tree().mm_to_pixel(np.array([0, 2]), x, y), ([0.5, 10.0], [1.0, 20.0]))


def test_a_panel_number_beyond_the_detector():
    with pytest.raises(GeometryError, match="panel numbers 1 to 3: this detector has 3 panels"):
        tree().pixel_to_mm(np.array([1, 3]), np.zeros(2), np.zeros(2))


def test_depth_is_the_integral_of_absorption():
    mu, path = 3.9, 0.35
    x = (np.arange(200000) + 0.5) * (path / 200000)
    integral = float(np.sum(mu * x * np.exp(-mu * x)) * path / 200000)
    one = np.ones(1)
    depth = attenuation_depth(one, mu * one, path * one, normalised=False)
    assert depth[0] == pytest.approx(integral, rel=1e-9)  # midpoint rule: error 1e-10
    mean = attenuation_depth(one, mu * one, path * one, normalised=True)
    assert mean[0] == pytest.approx(integral / (1.0 - np.exp(-mu * path)), rel=1e-9)


def test_depths_stated_for_a_pilatus():
    one = np.ones(1)  # 0.32 mm of silicon at 0.976 Å: as published, and the mean of the absorbed
    for normalised, expected in ((False, 0.091), (True, 0.1274)):
        depth = attenuation_depth(one, 3.92204 * one, 0.32 * one, normalised=normalised)
        assert depth[0] == pytest.approx(expected, abs=5e-4)  # stated to three digits


def test_no_sensor_no_shift():
    d = tree().d[:1]
    for mu, thickness in ((0.0, 0.3), (3.0, 0.0)):
        shift = shift_mm(d, np.ones(1), np.ones(1), np.array([mu]), np.array([thickness]))
        assert np.array_equal(shift, np.zeros((2, 1)))


def test_parallax_moves_towards_the_foot_of_the_normal_and_back():
    d = np.array([np.array([X, MINUS_Y, (-40.0, 30.0, -100.0)]).T])
    pixel, mu, t = np.full((1, 2), 0.1), np.full(1, 3.9), np.full(1, 0.3)
    for mirrored in (d, d * np.array([1.0, 1.0, -1.0])[:, None]):  # normal along and against Z
        x, y = mm_from_px(mirrored, np.array([700.0]), np.array([100.0]), pixel, mu, t)
        assert 69.8 < x[0] < 70.0  # the foot is at (40, 30): outside points move inwards
        assert 10.0 < y[0] < 10.2
        back = px_from_mm(mirrored, x, y, pixel, mu, t)
        # the published inverse takes the ray of the corrected point: second order in the depth
        assert np.allclose(back, [[700.0], [100.0]], atol=2e-3, rtol=0)
        assert not np.allclose(back, [[700.0], [100.0]], atol=1e-9, rtol=0)


def test_parallax_only_where_the_panel_says_so():
    one = {"thickness_mm": 0.3, "mu_per_mm": 4.0}
    off, on = tree(**one), tree(**one, parallax=True)
    at = (np.array([2]), np.array([30.0]), np.array([20.0]))
    assert off.pixel_to_mm(*at)[0][0] == pytest.approx(3.0, abs=1e-12)
    assert abs(on.pixel_to_mm(*at)[0][0] - 3.0) > 1e-3


def test_offset_tables_are_subtracted_at_their_pixel():
    detector = tree()
    dx, dy = np.zeros((40, 50)), np.zeros((40, 50))
    dx[7, 3], dy[7, 3] = 0.25, -0.5
    tables = [None, (dx, dy), None]
    panel = np.array([1, 1, 0, 1, 1])
    x = np.array([3.9, 4.1, 3.9, -0.5, 3.0])
    y = np.array([7.1, 7.1, 7.1, 7.0, 40.0])
    got = detector.pixel_to_mm(panel, x, y, tables)
    plain = detector.pixel_to_mm(panel, x, y)
    assert np.allclose(got[0] - plain[0], [-0.025, 0, 0, 0, 0], atol=1e-15)
    assert np.allclose(got[1] - plain[1], [0.1, 0, 0, 0, 0], atol=1e-15)
    back = detector.mm_to_pixel(panel[:1], plain[0][:1], plain[1][:1], tables)
    assert np.allclose(back, [[4.15], [6.6]])


def test_refused_offset_tables():
    none, at = np.zeros((40, 50)), (np.array([0]), np.zeros(1), np.zeros(1))
    with pytest.raises(GeometryError, match="2 offset tables for a detector of 3 panels"):
        tree().pixel_to_mm(*at, [None, None])
    with pytest.raises(GeometryError, match=r"panel 0 has shape \(50, 40\): expected \(40, 50\)"):
        tree().mm_to_pixel(*at, [(none.T, none.T), None, None])
