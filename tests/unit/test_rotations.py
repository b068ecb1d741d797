"""Active rotations in a right-handed frame."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refimpl import rotations
from refimpl.frames import F64

ANGLE = st.floats(-10.0, 10.0)
X, Y, Z = np.eye(3)


@pytest.mark.parametrize(
    ("rotation", "axis", "start", "end"),
    [
        (rotations.rx, X, Y, Z),
        (rotations.ry, Y, Z, X),
        (rotations.rz, Z, X, Y),
    ],
)
def test_a_quarter_turn_takes_the_next_axis_on(
    rotation: Callable[[float], F64], axis: F64, start: F64, end: F64
) -> None:
    quarter = rotation(np.pi / 2.0)
    np.testing.assert_allclose(quarter @ start, end, atol=1e-16)  # cos(pi/2) in double precision
    np.testing.assert_array_equal(quarter @ axis, axis)


@given(ANGLE, ANGLE, ANGLE)
def test_rotations_are_orthogonal_and_keep_the_hand(a: float, b: float, c: float) -> None:
    for matrix in (rotations.midas_tilt(a, b, c), rotations.expmap(np.array([a, b, c]))):
        # a few products of numbers of size one
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=4e-15)
        assert np.linalg.det(matrix) == pytest.approx(1.0, abs=4e-15)  # same


def test_midas_tilt_turns_about_z_first() -> None:
    """T = Rx Ry Rz: tz acts on the vector first, so its axis is not moved by the others."""
    tx, ty, tz = 0.1, 0.2, 0.3
    one_by_one = rotations.rx(tx) @ (rotations.ry(ty) @ (rotations.rz(tz) @ Y))
    tilted = rotations.midas_tilt(tx, ty, tz) @ Y
    np.testing.assert_allclose(tilted, one_by_one, atol=3e-16)  # another order of products: 1 ulp
    reverse = rotations.rz(tz) @ rotations.ry(ty) @ rotations.rx(tx)
    assert abs(tilted - reverse @ Y).max() > 0.01  # the order is visible


@given(ANGLE)
def test_expmap_about_an_axis_is_the_plain_rotation(angle: float) -> None:
    for axis, plain in ((X, rotations.rx), (Y, rotations.ry), (Z, rotations.rz)):
        # 1 - cos loses digits near zero: absolute, a few ulp of one
        np.testing.assert_allclose(rotations.expmap(angle * axis), plain(angle), atol=4e-16)


@pytest.mark.parametrize("size", [0.0, 1e-13, 0.99e-12, 1.01e-12, 1e-6, 1e-3, 1.0, 3.0])
def test_expmap_against_fifty_digits(size: float) -> None:
    vector = size * np.array([0.2, -0.7, 0.5])
    with mpmath.workdps(50):
        v = [mpmath.mpf(float(x)) for x in vector]
        k = mpmath.matrix([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
        exact = mpmath.expm(k, method="taylor")
        expected = np.array([[float(exact[i, j]) for j in range(3)] for i in range(3)])
    # two ulp of one: the matrix elements are of that size
    np.testing.assert_allclose(rotations.expmap(vector), expected, rtol=0.0, atol=5e-16)
