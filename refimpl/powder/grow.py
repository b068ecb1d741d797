"""From a rough centre and distance to a geometry: rings are taken in from the inside outwards.

A tilt moves outer rings farther than inner ones, so the geometry that the inner rings give
predicts the next ones well enough to find them. Each candidate start is grown; the one that
explains most of what it predicts wins, and a calibrant that explains nothing is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import NoRingsError
from refimpl.frames import F64, I64
from refimpl.powder.identify import Match, accounted
from refimpl.powder.observations import Frame, RingPoints, observe
from refimpl.powder.parameters import parameters
from refimpl.powder.refine import fit_geometry
from refimpl.powder.start import Candidate
from refimpl.powder.windows import RingGroups, ring_groups

__all__ = ["Grown", "RingsAt", "grow", "grow_best", "reach", "ring_widths"]

N_ETA = 72
"""Azimuthal bins while growing: wide enough for weak rings, narrow enough for a wrong centre."""

FIRST_RINGS = 3

ENOUGH_PIXELS = 1_000_000
"""About as many pixels are used while growing; larger images are thinned to that."""

LEAST_INTENSITY = 1e-3
"""Rings weaker than this part of the strongest, such as forbidden ones, are as good as absent."""

STEP = 1e-2
"""Precision of the peak fits while growing, in standard errors."""


@dataclass(frozen=True, eq=False)
class Grown:
    """A start turned into a geometry.

    Attributes
    ----------
    model
        Distance, centre and tilts.
    points
        Points of the last stage; ``used`` after the outlier rule.
    fwhm_rad
        (h,) width of every ring.
    rms_px, drift_px
        Rms of the used points, radially, and of the means of the rings that they are on.
    explained
        Part of the predicted (ring, bin) places, among rings that show at all, that have a point
        within the outlier rule.
    score
        Similarity of the profile that it started from.
    accounted
        Part of the image's rings that are the calibrant's, NaN until :meth:`judged`.
    """

    model: TiltedFlat
    points: RingPoints
    fwhm_rad: F64
    rms_px: float
    drift_px: float
    explained: float
    score: float
    accounted: float = float("nan")

    def judged(self, frame: Frame, rings: Rings) -> Grown:
        """Copy that knows how much of the image is accounted for."""
        width = float(np.median(self.points.fwhm_rad[self.points.used]))
        return replace(self, accounted=accounted(frame, self.model, rings, width))

    @property
    def match(self) -> Match:
        """How well image and calibrant agree."""
        used = self.points.used
        radius = self.model.lsd_mm * np.tan(self.points.two_theta_rad[used])
        per_rad = self.model.lsd_mm + radius**2 / self.model.lsd_mm
        width_mm = float(np.median(self.points.fwhm_rad[used] * per_rad))
        per_px = float(np.mean(self.model.pixel_size_mm)) / width_mm
        return Match(self.explained, self.accounted, self.rms_px * per_px, self.drift_px * per_px)


def reach(model: TiltedFlat) -> float:
    """Largest 2-theta [rad] on the image, from its corners."""
    n_slow, n_fast = model.shape
    fast = np.array([0.0, n_fast, 0.0, n_fast])
    slow = np.array([0.0, 0.0, n_slow, n_slow])
    two_theta, _ = model.two_theta_eta(fast, slow, np.full(4, -1, dtype=np.int32))
    return float(np.nanmax(two_theta))


def ring_widths(points: RingPoints, n_rings: int, previous: F64) -> F64:
    """(h,) width of every ring: the median of its points, else that of its neighbours.

    Parameters
    ----------
    points
        Of the last pass.
    n_rings
        Rings of the calibrant.
    previous
        (h,) widths to keep where no ring has points.
    """
    seen = np.unique(points.ring[points.used])
    if len(seen) == 0:
        return previous
    width = np.array([np.median(points.fwhm_rad[points.used & (points.ring == k)]) for k in seen])
    return np.asarray(np.interp(np.arange(n_rings), seen, width))


def _windows(rings: Rings, fwhm: F64, half: float, use: NDArray[np.bool_]) -> RingGroups:
    return ring_groups(rings.two_theta_rad, fwhm, np.full(len(rings), half), use)


def grow(
    frame: Frame,
    model: TiltedFlat,
    rings: Rings,
    *,
    score: float = 1.0,
    polarisation: float = 2.0,
    threads: int | None = None,
) -> Grown | None:
    """Grow one start; None if it finds no rings.

    Parameters
    ----------
    frame
        The image.
    model
        Centre, distance and tilts to start from.
    rings
        The calibrant's, all that can be on the image.
    score, polarisation, threads
        Passed through.
    """
    frame = _thinned(frame)
    pixel = float(np.mean(model.pixel_size_mm)) / model.lsd_mm  # [rad] near the beam
    fwhm = np.full(len(rings), 2.5 * pixel)
    inner = _visible_from(model, rings)
    order = np.arange(inner, len(rings))
    half, take, points, fit = 14.0 * pixel, FIRST_RINGS, None, None
    while True:
        use = np.zeros(len(rings), dtype=bool)
        use[order[:take]] = True
        groups = _windows(rings, fwhm, half, use)
        seen = observe(
            frame,
            model,
            rings,
            groups,
            N_ETA,
            polarisation=polarisation,
            step_tolerance=STEP,
            threads=threads,
        )
        if len(seen) >= 12 and len(np.unique(seen.ring)) >= 2:
            # two rings give centre and distance; a tilt needs a third
            several = len(np.unique(seen.ring)) >= 3 and len(seen) >= 24
            free = ("distance", "beam_centre", "tilt") if several else ("distance", "beam_centre")
            fit = fit_geometry(
                seen, rings, parameters(model, free, {"tilt": 0.3} if several else None)
            )
            points = seen.with_used(fit.used)
            model = fit.parameters.at(fit.fit.x)
            fwhm = ring_widths(points, len(rings), fwhm)
        if take >= len(order):
            break
        take = min(2 * take, len(order))
        half = max(0.75 * half, 7.0 * pixel, 3.0 * float(np.max(fwhm)))
    if fit is None or points is None or np.count_nonzero(fit.used) < 12:
        return None
    radius = np.tan(points.two_theta_rad[fit.used]) * model.lsd_mm
    residual = fit.strain[fit.used] * radius / float(np.mean(model.pixel_size_mm))
    return Grown(
        model=model,
        points=points,
        fwhm_rad=fwhm,
        rms_px=_rms(residual),
        drift_px=_rms(_ring_means(residual, points.ring[fit.used])),
        explained=_explained(frame, model, rings, points),
        score=score,
    )


def _rms(values: F64) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _ring_means(values: F64, ring: I64) -> F64:
    """(n,) every value replaced by the mean of its ring."""
    _, index = np.unique(ring, return_inverse=True)
    mean = np.bincount(index, weights=values) / np.bincount(index)
    return np.asarray(mean[index])


def _thinned(frame: Frame) -> Frame:
    """Every so many rows of a large image: growing needs to find rings, not to measure them."""
    step = max(1, round(frame.counts.size / ENOUGH_PIXELS))
    if step == 1:
        return frame
    usable = np.zeros_like(frame.usable)
    usable[::step] = frame.usable[::step]
    return replace(frame, usable=usable)


def _visible_from(model: TiltedFlat, rings: Rings) -> int:
    """Position of the innermost ring that can cross the image."""
    n_slow, n_fast = model.shape
    bf, bs = model.beam_centre_px
    df = max(0.0, -bf, bf - n_fast) * model.pixel_size_mm[0]
    ds = max(0.0, -bs, bs - n_slow) * model.pixel_size_mm[1]
    nearest = 0.95 * np.hypot(df, ds)
    return int(np.searchsorted(model.lsd_mm * np.tan(rings.two_theta_rad), nearest))


def _explained(frame: Frame, model: TiltedFlat, rings: Rings, points: RingPoints) -> float:
    """Part of the places where a strong ring must show that have a good point."""
    eta = (np.arange(N_ETA) + 0.5) * (2.0 * np.pi / N_ETA) - np.pi
    strong = np.flatnonzero(rings.intensity > 0.02)
    radius = np.repeat(model.lsd_mm * np.tan(rings.two_theta_rad[strong]), N_ETA)
    fast, slow = model.pixel_position(radius, np.tile(eta, len(strong)))
    ring, place = np.repeat(strong, N_ETA), np.tile(np.arange(N_ETA), len(strong))
    with np.errstate(invalid="ignore"):
        on = (fast > 0) & (slow > 0) & (fast < model.shape[1]) & (slow < model.shape[0])
    f, s = fast[on].astype(np.int64), slow[on].astype(np.int64)
    seen = frame.usable[s, f] != 0
    expected = set(zip(ring[on][seen].tolist(), place[on][seen].tolist(), strict=True))
    good = points.used
    found = set(zip(points.ring[good].tolist(), points.eta_bin[good].tolist(), strict=True))
    return len(expected & found) / max(len(expected), 1)


class RingsAt:
    """Rings of a calibrant up to an angle that have any intensity to speak of."""

    def __init__(self, everything: Rings) -> None:
        self.everything = everything

    def __call__(self, two_theta_max_rad: float) -> Rings:
        """Rings below an angle [rad]."""
        visible = self.everything.intensity > LEAST_INTENSITY
        return self.everything.select((self.everything.two_theta_rad < two_theta_max_rad) & visible)


def grow_best(
    frame: Frame,
    starts: list[Candidate],
    template: TiltedFlat,
    rings_at: RingsAt,
    *,
    least: float = 0.08,
    polarisation: float = 2.0,
    threads: int | None = None,
) -> tuple[Grown, Rings]:
    """Grow candidates until one is beyond doubt, and return the best.

    Parameters
    ----------
    frame
        The image.
    starts
        Best first.
    template
        Shape, pixel size and whatever else the starts share.
    rings_at
        Rings of the calibrant up to a 2-theta [rad].
    least
        Least merit (part of the predicted places explained, times similarity) to accept.
    polarisation, threads
        Passed through.

    Raises
    ------
    NoRingsError
        No candidate explains the rings of the image.
    """
    best: tuple[float, Grown, Rings] | None = None
    for start in starts:
        model = template.replace(lsd_mm=start.lsd_mm, beam_centre_px=start.centre_px, rho_d_mm=0.0)
        rings = rings_at(reach(model))
        if len(rings) < 2:
            continue
        grown = grow(
            frame, model, rings, score=start.score, polarisation=polarisation, threads=threads
        )
        if grown is None:
            continue
        merit = grown.explained * start.score
        if best is None or merit > best[0]:
            best = (merit, grown, rings)
        if merit > 0.5:
            break
    if best is None or best[0] < least:
        raise NoRingsError(
            "the rings of the image do not follow the calibrant's pattern at any distance: "
            "check the calibrant, the wavelength and the pixel size"
        )
    return best[1], best[2]
