"""Panels from masked rows and columns."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refimpl.imaging.panel_map import LEAST_PANEL, panel_grid, runs


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_the_stretches_of_true(line: list[bool]) -> None:
    found = runs(np.array(line, dtype=bool))
    inside = [any(a <= i < b for a, b in found) for i in range(len(line))]
    assert inside == line
    assert all(b1 < a2 for (_, b1), (a2, _) in itertools.pairwise(found))


def test_a_grid_of_panels_numbered_as_published() -> None:
    """Columns vary slowest: id = iY * NPanelsZ + iZ."""
    usable = np.zeros((50, 60), dtype=bool)
    for f0, f1 in ((0, 25), (30, 60)):
        for s0, s1 in ((2, 20), (24, 50)):
            usable[s0:s1, f0:f1] = True
    boxes, panel_map = panel_grid(usable)
    assert boxes.tolist() == [[0, 2, 25, 20], [0, 24, 25, 50], [30, 2, 60, 20], [30, 24, 60, 50]]
    assert panel_map.dtype == np.int16
    np.testing.assert_array_equal(panel_map >= 0, usable)
    for index, (f0, s0, f1, s1) in enumerate(boxes):
        assert np.all(panel_map[s0:s1, f0:f1] == index)


def test_masked_pixels_within_a_panel_do_not_cut_it() -> None:
    usable = np.random.default_rng(1).random((40, 40)) < 0.5
    usable[10, :39] = False  # one pixel short of the whole row
    boxes, panel_map = panel_grid(usable)
    assert boxes.tolist() == [[0, 0, 40, 40]]
    assert np.all(panel_map == 0)


def test_a_stretch_that_is_too_narrow_is_no_panel() -> None:
    usable = np.ones((40, 60), dtype=bool)
    usable[:, LEAST_PANEL - 1] = False  # leaves LEAST_PANEL - 1 columns at the left
    boxes, panel_map = panel_grid(usable)
    assert boxes.tolist() == [[LEAST_PANEL, 0, 60, 40]]
    assert np.all(panel_map[:, :LEAST_PANEL] == -1)
    usable[:, LEAST_PANEL - 1] = True
    usable[:, LEAST_PANEL] = False
    assert len(panel_grid(usable)[0]) == 2


def test_nothing_usable_has_no_panel() -> None:
    boxes, panel_map = panel_grid(np.zeros((20, 30), dtype=bool))
    assert boxes.shape == (0, 4)
    assert np.all(panel_map == -1)
