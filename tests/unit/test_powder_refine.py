"""The geometry fit on synthetic ring points whose errors are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.powder.observations import RingPoints
from refimpl.powder.parameters import parameters
from refimpl.powder.refine import (
    CLIP_SIGMA,
    _linearised,
    fit_geometry,
    fit_published,
    point_strain,
    strain_sigma,
    taper,
)
from refimpl.testing.recovery import chi_square_interval

TRUE = TiltedFlat((400, 400), (0.2, 0.2), 300.0, (190.0, 205.0), (0.0, 0.02, -0.03))
RINGS = rings("CeO2", 0.25, 0.25)
REFINE = ("distance", "beam_centre", "tilt")
STRAIN_SIGMA = 1e-4


def at_geometry(model: TiltedFlat, ring, eta, strain, sigma_strain, panel=None) -> RingPoints:
    """Points of a true geometry, displaced along their radius by a strain."""
    n = len(ring)
    # radius = L tan(2 theta) (1 - strain): the definition of the pseudo-strain
    radius = model.lsd_mm * np.tan(RINGS.two_theta_rad[ring]) * (1.0 - strain)
    fast, slow = model.pixel_position(radius, eta)
    t = np.arctan(radius / model.lsd_mm)
    one = np.ones(n)
    return RingPoints(
        ring=ring, panel=np.zeros(n, dtype=np.int64) if panel is None else panel,
        eta_bin=np.floor((eta + np.pi) / (2 * np.pi) * 180).astype(np.int64), fast_px=fast,
        slow_px=slow, two_theta_rad=t, eta_rad=eta,
        sigma_rad=sigma_strain * np.sin(t) * np.cos(t), coverage=one, fwhm_rad=1e-3 * one,
        mixing=0.5 * one, height=100.0 * one, background=one, chi2=one,
        pixels=np.full(n, 100), used=np.ones(n, dtype=bool),
    )  # fmt: skip


def points(rng, n_eta=60, extra=0.0, sigma=None):
    """Every ring all round; noise of each point as its sigma says, and an unexplained extra."""
    ring = np.repeat(np.arange(len(RINGS)), n_eta)
    eta = np.tile((np.arange(n_eta) + 0.5) / n_eta * 2 * np.pi - np.pi, len(RINGS))
    sigma = STRAIN_SIGMA * rng.uniform(0.5, 1.5, len(ring)) if sigma is None else sigma
    noise = rng.normal(0.0, sigma) + (rng.normal(0.0, extra, len(ring)) if extra else 0.0)
    return at_geometry(TRUE, ring, eta, noise, sigma)


def start() -> TiltedFlat:
    return TRUE.replace(lsd_mm=300.4, beam_centre_px=(190.5, 204.6), tilts_rad=(0.0, 0.015, -0.02))


def truth(names) -> np.ndarray:
    geometry = dict(lsd_mm=300.0, beam_fast_px=190.0, beam_slow_px=205.0, ty_rad=0.02, tz_rad=-0.03)
    return np.array([geometry[n] for n in names])


def test_strain_of_a_point_by_hand() -> None:
    """A point 1 % too far out has strain -0.01, whatever its ring."""
    ring = np.array([0, 2, 4])
    p = at_geometry(TRUE, ring, np.array([0.1, 2.0, -3.0]), np.full(3, -0.01), np.full(3, 1e-4))
    got = point_strain(p, RINGS, TRUE.geometry, TRUE.corrections)
    np.testing.assert_allclose(got, -0.01, rtol=1e-10)
    np.testing.assert_allclose(strain_sigma(p), 1e-4, rtol=1e-12)


def test_sigma_of_the_strain_is_the_derivative() -> None:
    t, step = 0.12, 1e-7
    p = replace(points(np.random.default_rng(1)), two_theta_rad=np.array([t]),
                sigma_rad=np.array([1.0]))  # fmt: skip
    slope = (np.log(np.tan(t + step)) - np.log(np.tan(t - step))) / (2 * step)
    assert strain_sigma(p)[0] == pytest.approx(slope, rel=1e-8)


def test_exact_points_give_the_exact_geometry() -> None:
    p = points(np.random.default_rng(2), sigma=np.full(60 * len(RINGS), 1e-12))
    fit = fit_geometry(p, RINGS, parameters(start(), REFINE))
    # noise of 1e-12 of the radius: 1e-10 of a pixel
    np.testing.assert_allclose(fit.fit.x, truth(fit.fit.names), rtol=1e-9)
    assert np.max(np.abs(fit.strain)) < 1e-11
    assert np.all(fit.used)


def test_errors_are_what_the_covariance_says() -> None:
    """60 sets of points with known errors: every pull variance within its 99.9 % interval."""
    pulls, tau = [], []
    for seed in range(60):
        fit = fit_geometry(points(np.random.default_rng(seed)), RINGS, parameters(start(), REFINE))
        pulls.append((fit.fit.x - truth(fit.fit.names)) / fit.fit.sigma)
        tau.append(fit.tau)
    low, high = chi_square_interval(60)
    squares = np.sum(np.square(pulls), axis=0)
    assert np.all((low < squares) & (squares < high)), squares
    # there is nothing unexplained: what tau takes for it is small
    assert np.median(tau) < 0.3 * STRAIN_SIGMA


@pytest.mark.parametrize("extra", [0.5 * STRAIN_SIGMA, 5.0 * STRAIN_SIGMA])
def test_unexplained_scatter_is_measured_and_weighed(extra) -> None:
    found, chi2 = [], []
    for seed in range(10):
        p = points(np.random.default_rng(seed), extra=extra)
        fit = fit_geometry(p, RINGS, parameters(start(), REFINE))
        found.append(fit.tau)
        chi2.append(np.sum(fit.weight * fit.strain**2) / (np.sum(fit.used) - 5))
    # 10 x 420 points give a variance to 2 %; 0.5 sigma of extra is a fifth of the whole
    assert np.mean(found) == pytest.approx(extra, rel=0.05 if extra > STRAIN_SIGMA else 0.15)
    # Paule and Mandel's condition; the taper at 4 to 6 sigma takes next to nothing
    np.testing.assert_allclose(chi2, 1.0, atol=0.01)


def test_a_partly_seen_bin_scatters_more_and_weighs_less() -> None:
    rng = np.random.default_rng(3)
    p = points(rng, n_eta=200, sigma=np.full(200 * len(RINGS), 1e-6))
    coverage = np.where(rng.random(len(p)) < 0.5, 0.2, 1.0)
    strain = rng.normal(0.0, 3e-4 / np.sqrt(coverage))
    p = replace(at_geometry(TRUE, p.ring, p.eta_rad, strain, np.full(len(p), 1e-6)),
                coverage=coverage)  # fmt: skip
    fit = fit_geometry(p, RINGS, parameters(start(), REFINE))
    assert fit.tau == pytest.approx(3e-4, rel=0.06)  # 1400 points: 2 %
    whole, part = fit.weight[coverage == 1.0].max(), fit.weight[coverage < 1.0].max()
    assert part / whole == pytest.approx(0.2, rel=1e-3)
    # and the answer is the minimum with these very weights: a Gauss-Newton step leads nowhere
    strain, jacobian = _linearised(p, RINGS, fit.parameters, fit.fit.x)
    normal = jacobian.T @ (fit.weight[:, None] * jacobian)
    step = np.linalg.solve(normal, -jacobian.T @ (fit.weight * strain))
    assert np.max(np.abs(step) * np.sqrt(np.diag(normal))) < 0.01


def test_outliers_lose_their_weight_and_move_nothing() -> None:
    rng = np.random.default_rng(4)
    clean = points(rng)
    bad = np.zeros(len(clean), dtype=bool)
    bad[rng.choice(len(clean), len(clean) // 20, replace=False)] = True
    strain = np.where(bad, 3e-3, 0.0) + rng.normal(0.0, strain_sigma(clean))
    spoilt = at_geometry(TRUE, clean.ring, clean.eta_rad, strain, strain_sigma(clean))
    fit = fit_geometry(spoilt, RINGS, parameters(start(), REFINE))
    np.testing.assert_array_equal(fit.used, ~bad)
    without = fit_geometry(spoilt.with_used(~bad), RINGS, parameters(start(), REFINE))
    assert np.max(np.abs(fit.fit.x - without.fit.x) / without.fit.sigma) < 1e-3
    assert np.all(fit.weight[bad] == 0.0)
    # the strain of outliers is reported all the same
    np.testing.assert_allclose(fit.strain[bad], strain[bad], atol=5e-5)


def test_points_marked_unused_never_come_in() -> None:
    p = points(np.random.default_rng(5))
    keep = np.arange(len(p)) % 3 != 0
    fit = fit_geometry(p.with_used(keep), RINGS, parameters(start(), REFINE))
    assert not np.any(fit.used[~keep])
    assert np.all(fit.weight[~keep] == 0.0)
    assert fit.fit.n == np.count_nonzero(fit.used)
    only = fit_geometry(p.select(keep), RINGS, parameters(start(), REFINE))
    np.testing.assert_allclose(fit.fit.x, only.fit.x, rtol=1e-9)


def test_thetaper() -> None:
    distance = np.array([0.0, 0.8, 0.9, 1.0, 1.1, 1.2, 9.0])
    expected = [1.0, 1.0, 0.5 + np.sqrt(0.125), 0.5, 0.5 - np.sqrt(0.125), 0.0, 0.0]
    np.testing.assert_allclose(taper(distance), expected, atol=1e-15)
    assert CLIP_SIGMA == 5.0


def panel_of(p: RingPoints) -> np.ndarray:
    """6 x 6 panels of 135 px a side, around the beam."""
    column, row = ((v + 210.0) // 135.0 for v in (p.fast_px, p.slow_px))
    return (np.clip(column, 0, 5) * 6 + np.clip(row, 0, 5)).astype(np.int64)


def panel_shifted(seed: int) -> RingPoints:
    """Each of 36 panels displaces its points by a strain of its own; little noise besides."""
    rng = np.random.default_rng(seed)
    p = points(rng, n_eta=48)
    panel = panel_of(p)
    strain = rng.normal(0.0, 3e-4, 36)[panel] + rng.normal(0.0, 5e-5, len(p))
    return at_geometry(TRUE, p.ring, p.eta_rad, strain, np.full(len(p), 5e-5), panel)


def test_points_of_a_panel_that_err_together_are_not_counted_apart() -> None:
    pulls, naive = [], []
    for seed in range(60):
        p = panel_shifted(seed)
        for into, q in ((pulls, p), (naive, replace(p, panel=0 * p.panel, eta_rad=0 * p.eta_rad))):
            fit = fit_geometry(q, RINGS, parameters(start(), REFINE))
            assert (fit.fit.clusters > 0) == (into is pulls)
            into.append((fit.fit.x - truth(fit.fit.names)) / fit.fit.sigma)
    spread, too_sure = np.var(pulls, axis=0), np.var(naive, axis=0)
    low, high = chi_square_interval(60)
    assert np.all((low < 60 * spread) & (60 * spread < high)), spread
    # 8 points a panel err together: as 8 they would count for far too much
    assert np.all(too_sure > 3.0), too_sure


def test_without_unexplained_scatter_nothing_is_clustered() -> None:
    p = points(np.random.default_rng(6))
    panel = panel_of(p)
    fit = fit_geometry(replace(p, panel=panel), RINGS, parameters(start(), REFINE))
    assert fit.fit.clusters == 0


def test_the_simplex_finds_the_same_minimum() -> None:
    p = points(np.random.default_rng(7), extra=2e-4)
    free = parameters(start(), REFINE)
    lm, simplex = (fit_geometry(p, RINGS, free, solver=s) for s in ("lm", "simplex"))
    # each stops within about 1e-4 of an uncertainty of the minimum
    assert np.max(np.abs(lm.fit.x - simplex.fit.x) / lm.fit.sigma) < 1e-2
    assert np.mean(np.abs(lm.strain)) == pytest.approx(np.mean(np.abs(simplex.strain)), abs=1e-9)
    assert simplex.fit.reason == "converged (simplex)"
    np.testing.assert_allclose(simplex.fit.sigma, lm.fit.sigma, rtol=1e-3)


def test_the_published_objective_is_the_sum_of_absolute_strain() -> None:
    p = points(np.random.default_rng(8), extra=2e-4)
    p = p.with_used(np.arange(len(p)) % 7 != 0)
    free = parameters(start(), REFINE)
    fit = fit_published(p, RINGS, free)

    def l1(x) -> float:
        strain = point_strain(p, RINGS, free.geometry(x), TRUE.corrections)
        return float(np.sum(np.abs(strain[p.used])))

    least = l1(fit.fit.x)
    assert least <= l1(fit_geometry(p, RINGS, free).fit.x)
    for i in range(len(free)):
        for sign in (-1.0, 1.0):
            aside = fit.fit.x.copy()
            aside[i] += sign * 0.3 * fit.fit.sigma[i]
            assert l1(aside) > least
    assert fit.used.tolist() == p.used.tolist()  # outliers stay in, as published


def test_bounds_are_kept_and_reported() -> None:
    p = points(np.random.default_rng(9))
    fit = fit_geometry(p, RINGS, parameters(start(), REFINE, {"distance": 0.1}))
    assert fit.fit.x[0] == pytest.approx(300.3)
    assert fit.fit.at_bound == ("lsd_mm",)


def test_what_a_single_ring_cannot_tell_is_named() -> None:
    """One ring of one radius: distance, p2 and p5 are one number, so two of them are held."""
    flat = TRUE.replace(tilts_rad=(0.0, 0.0, 0.0))
    eta = np.linspace(-3.1, 3.1, 80)
    ring = np.full(80, 3)
    p = at_geometry(flat, ring, eta, np.zeros(80), np.full(80, 1e-4))
    free = parameters(flat.replace(lsd_mm=300.1), ("distance", "beam_centre", "p2", "p5"))
    fit = fit_geometry(p, RINGS, free)
    assert len(fit.fit.undetermined) == 2
    assert set(fit.fit.undetermined) <= {"lsd_mm", "iso_r2", "iso_r4"}
    assert np.max(np.abs(fit.strain)) < 1e-9
