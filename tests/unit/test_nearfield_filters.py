"""Background, medians and Laplacian of Gaussian of near-field frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from refimpl.errors import ConfigError
from refimpl.imaging.binarise import FAKE_PIXEL, Filters, corrected, spot_pixels
from refimpl.imaging.log_filter import edges, log_kernel, log_spots, published_fill, response
from refimpl.imaging.nearfield_background import (
    Background,
    background_of,
    lower_median,
    order_statistic,
    rows_in_memory,
)

BACKENDS = ("python", "cython")


def whole(quarter: NDArray[np.int64]) -> NDArray[np.int64]:
    """Kernel of a quarter."""
    half = np.concatenate([quarter[:0:-1], quarter])
    return np.concatenate([half[:, :0:-1], half], axis=1)


def image_of(seed: int, shape: tuple[int, int], top: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, top + 1, shape)
    image[rng.random(shape) < rng.choice([0.0, 0.6, 0.97])] = 0
    return image.astype(np.uint16)


# --- background


def test_the_median_is_the_lower_one() -> None:
    stack = np.array([[5, 1], [9, 1], [7, 8], [1, 65535]], dtype=np.uint16)
    assert lower_median(stack).tolist() == [5, 1]  # element 1 of 1 5 7 9, not their mean
    assert lower_median(stack[:3]).tolist() == [7, 1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_frames_than_a_short_count_takes(backend: str) -> None:
    """The twin counts in 16 bits, 32,768 frames at a time."""
    stack = np.full((65537, 2), 7, dtype=np.uint16)
    stack[: 65537 // 2, 0] = 3
    stack[: 65537 // 2 + 1, 1] = 3
    median = (65537 - 1) // 2
    assert order_statistic(stack, median, backend=backend).tolist() == [7, 3]  # type: ignore[call-arg]


@given(
    n=st.integers(1, 12), rows=st.integers(1, 7), memory=st.floats(1e-5, 1.0),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_blocks_of_rows_do_not_matter(n: int, rows: int, memory: float, seed: int) -> None:
    stack = np.random.default_rng(seed).integers(0, 400, (n, rows, 9)).astype(np.uint16)
    seen: list[tuple[int, int]] = []
    found = background_of(
        lambda a, b: stack[:, a:b].copy(), n, (rows, 9), memory_mb=memory, with_noise=True,
        progress=lambda done, of: seen.append((done, of)),
    )  # fmt: skip
    ordered = np.sort(stack, axis=0)
    assert (found.median == ordered[(n - 1) // 2]).all()
    assert (found.maximum == ordered[-1]).all()
    assert (found.maximum_corrected == ordered[-1] - ordered[(n - 1) // 2]).all()
    assert found.noise is not None
    assert (found.median - found.noise == ordered[int(0.15865525393145707 * (n - 1))]).all()
    assert seen[-1] == (rows, rows)
    assert len(seen) == -(-rows // rows_in_memory(n, 9, memory))


def test_noise_is_a_sigma_that_spots_do_not_widen() -> None:
    rng = np.random.default_rng(1)
    stack = rng.normal(500.0, 20.0, (400, 60, 60)).round().astype(np.uint16)
    stack[:8] += 3000  # a spot in 8 frames of 400
    found = background_of(lambda a, b: stack[:, a:b], 400, (60, 60), with_noise=True)
    assert found.noise is not None
    assert np.mean(found.noise) == pytest.approx(20.0, rel=0.04)  # 3600 pixels; 8 frames bias 3 %
    floor = found.floor(5, 3.0)
    assert (floor == found.median + 5 + np.ceil(3.0 * found.noise)).all()


def test_the_floor_stays_a_count() -> None:
    median = np.array([[65533, 10]], dtype=np.uint16)
    one = Background(median, median)
    assert one.floor(5).tolist() == [[65535, 15]]
    with pytest.raises(ConfigError, match="sigmas are given, but the noise was not measured"):
        one.floor(0, 2.0)
    for wrong in ((-1, 0.0), (0, -1.0), (0, math.nan)):
        with pytest.raises(ConfigError, match="expected numbers from 0"):
            one.floor(*wrong)


def test_no_frame_has_no_background() -> None:
    with pytest.raises(ConfigError, match="background_of: 0 frames: expected at least one"):
        background_of(lambda a, b: np.zeros((0, b - a, 3), np.uint16), 0, (2, 3))


# --- medians


@pytest.mark.parametrize("backend", BACKENDS)
@given(
    radius=st.integers(0, 2), n=st.integers(1, 40), m=st.integers(1, 90), seed=st.integers(0, 999)
)
def test_medians_are_scipys_inside(backend: str, radius: int, n: int, m: int, seed: int) -> None:
    raw, floor = image_of(seed, (n, m), 900), image_of(seed + 1, (n, m), 300)
    plain = np.maximum(raw.astype(int) - floor, 0)
    expected = plain.copy()
    if radius and min(n, m) > 2 * radius:
        inner = (slice(radius, n - radius), slice(radius, m - radius))
        expected[inner] = ndimage.median_filter(plain, 2 * radius + 1)[inner]
    found = corrected(raw, floor, radius, backend=backend)  # type: ignore[call-arg]
    assert found.dtype == np.uint16
    assert (found == expected).all()


@given(r=st.integers(1, 12), ny=st.integers(1, 40), nz=st.integers(1, 40))
def test_the_published_border_is_the_plain_one(r: int, ny: int, nz: int) -> None:
    """Spec 1.8 writes the border as a condition on the flat index, and calls it asymmetric.

    Its one pixel i = N - NY r that the last condition leaves out is in column 0, which the first
    one takes.
    """
    i = np.arange(ny * nz)
    published = (
        ((i + 1) % ny <= r) | (ny - (i + 1) % ny < r) | (i < ny * r) | (i > ny * nz - ny * r)
    )
    row, column = np.divmod(i, ny)
    plain = (column < r) | (column >= ny - r) | (row < r) | (row >= nz - r)
    assert (published == plain).all()


# --- Laplacian of Gaussian


def test_the_kernel_is_the_published_one() -> None:
    kernel = log_kernel(1.0, 4)
    assert kernel[0, 0] == -25375  # trunc(-79720 / pi)
    assert kernel[0, 1] == math.trunc(-79720 / math.pi * 0.5 * math.exp(-0.5))
    assert kernel[1, 2] == math.trunc(-79720 / math.pi * (1 - 2.5) * math.exp(-2.5))
    assert (kernel == kernel.T).all()
    assert log_kernel(4.0, 10)[0, 0] == math.trunc(-79720 / math.pi / 256.0)


@pytest.mark.parametrize(
    ("sigma", "radius", "message"),
    [
        (1.0, 0, "LoGMaskRadius = 0 px: expected 1 to 100"),
        (1.0, 101, "LoGMaskRadius = 101 px: expected 1 to 100"),
        (0.0, 4, "GaussFiltRadius = 0.0 px: expected a positive number"),
        (math.nan, 4, "GaussFiltRadius = nan px: expected a positive number"),
        (13.0, 4, "GaussFiltRadius = 13.0 px: the published kernel is zero from 12.7 px on"),
    ],
)
def test_kernels_that_cannot_be(sigma: float, radius: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        log_kernel(sigma, radius)


KERNELS = st.sampled_from([(1.0, 4), (4.0, 10), (0.6, 1), (2.5, 3)])


@given(kernel=KERNELS, n=st.integers(1, 30), m=st.integers(1, 40), seed=st.integers(0, 999))
def test_the_response_is_scipys_correlation(
    kernel: tuple[float, int], n: int, m: int, seed: int
) -> None:
    image, quarter = image_of(seed, (n, m), 65535), log_kernel(*kernel)
    r = kernel[1]
    expected = ndimage.correlate(image.astype(np.int64), whole(quarter), mode="constant")
    expected[:r] = expected[n - min(r, n) :] = 0
    expected[:, :r] = expected[:, m - min(r, m) :] = 0
    assert (response(image, quarter) == expected).all()


@pytest.mark.parametrize("backend", BACKENDS)
@given(kernel=KERNELS, n=st.integers(1, 45), m=st.integers(1, 70), seed=st.integers(0, 999),
       top=st.sampled_from([3, 1000, 65535]))  # fmt: skip
def test_spots_are_within_a_pixel_of_a_negative_response(
    backend: str, kernel: tuple[float, int], n: int, m: int, seed: int, top: int
) -> None:
    """((L < 0) u zero crossings) n (I > 0), the crossings seen from both sides."""
    image, quarter = image_of(seed, (n, m), top), log_kernel(*kernel)
    negative = response(image, quarter) < 0
    expected = ndimage.binary_dilation(negative, np.ones((3, 3))) & (image > 0)
    found = log_spots(image, quarter, backend=backend)  # type: ignore[call-arg]
    assert (found == expected).all()


def test_edges_and_fill_of_a_bent_spot() -> None:
    """A ring of counts about a faint middle: the rows between its edges are filled."""
    y, x = np.mgrid[-20:21, -20:21]
    r = np.hypot(x, y)
    image = np.where(r < 13.0, 1 + 900.0 * np.exp(-0.5 * ((r - 9.0) / 1.5) ** 2), 0.0)
    image = image.astype(np.uint16)
    quarter = log_kernel(2.0, 5)
    outline, filled = edges(image, quarter), published_fill(image, quarter)
    clean = log_spots(image, quarter) > 0
    assert not (outline & ~clean).any()  # edges are part of the clean definition
    assert (filled[20, 12:29]).all()  # the middle too: counts all the way between its edges
    assert not clean[20, 20]
    assert not (filled & (image == 0)).any()
    gap = image.copy()
    gap[20, 20] = 0
    assert not published_fill(gap, quarter)[20, 19:22].any()  # a count below 1 stops it


# --- the whole way


def test_filters_say_what_is_wrong() -> None:
    for settings, message in (
        ({"median_radius": 3}, "MedFiltRadius = 3: expected 0"),
        ({"blanket": -1}, "BlanketSubtraction = -1: expected 0 to 65535 counts"),
        ({"sigmas": -1.0}, "sigmas = -1.0: expected a number from 0"),
        ({"log_sigma": 40.0}, "the published kernel is zero"),
    ):
        with pytest.raises(ConfigError, match=message):
            Filters(**settings)  # type: ignore[arg-type]
    assert Filters(log=False, log_sigma=40.0).passes == ()
    assert Filters(log_sigma=4.0, log_radius=10).passes == ((4.0, 10), (1.0, 4))
    assert Filters().passes == ((1.0, 4),)  # the sharp pass is not done twice


def test_an_empty_frame_is_empty_unless_faked() -> None:
    raw = np.full((40, 60), 8, dtype=np.uint16)
    for log in (False, True):
        assert len(spot_pixels(raw, raw, Filters(log=log))) == 0
        fake = spot_pixels(raw, raw, Filters(log=log, fake_pixel=True))
        assert fake.tolist() == [FAKE_PIXEL]
    small = raw[:20]
    assert len(spot_pixels(small, small, Filters(fake_pixel=True))) == 0  # it has no pixel 2045


def test_a_sharp_spot_survives_beside_a_wide_pass() -> None:
    """One bright pixel on a wide faint hill: the second pass finds it, whatever the first does."""
    raw = np.full((64, 64), 10, dtype=np.uint16)
    raw[30, 20] = 900
    floor = np.full((64, 64), 10, dtype=np.uint16)
    found = spot_pixels(raw, floor, Filters(median_radius=0, log_sigma=6.0, log_radius=15))
    assert found.tolist() == [30 * 64 + 20]
    fill = Filters(median_radius=0, log_sigma=6.0, log_radius=15, published_fill=True)
    assert spot_pixels(raw, floor, fill).tolist() == [30 * 64 + 20]


Frames = NDArray[np.uint16]
Truth = NDArray[np.bool_]


def simulated(n_frames: int, seed: int = 5) -> tuple[Frames, Truth, Truth]:
    """Frames with blurred spots, Poisson counts on a sloping background.

    Returns the frames, the sharp spots, and where light of 20 counts or more fell.
    """
    rng = np.random.default_rng(seed)
    size = 160
    truth = np.zeros((n_frames, size, size), dtype=bool)
    for f in range(n_frames):
        for _ in range(6):
            y, x = rng.integers(20, size - 36, 2)
            truth[f, y : y + rng.integers(6, 16), x : x + rng.integers(6, 16)] = True
    light = np.stack([300.0 * ndimage.gaussian_filter(t.astype(float), 0.8) for t in truth])
    level = 60.0 + 40.0 * np.linspace(0.0, 1.0, size)
    return rng.poisson(level + light).astype(np.uint16), truth, light > 20.0


@pytest.mark.parametrize(
    "filters",
    [
        Filters(log=False, sigmas=4.0),
        Filters(log=False, blanket=40),
        Filters(log_sigma=4.0, log_radius=10, sigmas=4.0),
        Filters(log_sigma=4.0, log_radius=10, sigmas=4.0, published_fill=True),
    ],
    ids=["sigmas", "blanket", "log", "published fill"],
)
def test_recall_and_precision(filters: Filters) -> None:
    frames, truth, halo = simulated(41)

    def rows(first: int, last: int) -> Frames:
        return frames[:, first:last]

    background = background_of(rows, len(frames), (160, 160), with_noise=True)
    floor = background.floor(filters.blanket, filters.sigmas)
    found = np.zeros_like(truth)
    for f, raw in enumerate(frames):
        found[f].reshape(-1)[spot_pixels(raw, floor, filters)] = True
    hit = (found & truth).sum()
    # spec 5.2, published program on frames like these: recall 0.9998 and precision 0.71 without
    # the Laplacian, 0.854 and 0.731 with it; what is found beyond the sharp spots is their halo
    assert hit / truth.sum() >= 0.9998
    assert hit / found.sum() >= 0.73
    assert (found & halo).sum() / found.sum() >= 0.997
    never = ~ndimage.binary_dilation(truth, np.ones((1, 9, 9)))
    assert found[never].mean() < 1e-4  # noise far from any spot


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_do_not_change_a_bit(threads: int) -> None:
    frames, _, _ = simulated(3, seed=8)
    filters, floor = Filters(), np.full(frames.shape[1:], 105, dtype=np.uint16)
    for raw in frames:
        one = spot_pixels(raw, floor, filters, threads=1)
        assert (spot_pixels(raw, floor, filters, threads=threads) == one).all()
        assert len(one)
