"""What images, panels and gains must be for spots to be looked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.imaging.spot_table import SpotSettings

__all__ = ["PanelBox", "check_strong", "checked_boxes", "checked_image", "gains"]

I32 = NDArray[np.int32]
PanelBox = tuple[int, int, int, int]
"""First fast and slow pixel of a panel in the image, and its size (fast, slow)."""
_INT32 = np.iinfo(np.int32)


def gains(settings: SpotSettings, n_panels: int) -> tuple[float, ...] | None:
    """Gain of each panel where there are several.

    Raises
    ------
    ConfigError
        As many as there are no panels.
    """
    if not isinstance(settings.gain, tuple):
        return None
    if len(settings.gain) != n_panels:
        raise ConfigError(
            f"gain: {len(settings.gain)} values for {n_panels} panels: expected one for each, or "
            "one for all",
            key="gain",
        )
    return settings.gain


def checked_boxes(
    panels: Sequence[PanelBox] | None,
    mask: NDArray[Any] | None,
    shape: tuple[int, ...],
    number: int,
) -> list[PanelBox]:
    """Panels of an image; the whole of it where none are named.

    Raises
    ------
    FormatError
        The image is not two-dimensional.
    ConfigError
        The mask is of another shape, or a panel lies outside.
    """
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


def checked_image(image: NDArray[Any], shape: tuple[int, ...], number: int) -> I32:
    """Counts of an image as int32; what does not fit is below any trusted range.

    Raises
    ------
    FormatError
        Another shape than the first, or no integers.
    """
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


def check_strong(n_strong: int, n_pixels: int, number: int, settings: SpotSettings) -> None:
    """Refuse an image with too large a part of strong pixels.

    Raises
    ------
    ConvergenceError
        It has; says what may help.
    """
    allowed = settings.max_strong_pixel_fraction * n_pixels
    if n_strong > allowed:
        raise ConvergenceError(
            f"image {number}: {n_strong} of {n_pixels} pixels are strong, at most {allowed:.0f} "
            "are accepted (max_strong_pixel_fraction): raise global_threshold or sigma_strong, or "
            "check mask and gain"
        )
