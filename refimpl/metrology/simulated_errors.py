"""What is drawn for a simulated data set: errors of the observations, and of the models.

Sizes are those of the recipe of small tests; :mod:`refimpl.metrology.tutorial_twin` has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Drawn", "Noise", "Offsets", "RecipeNoise"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Errors of n observations.

    Attributes
    ----------
    error
        (n, 3) observed minus true X, Y [mm], phi [rad].
    variance
        (n, 3) as the table states it [mm^2, mm^2, rad^2].
    outlier
        (n,) whether the error is none of the stated variance.
    """

    error: F64
    variance: F64
    outlier: NDArray[np.bool_]


Noise = Callable[[np.random.Generator, NDArray[np.int32], float], Drawn]
"""Called with the generator, the panel of each reflection and the width of an image [rad]."""


@dataclass(frozen=True)
class RecipeNoise:
    """Normal errors of uniformly spread size, and a few gross ones.

    Attributes
    ----------
    position_mm, angle_images
        Range of the standard deviation of X and of Y, and of phi.
    outliers
        Fraction whose error is uniform up to `outlier_mm` and `outlier_rad` instead.
    """

    position_mm: tuple[float, float] = (0.012, 0.035)
    angle_images: tuple[float, float] = (0.08, 0.3)
    outliers: float = 0.02
    outlier_mm: float = 0.6
    outlier_rad: float = 0.01

    def __post_init__(self) -> None:
        if not 0.0 <= self.outliers < 1.0:
            raise ConfigError(f"outliers = {self.outliers}: expected a fraction of 0 to below 1")

    def __call__(
        self, rng: np.random.Generator, panel: NDArray[np.int32], width_rad: float
    ) -> Drawn:
        """Draw; see :data:`Noise`."""
        n = len(panel)
        sigma = np.column_stack(
            [
                rng.uniform(*self.position_mm, (n, 2)),
                rng.uniform(*self.angle_images, n) * abs(width_rad),
            ]
        )
        error = sigma * rng.standard_normal((n, 3))
        outlier = np.zeros(n, dtype=bool)
        outlier[rng.choice(n, round(self.outliers * n), replace=False)] = True
        reach = np.array([self.outlier_mm, self.outlier_mm, self.outlier_rad])
        error[outlier] = reach * rng.uniform(-1.0, 1.0, (int(outlier.sum()), 3))
        return Drawn(error, sigma**2, outlier)


@dataclass(frozen=True)
class Offsets:
    """Truth minus start.

    Attributes
    ----------
    shift_mm
        Standard deviations of a panel's shift along its fast and slow axes and its normal.
    turn_mrad
        Of its rotations Tau1, Tau2, Tau3 about its centre: about its normal, fast, slow axes.
    panels
        (p, 6) the panels' own, shifts then turns, instead of drawn ones.
    beam_mrad, crystal_mrad
        Of the beam (Mu1, Mu2) and of the crystal about the lab's axes. Mu1 is held in a published
        refinement: what it is off cannot be found.
    """

    shift_mm: tuple[float, float, float] = (0.03, 0.03, 0.06)
    turn_mrad: tuple[float, float, float] = (0.4, 1.0, 1.0)
    panels: F64 | None = None
    beam_mrad: tuple[float, float] = (0.0, 0.15)
    crystal_mrad: tuple[float, float, float] = (0.3, -0.2, 0.25)

    def drawn(self, rng: np.random.Generator, n_panels: int) -> F64:
        """(p, 6) shifts [mm] and turns [mrad] of the panels."""
        if self.panels is None:
            spread = np.array([*self.shift_mm, *self.turn_mrad])
            return np.asarray(spread * rng.standard_normal((n_panels, 6)))
        own = np.asarray(self.panels, dtype=np.float64)
        if own.shape != (n_panels, 6) or not np.isfinite(own).all():
            raise ConfigError(
                f"panel offsets of shape {own.shape}: expected finite numbers ({n_panels}, 6)"
            )
        return own
