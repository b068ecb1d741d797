r"""Weighted least squares of spot positions to blob centroids, with weights taken from the data.

What spoils a centroid (threshold, uneven illumination) shifts a spot alike at every distance;
what quantises it does not. So the residuals of a spot over the distances are split into their
common part and contrasts (orthonormal), each with a variance of its own, in Y and Z; a fifth
variance scales omega, whose centroid in a blob of w frames is known to
:math:`w/\sqrt{12}` frames. The variances are those that the residuals show, each divided by its own
degrees of freedom (n less the trace of the hat matrix); the covariance needs no scaling, but is
widened for what estimated variances do to it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np

from refimpl.errors import ConvergenceError
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64, I64
from refimpl.nearfield.calibrate_match import Matches
from refimpl.nearfield.calibrate_model import place
from refimpl.nearfield.calibrate_parameters import Parameters
from refimpl.objective.least_squares import (
    FitResult,
    Normal,
    accumulate_normal,
    levenberg_marquardt,
)

__all__ = ["GROUPS", "PositionFit", "Problem", "contrasts", "fit_positions"]

GROUPS = ("Y common", "Z common", "Y contrast", "Z contrast", "omega")
"""Kinds of residual, each with its own variance; contrasts only with two or more distances."""

_SWEEPS, _ROBUST_SWEEPS, _SETTLED = 6, 2, 0.01
"""Fits with variances from the fit before, at most; they end when no variance changes by 1 %."""

_LEAST = 1e-3
"""No standard deviation is taken to be below this (px, quanta of omega): blobs are not exact."""


def contrasts(d: int) -> F64:
    """(d, d) orthonormal: the first row averages over distances, the others compare them.

    Source: Helmert (1876); row i compares the mean of the first i distances with the next.
    """
    out = np.zeros((d, d))
    out[0] = 1.0 / np.sqrt(d)
    for i in range(1, d):
        out[i, :i], out[i, i] = 1.0, -float(i)
        out[i] /= np.sqrt(i * (i + 1.0))
    return out


_CAUCHY = 2.0
"""Residuals beyond this many standard deviations lose most of their weight in robust rounds."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Matched spots, and the parameters that move their predictions."""

    parameters: Parameters
    setup: Setup
    matches: Matches

    @property
    def group(self) -> I64:
        """(2 d + 1,) group of each residual of a spot, in the order of :data:`GROUPS`."""
        return np.array([0, 1] + [2, 3] * (self.matches.yz_px.shape[1] - 1) + [4])

    def apart(self, x: F64) -> tuple[F64, F64]:
        """Predicted less seen, (s, d, 2) px and (s,) frames, at (k,) changes."""
        s = self.matches.spots
        at = place(
            self.parameters.geometry(x), self.setup, self.parameters.moved(x),
            s.crystal, s.row, s.root,
        )  # fmt: skip
        return at.yz_px - self.matches.yz_px, at.frame - self.matches.frame

    def split(self, x: F64) -> F64:
        """(s, 2 d + 1) common Y, Z; contrasts of Y, Z; omega in units of its quantisation."""
        yz, frames = self.apart(x)
        turned = np.einsum("ed,sdc->sec", contrasts(yz.shape[1]), yz)
        quantum = np.maximum(self.matches.n_frames, 1) / np.sqrt(12.0)
        return np.column_stack([turned.reshape(len(yz), -1), frames / quantum])

    def jacobian(self, x: F64) -> F64:
        """(s, 2 d + 1, k) slopes of :meth:`split` by central differences."""
        p = self.parameters
        out = np.zeros((len(self.matches), len(self.group), len(x)))
        for i in np.flatnonzero(p.lower < p.upper):
            step = np.zeros(len(x))
            step[i] = p.step[i]
            out[:, :, i] = (self.split(x + step) - self.split(x - step)) / (2.0 * p.step[i])
        return out

    def normal(self, x: F64, weight: F64) -> Normal:
        """Linearised problem with (s, 2 d + 1) weights."""
        r, j = self.split(x), self.jacobian(x)
        if not np.isfinite(r).all():
            return Normal(np.inf, np.zeros(len(x)), np.eye(len(x)), r.size)
        return Normal(*accumulate_normal(r.ravel(), j.reshape(r.size, -1), weight.ravel()), r.size)


