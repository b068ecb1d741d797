"""``refimpl centring reproduce``: what it says, writes and refuses; killed runs go on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from refimpl.cli.main import main

pytest.importorskip("torch", reason="needs the extra centring (torch)")

TINY = [
    "--small", "--archs", "a_fcn", "--targets", "tanh", "--crystals", "10", "--views", "1",
    "--crops", "4", "--size", "24", "--epochs", "1", "--aim", "0", "--jobs", "1",
]  # fmt: skip
"""The classifier needs loops of both kinds in each part."""


def run(*arguments: object) -> int:
    return main(["centring", "reproduce", *(str(a) for a in arguments)])


def test_tables_are_printed_written_and_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--simulated", *TINY, "-o", tmp_path / "r") == 0
    said = capsys.readouterr()
    page = (tmp_path / "r" / "tables.md").read_text()
    assert said.out == f"{page}\nwrote {tmp_path / 'r' / 'tables.md'}\n"
    assert "| a_fcn | – |" in page
    assert "| thesis | 0.2604 | 0.891 |" in page
    first, *nets = said.err.splitlines()
    assert first.startswith("2 nets: at most about ")
    assert nets[0].startswith("[1/2] a_fcn-tanh: MSE ")
    assert nets[1].startswith("[2/2] classifier: accuracy ")

    assert run("--simulated", *TINY, "-o", tmp_path / "r", "--json") == 0
    again = capsys.readouterr()
    assert all(line.endswith("done before") for line in again.err.splitlines())
    content = json.loads(again.out)
    assert content["table_2_3"][0]["arch"] == "a_fcn"
    assert content["table_2_5"]["published_loss"] == 0.2604
    assert content["missing"] == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "the thesis's data were never published: give --simulated"),
        (("--simulated", "--archs", "a11"), "archs: 'a11': expected some of a1, a2"),
        (("--simulated", "--targets", "log_literal"), "not defined for counts below the mean"),
        (("--simulated", "--crystals", "3"), "crystals 3: expected 5 or more"),
        (("--simulated", "--jobs", "0"), "--jobs 0: expected 1 or more"),
        (("--simulated", *TINY, "--engine", "threads"), "share the random numbers of a process"),
        (("--simulated", *TINY, "--engine", "ship"), "unknown engine 'ship'"),
        (("--simulated", "--archs", "", "--no-classifier"), "nothing to do"),
    ],
)
def test_refusals(
    options: tuple[str, ...], text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options, "-o", tmp_path / "r") == 2
    assert text in " ".join(capsys.readouterr().err.split())


def test_a_file_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r").write_text("")
    assert run("--simulated", *TINY, "-o", tmp_path / "r") == 2
    assert "r" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_what_was_stopped_goes_on_to_the_same_numbers(
    number: signal.Signals, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--simulated", *TINY, "--epochs", "40", "--patience", "40", "--no-classifier"]
    assert run(*options, "-o", tmp_path / "whole") == 0
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    start += "import sys; from refimpl.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = ["centring", "reproduce", *options, "-o", str(tmp_path / "stopped")]
    process = subprocess.Popen([sys.executable, "-c", start, *command], stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60.0
        while not list(tmp_path.glob("stopped/work/*/last.ckpt")) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(timeout=60.0) == code
    finally:
        process.kill()
        process.wait()
    assert list(tmp_path.glob("stopped/work/*/last.ckpt")), "it was done before it was stopped"
    assert run(*options, "-o", tmp_path / "stopped") == 0
    tables = [
        json.loads((tmp_path / name / "tables.json").read_text()) for name in ("whole", "stopped")
    ]
    for table in tables:
        del table["table_2_3"][0]["seconds"]
    assert tables[0] == tables[1]
    capsys.readouterr()
