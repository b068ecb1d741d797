r"""Geometry from ring points: pseudo-strain residuals, honest weights, outliers, covariance.

The residual of a point is its pseudo-strain :math:`\epsilon = 1 - R_c/(L\tan 2\theta_k)` (spec
1.5). Its weight is :math:`1/(\sigma^2 + \tau^2/f)`: the fit error of the point, plus a spread
:math:`\tau` that the model does not explain (module shifts, grains) for a full bin, f being the
part of the bin that was seen. tau is chosen so that the reduced chi-square is 1 (Paule and Mandel
1982), so simulated frames are weighted by their noise and real ones by what limits them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.detector.tilted_flat import ring_jacobian
from refimpl.frames import F64, I64
from refimpl.objective.least_squares import (
    FitResult,
    Normal,
    accumulate_normal,
    levenberg_marquardt,
)
from refimpl.objective.simplex import minimise_simplex
from refimpl.powder.observations import RingPoints
from refimpl.powder.parameters import Parameters

if TYPE_CHECKING:
    from refimpl.powder.panels import PanelSolution

__all__ = ["GeometryFit", "fit_geometry", "fit_published", "point_strain", "strain_sigma"]
__all__ += ["clusters_of", "jackknife", "taper", "unexplained"]

CLIP_SIGMA = 5.0
"""Points lose weight about this many of their own standard deviations: all of it at 6/5 of it,
none at 4/5. A step would let a point at the edge come and go with every pass, for ever."""


@dataclass(frozen=True, eq=False)
class GeometryFit:
    """A fitted geometry on fixed points.

    Attributes
    ----------
    fit
        Of the parameters; its weights are absolute.
    parameters
        What was refined.
    strain
        (n,) signed pseudo-strain of every point, used or not.
    weight
        (n,) 1/variance of the strain.
    used
        (n,) points that the outlier rule left in.
    tau
        Unexplained spread of a full bin [strain].
    panels
        What was found of the panels (:mod:`refimpl.powder.panels`); None for a single surface.
    """

    fit: FitResult
    parameters: Parameters
    strain: F64
    weight: F64
    used: NDArray[np.bool_]
    tau: float
    panels: PanelSolution | None = None


def point_strain(points: RingPoints, rings: Rings, geometry: F64, corrections: F64) -> F64:
    """(n,) signed pseudo-strain of points at a geometry."""
    panel = _panel(points, corrections)
    tangent = np.tan(rings.two_theta_rad[points.ring])
    radius, _, _ = ring_jacobian(points.fast_px, points.slow_px, panel, geometry, corrections)
    return np.asarray(1.0 - radius / (geometry[0] * tangent))


def strain_sigma(points: RingPoints) -> F64:
    """(n,) standard uncertainty of the strain from that of 2-theta: d ln tan = d(2t)/(sin cos)."""
    t = points.two_theta_rad
    return np.asarray(points.sigma_rad / (np.sin(t) * np.cos(t)))


def _panel(points: RingPoints, corrections: F64) -> NDArray[np.int32]:
    if len(corrections):
        return points.panel.astype(np.int32)
    return np.full(len(points), -1, dtype=np.int32)


def _problem(
    points: RingPoints, rings: Rings, p: Parameters, weight: F64
) -> Callable[[F64], Normal]:
    """Cost, gradient and normal matrix of the weighted strain."""
    n = int(np.count_nonzero(weight))

    def normal(x: F64) -> Normal:
        if not p.geometry(x)[0] > 0.0:
            return Normal(np.inf, np.zeros(len(x)), np.eye(len(x)), n)
        strain, jacobian = _linearised(points, rings, p, x)
        cost, gradient, hessian = accumulate_normal(strain, jacobian, weight)
        return Normal(cost, gradient, hessian, n)

    return normal


def _linearised(points: RingPoints, rings: Rings, p: Parameters, x: F64) -> tuple[F64, F64]:
    """Strain (n,) and its derivatives (n, k) at the parameters."""
    g, corrections = p.geometry(x), p.model.corrections
    tangent = np.tan(rings.two_theta_rad[points.ring])
    radius, _, full = ring_jacobian(
        points.fast_px, points.slow_px, _panel(points, corrections), g, corrections
    )
    jacobian = -p.chain(x, full) / (g[0] * tangent)[:, None]
    if "lsd_mm" in p.names:
        jacobian[:, p.names.index("lsd_mm")] += radius / (g[0] * g[0] * tangent)
    return 1.0 - radius / (g[0] * tangent), jacobian


def unexplained(strain: F64, sigma: F64, coverage: F64, keep: F64, free: float) -> float:
    """Spread that the fit errors do not explain, of a full bin (Paule and Mandel).

    Parameters
    ----------
    strain, sigma, coverage, keep
        (n,) strain, its standard uncertainty, seen part of the bin, weight of the outlier rule.
    free
        Number of parameters that were fitted to the points.

    Returns
    -------
    The tau for which ``sum strain^2/(sigma^2 + tau^2/f) = n - k``; 0 if none is.
    """
    dof = max(float(np.sum(keep)) - free, 1.0)
    square = keep * strain * strain

    def excess(tau2: float) -> float:
        return float(np.sum(square / (sigma * sigma + tau2 / coverage))) - dof

    if len(strain) == 0 or excess(0.0) <= 0.0:
        return 0.0
    low, high = 0.0, float(np.max(square)) + 1e-30
    for _ in range(100):  # the sum falls monotonically with tau
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0.0 else (low, middle)
    return float(np.sqrt(0.5 * (low + high)))


SIMPLEX_SPAN = 40.0
"""Half width of the simplex' search box, in standard uncertainties; it moves with each restart."""


