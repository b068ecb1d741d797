"""What a net is taught in place of the reflection count, and the way back.

The thesis standardises the counts "along the whole data set", then takes them as they are
(``vanilla``), or their logarithm, or their hyperbolic tangent (Schurmann & Lindhe 2019, section
2.3). A logarithm of standardised values, half of which are negative, is undefined; the thesis does
not say how that was solved. ``log`` is the safe reading in the same order, ``log_literal`` the
literal one, which refuses what it cannot do.

Counts of crystals that diffract unlike can be made alike first (the thesis's "future work"): a
count becomes its rank among those of its crystal, or its part of the most that the crystal has.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["HIT_COUNT", "PER_CRYSTAL", "TARGETS", "Target", "alike", "fit_target"]

TARGETS = ("vanilla", "log", "log_literal", "log_first", "slog", "tanh")
"""Names of the targets; the first, second and last are those of the thesis's Table 2.3."""

PER_CRYSTAL = ("rank", "most")
"""How counts of a crystal are made like those of others: rank from 0 to 1, or part of the most."""

HIT_COUNT = 100.0
"""Reflections from which the thesis calls a picture a hit."""

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
    per_crystal
        One of :data:`PER_CRYSTAL`: "counts" are those of :func:`alike`, and there is no way back.
    most
        Largest count; tanh says nothing of larger ones, so that its way back ends there.
    """

    name: str
    mean: float
    deviation: float
    least: float
    per_crystal: str | None = None
    most: float = math.inf

    def __post_init__(self) -> None:
        if self.name not in TARGETS:
            raise ConfigError(
                f"target {self.name!r}: expected one of {', '.join(TARGETS)}", key="target",
                got=self.name,
            )  # fmt: skip
        _check_per_crystal(self.per_crystal)
        if not (math.isfinite(self.mean) and math.isfinite(self.least)):
            raise ConfigError(f"target {self.name}: mean {self.mean}, least {self.least}")
        if not (math.isfinite(self.deviation) and self.deviation > 0.0):
            raise ConfigError(
                f"target {self.name}: all counts are equal, there is nothing to learn (standard "
                f"deviation {self.deviation:g})"
            )

    @property
    def is_invertible(self) -> bool:
        """Whether a target tells a reflection count."""
        return self.per_crystal is None

    def apply(self, count: ArrayLike, crystal: ArrayLike | None = None) -> F64:
        """Reflection counts to targets.

        Parameters
        ----------
        count
            (n,) counts.
        crystal
            (n,) crystal of each, for a target per crystal: all counts of a crystal must be there.

        Raises
        ------
        ConfigError
            A count is not a finite number of 0 or more, or ``log_literal`` of one that is not
            above the mean; no crystals for a target per crystal.
        """
        rc = _checked(count)
        if self.per_crystal is not None:
            if crystal is None:
                raise ConfigError(
                    f"target {self.name} by {self.per_crystal} per crystal: needs the crystal of "
                    "each count", key="crystal",
                )  # fmt: skip
            rc = alike(rc, crystal, self.per_crystal)
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

    @property
    def ceiling(self) -> float:
        """Largest value of tanh that has a way back: that of :attr:`most`."""
        return min(math.tanh((self.most - self.mean) / self.deviation), _NEAR_ONE)

    def invert(self, value: ArrayLike) -> F64:
        """Targets back to reflection counts; what tanh could not have given is drawn in.

        Raises
        ------
        ConfigError
            A target per crystal: how a crystal diffracts is not in it.
        """
        if not self.is_invertible:
            raise ConfigError(
                f"target {self.name} by {self.per_crystal} per crystal: there is no way back to "
                "reflections", key="per_crystal",
            )  # fmt: skip
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
            z = np.arctanh(np.clip(y, -_NEAR_ONE, self.ceiling))
        else:
            z = y
        return np.asarray(self.deviation * z + self.mean)

    def as_dict(self) -> dict[str, Any]:
        """For a checkpoint; ``Target(**content)`` restores it."""
        return asdict(self)


def fit_target(
    name: str, count: ArrayLike, crystal: ArrayLike | None = None, *, per_crystal: str | None = None
) -> Target:
    """Fit a target to the counts of the training set (of all sets, to be faithful to the thesis).

    Parameters
    ----------
    name
        One of :data:`TARGETS`.
    count, crystal
        (n,) counts; with `per_crystal` the crystal of each.
    per_crystal
        One of :data:`PER_CRYSTAL`, or None.

    Raises
    ------
    ConfigError
        An unknown name, no counts, or counts that are not finite, negative or all equal; no
        crystals for a target per crystal.
    """
    _check_per_crystal(per_crystal)
    rc = _checked(count).ravel()
    if not len(rc):
        raise ConfigError("target: no reflection counts to fit it to")
    if per_crystal is not None:
        if crystal is None:
            raise ConfigError("target per crystal: needs the crystal of each count", key="crystal")
        rc = alike(rc, crystal, per_crystal)
    values = np.log1p(rc) if name == "log_first" else rc
    return Target(
        name, float(values.mean()), float(values.std()), float(rc.min()), per_crystal,
        float(rc.max()),
    )  # fmt: skip


def alike(count: ArrayLike, crystal: ArrayLike, how: str) -> F64:
    """(n,) counts from 0 to 1, made alike crystal by crystal.

    ``rank``: mean rank among the n counts of the crystal, less 1/2, over n. ``most``: part of the
    greatest of them. A crystal without a hit (:data:`HIT_COUNT`) has nothing that could be ranked,
    an empty loop for one: its ranks are 0, and its counts are parts of a hit.

    Raises
    ------
    ConfigError
        An unknown way, or another number of crystals than of counts.
    """
    from scipy.stats import rankdata

    _check_per_crystal(how)
    rc, names = _checked(count), np.asarray(crystal)
    if rc.shape != names.shape:
        raise ConfigError(f"targets per crystal: {names.size} crystals for {rc.size} counts")
    out = np.zeros(rc.shape)
    order = np.argsort(names, kind="stable")
    for rows in np.split(order, np.flatnonzero(names[order][1:] != names[order][:-1]) + 1):
        if not len(rows):
            continue
        most = float(rc[rows].max())
        if how == "most":
            out[rows] = rc[rows] / max(most, HIT_COUNT)
        elif most >= HIT_COUNT:
            out[rows] = (rankdata(rc[rows]) - 0.5) / len(rows)
    return out


def _checked(count: ArrayLike) -> F64:
    rc = np.asarray(count, dtype=np.float64)
    if not (np.isfinite(rc) & (rc >= 0.0)).all():
        bad = rc[~(np.isfinite(rc) & (rc >= 0.0))].flat[0]
        raise ConfigError(f"reflection count {bad}: expected a number of 0 or more", got=bad)
    return rc


def _check_per_crystal(how: str | None) -> None:
    if how is not None and how not in PER_CRYSTAL:
        raise ConfigError(
            f"target per crystal {how!r}: expected {' or '.join(PER_CRYSTAL)}", key="per_crystal",
            got=how,
        )  # fmt: skip
