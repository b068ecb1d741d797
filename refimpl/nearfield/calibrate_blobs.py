"""Blobs of lit pixels and where their centres are: what a smooth calibration compares with.

A spot of one crystal lights neighbouring pixels in a few neighbouring frames. Its blob is their
connected component; its centroid moves smoothly with the geometry, where the published overlap
(spec 1.9) is a staircase with plateaus (spec 6.3). Not modelled: spots of several crystals that
touch are one blob; the calibration drops blobs whose size or position is unlike the others'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["Blobs", "find_blobs"]

_NEIGHBOURS = ((0, 0, 1), (0, 1, -1), (0, 1, 0), (0, 1, 1), (1, 0, 0))
"""Forward steps (frame, Y, Z): eight neighbours in a frame, the same pixel of the next frame."""


@dataclass(frozen=True, eq=False)
class Blobs:
    """Connected components of lit pixels.

    Attributes
    ----------
    distance
        (b,) which detector distance.
    yz_px
        (b, 2) centroid; the centre of pixel (0, 0) is (0.5, 0.5).
    frame
        (b,) centroid in frames from the scan's start; the middle of frame 0 is 0.5.
    n_pixels
        (b,) lit pixels over all frames.
    n_frames
        (b,) frames from the first to the last.
    whole
        (b,) bool: it touches neither the detector's edge nor the first or last frame.
    """

    distance: I64
    yz_px: F64
    frame: F64
    n_pixels: I64
    n_frames: I64
    whole: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.distance)

    def of_distance(self, distance: int) -> Blobs:
        """Those at one distance."""
        keep = self.distance == distance
        return Blobs(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


def find_blobs(
    pixels: ArrayLike,
    shape: Sequence[int],
    *,
    weight: ArrayLike | None = None,
    least_pixels: int = 5,
) -> Blobs:
    """Connected components of lit pixels, with their centroids.

    Parameters
    ----------
    pixels
        (n, 4) integers, distance, frame, Y, Z, in any order, as from ``LitPixels.pixels()``; a
        pixel given twice counts once.
    shape
        (4,) numbers of distances, frames, Y and Z of the stack, as ``LitPixels.shape``.
    weight
        (n,) positive weight of each pixel in the centroid, such as its intensity; None: 1.
    least_pixels
        Smaller components are noise and left out.

    Raises
    ------
    ConfigError
        A pixel outside the stack, or weights that do not fit the pixels.
    """
    at = np.asarray(pixels, dtype=np.int64)
    if at.ndim != 2 or at.shape[1] != 4:
        raise ConfigError(f"find_blobs: pixels of shape {at.shape}: expected (n, 4)")
    value = np.ones(len(at)) if weight is None else np.asarray(weight, dtype=np.float64)
    if value.shape != (len(at),) or not (value > 0.0).all():
        raise ConfigError(
            f"find_blobs: weight of shape {value.shape}: expected {len(at)} positive numbers"
        )
    sizes = np.asarray(shape, dtype=np.int64)
    outside = np.asarray(((at < 0) | (at >= sizes)).any(axis=1))
    if outside.any():
        got = tuple(at[np.flatnonzero(outside)[0]].tolist())
        raise ConfigError(f"find_blobs: pixel {got} is outside the stack {tuple(sizes.tolist())}")
    # one empty pixel and frame all round, so that no neighbour wraps into the next row
    strides = np.cumprod([1, sizes[3] + 2, sizes[2] + 2])[::-1]
    key = (at[:, 0] * (sizes[1] + 2) + at[:, 1] + 1) * strides[0]
    key += (at[:, 2] + 1) * strides[1] + at[:, 3] + 1
    key, first = np.unique(key, return_index=True)
    label, count = _components(key, strides)
    return _table(at[first], value[first], label, count, sizes[1:], least_pixels)


def _components(key: I64, strides: I64) -> tuple[I64, int]:
    """Label of each sorted key, and the number of labels."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(key):
        return key, 0
    rows, columns = [], []
    for step in _NEIGHBOURS:
        wanted = key + int(np.dot(step, strides))
        at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        found = np.flatnonzero(key[at] == wanted)
        rows.append(found)
        columns.append(at[found])
    i, j = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(len(key), len(key)))
    count, label = connected_components(graph, directed=False)
    return label.astype(np.int64), int(count)


def _table(pixels: I64, value: F64, label: I64, count: int, sizes: I64, least: int) -> Blobs:
    """Centroids and sizes of labelled pixels (n, 4) [distance, frame, Y, Z]."""
    n = np.bincount(label, minlength=count)
    total = np.bincount(label, value, minlength=count)
    centre: Any = np.stack(
        [np.bincount(label, value * (pixels[:, i] + 0.5), minlength=count) for i in (1, 2, 3)],
        axis=1,
    )
    centre = centre / np.maximum(total, np.finfo(float).tiny)[:, None]
    low = np.full((count, 4), np.iinfo(np.int64).max)
    high = np.full((count, 4), -1)
    np.minimum.at(low, label, pixels)
    np.maximum.at(high, label, pixels)
    whole = np.asarray(((low[:, 1:] > 0) & (high[:, 1:] < sizes - 1)).all(axis=1))
    keep = n >= least
    return Blobs(
        low[keep, 0],
        centre[keep, 1:],
        centre[keep, 0],
        n[keep],
        (high - low)[keep, 1] + 1,
        whole[keep],
    )
