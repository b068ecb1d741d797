r"""Radial lineouts of the published bins, on chords or on true arcs.

The published program joins the four corners of each cell of radius and azimuth by *straight lines*
and averages the pixels by their area inside that polygon. A bin of half-width :math:`h` so reports
a radius too large by :math:`\sin h/(h \cos h) - 1 \approx h^2/3`: 635 ppm at its default of
5 degrees, all of which goes into the distance. ``arcs=True`` bounds the cells by circles instead
and changes nothing else; what is left is the width of a pixel, -1/(12 R²) of the radius R in px,
which is 4 ppm at 150 px and 0.1 ppm at 1000 px, whatever the bin.

Source: MIDAS `CalibrantPanelShiftsOMP` as of the AutoCalibrate manual version 10. Radii here are
in the raw image about the beam centre: tilt and distortion decide which pixels a bin gets, and are
not in its lineout. :mod:`refimpl.imaging.ring_pixels` is what to use instead.
"""

from __future__ import annotations

import math

import numpy as np

from refimpl.bounds import check_offsets, check_within
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.imaging.published_bins import BinPixels, RingWindows
from refimpl.units import DEG

__all__ = ["bin_lineouts", "chord_bias", "lineouts"]

FAR_PX = 1e9  # beyond it, and at NaN, there are no pixels
ON_AXIS = 1e-12  # sine of the angle to an axis


def chord_bias(eta_bin_deg: float) -> float:
    """Radius that a chord bin reports, relative to the true one: sin h / (h cos h)."""
    h = 0.5 * eta_bin_deg * DEG
    return math.sin(h) / (h * math.cos(h))


def lineouts(
    image: F64,
    pixels: BinPixels,
    windows: RingWindows,
    geometry: F64,
    *,
    arcs: bool = False,
    published_axes: bool = False,
) -> F64:
    """(b, most steps) mean intensity of each bin by steps of radius; 0 beyond its steps.

    Value j of a bin belongs to the radius ``low_mm + (j + 1/2) (high_mm - low_mm) / steps``.
    """
    n_fast = image.shape[1]
    x = pixels.pixel % n_fast + 0.5 - geometry[1]
    y = pixels.pixel // n_fast + 0.5 - geometry[2]
    edges = (-180.0 + np.arange(pixels.n_eta + 1) * (360.0 / pixels.n_eta)) * DEG
    k, e, px = pixels.window, pixels.eta_bin, float(geometry[6])
    steps = windows.steps[k]
    rays = np.column_stack(
        [np.sin(edges[e]), np.cos(edges[e]), np.sin(edges[e + 1]), np.cos(edges[e + 1])]
    )
    low = windows.low_mm[k] / px
    step = (windows.high_mm[k] - windows.low_mm[k]) / px / np.maximum(steps, 1)
    intensity = image.ravel()[pixels.pixel]
    most = int(steps.max(initial=0))
    grid = (pixels.offset, rays, low, step, steps, most)
    return bin_lineouts(x, y, intensity, *grid, arcs, published_axes)


def _check_bins(x_px: F64, offset: I64, rays: F64, low_px: F64, most: int) -> None:
    check_offsets("offset", offset, len(low_px), len(x_px), "x_px")
    check_within("most", most, 0, 2**31 - 1)
    middle = rays[:, :2] + rays[:, 2:]
    if not ((middle**2).sum(axis=1) > 0.0).all():
        raise ConfigError("rays: a bin has no direction")
    if not np.isfinite(low_px).all():
        raise ConfigError("low_px are not finite")


