"""Stills: the point on the sphere, the angle it was turned by, and every derivative."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.forward.rotation import NEVER, OFF_PANEL, SEEN
from refimpl.forward.stills import predict_still, still_jacobian

SIXTH_ORDER = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}


def scene(seed: int, n: int = 20):
    """Lattice points near the sphere of a beam along -z, on two panels behind it."""
    rng = np.random.default_rng(seed)
    s0 = np.array([0.02, -0.01, -1.0]) * rng.uniform(0.5, 1.5)
    size = np.sqrt(s0 @ s0)
    ray = np.column_stack([rng.uniform(-0.5, 0.5, (n, 2)), -np.ones(n)])
    q = size * ray / np.sqrt((ray**2).sum(axis=1))[:, None] - s0
    q = q + rng.normal(size=q.shape) * 1e-3
    d = np.array([[[1.0, 0.1, -50.0], [0.0, -1.0, 40.0], [0.05, 0.0, -100.0]]] * 2)
    d[1, :, 2] += [3.0, -2.0, 5.0]
    return q, rng.integers(0, 2, n).astype(np.int32), s0, d


@given(st.integers(0, 2**32 - 1))
def test_the_ray_lies_on_the_sphere_and_in_the_plane_of_beam_and_point(seed: int) -> None:
    q, panel, s0, d = scene(seed)
    xyz, s1, status = predict_still(q, panel, s0, np.linalg.inv(d))
    assert np.all(status == SEEN)
    np.testing.assert_allclose((s1**2).sum(axis=1), s0 @ s0, rtol=1e-13)
    r = s1 - s0
    np.testing.assert_allclose((r**2).sum(axis=1), (q**2).sum(axis=1), rtol=1e-12)
    normal = np.cross(q, s0)
    assert np.max(np.abs((normal * r).sum(axis=1))) < 1e-12
    # turned by psi: the angle between q and r
    length = (q**2).sum(axis=1)
    angle = np.arctan2(np.sqrt((np.cross(q, r) ** 2).sum(axis=1)), (q * r).sum(axis=1))
    np.testing.assert_allclose(np.abs(xyz[:, 2]), angle, atol=1e-12)
    # and where the ray meets the panel
    point = d[panel] @ np.column_stack([xyz[:, :2], np.ones(len(q))])[:, :, None]
    assert np.max(np.abs(np.cross(point[:, :, 0], s1))) < 1e-9 * np.sqrt(length.max()) * 200.0


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_every_derivative_is_the_sixth_order_difference(seed: int) -> None:
    q, panel, s0, d = scene(seed)
    rng = np.random.default_rng(seed + 1)
    hkl = rng.integers(-9, 10, q.shape).astype(float)
    crystal, beam = rng.normal(size=(2, 3, 3)) * 1e-4, rng.normal(size=(2, 3)) * 1e-2
    detector = rng.normal(size=(2, 3, 3, 3)) * 1e-2
    xyz, jacobian, _ = still_jacobian(q, panel, s0, np.linalg.inv(d), hkl, crystal, beam, detector)
    np.testing.assert_array_equal(xyz, predict_still(q, panel, s0, np.linalg.inv(d))[0])

    def at(x):
        moved = np.linalg.inv(d + np.einsum("k,pkij->pij", x[4:], detector))
        points = q + hkl @ (x[2] * crystal[0] + x[3] * crystal[1]).T
        return predict_still(points, panel, s0 + x[:2] @ beam, moved)[0]

    for k in range(7):
        step = 3e-2 if k >= 4 else 3e-3
        unit = np.eye(7)[k] * step
        difference = sum(w / step * at(i * unit) for i, w in SIXTH_ORDER.items())
        column = jacobian[:, :, k]
        # rounding of positions of 100 mm over the step
        atol = 3e-12 / step + 1e-8 * np.abs(column).max(axis=0)
        assert np.all(np.abs(difference - column) < atol), k


def test_what_cannot_be_seen_says_so() -> None:
    q, panel, s0, d = scene(0, 3)
    q[0] = 3.0 * s0  # longer than twice the radius
    d[panel[1]] *= -1.0
    xyz, _, status = predict_still(q, panel, s0, np.linalg.inv(d))
    assert status[0] == NEVER
    assert status[1] == OFF_PANEL
    assert np.isnan(xyz[1, 0])
    _, jacobian, _ = still_jacobian(
        q, panel, s0, np.linalg.inv(d), q, np.zeros((1, 3, 3)), np.ones((1, 3)),
        np.zeros((2, 1, 3, 3)),
    )  # fmt: skip
    assert np.all(jacobian[:2] == 0.0)


def test_a_point_on_the_sphere_is_not_turned() -> None:
    s0 = np.array([0.0, 0.0, -1.0])
    q = np.array([[0.6, 0.0, 0.2]])  # s0 + q = (0.6, 0, -0.8)
    xyz, s1, _ = predict_still(q, np.zeros(1, np.int32), s0, np.linalg.inv(scene(0)[3]))
    assert xyz[0, 2] == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_allclose(s1[0], [0.6, 0.0, -0.8], atol=1e-15)
