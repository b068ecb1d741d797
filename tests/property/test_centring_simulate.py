"""What holds for any simulated scene: counts follow the crystal through zoom, turn and side."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from refimpl.centring.simulate import BACKGROUND, SIDES, View, scene
from refimpl.centring.simulate_crystal import STEP_UM, rc_field
from refimpl.centring.simulate_scans import helical_scan

SEED = st.integers(0, 10_000)
OMEGA = st.floats(0.0, 2.0 * math.pi)
ZOOM = st.floats(1.0, 7.0)
POINT = st.tuples(*[st.floats(-300.0, 300.0)] * 3)


@given(SEED, OMEGA, ZOOM, st.sampled_from(SIDES))
@settings(max_examples=15, deadline=None)
def test_there_are_no_counts_off_the_crystal(
    seed: int, omega: float, zoom: float, side: str
) -> None:
    seen = scene(seed, side=side)
    counts = seen.rc_map(zoom, omega)
    depth = seen.crystal_depth_um(zoom, omega)
    assert (counts >= BACKGROUND).all()
    # beyond twice the beam's width (4.7 sigma) of the outline's lines
    assert (counts[depth < -40.0] - BACKGROUND < 1e-3 * seen.crystals[0].quality).all()
    # in the middle of the crystal there are plenty
    if (depth > 10.0).any():
        assert counts[depth > 10.0].min() > 0.1 * seen.crystals[0].quality


@given(SEED, OMEGA, ZOOM, ZOOM)
@settings(max_examples=15, deadline=None)
def test_a_map_scales_with_the_zoom(seed: int, omega: float, zoom: float, other: float) -> None:
    """The same point of the sample has the same count, and the area grows with the square."""
    seen = scene(seed)
    at = tuple(seen.crystals[0].centre_um)
    point = seen.crystals[0].centre_um + np.array([7.0, -5.0, 3.0])
    here, there = (
        seen.rc_px(seen.view(z, omega, at).project(point), z, omega, at_um=at)
        for z in (zoom, other)
    )
    np.testing.assert_allclose(here, there, rtol=1e-9)
    sums = [
        (seen.rc_map(z, omega, at_um=at) - BACKGROUND).sum() / View(z, omega).scale ** 2
        for z in (1.0, 2.0)
    ]
    np.testing.assert_allclose(sums[0], sums[1], rtol=1e-3)  # sums over 2 and 1.3 um pixels


@given(SEED, OMEGA)
@settings(max_examples=25, deadline=None)
def test_the_width_shrinks_with_the_cosine(seed: int, omega: float) -> None:
    """Not less than a plate of no thickness would have, not more than the plate and its edge."""
    crystal = scene(seed).crystals[0]
    face, seen = (np.ptp(crystal.silhouette_um(w), axis=0) for w in (0.0, omega))
    c, s = abs(math.cos(omega)), abs(math.sin(omega))
    assert seen[0] <= face[0] * (1 + 1e-12)
    np.testing.assert_allclose(seen[0], face[0])
    assert face[1] * c - 1e-9 <= seen[1] <= face[1] * c + crystal.thickness_um * s + 1e-9


@given(SEED, OMEGA)
@settings(max_examples=15, deadline=None)
def test_turning_keeps_the_volume(seed: int, omega: float) -> None:
    crystal = scene(seed).crystals[0]
    flat, turned = (rc_field(crystal, w).above.sum() * STEP_UM**2 for w in (0.0, omega))
    np.testing.assert_allclose(turned, flat, rtol=1e-4)  # the beam's tail at the margin


@given(SEED, OMEGA, ZOOM, POINT, POINT, st.sampled_from(SIDES))
@settings(max_examples=50, deadline=None)
def test_places_go_there_and_back(
    seed: int, omega: float, zoom: float, at: tuple[float, float, float],
    point: tuple[float, float, float], side: str,
) -> None:  # fmt: skip
    view = View(zoom, omega, at, side)
    np.testing.assert_allclose(view.to_um(view.project(point)), view.across(point), atol=1e-9)
    # half a turn later everything is mirrored about the spindle
    other = View(zoom, omega + math.pi, at, side)
    np.testing.assert_allclose(other.across(point), view.across(point) * [1, -1], atol=1e-9)


@given(SEED)
@settings(max_examples=5, deadline=None)
def test_a_seed_is_a_scene(seed: int) -> None:
    one, two = scene(seed), scene(seed)
    assert (one.picture(1.5, 0.3) == two.picture(1.5, 0.3)).all()
    assert (one.rc_map(1.5, 0.3) == two.rc_map(1.5, 0.3)).all()
    assert (one.picture(1.5, 0.3) != scene(seed + 1).picture(1.5, 0.3)).any()


@given(SEED, st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_counts_are_of_poisson(seed: int, number: int) -> None:
    """Squared deviations in units of the expected ones: 1 on average, 5 sigma of it allowed."""
    scan = helical_scan(scene(seed), 400, seed=number)
    ratio = (scan.rc - scan.expected) ** 2 / scan.expected
    # the variance of the square of a Poisson deviate over its mean is 2 + 1 / mean
    allowed = 5.0 * math.sqrt(np.sum(2.0 + 1.0 / scan.expected)) / len(scan)
    assert abs(float(ratio.mean()) - 1.0) < allowed
    deviation = (scan.rc - scan.expected).sum() / math.sqrt(scan.expected.sum())
    assert abs(float(deviation)) < 5.0
