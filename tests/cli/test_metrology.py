"""``refimpl metrology``: commands on small simulated and real data, and what bad input is told."""

from __future__ import annotations

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.forward.rotation_scene import crystal_of_cell, grid_of_panels
from refimpl.io.cbf import write_cbf
from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl
from refimpl.io.xds_tables import write_corrections
from refimpl.metrology.pixels import mm_to_pixels, pixels_to_mm
from refimpl.metrology.simulate import ORIENTATION, simulate

REFINE = ["--hierarchy-level", "1", "--no-report"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six panels that are off, some 400 reflections each."""
    folder = tmp_path_factory.mktemp("made")
    experiment = Experiment(
        "six", Beam(np.array([0.0, 0.0, 1.0]), 0.97625),
        grid_of_panels((2, 3), distance_mm=180.0, beam_px=(490.0, 309.5)),
        Goniometer(np.array([1.0, 0.0, 0.0])), Scan((1, 300), (10.0, 0.15)),
        crystal_of_cell((57.784, 57.784, 150.011), ORIENTATION),
    )  # fmt: skip
    scene = simulate(experiment, d_min_angstrom=2.0, counts=[400] * 6, seed=4)
    write_expt(folder / "start.expt", scene.start)
    write_expt(folder / "truth.expt", scene.truth)
    write_refl(folder / "spots.refl", scene.table)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with the data."""
    monkeypatch.chdir(tmp_path)
    for path in made.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def refine(*arguments: object) -> int:
    return metrology("refine", *arguments, *REFINE, "-o", "out")


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    captured = capsys.readouterr()
    return json.loads(captured.out)


# ---------------------------------------------------------------------------------- refine


def test_refine_prints_the_promised_numbers(here, capsys) -> None:
    assert refine("start.expt", "spots.refl", "--outlier", "tukey", "--json") == 0
    found = printed(capsys)
    assert found == json.loads(Path("out/result.json").read_text())
    x, y = found["rmsd_mm"]
    # errors are of 0.012 to 0.035 mm: 0.0244 mm in the mean square, less what outliers are cut
    assert 0.021 < x < 0.0265
    assert 0.021 < y < 0.0265
    assert 0.02 < found["rmsd_deg"] < 0.04  # 0.08 to 0.3 of an image of 0.15 degrees
    assert found["n_parameters"] == 36 + 1 + 3 + 2
    assert found["n_used"] + found["n_outliers"] == found["n_accepted"]
    assert 2390 < found["n_accepted"] <= 2400  # noise puts a few beyond the ends of the scan
    start = found["trajectory"][0]["rmsd"]
    assert start[0] > 1.3 * x


def test_refine_writes_its_files(here, capsys) -> None:
    assert refine("start.expt", "spots.refl") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("converged after ")
    assert said.out.endswith("wrote out/result.json\n")
    names = {"refined.expt", "refined.refl", "refine.log", "result.json", "done.json"}
    assert {p.name for p in Path("out").iterdir()} == names
    refined, truth = (read_expt(name)[0] for name in ("out/refined.expt", "truth.expt"))
    start = read_expt("start.expt")[0]
    off = [np.abs(e.detector.d - truth.detector.d)[:, :2, 2].max() for e in (start, refined)]
    assert off[1] < 0.5 * off[0]
    table = read_refl("out/refined.refl")
    used = int(np.count_nonzero(table.has_flags(8)))
    assert used == json.loads(Path("out/result.json").read_text())["n_used"]


def test_the_log_is_in_the_published_layout(here) -> None:
    assert refine("start.expt", "spots.refl", "--engine", "levmar") == 0
    log = Path("out/refine.log").read_text()
    parts = [
        "The following parameters have been modified:\n\noutput {\n", "hierarchy_level = 1",
        "Summary statistics for observations matched to predictions:\n----",
        "| Xc - Xo (mm)      |", " reflections have been rejected as outliers\n",
        "Performing refinement...\n\nRefinement steps:\n----", "| Step | Nref | RMSD_X",
        "RMSD no longer decreasing\n\nRMSDs by experiment:\n----", "RMSDs by panel:\n----",
        "Final refined crystal models:\nmodel 1 (", "    Space group: P 4\n    U matrix:  {{",
        "Saving refined experiments to out/refined.expt",
    ]  # fmt: skip
    places = [log.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)


def test_the_current_preset_has_the_current_layout(here) -> None:
    assert refine("start.expt", "spots.refl", "--preset", "current") == 0
    log = Path("out/refine.log").read_text()
    assert "Outlier rejections per job:\n+---" in log
    assert "Parameter 001 : Detector1Group1Dist\n" in log
    assert "Detector 1 RMSDs by panel:\n+---" in log


def test_done_before_is_kept(here, capsys) -> None:
    assert refine("start.expt", "spots.refl", "--json") == 0
    first = printed(capsys)
    stamp = Path("out/refined.expt").stat().st_mtime_ns
    assert refine("start.expt", "spots.refl", "--json") == 0
    again = capsys.readouterr()
    assert json.loads(again.out) == first
    assert again.err == "out: done before with the same input and settings, kept\n"
    assert Path("out/refined.expt").stat().st_mtime_ns == stamp
    assert refine("start.expt", "spots.refl", "--fix", "detector.orientation") == 0
    assert Path("out/refined.expt").stat().st_mtime_ns != stamp


def test_what_is_fixed_stays(here, capsys) -> None:
    fixed = ("--fix", "beam.all,Group2Dist", "--fix", "crystal.cell")
    assert refine("start.expt", "spots.refl", *fixed, "--json") == 0
    found = printed(capsys)
    names = [p["name"] for p in found["parameters"]]
    assert found["n_parameters"] == len(names) == 35 + 3
    assert "Detector1Group2Dist" not in names
    assert not any(name.startswith(("Beam", "Crystal1g_param")) for name in names)


def test_stopped_by_its_limit_is_no_convergence(here, capsys) -> None:
    steps = ("--engine", "levmar", "--max-steps", "1")
    assert refine("start.expt", "spots.refl", *steps) == 4
    err = capsys.readouterr().err
    assert err == "refimpl: not converged: maximum number of steps; what there is stands in out\n"
    assert not json.loads(Path("out/result.json").read_text())["converged"]
    assert not Path("out/done.json").exists()


def test_a_table_of_plain_columns(here, capsys) -> None:
    table = read_refl("spots.refl")
    np.savez("spots.npz", **table.columns)
    assert refine("start.expt", "spots.npz", "--json") == 0
    plain = printed(capsys)
    assert refine("start.expt", "spots.refl", "--json") == 0
    assert printed(capsys)["rmsd_mm"] == plain["rmsd_mm"]


# ---------------------------------------------------------------------------------- its options

PLAIN = ("start.expt", "spots.refl", "--json")


def test_gauges_tell_one_answer(here, capsys) -> None:
    assert refine(*PLAIN) == 0
    published = printed(capsys)
    assert published["gauge"]["kind"] == "published"
    assert refine(*PLAIN, "--gauge", "zero-sum", "--out-of-plane") == 0
    zero = printed(capsys)
    assert refine(*PLAIN, "--gauge", "anchored", "--anchor", "2") == 0
    anchored = printed(capsys)
    for found in (zero, anchored):
        # to rounding: the gauge is a way of speaking
        np.testing.assert_allclose(found["rmsd_mm"], published["rmsd_mm"], rtol=1e-12)
        assert len(found["gauge"]["whole"]) == 6
        assert len(found["gauge"]["own"]) == 36
    own = {row["name"]: row for row in anchored["gauge"]["own"]}
    assert own["Detector1Group2Dist"]["sigma"] < 1e-6  # mm
    assert own["Detector1Group3Dist"]["sigma"] > 1e-4
    assert "Detector1Group2Dist is held" in anchored["gauge"]["sentences"]
    anchor = anchored["panels"][1]["sigma"]
    assert max(anchor.values()) < 1e-6
    rows = [f["panels"][1]["sigma"]["normal_mm"] for f in (zero, published)]
    assert min(rows) > 1e-4
    assert abs(rows[0] / rows[1] - 1.0) > 0.01  # within the detector, and in the lab


def test_weak_modes_are_told(here, capsys) -> None:
    assert refine("start.expt", "spots.refl", "--weak-modes", "2", "--gauge", "zero-sum") == 0
    said = capsys.readouterr().out
    found = json.loads(Path("out/result.json").read_text())
    modes = found["weak_modes"]["modes"]
    assert len(modes) == 2
    assert 0.0 < modes[0]["eigenvalue"] <= modes[1]["eigenvalue"] < 1.0
    assert modes[0]["sentence"] in said
    assert "condition number of the scaled normal matrix" in said
    assert "Detector1: the sum of shift along fast over its groups is 0" in said
    assert "Detector1 turn about the normal [mrad] " in said
    assert refine(*PLAIN, "--weak-modes", "1", "--constraint", "Dist") == 0
    tied = printed(capsys)["weak_modes"]
    assert "for 37 parameters" in tied["sentences"][0]


def test_constraints_and_restraints(here, capsys) -> None:
    assert refine(*PLAIN, "--constraint", "Dist,Tau1", "--constraint", "Shift2") == 0
    found = printed(capsys)
    assert found["n_parameters"] == 36 + 6 - 3 * 5
    moved = [p["value"] - p["start"] for p in found["parameters"] if p["name"].endswith("Tau1")]
    np.testing.assert_allclose(moved, moved[0], rtol=0, atol=1e-9)
    target = "57.9,57.9,150.2,90,90,90:1e-4,0,1e-4,0,0,0"
    assert refine(*PLAIN, "--restrain-cell", target) == 0
    # some 1e-2 of a width of 1e-4 is left to the data
    np.testing.assert_allclose(
        printed(capsys)["cells"][0]["cell"], [57.9, 57.9, 150.2, 90, 90, 90], rtol=0, atol=2e-3
    )


@pytest.mark.parametrize(
    ("options", "more"),
    [(("--iqr-multiplier", "3"), False), (("--outlier", "null"), False),
     (("--iqr-multiplier", "0.7"), True), (("--no-separate-panels",), None)],
)  # fmt: skip
def test_outlier_options(options, more, here, capsys) -> None:
    assert refine(*PLAIN) == 0
    usual = printed(capsys)["n_outliers"]
    assert refine(*PLAIN, *options) == 0
    found = printed(capsys)["n_outliers"]
    assert found != usual
    if more is not None:
        assert (found > usual) == more


def test_experiments_apart_or_together(here, capsys) -> None:
    """Two crystals of unequal spread: together the worse one has more outliers."""
    one, table = read_expt("start.expt")[0], read_refl("spots.refl")
    second = replace(one, identifier="other", crystal=replace(one.crystal))
    write_expt("two.expt", [one, second])
    ids = (np.arange(len(table)) % 2).astype(table["id"].dtype)
    xyz = table["xyzobs.mm.value"].copy()
    xyz[ids == 1, :2] += np.random.default_rng(3).normal(0.0, 0.1, (int(ids.sum()), 2))
    both = replace(table, identifiers={0: one.identifier, 1: "other"})
    write_refl("two.refl", both.with_columns({"id": ids, "xyzobs.mm.value": xyz}))
    left = []
    for option in ("--separate-experiments", "--no-separate-experiments"):
        assert refine("two.expt", "two.refl", "--json", option) == 0
        left.append([row["n"] for row in printed(capsys)["by_experiment"]])
    assert left[1][1] < left[0][1]


def test_a_random_subset(here, capsys) -> None:
    assert refine(*PLAIN, "--reflections-per-degree", "30") == 0
    assert printed(capsys)["n_used"] == 30 * 45
    assert refine(*PLAIN, "--reflections-per-degree", "30", "--set", "seed=3") == 0
    assert refine(*PLAIN, "--reflections-per-degree", "all") == 0


def test_loss_steps_and_target(here, capsys) -> None:
    assert refine(*PLAIN, "--outlier", "null", "--weak-modes", "1") == 0
    plain = printed(capsys)
    assert refine(*PLAIN, "--outlier", "null", "--loss", "huber") == 0
    robust = printed(capsys)
    assert robust["n_used"] == plain["n_used"]
    assert robust["objective"] != plain["objective"]
    target = ("--engine", "levmar", "--bin-size-fraction", "0.5")
    assert refine(*PLAIN, *target) == 0
    assert printed(capsys)["reason"] == "RMSD target achieved"


def test_parallax_is_made_anew(here, capsys) -> None:
    def thick(name: str) -> None:
        (e,) = read_expt(name)
        modules = tuple(
            replace(m, parallax=True, thickness_mm=2.0, mu_per_mm=1.0) for m in e.detector.modules
        )
        write_expt(f"thick_{name}", [replace(e, detector=replace(e.detector, modules=modules))])

    thick("start.expt")
    assert refine("thick_start.expt", "spots.refl", "--parallax", "--json") == 0
    found = printed(capsys)
    changes = found["parallax_changes_mm"]
    assert 2 <= len(changes) <= 5
    assert changes[-1] < 1e-5 < changes[0]
    assert refine("thick_start.expt", "spots.refl", "--parallax", "--again") == 0
    assert f"parallax made anew {len(changes)} times" in capsys.readouterr().out


def test_help_has_its_options_in_groups(capsys) -> None:
    assert metrology("refine", "--help") == 0
    said = capsys.readouterr().out
    places = [
        said.find(f"\n{title}:\n")
        for title in ("Arguments", "Options", "What moves", "Which reflections count",
                      "How it is done")
    ]  # fmt: skip
    assert -1 not in places
    assert places == sorted(places)
    assert metrology("import", "--help") == 0
    assert "list[str]" not in capsys.readouterr().out


# ---------------------------------------------------------------------------------- the others


def test_show(here, capsys) -> None:
    assert metrology("show", "start.expt", "spots.refl", "--json") == 0
    found = printed(capsys)
    assert found["start.expt"]["panels"] == 6
    assert found["start.expt"]["space_group"] == "P 4"
    assert found["spots.refl"]["reflections"] == 2400
    assert found["spots.refl"]["flags: indexed"] == 2400
    assert metrology("show", "start.expt") == 0
    assert "oscillation_deg      10, 0.15" in capsys.readouterr().out


def test_predict_sees_what_was_simulated(here, capsys) -> None:
    """Every simulated reflection is among the predictions, and there are not many times more."""
    assert metrology("predict", "truth.expt", "--d-min-angstrom", "2", "-o", "p.refl") == 0
    assert capsys.readouterr().out.endswith("wrote p.refl\n")
    predicted, simulated = read_refl("p.refl"), read_refl("spots.refl")

    def keys(table) -> set:
        return set(zip(*table["miller_index"].T.tolist(), table["entering"].tolist(), strict=True))

    assert keys(simulated) <= keys(predicted)
    assert np.all(predicted["d"] >= 2.0)


def test_simulate_then_refine(here, capsys) -> None:
    small = ("simulate", "start.expt", "--d-min-angstrom", "3", "--outliers", "0", "-o", "sim")
    assert metrology(*small, "--set", "shift_mm=[0.0,0.0,0.0]", "--set", "position_mm=[0,0]") == 0
    start, truth = (read_expt(f"sim/{name}.expt")[0].detector for name in ("start", "truth"))
    centre = np.array([0.5 * 487 * 0.172, 0.5 * 195 * 0.172, 1.0])
    np.testing.assert_allclose(truth.d @ centre, start.d @ centre, rtol=0, atol=1e-9)
    capsys.readouterr()
    assert metrology(*small, "--reflections-per-panel", "30") == 0
    assert capsys.readouterr().out.startswith("180 reflections on 6 panels")
    assert metrology("refine", "sim/start.expt", "sim/simulated.refl", *REFINE, "-o", "out") == 0
    assert json.loads(Path("sim/truth.json").read_text())["outliers"] == 0


def test_report_of_any_files(here) -> None:
    assert refine("start.expt", "spots.refl") == 0
    after = ("report", "out/refined.expt", "out/refined.refl", "--before", "start.expt")
    assert metrology(*after, "-o", "page") == 0
    assert "residual_vectors" in Path("page/report.html").read_text()
    assert Path("page/figures/panel_moves.png").stat().st_size > 10_000


def test_refine_writes_the_report_unless_told_not_to(here, monkeypatch) -> None:
    written = []
    monkeypatch.setattr(
        "refimpl.report.metrology.write_report", lambda result, folder: written.append(folder)
    )
    assert metrology("refine", "start.expt", "spots.refl", "-o", "out") == 0
    assert written == [Path("out")]
    assert refine("start.expt", "spots.refl", "--again") == 0
    assert written == [Path("out")]


# ---------------------------------------------------------------------------------- images

HEADER = """\
# Detector: PILATUS, simulated
# Pixel_size 172e-6 m x 172e-6 m
# Silicon sensor, thickness 0.000320 m
# Exposure_time 0.1 s
# Count_cutoff 100000 counts
# Wavelength 0.97 A
# Detector_distance 0.2 m
# Beam_xy (250.0, 100.0) pixels
# Start_angle {start:.4f} deg.
# Angle_increment 0.5000 deg.
"""
SPOTS = ((40, 60, 1), (120, 300, 2), (33, 471, 0))
"""First slow and fast pixel, and image, of squares of 3 x 3 pixels."""


@pytest.fixture
def scan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three images of a single module with three spots on a flat background."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(6)
    for k in range(3):
        image = rng.poisson(4.0, (195, 487)).astype(np.int32)
        for slow, fast, where in SPOTS:
            if where == k:
                image[slow : slow + 3, fast : fast + 3] += 300
        write_cbf(f"x_{k + 1:04d}.cbf", image, HEADER.format(start=10.0 + 0.5 * k))
    return tmp_path


def test_from_images_to_a_picture(scan, capsys) -> None:
    assert metrology("import", "x_####.cbf") == 0
    assert "image_range               1, 3" in capsys.readouterr().out
    find = ("find-spots", "imported.expt", "-o", "spots", "--json")
    assert metrology(*find) == 0
    found = printed(capsys)
    assert found["spots_per_image"] == [1, 1, 1]
    table = read_refl("spots/strong.refl")
    expected = sorted((f + 1.5, s + 1.5, k + 0.5) for s, f, k in SPOTS)
    # px, images: the background of 4 in 300 pulls by nothing, its noise by some 0.01
    np.testing.assert_allclose(sorted(table["xyzobs.px.value"].tolist()), expected, atol=0.05)
    assert metrology(*find) == 0
    assert "spots: done before with the same input and settings, kept" in capsys.readouterr().err
    both = table.with_columns({"xyzcal.px": table["xyzobs.px.value"]})
    write_refl("both.refl", both)
    assert metrology("view", "imported.expt", "both.refl", "--image", "2") == 0
    assert capsys.readouterr().out == "1 found, 1 predicted\nwrote view.png\n"
    assert Path("view.png").read_bytes()[:4] == b"\x89PNG"


def test_tables_of_corrections_are_imported(scan, capsys) -> None:
    """A maker's tables say that all is 1 px on along fast and half a pixel back along slow."""
    one = np.ones((195, 487))
    write_corrections(".", one, -0.5 * one)
    tables = ("--x-corrections", "x_geo_corr.cbf", "--y-corrections", "y_geo_corr.cbf")
    assert metrology("import", "x_####.cbf", *tables) == 0
    (plain,), (made,) = (read_expt("imported.expt") for _ in range(2))
    assert made.detector.modules[0].parallax
    at = np.array([0]), np.array([40.5]), np.array([60.5])
    x, y = plain.detector.pixel_to_mm(*at)
    x_too, y_too = pixels_to_mm(made, *at)
    # along the ray, so but for the parallax's change over a pixel
    np.testing.assert_allclose([x_too - x, y_too - y], [[0.172], [-0.086]], rtol=0, atol=1e-3)
    back = mm_to_pixels(made, at[0], x_too, y_too)
    np.testing.assert_allclose(np.array(back).ravel(), [40.5, 60.5], rtol=0, atol=2e-3)
    write_corrections(".", one, one, "xds")
    tables = ("--x-corrections", "X-CORRECTIONS.cbf", "--y-corrections", "Y-CORRECTIONS.cbf")
    assert metrology("import", "x_####.cbf", *tables, "-o", "xds.expt") == 0
    assert not read_expt("xds.expt")[0].detector.modules[0].parallax  # it is in the tables
    capsys.readouterr()
    said = refused(capsys, "import", "x_####.cbf", *tables[:2], "-o", "no.expt")
    assert said == "--x-corrections and --y-corrections: give both or neither"
    other = ("--x-corrections", "none.cbf", "--y-corrections", "none.cbf")
    said = refused(capsys, "import", "x_####.cbf", *other, "-o", "no.expt")
    assert said.endswith("none.cbf: no such table of corrections")
    said = refused(
        capsys, "import", "x_####.cbf", "--x-corrections", "x_0001.cbf", "--y-corrections",
        "X-CORRECTIONS.cbf", "-o", "no.expt",
    )  # fmt: skip
    assert said.endswith("X-CORRECTIONS.cbf: a table of layout xds beside one of geometry")


def test_nexus_is_imported(scan, capsys) -> None:
    """A small NXmx file: beam, detector, goniometer and scan as it states them."""
    write_nxmx(Path("small.nxs"))
    assert metrology("import", "small.nxs", "-o", "nexus.expt") == 0
    assert "image_range               1, 3" in capsys.readouterr().out
    (made,) = read_expt("nexus.expt")
    assert made.beam.wavelength_angstrom == pytest.approx(0.97625)
    assert made.scan.oscillation_deg == pytest.approx((10.0, 0.2))
    assert abs(made.detector.d[0, 2, 2]) == pytest.approx(100.0)
    assert metrology("find-spots", "nexus.expt", "-o", "spots", "--json") == 0
    assert printed(capsys)["spots_per_image"] == [1, 0, 1]
    said = refused(capsys, "import", "small.nxs", "x_0001.cbf", "-o", "no.expt")
    assert said == "small.nxs: a NeXus file states its own panels and images: give it alone"
    Path("cut.nxs").write_bytes(Path("small.nxs").read_bytes()[:1000])
    assert refused(capsys, "import", "cut.nxs", "-o", "no.expt").startswith("cut.nxs: ")


def write_nxmx(path: Path) -> None:
    """Three images of one module 100 mm behind the sample, which omega turns; spots on two."""

    def step(file: h5py.File, name: str, value, kind: str, units: str, vector, on: str) -> None:
        node = file.create_dataset(name, data=value)
        node.attrs.update(transformation_type=kind, units=units, vector=vector, depends_on=on)

    images = np.random.default_rng(2).poisson(4.0, (3, 80, 100)).astype(np.int32)
    images[0, 20:23, 30:33] += 300
    images[2, 60:63, 70:73] += 300
    detector = "/entry/instrument/detector"
    with h5py.File(path, "w") as file:
        for name, kind in (
            ("/entry", "NXentry"), ("/entry/instrument", "NXinstrument"), (detector, "NXdetector"),
            (f"{detector}/transformations", "NXtransformations"),
            (f"{detector}/module", "NXdetector_module"), ("/entry/instrument/beam", "NXbeam"),
            ("/entry/sample", "NXsample"),
            ("/entry/sample/transformations", "NXtransformations"), ("/entry/data", "NXdata"),
        ):  # fmt: skip
            file.require_group(name).attrs["NX_class"] = kind
        file["/entry/data/data"] = images
        file["/entry/data"].attrs["signal"] = "data"
        node = file[detector]
        node["saturation_value"], node["sensor_material"] = 100_000, "Si"
        node["sensor_thickness"] = 450e-6
        node["sensor_thickness"].attrs["units"] = "m"
        away = f"{detector}/transformations/distance"
        step(file, away, 0.1, "translation", "m", (0, 0, 1), ".")
        module = file[f"{detector}/module"]
        module["data_origin"], module["data_size"] = (0, 0), (80, 100)
        for name, vector in (("fast", (-1, 0, 0)), ("slow", (0, -1, 0))):
            place = f"{detector}/module/{name}_pixel_direction"
            step(file, place, 75e-6, "translation", "m", vector, away)
        file["/entry/instrument/beam/incident_wavelength"] = 0.97625
        file["/entry/instrument/beam/incident_wavelength"].attrs["units"] = "angstrom"
        turn = "/entry/sample/transformations/omega"
        file["/entry/sample/depends_on"] = turn
        step(file, turn, 10.0 + 0.2 * np.arange(3), "rotation", "deg", (-1, 0, 0), ".")


def test_images_beside_their_experiment(scan, capsys) -> None:
    """A folder that was moved is found by the place of its .expt file."""
    assert metrology("import", str(scan / "x_####.cbf"), "-o", "imported.expt") == 0
    moved = scan.parent / f"{scan.name}-moved"
    scan.rename(moved)
    try:
        assert metrology("find-spots", moved / "imported.expt", "-o", moved / "spots") == 0
    finally:
        moved.rename(scan)


def test_images_of_another_detector(scan, capsys) -> None:
    assert metrology("import", "x_####.cbf") == 0
    capsys.readouterr()
    write_cbf("x_0001.cbf", np.zeros((100, 100), dtype=np.int32), HEADER.format(start=10.0))
    said = refused(capsys, "find-spots", "imported.expt", "-o", "spots")
    assert said == (
        "x_0001.cbf: an image of 100 x 100 pixels (fast x slow): the detector has 487 x 195; it "
        "is of another one"
    )
    said = refused(capsys, "view", "imported.expt", "--image", "9")
    assert said == "image 9: the scan has images 1 to 3"
    said = refused(capsys, "view", "imported.expt", "--image", "2", "--window", "600:700,0:9")
    assert said == "window (600, 0, 700, 9): an image of 487 x 195 px (fast x slow)"
    said = refused(capsys, "find-spots", "imported.expt", "--set", "gain=-1", "-o", "spots")
    assert said == "gain=-1: expected a positive number or None"


@pytest.mark.slow
def test_import_find_and_view(real_data, tmp_path, monkeypatch, capsys) -> None:
    """Two images of thaumatin: spots as published counts say, a picture with circles."""
    monkeypatch.chdir(tmp_path)
    images = [real_data(f"thaumatin-grid/thau_3_2_{k:04d}.cbf.bz2") for k in (2, 3)]
    assert metrology("import", *images, "--multi-panel") == 0
    assert "panels                    60" in capsys.readouterr().out
    find = ("find-spots", "imported.expt", "--min-spot-size", "3", "-o", "spots", "--json")
    assert metrology(*find) == 0
    found = printed(capsys)
    assert found["images"] == 2
    table = read_refl("spots/strong.refl")
    assert len(table) == found["spots"] > 2000
    assert metrology(*find) == 0
    assert "kept" in capsys.readouterr().err
    window = ("--window", "1000:1300,1000:1200")
    assert metrology("view", "imported.expt", "spots/strong.refl", *window, "-o", "v.png") == 0
    said = capsys.readouterr().out
    assert said.endswith("wrote v.png\n")
    assert int(said.split()[0]) == int(np.count_nonzero(table["xyzobs.px.value"][:, 2] < 1.0))
    assert Path("v.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_index(real_data, tmp_path, monkeypatch, capsys) -> None:
    """th82 with the tutorial's command: at least 13,804 of 13,805."""
    monkeypatch.chdir(tmp_path)
    files = [real_data(f"metrology/index/i04_60_{n}") for n in ("imported.expt", "strong.refl")]
    known = ("--space-group", "P4", "--unit-cell", "57.8,57.8,150,90,90,90")
    assert metrology("index", *files, *known, "-o", "ix", "--json") == 0
    found = printed(capsys)
    assert found["n_indexed"] >= 13_804
    assert found["cell"][0] == pytest.approx(57.78, abs=0.02)
    assert {p.name for p in Path("ix").iterdir()} == {
        "indexed.expt", "indexed.refl", "index.log", "index.json", "done.json",
    }  # fmt: skip


# ---------------------------------------------------------------------------------- bad input


def refused(capsys, *arguments: object, code: int = 2) -> str:
    """The one line of stderr, without its beginning; nothing is made or left behind."""
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    assert metrology(*arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("refimpl: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*") if p != Path()} == before
    return said.err[len("refimpl: ") : -1]


def refused_table(capsys, table, *options: str, code: int = 2) -> str:
    write_refl("bad.refl", table)
    return refused(
        capsys, "refine", "start.expt", "bad.refl", *REFINE, *options, "-o", "out", code=code
    )


def test_missing_files(here, capsys) -> None:
    said = refused(capsys, "refine", "none.expt", "spots.refl", "-o", "out")
    assert said == "none.expt: cannot be read: No such file or directory"
    said = refused(capsys, "refine", "start.expt", "none.refl", "-o", "out")
    assert said == "none.refl: cannot be read: No such file or directory"
    said = refused(capsys, "refine", "start.expt", "none.npz", "-o", "out")
    assert said == "none.npz: no such file"
    assert refused(capsys, "import", "no_####.cbf").endswith("no images found")


def test_a_pickle_is_refused_and_never_loaded(here, capsys) -> None:
    class Trap:
        def __reduce__(self):
            return (Path("loaded").touch, ())

    for name in ("bad.refl", "bad.expt"):
        Path(name).write_bytes(pickle.dumps(Trap()))
    said = refused(capsys, "refine", "start.expt", "bad.refl", "-o", "out")
    assert "bad.refl" in said
    assert "pickle" in said
    assert "pickle" in refused(capsys, "refine", "bad.expt", "spots.refl", "-o", "out")
    np.savez("bad.npz", flags=np.array([{"a": 1}], dtype=object))
    said = refused(capsys, "refine", "start.expt", "bad.npz", "-o", "out")
    assert said == "bad.npz: not an .npz file of plain columns"
    assert not Path("loaded").exists()


@pytest.mark.parametrize("column", ["miller_index", "xyzobs.mm.value", "xyzobs.mm.variance", "id"])
def test_missing_columns(column, here, capsys) -> None:
    said = refused_table(capsys, read_refl("spots.refl").without(column))
    assert said.startswith("bad.refl: ")
    assert f"missing column {column}" in said


def test_reflections_of_another_detector(here, capsys) -> None:
    table = read_refl("spots.refl")
    panel = table["panel"].copy()
    panel[7] = 60
    said = refused_table(capsys, table.with_columns(panel=panel))
    assert "row 7 is on panel 60: the detector of experiment 0 has 6 panels" in said
    said = refused_table(capsys, replace(table, identifiers={0: "another"}))
    assert "id 0 is of experiment 'another'" in said


def test_reflections_of_another_experiment(here, capsys) -> None:
    table = read_refl("spots.refl")
    ids = table["id"].copy()
    ids[3] = 4
    said = refused_table(capsys, table.with_columns(id=ids))
    assert "row 3 is of experiment 4: the list has 1, from 0" in said


@pytest.mark.parametrize("command", ["refine", "validate"])
@pytest.mark.parametrize("lost", ["scan", "goniometer"])
def test_a_scan_that_was_lost(command, lost, here, capsys) -> None:
    (e,) = read_expt("start.expt")
    write_expt("lost.expt", [replace(e, **{lost: None})])
    said = refused(capsys, command, "lost.expt", "spots.refl", "-o", "out")
    assert said.startswith(f"lost.expt: experiment 0 has no {lost}, so it is a still, but ")


def test_rows_in_any_order_give_the_same(here, capsys) -> None:
    """Unsorted tables are no error: the order of rows has no say in a refinement."""
    assert refine("start.expt", "spots.refl", "--json") == 0
    expected = printed(capsys)
    table = read_refl("spots.refl")
    write_refl("mixed.refl", table.select(np.random.default_rng(1).permutation(len(table))))
    assert refine("start.expt", "mixed.refl", "--json") == 0
    found = printed(capsys)
    assert found["n_used"] == expected["n_used"]
    # sums in another order
    np.testing.assert_allclose(found["rmsd_mm"], expected["rmsd_mm"], rtol=1e-9)


@pytest.mark.parametrize("value", [-1.0, 0.0, np.nan])
def test_variances_that_are_none(value, here, capsys) -> None:
    table = read_refl("spots.refl")
    variance = table["xyzobs.mm.variance"].copy()
    variance[5, 1] = value
    said = refused_table(capsys, table.with_columns({"xyzobs.mm.variance": variance}))
    assert re.match(
        r"bad\.refl: 1 of 2\d+ rows of xyzobs\.mm\.variance are not positive, the first is row 5: ",
        said,
    )


def test_a_panel_without_data_is_named_and_held(here, capsys) -> None:
    table = read_refl("spots.refl")
    write_refl("five.refl", table.select(table["panel"] != 2))
    assert refine("start.expt", "five.refl", "--json") == 0
    found = printed(capsys)
    assert found["n_parameters"] == 5 * 6 + 6
    assert any(text.startswith("Detector1Group3: 0 reflections") for text in found["reduced"])
    told = ("refine", "start.expt", "five.refl", *REFINE, "--auto-reduction", "fail", "-o", "new")
    assert "Detector1Group3: 0 reflections" in refused(capsys, *told)


def test_all_rejected(here, capsys) -> None:
    table = read_refl("spots.refl").select(np.arange(0, 2400, 200))
    said = refused_table(capsys, table)
    assert said == (
        "bad.refl: all of 12 reflections are rejected as outliers by tukey: 12 lie in 6 jobs of "
        "fewer than 20; separate_panels = False makes larger jobs"
    )


def test_nothing_indexed(here, capsys) -> None:
    table = read_refl("spots.refl")
    none = table.with_columns(miller_index=np.zeros_like(table["miller_index"]))
    said = refused_table(capsys, none)
    assert said == "bad.refl: none of 2400 reflections is fit for refinement: 2400 not indexed"


def test_a_cell_that_does_not_match(real_data, here, capsys) -> None:
    files = [real_data(f"metrology/index/i04_60_{n}") for n in ("imported.expt", "strong.refl")]
    wrong = ("--space-group", "P4", "--unit-cell", "91,91,35,90,90,90")
    said = refused(capsys, "index", *files, *wrong, "-o", "ix", code=4)
    assert "cell" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--engine", "newton"), "engine 'newton': expected one of arrow, levmar, gauss_newton"),
        (("--preset", "old"), "selection preset 'old' is unknown: expected one of tutorial, cur"),
        (("--auto-reduction", "no"), "auto_reduction 'no': expected fix, fail or remove"),
        (("--fix", "detector.all,beam.tilt"), "beam.fix: unknown 'tilt': expected some of in_sp"),
        (("--fix", "detector.all,beam.all,crystal.all"), "every parameter is fixed: nothing to"),
        (("--hierarchy-level", "3"), "hierarchy level 3: this detector has levels 0 to 1"),
        (("--gauge", "free"), "--gauge 'free': expected one of published, anchored, zero-sum"),
        (("--gauge", "anchored"), "--gauge anchored: say which group with --anchor N, from 1"),
        (("--anchor", "2"), "--anchor 2 with --gauge published: it is of --gauge anchored alone"),
        (("--out-of-plane",), "--out-of-plane with --gauge published: it is of --gauge zero-sum"),
        (("--gauge", "zero-sum"), "gauge zero_sum: 1 group(s) of the detector move: nothing to"),
        (
            ("--hierarchy-level", "1", "--gauge", "anchored", "--anchor", "9"),
            "gauge anchor: Detector1Group9 is held or not there: the free ones are 1, 2, 3, 4, 5",
        ),
        (("--constraint", "Dist"), "constraint 'Dist' matches 1 free parameter(s): expected two"),
        (("--loss", "cauchy"), "loss 'cauchy': expected one of none, huber, biweight"),
        (("--loss", "huber", "--constraint", "g_param"), "loss huber and constraints g_param: cho"),
        (("--restrain-cell", "1,2"), "--restrain-cell '1,2': expected CELL:WIDTHS, six numbers"),
        (("--restrain-cell", "1,2,3,4,5,6:1,1,1,0,0,0:7"), "tie_to_target: crystal 7: there are 1"),
        (("--reflections-per-degree", "-3"), "--reflections-per-degree '-3': expected a positive"),
        (
            ("--outlier", "null", "--iqr-multiplier", "2"),
            "iqr_multiplier = 2.0 with outlier null: it is of tukey alone",
        ),
        (("--set", "speed=1"), "selection: 'speed' is unknown: expected one of close_to_spindle_c"),
        (("--parallax",), "refine_with_parallax: no panel has a parallax: nothing would change"),
    ],
)
def test_bad_options(options, said, here, capsys) -> None:
    given = ("refine", "start.expt", "spots.refl", "--no-report", *options, "-o", "new")
    assert refused(capsys, *given).startswith(said)


