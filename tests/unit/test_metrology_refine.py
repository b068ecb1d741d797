"""What a refinement does around its engine: rows, marks, limits, errors, and what it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import refimpl.metrology.robust as robust_module
from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.forward.experiment import Scan
from refimpl.io.reflection_table import (
    CENTROID_OUTLIER,
    OVERLOADED,
    PREDICTED,
    USED_IN_REFINEMENT,
)
from refimpl.metrology import engines, outputs, problem
from refimpl.metrology.engines import run_engine
from refimpl.metrology.gauge import Gauge
from refimpl.metrology.observations import observations_of
from refimpl.metrology.parameters import FixSettings, model_set
from refimpl.metrology.problem import RefinementProblem
from refimpl.metrology.refine import RefineSettings, refine
from refimpl.metrology.restraints import CellTarget
from refimpl.metrology.robust import refine_robustly
from refimpl.metrology.selection import preset
from refimpl.objective.least_squares import Normal
from refimpl.testing.rotation_case import rotation_case

LEVEL1 = FixSettings(hierarchy_level=1)
NONE = preset("tutorial", outlier="null")


@pytest.fixture(scope="module")
def case():
    return rotation_case(seed=21, n=1500)


def changed(case, **columns):
    """Table with some columns in place of its own; ``_`` stands for a dot."""
    return case.table.with_columns({k.replace("_mm_", ".mm."): v for k, v in columns.items()})


def problem_of(case, threads=None):
    observed = observations_of(
        case.table, case.start, np.arange(len(case.table)), 1.0 / case.table["xyzobs.mm.variance"]
    )
    return RefinementProblem(model_set(case.start, LEVEL1), observed, threads)


# --- the table ------------------------------------------------------------------------------------


def test_only_what_is_predicted_is_marked_so(case) -> None:
    """Stale predictions and marks are gone; mm and px are one prediction, by the refined models."""
    n = len(case.table)
    hkl, place = case.table["miller_index"].copy(), case.table["xyzobs.mm.value"].copy()
    hkl[3] = [900, 900, 900]  # beyond the limiting sphere
    place[5, 2] = np.nan
    hkl[7] = 0
    stale = np.full(n, 4 | PREDICTED | CENTROID_OUTLIER | USED_IN_REFINEMENT)
    table = case.table.with_columns(
        {"miller_index": hkl, "xyzobs.mm.value": place, "flags": stale,
         "xyzcal.mm": np.full((n, 3), 77.0), "xyzcal.px": np.full((n, 3), 77.0)}
    )  # fmt: skip
    found = refine(case.start, table, RefineSettings(NONE))
    seen = found.table.has_flags(PREDICTED)
    assert np.flatnonzero(~seen).tolist() == [3, 5, 7]
    for name in ("xyzcal.mm", "xyzcal.px"):
        np.testing.assert_array_equal(found.table[name][~seen], 0.0)
        assert np.isfinite(found.table[name]).all()
    assert found.n_used == n - 3
    assert found.table.has_flags(USED_IN_REFINEMENT).sum() == n - 3
    assert not found.table.has_flags(CENTROID_OUTLIER).any()
    (e,) = found.experiments
    mm, px = found.table["xyzcal.mm"][seen], found.table["xyzcal.px"][seen]
    panel = np.asarray(case.table["panel"][seen], dtype=np.int64)
    x, y = e.detector.pixel_to_mm(panel, px[:, 0], px[:, 1])
    np.testing.assert_allclose(np.column_stack([x, y]), mm[:, :2], rtol=0, atol=1e-9)  # mm
    np.testing.assert_allclose(e.scan.phi_of_frame(px[:, 2]), mm[:, 2], rtol=0, atol=1e-12)
    residuals = (found.table["xyzcal.mm"] - place)[found.used]
    np.testing.assert_allclose(residuals, found.residuals, rtol=0, atol=1e-12)


def test_order_of_rows_does_not_matter(case) -> None:
    """Unsorted ids are accepted, as published: rows are taken by id, then panel."""
    two = (case.start[0], replace(case.start[0], identifier="b"))
    ids = np.arange(len(case.table)) % 2
    mixed = case.table.with_columns(id=ids)
    by_hand = mixed.select(np.lexsort((mixed["panel"], ids)))
    rule = preset("tutorial", outlier="mcd", separate_panels=False)
    settings = RefineSettings(rule, LEVEL1)
    one, other = refine(two, mixed, settings), refine(two, by_hand, settings)
    np.testing.assert_array_equal(one.trajectory.x, other.trajectory.x)
    # random starts of the rule hang on the order of rows, so that is the same, too
    np.testing.assert_array_equal(one.outliers.rejected, other.outliers.rejected)
    np.testing.assert_array_equal(np.flatnonzero(one.table.has_flags(CENTROID_OUTLIER)), np.sort(
        np.lexsort((mixed["panel"], ids))[other.table.has_flags(CENTROID_OUTLIER)]))  # fmt: skip


def test_panels_that_are_not_there(case) -> None:
    panel = case.table["panel"].copy()
    panel[7] = 9
    message = r"^row 7 lies on panel 9: the detector of experiment 0 has 9 panel\(s\), 0 to 8$"
    with pytest.raises(FormatError, match=message):
        refine(case.start, changed(case, panel=panel))
    flags = case.table["flags"].copy()
    flags[7] |= OVERLOADED  # not accepted, but it would be predicted
    with pytest.raises(FormatError, match=message):
        refine(case.start, changed(case, panel=panel, flags=flags))


def test_bad_input_is_not_a_failed_fit(case) -> None:
    """One line, of a class that the command line ends with 2 for."""
    none = changed(case, flags=np.full(len(case.table), OVERLOADED))
    far = changed(case, miller_index=np.full((len(case.table), 3), 900))
    few = case.table.select(np.arange(8))
    variance = case.table["xyzobs.mm.variance"].copy()
    variance[900, 1] = -1.0
    hkl = case.table["miller_index"].copy()
    hkl[:100] = 0  # not accepted: rows are counted in the table all the same
    negative = changed(case, xyzobs_mm_variance=variance, miller_index=hkl)
    level1 = RefineSettings(NONE, LEVEL1)
    empty = case.table.select(case.table["panel"] != 4)
    for table, settings, message in (
        (none, level1, "none of 1500 reflections is fit for refinement: 1500 overloaded"),
        (none.select(np.arange(0)), level1, "none of 0 .* is fit for refinement: an empty table"),
        (far, level1, "none of 1500 reflections is predicted by the starting models: their cell"),
        (few, RefineSettings(), "all of 8 reflections are rejected as outliers by tukey: 8 lie in"),
        (few, replace(level1, min_reflections_per_parameter=9),
         r"too few reflections \(8\): no parameter is left to refine; the first of 12 models: Det"),
        (negative, level1, r"1 of 1400 rows of xyzobs.mm.variance are not positive, the first is "
                           "row 900"),
        (empty, replace(level1, auto_reduction="fail"),
         "Detector1Group5: 0 reflections, fewer than 5; auto_reduction fix would hold it"),
    ):  # fmt: skip
        with pytest.raises((FormatError, ConfigError), match=message) as caught:
            refine(case.start, table, settings)
        assert not isinstance(caught.value, ConvergenceError)
    with pytest.raises(ConfigError, match="no experiments given: expected at least one"):
        refine((), case.table)


@pytest.mark.parametrize(
    ("lost", "said"),
    [({"scan": None}, "no scan"), ({"goniometer": None}, "no goniometer"),
     ({"scan": Scan((1, 720), (0.0, 0.0))}, r"a scan whose images have no width \(oscillation\)")],
)  # fmt: skip
def test_a_scan_that_was_lost_is_no_set_of_stills(case, lost, said) -> None:
    (e,) = case.start
    message = (
        f"^experiment 0 has {said}, so it is a still, but its reflections were seen at rotation "
        r"angles from 0.\d\d to 359.\d\d degrees: give it those of its images$"
    )
    with pytest.raises(FormatError, match=message) as caught:
        refine((replace(e, **lost),), case.table)
    assert caught.value.key == (next(iter(lost)) if None in lost.values() else "oscillation")


def test_stills_need_neither_rays_nor_entering(case) -> None:
    still = replace(case.start[0], scan=None, goniometer=None)
    bare, rows = case.table.without("s1", "entering"), np.arange(len(case.table))
    weight = np.ones((len(rows), 3))
    assert not observations_of(bare, (still,), rows, weight).entering.any()
    with pytest.raises(FormatError, match="missing column s1"):
        observations_of(bare, case.start, rows, weight)


# --- settings that are heard or refused -----------------------------------------------------------


def test_an_entry_to_fix_that_is_nothing(case) -> None:
    for entry in ("Group1Tau9", "detectr.distance", ""):
        with pytest.raises(ConfigError, match=f"fix: '{entry}' matches no parameter: expected the"):
            model_set(case.start, FixSettings(hierarchy_level=1, fix_list=("Tau1", entry)))
    models = model_set(case.start, FixSettings(hierarchy_level=1, fix_list=("Group1Tau1", "Mu2")))
    held = [n for n, free in zip(models.names, models.free, strict=True) if not free]
    assert held == ["Detector1Group1Tau1", "Beam1Mu1", "Beam1Mu2", "Beam1nu"]


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_steps_are_limited(case, engine) -> None:
    limited = refine(case.start, case.table, RefineSettings(NONE, LEVEL1, engine, max_steps=1))
    assert len(limited.trajectory.steps) - 1 <= 1
    assert not limited.trajectory.converged
    assert not limited.summary()["converged"]
    assert not outputs.has_converged(limited)
    assert RefineSettings(engine=engine).step_limit == engines.MOST_STEPS[engine]
    if engine == "arrow":
        assert limited.trajectory.reason == "stopped after 1 step"
        whole = refine(case.start, case.table, RefineSettings(NONE, LEVEL1))
        assert whole.trajectory.converged
        assert whole.trajectory.reason == "converged"


def test_gauss_newton_keeps_its_own_limit(case, monkeypatch) -> None:
    seen = {}
    monkeypatch.setattr(engines, "levmar", lambda _, **options: seen.update(options))
    run_engine("gauss_newton", problem_of(case))
    assert seen == {"max_steps": 20, "damped": False}


def test_settings_that_would_not_be_heard() -> None:
    for settings, message in (
        ({"bin_size_fraction": 0.3}, "bin_size_fraction = 0.3 with engine arrow, which goes to"),
        ({"bin_size_fraction": -0.3}, "bin_size_fraction = -0.3: expected 0 or more"),
        ({"max_steps": 0}, "max_steps = 0: expected at least 1"),
        ({"delpsi_constant": 0.0}, "delpsi_constant = 0.0: expected a positive number"),
        ({"loss": "huber", "constraints": ("Dist",)}, "loss huber and constraints Dist: choose"),
    ):
        with pytest.raises(ConfigError, match=message):
            RefineSettings(**settings)
    assert RefineSettings(engine="levmar", bin_size_fraction=0.3).bin_size_fraction == 0.3


# --- engines --------------------------------------------------------------------------------------


def test_one_prediction_a_step(case, monkeypatch) -> None:
    """RMSDs of the journal are those of the linearisation; nothing is predicted anew for them."""
    calls = []
    plain = problem.predict_rotation
    monkeypatch.setattr(
        problem, "predict_rotation", lambda *a, **k: (calls.append(k["threads"]), plain(*a, **k))[1]
    )
    p = problem_of(case, threads=2)
    p.residuals(p.start)
    assert calls == [2]
    for engine in ("arrow", "levmar"):
        found = run_engine(engine, p)
        assert calls == [2]
        fresh = RefinementProblem(p.models, p.observed)
        for step in found.steps:
            r = fresh.residuals(step.x)
            np.testing.assert_array_equal(step.rmsd, np.sqrt(np.mean(r**2, axis=0)))
        calls.clear()
        calls.append(2)


def test_every_row_of_the_journal_is_a_step(case) -> None:
    steps = run_engine("arrow", problem_of(case)).steps
    assert all(s.gradient_norm > 0.0 for s in steps)
    assert all(np.any(a.x != b.x) for a, b in pairwise(steps))
    assert all(a.objective >= b.objective for a, b in pairwise(steps))


def test_threads_change_nothing() -> None:
    many = rotation_case(seed=22, n=12000)  # above where twins start to share their work
    found = [refine(many.start, many.table, RefineSettings(fix=LEVEL1), threads=t) for t in (1, 3)]
    np.testing.assert_array_equal(found[0].trajectory.x, found[1].trajectory.x)
    np.testing.assert_array_equal(found[0].trajectory.covariance, found[1].trajectory.covariance)
    np.testing.assert_array_equal(found[0].table["xyzcal.px"], found[1].table["xyzcal.px"])


class Losing:
    """Two observations of one value: 1 and 5; beyond 2 the second is no longer predicted."""

    is_arrow, names, observed = False, ("a",), (0, 1)
    start = np.array([0.0])

    def residuals(self, x):
        r = np.array([[x[0] - 1.0] * 3, [x[0] - 5.0] * 3])
        return r[:1] if x[0] > 2.0 else r

    def normal(self, x):
        r = self.residuals(x)
        return Normal(float((r**2).sum()), np.array([r.sum()]), np.array([[1.0 * r.size]]), r.size)


def test_losing_reflections_lowers_no_cost() -> None:
    """At 3 all would be best, but that step loses one; at 1 the rest alone would have no cost."""
    found = run_engine("arrow", Losing())
    assert 1.5 < found.x[0] <= 2.0
    assert all(len(Losing().residuals(s.x)) == 2 for s in found.steps)


def test_a_loss_that_does_not_settle(case, monkeypatch) -> None:
    bad = case.table["xyzobs.mm.value"].copy()
    bad[::10, 0] += 0.5
    spoiled = replace(case, table=changed(case, xyzobs_mm_value=bad))
    found, _ = refine_robustly(problem_of(spoiled), "huber", lambda p: run_engine("arrow", p))
    assert found.converged
    monkeypatch.setattr(robust_module, "ROUNDS", 1)
    found, _ = refine_robustly(problem_of(spoiled), "huber", lambda p: run_engine("arrow", p))
    assert not found.converged
    assert found.reason == "weights of the huber loss did not settle in 1 rounds"


# --- what is written ------------------------------------------------------------------------------


def test_two_detectors(case) -> None:
    """Each has its own table by panel, in the result, the listing and the JSON."""
    other = rotation_case(seed=23, n=900, shape=(2, 2))
    tables = [t.with_columns(id=np.full(len(t), k)) for k, t in ((0, case.table), (1, other.table))]
    columns = {k: np.concatenate([t[k] for t in tables]) for k in tables[0].columns}
    table = replace(case.table, columns=columns)
    found = refine((*case.start, *other.start), table, RefineSettings(NONE, LEVEL1))
    assert [len(t.labels) for t in found.by_detector] == [9, 4]
    assert found.by_panel is found.by_detector[0]
    for k, by_panel in enumerate(found.by_detector):
        assert by_panel.counts.sum() == found.by_experiment.counts[k]
        np.testing.assert_allclose(by_panel.pooled(), found.by_experiment.values[k], rtol=1e-12)
    text = outputs.listing_of(found, layout="current")
    assert text.index("Detector 1 RMSDs by panel:") < text.index("Detector 2 RMSDs by panel:")
    assert "\nDetector 2 RMSDs by panel:" in outputs.listing_of(found, layout="tutorial")
    written = outputs.result_dict(found)
    assert [len(rows) for rows in written["by_detector"]] == [9, 4]
    assert written["by_panel"] == written["by_detector"][0]


def test_the_whole_of_the_settings_is_written(case, tmp_path) -> None:
    target = CellTarget((57.8, 57.8, 150.0, 90, 90, 90), (0.1, 0.1, 0.1, 0, 0, 0))
    settings = RefineSettings(
        preset("tutorial", iqr_multiplier=2.0), FixSettings(hierarchy_level=1, fix_list=("nu",)),
        gauge=Gauge("zero_sum"), cell_targets=(target,), constraints=("Tau3",), delpsi_constant=1e4,
    )  # fmt: skip
    result = refine(case.start, case.table, settings)
    path = outputs.save(result, tmp_path / "out", report=False)
    written = json.loads(path.read_text())
    said = written["settings"]
    assert set(RefineSettings.__dataclass_fields__) <= set(said)
    assert said["selection"]["iqr_multiplier"] == 2.0
    assert said["gauge"] == {"kind": "zero_sum", "group": None, "out_of_plane": False}
    assert said["cell_targets"][0]["sigmas"][0] == 0.1
    assert (said["constraints"], said["loss"], said["delpsi_constant"]) == (["Tau3"], "none", 1e4)
    assert (said["max_steps"], said["step_limit"]) == (None, 200)
    assert [row["name"] for row in written["held"]] == ["Beam1Mu1", "Beam1nu"]
    gauge = written["gauge"]
    assert gauge["kind"] == "zero_sum"
    assert len(gauge["own"]) == 54
    assert [row["name"] for row in gauge["whole"]] == list(result.gauge.siblings.names)
    _, own = result.gauge.uncertainty
    assert [row["sigma"] for row in gauge["own"]] == own.ravel().tolist()
    log = (tmp_path / "out" / "refine.log").read_text()
    for line in (
        "iqr_multiplier = 2\n", "delpsi_constant = 10000\n", "parameter = Tau3\n",
        "kind = zero_sum\n", "sigmas = 0.1,0.1,0.1,0,0,0\n", "max_iterations = 200\n",
    ):  # fmt: skip
        assert line in log, line


def test_the_gauge_of_others_is_stated(case) -> None:
    written = outputs.result_dict(refine(case.start, case.table, RefineSettings(NONE)))
    assert written["gauge"] == {
        "kind": "published", "sentences": ["Mu1 and the wavelength are held"]
    }  # fmt: skip


def test_no_result_vouches_for_files_of_another_run(case, tmp_path, monkeypatch) -> None:
    result = refine(case.start, case.table, RefineSettings(NONE))
    assert outputs.save(result, tmp_path, report=False).exists()

    def full(*_) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(outputs, "write_refl", full)
    with pytest.raises(OSError, match="No space"):
        outputs.save(result, tmp_path, report=False)
    assert not (tmp_path / "result.json").exists()
