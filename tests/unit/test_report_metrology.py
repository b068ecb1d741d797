"""The report of a refinement: what its view, figures and texts contain."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.quiver import Quiver
from matplotlib.text import Text

from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import ConfigError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.forward.rotation_scene import crystal_of_cell, grid_of_panels
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.gauge import Gauge
from refimpl.metrology.outputs import cell_sigma, listing_of, modified, save
from refimpl.metrology.parameters import FixSettings
from refimpl.metrology.refine import RefinementResult, RefineSettings, refine
from refimpl.metrology.simulate import ORIENTATION, simulate
from refimpl.report import metrology as report
from refimpl.report import metrology_plots as plots
from refimpl.report import metrology_sections as sections
from refimpl.report import metrology_view
from refimpl.report.metrology_inputs import view_of_files
from refimpl.report.metrology_layout import panel_layout, panel_moves
from refimpl.report.metrology_view import MetrologyView
from refimpl.testing.rotation_case import rotation_case

LEVEL_1 = RefineSettings(fix=FixSettings(hierarchy_level=1))


def detector_of(**changes: object) -> Hierarchy:
    grid = grid_of_panels((2, 2), distance_mm=180.0, beam_px=(490.0, 205.5))
    return Hierarchy(tuple(replace(m, **changes) for m in grid.modules), grid.root)


@pytest.fixture(scope="module")
def scene():
    """Four panels that are off, without outliers; panel 3 has too few reflections."""
    experiment = Experiment(
        "four", Beam(np.array([0.0, 0.0, 1.0]), 0.97625), detector_of(),
        Goniometer(np.array([1.0, 0.0, 0.0])), Scan((1, 300), (10.0, 0.15)),
        crystal_of_cell((57.784, 57.784, 150.011), ORIENTATION),
    )  # fmt: skip
    return simulate(experiment, d_min_angstrom=2.0, counts=[300, 300, 300, 3], seed=4)


@pytest.fixture(scope="module")
def result(scene) -> RefinementResult:
    return refine(scene.start, scene.table, LEVEL_1)


@pytest.fixture(scope="module")
def view(result):
    return report.view_of_result(result)


# ---------------------------------------------------------------------------------- the view


def test_residuals_before_and_after(result, view) -> None:
    pixel, to_deg = 0.172, np.pi / 180.0
    assert len(view) == result.n_used
    both = [
        np.sqrt(np.mean(r**2, axis=0)) * [pixel, pixel, to_deg] for r in (view.before, view.after)
    ]
    np.testing.assert_allclose(both[1], result.rmsd, rtol=1e-9)  # through the files' models
    np.testing.assert_allclose(both[0], result.trajectory.steps[0].rmsd, rtol=1e-9)
    mean, rms = view.detectors[0].by_panel(view.after)
    assert np.isnan(mean[3]).all()
    np.testing.assert_allclose(rms[:3, :2], result.by_panel.values[:, :2], rtol=1e-9)


def test_held_panels(view) -> None:
    assert view.detectors[0].held.tolist() == [False, False, False, True]
    assert np.all(view.detectors[0].moves[3] == 0.0)
    assert np.isnan(view.detectors[0].sigma[3]).all()
    assert np.all(view.detectors[0].sigma[:3] > 0.0)


def test_moves_are_the_true_ones(scene, view) -> None:
    """Shift and turn of each panel within five of its uncertainties, of 18 numbers."""
    true = panel_moves(scene.start[0].detector, scene.truth[0].detector)
    assert np.all(np.abs(view.detectors[0].moves - true)[:3] < 5.0 * view.detectors[0].sigma[:3])
    # there is something to find: a move of more than five of its own uncertainties
    assert np.any(np.abs(true[:3]) > 5.0 * view.detectors[0].sigma[:3])


@pytest.mark.parametrize("k", range(6))
def test_each_move_in_its_place(k) -> None:
    """A panel that is shifted or turned about its own centre."""
    before = detector_of()
    d = before.d
    f, s = d[1, :, 0], d[1, :, 1]
    n = np.cross(f, s)
    half = 0.5 * np.array([487, 195]) * 0.172
    centre = d[1] @ [*half, 1.0]
    away = n if n @ centre > 0 else -n
    size = 1e-3  # mm, rad: 1 um, 1 mrad
    moved = d.copy()
    if k < 3:
        moved[1, :, 2] += size * (f, s, away)[k]
    else:
        axis = (f, s, n)[k - 3]
        cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        turn = np.eye(3) + np.sin(size) * cross + (1.0 - np.cos(size)) * cross @ cross
        moved[1, :, :2] = turn @ d[1, :, :2]
        moved[1, :, 2] = centre - moved[1, :, :2] @ half
    found = panel_moves(before, before.with_d(moved))
    expected = np.zeros((4, 6))
    expected[1, k] = 1.0
    np.testing.assert_allclose(found, expected, atol=1e-7)  # of 1 um: rounding of 200 mm is 3e-8


def test_uncertainties_are_those_of_the_moves(result, view) -> None:
    """The linear map from parameters to moves against differences, one parameter at a time."""
    models, own = result.models, result.models.detectors[0]
    full = models.initial.copy()
    full[models.free] = result.trajectory.x
    values = models.detector_values(full, 0)
    before = own.moved(values)
    slopes = np.zeros((6, 6))
    for j in range(6):
        other = values.copy()
        other[1, j] += 1e-3  # mm, mrad
        slopes[:, j] = panel_moves(before, own.moved(other))[1] / 1e-3
    at = (np.cumsum(models.free) - 1)[6:12]
    covariance = result.trajectory.covariance[np.ix_(at, at)]
    expected = np.sqrt(np.diag(slopes @ covariance @ slopes.T))
    np.testing.assert_allclose(view.detectors[0].sigma[1], expected, rtol=1e-3)


def test_files_give_the_same_residuals(scene, result, view) -> None:
    files = view_of_files(scene.start, result.experiments, result.table)
    assert len(files) == len(view)
    for name in ("before", "after"):
        rms = [np.sqrt(np.mean(getattr(v, name) ** 2, axis=0)) for v in (files, view)]
        np.testing.assert_allclose(rms[0], rms[1], rtol=1e-9)
    assert np.isnan(files.detectors[0].sigma).all()
    assert report.figure_names(files) == [n for n in report.figure_names(view) if n != "trajectory"]


def test_files_that_do_not_fit(scene, result) -> None:
    with pytest.raises(ConfigError, match="1 experiments before, 2 after: expected equal"):
        view_of_files(scene.start, [*result.experiments] * 2, result.table)
    one = replace(scene.start[0], detector=Hierarchy((detector_of().modules[0],)))
    with pytest.raises(ConfigError, match="experiment 0 has 1 panels before and 4 after"):
        view_of_files([one], result.experiments, result.table)
    with pytest.raises(ConfigError, match="no indexed reflection to report on"):
        view_of_files(scene.start, result.experiments, result.table.select(np.arange(0)))


def test_layout_in_the_stored_image_or_in_the_lab() -> None:
    grid = panel_layout(detector_of())
    assert grid.unit == "px"
    assert grid.outlines.reshape(-1, 2).min() == 0.0
    lab = panel_layout(detector_of(raw_image_offset=(0, 0)))
    assert lab.unit == "mm"
    at = lab.points(np.array([2]), np.array([[100.0, 50.0]]))
    d = detector_of().d[2]
    np.testing.assert_allclose(at[0], (d @ [17.2, 8.6, 1.0])[:2], atol=1e-12)


# ---------------------------------------------------------------------------------- figures


def changed(view: MetrologyView, **fields: object) -> MetrologyView:
    """Same view with its first detector changed."""
    return replace(view, detectors=(replace(view.detectors[0], **fields), *view.detectors[1:]))


def test_figures(view) -> None:
    names = [
        "residual_vectors", "residual_vectors_left", "residual_maps", "panel_moves",
        "rmsd_by_panel", "residual_histograms", "residual_against_angle", "trajectory",
    ]  # fmt: skip
    drawn = report.figures(view)
    assert list(drawn) == names
    for name, figure in drawn.items():
        assert figure.get_size_inches()[0] <= 9.7, name
        assert any(text.get_text() for text in figure.findobj(Text))
    left, right = (ax.findobj(Quiver) for ax in drawn["residual_vectors"].axes[:2])
    # one scale: the arrows of before are the longer ones
    assert np.hypot(left[0].U, left[0].V).mean() > 2.0 * np.hypot(right[0].U, right[0].V).mean()
    arrows = drawn["panel_moves"].axes[0].findobj(Quiver)[0]
    assert len(arrows.U) == 3  # not the one that is held


def test_arrows_point_to_the_calculated_place(view) -> None:
    shifted = changed(view, before=np.tile([0.5, 0.0, 0.0], (len(view), 1)))
    arrows = report.figures(shifted)["residual_vectors"].axes[0].findobj(Quiver)[0]
    assert np.all(arrows.U > 0.0)
    np.testing.assert_allclose(arrows.V, 0.0, atol=1e-12)


def test_figures_without_their_data_are_left_out(view) -> None:
    bare = changed(view, held=np.ones(4, dtype=bool), angle_deg=np.full(len(view), np.nan))
    assert report.figure_names(replace(bare, rmsd=np.empty((0, 3)))) == [
        "residual_vectors", "residual_vectors_left", "residual_maps", "rmsd_by_panel",
        "residual_histograms",
    ]  # fmt: skip


# ---------------------------------------------------------------------------------- the page


def test_the_page(result, tmp_path) -> None:
    page = result.report(tmp_path / "new")
    text = page.read_text()
    assert page.name == "report.html"
    assert text.count("<figure") == 8
    assert "http" not in text.split("<body>")[1]
    for words in ("Is it good?", "Panels moved", "Refinement steps:", "away (µm)", "turn (mrad)"):
        assert words in text
    assert {p.stem for p in (tmp_path / "new" / "figures").iterdir()} == set(
        report.figure_names(report.view_of_result(result))
    )


@pytest.fixture(scope="module")
def several() -> RefinementResult:
    """Three crystals on a detector each, of 9 panels, 4, and 9 of which one saw nothing."""
    cases = [
        rotation_case(seed=10 + k, shape=shape, n=900, empty=empty)
        for k, (shape, empty) in enumerate((((3, 3), ()), ((2, 2), ()), ((3, 3), (4,))))
    ]
    tables = [dict(c.table.columns) | {"id": np.full(900, k)} for k, c in enumerate(cases)]
    columns = {key: np.concatenate([t[key] for t in tables]) for key in tables[0]}
    start = [e for c in cases for e in c.start]
    return refine(start, ReflectionTable(columns=columns), LEVEL_1)


def test_every_detector_is_shown(several, tmp_path, monkeypatch) -> None:
    view = report.view_of_result(several)
    assert [(d.prefix, d.n_panels, len(d)) for d in view.detectors] == [
        (f"Detector{k + 1}", p, table.counts.sum())
        for k, (p, table) in enumerate(zip((9, 4, 9), several.by_detector, strict=True))
    ]
    for detector, table in zip(view.detectors, several.by_detector, strict=True):
        _, rms = detector.by_panel(detector.after)
        np.testing.assert_allclose(rms[table.labels, :2], table.values[:, :2], rtol=1e-9)
    assert view.detectors[2].held[4]
    assert np.isfinite(view.detectors[1].sigma).all()
    held = next(text for _, name, text in sections.findings(view) if name == "Held panels")
    assert "Detector3 panel 4 (p4, 0 reflections)" in held
    assert held.startswith(f"{sum(int(d.held.sum()) for d in view.detectors)}: ")
    names = report.figure_names(view)
    assert {"panel_moves", "panel_moves_2", "panel_moves_3"} <= set(names)
    assert "residuals_by_experiment" in names
    monkeypatch.setattr(metrology_view, "SHOWN", 2)
    monkeypatch.setattr(sections, "SHOWN", 2)
    monkeypatch.setattr(report, "figures", lambda _: {})  # the words are enough
    text = report.write_report(view, tmp_path).read_text()
    assert "The first 2 are shown one by one; 1 more are in this table only." in text
    assert "<h3>Detector2</h3>" in text
    assert "<h3>Detector3</h3>" not in text
    assert "panel_moves_3" not in report.figure_names(view)


def test_histograms_of_few_and_of_many_experiments(several) -> None:
    view = report.view_of_result(several)
    axes = plots.residuals_by_experiment(view).axes
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["0", "1", "2"]
    many = replace(
        view,
        detectors=tuple(
            replace(d, experiment=20 * d.experiment + np.arange(len(d)) % 20)
            for d in view.detectors
        ),
    )
    (mesh,) = plots.residuals_by_experiment(many).axes[0].findobj(QuadMesh)
    shares = mesh.get_array().reshape(60, -1)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_gauge_and_weak_modes_are_on_the_page(scene, result, view) -> None:
    assert sections.gauge(view).startswith("<p>Gauge: as published.")
    assert sections.gauge(view_of_files(scene.start, result.experiments, result.table)) == ""
    first = view.weak.modes[0]
    table = sections.weak_modes(view)
    assert f"Weak modes of {result.n_parameters} parameters; condition number" in table
    assert "; ".join(map(str, first.parts)) in table
    assert sections.weak_modes(replace(view, weak=None)) == ""
    told = report.view_of_result(
        refine(scene.start, scene.table, replace(LEVEL_1, gauge=Gauge("anchor", 2)))
    )
    text = sections.gauge(told)
    assert "Gauge: anchor." in text
    assert "Detector1Group2Dist is held" in text
    assert "Detector1 shift along fast [mm]" in text
    own = told.detectors[0]
    np.testing.assert_allclose(own.moves[1], 0.0, atol=1e-6)  # um, mrad: rounding of 200 mm
    assert np.all(own.sigma[1] < 1e-3)
    assert np.all(own.sigma[0] > 0.05)
    # the panel is where it is in any gauge: within plus whole is the move in the lab
    assert np.abs(view.detectors[0].moves[1, :3]).max() > 10.0


def test_verdicts(view) -> None:
    levels = {name: level for level, name, _ in sections.findings(view)}
    assert levels["Convergence"] == "good"
    assert levels["Too few reflections"] == "look"
    assert levels["What is left"] == "good"
    bad = replace(
        view, numbers=dict(view.numbers) | {"converged": False, "undetermined": ["Beam1nu"]}
    )
    told = {name: (level, text) for level, name, text in sections.findings(bad)}
    assert told["Convergence"][0] == "bad"
    assert told["Not determined"] == ("bad", "the data say nothing of Beam1nu")
    on_1 = view.detectors[0].panel == 1
    off = changed(view, after=view.after + np.where(on_1, 0.2, 0.0)[:, None] * [1.0, 0.0, 0.0])
    told = {name: (level, text) for level, name, text in sections.findings(off)}
    level, text = told["What is left"]
    assert level == "look"
    assert "1 panels are still off by more than 0.05 px on average (1)" in text


def test_names_are_escaped(view) -> None:
    assert "<h1>&lt;b&gt;&amp;</h1>" in sections.top(replace(view, title="<b>&"))


# ---------------------------------------------------------------------------------- the files


def test_save_writes_the_result_last(result, tmp_path, monkeypatch) -> None:
    from refimpl.metrology import outputs

    def broken(*_: object) -> str:
        raise ConfigError("broken")

    monkeypatch.setattr(outputs, "listing_of", lambda *_, **__: broken())
    with pytest.raises(ConfigError, match="broken"):
        save(result, tmp_path, report=False)
    assert not (tmp_path / "result.json").exists()


def test_uncertainty_of_the_cell(result) -> None:
    """Against the standard uncertainty of its one free element: a = 1/sqrt(g0), tetragonal."""
    sigma = cell_sigma(result, 0)
    names = [n for n, free in zip(result.models.names, result.models.free, strict=True) if free]
    at = names.index("Crystal1g_param_0")
    g = result.trajectory.x[at] * 1e-5
    expected = 0.5 * g**-1.5 * 1e-5 * np.sqrt(result.trajectory.covariance[at, at])
    assert sigma[0] == pytest.approx(expected, rel=1e-5)
    assert sigma[1] == pytest.approx(sigma[0], rel=1e-9)
    assert np.all(sigma[3:] == 0.0)
    held = refine_with(result, FixSettings(crystal=("cell",)))
    assert cell_sigma(held, 0) is None


def refine_with(result: RefinementResult, fix: FixSettings) -> RefinementResult:
    return refine(result.models.experiments, result.table, RefineSettings(fix=fix))


def test_the_listing_says_what_was_modified(result) -> None:
    text = listing_of(result, inputs=("a.expt", "b.refl"), folder="out")
    assert text.count("{") == text.count("}")
    assert "input {\n  experiments = a.expt\n  reflections = b.refl\n}" in text
    assert "Detector1Group4: 3 reflections" not in text.split("Configuring refiner")[0]
    settings = RefineSettings(fix=FixSettings(beam=("all",), fix_list=("Tau1",)), engine="levmar")
    said = modified(settings)["refinement"]
    assert said["parameterisation"]["beam"] == {"fix": "all"}
    assert said["parameterisation"]["detector"]["fix_list"] == "Tau1"
    assert said["refinery"]["engine"] == "levmar"


def test_the_library_name_space_is_light() -> None:
    code = (
        "import sys, refimpl.metrology as m; "
        "print([n for n in ('scipy', 'torch', 'matplotlib', 'pandas', 'pydantic') "
        "if n in sys.modules]); import refimpl.metrology.refine; "
        "print(callable(m.refine) and m.RefineSettings.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "RefineSettings"]
