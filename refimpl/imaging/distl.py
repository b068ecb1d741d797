"""Spots of a still counted in the manner of distl.signal_strength, down to those good for indexing.

The lists are those of the published listing: Spot Total, Remove Ice, In-Resolution Total and Good
Bragg Candidates, each a part of the one before. The pixels' part is in
:mod:`refimpl.imaging.distl_pixels`, resolution in :mod:`refimpl.imaging.distl_shells`, shapes and
neighbours in :mod:`refimpl.imaging.distl_filters`. Not modelled: detectors at a two-theta angle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.frames import F64, I64
from refimpl.imaging.distl_filters import largest_cell, separated, shapes
from refimpl.imaging.distl_pixels import grow_spots, local_signal, ring_histogram
from refimpl.imaging.distl_shells import (
    FlatDetector,
    limit_by_bend,
    limit_by_shells,
    spot_rings,
)

__all__ = ["DistlResult", "DistlSettings", "FlatDetector", "Modules", "count_spots"]

_RING_PIXELS: Final = 4
_RING_RANGE: Final = (1.0, 8.0)  # Angstrom
_ICE_LEVELS: Final = (0.0, 1.5)  # Z that the ring's percentiles must reach
_ICE_PERCENTILES: Final = (0.45, 0.80)
_ICE_MARGIN_MM: Final = 0.4
_RING_IMPACT: Final = 10  # spots in a ring found by its spots for it to count
_LEAST_IN_BIN: Final = 25
_CELL_BINS: Final = 20
_CELL_TOLERANCE: Final = 1.5


class Modules(NamedTuple):
    """Regular modules along one side of a detector: pixels of each, of the gaps, and how many."""

    size: int
    gap: int
    count: int


_PILATUS: Final[dict[tuple[int, int], tuple[Modules, Modules]]] = {
    (2527, 2463): (Modules(195, 17, 12), Modules(487, 7, 5)),
    (1679, 1475): (Modules(195, 17, 8), Modules(487, 7, 3)),
    (619, 487): (Modules(195, 17, 3), Modules(487, 7, 1)),
}


@dataclass(frozen=True)
class DistlSettings:
    """Parameters under their distl names; the defaults are those for a Pilatus.

    Attributes
    ----------
    minimum_signal_height
        Z from which a pixel is no background.
    minimum_spot_height
        Z above which a pixel may be in a spot.
    minimum_spot_area
        A spot has more pixels than this; smaller ones by one are dropped before the statistics.
    spot_area_maximum_factor
        Largest area of a spot, in multiples of `minimum_spot_area`.
    peak_intensity_maximum_factor
        Highest peak: so many times the range from the 5th to the 95th percentile above the median.
    scanbox_windows
        Sizes of the boxes of the three passes [px].
    peripheral_margin
        Pixels left out at each edge of the image.
    low_resolution_angstrom
        Spots beyond it are too close to the beam stop.
    method2_cutoff_percentage
        See :func:`refimpl.imaging.distl_shells.limit_by_shells`.
    profile_bumpiness
        Most maxima of a good spot.
    underload
        Pixels up to this value are not counts.
    """

    minimum_signal_height: float = 2.5
    minimum_spot_height: float = 3.5
    minimum_spot_area: int = 5
    spot_area_maximum_factor: float = 5.0
    peak_intensity_maximum_factor: float = 10.0
    scanbox_windows: tuple[int, int, int] = (101, 51, 51)
    peripheral_margin: int = 20
    low_resolution_angstrom: float = 50.0
    method2_cutoff_percentage: float = 20.0
    profile_bumpiness: int = 2
    underload: int = -1

    def __post_init__(self) -> None:
        least: dict[str, float] = {
            "minimum_spot_area": 1,
            "spot_area_maximum_factor": 1.0,
            "peripheral_margin": 1,
            "profile_bumpiness": 1,
        }
        for key, bound in least.items():
            if getattr(self, key) < bound:
                raise ConfigError(f"{key}={getattr(self, key)}: expected at least {bound}", key=key)
        if len(self.scanbox_windows) != 3 or min(self.scanbox_windows) < 5:
            raise ConfigError(
                f"scanbox_windows={self.scanbox_windows}: expected three sizes of 5 px or more",
                key="scanbox_windows",
            )

    @classmethod
    def of_detector(cls, kind: Literal["pilatus", "eiger", "other"]) -> DistlSettings:
        """Defaults of a kind of detector: ``pilatus``, ``eiger`` or ``other``."""
        heights = {"pilatus": (2.5, 5), "eiger": (4.0, 5), "other": (1.5, 10)}
        if kind not in heights:
            raise ConfigError(f"detector kind {kind!r}: expected one of {', '.join(heights)}")
        return cls(minimum_signal_height=heights[kind][0], minimum_spot_area=heights[kind][1])


@dataclass(frozen=True)
class DistlResult:
    """What was counted.

    Attributes
    ----------
    spots
        Columns, one row a spot of Spot Total: ``max_pxl_slow``, ``max_pxl_fast`` (peak pixel),
        ``com_slow``, ``com_fast`` (centre of mass, from pixel centres), ``area``, ``peak_z``,
        ``sum_wts``, ``max_wts`` (counts above background), ``sum_bkg``, ``nmaxima``,
        ``perimeter``, ``eccentricity``, ``skewness``.
    lists
        Row numbers of ``spots_non_ice``, ``remove_ice``, ``in_resolution``, ``unimodal``,
        ``good_bragg``; each a part of the list before.
    ice_rings
        (low, high) [Angstrom] of the rings found by their pixels, then by their spots.
    method1_angstrom, method2_angstrom
        Resolution limits; the second None where there are too few spots.
    max_cell_angstrom
        Longest cell edge to expect, None with fewer than three good spots.
    mean_eccentricity
        Of the spots with few maxima, None with fewer than three.
    saturation
        Mean of the 50 highest in-resolution peaks over the largest valid count.
    overloads
        In-resolution spots with a peak at or above the largest valid count.
    total_signal
        Counts above background of the good Bragg candidates.
    """

    spots: dict[str, NDArray[Any]]
    lists: dict[str, I64]
    ice_rings: tuple[tuple[float, float], ...]
    method1_angstrom: float
    method2_angstrom: float | None
    max_cell_angstrom: float | None
    mean_eccentricity: float | None
    saturation: float
    overloads: int
    total_signal: float

    @property
    def spot_total(self) -> int:
        """Number of spots."""
        return len(self.spots["area"])

    def listing(self, file: str) -> str:
        """Return the published listing of an image, line for line."""
        rows: list[tuple[str, str, object]] = [
            ("File", "%s", file),
            ("Spot Total", "%6d", self.spot_total),
            ("Remove Ice", "%6d", len(self.lists["remove_ice"])),
            ("In-Resolution Total", "%6d", len(self.lists["in_resolution"])),
            ("Good Bragg Candidates", "%6d", len(self.lists["good_bragg"])),
            ("Ice Rings", "%6d", len(self.ice_rings)),
            ("Method 1 Resolution", "%6.2f", self.method1_angstrom),
            ("Method 2 Resolution", "%6.2f", self.method2_angstrom),
            ("Maximum unit cell", "%6.1f", self.max_cell_angstrom),
            ("<Spot model eccentricity>", "%7.3f ", self.mean_eccentricity),
            (
                f"%Saturation, Top {min(50, len(self.lists['in_resolution']))} Peaks",
                "%6s",
                f"{100.0 * self.saturation:.2f}",
            ),
            ("In-Resolution Ovrld Spots", "%6s", f"{self.overloads}"),
        ]
        return "".join(
            f"{name:>25} : {'None' if value is None else form % value}\n"
            for name, form, value in rows
        )


def count_spots(
    image: NDArray[Any],
    detector: FlatDetector,
    *,
    overload: int,
    settings: DistlSettings | None = None,
    modules: tuple[Modules, Modules] | None = None,
    threads: int | None = None,
) -> DistlResult:
    """Count the spots of a still.

    Parameters
    ----------
    image
        (s, f) integer counts; gaps and bad pixels below zero.
    detector
        Geometry; its shape is that of the image.
    overload
        Largest valid count.
    settings
        None for those of a Pilatus.
    modules
        Along slow and fast; None for those of a Pilatus of this size, or else for boxes over the
        whole image.
    threads
        Threads for the local background.

    Raises
    ------
    FormatError
        Not a 2-D array of integers, or not of the detector's shape.
    ConvergenceError
        A box finds too little background.
    """
    settings = settings or DistlSettings()
    counts = np.asarray(image)
    if counts.dtype.kind not in "iu" or counts.shape != tuple(detector.shape):
        raise FormatError(
            f"image of type {counts.dtype} and shape {counts.shape}: expected integers of shape "
            f"{tuple(detector.shape)} (slow, fast)"
        )
    counts = np.ascontiguousarray(counts, dtype=np.int32)
    boxes = _boxes(detector.shape, settings, modules or _PILATUS.get(detector.shape))
    signal, background, status = local_signal(
        counts, *boxes, settings.minimum_signal_height, settings.underload, threads=threads
    )
    if status:
        raise ConvergenceError(
            "a box of the local background found too few pixels below minimum_signal_height="
            f"{settings.minimum_signal_height}: the image has no background, or wrong modules"
        )
    rings = _ice_rings(signal, detector, settings, threads)
    found = _Found.grow(counts, signal, background, overload, settings)
    found = found.screened(rings, detector, settings)
    method1 = _method1(found, detector, settings)
    found = found.chosen(found.area > settings.minimum_spot_area)
    return _filtered(found, rings, method1, detector, overload, settings)


def _boxes(
    shape: tuple[int, int], settings: DistlSettings, modules: tuple[Modules, Modules] | None
) -> list[I64]:
    """First and last pixel of the boxes of each pass, along slow and fast."""
    boxes = []
    for window in settings.scanbox_windows:
        for axis in (0, 1):
            if modules is None:
                length = shape[axis] - 2 * settings.peripheral_margin
                grid, n = Modules(length, 0, 1), length // window
            else:
                grid = modules[axis]
                n = (grid.size - 1) // window
            at = (np.arange(max(n, 0) + 1) * (grid.size / max(n, 1))).astype(np.int64)
            first = np.arange(grid.count)[:, None] * (grid.size + grid.gap) + at[None, :-1]
            pairs = np.stack([first, first + np.diff(at)[None] - 1], axis=-1).reshape(-1, 2)
            low, high = settings.peripheral_margin, shape[axis] - 1 - settings.peripheral_margin
            inside = (pairs[:, 0] < high) & (pairs[:, 1] > low)
            boxes.append(pairs if modules is None else pairs[inside])
    return boxes


def _rounded_beam(detector: FlatDetector) -> tuple[int, int]:
    fast, slow = (math.floor(mm / detector.pixel_size_mm + 0.5) for mm in detector.beam_mm)
    return slow, fast


def _ice_rings(
    signal: NDArray[np.float32],
    detector: FlatDetector,
    settings: DistlSettings,
    threads: int | None,
) -> list[tuple[int, int]]:
    """Inner and outer radius [px] of the rings whose pixels are high; neighbours are joined."""
    beam, margin = _rounded_beam(detector), settings.peripheral_margin
    corner = sum(
        max(at - margin, n - 1 - margin - at) ** 2
        for at, n in zip(beam, detector.shape, strict=True)
    )
    nearest = max(detector.wavelength_angstrom / 2.0, _RING_RANGE[0])
    outer = math.sqrt(min(corner, _radius2(nearest, detector)))
    n_rings = int(outer / _RING_PIXELS + 1)
    levels = np.array(_ICE_LEVELS)
    counts = ring_histogram(signal, *beam, margin, _RING_PIXELS, n_rings, levels, threads=threads)
    rings: list[tuple[int, int]] = []
    for ring in range(
        int(math.sqrt(_radius2(_RING_RANGE[1], detector)) / _RING_PIXELS), n_rings - 1
    ):
        n, *below = counts[ring].tolist()
        ranks = [int(n * part) for part in _ICE_PERCENTILES]
        # the value at a rank reaches the level if no more than that rank are below it
        if all(rank > 0 and few <= rank for rank, few in zip(ranks, below, strict=True)):
            inner, edge = _RING_PIXELS * ring, _RING_PIXELS * (ring + 1)
            if rings and rings[-1][1] == inner:
                rings[-1] = (rings[-1][0], edge)
            else:
                rings.append((inner, edge))
    return rings


def _radius2(d_angstrom: float, detector: FlatDetector) -> float:
    """Square of the distance from the beam [px^2] at a d spacing."""
    two_sine = detector.wavelength_angstrom / d_angstrom
    over_cosine = 2.0 / (2.0 - two_sine * two_sine)
    ratio = detector.pixel_size_mm * detector.pixel_size_mm / detector.distance_mm**2
    return (over_cosine * over_cosine - 1.0) / ratio


def _d_of_radius2(radius2: F64, detector: FlatDetector) -> F64:
    """Spacing [Angstrom] at the square of a distance from the beam [px^2]."""
    ratio = detector.pixel_size_mm * detector.pixel_size_mm / detector.distance_mm**2
    with np.errstate(divide="ignore"):
        two_sine = np.sqrt(2.0 - 2.0 / np.sqrt(1.0 + ratio * radius2))
        return np.where(two_sine < 1e-7, 1e9, detector.wavelength_angstrom / two_sine)


def _peak_radius2(pixel: I64, detector: FlatDetector) -> F64:
    beam, n_fast = _rounded_beam(detector), detector.shape[1]
    slow, fast = pixel // n_fast - beam[0], pixel % n_fast - beam[1]
    return (slow * slow + fast * fast).astype(np.float64)


@dataclass(frozen=True)
class _Found:
    """Spots as grown: pixels and borders spot by spot, and what the screens need."""

    body: I64
    offsets: I64
    border: I64
    border_offsets: I64
    maxima: I64
    peak: I64
    values: NDArray[Any] = field(repr=False)  # flat counts of the image
    signal: NDArray[Any] = field(repr=False)
    background: NDArray[Any] = field(repr=False)

    @classmethod
    def grow(
        cls,
        counts: NDArray[np.int32],
        signal: NDArray[np.float32],
        background: NDArray[np.float32],
        overload: int,
        settings: DistlSettings,
    ) -> _Found:
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
        return cls(*parts, counts.reshape(-1), signal.reshape(-1), background.reshape(-1))

    @property
    def area(self) -> I64:
        return np.diff(self.offsets)

    @property
    def peak_z(self) -> F64:
        return self.signal[np.maximum(self.peak, 0)].astype(np.float64)

    def chosen(self, keep: NDArray[np.bool_]) -> _Found:
        """Only some of the spots."""
        body, offsets = _chosen_rows(self.body, self.offsets, keep)
        border, border_offsets = _chosen_rows(self.border, self.border_offsets, keep)
        return _Found(
            body,
            offsets,
            border,
            border_offsets,
            self.maxima[keep],
            self.peak[keep],
            self.values,
            self.signal,
            self.background,
        )

    def screened(
        self, rings: list[tuple[int, int]], detector: FlatDetector, settings: DistlSettings
    ) -> _Found:
        """Without spots that border on ice, are too small, too large or too high."""
        keep = np.full(len(self.peak), True)
        if rings:
            radius2 = _peak_radius2(self.border, detector)
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


def _method1(found: _Found, detector: FlatDetector, settings: DistlSettings) -> float:
    n_fast = detector.shape[1]
    return limit_by_bend(
        found.peak // n_fast,
        found.peak % n_fast,
        _d_of_radius2(_peak_radius2(found.peak, detector), detector),
        _rounded_beam(detector),
        settings.peripheral_margin,
        detector.shape,
    )


def _table(found: _Found, n_fast: int) -> tuple[dict[str, NDArray[Any]], dict[str, F64]]:
    """Columns of the spots, and the shapes that the last filter wants."""
    k = len(found.peak)
    spot = np.repeat(np.arange(k), found.area)
    background = found.background[found.body].astype(np.float64)
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


def _filtered(
    found: _Found,
    rings: list[tuple[int, int]],
    method1: float,
    detector: FlatDetector,
    overload: int,
    settings: DistlSettings,
) -> DistlResult:
    """Make the lists, each from the one before, and the summary."""
    spots, shape = _table(found, detector.shape[1])
    pixel, (beam_fast, beam_slow) = detector.pixel_size_mm, detector.beam_mm
    away = (spots["max_pxl_slow"] * pixel - beam_slow, spots["max_pxl_fast"] * pixel - beam_fast)
    radius = np.maximum(pixel, np.sqrt(away[0] ** 2 + away[1] ** 2))
    dry = np.full(len(radius), True)
    for inner, outer in rings:
        dry &= (radius <= pixel * inner - _ICE_MARGIN_MM) | (
            radius >= pixel * outer + _ICE_MARGIN_MM
        )
    lists = {"spots_non_ice": np.flatnonzero(dry)}
    past_stop = radius > detector.radius_of(settings.low_resolution_angstrom)
    spacing = detector.d_of(radius)
    chosen = np.flatnonzero(dry & past_stop)
    chosen = chosen[np.argsort(-spacing[chosen], kind="stable")]
    bounds = [(_edge(outer, detector), _edge(inner, detector)) for inner, outer in rings]
    chosen, limit, more = _in_resolution(chosen, spacing, radius, detector, settings, lists)
    lists["unimodal"] = chosen[
        (spots["nmaxima"][chosen] <= settings.profile_bumpiness)
        & (spots["area"][chosen] > settings.minimum_spot_area)
    ]
    good, distance, eccentricity = _good_bragg(spots, shape, lists["unimodal"], overload)
    lists["good_bragg"] = good
    cell_mm = largest_cell(distance * pixel, pixel, _CELL_BINS)
    cell = None if cell_mm is None else _CELL_TOLERANCE * float(detector.d_of(np.array(cell_mm)))
    peaks = np.sort(found.values[found.peak[lists["in_resolution"]]])[::-1]
    return DistlResult(
        spots=spots,
        lists=lists,
        ice_rings=tuple(bounds + more),
        method1_angstrom=method1,
        method2_angstrom=limit,
        max_cell_angstrom=cell,
        mean_eccentricity=eccentricity,
        saturation=float(peaks[:50].mean()) / overload if len(peaks) > 1 else 0.0,
        overloads=int((peaks >= overload).sum()),
        total_signal=float(spots["sum_wts"][good].sum()),
    )


def _edge(radius_px: int, detector: FlatDetector) -> float:
    return float(_d_of_radius2(np.array(float(radius_px * radius_px)), detector))


def _in_resolution(
    chosen: I64,
    spacing: F64,
    radius: F64,
    detector: FlatDetector,
    settings: DistlSettings,
    lists: dict[str, I64],
) -> tuple[I64, float | None, list[tuple[float, float]]]:
    """Leave out rings of spots, then what lies beyond the resolution limit; fill in the lists."""
    lists["remove_ice"] = lists["in_resolution"] = chosen
    in_first = max(_LEAST_IN_BIN, len(chosen) // 20)
    if len(chosen) < in_first:
        return chosen, None, []
    rings = spot_rings(spacing[chosen], in_first, detector)
    ring = np.full(len(chosen), -1)
    for i, (low, high) in reversed(list(enumerate(rings))):
        ring[(spacing[chosen] > high) & (spacing[chosen] < low)] = i
    impact = np.bincount(ring[ring >= 0], minlength=len(rings))
    counted = [bounds for bounds, n in zip(rings, impact, strict=True) if n > _RING_IMPACT]
    chosen = chosen[ring < 0]
    lists["remove_ice"] = lists["in_resolution"] = chosen
    if len(chosen) < in_first:
        return chosen, None, counted
    limit = limit_by_shells(spacing[chosen], in_first, detector, settings.method2_cutoff_percentage)
    chosen = chosen[radius[chosen] < detector.radius_of(limit)]
    lists["in_resolution"] = chosen
    return chosen, limit, counted


def _good_bragg(
    spots: dict[str, NDArray[Any]], shape: dict[str, F64], unimodal: I64, overload: int
) -> tuple[I64, F64, float | None]:
    """Spots neither lopsided nor outstanding nor too close, their distances, mean eccentricity."""
    if len(unimodal) <= 2:
        return unimodal[:0], np.empty(0), None
    height, skew = spots["peak_z"][unimodal], spots["skewness"][unimodal]
    spread = 5.0 * float(np.std(height, ddof=1))
    mean = float(height.mean())
    good = (
        (skew <= min(0.45, 2.0 * float(np.std(skew, ddof=1)) + float(skew.mean())))
        & (height > mean - spread)
        & (height < mean + spread)
        & (height < overload)
    )
    points = np.stack([spots["max_pxl_slow"], spots["max_pxl_fast"]], axis=1)
    area = float(spots["area"][unimodal].mean())
    chosen, distance = separated(points, unimodal[good], shape, area)
    return chosen, distance, float(spots["eccentricity"][unimodal].mean())