def test_bad_options_of_the_others(here, capsys) -> None:
    said = refused(capsys, "predict", "start.expt", "--d-min-angstrom", "-1")
    assert said == "d_min -1.0: expected a positive number of angstrom"
    said = refused(capsys, "predict", "start.expt", "--d-min-angstrom", "0.001")
    assert "lattice points, expected at most 50000000; raise the limit" in said
    bare = replace(read_expt("start.expt")[0], crystal=None)
    write_expt("bare.expt", [bare])
    said = refused(capsys, "predict", "bare.expt")
    assert said == "experiment 0 has no crystal: it cannot be predicted"
    said = refused(capsys, "simulate", "bare.expt", "-o", "x")
    assert said == "bare.expt: expected one rotation scan with a crystal"
    said = refused(capsys, "index", "start.expt", "spots.refl", "--unit-cell", "1,2", "-o", "x")
    assert said == "--unit-cell '1,2': expected six numbers a,b,c,alpha,beta,gamma"
    said = refused(capsys, "index", "start.expt", "spots.refl", "--set", "speed=1", "-o", "x")
    assert said.startswith("unknown setting 'speed': expected some of method, ")
    said = refused(capsys, "view", "start.expt", "--window", "a")
    assert said == "--window 'a': expected F0:F1,S0:S1 in pixels"
    assert "the experiment names no images" in refused(capsys, "view", "start.expt")
    write_expt("two.expt", read_expt("start.expt") * 2)
    said = refused(capsys, "find-spots", "two.expt", "-o", "x")
    assert said == "two.expt: 2 experiments: expected one"
    said = refused(capsys, "simulate", "--d-min-angstrom", "2", "-o", "x")
    assert said == "--d-min-angstrom goes with experiments of your own"
    for option in (("--outliers", "0.1"), ("--set", "position_mm=[0,1]")):
        said = refused(capsys, "simulate", "--tutorial", *option, "-o", "x")
        assert said.startswith("--tutorial has its own errors: ")
    said = refused(capsys, "simulate", "--set", "position_mm=3", "-o", "x")
    assert said == "position_mm = 3: expected 2 numbers, none negative"
    said = refused(capsys, "simulate", "--set", "shift_mm=[1,1,1]", "-o", "x")
    assert said.startswith("unknown size 'shift_mm': expected some of position_mm, ")
    said = refused(capsys, "simulate", "--reflections-per-panel", "9", "-o", "x")
    assert said == "--reflections-per-panel goes with experiments of your own"
    said = refused(capsys, "simulate", "start.expt", "--tutorial", "-o", "x")
    assert said == "--tutorial has its own experiment and resolution limit"


