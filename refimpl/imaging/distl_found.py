"""Spots of a distl count as they were grown: screens by ice, size and height, and the columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.imaging.distl_filters import shapes
from refimpl.imaging.distl_grow import grow_spots
from refimpl.imaging.distl_result import DistlSettings
from refimpl.imaging.distl_shells import FlatDetector

__all__ = ["Found", "spot_columns"]


@dataclass(frozen=True)
class Found:
    """Spots as grown: pixels and borders spot by spot, and what the screens need."""

    body: I64
    offsets: I64
    border: I64
    border_offsets: I64
    maxima: I64
    peak: I64
    values: NDArray[Any] = field(repr=False)  # flat counts of the image
    signal: NDArray[Any] = field(repr=False)

    @classmethod
    def grow(
        cls,
        counts: NDArray[np.int32],
        signal: NDArray[np.float32],
        overload: int,
        settings: DistlSettings,
    ) -> Found:
        """Spots of an image; maxima need four high neighbours, or fewer if spots may be small."""
        height = max(settings.minimum_spot_height, settings.minimum_signal_height)
        neighbours = min(4, settings.minimum_spot_area - 1) - 1
        parts = grow_spots(
            counts,
            signal,
            settings.peripheral_margin,
            settings.underload,
            overload,
            height,
            neighbours,
        )
        return cls(*parts, counts.reshape(-1), signal.reshape(-1))

    @property
    def area(self) -> I64:
        """Pixels of each spot, (k,)."""
        return np.diff(self.offsets)

    @property
    def peak_z(self) -> F64:
        """Z of the highest maximum, (k,)."""
        return self.signal[np.maximum(self.peak, 0)].astype(np.float64)

    def chosen(self, keep: NDArray[np.bool_]) -> Found:
        """Only some of the spots."""
        body, offsets = _chosen_rows(self.body, self.offsets, keep)
        border, border_offsets = _chosen_rows(self.border, self.border_offsets, keep)
        return Found(
            body,
            offsets,
            border,
            border_offsets,
            self.maxima[keep],
            self.peak[keep],
            self.values,
            self.signal,
        )

    def screened(
        self, rings: list[tuple[int, int]], detector: FlatDetector, settings: DistlSettings
    ) -> Found:
        """Without spots that border on ice, are too small, too large or too high."""
        keep = np.full(len(self.peak), True)
        if rings:
            radius2 = detector.radius2_px(self.border)
            icy = np.full(len(radius2), False)
            for inner, outer in rings:
                icy |= (radius2 >= inner * inner) & (radius2 <= outer * outer)
            spot = np.repeat(np.arange(len(keep)), np.diff(self.border_offsets))
            keep[spot[icy]] = False
        found = self.chosen(keep & (self.area >= settings.minimum_spot_area))
        if not len(found.peak):
            return found
        ordered = np.sort(found.peak_z)
        low, middle, high = (ordered[int((len(ordered) - 1) * q)] for q in (0.05, 0.5, 0.95))
        highest = middle + settings.peak_intensity_maximum_factor * (high - low)
        largest = settings.spot_area_maximum_factor * settings.minimum_spot_area
        return found.chosen((found.peak_z <= highest) & (found.area <= largest))


def _chosen_rows(rows: I64, offsets: I64, keep: NDArray[np.bool_]) -> tuple[I64, I64]:
    size = np.diff(offsets)
    return rows[np.repeat(keep, size)], np.append(0, np.cumsum(size[keep])).astype(np.int64)


def spot_columns(
    found: Found, background: F64, n_fast: int
) -> tuple[dict[str, NDArray[Any]], dict[str, F64]]:
    """Columns of the spots, and the shapes that the last filter wants.

    `background` is that of the pixels of the spots, spot by spot.
    """
    k = len(found.peak)
    spot = np.repeat(np.arange(k), found.area)
    weight = found.values[found.body] - background
    shape = shapes(found.body // n_fast, found.body % n_fast, weight, found.offsets)
    slow, fast = found.peak // n_fast, found.peak % n_fast
    away = np.sqrt((slow - shape["slow"]) ** 2 + (fast - shape["fast"]) ** 2)
    largest = np.maximum.reduceat(weight, found.offsets[:-1]) if k else np.empty(0)
    columns = {
        "max_pxl_slow": slow,
        "max_pxl_fast": fast,
        "com_slow": shape["slow"],
        "com_fast": shape["fast"],
        "area": found.area,
        "peak_z": found.peak_z,
        "sum_wts": np.bincount(spot, weight, k),
        "max_wts": largest,
        "sum_bkg": np.bincount(spot, background, k),
        "nmaxima": found.maxima,
        "perimeter": np.diff(found.border_offsets),
        "eccentricity": shape["eccentricity"],
        "skewness": np.floor(away) / shape["a"],
    }
    return columns, shape
