"""What a net is taught in place of the reflection count, and the way back.

The thesis standardises the counts "along the whole data set", then takes them as they are
(``vanilla``), or their logarithm, or their hyperbolic tangent (Schurmann & Lindhe 2019, section
2.3). A logarithm of standardised values, half of which are negative, is undefined; the thesis does
not say how that was solved. ``log`` is the safe reading in the same order, ``log_literal`` the
literal one, which refuses what it cannot do.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["TARGETS", "Target", "fit_target"]

TARGETS = ("vanilla", "log", "log_literal", "log_first", "slog", "tanh")
"""Names of the targets; the first, second and last are those of the thesis's Table 2.3."""

_NEAR_ONE = 1.0 - 2.0**-53  # artanh stays finite


@dataclass(frozen=True)
class Target:
    """A target with the numbers of the counts that it was fitted to.

    Attributes
    ----------
    name
        One of :data:`TARGETS`.
    mean, deviation
        Of the counts; for ``log_first`` of log(1 + count).
    least
        Smallest count, where the safe logarithm begins.
    """

    name: str
    mean: float
    deviation: float
    least: float

    def __post_init__(self) -> None:
        if self.name not in TARGETS:
            raise ConfigError(
                f"target {self.name!r}: expected one of {', '.join(TARGETS)}", key="target",
                got=self.name,
            )  # fmt: skip
        if not (math.isfinite(self.mean) and math.isfinite(self.least)):
            raise ConfigError(f"target {self.name}: mean {self.mean}, least {self.least}")
        if not (math.isfinite(self.deviation) and self.deviation > 0.0):
            raise ConfigError(
                f"target {self.name}: all counts are equal, there is nothing to learn (standard "
                f"deviation {self.deviation:g})"
            )

    def apply(self, count: ArrayLike) -> F64:
        """Reflection counts to targets.

        Raises
        ------
        ConfigError
            A count is not a finite number of 0 or more, or ``log_literal`` of one that is not
            above the mean.
        """
        rc = np.asarray(count, dtype=np.float64)
        if not (np.isfinite(rc) & (rc >= 0.0)).all():
            bad = rc[~(np.isfinite(rc) & (rc >= 0.0))].flat[0]
            raise ConfigError(f"reflection count {bad}: expected a number of 0 or more", got=bad)
        if self.name == "log_first":
            return np.asarray((np.log1p(rc) - self.mean) / self.deviation)
        z = (rc - self.mean) / self.deviation
        if self.name == "log":
            # counts below the least of the training set stand where it does
            return np.asarray(np.log1p(np.maximum(rc - self.least, 0.0) / self.deviation))
        if self.name == "log_literal":
            if not (z > 0.0).all():
                raise ConfigError(
                    f"target log_literal: {int((z <= 0.0).sum())} of {z.size} counts are not above "
                    f"the mean ({self.mean:.4g}): their logarithm is not defined; take log, its "
                    "safe form"
                )
            return np.asarray(np.log(z))
        if self.name == "slog":
            return np.asarray(np.sign(z) * np.log1p(np.abs(z)))
        return np.asarray(np.tanh(z)) if self.name == "tanh" else np.asarray(z)

    def invert(self, value: ArrayLike) -> F64:
        """Targets back to reflection counts; what lies beyond the range of tanh is drawn in."""
        y = np.asarray(value, dtype=np.float64)
        if self.name == "log":
            return np.asarray(self.deviation * np.expm1(y) + self.least)
        if self.name == "log_first":
            return np.asarray(np.expm1(self.deviation * y + self.mean))
        if self.name == "log_literal":
            z = np.exp(y)
        elif self.name == "slog":
            z = np.sign(y) * np.expm1(np.abs(y))
        elif self.name == "tanh":
            z = np.arctanh(np.clip(y, -_NEAR_ONE, _NEAR_ONE))
        else:
            z = y
        return np.asarray(self.deviation * z + self.mean)

    def as_dict(self) -> dict[str, Any]:
        """For a checkpoint; ``Target(**content)`` restores it."""
        return asdict(self)


def fit_target(name: str, count: ArrayLike) -> Target:
    """Fit a target to the counts of the training set (of all sets, to be faithful to the thesis).

    Raises
    ------
    ConfigError
        An unknown name, no counts, or counts that are not finite, negative or all equal.
    """
    rc = np.asarray(count, dtype=np.float64).ravel()
    if not len(rc):
        raise ConfigError("target: no reflection counts to fit it to")
    if not (np.isfinite(rc) & (rc >= 0.0)).all():
        bad = rc[~(np.isfinite(rc) & (rc >= 0.0))][0]
        raise ConfigError(f"reflection count {bad}: expected a number of 0 or more", got=bad)
    values = np.log1p(rc) if name == "log_first" else rc
    return Target(name, float(values.mean()), float(values.std()), float(rc.min()))