def test_images_that_are_none(real_data, here, capsys) -> None:
    image = real_data("thaumatin-grid/thau_3_2_0001.cbf.bz2").read_bytes()
    import bz2

    whole = bz2.decompress(image)
    Path("cut_0001.cbf").write_bytes(whole[: len(whole) // 2])
    assert metrology("import", "cut_0001.cbf") == 0  # its header is whole
    capsys.readouterr()
    said = refused(capsys, "find-spots", "imported.expt", "-o", "spots")
    assert said.startswith("cut_0001.cbf: ")
    said = refused(capsys, "view", "imported.expt", "-o", "v.png")
    assert "cut_0001.cbf: truncated: the pixels have" in said
    Path("head_0001.cbf").write_bytes(whole[:1500])
    said = refused(capsys, "import", "head_0001.cbf")
    assert said == "head_0001.cbf: truncated before its pixels"
    write_corrections(".", np.zeros((8, 8)), np.zeros((8, 8)))  # CBF without a header that tells
    said = refused(capsys, "import", "x_geo_corr.cbf", "-o", "no.expt")
    assert said.startswith("x_geo_corr.cbf: ")
    Path("text_0001.cbf").write_text("this is no image")
    assert refused(capsys, "import", "text_0001.cbf").startswith("text_0001.cbf: ")
    Path("cut_0001.cbf").unlink()
    assert (
        refused(capsys, "find-spots", "imported.expt", "-o", "x") == "cut_0001.cbf: no such image"
    )


def test_the_commands_of_the_page_are_those_of_the_program(capsys) -> None:
    """Every command and option that the how-to uses is in the help, and each command is there."""
    page = (Path(__file__).parents[2] / "docs/howto/metrology.md").read_text()
    lines = page.replace("\\\n", " ").splitlines()
    used = [line.split() for line in lines if line.startswith("$ refimpl metrology ")]
    used += [text.split() for text in re.findall(r"`(refimpl metrology [^`]+)`", page)]
    assert len(used) > 20
    helps: dict[str, str] = {}
    for words in used:
        at = words.index("metrology") + 1
        if at == len(words):
            continue
        name = words[at]
        if name not in helps:
            assert metrology(name, "--help") == 0
            helps[name] = capsys.readouterr().out
        for option in (word for word in words[at:] if word.startswith("-")):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", helps[name]), f"{name} {option}"
    assert metrology("--help") == 0
    there = re.findall(r"^  ([a-z][a-z-]+)  ", capsys.readouterr().out, re.MULTILINE)
    assert len(there) >= 14
    assert set(there) <= set(helps)
