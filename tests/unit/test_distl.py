"""The distl count on made-up pixels: signal, rings, growth, shells, shapes, lists, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from refimpl.dispatch import available_backends, use_backend
from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.imaging.distl import (
    DistlSettings,
    FlatDetector,
    Modules,
    count_spots,
)
from refimpl.imaging.distl_filters import largest_cell, nearest, separated, shapes
from refimpl.imaging.distl_grow import grow_spots
from refimpl.imaging.distl_rings import ring_histogram
from refimpl.imaging.distl_shells import limit_by_bend, limit_by_shells, spot_rings
from refimpl.imaging.distl_signal import background_at, local_signal

DETECTOR = FlatDetector((300, 260), 0.2, 100.0, 1.0, (25.4, 31.2))
BACKENDS = available_backends()


def spread(seed: int = 1, level: float = 20.0) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.random.default_rng(seed).poisson(level, DETECTOR.shape).astype(np.int32)


def add_spot(image: np.ndarray[Any, Any], slow: int, fast: int, height: int = 300) -> None:
    s, f = np.ogrid[-3:4, -3:4]
    image[slow - 3 : slow + 4, fast - 3 : fast + 4] += (
        height * np.exp(-(s * s + f * f) / 1.2)
    ).astype(np.int32)


def boxes(size: int, length: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    first = np.arange(0, length - size + 1, size)
    return np.stack([first, first + size - 1], axis=1)


# --- local signal ---------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_plane_is_taken_off(backend: str) -> None:
    image = spread()
    s, f = np.ogrid[: image.shape[0], : image.shape[1]]
    tiles = [boxes(50, n) for _ in range(3) for n in image.shape]
    flat, planes, status = local_signal(image, *tiles, 2.5, -1, backend=backend)
    sloped, slopes, _ = local_signal(image + 3 * s + 2 * f, *tiles, 2.5, -1, backend=backend)
    every = np.arange(image.size)
    background = background_at(every, 260, tiles, planes).reshape(image.shape)
    higher = background_at(every, 260, tiles, slopes).reshape(image.shape)
    assert status == 0
    # single precision of numbers of a thousand counts over a scatter of four
    np.testing.assert_allclose(sloped, flat, atol=1e-4)
    covered = (slice(0, 300), slice(0, 250))
    np.testing.assert_allclose((higher - background)[covered], (3 * s + 2 * f)[covered], atol=1e-3)
    # the scatter is that of samples below 2.5 sigma, which is 0.95 of a Poisson's at this level
    assert 0.95 < float(flat[covered].std()) < 1.15
    assert not flat[:, 250:].any()  # outside all boxes
    assert not background[:, 250:].any()
    assert background[covered].mean() == pytest.approx(20.0, abs=0.2)  # counts


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_box_that_is_mostly_gap_grows_into_its_surroundings(backend: str) -> None:
    image = spread()
    image[100:150, 100:150] = -1
    image[100:150, 100:102] = 21
    tiles = [boxes(50, n) for _ in range(3) for n in image.shape]
    signal, planes, status = local_signal(image, *tiles, 2.5, -1, backend=backend)
    assert status == 0
    assert np.abs(signal[100:150, 100:102]).max() < 1.0
    background = background_at(np.array([120 * 260 + 120]), 260, tiles, planes)
    assert background[0] == pytest.approx(20.0, abs=0.5)  # counts


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_image_without_background_has_a_status(backend: str) -> None:
    image = np.full((60, 60), -1, dtype=np.int32)
    tiles = [boxes(30, 60) for _ in range(6)]
    signal, planes, status = local_signal(image, *tiles, 2.5, -1, backend=backend)
    assert status == 1
    assert not signal.any()
    assert np.isnan(planes).all()
    assert background_at(np.array([70]), 60, tiles, planes).tolist() == [0.0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_ring_histogram_counts_pixels(backend: str) -> None:
    signal = np.random.default_rng(2).normal(0.5, 1.0, (31, 47)).astype(np.float32)
    levels = np.array([0.0, 1.5])
    expected = np.zeros((6, 3), dtype=np.int64)
    for s in range(3, 28):
        for f in range(3, 44):
            ring = int(math.hypot(s - 20, f - 11) / 4)
            if ring < 6:
                expected[ring] += [1, signal[s, f] < 0.0, signal[s, f] < 1.5]
    assert ring_histogram(signal, 20, 11, 3, 4, 6, levels, backend=backend).tolist() == (
        expected.tolist()
    )


# --- growth ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_spots_grow_eight_ways_and_share_no_border(backend: str) -> None:
    image = np.zeros((12, 14), dtype=np.int32)
    high = [(4, 4), (4, 5), (5, 6), (6, 6), (7, 10), (8, 10), (8, 11)]  # a chain, and a corner
    for k, at in enumerate(high):
        image[at] = 10 + k
    body, offsets, border, border_offsets, maxima, peak = grow_spots(
        image, image.astype(np.float32), 1, -1, 1000, 5.0, 0, backend=backend
    )
    flat = [s * 14 + f for s, f in high]
    assert np.diff(offsets).tolist() == [3, 4]  # the last of the image first
    assert sorted(body[:3].tolist()) == flat[4:]
    assert sorted(body[3:].tolist()) == flat[:4]
    assert peak.tolist() == [flat[6], flat[3]]
    assert maxima.tolist() == [1, 1]
    assert border_offsets[-1] == len(border) == len(set(border.tolist()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_maxima_need_neighbours_and_stay_off_the_margin(backend: str) -> None:
    image = np.zeros((20, 20), dtype=np.int32)
    image[5, 5], image[10, 10:12], image[2, 8:11] = 50, 40, 30

    def count(neighbours: int, margin: int = 1, overload: int = 1000) -> int:
        signal = image.astype(np.float32)
        return len(grow_spots(image, signal, margin, -1, overload, 5.0, neighbours)[5])

    assert [count(n) for n in (-1, 0, 1)] == [3, 2, 1]
    assert count(-1, margin=2) == 2
    with use_backend(backend):
        assert count(3, overload=45) == 1  # an overload needs no neighbours


# --- shells ---------------------------------------------------------------------------------------


def test_flat_detector_turns_radius_and_spacing_into_each_other() -> None:
    assert DETECTOR.d_of(np.array(DETECTOR.radius_of(2.3))) == pytest.approx(2.3, rel=1e-14)
    assert DETECTOR.beam_px == (156, 127)
    radius2 = np.array(DETECTOR.radius2_px_of(2.3))
    assert DETECTOR.d_of_radius2_px(radius2) == pytest.approx(2.3, rel=1e-9)
    assert DETECTOR.d_of_radius2_px(np.array(0.0)) == 1e9


def test_coverage_is_the_part_of_the_circle_on_the_detector() -> None:
    angle = (np.arange(200_000) + 0.5) * (2.0 * math.pi / 200_000)
    spacing = np.array([9.0, 4.0, 3.5, 2.9, 2.7, 2.64, 2.5])
    for d, part in zip(spacing, DETECTOR.coverage(spacing), strict=True):
        radius = DETECTOR.radius_of(float(d))
        fast, slow = 25.4 + radius * np.cos(angle), 31.2 + radius * np.sin(angle)
        inside = (fast > 0) & (fast < 260 * 0.2) & (slow > 0) & (slow < 300 * 0.2)
        assert part == pytest.approx(inside.mean(), abs=5e-5)  # 200,000 points on 8 crossings
    assert DETECTOR.coverage(spacing)[0] == 1.0
    assert 0.0 < DETECTOR.coverage(spacing)[-2] < 0.1
    assert DETECTOR.coverage(spacing)[-1] == 0.0


WIDE = FlatDetector((4000, 4000), 0.1, 150.0, 1.0, (200.0, 200.0))


def powder(n: int, d_min: float, seed: int = 3) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Falling d spacings of spots that fill reciprocal space evenly down to a limit."""
    volume = np.random.default_rng(seed).uniform(30.0**-3.0, d_min**-3.0, n)
    return np.sort(volume)[::+1] ** (-1.0 / 3.0)


