"""The zone of smallest angles, and even grids of orientations."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from refimpl.crystal import fundamental_zone as fz
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import LAUE_CLASSES, laue_operators, operators
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.rotations import multiply_quaternions
from refimpl.testing.strategies_crystal import random_quaternions
from refimpl.units import DEG

CLASS = st.sampled_from(LAUE_CLASSES)
ROUNDING = 3e-15  # products of numbers of size one


@given(st.integers(0, 2**32 - 1), CLASS)
def test_folding_keeps_the_orientation_and_is_done_once(seed: int, name: str) -> None:
    rng, group = np.random.default_rng(seed), laue_operators(name)
    q = random_quaternions(rng, 20)
    folded = fz.fundamental_zone(q, group)
    assert fz.is_in_zone(folded, group, ROUNDING).all()
    assert misorientation(q, folded, group).max() < ROUNDING
    np.testing.assert_allclose(fz.fundamental_zone(folded, group), folded, atol=ROUNDING)
    other = multiply_quaternions(q, group[rng.integers(len(group), size=20)])
    np.testing.assert_allclose(fz.fundamental_zone(other, group), folded, atol=ROUNDING)


@pytest.mark.parametrize("name", LAUE_CLASSES)
def test_share_of_random_orientations_in_the_zone(name: str) -> None:
    group = laue_operators(name)
    share = fz.is_in_zone(random_quaternions(np.random.default_rng(2), 100_000), group).mean()
    sigma = np.sqrt((1.0 - 1.0 / len(group)) / len(group) / 100_000)
    assert abs(share - 1.0 / len(group)) < 4.0 * sigma + 1e-12


# Morawiec & Field (1996), table of the largest disorientation angles
@pytest.mark.parametrize(
    ("name", "degrees"),
    [
        *(("m-3m", 62.80), ("m-3", 90.0), ("6/mmm", 93.84), ("4/mmm", 98.42), ("-31m", 104.48)),
        *(("-3m1", 104.48), ("mmm", 120.0), ("2/m", 180.0), ("6/m", 180.0), ("-1", 180.0)),
    ],
)
def test_farthest_vertex(name: str, degrees: float) -> None:
    angle = fz.largest_angle(laue_operators(name)) / DEG
    assert angle == pytest.approx(degrees, abs=0.005)  # two decimals published


def test_the_published_list_has_this_many_orientations() -> None:
    """180 a side filtered for cubic: the number in the published parameter file."""
    group = operators(225)
    grid = fz.cubochoric_grid(180, group)
    assert len(grid) == 243_129
    np.testing.assert_allclose(np.linalg.norm(grid, axis=1), 1.0, rtol=4e-16)
    assert (grid[:, 0] > 0.85).all()  # cos(62.8 degrees / 2)
    # specification 5.3: the nearest seed is 0.68 degrees away on average
    nearest = _nearest(grid, group, 2000)
    assert nearest.mean() == pytest.approx(0.68 * DEG, abs=0.02 * DEG)  # 4 sigma of 2000
    assert nearest.max() < 1.4 * 1.3656 * DEG  # the docstring's bound


def _nearest(grid: F64, group: F64, n: int) -> F64:
    """Angles from random orientations to the nearest point of a grid."""
    q = random_quaternions(np.random.default_rng(4), n)
    images = multiply_quaternions(q[:, None], group[None])
    both = np.concatenate([images, -images], axis=1)
    chord = cKDTree(grid).query(both.reshape(-1, 4), distance_upper_bound=0.5)[0]
    return np.asarray(4.0 * np.arcsin(0.5 * chord.reshape(n, -1).min(axis=1)))


@pytest.mark.parametrize("n", [20, 21, 41])
@pytest.mark.parametrize("name", ["m-3m", "6/mmm", "-1"])
def test_the_grid_covers_the_zone(name: str, n: int) -> None:
    group = laue_operators(name)
    grid = fz.cubochoric_grid(n, group)
    width = (8.0 * np.pi**2) ** (1.0 / 3.0) / n
    assert len(grid) == pytest.approx(n**3 / len(group), rel=0.15)  # faces count twice
    nearest = _nearest(grid, group, 2000) / width
    assert nearest.max() < 1.4  # the docstring's bound
    assert 0.4 < nearest.mean() < 0.6
    assert (grid[:, 0] == 1.0).sum() == 1  # the identity


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_whole_grid_has_no_orientation_twice(n: int) -> None:
    grid = fz.cubochoric_grid(n)
    assert grid.shape == (n**3, 4)
    cosine = abs(grid @ grid.T)
    np.fill_diagonal(cosine, 0.0)
    assert cosine.max() < 1.0 - 1e-6
    np.testing.assert_array_equal(fz.cubochoric_grid(n, laue_operators("-1")), grid)


@given(st.tuples(*[st.integers(-500, 500)] * 3))
def test_the_map_keeps_volumes(index: tuple[int, int, int]) -> None:
    """Cells of a fine grid are equal in rotation space: Jacobian by differences."""
    n = 1001
    k = np.array(index)
    high = np.sort(abs(k))
    if high[2] > 495 or high[2] < 100 or np.diff(high).min() < 2:  # kinks between pyramids
        k = np.array([7, -300, 41])
    steps = np.concatenate([np.eye(3), -np.eye(3)]).astype(int)
    q = fz.cubochoric_quaternions(np.concatenate([k[None], k + steps]), n)
    q = q * np.where(q @ q[0] < 0.0, -1.0, 1.0)[:, None]
    slopes = (q[1:4] - q[4:]) / 2.0
    cell = abs(np.linalg.det(np.concatenate([q[:1], slopes])))
    # the half sphere of quaternions has volume pi^2; central differences leave a few 1/index^2
    assert cell * n**3 == pytest.approx(np.pi**2, rel=10.0 / abs(k).max() ** 2)


@given(st.floats(1e-6, 1.0))
def test_angle_of_a_cube(share: float) -> None:
    angle = fz._angle_of_share(np.array([share]))[0]
    # the difference cancels below a degree: rounding of the angle itself
    assert angle - np.sin(angle) == pytest.approx(np.pi * share**3, abs=4e-16, rel=1e-14)


def test_spacing_to_points() -> None:
    assert fz.points_a_side(1.3656 * DEG) == 180
    assert fz.points_a_side(10.0) == 1
    with pytest.raises(ConfigError, match=r"spacing of orientations 0.0 rad: expected a positive"):
        fz.points_a_side(0.0)
    with pytest.raises(ConfigError, match=r"0.001 rad: 4291 points a side, at most 1000; check"):
        fz.points_a_side(0.001)
    with pytest.raises(ConfigError, match="0 points a side: expected 1 to 1000"):
        fz.cubochoric_grid(0)
    with pytest.raises(ConfigError, match="no operators"):
        fz.fundamental_zone(np.array([[1.0, 0.0, 0.0, 0.0]]), np.zeros((0, 4)))


def test_memory_is_that_of_the_result() -> None:
    tracemalloc.start()
    grid = fz.cubochoric_grid(120, laue_operators("6/mmm"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the list of parts and its concatenation, and one chunk's work of 60 numbers a point
    assert peak < 2 * grid.nbytes + fz.CHUNK * 60 * 8
