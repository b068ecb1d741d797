"""Rules that reject outliers: values worked out by hand, published ones, invariances."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.errors import ConfigError, ConvergenceError
from refimpl.objective.fast_mcd import _final_steps, fast_mcd, mahalanobis_squared, mcd
from refimpl.objective.mcd_factors import (
    chi_square_quantile,
    consistency_factor,
    finite_sample_factor,
    subset_size,
)
from refimpl.objective.outliers import (
    METHODS,
    five_numbers,
    null,
    rayleigh_sigma,
    reject,
    sauter_poon,
    tukey,
)

# D. M. Hawkins, D. Bradu, G. V. Kass, Technometrics 26 (1984) 197: the three regressors.
HBK = np.fromstring("""
10.1 19.6 28.3  9.5 20.5 28.9  10.7 20.2 31.0  9.9 21.5 31.7  10.3 21.1 31.1  10.8 20.4 29.2
10.5 20.9 29.1  9.9 19.6 28.8  9.7 20.7 31.0  9.3 19.7 30.3  11.0 24.0 35.0  12.0 23.0 37.0
12.0 26.0 34.0  11.0 34.0 34.0  3.4 2.9 2.1  3.1 2.2 0.3  0.0 1.6 0.2  2.3 1.6 2.0  0.8 2.9 1.6
3.1 3.4 2.2  2.6 2.2 1.9  0.4 3.2 1.9  2.0 2.3 0.8  1.3 2.3 0.5  1.0 0.0 0.4  0.9 3.3 2.5
3.3 2.5 2.9  1.8 0.8 2.0  1.2 0.9 0.8  1.2 0.7 3.4  3.1 1.4 1.0  0.5 2.4 0.3  1.5 3.1 1.5
0.4 0.0 0.7  3.1 2.4 3.0  1.1 2.2 2.7  0.1 3.0 2.6  1.5 1.2 0.2  2.1 0.0 1.2  0.5 2.0 1.2
3.4 1.6 2.9  0.3 1.0 2.7  0.1 3.3 0.9  1.8 0.5 3.2  1.9 0.1 0.6  1.8 0.5 3.0  3.0 0.1 0.8
3.1 1.6 3.0  3.1 2.5 1.9  2.1 2.8 2.9  2.3 1.5 0.4  3.3 0.6 1.2  0.3 0.4 3.3  1.1 3.0 0.3
0.5 2.4 0.9  1.8 3.2 0.9  1.8 0.7 0.7  2.4 3.4 1.5  1.6 2.1 3.0  0.3 1.5 3.3  0.4 3.4 3.0
0.9 0.1 0.3  1.1 2.7 0.2  2.8 3.0 2.9  2.0 0.7 2.7  0.2 1.8 0.8  1.6 2.0 1.2  0.1 0.0 1.1
2.0 0.6 0.3  1.0 2.2 2.9  2.2 2.5 2.3  0.6 2.0 1.5  0.3 1.7 2.2  0.0 2.2 1.6  0.3 0.4 2.6
""", sep=" ").reshape(75, 3)  # fmt: skip


def _normal(n, p, seed=3):
    return np.random.default_rng(seed).normal(size=(n, p)) * np.arange(1, p + 1)


# --------------------------------------------------------------------------- five numbers, tukey


@pytest.mark.parametrize(
    ("values", "expected"),  # R: fivenum(...)
    [
        ([5.0], [5, 5, 5, 5, 5]),
        ([2.0, 1.0], [1, 1, 1.5, 2, 2]),
        (range(1, 5), [1, 1.5, 2.5, 3.5, 4]),
        (range(1, 6), [1, 2, 3, 4, 5]),
        (range(1, 8), [1, 2.5, 4, 5.5, 7]),
        (range(1, 11), [1, 3, 5.5, 8, 10]),
    ],
)
def test_hinges_are_those_of_r(values, expected):
    assert five_numbers(np.array(list(values), dtype=float)).tolist() == expected


def test_five_numbers_by_column_and_of_nothing():
    data = np.array([[3.0, -1.0], [1.0, -2.0], [2.0, -3.0]])
    assert five_numbers(data).tolist() == [[1, -3], [1.5, -2.5], [2, -2], [2.5, -1.5], [3, -1]]
    assert np.isnan(five_numbers(np.zeros((0, 3)))).all()


def test_tukey_keeps_the_fence_and_rejects_beyond():
    column = [0.0, 1.0, 2.0, 3.0, 4.0]  # hinges 1 and 3: fences -2 and 6
    rows = np.array([[v, 0.0] for v in column])
    assert not tukey(rows).any()
    at, beyond = rows.copy(), rows.copy()
    at[4, 0], beyond[4, 0] = 6.0, np.nextafter(6.0, 7.0)
    assert tukey(at).tolist() == [False] * 5
    assert tukey(beyond).tolist() == [False] * 4 + [True]
    assert tukey(beyond, iqr_multiplier=2.0).tolist() == [False] * 5


def test_hinges_differ_from_percentiles_where_it_matters():
    """Percentiles of 6 values (R type 7) put the fence elsewhere: spec's gotcha iv."""
    values = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 8.4])  # hinges 1, 4; quartiles 1.25, 3.75
    low, high = np.percentile(values, [25, 75])
    assert values[-1] > high + 1.5 * (high - low)
    assert not tukey(values[:, None]).any()


