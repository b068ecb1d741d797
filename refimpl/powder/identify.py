"""Is it this calibrant? How well a grown geometry and the calibrant's rings explain an image.

Rings at some distance can be laid over almost any picture of rings, and a fit to the few that
coincide may look fine. These figures tell: the part of the places where a ring must show that
have a point, the part of the rings that the image shows which the calibrant has, and the misfit
in ring widths, of points and of whole rings. Where they are poor, the other calibrants are tried:
one that explains the image names the mistake. Measured on scenes of the simulated benchmark, wrong
calibrants fail at least one limit, but for some metals taken for CeO2 where all rings lie at
small angles: there the two patterns are one but for its scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.calibrants import CALIBRANTS, calibrant
from refimpl.crystal.rings import Rings, rings
from refimpl.detector.model import TiltedFlat
from refimpl.frames import F64
from refimpl.powder.observations import Frame

__all__ = ["Match", "accounted", "other_calibrants"]

SAMPLE = 150_000
"""Pixels that the profile is made from: enough for its rings, few enough to cost nothing."""

SECTORS = 12

CLEAR_NOISE = 8.0
CLEAR_PART = 0.05
"""A ring of the profile counts above this many times its noise and this part of the highest."""

LEAST_EXPLAINED = 0.8
LEAST_ACCOUNTED = 0.9
MOST_MISFIT = 0.25
MOST_DRIFT = 0.1
HOPELESS, POOR = 0.3, 0.5
"""Part explained times part accounted for. A weak or grainy picture of the right calibrant may be
poor, but then its points lie on the rings; seven random rings reach 0.4 beside them."""


@dataclass(frozen=True)
class Match:
    """How well a calibrant's rings and an image agree.

    Attributes
    ----------
    explained
        Part of the places where a strong ring must show that have a point.
    accounted
        Part of the image's rings, by height, that are the calibrant's; 1 if it has no clear ring.
    misfit
        Rms radial residual over the width of a ring. Misplaced panels of a real detector give
        0.15 where rings are narrow.
    drift
        Rms of the rings' mean residuals over the width of a ring: a pattern of the right lattice
        type but the wrong scale drifts away with the angle, all around; panels do not.
    """

    explained: float
    accounted: float
    misfit: float
    drift: float

    @property
    def is_good(self) -> bool:
        """Whether there is nothing to doubt."""
        return (
            self.explained >= LEAST_EXPLAINED
            and self.accounted >= LEAST_ACCOUNTED
            and self.misfit <= MOST_MISFIT
            and self.drift <= MOST_DRIFT
        )

    @property
    def is_hopeless(self) -> bool:
        """Whether nothing that follows could be trusted."""
        share = self.explained * self.accounted
        astray = self.misfit > MOST_MISFIT or self.drift > 0.5 * MOST_DRIFT
        return share < HOPELESS or (share < POOR and astray) or self.misfit > 1.0

    @property
    def merit(self) -> float:
        """One number for comparing, 0 to 1."""
        apart = (self.misfit / MOST_MISFIT) ** 2 + (self.drift / MOST_DRIFT) ** 2
        return self.explained * self.accounted / (1.0 + apart)

    def __str__(self) -> str:
        return (
            f"{self.explained:.0%} of the places where a ring must show have one, "
            f"{self.accounted:.0%} of the rings in the image are the calibrant's, "
            f"misfit {self.misfit:.2f} ring widths"
        )


def accounted(frame: Frame, model: TiltedFlat, found: Rings, fwhm_rad: float) -> float:
    """Part of the rings that an image shows, by height, that are the calibrant's.

    The profile is the median over sectors of the mean counts by 2-theta, so that a bright grain is
    no ring; peaks that stand out of a running median are compared with the calibrant's.

    Parameters
    ----------
    frame
        The image.
    model
        Geometry as grown.
    found
        The calibrant's rings on the image.
    fwhm_rad
        Width of a ring.
    """
    from scipy.ndimage import median_filter
    from scipy.signal import find_peaks

    step = fwhm_rad / 3.0
    profile, filled = _profile(frame, model, step)
    excess = np.where(filled, profile - median_filter(profile, size=41, mode="nearest"), 0.0)
    noise = 1.4826 * float(np.median(np.abs(excess[filled]))) if np.any(filled) else 0.0
    least = max(CLEAR_NOISE * noise, CLEAR_PART * float(np.max(excess, initial=0.0)), 1e-12)
    peaks, _ = find_peaks(excess, height=least, prominence=0.5 * least)
    if len(peaks) == 0:
        return 1.0
    apart = np.abs(((peaks + 0.5) * step)[:, None] - found.two_theta_rad[None, :])
    mine = np.min(apart, axis=1, initial=np.inf) < fwhm_rad
    return float(np.sum(excess[peaks[mine]]) / np.sum(excess[peaks]))


def _profile(frame: Frame, model: TiltedFlat, step: float) -> tuple[F64, NDArray[np.bool_]]:
    """Median over sectors of the mean counts by 2-theta, and where there is one."""
    n_slow, n_fast = frame.counts.shape
    stride = max(1, int(np.sqrt(n_slow * n_fast / SAMPLE)))
    part = (slice(stride // 2, None, stride), slice(stride // 2, None, stride))
    slow, fast = np.mgrid[part[0].start : n_slow : stride, part[1].start : n_fast : stride] + 0.5
    use = frame.usable[part] != 0
    nowhere = np.full(int(np.count_nonzero(use)), -1, dtype=np.int32)
    two_theta, eta = model.replace(panel_boxes=None, panel_corrections=None).two_theta_eta(
        fast[use], slow[use], nowhere
    )
    column = (two_theta / step).astype(np.int64)
    n = int(column.max(initial=0)) + 1
    sector = np.floor((eta + np.pi) / (2.0 * np.pi) * SECTORS).astype(np.int64) % SECTORS
    count = np.bincount(sector * n + column, minlength=SECTORS * n).reshape(SECTORS, n)
    total = np.bincount(
        sector * n + column, weights=frame.counts[part][use], minlength=SECTORS * n
    ).reshape(SECTORS, n)
    filled = np.any(count >= 2, axis=0)
    if not np.any(filled):
        return np.zeros(n), filled
    mean = np.where(count >= 2, total / np.maximum(count, 1), np.nan)[:, filled]
    middle = np.nanmedian(mean, axis=0)
    return np.interp(np.arange(n), np.flatnonzero(filled), middle), filled


def other_calibrants(
    name: str, lattice_parameter_angstrom: float | None, wavelength_angstrom: float, most: float
) -> list[tuple[str, Rings]]:
    """Every calibrant but the given one, and that one too where its lattice parameter was given.

    Parameters
    ----------
    name, lattice_parameter_angstrom
        What the user said; None for the certified lattice parameter.
    wavelength_angstrom
        Of the beam.
    most
        Largest 2-theta [rad].

    Returns
    -------
    (name, rings) each.
    """
    mine = calibrant(name).name
    others = [n for n in CALIBRANTS if n != mine or lattice_parameter_angstrom is not None]
    return [(n, rings(calibrant(n), wavelength_angstrom, most)) for n in others]
