"""``refimpl epu simulate``: from options to a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refimpl.cli.main import main
from refimpl.epu.session import read_session

SMALL = [
    "--set", "squares=1", "--set", "groups=5", "--set", "pattern=3x3", "--set", "overlaps=1",
    "--no-images",
]  # fmt: skip


def run(*arguments: object) -> int:
    return main(["epu", "simulate", *(str(a) for a in arguments)])


def test_a_session_is_written_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*SMALL, "--seed", 3, "-o", tmp_path / "s") == 0
    lines = capsys.readouterr().out.splitlines()
    truth = json.loads((tmp_path / "s" / "truth.json").read_text())
    n, bad = len(truth["names"]), len(truth["bad"])
    assert lines[0].startswith(f"{n} exposures, {bad} of them duplicates (")
    assert lines[1].startswith("k = 24.400 um, matrix = [[")
    assert lines[2].endswith(f"files to {tmp_path / 's'}")
    assert truth["seed"] == 3
    assert len(read_session(tmp_path / "s")) == n


def test_numbers_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*SMALL, "--json", "--no-artefacts", "-o", tmp_path / "s") == 0
    numbers = json.loads(capsys.readouterr().out)
    truth = json.loads((tmp_path / "s" / "truth.json").read_text())
    assert numbers["n_exposures"] == len(truth["names"])
    assert numbers["n_duplicates"] == len(truth["bad"]) == sum(numbers["kinds"].values())
    assert numbers["matrix"] == truth["matrix_um"]
    assert numbers["unusable"] == []
    assert not list((tmp_path / "s").rglob("*ractions*"))


def test_sessions_of_the_benchmark_can_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--varied", 7, "--no-images", "-o", tmp_path / "s", "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    truth = json.loads((tmp_path / "s" / "truth.json").read_text())
    assert truth["seed"] == 7
    assert numbers["k"] == pytest.approx(truth["settings"]["k_um"])


def test_settings_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list", "--set", "pitch_um=4", "--set", "instrument.camera=K3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "pitch_um = 4" in lines
    assert 'instrument.camera = "K3"' in lines
    assert "near_um = [0.25, 0.6]" in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected -o DIR"),
        (["--set", "pitch=3"], "did you mean pitch_um"),
        (["--set", "pitch_um"], "expected NAME=VALUE"),
        (["--set", "overlaps=900", "-o", "s"], "overlaps = 900: the 42 stage positions"),
        (["--image-px", "2", "-o", "s"], "image_px = 2 is outside"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not any(tmp_path.iterdir())


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("")
    assert run(*SMALL, "-o", tmp_path) == 2
    assert "new or empty" in capsys.readouterr().err
