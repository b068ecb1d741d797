"""Engines that do not answer or are dead, and runs whose time is up: the run ends and says why."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scaleout_blocks import blocks, lines, square

from refimpl.errors import ConvergenceError
from refimpl.scaleout import Block, GaveUp, checkpoint, engines, run_blocks

KEPT = "what is done is kept, and the same run again goes on from there"


class BadStateException(Exception):
    """As Parsl calls the error of an executor that will do nothing more."""


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Engine that answers for the first two blocks only; its list says how it was left."""
    left: list[str] = []

    @contextmanager
    def engine() -> Iterator[engines.Crew]:
        answers = [True, True]

        def submit(call: Callable[..., Any], *arguments: Any) -> Future:
            future: Future = Future()
            if answers:
                answers.pop()
                future.set_result(call(*arguments))
            return future

        crew = engines.Crew("nodes", submit, near=False)
        try:
            yield crew
        finally:
            left.append("abandoned" if crew.abandoned else "left")

    monkeypatch.setattr(engines, "_serial", engine)
    return left


def test_an_engine_that_never_answers(ledger: Path, silent: list[str]) -> None:
    began = time.monotonic()
    with pytest.raises(ConvergenceError) as caught:
        run_blocks(square, blocks(5), ledger=ledger, engine="serial", patience_s=0.5)
    assert 0.4 < time.monotonic() - began < 5.0  # s
    assert str(caught.value) == f"nodes: no block ended for 0.5 s; 3 blocks wait; {KEPT}"
    assert isinstance(caught.value, GaveUp)
    assert [o.key for o in caught.value.run.outcomes] == ["b0", "b1"]
    assert silent == ["abandoned"]
    assert lines(ledger)[-1]["run"] == "gave up"
    assert lines(ledger)[-1]["why"] == str(caught.value)


def test_the_next_run_goes_on(ledger: Path, silent: list[str]) -> None:
    with pytest.raises(GaveUp, match=r"; 1 block waits; "):
        run_blocks(square, blocks(3), ledger=ledger, engine="serial", patience_s=0.3)
    run = run_blocks(square, blocks(3), ledger=ledger, engine="threads")
    assert [o.kept for o in run.outcomes] == [True, True, False]


def test_patience_is_counted_from_the_last_block_that_ended(ledger: Path) -> None:
    def work(x: float) -> float:
        time.sleep(0.3)
        return x

    run = run_blocks(work, blocks(4), ledger=ledger, engine="threads", workers=1, patience_s=0.9)
    assert [o.status for o in run.outcomes] == ["done"] * 4  # 1.2 s in all


def test_pauses_before_attempts_try_no_patience(ledger: Path) -> None:
    tried: list[int] = []

    def work(x: float) -> int:
        tried.append(1)
        if len(tried) == 1:
            raise OSError("gone for a moment")
        return 0

    run = run_blocks(
        work, blocks(1), ledger=ledger, engine="threads", backoff_s=(1.0,), patience_s=0.5
    )
    assert run.outcomes[0].status == "done"


@pytest.mark.parametrize("engine", ["threads", "parsl"])
def test_a_thread_that_never_ends_is_not_waited_for(engine: str, ledger: Path) -> None:
    release = threading.Event()
    try:
        began = time.monotonic()
        with pytest.raises(GaveUp, match=r"no block ended for 0\.5 s; 2 blocks wait"):
            run_blocks(
                lambda x: release.wait(60.0), blocks(2), ledger=ledger, engine=engine, workers=1,
                patience_s=0.5,
            )  # fmt: skip
        assert time.monotonic() - began < 10.0  # s
    finally:
        release.set()


@pytest.mark.parametrize("engine", ["serial", "threads", "parsl"])
def test_no_block_begins_after_the_limit(engine: str, ledger: Path) -> None:
    begun: list[float] = []

    def work(x: float) -> float:
        begun.append(x)
        for _ in range(30):
            checkpoint()
            time.sleep(0.01)
        return x

    with pytest.raises(GaveUp, match=r"not done within 0\.5 s; \d+ blocks wait"):
        run_blocks(work, blocks(20), ledger=ledger, engine=engine, workers=1, limit_s=0.5)
    assert 1 <= len(begun) <= 4


def test_a_dead_engine_is_given_up_at_once(ledger: Path, monkeypatch) -> None:
    @contextmanager
    def engine() -> Iterator[engines.Crew]:
        def submit(call: Callable[..., Any], *arguments: Any) -> Future:
            future: Future = Future()
            future.set_exception(BadStateException("EXIT CODE: 127\n\tSTDERR: no such\n  program"))
            return future

        yield engines.Crew("nodes", submit, near=False)

    monkeypatch.setattr(engines, "_serial", engine)
    message = r"^nodes: the workers are gone: EXIT CODE: 127 STDERR: no such program; 5 blocks wait"
    with pytest.raises(GaveUp, match=message) as caught:
        run_blocks(square, blocks(5), ledger=ledger, engine="serial")
    assert caught.value.run.outcomes == ()


def test_an_interruption_is_not_a_failure_of_the_engine(ledger: Path) -> None:
    def work(x: int) -> int:
        if x:
            raise KeyboardInterrupt
        return x

    with pytest.raises(KeyboardInterrupt):
        run_blocks(
            work, [Block("0", 0), Block("1", 1)], ledger=ledger, engine="threads", workers=1,
            patience_s=60.0, limit_s=60.0,
        )  # fmt: skip
    assert lines(ledger)[-1]["run"] == "interrupted"
