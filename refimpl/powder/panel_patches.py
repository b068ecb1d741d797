"""A fixed set of ring points by panels, and held-out scores of any geometry on it (panel1deg).

A point is the patch of :mod:`refimpl.powder.patches` of one ring in one degree of azimuth that
never crosses a panel. The set is made once, in the maps of a plain single surface, and kept in
raw detector coordinates: then any geometry, ours or another code's, can be scored on points that
it was not fitted to. Source: spec, section 6.2 item 3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import pixel_position
from refimpl.errors import FormatError
from refimpl.frames import F64, I64
from refimpl.powder.observations import RingPoints
from refimpl.powder.patches import CUT_MAD, fit_patches
from refimpl.powder.refine import point_strain
from refimpl.units import MICROSTRAIN

__all__ = ["SPLITS", "HeldOut", "held_out_score", "panel_points", "split_labels"]

N_ETA = 360

SPLITS = ("eta", "sector", "ring")
"""Alternate 1-degree bins of azimuth, alternate 10-degree sectors, odd against even rings."""


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Strain of points at geometries that were fitted to the other half of the points.

    Attributes
    ----------
    strain
        (n,) signed.
    mean_abs, median
        Mean and median |strain| of all points: no cut.
    cut_mean_abs, n_cut
        Mean |strain| after the cut at 5 median absolute deviations, and how many it took out.
    """

    strain: F64
    mean_abs: float
    median: float
    cut_mean_abs: float
    n_cut: int

    @classmethod
    def of(cls, strain: F64) -> HeldOut:
        """Figures of a set of strains."""
        off = np.abs(strain - np.median(strain))
        good = off <= CUT_MAD * np.median(off)
        size = np.abs(strain)
        return cls(
            strain,
            float(np.mean(size)),
            float(np.median(size)),
            float(np.mean(size[good])),
            int(np.count_nonzero(~good)),
        )

    def __str__(self) -> str:
        return (
            f"n {len(self.strain)}, mean |strain| {self.mean_abs / MICROSTRAIN:.1f} µε (all), "
            f"median {self.median / MICROSTRAIN:.1f} µε, {self.cut_mean_abs / MICROSTRAIN:.1f} µε "
            f"without {self.n_cut} beyond {CUT_MAD:g} MAD"
        )


def panel_points(
    counts: NDArray[np.generic],
    usable: NDArray[np.bool_],
    surface: TiltedFlat,
    boxes: I64,
    rings: Rings,
    *,
    n_eta: int = N_ETA,
    threads: int | None = None,
) -> RingPoints:
    """Points of one ring, one bin of azimuth and one panel each.

    Parameters
    ----------
    counts, usable
        (s, f) image and True where a pixel counts, model frame.
    surface
        Single surface whose maps the patches are fitted in.
    boxes
        (p, 4) fast0, slow0, fast1, slow1 of the panels, half open [px].
    rings
        The calibrant's.
    n_eta
        Bins in the full circle.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Raises
    ------
    FormatError
        Not one patch can be fitted.
    """
    surface = surface.replace(panel_boxes=None, panel_corrections=None)
    two_theta, eta = surface.maps()
    panel_map = np.full(two_theta.shape, -1, dtype=np.int64)
    for i, (f0, s0, f1, s1) in enumerate(boxes):
        panel_map[s0:s1, f0:f1] = i
    fwhm = np.full(len(rings), 2.0 * min(surface.pixel_size_mm) / surface.lsd_mm)
    for _ in range(2):  # the widths of the first turn make the windows of the second
        found = fit_patches(
            counts, usable, two_theta, eta, rings, fwhm, n_eta, threads, panel_map=panel_map
        )
        for k in np.unique(found.ring):
            fwhm[k] = float(np.median(found.fwhm_rad[found.ring == k]))
    if len(found.ring) == 0:
        raise FormatError("no part of a ring can be fitted where the geometry says that rings are")
    n = len(found.ring)
    none = np.full(n, -1, dtype=np.int32)
    fast, slow = pixel_position(
        surface.lsd_mm * np.tan(found.centre_rad), found.eta_rad, none, surface.geometry,
        surface.corrections,
    )  # fmt: skip
    sigma = found.sigma_rad * np.sqrt(np.maximum(found.chi2, 1.0))
    return RingPoints(
        found.ring, found.panel, found.eta_bin, fast, slow, found.centre_rad, found.eta_rad, sigma,
        np.ones(n), found.fwhm_rad, np.zeros(n), found.height, np.zeros(n), found.chi2,
        found.pixels, np.isfinite(fast) & (sigma > 0.0),
    )  # fmt: skip


def split_labels(points: RingPoints, split: str, n_eta: int = N_ETA) -> I64:
    """(n,) half, 0 or 1, that each point belongs to in one of :data:`SPLITS`."""
    if split == "eta":
        return points.eta_bin % 2
    if split == "sector":
        return np.asarray(points.eta_bin * 36 // n_eta % 2)
    if split == "ring":
        return points.ring % 2
    raise ValueError(f"split {split!r}: expected one of {', '.join(SPLITS)}")


def held_out_score(
    points: RingPoints,
    rings: Rings,
    fit: Callable[[RingPoints], TiltedFlat],
    half: I64,
) -> HeldOut:
    """Fit one half, score the other, and the reverse.

    Parameters
    ----------
    points, rings
        Of :func:`panel_points`.
    fit
        Geometry from points; it sees those of one half as used.
    half
        (n,) 0 or 1.
    """
    strain = np.full(len(points), np.nan)
    for h in (0, 1):
        model = fit(points.with_used(points.used & (half != h)))
        here = points.used & (half == h)
        strain[here] = point_strain(points, rings, model.geometry, model.corrections)[here]
    return HeldOut.of(strain[points.used])
