"""What hard rejection leaves of normal observations: moments, and the error of a fitted mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import chi2, norm

from refimpl.metrology.kept_covariance import fences, kept_share
from refimpl.metrology.outlier_jobs import Job, OutlierReport
from refimpl.objective.outliers import sauter_poon, tukey
from refimpl.objective.truncation import LEAST, kept_in_ball, kept_inside


@given(st.floats(-6.0, 0.5), st.floats(0.6, 6.0))
def test_moment_between_fences_is_the_integral(low: float, high: float) -> None:
    integral, _ = quad(lambda u: u * u * norm.pdf(u), low, high)
    expected = integral / (norm.cdf(high) - norm.cdf(low))
    assert kept_inside(low, high) == pytest.approx(np.clip(expected, LEAST, 1.0), rel=1e-9)


def test_no_fence_keeps_all_and_a_fence_far_off_the_least() -> None:
    assert kept_inside(-np.inf, np.inf) == 1.0
    assert kept_inside(-np.inf, 2.0) < 1.0
    assert kept_inside(50.0, 51.0) == LEAST  # nothing normal lies there


@pytest.mark.parametrize("d", [1, 2, 3])
def test_moment_in_a_ball_is_that_of_draws(d: int) -> None:
    u = np.random.default_rng(d).standard_normal((200_000, d))
    kept = u[np.sum(u * u, axis=1) <= 4.0]
    # 4 standard errors of a mean of squares, sqrt(2 / n)
    assert kept_in_ball(4.0, d) == pytest.approx(np.mean(kept**2), abs=4 * np.sqrt(2 / kept.size))
    assert kept_in_ball(4.0, 1) == pytest.approx(float(kept_inside(-2.0, 2.0)), rel=1e-12)


def report_of(rejected: np.ndarray, method: str) -> OutlierReport:
    n = len(rejected)
    return OutlierReport(
        rejected, (Job(np.arange(n)),), (int(rejected.sum()),), (False,), method, 20
    )


def test_a_mean_after_tukeys_fences_errs_as_is_said() -> None:
    """2000 sets of 200 with errors of two sizes: the stated variance holds, the naive one is 12 %
    to 18 % too small."""
    rng = np.random.default_rng(5)
    sigma = np.where(np.arange(200) % 2, 1.0, 1.8)[:, None]
    weight = 1.0 / sigma**2
    honest, naive = [], []
    for _ in range(2000):
        r = sigma * rng.standard_normal((200, 1))
        rejected = tukey(r)
        keep = ~rejected
        mean = np.sum(weight[keep] * r[keep]) / np.sum(weight[keep])
        left = r[keep] - mean
        # its residuals are those after the fit; the fences follow the data
        low, high = fences(
            report_of(rejected, "tukey"), r, np.flatnonzero(keep), left, iqr_multiplier=1.5
        )
        share = kept_share("tukey", low, high, sigma[keep], 1)
        squares = np.sum(weight[keep] * left**2)
        honest.append(mean**2 * np.sum(share * weight[keep]) / (squares / (share.sum() - 1.0)))
        naive.append(mean**2 * np.sum(weight[keep]) / (squares / (keep.sum() - 1.0)))
    least, most = chi2.ppf([0.001, 0.999], 2000) / 2000
    assert least < np.mean(honest) < most
    assert np.mean(naive) > most


def test_sauter_poon_is_a_circle_and_null_keeps_all() -> None:
    rng = np.random.default_rng(2)
    r = 0.05 * rng.standard_normal((400, 3))
    r[:10, :2] += 0.6
    rejected = sauter_poon(r)
    assert rejected[:10].all()
    at, sigma = np.flatnonzero(~rejected), np.full((400, 3), 0.05)
    low, high = fences(report_of(rejected, "sauter_poon"), r[:, :2], at, r[at], iqr_multiplier=1.5)
    share = kept_share("sauter_poon", low, high, sigma[at], 2)
    radius = np.hypot(*r[at, :2].T).max()
    assert np.all(share[:, 2] == 1.0)
    np.testing.assert_allclose(share[:, :2], kept_in_ball((radius / 0.05) ** 2, 2))
    assert np.all(kept_share("null", low, high, sigma[at]) == 1.0)
    ball = kept_share("mcd", low, high, sigma[at])
    np.testing.assert_allclose(ball, kept_in_ball(chi2.ppf(0.975, 3), 3), rtol=1e-9)
