"""What corrections of panels do, and detectors told from another panel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.detector.corrections import (
    GAP,
    corrected_position,
    fixed_panel,
    panel_image,
    remove_modes,
    same_gauge,
    shift_map,
)
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import PanelGrid
from refimpl.errors import GeometryError
from refimpl.units import DEG

GRID = PanelGrid(3, 4, 48, 39, (7, 3), (17, 17, 5))
BOXES = GRID.boxes()


def moves_of(seed: int, size: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scale = np.array([1.0, 1.0, 0.5 * DEG, 0.3, 1e-4, 0.3 * DEG, 0.3 * DEG]) * size
    return rng.uniform(-1.0, 1.0, (len(BOXES), 7)) * scale


def model_of(moves: np.ndarray, **changes: object) -> TiltedFlat:
    model = TiltedFlat(
        shape=GRID.shape,
        pixel_size_mm=(0.172, 0.172),
        lsd_mm=320.0,
        beam_centre_px=(71.3, 88.9),
        tilts_rad=(0.4 * DEG, -1.1 * DEG, 2.3 * DEG),
        rho_d_mm=20.0,
        p=(1e-3, 2e-3, -3e-3, 20.0, 4e-3, 5e-4, 30.0, 1e-3, -70.0, 1e-3, 5.0, 1e-3, 9.0, 1e-3, 3.0),
        parallax_mm=0.21,
        panel_boxes=BOXES,
        panel_corrections=moves,
    )
    return model.replace(**changes)


def pixels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    low, high = BOXES[:, :2], BOXES[:, 2:]
    points = np.concatenate([rng.uniform(low, high) for _ in range(20)])
    return points[:, 0], points[:, 1]


# --- positions and maps --------------------------------------------------------------------------


def test_positions_by_the_published_formula() -> None:
    # As published: Y, Z from pixel centres, c = (first + last) / 2, degrees
    d_theta, d_y, d_z = 0.7, 0.31, -0.52
    y, z = np.array([12.25, 47.0]), np.array([80.5, 57.0])
    y_min, y_max, z_min, z_max = 0, 47, 56, 94
    c_y, c_z = 0.5 * (y_min + y_max), 0.5 * (z_min + z_max)
    c, s = np.cos(np.deg2rad(d_theta)), np.sin(np.deg2rad(d_theta))
    y_new = c_y + (y - c_y) * c - (z - c_z) * s + d_y
    z_new = c_z + (y - c_y) * s + (z - c_z) * c + d_z
    correction = np.array([d_y, d_z, d_theta * DEG, 9.0, 9.0, 9.0, 9.0])
    fast, slow = corrected_position(y + 0.5, z + 0.5, BOXES[1], correction)
    np.testing.assert_allclose(fast - 0.5, y_new, rtol=1e-14)  # a handful of roundings
    np.testing.assert_allclose(slow - 0.5, z_new, rtol=1e-14)


def test_shift_map() -> None:
    moves = moves_of(1)
    image = shift_map(BOXES, moves, GRID.shape)
    assert image.dtype == np.float32
    assert image.shape == GRID.shape
    inside = np.zeros(GRID.shape, dtype=bool)
    for f0, s0, f1, s1 in BOXES:
        inside[s0:s1, f0:f1] = True
    assert np.all(image[~inside] == GAP)
    assert np.all(image[inside] >= 0.0)
    row, column = 60, 20  # panel 1
    there = corrected_position(np.array(column + 0.5), np.array(row + 0.5), BOXES[1], moves[1])
    shift = np.hypot(there[0] - column - 0.5, there[1] - row - 0.5)
    assert image[row, column] == np.float32(shift)
    # about the centre the rotation moves nothing
    turned = np.zeros((len(BOXES), 7))
    turned[:, 2] = 0.01
    assert shift_map(BOXES, turned, GRID.shape)[19, 24] == pytest.approx(0.5 * 0.01, rel=1e-4)


def test_no_correction_moves_nothing() -> None:
    image = shift_map(BOXES, np.zeros((len(BOXES), 7)), GRID.shape)
    assert set(np.unique(image)) == {GAP, 0.0}


def test_panel_image() -> None:
    values = np.arange(12.0)
    values[3] = np.nan
    image = panel_image(BOXES, values, GRID.shape)
    assert image[0, 0] == 0.0
    assert image[-1, 0] == GAP  # panel 3 has no value
    assert image[-1, -1] == 11.0
    assert image[40, 0] == GAP  # a gap
    assert np.count_nonzero(image == 5.0) == 48 * 39


# --- the published output convention -------------------------------------------------------------


@pytest.mark.parametrize("panel", [0, 5, 11])
@pytest.mark.parametrize("tilted_panels", [False, True])
def test_the_same_detector_told_from_one_panel(panel: int, tilted_panels: bool) -> None:
    moves = moves_of(2)
    if not tilted_panels:
        moves[:, 5:] = 0.0
    model = model_of(moves)
    told = fixed_panel(model, panel)
    assert told.panel_corrections is not None
    assert np.all(told.panel_corrections[panel, :5] == 0.0)
    assert np.any(told.panel_corrections[panel, 5:]) == tilted_panels
    if not tilted_panels:
        assert not np.any(told.panel_corrections[:, 5:])
    assert (told.rho_d_mm, told.pixel_size_mm) == (model.rho_d_mm, model.pixel_size_mm)
    before, after = model.two_theta_eta(*pixels()), told.two_theta_eta(*pixels())
    # exact but for rounding: some 1e-16 of 0.1 rad, times the roundings of a rotation and back;
    # eta is divided by the distance from the beam centre, at least a few px here
    np.testing.assert_allclose(after[0], before[0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(after[1], before[1], rtol=0, atol=1e-12)
    # it did change: the numbers of the plane are others
    assert told.beam_centre_px != model.beam_centre_px
    assert told.lsd_mm == model.lsd_mm + moves[panel, 3]
    assert told.p[2] == model.p[2] + moves[panel, 4]


def test_without_tilts_the_rotation_is_tx_alone() -> None:
    moves = moves_of(3)
    moves[:, 5:] = 0.0
    told = fixed_panel(model_of(moves, tilts_rad=(0.01, 0.0, 0.0)), 4)
    tx, ty, tz = told.tilts_rad
    assert tx == pytest.approx(0.01 - moves[4, 2], abs=1e-15)
    assert (ty, tz) == (0.0, 0.0)
    assert told.panel_corrections is not None
    np.testing.assert_allclose(
        told.panel_corrections[:, 2], moves[:, 2] - moves[4, 2], rtol=0, atol=1e-15
    )


def test_a_shift_of_one_panel_is_a_shift_of_the_beam() -> None:
    moves = np.zeros((12, 7))
    moves[:, :2] = moves_of(4)[:, :2]
    model = model_of(moves, pixel_size_mm=(0.172, 0.1))  # any pixels: nothing is turned
    told = fixed_panel(model, 7)
    assert told.panel_corrections is not None
    np.testing.assert_allclose(
        told.panel_corrections[:, :2], moves[:, :2] - moves[7, :2], rtol=0, atol=1e-13
    )
    expected = np.array(model.beam_centre_px) - moves[7, :2]
    np.testing.assert_allclose(told.beam_centre_px, expected, rtol=0, atol=1e-13)
    assert told.tilts_rad == model.tilts_rad


def test_told_from_another_panel_and_back() -> None:
    there = fixed_panel(model_of(moves_of(6)), 3)
    back = fixed_panel(fixed_panel(there, 9), 3)
    np.testing.assert_allclose(back.geometry, there.geometry, rtol=1e-12, atol=1e-13)
    assert back.panel_corrections is not None
    # some roundings of positions of 100 px
    np.testing.assert_allclose(back.panel_corrections, there.panel_corrections, rtol=0, atol=1e-12)


def test_which_panels_can_be_fixed() -> None:
    model = model_of(moves_of(2))
    with pytest.raises(GeometryError, match="FixPanelID 12: the detector has 12 panels, 0 to 11"):
        fixed_panel(model, 12)
    with pytest.raises(GeometryError, match="FixPanelID -1: the detector has 12 panels"):
        fixed_panel(model, -1)
    with pytest.raises(GeometryError, match="FixPanelID: the detector has no panels"):
        fixed_panel(model.replace(panel_boxes=None, panel_corrections=None), 0)
    with pytest.raises(GeometryError, match=r"FixPanelID 2: .* the pixels of 0.172 x 0.1 mm are"):
        fixed_panel(model.replace(pixel_size_mm=(0.172, 0.1)), 2)
    plain = model.replace(panel_corrections=None)
    assert fixed_panel(plain, 3) is plain


# --- comparing two sets of shifts ----------------------------------------------------------------

CENTRES = 0.5 * (BOXES[:, :2] + BOXES[:, 2:])


def modes(about: tuple[float, float]) -> list[np.ndarray]:
    x, y = (CENTRES - about).T
    one, zero = np.ones(12), np.zeros(12)
    pairs = [(one, zero), (zero, one), (-y, x), (x, y)]
    return [np.stack(pair, axis=1) for pair in pairs]


@given(
    st.integers(0, 99),
    st.tuples(*[st.floats(-3, 3)] * 2),
    st.tuples(*[st.floats(-0.02, 0.02)] * 2),
    st.tuples(*[st.floats(-500, 500)] * 2),
)
def test_common_modes_do_not_matter(
    seed: int,
    shift: tuple[float, float],
    turn_growth: tuple[float, float],
    about: tuple[float, float],
) -> None:
    moves = moves_of(seed)[:, :2]
    amplitudes = (*shift, *turn_growth)
    other = moves + sum(a * m for a, m in zip(amplitudes, modes(about), strict=True))
    first, second = same_gauge(moves, other, BOXES)
    # 20 px of common modes removed from shifts of 1 px, about points 700 px away
    np.testing.assert_allclose(second, first, rtol=0, atol=1e-11)
    for mode in modes(about):
        assert abs(np.sum(first * mode)) < 1e-9  # 12 products of up to 700 px by 1 px


def test_weights_and_growth() -> None:
    moves = moves_of(8)
    weights = np.arange(12.0)
    table = remove_modes(BOXES, moves, weights, expansion=False)
    *kept, growth = modes((10.0, 20.0))
    for mode in kept:
        assert abs(np.sum(table[:, :2] * mode * weights[:, None])) < 1e-9
    assert abs(np.sum(table[:, :2] * growth * weights[:, None])) > 1.0
    np.testing.assert_array_equal(table[:, 3:], moves[:, 3:])
    turn = moves[:, 2] - table[:, 2]  # the common turn goes from the panels' own rotation too
    np.testing.assert_allclose(turn, turn[0], rtol=1e-10)
    assert turn[0] != 0.0


def test_a_detector_turned_as_a_whole_has_no_shifts_and_no_turns() -> None:
    turn = 1e-3
    moves = np.zeros((12, 7))
    moves[:, :2] = turn * modes((300.0, -40.0))[2]
    moves[:, 2] = turn
    np.testing.assert_allclose(remove_modes(BOXES, moves), 0.0, atol=1e-13)


def test_panels_without_rotation_keep_none() -> None:
    moves = moves_of(9)
    moves[:, 2] = 0.0
    assert not np.any(remove_modes(BOXES, moves)[:, 2])


def test_permuted_panels_give_permuted_shifts() -> None:
    moves, order = moves_of(10), np.random.default_rng(1).permutation(12)
    table = remove_modes(BOXES, moves)
    mixed = remove_modes(BOXES[order], moves[order])
    np.testing.assert_allclose(mixed, table[order], rtol=0, atol=1e-13)


def test_too_few_panels_to_compare() -> None:
    weights = np.zeros(12)
    weights[4] = 1.0
    with pytest.raises(GeometryError, match="1 panels with a weight do not tell a turn or growth"):
        remove_modes(BOXES, moves_of(1), weights)
    weights[5] = 1.0
    remove_modes(BOXES, moves_of(1), weights)
