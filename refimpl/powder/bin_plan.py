"""Which bin each pixel of a detector falls into: radial axes, sectors, masks, sub-pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.forward.powder_image import polarisation_factor
from refimpl.frames import F64
from refimpl.imaging.azimuthal import PixelBins, bin_index
from refimpl.powder.pixel_maps import PixelMaps
from refimpl.units import DEG

__all__ = ["UNITS", "Look", "RadialAxis", "between", "one_of", "range_text", "rising"]
__all__ += ["sector_edges", "usable_pixels", "whole"]

UNITS = (
    "two_theta_deg", "two_theta_rad", "q_inv_angstrom", "q_inv_nm", "d_angstrom", "radius_mm",
)  # fmt: skip
"""Radial axes. q is 4 pi sin(theta) / wavelength; radius_mm is that of the ring on the nominal
plane, after distortion."""

_HORIZONTAL = 0.5 * np.pi
"""Azimuth of the plane of polarisation of a synchrotron's beam."""


@dataclass(frozen=True)
class RadialAxis:
    """The radial axis as a function of the scattering angle."""

    unit: str
    wavelength_angstrom: float
    lsd_mm: float

    @classmethod
    def checked(
        cls, unit: str, wavelength_angstrom: float | None, lsd_mm: float, open_range: bool
    ) -> RadialAxis:
        """Axis of a known unit; a ConfigError where something that it needs is missing."""
        one_of("unit", unit, UNITS)
        if unit == "d_angstrom" and open_range:
            raise ConfigError(
                "unit 'd_angstrom' needs radial_range: d is infinite on the beam", key="unit"
            )
        if wavelength_angstrom is None:
            if unit in ("q_inv_angstrom", "q_inv_nm", "d_angstrom"):
                raise ConfigError(
                    f"unit {unit!r} needs wavelength_angstrom: the geometry does not state one",
                    key="wavelength_angstrom",
                )
            return cls(unit, np.nan, lsd_mm)
        between("wavelength_angstrom", wavelength_angstrom, 1e-4, 100.0, "0.0001 to 100")
        return cls(unit, wavelength_angstrom, lsd_mm)

    def __call__(self, two_theta_rad: F64) -> F64:
        """(...) in the axis's unit, from the scattering angle [rad]."""
        if self.unit == "two_theta_rad":
            return two_theta_rad
        if self.unit == "two_theta_deg":
            return two_theta_rad / DEG
        if self.unit == "radius_mm":
            return np.asarray(self.lsd_mm * np.tan(two_theta_rad))
        inverse_d = 2.0 * np.sin(0.5 * two_theta_rad) / self.wavelength_angstrom
        if self.unit == "d_angstrom":
            with np.errstate(divide="ignore"):
                return np.asarray(1.0 / inverse_d)
        return 2.0 * np.pi * inverse_d * (10.0 if self.unit == "q_inv_nm" else 1.0)


