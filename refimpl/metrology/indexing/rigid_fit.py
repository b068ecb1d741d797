"""Quick refinement for indexing: crystal, beam and the detector as one body, outliers set aside.

It ranks candidates, and can serve the macro-cycles. Not here: standard uncertainties, panels of
their own, the published path; see :mod:`refimpl.metrology.refine`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.metrology.indexing.rigid_model import (
    RigidModel,
    crystal_steps,
    jacobian,
    residuals,
)
from refimpl.metrology.indexing.spots import Spots
from refimpl.objective.least_squares import Normal, accumulate_normal, levenberg_marquardt
from refimpl.objective.outliers import tukey
from refimpl.rotations import expmap

__all__ = ["RigidFit", "fit_rigid", "inliers"]

LEAST_SPOTS = 20
CONVERGED = 0.05
"""Part of its standard uncertainty by which no parameter moves any more."""


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
        Steps taken.
    """

    model: RigidModel
    rmsd: F64
    used: NDArray[np.bool_]
    steps: int


def inliers(values: F64, usable: NDArray[np.bool_], multiplier: float) -> NDArray[np.bool_]:
    """Usable spots (n,) of which no residual (n, 3) is an outlier by Tukey's fences."""
    out = usable.copy()
    out[usable] = ~tukey(values[usable], iqr_multiplier=multiplier)
    return out


def fit_rigid(
    model: RigidModel,
    spots: Spots,
    hkl: I64,
    *,
    max_steps: int = 10,
    rounds: int = 2,
    iqr_multiplier: float = 1.5,
    crystal_only: bool = False,
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
    crystal_only
        Hold beam and detector.

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
        fitted = _one_round(model, spots.select(used), hkl[used], max_steps, crystal_only)
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


def _one_round(
    model: RigidModel, spots: Spots, hkl: I64, max_steps: int, crystal_only: bool
) -> tuple[RigidModel, int] | None:
    """Fit to a fixed set of spots; None where the model leaves the world."""
    weight = 1.0 / spots.variance.ravel()
    found = residuals(model, spots, hkl)
    lever = model.d[spots.panel] @ (found.on_panel / found.on_panel[:, 2:])[:, :, None]
    pivot = lever[:, :, 0].mean(axis=0)
    steps = crystal_steps(model)
    free = len(steps) if crystal_only else len(steps) + 7

    def problem(x: F64) -> Normal:
        trial = _moved(model, steps, np.append(x, np.zeros(len(steps) + 7 - free)), pivot)
        seen = residuals(trial, spots, hkl)
        if not np.isfinite(seen.values).all() or (seen.on_panel[:, 2] <= 0.0).any():
            return Normal(np.inf, np.zeros(free), np.eye(free), weight.size)
        rows = jacobian(trial, spots, hkl, seen, pivot, steps)[:, :, :free].reshape(-1, free)
        cost, gradient, hessian = accumulate_normal(
            seen.values.ravel(), np.ascontiguousarray(rows), weight
        )
        return Normal(cost, gradient, hessian, weight.size)

    names = tuple(f"p{k}" for k in range(free))
    fit = levenberg_marquardt(
        problem, np.zeros(len(names)), names,
        tolerance=CONVERGED, max_evaluations=max_steps + 1, covariance=False,
    )  # fmt: skip
    if not np.isfinite(fit.cost):
        return None
    last = np.append(fit.x, np.zeros(len(steps) + 7 - free))
    return _moved(model, steps, last, pivot), len(fit.history) - 1


def _moved(model: RigidModel, steps: F64, x: F64, pivot: F64) -> RigidModel:
    """Model with its parameters changed by x; see :func:`~.rigid_model.jacobian`."""
    c = len(steps)
    metric = model.a_matrix + np.tensordot(x[3:c], steps[3:], axes=1)
    a_matrix = expmap(x[:3]) @ metric  # a true rotation: the symmetry stays exact
    s0 = model.s0 + x[c] * np.cross(model.tilt, model.s0)
    length = np.linalg.norm(model.s0, axis=1) / np.linalg.norm(s0, axis=1)
    s0 *= length[:, None]  # the wavelength is not refined
    moved = model.with_detector_moved(x[c + 1 : c + 4], pivot, x[c + 4 : c + 7])
    return replace(moved, a_matrix=a_matrix, s0=s0)