def test_any_column_rejects_a_row():
    rows = np.zeros((30, 3))
    rows[:, :] = np.linspace(-1.0, 1.0, 30)[:, None]
    rows[4, 2] = 50.0
    assert np.flatnonzero(tukey(rows)).tolist() == [4]


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.sampled_from(["tukey", "sauter_poon"]))
def test_rules_do_not_depend_on_the_order_of_rows(seed, n, method):
    rng = np.random.default_rng(seed)
    data = rng.standard_t(2, size=(n, 3)) * 0.05
    order = rng.permutation(n)
    assert np.array_equal(reject(data, method)[order], reject(data[order], method))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(-8, 8), st.integers(-20, 20))
def test_tukey_does_not_depend_on_unit_and_origin(seed, power, shift):
    data = np.round(np.random.default_rng(seed).standard_t(2, size=(50, 2)) * 64) / 64
    assert np.array_equal(tukey(data), tukey((data + shift) * 2.0**power))  # exact in binary


# --------------------------------------------------------------------------- Sauter and Poon


def test_rayleigh_sigma_is_recovered_from_its_own_curve():
    below = np.arange(400) / 1000.0
    radii = 0.037 * np.sqrt(-2.0 * np.log1p(-below))
    assert rayleigh_sigma(radii, below) == pytest.approx(0.037, rel=1e-12)  # Gauss-Newton's stop
    assert rayleigh_sigma(np.zeros(10), np.arange(10) / 20.0) == 0.0


@pytest.mark.parametrize("grid_step", [0.002, None])
def test_sauter_poon_cuts_the_tail(grid_step):
    rng = np.random.default_rng(11)
    good = rng.normal(scale=0.03, size=(900, 2))
    bad = rng.uniform(0.15, 0.4, size=(100, 2))
    rejected = sauter_poon(np.vstack([good, bad]), grid_step=grid_step)
    assert rejected[900:].all()
    assert rejected[:900].mean() < 0.05  # radii near the cut go with the tail
    assert not sauter_poon(good[:5], grid_step=grid_step).any()  # 2 points to fit: no verdict


def test_sauter_poon_rejects_from_one_radius_on_and_keeps_good_data():
    rng = np.random.default_rng(5)
    data = np.vstack([rng.normal(scale=0.03, size=(300, 2)), rng.normal(scale=0.2, size=(60, 2))])
    radii = np.hypot(*data.T)
    rejected = sauter_poon(data)
    assert 20 < rejected.sum() < 80
    assert radii[rejected].min() > radii[~rejected].max()
    assert not sauter_poon(np.zeros((40, 2))).any()


def test_only_the_rule_without_a_grid_is_free_of_the_unit():
    rng = np.random.default_rng(5)
    data = np.vstack([rng.normal(scale=0.03, size=(300, 2)), rng.normal(scale=0.2, size=(60, 2))])
    free = sauter_poon(data, grid_step=None)
    assert np.array_equal(free, sauter_poon(data * 1e3, grid_step=None))
    assert free.any()
    assert not sauter_poon(data * 1e3).any()  # the grid ends at 1 (mm)


# --------------------------------------------------------------------------- MCD