def test_a_ring_of_spots_is_found_and_even_spots_have_none() -> None:
    even = powder(1000, 1.8)
    assert spot_rings(even, 50, WIDE) == []
    ring = np.random.default_rng(4).uniform(2.245, 2.255, 120)
    rings = spot_rings(np.sort(np.append(even, ring))[::-1], 50, WIDE)
    assert any(low > 2.255 and high < 2.245 and low - high < 0.1 for low, high in rings)


def test_the_limit_is_where_the_shells_empty() -> None:
    spots = np.append(powder(1000, 2.0), np.linspace(1.99, 1.5, 20))
    assert limit_by_shells(spots, 50, WIDE, 20.0) == pytest.approx(2.0, rel=0.03)  # a shell
    far = np.append(powder(1000, 2.0), np.linspace(1.202, 1.2, 300))  # beyond a gap
    assert limit_by_shells(far, 50, WIDE, 20.0) == pytest.approx(2.0, rel=0.03)


def test_a_shell_that_ends_beyond_the_corner_holds_nothing() -> None:
    # as distl of cctbx 2025.11 on simulated stills; none of its real ones has such a shell
    spots = np.concatenate([np.linspace(9.0, 3.5, 25), np.linspace(3.4, 2.8, 20), [2.7]])
    limits = 3.5 / np.array([2.0, 3.0]) ** (1.0 / 3.0)
    assert DETECTOR.coverage(limits)[0] > 0.0 == DETECTOR.coverage(limits)[1]
    assert limit_by_shells(spots, 25, DETECTOR, 20.0) == pytest.approx(limits[0], rel=1e-12)