@dataclass(frozen=True, eq=False)
class Look:
    """Where the pixels and their parts look, block of rows by block of rows."""

    maps: PixelMaps
    axis: RadialAxis
    usable: NDArray[np.bool_]
    side: int
    threads: int | None
    _seen: dict[int, tuple[F64, F64]] = field(default_factory=dict)

    @property
    def places(self) -> list[tuple[float, float]]:
        """(fast, slow) of the sub-pixels' centres within a pixel."""
        steps = (np.arange(self.side) + 0.5) / self.side
        return [(float(f), float(s)) for s in steps for f in steps]

    def at(self, rows: slice, place: tuple[float, float]) -> tuple[F64, F64]:
        """2-theta and eta; those of whole pixels are kept, as they are needed again."""
        if rows.start not in self._seen or self.side > 1:
            found = self.maps.two_theta_eta(rows, place, threads=self.threads)
            if self.side > 1:
                return found
            self._seen[rows.start] = found
        return self._seen[rows.start]

    def covered(self) -> tuple[float, float]:
        """Range of the axis, which rises with the angle, over all unmasked pixels.

        The farthest part of a pixel is a corner of it. So is the nearest, except on the beam:
        the block that comes nearest is searched in full.
        """
        last = self.side - 1
        corners = {0, last, last * self.side, self.side**2 - 1}
        lows, highs = [], []
        for rows in self.maps.blocks():
            low, high = self._reach(rows, [self.places[i] for i in sorted(corners)])
            lows.append(low)
            highs.append(high)
        low, high = min(lows), max(highs)
        if not np.isfinite(low):
            raise ConfigError("no unmasked pixel lies on the detector: the mask hides everything")
        if self.side > 1:
            low = self._reach(list(self.maps.blocks())[int(np.argmin(lows))], self.places)[0]
        if low == high:  # a single pixel: any bin that holds it
            low, high = low - 1e-6 * abs(low) - 1e-12, high + 1e-6 * abs(high) + 1e-12
        return low, high

    def _reach(self, rows: slice, places: list[tuple[float, float]]) -> tuple[float, float]:
        low, high = np.inf, -np.inf
        for place in places:
            x = self.axis(self.at(rows, place)[0])
            good = x[self.usable[rows] & np.isfinite(x)]
            if len(good):
                low, high = min(low, float(good.min())), max(high, float(good.max()))
        return low, high

    def bins(self, edges: F64, sector: F64 | None) -> PixelBins:
        """Pixels by bin, for radial edges and azimuthal ones [deg]."""
        n_pixels = self.maps.shape[0] * self.maps.shape[1]
        n_bins = (len(edges) - 1) * (1 if sector is None else len(sector) - 1)
        parts = self._block_bins(edges, sector)
        if self.side > 1:
            return PixelBins.split(n_pixels, n_bins, self.side, parts)
        return PixelBins(n_pixels, n_bins, np.concatenate([part[0] for _, part in parts]))

    def _block_bins(
        self, edges: F64, sector: F64 | None
    ) -> Iterator[tuple[int, NDArray[np.int32]]]:
        """(first pixel, (places, k) bins) of each block."""
        for rows in self.maps.blocks():
            found = []
            for place in self.places:
                two_theta, eta = self.at(rows, place)
                index = bin_index(self.axis(two_theta), edges)
                inside = self.usable[rows] & (index >= 0)
                if sector is not None:
                    turned = bin_index(np.mod(eta / DEG - sector[0], 360.0), sector - sector[0])
                    inside &= turned >= 0
                    index = index + turned * np.int32(len(edges) - 1)
                found.append(np.where(inside, index, np.int32(-1)).ravel())
            yield rows.start * self.maps.shape[1], np.stack(found)

    def weight(self, polarisation: float | None, solid_angle: bool) -> F64:
        """(n_slow, n_fast) what a pixel sees of a uniform scatterer; 0 where it sees nothing."""
        weight = np.ones(self.maps.shape)
        for rows in self.maps.blocks():
            if solid_angle:
                weight[rows] = self.maps.relative_solid_angle(rows)
            if polarisation is not None:
                two_theta, eta = self.maps.two_theta_eta(rows, threads=self.threads)
                weight[rows] *= polarisation_factor(two_theta, eta, polarisation, _HORIZONTAL)
        return np.nan_to_num(weight, copy=False, nan=0.0)


def sector_edges(limits: tuple[float, float] | None, n_azimuth: int | None) -> F64 | None:
    """Edges of the azimuthal bins [deg]; None where azimuth does not matter."""
    if limits is None and n_azimuth is None:
        return None
    start, stop = rising(limits or (-180.0, 180.0), "azimuth_deg")
    if stop - start > 360.0:
        raise ConfigError(f"azimuth from {start:g} to {stop:g} deg: more than a full circle")
    return np.linspace(start, stop, (n_azimuth or 1) + 1)


def range_text(unit: str, edges: F64, sector: F64 | None) -> str:
    """Range of the bins in words, for messages."""
    text = f"{unit} {edges[0]:.6g} to {edges[-1]:.6g}"
    return text if sector is None else f"{text}, azimuth {sector[0]:g} to {sector[-1]:g} deg"


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuse a name that is not among those allowed."""
    if value not in allowed:
        raise ConfigError(
            f"{name} {value!r}: expected one of {', '.join(allowed)}", key=name, got=value
        )


def whole(name: str, value: int, least: int, most: int) -> None:
    """Refuse what is not a whole number within the limits."""
    if not (isinstance(value, int | np.integer) and least <= value <= most):
        raise ConfigError(
            f"{name} = {value!r}: expected a whole number from {least} to {most}",
            key=name,
            got=value,
        )


def between(name: str, value: float, low: float, high: float, expected: str) -> None:
    """Refuse a number outside the limits, or NaN."""
    if not low <= value <= high:
        raise ConfigError(f"{name} = {value!r}: expected {expected}", key=name, got=value)


def rising(limits: tuple[float, float], name: str) -> tuple[float, float]:
    """Both ends of a range, or a ConfigError where it is none."""
    low, high = (float(v) for v in limits)
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ConfigError(f"{name} from {low:g} to {high:g}: expected two rising numbers")
    return low, high


def usable_pixels(mask: NDArray[np.bool_] | None, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(n_slow, n_fast) True where a pixel is not masked."""
    if mask is None:
        return np.ones(shape, dtype=bool)
    if np.shape(mask) != shape:
        raise ConfigError(
            f"mask has shape {np.shape(mask)}: the geometry is for {shape} "
            "(slow, fast) in the file's own order"
        )
    return ~np.asarray(mask, dtype=bool)
