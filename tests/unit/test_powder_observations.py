"""From an image and a geometry to ring points: places, errors, coverage, and what gives none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.crystal.rings import rings
from refimpl.powder.config import config_from
from refimpl.powder.observations import RingProfiles, estimate_relative_noise, observe
from refimpl.powder.prepare import prepare, read_source
from refimpl.powder.refine import point_strain, strain_sigma
from refimpl.powder.windows import ring_groups

N_ETA = 90


@pytest.fixture(scope="module")
def small(small_frame, small_model):
    """Frame, true model as one surface, rings and windows."""
    settings = config_from({"wavelength_angstrom": 0.25, "pixel_size_mm": 0.2})
    frame = prepare(read_source(small_frame.image, small_frame.mask), settings).frame
    found = rings("CeO2", 0.25, 0.17)
    found = found.select(found.intensity > 1e-3)
    fwhm = np.full(len(found), 2e-3)
    groups = ring_groups(found.two_theta_rad, fwhm, 5.0 * fwhm)
    return frame, small_model.replace(panel_boxes=None), found, groups


@pytest.fixture(scope="module")
def points(small):
    return observe(*small, N_ETA)


def test_points_lie_on_the_rings_within_their_errors(small, points) -> None:
    _, model, found, _ = small
    strain = point_strain(points, found, model.geometry, model.corrections)
    pull = strain / strain_sigma(points)
    assert len(points) > 250
    # some hundred pulls: their variance is known to 10 %, tails of neighbours add a little
    assert 0.7 < np.var(pull) < 1.6
    assert abs(np.mean(pull)) < 0.3
    # what is told of a point belongs together
    t, eta = model.two_theta_eta(points.fast_px, points.slow_px)
    np.testing.assert_allclose(t, points.two_theta_rad, rtol=1e-11)
    np.testing.assert_allclose(eta, points.eta_rad, atol=1e-11)
    assert np.all(np.floor((points.eta_rad + np.pi) / (2 * np.pi) * N_ETA) == points.eta_bin)
    assert points.used.all()
    assert np.median(points.fwhm_rad) == pytest.approx(2e-3, rel=0.05)
    assert np.median(points.chi2) == pytest.approx(1.0, abs=0.1)


def test_a_point_belongs_to_one_panel(small, points) -> None:
    frame = small[0]
    f0, s0, f1, s1 = frame.boxes[points.panel].T
    beyond = np.maximum.reduce(
        [f0 - points.fast_px, points.fast_px - f1, s0 - points.slow_px, points.slow_px - s1]
    )
    # a ring may leave a panel in mid window, which is 15 px to either side of it: the fitted middle
    # at the mean azimuth of the pixels that are left can then lie a little way beyond the edge
    assert np.max(beyond) < 3.0
    assert np.mean(beyond < 0.0) > 0.95
    assert set(points.panel.tolist()) == {0, 1, 2, 3}
    assert len(np.unique(points.key)) == len(points)


def test_coverage_is_the_part_of_the_bin_that_was_seen(small, points) -> None:
    whole = points.coverage[points.ring == 0]
    # bins of the first ring hold some 100 pixels: their number is known to a few per cent
    assert np.median(whole) == pytest.approx(1.0, abs=0.1)
    assert np.all((points.coverage >= 0.1) & (points.coverage <= 1.0))
    frame, *rest = small
    half = frame.usable.copy()
    half[:, ::2] = 0
    seen = observe(replace(frame, usable=half), *rest, N_ETA)
    assert np.median(seen.coverage[seen.ring == 0]) == pytest.approx(0.5, abs=0.05)


def test_what_the_rules_leave_out(small, points) -> None:
    frame, *rest = small
    strict = observe(frame, *rest, N_ETA, least_coverage=0.9)
    assert 0 < len(strict) < len(points)
    assert strict.coverage.min() >= 0.9
    assert len(observe(frame, *rest, N_ETA, least_snr=1e6)) == 0
    dark = replace(frame, usable=np.zeros_like(frame.usable))
    assert len(observe(dark, *rest, N_ETA)) == 0


def test_a_ring_that_is_not_there_gives_no_points(small) -> None:
    frame, model, found, groups = small
    t = found.two_theta_rad.copy()
    gap = 0.5 * (t[1] + t[2])
    shifted = ring_groups(np.array([gap]), np.array([2e-3]), np.array([8e-3]))
    assert len(observe(frame, model, found, shifted, N_ETA)) == 0
    assert len(groups) > 1


def test_selecting_and_marking(points) -> None:
    some = points.select(points.ring == 1)
    assert set(some.ring.tolist()) == {1}
    assert len(some) == np.count_nonzero(points.ring == 1)
    marked = points.with_used(points.ring == 1)
    assert np.count_nonzero(marked.used) == len(some)
    assert points.used.all()


def test_counting_noise_alone_leaves_no_relative_noise(small, points) -> None:
    # 300 chi-squares of some 100 pixels: their median is known to 1 %, of a signal of 700 counts
    assert estimate_relative_noise(small[0], points) < 0.01


@pytest.mark.parametrize("used_so_far", [0.0, 0.08])
def test_grains_are_measured(small, used_so_far) -> None:
    """Each pixel's signal times a factor of 10 % scatter: the estimate says some 10 %."""
    frame, *rest = small
    rough = np.random.default_rng(5).normal(1.0, 0.1, frame.counts.shape)
    grainy = replace(frame, counts=frame.counts * rough, relative_noise=used_so_far)
    found = estimate_relative_noise(grainy, observe(grainy, *rest, N_ETA))
    assert found == pytest.approx(0.1, rel=0.35)  # the mean signal of a line is a rough notion


def test_no_used_points_keep_the_noise_as_it_was(small, points) -> None:
    frame = replace(small[0], relative_noise=0.07)
    assert estimate_relative_noise(frame, points.with_used(points.ring < 0)) == 0.07


def test_profiles_are_the_typical_lines(small, points) -> None:
    found = small[2]
    profiles = RingProfiles.of(points, found)
    np.testing.assert_allclose(profiles.fwhm_rad, 2e-3, rtol=0.15)
    strongest = int(np.argmax(found.intensity))
    assert profiles.height[strongest] == np.median(points.height[points.ring == strongest])
    # of a ring that was not seen: from the others, by the calibrant's intensities
    blind = points.with_used(points.ring != strongest)
    guessed = RingProfiles.of(blind, found).height[strongest]
    assert guessed == pytest.approx(profiles.height[strongest], rel=0.3)
    none = RingProfiles.of(points.with_used(points.ring < 0), found)
    assert np.all(none.height == 0.0)


def test_tails_are_those_of_the_other_rings() -> None:
    profiles = RingProfiles(
        np.array([0.10, 0.11]), np.array([100.0, 50.0]), np.array([2e-3, 2e-3]),
        np.array([1.0, 1.0]),
    )  # fmt: skip
    x = np.linspace(0.108, 0.112, 40)
    got = profiles.tails(x, np.array([1, -1]))
    lorentz = 100.0 / (1.0 + (2.0 * (x - 0.10) / 2e-3) ** 2)
    np.testing.assert_allclose(got, lorentz, rtol=1e-4)  # of the table that it is read from
    assert np.all(profiles.tails(x, np.array([0, 1])) == 0.0)
