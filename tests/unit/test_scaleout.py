"""Blocks of work: the ledger, going on after interruptions, and every engine giving the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from refimpl import scaleout
from refimpl.dispatch import current_backend, use_backend
from refimpl.errors import ConfigError, FormatError, MissingExtra
from refimpl.ledger import Ledger
from refimpl.scaleout import Block, Interrupted, Outcome, checkpoint, fingerprint, run_blocks

HERE = ("serial", "threads", "parsl")


def square(x: float) -> dict[str, float]:
    if x < 0:
        raise ValueError(f"x is\n{x}")
    return {"square": x * x / 7.0}


def blocks(n: int = 5) -> list[Block]:
    return [Block(f"b{i}", 0.1 * i, "v1") for i in range(n)]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(path: Path) -> list[tuple[str, str]]:
    return [(entry["key"], entry["status"]) for entry in lines(path) if "key" in entry]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


# ---------------------------------------------------------------------------- engines


def test_every_engine_gives_the_same_in_the_order_of_the_blocks(tmp_path) -> None:
    def bare(run: scaleout.Run) -> list[tuple]:
        return [(o.key, o.status, o.value, o.error, o.kind) for o in run.outcomes]

    work = [*blocks(), Block("bad", -1.0)]
    runs = [
        run_blocks(square, work, ledger=tmp_path / f"{engine}{n}", engine=engine, workers=n)
        for engine in HERE
        for n in (1, 3)
    ]
    assert all(bare(run) == bare(runs[0]) for run in runs)
    assert [o.key for o in runs[0].outcomes] == ["b0", "b1", "b2", "b3", "b4", "bad"]
    assert runs[0].outcomes[3].value == {"square": (0.1 * 3) ** 2 / 7.0}
    assert [run.engine for run in runs] == [
        "serial", "serial", "1 thread", "3 threads", "Parsl, 1 thread", "Parsl, 3 threads",
    ]  # fmt: skip


def test_auto_is_parsl_where_it_is_and_threads_elsewhere(ledger, monkeypatch) -> None:
    assert run_blocks(square, blocks(), ledger=ledger, workers=2).engine == "Parsl, 2 threads"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    again = run_blocks(square, blocks(), ledger=ledger, workers=2, again=True)
    assert again.engine == "2 threads"
    starts = [entry["engine"] for entry in lines(ledger) if entry.get("run") == "start"]
    assert starts == ["Parsl, 2 threads", "2 threads"]


def test_importing_does_not_load_parsl() -> None:
    code = "import sys, refimpl.scaleout; sys.exit('parsl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_blocks_are_worked_on_at_the_same_time(ledger) -> None:
    together = threading.Barrier(3, timeout=20.0)  # s, passed only by three blocks at once
    for engine in ("threads", "parsl"):
        run = run_blocks(
            lambda x: together.wait() * 0, blocks(3), ledger=ledger, engine=engine, workers=3,
            again=True,
        )  # fmt: skip
        assert [o.status for o in run.outcomes] == ["done"] * 3


def test_a_block_works_with_the_backend_of_the_call(ledger) -> None:
    with use_backend("python"):
        run = run_blocks(lambda x: current_backend(), blocks(1), ledger=ledger, engine="threads")
    assert run.outcomes[0].value == "python"


CONFIGURATION = """
from parsl.config import Config
from parsl.executors import ThreadPoolExecutor
config = Config(executors=[ThreadPoolExecutor(label="mine")], run_dir={!r}, strategy="none",
                initialize_logging=False)
