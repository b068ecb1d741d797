"""Worker processes of Parsl on this computer: killed, silent, stopped, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import scaleout_work
from processes_of import MARK, others, wait_for_none
from scaleout_blocks import lines

from refimpl.scaleout import Block, GaveUp, run_blocks

HELPERS = Path(scaleout_work.__file__).parent

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="only Linux tells of everybody's environment"
)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Let workers find their functions; after the test no process of it may be there."""
    mark = f"{MARK}={tmp_path}"
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(HELPERS))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield mark
    assert others(mark) == {}
    assert not list(tmp_path.glob("refimpl-parsl-*"))


def test_two_workers(ledger: Path) -> None:
    work = [Block(str(i), 0.3) for i in range(4)]
    run = run_blocks(scaleout_work.slow_pid, work, ledger=ledger, engine="processes", workers=2)
    assert run.engine == "Parsl, 2 processes"
    assert [o.status for o in run.outcomes] == ["done"] * 4
    pids = {o.value[0] for o in run.outcomes}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {o.value[1] for o in run.outcomes} == {"1"}  # a worker has one thread


def test_a_worker_killed_in_the_middle_of_a_block_is_replaced(ledger: Path, tmp_path: Path) -> None:
    work = [Block(str(i), str(tmp_path / f"mark{i}")) for i in range(3)]
    run = run_blocks(
        scaleout_work.die_at_first, work, ledger=ledger, engine="processes", workers=2,
        backoff_s=(0.1,),
    )  # fmt: skip
    assert [(o.status, o.value) for o in run.outcomes] == [("done", "second")] * 3
    retries = [(e["key"], e["kind"]) for e in lines(ledger) if "retry" in e]
    assert sorted(retries) == [(str(i), "WorkerLost") for i in range(3)]


@pytest.mark.slow
def test_all_workers_of_a_node_that_is_gone_are_replaced(ledger: Path, tmp_path: Path) -> None:
    work = [Block("node", str(tmp_path / "mark")), Block("node2", str(tmp_path / "mark"))]
    run = run_blocks(
        scaleout_work.kill_manager_at_first, work, ledger=ledger, engine="processes", workers=2,
        backoff_s=(0.1,), patience_s=120.0,
    )  # fmt: skip
    assert [(o.status, o.value) for o in run.outcomes] == [("done", "second")] * 2
    assert "ManagerLost" in {e["kind"] for e in lines(ledger) if "retry" in e}


SILENT = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider
config = Config(
    executors=[HighThroughputExecutor(
        label="htex", max_workers_per_node=1, address="127.0.0.1", launch_cmd={!r},
        provider=LocalProvider(init_blocks=1, max_blocks=1))],
    run_dir={!r}, strategy="none", strategy_period=0.5, initialize_logging=False,
)
"""


def test_a_node_that_never_answers(ledger: Path, tmp_path: Path) -> None:
    file = tmp_path / "site.py"
    file.write_text(SILENT.format("sleep 1000", str(tmp_path / "runs")))
    message = r"^Parsl, htex \(site\.py\): no block ended for 2 s; 2 blocks wait; what is done is"
    with pytest.raises(GaveUp, match=message):
        run_blocks(
            scaleout_work.twice, [Block("a", 1.0), Block("b", 2.0)], ledger=ledger, engine=file,
            patience_s=2.0,
        )  # fmt: skip


def test_workers_that_cannot_start_say_why(ledger: Path, tmp_path: Path) -> None:
    file = tmp_path / "site.py"
    file.write_text(SILENT.format("echo no module loaded >&2; exit 3", str(tmp_path / "runs")))
    message = r"the workers are gone: .*EXIT CODE: 3 .*no module loaded.*; 1 block waits; what is"
    with pytest.raises(GaveUp, match=message):
        run_blocks(scaleout_work.twice, [Block("a", 1.0)], ledger=ledger, engine=file,
                   patience_s=60.0)  # fmt: skip


DRIVER = """
import sys
from pathlib import Path
import scaleout_work
from refimpl.scaleout import Block, Interrupted, local, run_blocks
local._SILENCE_S = 5  # s; workers whose run was killed end the sooner
try:
    run_blocks(
        scaleout_work.slow_pid, [Block(str(i), 0.0 if i < 2 else 60.0) for i in range(4)],
        ledger=sys.argv[1], engine="processes", workers=2,
        progress=lambda outcome, number, total: number == 2 and print("ready", flush=True),
    )
except Interrupted as stopped:
    sys.exit(f"stopped after {len(stopped.run.outcomes)}")
"""


def driver(ledger: Path) -> subprocess.Popen:
    """Run in a process of its own that has done two blocks of four and works on the others."""
    run = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(ledger)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout.readline() == "ready\n"
    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_run_and_its_workers(number: int, ledger: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        with driver(ledger) as run:
            run.send_signal(number)
            assert run.communicate(timeout=30.0)[1] == "stopped after 2\n"
        assert run.returncode == 1
    finally:
        signal.signal(signal.SIGINT, before)
    assert lines(ledger)[-1]["run"] == "interrupted"


def test_kill_9_of_the_run_ends_its_workers_too(ledger: Path, place: str, tmp_path: Path) -> None:
    with driver(ledger) as run:
        assert len(others(place)) >= 4  # the run, the interchange, the manager, two workers
        run.kill()
    wait_for_none(place)
    for left in tmp_path.glob("refimpl-parsl-*"):  # a killed run cannot remove its folder
        subprocess.run(["rm", "-r", str(left)], check=True)
    done = [e["key"] for e in lines(ledger) if e.get("status") == "done"]
    assert sorted(done) == ["0", "1"]  # either of two workers may end first


def test_sigterm_of_a_run_on_threads(ledger: Path) -> None:
    code = DRIVER.replace('"processes"', '"threads"').replace("60.0", "3.0")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(ledger)], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stdout.readline() == "ready\n"
        time.sleep(1.0)  # s; the last two blocks begin
        run.terminate()
        assert run.communicate(timeout=30.0)[1] == "stopped after 4\n"  # what runs ends whole


def test_a_handler_for_sigterm_of_the_caller_is_left_alone(ledger: Path) -> None:
    def mine(number: int, frame: object) -> None:
        raise ZeroDivisionError

    seen = []

    def look(x: float) -> float:
        seen.append(signal.getsignal(signal.SIGTERM))
        return x

    before = signal.signal(signal.SIGTERM, mine)
    try:
        run_blocks(look, [Block("a", 1.0)], ledger=ledger, engine="serial")
        assert signal.getsignal(signal.SIGTERM) is mine
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        run_blocks(look, [Block("b", 1.0)], ledger=ledger, engine="serial")
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen[0] is mine
    assert seen[1] not in (mine, signal.SIG_DFL)