@twin(
    "arithmetic",
    check=_check_bins,
    x_px="f8 n",
    y_px="f8 n",
    intensity="f8 n",
    offset="i8 m",
    rays="f8 b,4",
    low_px="f8 b",
    step_px="f8 b",
    steps="i8 b",
)
def bin_lineouts(
    x_px: F64,
    y_px: F64,
    intensity: F64,
    offset: I64,
    rays: F64,
    low_px: F64,
    step_px: F64,
    steps: I64,
    most: int,
    arcs: bool,
    published_axes: bool,
) -> F64:
    """Average pixels over cells of radius and azimuth, weighted by their area inside.

    Parameters
    ----------
    x_px, y_px
        (n,) centres of pixels about the beam centre [px], along fast and slow.
    intensity
        (n,)
    offset
        (b + 1,) first pixel of each bin, and their number at the end.
    rays
        (b, 4) sine and cosine of eta at the lower and at the upper edge of the bin.
    low_px, step_px, steps
        (b,) first radius, width and number of the steps.
    most
        Columns of the result.
    arcs
        Bound the cells by circles; else by the chords between their corners.
    published_axes
        Give a pixel that a ray along an axis of the image cuts more area than it has: the hull of
        its part of the cell and of the whole cut, as the published polygons come out there.

    Returns
    -------
    (b, most), 0 where no pixel lies.

    Notes
    -----
    Each pixel's square is cut by the two rays, then by the two sides of each cell (Sutherland and
    Hodgman, doi:10.1145/360767.360802). A circle is replaced by its tangent in the direction of the
    pixel, moved inwards by 1/(24 R), the mean sagitta over a pixel.
    """
    profile = np.zeros((len(low_px), most))
    for i in range(len(low_px)):
        sin_low, cos_low, sin_high, cos_high = (float(v) for v in rays[i])
        count = max(0, min(int(steps[i]), most))
        above, area = [0.0] * count, [0.0] * count
        mid_x, mid_y = sin_low + sin_high, cos_low + cos_high
        length = math.sqrt(mid_x * mid_x + mid_y * mid_y)
        ux, uy, shrink = mid_x / length, mid_y / length, 0.5 * length  # shrink = cos h
        along_axis = [
            (a, b) for a, b in ((sin_low, cos_low), (sin_high, cos_high))
            if published_axes and not arcs and min(abs(a), abs(b)) < ON_AXIS
        ]  # fmt: skip
        for n in range(int(offset[i]), int(offset[i + 1])):
            x, y = float(x_px[n]), float(y_px[n])
            if not (abs(x) < FAR_PX and abs(y) < FAR_PX):
                continue
            if arcs:
                length = math.sqrt(x * x + y * y)
                ux, uy, shrink = (x / length, y / length, 1.0) if length > 0.0 else (0.0, 1.0, 1.0)
            square = [
                (x - 0.5, y - 0.5), (x + 0.5, y - 0.5), (x + 0.5, y + 0.5), (x - 0.5, y + 0.5)
            ]  # fmt: skip
            wedge = _cut(_cut(square, cos_low, -sin_low, 0.0), -cos_high, sin_high, 0.0)
            extra = [point for ray in along_axis for point in _axis_cut(x, y, *ray)]
            _share(wedge, extra, float(intensity[n]), ux, uy, shrink, arcs,
                   float(low_px[i]), float(step_px[i]), above, area)  # fmt: skip
        for j in range(count):
            profile[i, j] = above[j] / area[j] if area[j] > 0.0 else 0.0
    return profile


def _axis_cut(x: float, y: float, sin: float, cos: float) -> list[tuple[float, float]]:
    """Where a ray along an axis crosses the border of the pixel at x, y; empty if it does not."""
    if abs(sin) < abs(cos):
        return [(0.0, y - 0.5), (0.0, y + 0.5)] if abs(x) <= 0.5 else []
    return [(x - 0.5, 0.0), (x + 0.5, 0.0)] if abs(y) <= 0.5 else []


def _share(
    polygon: list[tuple[float, float]],
    extra: list[tuple[float, float]],
    value: float,
    ux: float,
    uy: float,
    shrink: float,
    arcs: bool,
    low: float,
    step: float,
    above: list[float],
    area: list[float],
) -> None:
    """Add a pixel's areas to the cells that it touches."""
    if len(polygon) < 3 or not step > 0.0:
        return
    along = [p[0] * ux + p[1] * uy for p in polygon]
    first, last = _cell(min(along), shrink, low, step), _cell(max(along), shrink, low, step)
    for j in range(max(0, int(first) - 1), min(len(area) - 1, int(last) + 1) + 1):
        inner, outer = low + j * step, low + (j + 1) * step
        if arcs:
            inner, outer = inner - _sagitta(inner), outer - _sagitta(outer)
        cell = _cut(_cut(polygon, ux, uy, -inner * shrink), -ux, -uy, outer * shrink)
        part = _area(_around(cell + extra) if extra and len(cell) > 2 else cell)
        above[j] += part * value
        area[j] += part


def _cell(along: float, shrink: float, low: float, step: float) -> float:
    """Step of radius at a distance along the bin, kept within an integer's range."""
    at = (along / shrink - low) / step
    return math.floor(max(at, -2.0)) if at < 1e6 else 1e6


def _sagitta(radius: float) -> float:
    """Mean distance from a circle to its tangent over one pixel."""
    return 1.0 / (24.0 * radius) if radius > 1.0 else 0.0


def _cut(
    polygon: list[tuple[float, float]], a: float, b: float, c: float
) -> list[tuple[float, float]]:
    """Part of a convex polygon where a x + b y + c >= 0."""
    kept: list[tuple[float, float]] = []
    for i, (x1, y1) in enumerate(polygon):
        x0, y0 = polygon[i - 1]
        d0, d1 = a * x0 + b * y0 + c, a * x1 + b * y1 + c
        if (d0 >= 0.0) != (d1 >= 0.0):
            t = d0 / (d0 - d1)
            kept.append((x0 + t * (x1 - x0), y0 + t * (y1 - y0)))
        if d1 >= 0.0:
            kept.append((x1, y1))
    return kept


def _around(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points by their direction from their mean."""
    x, y = 0.0, 0.0
    for point in points:
        x, y = x + point[0], y + point[1]
    x, y = x / len(points), y / len(points)
    return sorted(points, key=lambda p: math.atan2(p[1] - y, p[0] - x))


def _area(polygon: list[tuple[float, float]]) -> float:
    """Area of a polygon with its corners in positive order."""
    if len(polygon) < 3:
        return 0.0
    x0, y0 = polygon[0]
    total = 0.0
    for i in range(1, len(polygon) - 1):
        (x1, y1), (x2, y2) = polygon[i], polygon[i + 1]
        total = total + ((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
    return 0.5 * total
