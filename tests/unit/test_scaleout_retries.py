"""Blocks that are tried again: which failures, how often, after which pause, told in the ledger."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scaleout_blocks import HERE, blocks, lines, square

from refimpl.errors import ConfigError, FormatError
from refimpl.io.atomic import atomic_path
from refimpl.ledger import Ledger
from refimpl.scaleout import Block, Interrupted, engines, run_blocks
from refimpl.scaleout.handing import Patience

AT_ONCE = {"backoff_s": (0.0,)}


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


def failing(times: int, error: Callable[[], Exception]) -> Callable[[Any], Any]:
    """Work that fails so often for each argument, and then succeeds."""
    tried: dict[Any, int] = {}

    def work(x: Any) -> Any:
        tried[x] = tried.get(x, 0) + 1
        if tried[x] <= times:
            raise error()
        return tried[x]

    return work


def full() -> Exception:
    return OSError(28, "No space left on device")


def words(path: Path) -> list[tuple]:
    """Ledger in short: retries with their number, endings with their status."""
    return [
        (e["key"], e["retry"]) if "retry" in e else (e["key"], e["status"])
        for e in lines(path) if "key" in e
    ]  # fmt: skip


@pytest.mark.parametrize("engine", HERE)
def test_a_full_disk_that_empties_fails_nothing(engine: str, ledger: Path) -> None:
    work = [Block("a", 1), Block("b", 2)]
    run = run_blocks(failing(2, full), work, ledger=ledger, engine=engine, workers=1, **AT_ONCE)
    assert [(o.status, o.value) for o in run.outcomes] == [("done", 3), ("done", 3)]
    for key in ("a", "b"):
        assert [w for w in words(ledger) if w[0] == key] == [(key, 1), (key, 2), (key, "done")]
    retry = next(e for e in lines(ledger) if "retry" in e)
    assert {k: retry[k] for k in ("of", "kind", "error", "pause_s")} == {
        "of": 2, "kind": "OSError", "error": "OSError: [Errno 28] No space left on device",
        "pause_s": 0.0,
    }  # fmt: skip


def test_a_full_disk_that_stays_full_is_one_clear_message(ledger: Path) -> None:
    run = run_blocks(failing(9, full), [Block("a", 1)], ledger=ledger, engine="serial", **AT_ONCE)
    (outcome,) = run.outcomes
    assert (outcome.status, outcome.kind) == ("failed", "OSError")
    assert outcome.error == "OSError: [Errno 28] No space left on device (tried 3 times)"
    assert words(ledger) == [("a", 1), ("a", 2), ("a", "failed")]
    again = run_blocks(failing(0, full), [Block("a", 1)], ledger=ledger, engine="serial")
    assert again.outcomes[0].status == "done"  # the next run goes on


def test_our_own_words_for_a_full_disk_are_retried_too(ledger: Path, tmp_path: Path) -> None:
    fill = failing(1, full)

    def work(x: int) -> int:
        with atomic_path(tmp_path / "out.txt") as path:
            path.write_text(str(fill(x)))
        return x

    run = run_blocks(work, [Block("a", 1)], ledger=ledger, engine="serial", **AT_ONCE)
    assert run.outcomes[0].status == "done"
    retry = next(e for e in lines(ledger) if "retry" in e)
    assert retry["error"] == f"{tmp_path / 'out.txt'}: cannot write: No space left on device"
    assert (tmp_path / "out.txt").read_text() == "2"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_device_that_is_always_full(ledger: Path) -> None:
    def work(x: int) -> int:
        with open("/dev/full", "wb", buffering=0) as file:
            return file.write(b"1")

    run = run_blocks(work, [Block("a", 1)], ledger=ledger, engine="serial", **AT_ONCE)
    assert run.outcomes[0].error == "OSError: [Errno 28] No space left on device (tried 3 times)"


@pytest.mark.parametrize(
    "error", [lambda: FormatError("no rings", path="a.tif"), lambda: KeyError("lsd")]
)
def test_what_will_not_pass_is_not_retried(error: Callable[[], Exception], ledger: Path) -> None:
    run = run_blocks(failing(1, error), [Block("a", 1)], ledger=ledger, engine="serial")
    assert run.outcomes[0].status == "failed"
    assert "tried" not in run.outcomes[0].error
    assert words(ledger) == [("a", "failed")]


def test_no_retries(ledger: Path) -> None:
    run = run_blocks(failing(1, full), [Block("a", 1)], ledger=ledger, engine="serial", retries=0)
    assert run.outcomes[0].error == "OSError: [Errno 28] No space left on device"
    assert words(ledger) == [("a", "failed")]


def test_the_pauses_are_kept_and_others_work_meanwhile(ledger: Path) -> None:
    ended: list[str] = []
    fail = failing(2, full)

    def work(x: int) -> float:
        if x == 0:
            fail(x)
        return time.monotonic()

    began = time.monotonic()
    run = run_blocks(
        work, [Block(str(i), i) for i in range(3)], ledger=ledger, engine="serial",
        backoff_s=(0.3, 0.6), progress=lambda o, i, n: ended.append(o.key),
    )  # fmt: skip
    assert ended == ["1", "2", "0"]
    at = [o.value - began for o in run.outcomes]
    assert at[0] >= 0.9  # s
    assert max(at[1:]) < 0.3
    assert [e["pause_s"] for e in lines(ledger) if "retry" in e] == [0.3, 0.6]


def test_the_default_pauses_are_the_published_ones() -> None:
    p = Patience()
    assert (p.retries, [p.pause_s(1), p.pause_s(2), p.pause_s(3)]) == (2, [10.0, 20.0, 20.0])
    assert Patience(backoff_s=()).pause_s(1) == 0.0


def test_a_stop_ends_the_pause(ledger: Path) -> None:
    def work(x: int) -> int:
        if x == 1:
            raise KeyboardInterrupt
        raise full()

    began = time.monotonic()
    with pytest.raises(Interrupted) as caught:
        run_blocks(work, [Block("0", 0), Block("1", 1)], ledger=ledger, engine="serial")
    assert time.monotonic() - began < 5.0  # s; the pause is 10
    assert [o.key for o in caught.value.run.outcomes] == ["1"]
    assert lines(ledger)[-1]["run"] == "interrupted"
    run = run_blocks(lambda x: x, [Block("0", 0), Block("1", 1)], ledger=ledger, engine="serial")
    assert [(o.status, o.kept) for o in run.outcomes] == [("done", False)] * 2


class WorkerLost(Exception):
    """As Parsl calls it; known by its name."""


class ManagerLost(Exception):
    """As Parsl calls it."""


def losing(times: int, error: Exception) -> Callable[[], Any]:
    """Engine that loses the first blocks it is given."""
    left = [times]

    @contextmanager
    def engine() -> Any:
        def submit(call: Callable[..., Any], *arguments: Any) -> Future:
            future: Future = Future()
            if left[0]:
                left[0] -= 1
                future.set_exception(error)
            else:
                future.set_result(call(*arguments))
            return future

        yield engines.Crew("nodes", submit, near=False)

    return engine


@pytest.mark.parametrize("error", [WorkerLost("worker 0"), ManagerLost("node 7")])
def test_a_lost_block_is_done_again(error, ledger: Path, monkeypatch) -> None:
    monkeypatch.setattr(engines, "_serial", losing(2, error))
    run = run_blocks(square, blocks(3), ledger=ledger, engine="serial", **AT_ONCE)
    assert [o.status for o in run.outcomes] == ["done"] * 3
    assert sorted(words(ledger)[:2]) == [("b0", 1), ("b1", 1)]


def test_a_block_that_is_always_lost_fails_alone(ledger: Path, monkeypatch) -> None:
    monkeypatch.setattr(engines, "_serial", losing(3, WorkerLost("worker 0 on host n")))
    run = run_blocks(square, blocks(1), ledger=ledger, engine="serial", **AT_ONCE)
    assert run.outcomes[0].error == "WorkerLost: worker 0 on host n (tried 3 times)"


def test_what_the_engine_cannot_hand_over_is_not_retried(ledger: Path, monkeypatch) -> None:
    monkeypatch.setattr(engines, "_serial", losing(1, ModuleNotFoundError("No module named 'x'")))
    run = run_blocks(square, blocks(1), ledger=ledger, engine="serial")
    assert run.outcomes[0].error == "ModuleNotFoundError: No module named 'x'"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_ledger_on_a_full_disk_ends_the_run_and_the_next_goes_on(ledger: Path) -> None:
    device, book = os.open("/dev/full", os.O_WRONLY), Ledger(ledger)

    def fill_up(outcome: object, number: int, total: int) -> None:
        if number == 2:
            os.dup2(device, book._file)

    message = r"ledger\.jsonl: cannot write the ledger: No space left on device$"
    with book, pytest.raises(ConfigError, match=message):
        run_blocks(square, blocks(5), ledger=book, engine="serial", progress=fill_up)
    os.close(device)
    run = run_blocks(square, blocks(5), ledger=ledger, engine="serial")
    assert [o.kept for o in run.outcomes] == [True, True, False, False, False]


def test_a_driver_may_hold_the_ledger_for_its_whole_life(ledger: Path) -> None:
    with Ledger(ledger) as book:
        run_blocks(square, blocks(2), ledger=book, engine="serial")
        book.append({"run": "note", "of": "the driver"})
        run = run_blocks(square, blocks(3), ledger=book, engine="serial")
        assert [o.kept for o in run.outcomes] == [True, True, False]
        with pytest.raises(ConfigError, match="another run is working with this ledger"):
            run_blocks(square, blocks(3), ledger=ledger, engine="serial")
    run = run_blocks(square, blocks(3), ledger=ledger, engine="serial")
    assert all(o.kept for o in run.outcomes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retries": -1}, r"^retries -1: expected 0 or more$"),
        ({"backoff_s": (1.0, -2.0)}, r"^backoff_s \(1\.0, -2\.0\): expected seconds$"),
        ({"backoff_s": (float("nan"),)}, r"^backoff_s \(nan,\): expected seconds$"),
        ({"patience_s": 0.0}, r"^patience_s 0: expected > 0$"),
        ({"limit_s": float("nan")}, r"^limit_s nan: expected > 0$"),
        ({"cpus": 0}, r"^cpus 0: expected 1 or more$"),
        ({"nodes": 2}, r"^engine 'serial' works on this computer alone \(got 2 nodes\)"),
    ],
)
def test_wrong_options(options: dict, message: str, ledger: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run_blocks(square, blocks(1), ledger=ledger, engine="serial", **options)
    assert not ledger.exists()
