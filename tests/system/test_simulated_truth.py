"""The calibration against exact truth: it converges, its errors are honest and near the bound.

Ten of the benchmark's hundred scenes run by default, all of them where slow tests are asked for;
the code is that of benchmarks/recovery.py. Seeds are fixed, so a pass stays a pass.
"""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.forward.scenes import BENCHMARK, scene, scenes
from refimpl.testing.recovery import Recovery, chi_square_interval, recover, report

TEN = range(0, BENCHMARK, 11)  # every calibrant, every noise level, with and without gaps

MOST_OVER_BOUND = 1.2
"""Issue 2: parameter errors at most 1.2 times the Cramér-Rao bound."""


@pytest.fixture(scope="module")
def ten() -> Recovery:
    return recover(scene(i) for i in TEN)


@pytest.fixture(scope="module")
def hundred() -> Recovery:
    return recover(scenes())


def check(recovery: Recovery) -> None:
    table = report(recovery)
    assert not recovery.failed, table
    low, high = chi_square_interval(recovery.n_found)
    for name, value in recovery.chi_square().items():
        assert low <= value <= high, f"{name}\n{table}"
    for name, value in recovery.sigma_over_bound().items():
        assert 0.9 < value <= MOST_OVER_BOUND, f"{name}\n{table}"  # 0.9: below the bound is a lie


def test_ten_scenes_are_recovered(ten: Recovery) -> None:
    assert len(ten.scenes) == 10
    check(ten)


def test_no_error_of_the_ten_is_absurd(ten: Recovery) -> None:
    # 50 normal deviates: the largest exceeds 5 once in 35,000 runs
    assert np.max(np.abs(ten.error / ten.bound)) < 5.0 * MOST_OVER_BOUND


@pytest.mark.slow
def test_a_hundred_scenes_are_recovered(hundred: Recovery) -> None:
    assert len(hundred.scenes) == BENCHMARK
    check(hundred)
    # errors at 1.2 times the bound would show a root mean square of 1.2 +- 7 % in 100 draws, so
    # they are judged with the same 99.9 % interval as above
    allowance = np.sqrt(chi_square_interval(hundred.n_found)[1] / hundred.n_found)
    for name, value in hundred.error_over_bound().items():
        assert value <= MOST_OVER_BOUND * allowance, f"{name}\n{report(hundred)}"
