r"""An independent score of any calibration: ring patches fitted in a map of 2-theta (patch2deg).

For each ring and 2-degree bin of azimuth a pseudo-Voigt with a linear background is fitted to the
pixels' (2-theta, counts) directly, without re-binning; the strain is
:math:`\epsilon = -\Delta 2\theta / (2\tan\theta_0)`, points beyond 5 median absolute deviations
are cut. The geometry enters only through the maps, so any other code's maps can be scored, and
the points of the calibration itself are not used. Source: spec, section 6.2 item 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.errors import FormatError
from refimpl.frames import F64, I64
from refimpl.imaging.ring_peaks import fit_ring_peaks
from refimpl.powder.windows import ring_groups
from refimpl.units import MICROSTRAIN

__all__ = ["PatchScore", "Patches", "fit_patches", "score_maps"]

CUT_MAD = 5.0
LEAST_PIXELS = 20

RELATIVE_NOISE = 0.1
"""Of a pixel in the patch fits: with weights from the counts alone bright grains pull."""


@dataclass(frozen=True, eq=False)
class PatchScore:
    """Score of a map.

    Attributes
    ----------
    ring, eta_bin, strain
        (n,) of the patches that the cut left.
    mean_abs
        Mean |strain|.
    signed_mean
        Mean strain: what a change of distance would take away.
    rms_px
        Rms radial residual [px].
    n_cut
        Patches that the cut took out.
    """

    ring: I64
    eta_bin: I64
    strain: F64
    mean_abs: float
    signed_mean: float
    rms_px: float
    n_cut: int

    def __str__(self) -> str:
        return (
            f"{len(self.strain)} patches: mean |strain| {self.mean_abs / MICROSTRAIN:.1f} µε, "
            f"rms {self.rms_px:.3f} px, signed mean {self.signed_mean / MICROSTRAIN:.1f} µε "
            f"({self.n_cut} cut at {CUT_MAD:g} MAD)"
        )


def score_maps(
    counts: NDArray[np.generic],
    usable: NDArray[np.bool_],
    two_theta_rad: F64,
    eta_rad: F64,
    rings: Rings,
    *,
    n_eta: int = 180,
    pixel_rad: float | None = None,
    threads: int | None = None,
) -> PatchScore:
    """Score maps of 2-theta and eta on an image of a calibrant.

    Parameters
    ----------
    counts, usable
        (s, f) image and True where a pixel counts, in the same pixel order as the maps.
    two_theta_rad, eta_rad
        (s, f) of every pixel centre; NaN is left out.
    rings
        The calibrant's.
    n_eta
        Patches in the full circle; 180 for patch2deg.
    pixel_rad
        2-theta [rad] across a pixel near the beam, to start the widths; default: from the map.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Returns
    -------
    PatchScore

    Raises
    ------
    FormatError
        Not one patch can be fitted.
    """
    per_pixel = _pixel_angle(two_theta_rad)
    small = float(np.nanmax(per_pixel)) if pixel_rad is None else pixel_rad
    fwhm = np.full(len(rings), 2.0 * small)
    kept = None
    for _ in range(2):  # the widths of the first turn make the windows of the second
        kept = fit_patches(counts, usable, two_theta_rad, eta_rad, rings, fwhm, n_eta, threads)
        for k in np.unique(kept.ring):
            fwhm[k] = float(np.median(kept.fwhm_rad[kept.ring == k]))
    assert kept is not None
    ring, eta_bin, centre = kept.ring, kept.eta_bin, kept.centre_rad
    if len(ring) == 0:
        raise FormatError("no part of a ring can be fitted where the map says that rings are")
    delta = centre - rings.two_theta_rad[ring]
    strain = -delta / (2.0 * np.tan(0.5 * rings.two_theta_rad[ring]))
    middle = np.median(strain)
    mad = np.median(np.abs(strain - middle))
    good = np.abs(strain - middle) <= CUT_MAD * mad
    angle = np.array([_at_ring(per_pixel, two_theta_rad, t, small) for t in rings.two_theta_rad])
    px = delta / angle[ring]
    return PatchScore(
        ring[good],
        eta_bin[good],
        strain[good],
        float(np.mean(np.abs(strain[good]))),
        float(np.mean(strain[good])),
        float(np.sqrt(np.mean(px[good] ** 2))),
        int(np.count_nonzero(~good)),
    )


def _pixel_angle(two_theta: F64) -> F64:
    """(s, f) change of 2-theta [rad] over one pixel along its gradient."""
    slow, fast = np.gradient(two_theta)
    return np.asarray(np.hypot(slow, fast))


def _at_ring(per_pixel: F64, two_theta: F64, centre: float, small: float) -> float:
    """Median 2-theta [rad] across a pixel on a ring; NaN beside gaps is left out."""
    values = per_pixel[np.abs(two_theta - centre) < 2.0 * small]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else small


@dataclass(frozen=True, eq=False)
class Patches:
    """Fitted patches, (n,) each: ring, bin and panel, centre with its uncertainty, width, place."""

    ring: I64
    eta_bin: I64
    panel: I64
    centre_rad: F64
    sigma_rad: F64
    fwhm_rad: F64
    eta_rad: F64
    pixels: I64
    chi2: F64
    height: F64


def fit_patches(
    counts: NDArray[np.generic],
    usable: NDArray[np.bool_],
    two_theta: F64,
    eta: F64,
    rings: Rings,
    fwhm: F64,
    n_eta: int,
    threads: int | None = None,
    panel_map: NDArray[np.integer[Any]] | None = None,
) -> Patches:
    """Good patches of every ring: one a bin of azimuth, and a panel where a map of them is given.

    Parameters
    ----------
    counts, usable, two_theta, eta, rings, n_eta, threads
        As of :func:`score_maps`.
    fwhm
        (h,) start of the widths [rad]; windows are five of them to either side.
    panel_map
        (s, f) panel of each pixel, from 0; -1 is left out. None: no patch minds panels.
    """
    groups = ring_groups(rings.two_theta_rad, fwhm, 5.0 * fwhm)
    good = usable & np.isfinite(two_theta)
    index = np.flatnonzero(good if panel_map is None else good & (panel_map >= 0))
    t = two_theta.reshape(-1)[index]
    group = np.searchsorted(groups.windows_rad[:, 0], t, side="right") - 1
    inside = (group >= 0) & (t < groups.windows_rad[np.maximum(group, 0), 1])
    index, t, group = index[inside], t[inside], group[inside]
    turn = (eta.reshape(-1)[index] + np.pi) / (2.0 * np.pi)
    bins = group * n_eta + (np.floor(turn * n_eta).astype(np.int64) % n_eta)
    panels = 1 if panel_map is None else int(panel_map.max(initial=0)) + 1
    if panel_map is not None:
        bins = bins * panels + panel_map.reshape(-1)[index]
    order = np.argsort(bins, kind="stable")
    index, t = index[order], t[order]
    bin_id, first = np.unique(bins[order], return_index=True)
    offsets = np.append(first, len(order))
    rest, panel = np.divmod(bin_id, panels)
    group, eta_bin = np.divmod(rest, n_eta)
    p, sigma, chi2, _, status = fit_ring_peaks(
        t,
        counts.reshape(-1)[index].astype(np.float64),
        np.ones(len(t)),
        offsets,
        groups.expected_rad[group],
        groups.windows_rad[group],
        groups.fwhm_rad[group],
        relative_noise=RELATIVE_NOISE,
        threads=threads,  # type: ignore[call-arg]
    )
    count = np.diff(offsets)
    total = np.add.reduceat(eta.reshape(-1)[index], offsets[:-1]) if len(count) else count
    enough = (status == 0) & (count >= LEAST_PIXELS)
    parts = []
    for member, (centre, height) in enumerate(((0, 1), (6, 7))):
        ring = groups.members[group, member]
        with np.errstate(invalid="ignore"):
            good = enough & (ring >= 0) & (p[:, height] > 4.0 * sigma[:, height])
        k = np.flatnonzero(good)
        parts.append(
            (
                ring[k], eta_bin[k], panel[k], p[k, centre], sigma[k, centre], p[k, 2],
                total[k] / count[k], count[k], chi2[k] / np.maximum(count[k] - 6, 1), p[k, height],
            )
        )  # fmt: skip
    return Patches(*(np.concatenate(c) for c in zip(*parts, strict=True)))