def test_mahalanobis_as_in_r():
    """Session of R, mahalanobis(obs, colMeans(obs), var(obs)): 8 digits printed."""
    x1 = [3.853, 2.401, 2.253, 3.067, 1.887, 3.293, 3.995, 2.559, 2.785, 2.228]
    x2 = [4.294, 1.915, 1.315, 4.641, 1.611, 2.838, 3.696, 1.337, 2.853, 2.434]
    x3 = [4.785, 2.352, 2.023, 4.978, 2.329, 3.101, 4.494, 2.204, 3.468, 3.075]
    data = np.array([x1, x2, x3]).T
    found = mahalanobis_squared(data, data.mean(axis=0), np.cov(data.T))
    expected = [2.1838336, 1.9673401, 1.3335029, 4.9191627, 2.1246818, 5.3297995, 4.9022487,
                2.5335913, 0.1952562, 1.5105832]  # fmt: skip
    assert found == pytest.approx(expected, abs=5.1e-8)  # half the last printed digit


def test_hbk_has_the_published_estimates():
    estimate = fast_mcd(HBK)
    # what DIALS' own test of FAST-MCD asserts of these data (metrology's specification, 2.12)
    raw = [[1.18964912281, 0.00464912280702, 0.217368421053],
           [0.00464912280702, 0.37620782726, 0.182186234818],
           [0.217368421053, 0.182186234818, 0.910728744939]]  # fmt: skip
    corrected = [[3.17735853174, 0.012417047794, 0.58055555535],
                 [0.01241704779, 1.00478967011, 0.486589681332],
                 [0.58055555535, 0.486589681332, 2.43240775146]]  # fmt: skip
    # The published values have 12 digits.
    assert estimate.centre == pytest.approx([1.5333333333333, 2.4564102564103, 1.6076923076923])
    assert estimate.raw_scatter == pytest.approx(np.array(raw), abs=1e-11)
    assert estimate.scatter == pytest.approx(np.array(corrected), abs=1e-10)
    assert estimate.consistency == pytest.approx(2.36792847084, abs=1e-11)
    assert estimate.finite_sample == pytest.approx(1.12792118859, abs=1e-11)
    assert np.flatnonzero(mcd(HBK)).tolist()[:14] == list(range(14))  # the planted outliers
    assert len(estimate.subset) == 39 == subset_size(75, 3)


def test_chi_square_quantile_is_that_of_tables():
    assert chi_square_quantile(0.975, 3) == pytest.approx(9.348404, abs=1e-6)  # 7 digits printed
    assert chi_square_quantile(0.95, 1) == pytest.approx(3.841459, abs=1e-6)


def test_factors_at_their_ends():
    assert consistency_factor(3, 1.0) == 1.0
    # p = 2 has a closed form: q = -2 ln(1 - f), c = f / (f + (1 - f) ln(1 - f)).
    closed = 0.5 / (0.5 + 0.5 * math.log(0.5))
    assert consistency_factor(2, 0.5) == pytest.approx(closed, rel=1e-13)
    for p in (1, 2, 3, 7):
        assert finite_sample_factor(p, 200, 1.0) == pytest.approx(1.0, rel=1e-13)
        assert finite_sample_factor(p, 10**7) == pytest.approx(1.0, abs=2e-4)  # n**-0.6 left
        steps = [finite_sample_factor(p, 60, a) for a in (0.5, 0.6, 0.875, 0.9, 1.0)]
        assert steps == sorted(steps, reverse=True)
    # The form for p > 2 passes through its two fitted points, n = 2 p^2 and 3 p^2: coefficients of
    # Pison, Van Aelst and Willems (2002) for alpha = 0.5.
    assert 1 / finite_sample_factor(5, 50) == pytest.approx(
        1 - 1.42764571687802 / 5**1.26263336932151
    )
    assert 1 / finite_sample_factor(5, 75) == pytest.approx(
        1 - 1.06141115981725 / 5**1.28907991440387
    )


@pytest.mark.parametrize(
    ("values", "steps"),
    [(100_000, 100), (100_001, 10), (200_000, 10), (200_001, 9), (1_000_000, 2), (1_000_001, 1)],
)
def test_steps_on_all_rows(values, steps):
    assert _final_steps(values) == steps


@pytest.mark.parametrize("n", [30, 599, 600, 1499, 1500, 6000])
def test_factors_make_the_scatter_of_normal_data_unbiased(n):
    """Every branch of sizes; the mean of a few sets is within 4 of its standard errors."""
    variances = [
        np.diag(fast_mcd(_normal(n, 3, seed)).scatter) / [1.0, 4.0, 9.0] for seed in range(8)
    ]
    spread = np.std(variances) / math.sqrt(24)
    assert abs(np.mean(variances) - 1.0) < 4.0 * spread + 0.02  # 0.02: the published fit's own


