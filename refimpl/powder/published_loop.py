"""The published AutoCalibrate: a start from the image, then runs that reject rings.

Source: MIDAS `AutoCalibrateZarr` as of its manual version 10, which runs the calibration until no
ring stands out and the mean strain is below StoppingStrain. On most detectors that never happens
and it runs for ever; here the loop also ends when a run brings nothing (``no progress``) or at a
cap, and says so. Reading images and writing results is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.calibrants import Calibrant
from refimpl.crystal.hkls_csv import published_hkls
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.imaging.arcs import (
    Arcs,
    automatic_threshold,
    beam_centre_by_chords,
    distance_by_ratios,
    find_arcs,
    radii_of_arcs,
    rho_d_of_corners_mm,
)
from refimpl.imaging.background import median_background
from refimpl.powder.published import PublishedRun, calibrate_published, published_vector
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_points import published_rings

__all__ = ["AutoCalibration", "LoopStep", "PublishedStart", "auto_calibrate", "published_start"]

Status = Literal["converged", "no progress", "iteration cap", "no rings left"]

PROGRESS = 1e-3
"""A run without new outlier rings counts as progress if it lowers the mean strain by this part."""

SIMULATED_LSD_MM, SIMULATED_RADIUS_MM = 1000.0, 2000.0  # rings that ratios are compared with


@dataclass(frozen=True, eq=False)
class PublishedStart:
    """Geometry from the image, and what it came from.

    Attributes
    ----------
    detector
        Untilted, with RhoD.
    background
        (n_slow, n_fast) [counts], model frame.
    threshold
        [counts].
    arcs
        None where no arcs were needed.
    radii_px
        (m,) radii of the rings found; empty without arcs.
    """

    detector: TiltedFlat
    background: F64
    threshold: float
    arcs: Arcs | None
    radii_px: F64


def published_start(
    image: F64,
    powder: Calibrant,
    wavelength_angstrom: float,
    pixel_mm: float,
    *,
    dark: F64 | None = None,
    median: bool = True,
    threshold: float = 0.0,
    first_ring: int = 1,
    beam_centre_px: tuple[float, float] | None = None,
    lsd_mm: float | None = None,
    tx_rad: float = 0.0,
    image_transform: tuple[int, ...] = (0,),
    published_rho_d: bool = False,
) -> PublishedStart:
    """Find beam centre, ring radii and distance as published, or take the guesses given.

    Parameters
    ----------
    image
        (n_slow, n_fast) [counts], model frame, finite.
    powder, wavelength_angstrom, pixel_mm
        Calibrant, wavelength and pixel size.
    dark
        (n_slow, n_fast) the background where `median` is off; zeros if None.
    median
        Subtract five passes of the median filter.
    threshold
        [counts]; 0 for the automatic one. (The published program takes 0 literally with
        NoMedian, so that every positive pixel is a ring; that is not kept.)
    first_ring
        Published FirstRingNr.
    beam_centre_px, lsd_mm
        Guesses that replace what the image says.
    tx_rad
        Carried along.
    image_transform
        Codes that took the stored image to `image`.
    published_rho_d
        Exchange the axes in RhoD as the published program does.

    Raises
    ------
    NoRingsError
        No arcs, no centre or no distance in the image.
    """
    if median:
        background = median_background(image)
    else:
        background = np.zeros_like(image) if dark is None else dark
    corrected = image - background
    level = threshold if threshold > 0.0 else automatic_threshold(corrected)
    arcs, radii = None, np.zeros(0)
    if beam_centre_px is None or lsd_mm is None:
        arcs = find_arcs(corrected, level)
        beam_centre_px = beam_centre_by_chords(arcs) if beam_centre_px is None else beam_centre_px
        radii = radii_of_arcs(arcs, beam_centre_px)
    if lsd_mm is None:
        table = published_hkls(
            *(powder, wavelength_angstrom, SIMULATED_LSD_MM, SIMULATED_RADIUS_MM),
            published_limits=True,
        )
        _, two_theta = table.ring_two_theta_rad()
        lsd_mm = distance_by_ratios(radii, two_theta, pixel_mm, first_ring)
    detector = TiltedFlat(
        shape=image.shape,
        pixel_size_mm=(pixel_mm, pixel_mm),
        lsd_mm=lsd_mm,
        beam_centre_px=beam_centre_px,
        tilts_rad=(tx_rad, 0.0, 0.0),
        rho_d_mm=rho_d_of_corners_mm(
            image.shape, beam_centre_px, pixel_mm, published=published_rho_d
        ),
        image_transform=image_transform,
    )
    return PublishedStart(detector, background, level, arcs, radii)


@dataclass(frozen=True, eq=False)
class LoopStep:
    """One run of the loop.

    Attributes
    ----------
    run
        Its result.
    new_rings
        Ring numbers that it rejects; they are left out from the next run on.
    excluded
        Ring numbers that it had left out itself.
    ring_threshold
        Mean strain above which a ring is rejected.
    """

    run: PublishedRun
    new_rings: tuple[int, ...]
    excluded: tuple[int, ...]
    ring_threshold: float


@dataclass(frozen=True, eq=False)
class AutoCalibration:
    """Result of the loop.

    Attributes
    ----------
    status
        ``converged``: no new outlier ring and the mean strain below StoppingStrain; ``no
        progress``: no new outlier ring and nothing gained; ``iteration cap``; ``no rings left``:
        the last run would reject every ring that it had.
    steps
        Every run.
    """

    status: Status
    steps: tuple[LoopStep, ...]

    @property
    def run(self) -> PublishedRun:
        """The last run, whose geometry is the result."""
        return self.steps[-1].run

    @property
    def detector(self) -> TiltedFlat:
        """Calibrated geometry."""
        return self.run.detector

    @property
    def excluded(self) -> tuple[int, ...]:
        """Ring numbers that the last run left out."""
        return self.steps[-1].excluded


def auto_calibrate(
    image: F64,
    start: TiltedFlat,
    powder: Calibrant,
    wavelength_angstrom: float,
    options: PublishedOptions | None = None,
    *,
    mask: NDArray[np.bool_] | None = None,
    stopping_strain: float = 4e-5,
    mult_factor: float = 2.5,
    max_iterations: int = 20,
    rings_to_exclude: tuple[int, ...] = (),
    progress: Callable[[int, LoopStep], None] | None = None,
) -> AutoCalibration:
    """Calibrate, reject rings that stand out, and begin again from there.

    Parameters
    ----------
    image, mask
        As in :func:`~refimpl.powder.published.calibrate_published`.
    start
        Geometry to begin at, for instance of :func:`published_start`.
    powder, wavelength_angstrom
        Calibrant and wavelength.
    options
        Of each run; its ``mult_factor`` is replaced by `mult_factor`.
    stopping_strain
        Published StoppingStrain.
    mult_factor
        A ring is rejected if the mean strain of its points exceeds this many times the median
        over rings; the same number clips points in the printed MeanStrain, as published.
    max_iterations
        Cap on the runs; the published loop has none.
    rings_to_exclude
        Ring numbers left out from the beginning.
    progress
        Called after each run with its number, from 1, and the step.

    Raises
    ------
    ConfigError
        `max_iterations` is below 1, or every ring is excluded.
    NoRingsError
        A run finds no points.
    """
    if max_iterations < 1:
        raise ConfigError(f"max_iterations = {max_iterations}: expected at least 1")
    options = PublishedOptions() if options is None else options
    options = replace(options, mult_factor=mult_factor)
    detector, excluded, steps = start, tuple(rings_to_exclude), []
    status: Status = "iteration cap"
    for number in range(1, max_iterations + 1):
        rings = published_rings(powder, wavelength_angstrom, detector.lsd_mm, detector.rho_d_mm)
        rings = rings.without(excluded)
        run = calibrate_published(image, detector, rings, options, mask)
        step = _judge(run, mult_factor, excluded)
        steps.append(step)
        if progress is not None:
            progress(number, step)
        ended = _ended(steps, stopping_strain)
        if ended is not None:
            status = ended
            break
        detector, excluded = run.detector, excluded + step.new_rings
    return AutoCalibration(status, tuple(steps))


def _judge(run: PublishedRun, mult_factor: float, excluded: tuple[int, ...]) -> LoopStep:
    """Find the rings of a run that stand out."""
    means = run.ring_means()
    threshold = mult_factor * float(np.median(list(means.values())))
    new = tuple(ring for ring, mean in means.items() if mean > threshold)
    return LoopStep(run, new, excluded, threshold)


def _ended(steps: list[LoopStep], stopping_strain: float) -> Status | None:
    """Status if the loop is over after the last of its steps, else None."""
    last = steps[-1]
    if last.new_rings:
        return "no rings left" if len(last.new_rings) == len(last.run.ring_means()) else None
    if last.run.mean_strain < stopping_strain:
        return "converged"
    if len(steps) == 1:
        return None
    before = steps[-2]
    if before.new_rings:  # other rings than before: the figures do not compare
        return None
    gain = before.run.mean_strain - last.run.mean_strain
    moved = published_vector(last.run.detector) - published_vector(last.run.start)
    stuck = not np.any(moved) or gain < PROGRESS * before.run.mean_strain
    return "no progress" if stuck else None
