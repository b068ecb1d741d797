"""An engine that serves several runs of blocks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import scaleout_work
from scaleout_blocks import blocks, square

from refimpl.errors import ConfigError
from refimpl.scaleout import Block, GaveUp, Interrupted, Kept, engines, run_blocks


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Engines that were started and ended."""
    told: list[str] = []
    threads = engines._threads

    @engines.contextmanager
    def noted(workers: int):
        told.append("start")
        with threads(workers) as crew:
            yield crew
        told.append("end")

    monkeypatch.setattr(engines, "_threads", noted)
    return told


def test_it_starts_once_and_only_for_work(starts: list[str], tmp_path: Path) -> None:
    with Kept("threads", 2) as kept:
        assert kept.near
        assert run_blocks(square, [], ledger=tmp_path / "none.jsonl", engine=kept).outcomes == ()
        assert starts == []
        first = run_blocks(square, blocks(3), ledger=tmp_path / "a.jsonl", engine=kept)
        run_blocks(square, blocks(4), ledger=tmp_path / "b.jsonl", engine=kept)
        run_blocks(square, blocks(3), ledger=tmp_path / "a.jsonl", engine=kept)
        assert starts == ["start"]
        assert first.engine == "2 threads"
    assert starts == ["start", "end"]


def test_one_that_was_given_up_is_not_used_again(starts: list[str], tmp_path: Path) -> None:
    wait = threading.Event()
    with Kept("threads", 1) as kept:
        with pytest.raises(GaveUp):
            run_blocks(
                lambda _: wait.wait(30.0), [Block("a", 0)], ledger=tmp_path / "a.jsonl",
                engine=kept, patience_s=0.3,
            )  # fmt: skip
        assert starts == ["start", "end"]
        wait.set()
        run = run_blocks(square, blocks(2), ledger=tmp_path / "b.jsonl", engine=kept)
        assert [o.status for o in run.outcomes] == ["done", "done"]
    assert starts == ["start", "end"] * 2


def test_one_whose_driver_fails_is_ended(starts: list[str], tmp_path: Path) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError

    with Kept("threads", 1) as kept:
        with pytest.raises(ZeroDivisionError):
            run_blocks(square, blocks(2), ledger=tmp_path / "a.jsonl", engine=kept, progress=fail)
        assert starts in (["start"], ["start", "end"])
        assert kept._open is None


def test_a_stopped_run_goes_on(tmp_path: Path) -> None:
    def stop(x: float) -> float:
        raise KeyboardInterrupt

    with Kept("serial", 1) as kept:
        with pytest.raises(Interrupted):
            run_blocks(stop, blocks(2), ledger=tmp_path / "a.jsonl", engine=kept)
        run = run_blocks(square, blocks(2), ledger=tmp_path / "a.jsonl", engine=kept)
    assert [o.status for o in run.outcomes] == ["done", "done"]


def test_what_cannot_be_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="unknown engine 'none'"):
        Kept("none", 1)


def test_processes_stay_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(scaleout_work.__file__).parent))
    with Kept("processes", 1) as kept:
        assert not kept.near
        pids = [
            run_blocks(
                scaleout_work.slow_pid, [Block(name, 0.0)], ledger=tmp_path / "a.jsonl",
                engine=kept,
            ).outcomes[0].value[0]
            for name in ("a", "b")
        ]  # fmt: skip
    assert pids[0] == pids[1] != os.getpid()


SIGTERM = """
import os, signal, sys
from refimpl.scaleout import Block, Interrupted, run_blocks, sigterm_as_interrupt
def end(_):
    os.kill(os.getpid(), signal.SIGTERM)
try:
    with sigterm_as_interrupt():
        if sys.argv[1] == "within":
            try:
                run_blocks(end, [Block("a", 0), Block("b", 0)], ledger=sys.argv[2], engine="serial")
            except Interrupted as stopped:
                print(len(stopped.run.outcomes))
        end(None)
except KeyboardInterrupt:
    print("tidied up")
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM there")
@pytest.mark.parametrize(("where", "told"), [("within", "1\ntidied up\n"), ("out", "tidied up\n")])
def test_sigterm_ends_a_driver_as_ctrl_c_does(where: str, told: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SIGTERM, where, str(tmp_path / "a.jsonl")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == told
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
