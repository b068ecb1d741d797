"""The near-field table of reflections: settings, rings, refusals."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from refimpl.crystal.cell import d_spacing
from refimpl.crystal.hkls_csv import format_hkls, nearfield_hkls, parse_hkls, read_hkls_csv
from refimpl.errors import ConfigError

GOLD = (4.08, 4.08, 4.08, 90.0, 90.0, 90.0)
SAPPHIRE = (4.76, 4.76, 12.99, 90.0, 90.0, 120.0)
BEAM = (0.172979, 10.290724494, 2.8)


def test_gold_is_the_published_table(real_data) -> None:
    path: Path = real_data("nearfield-golden") / "au_hkls.csv"
    ours, theirs = nearfield_hkls(GOLD, 225, *BEAM), read_hkls_csv(path)
    assert len(ours.ring) == len(theirs.ring) == 258
    one, two = (np.lexsort((*t.hkl.T, t.ring)) for t in (ours, theirs))
    np.testing.assert_array_equal(ours.hkl[one], theirs.hkl[two])
    np.testing.assert_array_equal(ours.ring[one], theirs.ring[two])
    for name in ("d_angstrom", "g", "theta_rad", "radius_mm"):
        np.testing.assert_allclose(
            getattr(ours, name)[one], getattr(theirs, name)[two], rtol=0.0, atol=1e-12
        )
    # rings in order of falling d, one row after the other
    assert (np.diff(ours.ring) >= 0).all()


def test_seventeen_digits_bring_the_table_back() -> None:
    table = nearfield_hkls(SAPPHIRE, 167, *BEAM)
    again = parse_hkls(format_hkls(table, digits=17))
    np.testing.assert_array_equal(again.hkl, table.hkl)
    np.testing.assert_array_equal(again.g, table.g)
    np.testing.assert_array_equal(again.d_angstrom, table.d_angstrom)
    np.testing.assert_allclose(again.theta_rad, table.theta_rad, rtol=4e-16)  # degrees and back


@pytest.mark.parametrize(
    ("number", "cell"),
    [
        (2, (3.0, 4.0, 5.0, 80.0, 85.0, 95.0)),
        (14, (3.0, 4.0, 5.0, 90.0, 101.0, 90.0)),
        (14, (3.0, 4.0, 5.0, 90.0, 90.0, 101.0)),
        (14, (3.0, 4.0, 5.0, 101.0, 90.0, 90.0)),
        (62, (3.0, 4.0, 5.0, 90.0, 90.0, 90.0)),
        (167, SAPPHIRE),
        (167, (5.1, 5.1, 5.1, 55.3, 55.3, 55.3)),
        (194, (3.0, 3.0, 5.0, 90.0, 90.0, 120.0)),
        (227, (5.43, 5.43, 5.43, 90.0, 90.0, 90.0)),
    ],
)
def test_every_reflection_that_is_not_extinguished(number: int, cell: tuple) -> None:
    """Against a plain loop over Miller indices in the setting that fits the cell."""
    wavelength, lsd, radius = 0.3, 10.0, 2.2
    table = nearfield_hkls(cell, number, wavelength, lsd, radius)
    d_min = wavelength / (2.0 * np.sin(0.5 * np.arctan(radius / lsd)))
    fitting = (
        g
        for g in gemmi.spacegroup_table()
        if g.number == number and gemmi.UnitCell(*cell).is_compatible_with_spacegroup(g)
    )
    operations = next(fitting).operations()
    index = np.arange(-10, 11)
    every = np.stack(np.meshgrid(index, index, index, indexing="ij"), axis=-1).reshape(-1, 3)
    every = every[(every != 0).any(axis=1)]
    every = every[d_spacing(every, cell) >= d_min]
    kept = {tuple(h) for h in every.tolist() if not operations.is_systematically_absent(h)}
    assert {tuple(h) for h in table.hkl.tolist()} == kept
    assert len(table.hkl) == len(kept)


def test_published_limits_leave_out_indices_beyond_ten() -> None:
    whole = nearfield_hkls(SAPPHIRE, 167, *BEAM)
    cut = nearfield_hkls(SAPPHIRE, 167, *BEAM, published_limits=True)
    assert abs(cut.hkl).max() == 10 < abs(whole.hkl).max()
    assert len(cut.hkl) == (abs(whole.hkl).max(axis=1) <= 10).sum()


def test_a_ring_is_measured_from_its_first_row() -> None:
    """Rows 0.6e-4 Å apart: the third is 1.2e-4 from the first, and opens a ring."""
    a = 4.0
    cell = (a, a + 0.6e-4, a + 1.2e-4, 90.0, 90.0, 90.0)
    table = nearfield_hkls(cell, 16, 0.3, 10.0, 0.76)  # d >= 3.96: the three axes alone
    assert abs(table.hkl).argmax(axis=1).tolist() == [2, 2, 1, 1, 0, 0]
    assert table.ring.tolist() == [1, 1, 1, 1, 2, 2]


def test_rings_to_use_come_in_the_order_listed() -> None:
    table = nearfield_hkls(GOLD, 225, *BEAM)
    some = table.of_rings([4, 1])
    assert some.ring.tolist() == [4] * 24 + [1] * 8
    np.testing.assert_array_equal(some.hkl[24:], table.hkl[:8])
    with pytest.raises(ConfigError, match="ring 99: the table has rings 1 to 13") as caught:
        table.of_rings([1, 99])
    assert caught.value.key == "RingsToUse"


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"no reflection with d >= .* check these three"):
        nearfield_hkls(GOLD, 225, 0.172979, 10.0, 0.1)
    with pytest.raises(ConfigError, match=r"Lsd = -1.0: expected a positive number"):
        nearfield_hkls(GOLD, 225, 0.172979, -1.0, 0.1)
    with pytest.raises(ConfigError, match="does not have the symmetry of space group"):
        nearfield_hkls(SAPPHIRE, 225, *BEAM)
    with pytest.raises(ConfigError, match="unknown space group 999"):
        nearfield_hkls(GOLD, 999, *BEAM)
