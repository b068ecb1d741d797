import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl.errors import ConfigError
from refimpl.objective.simplex import initial_step, minimise_simplex


def rosenbrock(x):
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def corner(x):
    centre = np.array([1.0, 2.0, -3.0, 0.5])[: len(x)]
    return float(np.sum(np.abs(x - centre) * np.arange(1, len(x) + 1)))


# From NLopt 2.11.0 (pip), LN_NELDERMEAD, ftol_rel = xtol_rel = 1e-5, maxeval 5000: calls, last
# x and value printed with repr. The second and third end away from the minimum, as NLopt's do;
# the fourth has a frozen parameter.
NLOPT = [
    pytest.param(
        rosenbrock,
        ([-1.2, 1.0], [-4.0, -5.0], [3.0, 4.0]),
        (148, "xtol", [0.9999988721472421, 0.9999982407206554], 2.5915819874723438e-11),
        id="rosenbrock-2",
    ),
    pytest.param(
        rosenbrock,
        ([-1.25, 1.5, 0.75, 2.5], [-4.0, -3.0, -2.5, -3.5], [3.0, 4.5, 5.0, 3.25]),
        (
            *(459, "ftol"),
            [-0.7794263981229999, 0.6187699001655034, 0.38898604124618064, 0.15153561939550844],
            3.701459514625171,
        ),
        id="rosenbrock-4",
    ),
    pytest.param(
        corner,
        ([2.5, -2.0, 1.25, -3.5], [-3.5, -4.0, -5.0, -3.75], [2.5, 3.0, 4.0, 4.5]),
        (
            *(373, "xtol"),
            [2.5, 2.0000224232415844, -2.999998213746622, 0.49998990887585926],
            1.500090569739866,
        ),
        id="corner-at-bound",
    ),
    pytest.param(
        corner,
        ([0.5, 1.75, 2.5, -2.25], [-3.5, 1.75, -4.5, -3.25], [4.0, 1.75, 3.0, 2.75]),
        (
            *(228, "xtol"),
            [0.9999727893657998, 1.75, -3.0000007592331075, 0.4999992305552793],
            0.5000325661124055,
        ),
        id="corner-frozen",
    ),
]


@pytest.mark.parametrize(("f", "problem", "answer"), NLOPT)
def test_every_step_is_nlopts(f, problem, answer):
    found = minimise_simplex(f, *map(np.array, problem))
    assert (found.evaluations, found.reason, found.x.tolist(), found.value) == answer


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_simplex_stays_within_bounds_and_never_gets_worse(n, seed):
    rng = np.random.default_rng(seed)
    low, high = -rng.uniform(0.5, 5.0, n), rng.uniform(0.5, 5.0, n)
    frozen = rng.random(n) < 0.2
    x0 = rng.uniform(low, high)
    low[frozen] = high[frozen] = x0[frozen]
    seen = []

    def f(x):
        seen.append(x.copy())
        return float(np.sum((x - 0.3) ** 2))

    found = minimise_simplex(f, x0, low, high)
    assert all(((low <= x) & (x <= high)).all() for x in seen)
    assert found.evaluations == len(seen)
    assert found.value == f(found.x) <= f(x0)
    np.testing.assert_array_equal(found.x[frozen], x0[frozen])


def test_restarts_leave_a_collapsed_simplex():
    f, problem, (calls, _, _, value) = NLOPT[2].values
    found = minimise_simplex(f, *map(np.array, problem), restarts=5)
    assert found.evaluations > calls
    assert found.value < 1e-3 * value


def test_the_limit_on_calls_holds_in_every_phase():
    for limit in range(1, 40):
        found = minimise_simplex(
            rosenbrock, np.zeros(3), -np.ones(3) * 3, np.ones(3) * 3, max_evaluations=limit
        )
        assert (found.evaluations, found.reason) == (limit, "max_evaluations")


def test_nothing_free_evaluates_once():
    found = minimise_simplex(corner, np.ones(2), np.ones(2), np.ones(2))
    assert (found.evaluations, found.reason, found.value) == (1, "nothing free", 2.0)


def test_nan_counts_as_infinitely_bad():
    def f(x):
        return math.nan if x[0] < 0.2 else float(x @ x)

    found = minimise_simplex(f, np.array([2.0, 2.0]), np.full(2, -3.0), np.full(2, 3.0))
    assert found.x[0] == pytest.approx(0.2, abs=1e-3)  # stops at 1e-5 of the coordinates


def test_first_steps_are_a_quarter_of_the_range_or_three_quarters_to_a_near_bound():
    x0, low, high = np.array([0.0, 0.9, -1.0, 5.0]), np.full(4, -1.0), np.array([1.0, 1, 1, 5])
    low[3] = 5.0
    np.testing.assert_allclose(initial_step(x0, low, high), [0.5, 0.075, 0.5, 0.0], rtol=1e-15)


@pytest.mark.parametrize(
    ("x0", "low", "high", "calls", "message"),
    [
        ([0.0], [0.0, 1.0], [1.0], 9, "x0 (1,), lower (2,), upper (1,)"),
        ([0.0, 0.0], [0.0, 1.0], [1.0, -1.0], 9, "bounds of parameter 1 are 1 and -1"),
        ([0.0], [-math.inf], [1.0], 9, "bounds of parameter 0 are -inf and 1"),
        ([2.0], [0.0], [1.0], 9, "parameter 0 starts at 2, outside its bounds 0 to 1"),
        ([0.5], [0.0], [1.0], 0, "max_evaluations = 0: expected 1 up"),
    ],
)
def test_bad_input_is_refused_in_one_line(x0, low, high, calls, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        minimise_simplex(corner, np.array(x0), np.array(low), np.array(high), max_evaluations=calls)
