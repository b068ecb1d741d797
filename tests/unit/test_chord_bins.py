import math
import re

import numpy as np
import pytest
from scipy.optimize import curve_fit

from refimpl.detector.tilted_flat import pixel_position
from refimpl.errors import ConfigError
from refimpl.imaging.chord_bins import bin_lineouts, chord_bias, lineouts
from refimpl.imaging.published_bins import collect_pixels, eta_bin_count, ring_windows
from refimpl.units import DEG

PX = 0.172


def _geometry(beam=(180.3, 190.8), lsd_mm=200.0, rho_d_mm=30.0):
    g = np.zeros(25)
    g[:10] = [lsd_mm, *beam, 0.0, 0.0, 0.0, PX, PX, rho_d_mm, 0.0]
    return g


def _ring_image(shape, beam, radius_px, sigma_px=2.0, fine=5):
    """Mean over each pixel of a Gaussian ring, by sub-pixels."""
    sub = (np.arange(fine) + 0.5) / fine
    slow = (np.arange(shape[0])[:, None] + sub).ravel() - beam[1]
    fast = (np.arange(shape[1])[:, None] + sub).ravel() - beam[0]
    r = np.hypot(slow[:, None], fast)
    ring = np.exp(-0.5 * ((r - radius_px) / sigma_px) ** 2)
    return 5.0 + 1000.0 * ring.reshape(shape[0], fine, shape[1], fine).mean(axis=(1, 3))


def _centres(image, geometry, radius_px, eta_bin_deg, arcs):
    """Centre of a Gaussian fitted to each lineout [px]."""
    two_theta = np.array([math.atan(radius_px * PX / geometry[0])])
    windows = ring_windows(np.array([1]), two_theta, geometry[0], 30.0, 4 * PX, PX)
    pixels = collect_pixels(image.shape, geometry, windows, eta_bin_deg)
    profile = lineouts(image, pixels, windows, geometry, arcs=arcs)
    assert len(profile) == pixels.n_eta == eta_bin_count(eta_bin_deg)
    step = (windows.high_mm[0] - windows.low_mm[0]) / windows.steps[0]
    r = (windows.low_mm[0] + (np.arange(windows.steps[0]) + 0.5) * step) / PX

    def gauss(x, centre, sigma, height, base):
        return base + height * np.exp(-0.5 * ((x - centre) / sigma) ** 2)

    start = [radius_px, 2.0, 1000.0, 5.0]
    return np.array([curve_fit(gauss, r, y, start, xtol=1e-12)[0][0] for y in profile])


def test_chords_have_the_published_bias_and_arcs_have_none():
    geometry, radius = _geometry(), 150.0
    image = _ring_image((380, 364), geometry[1:3], radius)
    arcs = {}
    for size in (2.0, 5.0, 8.0, 10.0):
        chords = _centres(image, geometry, radius, size, arcs=False).mean()
        arcs[size] = _centres(image, geometry, radius, size, arcs=True).mean()
        # 2 %: a chord stretches a broad peak too; 6 ppm: the width of a pixel
        assert chords / radius - 1.0 == pytest.approx(chord_bias(size) - 1.0, rel=0.02, abs=6e-6)
        assert abs(arcs[size] / radius - 1.0) < 5e-6  # 1 / (12 R^2) is 3.7 ppm here
    assert np.ptp(list(arcs.values())) / radius < 1e-6  # the bar is 2 ppm between bin sizes


def test_chord_bias_of_the_published_table():
    # ppm, printed with one digit
    for size, ppm in [(0.5, 6.3), (1, 25.4), (2, 101.6), (3, 228.5), (5, 635.1), (8, 1627.8)]:
        assert (chord_bias(size) - 1.0) * 1e6 == pytest.approx(ppm, abs=0.05)


def test_areas_of_one_pixel_by_hand():
    # a pixel astride the cells 9.0..9.5..10.0..10.5 of a bin about eta = 0; uniform in y
    h = 10 * DEG
    rays = [[math.sin(-h), math.cos(h), math.sin(h), math.cos(h)]]
    ones = np.array([1.0])
    args = (np.array([0, 2]), rays, ones * 9.0, ones * 0.5, np.array([3]), 3)
    # chords lie at R cos h: a pixel from 9.25 cos h up covers half of the first cell
    c = math.cos(h)
    y = np.array([9.25 * c + 0.5, 9.25 * c + 0.5 + 1.0])
    profile = bin_lineouts(np.zeros(2), y, np.array([4.0, 8.0]), *args, False, False)
    # the first pixel ends at 9.25 c + 1, that is 0.25 c + 1 - 0.75 c into the third cell
    share = (1.0 - 0.75 * c) / (0.5 * c)
    np.testing.assert_allclose(profile, [[4.0, 4.0, 4.0 * share + 8.0 * (1 - share)]], rtol=1e-12)


@pytest.mark.parametrize("backend", ["python", "auto"])
def test_a_pixel_on_an_axis_gets_the_published_area(backend):
    # eta from 0 to 10 degrees; a pixel of 10..11 whose left half is cut off by the axis, with 8
    # counts, and one at its right with 2; cells of half a pixel
    h = 5 * DEG
    rays = np.array([[0.0, 1.0, math.sin(2 * h), math.cos(2 * h)]])
    x, y = np.array([0.0, 1.0]), np.array([10.5, 10.5])
    grid = (np.array([0, 2]), rays, np.array([10.0]), np.array([0.5]), np.array([4]), 4)
    args = (x, y, np.array([8.0, 2.0]), *grid, False)
    true = bin_lineouts(*args, False, backend=backend)
    quirk = bin_lineouts(*args, True, backend=backend)
    # the axis pixel counts for its whole cut of the axis: more than its part of each cell
    assert (quirk[0, :3] > true[0, :3] + 0.1).all()
    assert (quirk <= 8.0).all()
    away = (x + 3.0, y, *args[2:])  # where no axis cuts, nothing changes
    np.testing.assert_array_equal(
        bin_lineouts(*away, True, backend=backend), bin_lineouts(*away, False, backend=backend)
    )


