"""Arrow-shaped normal equations against the dense ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import levenberg_marquardt

seeds = st.integers(0, 2**32 - 1)


def arrow(rng, g=3, p=4, m=2, q=2, n=200):
    """A linear problem with its dense normal matrix: rows of a block see it and the border."""
    jacobian = np.zeros((n, g + p * m))
    own = rng.integers(0, p, n)
    jacobian[:, :g] = rng.normal(size=(n, g)) * 10.0 ** rng.uniform(-3, 3, g)
    for i in range(n):
        jacobian[i, g + own[i] * m : g + (own[i] + 1) * m] = rng.normal(size=m) * [1.0, 100.0][:m]
    truth = rng.normal(size=g + p * m)
    residual = jacobian @ truth + 0.1 * rng.normal(size=n)
    constraints = rng.normal(size=(q, p, m))
    return jacobian, residual, constraints, g, p, m


def bordered(jacobian, residual, constraints, g, p, m, x) -> Bordered:
    r = residual - jacobian @ x
    h = jacobian.T @ jacobian
    at = [slice(g + i * m, g + (i + 1) * m) for i in range(p)]
    return Bordered(
        float(r @ r), -jacobian.T @ r, len(r), h[:g, :g],
        np.array([h[:g, a] for a in at]), np.array([h[a, a] for a in at]), constraints,
    )  # fmt: skip


def dense_answer(jacobian, residual, constraints, use, damping=0.0):
    """x and covariance by the KKT system written out."""
    h = jacobian.T @ jacobian
    h = h + damping * np.diag(np.diag(h))
    q, size = len(constraints), constraints.shape[1] * constraints.shape[2]
    c = np.hstack([np.zeros((q, len(h) - size)), constraints.reshape(q, size)])
    k = np.flatnonzero(use)
    c = c[:, k]
    d = 1.0 / np.sqrt(np.diag(h)[k])
    kkt = np.block(
        [[h[np.ix_(k, k)] * np.outer(d, d), (c * d).T], [c * d, np.zeros((len(c),) * 2)]]
    )
    inverse = np.linalg.pinv(kkt, rcond=1e-13)
    x, covariance = np.zeros(len(h)), np.zeros_like(h)
    right = np.concatenate([(jacobian.T @ residual)[k] * d, np.zeros(len(c))])
    x[k] = (inverse @ right)[: len(k)] * d
    covariance[np.ix_(k, k)] = inverse[: len(k), : len(k)] * np.outer(d, d)
    return x, covariance


@settings(max_examples=30)
@given(seeds)
def test_step_and_covariance_are_those_of_the_dense_system(seed: int) -> None:
    rng = np.random.default_rng(seed)
    jacobian, residual, constraints, g, p, m = arrow(rng)
    use = rng.random(g + p * m) < 0.85
    normal = bordered(jacobian, residual, constraints, g, p, m, np.zeros(g + p * m))
    for damping in (0.0, 0.3):
        expected, _ = dense_answer(jacobian, residual, constraints, use, damping)
        step = normal.step(np.zeros(len(use)), damping, use)
        # condition numbers of some 1e4 after scaling
        scale = np.abs(expected) + 1e-6 * np.max(np.abs(expected))
        assert np.all(np.abs(step - expected) < 1e-8 * scale)
    covariance = normal.covariance(use)
    expected = dense_answer(jacobian, residual, constraints, use)[1]
    sigma = np.sqrt(np.diag(expected))
    assert np.all(np.abs(covariance - expected) <= 1e-8 * np.outer(sigma, sigma))


def test_a_step_brings_the_constraints_to_zero() -> None:
    rng = np.random.default_rng(1)
    jacobian, residual, constraints, g, p, m = arrow(rng)
    x = rng.normal(size=g + p * m)
    normal = bordered(jacobian, residual, constraints, g, p, m, x)
    x = x + normal.step(x, 0.0, np.ones(len(x), dtype=bool))
    kept = np.einsum("qpm,pm->q", constraints, x[g:].reshape(p, m))
    np.testing.assert_allclose(kept, 0.0, atol=1e-10)  # x of order 1, scaled condition 1e4
    # and from any x it is the same minimum
    expected, _ = dense_answer(jacobian, residual, constraints, np.ones(len(x), dtype=bool))
    np.testing.assert_allclose(x, expected, rtol=1e-9)


def test_a_constraint_twice_or_of_held_parameters_alone_does_no_harm() -> None:
    rng = np.random.default_rng(2)
    jacobian, residual, constraints, g, p, m = arrow(rng, q=1)
    use = np.ones(g + p * m, dtype=bool)
    use[g : g + m] = False
    alone = np.zeros((1, p, m))
    alone[0, 0] = 1.0
    many = np.concatenate([constraints, 2.0 * constraints, alone])
    one = bordered(jacobian, residual, constraints, g, p, m, np.zeros(len(use)))
    three = bordered(jacobian, residual, many, g, p, m, np.zeros(len(use)))
    np.testing.assert_allclose(three.covariance(use), one.covariance(use), rtol=1e-9, atol=1e-18)


def test_the_fitter_takes_it_and_names_what_is_not_determined() -> None:
    rng = np.random.default_rng(3)
    jacobian, residual, constraints, g, p, m = arrow(rng, q=0)
    jacobian[:, g + 3] = 0.0  # nothing sees the second parameter of block 1
    jacobian[:, 1] = jacobian[:, 0] * 2.0  # two of the border are one
    residual = jacobian @ rng.normal(size=g + p * m) + 0.1 * rng.normal(size=len(jacobian))
    names = [f"g{k}" for k in range(g)] + [f"{i}.{k}" for i in range(p) for k in range(m)]
    fit = levenberg_marquardt(
        lambda x: bordered(jacobian, residual, constraints, g, p, m, x), np.zeros(len(names)), names
    )
    assert fit.reason == "converged"
    assert fit.undetermined[-1] == "1.1"
    assert len(fit.undetermined) == 2
    assert fit.undetermined[0] in ("g0", "g1")
    assert fit.cost / (fit.n - len(names) + 2) == pytest.approx(0.01, rel=0.3)
    assert fit.sigma[names.index("1.1")] == 0.0


def test_bounds_hold_parameters_of_blocks() -> None:
    rng = np.random.default_rng(4)
    jacobian, residual, constraints, g, p, m = arrow(rng, q=0)
    free, _ = dense_answer(jacobian, residual, np.zeros((0, p, m)), np.ones(g + p * m, dtype=bool))
    upper = np.full(g + p * m, np.inf)
    upper[g + 2] = free[g + 2] - 0.5
    fit = levenberg_marquardt(
        lambda x: bordered(jacobian, residual, constraints, g, p, m, x),
        np.full(g + p * m, -9.0), [str(k) for k in range(g + p * m)], upper=upper,
    )  # fmt: skip
    assert fit.at_bound == (str(g + 2),)
    assert fit.x[g + 2] == upper[g + 2]
    assert fit.sigma[g + 2] == 0.0


def test_what_the_blocks_imitate_in_full_is_left_to_the_constraints() -> None:
    """A common shift of all blocks beside shifts of their own: the constraint tells them apart.

    The Schur complement of the common shift is 0 but for rounding, which is no scale to solve with.
    """
    rng = np.random.default_rng(8)
    p, m = 5, 6
    blocks, weights = np.empty((p, m, m)), 10.0 ** rng.uniform(-1, 1, m)
    for i in range(p):
        jacobian = rng.normal(size=(40, m)) * weights
        blocks[i] = jacobian.T @ jacobian
    common = rng.normal(size=(p, m, m))  # x_i = own_i + common_i y
    cross = np.einsum("pij,pjk->pki", blocks, common)
    border = np.einsum("pji,pjk,pkl->il", common, blocks, common)
    constraints = np.einsum("pij,jq->qpi", rng.normal(size=(p, m, m)), np.eye(m))
    down = rng.normal(size=(p, m)) * weights
    gradient = np.concatenate([np.einsum("pji,pj->i", common, down), down.ravel()])
    n = Bordered(1.0, gradient, 200, border, cross, blocks, constraints)
    use = np.ones(m + p * m, dtype=bool)
    # own = x - common y with K own = 0: the unconstrained covariance of x, told in other words
    plain = np.zeros((p * m, p * m))
    for i in range(p):
        plain[i * m : (i + 1) * m, i * m : (i + 1) * m] = np.linalg.inv(blocks[i])
    rows, arms = constraints.reshape(m, -1), common.reshape(p * m, m)
    to_y = np.linalg.solve(rows @ arms, rows)
    both = np.vstack([to_y, np.eye(p * m) - arms @ to_y])
    expected = both @ plain @ both.T
    s = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(
        n.covariance(use) / np.outer(s, s), expected / np.outer(s, s), rtol=0, atol=1e-6
    )  # fmt: skip
    step = n.step(np.zeros(len(use)), 0.0, use)
    x = -np.linalg.solve(blocks, down[..., None])[..., 0].ravel()
    np.testing.assert_allclose(step / s, (both @ x) / s, rtol=0, atol=1e-6)
