"""Two files of panel shifts side by side: what the whole detector has in common is taken out."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import FormatError
from refimpl.io.midas_outputs import PanelShifts
from refimpl.testing.judge import Judgement
from refimpl.testing.judge_panels import panel_judgement
from refimpl.units import DEG

BOXES = np.array(
    [[200 * i, 150 * j, 200 * i + 190, 150 * j + 140] for i in range(4) for j in range(3)]
)
CENTRE = 0.5 * (BOXES[:, :2] + BOXES[:, 2:])
P = len(BOXES)


def shifts(table: np.ndarray | None = None, seed: int = 1) -> PanelShifts:
    """Panels with errors of their own, in px, px, degrees, um and 1, and a change (p, 5)."""
    own = np.random.default_rng(seed).normal(0.0, [0.3, 0.3, 0.02, 50.0, 1e-4], (P, 5))
    columns = own if table is None else own + table
    return PanelShifts(np.arange(P), *(c.copy() for c in columns.T))


def value(found: Judgement, name: str) -> float:
    return next(m.value for m in found.measures if m.name == name)


def common(angle_rad: float = 1e-4, swell: float = 1e-4) -> np.ndarray:
    """Change that moves, turns, swells and tilts the whole detector."""
    arm = CENTRE - CENTRE.mean(axis=0)
    table = np.zeros((P, 5))
    table[:, 0] = 0.7 - angle_rad * arm[:, 1] + swell * arm[:, 0]
    table[:, 1] = -0.4 + angle_rad * arm[:, 0] + swell * arm[:, 1]
    table[:, 2] = angle_rad / DEG
    table[:, 3] = 30.0 + 0.05 * arm[:, 0] - 0.02 * arm[:, 1]
    return table


def test_a_file_agrees_with_itself_in_any_order() -> None:
    a = shifts()
    rows = np.random.default_rng(2).permutation(P)
    b = PanelShifts(rows, *(c[rows] for c in (a.d_y_px, a.d_z_px, a.d_theta_deg, a.d_lsd_um,
                                              a.d_p2)))  # fmt: skip
    found = panel_judgement(a, b, BOXES)
    assert found.met
    assert max(m.value for m in found.measures) == 0.0


def test_what_the_whole_detector_does_is_taken_out() -> None:
    found = panel_judgement(shifts(), shifts(common()), BOXES)
    assert found.met
    assert value(found, "plain_in_plane_max_px") > 0.7
    assert value(found, "plain_d_lsd_max_um") > 30.0
    assert value(found, "in_plane_max_px") < 1e-9
    assert value(found, "d_theta_max_mdeg") < 1e-9
    assert value(found, "d_lsd_max_um") < 1e-9


def test_a_panel_out_of_place_stays() -> None:
    table = common()
    table[5, :4] += (0.5, 0.0, 0.01, 40.0)
    found = panel_judgement(shifts(), shifts(table), BOXES)
    assert [m.name for m in found.failed] == ["in_plane_max_px"]
    assert 0.4 < value(found, "in_plane_max_px") < 0.5
    assert int(np.argmax(np.abs(found.details["in_gauge"]["d_fast_px"]))) == 5
    assert 30.0 < value(found, "d_lsd_max_um") < 40.0


def test_without_places_only_means_are_taken_out() -> None:
    found = panel_judgement(shifts(), shifts(common(0.0, 0.0)))
    assert value(found, "in_plane_max_px") < 1e-12
    assert any("no --parameters" in note for note in found.notes)
    assert value(panel_judgement(shifts(), shifts(common())), "in_plane_max_px") > 0.01


def test_panels_that_hold_their_turns_cannot_turn_together() -> None:
    table = common(swell=0.0)
    table[:, 2:] = 0.0  # shifts as of a turn, and no turn: a real distortion
    found = panel_judgement(shifts(), shifts(table), BOXES)
    arm = CENTRE - CENTRE.mean(axis=0)
    assert value(found, "in_plane_max_px") == pytest.approx(1e-4 * np.hypot(*arm.T).max())
    assert "rotation" not in found.notes[0]


def test_differences_by_their_uncertainties() -> None:
    rng = np.random.default_rng(5)
    sigma = np.tile([0.01, 0.01, 0.002, 2.0, 1e-5], (P, 1))
    z = [
        value(panel_judgement(shifts(rng.normal(size=(P, 5)) * sigma),
                              shifts(rng.normal(size=(P, 5)) * sigma), sigmas=(sigma, sigma)),
              "panels_rms_sigma")
        for _ in range(40)
    ]  # fmt: skip
    # four of five fields lose their mean: sqrt((4 (1 - 1/p) + 1) / 5)
    assert np.mean(z) == pytest.approx(np.sqrt(1.0 - 0.8 / P), abs=0.05)
    one = panel_judgement(shifts(), shifts(), sigmas=(sigma, None))
    assert "one of them alone" in one.text()


def test_other_panels_are_refused() -> None:
    a = shifts()
    fewer = PanelShifts(*(getattr(a, n)[:-1] for n in vars(a)))
    with pytest.raises(FormatError, match=r"other panels; only in one: \[11\]"):
        panel_judgement(a, fewer)
    with pytest.raises(FormatError, match="the parameters have 3, from 0"):
        panel_judgement(a, a, BOXES[:3])