@dataclass(frozen=True, eq=False)
class PositionFit:
    """Outcome of :func:`fit_positions`.

    Attributes
    ----------
    fit
        Parameters and covariance, which needs no scaling and allows for the estimated weights.
    sigma
        (5,) standard deviations of :data:`GROUPS` [px; quanta of omega]; NaN for what is absent.
    normalised
        (s, 2 d + 1) residuals over their standard deviation.
    """

    fit: FitResult
    sigma: F64
    normalised: F64


def fit_positions(problem: Problem, x0: F64, *, robust: bool = False) -> PositionFit:
    """Fit of all parameters to matched spots.

    Parameters
    ----------
    problem
        What is fitted.
    x0
        (k,) start values.
    robust
        Weigh down (Cauchy) what lies far from the rest and scale by medians, for rounds in which
        some matches are wrong.

    Raises
    ------
    ConvergenceError
        Too few matched spots for the free parameters.
    """
    p, matches, group = problem.parameters, problem.matches, problem.group
    free = int(np.count_nonzero(p.lower < p.upper))
    if len(matches) * len(group) < 2 * free:
        raise ConvergenceError(
            f"{len(matches)} of {matches.n_predicted} spots have a blob at every distance: too few "
            f"for {free} parameters; widen the capture, start nearer, or hold some"
        )
    x = np.array(x0, dtype=np.float64)
    sigma = _median_sigma(problem.split(x), group)
    for _ in range(_ROBUST_SWEEPS if robust else _SWEEPS):
        weight = 1.0 / sigma[group] ** 2 * np.ones((len(matches), 1))
        if robust:
            weight = weight / (1.0 + (problem.split(x) / (_CAUCHY * sigma[group])) ** 2)
        fit = levenberg_marquardt(
            functools.partial(problem.normal, weight=weight), x, p.names,
            lower=p.lower, upper=p.upper, tolerance=1e-3, max_evaluations=30,
        )  # fmt: skip
        x = fit.x
        split, before = problem.split(x), sigma
        if robust:
            sigma = _median_sigma(split, group)
        else:
            sigma = _own_sigma(split, problem.jacobian(x), fit.covariance, sigma, group)
        if np.nanmax(np.abs(sigma / before - 1.0)) < _SETTLED:
            break
    wider = _for_estimated_weights(problem.jacobian(x), fit.covariance, sigma, group)
    return PositionFit(replace(fit, covariance=wider), sigma, split / sigma[group])


def _median_sigma(split: F64, group: I64) -> F64:
    """(5,) standard deviations from median absolute residuals; NaN for empty groups."""
    out = np.full(len(GROUPS), np.nan)
    for g in np.unique(group):
        out[g] = max(1.4826 * float(np.median(np.abs(split[:, group == g]))), _LEAST)
    return out


def _for_estimated_weights(jacobian: F64, covariance: F64, sigma: F64, group: I64) -> F64:
    r"""(k, k) covariance, widened because the variances are estimates themselves.

    .. math:: \Phi + \sum_g \frac{4}{\nu_g} \Phi (B_g - B_g \Phi B_g) \Phi, \qquad
              B_g = J_g^T J_g / \sigma_g^2

    Source: Kenward and Roger (1997), Biometrics 53, 983, for independent groups of residuals, the
    variance of :math:`\sigma_g^2` being :math:`2\sigma_g^4/\nu_g`.
    """
    wider = covariance.copy()
    for g in np.unique(group):
        own = jacobian[:, group == g].reshape(-1, len(covariance))
        b = own.T @ own / sigma[g] ** 2
        freedom = max(len(own) - float(np.trace(b @ covariance)), 1.0)
        wider += 4.0 / freedom * covariance @ (b - b @ covariance @ b) @ covariance
    return np.asarray(0.5 * (wider + wider.T))


def _own_sigma(split: F64, jacobian: F64, covariance: F64, sigma: F64, group: I64) -> F64:
    """(5,) standard deviations, each group over its own degrees of freedom."""
    leverage = np.einsum("srk,kl,srl->sr", jacobian, covariance, jacobian) / sigma[group] ** 2
    out = np.full(len(GROUPS), np.nan)
    for g in np.unique(group):
        own = split[:, group == g]
        freedom = max(own.size - float(leverage[:, group == g].sum()), 1.0)
        out[g] = max(float(np.sqrt((own**2).sum() / freedom)), _LEAST)
    return out
