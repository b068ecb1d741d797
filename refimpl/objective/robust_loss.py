r"""Robust losses as weights: the soft alternative to rejecting outliers.

A loss :math:`\rho(u)` of normalised residuals :math:`u = r/\sigma` is minimised by least squares
with weights :math:`\omega(u) = \rho'(u)/u`, recomputed at every step (iteratively reweighted
least squares). Near 0 every loss here is :math:`u^2/2` and every weight 1.

Sources: P. J. Huber, Ann. Math. Stat. 35 (1964) 73; A. E. Beaton and J. W. Tukey, Technometrics 16
(1974) 147. The default tuning constants keep 95 % efficiency on normal data (P. W. Holland and
R. E. Welsch, Communications in Statistics A6 (1977) 813).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = [
    "BIWEIGHT_TUNING",
    "HUBER_TUNING",
    "LOSSES",
    "RobustLoss",
    "biweight_loss",
    "biweight_weights",
    "huber_loss",
    "huber_weights",
    "mad_sigma",
    "robust_weights",
]

HUBER_TUNING: Final = 1.345
BIWEIGHT_TUNING: Final = 4.685
_MAD_TO_SIGMA: Final = 1.482602218505602
"""1 / (upper quartile of the standard normal distribution)."""


def mad_sigma(residuals: F64) -> F64:
    """Scale of each column: the median of the absolute values, 1.4826 times.

    Parameters
    ----------
    residuals
        (n,) or (n, k), expected about 0.

    Returns
    -------
    ndarray
        Shape () or (k,), in the unit of the residuals: sigma where they are normal.
    """
    return np.asarray(_MAD_TO_SIGMA * np.median(np.abs(residuals), axis=0))


def huber_loss(u: F64, tuning: float = HUBER_TUNING) -> F64:
    """u^2/2 up to the tuning constant, a straight line beyond."""
    size = np.abs(u)
    return np.asarray(np.where(size <= tuning, 0.5 * size**2, tuning * (size - 0.5 * tuning)))


def huber_weights(u: F64, tuning: float = HUBER_TUNING) -> F64:
    """min(1, tuning / abs(u)): outliers pull with constant force."""
    return np.asarray(tuning / np.maximum(np.abs(u), tuning))


def biweight_loss(u: F64, tuning: float = BIWEIGHT_TUNING) -> F64:
    """Tukey's biweight: u^2/2 near 0, constant c^2/6 beyond c."""
    inside = np.clip(1.0 - (np.asarray(u) / tuning) ** 2, 0.0, None)
    return np.asarray(tuning**2 / 6.0 * (1.0 - inside**3))


def biweight_weights(u: F64, tuning: float = BIWEIGHT_TUNING) -> F64:
    """(1 - (u/c)^2)^2 inside c, 0 beyond: far outliers do not pull at all."""
    return np.asarray(np.clip(1.0 - (np.asarray(u) / tuning) ** 2, 0.0, None) ** 2)


@dataclass(frozen=True)
class RobustLoss:
    """A loss and its weights, functions of normalised residuals and the tuning constant."""

    loss: Callable[[F64, float], F64]
    weights: Callable[[F64, float], F64]
    tuning: float


LOSSES: Final[dict[str, RobustLoss]] = {
    "huber": RobustLoss(huber_loss, huber_weights, HUBER_TUNING),
    "biweight": RobustLoss(biweight_loss, biweight_weights, BIWEIGHT_TUNING),
}


def robust_weights(
    residuals: F64, name: str, *, sigma: F64 | None = None, tuning: float | None = None
) -> F64:
    """Factors for the weights of residuals under one of :data:`LOSSES`.

    Parameters
    ----------
    residuals
        (n, k), each column in its own unit.
    name
        ``huber`` or ``biweight``.
    sigma
        (k,) scale of the columns; :func:`mad_sigma` of the residuals where not given. A column
        of scale 0 keeps the weight 1 where its residual is 0 and loses the rest.
    tuning
        In units of sigma; by default that of the loss.

    Returns
    -------
    ndarray
        (n, k) from 0 to 1; 1 leaves the weight as it is.

    Raises
    ------
    ConfigError
        The loss is unknown, or the tuning constant is not positive.
    """
    if name not in LOSSES:
        raise ConfigError(
            f"robust loss {name!r} is unknown: expected one of {', '.join(LOSSES)}", got=name
        )
    chosen = LOSSES[name]
    size = chosen.tuning if tuning is None else tuning
    if not size > 0.0:
        raise ConfigError(f"robust loss {name}: tuning = {size}: expected a positive number")
    scale = mad_sigma(residuals) if sigma is None else np.asarray(sigma, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = np.where(residuals == 0.0, 0.0, residuals / scale)
    return chosen.weights(u, size)
