r"""Panels and grains fitted to spots of grains at positions.

One Levenberg-Marquardt on :class:`~refimpl.metrology.grain_problem.GrainProblem`. The spread of the
spots in x, y and omega, and the widths of the priors of what a panel does by itself, are variance
components, found by restricted maximum likelihood:

.. math::

   \sigma_c^2 = \frac{\sum r_c^2}{n_c - \mathrm{tr}(C\,J_c^T W J_c)},\qquad
   s_k^2 = \frac{\nu s_{0k}^2 + \sum_i x_i^2}{\nu + \sum_i (1 - C_{ii}/s_k^2)}

with C the covariance and :math:`\nu` = 4 pseudo-observations of the stated width, as for powder
panels. Source: D. A. Harville (1977), J. Am. Stat. Assoc. 72, 320; the fixed point of
D. J. C. MacKay (1992), Neural Comput. 4, 415.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.grain_models import GRAIN_FIELDS
from refimpl.metrology.grain_problem import TABLE_WIDTH_MM, WIDTHS, GrainProblem
from refimpl.objective.least_squares import FitResult, levenberg_marquardt

__all__ = ["GrainFit", "fit_grains", "hold_out", "near", "only_grains"]

PSEUDO = 4.0
"""Observations that a stated width counts as."""

SETTLED, ROUNDS = 0.01, 40
"""Relative change of every spread at which they have settled; turns at most."""

ROUGHLY = 1e-3
"""Tolerance of the fits between which spreads change, in standard uncertainties."""

GENTLE = 1e-8
"""Damping of all fits but the first: they start next to where they end."""


@dataclass(frozen=True, eq=False)
class GrainFit:
    """Outcome.

    Attributes
    ----------
    problem
        With the spreads as estimated.
    fit
        Parameters and covariance.
    settled
        Whether the spreads did.
    """

    problem: GrainProblem
    fit: FitResult
    settled: bool

    @property
    def residuals(self) -> F64:
        """(n, 3) predicted less observed [mm, mm, rad]."""
        return self.problem.residuals(self.fit.x)

    @property
    def rmsd(self) -> F64:
        """(3,) root mean squares of x, y [mm], omega [rad]."""
        return np.asarray(np.sqrt(np.mean(self.residuals**2, axis=0)))


def fit_grains(
    problem: GrainProblem,
    *,
    held: Iterable[str] = (),
    start: F64 | None = None,
    components: bool = True,
) -> GrainFit:
    """Fit panels and grains to the spots.

    Parameters
    ----------
    problem
        Models, spots, spreads to start from.
    held
        Names of parameters that stay at their start, or beginnings of names that end in ``.``
        (``ff1_0_0.`` is all of that panel).
    start
        (k,) start values; None for 0.
    components
        Estimate the spreads; otherwise they are as stated.

    Raises
    ------
    ConfigError
        A name that is no parameter's, or a start that predicts nothing for a spot.
    """
    x = np.zeros(len(problem.names)) if start is None else np.array(start, dtype=np.float64)
    fixed = _held(problem.names, held)
    low, high = np.where(fixed, x, -np.inf), np.where(fixed, x, np.inf)
    settled, damping = not components, 1e-3
    for _ in range(ROUNDS if components else 0):
        fit = levenberg_marquardt(
            problem, x, problem.names, lower=low, upper=high, tolerance=ROUGHLY, damping=damping
        )
        damping = GENTLE
        x, old = fit.x, np.concatenate([problem.sigma, problem.widths])
        problem = _components(problem, fit, fixed)
        change = np.concatenate([problem.sigma, problem.widths]) / old - 1.0
        if np.all(np.abs(change) < SETTLED):
            settled = True
            break
    fit = levenberg_marquardt(problem, x, problem.names, lower=low, upper=high, damping=damping)
    return GrainFit(problem, fit, settled)


def hold_out(
    problem: GrainProblem, grain: int, along_axis: int = 1, held: Iterable[str] = ()
) -> tuple[GrainFit, GrainFit]:
    """Panels from the other grains, scored on one that they have not seen.

    Parameters
    ----------
    problem
        All spots. Prior widths and spreads are found anew from the other grains' spots.
    grain
        Number of the one held out.
    along_axis
        Which of x, y, z the rotation axis is: where the gauge is held.
    held
        Parameters that stay in both fits, see :func:`fit_grains`.

    Returns
    -------
    trained, scored
        The fit of chi, panels and the other grains to the others' spots; then, chi and panels
        held there, that of the twelve parameters of the one left out to its own.
    """
    held = tuple(held)
    others = [g for g in range(len(problem.grains)) if g != grain]
    gauge = f"grain{others[0] + 1}.{GRAIN_FIELDS[3 + along_axis]}"
    mine = problem.spots.grain == grain
    trained = fit_grains(
        replace(problem, spots=problem.spots.select(~mine)),
        held=[gauge, f"grain{grain + 1}.", *held],
    )
    test = replace(trained.problem, spots=problem.spots.select(mine))
    return trained, only_grains(test, [grain], trained.fit.x, held)


def only_grains(
    problem: GrainProblem,
    grains: Iterable[int],
    start: F64 | None = None,
    held: Iterable[str] = (),
) -> GrainFit:
    """The twelve parameters of some grains alone, less those that are held: all else stays."""
    free = [f"grain{g + 1}." for g in grains]
    others = [n for n in problem.names if not any(n.startswith(f) for f in free)]
    return fit_grains(problem, held=[*others, *held], start=start, components=False)


def near(residuals: F64, limit: float = 6.0) -> NDArray[np.bool_]:
    """(n,) spots that are not far off in x or y.

    Parameters
    ----------
    residuals
        (n, 3). Omega is not looked at: in frames of finite width its spread is no robust one.
    limit
        In robust spreads, 1.4826 times the median distance from the median.
    """
    off = np.abs(residuals[:, :2] - np.median(residuals[:, :2], axis=0))
    return np.asarray(np.all(off <= limit * 1.4826 * np.median(off, axis=0), axis=1))


def _held(names: tuple[str, ...], held: Iterable[str]) -> NDArray[np.bool_]:
    fixed = np.zeros(len(names), dtype=bool)
    for text in held:
        hit = [n == text or (text.endswith(".") and n.startswith(text)) for n in names]
        if not any(hit):
            raise ConfigError(f"cannot hold {text!r}: no parameter is called so or begins so")
        fixed |= np.array(hit)
    return fixed


def _components(problem: GrainProblem, fit: FitResult, fixed: NDArray[np.bool_]) -> GrainProblem:
    """Problem with the spreads estimated anew."""
    residual, jacobian, _ = problem.jacobian(fit.x)
    sigma, g, m = problem.sigma.copy(), problem.border, len(problem.kinds)
    used = np.zeros(3)
    for i in range(len(problem.d)):
        rows = problem.spots.panel == i
        at = np.concatenate([np.arange(g), np.arange(g + i * m, g + (i + 1) * m)])
        part = fit.covariance[np.ix_(at, at)]
        for c in range(3):
            j = jacobian[rows, c]
            used[c] += np.sum((j @ part) * j) / sigma[c] ** 2
    sigma = np.sqrt(np.sum(residual**2, axis=0) / (len(residual) - used))
    widths = problem.widths.copy()
    own, spread = problem.own(fit.x), problem.own(np.diag(fit.covariance))
    free = ~problem.own(fixed)
    for k, stated in enumerate([*WIDTHS, *(problem.degree * [TABLE_WIDTH_MM])]):
        mine = (problem.kinds == k) & free
        known = np.sum(1.0 - spread[mine] / widths[k] ** 2)
        total = PSEUDO * stated**2 + np.sum(own[mine] ** 2)
        widths[k] = np.sqrt(total / (PSEUDO + max(known, 0.0)))
    return replace(problem, sigma=sigma, widths=widths)
