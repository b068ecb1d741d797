"""Refinement against the reference runs of DIALS: residuals, Jacobians, steps, counts, optimum."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import pytest

from refimpl.dispatch import available_backends, use_backend
from refimpl.forward.rotation import predict_rotation
from refimpl.io.dials_files import read_expt
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.engines import run_engine
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.problem import Observations, RefinementProblem
from refimpl.metrology.refine import RefineSettings, refine
from refimpl.metrology.selection import preset, spindle_measure
from refimpl.units import DEG

CASES = {
    # experiments, reflections, level, jobs by panel, accepted, rejected
    "th82_60panel_lev0_tukey": (
        "index/i04_60_fft3d_known.expt", "data/th82_60panel_indexed.npz", 0, True, 13783, 443),
    "th82_60panel_lev1_tukey": (
        "refine/th82_60panel_lev0_tukey_refined.expt", "data/th82_60panel_indexed.npz", 1, True,
        13783, 438),
    "i23_lev0_tukey": ("data/i23_dials423.expt", "data/i23_dials423.npz", 0, False, 10000, 389),
    "i23_lev1_tukey": (
        "refine/i23_lev0_tukey_refined.expt", "data/i23_dials423.npz", 1, True, 10000, 240),
}  # fmt: skip


@pytest.fixture(scope="module")
def here(real_data):
    def find(name: str):
        return real_data(f"metrology/{name}")

    return find


@cache
def table_of(path) -> ReflectionTable:
    with np.load(path) as columns:
        return ReflectionTable(columns={k: columns[k] for k in columns.files})


def problem_of(here, name: str) -> tuple[RefinementProblem, dict]:
    """The reference run's own reflections and free parameters."""
    experiments, reflections, level, *_ = CASES[name]
    reference = json.loads(here(f"refine/{name}.json").read_text())
    with np.load(here(f"refine/{name}_matches.npz")) as matches:
        rows = matches["iobs"].astype(int)
    t = table_of(here(reflections))
    models = model_set(read_expt(here(experiments)), FixSettings(hierarchy_level=level))
    models = models.with_free(np.isin(models.names, reference["parameter_names"]))
    observed = Observations(
        rows, np.zeros(len(rows), dtype=int), t["panel"][rows].astype(np.int32),
        t["miller_index"][rows].astype(float), t["entering"][rows].astype(np.uint8),
        t["xyzobs.mm.value"][rows], 1.0 / t["xyzobs.mm.variance"][rows],
    )  # fmt: skip
    return RefinementProblem(models, observed), reference


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("name", CASES)
def test_residuals_and_jacobian(here, name, backend) -> None:
    problem, reference = problem_of(here, name)
    assert list(problem.names) == reference["parameter_names"]
    np.testing.assert_allclose(problem.start, reference["parameter_initial"], rtol=1e-12, atol=1e-9)
    with np.load(here(f"refine/{name}_jacobian0.npz")) as file:
        expected = {key: file[key] for key in file.files}
    with use_backend(backend):
        residuals, jacobian = problem.jacobian(problem.start)
    n = len(problem.observed)
    rows = (np.arange(3)[:, None] * n + problem.order).ravel()  # the reference's order
    np.testing.assert_allclose(residuals, expected["residuals"][rows], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(problem.observed.weight.T.ravel(), expected["weights"][rows])
    scale = np.abs(expected["J"]).max(axis=0)
    assert np.max(np.abs(jacobian - expected["J"][rows]) / scale) < 1e-9


@pytest.mark.parametrize("name", CASES)
def test_the_published_trajectory(here, name) -> None:
    """Every step's RMSDs to 1e-6 mm and more, the first step, the damping, the stopping rule."""
    problem, reference = problem_of(here, name)
    found = run_engine("levmar", problem)
    with np.load(here(f"refine/{name}_steps.npz")) as file:
        steps = {key: file[key] for key in file.files}
    assert found.reason == reference["reason"] == "RMSD no longer decreasing"
    assert len(found.steps) == len(reference["rmsd"])
    rmsd = np.array([s.rmsd for s in found.steps])
    np.testing.assert_allclose(rmsd, reference["rmsd"], rtol=0, atol=1e-12)
    first = found.steps[0]
    assert first.mu == pytest.approx(steps["mu"][0], rel=1e-13)
    # mm and mrad; relative it is 1e-9 at best where the start is nearly the end: the gradient is
    # then a difference of sums of 1e7 that cancel
    np.testing.assert_allclose(first.step, steps["step"][0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        found.first_system, steps["normal_plus_mu_0"], rtol=0,
        atol=1e-12 * np.max(np.abs(steps["normal_plus_mu_0"])),
    )  # fmt: skip
    x = np.array([s.x for s in found.steps])
    np.testing.assert_allclose(x, steps["x"], rtol=1e-10, atol=1e-9)
    esd = np.sqrt(np.diag(found.covariance))
    np.testing.assert_allclose(esd, reference["parameter_esd"], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "objective"),
    [("th82_60panel_lev1_tukey", 611.952198), ("i23_lev1_tukey", 7343.314290)],
)
def test_our_engine_reaches_the_optimum(here, name, objective) -> None:
    """The reference program's Gauss-Newton ends there from the same start, its LM 0.003 % above."""
    problem, reference = problem_of(here, name)
    found = run_engine("arrow", problem)
    assert found.steps[-1].objective == pytest.approx(objective, abs=1e-6)
    assert found.steps[-1].objective < reference["objective"][-1]
    newton = run_engine("gauss_newton", problem)
    assert newton.steps[-1].objective == pytest.approx(objective, abs=2e-6)
    # the published uncertainties are of the damped matrix: too small where a parameter is soft
    esd = np.sqrt(np.diag(found.covariance))
    assert np.all(esd > 0.999 * np.array(reference["parameter_esd"]))
    assert np.median(esd / reference["parameter_esd"]) < 1.01


@pytest.mark.parametrize("name", CASES)
def test_the_whole_of_a_reference_run(here, name) -> None:
    experiments, reflections, level, by_panel, accepted, rejected = CASES[name]
    reference = json.loads(here(f"refine/{name}.json").read_text())
    settings = RefineSettings(
        preset("tutorial", separate_panels=by_panel), FixSettings(hierarchy_level=level),
        engine="levmar",
    )  # fmt: skip
    found = refine(read_expt(here(experiments)), table_of(here(reflections)), settings)
    assert (found.n_accepted, int(found.outliers.rejected.sum())) == (accepted, rejected)
    assert found.n_used == reference["n_used"]
    assert int(found.models.free.sum()) == len(reference["parameter_names"])
    assert len(found.trajectory.steps) == len(reference["rmsd"])
    np.testing.assert_allclose(found.rmsd, reference["rmsd"][-1], rtol=0, atol=1e-9)
    expected = read_expt(here(f"refine/{name}_refined.expt"))[0]
    got = found.experiments[0]
    # the file's numbers went through local frames: origins to 1e-3 mm and axes to 1e-6 are asked
    np.testing.assert_allclose(got.detector.d, expected.detector.d, rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.crystal.A, expected.crystal.A, rtol=0, atol=1e-12)
    np.testing.assert_allclose(got.beam.s0, expected.beam.s0, rtol=0, atol=1e-12)


def test_th82_by_panel_with_our_engine(here) -> None:
    """From 0.187, 0.191 px to at most 0.0705, 0.1040 px."""
    e, t, *_ = CASES["th82_60panel_lev1_tukey"]
    settings = RefineSettings(fix=FixSettings(hierarchy_level=1))
    found = refine(read_expt(here(e)), table_of(here(t)), settings)
    x, y = found.by_experiment.values[0, :2]
    assert x <= 0.0705
    assert y <= 0.1040
    assert any(text.startswith("Detector1Group17: ") for text in found.reduced)


@pytest.mark.parametrize("backend", available_backends())
def test_predictions_of_the_reference_program(here, backend) -> None:
    """32439 reflections on 60 panels, to d = 2.94 angstrom."""
    with np.load(here("fixtures/prediction_th82_dmin3.npz")) as file:
        z = {key: file[key] for key in file.files}
    (e,) = read_expt(here("refine/th82_60panel_lev0_tukey_refined.expt"))
    g = e.goniometer
    p0 = z["miller_index"] @ (g.setting @ g.fixed @ e.crystal.A).T
    xyz, s1, status = predict_rotation(
        np.ascontiguousarray(p0), z["panel"].astype(np.int32), z["entering"].astype(np.uint8),
        np.ascontiguousarray(z["xyzcal.mm"][:, 2]), e.beam.s0, g.setting @ g.rotation_axis,
        e.detector.inverse_d, backend=backend,
    )  # fmt: skip
    assert np.all(status == 0)
    np.testing.assert_allclose(xyz, z["xyzcal.mm"], rtol=0, atol=1e-11)
    np.testing.assert_allclose(s1, z["s1"], rtol=0, atol=1e-13)


@pytest.mark.slow
def test_cspad_with_1605_parameters(here) -> None:
    """300 stills, 64 panels in a tree of three levels: used reflections exact, RMSDs inside."""
    reference = json.loads(here("refine/cspad_level2_tukey_sparse.json").read_text())
    with np.load(here("refine/cspad_level2_tukey_sparse_steps.npz")) as file:
        names = file["names"].tolist()
    settings = RefineSettings(
        preset("tutorial", separate_panels=True, separate_experiments=False),
        FixSettings(beam=("all",), hierarchy_level=2), engine="levmar",
        min_reflections_per_parameter=3, delpsi_constant=1e4,
    )  # fmt: skip
    found = refine(
        read_expt(here("data/cspad_benchmark_level2d.expt")),
        table_of(here("data/cspad_benchmark_level2d.npz")), settings,
    )  # fmt: skip
    assert found.n_used == reference["n_used"] == 8019
    free = [n for n, f in zip(found.models.names, found.models.free, strict=True) if f]
    assert len(free) == 1605
    assert sorted(free) == sorted(names)
    rmsd = np.array([s.rmsd for s in found.trajectory.steps])
    assert len(rmsd) == len(reference["rmsd"])
    np.testing.assert_allclose(rmsd, reference["rmsd"], rtol=0, atol=1e-6)
    assert np.all(found.rmsd < [0.0354, 0.0406, 0.0018])
    # what is kept of a still's prediction, too
    with np.load(here("refine/cspad_level2_tukey_sparse_indexed_out.npz")) as file:
        used = found.used
        expected = file["xyzcal.mm"][used]
    got = found.table["xyzcal.mm"][used]
    np.testing.assert_allclose(got[:, :2], expected[:, :2], rtol=0, atol=1e-4)


def test_the_regression_of_1128_reflections(here) -> None:
    """Gauss-Newton: 1068 reflections after the cut-off, one step, its three RMSDs."""
    reference = json.loads(here("simple/regression_gn.json").read_text())
    with np.load(here("simple/regression_obs.npz")) as file:
        z = {key: file[key] for key in file.files}
    (e,) = read_expt(here("simple/regression_start.expt"))
    measure = spindle_measure(z["s1"], e.beam.s0, e.goniometer.setting @ e.goniometer.rotation_axis)
    rows = np.flatnonzero(measure > 0.1)
    assert (len(measure), len(rows)) == (1128, 1068)
    observed = Observations(
        rows, np.zeros(len(rows), dtype=int), z["panel"][rows].astype(np.int32),
        z["miller_index"][rows].astype(float), z["entering"][rows].astype(np.uint8),
        z["xyzobs_mm_value"][rows], 1.0 / z["xyzobs_mm_variance"][rows],
    )  # fmt: skip
    target = np.array([0.172, 0.172, 0.1 * DEG]) / 3.0
    problem = RefinementProblem(model_set((e,)), observed)
    found = run_engine("gauss_newton", problem, target=target)
    assert found.reason == reference["reason"] == "RMSD target achieved"
    rmsd = np.array([s.rmsd for s in found.steps])
    np.testing.assert_allclose(rmsd, reference["rmsd"], rtol=1e-10)
    np.testing.assert_allclose(
        found.x, reference["vector"][1], rtol=1e-9, atol=1e-9
    )  # mm, mrad, 1e5/angstrom^2
