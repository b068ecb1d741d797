"""Factors into refimpl's units, against numbers worked out elsewhere."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import units


def test_factors_enter_the_inner_units() -> None:
    inner = [180.0 * units.DEG, 172.0 * units.UM, 0.74 * units.M, 223.0 * units.MICROSTRAIN]
    # each product is one rounding
    assert inner == pytest.approx([math.pi, 0.172, 740.0, 2.23e-4], rel=2.3e-16)


def test_planck_times_c_is_the_exact_si_product() -> None:
    # 2019 SI: h = 6.62607015e-34 J s, c = 299792458 m/s, e = 1.602176634e-19 C, all exact
    exact = 6.62607015e-34 * 299792458.0 / 1.602176634e-19 * 1e10 * 1e-3
    assert exact == pytest.approx(units.HC_KEV_ANGSTROM, rel=1e-15)  # four roundings


@pytest.mark.parametrize(
    ("energy_kev", "angstrom"),
    [
        # published pairs, to the digits that were printed
        (61.3323, 0.20215155543),
        (80.725, 0.153588),
        (8.04778, 1.54060),
    ],
)
def test_energies_and_wavelengths_of_published_experiments(
    energy_kev: float, angstrom: float
) -> None:
    assert units.kev_to_angstrom(energy_kev) == pytest.approx(angstrom, rel=5e-6)


@given(st.floats(1e-3, 1e3))
def test_energy_to_wavelength_is_its_own_inverse(energy_kev: float) -> None:
    back = units.kev_to_angstrom(units.kev_to_angstrom(energy_kev))
    assert back == pytest.approx(energy_kev, rel=4e-16)  # two divisions, half an ulp each
