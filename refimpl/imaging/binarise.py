"""From the counts of a near-field frame to its lit pixels.

Counts above the floor (median + blanket, spec 1.8 step 1), a median over 3 x 3 or 5 x 5 pixels
(step 2), then either every count left (step 3a) or those where the Laplacian of Gaussian says that
a blob is (step 3b), with a second pass for sharp spots. An empty frame stays empty: the published
fake pixel is had on request. Not modelled: saturation, and spots wider than the rotation step
shows at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import I64
from refimpl.imaging.log_filter import log_kernel, log_spots, published_fill

__all__ = ["FAKE_PIXEL", "SHARP_PASS", "Filters", "corrected", "spot_pixels"]

U16 = NDArray[np.uint16]

FAKE_PIXEL = 2045
"""Flat index, of a raw frame, that the published program lights in a frame without spots."""

SHARP_PASS = (1.0, 4)
"""Sigma and radius [px] of the second pass of the Laplacian of Gaussian, always added."""


@dataclass(frozen=True)
class Filters:
    """Settings of the way from counts to lit pixels.

    Attributes
    ----------
    blanket
        Counts that are subtracted besides the background (``BlanketSubtraction``).
    sigmas
        Besides, so many times the noise of the pixel; see
        :meth:`~refimpl.imaging.nearfield_background.Background.floor`.
    median_radius
        0: none, 1: 3 x 3, 2: 5 x 5 (``MedFiltRadius``).
    log
        Laplacian of Gaussian (``DoLoGFilter``).
    log_sigma, log_radius
        Of its first pass [px] (``GaussFiltRadius``, ``LoGMaskRadius``).
    published_fill
        Fill outlines along the rows, see :func:`~refimpl.imaging.log_filter.published_fill`.
    fake_pixel
        Light :data:`FAKE_PIXEL` in a frame without spots, as published.

    Raises
    ------
    ConfigError
        A number out of range.
    """

    blanket: int = 0
    sigmas: float = 0.0
    median_radius: int = 1
    log: bool = True
    log_sigma: float = 1.0
    log_radius: int = 4
    published_fill: bool = False
    fake_pixel: bool = False

    def __post_init__(self) -> None:
        if self.median_radius not in (0, 1, 2):
            raise ConfigError(
                f"MedFiltRadius = {self.median_radius}: expected 0 (none), 1 (3 x 3) or 2 (5 x 5)",
                key="MedFiltRadius", got=self.median_radius,
            )  # fmt: skip
        if not 0 <= self.blanket <= 65535:
            raise ConfigError(
                f"BlanketSubtraction = {self.blanket}: expected 0 to 65535 counts",
                key="BlanketSubtraction", got=self.blanket,
            )  # fmt: skip
        if not 0.0 <= self.sigmas < np.inf:
            raise ConfigError(
                f"sigmas = {self.sigmas}: expected a number from 0", key="sigmas", got=self.sigmas
            )
        if self.log:
            log_kernel(self.log_sigma, self.log_radius)

    @property
    def passes(self) -> tuple[tuple[float, int], ...]:
        """Sigma and radius of each pass of the Laplacian of Gaussian."""
        if not self.log:
            return ()
        return tuple(dict.fromkeys(((self.log_sigma, self.log_radius), SHARP_PASS)))


@twin("arithmetic", raw="u2 n,m", floor="u2 n,m")
def corrected(raw: U16, floor: U16, radius: int) -> U16:
    """Counts above a floor, and their median over (2 radius + 1) squared pixels.

    Parameters
    ----------
    raw
        (n, m) counts as stored.
    floor
        (n, m) counts that do not count.
    radius
        0: no median, 1: 3 x 3, 2 or more: 5 x 5. Pixels nearer to the edge pass through, as
        published.

    Returns
    -------
    (n, m) max(0, raw - floor), filtered.
    """
    counts = np.asarray(raw - np.minimum(raw, floor))
    reach = min(max(radius, 0), 2)
    size = 2 * reach + 1
    if reach == 0 or min(counts.shape) < size:
        return counts
    windows = np.lib.stride_tricks.sliding_window_view(counts, (size, size))
    flat = np.sort(windows.reshape(*windows.shape[:2], -1), axis=2)
    found = counts.copy()
    found[reach:-reach, reach:-reach] = flat[:, :, size * size // 2]
    return found


def spot_pixels(raw: U16, floor: U16, filters: Filters, *, threads: int | None = None) -> I64:
    """Lit pixels of a frame.

    Parameters
    ----------
    raw, floor
        (rows, columns) counts as stored, and those that a pixel must exceed.
    filters
        Settings; `blanket` and `sigmas` are in `floor` already.
    threads
        Does not change a bit of the result.

    Returns
    -------
    (n,) flat indices of the raw frame, ascending; empty if nothing was found, save with
    `filters.fake_pixel`.
    """
    more = {"threads": threads}
    image = corrected(raw, floor, filters.median_radius, **more)
    if filters.log:
        lit = np.zeros(image.shape, dtype=bool)
        for sigma, radius in filters.passes:
            kernel = log_kernel(sigma, radius)
            if filters.published_fill:
                lit |= published_fill(image, kernel)
            else:
                lit |= log_spots(image, kernel, **more).view(bool)
    else:
        lit = image > 0
    found = np.flatnonzero(lit)
    if len(found) == 0 and filters.fake_pixel and lit.size > FAKE_PIXEL:
        return np.array([FAKE_PIXEL], dtype=np.int64)
    return found
