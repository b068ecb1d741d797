r"""Simulated rotation data on a detector whose panels are not where the model has them.

Truth is the start with every panel moved about its own centre, the beam and the crystal turned.
Reflections are predicted from the truth, thinned to the wanted counts by panel, and observed with
errors whose variances the table states. Truth rides along: the moved models, their values in the
parameters that a refinement by panel has, the positions without error, and which rows were made
outliers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.forward.rotation_scene import (
    Reflections,
    all_reflections,
    crystal_of_cell,
    grid_of_panels,
)
from refimpl.frames import F64
from refimpl.io.reflection_table import INDEXED, OBSERVED, STRONG, ReflectionTable
from refimpl.metrology.parameters import FixSettings, ModelSet, model_set
from refimpl.metrology.selection import spindle_measure
from refimpl.metrology.stated_values import panel_values
from refimpl.rotations import expmap

__all__ = [
    "Drawn",
    "Offsets",
    "RecipeNoise",
    "SimulatedMetrology",
    "all_for_refinement",
    "simulate",
    "sixty_panels",
    "thinned",
]

SPINDLE_CUTOFF = 0.0105
"""Least speed through the Ewald sphere of what is drawn; just above the tutorial's cut-off, so that
a refinement accepts everything."""

BY_PANEL = FixSettings(hierarchy_level=1)


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


@dataclass(frozen=True, eq=False)
class SimulatedMetrology:
    """A simulated data set with its truth.

    Attributes
    ----------
    start
        Models that a refinement begins with.
    table
        Observed reflections, indexed: what a refinement reads.
    truth
        Models that the reflections were made with.
    values
        (k,) the truth in the parameters ``model_set(start, FixSettings(hierarchy_level=1))``.
    xyz
        (n, 3) X, Y [mm], phi [rad] without error.
    outlier
        (n,) rows with a gross error.
    """

    start: tuple[Experiment, ...]
    table: ReflectionTable
    truth: tuple[Experiment, ...]
    values: F64
    xyz: F64
    outlier: NDArray[np.bool_]


def _true_values(models: ModelSet, offsets: Offsets, rng: np.random.Generator) -> F64:
    """(k,) the truth in the parameters of the start."""
    values = models.initial.copy()
    detector = models.detectors[0]
    own = panel_values(detector, offsets.drawn(rng, len(detector.members)))
    values[models.detector_at(0)] = own.ravel()
    values[models.beam_at(0)][:2] += offsets.beam_mrad
    values[models.orientation_at(0)] += offsets.crystal_mrad
    return values


def all_for_refinement(experiment: Experiment, d_min_angstrom: float) -> Reflections:
    """All reflections that are not too close to the spindle, see :data:`SPINDLE_CUTOFF`."""
    found = all_reflections(experiment, d_min_angstrom)
    axis = experiment.goniometer.setting @ experiment.goniometer.rotation_axis  # type: ignore[union-attr]
    speed = spindle_measure(found.s1, experiment.beam.s0, axis)  # type: ignore[union-attr]
    return found.select(speed > SPINDLE_CUTOFF)


def thinned(
    found: Reflections, counts: Sequence[int] | NDArray[np.int64], rng: np.random.Generator
) -> Reflections:
    """As many reflections of each panel as wanted, drawn by chance.

    Raises
    ------
    ConfigError
        A panel has fewer.
    """
    rows = []
    edges = np.searchsorted(found.panel, np.arange(len(counts) + 1))
    for panel, count in enumerate(counts):
        here = np.arange(edges[panel], edges[panel + 1])
        if count > len(here):
            raise ConfigError(
                f"panel {panel}: {count} reflections are wanted, {len(here)} hit it: "
                "lower d_min, widen the scan, or ask for fewer"
            )
        rows.append(np.sort(rng.choice(here, int(count), replace=False)))
    return found.select(np.concatenate(rows))


def simulate(
    experiment: Experiment,
    *,
    d_min_angstrom: float,
    counts: Sequence[int] | NDArray[np.int64] | None = None,
    offsets: Offsets | None = None,
    noise: Noise | None = None,
    seed: int | np.random.Generator = 0,
) -> SimulatedMetrology:
    """Make a data set whose truth is off the given models.

    Parameters
    ----------
    experiment
        Start of the refinement to come; a rotation scan whose detector is a tree of panels.
    d_min_angstrom
        Resolution of the reflections.
    counts
        (p,) reflections of each panel; None: all that hit.
    offsets
        Truth minus start; default: those of the recipe.
    noise
        Errors; default: :class:`RecipeNoise`.
    seed
        Equal seeds make equal data.

    Raises
    ------
    ConfigError
        A panel sees fewer reflections than wanted, or the offsets do not fit the detector.
    """
    rng = np.random.default_rng(seed)
    models = model_set((experiment,), BY_PANEL)
    n_panels = len(models.detectors[0].members)
    if counts is not None and len(counts) != n_panels:
        raise ConfigError(f"counts of {len(counts)} panels: the detector has {n_panels}")
    values = _true_values(models, offsets or Offsets(), rng)
    truth = models.moved(values)
    found = all_for_refinement(truth[0], d_min_angstrom)
    if counts is not None:
        found = thinned(found, counts, rng)
    drawn = (noise or RecipeNoise())(rng, found.panel, experiment.scan.width_rad)  # type: ignore[union-attr]
    _keep_in_scan(experiment, found.xyz[:, 2], drawn.error)
    table = _table(experiment, found, drawn)
    return SimulatedMetrology((experiment,), table, truth, values, found.xyz, drawn.outlier)


def _keep_in_scan(experiment: Experiment, phi: F64, error: F64) -> None:
    """Turn errors of phi round where they lead out of the images: no centroid lies there."""
    scan = experiment.scan
    assert scan is not None
    ends = np.sort(scan.phi_of_frame(scan.array_start + np.array([0, scan.n_images])))
    outside = (phi + error[:, 2] < ends[0]) | (phi + error[:, 2] > ends[1])
    error[outside, 2] *= -1.0


def _table(start: Experiment, found: Reflections, drawn: Drawn) -> ReflectionTable:
    """Reflections as a program that finds and indexes spots would leave them."""
    assert start.detector is not None
    assert start.beam is not None
    assert start.scan is not None
    n = len(found)
    xyz = found.xyz + drawn.error
    x_px, y_px = start.detector.mm_to_pixel(found.panel.astype(np.int64), xyz[:, 0], xyz[:, 1])
    ray = np.einsum(
        "nij,nj->ni", start.detector.d[found.panel], np.column_stack([xyz[:, :2], np.ones(n)])
    )
    ray /= np.sqrt((ray**2).sum(axis=1))[:, None] * start.beam.wavelength_angstrom
    return ReflectionTable(
        columns={
            "id": np.zeros(n, dtype=np.int32),
            "panel": found.panel.astype(np.uint64),
            "miller_index": found.hkl,
            "entering": found.entering != 0,
            "flags": np.full(n, OBSERVED | INDEXED | STRONG, dtype=np.uint64),
            "s1": ray,
            "xyzobs.mm.value": xyz,
            "xyzobs.mm.variance": drawn.variance,
            "xyzobs.px.value": np.column_stack([x_px, y_px, start.scan.frame_of_phi(xyz[:, 2])]),
        },
        identifiers={0: start.identifier},
    )


ORIENTATION = np.array(
    [[0.4122, -0.9018, 0.1299], [0.2361, -0.0320, -0.9712], [0.8800, 0.4310, 0.1997]]
)
"""U of the published tutorial's crystal, as printed."""


