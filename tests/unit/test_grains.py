"""Grains of a map: segmentation, means, spreads, and the published clustering."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.clustering import grains, neighbours
from refimpl.clustering.published_grains import greedy_grains, published_radius
from refimpl.crystal.misorientation import disorientation, disorientation_axis, misorientation
from refimpl.crystal.symmetry_operators import LAUE_CLASSES, laue_operators, operators
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.rotations import matrix_of_euler, multiply_quaternions, quaternion_of_matrix
from refimpl.testing.strategies_crystal import random_quaternions
from refimpl.units import DEG, UM

CUBIC = operators(225)


def about(axis: tuple[float, ...], degrees: F64 | float) -> F64:
    half = 0.5 * DEG * np.atleast_1d(degrees)
    v = np.array(axis) / np.linalg.norm(axis)
    return np.column_stack([np.cos(half), np.sin(half)[:, None] * v])


def disguised(rng: np.random.Generator, q: F64, group: F64 = CUBIC) -> F64:
    """The same orientations, each by another of its names."""
    image = multiply_quaternions(q, group[rng.integers(len(group), size=len(q))])
    return image * rng.choice([-1.0, 1.0], size=(len(q), 1))


# --- neighbours ---------------------------------------------------------------------------------


def test_neighbours_of_points_and_pixels() -> None:
    at = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert neighbours.neighbour_pairs(at, 1.1).tolist() == [[0, 1], [0, 2], [1, 3], [2, 3]]
    by_edges = neighbours.image_pairs((2, 2), diagonal=False).tolist()
    assert by_edges == [[0, 1], [0, 2], [1, 3], [2, 3]]
    assert neighbours.image_pairs((2, 2)).tolist() == [
        *([0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]),
    ]
    assert neighbours.neighbour_pairs(np.zeros((0, 2)), 1.0).shape == (0, 2)
    with pytest.raises(ConfigError, match=r"reach of neighbours 0.0: expected a positive number"):
        neighbours.neighbour_pairs(at, 0.0)
    with pytest.raises(ConfigError, match="pairs name point 4: the map has 4"):
        neighbours.pair_angles(np.ones((4, 4)), np.array([[0, 4]]), CUBIC)
    with pytest.raises(ConfigError, match="pairs name point -1: the map has 4"):
        neighbours.pair_angles(np.ones((4, 4)), np.array([[-1, 2]]), CUBIC)


# --- segmentation -------------------------------------------------------------------------------


def test_steps_join_what_the_ends_do_not() -> None:
    """A row that drifts by 4 degrees a point is one grain at 4.5, and falls apart at 3.5."""
    rng = np.random.default_rng(1)
    q = disguised(rng, about((1, 2, 3), np.arange(8) * 4.0))
    q[5] = np.nan
    pairs = neighbours.image_pairs((1, 8))
    assert grains.segment(q, pairs, CUBIC, 4.5 * DEG).tolist() == [0, 0, 0, 0, 0, -1, 1, 1]
    assert grains.segment(q, pairs, CUBIC, 3.5 * DEG).tolist() == [0, 1, 2, 3, 4, -1, 5, 6]
    angles = neighbours.pair_angles(q, pairs, CUBIC)
    again = grains.segment(q, pairs, CUBIC, 4.5 * DEG, angles)
    assert again.tolist() == [0, 0, 0, 0, 0, -1, 1, 1]
    assert np.isnan(angles[4:6]).all()


def test_the_limit_is_inclusive_and_zero_joins_what_is_equal() -> None:
    q = np.repeat(random_quaternions(np.random.default_rng(2), 1), 3, axis=0)
    angles = np.array([0.1, 0.0])
    pairs = np.array([[0, 1], [1, 2]])
    assert grains.segment(q, pairs, CUBIC, 0.1, angles).tolist() == [0, 0, 0]
    assert grains.segment(q, pairs, CUBIC, 0.0, angles).tolist() == [0, 1, 1]
    with pytest.raises(ConfigError, match=r"limit of a grain nan rad: expected an angle of 0 or"):
        grains.segment(q, pairs, CUBIC, np.nan)


def test_no_points_no_grains() -> None:
    none = np.zeros((0, 2), dtype=np.int64)
    label = grains.segment(np.zeros((0, 4)), none, CUBIC, 0.1)
    assert len(label) == 0
    assert len(grains.grain_table(np.zeros((0, 4)), label, CUBIC, np.zeros((0, 2)))) == 0


def test_gold_example_is_a_bicrystal(real_data) -> None:
    """The published gold map: 796 + 718 voxels of confidence 0.7, a sigma 3 (specification 3)."""
    lines = (real_data("nearfield-golden") / "Au_txt.mic").read_text().splitlines()
    rows = np.array([x.split() for x in lines if x and x[0] != "%"], dtype=float)
    rows = rows[rows[:, 10] >= 0.7]
    q = quaternion_of_matrix(matrix_of_euler(rows[:, 7:10]))
    near = neighbours.neighbour_pairs(rows[:, 3:5], 2.5)  # the grid's edge [um]
    islands = grains.segment(q, near, CUBIC, 5.0 * DEG)
    assert np.bincount(islands).tolist() == [789, 717, 1, 1, 4, 1, 1]  # cut off by weak voxels
    label = grains.segment(q, neighbours.neighbour_pairs(rows[:, 3:5], 5.0), CUBIC, 5.0 * DEG)
    assert np.bincount(label).tolist() == [796, 718]
    table = grains.grain_table(q, label, CUBIC, rows[:, 3:5] * UM)
    one, two = table.quaternion[:, None]
    # a map of MIDAS: each mean is right to a fraction of its voxels' 0.06 to 0.09 degrees
    assert misorientation(one, two, CUBIC)[0] == pytest.approx(60.0 * DEG, abs=0.1 * DEG)
    axis = disorientation_axis(disorientation(one, two, CUBIC)[0], CUBIC)[0]
    np.testing.assert_allclose(axis, np.full(3, 3**-0.5), atol=0.1 * DEG)
    assert (table.spread_rad < 0.1 * DEG).all()
    # wherever they lie, the published clustering finds the same two
    greedy = greedy_grains(q, rows[:, 10], CUBIC, limit_rad=5.0 * DEG)
    assert greedy.n_points.tolist() == [796, 718]


# --- means --------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.sampled_from(LAUE_CLASSES))
def test_mean_of_disguised_points_is_their_centre(seed: int, name: str) -> None:
    rng, group = np.random.default_rng(seed), laue_operators(name)
    centres = random_quaternions(rng, 3)
    label = rng.integers(-1, 3, size=200)
    label[:3] = [0, 1, 2]
    # noise in opposite pairs, so that the mean is exact
    noise = 0.01 * rng.normal(size=(200, 3))
    both = np.concatenate([noise, -noise])
    turn = np.column_stack([np.sqrt(1.0 - (both**2).sum(axis=1)), both])
    twice = np.tile(label, 2)
    q = disguised(rng, multiply_quaternions(centres[twice], turn), group)
    mean = grains.mean_orientations(q, twice, group)
    assert misorientation(mean, centres, group).max() < 1e-13  # eigenvectors of sums
    table = grains.grain_table(q, twice, group, rng.normal(size=(400, 2)))
    assert table.n_points.tolist() == np.bincount(twice[twice >= 0]).tolist()
    # mean length of the noise: 2 * 0.01 * sqrt(8 / pi)
    assert table.spread_rad == pytest.approx(0.032, rel=0.3)


def test_weights_pull_the_mean() -> None:
    q = about((0, 0, 1), np.array([0.0, 1.0]))
    label = np.zeros(2, dtype=np.int64)
    mean = grains.mean_orientations(q, label, CUBIC, weight=np.array([3.0, 1.0]))
    angle = misorientation(mean, q[:1], CUBIC)[0]
    assert angle == pytest.approx(0.25 * DEG, rel=1e-4)  # not linear: 1e-4 of a degree squared


def test_mean_of_a_number_that_no_point_has() -> None:
    q = random_quaternions(np.random.default_rng(0), 2)
    label = np.array([0, 2])
    assert np.isnan(grains.mean_orientations(q, label, CUBIC)[1]).all()
    assert grains.mean_orientations(q, np.array([-1, -1]), CUBIC).shape == (0, 4)
    with pytest.raises(ConfigError, match="grain 1 has no point: expected labels without gap"):
        grains.grain_table(q, label, CUBIC, np.zeros((2, 2)))


# --- spreads ------------------------------------------------------------------------------------


def test_kernel_average_and_reference_deviation_of_a_bent_row() -> None:
    q = disguised(np.random.default_rng(3), about((1, 1, 0), np.array([0.0, 1.0, 3.0, 40.0])))
    pairs = neighbours.image_pairs((1, 4))
    angles = neighbours.pair_angles(q, pairs, CUBIC)
    kam = grains.kernel_average(5, pairs, angles) / DEG
    np.testing.assert_allclose(kam[:4], [1.0, 1.5, 19.5, 37.0], rtol=1e-12)
    assert np.isnan(kam[4])
    inside = grains.kernel_average(4, pairs, angles, 5.0 * DEG) / DEG
    np.testing.assert_allclose(inside[:3], [1.0, 1.5, 2.0], rtol=1e-12)
    assert np.isnan(inside[3])
    label = np.array([0, 0, 0, -1])
    grod = grains.reference_deviation(q, label, q[1:2], CUBIC) / DEG
    np.testing.assert_allclose(grod[:3], [1.0, 0.0, 2.0], atol=1e-12)
    assert np.isnan(grod[3])
    with pytest.raises(ConfigError, match="labels name point 0: the map has 0"):
        grains.reference_deviation(q, label, np.zeros((0, 4)), CUBIC)


# --- published clustering -----------------------------------------------------------------------


def test_greedy_takes_the_best_voxel_and_what_is_near_it() -> None:
    """Drift of 0.6 degrees a voxel: one degree about the best, then about the best of the rest."""
    q = disguised(np.random.default_rng(4), about((3, 1, 2), np.arange(6) * 0.6))
    confidence = np.array([0.5, 0.6, 0.9, 0.4, 0.8, 0.05])
    got = greedy_grains(q, confidence, CUBIC, least_confidence=0.1)
    assert got.centre.tolist() == [2, 4, 0]
    assert got.label.tolist() == [2, 0, 0, 0, 1, -1]
    assert got.n_points.tolist() == [3, 1, 1]
    # whereas the steps of 0.6 degrees make one grain
    label = grains.segment(q, neighbours.image_pairs((1, 6)), CUBIC, 1.0 * DEG)
    assert label.tolist() == [0] * 6


def test_greedy_by_neighbours_stops_at_gaps() -> None:
    q = np.repeat(random_quaternions(np.random.default_rng(5), 1), 6, axis=0)
    q[2] = multiply_quaternions(q[2], about((0, 0, 1), 30.0)[0])
    confidence = np.array([0.7, 0.7, 0.9, 0.8, np.nan, 0.6])
    pairs = neighbours.image_pairs((1, 6))
    anywhere = greedy_grains(q, confidence, CUBIC)
    assert anywhere.label.tolist() == [1, 1, 0, 1, -1, 1]
    near = greedy_grains(q, confidence, CUBIC, pairs=pairs)
    assert near.label.tolist() == [2, 2, 0, 1, -1, 3]
    assert near.centre.tolist() == [2, 3, 0, 5]  # of equal confidences the first
    with pytest.raises(ConfigError, match=r"limit of a grain 0.0 rad: expected a positive angle"):
        greedy_grains(q, confidence, CUBIC, limit_rad=0.0)


def test_published_radius_is_that_of_the_same_area() -> None:
    radius = published_radius(np.array([100]), 2.5 * UM)
    assert np.pi * radius[0] ** 2 == pytest.approx(100 * 3**0.5 / 4 * (2.5 * UM) ** 2, rel=1e-14)
