"""The joint refinement of a detector and its panels, on ring points of known truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from refimpl.crystal.calibrants import calibrant
from refimpl.crystal.rings import rings
from refimpl.detector.corrections import fixed_panel
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import PANEL_FIELDS, ring_coordinates
from refimpl.errors import ConfigError
from refimpl.forward.panel_gauge import draw_panel_errors
from refimpl.powder.panel_setup import DEFAULT_PRIORS, PANEL_GROUPS, PanelSetup
from refimpl.powder.panel_turns import PSEUDO_PANELS, Turns
from refimpl.powder.panels import fit_panels
from refimpl.powder.parameters import parameters
from refimpl.powder.refine import point_strain
from refimpl.testing.panel_points import ring_points

BOXES = np.array([(f, s, f + 240, s + 190) for f in (0, 247, 494) for s in (0, 207, 414, 621)])
"""3 x 4 panels with gaps of 7 and 17 px, in the published order."""

RINGS = rings(calibrant("CeO2"), 0.2, 0.26)
SURFACE = ("distance", "beam_centre", "tilt")
WIDTHS = {"d_fast_px": 0.3, "d_slow_px": 0.3, "d_theta_rad": 1.5e-3, "d_lsd_mm": 0.3}
SIGMA = 5e-6  # rad: some 10 µε, 0.01 px


def surface(**changes) -> TiltedFlat:
    values = dict(
        shape=(811, 734), pixel_size_mm=(0.172, 0.172), lsd_mm=300.0, beam_centre_px=(371.3, 402.8),
        tilts_rad=(0.0, 2e-3, -1e-3), panel_boxes=BOXES,
    )  # fmt: skip
    return TiltedFlat(**(values | changes))


def moved(seed: int = 1, **widths: float):
    moves = draw_panel_errors(BOXES, WIDTHS | widths, np.random.default_rng(seed))
    return surface(panel_corrections=moves)


def found(points, setup=None, start=None, **changes):
    model = start or surface(lsd_mm=300.3, beam_centre_px=(370.0, 404.0))
    return fit_panels(points, RINGS, parameters(model, SURFACE), setup or PanelSetup(**changes))


def same(a, b, order) -> None:
    """Two fits agree to a small part of their uncertainties: turns end at changes of 1e-5."""
    order = list(order)
    apart = np.abs(a.panels.corrections - b.panels.corrections[order])
    assert np.all(apart <= 1e-3 * b.panels.sigma[order])
    assert np.all(np.abs(a.fit.x - b.fit.x) <= 1e-3 * b.fit.sigma)


def common(df: float, ds: float) -> np.ndarray:
    """Corrections of a panel that is shifted [px]."""
    return np.array([df, ds, 0.0, 0.0, 0.0, 0.0, 0.0])


SHIFTS = PanelSetup(refine=("shift",))


def test_without_noise_the_truth_comes_back() -> None:
    """Nothing but the priors is in the way: with wide ones every strain is gone."""
    truth = moved(tilt_fast_rad=1e-3, tilt_slow_rad=1e-3)
    points = ring_points(truth, RINGS)
    wide = {g: 10.0 * DEFAULT_PRIORS[g] for g in PanelSetup().refine}
    fit = found(points, priors=wide, learn=False)
    assert np.max(np.abs(fit.strain)) < 1e-9
    # the fit is one of many that the gauge would accept: all predict the same 2-theta
    model = fit.parameters.at(fit.fit.x)
    strain = point_strain(points, RINGS, model.geometry, model.corrections)
    np.testing.assert_allclose(strain, fit.strain, atol=1e-15)


def test_the_answer_is_in_the_gauge_that_it_states() -> None:
    points = ring_points(moved(), RINGS, SIGMA)
    fit = found(points)
    moves, arm = fit.panels.corrections, 0.5 * (BOXES[:, :2] + BOXES[:, 2:])
    arm = arm - arm.mean(axis=0)
    assert abs(np.sum(moves[:, 0])) < 1e-9
    assert abs(np.sum(moves[:, 1])) < 1e-9
    assert abs(np.sum(arm * moves[:, :2])) < 1e-6  # px^2, of some 1e3
    spread = np.sum((BOXES[:, 2:] - BOXES[:, :2]) ** 2, axis=1) / 12.0
    turn = np.sum(arm[:, 0] * moves[:, 1] - arm[:, 1] * moves[:, 0] + spread * moves[:, 2])
    assert abs(turn) < 1e-6
    assert len(fit.panels.gauge) == 7
    shifts = found(points, SHIFTS)
    assert len(shifts.panels.gauge) == 4
    assert "the radial expansion of the panels is 0" in shifts.panels.gauge


def test_estimated_widths_rest_where_the_likelihood_has_its_maximum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(nu + n) s^2 = nu s0^2 + sum(x^2 + variance): the equation of docs/theory/panels, though the
    turns do not iterate on it; and where they are cut off, the solution says so."""
    kept: list[Turns] = []

    class Kept(Turns):
        def __init__(self, *args, **options) -> None:
            super().__init__(*args, **options)
            kept.append(self)

    monkeypatch.setattr("refimpl.powder.panels.Turns", Kept)
    points = ring_points(moved(), RINGS, SIGMA)
    fit = found(points)
    turns, at = kept[0], 0
    for group, width in fit.panels.widths.items():
        here = slice(at, at + len(PANEL_GROUPS[group]))
        at = here.stop
        free, s0 = turns.problem.free[:, here], DEFAULT_PRIORS[group]
        total = np.sum((turns.square + turns.loose)[:, here][free])
        expected = (PSEUDO_PANELS * s0**2 + total) / (PSEUDO_PANELS + free.sum())
        assert width**2 == pytest.approx(expected, rel=1e-3), group  # turns end at changes of 1e-5
        assert width != pytest.approx(s0, rel=0.05), group
    assert fit.panels.settled
    monkeypatch.setattr("refimpl.powder.panel_turns.OUTER", 1)
    assert not found(points).panels.settled


