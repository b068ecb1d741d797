"""Spots of a series of images, found in one pass that holds one image at a time.

Strong pixels come from a dispersion threshold; those that touch, in an image or from one image to
the next, make a spot; spots of a wrong size, or whose highest pixel is far from the centroid, are
left out. The numbers are those of dials.find_spots. Not modelled: background under a spot (its
intensity is the sum of its strong pixels) and overlap.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import I64
from refimpl.imaging.spot_checks import (
    PanelBox,
    check_strong,
    checked_boxes,
    checked_image,
    gains,
)
from refimpl.imaging.spot_stream import Stream, as_table, joined
from refimpl.imaging.spot_table import COLUMN_TYPES, STRONG, SpotSettings, SpotTable
from refimpl.imaging.spot_threshold import LARGEST_COUNT, dispersion, dispersion_extended

__all__ = [
    "COLUMN_TYPES",
    "STRONG",
    "PanelBox",
    "SpotFinder",
    "SpotSettings",
    "SpotTable",
    "find_spots",
    "strong_pixels",
]

I32 = NDArray[np.int32]

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

    Raises
    ------
    ConfigError
        Gains of several panels.
    """
    low, high = (min(max(float(v), -_FLOOR), _INT32.max) for v in trusted_range)
    if isinstance(settings.gain, tuple):
        raise ConfigError("gain: several values for one image or panel: expected one", key="gain")
    gain = settings.gain or 0.0
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
        gain,
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
    finder = SpotFinder(
        trusted_range=trusted_range, mask=mask, is_still=is_still, first_frame=first_frame,
        panels=panels, settings=settings, threads=threads,
    )  # fmt: skip
    for image in images:
        strong = finder.add(image)
        if progress is not None:
            progress(finder.done, strong)
    return finder.table()


class SpotFinder:
    """Finds spots image by image; what :func:`find_spots` does, for those that may stop and go on.

    Parameters
    ----------
    trusted_range, mask, is_still, first_frame, panels, settings, threads
        As for :func:`find_spots`.

    Raises
    ------
    ConfigError
        An empty trusted range, or as many gains as there are no panels.
    """

    def __init__(
        self,
        *,
        trusted_range: tuple[float, float],
        mask: NDArray[Any] | None = None,
        is_still: bool = False,
        first_frame: int = 0,
        panels: Sequence[PanelBox] | None = None,
        settings: SpotSettings | None = None,
        threads: int | None = None,
    ) -> None:
        self.settings = settings or SpotSettings()
        if not trusted_range[0] <= trusted_range[1]:
            raise ConfigError(f"trusted_range={trusted_range}: expected (least, largest)")
        self.gains = gains(self.settings, 1 if panels is None else len(panels))
        self.trusted_range, self.mask, self.is_still = trusted_range, mask, is_still
        self.first_frame, self.panels, self.threads = first_frame, panels, threads
        self.strong: list[int] = []
        self._shape: tuple[int, ...] = ()
        self._boxes: list[PanelBox] = []
        self._streams: list[Stream] = []
        self._taken = 0
        self._whole = True

    @property
    def done(self) -> int:
        """Number of images taken in."""
        return len(self.strong)

    def add(self, image: NDArray[Any]) -> int:
        """Take in the next image; returns its number of strong pixels.

        Raises
        ------
        FormatError, ConfigError, ConvergenceError
            As :func:`find_spots`; the image is not taken in, and what was before it stands.
        """
        number = self.done
        if not self._streams:
            self._begin(np.shape(image), number)
        counts = checked_image(image, self._shape, number)
        marked = [self._strong_of(counts, i) for i in range(len(self._boxes))]
        strong = sum(len(index) for index, _ in marked)
        check_strong(strong, sum(b[2] * b[3] for b in self._boxes), number, self.settings)
        self._whole = False
        for stream, (index, values) in zip(self._streams, marked, strict=True):
            stream.add(index, values, self.first_frame + number, number)
        self.strong.append(strong)
        self._whole = True
        return strong

    def _begin(self, shape: tuple[int, ...], number: int) -> None:
        self._boxes = checked_boxes(self.panels, self.mask, shape, number)
        self._shape = shape
        self._streams = [
            Stream(i, b[2], self.is_still, self.settings) for i, b in enumerate(self._boxes)
        ]

    def _strong_of(self, counts: I32, panel: int) -> tuple[I64, I32]:
        """Flat index of the strong pixels of a panel, and their counts."""
        fast, slow, n_fast, n_slow = self._boxes[panel]
        part = (slice(slow, slow + n_slow), slice(fast, fast + n_fast))
        values = np.ascontiguousarray(counts[part])
        good = None if self.mask is None else self.mask[part]
        settings = self.settings
        if self.gains is not None:
            settings = replace(settings, gain=self.gains[panel])
        marked = strong_pixels(values, good, self.trusted_range, settings, self.threads)
        index = np.flatnonzero(marked.view(np.bool_))  # three times as fast as of bytes
        return index, values.reshape(-1)[index]

    def table(self) -> SpotTable:
        """The spots, the open ones closed: the last thing that is asked of a finder."""
        return as_table(self._streams, np.array(self.strong, dtype=np.int64), self.first_frame)

    def take(self) -> dict[str, NDArray[Any]] | None:
        """What came since the last call, and all that is open, as plain arrays.

        None while an image is half taken in. The closed spots leave the finder: a finder that
        takes all parts again with :meth:`restore` has them.
        """
        if not self._whole:
            return None
        out: dict[str, NDArray[Any]] = {
            "first": np.array(self._taken), "shape": np.array(self._shape, dtype=np.int64),
            "strong": np.array(self.strong[self._taken :], dtype=np.int64),
        }  # fmt: skip
        self._taken = self.done
        for i, stream in enumerate(self._streams):
            out |= {f"open.{i}.{name}": v for name, v in stream.state().items()}
        closed = joined([part for stream in self._streams for part in stream.closed])
        for stream in self._streams:
            stream.closed.clear()
        return out | {f"closed.{name}": v for name, v in closed.items()}

    def restore(self, parts: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        """Go on from what :meth:`take` gave, all parts in their order; before the first image."""
        for part in parts:
            if not len(part["shape"]):
                continue
            if not self._streams:
                self._begin(tuple(int(n) for n in part["shape"]), 0)
            self.strong += part["strong"].tolist()
            spots = {k.removeprefix("closed."): v for k, v in part.items() if "closed." in k}
            self._streams[0].closed.append(spots)
            for i, stream in enumerate(self._streams):
                own = f"open.{i}."
                state = {k.removeprefix(own): v for k, v in part.items() if k.startswith(own)}
                stream.restore(state)
        self._taken = self.done
