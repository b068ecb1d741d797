"""Truth: stills of a detector whose quadrants are moved, refined together with their crystals.

Detector, cells and orientations of 24 stills are those of a measured set (a CSPAD of 64 panels in a
tree of three levels); true models, reflections and errors are drawn. Errors are normal and of known
size, reflections lie off the Ewald sphere as a crystal of normal mosaic spread has them, so that
sums of squares are chi-square. Seeds are fixed, so a pass stays a pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import chi2

from refimpl.forward.experiment import Experiment
from refimpl.forward.stills import predict_still
from refimpl.io.dials_files import read_expt
from refimpl.io.reflection_table import INDEXED, OBSERVED, STRONG, ReflectionTable
from refimpl.metrology.parameters import FixSettings, ModelSet, model_set
from refimpl.metrology.problem import RefinementProblem, observations_of
from refimpl.metrology.refine import RefinementResult, RefineSettings, refine
from refimpl.metrology.selection import preset

STILLS = 24
SEEDS = range(3)
POSITION_MM = 0.03
MOSAIC_RAD = 1e-3
D_MIN = 3.0  # angstrom
QUADRANTS = FixSettings(beam=("all",), hierarchy_level=1)
SETTINGS = RefineSettings(
    preset("tutorial", outlier="null"), QUADRANTS, delpsi_constant=MOSAIC_RAD**-2
)


@dataclass(frozen=True)
class Stills:
    start: tuple[Experiment, ...]
    table: ReflectionTable
    models: ModelSet
    values: np.ndarray
    """(k,) the truth, in the parameters of the start."""


def lattice(experiment: Experiment) -> np.ndarray:
    """(n, 3) Miller indices to the resolution."""
    most = np.ceil(np.array(experiment.crystal.cell[:3]) / D_MIN).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-m, m + 1) for m in most), indexing="ij"), axis=-1)
    hkl = grid.reshape(-1, 3)
    size = np.linalg.norm(hkl @ experiment.crystal.A.T, axis=1)
    return hkl[(size > 0.02) & (size < 1.0 / D_MIN)]


def seen(experiment: Experiment, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Indices, panels and X, Y, angle [mm, mm, rad] of the reflections of a still."""
    hkl, s0 = lattice(experiment), experiment.beam.s0
    q, inverse = hkl @ experiment.crystal.A.T, experiment.detector.inverse_d
    angle = predict_still(q, np.zeros(len(q), dtype=np.int32), s0, inverse)[0][:, 2]
    # the density of angles is flat within a few mrad: those that are kept are normal
    lit = rng.uniform(size=len(q)) < np.exp(-0.5 * (angle / MOSAIC_RAD) ** 2)
    hkl, q = hkl[lit], q[lit]
    parts = []
    for panel, module in enumerate(experiment.detector.modules):
        here = np.full(len(q), panel, dtype=np.int32)
        xyz, _, status = predict_still(q, here, s0, inverse)
        edge = np.array(module.size_px) * module.pixel_size_mm
        on = (status == 0) & np.all((xyz[:, :2] > 0.0) & (xyz[:, :2] < edge), axis=1)
        parts.append((hkl[on], here[on], xyz[on]))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def simulated(start: tuple[Experiment, ...], seed: int) -> Stills:
    rng = np.random.default_rng(seed)
    models = model_set(start, QUADRANTS)
    sizes = {"Dist": 0.3, "Shift": 0.2, "Tau": 3.0, "Phi": 1.0}  # mm, mrad
    values = models.initial.copy()
    for k in np.flatnonzero(models.free):
        size = next((s for part, s in sizes.items() if part in models.names[k]), None)
        # cells: a part in 1000 of a reciprocal metric element
        values[k] += rng.normal() * (1e-3 * values[k] if size is None else size)
    columns: dict[str, list[np.ndarray]] = {k: [] for k in ("id", "miller_index", "panel", "xyz")}
    for number, experiment in enumerate(models.moved(values)):
        hkl, panel, xyz = seen(experiment, rng)
        xyz[:, :2] += POSITION_MM * rng.standard_normal((len(xyz), 2))
        xyz[:, 2] = 0.0  # what is observed of the angle
        for key, column in zip(columns, (np.full(len(hkl), number), hkl, panel, xyz), strict=True):
            columns[key].append(column)
    joined = {k: np.concatenate(v) for k, v in columns.items()}
    n = len(joined["id"])
    table = ReflectionTable(
        columns={
            "id": joined["id"].astype(np.int32),
            "miller_index": joined["miller_index"].astype(np.int32),
            "panel": joined["panel"].astype(np.uint64),
            "entering": np.zeros(n, dtype=bool),  # says nothing of a still
            "flags": np.full(n, OBSERVED | INDEXED | STRONG, dtype=np.uint64),
            "xyzobs.mm.value": joined["xyz"],
            "xyzobs.mm.variance": np.tile([POSITION_MM**2, POSITION_MM**2, 1.0], (n, 1)),
        },
        identifiers={k: e.identifier for k, e in enumerate(start)},
    )
    return Stills(start, table, models, values)


