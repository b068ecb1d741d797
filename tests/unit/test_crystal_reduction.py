"""Reduced bases and bases of exact symmetry."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.reduction import (
    basis_of_cell,
    cell_of_basis,
    hall_group,
    niggli_basis,
    point_rotations,
    primitive_basis,
    space_group,
    symmetrised_basis,
    unimodular_changes,
)
from refimpl.errors import ConfigError


def test_cell_and_basis_are_inverse():
    cell = (38.0, 47.0, 61.0, 82.0, 95.0, 104.0)
    # 1e-12: a dozen operations on numbers of this size
    np.testing.assert_allclose(cell_of_basis(basis_of_cell(cell)), cell, rtol=1e-12)


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_reduction_says_how_it_came_there(turn):
    rng = np.random.default_rng(5)
    basis = turn * basis_of_cell((38.0, 47.0, 61.0, 82.0, 95.0, 104.0))
    changed = unimodular_changes()[rng.integers(3000)] @ basis
    reduced, change = niggli_basis(changed)
    assert change.dtype == np.int64
    np.testing.assert_allclose(change @ changed, reduced, atol=1e-9)  # [Å]
    assert np.linalg.det(reduced) > 0.0
    lengths = cell_of_basis(reduced)[:3]
    assert list(lengths) == sorted(lengths)
    # 1e-6: reduction stops at such differences of the metric
    np.testing.assert_allclose(
        cell_of_basis(reduced), cell_of_basis(niggli_basis(basis)[0]), rtol=1e-6
    )


def test_unimodular_changes_are_all_of_them():
    changes = unimodular_changes()
    assert len(changes) == 3480  # counted by a loop over 3**9 matrices
    assert set(np.rint(np.linalg.det(changes)).astype(int)) == {1}


@pytest.mark.parametrize(
    ("name", "number", "rotations"),
    [("P 4", 75, 4), ("P4", 75, 4), ("C 2", 5, 2), ("5", 5, 2), ("I 4/m m m", 139, 8),
     ("R 3", 146, 3), ("P 2 3", 195, 12)],
)  # fmt: skip
def test_space_groups_by_any_name(name, number, rotations):
    group = space_group(name)
    assert group.number == number
    assert len(point_rotations(group)) == rotations


def test_hall_symbols_are_not_read_as_others():
    assert hall_group(" P 4 2").number == 89
    assert space_group("P 4 2").number == 77
    assert hall_group(" C 2y").number == 5


@pytest.mark.parametrize("symbol", ["P 4 58", "", "what"])
def test_an_unknown_hall_symbol_is_named(symbol):
    with pytest.raises(ConfigError, match=r"Hall symbol .* is not that of a known space group"):
        hall_group(symbol)


@pytest.mark.parametrize("name", ["P 7", "", "P 4 58", "231"])
def test_an_unknown_space_group_is_named(name):
    with pytest.raises(ConfigError, match=r"space group .* is not known: expected a Hermann"):
        space_group(name)


@pytest.mark.parametrize(
    ("name", "part"), [("P 4", 1), ("C 2", 2), ("I 4", 2), ("R 3", 3), ("F 2 3", 4)]
)
def test_a_primitive_cell_has_its_part_of_the_volume(name, part):
    group = space_group(name)
    cell = {
        "R 3": (80.0, 80.0, 120.0, 90.0, 90.0, 120.0),
        "C 2": (90.0, 51.0, 63.0, 90.0, 105.0, 90.0),
    }
    basis = basis_of_cell(cell.get(name, (60.0, 60.0, 60.0, 90.0, 90.0, 90.0)))
    ratio = np.linalg.det(basis) / np.linalg.det(primitive_basis(basis, group))
    assert ratio == pytest.approx(part, rel=1e-9)  # a ratio of whole numbers


def test_symmetry_is_imposed_in_the_same_orientation():
    basis = basis_of_cell((57.5, 58.0, 150.0, 90.1, 89.8, 90.2))
    exact = symmetrised_basis(basis, point_rotations(space_group("P 4")))
    a, b, c, *angles = cell_of_basis(exact)
    assert a == pytest.approx(b, rel=1e-12)  # round-off of the mean
    assert angles == pytest.approx([90.0] * 3, abs=1e-9)
    assert a == pytest.approx(np.sqrt(0.5 * (57.5**2 + 58.0**2)), rel=1e-12)
    assert c == pytest.approx(150.0, rel=1e-12)
    assert np.abs(exact - basis).max() < 0.5  # [Å]: the size of the distortion taken out
    np.testing.assert_allclose(symmetrised_basis(exact, point_rotations(space_group("P 4"))), exact)