def test_the_bend_needs_more_than_ten_spots() -> None:
    assert limit_by_bend(np.arange(10, dtype=np.int64) * 40, DETECTOR, 20) == 10.0
    # even in reciprocal space down to 2 Angstrom, and a few beyond
    spacing = np.append(powder(1000, 2.0), np.linspace(1.99, 1.6, 60))
    radius = np.array([WIDE.radius_of(d) for d in spacing]) / 0.1
    angle = np.random.default_rng(5).uniform(0.0, 2.0 * math.pi, len(radius))
    slow = (2000 + radius * np.sin(angle)).astype(np.int64)
    fast = (2000 + radius * np.cos(angle)).astype(np.int64)
    assert limit_by_bend(slow * 4000 + fast, WIDE, 20) == pytest.approx(2.0, rel=0.03)  # a ring


# --- shapes and neighbours ------------------------------------------------------------------------


def test_the_shape_of_a_bar_by_hand() -> None:
    slow, fast = np.array([4, 4, 4, 4, 9, 10]), np.array([1, 2, 3, 4, 7, 7])
    weight = np.array([1.0, 1.0, 1.0, 1.0, 3.0, 1.0])
    shape = shapes(slow, fast, weight, np.array([0, 4, 6]))
    assert shape["slow"].tolist() == [4.0, 9.25]
    assert shape["fast"].tolist() == [2.5, 7.0]
    # sum w (f - 2.5)^2 = 5; across it nothing, for which 1 stands
    np.testing.assert_allclose(shape["a"], [math.sqrt(4 * 5 / 4), 1.0], rtol=1e-12)
    np.testing.assert_allclose(shape["b"], [1.0, 1.0], rtol=1e-12)
    assert shape["eccentricity"].tolist() == [1.0, 1.0]
    np.testing.assert_allclose(shape["major"], [3.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(np.abs(shape["axis_fast"]), [1.0, 0.0], atol=1e-12)


def test_nearest_is_another_point() -> None:
    points = np.array([[0, 0], [3, 4], [10, 10]])
    which, distance = nearest(points, points)
    assert which.tolist() == [1, 0, 1]
    np.testing.assert_allclose(distance, [5.0, 5.0, math.sqrt(85.0)])
    lone = nearest(points[:1], points[:1])
    assert lone[0].tolist() == [-1]
    assert lone[1].tolist() == [math.inf]


def test_close_spots_go_unless_their_distance_is_common() -> None:
    grid = np.array([[20 * i, 20 * j] for i in range(7) for j in range(7)])
    pair = np.array([[50, 53], [50, 56]])
    points = np.concatenate([grid, pair])
    n = len(points)
    shape = {
        "a": np.full(n, 1.4),
        "b": np.full(n, 1.4),
        "axis_slow": np.ones(n),
        "axis_fast": np.zeros(n),
        "major": np.full(n, 3.0),
    }
    chosen, distance = separated(points, np.arange(n), shape, 20.0)
    assert chosen.tolist() == list(range(49))
    near = {20.0, math.hypot(10, 4), math.hypot(10, 13)}  # px
    assert {round(d, 9) for d in distance.tolist()} == {round(d, 9) for d in near}
    twins = np.concatenate([grid, grid + np.array([0, 7])])
    shape = {key: np.resize(value, len(twins)) for key, value in shape.items()}
    shape["major"] = np.full(len(twins), 8.0)
    kept, _ = separated(twins, np.arange(len(twins)), shape, 20.0)
    # 7 px is the lattice; as in distl, it excuses only spots with the neighbour on the +7 side
    assert kept.tolist() == list(range(49))


def test_the_longest_cell_is_of_the_shortest_common_distance() -> None:
    distance = np.concatenate([np.full(80, 2.0), np.full(20, 4.0)])
    assert largest_cell(distance, 0.1, 20) == pytest.approx(2.0, abs=0.25)  # half a bin
    assert largest_cell(distance[:2], 0.1, 20) is None


# --- the whole ------------------------------------------------------------------------------------

QUIET = DistlSettings(scanbox_windows=(51, 41, 41))


@pytest.mark.parametrize("backend", BACKENDS)
def test_spots_are_counted_where_they_were_put(backend: str) -> None:
    image = spread()
    places = [(60 + 31 * i, 50 + 37 * j) for i in range(6) for j in range(5)]
    for k, (s, f) in enumerate(places):
        add_spot(image, s, f, 200 + 3 * k)
    with use_backend(backend):
        result = count_spots(image, DETECTOR, overload=100_000, settings=QUIET)
    found = [*zip(result.spots["max_pxl_slow"], result.spots["max_pxl_fast"], strict=True)]
    assert sorted(found) == places
    assert result.ice_rings == ()
    assert result.overloads == 0
    assert result.lists["unimodal"].tolist() == result.lists["in_resolution"].tolist()
    assert set(result.lists["good_bragg"]) <= set(result.lists["in_resolution"])
    away = np.hypot(
        result.spots["com_slow"] - result.spots["max_pxl_slow"],
        result.spots["com_fast"] - result.spots["max_pxl_fast"],
    )
    assert away.max() < 0.5  # px
    assert "Spot Total :     30\n" in result.listing("made.cbf")


def test_an_ice_ring_takes_the_spots_on_it() -> None:
    image = spread()
    s, f = np.ogrid[: image.shape[0], : image.shape[1]]
    radius = np.hypot(s - 156.0, f - 127.0)
    image[(radius >= 80) & (radius < 84)] += 25
    away = [(196, 97), (220, 60), (240, 200), (60, 40), (50, 200)]
    for k, (slow, fast) in enumerate([(156 - 82, 127), (156, 127 + 82), *away]):
        add_spot(image, slow, fast, 250 + 10 * k)
    result = count_spots(image, DETECTOR, overload=100_000, settings=QUIET)
    assert len(result.ice_rings) == 1
    low, high = (float(DETECTOR.d_of(np.array(r * 0.2))) for r in (84, 80))
    assert result.ice_rings[0] == pytest.approx((low, high), rel=1e-9)
    assert sorted(result.spots["max_pxl_slow"].tolist()) == sorted(slow for slow, _ in away)


def test_a_blank_image_has_no_spots_and_a_listing_of_nones() -> None:
    result = count_spots(np.full(DETECTOR.shape, 7), DETECTOR, overload=100, settings=QUIET)
    assert result.spot_total == 0
    assert {len(rows) for rows in result.lists.values()} == {0}
    assert result.method1_angstrom == 10.0
    listing = result.listing("blank.cbf").splitlines()
    assert listing[1] == "               Spot Total :      0"
    assert listing[2] == "               Remove Ice : None"  # as distl of cctbx 2025.11 prints it
    assert listing[7] == "      Method 2 Resolution : None"
    assert listing[10] == " %Saturation, Top 0 Peaks :   0.00"


def test_modules_keep_boxes_out_of_the_gaps() -> None:
    image = spread()
    image[145:155] = -1
    image[160:170, 40:60] += 0
    halves = (Modules(145, 10, 2), Modules(260, 0, 1))
    with_gaps = count_spots(image, DETECTOR, overload=100_000, settings=QUIET, modules=halves)
    assert with_gaps.spot_total == 0


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"minimum_spot_area": 0}, "minimum_spot_area=0: expected at least 1"),
        ({"spot_area_maximum_factor": 0.5}, "spot_area_maximum_factor=0.5: expected at least 1.0"),
        ({"peripheral_margin": 0}, "peripheral_margin=0: expected at least 1"),
        ({"profile_bumpiness": 0}, "profile_bumpiness=0: expected at least 1"),
        (
            {"scanbox_windows": (101, 51)},
            "scanbox_windows=(101, 51): expected three sizes of 5 px or more",
        ),
    ],
)
def test_settings_are_checked(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DistlSettings(**options)
    assert str(caught.value) == text


def test_detectors_have_their_defaults() -> None:
    assert DistlSettings.of_detector("pilatus") == DistlSettings()
    assert DistlSettings.of_detector("eiger").minimum_signal_height == 4.0
    assert DistlSettings.of_detector("other").minimum_spot_area == 10
    with pytest.raises(ConfigError) as caught:
        DistlSettings.of_detector("ccd")  # type: ignore[arg-type]
    assert str(caught.value) == "detector kind 'ccd': expected one of pilatus, eiger, other"


def test_bad_images_are_refused() -> None:
    with pytest.raises(FormatError) as caught:
        count_spots(np.zeros((4, 5)), DETECTOR, overload=10)
    assert str(caught.value) == (
        "image of type float64 and shape (4, 5): expected integers of shape (300, 260) (slow, fast)"
    )
    with pytest.raises(ConvergenceError) as empty:
        count_spots(np.full(DETECTOR.shape, -1), DETECTOR, overload=10, settings=QUIET)
    assert str(empty.value) == (
        "a box of the local background found too few pixels below minimum_signal_height=2.5: "
        "the image has no background, or wrong modules"
    )
