"""Properties of the tilted flat model over random geometries: inverse, Jacobian, invariances."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.detector.distortion import pairs_from_published, published_from_pairs
from refimpl.detector.tilted_flat import (
    CORRECTION_FIELDS,
    GEOMETRY_FIELDS,
    JACOBIAN_FIELDS,
    pixel_position,
    ring_coordinates,
    ring_jacobian,
)
from refimpl.frames import F64
from refimpl.testing.strategies import random_geometry

seeds = st.integers(0, 2**32 - 1)


def points(rng: np.random.Generator, geometry: F64, n: int = 12):
    """(fast, slow, panel) over the image and a little beyond, no nearer than 5 px to the beam."""
    angle, reach = rng.uniform(-np.pi, np.pi, n), rng.uniform(5.0, 1000.0, n)
    fast = geometry[1] + reach * np.cos(angle)
    slow = geometry[2] + reach * np.sin(angle)
    return fast, slow, rng.integers(-1, 3, n).astype(np.int32)


@given(seeds)
def test_position_inverts_ring_coordinates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry, corrections = random_geometry(rng)
    fast, slow, panel = points(rng, geometry)
    radius, eta, _ = ring_coordinates(fast, slow, panel, geometry, corrections)
    back = pixel_position(radius, eta, panel, geometry, corrections)
    # 1000 px and its sums carry 1e-13; the Newton iteration ends at 1e-14 relative
    np.testing.assert_allclose(back, (fast, slow), rtol=0, atol=1e-9)


@given(seeds)
def test_ring_coordinates_inverts_position(seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry, corrections = random_geometry(rng)
    radius, eta = rng.uniform(1.0, 150.0, 12), rng.uniform(-np.pi, np.pi, 12)
    panel = rng.integers(-1, 3, 12).astype(np.int32)
    fast, slow = pixel_position(radius, eta, panel, geometry, corrections)
    again, angle, _ = ring_coordinates(fast, slow, panel, geometry, corrections)
    np.testing.assert_allclose(again, radius, rtol=0, atol=1e-10)
    turn = np.remainder(angle - eta + np.pi, 2.0 * np.pi) - np.pi
    # a position is known to 1e-13 px; 1 mm from the beam that is 1e-13 of eta
    np.testing.assert_allclose(turn, 0.0, atol=1e-11)


def moved(field: str, geometry: F64, corrections: F64, step: float) -> tuple[F64, F64]:
    g, c = geometry.copy(), corrections.copy()
    if field in GEOMETRY_FIELDS:
        g[GEOMETRY_FIELDS.index(field)] += step
    else:
        c[:, CORRECTION_FIELDS.index(field)] += step
    return g, c


SIXTH_ORDER = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
"""Weights of the central difference whose error is of sixth order in the step."""

STEPS = {
    "lsd_mm": 1e-1, "d_lsd_mm": 1e-1, "parallax_mm": 1e-1, "d_theta_rad": 3e-5,
    "pixel_fast_mm": 1e-5, "pixel_slow_mm": 1e-5, "tilt_fast_rad": 1e-4, "tilt_slow_rad": 1e-4,
    "tx_rad": 1e-4, "ty_rad": 1e-4, "tz_rad": 1e-4,
} | {name: 3e-2 for name in JACOBIAN_FIELDS if name.endswith("_px")}  # fmt: skip
"""No step moves a point, however far its panel's centre is, by more than a tenth of a pixel or so:
the nearest points are 5 px from the beam, where the radius is not smooth."""


@settings(max_examples=25)
@given(seeds)
def test_every_column_of_the_jacobian_is_the_sixth_order_difference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry, corrections = random_geometry(rng)
    fast, slow, panel = points(rng, geometry)
    panel = np.abs(panel)  # all on panels: panel -1 has a test of its own
    radius, eta, jacobian = ring_jacobian(fast, slow, panel, geometry, corrections)
    here = ring_coordinates(fast, slow, panel, geometry, corrections)
    np.testing.assert_array_max_ulp(radius, here[0], 4)
    np.testing.assert_array_max_ulp(eta, here[1], 4)
    assert jacobian.shape == (len(fast), 31) == (len(fast), len(JACOBIAN_FIELDS))
    for column, field in enumerate(JACOBIAN_FIELDS):
        difference = np.zeros(len(fast))
        step = STEPS.get(field, 1e-3)
        for k, weight in SIXTH_ORDER.items():
            g, c = moved(field, geometry, corrections, k * step)
            difference += weight / step * ring_coordinates(fast, slow, panel, g, c)[0]
        # rounding of the radius over the step; 1e-8 is what the issue of panels asks for
        atol = 8e-14 * np.max(radius) / step + 1e-8 * np.max(np.abs(jacobian[:, column]))
        np.testing.assert_allclose(
            jacobian[:, column], difference, rtol=1e-8, atol=atol, err_msg=field
        )
        assert np.any(jacobian[:, column] != 0.0), field


@given(seeds)
def test_a_point_without_panel_has_no_panel_derivatives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry, corrections = random_geometry(rng)
    fast, slow, panel = points(rng, geometry)
    panel[:] = -1
    jacobian = ring_jacobian(fast, slow, panel, geometry, corrections)[2]
    own = [JACOBIAN_FIELDS.index(n) for n in ("d_fast_px", "d_slow_px", "d_theta_rad")]
    assert np.all(jacobian[:, own] == 0.0)
    assert np.all(jacobian[:, JACOBIAN_FIELDS.index("d_lsd_mm")] != 0.0)


@given(seeds)
def test_tx_turns_the_picture_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry, corrections = random_geometry(rng)
    geometry[13:] = 0.0  # harmonics are tied to the lab's azimuth: they would not turn along
    fast, slow, panel = points(rng, geometry)
    turned = geometry.copy()
    turned[3] += (by := rng.uniform(-0.5, 0.5))
    radius, eta, untilted = ring_coordinates(fast, slow, panel, geometry, corrections)
    radius2, eta2, untilted2 = ring_coordinates(fast, slow, panel, turned, corrections)
    np.testing.assert_allclose(radius2, radius, rtol=1e-13)
    change = np.remainder(eta2 - eta + np.pi, 2.0 * np.pi) - np.pi
    # T turns y (left) towards z (up): counter to eta, which runs from up to the right
    np.testing.assert_allclose(change, by, atol=1e-13)
    np.testing.assert_array_equal(untilted2, untilted)


@given(seeds, st.floats(0.1, 10.0))
def test_scaling_every_length_scales_radii_and_no_angle(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    geometry, corrections = random_geometry(rng)
    fast, slow, panel = points(rng, geometry)
    bigger, moves = geometry.copy(), corrections.copy()
    bigger[[0, 6, 7, 8, 9]] *= scale
    moves[:, 5] *= scale
    radius, eta, _ = ring_coordinates(fast, slow, panel, geometry, corrections)
    radius2, eta2, _ = ring_coordinates(fast, slow, panel, bigger, moves)
    np.testing.assert_allclose(radius2, scale * radius, rtol=1e-12)
    np.testing.assert_allclose(eta2, eta, rtol=0, atol=1e-13)


@given(seeds)
def test_moving_beam_and_points_together_changes_nothing(seed: int) -> None:
    rng = np.random.default_rng(seed)
    geometry, corrections = random_geometry(rng)
    fast, slow, panel = points(rng, geometry)
    shift = rng.uniform(-300.0, 300.0, 2)
    elsewhere, moves = geometry.copy(), corrections.copy()
    elsewhere[1:3] += shift
    moves[:, :2] += shift
    radius, eta, _ = ring_coordinates(fast, slow, panel, geometry, corrections)
    again = ring_coordinates(fast + shift[0], slow + shift[1], panel, elsewhere, moves)
    np.testing.assert_allclose(again[0], radius, rtol=0, atol=1e-10)
    np.testing.assert_allclose(again[1], eta, rtol=0, atol=1e-12)  # 5 px from the beam: 1e-13


@given(st.lists(st.floats(-1.0, 1.0), min_size=15, max_size=15), st.integers(0, 2**32 - 1))
def test_published_numbers_survive_the_pairs(values: list[float], seed: int) -> None:
    """Signs of amplitudes and branches of phases come back, when told where they were."""
    phases = (3, 6, 8, 10, 12, 14)
    p = [v * 400.0 if i in phases else (v if abs(v) > 1e-6 else 0.0) for i, v in enumerate(values)]
    back = published_from_pairs(pairs_from_published(tuple(p)), tuple(p))
    np.testing.assert_allclose(back, p, rtol=1e-9, atol=1e-9)
    # told otherwise it is the same distortion, with every phase within a right angle of the hint
    hint = np.random.default_rng(seed).uniform(-300.0, 300.0, 15)
    other = published_from_pairs(pairs_from_published(tuple(p)), tuple(hint))
    np.testing.assert_allclose(pairs_from_published(other), pairs_from_published(tuple(p)),
                               rtol=0, atol=1e-13)  # fmt: skip
    assert all(abs(other[i] - hint[i]) <= 90.0 + 1e-9 for i in phases)
