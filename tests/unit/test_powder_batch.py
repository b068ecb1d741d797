"""A batch of frames: which they are, that none disturbs another, and going on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile

from refimpl.crystal.rings import rings
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import ConfigError, FormatError
from refimpl.forward.powder_image import simulate
from refimpl.io.geometry_json import write_geometry
from refimpl.powder.batch import calibrate_frames
from refimpl.powder.batch_frames import BatchFrame, find_frames
from refimpl.powder.batch_tables import frame_value, progress_line, write_tables
from refimpl.powder.config import config_from
from refimpl.scaleout import GaveUp, Interrupted, Outcome, Run

CONFIG = config_from({"wavelength_angstrom": 0.25, "pixel_size_mm": 0.2})
FRAMES = ("f1.tif", "f2.tif", "f10.tif")


@pytest.fixture(scope="module")
def scene(tmp_path_factory, small_model) -> Path:
    """Folder with three frames that differ in their noise, and the mask of all."""
    folder = tmp_path_factory.mktemp("scene")
    for seed, name in enumerate(FRAMES):
        frame = simulate(
            small_model, rings("CeO2", 0.25, 0.3), wavelength_angstrom=0.25,
            fwhm_rad=2e-3, peak_counts=2000.0, background=20.0, seed=seed,
        )  # fmt: skip
        tifffile.imwrite(folder / name, frame.image)
    tifffile.imwrite(folder / "mask.tif", frame.mask.astype(np.uint8))
    return folder


@pytest.fixture
def place(scene, tmp_path, monkeypatch) -> Path:
    """Work in a copy of it."""
    shutil.copytree(scene, tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(out: str, *places: str, **options: Any):
    mask = Path("in/mask.tif")
    frames = find_frames(places or ["in"], leave_out=[mask])
    arguments = {"config": CONFIG, "reading": {"mask": mask}, "jobs": 1, "engine": "threads"}
    return calibrate_frames(frames, out, **(arguments | options))


def names(*places: str, **options: Any) -> list[str]:
    return [frame.name for frame in find_frames(places, **options)]


# ---------------------------------------------------------------------------- which frames


def test_a_folder_is_its_images_in_natural_order(place) -> None:
    for name in ("notes.txt", ".hidden.tif", "a.poni"):
        (place / "in" / name).write_text("")
    (place / "in" / "below.tif").mkdir()  # a folder of a misleading name
    frames = find_frames(["in"], leave_out=[Path("in/mask.tif")])
    assert [f.name for f in frames] == ["f1", "f2", "f10"]
    assert [f.path for f in frames] == [Path("in") / name for name in FRAMES]
    assert all(f.index is None for f in frames)


def test_patterns_files_and_folders_together(place) -> None:
    assert names("in/f*.tif") == ["f1", "f2", "f10"]
    assert names("in/f2.tif", "in/f?.tif", "in/../in/f2.tif") == ["f2", "f1"]
    assert names("**/f1.tif") == ["f1"]
    Path("in/odd[1].tif").write_bytes(b"")
    assert names("in/odd[1].tif") == ["odd[1]"]  # a file that is there is no pattern


def test_an_eiger_series_is_its_master_file(place) -> None:
    for name in ("run_master.h5", "run_data_000001.h5", "lone_data_000001.h5"):
        (place / name).write_bytes(b"")
    assert names("*.h5") == ["lone_data_000001", "run_master"]
    assert names(".") == ["lone_data_000001", "run_master"]


def test_names_are_as_short_as_can_be(place) -> None:
    for folder in ("a", "b"):
        (place / folder).mkdir()
        for name in ("x.tif", "y.tif", "y.cbf", "z.edf.gz"):
            (place / folder / name).write_bytes(b"")
    assert names("a") == ["x", "y.cbf", "y.tif", "z"]
    assert names("a", "b/x.tif") == ["a_x.tif", "y.cbf", "y.tif", "z", "b_x.tif"]


def test_two_files_that_no_name_tells_apart(place) -> None:
    for folder in ("a/same", "b/same"):
        (place / folder).mkdir(parents=True)
        (place / folder / "x.tif").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"b/same/x\.tif: its results would lie in the same fold"):
        names("a/same", "b/same")


def test_every_frame_of_a_stack(place) -> None:
    with h5py.File("s.h5", "w") as file:
        file["images"] = np.ones((12, 20, 30), np.int32)
    tifffile.imwrite("one.tif", np.ones((20, 30), np.int32))
    Path("broken.h5").write_bytes(b"no image")
    frames = find_frames(["s.h5"], each=True)
    assert [f.name for f in frames[:2]] == ["s_00", "s_01"]
    assert [f.index for f in frames] == list(range(12))
    assert names("s.h5", each=True, frames=slice(9, None)) == ["s_09", "s_10", "s_11"]
    assert names("s.h5", each=True, frames=3, dataset="images") == ["s_03"]
    assert names("one.tif", "broken.h5", each=True) == ["one", "broken"]
    assert names("s.h5", frames=3) == ["s"]
    with pytest.raises(ConfigError, match=r"s\.h5: frame 12 does not exist: the file has 12 frame"):
        find_frames(["s.h5"], each=True, frames=12)


@pytest.mark.parametrize(
    ("place_", "kind", "message"),
    [
        ("none/*.tif", ConfigError, r"^none/\*\.tif: no file matches this pattern$"),
        ("none.tif", FormatError, r"^none\.tif: no such file$"),
        ("empty", ConfigError, r"^empty: no image in this folder$"),
        (None, ConfigError, r"^no image: give files, folders or patterns$"),
    ],
)
def test_nothing_to_work_on(place_, kind, message, place) -> None:
    Path("empty").mkdir()
    with pytest.raises(kind, match=message):
        find_frames([] if place_ is None else [place_])


# ---------------------------------------------------------------------------- the same for all


def test_the_result_depends_on_nothing_but_the_input(place) -> None:
    ways: dict[str, dict[str, Any]] = {
        "alone": {"engine": "serial"},
        "three": {"engine": "threads", "jobs": 3},
        "parsl": {"engine": "parsl", "jobs": 2},
    }
    results = {out: run(out, **options) for out, options in ways.items()}
    assert all(result.converged for result in results.values())
    assert [results[out].engine for out in ways] == ["serial", "3 threads", "Parsl, 2 threads"]
    for out in ("three", "parsl"):
        for name in ("summary.csv", "f1/points.csv", "f2/points.csv", "f10/points.csv"):
            assert (place / out / name).read_bytes() == (place / "alone" / name).read_bytes()


def test_the_table_holds_every_parameter_and_its_uncertainty(place, small_model) -> None:
    result = run("out", "in/f1.tif", "in/f2.tif")
    table = pd.read_csv("out/summary.csv")
    assert list(table["name"]) == ["f1", "f2"]
    assert list(table["file"]) == ["in/f1.tif", "in/f2.tif"]
    assert list(table["status"]) == ["converged"] * 2
    saved = json.loads(Path("out/f2/result.json").read_text())
    for p in saved["parameters"]:
        unit = f"_{p['unit']}" if p["unit"] else ""
        # 12 digits are written
        assert table[f"{p['name']}{unit}"][1] == pytest.approx(p["value"], rel=1e-11)
        assert table[f"sigma_{p['name']}{unit}"][1] == pytest.approx(p["sigma"], rel=1e-11)
    assert table["mean_strain"][1] == pytest.approx(saved["strain"]["clip_mean"], rel=1e-11)
    off = abs(table["Lsd_mm"] - small_model.lsd_mm) / table["sigma_Lsd_mm"]
    assert np.all(off < 4.0)  # sigma: once in 8000 tests of two frames
    assert result.rows[1]["Lsd_mm"] == saved["parameters"][0]["value"]


# ---------------------------------------------------------------------------- going on


def stamps(out: str) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in Path(out).glob("*/result.json")}


def redone(before: dict[str, int], out: str = "out") -> set[str]:
    return {name for name, stamp in stamps(out).items() if stamp != before.get(name)}


def test_only_what_changed_is_done_again(place, small_model) -> None:
    run("out")
    table, before = Path("out/summary.csv").read_bytes(), stamps("out")
    assert len(before) == 3
    result = run("out")
    assert redone(before) == set()
    assert Path("out/summary.csv").read_bytes() == table
    assert result.engine == "nothing: all was done before"

    image = tifffile.imread("in/f2.tif")
    image[0, 0] += 1
    tifffile.imwrite("in/f2.tif", image)
    run("out")
    assert redone(before) == {"f2"}

    before = stamps("out")
    shutil.rmtree("out/f10")
    run("out")
    assert redone(before) == {"f10"}

    before = stamps("out")
    write_geometry(Path("g.json"), small_model, 0.25)
    run("out", "in/f1.tif", geometry="g.json")
    assert redone(before) == {"f1"}
    os.utime("g.json", ns=(0, 0))
    before = stamps("out")
    run("out", "in/f1.tif", geometry="g.json")
    assert redone(before) == {"f1"}

    before = stamps("out")
    coarse = config_from({"eta_bin_deg": 10.0}, base=CONFIG)
    run("out", "in/f1.tif", geometry="g.json", config=coarse)
    assert redone(before) == {"f1"}
    before = stamps("out")
    run("out", "in/f1.tif", geometry="g.json", config=coarse, again=True)
    assert redone(before) == {"f1"}


def test_a_report_that_is_asked_for_later_is_made(place) -> None:
    run("out", "in/f1.tif")
    assert not Path("out/f1/report.html").exists()
    run("out", "in/f1.tif", report=True)
    before = stamps("out")
    assert Path("out/f1/report.html").exists()
    run("out", "in/f1.tif", report=True)
    run("out", "in/f1.tif")
    assert redone(before) == set()


def test_an_interrupted_batch_goes_on(place, monkeypatch) -> None:
    module = sys.modules["refimpl.powder.calibrate"]
    real = module.calibrate

    def stop_at_the_second(source: Any, **options: Any) -> Any:
        if source.path.name == "f2.tif":
            raise KeyboardInterrupt
        return real(source, **options)

    monkeypatch.setattr(module, "calibrate", stop_at_the_second)
    with pytest.raises(Interrupted):
        run("out")
    table = pd.read_csv("out/summary.csv")
    assert list(table["status"]) == ["converged", "not done", "not done"]
    before = stamps("out")
    assert set(before) == {"f1"}
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert run("out").converged
    assert redone(before) == {"f2", "f10"}
    run("whole")
    assert Path("out/summary.csv").read_bytes() == Path("whole/summary.csv").read_bytes()


def test_a_batch_whose_engine_died_keeps_its_table(place, monkeypatch) -> None:
    def die(function: Any, blocks: Any, **options: Any) -> Run:
        raise GaveUp("nodes: the workers are gone", Run((), "nodes"))

    monkeypatch.setattr("refimpl.powder.batch.run_blocks", die)
    with pytest.raises(GaveUp, match="the workers are gone"):
        run("out")
    assert list(pd.read_csv("out/summary.csv")["status"]) == ["not done"] * 3


def test_ctrl_c_reaches_a_calibration_between_its_stages(place, monkeypatch) -> None:
    stages: list[str] = []

    def stop() -> None:
        stages.append("")
        if len(stages) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("refimpl.powder.batch.checkpoint", stop)
    with pytest.raises(Interrupted):
        run("out", "in/f1.tif")
    assert len(stages) == 3
    assert not Path("out/f1").exists()


# ---------------------------------------------------------------------------- what goes wrong


def test_a_bad_frame_fails_alone_and_leaves_no_old_result(place) -> None:
    run("out")
    tifffile.imwrite("in/f2.tif", np.full((380, 400), 3, np.int32))
    result = run("out")
    assert not result.converged
    assert [result.count(s) for s in ("converged", "failed", "not converged")] == [2, 1, 0]
    table = pd.read_csv("out/summary.csv")
    assert list(table["status"]) == ["converged", "failed", "converged"]
    assert table["error"][1] == "in/f2.tif: constant: every unmasked pixel holds 3"
    assert np.isnan(table["Lsd_mm"][1])
    assert not Path("out/f2/result.json").exists()


def test_notes_of_a_frame_are_in_its_row(place) -> None:
    odd = config_from({"exclude_rings": (2,)}, base=CONFIG)
    result = run("out", "in/f1.tif", config=odd)
    assert result.rows[0]["notes"] == "Left out: ring 2."
    assert pd.read_csv("out/summary.csv")["notes"][0] == "Left out: ring 2."


def test_no_convergence_is_told_apart(place) -> None:
    hasty = config_from({"max_iterations": 1}, base=CONFIG)
    result = run("out", "in/f1.tif", config=hasty)
    assert result.count("not converged") == 1
    assert result.rows[0]["error"] == "stopped after 1 passes"
    assert result.rows[0]["Lsd_mm"] > 0.0


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"reading": {"mask": Path("no.tif")}}, FormatError, r"^no\.tif: no such file$"),
        ({"reading": {"dark": Path("no.tif")}}, FormatError, r"^no\.tif: no such file$"),
        ({"geometry": "no.poni"}, FormatError, r"^no\.poni: no such file$"),
        ({"config": config_from({"refine": ("tx",)}, base=CONFIG)}, ConfigError, "'tx' cannot be"),
        ({"engine": "pbs"}, ConfigError, r"^unknown engine 'pbs'"),
        ({"jobs": 0}, ConfigError, "threads"),
    ],
)
def test_what_every_frame_would_refuse_is_refused_at_once(options, kind, message, place) -> None:
    with pytest.raises(kind, match=message):
        run("out", **options)
    assert not list(place.glob("out/*"))


def test_no_frame(place) -> None:
    with pytest.raises(ConfigError, match=r"^no frame to calibrate$"):
        calibrate_frames([], "out", config=CONFIG)


# ---------------------------------------------------------------------------- tables and lines


def value(**changes: Any) -> dict[str, Any]:
    known = {
        "converged": True, "reason": "parameters stand still", "mean_strain": 4.53e-5, "notes": [],
        "parameters": [["Lsd", "mm", 250.00012, 4e-4], ["BC_fast", "px", 128.3001, 1e-3],
                       ["BC_slow", "px", 117.6, 1e-3], ["p0", "", 0.0, None]],
    }  # fmt: skip
    return known | changes


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (
            Outcome("f7", "done", value(), seconds=1.24),
            "[ 3/12] f7  Lsd 250.0001 mm  centre (128.300, 117.600) px  strain 45.3 µε  1.2 s",
        ),
        (
            Outcome("f7", "done", value(), seconds=1.24, kept=True),
            "[ 3/12] f7  Lsd 250.0001 mm  centre (128.300, 117.600) px  strain 45.3 µε  done befo"
            "re",
        ),
        (
            Outcome("f7", "done", value(converged=False, reason="no progress"), seconds=9.96),
            "[ 3/12] f7  NOT CONVERGED (no progress)  Lsd 250.0001 mm  centre (128.300, 117.600) "
            "px  strain 45.3 µε  10.0 s",
        ),
        (
            Outcome("f7", "done", value(notes=["Left out: ring 3.", "On the bound"]), seconds=1.24),
            "[ 3/12] f7  Lsd 250.0001 mm  centre (128.300, 117.600) px  strain 45.3 µε  1.2 s  2 n"
            "otes",
        ),
        (
            Outcome("f7", "failed", error="f7.tif: all dark"),
            "[ 3/12] f7  failed: f7.tif: all dark",
        ),
        (Outcome("f7", "interrupted"), "[ 3/12] f7  interrupted"),
    ],
)
def test_a_line_says_how_a_frame_ended(outcome, line) -> None:
    assert progress_line(outcome, 3, 12) == line


def test_panels_of_a_description_file(place, small_model) -> None:
    """The content of a file that the settings name counts: changed, all is done again."""
    names_ = ("fast0", "slow0", "n_fast", "n_slow")
    boxes = small_model.panel_boxes.tolist()
    panels = [
        dict(zip(names_, (f0, s0, f1 - f0, s1 - s0), strict=True)) for f0, s0, f1, s1 in boxes
    ]
    Path("grid.json").write_text(json.dumps({"frame": "model", "panel": panels}))
    config = config_from(
        {"panels_grid": "grid.json", "panel_refine": ("shift",)}, base=CONFIG
    )  # fmt: skip
    assert run("out", "in/f1.tif", config=config).converged
    table, before = pd.read_csv("out/panels.csv"), stamps("out")
    assert list(table["name"]) == ["f1"] * 4
    # px: panels without errors stay within 5 of their uncertainties
    assert np.all(np.abs(table["d_fast_px"]) < 5.0 * table["sigma_d_fast_px"])
    assert np.all(table["sigma_d_fast_px"] > 0.0)
    run("out", "in/f1.tif", config=config)
    assert redone(before) == set()
    Path("grid.json").write_text(json.dumps({"frame": "model", "panel": panels[::-1]}))
    run("out", "in/f1.tif", config=config)
    assert redone(before) == {"f1"}


def test_panels_have_a_table_of_their_own(tmp_path, small_result) -> None:
    fields = {name: getattr(small_result, name) for name in (
        "summary", "cross_validated", "converged", "reason", "iterations", "points", "parameters",
        "rms_px", "warnings")}  # fmt: skip
    corrections = np.arange(14.0).reshape(2, 7)
    sigma = np.full((2, 7), 0.5)
    sigma[1, 3] = np.nan
    stand_in = SimpleNamespace(
        **fields, panels=SimpleNamespace(corrections=corrections, sigma=sigma)
    )
    frame = BatchFrame("a", Path("a.tif"))
    with_panels = Outcome("a", "done", json.loads(json.dumps(frame_value(stand_in))))
    write_tables([frame], Run((with_panels,), ""), tmp_path)
    table = pd.read_csv(tmp_path / "panels.csv")
    assert list(table["panel"]) == [0, 1]
    for i, name in enumerate(PANEL_FIELDS):
        np.testing.assert_array_equal(table[name], corrections[:, i])
        np.testing.assert_array_equal(table[f"sigma_{name}"], sigma[:, i])
    assert "panels" not in pd.read_csv(tmp_path / "summary.csv")
    stand_in.panels = None
    without = Outcome("a", "done", frame_value(stand_in))
    write_tables([frame], Run((without,), ""), tmp_path)
    assert not (tmp_path / "panels.csv").exists()  # of an older run
