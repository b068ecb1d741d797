"""Blocks of work: every engine gives the same, and a block that fails stops no other."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from scaleout_blocks import HERE, blocks, lines, square

from refimpl import scaleout
from refimpl.dispatch import current_backend, use_backend
from refimpl.errors import ConfigError, FormatError, MissingExtra
from refimpl.scaleout import Block, run_blocks


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.jsonl"


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
