"""Calibrants by name and by the user."""

from __future__ import annotations

import pytest

from refimpl.crystal import (
    CALIBRANTS,
    Site,
    calibrant,
    calibrant_from_cell,
    calibrant_from_d_spacings,
    lamellar,
    rings,
)
from refimpl.errors import ConfigError
from refimpl.units import DEG

NAMES = ("CeO2", "LaB6", "Si", "Al2O3", "Cr2O3", "AgBh", "Ni", "Au")


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_complete(name):
    powder = calibrant(name)
    assert powder.name == name
    assert len(powder.citation) > 20
    assert len(rings(powder, 0.5, 30 * DEG)) >= 5
    assert calibrant(name.upper()) is calibrant(name.lower()) is powder


def test_names_are_all_there():
    assert set(CALIBRANTS) == set(NAMES)


@pytest.mark.parametrize(
    ("name", "number", "a", "c"),
    [
        ("CeO2", 225, 5.411651, 5.411651),
        ("LaB6", 221, 4.156826, 4.156826),
        ("Si", 227, 5.431144, 5.431144),
        ("Al2O3", 167, 4.759091, 12.991779),
        ("Cr2O3", 167, 4.958979, 13.59592),
        ("Ni", 225, 3.52387, 3.52387),
        ("Au", 225, 4.0782, 4.0782),
    ],
)
def test_default_lattice_parameters(name, number, a, c):
    powder = calibrant(name)
    assert powder.space_group_number == number
    assert powder.cell is not None
    assert (powder.cell[0], powder.cell[2]) == (a, c)


def test_silver_behenate():
    powder = calibrant("AgBh")
    found = rings(powder, 1.5405929, 25 * DEG)
    assert found.d_angstrom[0] == 58.380
    assert found.hkl[-1].tolist() == [0, 0, 13]
    assert found.d_angstrom[12] == pytest.approx(58.380 / 13, rel=1e-15)
    assert powder.space_group_number == 0


@pytest.mark.parametrize(
    ("typo", "meant"), [("CeO", "CeO2"), ("lab", "LaB6"), ("alumina2o3", "Al2O3"), ("", "Si")]
)
def test_unknown_name_names_the_nearest(typo, meant):
    known = "known: CeO2, LaB6, Si, Al2O3, Cr2O3, AgBh, Ni, Au"
    with pytest.raises(ConfigError, match=f"unknown calibrant '{typo}': did you mean '") as raised:
        calibrant(typo)
    assert known in str(raised.value)
    assert typo == "" or f"did you mean '{meant}'?" in str(raised.value)


def test_lattice_parameter_can_be_given():
    assert calibrant("CeO2", 5.41153).cell == (5.41153, 5.41153, 5.41153, 90.0, 90.0, 90.0)
    assert calibrant("Al2O3", (4.7592, 12.992)).cell == (4.7592, 4.7592, 12.992, 90.0, 90.0, 120.0)
    assert calibrant("CeO2", (5.4, 5.4, 5.4, 90, 90, 90)).cell[0] == 5.4
    assert calibrant("AgBh", 58.37).d_spacings_angstrom[1] == 58.37 / 2
    assert calibrant("CeO2", 5.41153).citation.startswith("lattice parameter given by the user")
    assert calibrant("CeO2").cell[0] == 5.411651  # the default is untouched


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CeO2", -5.4, "CeO2: lattice parameter -5.4: expected positive numbers"),
        ("CeO2", float("nan"), "CeO2: lattice parameter nan: expected positive numbers"),
        ("CeO2", (), r"CeO2: lattice parameter \(\): expected positive numbers"),
        ("CeO2", (5.4, 5.4), r"CeO2 is cubic: got 2 lattice parameter\(s\), expected 1 \(a\)"),
        ("Al2O3", 4.76, r"Al2O3 is trigonal: got 1 .*, expected 2 \(a, c\) or all six"),
        ("CeO2", (5.4, 5.4, 5.5, 90, 90, 90), "does not have the symmetry"),
        ("AgBh", (58.0, 29.0), "AgBh: expected one number, the largest d-spacing"),
    ],
)
def test_impossible_lattice_parameters(name, value, message):
    with pytest.raises(ConfigError, match=message):
        calibrant(name, value)


def test_calibrant_from_a_cell():
    powder = calibrant_from_cell(
        "NaCl",
        225,
        (5.6402, 5.6402, 5.6402, 90, 90, 90),
        sites=[Site("Na", (0, 0, 0)), Site("Cl", (0.5, 0.5, 0.5))],
        b_iso_angstrom2=1.2,
    )
    found = rings(powder, 0.5, 15 * DEG)
    assert found.hkl[:2].tolist() == [[1, 1, 1], [2, 0, 0]]
    assert found.intensity[1] == 1.0  # (200) of rock salt outshines (111)
    assert powder.space_group == "F m -3 m"
    # and the short form, every |F| = 1
    short = rings((powder.cell, 225), 0.5, 15 * DEG)
    assert short.d_angstrom.tolist() == found.d_angstrom.tolist()


def test_orthorhombic_cell_can_be_changed():
    powder = calibrant_from_cell("toy", 47, (3.0, 4.0, 5.0, 90, 90, 90))
    assert powder.with_lattice_parameter((3.1, 4.1, 5.1)).cell == (3.1, 4.1, 5.1, 90.0, 90.0, 90.0)


def test_calibrant_from_d_spacings():
    powder = calibrant_from_d_spacings("list", [1.5, 3.0, 2.0])
    found = rings(powder, 0.5, 30 * DEG)
    assert found.d_angstrom.tolist() == [3.0, 2.0, 1.5]
    assert found.number.tolist() == [1, 2, 3]
    assert found.multiplicity.tolist() == [1, 1, 1]


@pytest.mark.parametrize("bad", [[], [2.0, -1.0], [float("inf")]])
def test_impossible_d_spacings(bad):
    with pytest.raises(ConfigError, match=r"calibrant 'x': d-spacings .*: expected at least one"):
        calibrant_from_d_spacings("x", bad)


@pytest.mark.parametrize(("d001", "orders"), [(0.0, 3), (58.0, 0)])
def test_impossible_lamellae(d001, orders):
    with pytest.raises(ConfigError, match=r"lamellar calibrant: .*: expected positive"):
        lamellar(d001, orders)
