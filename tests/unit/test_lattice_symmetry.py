"""The fourteen lattices are found from any primitive basis."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.lattice_symmetry import (
    bravais_settings,
    bravais_symbol,
    holohedry,
    le_page_delta,
)
from refimpl.crystal.reduction import (
    basis_of_cell,
    cell_of_basis,
    primitive_basis,
    space_group,
    unimodular_changes,
)

LATTICES = {
    "aP": ("P 1", (40, 51, 63, 75, 82, 68)),
    "mP": ("P 1 2 1", (40, 51, 63, 90, 105, 90)),
    "mC": ("C 1 2 1", (90, 51, 63, 90, 105, 90)),
    "oP": ("P 2 2 2", (40, 51, 63, 90, 90, 90)),
    "oC": ("C 2 2 2", (40, 91, 63, 90, 90, 90)),
    "oI": ("I 2 2 2", (40, 51, 63, 90, 90, 90)),
    "oF": ("F 2 2 2", (40, 51, 63, 90, 90, 90)),
    "tP": ("P 4", (58, 58, 150, 90, 90, 90)),
    "tI": ("I 4", (58, 58, 150, 90, 90, 90)),
    "hP": ("P 3", (58, 58, 150, 90, 90, 120)),
    "hR": ("R 3", (58, 58, 150, 90, 90, 120)),
    "cP": ("P 2 3", (58, 58, 58, 90, 90, 90)),
    "cI": ("I 2 3", (58, 58, 58, 90, 90, 90)),
    "cF": ("F 2 3", (58, 58, 58, 90, 90, 90)),
}


def _turned(seed):
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


@pytest.mark.parametrize("symbol", LATTICES)
def test_each_lattice_is_recognised(symbol):
    name, cell = LATTICES[symbol]
    group = space_group(name)
    rng = np.random.default_rng(len(symbol) + cell[0])
    change = unimodular_changes()[rng.integers(3480)]
    basis = change @ primitive_basis(basis_of_cell(cell) @ _turned(1), group)
    found = bravais_settings(basis * (1.0 + 1e-4 * rng.normal(size=(3, 3))), 1.0)
    best = found[0]
    assert best.symbol == symbol == bravais_symbol(space_group(best.least_group))
    assert found[-1].symbol == "aP"
    assert best.delta_deg < 0.1  # [degrees]: errors of 1e-4 are 0.006 degrees
    # 1e-3: the errors put in
    np.testing.assert_allclose(best.cell, cell, rtol=1e-3)
    np.testing.assert_allclose(cell_of_basis(best.change @ basis), cell, rtol=1e-3)
    assert np.linalg.det(best.change) * np.linalg.det(basis) > 0.0
    assert bravais_settings(basis, 1.0, symbol)[0].symbol == symbol


def test_only_the_wanted_lattice():
    basis = basis_of_cell((58.0, 58.0, 150.0, 90.0, 90.0, 90.0))
    assert {s.symbol for s in bravais_settings(basis, 1.0, "oC")} == {"oC"}
    assert bravais_settings(basis, 1.0, "cP") == []


def test_delta_of_a_sheared_cell():
    # gamma off by 1 degree: the two-folds along a and b miss their planes by that
    basis = basis_of_cell((40.0, 51.0, 63.0, 90.0, 90.0, 91.0))
    rotations = holohedry(space_group("P 2 2 2"))
    assert len(rotations) == 4
    assert le_page_delta(basis, rotations) == pytest.approx(1.0, rel=1e-9)
    assert [s.symbol for s in bravais_settings(basis, 0.9)] == ["mP", "aP"]
    assert next(s.symbol for s in bravais_settings(basis, 1.1)) == "oP"


@pytest.mark.parametrize(
    ("name", "order"),
    [("P 1", 1), ("P 21", 2), ("P 1 1 2", 2), ("P 21 21 21", 4), ("P 4", 8), ("P 3", 12),
     ("R 3", 6), ("R 3:R", 6), ("P 61", 12), ("I 2 3", 24)],
)  # fmt: skip
def test_the_lattice_has_more_symmetry_than_the_crystal(name, order):
    assert len(holohedry(space_group(name))) == order
