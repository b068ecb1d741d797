"""From strong pixels to spots: labels that grow image by image, and what is measured of a spot.

Pixels that share a side, in an image or from one image to the next, belong to one spot. Images come
one at a time: a spot stays open as long as the newest image holds a pixel of it, so memory goes
with the spots that are open and not with the number of images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_offsets, check_within
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["join_frame", "measure_spots"]

I32 = NDArray[np.int32]


def _check_links(index: I64, previous: I64, previous_label: I64, n_open: int, n_fast: int) -> None:
    check_within("n_open", n_open, 0, 2**31 - 1)
    check_within("n_fast", n_fast, 1, 2**31 - 1)
    check_within("previous_label", previous_label, 0, n_open - 1)
    for name, pixels in (("index", index), ("previous", previous)):
        if len(pixels) and (pixels[0] < 0 or not (pixels[1:] > pixels[:-1]).all()):
            raise ConfigError(f"{name} does not rise from 0 or more")
        check_within(name, pixels[-1:], 0, 2**62)


@twin("arithmetic", check=_check_links, index="i8 n", previous="i8 m", previous_label="i8 m")
def join_frame(
    index: I64, previous: I64, previous_label: I64, n_open: int, n_fast: int
) -> tuple[I64, I64]:
    """Label the strong pixels of an image, joined to the open spots of the image before.

    Parameters
    ----------
    index
        (n,) flat index of the strong pixels, rising.
    previous
        (m,) the same of the image before.
    previous_label
        (m,) open spot of each of those, 0 to `n_open` - 1.
    n_open
        Number of open spots.
    n_fast
        Pixels in a row.

    Returns
    -------
    label
        (n,) new label of each pixel. Labels count from 0 by first appearance, where the open spots
        come first, in their order, and then the pixels.
    became
        (n_open,) new label of each open spot; equal for spots that this image joined.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(index)
    pixel = np.arange(n)
    right = np.flatnonzero((np.diff(index) == 1) & (index[1:] % n_fast != 0))
    _, upper, lower = np.intersect1d(index + n_fast, index, True, return_indices=True)
    _, before, now = np.intersect1d(previous, index, True, return_indices=True)
    one = np.concatenate([n_open + right, n_open + upper, previous_label[before]])
    two = n_open + np.concatenate([right + 1, lower, now])
    size = n_open + len(pixel)
    links = coo_array((np.ones(len(one), dtype=np.int8), (one, two)), shape=(size, size))
    raw = connected_components(links, directed=False)[1] if size else np.empty(0, dtype=np.int64)
    _, first, inverse = np.unique(raw, return_index=True, return_inverse=True)
    label = np.argsort(np.argsort(first))[inverse].astype(np.int64)
    return label[n_open:], label[:n_open]


def _check_spots(position: I32, counts: I32, offsets: I64) -> None:
    check_offsets("offsets", offsets, None, len(counts), "counts")
    check_within("position", position, -(2**31), 2**31 - 2)  # a box ends one further
    ends = (offsets[0], offsets[-1]) if len(offsets) else (0, 0)
    if ends != (0, len(counts)) or (offsets[1:] == offsets[:-1]).any():
        raise ConfigError("offsets leave out pixels, or a spot has none")


@twin("arithmetic", check=_check_spots, position="i4 n,3", counts="i4 n", offsets="i8 b")
def measure_spots(position: I32, counts: I32, offsets: I64) -> tuple[I32, F64, F64, F64, I32]:
    r"""Measure spots: bounding box, intensity, centroid with its variance, and highest pixel.

    With counts p at pixel centres r = index + 1/2 and :math:`S = \sum p`, for each axis

    .. math::
        \bar r = \frac{\sum p r}{S}, \qquad
        \sigma^2 = \frac{1}{S} \cdot \frac{S \sum p (r - \bar r)^2}{S^2 - \sum p^2} + \frac1{12}

    and 1/12 alone for a single pixel.

    Parameters
    ----------
    position
        (n, 3) fast, slow and image index of the pixels, spot by spot.
    counts
        (n,) above zero.
    offsets
        (k + 1,) spot i holds pixels ``offsets[i]:offsets[i + 1]``, at least one.

    Returns
    -------
    box
        (k, 6) first and one past the last fast, slow and image index.
    total
        (k,) sum of the counts.
    centroid, variance
        (k, 3) [px, px, images] and their squares.
    peak
        (k, 3) the first pixel with the highest count.

    Notes
    -----
    Source: DIALS, the unbiased variance of a centroid; the twelfth is the variance of a position
    within a pixel.
    """
    k = max(len(offsets) - 1, 0)
    spot = np.repeat(np.arange(k), np.diff(offsets))
    p = counts.astype(np.float64)
    total, squares = _sum_by(spot, p, k), _sum_by(spot, p * p, k)
    centroid, variance = np.empty((k, 3)), np.empty((k, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        for axis in range(3):
            r = position[:, axis] + 0.5
            centroid[:, axis] = _sum_by(spot, p * r, k) / total
            away = r - centroid[spot, axis]
            moment = _sum_by(spot, p * (away * away), k)
            freedom = total * total - squares
            unbiased = np.where(freedom > 0.0, moment * total / freedom, 0.0)
            variance[:, axis] = unbiased / total + 1.0 / 12.0
    box, peak = np.empty((k, 6), dtype=np.int32), np.empty((k, 3), dtype=np.int32)
    for i in range(k):
        inside = slice(offsets[i], offsets[i + 1])
        box[i, 0::2] = position[inside].min(axis=0)
        box[i, 1::2] = position[inside].max(axis=0) + 1
        peak[i] = position[inside][np.argmax(counts[inside])]
    return box, total, centroid, variance, peak


def _sum_by(spot: I64, values: F64, k: int) -> F64:
    """Sum the values of each spot, in their order."""
    return np.bincount(spot, values, k).astype(np.float64)
