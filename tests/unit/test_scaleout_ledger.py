"""The ledger of blocks: torn, foreign, newer, shared or on a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import scaleout_blocks
from scaleout_blocks import blocks, lines, square, written

from refimpl.errors import ConfigError, FormatError
from refimpl.ledger import Ledger
from refimpl.scaleout import fingerprint, run_blocks


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.mark.parametrize("cut", [1, 2, 30, 10_000])
def test_a_torn_last_line_is_no_entry(cut, ledger) -> None:
    run_blocks(square, blocks(3), ledger=ledger, engine="serial")
    content = ledger.read_bytes()
    end = content.rindex(b"\n", 0, content.rindex(b'{"run": "end"') - 1) + 1  # start of b2's line
    ledger.write_bytes(content[: min(end + cut, content.rindex(b'{"run": "end"') - 2)])
    run = run_blocks(square, blocks(3), ledger=ledger, engine="serial")
    assert [o.kept for o in run.outcomes] == [True, True, False]
    assert ledger.read_text().count('\n{"run": "start"') == 2  # the torn line spoils no later one
    again = run_blocks(square, blocks(3), ledger=ledger, engine="serial")
    assert all(o.kept for o in again.outcomes)


@pytest.mark.parametrize("content", ["", '{"ledger": "refi'])
def test_a_ledger_that_was_just_begun(content, ledger) -> None:
    ledger.write_text(content)
    run_blocks(square, blocks(1), ledger=ledger, engine="serial")
    assert lines(ledger)[0] == {"ledger": "refimpl", "schema": 1}


@pytest.mark.parametrize("content", ["name,file\n", "[1]\n", "{}\n", "\n", '{"ledger": "other"}'])
def test_another_file_is_not_written_to(content, ledger) -> None:
    ledger.write_text(content)
    with pytest.raises(FormatError, match=r"ledger\.jsonl:1: not a ledger of refimpl$"):
        run_blocks(square, blocks(1), ledger=ledger, engine="serial")
    assert ledger.read_text() == content


def test_a_newer_ledger_is_refused(ledger) -> None:
    ledger.write_text('{"ledger": "refimpl", "schema": 2}\n')
    with pytest.raises(FormatError, match=r":1: schema 2 of the ledger: this refimpl knows 1; upg"):
        run_blocks(square, blocks(1), ledger=ledger, engine="serial")


def test_one_run_at_a_time(ledger) -> None:
    message = r"ledger\.jsonl: another run is working with this ledger$"
    with Ledger(ledger), pytest.raises(ConfigError, match=message):
        run_blocks(square, blocks(1), ledger=ledger, engine="serial")
    run_blocks(square, blocks(1), ledger=ledger, engine="serial")


def test_a_file_system_without_locks_is_no_obstacle(ledger, monkeypatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("refimpl.ledger.fcntl.flock", refuse)
    assert run_blocks(square, blocks(1), ledger=ledger, engine="serial").outcomes[0].value
    monkeypatch.setattr("refimpl.ledger.fcntl", None)
    assert run_blocks(square, blocks(1), ledger=ledger, engine="serial").outcomes[0].kept


def test_a_ledger_in_no_folder(tmp_path) -> None:
    path = tmp_path / "none" / "ledger.jsonl"
    with pytest.raises(ConfigError, match=r"cannot write the ledger: No such file or directory$"):
        run_blocks(square, blocks(1), ledger=path, engine="serial")


def test_a_full_disk_ends_the_run(ledger, monkeypatch) -> None:
    write = os.write

    def full(file: int, data: bytes) -> int:
        if b'"b1"' in data:
            raise OSError(28, "No space left on device")
        return write(file, data)

    monkeypatch.setattr("refimpl.ledger.os.write", full)
    with pytest.raises(ConfigError, match=r"cannot write the ledger: No space left on device$"):
        run_blocks(square, blocks(3), ledger=ledger, engine="serial")
    monkeypatch.undo()
    run = run_blocks(square, blocks(3), ledger=ledger, engine="serial")
    assert [o.kept for o in run.outcomes] == [True, False, False]


def test_a_line_that_is_written_in_parts_is_whole(ledger, monkeypatch) -> None:
    write = os.write
    monkeypatch.setattr("refimpl.ledger.os.write", lambda file, data: write(file, data[:7]))
    run_blocks(square, blocks(2), ledger=ledger, engine="serial")
    assert written(ledger) == [("b0", "done"), ("b1", "done")]


FULL = """
import resource, sys
from scaleout_blocks import blocks, square
from refimpl.scaleout import run_blocks
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    run_blocks(square, blocks(30), ledger=sys.argv[1], engine="serial")
except Exception as exc:
    sys.exit(f"{type(exc).__name__}: {exc}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files there")
@pytest.mark.parametrize("size", [20, 900, 1000, 1100, 1200])
def test_a_full_disk_leaves_whole_lines(size: int, ledger: Path) -> None:
    """The system takes as much of a line as there is room for, then refuses."""
    run = subprocess.run(
        [sys.executable, "-c", FULL, str(ledger), str(size)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(scaleout_blocks.__file__).parent)},
    )  # fmt: skip
    assert run.returncode == 1
    assert "ConfigError" in run.stderr
    assert "ledger.jsonl: cannot write the ledger: File too large" in run.stderr
    content = ledger.read_bytes()
    assert content.endswith(b"\n") or not content
    assert len(content) <= size
    n = sum(entry.get("status") == "done" for entry in lines(ledger))
    outcomes = run_blocks(square, blocks(30), ledger=ledger, engine="serial").outcomes
    assert [o.kept for o in outcomes] == [True] * n + [False] * (30 - n)


def test_a_fingerprint_follows_settings_and_files(tmp_path) -> None:
    file = tmp_path / "a.tif"
    prints = [fingerprint(file)]
    file.write_text("one")
    prints.append(fingerprint(file))
    file.write_text("four")
    prints.append(fingerprint(file))
    os.utime(file, ns=(0, 0))
    prints.append(fingerprint(file))
    prints += [fingerprint(tmp_path), fingerprint({"a": 1}), fingerprint({"a": 2})]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0.0").write_text("chunk")
    prints.append(fingerprint(tmp_path))
    assert len(set(prints)) == len(prints)
    assert fingerprint(file) == prints[3]
    assert fingerprint({"a": 1, "b": [file]}) == fingerprint({"b": [file], "a": 1})


def test_a_fingerprint_of_something_else() -> None:
    with pytest.raises(ConfigError, match=r"^fingerprint of a set: expected plain values"):
        fingerprint({1})
