"""Strong pixels of a rotation or still image: the dispersion thresholds.

A pixel is judged by a window around it. For Poisson counts the variance of the window equals its
mean; where it exceeds that by more than chance (index of dispersion) there is a peak, and where the
pixel itself exceeds the mean by more than chance it belongs to it. The extended threshold first
finds the regions of high dispersion and then judges their pixels by the background around them.
Not modelled: a gain that varies over the image, and counts that are not Poisson.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_within
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["LARGEST_COUNT", "MAX_HALF_SIZE", "dispersion", "dispersion_extended"]

U8 = NDArray[np.uint8]
I32 = NDArray[np.int32]

LARGEST_COUNT = 1 << 24
"""Counts from here on do not enter the sums: their squares would not be exact."""

MAX_HALF_SIZE = 9
"""Largest half size of the window, so that sums of squares stay exact for counts below 2**22."""

_BACKGROUND_BORDER = 2  # the extended threshold looks for background this far beyond the window


def _check_window(low: int, high: int, half_fast: int, half_slow: int, sigma_strong: float) -> None:
    check_within("half_fast", half_fast, 1, MAX_HALF_SIZE)
    check_within("half_slow", half_slow, 1, MAX_HALF_SIZE)
    check_within("low", low, 1 - LARGEST_COUNT, 2**31 - 1)
    check_within("high", high, -(2**31), 2**31 - 1)
    if sigma_strong < 0.0:
        raise ConfigError(f"sigma_strong = {sigma_strong}: expected 0 or more", got=sigma_strong)


@twin("arithmetic", check=_check_window, image="i4 s,f", mask="u1 s,f")
def dispersion(
    image: I32,
    mask: U8,
    low: int,
    high: int,
    half_fast: int,
    half_slow: int,
    min_count: int,
    sigma_background: float,
    sigma_strong: float,
    global_threshold: float,
    gain: float,
) -> U8:
    r"""Mark the strong pixels of an image by the dispersion of their windows.

    With :math:`m = \sum 1`, :math:`x = \sum p`, :math:`y = \sum p^2` over the valid pixels of the
    window a pixel p is strong where

    .. math::
        m y - x^2 - x (m - 1) > x \sigma_b \sqrt{2 (m - 1)}, \qquad
        m p - x > \sigma_s \sqrt{x m}

    and :math:`m \ge m_0`, :math:`p > T`. With a gain g the first becomes
    :math:`m y - x^2 > g x (m - 1 + \sigma_b \sqrt{2 (m - 1)})` and the second has
    :math:`\sqrt{g x m}`.

    Parameters
    ----------
    image
        (s, f) counts.
    mask
        (s, f) 1 for a pixel that may be used.
    low, high
        Valid counts, both ends included; `low` above -2**24.
    half_fast, half_slow
        Half size of the window [px], at most :data:`MAX_HALF_SIZE`.
    min_count
        Least number :math:`m_0` of valid pixels in the window.
    sigma_background, sigma_strong
        :math:`\sigma_b` and :math:`\sigma_s`.
    global_threshold
        T [counts].
    gain
        Counts per photon; 0 for the formula without gain.

    Returns
    -------
    (s, f) 1 for a strong pixel.

    Notes
    -----
    Source: :cite:t:`winter2018`, as DIALS computes it. Equal to the bit in both twins
    while the sum of squares of a window is below 2**53.
    """
    valid = _valid(image, mask, low, high)
    m, x, y = _window_sums(image, valid, half_fast, half_slow)
    p = image.astype(np.float64)
    with np.errstate(invalid="ignore"):
        noise = sigma_strong * np.sqrt((gain if gain > 0.0 else 1.0) * x * m)
        strong = _is_dispersed(m, x, y, min_count, sigma_background, gain) & (m * p - x > noise)
    return np.asarray(valid & strong & (p > global_threshold)).astype(np.uint8)


@twin("arithmetic", check=_check_window, image="i4 s,f", mask="u1 s,f")
def dispersion_extended(
    image: I32,
    mask: U8,
    low: int,
    high: int,
    half_fast: int,
    half_slow: int,
    min_count: int,
    sigma_background: float,
    sigma_strong: float,
    global_threshold: float,
    gain: float,
) -> U8:
    r"""Mark the strong pixels by the background around regions of high dispersion.

    1. Dispersed pixels by the first condition of :func:`dispersion`; invalid pixels count as
       dispersed. 2. Peaks: valid pixels with no undispersed pixel within a Chebyshev distance of
       the smaller half size less one. 3. Background: the valid pixels that are in no peak; its mean
       :math:`\mu` over a window 2 px larger on each side, 0 if it has fewer than two of them.
       4. Strong: pixels in peaks with :math:`p > T` and
       :math:`p \ge \mu + \sigma_s \sqrt{g \mu}`.

    Parameters
    ----------
    image, mask, low, high, half_fast, half_slow, min_count
        As for :func:`dispersion`.
    sigma_background, sigma_strong, global_threshold, gain
        As for :func:`dispersion`.

    Returns
    -------
    (s, f) 1 for a strong pixel.
    """
    valid = _valid(image, mask, low, high)
    m, x, y = _window_sums(image, valid, half_fast, half_slow)
    calm = valid & ~_is_dispersed(m, x, y, min_count, sigma_background, gain)
    reach = min(half_fast, half_slow) - 1
    peak = valid & (_box_sum(calm.astype(np.int64), reach, reach) == 0)
    border = _BACKGROUND_BORDER
    m, x, _ = _window_sums(image, valid & ~peak, half_fast + border, half_slow + border)
    p = image.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(m >= 2.0, x / m, 0.0)
        bound = mean + sigma_strong * np.sqrt((gain if gain > 0.0 else 1.0) * mean)
        strong = peak & (x >= 0.0) & (p > global_threshold) & (p >= bound)
    return np.asarray(strong).astype(np.uint8)


def _valid(image: I32, mask: U8, low: int, high: int) -> NDArray[np.bool_]:
    return np.asarray((mask != 0) & (image >= low) & (image <= high))


def _is_dispersed(
    m: F64, x: F64, y: F64, min_count: int, sigma_background: float, gain: float
) -> NDArray[np.bool_]:
    """Index of dispersion of the window above 1 by more than chance."""
    with np.errstate(invalid="ignore"):
        spread = sigma_background * np.sqrt(2.0 * (m - 1.0))
        if gain > 0.0:
            above = m * y - x * x > gain * x * (m - 1.0 + spread)
        else:
            above = m * y - x * x - x * (m - 1.0) > x * spread
    return np.asarray((m >= min_count) & (x >= 0.0) & above)


def _window_sums(
    image: I32, valid: NDArray[np.bool_], half_fast: int, half_slow: int
) -> tuple[F64, F64, F64]:
    """Number, sum and sum of squares of the valid counts in the window of each pixel."""
    used = valid & (image < LARGEST_COUNT)
    p = np.where(used, image, 0).astype(np.int64)
    sums = [_box_sum(v, half_fast, half_slow) for v in (used.astype(np.int64), p, p * p)]
    return sums[0].astype(np.float64), sums[1].astype(np.float64), sums[2].astype(np.float64)


def _box_sum(values: I64, half_fast: int, half_slow: int) -> I64:
    """Sum over the window of each pixel, by a summed-area table; wrapping round cancels."""
    width, height = 2 * half_fast + 1, 2 * half_slow + 1
    table = np.pad(values, ((half_slow + 1, half_slow), (half_fast + 1, half_fast)))
    table = table.cumsum(axis=0).cumsum(axis=1)
    rows = table[height:] - table[:-height]
    return np.asarray(rows[:, width:] - rows[:, :-width])
