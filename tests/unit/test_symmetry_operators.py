"""Operators of the Laue classes: groups, exact, and those of gemmi in the frame of B."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from refimpl.crystal.cell import b_matrix
from refimpl.crystal.symmetry_operators import LAUE_CLASSES, laue_class, laue_operators, operators
from refimpl.errors import ConfigError
from refimpl.rotations import multiply_quaternions, quaternion_of_matrix

HEXAGONAL = (3.0, 3.0, 5.0, 90.0, 90.0, 120.0)
CELLS = {
    "triclinic": (3.0, 4.0, 5.0, 80.0, 85.0, 95.0),
    "monoclinic": (3.0, 4.0, 5.0, 90.0, 101.0, 90.0),
    "orthorhombic": (3.0, 4.0, 5.0, 90.0, 90.0, 90.0),
    "tetragonal": (3.0, 3.0, 5.0, 90.0, 90.0, 90.0),
    "trigonal": HEXAGONAL,
    "hexagonal": HEXAGONAL,
    "cubic": (4.0, 4.0, 4.0, 90.0, 90.0, 90.0),
}

# the table of specification 1.1: last group of each class, number of operators
PUBLISHED = [(2, 1), (15, 2), (74, 4), (88, 4), (142, 8), (148, 3), (167, 6), (176, 6), (194, 12)]
PUBLISHED += [(206, 12), (230, 24)]


def _of_gemmi(group: gemmi.SpaceGroup, cell: tuple[float, ...]) -> np.ndarray:
    """Proper parts of the group's rotations, turned into the frame of B."""
    axes = np.linalg.inv(b_matrix(cell)).T  # columns a, b, c
    rotations = np.array([op.rot for op in group.operations().sym_ops]) / gemmi.Op.DEN
    proper = rotations * np.linalg.det(rotations)[:, None, None]
    return quaternion_of_matrix(axes @ proper @ np.linalg.inv(axes))


@pytest.mark.parametrize("name", LAUE_CLASSES)
def test_operators_are_a_group(name: str) -> None:
    s = laue_operators(name)
    products = multiply_quaternions(s[:, None], s[None])
    cosines = abs(np.einsum("ijk,lk->ijl", products, s))
    np.testing.assert_allclose(cosines.max(axis=2), 1.0, atol=4e-16)  # two ulp of one
    found = cosines.argmax(axis=2)
    for row in (*found, *found.T):  # a Latin square: every element once
        assert sorted(row) == list(range(len(s)))
    np.testing.assert_array_equal(s[0], [1.0, 0.0, 0.0, 0.0])
    assert (s[:, 0] >= 0.0).all()


def test_components_are_exact() -> None:
    every = np.unique(np.abs(np.concatenate([laue_operators(n) for n in LAUE_CLASSES])))
    np.testing.assert_array_equal(every, [0.0, 0.5, np.sqrt(2.0) / 2.0, np.sqrt(3.0) / 2.0, 1.0])


@pytest.mark.parametrize("number", range(1, 231))
def test_operators_are_the_rotations_of_the_space_group(number: int) -> None:
    group = gemmi.find_spacegroup_by_number(number)
    cell = CELLS[group.crystal_system_str()]
    ours, theirs = operators(number, cell), _of_gemmi(group, cell)
    cosines = abs(theirs @ ours.T)
    np.testing.assert_allclose(cosines.max(axis=1), 1.0, atol=1e-14)  # the axes' inverse
    assert set(cosines.argmax(axis=1)) == set(range(len(ours)))
    assert len(ours) == next(n for last, n in PUBLISHED if number <= last)


@pytest.mark.parametrize(
    ("symbol", "angles", "axis"),
    [
        ("P 2 1 1", (101.0, 90.0, 90.0), 1),
        ("P 1 2 1", (90.0, 101.0, 90.0), 2),
        ("P 1 1 2", (90.0, 90.0, 101.0), 3),
    ],
)
def test_the_cell_says_which_axis_is_unique(symbol: str, angles: tuple, axis: int) -> None:
    cell = (3.0, 4.0, 5.0, *angles)
    ours = operators(3, cell)
    assert ours[1, axis] == 1.0
    theirs = _of_gemmi(gemmi.find_spacegroup_by_name(symbol), cell)
    np.testing.assert_allclose(abs(theirs @ ours.T).max(axis=1), 1.0, atol=1e-14)


def test_settings_of_trigonal_groups() -> None:
    along_a_star = [g for g in range(149, 168) if laue_class(g) == "-31m"]
    assert along_a_star == [149, 151, 153, 157, 159, 162, 163]
    np.testing.assert_array_equal(operators(149)[3], [0.0, 1.0, 0.0, 0.0])
    np.testing.assert_array_equal(operators(150)[4], [0.0, 0.0, 1.0, 0.0])
    assert laue_class("R -3 c") == laue_class(167) == "-3m1"


def test_operators_refuse() -> None:
    with pytest.raises(ConfigError, match="unknown space group 231: expected a number from 1 to"):
        operators(231)
    with pytest.raises(ConfigError, match="expected one that is not 90 degrees"):
        operators(5, (3.0, 4.0, 5.0, 91.0, 92.0, 90.0))
    with pytest.raises(ConfigError, match=r"space group 166 .* expected 90, 90, 120 degrees"):
        operators(166, (4.7, 4.7, 4.7, 57.0, 57.0, 57.0))
    with pytest.raises(ConfigError, match="unknown Laue class '6/m2': expected one of -1, mmm"):
        laue_operators("6/m2")
    with pytest.raises(ValueError, match="read-only"):
        operators(225)[0, 0] = 2.0
