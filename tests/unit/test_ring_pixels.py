"""Pixels of the rings by bin: against brute force, and the pixel's area against sub-pixels."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.tilted_flat import ring_coordinates
from refimpl.dispatch import available_backends
from refimpl.imaging.ring_pixels import RingPixels, ring_pixels
from refimpl.rotations import midas_tilt
from refimpl.units import DEG

SHAPE = (60, 70)
WINDOWS = np.array([[2.0, 3.0], [3.5, 4.25], [5.0, 7.0]])
N_ETA, N_PANELS = 11, 2
NO_POLARISATION = 2.0


@pytest.fixture(params=available_backends())
def backend(request):
    return request.param


def geometry(tilts=(0.1, 0.05, -0.04), pixel=(0.15, 0.2), lsd=60.0):
    head = [lsd, 33.3, 28.7, *tilts, *pixel, 9.0, 0.1]
    return np.array([*head, 1e-3, 0.0, 0.0, 0.0, 0.0, 5e-4, -3e-4, *np.zeros(8)])


CORRECTIONS = np.array(
    [
        [17.0, 30.0, 0.2, -0.3, 0.01, 0.1, 1e-4, 0.02, -0.01],
        [53.0, 30.0, -0.4, 0.1, -0.02, -0.2, 0.0, 0.0, 0.03],
    ]
)


def scene():
    rng = np.random.default_rng(5)
    usable = (rng.random(SHAPE) < 0.9).astype(np.uint8)
    panel_map = np.zeros(SHAPE, dtype=np.int16)
    panel_map[:, 37:] = 1
    panel_map[:, 34:37] = -1
    return usable, panel_map


def run(backend, usable, panel_map, g, corrections, polarisation=NO_POLARISATION):
    return RingPixels(
        *ring_pixels(
            usable, panel_map, g, corrections, WINDOWS, N_ETA, N_PANELS, polarisation,
            backend=backend,
        )
    )  # fmt: skip


@pytest.mark.parametrize("corrections", [CORRECTIONS, CORRECTIONS[:0]])
def test_windows_bins_and_angles_by_brute_force(backend, corrections) -> None:
    """Pixel by pixel with plain loops: which window, which bin, which panel, which angle."""
    usable, panel_map = scene()
    g = geometry()
    wanted: dict[int, list[tuple[int, float, float]]] = {}
    for slow in range(SHAPE[0]):
        for fast in range(SHAPE[1]):
            panel = int(panel_map[slow, fast])
            if not usable[slow, fast] or panel < 0:
                continue
            own = np.array([panel if len(corrections) else -1], dtype=np.int32)
            at = np.array([fast + 0.5]), np.array([slow + 0.5])
            radius, eta, _ = (v[0] for v in ring_coordinates(*at, own, g, corrections))
            around = (g[6] * np.cos(eta)) ** 2 + (g[7] * np.sin(eta)) ** 2
            along = (g[6] * np.sin(eta)) ** 2 + (g[7] * np.cos(eta)) ** 2
            radius += around / (24.0 * radius) - along * radius / (3.0 * (g[0] ** 2 + radius**2))
            for group, (low, high) in enumerate(WINDOWS):
                if low <= radius < high:
                    turn = (eta / DEG + 180.0) / 360.0
                    eta_bin = min(int(turn * N_ETA), N_ETA - 1)
                    key = (group * N_ETA + eta_bin) * N_PANELS + panel
                    pixel = slow * SHAPE[1] + fast
                    wanted.setdefault(key, []).append((pixel, np.arctan(radius / g[0]), eta))
    got = run(backend, usable, panel_map, g, corrections)
    assert got.bin_id.tolist() == sorted(wanted)
    assert len(wanted) > 30
    for b, key in enumerate(got.bin_id.tolist()):
        mine = slice(got.offsets[b], got.offsets[b + 1])
        pixel, two_theta, eta = zip(*wanted[key], strict=True)
        assert got.pixel[mine].tolist() == list(pixel)
        np.testing.assert_allclose(got.two_theta_rad[mine], two_theta, rtol=1e-14)
        np.testing.assert_allclose(got.eta_rad[mine], eta, rtol=0, atol=1e-14)


def test_no_bin_mixes_panels_and_no_masked_pixel_comes_in(backend) -> None:
    usable, panel_map = scene()
    got = run(backend, usable, panel_map, geometry(), CORRECTIONS[:0])
    assert np.all(usable.reshape(-1)[got.pixel] == 1)
    panel = panel_map.reshape(-1)[got.pixel]
    of_bin = np.repeat(got.bin_id % N_PANELS, np.diff(got.offsets))
    np.testing.assert_array_equal(panel, of_bin)
    assert set(of_bin.tolist()) == {0, 1}
    assert len(np.unique(got.pixel)) == len(got.pixel)  # no pixel twice


@pytest.mark.parametrize("lsd", [60.0, 12.0])
@pytest.mark.parametrize("pixel", [(0.2, 0.2), (0.1, 0.3)])
def test_the_angle_is_that_of_the_whole_pixel(backend, pixel, lsd) -> None:
    """Against 40 x 40 sub-pixels, each with its solid angle, on a flat untilted detector.

    A pixel counts the sum of w f(t): to first order in f that is f at the mean of t, weighted by w
    over the w of the centre, which is what the fit's model multiplies with.
    """
    g = geometry((0.0, 0.0, 0.0), pixel, lsd)
    g[9:] = 0.0
    usable = np.ones(SHAPE, dtype=np.uint8)
    panel_map = np.zeros(SHAPE, dtype=np.int16)
    got = run(backend, usable, panel_map, g, CORRECTIONS[:0])
    step = (np.arange(40) + 0.5) / 40.0

    def angle_and_weight(d_fast, d_slow):
        slow, fast = np.divmod(got.pixel[:, None, None], SHAPE[1])
        r = np.hypot((fast + d_fast - g[1]) * g[6], (slow + d_slow - g[2]) * g[7])
        return np.arctan(r / lsd), (1.0 + (r / lsd) ** 2) ** -1.5

    centre, own = angle_and_weight(0.5, 0.5)
    angle, weight = angle_and_weight(step[:, None], step[None, :])
    shift = np.mean((angle - centre) * weight / own, axis=(1, 2))
    found = got.two_theta_rad - centre[:, 0, 0]
    # what is left is of fourth order, some (a / R)^2 = 2 % of the largest shift
    assert np.max(np.abs(found - shift)) < 0.02 * np.max(np.abs(shift))
    # there is something to correct, of both signs where the detector is close
    assert np.max(shift) > 1e-5
    assert (np.min(shift) < -1e-5) == (lsd < 20.0)


def test_response_is_solid_angle_times_polarisation(backend) -> None:
    """(L/d)^3 with d from the sample to the pixel; Thomson factor with eta from the vertical."""
    usable, panel_map = scene()
    g = geometry()
    plain = run(backend, usable, panel_map, g, CORRECTIONS[:0])
    slow, fast = np.divmod(plain.pixel, SHAPE[1])
    local = [np.zeros(len(fast)), -(fast + 0.5 - g[1]) * g[6], (slow + 0.5 - g[2]) * g[7]]
    place = midas_tilt(*g[3:6]) @ np.array(local)
    place[0] += g[0]
    distance = np.sqrt(np.sum(place**2, axis=0))
    np.testing.assert_allclose(plain.response, (g[0] / distance) ** 3, rtol=1e-13)
    dimmed = run(backend, usable, panel_map, g, CORRECTIONS[:0], polarisation=0.9)
    t, eta = plain.two_theta_rad, plain.eta_rad
    # along the field (horizontal, eta 90) an electron does not radiate: 0.95 cos^2 + 0.05
    along, across = 0.95, 0.05
    factor = along * (np.cos(t) ** 2 * np.sin(eta) ** 2 + np.cos(eta) ** 2) + across * (
        np.cos(t) ** 2 * np.cos(eta) ** 2 + np.sin(eta) ** 2
    )
    np.testing.assert_allclose(dimmed.response / plain.response, factor, rtol=1e-12)


def test_behind_the_sample_there_are_no_pixels(backend) -> None:
    g = geometry((0.0, 0.0, 1.5), lsd=2.0)
    usable, panel_map = np.ones(SHAPE, np.uint8), np.zeros(SHAPE, np.int16)
    got = run(backend, usable, panel_map, g, CORRECTIONS[:0])
    fast = got.pixel % SHAPE[1]
    depth = 2.0 - np.sin(1.5) * -(fast + 0.5 - g[1]) * g[6]
    assert len(depth)
    assert np.all(depth > 0.0)
    assert np.all(np.isfinite(got.two_theta_rad))


@pytest.mark.parametrize("masked", [True, False])
def test_without_a_pixel_there_is_no_bin(backend, masked) -> None:
    usable = np.zeros(SHAPE, np.uint8) if masked else np.ones(SHAPE, np.uint8)
    panel_map = np.zeros(SHAPE, np.int16) if masked else np.full(SHAPE, -1, np.int16)
    got = run(backend, usable, panel_map, geometry(), CORRECTIONS[:0])
    assert len(got.bin_id) == len(got.pixel) == 0
    assert got.offsets.tolist() == [0]
