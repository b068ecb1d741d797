"""``refimpl powder batch``: what it prints, writes and returns."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from refimpl.cli.main import main

OPTIONS = ["--wavelength-angstrom", "0.25", "--pixel-size-um", "300"]
BATCH = ["powder", "batch", "in", *OPTIONS, "-o", "out"]
LINE = (
    r"\[{}/2\] {}  Lsd 2[45]\d\.\d{{4}} mm  centre \(128\.\d+, 117\.\d+\) px  strain \d+\.\d µε  {}"
)


@pytest.fixture
def place(tmp_path, simulated, monkeypatch) -> Path:
    """Work where the folder ``in`` has two frames."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(f"in/{name}.tif", simulated.image)
    return tmp_path


def table() -> dict[str, dict[str, str]]:
    with open("out/summary.csv", newline="", encoding="utf-8") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_a_folder_of_frames(place, capsys) -> None:
    assert main([*BATCH, "--jobs", "1"]) == 0
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert re.fullmatch(LINE.format(1, "a", r"\d+\.\d s"), lines[0])
    assert re.fullmatch(LINE.format(2, "b", r"\d+\.\d s"), lines[1])
    assert len(lines) == 2
    assert printed.out == (
        "2 of 2 frames converged\nengine: Parsl, 1 thread\nwrote out/summary.csv\n"
    )
    assert {p.name for p in Path("out").iterdir()} == {"a", "b", "summary.csv", "ledger.jsonl"}
    assert abs(float(table()["b"]["Lsd_mm"]) - 250.0) < 0.01  # mm: ten times the uncertainty
    assert not Path("out/a/report.html").exists()

    first = table()
    assert main(BATCH) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(LINE.format(1, "a", "done before"), printed.err.splitlines()[0])
    assert "engine: nothing: all was done before\n" in printed.out
    assert table() == first
    assert main([*BATCH, "--again", "--engine", "threads", "--jobs", "2"]) == 0
    printed = capsys.readouterr()
    assert "done before" not in printed.err
    assert "engine: 2 threads\n" in printed.out
    assert table() == first


def test_a_bad_frame_is_exit_4_and_the_rest_is_there(place, capsys) -> None:
    tifffile.imwrite("in/flat.tif", np.full((240, 260), 7, np.int32))
    assert main([*BATCH, "--jobs", "1"]) == 4
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert lines[2] == "[3/3] flat  failed: in/flat.tif: constant: every unmasked pixel holds 7"
    assert lines[3] == "refimpl: 1 failed of 3 frames; summary.csv in out says why"
    assert printed.out.startswith("2 of 3 frames converged\n")
    assert table()["flat"]["error"] == "in/flat.tif: constant: every unmasked pixel holds 7"


def test_no_convergence_is_exit_4(place, capsys) -> None:
    assert main([*BATCH, "--set", "max_iterations=1"]) == 4
    printed = capsys.readouterr()
    assert printed.err.count("NOT CONVERGED (stopped after 1 passes)") == 2
    assert printed.err.endswith(
        "refimpl: 2 not converged of 2 frames; summary.csv in out says why\n"
    )
    assert table()["a"]["status"] == "not converged"


