import re

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.imaging.background import fast_background


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
