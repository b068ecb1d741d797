"""Help of ``refimpl epu``: every command and option is told, and the examples are commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refimpl.cli.main import main

COMMANDS = ("calibrate", "duplicates", "groups", "simulate")

CALIBRATION = {"--method", "--spacing", "--calibration", "--k", "--rotation-deg", "--mirror",
               "--matrix", "--rule", "--clusters", "--max-iter", "--max_iter", "--n-init",
               "--n_init"}  # fmt: skip
SHARED = CALIBRATION | {"--out", "--json", "--csv", "--strict", "--cache", "--help"}
OPTIONS = {
    "calibrate": SHARED | {"--scatter", "--report-picture"},
    "duplicates": SHARED | {
        "--o", "--watch", "--radius", "--ignore-same-hole", "--rawdata", "--montage", "--resize",
        "--rescale", "--montage-limit", "--montage-file", "--map", "--report", "--compat",
        "--epudata", "--rad",
    },
}  # fmt: skip
FIND_DUPL = {"--epudata", "--o", "--k", "--rawdata", "--rad", "--clusters", "--montage", "--resize",
             "--max_iter", "--n_init"}  # fmt: skip


def text_of(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(["epu", *command, "--help"]) == 0
    return capsys.readouterr().out


def test_the_group_lists_its_commands(capsys) -> None:
    text = text_of(capsys)
    assert text.startswith("Usage: refimpl epu ")
    assert tuple(re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys) -> None:
    text = text_of(capsys, command)
    assert text.startswith(f"Usage: refimpl epu {command} ")
    assert "list[" not in text
    assert max(map(len, text.splitlines())) <= 92


@pytest.mark.parametrize("command", OPTIONS)
def test_all_options(command: str, capsys) -> None:
    text = text_of(capsys, command)
    lines = re.findall(r"^  (-.*)$", text, re.MULTILINE)
    told = {flag for line in lines for flag in re.findall(r"--[a-z_-]+", line.split("  ")[0])}
    assert told == OPTIONS[command]


def test_every_option_of_find_dupl_is_taken() -> None:
    assert OPTIONS["duplicates"] >= FIND_DUPL


@pytest.mark.parametrize(("command", "n"), [("calibrate", 4), ("duplicates", 6)])
def test_examples_parse(
    command: str, n: int, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    Path("Movies").mkdir()
    text = text_of(capsys, command).replace("\\\n", " ")
    examples = re.findall(rf"^ +refimpl (epu {command} .*)$", text, re.MULTILINE)
    assert len(examples) == n
    for example in examples:
        assert main(example.split()) == 2  # the session is not there, the options are
        assert re.match(r"refimpl: (Session|titan\.json|\.): ", capsys.readouterr().err)
