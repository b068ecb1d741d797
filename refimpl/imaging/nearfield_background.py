"""Background of a near-field rotation scan: the median of each pixel over all frames of a distance.

A spot lights a pixel in a few frames of many, so the median is what the pixel shows without one.
The published median is the lower one, a value that occurred: element (n - 1) / 2 of the n sorted
counts (spec 1.8). Frames come by blocks of rows, as many as fit into a stated memory, so a scan is
never held whole. Not modelled: a beam whose intensity drifts during the scan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Background", "background_of", "lower_median", "order_statistic", "rows_in_memory"]

U16 = NDArray[np.uint16]
ReadRows = Callable[[int, int], U16]
"""(frames, rows last - first, columns) counts of rows `first` to `last` - 1 of every frame."""

_ONE_SIGMA_BELOW = 0.15865525393145707  # share of normal values more than one sigma below the mean


@dataclass(frozen=True, eq=False)
class Background:
    """What the frames of one distance have in common.

    Attributes
    ----------
    median, maximum
        (rows, columns) lower median and greatest count of each pixel.
    noise
        (rows, columns) [counts] median less the count that 15.9 % of the frames stay below: one
        sigma of a normal distribution, untouched by spots, which only add. None if not asked for.
    """

    median: U16
    maximum: U16
    noise: U16 | None = None

    @property
    def maximum_corrected(self) -> U16:
        """Greatest count above the median: the published ``MaximumIntensityMedianCorrected``."""
        return np.asarray(self.maximum - self.median)

    def floor(self, blanket: int, sigmas: float = 0.0) -> U16:
        """Counts that a pixel must exceed to be lit: median + blanket + sigmas x noise.

        Raises
        ------
        ConfigError
            A number below 0, or `sigmas` without noise.
        """
        if blanket < 0 or not 0.0 <= sigmas < np.inf:
            raise ConfigError(
                f"blanket = {blanket} counts, sigmas = {sigmas}: expected numbers from 0",
                key="BlanketSubtraction",
            )
        level: F64 = self.median.astype(np.float64) + blanket
        if sigmas > 0.0:
            if self.noise is None:
                raise ConfigError("sigmas are given, but the noise was not measured", key="sigmas")
            # a pixel that never varied has the noise of its last digit
            level += np.ceil(sigmas * np.maximum(self.noise, 1))
        return np.minimum(level, 65535.0).astype(np.uint16)


@twin("arithmetic", stack="u2 n,p")
def order_statistic(stack: U16, rank: int) -> U16:
    """Count of each pixel that stands at a place of the sorted frames.

    Parameters
    ----------
    stack
        (n, p) counts of p pixels in n frames.
    rank
        Place from 0 to n - 1; others are taken as the nearer of the two.

    Returns
    -------
    (p,) one of the pixel's n counts; 0 without frames.
    """
    if len(stack) == 0:
        return np.zeros(stack.shape[1], dtype=np.uint16)
    return np.asarray(np.sort(stack, axis=0)[min(max(rank, 0), len(stack) - 1)])


def lower_median(stack: U16, *, threads: int | None = None) -> U16:
    """(p,) element (n - 1) / 2 of the sorted counts of (n, p): the published median (spec 1.8)."""
    return order_statistic(stack, (len(stack) - 1) // 2, threads=threads)  # type: ignore[call-arg]


def rows_in_memory(n_frames: int, n_columns: int, memory_mb: float) -> int:
    """Rows of all frames that fit into so many megabytes [1e6 bytes], at least one."""
    return max(1, int(memory_mb * 1e6 / (2 * max(n_frames * n_columns, 1))))


def background_of(
    read_rows: ReadRows,
    n_frames: int,
    shape: tuple[int, int],
    *,
    memory_mb: float = 128.0,
    with_noise: bool = False,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Background:
    """Median, maximum and noise of every pixel, by blocks of rows.

    Parameters
    ----------
    read_rows
        Called as ``read_rows(first, last)``, see :data:`ReadRows`.
    n_frames
        Number of frames, at least one.
    shape
        (rows, columns) of a frame.
    memory_mb
        For one block of rows.
    with_noise
        Measure :attr:`Background.noise` too.
    threads
        Does not change a bit of the result.
    progress
        Called with the rows done and all rows.

    Raises
    ------
    ConfigError
        No frame.
    """
    if n_frames < 1:
        raise ConfigError(f"background_of: {n_frames} frames: expected at least one", got=n_frames)
    n_rows, n_columns = shape
    median, maximum = np.empty(shape, np.uint16), np.empty(shape, np.uint16)
    noise = np.empty(shape, np.uint16) if with_noise else None
    step = rows_in_memory(n_frames, n_columns, memory_mb)
    for first in range(0, n_rows, step):
        last = min(first + step, n_rows)
        stack = read_rows(first, last).reshape(n_frames, -1)
        part = lower_median(stack, threads=threads)
        median[first:last] = part.reshape(-1, n_columns)
        maximum[first:last] = stack.max(axis=0).reshape(-1, n_columns)
        if noise is not None:
            rank = int(_ONE_SIGMA_BELOW * (n_frames - 1))
            low = order_statistic(stack, rank, threads=threads)  # type: ignore[call-arg]
            noise[first:last] = (part - low).reshape(-1, n_columns)
        del stack  # before the next block takes its room
        if progress is not None:
            progress(last, n_rows)
    return Background(median, maximum, noise)