"""


def test_a_parsl_configuration_of_the_user(ledger, tmp_path) -> None:
    file = tmp_path / "site.py"
    file.write_text(CONFIGURATION.format(str(tmp_path / "runs")))
    run = run_blocks(square, blocks(), ledger=ledger, engine=file)
    assert run.engine == "Parsl, mine (site.py)"
    assert [o.status for o in run.outcomes] == ["done"] * 5
    assert (tmp_path / "runs").is_dir()


PROCESSES = """
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider
config = Config(
    executors=[HighThroughputExecutor(
        label="htex", max_workers_per_node=2, address="127.0.0.1", encrypted=False,
        provider=LocalProvider(init_blocks=1, max_blocks=1))],
    run_dir={!r}, strategy="none",
)
"""


@pytest.mark.slow
def test_parsl_with_processes(ledger, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    file = tmp_path / "site.py"
    file.write_text(PROCESSES.format(str(tmp_path / "runs")))
    work = [*[Block(str(i), float(i)) for i in range(4)], Block("bad", -1.0)]
    import math

    run = run_blocks(math.sqrt, work, ledger=ledger, engine=file)
    assert [o.value for o in run.outcomes] == [0.0, 1.0, math.sqrt(2.0), math.sqrt(3.0), None]
    assert run.outcomes[-1].error == "ValueError: math domain error"


# ---------------------------------------------------------------------------- failing blocks


@pytest.mark.parametrize("engine", HERE)
def test_a_failing_block_does_not_stop_the_others(engine, ledger) -> None:
    def work(x: float) -> float:
        if x == 1:
            raise FormatError("no rings found", path="a.tif")
        if x == 2:
            raise KeyError("lsd")
        if x == 3:
            sys.exit(7)
        return x

    run = run_blocks(work, [Block(str(x), x) for x in range(5)], ledger=ledger, engine=engine)
    assert [o.status for o in run.outcomes] == ["done", "failed", "failed", "failed", "done"]
    assert [(o.kind, o.error) for o in run.outcomes[1:4]] == [
        ("FormatError", "a.tif: no rings found"),
        ("KeyError", "KeyError: 'lsd'"),
        ("SystemExit", "SystemExit: 7"),
    ]
    entries = {entry["key"]: entry for entry in lines(ledger) if "key" in entry}
    assert "traceback" not in entries["1"]
    assert 'raise KeyError("lsd")' in entries["2"]["traceback"]


def test_an_error_is_one_line(ledger) -> None:
    run = run_blocks(square, [Block("bad", -1.0)], ledger=ledger, engine="serial")
    assert run.outcomes[0].error == "ValueError: x is -1.0"


def test_a_value_without_json_form_fails_its_block(ledger) -> None:
    run = run_blocks(lambda x: x, [Block("nan", float("nan")), Block("set", {1})],
                     ledger=ledger, engine="serial")  # fmt: skip
    assert "Out of range float values are not JSON compliant" in run.outcomes[0].error
    assert "set is not JSON serializable" in run.outcomes[1].error


def test_a_failed_block_is_tried_again_next_time(ledger) -> None:
    run_blocks(square, [Block("a", -1.0), Block("b", 1.0)], ledger=ledger, engine="serial")
    run = run_blocks(square, [Block("a", 2.0), Block("b", 1.0)], ledger=ledger, engine="serial")
    assert [(o.status, o.kept) for o in run.outcomes] == [("done", False), ("done", True)]
    assert written(ledger) == [("a", "failed"), ("b", "done"), ("a", "done")]


# ---------------------------------------------------------------------------- going on


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


# ---------------------------------------------------------------------------- the ledger


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


# ---------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "slurm"}, r"^unknown engine 'slurm': expected auto, serial, threads, parsl or"),
        ({"engine": "none.py"}, r"^none\.py: no such Parsl configuration$"),
        ({"workers": 0}, r"threads"),
    ],
)
def test_wrong_options(options, message, ledger) -> None:
    with pytest.raises(ConfigError, match=message):
        run_blocks(square, blocks(1), ledger=ledger, **options)


def test_two_blocks_of_one_name(ledger) -> None:
    with pytest.raises(ConfigError, match=r"^two blocks of the name 'b0'$"):
        run_blocks(square, [*blocks(2), *blocks(1)], ledger=ledger)
    assert not ledger.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", r"the Parsl configuration fails: ZeroDivisionError: division by zero$"),
        ("config = {}", r"must assign a parsl.config.Config to 'config' \(got dict\)$"),
        ("other = 1", r"must assign a parsl.config.Config to 'config' \(got NoneType\)$"),
    ],
)
def test_a_wrong_parsl_configuration(text, message, ledger, tmp_path) -> None:
    file = tmp_path / "site.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        run_blocks(square, blocks(1), ledger=ledger, engine=file)
    assert not ledger.exists()


def test_a_configuration_that_cannot_start(ledger, tmp_path) -> None:
    (tmp_path / "runs").write_text("a file where Parsl needs a folder")
    file = tmp_path / "site.py"
    file.write_text(CONFIGURATION.format(str(tmp_path / "runs")))
    message = r"Parsl cannot start what the configuration says: NotADirectoryError: "
    with pytest.raises(ConfigError, match=message):
        run_blocks(square, blocks(1), ledger=ledger, engine=file)


@pytest.mark.parametrize("engine", ["parsl", "site.py"])
def test_parsl_is_an_extra(engine, ledger, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"needs the extra 'cluster': pip install 'refimpl\[clu"):
        run_blocks(square, blocks(1), ledger=ledger, engine=engine)


# ---------------------------------------------------------------------------- fingerprints


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
