"""What spoils a real frame: hot and dead pixels, a beam stop, too few grains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["GRAIN_CELL_RAD", "HOT_FACTOR", "add_defects", "grain_factor"]

GRAIN_CELL_RAD = float(np.pi / 180.0)
"""Azimuthal size of a grain's spot: intensities are drawn this far apart and interpolated."""

HOT_FACTOR = (3.0, 3000.0)
"""A hot pixel shows the peak counts times a number between these, even in the logarithm."""


def grain_factor(
    two_theta_rad: F64, graininess: float, seed: int
) -> Callable[[F64, F64], F64 | float]:
    """Multiplicative intensity along the rings of a powder with too few grains.

    Parameters
    ----------
    two_theta_rad
        (h,) line centres.
    graininess
        Relative standard deviation at the cells' corners; 0 gives the constant 1. The factor is
        gamma distributed, so it is positive with mean 1.
    seed
        Of the draw; it is independent of the counting noise of the same seed.

    Returns
    -------
    Function of (n,) 2-theta and eta [rad] giving (n,): the factor of the nearest ring, linear in
    eta between cells of :data:`GRAIN_CELL_RAD`.

    Raises
    ------
    ConfigError
        ``graininess`` is negative.
    """
    if not graininess >= 0.0:
        raise ConfigError(f"graininess = {graininess!r}: expected 0 or more", key="graininess")
    if graininess == 0.0:
        return lambda two_theta, eta: 1.0
    centres = np.sort(two_theta_rad)
    cells = round(2.0 * np.pi / GRAIN_CELL_RAD)
    shape = 1.0 / graininess**2
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    table = rng.gamma(shape, 1.0 / shape, size=(len(centres), cells))
    borders = 0.5 * (centres[1:] + centres[:-1])

    def factor(two_theta: F64, eta: F64) -> F64:
        ring = np.searchsorted(borders, two_theta)
        at = np.mod(eta / GRAIN_CELL_RAD, cells)
        low = np.minimum(at.astype(np.int64), cells - 1)
        part = at - low
        return np.asarray(
            (1.0 - part) * table[ring, low] + part * table[ring, (low + 1) % cells],
            dtype=np.float64,
        )

    return factor


def add_defects(
    image: NDArray[Any],
    good: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    beam_centre_px: tuple[float, float],
    peak_counts: float,
    hot_pixels: int = 0,
    dead_pixels: int = 0,
    beam_stop_px: float = 0.0,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Spoil an image in ways that the detector does not declare.

    Parameters
    ----------
    image, good
        (n_slow, n_fast) counts, and where the detector claims good pixels; model frame.
    rng
        Where hot and dead pixels are drawn from.
    beam_centre_px
        (fast, slow) of the beam stop's shadow.
    peak_counts
        Scale of the hot pixels, see :data:`HOT_FACTOR`.
    hot_pixels, dead_pixels
        How many.
    beam_stop_px
        Radius of the shadow.

    Returns
    -------
    image, defects
        The spoilt copy, and True where a pixel was spoilt.

    Raises
    ------
    ConfigError
        More hot and dead pixels than there are good ones, or a negative number.
    """
    image, defects = image.copy(), np.zeros(image.shape, dtype=bool)
    n_slow, n_fast = image.shape
    if beam_stop_px > 0.0:
        f = np.arange(n_fast) + 0.5 - beam_centre_px[0]
        s = np.arange(n_slow) + 0.5 - beam_centre_px[1]
        shadow = (f[None, :] ** 2 + s[:, None] ** 2 < beam_stop_px**2) & good
        image[shadow] = 0
        defects |= shadow
    candidates = np.flatnonzero(good & ~defects)
    if min(hot_pixels, dead_pixels) < 0 or hot_pixels + dead_pixels > len(candidates):
        raise ConfigError(
            f"hot_pixels = {hot_pixels}, dead_pixels = {dead_pixels}: "
            f"expected 0 to {len(candidates)} in all, the number of good pixels"
        )
    chosen = rng.choice(candidates, hot_pixels + dead_pixels, replace=False)
    low, high = np.log(HOT_FACTOR)
    hot = max(1.0, peak_counts) * np.exp(rng.uniform(low, high, hot_pixels))
    image.flat[chosen[:hot_pixels]] = np.minimum(np.rint(hot), np.iinfo(np.int32).max)
    image.flat[chosen[hot_pixels:]] = 0
    defects.flat[chosen] = True
    return image, defects
