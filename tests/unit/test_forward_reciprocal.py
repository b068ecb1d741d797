"""From panels to reciprocal space, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import GeometryError
from refimpl.forward.reciprocal import (
    diffracted_beams,
    panel_to_lab,
    reciprocal_points,
    rotate_about,
)

D = np.array([[[1.0, 0.0, -10.0], [0.0, -1.0, 20.0], [0.0, 0.0, -100.0]]])
S0 = np.array([0.0, 0.0, -0.5])


def test_a_quarter_turn():
    turned = rotate_about(
        np.array([1.0, 0.0, 0.0]), np.array([np.pi / 2]), np.array([[3.0, 1.0, 0.0]])
    )
    np.testing.assert_allclose(turned, [[3.0, 0.0, 1.0]], atol=1e-15)  # y turns towards z


def test_the_beam_itself_has_no_reciprocal_vector():
    xy = np.array([[10.0, 20.0]])  # where the beam hits
    np.testing.assert_array_equal(panel_to_lab(np.array([0]), xy, D), [[0.0, 0.0, -100.0]])
    s1 = diffracted_beams(np.array([0]), xy, D, 2.0)
    np.testing.assert_array_equal(s1, [S0])
    points = reciprocal_points(s1, S0, None, np.array([1.0, 0.0, 0.0]), np.eye(3), np.eye(3))
    np.testing.assert_array_equal(points, [[0.0, 0.0, 0.0]])


def test_rotations_are_undone_in_their_order():
    rng = np.random.default_rng(2)
    setting, fixed = (np.linalg.qr(rng.normal(size=(3, 3)))[0] for _ in range(2))
    axis, phi = np.array([0.6, 0.0, 0.8]), np.array([0.3, -1.1])
    r = rng.normal(size=(2, 3))
    lab = rotate_about(axis, phi, r @ fixed.T) @ setting.T
    back = reciprocal_points(lab + S0, S0, phi, axis, setting, fixed)
    np.testing.assert_allclose(back, r, atol=1e-14)  # a dozen operations on numbers near 1


@pytest.mark.parametrize("panel", [-1, 1, 7])
def test_a_panel_that_is_not_there(panel):
    with pytest.raises(GeometryError, match=f"a spot is on panel {panel}: expected 0 to 0"):
        panel_to_lab(np.array([0, panel]), np.zeros((2, 2)), D)


def test_no_spots_are_no_error():
    assert diffracted_beams(np.zeros(0, dtype=int), np.zeros((0, 2)), D, 1.0).shape == (0, 3)
