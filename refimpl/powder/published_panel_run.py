"""Runs of the published calibration with panels: extraction and fit in turn, the best one kept.

Source: MIDAS `CalibrantPanelShiftsOMP` as of the AutoCalibrate manual version 10; the fit itself
is in :mod:`refimpl.powder.published_panels`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.errors import NoRingsError
from refimpl.frames import F64, I64
from refimpl.objective.pseudo_strain import (
    published_mean_strain,
    published_strain,
    published_weights,
    strain_summary,
)
from refimpl.objective.simplex import Reason
from refimpl.powder.published import PublishedRun, check_frame
from refimpl.powder.published_means import weighted_points
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_panel_options import PanelOptions
from refimpl.powder.published_panels import (
    fit_published_panels,
    panel_strain_of,
    published_panel_index,
    varied_panels,
)
from refimpl.powder.published_points import PublishedPoints, PublishedRings, extract_points

__all__ = ["PanelIteration", "PublishedPanelRun", "calibrate_published_panels", "panel_means"]


@dataclass(frozen=True, eq=False)
class PanelIteration:
    """One extraction and fit.

    Attributes
    ----------
    start, detector
        Geometry before and after.
    points, panel
        Points on panels, and the panel of each: (n,), -1 where the detector has none.
    in_detector
        Points found, those in no panel included.
    strain_before, strain
        (n,) signed, at the geometry before and after.
    counts
        (p,) points of each panel.
    evaluations, reason
        Of the simplex.
    """

    start: TiltedFlat
    detector: TiltedFlat
    points: PublishedPoints
    panel: NDArray[np.int32]
    in_detector: int
    strain_before: F64
    strain: F64
    counts: I64
    evaluations: int
    reason: Reason


@dataclass(frozen=True, eq=False)
class PublishedPanelRun(PublishedRun):
    """Result of a run with panels; the other attributes are those of `PublishedRun`.

    Attributes
    ----------
    panel
        (n,) panel of each point.
    counts
        (p,) points of each panel.
    varied
        (p,) True where the panel was refined.
    iterations
        All of them.
    best
        Position in `iterations` of the one whose geometry is the result.
    panel_options
        As given.
    """

    panel: NDArray[np.int32]
    counts: I64
    varied: NDArray[np.bool_]
    iterations: tuple[PanelIteration, ...]
    best: int
    panel_options: PanelOptions

    def panel_means(self) -> F64:
        """(p,) mean absolute strain of each panel's points that are no outliers; NaN for none."""
        return panel_means(self.strain, self.panel, ~self.outlier, len(self.counts))


def panel_means(strain: F64, panel: NDArray[Any], keep: NDArray[np.bool_], n_panels: int) -> F64:
    """(p,) mean absolute strain over kept points by panel; NaN for a panel without any."""
    out = np.full(n_panels, np.nan)
    for i in np.unique(panel[keep & (panel >= 0)]):
        out[i] = np.abs(strain[keep & (panel == i)]).mean()
    return out


def calibrate_published_panels(
    image: F64,
    start: TiltedFlat,
    rings: PublishedRings,
    options: PublishedOptions,
    panels: PanelOptions,
    mask: NDArray[np.bool_] | None = None,
    progress: Callable[[int, PanelIteration], None] | None = None,
) -> PublishedPanelRun:
    """Extract points and fit, ``n_iterations`` times, the bounds moving along; keep the best.

    Parameters
    ----------
    image, mask
        (n_slow, n_fast) [counts], model frame, finite where unmasked; True where bad.
    start
        Geometry to begin at, with its panels and, on a re-run, their corrections.
    rings
        Of :func:`~refimpl.powder.published_points.published_rings`.
    options, panels
        Of the run.
    progress
        Called after each iteration with its number, from 1, and what it did.

    Raises
    ------
    ConfigError
        Image, mask and geometry have different shapes, no rings, or FixPanelID is no panel.
    NoRingsError
        No bin gives a point, or no point lies in a panel.
    """
    check_frame(image, mask, start, rings)
    detector, best, means = start, 0, []
    done: list[PanelIteration] = []
    for number in range(1, options.n_iterations + 1):
        step = _iteration(image, mask, detector, rings, options, panels)
        done.append(step)
        means.append(published_mean_strain(step.strain, options.mult_factor))
        best = best if means[best] <= means[-1] else number - 1
        detector = step.detector
        if progress is not None:
            progress(number, step)
    return _result(start, done, means, best, options, panels)


def _iteration(
    image: F64,
    mask: NDArray[np.bool_] | None,
    start: TiltedFlat,
    rings: PublishedRings,
    options: PublishedOptions,
    panels: PanelOptions,
) -> PanelIteration:
    """Extract and fit once."""
    extract = weighted_points if panels.weighted_mean else extract_points
    found = extract(image, mask, start, rings, options)
    panel = published_panel_index(start, found.fast_px, found.slow_px)
    on = np.ones(len(found), dtype=bool) if start.panel_boxes is None else panel >= 0
    if not on.any():
        raise NoRingsError(
            f"none of {len(found)} ring points lies in one of the {len(start.corrections)} panels: "
            "the grid of panels is not this detector's"
        )
    # N of a ring counts its bins, those in no panel too, as published
    weights = published_weights(
        found.ring, np.ones(len(found)), normalize_ring_weights=options.normalize_ring_weights
    )[on]
    points, panel = found.select(on), panel[on]
    start = varied_panels(panel, start, panels)[1]
    before = panel_strain_of(points, panel, start)
    detector, evaluations, reason = fit_published_panels(
        points, panel, start, options, panels, weights
    )
    return PanelIteration(
        start=start,
        detector=detector,
        points=points,
        panel=panel,
        in_detector=len(found),
        strain_before=before,
        strain=panel_strain_of(points, panel, detector),
        counts=np.bincount(panel[panel >= 0], minlength=len(start.corrections)),
        evaluations=evaluations,
        reason=reason,
    )


def _result(
    start: TiltedFlat,
    done: list[PanelIteration],
    means: list[float],
    best: int,
    options: PublishedOptions,
    panels: PanelOptions,
) -> PublishedPanelRun:
    """Result of the best iteration, on its own points or, as published, on the last ones."""
    kept = done[best]
    source = done[-1] if panels.published_restore else kept
    strain = panel_strain_of(source.points, source.panel, kept.detector)
    figures = published_strain(strain, options.mult_factor, options.outlier_iterations)
    return PublishedPanelRun(
        start=source.start if panels.published_restore else start,
        detector=kept.detector,
        points=source.points,
        strain=strain,
        mean_strain=means[best],
        std_strain=figures.std_strain,
        outlier=figures.outlier,
        summary=strain_summary(strain),
        evaluations=kept.evaluations,
        reason=kept.reason,
        history=tuple(means),
        options=options,
        panel=source.panel,
        counts=source.counts,
        varied=varied_panels(source.panel, kept.detector, panels)[0],
        iterations=tuple(done),
        best=best,
        panel_options=panels,
    )