@pytest.mark.slow
def test_errors_spread_as_the_uncertainties_say() -> None:
    """100 draws of panels and noise, in the fit's gauge: chi-square in its 99.9 % interval."""
    total, n = 0.0, 0
    setup = PanelSetup(refine=("shift",), priors={"shift": 0.3})
    for seed in range(100):
        moves = draw_panel_errors(
            BOXES, {"d_fast_px": 0.3, "d_slow_px": 0.3}, np.random.default_rng(seed)
        )
        truth = surface(panel_corrections=moves)
        # sigma as large as the shifts themselves are seen: the prior matters, too
        fit = found(ring_points(truth, RINGS, 1e-4, seed, step_deg=10.0), setup, start=surface())
        assert fit.panels.design_effect < 1.5
        k = len(fit.fit.names)
        error = (fit.panels.corrections - moves)[:, :2].ravel()
        covariance = fit.panels.covariance[k:, k:]
        # the four constraints take away directions: count what is left
        values, vectors = np.linalg.eigh(covariance)
        use = values > 1e-9 * values[-1]
        along = vectors[:, use].T @ error
        total += float(np.sum(along**2 / values[use]))
        n += int(np.count_nonzero(use))
    low, high = chi2.ppf([0.0005, 0.9995], n)
    assert low < total < high, f"{total:.0f} of {n}"


def test_widths_of_the_priors_are_those_of_the_panels() -> None:
    """Learnt from 12 panels to their sampling error, from starts three times too wide or narrow."""
    truth = moved()
    points = ring_points(truth, RINGS, SIGMA)
    for factor in (1.0 / 3.0, 3.0):
        priors = {g: factor * v for g, v in DEFAULT_PRIORS.items() if g in ("rotation", "height")}
        setup = PanelSetup(refine=("shift", "rotation", "height"), priors=priors)
        widths = found(points, setup).panels.widths
        assert 0.15 < widths["height"] < 0.6  # 0.3 mm; nu pseudo-panels pull to the stated
    fixed = PanelSetup(refine=("shift",), priors={"shift": 0.2}, learn=False)
    assert found(points, fixed).panels.widths == {"shift": 0.2}


def test_a_panel_without_points_is_reported_and_not_invented() -> None:
    points = ring_points(moved(), RINGS, SIGMA)
    empty = points.with_used(points.panel != 7)
    fit = found(empty)
    assert np.all(fit.panels.corrections[7] == 0.0)
    assert np.all(fit.panels.sigma[7] == 0.0)
    assert np.all(fit.panels.held[7])
    assert "panel 7: 0 ring points, fewer than 5: all of it held" in fit.panels.reasons
    assert fit.panels.points[7] == 0
    few = np.flatnonzero(points.panel == 7)[:6]
    some = points.with_used((points.panel != 7) | np.isin(np.arange(len(points)), few))
    held = found(some, PanelSetup(min_points=7)).panels
    assert "panel 7: 6 ring points, fewer than 7: all of it held" in held.reasons
    assert not np.all(found(some, PanelSetup(min_points=6)).panels.held[7])


