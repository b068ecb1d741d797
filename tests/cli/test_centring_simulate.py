"""``refimpl centring simulate``: from options to a folder and a sheet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from refimpl.cli.main import main

SMALL = ["--crystals", "1", "--seconds", "0.5", "--scans", "helical"]


def run(*arguments: object) -> int:
    return main(["centring", "simulate", *(str(a) for a in arguments)])


def test_a_folder_is_written_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*SMALL, "--seed", 2, "--side", "top", "-o", tmp_path / "s") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("1 scenes, 1 scans, 10 frames, ")
    truth = json.loads((tmp_path / "s" / "truth.json").read_text())
    assert lines[1] == f"wrote {len(truth['images'])} pictures to {tmp_path / 's'}"
    assert truth["seed"] == 2
    assert truth["scenes"][0]["side"] == "top"


def test_numbers_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--offset-s", 1.5, "--drift", 1e-4, "--empty", 1, "--format", "png", "--json"]
    assert run(*SMALL, *options, "-o", tmp_path / "s") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["scenes"], numbers["frames"]) == (2, 20)
    assert (numbers["offset_s"], numbers["drift"]) == (1.5, 1e-4)
    assert len(list((tmp_path / "s").rglob("*.png"))) == numbers["pictures"]


def test_a_sheet_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*SMALL, "--sheet", tmp_path / "sheet.png") == 0
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (1800, 240)
    assert "wrote" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "expected -o DIR or --sheet FILE"),
        (("-o", "x", "--zooms", "1"), "--zooms 1: expected LOW,HIGH"),
        (("-o", "x", "--zooms", "3,1"), "--zooms 3,1: expected LOW <= HIGH"),
        (("-o", "x", "--scans", "spiral"), "scans spiral: expected helical"),
        (("-o", "x", "--mount", "pin"), "mount 'pin'"),
        (("-o", "x", "--side", "up"), "side 'up'"),
        (("-o", "x", "--dropped", 2), "dropped = 2.0: expected 0 to 1"),
    ],
)
def test_bad_input_is_refused(
    options: tuple[object, ...], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(*options) == 2
    assert text in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
