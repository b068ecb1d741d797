"""Spots of a count in the manner of distl: they grow from local maxima over what is high.

Not modelled: spots that touch are one, however many maxima they have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_within
from refimpl.dispatch import twin
from refimpl.frames import I64

__all__ = ["grow_spots"]

I32 = NDArray[np.int32]
F32 = NDArray[np.float32]


def _check_margin(margin: int) -> None:
    check_within("margin", margin, 1, 2**24)  # a spot looks one pixel further


@twin("arithmetic", check=_check_margin, image="i4 s,f", signal="f4 s,f")
def grow_spots(
    image: I32,
    signal: F32,
    margin: int,
    underload: int,
    overload: int,
    height: float,
    neighbours: int,
) -> tuple[I64, I64, I64, I64, I64, I64]:
    """Grow spots from local maxima.

    A maximum is a pixel of at least `overload` counts, or one with Z above `height`, counts above
    `underload`, no neighbour of the eight above it, and more than `neighbours` of them with Z above
    `height`. From the last maximum of the image to the first, unless a spot has reached it, a spot
    takes in what touches it (eight ways) with Z above `height`; a pixel below that is on its
    border, and on the border of the first spot that comes there only.

    Parameters
    ----------
    image
        (s, f) counts.
    signal
        (s, f) Z of :func:`refimpl.imaging.distl_signal.local_signal`.
    margin
        Pixels left out at each edge of the image; maxima stay one pixel further inside.
    underload, overload
        Counts, see above.
    height
        Least Z of a pixel of a spot.
    neighbours
        See above.

    Returns
    -------
    body, body_offsets
        Flat indices of the pixels of spot i: ``body[body_offsets[i]:body_offsets[i + 1]]``, in the
        order in which a depth-first search comes to them. A spot can be empty (an overload with Z
        below `height`).
    border, border_offsets
        The same of the pixels around it.
    maxima
        (k,) maxima in the spot.
    peak
        (k,) flat index of the highest maximum, the first of equals; -1 of an empty spot.
    """
    n_slow, n_fast = image.shape
    peaked = _maxima(image, signal, margin, underload, overload, height, neighbours)
    closed = np.ones((n_slow, n_fast), dtype=bool)  # the margin counts as visited
    closed[margin : n_slow - margin, margin : n_fast - margin] = False
    visited, high = closed.reshape(-1), (signal > np.float64(height)).reshape(-1)
    around = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
    steps = [slow * n_fast + fast for fast, slow in around]
    body: list[list[int]] = []
    border: list[list[int]] = []
    for start in np.flatnonzero(peaked)[::-1].tolist():
        if visited[start]:
            continue
        body.append([])
        border.append([])
        stack = [start]
        while stack:
            at = stack.pop()
            if visited[at]:
                continue
            visited[at] = True
            if high[at]:
                body[-1].append(at)
                stack.extend(at + step for step in steps)
            else:
                border[-1].append(at)
    values = image.reshape(-1)
    tops = [[at for at in spot if peaked[at]] for spot in body]
    peak = [max(spot, key=lambda at: values[at]) if spot else -1 for spot in tops]
    return (
        *_as_csr(body),
        *_as_csr(border),
        np.array([len(spot) for spot in tops], dtype=np.int64),
        np.array(peak, dtype=np.int64),
    )


def _maxima(
    image: I32,
    signal: F32,
    margin: int,
    underload: int,
    overload: int,
    height: float,
    neighbours: int,
) -> NDArray[np.bool_]:
    """Whether a pixel is a maximum, flat."""
    found = np.zeros(image.shape, dtype=bool)
    edge = margin + 1
    n_slow, n_fast = image.shape
    if n_slow <= 2 * edge or n_fast <= 2 * edge:
        return found.reshape(-1)
    middle = (slice(edge, n_slow - edge), slice(edge, n_fast - edge))
    value, good = image[middle], signal[middle] > np.float64(height)
    good &= value > underload
    high = np.zeros(value.shape, dtype=np.int64)
    for s in (-1, 0, 1):
        for f in (-1, 0, 1):
            if s or f:
                near = (slice(edge + s, n_slow - edge + s), slice(edge + f, n_fast - edge + f))
                good &= value >= image[near]
                high += signal[near] > np.float64(height)
    found[middle] = (value >= overload) | (good & (high > neighbours))
    return found.reshape(-1)


def _as_csr(lists: list[list[int]]) -> tuple[I64, I64]:
    offsets = np.append(0, np.cumsum([len(part) for part in lists])).astype(np.int64)
    return np.array([at for part in lists for at in part], dtype=np.int64), offsets
