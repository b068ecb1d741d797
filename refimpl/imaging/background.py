"""Background of an image with rings: a median over blocks (fast), or the published median filter.

Both take a median because rings cover a minor part of any neighbourhood wider than they are.
:func:`fast_background` is a grid of block medians, interpolated: linear in the number of pixels.
:func:`median_background` is the filter of the published automatic calibration, five passes of a
disk 101 px across; it is exact and costs seconds. Not modelled: backgrounds with structure finer
than the block or the disk, such as a beam-stop holder's edge.

The sliding histogram of the compiled filter: T. S. Huang, G. J. Yang and G. Y. Tang, IEEE Trans.
Acoust. Speech Signal Process. 27 (1979) 13, doi:10.1109/TASSP.1979.1163188.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["disk", "fast_background", "median_background", "median_of_disk"]


def fast_background(image: F64, mask: NDArray[np.bool_], block: int = 32) -> F64:
    """Median of square blocks of good pixels, interpolated bilinearly to every pixel.

    Parameters
    ----------
    image
        (n_slow, n_fast) [counts].
    mask
        (n_slow, n_fast) True where a pixel is bad; NaN and infinite pixels are bad as well.
    block
        Side of a block [px], about twice the width of a ring or more.

    Returns
    -------
    (n_slow, n_fast) [counts], finite everywhere. A block without good pixels takes the value of
    the nearest block that has some; outside the outermost block centres the value is constant.

    Raises
    ------
    ConfigError
        The shapes differ, ``block`` is below 2, or no pixel is good.
    """
    data = np.asarray(image, dtype=np.float64)
    if data.ndim != 2 or data.shape != np.shape(mask):
        raise ConfigError(
            f"fast_background: image {data.shape} and mask {np.shape(mask)}: "
            "expected the same two-dimensional shape"
        )
    if block < 2:
        raise ConfigError(f"fast_background: block = {block} px: expected at least 2", got=block)
    good = ~np.asarray(mask, dtype=bool) & np.isfinite(data)
    if not good.any():
        raise ConfigError("fast_background: no good pixel: everything is masked or not finite")
    grid = _median_of_neighbours(_fill_nearest(_block_medians(data, good, block)))
    rows = _hat_weights(data.shape[0], grid.shape[0], block)
    columns = _hat_weights(data.shape[1], grid.shape[1], block)
    return np.ascontiguousarray(rows @ (grid @ columns.T))


def _block_medians(data: F64, good: NDArray[np.bool_], block: int) -> F64:
    """(rows, columns) of blocks; NaN where a block has no good pixel."""
    n_rows, n_columns = (-(-n // block) for n in data.shape)
    padded = np.full((n_rows * block, n_columns * block), np.inf)
    padded[: data.shape[0], : data.shape[1]] = np.where(good, data, np.inf)
    blocks = padded.reshape(n_rows, block, n_columns, block).swapaxes(1, 2)
    values = np.sort(blocks.reshape(n_rows * n_columns, block * block), axis=1)
    count = np.isfinite(values).sum(axis=1)  # bad pixels are infinite, hence last
    each = np.arange(len(values))
    medians = 0.5 * (values[each, np.maximum(count - 1, 0) // 2] + values[each, count // 2])
    return np.where(count > 0, medians, np.nan).reshape(n_rows, n_columns)


def _fill_nearest(grid: F64) -> F64:
    """Give each empty block the value of the nearest block that has one."""
    from scipy.ndimage import distance_transform_edt

    empty = np.isnan(grid)
    if not empty.any():
        return grid
    nearest = distance_transform_edt(empty, return_distances=False, return_indices=True)
    return grid[tuple(nearest)]


def _median_of_neighbours(grid: F64) -> F64:
    """Median over 3 x 3 blocks: a block that a broad ring fills is outvoted."""
    padded = np.pad(grid, 1, mode="symmetric")
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    return np.median(around, axis=(2, 3))


def _hat_weights(n: int, n_blocks: int, block: int) -> F64:
    """(n, n_blocks) weights of linear interpolation between block centres; constant outside."""
    last = n - (n_blocks - 1) * block  # the last block may be cut
    centres = np.arange(n_blocks) * block + 0.5 * (block - 1)
    centres[-1] = (n_blocks - 1) * block + 0.5 * (last - 1)
    at = np.arange(n, dtype=np.float64)
    if n_blocks == 1:
        return np.ones((n, 1))
    left = np.clip(np.searchsorted(centres, at, side="right") - 1, 0, n_blocks - 2)
    share = np.clip((at - centres[left]) / (centres[left + 1] - centres[left]), 0.0, 1.0)
    weights = np.zeros((n, n_blocks))
    weights[np.arange(n), left] = 1.0 - share
    weights[np.arange(n), left + 1] += share
    return weights


def median_background(image: F64, size: int = 101, passes: int = 5) -> F64:
    """Exact median over a disk, repeated: the published background.

    Parameters
    ----------
    image
        (n_slow, n_fast) [counts], finite. Masked pixels count like others, as published.
    size
        Diameter of the disk [px], odd.
    passes
        Number of passes.

    Returns
    -------
    (n_slow, n_fast) [counts]; every value occurs in `image`.

    Raises
    ------
    ConfigError
        The image has not two dimensions or is not finite, or `size` is even or below 1.

    Notes
    -----
    Same as DIPlib 3.6 ``MedianFilter(image, size)``, whose kernel is a disk and whose image is
    mirrored about the centres of its outermost pixels.
    """
    data = np.asarray(image, dtype=np.float64)
    if data.ndim != 2 or data.size == 0:
        raise ConfigError(
            f"median_background: shape {data.shape}: expected a two-dimensional image"
        )
    if not np.isfinite(data).all():
        count = int((~np.isfinite(data)).sum())
        raise ConfigError(f"median_background: {count} of {data.size} pixels are not finite")
    if size < 1 or size % 2 == 0:
        raise ConfigError(f"median_background: size = {size} px: expected an odd number", got=size)
    levels, ranks = np.unique(data, return_inverse=True)
    filtered: NDArray[np.int32] = ranks.reshape(data.shape).astype(np.int32)
    for _ in range(passes):
        filtered = median_of_disk(filtered, size)
    return levels[filtered]


MOST_SIZE = 9999
"""Largest diameter of a disk [px]."""


def disk(size: int) -> NDArray[np.bool_]:
    """(size, size) footprint of the pixels whose centres are within size / 2 of the middle."""
    across = np.arange(size) - size // 2
    return across[:, None] ** 2 + across**2 <= (0.5 * size) ** 2


def _check_size(size: int) -> None:
    if not 1 <= size <= MOST_SIZE or size % 2 == 0:
        raise ConfigError(f"size = {size} px: expected an odd number up to {MOST_SIZE}", got=size)


@twin("arithmetic", check=_check_size, ranks="i4 n,m")
def median_of_disk(ranks: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Median of each pixel's disk of odd diameter; the image is mirrored beyond its edge.

    Parameters
    ----------
    ranks
        (n, m) whole numbers from 0; what they stand for does not matter.
    size
        Diameter of the disk [px].

    Returns
    -------
    (n, m)
    """
    from scipy.ndimage import median_filter

    if ranks.size == 0:
        return ranks.copy()
    return np.asarray(median_filter(ranks, footprint=disk(size), mode="mirror"))