def test_a_cell_without_pixels_is_zero():
    profile = bin_lineouts(
        np.array([0.0, np.nan]), np.array([9.0, 9.0]), np.ones(2), np.array([0, 2]),
        np.array([[-0.1, 0.995, 0.1, 0.995]]), np.array([5.0]), np.array([1.0]), np.array([6]), 6,
        True, False,
    )  # fmt: skip
    assert profile[0, :3].tolist() == [0.0, 0.0, 0.0]
    assert profile[0, 4] == 1.0


def test_windows_of_the_published_run():
    # 2Theta Tolerance 0.115410 printed for RhoD 200500, Width 800, Lsd 740000 (um)
    two_theta = np.array([3.707798, 14.870304]) * DEG
    found = ring_windows(np.array([1, 17]), two_theta, 740.0, 200.5, 0.8, PX)
    span = np.arctan(found.high_mm / 740.0) - np.arctan(found.low_mm / 740.0)
    np.testing.assert_allclose(span / DEG, 2 * 0.115410, atol=2e-6)  # printed with six digits
    assert found.steps.tolist() == [68, 72]
    assert found.ideal_mm[0] == pytest.approx(47.954789404, abs=1e-6)  # Radius of hkls.csv, mm


def test_pixels_go_to_the_first_ring_and_to_one_bin_only():
    geometry = _geometry()
    two_theta = np.arctan(np.array([80.0, 86.0]) * PX / 200.0)  # windows overlap
    windows = ring_windows(np.array([3, 4]), two_theta, 200.0, 30.0, 3 * PX, PX)
    pixels = collect_pixels((380, 364), geometry, windows, 7.0)
    assert len(np.unique(pixels.pixel)) == len(pixels.pixel)
    slow, fast = pixels.pixel // 364 + 0.5, pixels.pixel % 364 + 0.5
    radius = np.hypot(slow - geometry[2], fast - geometry[1]) * PX
    ring = np.repeat(pixels.window, np.diff(pixels.offset))
    both = (radius > windows.low_mm[1]) & (radius < windows.high_mm[0])
    assert both.any()
    assert (ring[both] == 0).all()
    eta = np.arctan2(fast - geometry[1], slow - geometry[2])
    centre = pixels.eta_rad[np.repeat(np.arange(len(pixels.window)), np.diff(pixels.offset))]
    apart = np.abs(np.angle(np.exp(1j * (eta - centre))))
    # pixels are sorted into bins of 7 degrees, whose wedges are 360/52: the published mismatch
    assert 3.5 * DEG < apart.max() < 8.0 * DEG


def test_masked_bins_and_bins_at_the_edge_are_dropped():
    geometry = _geometry(beam=(100.0, 150.0))
    two_theta = np.arctan(np.array([96.0]) * PX / 200.0)
    windows = ring_windows(np.array([1]), two_theta, 200.0, 30.0, 2 * PX, PX)
    shape = (300, 300)
    whole = collect_pixels(shape, geometry, windows, 10.0)
    left = np.degrees(whole.eta_rad) + 90.0
    # R_max is 100 px: corners at -80, -90 and -100 degrees are at columns below 3
    assert len(whole.window) == 32
    assert np.abs(left).min() == pytest.approx(25.0)
    mask = np.zeros(shape, bool)
    slow, fast = pixel_position([96 * PX], [45 * DEG], [-1], geometry, np.zeros((0, 9)))
    mask[int(fast[0]), int(slow[0])] = True
    some = collect_pixels(shape, geometry, windows, 10.0, mask)
    gone = set(whole.eta_bin) - set(some.eta_bin)
    assert len(gone) == 1
    assert np.degrees((gone.pop() + 0.5) * 10.0 * DEG) - 180 == pytest.approx(45.0)


def test_a_wider_frame_lets_bins_hang_over_the_edge():
    geometry = _geometry(beam=(250.0, 150.0))
    two_theta = np.arctan(np.array([90.0]) * PX / 200.0)
    windows = ring_windows(np.array([1]), two_theta, 200.0, 30.0, 2 * PX, PX)
    narrow = collect_pixels((300, 300), geometry, windows, 10.0)
    wide = collect_pixels((300, 300), geometry, windows, 10.0, frame_shape=(400, 400))
    assert set(zip(narrow.window, narrow.eta_bin, strict=True)) < set(
        zip(wide.window, wide.eta_bin, strict=True)
    )


def test_nothing_to_bin():
    windows = ring_windows(np.array([], int), np.array([]), 200.0, 30.0, 1.0, PX)
    pixels = collect_pixels((20, 20), _geometry((10.0, 10.0)), windows, 5.0)
    assert len(pixels.window) == len(pixels.pixel) == 0
    profile = lineouts(np.ones((20, 20)), pixels, windows, _geometry((10.0, 10.0)))
    assert profile.shape == (0, 0)


@pytest.mark.parametrize("size", [0.0, -1.0, 90.0, math.nan])
def test_a_bin_size_out_of_range_is_refused(size):
    message = f"EtaBinSize = {size:g} degrees: expected more than 0 and less than 90"
    with pytest.raises(ConfigError, match=re.escape(message)):
        eta_bin_count(size)
