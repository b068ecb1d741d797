"""Weak modes and uncertainties of panels, against the scatter of refinements and by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.forward.stills import predict_still
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


def freed(problem: RefinementProblem, x: np.ndarray, name: str):
    """Problem with one more free parameter, and its values."""
    free = problem.models.free | np.array([own == name for own in problem.models.names])
    return RefinementProblem(problem.models.with_free(free), problem.observed), problem.full(x)[
        free
    ]


def amounts(mode) -> dict[str, float]:
    return {part.name: part.amount for part in mode.parts}


# 1e-6 of the first part: rounding of 1e-16 over eigenvalues of some 1e-3, squared sums of 1e5
CLOSE = {"rel": 1e-6}


def test_all_may_turn_about_the_spindle_when_mu1_is_free(fitted) -> None:
    """Beam, detector and crystal by one angle in one sense; no reflection sees it."""
    problem, found = fitted
    report = weak_modes(*freed(problem, found.x, "Beam1Mu1"), 2)
    mode = report.modes[0]
    assert report.eigenvalues[0] < 1e-9 * report.eigenvalues[1]
    assert (mode.names[0], mode.weights[0] > 0.7) == ("Beam1Mu1", True)
    assert all(name.endswith("Shift2") for name in mode.names[1:])
    assert all(weight < 0.0 for weight in mode.weights[1:])  # slow points down, against the turn
    assert amounts(mode) == pytest.approx(
        {
            "Beam1 turn about the spindle": 1.0,
            "Detector1 turn about the spindle with the sample as centre": 1.0,
            "Crystal1 turn about the spindle": 1.0,
        },
        **CLOSE,
    )
    assert "in parameters: beam1mu1 +0.7" in mode.sentence.lower()
    assert mode.sentence.endswith("the data do not see it: amounts are in proportion")


def test_wavelength_against_cell(fitted) -> None:
    """Directions of rays depend on wavelength over cell edge alone."""
    problem, found = fitted
    mode = weak_modes(*freed(problem, found.x, "Beam1nu"), 1).modes[0]
    assert mode.names == ("Beam1nu", "Crystal1g_param_0", "Crystal1g_param_1")
    assert all(weight > 0.0 for weight in mode.weights)  # all three in 1/Å or 1/Å²
    assert amounts(mode) == pytest.approx(
        {"Crystal1 cell edges": 1.0, "Beam1 wavelength": 1.0}, **CLOSE
    )


def test_distance_against_cell(fitted) -> None:
    """The weakest mode of a flat detector: farther away and a larger cell look alike."""
    problem, found = fitted
    mode = weak_modes(problem, found.x, 1).modes[0]
    assert [p.name for p in mode.parts] == ["Crystal1 cell edges", "Detector1 along the beam"]
    cell, distance = (p.amount for p in mode.parts)
    # at small angles both in proportion, 150 mm; wide angles add what is left
    assert distance / 150.0 * 100.0 == pytest.approx(cell, rel=0.2)
    one, two = (p.alone for p in mode.parts)
    assert one == pytest.approx(two, rel=0.05)
    assert one > 50.0  # each alone would be seen well; together chi-square rises by 1


def test_a_still_does_not_see_a_turn_about_the_beam() -> None:
    case = rotation_case(seed=2, shape=(2, 2), n=10)
    still = (replace(case.truth[0], goniometer=None, scan=None),)
    models = model_set(still, FixSettings(beam=("all",)))
    pose = models.poses(models.initial)[0]
    hkl = np.random.default_rng(2).integers(-40, 41, (100000, 3)) * [1, 1, 2]
    panel = np.arange(len(hkl)) % 4
    xyz, _, status = predict_still(
        hkl @ pose.setting.T, panel.astype(np.int32), pose.s0, pose.inverse_d
    )
    seen = np.flatnonzero(
        (status == 0) & np.all(np.abs(xyz - [20.0, 20.0, 0.0]) < [20.0, 20.0, 0.05], axis=1)
    )
    assert len(seen) > 50
    table = ReflectionTable(
        columns={
            "miller_index": hkl[seen], "panel": panel[seen], "xyzobs.mm.value": xyz[seen],
            "id": np.zeros(len(seen), dtype=np.int64), "entering": np.ones(len(seen), dtype=bool),
        }
    )  # fmt: skip
    weight = np.tile([2.5e3, 2.5e3, 1e6], (len(seen), 1))
    observed = observations_of(table, still, np.arange(len(seen)), weight)
    report = weak_modes(RefinementProblem(models, observed), models.initial[models.free], 2)
    mode = report.modes[0]
    assert report.eigenvalues[0] < 1e-9 * report.eigenvalues[1]
    # the beam is along -z: Tau1 turns about the detector's normal -z, Phi3 about z
    weights = dict(zip(mode.names, mode.weights, strict=True))
    assert set(weights) == {"Detector1Group1Tau1", "Crystal1Phi3"}
    assert np.prod(mode.weights) == pytest.approx(-0.5, abs=0.01)  # equal, and of opposite sign
    assert amounts(mode) == pytest.approx(
        {"Crystal1 turn about the beam": 1.0, "Detector1 turn about the beam": 1.0}, **CLOSE
    )


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
    """i23's barrel has a smallest eigenvalue of 0.025, th82's flat panels of 2.3e-4.

    The barrel's is its distance against the cell; th82's one panel that few reflections reach.
    """
    for name, data, start, expected, parts in (
        ("i23_lev1_tukey", "data/i23_dials423.npz", "refine/i23_lev0_tukey_refined.expt", 0.025,
         ["Crystal1 cell edges", "Detector1 along the beam"]),
        ("th82_60panel_lev1_tukey", "data/th82_60panel_indexed.npz",
         "refine/th82_60panel_lev0_tukey_refined.expt", 2.3e-4,
         ["Detector1Group39 by itself, most its Dist"]),
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
        assert [p.name for p in report.modes[0].parts][: len(parts)] == parts
        # with its setting and fixed rotations all may turn about the spindle as well
        mode = weak_modes(*freed(problem, problem.start, "Beam1Mu1"), 1).modes[0]
        assert list(amounts(mode).values()) == pytest.approx([1.0, 1.0, 1.0], rel=1e-5), mode
