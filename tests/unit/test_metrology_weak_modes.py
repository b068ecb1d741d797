"""Weak modes and uncertainties of panels, against the scatter of refinements and by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.io.dials_files import read_expt
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.engines import run_engine
from refimpl.metrology.gauge import Gauge, state_gauge
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.problem import RefinementProblem, observations_of
from refimpl.metrology.weak_modes import panel_uncertainties, unit_of, weak_modes
from refimpl.testing.rotation_case import rotation_case


def problem_of(case, held: tuple[int, ...] = ()) -> RefinementProblem:
    models = model_set(case.start, FixSettings(hierarchy_level=1))
    free = models.free.copy()
    for g in held:
        free[6 * g : 6 * g + 6] = False
    observed = observations_of(
        case.table, case.start, np.arange(len(case.table)),
        1.0 / case.table["xyzobs.mm.variance"],
    )  # fmt: skip
    return RefinementProblem(models.with_free(free), observed)


@pytest.fixture(scope="module")
def fitted():
    problem = problem_of(rotation_case(seed=3))
    return problem, run_engine("arrow", problem)


def test_chi_square_rises_by_one_along_a_mode(fitted) -> None:
    problem, found = fitted
    report = weak_modes(problem, found.x, 4)
    hessian = problem.normal(found.x).hessian
    for mode in report.modes:
        assert mode.shift @ hessian @ mode.shift == pytest.approx(1.0, rel=1e-6)
    base = problem.normal(found.x).cost
    shift = report.modes[0].shift
    assert problem.normal(found.x + shift).cost - base == pytest.approx(1.0, abs=0.05)
    assert list(report.eigenvalues) == sorted(report.eigenvalues)
    assert report.condition == pytest.approx(report.eigenvalues[-1] / report.eigenvalues[0])
    assert report.eigenvalues.sum() == pytest.approx(len(found.x))


def test_sentences(fitted) -> None:
    problem, found = fitted
    first, second, *_ = weak_modes(problem, found.x).sentences()
    assert first.startswith("condition number of the scaled normal matrix ")
    assert first.endswith(" for 60 parameters")
    assert second.startswith("mode 1 (eigenvalue ")
    assert second.endswith("how far each moves before chi-square has risen by 1")
    assert unit_of("Detector1Group3Tau2") == "mrad"
    assert unit_of("Crystal1g_param_0") == "1e-5/Å²"
    assert unit_of("Beam1nu") == "1/Å"
    assert unit_of("Detector1Dist") == "mm"


def test_a_mode_that_is_known(fitted) -> None:
    """With Mu1 free all may turn about the spindle: the weakest by far, and Mu1 is in it."""
    problem, found = fitted
    models = problem.models
    free = models.free | np.array([name == "Beam1Mu1" for name in models.names])
    wider = RefinementProblem(models.with_free(free), problem.observed)
    x = problem.full(found.x)[free]
    report = weak_modes(wider, x, 2)
    assert report.eigenvalues[0] < 1e-9 * report.eigenvalues[1]
    assert (
        "Beam1Mu1" in report.modes[0].names
        or abs(report.modes[0].shift[list(wider.names).index("Beam1Mu1")]) > 1.0
    )  # mrad


def test_uncertainties_are_the_scatter() -> None:
    """Twenty noisy copies of one detector: normalised errors of the panels have unit variance."""
    ratio = []
    for seed in range(20):
        case = rotation_case(seed=100 + seed, shape=(2, 2), n=500)
        problem = problem_of(case)
        found = run_engine("arrow", problem)
        chi = found.steps[-1].reduced_chi_squared
        full = problem.full(found.x)
        told = panel_uncertainties(problem.models, full, found.covariance / chi)
        detector = problem.models.detectors[0]
        d, true = detector.d(problem.models.detector_values(full, 0)), case.truth[0].detector.d
        for panel in range(4):
            axes = np.column_stack([d[panel, :, 0], d[panel, :, 1], np.cross(*d[panel, :, :2].T)])
            gone = detector.detector.centres(d)[panel] - detector.detector.centres(true)[panel]
            other = np.column_stack([*true[panel, :, :2].T, np.cross(*true[panel, :, :2].T)])
            spin = axes @ other.T
            turned = 1e3 * np.array([spin[2, 1], spin[0, 2], spin[1, 0]])
            error = np.concatenate([axes.T @ gone, axes.T @ turned])
            ratio.append(error @ np.linalg.solve(told.covariance[panel], error) / 6.0)
            assert np.all(told.sigma[panel] > 0.0)
    # 20 sets of 4 panels: 480 numbers, which share crystal and beam within a set
    assert np.mean(ratio) == pytest.approx(1.0, abs=0.2)


def test_panels_without_data_are_named() -> None:
    case = rotation_case(seed=4, empty=(0,))
    problem = problem_of(case, held=(0,))
    found = run_engine("arrow", problem)
    n = np.bincount(problem.observed.panel, minlength=9)
    told = panel_uncertainties(problem.models, problem.full(found.x), found.covariance, n)
    assert told.held == ("panel 0 (p0) is held: 0 reflections",)
    assert np.isnan(told.sigma[0]).all()
    assert np.isfinite(told.sigma[1:]).all()


def test_within_the_detector_panels_are_known_otherwise(fitted) -> None:
    problem, found = fitted
    full = problem.full(found.x)
    plain = panel_uncertainties(problem.models, full, found.covariance)
    answer = state_gauge(problem.models, full, Gauge("anchor", 5), found.covariance)
    within = panel_uncertainties(problem.models, full, answer)
    assert np.all(within.sigma[4] < 1e-5)
    assert np.all(plain.sigma[4] > 1e-4)
    with pytest.raises(ConfigError, match=r"covariance of shape \(3, 3\): expected \(60, 60\)"):
        panel_uncertainties(problem.models, full, np.eye(3))


def test_unseen_parameters() -> None:
    case = rotation_case(seed=4, empty=(0,))
    problem = problem_of(case)
    report = weak_modes(problem, problem.start)
    assert report.unseen[0] == "Detector1Group1Dist"
    assert len(report.unseen) == 6
    assert "seen by no reflection: Detector1Group1Dist" in report.sentences()[1]
    observed = problem.observed.select(np.zeros(len(problem.observed), dtype=bool))
    with pytest.raises(ConfigError, match="no free parameter is seen by any reflection"):
        weak_modes(RefinementProblem(problem.models, observed), problem.start)


def test_measured_conditioning(real_data) -> None:
    """i23's barrel has a smallest eigenvalue of 0.025, th82's flat panels of 2.3e-4."""
    for name, data, start, expected in (
        ("i23_lev1_tukey", "data/i23_dials423.npz", "refine/i23_lev0_tukey_refined.expt", 0.025),
        ("th82_60panel_lev1_tukey", "data/th82_60panel_indexed.npz",
         "refine/th82_60panel_lev0_tukey_refined.expt", 2.3e-4),
    ):  # fmt: skip
        reference = json.loads(real_data(f"metrology/refine/{name}.json").read_text())
        with np.load(real_data(f"metrology/refine/{name}_matches.npz")) as matches:
            rows = matches["iobs"].astype(int)
        with np.load(real_data(f"metrology/{data}")) as columns:
            table = ReflectionTable(columns={k: columns[k] for k in columns.files})
        experiments = read_expt(real_data(f"metrology/{start}"))
        models = model_set(experiments, FixSettings(hierarchy_level=1))
        models = models.with_free(np.isin(models.names, reference["parameter_names"]))
        observed = observations_of(
            table, experiments, rows, 1.0 / table["xyzobs.mm.variance"][rows]
        )  # fmt: skip
        problem = RefinementProblem(models, observed)
        report = weak_modes(problem, problem.start)
        assert report.eigenvalues[0] == pytest.approx(expected, rel=0.1), name
