"""Peak fits: at the Cramér-Rao bound, honest about it, and clear about what cannot be fitted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.dispatch import available_backends
from refimpl.imaging.ring_peaks import PEAK_FIELDS, STATUS, fit_ring_peaks
from refimpl.testing.recovery import chi_square_interval

LOW, HIGH, WIDTH = 0.096, 0.104, 1.1e-3
PIXELS = 140

compiled = pytest.mark.skipif(
    "cython" not in available_backends(), reason="thousands of fits need the compiled twin"
)


def profile(x, centres, heights, *, fwhm=WIDTH, mixing=0.4, background=20.0, slope=300.0):
    """The module docstring's model, written with exp2 and no shared code."""
    model = background + slope * (x - 0.5 * (LOW + HIGH))
    for centre, height in zip(centres, heights, strict=True):
        u2 = (2.0 * (x - centre) / fwhm) ** 2
        model = model + height * (mixing / (1.0 + u2) + (1.0 - mixing) * np.exp2(-u2))
    return model


def bins(n, centres, heights, seed, *, response=False, noise=None, **shape):
    """n bins of Poisson counts, each with its own pixels."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(LOW, HIGH, (n, PIXELS))
    c = rng.uniform(0.6, 1.0, x.shape) if response else np.ones(x.shape)
    model = c * profile(x, centres, heights, **shape)
    counts = rng.poisson(model) if noise is None else noise(rng, model)
    return x.ravel(), counts.ravel().astype(float), c.ravel()


def fit(x, counts, c, expected, *, n, width=WIDTH, window=(LOW, HIGH), **kwargs):
    pair = [*expected, np.nan][:2]
    size = len(x) // n
    return fit_ring_peaks(
        x, counts, c, np.arange(n + 1) * size, np.tile(pair, (n, 1)), np.tile(window, (n, 1)),
        np.full(n, width), **kwargs,
    )  # fmt: skip


def bound(x, c, centres, heights, *, rings, **shape) -> np.ndarray:
    """Cramér-Rao bound of the centres, all parameters free, by central differences."""
    parameters = dict(
        fwhm=shape.get("fwhm", WIDTH), mixing=shape.get("mixing", 0.4),
        background=shape.get("background", 20.0), slope=shape.get("slope", 300.0),
    )  # fmt: skip
    theta = np.array([*centres, *heights, *parameters.values()])

    def model(t):
        names = dict(zip(parameters, t[2 * rings :], strict=True))
        return c * profile(x, t[:rings], t[rings : 2 * rings], **names)

    here = model(theta)
    columns = []
    for i, value in enumerate(theta):
        step = np.zeros(len(theta))
        step[i] = 1e-5 * abs(value) if i >= rings else 1e-3 * WIDTH
        columns.append((model(theta + step) - model(theta - step)) / (2.0 * step[i]))
    j = np.array(columns).T
    return np.sqrt(np.diag(np.linalg.inv(j.T @ (j / here[:, None]))))[:rings]


@compiled
@pytest.mark.parametrize("height", [150.0, 4000.0])
@pytest.mark.parametrize("response", [False, True])
def test_centres_are_at_the_bound_and_their_errors_are_honest(height, response) -> None:
    n, truth = 2000, 0.1003
    x, counts, c = bins(n, [truth], [height], 11, response=response)
    p, sigma, chi2, _, status = fit(x, counts, c, [0.1], n=n)
    assert np.all(status == 0)
    error = p[:, 0] - truth
    low, high = chi_square_interval(n)
    assert low <= np.sum((error / sigma[:, 0]) ** 2) <= high
    assert abs(np.mean(error / sigma[:, 0])) < 3.5 / np.sqrt(n)  # no bias: 1 in 2000
    limit = np.array(
        [bound(a, b, [truth], [height], rings=1)[0]
         for a, b in zip(x.reshape(n, -1)[:200], c.reshape(n, -1)[:200], strict=True)]
    )  # fmt: skip
    # 2000 fits know the ratio to 1.6 %; three of those, and some more for non-linearity
    assert np.std(error) < 1.05 * np.sqrt(np.mean(limit**2))
    assert np.median(sigma[:200, 0] / limit) == pytest.approx(1.0, abs=0.03)
    dof = PIXELS - 6
    assert np.mean(chi2) / dof == pytest.approx(1.0, abs=0.02)


@compiled
def test_two_rings_are_told_apart_without_bias_and_keep_their_order() -> None:
    n, truth, heights = 2000, (0.0992, 0.1008), (800.0, 500.0)
    x, counts, c = bins(n, truth, heights, 12)
    p, sigma, _, _, status = fit(x, counts, c, [0.0993, 0.1009], n=n)
    assert np.all(status == 0)
    assert np.all(p[:, 0] < p[:, 6])
    low, high = chi_square_interval(n)
    for column, centre in ((0, truth[0]), (6, truth[1])):
        pull = (p[:, column] - centre) / sigma[:, column]
        assert low <= np.sum(pull**2) <= high
        assert abs(np.mean(pull)) < 3.5 / np.sqrt(n)
    limit = bound(x[:PIXELS], c[:PIXELS], truth, heights, rings=2)
    np.testing.assert_allclose(sigma[0, [0, 6]], limit, rtol=0.15)  # of one noisy bin


@compiled
def test_noise_in_proportion_to_the_signal_is_weighed() -> None:
    """Pixels with 20 % relative noise besides the counting noise: told so, the pulls are right."""
    n, rho, truth = 2000, 0.2, 0.1003

    def noise(rng, model):
        return rng.normal(model, np.sqrt(model + (rho * model) ** 2))

    x, counts, c = bins(n, [truth], [2000.0], 13, noise=noise)
    told = fit(x, counts, c, [0.1], n=n, relative_noise=rho)
    naive = fit(x, counts, c, [0.1], n=n)
    # 0.2 of relative noise makes a few per cent of fits fail to settle their weights
    good = (told[4] == 0) & (naive[4] == 0)
    assert np.mean(good) > 0.9
    pull = ((told[0] - truth) / told[1])[good, 0]
    # the weights follow the noisy model, not the true one: 10 % is what they may be off by
    assert np.var(pull) == pytest.approx(1.0, abs=0.15)
    assert np.var(((naive[0] - truth) / naive[1])[good, 0]) > 5.0
    spread = np.std((told[0] - truth)[good, 0]), np.std((naive[0] - truth)[good, 0])
    assert spread[0] < 0.9 * spread[1]


@compiled
def test_gain_and_read_out_noise_are_weighed() -> None:
    n, gain, floor, truth = 2000, 3.0, 50.0, 0.1003

    def noise(rng, model):
        return gain * rng.poisson(model / gain) + rng.normal(0.0, np.sqrt(floor), model.shape)

    x, counts, c = bins(n, [truth], [2000.0], 14, noise=noise)
    p, sigma, chi2, _, status = fit(x, counts, c, [0.1], n=n, gain=gain, variance_floor=floor)
    assert np.all(status == 0)
    low, high = chi_square_interval(n)
    assert low <= np.sum(((p - truth) / sigma)[:, 0] ** 2) <= high
    assert np.mean(chi2) / (PIXELS - 6) == pytest.approx(1.0, abs=0.02)


@pytest.fixture(params=available_backends())
def backend(request):
    return request.param


def one(backend, x, counts, expected=(0.1,), *, c=None, **kwargs):
    c = np.ones(len(x)) if c is None else c
    out = fit(x, counts, c, list(expected), n=1, backend=backend, **kwargs)
    return tuple(v[0] for v in out)


def test_an_exact_profile_comes_back(backend) -> None:
    x = np.linspace(LOW, HIGH, 200, endpoint=False) + 2e-5
    p, _, chi2, _, status = one(backend, x, profile(x, [0.1004], [500.0]))
    wanted = (0.1004, 500.0, WIDTH, 0.4, 20.0, 300.0)
    # the fit stops when a step is 1e-6 of an error: some 1e-6 of the value
    np.testing.assert_allclose(p[:6], wanted, rtol=1e-5)
    assert np.isnan(p[6:]).all()
    assert chi2 < 1e-8
    assert status == 0
    assert len(PEAK_FIELDS) == 8


def test_the_answer_does_not_hang_on_the_start(backend) -> None:
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(LOW, HIGH, 160))
    counts = rng.poisson(profile(x, [0.1003], [600.0])).astype(float)
    centres = [
        one(backend, x, counts, (expected,), width=width)[0][0]
        for expected in (0.0985, 0.1, 0.1015) for width in (0.5 * WIDTH, WIDTH, 2.0 * WIDTH)
    ]  # fmt: skip
    sigma = one(backend, x, counts)[1][0]
    assert np.ptp(centres) < 1e-4 * sigma


def test_order_is_kept_even_where_the_first_ring_is_missing(backend) -> None:
    """Only the second ring is there: the first must not be fitted to it."""
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(LOW, HIGH, 200))
    counts = rng.poisson(profile(x, [0.1009], [800.0])).astype(float)
    p, _, _, _, _ = one(backend, x, counts, (0.0992, 0.1008))
    middle = 0.1
    assert not p[0] > middle
    assert not p[6] < middle


def test_width_and_mixing_stay_within_their_bounds(backend) -> None:
    rng = np.random.default_rng(6)
    x = np.sort(rng.uniform(LOW, HIGH, 300))
    counts = rng.poisson(profile(x, [0.1], [3000.0], fwhm=1.5e-4, mixing=0.0)).astype(float)
    p, sigma, _, _, _ = one(backend, x, counts)
    assert p[2] == pytest.approx(WIDTH / 4.0)  # the start over WIDTH_RANGE
    assert sigma[2] == 0.0
    assert 0.0 <= p[3] <= 1.0


@pytest.mark.parametrize(("pixels", "status"), [(0, 2), (11, 2)])
def test_too_few_pixels(backend, pixels, status) -> None:
    x = np.linspace(LOW, HIGH, max(pixels, 1))[:pixels]
    p, sigma, chi2, iterations, got = one(backend, x, profile(x, [0.1], [500.0]))
    assert STATUS[int(got)] == "too few pixels"
    assert got == status
    assert iterations == 0
    assert np.isnan(p).all()
    assert np.isnan(sigma).all()
    assert np.isnan(chi2)


@pytest.mark.parametrize("what", ["dark", "flat", "nan", "infinite"])
def test_no_peak(backend, what) -> None:
    x = np.linspace(LOW, HIGH, 150, endpoint=False)
    counts = profile(x, [0.1], [500.0])
    if what in ("dark", "flat"):
        counts = np.full(150, 0.0 if what == "dark" else 7.0)
    else:
        counts[70] = np.nan if what == "nan" else np.inf
    with np.errstate(all="ignore"):
        p, _, _, _, status = one(backend, x, counts)
    assert STATUS[int(status)] == "no peak"
    assert np.isnan(p).all()


@compiled
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_the_twins_agree_to_a_millionth_of_the_error(seed: int, pair: bool) -> None:
    rng = np.random.default_rng(seed)
    centres = (0.0992, 0.1008) if pair else (0.1 + rng.normal(0.0, 3e-4),)
    heights = rng.uniform(50.0, 3000.0, len(centres))
    x, counts, c = bins(5, centres, heights, seed, response=True, fwhm=rng.uniform(8e-4, 1.4e-3))
    ours, twin = (
        fit(x, counts, c, centres, n=5, backend=b, relative_noise=0.05)
        for b in ("python", "cython")
    )
    np.testing.assert_array_equal(ours[4], twin[4])
    np.testing.assert_array_equal(ours[3], twin[3])
    done = ours[4] == 0
    error = np.where(ours[1] > 0.0, ours[1], 1e-9)
    gap = np.abs(ours[0] - twin[0])[done] / error[done]
    assert np.nanmax(gap, initial=0.0) < 1e-6