def _minimise(problem: Callable[[F64], Normal], x: F64, p: Parameters, solver: str) -> FitResult:
    """One minimisation of the weighted squares, by either solver; covariance at the minimum."""
    if solver == "lm":
        return levenberg_marquardt(problem, x, p.names, lower=p.lower, upper=p.upper)
    return _simplex(problem, lambda y: problem(y).cost, x, p)


def _simplex(
    problem: Callable[[F64], Normal], cost: Callable[[F64], float], x: F64, p: Parameters
) -> FitResult:
    """Nelder-Mead in units of the parameters' own uncertainties, restarted until it gains nothing.

    The published simplex works in raw units within the search range; the restarts make up for
    its habit of collapsing before the minimum.
    """
    before, evaluations = cost(x), 0
    now = before
    for _ in range(40):
        here = problem(x)
        spread = max(here.cost / max(here.n - len(x), 1), 1e-300)
        unit = np.sqrt(spread / np.maximum(np.diag(here.hessian), 1e-300))
        low = np.maximum(-SIMPLEX_SPAN, (p.lower - x) / unit)
        high = np.minimum(SIMPLEX_SPAN, (p.upper - x) / unit)
        centre = x

        def scaled(u: F64, centre: F64 = centre, unit: F64 = unit) -> float:
            return cost(centre + u * unit)

        found = minimise_simplex(
            scaled, np.zeros(len(x)), low, high, ftol_rel=1e-13, xtol_rel=1e-6,
            max_evaluations=20000,
        )  # fmt: skip
        evaluations += found.evaluations
        gain = now - found.value
        if gain > 0.0:
            x, now = centre + found.x * unit, found.value
        if gain <= 1e-10 * now:
            break
    # one evaluation of the linearised problem gives the covariance and the weak directions
    end = levenberg_marquardt(problem, x, p.names, lower=p.lower, upper=p.upper, max_evaluations=1)
    return replace(end, cost_before=before, evaluations=evaluations, reason="converged (simplex)")


def fit_published(points: RingPoints, rings: Rings, p: Parameters) -> GeometryFit:
    """Minimise the published objective, the sum of |strain| over all points (spec 1.5).

    Outliers stay in, as published; the covariance is that of the weighted squares at the same
    point and only indicative.
    """
    weight = np.where(points.used, 1.0, 0.0)
    problem = _problem(points, rings, p, weight)

    def cost(x: F64) -> float:
        strain = point_strain(points, rings, p.geometry(x), p.model.corrections)
        return float(np.sum(np.abs(strain[points.used])))

    fit = _simplex(problem, cost, p.start, p)
    strain = point_strain(points, rings, p.geometry(fit.x), p.model.corrections)
    fit = replace(fit, covariance=fit.covariance * fit.reduced_chi2)
    spread = float(np.sqrt(np.mean(strain[points.used] ** 2)))
    return GeometryFit(fit, p, strain, weight / max(spread, 1e-300) ** 2, points.used, spread)


