"""Quick refinement for indexing: crystal, beam and the detector as one body, outliers set aside.

It ranks candidates, and serves the macro-cycles where no other refinement is handed in. Weighted
Gauss-Newton with the damping scaled by each parameter's own curvature, so that millimetres and
radians need no care. Not here: standard uncertainties, panels of their own, the published path.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.metrology.indexing.rigid_model import (
    Residuals,
    RigidModel,
    residuals,
    with_jacobian,
)
from refimpl.metrology.indexing.spots import Spots
from refimpl.rotations import expmap

__all__ = ["RigidFit", "fit_rigid", "inliers"]

LEAST_SPOTS = 20
CONVERGED = 1e-4
"""Relative fall of the objective that ends the fit."""


@dataclass(frozen=True)
class RigidFit:
    """Outcome of :func:`fit_rigid`.

    Attributes
    ----------
    model
        The refined model.
    rmsd
        (3,) of the spots used [mm, mm, rad].
    used
        (n,) spots that were fitted.
    steps
        Accepted steps.
    """

    model: RigidModel
    rmsd: F64
    used: NDArray[np.bool_]
    steps: int


def inliers(values: F64, usable: NDArray[np.bool_], multiplier: float) -> NDArray[np.bool_]:
    """Spots none of whose residuals is an outlier by Tukey's fences, ``multiplier`` IQRs wide."""
    if usable.sum() < 4:
        return usable.copy()
    low, high = np.percentile(values[usable], [25.0, 75.0], axis=0)
    reach = multiplier * (high - low)
    with np.errstate(invalid="ignore"):
        return np.asarray(usable & ((values >= low - reach) & (values <= high + reach)).all(axis=1))


def fit_rigid(
    model: RigidModel,
    spots: Spots,
    hkl: I64,
    *,
    max_steps: int = 10,
    rounds: int = 2,
    iqr_multiplier: float = 1.5,
) -> RigidFit | None:
    """Refine a model on indexed spots.

    Parameters
    ----------
    model
        Where to begin.
    spots
        Indexed spots.
    hkl
        (n, 3) their Miller indices.
    max_steps
        Most steps of each round.
    rounds
        Outliers are set aside before each round; later rounds see better residuals.
    iqr_multiplier
        Width of Tukey's fences.

    Returns
    -------
    None where fewer than 20 spots can be used, or the model leaves the world.
    """
    used = np.zeros(len(spots), dtype=bool)
    steps = 0
    for _ in range(rounds):
        start = residuals(model, spots, hkl)
        used = inliers(start.values, start.usable, iqr_multiplier)
        if used.sum() < LEAST_SPOTS:
            return None
        fitted = _one_round(model, spots.select(used), hkl[used], max_steps)
        if fitted is None:
            return None
        model, done = fitted
        steps += done
    last = residuals(model, spots, hkl)
    used = used & last.usable
    if used.sum() < LEAST_SPOTS:
        return None
    rmsd = np.sqrt((last.values[used] ** 2).mean(axis=0))
    return RigidFit(model, rmsd, used, steps)


def _objective(found: Residuals, weight: F64) -> float:
    cost = 0.5 * float((weight * found.values**2).sum())
    return cost if np.isfinite(cost) and bool((found.on_panel[:, 2] > 0.0).all()) else np.inf


def _one_round(
    model: RigidModel, spots: Spots, hkl: I64, max_steps: int
) -> tuple[RigidModel, int] | None:
    """Levenberg-Marquardt with scaled damping on a fixed set of spots."""
    weight = 1.0 / spots.variance
    found = residuals(model, spots, hkl)
    cost, damping, accepted = _objective(found, weight), 1e-3, 0
    if not np.isfinite(cost):
        return None
    for _ in range(max_steps):
        lever = model.d[spots.panel] @ (found.on_panel / found.on_panel[:, 2:])[:, :, None]
        pivot = lever[:, :, 0].mean(axis=0)
        jacobian, steps = with_jacobian(model, spots, hkl, found, pivot)
        rows = jacobian.reshape(-1, jacobian.shape[2])
        weighted = rows * weight.reshape(-1, 1)
        normal, gradient = rows.T @ weighted, weighted.T @ found.values.ravel()
        fell = 0.0
        for _ in range(6):
            trial = _stepped(model, steps, _solve(normal, gradient, damping), pivot)
            tried = residuals(trial, spots, hkl)
            fell = cost - _objective(tried, weight)
            if fell > 0.0:
                break
            damping *= 10.0
        else:
            return model, accepted
        accepted += 1
        model, found, cost, damping = trial, tried, cost - fell, damping / 10.0
        if fell < CONVERGED * (cost + fell):
            break
    return model, accepted


def _solve(normal: F64, gradient: F64, damping: float) -> F64:
    """Step of the damped normal equations; a parameter without any effect stays."""
    scale = np.sqrt(np.maximum(np.diag(normal), 1e-300))
    scaled = normal / np.outer(scale, scale) + damping * np.eye(len(scale))
    return np.asarray(-np.linalg.solve(scaled, gradient / scale) / scale)


def _stepped(model: RigidModel, steps: F64, change: F64, pivot: F64) -> RigidModel:
    c = len(steps)
    metric = model.a_matrix + np.tensordot(change[3:c], steps[3:], axes=1)
    a_matrix = expmap(change[:3]) @ metric  # a true rotation: the symmetry stays exact
    tilt = np.cross(model.s0, model.setting @ model.axis)
    s0 = model.s0 + change[c] * np.cross(tilt / np.linalg.norm(tilt), model.s0)
    s0 *= np.linalg.norm(model.s0) / np.linalg.norm(s0)  # the wavelength is not refined
    moved = model.with_detector_moved(change[c + 1 : c + 4], pivot, change[c + 4 : c + 7])
    return replace(moved, a_matrix=a_matrix, s0=s0)
