"""Gauges: one physical answer in every one, and the covariance that goes with each."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.io.dials_files import read_expt
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.engines import run_engine
from refimpl.metrology.gauge import Gauge, state_gauge
from refimpl.metrology.group_moves import group_moves
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.problem import RefinementProblem, observations_of
from refimpl.metrology.refine import RefineSettings, refine
from refimpl.metrology.siblings import siblings
from refimpl.testing.gauge_fit import fit_in_gauge
from refimpl.testing.rotation_case import rotation_case

CHOICES = (
    Gauge("anchor", 5),
    Gauge("zero_sum"),
    Gauge("zero_sum", out_of_plane=True),
)


@pytest.fixture(scope="module")
def fitted():
    case = rotation_case(seed=3, shift_mm=0.5, turn_mrad=5.0)
    models = model_set(case.start, FixSettings(hierarchy_level=1))
    rows = np.arange(len(case.table))
    observed = observations_of(
        case.table, case.start, rows, 1.0 / case.table["xyzobs.mm.variance"]
    )  # fmt: skip
    problem = RefinementProblem(models, observed)
    return problem, run_engine("arrow", problem)


@pytest.mark.parametrize("gauge", CHOICES, ids=str)
def test_predictions_are_those_of_the_published_gauge(fitted, gauge) -> None:
    problem, found = fitted
    own, fit, answer = fit_in_gauge(problem, gauge)
    assert fit.reason == "converged"
    assert fit.undetermined == ()
    x = own.full(fit.x)[problem.free]
    # mm and rad; two minimisations that stop at 1e-6 sigma of a parameter
    np.testing.assert_allclose(
        problem.residuals(x), problem.residuals(found.x), rtol=0, atol=1e-9
    )  # fmt: skip
    kept = np.einsum("qgk,gk->q", answer.siblings.rows, answer.own)
    np.testing.assert_allclose(kept, 0.0, atol=1e-12)


@pytest.mark.parametrize("gauge", CHOICES, ids=str)
def test_telling_an_answer_is_fitting_it(fitted, gauge) -> None:
    """Values and covariance of the fit in a gauge are those of the published one, told in it."""
    problem, found = fitted
    own, fit, answer = fit_in_gauge(problem, gauge)
    told = state_gauge(problem.models, problem.full(found.x), gauge, found.covariance)
    np.testing.assert_allclose(told.rigid, answer.rigid, rtol=0, atol=1e-6)  # mm, mrad
    np.testing.assert_allclose(told.own, answer.own, rtol=0, atol=1e-6)
    # what the anchor holds has no variance but rounding's: 1e-4 mm or mrad is no one's scale
    scale = np.sqrt(np.outer(*[np.maximum(np.diag(answer.covariance), 1e-8)] * 2))
    assert np.max(np.abs(told.covariance - answer.covariance) / scale) < 1e-5
    chi = found.steps[-1].reduced_chi_squared
    back = chi * own.published_covariance(fit.x, fit.covariance)
    s = np.sqrt(np.diag(found.covariance))
    assert np.max(np.abs(back - found.covariance) / np.outer(s, s)) < 1e-5


@pytest.mark.parametrize("gauge", CHOICES, ids=str)
def test_panels_stand_where_they_stand(fitted, gauge) -> None:
    problem, found = fitted
    full = problem.full(found.x)
    answer = state_gauge(problem.models, full, gauge)
    expected = problem.models.moved(full)[0].detector
    moved = answer.hierarchy()
    np.testing.assert_allclose(moved.d, expected.d, rtol=0, atol=1e-11)
    assert not np.allclose(moved.groups(0)[0][2], expected.groups(0)[0][2], atol=1e-3)
    np.testing.assert_allclose(answer.values, full[:54].reshape(-1, 6), rtol=0, atol=1e-10)


def test_zero_sums_are_sums_of_shifts_and_turns(fitted) -> None:
    problem, found = fitted
    told = state_gauge(
        problem.models, problem.full(found.x), Gauge("zero_sum", out_of_plane=True),
        found.covariance,
    )  # fmt: skip
    detector = problem.models.detectors[0]
    np.testing.assert_allclose(told.own[:, 3].sum(), 0.0, atol=1e-11)  # Tau1 of coplanar groups
    shifts = np.array([
        detector.pose(g, detector.initial[g] + own)[1]
        - detector.pose(g, detector.initial[g])[1]
        for g, own in enumerate(told.own)
    ])  # fmt: skip
    # the rows are linear at the start; what is left is of second order, 40 mm times (10 mrad)^2
    assert np.max(np.abs(shifts.sum(axis=0))) < 0.02
    assert np.min(np.abs(shifts).max(axis=0)) > 0.3
    assert any("turn about the normal" in s for s in told.sentences)
    assert told.sentences[-1] == "Mu1 and the wavelength are held"
    sigma, within = told.uncertainty
    # the whole is known better than a panel
    assert sigma[0] < np.median(within[:, 1])


def test_an_anchor_has_no_error_of_its_own(fitted) -> None:
    problem, found = fitted
    full = problem.full(found.x)
    told = state_gauge(problem.models, full, Gauge("anchor", 5), found.covariance)
    np.testing.assert_allclose(told.own[4], 0.0, atol=1e-9)
    assert np.all(told.uncertainty[1][4] < 1e-6)
    assert told.sentences[0] == "Detector1Group5Dist is held"
    assert told.siblings.names[0] == "Detector1 shift along fast [mm]"


def test_held_panels_take_no_part() -> None:
    """An empty panel stays where it is; the sums run over the others; the answer is the same."""
    case = rotation_case(seed=4, empty=(0,))
    models = model_set(case.start, FixSettings(hierarchy_level=1))
    free = models.free.copy()
    free[:6] = False
    models = models.with_free(free)
    observed = observations_of(
        case.table, case.start, np.arange(len(case.table)),
        1.0 / case.table["xyzobs.mm.variance"],
    )  # fmt: skip
    problem = RefinementProblem(models, observed)
    found = run_engine("arrow", problem)
    own, fit, answer = fit_in_gauge(problem, Gauge("zero_sum", out_of_plane=True))
    np.testing.assert_array_equal(answer.own[0], 0.0)
    np.testing.assert_array_equal(answer.values[0], models.initial[:6])
    x = own.full(fit.x)[problem.free]
    np.testing.assert_allclose(problem.residuals(x), problem.residuals(found.x), rtol=0, atol=1e-9)
    with pytest.raises(
        ConfigError, match="Detector1Group1 is held or not there: the free ones are"
    ):
        siblings(models, Gauge("anchor", 1))


def test_derivatives_of_composed_poses() -> None:
    case = rotation_case(seed=5, n=10)
    models = model_set(case.start, FixSettings(hierarchy_level=1))
    own = siblings(models, Gauge("zero_sum", out_of_plane=True))
    rng = np.random.default_rng(0)
    y, delta = rng.normal(0.0, [2, 2, 20, 2, 20, 20]), rng.normal(0.0, 2.0, (9, 6))
    by_delta, by_y = own.derivatives(y, delta)
    h = 1e-5
    for k in range(6):
        e = h * np.eye(6)[k]
        numeric = (own.composed(y + e, delta) - own.composed(y - e, delta)) / (2 * h)
        np.testing.assert_allclose(by_y[:, :, k], numeric, rtol=0, atol=1e-6)
        numeric = (own.composed(y, delta + e) - own.composed(y, delta - e)) / (2 * h)
        np.testing.assert_allclose(by_delta[:, :, k], numeric, rtol=0, atol=1e-6)
    np.testing.assert_allclose(own.within(y, own.composed(y, delta)), delta, rtol=0, atol=1e-11)


def test_poses_and_their_moves() -> None:
    case = rotation_case(seed=6, n=10)
    detector = model_set(case.start, FixSettings(hierarchy_level=1)).detectors[0]
    rng = np.random.default_rng(1)
    values = detector.initial + rng.normal(0.0, 5.0, (9, 6))
    moves = group_moves(detector, values)
    for g in (0, 7):
        full, point = detector.pose(g, values[g])
        np.testing.assert_allclose(
            detector.values_of_pose(g, full, point), values[g], rtol=0, atol=1e-11
        )  # fmt: skip
        for k in range(6):
            e = 1e-4 * np.eye(6)[k]
            (fa, pa), (fb, pb) = (detector.pose(g, values[g] + s * e) for s in (1, -1))
            spin = (fa - fb) @ full.T / 2e-4
            numeric = [*(pa - pb) / 2e-4, spin[2, 1], spin[0, 2], spin[1, 0]]
            np.testing.assert_allclose(moves[g][:, k], numeric, rtol=0, atol=1e-7)


def test_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="gauge 'free': expected one of published, anchor"):
        Gauge("free")  # type: ignore[arg-type]
    with pytest.raises(
        ConfigError, match="gauge zero_sum: group 3: the gauge anchor, and no other"
    ):
        Gauge("zero_sum", 3)
    case = rotation_case(seed=7, n=10)
    whole = model_set(case.start, FixSettings())
    with pytest.raises(ConfigError, match=r"gauge zero_sum: 1 group\(s\) of the detector move"):
        siblings(whole, Gauge("zero_sum"))
    tilts = model_set(case.start, FixSettings(hierarchy_level=1, fix_list=("Tau2", "Tau3")))
    siblings(tilts, Gauge("zero_sum"))  # in the plane nothing fixed moves
    with pytest.raises(ConfigError, match="Detector1Group1Tau2, Detector1Group1Tau3 fixed: a move"):
        siblings(tilts, Gauge("zero_sum", out_of_plane=True))


def test_siblings_of_several_parents(real_data) -> None:
    """CSPAD: 8 sensors in each of 4 quadrants, every quadrant a rigid body with its own sums."""
    experiments = read_expt(real_data("metrology/data/cspad_benchmark_level2d.expt"))
    models = model_set(experiments[:1], FixSettings(hierarchy_level=2))
    own = siblings(models, Gauge("zero_sum", out_of_plane=True))
    assert [len(f.groups) for f in own.families] == [8, 8, 8, 8]
    assert own.rows.shape == (24, 32, 6)
    assert own.names[0] == "Detector1Node1 shift along fast [mm]"
    rng = np.random.default_rng(2)
    values = models.detectors[0].initial + rng.normal(0.0, 0.2, (32, 6))
    full = models.initial.copy()
    full[: values.size] = values.ravel()
    told = state_gauge(models, full, Gauge("zero_sum", out_of_plane=True))
    np.testing.assert_allclose(told.values, values, rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        told.hierarchy().d, models.moved(full)[0].detector.d, rtol=0, atol=1e-10
    )  # fmt: skip


def test_gauges_of_measured_panels(real_data) -> None:
    """th82: 13 panels with data, 47 held; every gauge ends at the same predictions."""
    with np.load(real_data("metrology/data/th82_60panel_indexed.npz")) as columns:
        table = ReflectionTable(columns={k: columns[k] for k in columns.files})
    start = read_expt(real_data("metrology/refine/th82_60panel_lev0_tukey_refined.expt"))
    found = refine(
        start, table, RefineSettings(fix=FixSettings(hierarchy_level=1), gauge=Gauge("anchor", 23))
    )  # fmt: skip
    rows = found.used
    observed = observations_of(table, start, rows, 1.0 / table["xyzobs.mm.variance"][rows])
    problem = RefinementProblem(found.models, observed)
    own, fit, answer = fit_in_gauge(problem, Gauge("zero_sum", out_of_plane=True))
    expected = problem.residuals(found.trajectory.x)
    got = problem.residuals(own.full(fit.x)[problem.free])
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)
    assert found.gauge is not None
    np.testing.assert_allclose(found.gauge.values, answer.values, rtol=0, atol=1e-9)
    sigma, _ = found.gauge.uncertainty
    assert sigma[0] < 0.003  # mm
    assert len(found.gauge.sentences) == 7
