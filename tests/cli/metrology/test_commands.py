"""``refimpl metrology show``, ``predict``, ``simulate``, ``report``, and what the others refuse."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.io.dials_files import read_expt, read_refl, write_expt

REFINE = ["--hierarchy-level", "1", "--no-report"]


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def refine(*arguments: object) -> int:
    return metrology("refine", *arguments, *REFINE, "-o", "out")


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    captured = capsys.readouterr()
    return json.loads(captured.out)


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


def test_bad_options_of_the_others(here, refused) -> None:
    said = refused("predict", "start.expt", "--d-min-angstrom", "-1")
    assert said == "d_min -1.0: expected a positive number of angstrom"
    said = refused("predict", "start.expt", "--d-min-angstrom", "0.001")
    assert "lattice points, expected at most 50000000; raise the limit" in said
    bare = replace(read_expt("start.expt")[0], crystal=None)
    write_expt("bare.expt", [bare])
    said = refused("predict", "bare.expt")
    assert said == "experiment 0 has no crystal: it cannot be predicted"
    said = refused("simulate", "bare.expt", "-o", "x")
    assert said == "bare.expt: expected one rotation scan with a crystal"
    said = refused("index", "start.expt", "spots.refl", "--unit-cell", "1,2", "-o", "x")
    assert said == "--unit-cell '1,2': expected six numbers a,b,c,alpha,beta,gamma"
    said = refused("index", "start.expt", "spots.refl", "--set", "speed=1", "-o", "x")
    assert said.startswith("unknown setting 'speed': expected some of method, ")
    said = refused("view", "start.expt", "--window", "a")
    assert said == "--window 'a': expected F0:F1,S0:S1 in pixels"
    assert "the experiment names no images" in refused("view", "start.expt")
    write_expt("two.expt", read_expt("start.expt") * 2)
    said = refused("find-spots", "two.expt", "-o", "x")
    assert said == "two.expt: 2 experiments: expected one, or stills"
    said = refused("simulate", "--d-min-angstrom", "2", "-o", "x")
    assert said == "--d-min-angstrom goes with experiments of your own"
    for option in (("--outliers", "0.1"), ("--set", "position_mm=[0,1]")):
        said = refused("simulate", "--tutorial", *option, "-o", "x")
        assert said.startswith("--tutorial has its own errors: ")
    said = refused("simulate", "--set", "position_mm=3", "-o", "x")
    assert said == "position_mm = 3: expected 2 numbers, none negative"
    said = refused("simulate", "--set", "shift_mm=[1,1,1]", "-o", "x")
    assert said.startswith("unknown size 'shift_mm': expected some of position_mm, ")
    said = refused("simulate", "--reflections-per-panel", "9", "-o", "x")
    assert said == "--reflections-per-panel goes with experiments of your own"
    said = refused("simulate", "start.expt", "--tutorial", "-o", "x")
    assert said == "--tutorial has its own experiment and resolution limit"


def test_the_commands_of_the_page_are_those_of_the_program(capsys) -> None:
    """Every command and option that the how-to uses is in the help, and each command is there."""
    page = (Path(__file__).parents[3] / "docs/howto/metrology.md").read_text()
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