def test_what_one_ring_cannot_say_is_held_and_named() -> None:
    """A short arc of one ring says how far out it lies and little of heights, slopes, turns."""
    points = ring_points(moved(), RINGS, 1e-4)
    outer = points.ring[points.panel == 3].max()
    some = np.flatnonzero((points.panel == 3) & (points.ring == outer))[:6]
    arc = (points.panel != 3) | np.isin(np.arange(len(points)), some)
    panels = found(points.with_used(arc)).panels
    weak = panels.weak[3]
    names = {f for f, w in zip(panels.setup.fields, weak, strict=True) if w}
    assert names & {"d_lsd_mm", "tilt_fast_rad", "tilt_slow_rad", "d_theta_rad"}
    (reason,) = (r for r in panels.reasons if r.startswith("panel 3: "))
    assert "points on 1 ring over" in reason
    assert reason.endswith(": held by its prior")
    assert all(name in reason for name in names) or "all of it" in reason
    # it claims no more than the prior does, and is free: what it goes with does not pretend either
    assert not np.any(panels.held[3])
    width = panels.setup.spread(panels.widths)
    sigma = panels.sigma[3, panels.setup.columns]
    assert np.all(sigma[weak] > 0.8 * width[weak])
    assert np.all(np.abs(panels.corrections[3, panels.setup.columns][weak]) < 2.0 * width[weak])


def test_tolerances_bound_the_panels() -> None:
    points = ring_points(moved(), RINGS, SIGMA)
    setup = PanelSetup(refine=("shift",), tolerances={"shift": 0.1})
    moves = found(points, setup).panels.corrections
    assert np.max(np.abs(moves[:, :2])) == 0.1
    assert np.count_nonzero(np.abs(moves[:, :2]) == 0.1) > 3


def test_dp2_of_the_panels() -> None:
    truth = surface(
        panel_corrections=draw_panel_errors(BOXES, {"d_p2": 1e-3}, np.random.default_rng(4))
    )
    points = ring_points(truth, RINGS)
    fit = found(
        points, PanelSetup(refine=("p2",), priors={"p2": 1.0}, learn=False), start=surface()
    )
    assert np.max(np.abs(fit.strain)) < 1e-9
    np.testing.assert_allclose(
        fit.panels.corrections[:, 4] - truth.panel_corrections[:, 4], 0.0, atol=1e-5
    )


def test_emphasis_moves_the_answer_and_zero_leaves_points_out() -> None:
    points = ring_points(moved(), RINGS, 1e-4)
    free = parameters(surface(), SURFACE)
    plain = fit_panels(points, RINGS, free, SHIFTS)
    heavy = fit_panels(points, RINGS, free, SHIFTS, emphasis=np.where(points.ring == 0, 9.0, 1.0))
    assert abs(heavy.fit.x[0] - plain.fit.x[0]) > 1e-6
    ones = fit_panels(points, RINGS, free, SHIFTS, emphasis=np.ones(len(points)))
    np.testing.assert_array_equal(ones.panels.corrections, plain.panels.corrections)


@settings(max_examples=5, deadline=None)
@given(st.permutations(range(len(BOXES))))
def test_numbering_the_panels_otherwise_changes_their_numbers_alone(order) -> None:
    points = ring_points(moved(), RINGS, SIGMA, step_deg=5.0)
    plain = found(points)
    back = np.argsort(order)
    boxes = BOXES[list(order)]
    renumbered = points.select(np.arange(len(points)))
    object.__setattr__(renumbered, "panel", back[points.panel])
    start = surface(lsd_mm=300.3, beam_centre_px=(370.0, 404.0), panel_boxes=boxes)
    other = found(renumbered, start=start)
    same(other, plain, list(order))


@settings(max_examples=5, deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))
def test_a_common_shift_at_the_start_does_not_matter(df: float, ds: float) -> None:
    """Panels that start shifted alike: the same answer."""
    points = ring_points(moved(), RINGS, SIGMA, step_deg=5.0)
    plain = found(points)
    truth = moved()
    start = surface(panel_corrections=truth.panel_corrections + common(df, ds))
    other = found(points, start=start)
    same(other, plain, range(len(BOXES)))


