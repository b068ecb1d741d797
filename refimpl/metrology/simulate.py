r"""Simulated rotation data on a detector whose panels are not where the model has them.

Truth is the start with every panel moved about its own centre, the beam and the crystal turned.
Reflections are predicted from the truth, thinned to the wanted counts by panel, and observed with
errors whose variances the table states. Truth rides along: the moved models, their values in the
parameters that a refinement by panel has, the positions without error, and which rows were made
outliers.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from refimpl.metrology.simulated_errors import Drawn, Noise, Offsets, RecipeNoise
from refimpl.metrology.stated_values import panel_values
from refimpl.rotations import expmap

__all__ = [
    "Drawn",
    "Noise",
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
