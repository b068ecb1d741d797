"""The part of an integration that depends on the geometry alone: made once, called by frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import refimpl
from refimpl.dispatch import current_backend
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.imaging.azimuthal import MOST_SUBPIXELS, PixelBins
from refimpl.powder.bin_plan import (
    UNITS,
    Look,
    RadialAxis,
    between,
    one_of,
    range_text,
    rising,
    sector_edges,
    usable_pixels,
    whole,
)
from refimpl.powder.pattern import Pattern
from refimpl.powder.pixel_maps import pixel_maps

__all__ = ["ERROR_MODELS", "MOST_BINS", "SPLITS", "UNITS", "Integrator", "integrator"]

SPLITS = ("no", "sub")
"""Ways of sharing a pixel between bins: not at all, or by a grid of sub-pixels."""

ERROR_MODELS = ("poisson", "none")
"""Where errors come from, unless a variance is given."""

MOST_BINS = 1 << 26
"""Bins in all, radial times azimuthal: half a gigabyte of sums."""


@dataclass(frozen=True, eq=False)
class Integrator:
    """All of an integration that does not depend on the frame; call it with a frame.

    Attributes
    ----------
    shape
        (n_slow, n_fast) of the frames, in the file's pixel order.
    unit, edges, azimuth_edges_deg
        Of the bins; see :class:`~refimpl.powder.pattern.Pattern`.
    bins
        Which pixels make up which bin.
    weight
        (n_slow, n_fast) solid angle times polarisation factor of each pixel, 0 where unknown.
    normalisation, pixels
        (b,) sums over each bin of the weight and of 1.
    error_model, gain
        ``poisson`` or ``none``; counts a photon, so that variance = gain * counts.
    meta
        What the patterns will know about their origin.
    """

    shape: tuple[int, int]
    unit: str
    edges: F64
    azimuth_edges_deg: F64 | None
    bins: PixelBins
    weight: F64
    normalisation: F64
    pixels: F64
    error_model: str = "poisson"
    gain: float = 1.0
    meta: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __call__(
        self,
        frame: ArrayLike,
        *,
        variance: ArrayLike | None = None,
        mask: NDArray[np.bool_] | None = None,
        n_frames: int = 1,
        threads: int | None = None,
    ) -> Pattern:
        """Integrate one frame.

        Parameters
        ----------
        frame
            (n_slow, n_fast) counts of any integer or floating-point type, file order. NaN and
            infinite pixels are left out.
        variance
            (n_slow, n_fast) of the frame; None takes the error model.
        mask
            Pixels that are bad in this frame, besides those that the integrator leaves out. Costs
            two more passes.
        n_frames
            How many frames this is the mean of; divides the Poisson variance.
        threads
            See :func:`refimpl.dispatch.resolve_threads`; the result does not depend on it.

        Raises
        ------
        ConfigError
            The shape is not the detector's, or the frame does not hold real numbers.
        """
        values = self._checked("frame", frame)
        noise = None if variance is None else self._checked("variance", variance)
        bad = None if mask is None else np.asarray(self._checked("mask", mask), dtype=bool)
        counts, squares = self.bins.sums_and_squares(_kept(values, bad), threads=threads)
        if not np.isfinite(counts).all():  # only now look for pixels that are not finite
            bad = ~np.isfinite(values) if bad is None else bad | ~np.isfinite(values)
            counts, squares = self.bins.sums_and_squares(_kept(values, bad), threads=threads)
        norm, pixels = self.normalisation, self.pixels
        if bad is not None:
            norm = self.bins.sums(_kept(self.weight, bad), threads=threads)
            pixels = self.bins.sums(~bad, threads=threads)
        if noise is not None:
            spread = self.bins.sums_and_squares(_kept(noise, bad), threads=threads)[1]
        elif self.error_model == "poisson":
            spread = squares * (self.gain / n_frames)
        else:
            spread = np.full_like(counts, np.nan)
        sums = (counts, spread, norm, pixels)
        return Pattern.of(self.unit, self.edges, self.azimuth_edges_deg, sums, self.meta)

    def _checked(self, name: str, array: ArrayLike) -> NDArray[Any]:
        values = np.asarray(array)
        if values.shape != self.shape:
            raise ConfigError(
                f"{name} has shape {values.shape}: the geometry is for {self.shape} "
                "(slow, fast) in the file's own order"
            )
        return values


def _kept(values: NDArray[Any], bad: NDArray[np.bool_] | None) -> NDArray[Any]:
    return values if bad is None else np.where(bad, np.zeros((), values.dtype), values)


def integrator(
    geometry: Any,
    *,
    n_radial: int = 1000,
    n_azimuth: int | None = None,
    unit: str = "two_theta_deg",
    radial_range: tuple[float, float] | None = None,
    azimuth_range_deg: tuple[float, float] | None = None,
    wavelength_angstrom: float | None = None,
    mask: NDArray[np.bool_] | None = None,
    polarisation: float | None = None,
    solid_angle: bool = True,
    error_model: str = "poisson",
    gain: float = 1.0,
    split: str = "no",
    subpixels: int = 3,
    threads: int | None = None,
) -> Integrator:
    """Prepare the integration of any number of frames.

    Parameters
    ----------
    geometry
        Path of a ``geometry.json``, a calibration's result, a
        :class:`~refimpl.detector.model.TiltedFlat` or a
        :class:`~refimpl.detector.panel.Detector`.
    n_radial, n_azimuth
        Number of bins; no azimuth means a pattern of all azimuths together.
    unit
        One of :data:`UNITS`; bins are equally wide in it.
    radial_range
        (from, to) in the unit; None takes what the unmasked pixels cover.
    azimuth_range_deg
        (from, to) of the cake, or of the sector that a pattern is taken from; at most a full
        circle, and it may cross 180 (``(170, 190)``). None is (-180, 180).
    wavelength_angstrom
        For q and d; None takes the geometry's own.
    mask
        (n_slow, n_fast) True = bad, file order.
    polarisation
        Degree of linear polarisation in the horizontal plane, -1..1; None leaves it out.
    solid_angle
        Whether to divide by the relative solid angle of the pixels.
    error_model, gain
        ``"poisson"`` (variance = gain * counts) or ``"none"``.
    split, subpixels
        ``"no"``, or ``"sub"`` with a grid of so many sub-pixels a side. Splitting smooths the
        pattern of coarse pixels; neighbouring bins then share counts, so their errors correlate.
    threads
        For the geometry; see :func:`refimpl.dispatch.resolve_threads`.

    Raises
    ------
    ConfigError
        A name or number is not possible, the wavelength is missing, shapes differ, or no unmasked
        pixel is in range.
    FormatError
        The geometry cannot be read.
    """
    one_of("split", split, SPLITS)
    one_of("error_model", error_model, ERROR_MODELS)
    whole("n_radial", n_radial, 1, MOST_BINS)
    whole("n_azimuth", 1 if n_azimuth is None else n_azimuth, 1, MOST_BINS // n_radial)
    whole("subpixels", subpixels, 1, MOST_SUBPIXELS)
    between("gain", gain, 1e-12, 1e12, "a positive number of counts a photon")
    between("polarisation", polarisation or 0.0, -1.0, 1.0, "-1 to 1")
    maps = pixel_maps(geometry)
    wavelength = maps.wavelength_angstrom if wavelength_angstrom is None else wavelength_angstrom
    axis = RadialAxis.checked(unit, wavelength, maps.lsd_mm, radial_range is None)
    side = subpixels if split == "sub" else 1
    look = Look(maps, axis, usable_pixels(mask, maps.shape), side, threads)
    edges = np.linspace(*rising(radial_range or look.covered(), unit), n_radial + 1)
    sector = sector_edges(azimuth_range_deg, n_azimuth)
    bins = look.bins(edges, sector)
    pixels = bins.sums(np.ones(maps.shape, dtype=np.uint8), threads=threads)
    if not pixels.any():
        raise ConfigError(f"no unmasked pixel lies in {range_text(unit, edges, sector)}")
    weight = look.weight(polarisation, solid_angle)
    meta = {
        "kind": "refimpl.pattern",
        "refimpl": refimpl.__version__,
        "backend": current_backend(),
        "geometry": maps.source,
        "unit": unit,
        "n_radial": n_radial,
        "n_azimuth": n_azimuth,
        "radial_range": [float(edges[0]), float(edges[-1])],
        "azimuth_range_deg": None if sector is None else [float(sector[0]), float(sector[-1])],
        "wavelength_angstrom": wavelength,
        "masked_pixels": int(np.count_nonzero(~look.usable)),
        "polarisation": polarisation,
        "solid_angle": solid_angle,
        "error_model": error_model,
        "gain": gain,
        "split": split,
        "subpixels": side,
    }
    return Integrator(
        shape=maps.shape,
        unit=unit,
        edges=edges,
        azimuth_edges_deg=sector if n_azimuth else None,
        bins=bins,
        weight=weight,
        normalisation=bins.sums(weight, threads=threads),
        pixels=pixels,
        error_model=error_model,
        gain=gain,
        meta=meta,
    )
