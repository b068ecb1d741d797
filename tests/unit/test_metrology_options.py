"""Robust losses, equal-shift constraints and cell restraints of a refinement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.metrology.constraints import TiedProblem, tie_matrix
from refimpl.metrology.crystal_parameters import cell_and_gradient, cell_parameters
from refimpl.metrology.engines import run_engine
from refimpl.metrology.gauge import Gauge
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.problem import RefinementProblem, observations_of
from refimpl.metrology.refine import RefineSettings, refine
from refimpl.metrology.restraints import CellTarget, RestrainedProblem
from refimpl.metrology.robust import refine_robustly
from refimpl.metrology.selection import preset
from refimpl.metrology.solve import solve
from refimpl.rotations import expmap
from refimpl.testing.rotation_case import rotation_case

LEVEL1 = FixSettings(hierarchy_level=1)


def problem_of(case, kind=RefinementProblem, **options):
    models = model_set(case.start, LEVEL1)
    observed = observations_of(
        case.table, case.start, np.arange(len(case.table)),
        1.0 / case.table["xyzobs.mm.variance"],
    )  # fmt: skip
    return kind(models, observed, **options)


# --- robust losses --------------------------------------------------------------------------------


def spoiled(case, part: float = 0.08):
    """The same data with some of the spots far off, all to one side."""
    rng = np.random.default_rng(0)
    xyz = case.table["xyzobs.mm.value"].copy()
    bad = rng.random(len(xyz)) < part
    xyz[bad, 0] += rng.uniform(0.2, 0.6, int(bad.sum()))
    return replace(case, table=case.table.with_columns(**{"xyzobs.mm.value": xyz})), bad


def error(problem, x, case) -> float:
    """Root mean square distance of predicted spots from where they truly are [mm]."""
    truth = RefinementProblem(model_set(case.truth, LEVEL1), problem.observed)
    gone = problem.residuals(x) - truth.residuals(truth.start)
    return float(np.sqrt(np.mean(gone[:, :2] ** 2)))


def test_outliers_pull_less() -> None:
    case = rotation_case(seed=8)
    clean = problem_of(case)
    bad, _ = spoiled(case)
    problem = problem_of(bad)
    weight = problem.weight.copy()
    errors = {"clean": error(clean, run_engine("arrow", clean).x, case)}
    for loss in ("none", "huber", "biweight"):
        errors[loss] = error(problem, solve(problem, "arrow", loss=loss).x, case)
    assert errors["none"] > 5.0 * errors["huber"] > 5.0 * errors["biweight"]
    assert errors["biweight"] < 1.2 * errors["clean"]
    np.testing.assert_array_equal(problem.weight, weight)


def test_weights_name_the_outliers() -> None:
    case, bad = spoiled(rotation_case(seed=8))
    problem = problem_of(case)
    found, factors = refine_robustly(problem, "biweight", lambda p: run_engine("arrow", p))
    off = bad[problem.order]
    assert np.all(factors[off, 0] == 0.0)
    assert np.median(factors[~off, 0]) > 0.9
    assert found.steps[-1].objective < found.steps[0].objective


def test_robust_minimum_is_one() -> None:
    """At the end the gradient of the loss itself is 0."""
    problem = problem_of(spoiled(rotation_case(seed=9))[0])
    found, factors = refine_robustly(problem, "huber", lambda p: run_engine("arrow", p))
    problem.weight = problem.weight * factors
    normal = problem.normal(found.x)
    step = np.linalg.solve(normal.hessian, normal.gradient)
    sigma = np.sqrt(np.diag(found.covariance))
    assert np.max(np.abs(step) / sigma) < 1e-2  # weights settle to 1e-3


def test_sandwich_is_the_plain_covariance_of_normal_data() -> None:
    """Huber at its default tuning keeps 95 % efficiency: variances are 1/0.95 of the plain ones."""
    problem = problem_of(rotation_case(seed=10, n=6000))
    plain = run_engine("arrow", problem)
    robust, _ = refine_robustly(problem, "huber", lambda p: run_engine("arrow", p))
    ratio = np.diag(robust.covariance) / np.diag(plain.covariance)
    assert np.median(ratio) == pytest.approx(1.0 / 0.95, abs=0.03)


def test_loss_in_refine() -> None:
    case, _ = spoiled(rotation_case(seed=8))
    none = replace(preset("tutorial"), outlier="null")
    plain = refine(case.start, case.table, RefineSettings(none, LEVEL1))
    robust = refine(case.start, case.table, RefineSettings(none, LEVEL1, loss="biweight"))
    assert plain.n_used == robust.n_used == len(case.table)

    def off(result) -> float:  # across the beam, where the outliers pull
        gone = result.experiments[0].detector.d - case.truth[0].detector.d
        return float(np.median(np.abs(gone[:, 0, 2])))

    assert off(robust) < 0.5 * off(plain)
    with pytest.raises(ConfigError, match="loss 'cauchy': expected one of none, huber, biweight"):
        RefineSettings(loss="cauchy")
    with pytest.raises(ConfigError, match="loss 'l1': expected one of huber, biweight"):
        refine_robustly(problem_of(case), "l1", lambda p: run_engine("arrow", p))


# --- constraints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["levmar", "arrow"])
def test_equal_shifts(engine) -> None:
    case = rotation_case(seed=11)
    problem = problem_of(case)
    x = problem.start.copy()
    dist = np.array([name.endswith("Dist") for name in problem.names])
    x[dist] += np.linspace(-0.1, 0.1, 9)  # members that differ keep their differences
    models = replace(problem.models, initial=problem.full(x))
    problem = RefinementProblem(models, problem.observed)
    found = solve(problem, engine, constraints=("Dist",))
    shift = found.x[dist] - x[dist]
    np.testing.assert_allclose(shift, shift[0], rtol=0, atol=1e-12)
    assert abs(shift[0]) > 1e-3
    sigma = np.sqrt(np.diag(found.covariance))[dist]
    np.testing.assert_allclose(sigma, sigma[0], rtol=1e-9)
    # no other common shift, and no other value of the rest, is better
    gradient = problem.normal(found.x).gradient
    tied, names, _ = tie_matrix(problem.names, ("Dist",))
    assert names[-1] == "'Dist' of 9 tied".replace("'", "")
    down = tied.T @ gradient
    step = np.linalg.solve(tied.T @ problem.normal(found.x).hessian @ tied, down)
    limit = 1e-4 if engine == "arrow" else 0.3  # the published one stops short of the minimum
    assert np.max(np.abs(tied @ step) / np.sqrt(np.diag(found.covariance))) < limit


def test_tied_normal_equations() -> None:
    problem = problem_of(rotation_case(seed=12, n=500))
    tied = TiedProblem(problem, ("Tau1", "Shift2"))
    assert len(tied.names) == len(problem.names) - 16
    assert len(tied.observed) == 500
    y = tied.start + 0.01
    normal = tied.normal(y)
    h = 1e-5
    for k in (0, len(y) - 2, len(y) - 1):
        e = h * np.eye(len(y))[k]
        slope = (tied.normal(y + e).cost - tied.normal(y - e).cost) / (4.0 * h)
        assert normal.gradient[k] == pytest.approx(slope, rel=1e-5)


def test_constraints_in_refine() -> None:
    case = rotation_case(seed=11)
    found = refine(case.start, case.table, RefineSettings(fix=LEVEL1, constraints=("Dist",)))
    assert found.summary()["n_parameters"] == 60 - 8
    with pytest.raises(ConfigError, match=r"constraint 'Distance' matches 0 free parameter"):
        refine(case.start, case.table, RefineSettings(fix=LEVEL1, constraints=("Distance",)))
    with pytest.raises(ConfigError, match="Detector1Group1Tau1 is tied by 'Tau' already"):
        tie_matrix(("Detector1Group1Tau1", "Detector1Group2Tau1"), ("Tau", "Tau1"))
    with pytest.raises(ConfigError, match="loss huber and constraints Dist: choose one"):
        RefineSettings(fix=LEVEL1, constraints=("Dist",), loss="huber")
    with pytest.raises(ConfigError, match="loss huber and constraints Dist: choose one"):
        solve(problem_of(case), "arrow", loss="huber", constraints=("Dist",))


# --- restraints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("hall", ["P 4", "P 1", "-P 2y", "R 3"])
def test_gradient_of_a_cell(hall) -> None:
    real = {
        "P 4": (58.0, 58.0, 150.0, 90, 90, 90), "P 1": (10.0, 11.0, 12.5, 85, 97, 103),
        "-P 2y": (10.0, 11.0, 12.5, 90, 97, 90), "R 3": (80.0, 80.0, 120.0, 90, 90, 120),
    }[hall]  # fmt: skip
    a, b, c, *angles = real
    ca, cb, cg = np.cos(np.radians(angles))
    g = np.array([[a * a, a * b * cg, a * c * cb], [a * b * cg, b * b, b * c * ca],
                  [a * c * cb, b * c * ca, c * c]])  # fmt: skip
    setting = expmap(np.array([0.3, 0.2, -0.5])) @ np.linalg.cholesky(np.linalg.inv(g)).T
    cell, _ = cell_parameters(setting, hall)
    values, by = cell_and_gradient(cell, cell.initial)
    np.testing.assert_allclose(values, real, rtol=1e-9)
    for k in range(len(cell.initial)):
        e = 1e-4 * np.eye(len(cell.initial))[k]
        up, down = (cell_and_gradient(cell, cell.initial + s * e)[0] for s in (1, -1))
        np.testing.assert_allclose(by[:, k], (up - down) / 2e-4, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("engine", ["levmar", "arrow"])
def test_a_tight_target_is_met(engine) -> None:
    case = rotation_case(seed=13)
    target = CellTarget((57.9, 57.9, 150.2, 90, 90, 90), (1e-5, 1e-5, 1e-5, 0, 0, 0))
    settings = RefineSettings(fix=LEVEL1, engine=engine, cell_targets=(target,))
    cell = refine(case.start, case.table, settings).experiments[0].crystal.cell
    np.testing.assert_allclose(cell[:3], [57.9, 57.9, 150.2], rtol=0, atol=1e-4)
    loose = replace(settings, cell_targets=(replace(target, sigmas=(9.0, 9.0, 9.0, 0, 0, 0)),))
    cell = refine(case.start, case.table, loose).experiments[0].crystal.cell
    np.testing.assert_allclose(cell[:3], [57.8, 57.8, 150.0], rtol=0, atol=0.02)


def test_restraints_pull_the_other_way_in_both_equations() -> None:
    case = rotation_case(seed=13, n=500)
    target = CellTarget((57.9, 57.9, 150.2, 90, 90, 90), (0.01, 0.01, 0.01, 0, 0, 0))
    problem = problem_of(case, RestrainedProblem, targets=(target,))
    x = problem.start
    normal, arrow = problem.normal(x), problem.bordered(x)
    assert normal.cost == pytest.approx(arrow.cost, rel=1e-13)
    order, _ = problem.arrow_order()
    whole = np.zeros(len(problem.models))
    whole[order] = arrow.gradient
    np.testing.assert_allclose(whole[problem.free], normal.gradient, rtol=1e-10)
    plain = problem_of(case)
    assert normal.cost > plain.normal(x).cost + 10.0
    h = 1e-5
    e = h * np.eye(len(x))[-1]
    slope = (problem.normal(x + e).cost - problem.normal(x - e).cost) / (4.0 * h)
    assert normal.gradient[-1] == pytest.approx(slope, rel=1e-5)


def test_targets_refused() -> None:
    with pytest.raises(ConfigError, match="3 values and 6 sigmas: expected six each"):
        CellTarget((1.0, 2.0, 3.0), (1.0,) * 6)
    with pytest.raises(ConfigError, match="expected none negative and one positive"):
        CellTarget((1.0,) * 6, (0.0,) * 6)
    far = CellTarget((1.0,) * 6, (1.0,) * 6, crystals=(4,))
    with pytest.raises(ConfigError, match="tie_to_target: crystal 4: there are 1, from 0"):
        problem_of(rotation_case(n=50), RestrainedProblem, targets=(far,))


# --- gauge ----------------------------------------------------------------------------------------


def test_gauge_in_refine() -> None:
    case = rotation_case(seed=14)
    plain = refine(case.start, case.table, RefineSettings(fix=LEVEL1))
    told = refine(
        case.start, case.table, RefineSettings(fix=LEVEL1, gauge=Gauge("zero_sum"))
    )  # fmt: skip
    assert plain.gauge is None
    assert told.gauge is not None
    np.testing.assert_array_equal(told.trajectory.x, plain.trajectory.x)
    assert len(told.gauge.sentences) == 4
    with pytest.raises(ConfigError, match=r"gauge zero_sum: 1 group\(s\)"):
        refine(case.start, case.table, RefineSettings(gauge=Gauge("zero_sum")))
