"""The published panel engine on simulated panels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from published_panel_scene import (
    GRID,
    MOVES,
    OPTIONS,
    PANELS,
    PLAIN,
    TRUTH,
    ceria_rings,
    points_on_panels,
    run,
    simulated_frame,
    three_iterations,
)

from refimpl.detector.corrections import same_gauge
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.dispatch import use_backend
from refimpl.errors import ConfigError, NoRingsError
from refimpl.objective.pseudo_strain import published_l1, published_weights
from refimpl.powder.published import calibrate_published, published_vector
from refimpl.powder.published_panel_options import PanelOptions
from refimpl.powder.published_panel_run import panel_means
from refimpl.powder.published_panels import (
    fit_published_panels,
    panel_strain_of,
    published_panel_index,
)
from refimpl.powder.published_points import (
    PublishedPoints,
    PublishedRings,
    extract_points,
)
from refimpl.units import DEG


@pytest.fixture(scope="module")
def frame():
    return simulated_frame()


@pytest.fixture(scope="module")
def powder_rings():
    return ceria_rings()


@pytest.fixture(scope="module")
def points(frame, powder_rings):
    return points_on_panels(frame, powder_rings)


@pytest.fixture(scope="module")
def three(frame, powder_rings):
    return three_iterations(frame, powder_rings)


def fitted(points, panels=PANELS, start=PLAIN, **changes):
    options = dataclasses.replace(OPTIONS, **changes)
    return fit_published_panels(*points, start, options, panels)


def objective(points, detector, **weights):
    found, panel = points
    w = published_weights(found.ring, np.ones(len(found)), **weights)
    return published_l1(panel_strain_of(found, panel, detector), w)


def test_shifts_are_found_to_what_an_l1_simplex_can(points):
    detector, evaluations, reason = fitted(points, restarts=2)
    assert (reason in ("ftol", "xtol"), evaluations > 500) == (True, True)
    assert objective(points, detector) < 0.7 * objective(points, PLAIN)
    mine, truth = same_gauge(detector.panel_corrections, MOVES, GRID.boxes())
    # the width of the noise at 0.01 px a point; the simplex stops at 1e-5 of everything
    np.testing.assert_allclose(mine[:, :2], truth[:, :2], atol=0.1)
    assert not detector.panel_corrections[0].any()  # FixPanelID 0


def test_fixpanelid_is_the_panel_that_stays(points):
    detector, _, _ = fitted(points, PanelOptions(fix_panel=2))
    moves = detector.panel_corrections
    assert not moves[2].any()
    assert moves[[0, 1, 3]].any(axis=1).all()
    text = "FixPanelID 4: the detector has panels 0 to 3"
    with pytest.raises(ConfigError, match=text):
        fitted(points, PanelOptions(fix_panel=4))


@pytest.mark.parametrize(
    ("panels", "fields"),
    [
        (PanelOptions(), {"d_fast_px", "d_slow_px"}),
        (PanelOptions(tol_rotation_deg=1.0), {"d_fast_px", "d_slow_px", "d_theta_rad"}),
        (PanelOptions(per_panel_lsd=True), {"d_fast_px", "d_slow_px", "d_lsd_mm"}),
        (PanelOptions(per_panel_p2=True), {"d_fast_px", "d_slow_px", "d_p2"}),
        (PanelOptions(tol_shift_px=0.0, tol_rotation_deg=1.0, per_panel_lsd=True), set()),
    ],
)
def test_each_key_of_a_panel_frees_its_number_within_its_range(points, panels, fields):
    detector, _, _ = fitted(points, panels)
    moves = detector.panel_corrections[1:]
    assert {name for name, column in zip(PANEL_FIELDS, moves.T, strict=True) if column.any()} == (
        fields
    )
    reach = [panels.tol_shift_px] * 2
    reach += [panels.tol_rotation_deg * DEG, panels.tol_panel_lsd_mm, panels.tol_panel_p2]
    assert (np.abs(moves[:, :5]) <= np.array(reach) * (1.0 + 1e-12)).all()


def test_a_narrow_range_of_shifts_binds(points):
    moves = fitted(points, PanelOptions(tol_shift_px=0.05))[0].panel_corrections
    assert 0.049 < np.abs(moves[:, :2]).max() <= 0.05  # a simplex need not sit on its bound


def test_panels_of_few_points_are_held_at_zero(points):
    counts = np.bincount(points[1], minlength=4)
    limit = int(np.sort(counts)[1])  # holds the one below
    few = int(np.argmin(counts))
    fix = int(np.argmax(counts))
    detector, _, _ = fitted(points, PanelOptions(min_points=limit, fix_panel=fix), start=TRUTH)
    moves = detector.panel_corrections
    assert not moves[few].any()  # its start, 0.2 px or so, is gone too
    np.testing.assert_array_equal(moves[fix], MOVES[fix])  # FixPanelID is not varied
    others = [i for i in range(4) if i not in (few, fix)]
    assert (moves[others] != MOVES[others]).any(axis=1).all()


def test_weights_move_the_minimum(points):
    plain = published_vector(fitted(points)[0])
    by_ring = fitted(points, normalize_ring_weights=True)[0]
    by_radius = fitted(points, weight_by_radius=True)[0]
    for other in (by_ring, by_radius):
        assert np.abs(published_vector(other)[:3] - plain[:3]).max() > 1e-4
    normal = {"normalize_ring_weights": True}
    again = fitted(points, start=fitted(points)[0], normalize_ring_weights=True)[0]
    assert objective(points, again, **normal) < objective(points, fitted(points)[0], **normal)


def test_the_definitions_give_the_fit_of_the_twins(points):
    """400 steps of the simplex; each takes the same turn in either backend."""
    some = {"max_evaluations": 400, "weight_by_radius": True}
    compiled = fitted(points, **some)
    with use_backend("python"):
        plain = fitted(points, **some)
    assert compiled[1:] == plain[1:] == (400, "max_evaluations")
    # an ulp of libm may stay in the numbers
    np.testing.assert_allclose(
        plain[0].panel_corrections, compiled[0].panel_corrections, rtol=1e-9, atol=1e-12
    )


def test_distortion_order_six_frees_p4(points):
    free = {"tol_p4": 1e-3}
    assert fitted(points, **free)[0].p[4] == 0.0
    assert fitted(points, **free, distortion_order=6)[0].p[4] != 0.0


def test_the_best_iteration_is_kept_with_its_points(three):
    found, told, mixed = three
    assert [number for number, _ in told] == [1, 2, 3]
    assert found.mean_strain == min(found.history)
    best = found.iterations[found.best]
    assert found.points is best.points
    np.testing.assert_allclose(
        panel_strain_of(found.points, found.panel, found.detector), found.strain
    )
    assert mixed.points is mixed.iterations[-1].points  # as published
    assert mixed.detector is mixed.iterations[mixed.best].detector
    assert found.varied.tolist() == [False, True, True, True]
    np.testing.assert_array_equal(found.counts, np.bincount(found.panel))
    assert found.panel_means() == pytest.approx(
        panel_means(found.strain, found.panel, ~found.outlier, 4)
    )


def test_ranges_move_along_with_the_iterations(frame, powder_rings):
    narrow = PanelOptions(tol_shift_px=0.06)
    once = run(frame, powder_rings, narrow).detector.panel_corrections
    often = run(frame, powder_rings, narrow, n_iterations=4).iterations[-1].detector
    assert np.abs(once[:, :2]).max() <= 0.06 + 1e-12
    assert np.abs(often.panel_corrections[:, :2]).max() > 0.06  # the published drift


def test_multfactor_clips_the_figures_and_not_the_fit(frame, powder_rings):
    plain = run(frame, powder_rings)
    clipped = run(frame, powder_rings, mult_factor=1.5)
    often = run(frame, powder_rings, mult_factor=1.5, outlier_iterations=4)
    for other in (clipped, often):
        np.testing.assert_array_equal(
            published_vector(other.detector), published_vector(plain.detector)
        )
    assert plain.outlier.sum() == 0 < clipped.outlier.sum() < often.outlier.sum()
    assert plain.mean_strain > clipped.mean_strain == often.mean_strain
    assert plain.std_strain > clipped.std_strain > often.std_strain


def test_points_between_panels_are_left_out(frame, powder_rings):
    found = run(frame, np_rings := powder_rings)
    raw = extract_points(frame[0], frame[1], PLAIN, np_rings, OPTIONS)
    assert found.iterations[0].in_detector == len(raw) >= len(found.points)
    assert (found.panel >= 0).all()
    elsewhere = PLAIN.replace(panel_boxes=np.array([[0, 0, 9, 9], [391, 371, 400, 380]]),
                              panel_corrections=np.zeros((2, 7)))  # fmt: skip
    text = r"none of \d+ ring points lies in one of the 2 panels: the grid of panels is not"
    with pytest.raises(NoRingsError, match=text):
        run(frame, powder_rings, start=elsewhere)


def test_the_index_looks_at_pixel_centres():
    fast = np.array([0.4, 0.5, 195.5, 195.6, 196.0, 203.9, 204.5])
    slow = np.full(7, 100.0)
    assert published_panel_index(PLAIN, fast, slow).tolist() == [-1, 0, 0, -1, -1, -1, 2]
    overlap = PLAIN.replace(panel_boxes=np.array([[0, 0, 100, 100], [50, 0, 150, 100]]),
                            panel_corrections=None)  # fmt: skip
    assert published_panel_index(overlap, np.array([75.0, 120.0]), np.full(2, 9.0)).tolist() == [
        *(0, 1),
    ]
    single = PLAIN.replace(panel_boxes=None, panel_corrections=None)
    assert published_panel_index(single, fast, slow).tolist() == [-1] * 7


def test_without_panels_it_is_the_single_surface(frame, powder_rings):
    single = PLAIN.replace(panel_boxes=None, panel_corrections=None)
    found = run(frame, powder_rings, start=single)
    other = calibrate_published(frame[0], single, powder_rings, OPTIONS, frame[1])
    np.testing.assert_array_equal(
        published_vector(found.detector), published_vector(other.detector)
    )
    assert len(found.counts) == 0
    assert found.mean_strain == other.mean_strain


def test_weighted_means_stand_in_for_fits(frame, powder_rings):
    start = PLAIN.replace(lsd_mm=300.6)  # not where the answer is
    means = run(frame, powder_rings, PanelOptions(weighted_mean=True), start=start)
    fits = run(frame, powder_rings, start=start)
    assert means.points.evaluations == 0 < fits.points.evaluations
    assert 0.5 * fits.mean_strain < means.mean_strain < 2.0 * fits.mean_strain
    assert not np.array_equal(means.points.fast_px, fits.points.fast_px)
    assert means.detector.lsd_mm == pytest.approx(300.0, abs=0.3)
    with pytest.raises(NoRingsError, match=r"none of \d+ bins holds intensity"):
        run((frame[0] * 0.0, frame[1]), powder_rings, PanelOptions(weighted_mean=True))


def test_a_weighted_mean_is_right_where_eta_turns_over(powder_rings):
    from refimpl.powder.published_means import weighted_points

    single = PLAIN.replace(panel_boxes=None, panel_corrections=None, tilts_rad=(0.0, 0.0, 0.0))
    found = weighted_points(
        np.ones(PLAIN.shape),
        None,
        single,
        powder_rings,
        dataclasses.replace(OPTIONS, eta_bin_deg=6.0),
    )
    middle = np.abs(np.degrees(found.eta_rad))
    edge = middle > 176.0
    assert edge.any()
    bins = np.floor((np.degrees(found.eta_rad) + 180.0) / 6.0) * 6.0 - 177.0
    np.testing.assert_allclose(np.degrees(found.eta_rad), bins, atol=0.6)  # a pixel's width


def test_a_pair_of_rings_needs_both_of_its_bins(frame, powder_rings):
    options = dataclasses.replace(OPTIONS, doublet_separation_px=40.0)
    pair = PublishedRings(powder_rings.number[:2], powder_rings.two_theta_rad[:2])
    mask = frame[1].copy()
    outer = int(300.0 * np.tan(pair.two_theta_rad[1]) / 0.2)
    mask[210 - outer, 178] = mask[300, 188 + int(np.sqrt(outer**2 - 90**2))] = True  # on ring 2
    separate = extract_points(frame[0], mask, PLAIN, pair, OPTIONS)
    joined = extract_points(frame[0], mask, PLAIN, pair, options)
    both = np.intersect1d(*(separate.eta_rad[separate.ring == n] for n in (1, 2)))
    for number in (1, 2):
        np.testing.assert_array_equal(joined.eta_rad[joined.ring == number], both)
    assert len(both) == (separate.ring == 2).sum() < (separate.ring == 1).sum()


def test_points_can_be_selected(points):
    found, panel = points
    some: PublishedPoints = found.select(panel == 1)
    assert len(some) == (panel == 1).sum()
    assert some.n_bins == found.n_bins
