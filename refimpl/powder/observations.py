"""From an image and a geometry to ring points: where each ring was seen, and how surely.

A point is the fitted centre of one ring in one bin of azimuth on one panel. It is kept in raw
detector coordinates, so that any other geometry can be tried on it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import pixel_position
from refimpl.frames import F64, I64
from refimpl.imaging.ring_peaks import fit_ring_peaks
from refimpl.imaging.ring_pixels import RingPixels, ring_pixels
from refimpl.powder.windows import RingGroups

__all__ = ["Frame", "RingPoints", "RingProfiles", "estimate_relative_noise", "observe"]


@dataclass(frozen=True, eq=False)
class Frame:
    """An image ready for ring fitting, model frame.

    Attributes
    ----------
    counts
        (s, f) float64.
    usable
        (s, f) 1 where a pixel counts.
    panel_map, n_panels, boxes
        Panels that no bin may mix (:func:`refimpl.imaging.panel_map.panel_grid`).
    gain, variance_floor, relative_noise
        Variance of a pixel: ``gain * model + variance_floor + (relative_noise * model)**2``.
    """

    counts: F64
    usable: NDArray[np.uint8]
    panel_map: NDArray[np.int16]
    n_panels: int
    boxes: I64
    gain: float = 1.0
    variance_floor: float = 0.0
    relative_noise: float = 0.0


@dataclass(frozen=True, eq=False)
class RingPoints:
    """Fitted ring centres; every array has one entry a point.

    Attributes
    ----------
    ring
        Position in the list of rings (not the ring number).
    panel, eta_bin
        Where the bin lies.
    fast_px, slow_px
        Raw position, model frame.
    two_theta_rad, eta_rad
        At the geometry of the extraction.
    sigma_rad
        Standard uncertainty of ``two_theta_rad``.
    coverage
        Part of the nominal bin that has usable pixels, 0..1.
    fwhm_rad, mixing, height, background, chi2, pixels
        Of the fit.
    used
        False for a point that a rule has taken out.
    """

    ring: I64
    panel: I64
    eta_bin: I64
    fast_px: F64
    slow_px: F64
    two_theta_rad: F64
    eta_rad: F64
    sigma_rad: F64
    coverage: F64
    fwhm_rad: F64
    mixing: F64
    height: F64
    background: F64
    chi2: F64
    pixels: I64
    used: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.ring)

    @property
    def key(self) -> I64:
        """(n,) one number for the place (ring, panel, azimuthal bin) of each point."""
        return (self.ring * 100_000 + self.panel) * 100_000 + self.eta_bin

    def select(self, keep: NDArray[Any]) -> RingPoints:
        """Copy with some points only."""
        return replace(self, **{name: getattr(self, name)[keep] for name in self.__annotations__})

    def with_used(self, used: NDArray[np.bool_]) -> RingPoints:
        """Copy with another choice of points."""
        return replace(self, used=used)


@dataclass(frozen=True, eq=False)
class RingProfiles:
    """Typical line of every ring, to take its tails off the neighbours' windows.

    Attributes
    ----------
    two_theta_rad, height, fwhm_rad, mixing
        (h,) each.
    """

    two_theta_rad: F64
    height: F64
    fwhm_rad: F64
    mixing: F64

    @classmethod
    def of(cls, points: RingPoints, rings: Rings) -> RingProfiles:
        """Medians over the used points of each ring.

        A ring that was not seen, because it blends with another, has tails all the same: its
        height follows from the calibrant's intensities and the nearest rings that were seen.
        """
        n = len(rings)
        seen = np.unique(points.ring[points.used & (points.ring < n)])
        if len(seen) == 0:
            return cls(rings.two_theta_rad, np.zeros(n), np.ones(n), np.zeros(n))
        lines = np.empty((3, len(seen)))
        for i, k in enumerate(seen):
            mine = points.used & (points.ring == k)
            for row, values in enumerate((points.height, points.fwhm_rad, points.mixing)):
                lines[row, i] = np.median(values[mine])
        fwhm, mixing = (np.interp(np.arange(n), seen, row) for row in lines[1:])
        # a pseudo-Voigt's height is its area over its width
        scale = lines[0] * lines[1] / np.maximum(rings.intensity[seen], 1e-6)
        height = np.interp(np.arange(n), seen, scale) * rings.intensity / fwhm
        height[seen] = lines[0]
        return cls(rings.two_theta_rad, height, fwhm, mixing)

    def tails(self, x: F64, members: I64) -> F64:
        """(n,) sum of all lines but those of the members, at 2-theta x [rad]."""
        grid = np.linspace(float(np.min(x)), float(np.max(x)), TAIL_GRID)
        total = np.zeros_like(grid)
        for k in np.flatnonzero(self.height > 0.0):
            if k not in members:
                u2 = ((grid - self.two_theta_rad[k]) / self.fwhm_rad[k]) ** 2
                gauss = np.exp(-4.0 * np.log(2.0) * u2)
                line = self.mixing[k] / (1.0 + 4.0 * u2) + (1.0 - self.mixing[k]) * gauss
                total += self.height[k] * line
        return np.interp(x, grid, total)


TAIL_GRID = 129
"""Points of the table that tails are read from, a window."""


def _tails(pixels: RingPixels, groups: RingGroups, profiles: RingProfiles, per_group: int) -> F64:
    """(m,) tails of the other rings at every pixel; bins of a group follow each other."""
    out = np.zeros(len(pixels.pixel))
    group = pixels.bin_id // per_group
    for g in np.unique(group):
        first, last = np.searchsorted(group, [g, g + 1])
        part = slice(pixels.offsets[first], pixels.offsets[last])
        out[part] = profiles.tails(pixels.two_theta_rad[part], groups.members[g])
    return out


def observe(
    frame: Frame,
    model: TiltedFlat,
    rings: Rings,
    groups: RingGroups,
    n_eta: int,
    *,
    polarisation: float = 2.0,
    least_coverage: float = 0.1,
    least_snr: float = 4.0,
    step_tolerance: float = 1e-4,
    profiles: RingProfiles | None = None,
    threads: int | None = None,
) -> RingPoints:
    """Fit every ring in every bin that has enough pixels.

    Parameters
    ----------
    frame, model, rings
        What was measured, and where it is thought to be.
    groups
        Windows of rings, alone or in pairs.
    n_eta
        Bins in the full circle.
    polarisation
        See :func:`~refimpl.imaging.ring_pixels.ring_pixels`.
    least_coverage, least_snr
        Bins with a smaller part of usable pixels, and peaks with a smaller ratio of height to its
        standard uncertainty, give no point.
    step_tolerance
        Of the peak fits, in standard errors.
    profiles
        Lines of the last pass, whose tails in other rings' windows are taken as known: a straight
        background cannot follow the tail of a strong neighbour.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Returns
    -------
    RingPoints
        All used; sorted by ring group, azimuth, panel.
    """
    geometry, corrections = model.geometry, model.corrections
    windows = model.lsd_mm * np.tan(groups.windows_rad)
    pixels = RingPixels(
        *ring_pixels(
            frame.usable,
            frame.panel_map,
            geometry,
            corrections,
            windows,
            n_eta,
            frame.n_panels,
            polarisation,
            threads=threads,  # type: ignore[call-arg]
        )
    )
    group, eta_bin, panel = _bin_parts(pixels.bin_id, n_eta, frame.n_panels)
    count = np.diff(pixels.offsets)
    nominal = (windows[:, 1] ** 2 - windows[:, 0] ** 2) * np.pi / n_eta
    coverage = count * float(np.prod(model.pixel_size_mm)) / nominal[group]
    p, sigma, chi2, _, status = fit_ring_peaks(
        pixels.two_theta_rad,
        frame.counts.reshape(-1)[pixels.pixel],
        pixels.response,
        pixels.offsets,
        groups.expected_rad[group],
        groups.windows_rad[group],
        groups.fwhm_rad[group],
        frame.gain,
        frame.variance_floor,
        frame.relative_noise,
        step_tolerance,
        None if profiles is None else _tails(pixels, groups, profiles, n_eta * frame.n_panels),
        threads=threads,  # type: ignore[call-arg]
    )
    eta = np.add.reduceat(pixels.eta_rad, pixels.offsets[:-1]) / count if len(count) else count
    parts = []
    for member, (centre, height) in enumerate(((0, 1), (6, 7))):
        ring = groups.members[group, member]
        half = 0.5 * np.diff(groups.windows_rad[group], axis=1)[:, 0]
        good = (status == 0) & (ring >= 0) & (coverage >= least_coverage)
        with np.errstate(invalid="ignore", divide="ignore"):
            good &= p[:, height] > least_snr * sigma[:, height]
            good &= (sigma[:, centre] > 0.0) & (sigma[:, centre] < 0.25 * p[:, 2])
            # a centre in the outer fifth of its window is no fit
            expected = groups.expected_rad[group, member]
            good &= np.abs(p[:, centre] - expected) < 0.8 * half
            # on its upper bound a width has found the background; on the lower, pixels too coarse
            good &= (sigma[:, 2] > 0.0) | (p[:, 2] < groups.fwhm_rad[group])
            dof = np.maximum(count - 6 - 2 * (groups.members[group, 1] >= 0), 1)
            excess = np.sqrt(np.maximum(chi2 / dof, 1.0))
        k = np.flatnonzero(good)
        parts.append(
            (
                ring[k], panel[k], eta_bin[k], p[k, centre], eta[k],
                sigma[k, centre] * excess[k], np.minimum(coverage[k], 1.0), p[k, 2], p[k, 3],
                p[k, height], p[k, 4], chi2[k] / dof[k], count[k],
            )
        )  # fmt: skip
    columns: list[Any] = [np.concatenate(c) for c in zip(*parts, strict=True)]
    radius = model.lsd_mm * np.tan(columns[3])
    where = columns[1].astype(np.int32) if len(corrections) else np.full(len(radius), -1, np.int32)
    fast, slow = pixel_position(radius, columns[4], where, geometry, corrections)
    return RingPoints(
        columns[0], columns[1], columns[2], fast, slow, columns[3], columns[4], columns[5],
        columns[6], columns[7], columns[8], columns[9], columns[10], columns[11], columns[12],
        np.isfinite(fast),
    )  # fmt: skip


def _bin_parts(bin_id: I64, n_eta: int, n_panels: int) -> tuple[I64, I64, I64]:
    rest, panel = np.divmod(bin_id, n_panels)
    group, eta_bin = np.divmod(rest, n_eta)
    return group, eta_bin, panel


def estimate_relative_noise(frame: Frame, points: RingPoints) -> float:
    r"""Noise in proportion to the signal that explains the misfit of the peaks.

    Grains make a powder ring rough in proportion to its brightness, far above the counting noise
    of a bright ring; weights that know it halve the scatter of the centres on real frames. With
    :math:`\rho` used so far, a fit of reduced chi-square c to a line of mean signal m says
    :math:`\rho^2 = ((1 + \rho_0^2 m) c - 1)/m`; the median over the points is taken. On frames
    with counting noise alone it is 0 within its own noise.

    Parameters
    ----------
    frame, points
        Points fitted with the noise of the frame.
    """
    use = points.used
    if not np.any(use):
        return frame.relative_noise
    # Poisson-weighted mean signal of a line: about a third of its height, over the background
    signal = np.maximum(points.background[use] + 0.35 * points.height[use], 1.0) / frame.gain
    square = ((1.0 + frame.relative_noise**2 * signal) * points.chi2[use] - 1.0) / signal
    return float(np.sqrt(max(float(np.median(square)), 0.0)))
