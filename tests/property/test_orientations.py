"""Euler angles, quaternions and matrices of orientations: round trips and the published range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refimpl import rotations
from refimpl.frames import F64

FULL = st.floats(-7.0, 7.0)
HALF = st.floats(0.0, np.pi) | st.sampled_from([0.0, 1e-14, 1e-9, 1e-5, np.pi - 1e-9, np.pi])
SPECIAL = [0.0, 0.5 * np.pi, np.pi, -0.5 * np.pi, 2.0 * np.pi]
EULER = st.tuples(FULL | st.sampled_from(SPECIAL), HALF, FULL | st.sampled_from(SPECIAL))

BOUND = 3e-15  # a dozen products of numbers of size one


def unit(rng: np.random.Generator, *shape: int) -> F64:
    q = rng.normal(size=(*shape, 4))
    return np.asarray(q / np.linalg.norm(q, axis=-1, keepdims=True))


@given(EULER)
@example((0.0, 0.0, -1e-17))
@example((1.0, np.pi, 2.0))
def test_euler_to_matrix_and_back_is_the_same_rotation(euler: tuple[float, float, float]) -> None:
    matrix = rotations.matrix_of_euler(np.array(euler))
    again = rotations.euler_of_matrix(matrix)
    assert 0.0 <= again[0] < 2.0 * np.pi
    assert 0.0 <= again[1] <= np.pi
    assert 0.0 <= again[2] < 2.0 * np.pi
    # the pole's own width is 2e-12: there phi1 and phi2 are merged
    bound = 4e-12 if np.sin(again[1]) < 1e-11 else BOUND
    np.testing.assert_allclose(rotations.matrix_of_euler(again), matrix, atol=bound)


@given(EULER)
def test_the_matrix_is_three_turns_about_axes(euler: tuple[float, float, float]) -> None:
    phi1, phi, phi2 = euler
    expected = rotations.rz(phi1) @ rotations.rx(phi) @ rotations.rz(phi2)
    np.testing.assert_allclose(rotations.matrix_of_euler(np.array(euler)), expected, atol=BOUND)
    q = rotations.quaternion_of_euler(np.array(euler))
    assert q[0] >= 0.0
    np.testing.assert_allclose(rotations.matrix_of_quaternion(q), expected, atol=BOUND)


@given(st.integers(0, 2**32 - 1))
def test_quaternion_to_matrix_and_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q = unit(rng, 2, 3)
    q[0] *= 10.0 ** rng.uniform(-12.0, 0.0, size=(3, 4))  # near half turns and other special axes
    q /= np.linalg.norm(q, axis=-1, keepdims=True)
    q = np.where(q[..., :1] < 0.0, -q, q)
    again = rotations.quaternion_of_matrix(rotations.matrix_of_quaternion(q))
    same = np.minimum(abs(again - q).max(axis=-1), abs(again + q).max(axis=-1))
    assert same.max() < BOUND
    # and q is -q only where w is nothing
    assert (abs(again - q).max(axis=-1)[q[..., 0] > BOUND] < BOUND).all()


@given(st.integers(0, 2**32 - 1))
def test_the_product_is_that_of_matrices(seed: int) -> None:
    a, b = unit(np.random.default_rng(seed), 2, 5)
    together = rotations.matrix_of_quaternion(rotations.multiply_quaternions(a, b))
    of = rotations.matrix_of_quaternion
    np.testing.assert_allclose(together, of(a) @ of(b), atol=BOUND)
    one = rotations.multiply_quaternions(a, rotations.conjugate_quaternion(a))
    np.testing.assert_allclose(one, np.tile([1.0, 0.0, 0.0, 0.0], (5, 1)), atol=BOUND)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        (rotations.rz(0.3), (0.0, 0.0, 0.3)),
        (rotations.rz(-0.3), (0.0, 0.0, 2.0 * np.pi - 0.3)),
        (rotations.rx(np.pi) @ rotations.rz(0.3), (0.0, np.pi, 0.3)),
        (rotations.rz(0.3) @ rotations.rx(np.pi), (0.0, np.pi, 2.0 * np.pi - 0.3)),
        (rotations.rz(4.0) @ rotations.rx(1.0) @ rotations.rz(5.0), (4.0, 1.0, 5.0)),
    ],
)
def test_published_special_cases(matrix: F64, expected: tuple[float, float, float]) -> None:
    """Phi 0 or pi: phi1 is 0 and phi2 the whole turn (specification 1.1); else [0, 2 pi)."""
    np.testing.assert_allclose(rotations.euler_of_matrix(matrix), expected, atol=BOUND)


def test_a_matrix_of_six_decimals_gives_a_unit_quaternion() -> None:
    q = unit(np.random.default_rng(1), 200)
    q = np.where(q[:, :1] < 0.0, -q, q)
    rounded = np.round(rotations.matrix_of_quaternion(q), 6)
    again = rotations.quaternion_of_matrix(rounded)
    np.testing.assert_allclose(np.linalg.norm(again, axis=1), 1.0, rtol=1e-15)
    assert abs(again - q).max() < 2e-6  # of the order of the last decimal
