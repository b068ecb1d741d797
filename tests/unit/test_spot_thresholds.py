"""Strong pixels: the thresholds against brute force, gains, masks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from refimpl.dispatch import available_backends
from refimpl.errors import ConfigError
from refimpl.imaging.spot_threshold import dispersion, dispersion_extended
from refimpl.imaging.spots import (
    SpotSettings,
    find_spots,
    strong_pixels,
)

TRUSTED = (0, 10000)
DEFAULTS = (3, 3, 2, 6.0, 3.0, 0.0, 0.0)  # window, min_count, sigmas, threshold, no gain


def background(shape: tuple[int, ...], seed: int = 0, level: float = 2.0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).poisson(level, shape).astype(np.int32)


def with_spot(image: np.ndarray[Any, Any], slow: int, fast: int, height: int = 400) -> None:
    image[slow - 1 : slow + 2, fast - 1 : fast + 2] += height // 4
    image[slow, fast] += height


def brute_force(image: np.ndarray[Any, Any], valid: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The formulas of the dispersion threshold, pixel by pixel, in exact integers."""
    strong = np.zeros(image.shape, dtype=np.uint8)
    for s in range(image.shape[0]):
        for f in range(image.shape[1]):
            part = (slice(max(s - 3, 0), s + 4), slice(max(f - 3, 0), f + 4))
            values = [int(v) for v in image[part][valid[part]]]
            m, x, y = len(values), sum(values), sum(v * v for v in values)
            if m < 2 or not valid[s, f]:
                continue
            p = int(image[s, f])
            wide = m * y - x * x - x * (m - 1) > x * 6.0 * math.sqrt(2 * (m - 1))
            strong[s, f] = p > 0 and wide and m * p - x > 3.0 * math.sqrt(x * m)
    return strong


@pytest.mark.parametrize("backend", available_backends())
def test_dispersion_is_the_formula(backend: str) -> None:
    image = background((40, 30))
    with_spot(image, 10, 12)
    with_spot(image, 0 + 1, 28, 90)
    image[20:23, :] = -1
    mask = np.ones(image.shape, dtype=np.uint8)
    mask[30:, 5] = 0
    expected = brute_force(image, (mask != 0) & (image >= 0))
    assert 5 < expected.sum() < 40
    found = dispersion(image, mask, *TRUSTED, *DEFAULTS, backend=backend)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("backend", available_backends())
def test_extended_needs_a_core_and_reaches_further(backend: str) -> None:
    image = background((60, 60), level=3.0)
    for s in range(-3, 4):  # a broad spot, whose flanks raise the mean of their own windows
        for f in range(-3, 4):
            image[30 + s, 30 + f] += int(60 * math.exp(-(s * s + f * f) / 6.0))
    image[10, 10] += 60  # a single pixel: dispersed window, peak of 3 x 3 windows' overlap
    mask = np.ones(image.shape, dtype=np.uint8)
    plain = dispersion(image, mask, *TRUSTED, *DEFAULTS, backend=backend)
    extended = dispersion_extended(image, mask, *TRUSTED, *DEFAULTS, backend=backend)
    assert extended[28:33, 28:33].all()
    assert extended[26:35, 26:35].sum() > plain[26:35, 26:35].sum()
    assert extended[:20, 40:].sum() == 0


def test_gain_raises_the_bar() -> None:
    image = background((80, 80), level=10.0)
    for k in range(6):
        with_spot(image, 10 + 10 * k, 20 + 7 * k, 20 + 6 * k)
    one, two = (
        strong_pixels(image, None, TRUSTED, SpotSettings("dispersion", gain=gain)).sum()
        for gain in (1.0, 2.0)
    )
    assert 0 < two < one
    plain = strong_pixels(image, None, TRUSTED, SpotSettings("dispersion"))
    assert plain.sum() == one


def test_each_panel_has_its_gain() -> None:
    image = background((40, 80), level=10.0)
    with_spot(image, 20, 20, 45)
    with_spot(image, 20, 60, 45)
    panels = [(0, 0, 40, 40), (40, 0, 40, 40)]

    def pixels(gain: Any) -> list[int]:
        settings = SpotSettings("dispersion", gain=gain, min_spot_size=1)
        table = find_spots([image], trusted_range=TRUSTED, panels=panels, settings=settings)
        return np.bincount(table.panel, table.n_pixels, minlength=2).tolist()

    one, three = pixels(1.0), pixels(3.0)
    assert one[0] > three[0]
    assert one[1] > three[1]
    assert pixels((1.0, 3.0)) == [one[0], three[1]]
    with pytest.raises(
        ConfigError, match=r"^gain: 3 values for 2 panels: expected one for each, or"
    ):
        pixels((1.0, 1.0, 1.0))
    with pytest.raises(
        ConfigError, match=r"^gain: several values for one image or panel: expected"
    ):
        strong_pixels(image, None, TRUSTED, SpotSettings(gain=(1.0, 2.0)))


def test_trusted_range_includes_both_ends_and_masked_pixels_are_never_strong() -> None:
    image = np.zeros((30, 30), dtype=np.int32)
    image[10, 10], image[20, 20] = 1000, 1001
    strong = strong_pixels(image, None, (0, 1000), SpotSettings("dispersion"))
    assert strong[10, 10] == 1
    assert strong[20, 20] == 0
    mask = np.ones(image.shape, dtype=bool)
    mask[10, 10] = False
    assert strong_pixels(image, mask, (0, 1000), SpotSettings("dispersion")).sum() == 0
    wide = strong_pixels(image, None, (-math.inf, math.inf), SpotSettings("dispersion"))
    assert wide[20, 20] == 1
