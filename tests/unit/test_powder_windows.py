"""Which rings share a fit, which are left out, and how wide each window is."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.powder.windows import BLEND_FWHM, PAIR_FWHM, ring_groups


def groups(two_theta, fwhm=1.0, half=8.0, use=None):
    t = np.array(two_theta, dtype=float)
    return ring_groups(t, np.full(len(t), fwhm), np.full(len(t), half), use)


def test_rings_far_apart_stand_alone_with_the_window_asked_for() -> None:
    g = groups([100.0, 130.0, 160.0])
    assert g.members.tolist() == [[0, -1], [1, -1], [2, -1]]
    assert g.windows_rad.tolist() == [[92.0, 108.0], [122.0, 138.0], [152.0, 168.0]]
    assert np.isnan(g.expected_rad[:, 1]).all()
    assert g.fwhm_rad.tolist() == [1.0, 1.0, 1.0]


def test_a_window_is_symmetric_and_ends_half_way_to_the_nearer_neighbour() -> None:
    g = groups([100.0, 110.0, 130.0], half=8.0)
    assert g.windows_rad.tolist() == [[95.0, 105.0], [105.0, 115.0], [122.0, 138.0]]


@pytest.mark.parametrize(("gap", "paired"), [(PAIR_FWHM - 0.01, True), (PAIR_FWHM + 0.01, False)])
def test_neighbours_closer_than_five_widths_share_a_fit(gap, paired) -> None:
    g = groups([100.0, 100.0 + gap])
    if paired:
        assert g.members.tolist() == [[0, 1]]
        assert g.windows_rad.tolist() == [[92.0, 108.0 + gap]]
    else:
        assert g.members.tolist() == [[0, -1], [1, -1]]
        assert g.windows_rad[0, 1] == g.windows_rad[1, 0] == 100.0 + gap / 2


@pytest.mark.parametrize(("gap", "left"), [(BLEND_FWHM - 0.01, 1), (BLEND_FWHM + 0.01, 2)])
def test_a_blend_is_left_out_and_still_pushes_windows_in(gap, left) -> None:
    g = groups([100.0, 100.0 + gap, 106.5 + gap])
    assert len(g) == left
    assert g.members[-1].tolist() == [2, -1]
    assert g.windows_rad[-1, 0] == 100.0 + gap + 3.25  # half way to the blend


def test_of_three_close_rings_the_nearer_two_pair() -> None:
    g = groups([100.0, 104.0, 107.0])
    assert g.members.tolist() == [[0, -1], [1, 2]]
    assert g.windows_rad[0].tolist() == [98.0, 102.0]
    assert g.windows_rad[1].tolist() == [102.0, 109.0]
    assert groups([100.0, 103.0, 107.0]).members.tolist() == [[0, 1], [2, -1]]


def test_groups_without_a_used_ring_are_left_out_but_keep_their_place() -> None:
    g = groups([100.0, 110.0, 120.0], use=np.array([True, False, True]))
    assert g.members.tolist() == [[0, -1], [2, -1]]
    assert g.windows_rad.tolist() == [[95.0, 105.0], [115.0, 125.0]]
    pair = groups([100.0, 103.0], use=np.array([False, True]))
    assert pair.members.tolist() == [[0, 1]]  # the other one is still there to be fitted


def test_the_wider_ring_of_a_pair_starts_both() -> None:
    g = ring_groups(np.array([100.0, 104.0]), np.array([1.0, 1.5]), np.array([9.0, 7.0]))
    assert g.fwhm_rad.tolist() == [1.5]
    assert g.windows_rad.tolist() == [[93.0, 111.0]]  # the smaller half width on both sides


def test_no_rings_no_groups() -> None:
    g = groups([])
    assert len(g) == 0
    assert g.members.shape == g.windows_rad.shape == g.expected_rad.shape == (0, 2)
