"""The tilted flat model at points that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.distortion import pairs_from_published
from refimpl.detector.tilted_flat import (
    HARMONIC_POWERS,
    JACOBIAN_FIELDS,
    pixel_position,
    ring_coordinates,
    ring_jacobian,
)
from refimpl.dispatch import available_backends
from refimpl.units import DEG

FREE = np.array([-1], dtype=np.int32)
NONE = np.zeros((0, 9))


@pytest.fixture(params=available_backends())
def backend(request):
    return request.param


def geometry(**changes: float):
    values = dict(lsd=100.0, bf=50.0, bs=60.0, tx=0.0, ty=0.0, tz=0.0, pf=0.1, ps=0.2, rho_d=10.0,
                  parallax=0.0) | changes  # fmt: skip
    return np.array([*values.values(), *np.zeros(15)])


def at(fast: float, slow: float, g, panel=FREE, corrections=NONE, **kwargs):
    out = ring_coordinates(np.array([fast]), np.array([slow]), panel, g, corrections, **kwargs)
    return tuple(float(v[0]) for v in out)


@pytest.mark.parametrize(
    ("fast", "slow", "radius", "eta_deg"),
    [
        (50.0, 70.0, 2.0, 0.0),  # up: 10 px of 0.2 mm
        (60.0, 60.0, 1.0, 90.0),  # right, seen along the beam
        (50.0, 50.0, 2.0, 180.0),  # down
        (40.0, 60.0, 1.0, -90.0),  # left
        (80.0, 80.0, 5.0, np.degrees(np.arctan2(3.0, 4.0))),  # 3-4-5
        (50.0, 60.0, 0.0, 0.0),  # the beam itself
    ],
)
def test_untilted_plane(fast, slow, radius, eta_deg, backend) -> None:
    got = at(fast, slow, geometry(), backend=backend)
    assert got[0] == pytest.approx(radius, rel=1e-14, abs=0)  # a handful of roundings
    # straight down is the seam: +180 and -180 degrees are the same azimuth
    for angle in got[1:]:
        seam = abs(angle) if eta_deg == 180.0 else angle
        assert seam == pytest.approx(eta_deg * DEG, rel=1e-14, abs=0)


def test_the_centre_of_the_first_pixel_is_at_one_half(backend) -> None:
    """Beam through the outer corner: the first centre is half a pixel right, half a pixel up."""
    g = geometry(bf=0.0, bs=0.0, pf=0.172, ps=0.172, lsd=739.78)
    radius, eta, _ = at(0.5, 0.5, g, backend=backend)
    assert radius == pytest.approx(0.086 * np.sqrt(2.0), rel=1e-15)
    assert radius == pytest.approx(0.12162236636408618, rel=1e-15)  # 0.086 sqrt 2, by bc(1)
    assert eta == pytest.approx(45.0 * DEG, rel=1e-15)


def test_tilt_tz_brings_the_left_half_away_from_the_beam(backend) -> None:
    """A point y to the left goes to (-y sin tz, y cos tz): worked out on paper, Rz alone."""
    tz, y = 5.0 * DEG, 4.0  # 40 px left of the beam
    radius, eta, untilted = at(10.0, 60.0, geometry(tz=tz), backend=backend)
    depth = 100.0 - y * np.sin(tz)
    assert radius == pytest.approx(100.0 / depth * y * np.cos(tz), rel=1e-14)
    assert eta == untilted == pytest.approx(-np.pi / 2)


def test_tilt_ty_brings_the_top_downstream(backend) -> None:
    ty, z = 5.0 * DEG, 4.0
    radius, eta, _ = at(50.0, 80.0, geometry(ty=ty), backend=backend)
    depth = 100.0 + z * np.sin(ty)
    assert radius == pytest.approx(100.0 / depth * z * np.cos(ty), rel=1e-14)
    assert eta == 0.0


@pytest.mark.parametrize(
    ("name", "power", "fold"),
    [("p2", 2, 0), ("p5", 4, 0), ("p4", 6, 0), ("p7", 4, 1), ("p0", 2, 2), ("p9", 3, 3),
     ("p1", 4, 4), ("p11", 5, 5), ("p13", 6, 6)],
)  # fmt: skip
def test_each_distortion_term_as_published(name, power, fold, backend) -> None:
    """R_c = R (1 + a rho^n cos(k (90 deg - eta) + phase)), the manual's form term by term."""
    phase_of = {1: 8, 2: 6, 3: 10, 4: 3, 5: 12, 6: 14}
    p = [0.0] * 15
    p[int(name[1:])] = 3e-3
    phase_deg = 25.0 if fold else 0.0
    if fold:
        p[phase_of[fold]] = phase_deg
    g = geometry()
    g[10:] = pairs_from_published(tuple(p))
    fast, slow = 73.0, 49.0
    x, y = 23.0 * 0.1, -11.0 * 0.2
    plain = np.hypot(x, y)
    eta = np.arctan2(x, y)
    e = np.pi / 2 - eta
    factor = np.cos(fold * e + phase_deg * DEG) if fold else 1.0
    expected = plain * (1.0 + 3e-3 * (plain / 10.0) ** power * factor)
    assert at(fast, slow, g, backend=backend)[0] == pytest.approx(expected, rel=1e-14)
    if fold:
        assert HARMONIC_POWERS[fold - 1] == power


