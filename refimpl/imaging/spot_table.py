"""How spots are found, and the table of those that were.

The defaults, the filters and the names of the columns are those of dials.find_spots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.imaging.spot_threshold import MAX_HALF_SIZE

__all__ = ["COLUMN_TYPES", "STRONG", "SpotSettings", "SpotTable"]

I32 = NDArray[np.int32]
Threshold = Literal["dispersion", "dispersion_extended"]

STRONG: Final = 32
"""Flag of a spot in a reflection table."""

COLUMN_TYPES: Final[Mapping[str, str]] = {
    "bbox": "int6",
    "flags": "std::size_t",
    "id": "int",
    "imageset_id": "int",
    "intensity.sum.value": "double",
    "intensity.sum.variance": "double",
    "miller_index": "cctbx::miller::index<>",
    "n_signal": "int",
    "panel": "std::size_t",
    "xyzobs.px.value": "vec3<double>",
    "xyzobs.px.variance": "vec3<double>",
}
"""Type of each column of :attr:`SpotTable.columns` in a reflection file."""

_THRESHOLDS = ("dispersion", "dispersion_extended")


@dataclass(frozen=True)
class SpotSettings:
    """How to find spots; the defaults are those of dials.find_spots for a pixel array detector.

    Attributes
    ----------
    threshold
        ``dispersion`` or ``dispersion_extended``.
    kernel_size
        Half size (fast, slow) of the window [px].
    min_count
        Least number of valid pixels in the window.
    sigma_background, sigma_strong
        How far above chance the dispersion of the window, and the pixel, must be.
    global_threshold
        Counts that a strong pixel must exceed.
    gain
        Counts per photon, one for all panels or one for each; None for the formula without it.
    min_spot_size, max_spot_size
        Least and most pixels of a spot. Detectors that are not pixel arrays want 6 at least.
    max_separation
        Largest distance of the highest pixel's centre from the centroid [px, images]. None keeps
        all.
    max_strong_pixel_fraction
        An image with a larger part of strong pixels is refused.
    """

    threshold: Threshold = "dispersion_extended"
    kernel_size: tuple[int, int] = (3, 3)
    min_count: int = 2
    sigma_background: float = 6.0
    sigma_strong: float = 3.0
    global_threshold: float = 0.0
    gain: float | tuple[float, ...] | None = None
    min_spot_size: int = 3
    max_spot_size: int = 1000
    max_separation: float | None = 2.0
    max_strong_pixel_fraction: float = 0.25

    def __post_init__(self) -> None:
        checks = {
            "threshold": (self.threshold in _THRESHOLDS, f"one of {', '.join(_THRESHOLDS)}"),
            "kernel_size": (
                len(self.kernel_size) == 2
                and all(1 <= k <= MAX_HALF_SIZE for k in self.kernel_size),
                f"two half sizes of 1 to {MAX_HALF_SIZE} px",
            ),
            "min_count": (self.min_count >= 2, "at least 2"),
            "sigma_background": (self.sigma_background >= 0.0, "0 or more"),
            "sigma_strong": (self.sigma_strong >= 0.0, "0 or more"),
            "global_threshold": (self.global_threshold >= 0.0, "0 or more"),
            "gain": (
                self.gain is None or all(g > 0.0 for g in np.atleast_1d(self.gain)),
                "a positive number or None",
            ),
            "min_spot_size": (self.min_spot_size >= 1, "at least 1"),
            "max_spot_size": (self.max_spot_size >= self.min_spot_size, "at least min_spot_size"),
            "max_separation": (
                self.max_separation is None or self.max_separation > 0.0,
                "a positive number or None",
            ),
            "max_strong_pixel_fraction": (
                0.0 < self.max_strong_pixel_fraction <= 1.0,
                "above 0, at most 1",
            ),
        }
        for key, (good, accepted) in checks.items():
            if not good:
                got = getattr(self, key)
                raise ConfigError(f"{key}={got!r}: expected {accepted}", key=key, got=got)


@dataclass(frozen=True)
class SpotTable:
    """Spots that were found, in the order of image, panel and first pixel, and the counts.

    Attributes
    ----------
    box
        (n, 6) first and one past the last fast, slow and image index, in the panel's pixels.
    image
        (n,) number of the image among those given, for stills; 0 for a rotation series.
    panel
        (n,).
    n_pixels
        (n,) strong pixels.
    intensity
        (n,) sum of their counts; its variance is the same number.
    position, variance
        (n, 3) centroid (fast, slow, image) [px, px, images] and its variance.
    strong_per_image
        (images,) strong pixels of each image.
    first_frame
        Index of the first image along the image axis.
    extracted, too_small, too_large, too_far
        Spots before the filters, and how many each filter took.
    """

    box: I32
    image: I32
    panel: I32
    n_pixels: I32
    intensity: F64
    position: F64
    variance: F64
    strong_per_image: I64
    first_frame: int = 0
    extracted: int = 0
    too_small: int = 0
    too_large: int = 0
    too_far: int = 0

    def __len__(self) -> int:
        return len(self.box)

    def per_image(self) -> I64:
        """Spots by image, (images,); a spot on several counts where its centroid is."""
        where = np.floor(self.position[:, 2]).astype(np.int64) - self.first_frame
        return np.bincount(where, minlength=len(self.strong_per_image))

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Columns as they stand in a reflection file; the types are in :data:`COLUMN_TYPES`."""
        n = len(self)
        return {
            "bbox": self.box,
            "flags": np.full(n, STRONG, dtype=np.uint64),
            "id": self.image,
            "imageset_id": self.image,
            "intensity.sum.value": self.intensity,
            "intensity.sum.variance": np.abs(self.intensity),
            "miller_index": np.zeros((n, 3), dtype=np.int32),
            "n_signal": self.n_pixels,
            "panel": self.panel.astype(np.uint64),
            "xyzobs.px.value": self.position,
            "xyzobs.px.variance": self.variance,
        }
