"""Resolution of a still from its spots: shells of equal volume, rings of ice, and two limits.

All spots are on a flat detector normal to the beam, which is what distl assumes. Not modelled:
two-theta offsets, and the solid angle of a shell (its coverage is counted in azimuth only).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from refimpl.frames import F64, I64

__all__ = ["FlatDetector", "limit_by_bend", "limit_by_shells", "spot_rings"]

_RING_RATIO = 2.0  # a ring has so many times the spots of its surroundings
_RING_SPOTS = 6.0
_LEAST_IN_BIN = 25
_EMPTY_SHELLS = 10
_BEND_PI = 3.14159265  # as distl has it
Bounds = list[tuple[float, float]]


@dataclass(frozen=True)
class FlatDetector:
    """A flat detector normal to the beam.

    Attributes
    ----------
    shape
        Pixels (slow, fast).
    pixel_size_mm, distance_mm, wavelength_angstrom
        As named.
    beam_mm
        Beam on the detector (fast, slow) from the corner of the image.
    """

    shape: tuple[int, int]
    pixel_size_mm: float
    distance_mm: float
    wavelength_angstrom: float
    beam_mm: tuple[float, float]

    def radius_of(self, d_angstrom: float) -> float:
        """Distance from the beam [mm] of a d spacing."""
        theta = math.asin(self.wavelength_angstrom / 2.0 / d_angstrom)
        return self.distance_mm * math.tan(2.0 * theta)

    def d_of(self, radius_mm: F64) -> F64:
        """Spacing [Angstrom] at distances from the beam [mm]."""
        theta = np.arctan2(radius_mm, self.distance_mm) / 2.0
        return np.asarray(self.wavelength_angstrom / (2.0 * np.sin(theta)))

    @property
    def beam_px(self) -> tuple[int, int]:
        """Pixel index (slow, fast) nearest to the beam, as distl rounds it."""
        fast, slow = (math.floor(mm / self.pixel_size_mm + 0.5) for mm in self.beam_mm)
        return slow, fast

    @property
    def _ratio(self) -> float:
        return self.pixel_size_mm * self.pixel_size_mm / self.distance_mm / self.distance_mm

    def radius2_px_of(self, d_angstrom: float) -> float:
        """Square of the distance from the beam [px^2] of a d spacing."""
        two_sine = self.wavelength_angstrom / d_angstrom
        over_cosine = 2.0 / (2.0 - two_sine * two_sine)
        return (over_cosine * over_cosine - 1.0) / self._ratio

    def d_of_radius2_px(self, radius2_px: F64) -> F64:
        """Spacing [Angstrom] at the square of a distance from the beam [px^2]."""
        with np.errstate(divide="ignore"):
            two_sine = np.sqrt(2.0 - 2.0 / np.sqrt(1.0 + self._ratio * radius2_px))
            return np.where(two_sine < 1e-7, 1e9, self.wavelength_angstrom / two_sine)

    def radius2_px(self, pixel: I64) -> F64:
        """Square of the distance of pixels (flat indices) from the one of the beam [px^2]."""
        beam, n_fast = self.beam_px, self.shape[1]
        slow, fast = pixel // n_fast - beam[0], pixel % n_fast - beam[1]
        return (slow * slow + fast * fast).astype(np.float64)

    def coverage(self, d_angstrom: F64) -> F64:
        """Part of the circle of a d spacing that lies on the detector."""
        theta = np.arcsin(self.wavelength_angstrom / 2.0 / d_angstrom)
        radius = self.distance_mm * np.tan(2.0 * theta)
        fast, slow = self.beam_mm
        high, wide = (n * self.pixel_size_mm for n in self.shape)
        edges = (fast, slow, wide - fast, high - slow)
        beyond = [np.arccos(np.clip(edge / radius, -1.0, 1.0)) for edge in edges]
        outside = 2.0 * sum(beyond)
        for one, two in zip(beyond, beyond[1:] + beyond[:1], strict=True):
            outside = outside - np.maximum(0.0, one + two - 0.5 * np.pi)  # beyond a corner
        corner = math.hypot(max(fast, wide - fast), max(slow, high - slow))
        # exactly 0 beyond the last corner, whatever the sum of the angles rounds to
        return np.where(radius < corner, np.maximum(1.0 - outside / (2.0 * np.pi), 0.0), 0.0)


@dataclass(frozen=True)
class _Shells:
    """Outer limit [Angstrom], coverage and spots of shells of equal volume."""

    limit: F64
    coverage: F64
    population: F64

    @property
    def adjusted(self) -> F64:
        """Spots of whole shells; 0 of a shell that ends beyond the corner of the detector."""
        seen = self.coverage > 0.0
        return np.divide(self.population, self.coverage, out=np.zeros(len(seen)), where=seen)


def _shells(d_angstrom: F64, first: float, detector: FlatDetector) -> _Shells:
    """Sort falling d spacings into shells of which the first ends at `first`."""
    rows = int((first / d_angstrom[-1]) ** 3.0) + 1
    limit: F64 = first / (np.arange(rows, dtype=np.float64) + 1.0) ** (1.0 / 3.0)
    coverage = np.ones(rows)
    coverage[1:] = detector.coverage(limit[1:])
    row = np.minimum(np.searchsorted(-limit, -d_angstrom), rows - 1)
    return _Shells(limit, coverage, np.bincount(row, minlength=rows).astype(np.float64))


def spot_rings(d_angstrom: F64, in_first: int, detector: FlatDetector) -> Bounds:
    """Rings (low, high resolution) [Angstrom] in which spots crowd: ice that the pixels hide.

    Parameters
    ----------
    d_angstrom
        (n,) falling.
    in_first
        Spots of the first shell; the shells are then made finer, by halves, down to an average of
        four spots, as long as it helps.
    detector
        For the coverage of the shells.
    """
    first = float(d_angstrom[in_first - 1])
    while True:
        shells = _shells(d_angstrom, first, detector)
        rings, force = _crowded(shells)
        if shells.adjusted.max() < _RING_RATIO or d_angstrom[0] <= first:
            return rings
        if not force and len(shells.limit) >= 0.25 * len(d_angstrom):
            return rings
        first *= 0.5 ** (-1.0 / 3.0)


def _crowded(shells: _Shells) -> tuple[Bounds, bool]:
    """Shells with many more spots than their surroundings; whether one is among the first."""
    rows, adjusted = len(shells.limit), shells.adjusted
    rings: Bounds = []
    force = False
    if rows < 10:
        return rings, force
    for x in range(2, rows - 1):
        first = min(max(x - 4, 0), rows - 9)
        signal = adjusted[x - 1 : x + 2].sum()
        others = adjusted[first : first + 9].sum() - signal
        if not (signal / 3.0 > _RING_RATIO * (others / 6.0) and signal > _RING_SPOTS):
            continue
        bound = _RING_RATIO * ((others + math.sqrt(max(others, 0.0))) / 6.0)
        if (signal - math.sqrt(signal)) / 3.0 > bound:
            force = force or x < 4
            _add_ring(rings, (float(shells.limit[x - 2]), float(shells.limit[x + 1])))
    return rings, force


def _add_ring(rings: Bounds, ring: tuple[float, float]) -> None:
    """Add a ring, joined to those that it overlaps."""
    for i, (low, high) in enumerate(rings):
        if ring[1] > low or ring[0] < high:
            continue
        if ring[0] < low and ring[1] > high:
            return
        if ring[0] > low and ring[1] < high:
            rings[i] = ring
            return
        rings.pop(i)
        _add_ring(rings, (max(ring[0], low), min(ring[1], high)))
        return
    rings.append(ring)


def limit_by_shells(
    d_angstrom: F64, in_first: int, detector: FlatDetector, percentage: float
) -> float:
    """Resolution limit [Angstrom] where shells fall below a percentage of the spots (method 2).

    Parameters
    ----------
    d_angstrom
        (n,) falling, at least `in_first` of them.
    in_first
        Spots of the first shell.
    detector
        For the coverage of the shells: those that the edge cuts may go on where the full ones end.
    percentage
        Part of the spots of the first or second shell that a shell must have [per cent].
    """
    shells = _shells(d_angstrom, float(d_angstrom[in_first - 1]), detector)
    ratio = 100.0 / percentage
    rows, population = len(shells.limit), shells.population
    least = in_first / ratio
    if rows > 2 and population[1] > 2.0 * least and population[1] > _LEAST_IN_BIN:
        least = population[1] / ratio  # the first shell is long within the Ewald sphere
    last = int(np.flatnonzero(population > least)[-1]) if (population > least).any() else 0
    last = _before_a_gap(population, least if least <= 20 else 20 + least // 5, last)
    while shells.coverage[last] < 1.0 and last + 1 < rows and shells.adjusted[last + 1] > least:
        last += 1
    return float(shells.limit[last])


def _before_a_gap(population: F64, least: float, last: int) -> int:
    """Last filled shell before ten empty ones in a row."""
    filled = population[: last + 1] > least
    empty, x = 0, 0
    for x in range(1, last + 1):
        empty = 0 if filled[x] else empty + 1
        if empty == _EMPTY_SHELLS:
            break
    found = np.flatnonzero(filled[: x + 1])
    return int(found[-1]) if len(found) else 0


def limit_by_bend(peak: I64, detector: FlatDetector, margin: int) -> float:
    """Resolution limit [Angstrom] at the bend of the count against resolution (method 1).

    Parameters
    ----------
    peak
        (n,) flat index of the peak pixels.
    detector
        Geometry; distances are from its rounded beam.
    margin
        Pixels left out at each edge.
    """
    d_angstrom = detector.d_of_radius2_px(detector.radius2_px(peak))
    n = len(d_angstrom)
    if n <= 10:
        return 10.0
    factor = _corner_factors(np.sqrt(detector.radius2_px(peak)), detector, margin)
    ordered = np.sort(np.repeat(d_angstrom, np.maximum(factor, 1)))
    n_spots = min(int(factor.sum()), len(ordered))
    n_rings = min(40, max(10, n // 20))
    at = np.clip(np.arange(n_rings) * n_spots // n_rings, 0, n_spots - 1)
    ring_d = ordered[at][::-1]
    power = ring_d**-3.0
    slope = np.zeros(n_rings)
    slope[1:] = (power[1:] - power[0]) / np.arange(1, n_rings)
    steepest = int(np.argmax(slope))
    gap = slope[steepest] * np.arange(steepest + 1) + power[0] - power[: steepest + 1]
    bend = int(np.argmax(gap))
    bound = gap[bend] - 0.5 * math.sqrt(max(float((gap * gap).mean() - gap.mean() ** 2), 0.0))
    while bend + 1 <= steepest and gap[bend + 1] >= bound:
        bend += 1
    return float(ring_d[bend])


def _corner_factors(radius: F64, detector: FlatDetector, margin: int) -> I64:
    """How many spots one beyond the full circles stands for."""
    beam, shape = detector.beam_px, detector.shape
    reach = (
        beam[0] - margin,
        shape[1] - 1 - margin - beam[1],
        shape[0] - 1 - margin - beam[0],
        beam[1] - margin,
    )
    angle = np.full(len(radius), 2.0 * _BEND_PI)
    for edge in reach:
        over = radius > edge
        angle[over] -= 2.0 * np.arccos(np.clip(edge / radius[over], -1.0, 1.0))
    factor = (2.0 * _BEND_PI / np.maximum(angle, 1e-2)).astype(np.int64)
    factor[radius < min(reach)] = 1
    return factor
