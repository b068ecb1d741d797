"""``refimpl metrology refine``: numbers, files, log, what is kept and what is fixed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.io.dials_files import read_expt, read_refl

REFINE = ["--hierarchy-level", "1", "--no-report"]


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def refine(*arguments: object) -> int:
    return metrology("refine", *arguments, *REFINE, "-o", "out")


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    captured = capsys.readouterr()
    return json.loads(captured.out)


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


def test_refine_writes_the_report_unless_told_not_to(here, monkeypatch) -> None:
    written = []
    monkeypatch.setattr(
        "refimpl.report.metrology.write_report", lambda result, folder: written.append(folder)
    )
    assert metrology("refine", "start.expt", "spots.refl", "-o", "out") == 0
    assert written == [Path("out")]
    assert refine("start.expt", "spots.refl", "--again") == 0
    assert written == [Path("out")]