def test_an_interruption_is_exit_130_and_the_same_command_goes_on(
    place, capsys, monkeypatch
) -> None:
    module = sys.modules["refimpl.powder.calibrate"]
    real = module.calibrate

    def stop_at_b(source, **options):
        if source.path.name == "b.tif":
            raise KeyboardInterrupt
        return real(source, **options)

    monkeypatch.setattr(module, "calibrate", stop_at_b)
    assert main([*BATCH, "--jobs", "1"]) == 130
    lines = capsys.readouterr().err.splitlines()
    assert lines[1] == "[2/2] b  interrupted"
    assert lines[2] == (
        "1 of 2 frames are done, out/ledger.jsonl knows which: the same command goes on"
    )
    assert lines[3] == "refimpl: interrupted"
    assert table()["b"]["status"] == "not done"
    monkeypatch.setattr(module, "calibrate", real)
    assert main([*BATCH, "--jobs", "1"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(LINE.format(1, "a", "done before"), lines[0])
    assert re.fullmatch(LINE.format(2, "b", r"\d+\.\d s"), lines[1])


def test_frames_of_a_stack_each_by_itself(tmp_path, simulated, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with h5py.File("s.h5", "w") as file:
        file["images"] = np.stack([simulated.image] * 3)
    arguments = ["powder", "batch", "s.h5", *OPTIONS, "--each", "--frames", "1:3", "-o", "out"]
    assert main([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["frame"], row["status"]) for row in rows] == [
        ("s_1", 1, "converged"), ("s_2", 2, "converged"),
    ]  # fmt: skip
    assert rows[0]["Lsd_mm"] == rows[1]["Lsd_mm"]
    assert {p.name for p in Path("out").iterdir() if p.is_dir()} == {"s_1", "s_2"}


def test_mask_and_parameter_file_lie_among_the_frames(place, capsys) -> None:
    tifffile.imwrite("in/mask.tif", np.zeros((240, 260), np.uint8))
    Path("p.toml").write_text(
        "[beam]\nwavelength_angstrom = 0.25\n[detector]\npixel_size_mm = [0.3, 0.3]\n"
    )
    arguments = ["powder", "batch", "in", "--params", "p.toml", "--mask", "in/mask.tif"]
    assert main([*arguments, "--refine", "distance,beam_centre", "-o", "out"]) == 0
    assert list(table()) == ["a", "b"]
    assert float(table()["a"]["sigma_ty_deg"]) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none/*.tif", *OPTIONS], "none/*.tif: no file matches this pattern"),
        (["none.tif", *OPTIONS], "none.tif: no such file"),
        (["empty", *OPTIONS], "empty: no image in this folder"),
        (["in"], "wavelength_angstrom: missing: give it"),
        (["in", *OPTIONS, "--set", "wavelenght=1"], "unknown setting 'wavelenght'; did you mean"),
        (["in", *OPTIONS, "--engine", "slurm"], "unknown engine 'slurm': expected auto, serial, "),
        (["in", *OPTIONS, "--engine", "slurm.py"], "slurm.py: no such Parsl configuration"),
        (["in", *OPTIONS, "--jobs", "0"], "threads"),
        (["in", *OPTIONS, "--refine", "tx"], "refine: 'tx' cannot be refined"),
        (["in", *OPTIONS, "--mask", "no.tif"], "no.tif: no such file"),
        (["in", *OPTIONS, "--geometry", "no.poni"], "no.poni: no such file"),
        (["in", *OPTIONS, "--frames", "x"], "--frames 'x': expected N or N:M, from 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(arguments, message, place, capsys) -> None:
    Path("empty").mkdir()
    before = sorted(Path().rglob("*"))
    assert main(["powder", "batch", *arguments, "-o", "new/out"]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("refimpl: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert sorted(Path().rglob("*")) == before


def test_two_batches_in_one_folder(place, capsys) -> None:
    from refimpl.ledger import Ledger

    Path("out").mkdir()
    with Ledger(Path("out/ledger.jsonl")):
        assert main(BATCH) == 2
    assert capsys.readouterr().err == (
        "refimpl: out/ledger.jsonl: another run is working with this ledger\n"
    )


def test_every_option_of_calibrate_is_an_option_here(capsys) -> None:
    def options(command: str) -> set[str]:
        assert main(["powder", command, "--help"]) == 0
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= 92
        return set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", text, re.MULTILINE))

    theirs, ours = options("calibrate"), options("batch")
    frames_together = {"--joint", "--refine-shared", "--share"}
    assert theirs - ours == {"--threads", "--save-plots-hdf"} | frames_together
    assert ours - theirs == {"--jobs", "--each", "--again", "--engine"}


def test_help_has_examples_that_parse(capsys) -> None:
    main(["powder", "batch", "--help"])
    text = capsys.readouterr().out.replace("\\\n", " ").replace("'", "")
    examples = re.findall(r"^ +refimpl (powder batch .*)$", text, re.MULTILINE)
    assert len(examples) == 3
    for example in examples:
        assert main(example.split()) == 2  # the files are not there, the options are
        assert re.search(r"(frames|run7/\*\.tif|config\.toml|stack\.h5): ", capsys.readouterr().err)
