"""The view of panels that the report is made of: lengths, errors, places, names."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from report_panel_views import KINDS, SHIFTS, make, table_of

from refimpl.detector.panel_layout import grid_positions
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import ConfigError
from refimpl.forward.scenes import panel_grid
from refimpl.report.numbers import parameter
from refimpl.report.panel_view import FIELDS
from refimpl.report.powder import figure_names
from refimpl.report.view import PowderView


@pytest.fixture(scope="module")
def views() -> dict[str, PowderView]:
    return {kind: make(kind) for kind in KINDS}


def test_fields_are_those_of_the_detector():
    assert tuple(FIELDS) == PANEL_FIELDS


def test_the_length_of_a_shift_has_the_error_of_its_direction():
    view = make("four").panels
    corrections, sigma = np.zeros((4, 7)), np.zeros((4, 7))
    corrections[0, :2], sigma[0, :2] = (3.0, 4.0), (0.1, 0.2)
    matrix = np.eye(2)
    matrix[0, 1] = matrix[1, 0] = 0.5
    view = dataclasses.replace(
        view, corrections=corrections, sigma=sigma,
        correlation_names=("0.d_fast_px", "0.d_slow_px"), correlation=matrix,
    )  # fmt: skip
    assert view.shift_px[0] == 5.0
    # u = (0.6, 0.8): 0.36 * 0.01 + 0.64 * 0.04 + 2 * 0.48 * 0.5 * 0.02
    assert view.shift_sigma_px[0] ** 2 == pytest.approx(0.0388, rel=1e-12)
    assert view.shift_sure.tolist() == [True, False, False, False]


def test_a_shift_is_sure_where_its_ellipse_leaves_out_zero():
    view = make("four").panels
    corrections, sigma = np.zeros((4, 7)), np.full((4, 7), 0.1)
    # Well known outwards (here fast minus slow), hardly at all around: r = 0.99.
    corrections[:, :2] = [(0.1, -0.1), (0.1, 0.1), (0.3, 0.1), (0.0, 0.0)]
    names = [f"{i}.{f}" for i in range(4) for f in SHIFTS]
    matrix = np.kron(np.eye(4), [[1.0, 0.99], [0.99, 1.0]])
    view = dataclasses.replace(
        view, corrections=corrections, sigma=sigma, held=np.zeros((4, 7), dtype=bool),
        correlation_names=names, correlation=matrix,
    )  # fmt: skip
    # Deviations along (1, -1) / sqrt 2: 0.01, along (1, 1) / sqrt 2: 0.141.
    assert view.shift_sure.tolist() == [True, False, True, False]
    assert not view.sure("d_fast_px")[0]


def test_shifts_are_seen_from_the_beam():
    view = make("four").panels
    corrections, sigma = np.zeros((4, 7)), np.zeros((4, 7))
    corrections[:, :2], sigma[:, :2] = (0.3, 0.4), (0.01, 0.02)
    view = dataclasses.replace(view, corrections=corrections, sigma=sigma, correlation_names=(),
                               correlation=np.zeros((0, 0)))  # fmt: skip
    fast, slow = view.centres[2]
    out, out_sigma, around, around_sigma = view.polar_shift((fast - 30.0, slow))
    # Panel 2 lies at eta = 90 deg from there: outwards is fast, growing eta is slow downwards.
    found = [x[2] for x in (out, out_sigma, around, around_sigma)]
    np.testing.assert_allclose(found, [0.3, 0.01, -0.4, 0.02], rtol=1e-12)
    # The middle of a panel is the beam: any direction will do, none is NaN.
    assert np.isfinite(view.polar_shift((fast, slow))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held": np.zeros((4, 5), dtype=bool)}, r"PanelView\.held has shape \(4, 5\): .*\(4, 7\)"),
        ({"points": np.zeros(3, dtype=int)}, r"PanelView\.points has shape \(3,\): expected \(4,"),
        ({"refined": ("d_roll",)}, r"PanelView: unknown field 'd_roll': expected one of d_fast_px"),
        ({"priors": {"dY": 1.0}}, r"PanelView: unknown field 'dY'"),
    ],
)
def test_a_view_of_panels_refuses_what_does_not_fit(views, changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(views["four"].panels, **changes)


def test_names_of_panel_parameters_are_the_published():
    assert parameter("12.d_slow_px") == ("panel 12 dZ", "12.d_slow_px")
    assert parameter("lsd_mm") == ("distance Lsd", "lsd")
    assert parameter("3.other")[0] == "3.other"


def test_places_in_a_grid_and_out_of_one():
    boxes = panel_grid([10, 12], [3], [5, 6, 7], [1, 2])
    assert grid_positions(boxes).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    order = np.array([4, 0, 5, 2, 1, 3])
    np.testing.assert_array_equal(grid_positions(boxes[order]), grid_positions(boxes)[order])
    assert grid_positions(boxes[:5]).tolist()[-1] == [1, 1]  # one panel missing
    assert grid_positions(make("irregular").panels.boxes) is None
    assert grid_positions(np.array([[0, 0, 5, 5], [0, 0, 5, 5]])) is None
    assert grid_positions(np.zeros((0, 4), dtype=int)) is None


def test_a_result_with_panels_reaches_the_report(small_result, tmp_path):
    n_slow, n_fast = small_result.model.shape
    half = n_fast // 2
    boxes = np.array([[0, 0, half, n_slow], [half, 0, n_fast, n_slow]])
    table = table_of(boxes, (n_slow, n_fast), held=(1,))
    points = small_result.points
    result = dataclasses.replace(
        small_result,
        panels=table,
        strain_before=small_result.strain + 1e-4,
        cross_validated_single=small_result.cross_validated,
    )
    view = result.view()
    assert view.panels.boxes is table.boxes
    assert view.panels.reasons == table.reasons
    np.testing.assert_array_equal(view.points["strain_before"], result.strain_before)
    assert view.summary["cross_validated_single"] == small_result.cross_validated.clip_mean
    assert len(view.points) == len(points.fast_px)
    assert "panel_residuals" in figure_names(view)
    assert "strain_before" not in small_result.view().points
    assert small_result.view().panels is None
    assert any(
        line.startswith("panels: 1 of 2 refined (dY, dZ)") for line in result.summary_lines()
    )
    assert not any(line.startswith("panels") for line in small_result.summary_lines())


def test_the_pattern_of_the_report_takes_each_pixel_on_its_panel(small_result):
    boxes = np.asarray(small_result.prepared.frame.boxes)
    moves = np.zeros((len(boxes), 7))
    moved = dataclasses.replace(
        small_result,
        model=small_result.model.replace(panel_boxes=boxes, panel_corrections=moves),
        panels=table_of(boxes, small_result.model.shape),
    )
    plain, same = small_result.view(), moved.view()
    np.testing.assert_array_equal(same.radial[1], plain.radial[1])
    moves = moves.copy()
    moves[:, :2] = 3.0  # px, more than a bin of the profile
    away = dataclasses.replace(moved, model=moved.model.replace(panel_corrections=moves)).view()
    assert np.nanmax(np.abs(away.radial[1] - plain.radial[1])) > 1.0  # counts
