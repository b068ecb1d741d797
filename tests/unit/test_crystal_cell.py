"""Cells and d-spacings by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.cell import b_matrix, cell_volume, checked_cell, d_spacing
from refimpl.errors import ConfigError


def test_cubic_by_hand():
    cell = (4.0, 4.0, 4.0, 90.0, 90.0, 90.0)
    assert cell_volume(cell) == 64.0
    assert b_matrix(cell).tolist() == [[0.25, 0.0, 0.0], [0.0, 0.25, 0.0], [0.0, 0.0, 0.25]]
    found = d_spacing([[2, 0, 0], [0, 0, -4], [2, 2, 0]], cell)
    np.testing.assert_allclose(found, [2.0, 1.0, 2.0**0.5], rtol=1e-15)  # a few roundings


def test_hexagonal_by_hand():
    cell = (2.0, 2.0, 5.0, 90.0, 90.0, 120.0)
    # 1/d^2 = 4/3 (h^2 + hk + k^2)/a^2 + l^2/c^2
    expected = [(4 / 3 / 4) ** -0.5, 1.0, 2.5, (4 / 3 * 7 / 4 + 9 / 25) ** -0.5]
    found = d_spacing([[1, 0, 0], [1, 1, 0], [0, 0, 2], [1, 2, 3]], cell)
    np.testing.assert_allclose(found, expected, rtol=1e-15)  # a few roundings
    assert cell_volume(cell) == pytest.approx(20.0 * 3**0.5 / 2, rel=1e-15)


def test_b_has_the_axes_where_busing_and_levy_put_them():
    cell = (4.7, 7.3, 9.9, 83.0, 97.0, 112.0)
    b = b_matrix(cell)
    assert b[1, 0] == b[2, 0] == b[2, 1] == 0.0
    assert (np.diag(b) > 0.0).all()
    assert 1.0 / b[2, 2] == 9.9
    assert np.linalg.det(b) == pytest.approx(1.0 / cell_volume(cell), rel=1e-14)  # 3 products


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ((4.0, 4.0, 4.0), "unit cell has 3 numbers: expected 6"),
        ((0.0, 4.0, 4.0, 90, 90, 90), "unit cell lengths .*: expected positive"),
        ((4.0, float("nan"), 4.0, 90, 90, 90), "unit cell lengths .*: expected positive"),
        ((4.0, 4.0, 4.0, 90, 180, 90), "unit cell angles .*: expected 0 to 180"),
        ((4.0, 4.0, 4.0, 150, 20, 60), "close no cell: its volume is not positive"),
    ],
)
def test_impossible_cells(cell, message):
    with pytest.raises(ConfigError, match=message):
        checked_cell(cell)


def test_origin_has_no_spacing():
    with pytest.raises(ConfigError, match=r"reflection \(0, 0, 0\) has no d-spacing"):
        d_spacing([[1, 0, 0], [0, 0, 0]], (4, 4, 4, 90, 90, 90))
