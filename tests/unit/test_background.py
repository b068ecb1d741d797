import re

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.imaging.background import disk, fast_background, median_background


def _ramp(shape):
    slow, fast = np.mgrid[: shape[0], : shape[1]]
    return 100.0 + 0.5 * fast + 0.25 * slow


def test_a_plane_comes_back_between_the_outer_block_centres():
    image = _ramp((160, 224))
    found = fast_background(image, np.zeros(image.shape, bool), block=32)
    inside = (slice(48, 112), slice(48, 176))  # one block further in: 3 x 3 medians clip corners
    np.testing.assert_allclose(found[inside], image[inside], rtol=1e-12)


@pytest.mark.parametrize("shape", [(160, 224), (33, 65), (5, 7), (32, 100)])
def test_a_constant_comes_back_whatever_the_shape(shape):
    found = fast_background(np.full(shape, 7.0), np.zeros(shape, bool), block=32)
    assert found.shape == shape
    np.testing.assert_allclose(found, 7.0, rtol=1e-14)  # weights sum to 1 within rounding


def test_rings_and_bad_pixels_do_not_show():
    image = np.full((256, 256), 10.0)
    slow, fast = np.mgrid[:256, :256]
    radius = np.hypot(slow - 128.0, fast - 128.0)
    image[np.abs(radius % 40.0 - 20.0) < 4.0] = 5000.0
    mask = np.zeros(image.shape, bool)
    mask[100:140] = True
    image[mask] = -2.0
    image[0, 0] = np.nan
    found = fast_background(image, mask, block=32)
    np.testing.assert_allclose(found, 10.0, rtol=1e-14)


def test_blocks_without_good_pixels_take_the_nearest_value():
    image = np.full((96, 192), 3.0)
    image[:, 96:] = 9.0
    mask = np.zeros(image.shape, bool)
    mask[:, :64] = True
    found = fast_background(image, mask, block=32)
    assert found[40, 10] == 3.0
    assert found[40, 180] == 9.0


def test_the_median_of_an_even_number_is_the_mean_of_the_middle_two():
    image = np.array([[1.0, 2.0], [4.0, 100.0]])
    assert np.all(fast_background(image, np.zeros((2, 2), bool), block=2) == 3.0)


@pytest.mark.parametrize(
    ("image", "mask", "block", "message"),
    [
        (np.ones((4, 4)), np.zeros((4, 5), bool), 32, "image (4, 4) and mask (4, 5)"),
        (np.ones((4, 4)), np.ones((4, 4), bool), 32, "no good pixel"),
        (np.ones((4, 4)), np.zeros((4, 4), bool), 1, "block = 1 px: expected at least 2"),
    ],
)
def test_bad_input_is_refused_in_one_line(image, mask, block, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        fast_background(image, mask, block)
    assert "\n" not in str(caught.value)


def test_disk_is_the_elliptic_kernel_of_diplib():
    # DIPlib takes pixels within size / 2 of the middle: 5.5, not 5
    assert disk(11)[0].sum() == 5
    assert disk(11).sum() == 97
    assert disk(1).tolist() == [[True]]


# DIPlib 3.6.1 (pip): MedianFilter(np.array(IMAGE, float), 5), pasted
IMAGE = [
    [3, 9, 27, 81, 12, 36, 4],
    [12, 36, 5, 15, 45, 4, 12],
    [36, 4, 12, 36, 4, 12, 90],
    [7, 21, 63, 58, 43, 98, 6],
    [18, 54, 31, 93, 48, 13, 39],
    [16, 48, 13, 39, 17, 51, 22],
]
DIPLIB = [
    [9, 12, 12, 15, 12, 12, 12],
    [12, 12, 15, 15, 15, 12, 12],
    [12, 21, 31, 31, 36, 15, 13],
    [31, 21, 36, 31, 39, 36, 22],
    [31, 31, 36, 43, 39, 39, 39],
    [21, 39, 48, 48, 43, 39, 39],
]


def test_median_filter_is_diplibs():
    found = median_background(np.array(IMAGE, dtype=float), size=5, passes=1)
    np.testing.assert_array_equal(found, DIPLIB)


def test_passes_repeat_the_filter():
    image = np.random.default_rng(5).integers(0, 50, (30, 25)).astype(float) + 0.25
    once = median_background(image, size=7, passes=1)
    np.testing.assert_array_equal(
        median_background(image, size=7, passes=2), median_background(once, size=7, passes=1)
    )
    np.testing.assert_array_equal(median_background(image, size=7, passes=0), image)


def test_the_median_of_a_wide_image_of_one_row():
    image = np.array([[5.0, 1.0, 9.0, 2.0, 2.0]])  # mirrored about the end pixels: 1 5 1 at first
    assert median_background(image, size=3, passes=1).tolist() == [[1.0, 5.0, 2.0, 2.0, 2.0]]


@pytest.mark.parametrize(
    ("image", "size", "message"),
    [
        (np.ones(4), 3, "shape (4,): expected a two-dimensional image"),
        (np.array([[1.0, np.nan], [np.inf, 2.0]]), 3, "2 of 4 pixels are not finite"),
        (np.ones((4, 4)), 4, "size = 4 px: expected an odd number"),
        (np.ones((4, 4)), 0, "size = 0 px: expected an odd number"),
    ],
)
def test_median_background_refuses_in_one_line(image, size, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        median_background(image, size)