def sixty_panels(seed: int = 0, noise: Noise | None = None) -> SimulatedMetrology:
    """Thaumatin on a Pilatus 6M at 264 mm, as the tutorial's second data set.

    540 images of 0.15 degrees at 0.97625 A; 450 to 800 reflections a panel to 1.12 A,
    some 37,000 in all.

    Parameters
    ----------
    seed
        Of everything that is drawn.
    noise
        Instead of the recipe's.
    """
    rng = np.random.default_rng(seed)
    detector = grid_of_panels(
        (5, 12), distance_mm=264.5, beam_px=(1224.0, 1196.0),
        turn=expmap(np.array([-4.1e-3, 2.1e-3, -1.6e-3])),
    )  # fmt: skip
    experiment = Experiment(
        f"sixty-panels-{seed}", Beam(np.array([0.0, 0.0, 1.0]), 0.97625), detector,
        Goniometer(np.array([1.0, 0.0, 0.0])), Scan((1, 540), (82.0, 0.15)),
        crystal_of_cell((57.784, 57.784, 150.011), ORIENTATION),
    )  # fmt: skip
    counts = rng.integers(450, 801, 60)
    counts[25:30] = rng.integers(450, 501, 5)  # the row along the spindle is hit by few more
    return simulate(experiment, d_min_angstrom=1.12, counts=counts, noise=noise, seed=rng)