@dataclass(frozen=True)
class Outcome:
    """A refinement against its truth: squares in units of what was drawn."""

    result: RefinementResult
    n: int
    dof: int
    """Refined parameters less the one direction that no still can see."""
    error: float
    start_error: float


def outcome(s: Stills) -> Outcome:
    found = refine(s.start, s.table, SETTINGS)
    n, free = len(s.table), s.models.free
    weight = np.tile([POSITION_MM**-2, POSITION_MM**-2, MOSAIC_RAD**-2], (n, 1))
    observed = observations_of(s.table, s.start, np.arange(n), weight)
    truth = s.values[free]
    normal = RefinementProblem(s.models, observed).normal(truth).hessian
    scale = np.sqrt(np.diag(normal))
    size = np.linalg.eigvalsh(normal / np.outer(scale, scale))
    # the detector and all crystals turned about the beam
    assert np.count_nonzero(size < 1e-10) == 1
    assert np.array_equal(found.models.free, free)
    errors = [x - truth for x in (found.trajectory.x, s.models.initial[free])]
    end, start = (float(e @ normal @ e) for e in errors)
    return Outcome(found, n, len(truth) - 1, end, start)


@pytest.fixture(scope="module")
def outcomes(real_data) -> list[Outcome]:
    start = read_expt(real_data("metrology/data/cspad_benchmark_level2d.expt"))[:STILLS]
    return [outcome(simulated(start, seed)) for seed in SEEDS]


def test_everything_is_refined(outcomes: list[Outcome]) -> None:
    for one in outcomes:
        assert one.result.n_used == one.n > 850
        assert one.dof == 4 * 6 + STILLS * (3 + 2) - 1
        assert one.result.reduced == ()
        assert one.result.trajectory.reason == "converged"


def test_residuals_are_the_noise_that_was_drawn(outcomes: list[Outcome]) -> None:
    """RMSDs of X, Y and angle each, and all squares together, in 99.9 % of chi-square."""
    unit = np.array([POSITION_MM, POSITION_MM, MOSAIC_RAD])
    for one in outcomes:
        squares = one.n * (one.result.rmsd / unit) ** 2
        # parameters take no more than all of their number from one of the three
        low, high = chi2.ppf(0.0005, one.n - one.dof), chi2.ppf(0.9995, one.n)
        assert np.all((low < squares) & (squares < high))
        low, high = chi2.ppf([0.0005, 0.9995], 3 * one.n - one.dof)
        assert low < squares.sum() < high
        before = one.result.trajectory.steps[0].rmsd
        assert np.all(before[:2] > 4.0 * POSITION_MM)


def test_models_are_the_true_ones_as_far_as_the_noise_allows(outcomes: list[Outcome]) -> None:
    """Errors of quadrants, orientations and cells in the metric of the normal matrix."""
    dof = sum(one.dof for one in outcomes)
    low, high = chi2.ppf([0.0005, 0.9995], dof)
    assert low < sum(one.error for one in outcomes) < high
    for one in outcomes:
        assert one.start_error > 100.0 * one.dof
