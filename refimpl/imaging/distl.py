"""Spots of a still counted in the manner of distl.signal_strength, down to those good for indexing.

The lists are those of the published listing: Spot Total, Remove Ice, In-Resolution Total and Good
Bragg Candidates, each a part of the one before. The pixels' part is in
:mod:`refimpl.imaging.distl_signal` and :mod:`refimpl.imaging.distl_grow`, ice in
:mod:`refimpl.imaging.distl_rings`, resolution in
:mod:`refimpl.imaging.distl_shells`, shapes and neighbours in :mod:`refimpl.imaging.distl_filters`.
Not modelled: detectors at a two-theta angle.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConvergenceError, FormatError
from refimpl.frames import F64, I64
from refimpl.imaging.distl_filters import largest_cell, separated
from refimpl.imaging.distl_found import Found, spot_columns
from refimpl.imaging.distl_result import DistlResult, DistlSettings, Modules
from refimpl.imaging.distl_rings import ring_histogram
from refimpl.imaging.distl_shells import (
    FlatDetector,
    limit_by_bend,
    limit_by_shells,
    spot_rings,
)
from refimpl.imaging.distl_signal import background_at, local_signal

__all__ = ["DistlResult", "DistlSettings", "FlatDetector", "Modules", "count_spots", "has_modules"]

_RING_PIXELS: Final = 4
_RING_RANGE: Final = (1.0, 8.0)  # Angstrom
_ICE_LEVELS: Final = (0.0, 1.5)  # Z that the ring's percentiles must reach
_ICE_PERCENTILES: Final = (0.45, 0.80)
_ICE_MARGIN_MM: Final = 0.4
_RING_IMPACT: Final = 10  # spots in a ring found by its spots for it to count
_LEAST_IN_BIN: Final = 25
_CELL_BINS: Final = 20
_CELL_TOLERANCE: Final = 1.5


_PILATUS: Final[dict[tuple[int, int], tuple[Modules, Modules]]] = {
    (2527, 2463): (Modules(195, 17, 12), Modules(487, 7, 5)),
    (1679, 1475): (Modules(195, 17, 8), Modules(487, 7, 3)),
    (619, 487): (Modules(195, 17, 3), Modules(487, 7, 1)),
}


def has_modules(shape: tuple[int, int]) -> bool:
    """Whether an image of this size (slow, fast) is one of a Pilatus, whose modules are known."""
    return tuple(shape) in _PILATUS


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
    signal, planes, status = local_signal(
        counts,
        *boxes,
        settings.minimum_signal_height,
        settings.underload,
        threads=threads,  # type: ignore[call-arg]
    )
    if status:
        raise ConvergenceError(
            "a box of the local background found too few pixels below minimum_signal_height="
            f"{settings.minimum_signal_height}: the image has no background, or wrong modules"
        )
    rings = _ice_rings(signal, detector, settings, threads)
    found = Found.grow(counts, signal, overload, settings)
    found = found.screened(rings, detector, settings)
    method1 = limit_by_bend(found.peak, detector, settings.peripheral_margin)
    found = found.chosen(found.area > settings.minimum_spot_area)
    background = background_at(found.body, detector.shape[1], boxes, planes)
    spots, shape = spot_columns(found, background, detector.shape[1])
    return _filtered(found, spots, shape, rings, method1, detector, overload, settings)


def _boxes(
    shape: tuple[int, int], settings: DistlSettings, modules: tuple[Modules, Modules] | None
) -> tuple[I64, I64, I64, I64, I64, I64]:
    """First and last pixel of the boxes of each pass, along slow and fast."""
    boxes = []
    for window in settings.scanbox_windows:
        for axis in (0, 1):
            if modules is None:
                length = shape[axis] - 2 * settings.peripheral_margin
                grid, n = Modules(length, 0, 1), length // window
            else:
                grid = modules[axis]
                n = (grid.size_px - 1) // window
            at = (np.arange(max(n, 0) + 1) * (grid.size_px / max(n, 1))).astype(np.int64)
            first = np.arange(grid.number)[:, None] * (grid.size_px + grid.gap_px) + at[None, :-1]
            pairs = np.stack([first, first + np.diff(at)[None] - 1], axis=-1).reshape(-1, 2)
            low, high = settings.peripheral_margin, shape[axis] - 1 - settings.peripheral_margin
            inside = (pairs[:, 0] < high) & (pairs[:, 1] > low)
            # over the whole image the boxes start at its corner and not at the margin, as in distl
            boxes.append(pairs if modules is None else pairs[inside])
    one, two, three, four, five, six = boxes
    return one, two, three, four, five, six


def _ice_rings(
    signal: NDArray[np.float32],
    detector: FlatDetector,
    settings: DistlSettings,
    threads: int | None,
) -> list[tuple[int, int]]:
    """Inner and outer radius [px] of the rings whose pixels are high; neighbours are joined."""
    beam, margin = detector.beam_px, settings.peripheral_margin
    corner = sum(
        max(at - margin, n - 1 - margin - at) ** 2
        for at, n in zip(beam, detector.shape, strict=True)
    )
    nearest = max(detector.wavelength_angstrom / 2.0, _RING_RANGE[0])
    outer = math.sqrt(min(corner, detector.radius2_px_of(nearest)))
    n_rings = int(outer / _RING_PIXELS + 1)
    levels = np.array(_ICE_LEVELS)
    counts = ring_histogram(
        signal,
        *beam,
        margin,
        _RING_PIXELS,
        n_rings,
        levels,
        threads=threads,  # type: ignore[call-arg]
    )
    rings: list[tuple[int, int]] = []
    first = int(math.sqrt(detector.radius2_px_of(_RING_RANGE[1])) / _RING_PIXELS)
    for ring in range(first, n_rings - 1):
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


def _filtered(
    found: Found,
    spots: dict[str, NDArray[Any]],
    shape: dict[str, F64],
    rings: list[tuple[int, int]],
    method1: float,
    detector: FlatDetector,
    overload: int,
    settings: DistlSettings,
) -> DistlResult:
    """Make the lists, each from the one before, and the summary."""
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
    enough = len(chosen) >= _LEAST_IN_BIN
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
        has_sought_rings=enough,
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
    return float(detector.d_of_radius2_px(np.array(float(radius_px * radius_px))))


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
