"""Pictures to what a net sees: a square about the beam, 128 px, mean 0 and deviation 1.

Schurmann & Lindhe (2019), section 2.2: cropped about the middle of the picture, which is where the
beam is, to a size linear in the camera's zoom; resized; standardised picture by picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = [
    "CropRule",
    "crop",
    "grey",
    "locally_standardised",
    "planes",
    "prepared",
    "standardised",
    "turned",
]


@dataclass(frozen=True)
class CropRule:
    """Edge of the crop at a zoom: ``offset_px + slope_px * zoom``.

    The thesis says "linear in the zoom" and not which line, which depends on the camera:
    :meth:`through` makes it from two known zooms.
    """

    offset_px: float
    slope_px: float

    @classmethod
    def through(cls, one: tuple[float, float], two: tuple[float, float]) -> CropRule:
        """Line through two pairs of zoom and edge [px].

        Raises
        ------
        ConfigError
            Both have the same zoom.
        """
        if one[0] == two[0]:
            raise ConfigError(f"crop rule: both zooms are {one[0]:g}, expected two different ones")
        slope = (two[1] - one[1]) / (two[0] - one[0])
        return cls(one[1] - slope * one[0], slope)

    def edge_px(self, zoom: float) -> float:
        """Edge of the crop [px].

        Raises
        ------
        ConfigError
            It is less than 2 px.
        """
        edge = self.offset_px + self.slope_px * zoom
        if not (math.isfinite(edge) and edge >= 2.0):
            raise ConfigError(f"crop rule: {edge:g} px at zoom {zoom:g}: expected 2 px or more")
        return edge

    def as_dict(self) -> dict[str, Any]:
        """For a checkpoint; ``CropRule(**content)`` restores it."""
        return {"offset_px": self.offset_px, "slope_px": self.slope_px}


def grey(image: NDArray[Any]) -> F64:
    """(h, w) luminance of a picture, 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601), or itself.

    Raises
    ------
    ConfigError
        It is no picture: another number of axes or of channels, or empty.
    """
    values = np.asarray(image)
    if values.ndim == 3 and values.shape[2] in (3, 4):
        values = values[..., :3].astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    if values.ndim != 2 or not values.size:
        raise ConfigError(
            f"picture of shape {np.asarray(image).shape}: expected (h, w) or (h, w, 3)"
        )
    return np.asarray(values, dtype=np.float64)


def planes(image: NDArray[Any], channels: int = 1) -> F64:
    """(channels, h, w) of a picture: its luminance, or its colours; grey as three equal ones.

    Raises
    ------
    ConfigError
        It is no picture, see :func:`grey`.
    """
    luminance = grey(image)
    values = np.asarray(image, dtype=np.float64)
    if channels == 1:
        return luminance[None]
    if values.ndim == 2:
        return np.repeat(luminance[None], channels, axis=0)
    return np.ascontiguousarray(np.moveaxis(values[..., :channels], 2, 0))


def crop(image: F64, centre_px: tuple[float, float], edge_px: float, size: int) -> F64:
    """(size, size) square of an edge about a point (x, y); beyond the picture its rim is repeated.

    Each pixel of the crop is the mean of what it covers where it is larger than a pixel of the
    picture, and interpolated where it is smaller.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    step = edge_px / size
    at = (np.arange(size) + 0.5) * step - edge_px / 2.0
    x, y = centre_px[0] + at - 0.5, centre_px[1] + at - 0.5
    reach = math.ceil(2.0 * step) + 2
    rows = slice(max(int(y[0]) - reach, 0), min(int(y[-1]) + reach + 2, image.shape[0]))
    columns = slice(max(int(x[0]) - reach, 0), min(int(x[-1]) + reach + 2, image.shape[1]))
    # a crop wholly outside sees the nearest rim
    rows = rows if rows.start < rows.stop else _nearest(rows, image.shape[0])
    columns = columns if columns.start < columns.stop else _nearest(columns, image.shape[1])
    part = image[rows, columns]
    if step > 1.0:  # as wide as the pixels that are left out, as skimage.transform.resize has it
        part = gaussian_filter(part, (step - 1.0) / 2.0, mode="nearest")
    places = np.meshgrid(y - rows.start, x - columns.start, indexing="ij")
    return np.asarray(map_coordinates(part, places, order=1, mode="nearest"))


def _nearest(wanted: slice, size: int) -> slice:
    return slice(0, 1) if wanted.stop <= 0 else slice(size - 1, size)


def standardised(image: F64) -> F64:
    """Mean 0 and standard deviation 1; a picture without any contrast becomes 0."""
    values = np.asarray(image, dtype=np.float64)
    away = values - values.mean(axis=(-2, -1), keepdims=True)
    deviation = away.std(axis=(-2, -1), keepdims=True)
    return np.asarray(
        np.where(deviation > 0.0, away / np.where(deviation > 0.0, deviation, 1.0), 0.0)
    )


def locally_standardised(image: F64, size: int) -> F64:
    """(h, w) each pixel less the mean, over the deviation, of the (size, size) square about it.

    For the pixel in the middle of a crop the same numbers as :func:`standardised` has; beyond the
    picture its rim is repeated; 0 where there is no contrast.
    """
    from scipy.ndimage import uniform_filter

    mean = uniform_filter(image, size, mode="nearest")
    square = uniform_filter(image * image, size, mode="nearest")
    deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
    flat = deviation <= 1e-9 * (1.0 + np.abs(mean))
    return np.asarray(np.where(flat, 0.0, (image - mean) / np.where(flat, 1.0, deviation)))


def prepared(
    image: NDArray[Any], zoom: float, rule: CropRule, *, size: int = 128,
    centre_px: tuple[float, float] | None = None,
) -> F64:  # fmt: skip
    """(size, size) what a net sees of a picture; about its middle unless a point is given."""
    values = grey(image)
    middle = (values.shape[1] / 2.0, values.shape[0] / 2.0)
    at = middle if centre_px is None else centre_px
    return standardised(crop(values, at, rule.edge_px(zoom), size))


def turned(image: NDArray[Any], which: int) -> NDArray[Any]:
    """One of the eight ways to turn and flip a square picture (last two axes): 0 is itself.

    0 to 3 quarter turns, and 4 to 7 the same after a flip left to right (thesis, section 2.2).

    Raises
    ------
    ConfigError
        Not 0 to 7.
    """
    if not 0 <= which < 8:
        raise ConfigError(f"way to turn {which}: expected 0 to 7")
    values = np.flip(image, axis=-1) if which >= 4 else image
    return np.ascontiguousarray(np.rot90(values, which % 4, axes=(-2, -1)))
