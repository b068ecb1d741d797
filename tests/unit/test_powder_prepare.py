"""From whatever holds an image to a frame: order, mask, panels, scale, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.io.image import Image
from refimpl.powder.config import config_from
from refimpl.powder.prepare import prepare, read_source


def settings(**more):
    return config_from({"wavelength_angstrom": 0.2, "pixel_size_mm": 0.1} | more)


def picture(shape=(40, 60)) -> np.ndarray:
    return np.random.default_rng(1).poisson(50.0, shape).astype(np.int32)


def test_the_default_puts_the_first_row_at_the_top() -> None:
    image = picture()
    frame = prepare(read_source(image), settings()).frame
    np.testing.assert_array_equal(frame.counts, image[::-1])
    assert frame.counts.dtype == np.float64
    assert frame.usable.dtype == np.uint8
    assert np.all(frame.usable == 1)


def test_mask_and_image_are_laid_down_together() -> None:
    image, mask = picture(), np.zeros((40, 60), dtype=bool)
    mask[3, 7] = True
    for codes, place in (((), (3, 7)), ((1,), (3, 52)), ((2,), (36, 7)), ((3,), (7, 3))):
        frame = prepare(read_source(image, mask), settings(image_transform=codes)).frame
        assert np.argwhere(frame.usable == 0).tolist() == [list(place)]
        assert frame.counts[place] == image[3, 7]


def test_panels_are_found_or_left_alone() -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[:, 28:32] = True
    found = prepare(read_source(picture(), mask), settings()).frame
    assert found.n_panels == 2
    assert found.boxes.tolist() == [[0, 0, 28, 40], [32, 0, 60, 40]]
    assert np.all(found.panel_map[:, 28:32] == -1)
    alone = prepare(read_source(picture(), mask), settings(panels="none")).frame
    assert alone.n_panels == 1
    assert alone.boxes.tolist() == [[0, 0, 60, 40]]
    assert np.all(alone.panel_map == 0)
    np.testing.assert_array_equal(alone.usable, found.usable)


def test_an_image_of_no_counts_is_scaled_with_its_noise() -> None:
    image = picture().astype(float) / 1e4
    p = prepare(read_source(image), settings(gain=2.0, variance_floor=0.5))
    bright = np.percentile(image, 99.9)
    assert p.scale == pytest.approx(1000.0 / bright)
    np.testing.assert_allclose(p.frame.counts, image[::-1] * p.scale)
    assert p.frame.gain == pytest.approx(2.0 * p.scale)
    assert p.frame.variance_floor == pytest.approx(0.5 * p.scale**2)


@pytest.mark.parametrize("image", [picture() // 10, picture().astype(float) * 4.0])
def test_counts_are_left_as_they_are(image) -> None:
    """Few counts are counts if they are whole numbers; large numbers are never scaled."""
    p = prepare(read_source(image), settings(gain=2.0))
    assert p.scale == 1.0
    assert p.frame.gain == 2.0
    np.testing.assert_array_equal(p.frame.counts, image[::-1])


def test_an_image_that_was_read_is_taken_as_it_is() -> None:
    image = Image(picture(), np.zeros((40, 60), dtype=bool), 1)
    assert read_source(image) is image


def test_a_path_is_read_with_its_options(tmp_path) -> None:
    np.save(tmp_path / "image.npy", picture())
    np.save(tmp_path / "dark.npy", np.full((40, 60), 7, dtype=np.int32))
    got = read_source(tmp_path / "image.npy", reading={"dark": tmp_path / "dark.npy"})
    assert got.dark_subtracted
    np.testing.assert_array_equal(got.data, picture() - 7.0)


def test_a_mask_may_be_a_file(tmp_path) -> None:
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[5, 6] = 1
    np.save(tmp_path / "mask.npy", mask)
    got = read_source(picture(), tmp_path / "mask.npy")
    assert np.argwhere(got.mask).tolist() == [[5, 6]]


def test_options_that_cannot_apply_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^dark: only for an image that is read from a file$"):
        read_source(picture(), reading={"dark": None})
    image = Image(picture(), np.zeros((40, 60), dtype=bool), 1)
    with pytest.raises(
        ConfigError, match=r"^mask: the image has been read already; give the mask "
    ):
        read_source(image, np.zeros((40, 60), dtype=bool))


@pytest.mark.parametrize(
    ("image", "text"),
    [
        (np.zeros((40, 60), dtype=np.int32), "^all dark: every unmasked pixel holds 0$"),
        (np.full((40, 60), 5, dtype=np.int32), "^constant: every unmasked pixel holds 5$"),
        (picture((10, 60)), "^an image of 10 x 60 px is too small"),
    ],
)
def test_images_without_a_ring_are_refused(image, text) -> None:
    with pytest.raises(FormatError, match=text):
        prepare(read_source(image), settings())


def test_a_mask_that_hides_everything_is_refused() -> None:
    with pytest.raises(FormatError, match="mask"):
        prepare(read_source(picture(), np.ones((40, 60), dtype=bool)), settings())
