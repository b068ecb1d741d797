"""Settings, images and options that the search for spots refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.imaging.spots import (
    SpotSettings,
    find_spots,
)

TRUSTED = (0, 10000)


def background(shape: tuple[int, ...], seed: int = 0, level: float = 2.0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).poisson(level, shape).astype(np.int32)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("threshold", "radial", "one of dispersion, dispersion_extended"),
        ("kernel_size", (3, 30), "two half sizes of 1 to 9 px"),
        ("min_count", 1, "at least 2"),
        ("sigma_background", -1.0, "0 or more"),
        ("sigma_strong", -1.0, "0 or more"),
        ("global_threshold", -1.0, "0 or more"),
        ("gain", 0.0, "a positive number or None"),
        ("min_spot_size", 0, "at least 1"),
        ("max_spot_size", 2, "at least min_spot_size"),
        ("max_separation", 0.0, "a positive number or None"),
        ("max_strong_pixel_fraction", 1.5, "above 0, at most 1"),
    ],
)
def test_settings_are_checked(key: str, value: Any, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        SpotSettings(**{key: value})
    assert str(caught.value) == f"{key}={value!r}: expected {text}"


IMAGE = np.zeros((10, 12), dtype=np.int32)


@pytest.mark.parametrize(
    ("images", "options", "error", "text"),
    [
        ([IMAGE[0]], {}, FormatError, "image 0 has shape (12,): expected (slow, fast)"),
        ([IMAGE, IMAGE.T], {}, FormatError, "image 1 has shape (12, 10), the first (10, 12)"),
        (
            [IMAGE.astype(float)],
            {},
            FormatError,
            "image 0 is of type float64: expected integer counts",
        ),
        (
            [IMAGE],
            {"mask": np.ones((3, 3))},
            ConfigError,
            "the mask has shape (3, 3), the images (10, 12): expected the same",
        ),
        (
            [IMAGE],
            {"panels": [(0, 0, 12, 10), (5, 0, 8, 10)]},
            ConfigError,
            "panel 1 of 8 x 10 px at (5, 0) does not lie in the image of 12 x 10 px (fast x slow)",
        ),
        (
            [IMAGE],
            {"trusted_range": (5, 1)},
            ConfigError,
            "trusted_range=(5, 1): expected (least, largest)",
        ),
    ],
)
def test_bad_images_and_options(
    images: Any, options: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        find_spots(images, **({"trusted_range": TRUSTED} | options))
    assert str(caught.value) == text


def test_an_image_full_of_strong_pixels_is_refused() -> None:
    image = background((50, 50), level=1.0)
    image[::2, ::2] += 50
    with pytest.raises(ConvergenceError) as caught:
        find_spots([image], trusted_range=TRUSTED,
                   settings=SpotSettings("dispersion", max_strong_pixel_fraction=0.1))  # fmt: skip
    assert str(caught.value) == (
        "image 0: 625 of 2500 pixels are strong, at most 250 are accepted "
        "(max_strong_pixel_fraction): raise global_threshold or sigma_strong, or check mask and "
        "gain"
    )
