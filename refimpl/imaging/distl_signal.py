"""Local signal of the pixels of a spot count in the manner of distl.

The image is cut into boxes; in each a plane is fitted to the background and every pixel gets its
height above the plane in units of the scatter about it. Three passes leave out what the pass before
found high. Spots grow from local maxima over all touching pixels that are high. Not modelled:
Poisson statistics (the scatter is measured) and a plane that continues from box to box.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["LARGEST_BOX", "background_at", "local_signal"]

I32 = NDArray[np.int32]
F32 = NDArray[np.float32]

LARGEST_BOX = 1000
"""A box that finds too little background grows up to this size [px] on its slow side."""

_STEP = 2  # the background is sampled at every second pixel of every second row


def _check_boxes(
    image: I32, slow1: I64, fast1: I64, slow2: I64, fast2: I64, slow3: I64, fast3: I64
) -> None:
    """Boxes lie in the image and rise."""
    for k, boxes in enumerate((slow1, fast1, slow2, fast2, slow3, fast3)):
        size = image.shape[k % 2]
        first, last = boxes.T
        if len(first) and not (
            first[0] >= 0
            and last[-1] < size
            and (first <= last).all()
            and (first[1:] > last[:-1]).all()
        ):
            name = ("slow", "fast")[k % 2] + str(k // 2 + 1)
            raise ConfigError(f"{name}: the boxes do not rise within the {size} pixels")


@twin(
    "arithmetic",
    check=_check_boxes,
    image="i4 s,f",
    slow1="i8 a,2",
    fast1="i8 b,2",
    slow2="i8 c,2",
    fast2="i8 d,2",
    slow3="i8 g,2",
    fast3="i8 h,2",
)
def local_signal(
    image: I32,
    slow1: I64,
    fast1: I64,
    slow2: I64,
    fast2: I64,
    slow3: I64,
    fast3: I64,
    upper: float,
    underload: int,
) -> tuple[F32, F64, int]:
    r"""Height of each pixel above its local background in units of the scatter.

    For each pass and each box, slow outermost: over every second pixel of every second row with
    :math:`v` above `underload` and :math:`Z` below `upper`, a least-squares plane
    :math:`a\,s + b\,f + c` and its root mean square residual :math:`\sigma`; then
    :math:`Z = (v - a s - b f - c) / \sigma` for every pixel of the box. A box with fewer than two
    thirds of its samples in the background grows by a third of its smaller side on each side.

    Parameters
    ----------
    image
        (s, f) counts.
    slow1, fast1, slow2, fast2, slow3, fast3
        (., 2) first and last pixel of the boxes of each pass, rising; they do not overlap.
    upper
        Pixels at or above this Z are no background in the next pass.
    underload
        Pixels up to this value are no background.

    Returns
    -------
    signal
        (s, f) Z; 0 outside all boxes.
    planes
        (boxes, 3) slopes a, b and height c at the first pixel of the box, pass after pass, slow
        outermost; NaN where none was fitted. See :func:`background_at`.
    status
        0, or 1 where a box would have to grow beyond :data:`LARGEST_BOX` or the image; the pixels
        of the boxes from there on keep what they had.

    Notes
    -----
    Source: :cite:t:`zhang2006`; the passes and the plane as in the spotfinder of cctbx.
    """
    signal = np.zeros(image.shape, dtype=np.float32)
    passes = ((slow1, fast1), (slow2, fast2), (slow3, fast3))
    planes = np.full((sum(len(slow) * len(fast) for slow, fast in passes), 3), np.nan)
    row = 0
    for slow, fast in passes:
        for s0, s1 in slow.tolist():
            for f0, f1 in fast.tolist():
                samples = _background(image, signal, (s0, s1, f0, f1), upper, underload)
                if samples is None:
                    return signal, planes, 1
                a, b, c, scatter = _fit_plane(*samples)
                s, f = np.ogrid[: s1 - s0 + 1, : f1 - f0 + 1]
                box = (slice(s0, s1 + 1), slice(f0, f1 + 1))
                with np.errstate(all="ignore"):
                    above = image[box] - (a * s + b * f + c)
                    signal[box] = above * (1.0 / scatter if scatter != 0.0 else 0.0)
                planes[row] = a, b, c
                row += 1
    return signal, planes, 0


def background_at(pixel: I64, n_fast: int, boxes: Sequence[I64], planes: F64) -> F64:
    """Background of pixels by the planes of :func:`local_signal`.

    Parameters
    ----------
    pixel
        (n,) flat indices.
    n_fast
        Pixels in a row.
    boxes
        slow1, fast1, slow2, fast2, slow3, fast3 as they were given, rising.
    planes
        As they were returned.

    Returns
    -------
    (n,) counts, rounded to single precision as the signal is; 0 outside all boxes.
    """
    place = (pixel // n_fast, pixel % n_fast)
    value = np.zeros(len(pixel), dtype=np.float32)
    row = 0
    for slow, fast in zip(boxes[::2], boxes[1::2], strict=True):
        if len(slow) and len(fast):
            i, j = (_box_of(at, side) for at, side in zip(place, (slow, fast), strict=True))
            inside = np.flatnonzero((i >= 0) & (j >= 0))
            i, j = i[inside], j[inside]
            a, b, c = planes[row + i * len(fast) + j].T
            at = a * (place[0][inside] - slow[i, 0]) + b * (place[1][inside] - fast[j, 0]) + c
            fitted = ~np.isnan(at)
            value[inside[fitted]] = at[fitted]
        row += len(slow) * len(fast)
    return value.astype(np.float64)


def _box_of(at: I64, boxes: I64) -> I64:
    """Box of each position along one side, -1 outside."""
    box = np.searchsorted(boxes[:, 0], at, side="right") - 1
    box[(box >= 0) & (at > boxes[box, 1])] = -1
    return box


def _background(
    image: I32, signal: F32, box: tuple[int, int, int, int], upper: float, underload: int
) -> tuple[F64, F64, F64] | None:
    """Place relative to the box, and counts, of the background samples; None if too few."""
    s0, s1, f0, f1 = box
    high, wide = s1 - s0 + 1, f1 - f0 + 1
    wanted = high * wide * 2 // 3 // (_STEP * _STEP)
    grow = min(high, wide) // 3
    at_s, at_f = s0, f0
    while True:
        part = (slice(at_s, at_s + high, _STEP), slice(at_f, at_f + wide, _STEP))
        good = (signal[part] < np.float64(upper)) & (image[part] > underload)
        s, f = np.nonzero(good)
        if len(s) >= wanted:
            place = (_STEP * s + at_s - s0).astype(np.float64), _STEP * f + at_f - f0
            return place[0], place[1].astype(np.float64), image[part][good].astype(np.float64)
        high, wide = high + 2 * grow, wide + 2 * grow
        if high > min(LARGEST_BOX, image.shape[0]) or wide > image.shape[1] or grow == 0:
            return None
        at_s = min(max(0, at_s - grow), image.shape[0] - high)
        at_f = min(max(0, at_f - grow), image.shape[1] - wide)


def _fit_plane(s: F64, f: F64, v: F64) -> tuple[float, float, float, float]:
    """Slopes, height and rms residual, by the inverse of the normal matrix."""
    n = float(len(v))
    ss, sf, ff = float((s * s).sum()), float((s * f).sum()), float((f * f).sum())
    s1, f1, v1 = float(s.sum()), float(f.sum()), float(v.sum())  # integers: the order is free
    vs, vf = float((v * s).sum()), float((v * f).sum())
    det = np.float64(ss * (ff * n - f1 * f1) - sf * (sf * n - f1 * s1) + s1 * (sf * f1 - ff * s1))
    with np.errstate(all="ignore"):
        r0, r1, r2 = (ff * n - f1 * f1) / det, (s1 * f1 - sf * n) / det, (sf * f1 - s1 * ff) / det
        r4, r5, r8 = (ss * n - s1 * s1) / det, (s1 * sf - ss * f1) / det, (ss * ff - sf * sf) / det
        a = r0 * vs + r1 * vf + r2 * v1
        b = r1 * vs + r4 * vf + r5 * v1
        c = r2 * vs + r5 * vf + r8 * v1
        residual = v - a * s - b * f - c
        total = np.add.accumulate(np.append(0.0, residual * residual))[-1]  # in order
        return float(a), float(b), float(c), float(np.sqrt(total / n))
