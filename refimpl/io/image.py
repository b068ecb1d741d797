"""The value that reading gives: an image with its mask, and whether a ring can be sought in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError

__all__ = ["Image", "check_usable"]

# An image smaller than this cannot hold a ring.
_SMALLEST_SIDE = 16
# Fractions of the unmasked pixels at which a frame is called saturated or dark.
_SATURATED, _NOT_DARK = 0.1, 1e-4


@dataclass(frozen=True, eq=False)
class Image:
    """A calibrant frame ready for use.

    Attributes
    ----------
    data
        (n_slow, n_fast) [counts], or (n_frames, n_slow, n_fast) with ``average=False``. Native
        integers where one frame was read without a dark, else float64. Pixels marked in band
        (sentinels, NaN) hold 0: what they held was no count. Read-only.
    mask
        (n_slow, n_fast) bool, True = bad. Read-only.
    n_frames
        Number of frames averaged.
    path, dataset
        Where it came from; None for an array.
    dark_subtracted
        Whether a dark was subtracted.
    transforms
        ``ImTransOpt`` codes that were applied to data and mask.
    masked
        Number of masked pixels by reason (``value -1``, ``gap value 0``, ``mask``, ...); each
        pixel counts once, under the first reason that holds.
    n_saturated, saturation
        Unmasked pixels at or above the level in any frame, and the level [counts]; None where the
        file does not state one and its type does not imply one. Saturated pixels are not masked.
    metadata
        What the file says about itself.
    """

    data: NDArray[Any]
    mask: NDArray[np.bool_]
    n_frames: int
    path: Path | None = None
    dataset: str | None = None
    dark_subtracted: bool = False
    transforms: tuple[int, ...] = ()
    masked: Mapping[str, int] = field(default_factory=dict)
    n_saturated: int = 0
    saturation: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_slow, n_fast) [px]."""
        return self.mask.shape[0], self.mask.shape[1]

    @property
    def n_masked(self) -> int:
        """Number of masked pixels."""
        return int(np.count_nonzero(self.mask))

    def __repr__(self) -> str:
        slow, fast = self.shape
        where = "array" if self.path is None else self.path.name
        reasons = ", ".join(f"{number} {name}" for name, number in self.masked.items())
        return (
            f"<Image {where}: {slow} x {fast} px {self.data.dtype}, {self.n_frames} frame(s), "
            f"{self.n_masked} masked{f' ({reasons})' if reasons else ''}, "
            f"{self.n_saturated} saturated>"
        )


def check_usable(image: Image) -> None:
    """Refuse an image in which no ring can be found, whatever the method.

    Raises
    ------
    FormatError
        Too small, blank, constant, all dark, or a tenth of the pixels saturated.
    """
    slow, fast = image.shape
    if min(slow, fast) < _SMALLEST_SIDE:
        raise FormatError(
            f"an image of {slow} x {fast} px is too small; {_SMALLEST_SIDE} px a side at least",
            path=image.path,
        )
    good = image.data[..., ~image.mask]
    low, high = good.min(), good.max()
    if image.saturation is not None and image.n_saturated >= _SATURATED * good.shape[-1]:
        raise FormatError(
            f"saturated: {image.n_saturated / good.shape[-1]:.0%} of the unmasked pixels are at or "
            f"above {image.saturation:g} counts",
            path=image.path,
        )
    if low == high:
        what = "all dark" if high <= 0 else "constant"
        raise FormatError(f"{what}: every unmasked pixel holds {high:g}", path=image.path)
    n_lit = np.count_nonzero(good > 0)
    if n_lit < _NOT_DARK * good.size:
        raise FormatError(
            f"all dark: {n_lit} of {good.size} unmasked pixels hold counts", path=image.path
        )
