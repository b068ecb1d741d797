"""One run of the published single-surface calibration (CalibrantPanelShiftsOMP without panels).

Source: MIDAS as of the AutoCalibrate manual version 10 (commit 41fd5d04). It stands here for
comparison and for scripts that expect it; :func:`refimpl.powder.calibrate` is the calibration to
use. By default the bins are bounded by true arcs; the published straight chords, which put the
distance out by 635 ppm at the default bin, are a named switch. On the published points the steps
of the simplex are the published ones. Not reproduced: limits on wall time, the padding of frames
unless asked for, and the mixing of two iterations' points when an earlier one is restored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import ring_coordinates
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.objective.pseudo_strain import (
    StrainSummary,
    pseudo_strain,
    published_l1,
    published_mean_strain,
    published_strain,
    published_weights,
    strain_summary,
    truncated_rho_d_mm,
)
from refimpl.objective.simplex import Reason, minimise_simplex
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_points import PublishedPoints, PublishedRings, extract_points
from refimpl.units import DEG, UM

__all__ = [
    "PublishedRun",
    "calibrate_published",
    "check_frame",
    "fit_published_points",
    "from_published_vector",
    "published_vector",
    "strain_of",
]


@dataclass(frozen=True, eq=False)
class PublishedRun:
    """Result of one run.

    Attributes
    ----------
    start, detector
        Geometry before and after.
    points
        Points that the result was fitted to.
    strain
        (n,) signed pseudo-strain of the points at the result.
    mean_strain, std_strain
        As the published program prints them; they refer to different sets of points.
    outlier
        (n,) as published.
    summary
        The figures by our own rule.
    evaluations
        Calls of the objective in the iteration that was kept.
    reason
        Why its simplex stopped.
    history
        MeanStrain of each iteration.
    options
        As given.
    """

    start: TiltedFlat
    detector: TiltedFlat
    points: PublishedPoints
    strain: F64
    mean_strain: float
    std_strain: float
    outlier: NDArray[np.bool_]
    summary: StrainSummary
    evaluations: int
    reason: Reason
    history: tuple[float, ...]
    options: PublishedOptions

    def ring_means(self) -> dict[int, float]:
        """Mean absolute strain of each ring, outliers included."""
        size, ring = np.abs(self.strain), self.points.ring
        return {int(r): float(size[ring == r].mean()) for r in np.unique(ring)}


def published_vector(detector: TiltedFlat) -> F64:
    """(10,) Lsd [µm], BC [px], ty, tz [deg], p0, p1, p2, p3 [deg], p4: the published unknowns."""
    fast, slow = detector.beam_centre_px
    _, ty, tz = detector.tilts_rad
    head = [detector.lsd_mm / UM, fast - 0.5, slow - 0.5, ty / DEG, tz / DEG]
    return np.array([*head, *detector.p[:5]])


def from_published_vector(vector: F64, detector: TiltedFlat) -> TiltedFlat:
    """Copy of `detector` with the numbers of :func:`published_vector`."""
    x = [float(v) for v in vector]
    return detector.replace(
        lsd_mm=x[0] * UM,
        beam_centre_px=(x[1] + 0.5, x[2] + 0.5),
        tilts_rad=(detector.tilts_rad[0], x[3] * DEG, x[4] * DEG),
        p=(*x[5:10], *detector.p[5:]),
    )


def strain_of(points: PublishedPoints, detector: TiltedFlat) -> F64:
    """(n,) signed pseudo-strain of points at a geometry."""
    radius, _ = _coordinates(points, detector)
    return pseudo_strain(radius, detector.lsd_mm * np.tan(points.two_theta_rad))


def _coordinates(points: PublishedPoints, detector: TiltedFlat) -> tuple[F64, F64]:
    none = np.full(len(points), -1, dtype=np.int32)
    radius, eta, _ = ring_coordinates(
        points.fast_px, points.slow_px, none, detector.geometry, np.zeros((0, 9))
    )
    return radius, eta


def fit_published_points(
    points: PublishedPoints, start: TiltedFlat, options: PublishedOptions
) -> tuple[TiltedFlat, int, Reason]:
    """Minimise the published L1 objective over points.

    Parameters
    ----------
    points
        Of :func:`~refimpl.powder.published_points.extract_points`, or any others.
    start
        Geometry to begin at, and the middle of the bounds.
    options
        Tolerances, weights and limits.

    Returns
    -------
    detector, evaluations, reason
    """
    x0 = published_vector(start)
    tol_p4 = options.tol_p4 if options.distortion_order >= 6 else 0.0
    reach = np.array(
        [
            *(options.tol_lsd_mm / UM, options.tol_bc_px, options.tol_bc_px),
            *(options.tol_tilt_deg, options.tol_tilt_deg, options.tol_p0, options.tol_p1),
            *(options.tol_p2, options.tol_p3_deg, tol_p4),
        ]
    )
    rho_d = start.rho_d_mm
    model = start.replace(rho_d_mm=truncated_rho_d_mm(rho_d) if options.published_rho_d else rho_d)
    objective = _objective(points, model, options)
    found = minimise_simplex(
        *(objective, x0, x0 - reach, x0 + reach, 1e-5, 1e-5, options.max_evaluations),
        restarts=options.restarts,
    )
    return from_published_vector(found.x, start), found.evaluations, found.reason


def _objective(
    points: PublishedPoints, model: TiltedFlat, options: PublishedOptions
) -> Callable[[F64], float]:
    """Weighted sum of absolute strains as a function of the published unknowns."""
    ones = np.ones(len(points))
    fixed = published_weights(
        points.ring, ones, normalize_ring_weights=options.normalize_ring_weights
    )
    flat = (0.0,) * 15

    def value(vector: F64) -> float:
        if vector[0] <= 0.0:
            return float("inf")
        detector = from_published_vector(vector, model)
        weights = fixed
        if options.weight_by_radius:
            plain, _ = _coordinates(points, detector.replace(p=flat))
            weights = fixed * (plain / detector.rho_d_mm)
        return published_l1(strain_of(points, detector), weights)

    return value


def calibrate_published(
    image: F64,
    start: TiltedFlat,
    rings: PublishedRings,
    options: PublishedOptions | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> PublishedRun:
    """Extract points and fit the geometry, ``n_iterations`` times, the bounds moving along.

    Parameters
    ----------
    image
        (n_slow, n_fast) [counts], model frame, finite where unmasked.
    start
        Geometry to begin at; its RhoD scales windows and distortion. Panels are ignored.
    rings
        Of :func:`~refimpl.powder.published_points.published_rings`.
    options
        Default: the published defaults, on arcs.
    mask
        (n_slow, n_fast) True where bad. A bin with any masked pixel is dropped, as published.

    Raises
    ------
    ConfigError
        Image, mask and geometry have different shapes, or there are no rings.
    NoRingsError
        No bin gives a point.
    """
    options = PublishedOptions() if options is None else options
    check_frame(image, mask, start, rings)
    detector, best, best_mean = start, None, np.inf
    history: list[float] = []
    for _ in range(options.n_iterations):
        points = extract_points(image, mask, detector, rings, options)
        detector, evaluations, reason = fit_published_points(points, detector, options)
        strain = strain_of(points, detector)
        history.append(published_mean_strain(strain, options.mult_factor))
        if best is None or history[-1] < best_mean:
            best, best_mean = (detector, points, strain, evaluations, reason), history[-1]
    assert best is not None  # the options see to one iteration at least
    detector, points, strain, evaluations, reason = best
    figures = published_strain(strain, options.mult_factor, options.outlier_iterations)
    return PublishedRun(
        start=start,
        detector=detector,
        points=points,
        strain=strain,
        mean_strain=figures.mean_strain,
        std_strain=figures.std_strain,
        outlier=figures.outlier,
        summary=strain_summary(strain),
        evaluations=evaluations,
        reason=reason,
        history=tuple(history),
        options=options,
    )


def check_frame(
    image: F64, mask: NDArray[np.bool_] | None, start: TiltedFlat, rings: PublishedRings
) -> None:
    """Refuse what cannot be calibrated with.

    Raises
    ------
    ConfigError
        Image, mask and geometry have different shapes, or there are no rings.
    """
    shapes = {"image": np.shape(image), "geometry": start.shape}
    if mask is not None:
        shapes["mask"] = np.shape(mask)
    if len(set(shapes.values())) > 1:
        raise ConfigError("shapes differ: " + ", ".join(f"{k} {v}" for k, v in shapes.items()))
    if len(rings.number) == 0:
        raise ConfigError("every ring is excluded: nothing to calibrate with")