@settings(max_examples=5, deadline=None)
@given(st.floats(-3.0, 3.0), st.floats(-3.0, 3.0))
def test_a_common_shift_of_the_panels_is_the_beams(df: float, ds: float) -> None:
    """Points of panels that are all shifted: the beam centre goes the other way, no panel moves."""
    moves = draw_panel_errors(
        BOXES, {"d_fast_px": 0.3, "d_slow_px": 0.3}, np.random.default_rng(1)
    )  # sums of 0
    truth = surface(panel_corrections=moves + common(df, ds))
    # a start without panels' shifts: nothing tells it
    fit = found(ring_points(truth, RINGS, SIGMA, step_deg=5.0), SHIFTS)
    centre = np.array(truth.beam_centre_px) - [df, ds]
    assert fit.fit.names[1:3] == ("beam_fast_px", "beam_slow_px")
    sigma = fit.fit.sigma[1:3]
    assert np.all(sigma < 0.003)  # px: a thousandth of the shifts
    assert np.all(np.abs(fit.fit.x[1:3] - centre) < 3.0 * sigma)
    # 24 deviates, of a noise that is the same but for points on the edges of panels
    apart = np.abs(fit.panels.corrections - moves)[:, :2]
    assert np.all(apart < 4.0 * fit.panels.sigma[:, :2])


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_a_panel_in_two_halves_with_one_movement_is_the_panel(seed: int) -> None:
    """Halves of a panel that turns by t and shifts by d: each turns by t, and its centre goes where
    the panel takes it. Then every point is where it was."""
    rng = np.random.default_rng(seed)
    whole = surface(panel_boxes=BOXES[:1], panel_corrections=np.zeros((1, 7)))
    f0, s0, f1, s1 = (int(v) for v in BOXES[0])
    cut = int(rng.integers(f0 + 20, f1 - 20))
    halves = np.array([(f0, s0, cut, s1), (cut, s0, f1, s1)])
    move = np.array([*rng.uniform(-1, 1, 2), rng.uniform(-0.01, 0.01), rng.uniform(-1, 1), 1e-4])
    centre = 0.5 * np.array([f0 + f1, s0 + s1])
    c, s = np.cos(move[2]), np.sin(move[2])
    moves = np.tile(move, (2, 1))
    for i, box in enumerate(halves):
        arm = 0.5 * (box[:2] + box[2:]) - centre
        moves[i, :2] += np.array([[c, -s], [s, c]]) @ arm - arm
    one = whole.replace(panel_corrections=move[None])
    two = whole.replace(panel_boxes=halves, panel_corrections=moves)
    fast, slow = rng.uniform(f0, f1, 20), rng.uniform(s0, s1, 20)
    for a, b in zip(
        one.ring_coordinates(fast, slow), two.ring_coordinates(fast, slow), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-13)


def test_fixing_a_panel_is_a_matter_of_output() -> None:
    """FixPanelID: other numbers, the same detector."""
    points = ring_points(moved(), RINGS, SIGMA)
    fit = found(points)
    model = fit.parameters.at(fit.fit.x)
    fixed = fixed_panel(model, 5)
    assert np.all(fixed.panel_corrections[5, :5] == 0.0)
    here = points.panel.astype(np.int32)
    a, b = (
        ring_coordinates(points.fast_px, points.slow_px, here, m.geometry, m.corrections)[0]
        / m.lsd_mm
        for m in (model, fixed)
    )
    np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"refine": ("shifts",)},
            r"panel_refine: unknown 'shifts': expected some of shift",
        ),
        ({"refine": ()}, r"panel_refine is empty: expected some of shift"),
        ({"priors": {"shift": 0.0}}, r"panel_priors: got \{'shift': 0\.0\}: expected numbers > 0"),
        ({"priors": {"p2": 1.0}}, r"panel_priors: 'p2' is not refined"),
        ({"tolerances": {"tallness": 1.0}}, r"panel_tolerances: unknown 'tallness'"),
    ],
)
def test_a_setup_that_cannot_be_is_refused(changes, text) -> None:
    with pytest.raises(ConfigError, match=text):
        PanelSetup(**changes)


def test_a_detector_without_those_panels_is_refused() -> None:
    points = ring_points(moved(), RINGS, SIGMA)
    with pytest.raises(ConfigError, match="panels cannot be refined: the detector has none"):
        found(points, start=surface(panel_boxes=None))
    with pytest.raises(ConfigError, match="ring points lie on panel 11: the detector has 3"):
        found(points, start=surface(panel_boxes=BOXES[:3]))


def test_groups_hold_every_field_once() -> None:
    assert sorted(f for fields in PANEL_GROUPS.values() for f in fields) == sorted(PANEL_FIELDS)
    assert set(DEFAULT_PRIORS) == set(PANEL_GROUPS)


def test_an_expansion_is_found_where_it_is_free() -> None:
    """Panels 1000 ppm farther apart than the grid says: held, it spoils the fit."""
    arm = 0.5 * (BOXES[:, :2] + BOXES[:, 2:])
    moves = np.zeros((len(BOXES), 7))
    moves[:, :2] = 1e-3 * (arm - arm.mean(axis=0))
    points = ring_points(surface(panel_corrections=moves), RINGS, SIGMA)
    setup = PanelSetup(refine=("shift",), free_expansion=True)
    held, free = found(points, SHIFTS), found(points, setup)
    assert "the radial expansion of the panels is 0" not in free.panels.gauge
    assert np.mean(np.abs(held.strain)) > 5.0 * np.mean(np.abs(free.strain))
    assert abs(held.fit.x[0] - 300.0) > 0.1
    assert abs(free.fit.x[0] - 300.0) < 4.0 * free.fit.sigma[0]
    apart = free.panels.corrections[:, :2] - moves[:, :2]
    assert np.max(np.abs(apart) / np.maximum(free.panels.sigma[:, :2], 1e-9)) < 5.0
