r"""Pseudo-strain of ring points: its definition, its summaries, and the published L1 objective.

A point at corrected ring radius :math:`R` that belongs to a ring of radius
:math:`R_0 = L \tan 2\theta_0` has the pseudo-strain

.. math:: \varepsilon = 1 - R / R_0

which is 0 where the geometry is right. Without distortion it equals
:math:`1 - \tan 2\theta_{obs} / \tan 2\theta_0`, so it compares codes whatever their geometry.
Every figure of strain depends on how outliers are treated; each function here names its rule.
Source: MIDAS, `CalibrantPanelShiftsOMP` as of the AutoCalibrate manual version 10. Not here: where
the points come from, and the least-squares fit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.units import MICROSTRAIN, UM

__all__ = [
    "PublishedStrain",
    "StrainSummary",
    "pseudo_strain",
    "published_l1",
    "published_mean_strain",
    "published_strain",
    "published_weights",
    "strain_summary",
    "truncated_rho_d_mm",
]


def pseudo_strain(radius_mm: F64, ideal_radius_mm: F64) -> F64:
    """Signed pseudo-strain 1 - R / R_ideal of (n,) points; dimensionless, not in microstrain."""
    return 1.0 - np.asarray(radius_mm) / np.asarray(ideal_radius_mm)


@dataclass(frozen=True)
class StrainSummary:
    """The figures that every result states together, since no single one is a proof.

    Attributes
    ----------
    n
        Points with a finite strain.
    mean_all, median
        Of the absolute strain over all of them.
    clip_mean, clip_n
        Mean absolute strain over the points that the rule keeps, and their number.
    rule
        The rule in words.
    """

    n: int
    mean_all: float
    median: float
    clip_mean: float
    clip_n: int
    rule: str

    def __str__(self) -> str:
        ue = [v / MICROSTRAIN for v in (self.mean_all, self.median, self.clip_mean)]
        return (
            f"n {self.n}, mean {ue[0]:.1f} µε, median {ue[1]:.1f} µε, "
            f"clipped mean {ue[2]:.1f} µε over {self.clip_n} ({self.rule})"
        )


def strain_summary(strain: F64, multiplier: float = 2.5, passes: int = 3) -> StrainSummary:
    """Summarise the pseudo-strain of (n,) points.

    Parameters
    ----------
    strain
        (n,) signed or absolute; points without a finite value are left out.
    multiplier, passes
        ``passes`` times: keep the points whose absolute strain is at most ``multiplier`` times the
        mean of those kept before. Points are always drawn from all of them, so one that was
        left out may come back.

    Raises
    ------
    ConfigError
        No point has a finite strain, or ``multiplier`` is not positive.
    """
    size = np.abs(np.asarray(strain, dtype=np.float64))
    size = size[np.isfinite(size)]
    if size.size == 0:
        raise ConfigError(
            f"strain_summary: none of {np.size(strain)} points has a finite pseudo-strain"
        )
    if not multiplier > 0.0:
        raise ConfigError(f"strain_summary: multiplier = {multiplier!r}: expected more than 0")
    kept = _clip(size, multiplier, passes)
    return StrainSummary(
        n=int(size.size),
        mean_all=float(size.mean()),
        median=float(np.median(size)),
        clip_mean=float(size[kept].mean()),
        clip_n=int(kept.sum()),
        rule=f"{passes} passes at {multiplier:g} x mean",
    )


def _clip(size: F64, multiplier: float, passes: int) -> NDArray[np.bool_]:
    """Points kept after ``passes`` of the rule; at least one point always is."""
    kept = np.ones(size.shape, dtype=bool)
    mean = float(size.mean())
    for _ in range(passes):
        now = size <= multiplier * mean
        if not now.any():  # a multiplier below 1 may leave nothing: keep what there was
            break
        kept, before, mean = now, mean, float(size[now].mean())
        if abs(mean - before) < 1e-10:  # the published stop, 1e-4 µε
            break
    return kept


@dataclass(frozen=True, eq=False)
class PublishedStrain:
    """MeanStrain and StdStrain as the published program prints them.

    Attributes
    ----------
    mean_strain
        Mean absolute strain after a single pass of MultFactor.
    std_strain
        Standard deviation of the *absolute* strain, over the points of ``OutlierIterations``
        passes: another set of points than that of ``mean_strain``, as published.
    outlier
        (n,) True where the last pass left a point out.
    """

    mean_strain: float
    std_strain: float
    outlier: NDArray[np.bool_]


def published_mean_strain(strain: F64, mult_factor: float) -> float:
    """Mean absolute strain of (n,) points after one pass of MultFactor; 0 turns the pass off."""
    size = np.abs(strain)
    mean = float(size.mean())
    kept = size[size <= mult_factor * mean] if mult_factor > 0.0 else size
    return float(kept.mean()) if kept.size else mean


def published_strain(
    strain: F64, mult_factor: float = 0.0, outlier_iterations: int = 1
) -> PublishedStrain:
    """Published MeanStrain, StdStrain and outlier flags of (n,) points.

    Parameters
    ----------
    strain
        (n,) signed or absolute, finite.
    mult_factor
        Points beyond this many means are outliers; 0 for none.
    outlier_iterations
        Passes that decide the flags and ``std_strain``.
    """
    size = np.abs(np.asarray(strain, dtype=np.float64))
    kept = np.ones(size.shape, dtype=bool)
    if mult_factor > 0.0:
        kept = _clip(size, mult_factor, outlier_iterations)
    spread = size[kept] - size[kept].mean()
    return PublishedStrain(
        mean_strain=published_mean_strain(size, mult_factor),
        std_strain=math.sqrt(float(np.mean(spread * spread))),
        outlier=~kept,
    )


def published_weights(
    ring: NDArray[Any],
    rho: F64,
    *,
    normalize_ring_weights: bool = False,
    weight_by_radius: bool = False,
) -> F64:
    """Weights of the published objective.

    Parameters
    ----------
    ring
        (n,) ring number of each point.
    rho
        (n,) R / RhoD, before the distortion.
    normalize_ring_weights
        Give each ring the same weight, 1 / (its number of points) a point.
    weight_by_radius
        Multiply by ``rho``.

    Returns
    -------
    (n,)
    """
    weights = np.ones(len(ring))
    if normalize_ring_weights:
        _, which, counts = np.unique(ring, return_inverse=True, return_counts=True)
        weights = 1.0 / counts[which]
    return weights * rho if weight_by_radius else weights


def published_l1(strain: F64, weights: F64) -> float:
    """Published objective F = sum w |strain| over (n,) points; MultFactor never enters it."""
    return float(np.sum(weights * np.abs(strain)))


def truncated_rho_d_mm(rho_d_mm: float) -> float:
    """RhoD cut to whole µm [mm], as the published objective (and nothing else) does."""
    return math.floor(rho_d_mm / UM + 1e-9) * UM  # 1e-9 µm: mm and back may lose the last bit
