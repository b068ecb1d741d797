"""Ring points as the published program extracts them: bins, lineouts, peak fits.

Source: MIDAS `CalibrantPanelShiftsOMP` as of the AutoCalibrate manual version 10. A point is the
fitted radius of a bin at the bin's central azimuth, about the beam centre in the raw image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.calibrants import Calibrant
from refimpl.crystal.hkls_csv import published_hkls
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError, NoRingsError
from refimpl.frames import F64, I64
from refimpl.imaging.chord_bins import lineouts
from refimpl.imaging.published_bins import BinPixels, RingWindows, collect_pixels, ring_windows
from refimpl.objective.lineout_fit import fit_doublets, fit_singlets
from refimpl.powder.published_options import PublishedOptions
from refimpl.units import DEG, UM

__all__ = ["PublishedPoints", "PublishedRings", "extract_points", "published_rings", "ring_pairs"]


@dataclass(frozen=True, eq=False)
class PublishedRings:
    """Rings that a run looks at: (k,) numbers and 2-theta [rad], rising."""

    number: I64
    two_theta_rad: F64

    def without(self, numbers: tuple[int, ...]) -> PublishedRings:
        """Copy without some ring numbers (RingsToExclude)."""
        keep = ~np.isin(self.number, np.array(numbers, dtype=np.int64))
        return PublishedRings(self.number[keep], self.two_theta_rad[keep])


def published_rings(
    powder: Calibrant, wavelength_angstrom: float, lsd_mm: float, rho_d_mm: float
) -> PublishedRings:
    """Rings within RhoD at a distance, by the published table ``hkls.csv``.

    Its limits hold: Miller indices to 10, and theta rounded to 1e-6 degrees (0.3 ppm of the
    radius of the first ring of CeO2 at 60 keV).

    Raises
    ------
    ConfigError
        No ring is that small.
    """
    table = published_hkls(powder, wavelength_angstrom, lsd_mm, rho_d_mm, published_limits=True)
    number, two_theta = table.ring_two_theta_rad()
    two_theta = 2.0 * np.round(0.5 * two_theta / DEG, 6) * DEG
    keep = two_theta <= np.arctan(rho_d_mm / lsd_mm)
    if not keep.any():
        raise ConfigError(
            f"no ring of {powder.name} within RhoD = {rho_d_mm / UM:.0f} um at Lsd = "
            f"{lsd_mm / UM:.0f} um and {wavelength_angstrom:g} angstrom: check these three"
        )
    return PublishedRings(number[keep], two_theta[keep])


@dataclass(frozen=True, eq=False)
class PublishedPoints:
    """Points of one extraction, by ring, then azimuth.

    Attributes
    ----------
    ring
        (n,) ring number.
    two_theta_rad
        (n,) of that ring.
    eta_rad
        (n,) centre of the bin.
    radius_mm
        (n,) fitted radius in the raw image.
    fast_px, slow_px
        (n,) the same point, corner origin.
    n_bins
        Bins of all rings, whether they gave a point or not.
    evaluations
        Calls of the peak function.
    """

    ring: I64
    two_theta_rad: F64
    eta_rad: F64
    radius_mm: F64
    fast_px: F64
    slow_px: F64
    n_bins: int
    evaluations: int

    def __len__(self) -> int:
        return len(self.ring)

    def select(self, keep: NDArray[np.bool_]) -> PublishedPoints:
        """Copy with some points only."""
        columns = ("ring", "two_theta_rad", "eta_rad", "radius_mm", "fast_px", "slow_px")
        return replace(self, **{name: getattr(self, name)[keep] for name in columns})


def ring_pairs(windows: RingWindows, separation_mm: float) -> list[tuple[int, ...]]:
    """Rings to fit together: pairs nearer than `separation_mm`, from inside, each ring once."""
    groups: list[tuple[int, ...]] = []
    k = 0
    while k < len(windows.ring):
        near = k + 1 < len(windows.ring) and (
            abs(windows.ideal_mm[k + 1] - windows.ideal_mm[k]) < separation_mm
        )
        groups.append((k, k + 1) if near else (k,))
        k += len(groups[-1])
    return groups


def extract_points(
    image: F64,
    mask: NDArray[np.bool_] | None,
    detector: TiltedFlat,
    rings: PublishedRings,
    options: PublishedOptions,
) -> PublishedPoints:
    """Extract the points of every ring at the current geometry.

    Parameters
    ----------
    image
        (n_slow, n_fast) model frame.
    mask
        (n_slow, n_fast) True where bad; None for none.
    detector
        Geometry that decides which pixels a bin gets.
    rings
        Of :func:`published_rings`, exclusions taken out.
    options
        Of the run.

    Raises
    ------
    NoRingsError
        No bin gives a point.
    """
    px, lsd, geometry = detector.pixel_size_mm[0], detector.lsd_mm, detector.geometry
    windows = ring_windows(
        *(rings.number, rings.two_theta_rad, lsd, detector.rho_d_mm, options.width_mm, px),
        options.r_bin_divisions,
    )
    if options.published_frame:
        image, mask = _squared(image, mask)
    pixels = collect_pixels(image.shape, geometry, windows, options.eta_bin_deg, mask)
    groups = ring_pairs(windows, options.doublet_separation_px * px)
    found = [
        _fit_group(image, pixels, windows, group, geometry, options.published_chords)
        for group in groups
    ]
    window, eta, radius = (np.concatenate([f[i] for f in found]) for i in range(3))
    good = np.isfinite(radius)
    if not good.any():
        raise NoRingsError(
            f"no ring point found: none of {len(windows.ring) * pixels.n_eta} bins of "
            f"{len(windows.ring)} rings has unmasked intensity"
        )
    window, eta, radius = window[good], eta[good], radius[good]
    return PublishedPoints(
        ring=windows.ring[window],
        two_theta_rad=rings.two_theta_rad[window],
        eta_rad=eta,
        radius_mm=radius,
        fast_px=detector.beam_centre_px[0] + radius * np.sin(eta) / px,
        slow_px=detector.beam_centre_px[1] + radius * np.cos(eta) / detector.pixel_size_mm[1],
        n_bins=len(windows.ring) * pixels.n_eta,
        evaluations=sum(f[3] for f in found),
    )


def _squared(image: F64, mask: NDArray[np.bool_] | None) -> tuple[F64, NDArray[np.bool_] | None]:
    """Pad to a square at high fast and slow; the padding is unmasked zeros, as published."""
    side = max(image.shape)
    pad = [(0, side - n) for n in image.shape]
    return np.pad(image, pad), None if mask is None else np.pad(mask, pad)


def _fit_group(
    image: F64,
    pixels: BinPixels,
    windows: RingWindows,
    group: tuple[int, ...],
    geometry: F64,
    chords: bool,
) -> tuple[I64, F64, F64, int]:
    """Window, eta, radius of one ring's points, or of a pair's; and the calls."""
    first, last = group[0], group[-1]
    low, high = windows.low_mm[first], windows.high_mm[last]
    bins = _joined(pixels, group)
    steps = windows.steps[first]
    if first != last:
        per_mm = 4.0 / geometry[6]  # the published step of a quarter of a pixel
        steps = max(int((high - low) * per_mm / 4.0) * 4, int(steps))
    merged = RingWindows(
        *(windows.ring[[first]], windows.ideal_mm[[first]], np.array([low]), np.array([high])),
        np.array([steps]),
    )
    profile = lineouts(image, bins, merged, geometry, arcs=not chords, published_axes=chords)
    b, step_um = len(profile), (high - low) / steps / UM
    grid = (np.full(b, steps), np.full(b, low / UM + 0.5 * step_um), np.full(b, step_um))
    if first == last:
        found, calls = fit_singlets(profile, *grid)
        centres = found[:, :1]
    else:
        middle = 0.5 * (windows.high_mm[first] + windows.low_mm[last]) / UM
        found, calls = fit_doublets(profile, *grid, np.full(b, middle))
        centres = found[:, :2]
    window = np.repeat(np.array(group), b)
    return window, np.tile(bins.eta_rad, len(group)), centres.T.ravel() * UM, int(calls.sum())


def _joined(pixels: BinPixels, group: tuple[int, ...]) -> BinPixels:
    """Bins of one window, or of two neighbours joined by azimuth, as bins of window 0.

    A joined bin is left out if either part is: one masked pixel, or one corner at the edge, in
    the union of their pixels drops both, as published.
    """
    mine = np.flatnonzero(np.isin(pixels.window, group))
    eta_bins, parts = np.unique(pixels.eta_bin[mine], return_counts=True)
    mine = mine[np.isin(pixels.eta_bin[mine], eta_bins[parts == len(group)])]
    order = mine[np.argsort(pixels.eta_bin[mine], kind="stable")]
    eta_bins, first = np.unique(pixels.eta_bin[order], return_index=True)
    sizes = np.diff(pixels.offset)
    spans = [pixels.pixel[pixels.offset[i] : pixels.offset[i + 1]] for i in order]
    ends = np.concatenate([[0], np.cumsum(sizes[order])])
    return BinPixels(
        window=np.zeros(len(eta_bins), dtype=np.int64),
        eta_bin=eta_bins,
        offset=np.append(ends[first], ends[-1]).astype(np.int64),
        pixel=np.concatenate(spans) if spans else np.zeros(0, dtype=np.int64),
        n_eta=pixels.n_eta,
    )
