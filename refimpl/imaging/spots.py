"""Spots of a series of images, found in one pass that holds one image at a time.

Strong pixels come from a dispersion threshold; those that touch, in an image or from one image to
the next, make a spot; spots of a wrong size, or whose highest pixel is far from the centroid, are
left out. The numbers are those of dials.find_spots. Not modelled: background under a spot (its
intensity is the sum of its strong pixels) and overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.frames import F64, I64
from refimpl.imaging.spot_labels import join_frame, measure_spots
from refimpl.imaging.spot_table import COLUMN_TYPES, STRONG, SpotSettings, SpotTable
from refimpl.imaging.spot_threshold import LARGEST_COUNT, dispersion, dispersion_extended

__all__ = [
    "COLUMN_TYPES",
    "STRONG",
    "PanelBox",
    "SpotSettings",
    "SpotTable",
    "find_spots",
    "strong_pixels",
]

I32 = NDArray[np.int32]
PanelBox = tuple[int, int, int, int]
"""First fast and slow pixel of a panel in the image, and its size (fast, slow)."""

_THRESHOLDS: dict[str, Any] = {
    "dispersion": dispersion,
    "dispersion_extended": dispersion_extended,
}
_INT32 = np.iinfo(np.int32)
_FLOOR = LARGEST_COUNT - 1  # counts further below zero are not summed either


def strong_pixels(
    image: I32,
    mask: NDArray[Any] | None,
    trusted_range: tuple[float, float],
    settings: SpotSettings,
    threads: int | None = None,
) -> NDArray[np.uint8]:
    """Mark the strong pixels of one image or panel.

    Parameters
    ----------
    image
        (s, f) counts.
    mask
        (s, f) non-zero where a pixel may be used, None for all.
    trusted_range
        Least and largest valid count, both included.
    settings
        Threshold and its parameters.
    threads
        As everywhere, see :func:`refimpl.dispatch.resolve_threads`.

    Returns
    -------
    (s, f) 1 for a strong pixel.
    """
    low, high = (min(max(float(v), -_FLOOR), _INT32.max) for v in trusted_range)
    usable = np.ones(image.shape, dtype=np.uint8) if mask is None else mask != 0
    marked: NDArray[np.uint8] = _THRESHOLDS[settings.threshold](
        image,
        usable,
        math.ceil(low),
        math.floor(high),
        *settings.kernel_size,
        settings.min_count,
        settings.sigma_background,
        settings.sigma_strong,
        settings.global_threshold,
        settings.gain or 0.0,
        threads=threads,
    )
    return marked


def find_spots(
    images: Iterable[NDArray[Any]],
    *,
    trusted_range: tuple[float, float],
    mask: NDArray[Any] | None = None,
    is_still: bool = False,
    first_frame: int = 0,
    panels: Sequence[PanelBox] | None = None,
    settings: SpotSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
    threads: int | None = None,
) -> SpotTable:
    """Find the spots of a rotation series, or of stills.

    Parameters
    ----------
    images
        (s, f) integer counts each, in the order of the scan; one is held at a time.
    trusted_range
        Least and largest valid count, both included.
    mask
        (s, f) non-zero where a pixel may be used; None for all. See
        :mod:`refimpl.imaging.spot_masks` for resolution limits, ice rings and untrusted areas.
    is_still
        Spots do not go on from one image to the next, and ``SpotTable.image`` counts the images.
    first_frame
        Index of the first image along the image axis.
    panels
        Panels that are searched each by itself, in their own pixel coordinates; None for the whole
        image as one panel.
    settings
        Threshold and filters; None for the defaults.
    progress
        Called after each image with the number of images done and the strong pixels of that image.
    threads
        Threads for the threshold.

    Returns
    -------
    The spots that passed the filters, and the counts.

    Raises
    ------
    FormatError
        An image that is not a 2-D array of integers, or not of the shape of the others.
    ConfigError
        A mask of another shape, an empty trusted range, or a panel outside the image.
    ConvergenceError
        An image with too large a part of strong pixels.
    """
    settings = settings or SpotSettings()
    if not trusted_range[0] <= trusted_range[1]:
        raise ConfigError(f"trusted_range={trusted_range}: expected (least, largest)")
    streams: list[_Stream] | None = None
    boxes: list[PanelBox] = []
    shape: tuple[int, ...] = ()
    strong: list[int] = []
    for number, image in enumerate(images):
        if streams is None:
            shape = np.shape(image)
            boxes = _checked_boxes(panels, mask, shape, number)
            streams = [_Stream(i, b[2], is_still, settings) for i, b in enumerate(boxes)]
        counts = _checked_image(image, shape, number)
        strong.append(0)
        for stream, (fast, slow, n_fast, n_slow) in zip(streams, boxes, strict=True):
            part = (slice(slow, slow + n_slow), slice(fast, fast + n_fast))
            values = np.ascontiguousarray(counts[part])
            good = None if mask is None else mask[part]
            marked = strong_pixels(values, good, trusted_range, settings, threads)
            index = np.flatnonzero(marked.view(np.bool_))  # three times as fast as of bytes
            strong[-1] += len(index)
            stream.add(index, values.reshape(-1)[index], first_frame + number, number)
        _check_strong(strong[-1], sum(b[2] * b[3] for b in boxes), number, settings)
        if progress is not None:
            progress(number + 1, strong[-1])
    return _as_table(streams or [], np.array(strong, dtype=np.int64), first_frame)


def _checked_boxes(
    panels: Sequence[PanelBox] | None,
    mask: NDArray[Any] | None,
    shape: tuple[int, ...],
    number: int,
) -> list[PanelBox]:
    if len(shape) != 2:
        raise FormatError(f"image {number} has shape {shape}: expected (slow, fast)")
    if mask is not None and mask.shape != shape:
        raise ConfigError(f"the mask has shape {mask.shape}, the images {shape}: expected the same")
    if panels is None:
        return [(0, 0, shape[1], shape[0])]
    for i, (fast, slow, n_fast, n_slow) in enumerate(panels):
        inside = fast >= 0 and slow >= 0 and fast + n_fast <= shape[1] and slow + n_slow <= shape[0]
        if not inside or n_fast < 1 or n_slow < 1:
            raise ConfigError(
                f"panel {i} of {n_fast} x {n_slow} px at ({fast}, {slow}) does not lie in the "
                f"image of {shape[1]} x {shape[0]} px (fast x slow)"
            )
    return list(panels)


def _checked_image(image: NDArray[Any], shape: tuple[int, ...], number: int) -> I32:
    counts = np.asarray(image)
    if counts.shape != shape:
        raise FormatError(f"image {number} has shape {counts.shape}, the first {shape}")
    if counts.dtype.kind not in "iu":
        raise FormatError(f"image {number} is of type {counts.dtype}: expected integer counts")
    if counts.dtype.itemsize > 2 and counts.dtype != np.int32:
        # counts beyond int32 (the marks of bad pixels in unsigned files) end up untrusted
        low, high = (0 if counts.dtype.kind == "u" else _INT32.min), _INT32.max
        counts = np.where((counts >= low) & (counts <= high), counts, _INT32.min)
    return np.ascontiguousarray(counts, dtype=np.int32)


def _check_strong(n_strong: int, n_pixels: int, number: int, settings: SpotSettings) -> None:
    allowed = settings.max_strong_pixel_fraction * n_pixels
    if n_strong > allowed:
        raise ConvergenceError(
            f"image {number}: {n_strong} of {n_pixels} pixels are strong, at most {allowed:.0f} "
            "are accepted (max_strong_pixel_fraction): raise global_threshold or sigma_strong, or "
            "check mask and gain"
        )


@dataclass
class _Stream:
    """Pixels of the open spots of one panel, and what was measured of the closed ones."""

    panel: int
    n_fast: int
    is_still: bool
    settings: SpotSettings
    n_open: int = 0
    previous: I64 = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    previous_label: I64 = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    # columns label, flat index, image, counts of the pixels of the open spots
    held: I64 = field(default_factory=lambda: np.empty((4, 0), dtype=np.int64))
    closed: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    counts: I64 = field(default_factory=lambda: np.zeros(4, dtype=np.int64))

    def add(self, index: I64, counts: I32, frame: int, number: int) -> None:
        """Take in the strong pixels of the next image; close what it does not go on with."""
        if self.is_still:
            self.close(np.ones(self.n_open, dtype=bool), number - 1)
        label, became = join_frame(
            index, self.previous, self.previous_label, self.n_open, self.n_fast
        )
        n_labels = max(int(label.max(initial=-1)), int(became.max(initial=-1))) + 1
        newest = np.stack([label, index, np.full_like(index, frame), counts.astype(np.int64)])
        held = self.held.copy()
        held[0] = became[held[0]]
        self.held = np.concatenate([held, newest], axis=1)
        self.n_open = n_labels
        self.previous, self.previous_label = index, label
        if not self.is_still:
            over = np.ones(n_labels, dtype=bool)
            over[label] = False
            self.close(over, 0)

    def close(self, over: NDArray[np.bool_], number: int) -> None:
        """Measure the open spots that are over, and number those that stay from 0."""
        if not over.any():
            return
        done = over[self.held[0]]
        pixels = self.held[:, done]
        # by spot; within a spot the pixels keep the order in which they came
        pixels = pixels[:, np.argsort(pixels[0], kind="stable")]
        self._measure(pixels, number)
        stays = np.cumsum(~over) - 1
        self.held = self.held[:, ~done]
        self.held[0] = stays[self.held[0]]
        if self.is_still:
            self.previous = self.previous_label = np.empty(0, dtype=np.int64)
        else:
            self.previous_label = stays[self.previous_label]
        self.n_open = int((~over).sum())

    def _measure(self, pixels: I64, number: int) -> None:
        label, index, frame, counts = pixels
        first = np.flatnonzero(np.r_[True, label[1:] != label[:-1]])
        size = np.diff(np.append(first, len(label)))
        small, large = size < self.settings.min_spot_size, size > self.settings.max_spot_size
        keep = ~(small | large)
        chosen = np.repeat(keep, size)
        place = np.stack([index % self.n_fast, index // self.n_fast, frame], axis=1)[chosen]
        offsets = np.append(0, np.cumsum(size[keep])).astype(np.int64)
        box, total, centroid, variance, peak = measure_spots(place, counts[chosen], offsets)
        far = _too_far(peak, centroid, self.settings.max_separation)
        self.counts += [len(size), small.sum(), large.sum(), far.sum()]
        near = ~far
        self.closed.append(
            {
                "box": box[near],
                "image": np.full(int(near.sum()), number, dtype=np.int32),
                "panel": np.full(int(near.sum()), self.panel, dtype=np.int32),
                "n_pixels": size[keep][near].astype(np.int32),
                "intensity": total[near],
                "position": centroid[near],
                "variance": variance[near],
                "frame": frame[first][keep][near],
                "index": index[first][keep][near],
            }
        )


def _too_far(peak: I32, centroid: F64, limit: float | None) -> NDArray[np.bool_]:
    if limit is None:
        return np.zeros(len(peak), dtype=bool)
    away = peak + 0.5 - centroid
    return np.asarray(np.sqrt((away * away).sum(axis=1)) > limit)


def _as_table(streams: list[_Stream], strong: I64, first_frame: int) -> SpotTable:
    for stream in streams:
        stream.close(np.ones(stream.n_open, dtype=bool), len(strong) - 1 if stream.is_still else 0)
    parts = [part for stream in streams for part in stream.closed]
    counts = sum((stream.counts for stream in streams), np.zeros(4, dtype=np.int64))
    if not parts:
        parts = [_nothing()]
    columns = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    order = np.lexsort(
        (columns.pop("index"), columns.pop("frame"), columns["panel"], columns["image"])
    )
    return SpotTable(
        **{name: column[order] for name, column in columns.items()},
        strong_per_image=strong,
        first_frame=first_frame,
        extracted=int(counts[0]),
        too_small=int(counts[1]),
        too_large=int(counts[2]),
        too_far=int(counts[3]),
    )


def _nothing() -> dict[str, NDArray[Any]]:
    whole, real = np.empty(0, dtype=np.int32), np.empty(0)
    return {
        "box": whole.reshape(0, 6),
        "image": whole,
        "panel": whole,
        "n_pixels": whole,
        "intensity": real,
        "position": real.reshape(0, 3),
        "variance": real.reshape(0, 3),
        "frame": np.empty(0, dtype=np.int64),
        "index": np.empty(0, dtype=np.int64),
    }