def test_parallax_adds_its_length_times_the_sine(backend) -> None:
    plain = at(90.0, 60.0, geometry(), backend=backend)[0]
    moved = at(90.0, 60.0, geometry(parallax=0.3), backend=backend)[0]
    assert moved - plain == pytest.approx(0.3 * np.sin(np.arctan(4.0 / 100.0)), rel=1e-12)


def test_panel_corrections_act_about_the_panels_centre(backend) -> None:
    """Turn by 90 degrees about (30, 40), then shift by (2, -1); then 3 mm farther, with its p2."""
    here = np.array([0], dtype=np.int32)
    corrections = np.array([[30.0, 40.0, 2.0, -1.0, np.pi / 2, 3.0, 1e-3, 0.0, 0.0]])
    got = at(34.0, 40.0, geometry(), here, corrections, backend=backend)
    # (4, 0) from the centre turns to (0, 4): (30 + 2, 44 - 1) = (32, 43)
    x, y = -18.0 * 0.1, -17.0 * 0.2
    plain = np.hypot(x, y)
    assert got[1] == pytest.approx(np.arctan2(x, y), rel=1e-13)
    expected = plain * (1.0 + 1e-3 * (plain / 10.0) ** 2) * 100.0 / 103.0
    assert got[0] == pytest.approx(expected, rel=1e-13)


def test_a_panels_tilts_turn_it_about_its_own_centre(backend) -> None:
    """Once about its slow axis, once about its fast one: worked out on paper; the centre stays."""
    here, a = np.array([0], dtype=np.int32), 0.1
    tilted = np.array([[30.0, 40.0, 2.0, -1.0, 0.0, 3.0, 0.0, 0.0, a]])
    centre = at(30.0, 40.0, geometry(), here, tilted, backend=backend)
    plain = tilted * np.array([1.0] * 7 + [0.0] * 2)
    assert centre == at(30.0, 40.0, geometry(), here, plain, backend=backend)
    got = at(34.0, 40.0, geometry(), here, tilted, backend=backend)
    # 0.4 mm to the right: -0.4 along +Y goes to (0.4 sin a, -0.4 cos a)
    x, y = -18.0 * 0.1 + 0.4 * np.cos(a), -11.0 * 0.2 - 10.0 * 0.2
    depth = 103.0 + 0.4 * np.sin(a)
    assert got[0] == pytest.approx(100.0 / depth * np.hypot(x, y), rel=1e-13)
    assert got[1] == pytest.approx(np.arctan2(x, y), rel=1e-13)
    tilted = np.array([[30.0, 40.0, 2.0, -1.0, 0.0, 3.0, 0.0, a, 0.0]])
    got = at(30.0, 46.0, geometry(), here, tilted, backend=backend)
    # 1.2 mm up: along +Z goes to (1.2 sin a, 0, 1.2 cos a)
    x, y = -18.0 * 0.1, -21.0 * 0.2 + 1.2 * np.cos(a)
    depth = 103.0 + 1.2 * np.sin(a)
    assert got[0] == pytest.approx(100.0 / depth * np.hypot(x, y), rel=1e-13)


def test_a_panel_without_a_row_is_refused(backend) -> None:
    with pytest.raises(IndexError, match="panel index 3: there are corrections of 1 panels"):
        ring_coordinates(
            np.ones(2), np.ones(2), np.array([0, 3], dtype=np.int32), geometry(), np.zeros((1, 9)),
            backend=backend,
        )  # fmt: skip


def test_behind_the_sample_is_nan(backend) -> None:
    """Tilted by 80 degrees, a far point to the left lies upstream of the sample."""
    g = geometry(tz=80.0 * DEG)
    fast = np.array([50.0 - 2000.0, 50.0 - 500.0])  # 200 mm and 50 mm left; L / sin = 101.5 mm
    slow, panel = np.full(2, 61.0), np.full(2, -1, dtype=np.int32)
    radius, _, _ = ring_coordinates(fast, slow, panel, g, NONE, backend=backend)
    assert np.isnan(radius[0])
    assert radius[1] > 0.0
    radius, _, jacobian = ring_jacobian(fast, slow, panel, g, NONE, backend=backend)
    assert np.isnan(radius[0])
    assert np.all(np.isfinite(jacobian[1]))
    assert np.isnan(jacobian[0, JACOBIAN_FIELDS.index("lsd_mm")])


def test_a_ray_that_misses_the_plane_is_nan(backend) -> None:
    """The plane tilted by 80 degrees never comes to a ray at 85 degrees on its far side."""
    g = geometry(tz=80.0 * DEG)
    radius = np.full(2, 100.0 * np.tan(30.0 * DEG))
    eta = np.array([-90.0, 90.0]) * DEG
    panel = np.full(2, -1, dtype=np.int32)
    fast, slow = pixel_position(radius, eta, panel, g, NONE, backend=backend)
    # the left side comes towards the sample, the right one leaves at 80 degrees: never met
    assert np.isfinite(fast[0])
    assert np.isfinite(slow[0])
    assert np.isnan(fast[1])
    assert np.isnan(slow[1])


def test_a_distortion_without_inverse_is_nan(backend) -> None:
    g = geometry()
    g[10] = -1.0  # R (1 - rho^2) never exceeds 3.85 mm
    panel = np.full(2, -1, dtype=np.int32)
    fast, _ = pixel_position(np.array([3.0, 5.0]), np.zeros(2), panel, g, NONE, backend=backend)
    assert np.isfinite(fast[0])
    assert np.isnan(fast[1])
