"""Colours of crystal directions: symmetric, complete, and those of orix."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.symmetry_operators import LAUE_CLASSES, laue_operators
from refimpl.errors import ConfigError
from refimpl.report.nearfield_colours import SECTORS, colours_of_directions, ipf_colours
from refimpl.rotations import matrix_of_quaternion, quaternion_of_euler

RNG = np.random.default_rng(3)
DIRECTIONS = RNG.normal(size=(300, 3))

# orix 0.15.0, DirectionColorKeyTSL.direction2color of these three directions. Hexagonal and
# trigonal ones were turned by 30 degrees about z: there x runs along a, here along a*.
ASKED = np.array(
    [[0.188817, -0.19839, 0.961764], [0.160214, -0.818129, 0.552265],
     [0.741505, 0.538547, -0.400171]]
)  # fmt: skip
ORIX = {
    "-1": [[1.0, 0.823, 0.96], [0.802, 0.372, 1.0], [0.262, 0.557, 1.0]],
    "mmm": [[1.0, 0.284, 0.294], [0.74, 0.259, 1.0], [0.659, 1.0, 0.814]],
    "4/m": [[1.0, 0.294, 0.284], [0.743, 1.0, 0.259], [0.659, 1.0, 0.814]],
    "4/mmm": [[1.0, 0.018, 0.237], [0.985, 1.0, 0.468], [0.675, 0.417, 1.0]],
    "-3": [[1.0, 0.117, 0.401], [0.729, 0.854, 1.0], [0.453, 1.0, 0.133]],
    "-3m1": [[1.0, 0.272, 0.13], [0.958, 1.0, 0.611], [0.778, 0.82, 1.0]],
    "6/m": [[1.0, 0.155, 0.271], [0.884, 1.0, 0.359], [0.584, 1.0, 0.212]],
    "6/mmm": [[1.0, 0.232, 0.249], [1.0, 0.895, 0.688], [0.704, 1.0, 0.412]],
    "m-3m": [[1.0, 0.036, 0.417], [0.707, 1.0, 0.725], [0.516, 0.512, 1.0]],
}


@pytest.mark.parametrize("name", ORIX)
def test_colours_are_those_of_orix(name: str) -> None:
    # orix takes the hue from a table of 1000 steps
    np.testing.assert_allclose(colours_of_directions(ASKED, name), ORIX[name], atol=0.01)


@pytest.mark.parametrize("name", LAUE_CLASSES)
def test_equivalent_directions_have_one_colour(name: str) -> None:
    colours = colours_of_directions(DIRECTIONS, name)
    assert ((colours >= 0.0) & (colours <= 1.0)).all()
    for turn in matrix_of_quaternion(laue_operators(name)):
        for sign in (1.0, -1.0):
            other = colours_of_directions(sign * DIRECTIONS @ turn.T, name)
            np.testing.assert_allclose(other, colours, atol=1e-9)


@pytest.mark.parametrize("name", LAUE_CLASSES)
def test_each_direction_has_one_place_in_the_sector(name: str) -> None:
    sector, turns = SECTORS[name], matrix_of_quaternion(laue_operators(name))
    places = sum(
        sector.contains(sign * DIRECTIONS @ turn.T).astype(int)
        for turn in turns for sign in (1.0, -1.0)
    )  # fmt: skip
    assert (places == 1).all()


def test_corners_are_red_green_and_blue_and_the_middle_white() -> None:
    for name in ("m-3m", "6/mmm", "-31m", "mmm"):
        sector = SECTORS[name]
        np.testing.assert_allclose(
            colours_of_directions(sector.directions, name), np.eye(3), atol=1e-7
        )  # the hue's table ends there
        np.testing.assert_allclose(colours_of_directions(sector.middle[None], name), 1.0, atol=1e-7)


def test_orientations_are_coloured_by_the_direction_along_the_samples() -> None:
    euler = np.array([[0.0, 0.0, 0.0], [0.3, 0.25 * np.pi, 0.0], [np.nan, 0.0, 0.0]])
    got = ipf_colours(quaternion_of_euler(euler), 225)
    np.testing.assert_allclose(got[0], [1.0, 0.0, 0.0], atol=1e-9)  # 001 along z
    np.testing.assert_allclose(got[1], [0.0, 1.0, 0.0], atol=1e-6)  # 011 along z
    assert np.isnan(got[2]).all()
    turned = ipf_colours(quaternion_of_euler(np.array([[0.7, 0.0, 0.0]])), 225, (1.0, 0.0, 0.0))
    wanted = colours_of_directions(np.array([[np.cos(0.7), -np.sin(0.7), 0.0]]), "m-3m")
    np.testing.assert_allclose(turned, wanted, atol=1e-9)


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown Laue class 'm3m': expected one of -1, 2/m"):
        colours_of_directions(DIRECTIONS, "m3m")