def fit_geometry(
    points: RingPoints,
    rings: Rings,
    p: Parameters,
    *,
    clip_sigma: float = CLIP_SIGMA,
    solver: str = "lm",
    emphasis: F64 | None = None,
) -> GeometryFit:
    """Fit a geometry to ring points.

    Parameters
    ----------
    points
        Points with ``used`` False never come in.
    rings
        The calibrant's.
    p
        What to refine, and from where.
    clip_sigma
        Iterated outlier rule, in units of a point's own standard deviation.
    solver
        ``lm`` or ``simplex``.
    emphasis
        (n,) factors on the points' weights; None for none.

    Returns
    -------
    GeometryFit
    """
    boost = np.ones(len(points)) if emphasis is None else emphasis
    sigma, coverage = strain_sigma(points), points.coverage
    x, keep = p.start, points.used.astype(np.float64)
    strain = point_strain(points, rings, p.geometry(x), p.model.corrections)
    # the start may be far off: a robust spread about the median, until the fit has moved
    tau = 1.4826 * float(np.median(np.abs(strain - np.median(strain[points.used]))[points.used]))
    for _ in range(30):
        weight = boost * keep / (sigma * sigma + tau * tau / coverage)
        fit = _minimise(_problem(points, rings, p, weight), x, p, solver)
        x = fit.x
        strain = point_strain(points, rings, p.geometry(x), p.model.corrections)
        free = int(np.count_nonzero(fit.sigma))
        new_tau = unexplained(strain, sigma, coverage, keep, free)
        spread = np.sqrt(sigma * sigma + new_tau * new_tau / coverage)
        new_keep = np.where(points.used, taper(np.abs(strain) / (clip_sigma * spread)), 0.0)
        change = float(np.max(np.abs(new_keep - keep), initial=0.0))
        settled = change < 1e-3 and abs(new_tau - tau) <= 1e-4 * tau
        tau, keep = new_tau, new_keep
        if settled:
            break
    weight = boost * keep / (sigma * sigma + tau * tau / coverage)
    clusters = clusters_of(points, keep > 0.0, len(p))
    if clusters is not None and tau > float(np.median(sigma[keep > 0.0])):
        at_end, jacobian = _linearised(points, rings, p, fit.x)
        covariance = jackknife(at_end, jacobian, weight, clusters, fit.sigma > 0.0)
        fit = replace(fit, covariance=covariance, clusters=int(clusters.max()) + 1)
    return GeometryFit(fit, p, strain, weight, keep > 0.0, tau)


SECTORS = 24
"""Azimuthal sectors that stand in for panels on a detector that has too few."""


def clusters_of(points: RingPoints, used: NDArray[np.bool_], n_parameters: int) -> I64 | None:
    """(n,) group of points that share a systematic error: panels, else sectors; None if too few."""
    sector = np.floor((points.eta_rad + np.pi) / (2.0 * np.pi) * SECTORS).astype(np.int64)
    for label in (points.panel, sector):
        groups, index = np.unique(label, return_inverse=True)
        if len(np.unique(label[used])) >= 2 * n_parameters + 2 and len(groups) > 1:
            return np.asarray(index, dtype=np.int64)
    return None


def jackknife(
    strain: F64, jacobian: F64, weight: F64, clusters: I64, used: NDArray[np.bool_]
) -> F64:
    r"""Covariance where the points of a panel err together: the jackknife over panels.

    .. math:: \frac{G-1}{G} \sum_g \delta_g \delta_g^T,\quad
              \delta_g = (H - H_g)^{-1} \sum_{i \in g} w_i r_i J_i

    A panel that is out of place shifts all of its points: as independent errors they would count
    as far more evidence than they are. :math:`\delta_g` is how far the answer moves without
    panel g, to first order. The sandwich of Liang and Zeger (1986) would take the residuals as
    they are, though a panel at the edge pulls the fit towards itself: its pulls have 1.4 times the
    variance that they should, these 1.0 (300 sets of 36 displaced panels). Source: Bell and
    McCaffrey, Survey Methodology 28 (2002) 169.

    Parameters
    ----------
    strain, jacobian, weight, clusters
        (n,), (n, k), (n,), (n,) at the solution.
    used
        (k,) parameters that were refined and are determined; the others get 0.
    """
    free = np.flatnonzero(used)
    of_panels = []
    for g in np.unique(clusters[weight > 0.0]):
        mine = clusters == g
        of_panels.append(
            accumulate_normal(strain[mine], jacobian[np.ix_(mine, free)], weight[mine])[1:]
        )
    hessian = np.zeros((len(free), len(free)))
    for _, own in of_panels:
        hessian += own
    floor = 1e-12 * np.diag(np.diag(hessian))  # a panel may be alone in determining something
    covariance = np.zeros_like(hessian)
    for score, own in of_panels:  # one after another: the same bits whatever the BLAS does
        shift = np.linalg.solve(hessian - own + floor, score)
        covariance += np.outer(shift, shift)
    out = np.zeros((len(used), len(used)))
    out[np.ix_(free, free)] = covariance * ((len(of_panels) - 1) / len(of_panels))
    return out


def taper(distance: F64) -> F64:
    """Weight 1 up to 0.8, 0 from 1.2, a smooth half cosine between."""
    part = np.clip((distance - 0.8) / 0.4, 0.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * part))
