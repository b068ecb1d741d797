"""Reflections, multiplicities and structure factors by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal import Site, calibrant
from refimpl.crystal.cell import d_spacing
from refimpl.crystal.reflections import (
    equivalents,
    space_group,
    structure_factor_squared,
    unique_reflections,
)
from refimpl.errors import ConfigError

CUBE = (4.0, 4.0, 4.0, 90.0, 90.0, 90.0)


def test_face_centred_cubic_by_hand():
    hkl, multiplicity = unique_reflections(CUBE, "F m -3 m", 1.0)
    assert hkl.tolist() == [
        [1, 1, 1],
        [2, 0, 0],
        [2, 2, 0],
        [3, 1, 1],
        [2, 2, 2],
        [4, 0, 0],
    ]  # the last at d = 1.0 exactly: the limit is inclusive
    assert multiplicity.tolist() == [8, 6, 12, 24, 8, 6]


@pytest.mark.parametrize(
    ("group", "allowed", "absent"),
    [
        (229, [(1, 1, 0), (2, 0, 0)], [(1, 0, 0), (1, 1, 1)]),  # body-centred
        (194, [(0, 0, 2), (1, 1, 2)], [(0, 0, 1), (1, 1, 1)]),  # c glide: hhl with l = 2n
        (14, [(0, 2, 0), (1, 0, 2)], [(0, 1, 0), (1, 0, 1)]),  # P 21/c
        ("R -3 c:H", [(0, 1, 2), (0, 0, 6)], [(1, 0, 2), (0, 0, 3), (0, 2, 1)]),
    ],
)
def test_absences(group, allowed, absent):
    system = space_group(group).crystal_system_str()
    cell = {
        "cubic": CUBE,
        "hexagonal": (4.0, 4.0, 7.0, 90.0, 90.0, 120.0),
        "trigonal": (4.0, 4.0, 7.0, 90.0, 90.0, 120.0),
        "monoclinic": (4.0, 5.0, 6.0, 90.0, 101.0, 90.0),
    }[system]
    hkl, _ = unique_reflections(cell, group, 0.9)
    every = {tuple(h) for h in equivalents(hkl, group).reshape(-1, 3).tolist()}
    assert [h for h in allowed if h not in every] == []
    assert [h for h in absent if h in every] == []


def test_no_limit_on_indices():
    hkl, _ = unique_reflections(CUBE, "P m -3 m", 0.18)
    assert hkl.max() == 22  # 4 / 0.18 = 22.2; the published program stops at 10


def test_multiplicities_of_a_low_symmetry():
    hkl, multiplicity = unique_reflections((4.0, 5.0, 6.0, 90.0, 101.0, 90.0), 10, 1.5)  # P 2/m
    on_plane = (hkl[:, 1] == 0) | ((hkl[:, 0] == 0) & (hkl[:, 2] == 0))
    assert (multiplicity == np.where(on_plane, 2, 4)).all()


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (0, "unknown space group 0: expected a number from 1 to 230"),
        (231, "unknown space group 231"),
        ("F q -3 m", "unknown space group 'F q -3 m'"),
    ],
)
def test_unknown_space_groups(group, message):
    with pytest.raises(ConfigError, match=message):
        unique_reflections(CUBE, group, 1.0)


def test_impossible_requests():
    with pytest.raises(
        ConfigError, match=r"does not have the symmetry of space group .* \(cubic\)"
    ):
        unique_reflections((4.0, 4.0, 5.0, 90, 90, 90), 225, 1.0)
    with pytest.raises(ConfigError, match=r"d_min = 0.0 Å: expected a positive number"):
        unique_reflections(CUBE, 225, 0.0)
    with pytest.raises(ConfigError, match="check the wavelength and its unit"):
        unique_reflections(CUBE, 225, 0.001)
    with pytest.raises(ConfigError, match="unknown element 'Qq'"):
        structure_factor_squared([[1, 0, 0]], CUBE, 221, [Site("Qq", (0, 0, 0))])


def test_forward_structure_factor_counts_electrons():
    # h -> 0: F = sum of Z over the cell. 4 CeO2 = 4 * (58 + 16) = 296 electrons
    ceria = calibrant("CeO2")
    f2 = structure_factor_squared([[0, 0, 0]], ceria.cell, ceria.space_group, ceria.sites)
    assert f2[0] ** 0.5 == pytest.approx(296, abs=0.3)  # the tables' fit at s = 0: 0.1 %


def test_ceria_parity_by_hand():
    # F = 4 (f_Ce + 2 f_O cos(..)): all even with h+k+l = 4n adds, 4n+2 subtracts, odd: Ce alone
    ceria = calibrant("CeO2")
    hkl = np.array([[1, 1, 1], [2, 0, 0], [2, 2, 0]])

    def modulus(sites):
        return structure_factor_squared(hkl, ceria.cell, ceria.space_group, sites) ** 0.5

    ce, o = modulus(ceria.sites[:1]), modulus(ceria.sites[1:])
    expected = [ce[0], ce[1] - o[1], ce[2] + o[2]]
    np.testing.assert_allclose(modulus(ceria.sites), expected, rtol=1e-12)  # sums of 12 phases


def test_silicon_222_is_extinguished_by_its_atoms():
    si = calibrant("Si")
    f2 = structure_factor_squared([[1, 1, 1], [2, 2, 2]], si.cell, si.space_group, si.sites)
    assert f2[1] < 1e-25 * f2[0]  # (8 eps)^2 of the cell's electrons
    # |F(111)| = 4 sqrt(2) f, f(0.16) = 10.5: International Tables
    assert f2[0] ** 0.5 / (4 * 2**0.5) == pytest.approx(10.54, abs=0.05)


def test_occupancy_displacement_and_dispersion():
    cell, site = (3.0, 3.0, 3.0, 90.0, 90.0, 90.0), Site("Ni", (0, 0, 0))
    one = structure_factor_squared([[1, 1, 1]], cell, "P m -3 m", [site])[0]
    half = structure_factor_squared([[1, 1, 1]], cell, "P m -3 m", [Site("Ni", (0, 0, 0), 0.5)])[0]
    assert half == pytest.approx(0.25 * one, rel=1e-14)  # one product
    warm = structure_factor_squared([[1, 1, 1]], cell, "P m -3 m", [site], 0.5)[0]
    stol2 = 0.25 / d_spacing([[1, 1, 1]], cell)[0] ** 2
    assert warm == pytest.approx(one * np.exp(-2 * 0.5 * stol2), rel=1e-14)  # one exponential
    edge = structure_factor_squared([[1, 1, 1]], cell, "P m -3 m", [site], 0.0, 1.4879)[0]
    assert edge < 0.75 * one  # at the K edge of nickel f' is about -7 of 28 electrons


def test_shared_positions_are_counted_once():
    # 1/3 and 2/3 do not close in binary: the orbit must still have 2 members, not 3 or 12
    cell = (2.5, 2.5, 4.1, 90.0, 90.0, 120.0)
    magnesium = Site("Mg", (1 / 3, 2 / 3, 0.25))
    f2 = structure_factor_squared([[0, 0, 0]], cell, 194, [magnesium])
    assert f2[0] ** 0.5 == pytest.approx(24.0, abs=0.1)  # two atoms of Z = 12
