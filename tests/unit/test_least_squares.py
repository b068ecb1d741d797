"""The fitter on problems with known answers: linear ones in closed form, NIST StRD, bounds."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.dispatch import available_backends
from refimpl.errors import ConfigError
from refimpl.objective.least_squares import CHUNK, Normal, accumulate_normal, levenberg_marquardt


def problem(residual, jacobian, weight=None):
    """Normal equations of a problem given by functions of the parameters."""

    def normal(x) -> Normal:
        r, j = residual(x), jacobian(x)
        w = np.ones(len(r)) if weight is None else weight
        return Normal(*accumulate_normal(r, j, w), n=len(r))

    return normal


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("n", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_sums_are_those_of_the_matrices(backend, n) -> None:
    rng = np.random.default_rng(n)
    r, j, w = rng.normal(size=n), rng.normal(size=(n, 4)), rng.uniform(0.0, 2.0, n)
    cost, gradient, hessian = accumulate_normal(r, j, w, backend=backend)
    # n terms of size 1, summed in another order
    bound = dict(rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(cost, np.sum(w * r * r), **bound)
    np.testing.assert_allclose(gradient, j.T @ (w * r), **bound)
    np.testing.assert_allclose(hessian, j.T @ (w[:, None] * j), **bound)
    np.testing.assert_array_equal(hessian, hessian.T)


@pytest.mark.parametrize("backend", available_backends())
def test_chunks_are_summed_one_after_another_and_added_in_order(backend) -> None:
    """The very bits of: a sum a chunk, row by row from 0; then the chunk sums in order."""
    rng = np.random.default_rng(8)
    n = 2 * CHUNK + 50
    r = rng.normal(size=n) * 10.0 ** rng.uniform(-8, 8, n)
    total = 0.0
    for first in range(0, n, CHUNK):
        chunk = 0.0
        for value in r[first : first + CHUNK].tolist():
            chunk += value * value
        total += chunk
    cost, _, _ = accumulate_normal(r, np.zeros((n, 1)), np.ones(n), backend=backend)
    assert cost == total
    assert cost != float(np.sum(r * r))  # numpy's pairwise sum has other bits here


def test_a_linear_problem_gives_the_closed_form() -> None:
    rng = np.random.default_rng(2)
    a, sigma = rng.normal(size=(60, 3)) * [1.0, 1e4, 1e-3], rng.uniform(0.5, 2.0, 60)
    truth = np.array([3.0, -2e-4, 5e3])
    b = a @ truth + rng.normal(0.0, sigma)
    w = 1.0 / sigma**2
    fit = levenberg_marquardt(
        problem(lambda x: a @ x - b, lambda x: a, w), np.zeros(3), ("a", "b", "c")
    )
    inverse = np.linalg.inv(a.T @ (w[:, None] * a))
    expected = inverse @ (a.T @ (w * b))
    assert fit.reason == "converged"
    # the fit stops within 1e-7 of a standard uncertainty
    assert np.all(np.abs(fit.x - expected) < 1e-7 * np.sqrt(np.diag(inverse)))
    np.testing.assert_allclose(fit.covariance, inverse, rtol=1e-9)
    np.testing.assert_allclose(fit.sigma, np.sqrt(np.diag(inverse)), rtol=1e-9)
    s = np.sqrt(np.diag(inverse))
    np.testing.assert_allclose(fit.correlation, inverse / np.outer(s, s), rtol=1e-9)
    chi2 = np.sum(w * (a @ expected - b) ** 2)
    assert fit.cost == pytest.approx(chi2, rel=1e-12)
    assert fit.reduced_chi2 == pytest.approx(chi2 / 57.0, rel=1e-12)
    assert fit.cost_before == pytest.approx(np.sum(w * b * b), rel=1e-12)
    assert (fit.n, fit.undetermined, fit.at_bound, fit.clusters) == (60, (), (), 0)
    assert list(fit.history) == sorted(fit.history, reverse=True)


# NIST Statistical Reference Datasets, nonlinear regression, https://www.itl.nist.gov/div898/strd:
# Misra, D., Dental Research Monomolecular Adsorption (1978), lower level of difficulty.
MISRA1A = np.array(
    [10.07, 77.6, 14.73, 114.9, 17.94, 141.1, 23.93, 190.8, 29.61, 239.9, 35.18, 289.0,
     40.02, 332.8, 44.82, 378.4, 50.76, 434.8, 55.05, 477.3, 61.01, 536.8, 66.40, 593.1,
     75.47, 689.1, 81.78, 760.0]
).reshape(-1, 2)  # fmt: skip
MISRA1A_CERTIFIED = ((2.3894212918e2, 2.7070075241), (5.5015643181e-4, 7.2668688436e-6))

# Thurber, R., Semiconductor electron mobility modeling (1979), higher level of difficulty.
THURBER = np.array(
    [80.574, -3.067, 84.248, -2.981, 87.264, -2.921, 87.195, -2.912, 89.076, -2.840,
     89.608, -2.797, 89.868, -2.702, 90.101, -2.699, 92.405, -2.633, 95.854, -2.481,
     100.696, -2.363, 101.060, -2.322, 401.672, -1.501, 390.724, -1.460, 567.534, -1.274,
     635.316, -1.212, 733.054, -1.100, 759.087, -1.046, 894.206, -0.915, 990.785, -0.714,
     1090.109, -0.566, 1080.914, -0.545, 1122.643, -0.400, 1178.351, -0.309, 1260.531, -0.109,
     1273.514, -0.103, 1288.339, 0.010, 1327.543, 0.119, 1353.863, 0.377, 1414.509, 0.790,
     1425.208, 0.963, 1421.384, 1.006, 1442.962, 1.115, 1464.350, 1.572, 1468.705, 1.841,
     1447.894, 2.047, 1457.628, 2.200]
).reshape(-1, 2)  # fmt: skip
THURBER_CERTIFIED = (
    (1.2881396800e3, 4.6647963344), (1.4910792535e3, 3.9571156086e1),
    (5.8323836877e2, 2.8698696102e1), (7.5416644291e1, 5.5675370270),
    (9.6629502864e-1, 3.1333340687e-2), (3.9797285797e-1, 1.4984928198e-2),
    (4.9727297349e-2, 6.5842344623e-3),
)  # fmt: skip


def misra1a():
    y, x = MISRA1A.T

    def residual(b):
        return b[0] * (1.0 - np.exp(-b[1] * x)) - y

    def jacobian(b):
        decay = np.exp(-b[1] * x)
        return np.column_stack([1.0 - decay, b[0] * x * decay])

    return problem(residual, jacobian)


def thurber():
    y, x = THURBER.T
    powers = x[:, None] ** np.arange(4)

    def parts(b):
        return powers @ b[:4], 1.0 + powers[:, 1:] @ b[4:]

    def residual(b):
        top, bottom = parts(b)
        return top / bottom - y

    def jacobian(b):
        top, bottom = parts(b)
        return np.hstack([powers, -powers[:, 1:] * (top / bottom)[:, None]]) / bottom[:, None]

    return problem(residual, jacobian)


@pytest.mark.parametrize(
    ("normal", "start", "certified", "squares"),
    [
        (misra1a(), (500.0, 1e-4), MISRA1A_CERTIFIED, 1.2455138894e-1),
        (misra1a(), (250.0, 5e-4), MISRA1A_CERTIFIED, 1.2455138894e-1),
        (
            thurber(),
            (1000.0, 1000.0, 400.0, 40.0, 0.7, 0.3, 0.03),
            THURBER_CERTIFIED,
            5.6427082397e3,
        ),
        (
            thurber(),
            (1300.0, 1500.0, 500.0, 75.0, 1.0, 0.4, 0.05),
            THURBER_CERTIFIED,
            5.6427082397e3,
        ),
    ],
    ids=["Misra1a far", "Misra1a near", "Thurber far", "Thurber near"],
)
def test_nist_reference_problems(normal, start, certified, squares) -> None:
    names = tuple(f"b{i + 1}" for i in range(len(start)))
    fit = levenberg_marquardt(normal, np.array(start), names)
    values, errors = np.array(certified).T
    assert fit.reason == "converged"
    # Gauss-Newton ends within some 1e-7 of an uncertainty: seven digits of the parameters
    np.testing.assert_allclose(fit.x, values, rtol=1e-7)
    np.testing.assert_allclose(fit.sigma * np.sqrt(fit.reduced_chi2), errors, rtol=1e-6)
    assert fit.cost == pytest.approx(squares, rel=1e-9)


def parabola(x):
    """Squares of x - (1, 2, 3) with a correlation between the first two."""
    mix = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 2.0]])
    r = mix @ (x - np.array([1.0, 2.0, 3.0]))
    return Normal(float(r @ r), mix.T @ r, mix.T @ mix, 3)


def test_bounds_hold_and_the_others_adapt() -> None:
    """With the first held at 0.5, the second moves to 2 + 0.8 * 0.6 * 0.5 / 0.36."""
    fit = levenberg_marquardt(
        parabola, np.zeros(3), "abc", lower=np.array([-1.0, -9.0, 0.0]), upper=np.array([0.5, 9, 9])
    )
    np.testing.assert_allclose(fit.x, [0.5, 2.0 + 0.8 * 0.5 / 0.6, 3.0], rtol=1e-6)
    assert fit.at_bound == ("a",)
    assert fit.sigma[0] == 0.0
    assert fit.sigma[1] == pytest.approx(1.0 / 0.6, rel=1e-9)  # as if a were known
    assert fit.correlation[0].tolist() == [1.0, 0.0, 0.0]


def test_equal_bounds_hold_a_parameter_without_calling_it_a_bound() -> None:
    here = np.array([0.25, -np.inf, -np.inf])
    fit = levenberg_marquardt(
        parabola, np.zeros(3), "abc", lower=here, upper=np.array([0.25, 9, 9])
    )
    assert fit.x[0] == 0.25
    assert fit.at_bound == ()
    assert fit.sigma[0] == 0.0


def test_a_start_outside_its_bounds_is_brought_in() -> None:
    fit = levenberg_marquardt(parabola, np.full(3, 50.0), "abc", upper=np.array([9.0, 9.0, 2.0]))
    np.testing.assert_allclose(fit.x, [1.0, 2.0, 2.0], rtol=1e-6)


def test_what_the_data_do_not_determine_is_named_and_held() -> None:
    """Only a + b and d are seen, and c not at all: one of (a, b) and c stay where they started."""
    rng = np.random.default_rng(4)
    u, v = rng.normal(size=(2, 40))
    j = np.column_stack([u, u, np.zeros(40), v])
    target = 5.0 * u + 2.0 * v
    fit = levenberg_marquardt(
        problem(lambda x: j @ x - target, lambda x: j), np.array([0.5, 1.0, 7.0, 0.0]), "abcd"
    )
    assert "c" in fit.undetermined
    assert len(fit.undetermined) == 2
    assert set(fit.undetermined) <= {"a", "b", "c"}
    assert fit.x[2] == 7.0
    assert fit.x[0] + fit.x[1] == pytest.approx(5.0, rel=1e-9)
    assert fit.x[3] == pytest.approx(2.0, rel=1e-9)
    held = [i for i, name in enumerate("abcd") if name in fit.undetermined]
    assert np.all(fit.sigma[held] == 0.0)
    assert fit.x[held].tolist() == [{"a": 0.5, "b": 1.0, "c": 7.0}["abcd"[i]] for i in held]
    assert np.isfinite(fit.condition)


def test_units_do_not_matter() -> None:
    """The same problem with a parameter in other units: the same steps, the same answer."""
    scale = np.array([1e6, 1e-6])

    def rescaled(x):
        n = misra1a()(x * scale)
        return Normal(n.cost, n.gradient * scale, n.hessian * np.outer(scale, scale), n.n)

    plain = levenberg_marquardt(misra1a(), np.array([500.0, 1e-4]), "ab")
    other = levenberg_marquardt(rescaled, np.array([500.0, 1e-4]) / scale, "ab")
    assert other.evaluations == plain.evaluations
    np.testing.assert_allclose(other.x * scale, plain.x, rtol=1e-9)
    assert other.condition == pytest.approx(plain.condition, rel=1e-6)


def test_a_step_into_nowhere_is_refused() -> None:
    """The residual log(x) - 3 does not exist at x <= 0, where the first full step would lead."""

    def normal(x) -> Normal:
        if x[0] <= 0.0:
            return Normal(np.nan, np.zeros(1), np.eye(1), 1)
        r, j = np.log(x[0]) + 3.0, 1.0 / x[0]
        return Normal(r * r, np.array([r * j]), np.array([[j * j]]), 1)

    fit = levenberg_marquardt(normal, np.array([10.0]), ("x",))
    assert fit.reason == "converged"
    assert fit.x[0] == pytest.approx(np.exp(-3.0), rel=1e-6)


def test_the_cap_on_evaluations_is_kept_and_said() -> None:
    fit = levenberg_marquardt(misra1a(), np.array([500.0, 1e-4]), "ab", max_evaluations=3)
    assert fit.evaluations == 3
    assert fit.reason == "stopped after 3 evaluations"


def test_a_problem_whose_gradient_lies_stops_and_says_so() -> None:
    def normal(x) -> Normal:
        return Normal(float(1.0 + x[0] ** 2), np.array([-5.0 - x[0]]), np.eye(1), 1)

    fit = levenberg_marquardt(normal, np.array([0.0]), ("x",))
    assert fit.x[0] == pytest.approx(0.0, abs=1e-6)
    assert fit.reason in ("no step lowers the cost", "converged")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"names": "ab"}, "names and bounds do not fit the parameters"),
        ({"lower": np.zeros(2)}, "names and bounds do not fit the parameters"),
        ({"lower": np.ones(3), "upper": np.zeros(3)}, "names and bounds do not fit the param"),
        ({"problem": lambda x: Normal(np.nan, x, np.eye(3), 3)}, "the cost is not finite at the s"),
    ],
)
def test_impossible_arguments_are_refused(changes, text) -> None:
    arguments = {"problem": parabola, "x0": np.zeros(3), "names": "abc"} | changes
    with pytest.raises(ConfigError, match=f"^levenberg_marquardt: {text}"):
        levenberg_marquardt(**arguments)
