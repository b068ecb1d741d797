"""Command lines by chance: every command is drawn, and a bad end is seen."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cli_words import LEFT_OUT, NEVER, changed, commands, words
from fuzz_cli import fault

TRACE = """Traceback (most recent call last):
  File "/a/refimpl/io/star.py", line 7, in read
    x
ValueError: no
"""


def test_every_command_is_drawn() -> None:
    names = {command.name for command in commands()}
    assert {"convert", "powder autocalibrate", "epu groups", "centring fuse"} <= names
    assert not names & LEFT_OUT
    assert all(command.options for command in commands())


def test_lines_are_the_same_for_the_same_seed_and_run_no_programs() -> None:
    for command in commands():
        lines = []
        for _ in range(2):
            rng = random.Random(4)
            some = [words(command, ["a.tif"], rng) for _ in range(30)]
            lines.append([*some, *(changed(line, command, ["b.tif"], rng) for line in some)])
        assert lines[0] == lines[1]
        assert not NEVER & {word for line in lines[0] for word in line}
        assert {tuple(line[: len(command.name.split())]) for line in lines[0]} == {
            tuple(command.name.split())
        }


@pytest.mark.parametrize(
    ("status", "stderr", "what"),
    [
        (0, "", ""),
        (2, "refimpl: no such file\n", ""),
        (1, "", ""),
        (-signal.SIGXCPU, "", ""),
        (2, "", "exit 2 without a reason"),
        (4, "at 50 %\n", "exit 4 without a reason"),
        (3, "refimpl: x", "exit 3"),
        (-signal.SIGSEGV, "", "exit -11"),
        (0, TRACE, "ValueError at refimpl/io/star.py:7"),
        (2, "refimpl: " + "x" * 3000, "a reason of 3009 characters"),
    ],
)
def test_bad_ends_are_seen(status: int, stderr: str, what: str) -> None:
    assert fault(status, stderr) == what


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGXCPU"), reason="forks")
def test_a_short_campaign(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz_cli.py")), "powder map", "cluster",
         "--runs", "6", "--seconds", "300", "--jobs", "2", "--out", str(out)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [result["runs"] for result in json.loads(out.read_text())] == [6, 6]
