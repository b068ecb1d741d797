"""Unit tests of the gauge of panel errors: what it forbids, and that the draws obey it."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import ConfigError
from refimpl.forward.panel_gauge import ROWS, draw_panel_errors, gauge_rows, in_gauge
from refimpl.forward.scenes import panel_grid
from refimpl.units import DEG

BOXES = panel_grid([60] * 3, [7, 3], [40] * 4, [17] * 3)
SHIFTS = ("d_fast_px", "d_slow_px")
WIDTHS = {"d_fast_px": 0.3, "d_slow_px": 0.3, "d_theta_rad": 0.1 * DEG, "d_lsd_mm": 0.3}


def table(**columns: object) -> np.ndarray:
    out = np.zeros((len(BOXES), len(PANEL_FIELDS)))
    for name, values in columns.items():
        out[:, PANEL_FIELDS.index(name)] = values
    return out


def arms() -> np.ndarray:
    centre = 0.5 * (BOXES[:, :2] + BOXES[:, 2:])
    return centre - centre.mean(axis=0)


def test_each_common_mode_breaks_its_own_row_and_no_other() -> None:
    c = arms()
    modes = {
        "sum of d_fast_px": table(d_fast_px=1.0),
        "sum of d_slow_px": table(d_slow_px=1.0),
        "rotation": table(d_fast_px=-c[:, 1], d_slow_px=c[:, 0], d_theta_rad=1.0),
        "expansion": table(d_fast_px=c[:, 0], d_slow_px=c[:, 1]),
        "sum of d_lsd_mm": table(d_lsd_mm=1.0),
        "tilt along fast": table(d_lsd_mm=c[:, 0]),
        "tilt along slow": table(d_lsd_mm=c[:, 1]),
    }
    names, rows = gauge_rows(BOXES, PANEL_FIELDS)
    assert names == ROWS
    for name, mode in modes.items():
        broken = np.abs(rows @ mode.ravel()) > 1e-9 * np.abs(rows).sum(axis=1)  # rounding
        assert [n for n, b in zip(names, broken, strict=True) if b] == [name]


def test_spread_is_that_of_the_pixels() -> None:
    one = panel_grid([60], [], [40], [])
    names, rows = gauge_rows(one, ("d_theta_rad",))
    f, s = np.meshgrid(np.arange(60) - 29.5, np.arange(40) - 19.5)
    assert names == ("rotation",)
    # the panel's area, not its pixels' centres: 1/6 px^2 more
    assert rows[0, 0] == pytest.approx(np.mean(f * f + s * s) + 1.0 / 6.0, rel=1e-12)


def test_rows_of_fields_that_are_held_are_left_out() -> None:
    names, rows = gauge_rows(BOXES, SHIFTS)
    assert names == ROWS[:4]
    assert rows.shape == (4, 2 * len(BOXES))
    assert gauge_rows(BOXES, ("d_p2",))[1].shape == (0, len(BOXES))


def test_panels_in_one_column_have_no_tilt_across_it() -> None:
    column = panel_grid([60], [], [40] * 3, [17] * 2)
    names, _ = gauge_rows(column, ("d_lsd_mm",))
    assert names == ("sum of d_lsd_mm", "tilt along slow")
    names, rows = gauge_rows(column, ("d_lsd_mm", "tilt_slow_rad"))
    assert names == ("sum of d_lsd_mm", "tilt along fast", "tilt along slow")
    np.testing.assert_array_equal(rows[1].reshape(3, 2), [[0, 1]] * 3)  # all of them tilt alike


def test_a_panel_that_takes_no_part_is_in_no_row() -> None:
    on = np.arange(len(BOXES)) != 5
    _, rows = gauge_rows(BOXES, PANEL_FIELDS, on)
    assert np.all(rows.reshape(len(rows), len(BOXES), -1)[:, 5] == 0.0)


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ConfigError, match="fields: unknown 'dY': expected some of d_fast_px, "):
        gauge_rows(BOXES, ("dY",))


def test_draws_obey_the_gauge_and_have_their_width() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    _, rows = gauge_rows(BOXES, PANEL_FIELDS)
    drawn = np.array([draw_panel_errors(BOXES, WIDTHS, rng) for _ in range(500)])
    size = np.abs(rows) @ np.tile([WIDTHS.get(n, 0.0) for n in PANEL_FIELDS], len(BOXES))
    assert np.max(np.abs(drawn.reshape(500, -1) @ rows.T) / size) < 1e-12  # rounding
    # the covariance is the one under the condition: V - V G^T (G V G^T)^-1 G V
    v = np.tile([WIDTHS.get(n, 0.0) ** 2 for n in PANEL_FIELDS], len(BOXES))
    gv = rows * v
    expected = v - np.einsum("ik,ik->k", gv, np.linalg.solve(gv @ rows.T, gv))
    got = np.mean(drawn.reshape(500, -1) ** 2, axis=0)
    free = v > 0.0
    assert np.all(drawn.reshape(500, -1)[:, ~free] == 0.0)
    # a variance of 500 draws is known to 6.3 %: 5 of these
    np.testing.assert_allclose(got[free], expected[free], rtol=0.32)


def test_panels_out_of_the_gauge_keep_what_they_drew() -> None:
    on = np.arange(len(BOXES)) != 5
    a, b = (
        draw_panel_errors(BOXES, WIDTHS, np.random.Generator(np.random.PCG64(4)), panels)
        for panels in (None, on)
    )
    raw = np.random.Generator(np.random.PCG64(4)).normal(size=(len(BOXES), len(PANEL_FIELDS)))
    assert b[5, 0] == pytest.approx(0.3 * raw[5, 0], rel=1e-15)
    assert a[5, 0] != b[5, 0]


def test_projection_is_idempotent_and_leaves_the_allowed_alone() -> None:
    _, rows = gauge_rows(BOXES, PANEL_FIELDS)
    x = np.random.Generator(np.random.PCG64(5)).normal(size=rows.shape[1])
    once = in_gauge(x, rows)
    np.testing.assert_allclose(in_gauge(once, rows), once, atol=1e-12)  # rounding of sums of 84
    np.testing.assert_array_equal(in_gauge(x, rows[:0]), x)


def test_common_modes_are_what_the_detector_can_do_instead() -> None:
    """Moving every panel is moving the beam; raising every panel is another distance."""
    model = TiltedFlat((211, 190), (0.1, 0.1), 60.0, (91.3, 101.8), panel_boxes=BOXES)
    rng = np.random.Generator(np.random.PCG64(6))
    fast, slow = rng.uniform(0, 190, 200), rng.uniform(0, 211, 200)
    panel = model.panel_index(fast, slow)
    fast, slow, panel = fast[panel >= 0], slow[panel >= 0], panel[panel >= 0]

    def two_theta(m: TiltedFlat) -> np.ndarray:
        return m.two_theta_eta(fast, slow, panel)[0]

    moved = model.replace(panel_corrections=table(d_fast_px=0.7, d_lsd_mm=0.2))
    instead = model.replace(lsd_mm=60.2, beam_centre_px=(90.6, 101.8))
    np.testing.assert_allclose(two_theta(moved), two_theta(instead), rtol=1e-12)  # rounding
