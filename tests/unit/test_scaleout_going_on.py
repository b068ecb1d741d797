"""Going on after interruptions, errors and kills: what is done stays done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from scaleout_blocks import HERE, blocks, lines, square, written

from refimpl.scaleout import Block, Interrupted, Outcome, checkpoint, run_blocks


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def test_a_failed_block_is_tried_again_next_time(ledger) -> None:
    run_blocks(square, [Block("a", -1.0), Block("b", 1.0)], ledger=ledger, engine="serial")
    run = run_blocks(square, [Block("a", 2.0), Block("b", 1.0)], ledger=ledger, engine="serial")
    assert [(o.status, o.kept) for o in run.outcomes] == [("done", False), ("done", True)]
    assert written(ledger) == [("a", "failed"), ("b", "done"), ("a", "done")]


def test_what_is_done_is_not_done_again(ledger) -> None:
    seen: list[Outcome] = []
    first = run_blocks(square, blocks(3), ledger=ledger, engine="serial")
    again = run_blocks(square, blocks(5), ledger=ledger, engine="serial",
                       progress=lambda o, i, n: seen.append((o.key, o.kept, i, n)))  # fmt: skip
    assert [o.value for o in again.outcomes[:3]] == [o.value for o in first.outcomes]
    assert seen == [("b0", True, 1, 5), ("b1", True, 2, 5), ("b2", True, 3, 5),
                    ("b3", False, 4, 5), ("b4", False, 5, 5)]  # fmt: skip
    assert [key for key, _ in written(ledger)] == ["b0", "b1", "b2", "b3", "b4"]
    nothing = run_blocks(square, blocks(5), ledger=ledger, engine="serial")
    assert nothing.engine == "nothing: all was done before"
    assert all(o.kept for o in nothing.outcomes)


def test_changed_input_and_missing_output_are_done_again(ledger, tmp_path) -> None:
    out = tmp_path / "out"

    def work(text: str) -> str:
        out.write_text(text)
        return text

    def run(text: str, print_: str, **options: bool) -> bool:
        block = Block("a", text, print_, (out,))
        (outcome,) = run_blocks(work, [block], ledger=ledger, engine="serial", **options).outcomes
        assert outcome.value == text
        return outcome.kept

    assert run("one", "1") is False
    assert run("one", "1") is True
    assert run("two", "2") is False
    out.unlink()
    assert run("two", "2") is False
    assert run("two", "2") is True
    assert run("two", "2", again=True) is False


@pytest.mark.parametrize("engine", HERE)
def test_an_interruption_leaves_a_usable_ledger(engine, ledger) -> None:
    stopped = threading.Event()

    def work(x: float) -> float:
        if x == 2 and not stopped.is_set():
            stopped.set()
            raise KeyboardInterrupt
        return x

    work_list = [Block(str(x), x) for x in range(6)]
    with pytest.raises(Interrupted, match="interrupted") as caught:
        run_blocks(work, work_list, ledger=ledger, engine=engine, workers=1)
    ended = {o.key: o.status for o in caught.value.run.outcomes}
    assert ended["0"] == ended["1"] == "done"
    assert ended["2"] == "interrupted"
    assert "5" not in ended  # not begun
    assert lines(ledger)[-1]["run"] == "interrupted"
    run = run_blocks(work, work_list, ledger=ledger, engine=engine, workers=1)
    assert [o.value for o in run.outcomes] == [0, 1, 2, 3, 4, 5]
    assert [o.kept for o in run.outcomes[:3]] == [True, True, False]
    done = [key for key, status in written(ledger) if status == "done"]
    assert sorted(done) == ["0", "1", "2", "3", "4", "5"]  # none twice


@pytest.mark.parametrize("engine", HERE)
def test_ctrl_c_stops_at_the_next_checkpoint(engine, ledger) -> None:
    # a shell that runs the tests in the background has them ignore Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        _interrupted_by_ctrl_c(engine, ledger)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted_by_ctrl_c(engine, ledger) -> None:
    def work(x: float) -> float:
        if x > 0:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(2000):  # 20 s at most
                checkpoint()
                time.sleep(0.01)
        return x

    work_list = [Block(str(x), x) for x in range(4)]
    began = time.perf_counter()
    with pytest.raises(Interrupted) as caught:
        run_blocks(work, work_list, ledger=ledger, engine=engine, workers=1)
    assert time.perf_counter() - began < 10.0  # s
    assert [(o.key, o.status) for o in caught.value.run.outcomes] == [
        ("0", "done"), ("1", "interrupted"),
    ]  # fmt: skip
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_caller_is_left_alone(ledger) -> None:
    def mine(number: int, frame: object) -> None:
        raise ZeroDivisionError

    before = signal.signal(signal.SIGINT, mine)
    try:
        run_blocks(square, blocks(1), ledger=ledger, engine="serial")
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_checkpoint_outside_of_a_run_does_nothing() -> None:
    checkpoint()


def test_an_error_in_the_callback_stops_the_run(ledger) -> None:
    begun: list[float] = []

    def work(x: float) -> float:
        begun.append(x)
        time.sleep(0.05)
        return x

    def progress(outcome: Outcome, i: int, n: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_blocks(work, [Block(str(x), x) for x in range(50)], ledger=ledger, engine="threads",
                   workers=1, progress=progress)  # fmt: skip
    assert len(begun) < 10  # what waited was not begun


KILLED = """
import os, signal, sys
from refimpl.scaleout import Block, run_blocks

def work(x):
    if x == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return x

run_blocks(work, [Block(str(x), x) for x in range(4)], ledger=sys.argv[1], engine="serial")
"""


def test_kill_9_leaves_what_was_done(ledger) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(ledger)], timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert written(ledger) == [("0", "done"), ("1", "done")]
    run = run_blocks(float, [Block(str(x), x) for x in range(4)], ledger=ledger, engine="serial")
    assert [o.kept for o in run.outcomes] == [True, True, False, False]
