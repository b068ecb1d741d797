"""The conventions: handedness, the MIDAS permutation, the sense of eta."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from refimpl import frames

VECTORS = arrays(np.float64, (4, 3), elements=st.floats(-1e3, 1e3))


def test_midas_axes_seen_from_the_lab() -> None:
    beam, left, up = np.eye(3)
    np.testing.assert_array_equal(frames.lab_from_midas(beam), frames.BEAM)
    np.testing.assert_array_equal(frames.lab_from_midas(left), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(frames.lab_from_midas(up), [0.0, 1.0, 0.0])


def test_matrix_and_function_agree_and_keep_the_hand() -> None:
    v = np.array([0.3, -1.7, 2.9])
    np.testing.assert_array_equal(frames.LAB_FROM_MIDAS @ v, frames.lab_from_midas(v))
    assert np.linalg.det(frames.LAB_FROM_MIDAS) == pytest.approx(1.0, abs=1e-15)  # a permutation


def test_the_matrix_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="read-only"):
        frames.LAB_FROM_MIDAS[0, 0] = 2.0


@given(VECTORS)
def test_there_and_back(vectors: frames.F64) -> None:
    np.testing.assert_array_equal(frames.midas_from_lab(frames.lab_from_midas(vectors)), vectors)
    np.testing.assert_array_equal(frames.lab_from_midas(frames.midas_from_lab(vectors)), vectors)


@pytest.mark.parametrize(
    ("vector", "eta_deg"),
    [
        ((0.0, 1.0, 5.0), 0.0),  # up
        ((-1.0, 0.0, 5.0), 90.0),  # right, seen along the beam
        ((1.0, 0.0, 5.0), -90.0),  # left
        ((0.0, -1.0, 5.0), 180.0),  # down: the interval is open at -180
        ((-1.0, 1.0, -2.0), 45.0),
    ],
)
def test_eta_is_zero_at_the_top_and_grows_clockwise_along_the_beam(
    vector: tuple[float, ...], eta_deg: float
) -> None:
    # 2 ulp of 180 degrees, from the conversion
    assert np.degrees(frames.eta_of_lab(np.array(vector))) == pytest.approx(eta_deg, abs=6e-14)


def test_eta_of_many_vectors_at_once() -> None:
    v = np.array([[[0.0, 1.0, 1.0], [-1.0, 0.0, 1.0]]])
    np.testing.assert_array_equal(frames.eta_of_lab(v), [[0.0, np.pi / 2.0]])


def test_a_pixel_centre_is_half_a_pixel_from_its_corner() -> None:
    assert frames.PIXEL_CENTRE == 0.5
