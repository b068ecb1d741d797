"""Passes of extraction and fit until the parameters stand still.

The peaks are always sought where the last geometry says they are, on true arcs. There is a cap on
the passes and an exit where they no longer gain anything; the published loop has neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConvergenceError
from refimpl.frames import F64, I64
from refimpl.objective.pseudo_strain import strain_summary
from refimpl.powder.automatic import polarisation
from refimpl.powder.config import PowderConfig
from refimpl.powder.grow import ring_widths
from refimpl.powder.observations import (
    Frame,
    RingPoints,
    RingProfiles,
    estimate_relative_noise,
    observe,
)
from refimpl.powder.parameters import Parameters
from refimpl.powder.refine import GeometryFit
from refimpl.powder.result import Iteration
from refimpl.powder.windows import ring_groups

__all__ = ["Fitter", "Lines", "Passes", "bad_rings", "extracted", "run_passes", "settled"]

SETTLE = 2
"""Passes in which the widths of the rings, hence the windows, and the noise still change."""

STANDS_STILL = 0.02
"""The passes have converged when no parameter moves by more than this part of its uncertainty."""

PATIENCE = 6
"""Passes after which moves of a tenth of the uncertainty count as standing still (pixels at the
edge of a window may come and go for ever), and passes without gain after which there is no hope."""

Fitter = Callable[[RingPoints, Parameters, GeometryFit | None], GeometryFit]
"""Fits points, from where the parameters are; the last is the fit of the pass before."""


@dataclass(frozen=True, eq=False)
class Lines:
    """What is known of the rings' lines.

    Attributes
    ----------
    fwhm_rad
        (h,) widths.
    profiles
        Whose tails are taken off their neighbours' windows.
    excluded
        (h,) rings that are left out.
    """

    fwhm_rad: F64
    profiles: RingProfiles
    excluded: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Passes:
    """Outcome: the best pass, and how it went.

    Attributes
    ----------
    fit, points
        Of the best pass.
    frame, lines
        As the last pass left them.
    iterations
        All passes.
    converged, reason
        Whether they stood still in the end, and why they ended.
    """

    fit: GeometryFit
    points: RingPoints
    frame: Frame
    lines: Lines
    iterations: tuple[Iteration, ...]
    converged: bool
    reason: str

    @property
    def model(self) -> TiltedFlat:
        """Detector of the best pass."""
        return self.fit.parameters.at(self.fit.fit.x)


def run_passes(
    frame: Frame,
    config: PowderConfig,
    found: Rings,
    free: Parameters,
    lines: Lines,
    fit: Fitter,
    *,
    n_eta: int,
    least_points: int,
    done: int = 0,
    reject_rings: bool = True,
    stage: Callable[[str, int], None] = lambda name, turn: None,
    threads: int | None = None,
) -> Passes:
    """Extract and fit until nothing moves.

    Parameters
    ----------
    frame, config, found
        Image, settings, and the calibrant's rings on it.
    free
        Parameters to refine; their model is where the first extraction looks.
    lines
        Widths, profiles and exclusions to start with.
    fit
        What turns points into a geometry.
    n_eta
        Azimuthal bins in the full circle.
    least_points
        With fewer used points there is no hope.
    done
        Passes of an earlier stage, for the numbers of the iterations.
    reject_rings
        Whether the ring rule applies: with panels out of place whole rings look bad that are not.
    stage
        Called with ``peaks`` and ``geometry`` when that part of a pass is done.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Raises
    ------
    ConvergenceError
        Too few points of the rings are left.
    """
    c, model = config.calibrate, free.model
    iterations: list[Iteration] = []
    best: tuple[float, GeometryFit, RingPoints, int] | None = None
    last: GeometryFit | None = None
    lasting: I64 | None = None
    converged, reason = False, f"stopped after {c.max_iterations} passes"
    for turn in range(1, c.max_iterations + 1):
        points = extracted(frame, config, found, model, lines, n_eta, threads)
        if turn >= SETTLE:
            # a point at the edge of a rule may come and go with every pass: once gone it stays out
            lasting = points.key if lasting is None else np.intersect1d(lasting, points.key)
            points = points.with_used(points.used & np.isin(points.key, lasting))
        stage("peaks", turn)
        n_used = int(np.count_nonzero(points.used))
        if n_used < least_points:
            raise ConvergenceError(
                f"only {n_used} ring points for {least_points - 3} parameters: "
                "the rings are too weak or too few"
            )
        new = fit(points, free, last)
        if turn <= SETTLE:  # then the windows stand still, so that the passes can
            frame, lines = settled(frame, found, lines, points.with_used(new.used))
        summary = strain_summary(new.strain[points.used])
        iterations.append(Iteration.of(done + turn, new, points, found, summary))
        stage("geometry", turn)
        bad = bad_rings(new, points, len(found), c.ring_multiplier if reject_rings else 0.0)
        moved = _moved(free, model, new)
        if best is None or summary.clip_mean <= best[0] * (1.0 + 1e-3):
            best = (summary.clip_mean, new, points, turn)
        model = new.parameters.at(new.fit.x)
        free, last = free.moved_to(model), new
        if turn > 1 and np.any(bad & ~lines.excluded):
            lines = replace(lines, excluded=lines.excluded | bad)
            best = None  # figures before and after a ring is left out do not compare
            continue
        still = STANDS_STILL if turn < PATIENCE else 5.0 * STANDS_STILL
        if moved < still:
            converged, reason = True, "parameters stand still"
            break
        if c.stopping_strain is not None and summary.mean_all < c.stopping_strain:
            converged, reason = True, "stopping strain"
            break
        if turn - best[3] >= PATIENCE:
            reason = "no progress: the best pass is kept"
            break
    assert best is not None
    return Passes(best[1], best[2], frame, lines, tuple(iterations), converged, reason)


def extracted(
    frame: Frame,
    config: PowderConfig,
    found: Rings,
    model: TiltedFlat,
    lines: Lines,
    n_eta: int,
    threads: int | None,
) -> RingPoints:
    """Points of the rings that are not excluded, at a geometry."""
    c, pixel = config.calibrate, min(model.pixel_size_mm) / model.lsd_mm
    half = np.maximum(c.window_fwhm * lines.fwhm_rad, 4.0 * pixel)
    groups = ring_groups(
        found.two_theta_rad, lines.fwhm_rad, half, ~lines.excluded,
        pair_rad=c.doublet_separation_px * pixel,
    )  # fmt: skip
    points = observe(
        frame, model, found, groups, n_eta,
        polarisation=polarisation(config), least_coverage=c.least_coverage,
        least_snr=c.least_snr, profiles=lines.profiles, threads=threads,
    )  # fmt: skip
    return points.with_used(points.used & ~lines.excluded[points.ring])


def settled(frame: Frame, found: Rings, lines: Lines, kept: RingPoints) -> tuple[Frame, Lines]:
    """Noise and lines as the points of a pass have them."""
    return (
        replace(frame, relative_noise=estimate_relative_noise(frame, kept)),
        replace(
            lines,
            fwhm_rad=ring_widths(kept, len(found), lines.fwhm_rad),
            profiles=RingProfiles.of(kept, found),
        ),
    )


def _moved(free: Parameters, model: TiltedFlat, fit: GeometryFit) -> float:
    """Largest move of a parameter in this pass, in standard uncertainties."""
    before = free.moved_to(model).start
    moves, sigma = [np.abs(fit.fit.x - before)], [fit.fit.sigma]
    if fit.panels is not None:
        start = model.corrections[:, 2:]
        moves.append(np.abs(fit.panels.corrections - start).ravel())
        sigma.append(fit.panels.sigma.ravel())
    move, unit = np.concatenate(moves), np.concatenate(sigma)
    return float(np.max(move[unit > 0.0] / unit[unit > 0.0], initial=0.0))


def bad_rings(
    fit: GeometryFit, points: RingPoints, n_rings: int, multiplier: float
) -> NDArray[np.bool_]:
    """Rings whose mean |strain| over its expected spread is far above the median ring's."""
    bad = np.zeros(n_rings, dtype=bool)
    seen = np.unique(points.ring[points.used])
    if multiplier <= 0.0 or len(seen) < 4:
        return bad
    spread = np.abs(fit.strain) * np.sqrt(np.maximum(fit.weight, 0.0))
    mean = np.array(
        [
            np.mean(spread[fit.used & (points.ring == k)])
            if np.any(fit.used & (points.ring == k))
            else np.inf
            for k in seen
        ]
    )
    bad[seen] = mean > multiplier * np.median(mean)
    return bad
