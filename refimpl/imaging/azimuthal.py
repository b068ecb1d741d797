r"""Sums of pixels by bin: the arithmetic of azimuthal integration and caking.

Which bin a pixel belongs to is settled once for a geometry (:class:`PixelBins`); what is left for
each frame is one streaming pass, :math:`S_b = \sum_{i \in b} v_i`. A pixel belongs to the bin of
its centre. Splitting is by a k x k grid of sub-pixels, each of which belongs to the bin of its own
centre: :math:`S_b = \sum_i (m_{ib} / k^2)\, v_i`, where m counts the sub-pixels of i in b. Not
modelled: the exact area that a curved bin cuts from a pixel, which k -> infinity gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_within
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["MOST_SUBPIXELS", "PixelBins", "bin_index", "bin_sums", "native", "split_sums"]

I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

MOST_SUBPIXELS = 15
"""Sub-pixels a side; shares, up to its square, fit into one byte."""

MOST_BLOCKS = 16
"""Blocks that a frame is summed in, hence the most threads that can help."""

WIDE = 65536
"""Bins from which four tables of sums no longer fit into a cache; then there is one."""


def _check_sums(
    values: NDArray[np.generic], bins: I32, n_bins: int, blocks: int, lanes: int
) -> None:
    if lanes not in (1, 4):
        raise ConfigError(f"bin_sums: lanes = {lanes}: expected 1 or 4")
    _check_order(values, len(bins), n_bins, blocks)


def _check_order(values: NDArray[np.generic], n: int, n_bins: int, blocks: int) -> None:
    if values.shape != (n,):
        raise ConfigError(f"values have shape {values.shape}: expected ({n})")
    check_within("n_bins", n_bins, 0, 2**31 - 2)  # an int32 and a spare bin
    check_within("blocks", blocks, 1, MOST_BLOCKS)


@twin("arithmetic", check=_check_sums, bins="i4 n")
def bin_sums(values: NDArray[np.generic], bins: I32, n_bins: int, blocks: int, lanes: int) -> F64:
    """Sum of the values in each bin.

    Parameters
    ----------
    values
        (n,) of any integer type, float32 or float64; NaN and infinity spoil the bin that they
        fall into, and no other.
    bins
        (n,) bin of each value; any number outside 0..n_bins-1 leaves the value out.
    n_bins
        Number of bins.
    blocks, lanes
        Order of the sum: the values are cut into `blocks` runs of equal length, a multiple of
        `lanes`; every `lanes`-th value of a run is added one after another from 0, and these
        partial sums are added in order of run and lane. So nothing depends on the threads.
        `lanes` is 1 or 4.

    Returns
    -------
    (n_bins,) in the unit of the values; 0 where a bin is empty.

    Notes
    -----
    Sums of integers are exact below 2**53. Twin: ``refimpl/_ext/azimuthal.pyx``.
    """
    total = np.zeros(n_bins)
    n = len(bins)
    place = np.where((bins >= 0) & (bins < n_bins), bins, n_bins)
    size = -(-n // (blocks * lanes)) * lanes
    for first in range(0, n, max(size, 1)):
        for lane in range(lanes):
            take = slice(first + lane, first + size, lanes)
            # bincount adds one value after another, in order
            part = np.bincount(place[take], values[take].astype(np.float64), minlength=n_bins + 1)
            total = total + part[:n_bins]
    return total


def _check_shares(values: NDArray[np.generic], n_bins: int, blocks: int) -> None:
    _check_order(values, values.size, n_bins, blocks)


@twin("arithmetic", check=_check_shares, pixel="i4 m", bins="i4 m", share="u1 m")
def split_sums(
    values: NDArray[np.generic], pixel: I32, bins: I32, share: U8, n_bins: int, blocks: int
) -> tuple[F64, F64]:
    """Sums of share times value, and of share squared times value, in each bin.

    Parameters
    ----------
    values
        (n,) as in :func:`bin_sums`.
    pixel, bins, share
        (m,) entries: value ``pixel`` counts ``share`` times in bin ``bins``. An entry whose pixel
        or bin is out of range is left out.
    n_bins
        Number of bins.
    blocks
        The entries are cut into so many runs of equal length; a run is added entry after entry,
        the sums of the runs in order.

    Returns
    -------
    linear, squared
        (n_bins,) each; the second carries the variance of the first.
    """
    linear, squared = np.zeros(n_bins), np.zeros(n_bins)
    m, n = len(bins), len(values)
    if n == 0:
        return linear, squared
    good = (bins >= 0) & (bins < n_bins) & (pixel >= 0) & (pixel < n)
    place = np.where(good, bins, n_bins)
    weight = share.astype(np.float64)
    terms = weight * values[np.where(good, pixel, 0)].astype(np.float64)
    size = -(-m // blocks)
    for first in range(0, m, max(size, 1)):
        run = slice(first, first + size)
        for total, term in ((linear, terms[run]), (squared, weight[run] * terms[run])):
            total += np.bincount(place[run], term, minlength=n_bins + 1)[:n_bins]
    return linear, squared


def bin_index(x: F64, edges: F64) -> I32:
    """Bin of each number among bins of equal width: ``edges[b] <= x < edges[b + 1]``.

    Parameters
    ----------
    x
        (...) numbers, NaN allowed.
    edges
        (b + 1,) rising, equally spaced to rounding.

    Returns
    -------
    (...) int32; -1 outside and for NaN. The last bin includes its upper edge, as in
    ``numpy.histogram``.
    """
    n = len(edges) - 1
    low, high = edges[0], edges[-1]
    with np.errstate(invalid="ignore", over="ignore"):
        inside = (x >= low) & (x <= high)
        guess = np.where(inside, (x - low) * (n / (high - low)), 0.0).astype(np.int32)
    guess = np.minimum(guess, n - 1)
    # the product can be a rounding off the edges, which are what counts
    guess -= x < edges[guess]
    guess += (x >= edges[guess + 1]) & (guess < n - 1)
    return np.where(inside, guess, -1).astype(np.int32)


def native(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """(n,) flat view of an array as a type that the twins read, without a copy where possible.

    Raises
    ------
    ConfigError
        The array does not hold real numbers.
    """
    if values.dtype.kind == "b":
        values = values.view(np.uint8)
    elif values.dtype.kind == "f" and values.dtype.itemsize not in (4, 8):
        values = values.astype(np.float32 if values.dtype.itemsize < 4 else np.float64)
    elif values.dtype.kind not in "iuf":
        raise ConfigError(f"values of type {values.dtype}: expected real numbers")
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")).reshape(-1)


@dataclass(frozen=True, eq=False)
class PixelBins:
    """Which pixels make up which bin, for one geometry, range and mask.

    Attributes
    ----------
    n_pixels, n_bins
        Pixels of the image, flat; bins.
    bins
        (n_pixels,) bin of each pixel or -1; with splitting (m,) bin of each entry.
    pixel, share
        (m,) pixel of each entry and how many of its sub-pixels it stands for; None without
        splitting.
    subpixels
        Sub-pixels a side, 1 without splitting.
    """

    n_pixels: int
    n_bins: int
    bins: I32
    pixel: I32 | None = None
    share: U8 | None = None
    subpixels: int = 1

    @classmethod
    def split(
        cls, n_pixels: int, n_bins: int, subpixels: int, parts: Iterable[tuple[int, I32]]
    ) -> PixelBins:
        """Make the entries from the bins of all sub-pixels.

        Parameters
        ----------
        n_pixels, n_bins, subpixels
            See the class.
        parts
            Pairs (first pixel, (subpixels**2, k) bins of the sub-pixels of the k pixels from
            there); -1 for none.
        """
        pixel, bins, share = [], [], []
        for first, found in parts:
            stack = np.sort(found, axis=0)
            start = np.ones(stack.shape, dtype=bool)
            start[1:] = stack[1:] != stack[:-1]
            # by pixel, then by bin, so that entries follow the image
            which, rank = np.nonzero(start.T)
            ends = np.append(rank[1:], 0)
            ends[ends == 0] = len(stack)
            kept = stack[rank, which] >= 0
            pixel.append((first + which[kept]).astype(np.int32))
            bins.append(stack[rank, which][kept])
            share.append((ends - rank)[kept].astype(np.uint8))
        empty = np.empty(0, dtype=np.int32)
        return cls(
            n_pixels,
            n_bins,
            np.concatenate([empty, *bins]),
            np.concatenate([empty, *pixel]),
            np.concatenate([empty.astype(np.uint8), *share]),
            subpixels,
        )

    @property
    def lanes(self) -> int:
        """Tables of sums a block; see :func:`bin_sums`."""
        return 1 if self.n_bins >= WIDE else 4

    @property
    def blocks(self) -> int:
        """Blocks of a frame: few enough that adding their sums is a quarter of the work."""
        return max(1, min(MOST_BLOCKS, len(self.bins) // (4 * self.lanes * max(self.n_bins, 1))))

    def sums(self, values: NDArray[np.generic], *, threads: int | None = None) -> F64:
        """(n_bins,) sum of the values in each bin, each pixel by its share."""
        return self.sums_and_squares(values, threads=threads)[0]

    def sums_and_squares(
        self, values: NDArray[np.generic], *, threads: int | None = None
    ) -> tuple[F64, F64]:
        """Sums with each pixel by its share, and by its share squared.

        Parameters
        ----------
        values
            One number a pixel, any shape and real type, in the order of the pixels.
        threads
            See :func:`refimpl.dispatch.resolve_threads`; the sums do not depend on it.

        Returns
        -------
        linear, squared
            (n_bins,) each; the same array without splitting.

        Raises
        ------
        ConfigError
            The values do not fit the pixels, or are no real numbers.
        """
        if values.size != self.n_pixels:
            raise ConfigError(f"{values.size} values: expected one for each of {self.n_pixels} px")
        flat = native(values)
        if self.pixel is None or self.share is None:
            total = bin_sums(
                flat,
                self.bins,
                self.n_bins,
                self.blocks,
                self.lanes,
                threads=threads,  # type: ignore[call-arg]
            )
            return total, total
        linear, squared = split_sums(
            flat,
            self.pixel,
            self.bins,
            self.share,
            self.n_bins,
            self.blocks,
            threads=threads,  # type: ignore[call-arg]
        )
        area = float(self.subpixels**2)
        return linear / area, squared / (area * area)
