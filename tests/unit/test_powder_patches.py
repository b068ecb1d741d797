"""The independent score: small for the truth, and off by what a wrong geometry predicts."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.crystal.rings import rings
from refimpl.errors import FormatError
from refimpl.powder.patches import score_maps


@pytest.fixture(scope="module")
def case(small_frame, small_model):
    found = rings("CeO2", 0.25, 0.17)
    return small_frame.image, ~small_frame.mask, small_model, found.select(found.intensity > 1e-3)


def score(case, **changes):
    image, usable, model, found = case
    model = model.replace(**changes)
    return score_maps(image, usable, *model.detector().maps(), found)


def test_the_true_geometry_scores_its_noise(case) -> None:
    s = score(case)
    assert len(s.strain) > 400
    # 2000 counts on the strongest of lines 3 px wide: some 50 microstrain in 2 degrees
    assert s.mean_abs < 120e-6
    assert abs(s.signed_mean) < 10e-6
    assert s.rms_px < 0.05
    assert set(np.unique(s.ring)) == set(range(len(case[3])))


def test_a_wrong_distance_shows_as_the_mean_of_the_strain(case) -> None:
    """Lsd too large by a part e: every 2-theta too small by e sin(4 theta)/2, strain nearly +e."""
    right, wrong = score(case), score(case, lsd_mm=300.0 * 1.001)
    found = case[3].two_theta_rad
    # -d(2 theta) / (2 tan theta) for d ln tan(2 theta) = -e, in the mean over the patches
    predicted = 1e-3 * np.sin(found) * np.cos(found) / (2.0 * np.tan(0.5 * found))
    mean = np.mean(predicted[wrong.ring])
    # first order in 1e-3; each mean is known to some 5 microstrain
    assert wrong.signed_mean - right.signed_mean == pytest.approx(mean, rel=0.02)
    assert wrong.mean_abs > 8 * right.mean_abs


def test_a_wrong_centre_shows_as_one_wave_a_turn(case) -> None:
    """Centre off by d: strain -d cos(eta)/R, so the mean |strain| is d/R times 2/pi."""
    shift = 0.5
    wrong = score(case, beam_centre_px=(188.0, 210.0 + shift))
    eta = (wrong.eta_bin + 0.5) / 180 * 2 * np.pi - np.pi
    t = case[3].two_theta_rad[wrong.ring]
    radius_px = 300.0 * np.tan(t) / 0.2
    # a centre too high makes the top of a ring look too small: strain of + d cos(eta) / R
    predicted = shift * np.cos(eta) / radius_px * np.sin(t) * np.cos(t) / (2 * np.tan(t / 2))
    slope = np.sum(predicted * wrong.strain) / np.sum(predicted**2)
    assert slope == pytest.approx(1.0, abs=0.03)
    assert abs(wrong.signed_mean) < 0.2 * wrong.mean_abs
    assert wrong.rms_px == pytest.approx(shift / np.sqrt(2.0), rel=0.1)


def test_without_a_frame_of_counts_the_score_is_the_same(case) -> None:
    """A mask given as NaN in the maps is as good as one given as a mask."""
    image, usable, model, found = case
    two_theta, eta = model.replace(panel_boxes=None).detector().maps()
    masked = score_maps(image, usable, two_theta, eta, found)
    hidden = score_maps(
        image, np.ones_like(usable), np.where(usable, two_theta, np.nan), eta, found,
        pixel_rad=0.2 / 300.0,
    )  # fmt: skip
    assert hidden.mean_abs == pytest.approx(masked.mean_abs, rel=0.02)  # other start widths
    assert len(hidden.strain) == pytest.approx(len(masked.strain), abs=5)


def test_outliers_are_cut_and_counted(case) -> None:
    image, usable, model, found = case
    spoilt = image.copy()
    spoilt[usable & (np.random.default_rng(2).random(image.shape) < 3e-4)] = 100_000
    s = score_maps(spoilt, usable, *model.detector().maps(), found)
    assert s.n_cut > 5
    assert s.mean_abs < 2.0 * score(case).mean_abs
    assert str(s).startswith(f"{len(s.strain)} patches: mean |strain| {s.mean_abs * 1e6:.1f} µε")
    assert f"({s.n_cut} cut at 5 MAD)" in str(s)


def test_a_map_without_rings_under_it_is_refused(case) -> None:
    image, usable, model, found = case
    text = r"^no part of a ring can be fitted where the map says that rings are$"
    with pytest.raises(FormatError, match=text):
        score_maps(np.full_like(image, 7), usable, *model.detector().maps(), found)