@pytest.mark.parametrize("n", [80, 700])
def test_mcd_withstands_forty_percent(n):
    data = _normal(n, 3)
    bad = int(0.4 * n)
    data[:bad] += 60.0
    rejected = mcd(data)
    assert rejected[:bad].all()
    assert rejected[bad:].mean() < 0.15
    assert np.abs(fast_mcd(data).centre / [1, 2, 3]).max() < 0.5


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1), st.sampled_from([40, 650]))
def test_mcd_follows_affine_maps(seed, n):
    """Same seed, same starts: centre and scatter transform with the data."""
    rng = np.random.default_rng(seed)
    data = rng.standard_t(3, size=(n, 3))
    a = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ np.diag([0.02, 1.0, 5.0])
    shift = rng.normal(size=3)
    plain, mapped = fast_mcd(data), fast_mcd(data @ a.T + shift)
    assert np.array_equal(plain.subset, mapped.subset)
    assert mapped.centre == pytest.approx(a @ plain.centre + shift, rel=1e-9, abs=1e-9)
    # condition number 250 squared, times eps, times the number of sums
    assert mapped.scatter == pytest.approx(a @ plain.scatter @ a.T, rel=1e-8, abs=1e-8)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_mcd_does_not_depend_on_the_order_of_rows(seed):
    """On few rows the starts find the optimum whatever the order."""
    rng = np.random.default_rng(seed)
    data = np.vstack([rng.normal(size=(18, 2)), 40.0 + rng.normal(size=(10, 2))])
    order = rng.permutation(len(data))
    assert np.array_equal(mcd(data)[order], mcd(data[order]))
    again = fast_mcd(data[order]).scatter
    assert fast_mcd(data).scatter == pytest.approx(again, rel=1e-12)  # order of a sum


def test_mcd_is_repeatable_and_takes_alpha_one():
    data = _normal(700, 2)
    assert np.array_equal(fast_mcd(data).scatter, fast_mcd(data).scatter)
    all_rows = fast_mcd(data[:100], alpha=1.0)
    assert all_rows.raw_scatter == pytest.approx(np.cov(data[:100].T), rel=1e-12)
    assert all_rows.consistency == 1.0 == pytest.approx(all_rows.finite_sample)


# --------------------------------------------------------------------------- refusals


def test_methods_by_name():
    data = _normal(100, 3)
    assert METHODS == ("tukey", "mcd", "sauter_poon", "null")
    assert np.array_equal(reject(data, "mcd"), mcd(data))
    assert np.array_equal(
        reject(data, "tukey", iqr_multiplier=0.5), tukey(data, iqr_multiplier=0.5)
    )
    assert reject(data, "null").tolist() == null(data).tolist() == [False] * 100
    with pytest.raises(ConfigError, match=r"'tukeys' is unknown: expected one of tukey, mcd, sau"):
        reject(data, "tukeys")


@pytest.mark.parametrize("rule", [tukey, mcd, sauter_poon, null])
def test_residuals_must_be_finite_and_two_dimensional(rule):
    data = _normal(40, 3)
    data[[7, 9], 1] = np.nan, np.inf
    with pytest.raises(
        ConfigError, match="2 of 40 rows of residuals are not finite, the first is row 7"
    ):
        rule(data)
    with pytest.raises(ConfigError, match=r"residuals have shape \(5,\): expected \(n, k\)"):
        rule(np.zeros(5))


def test_bad_settings_are_refused():
    with pytest.raises(ConfigError, match="iqr_multiplier = -1: expected a number that is not neg"):
        tukey(_normal(9, 2), iqr_multiplier=-1)
    with pytest.raises(ConfigError, match="sauter_poon needs x and y residuals: got 1 column"):
        sauter_poon(_normal(9, 1))
    with pytest.raises(ConfigError, match="mcd: 4 rows of 3 residuals: expected more than 4 rows"):
        fast_mcd(_normal(4, 3))
    with pytest.raises(ConfigError, match=r"mcd: alpha = 0.4: expected a number from 0.5 to 1"):
        fast_mcd(_normal(9, 2), alpha=0.4)


def test_data_on_a_plane_are_refused():
    flat = _normal(50, 3)
    flat[:, 2] = flat[:, 0] + flat[:, 1]
    with pytest.raises(ConvergenceError, match="all 50 rows of residuals lie on a hyperplane"):
        fast_mcd(flat)
    half = _normal(50, 3)
    half[:35, 2] = 0.0
    with pytest.raises(ConvergenceError, match="27 of 50 rows of residuals lie on a hyperplane"):
        fast_mcd(half)
