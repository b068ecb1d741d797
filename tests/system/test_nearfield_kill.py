"""A coarse-to-fine run, or a worker of it, is killed at any moment: the maps stay the same."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nearfield_multires_run
import pytest
from processes_of import MARK, others, wait_for_none, workers

from refimpl.nearfield.reconstruct import LEDGER

PROGRAM = Path(nearfield_multires_run.__file__)
WORKERS = 2
QUICK = 2  # moments of each kind in the default suite
MANY = 20

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(), reason="only Linux tells of everybody's environment"
)


def started(folder: Path, engine: str) -> subprocess.Popen[str]:
    """Run of its own, which tells of each block."""
    command = [sys.executable, str(PROGRAM), str(folder), engine, str(WORKERS)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {MARK: str(folder), "TMPDIR": str(folder.parent)},
    )  # fmt: skip


def finished(run: subprocess.Popen[str]) -> list[str]:
    """What is left of its lines, once it has ended well."""
    out, err = run.communicate(timeout=120.0)
    assert run.returncode == 0, err
    return out.splitlines()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], int]:
    """Files of the maps of a run that nobody disturbs, and the lines that it tells."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    lines = finished(started(folder, "serial"))
    return nearfield_multires_run.content(folder), len(lines)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Folder of a run, of which no process may be left."""
    yield tmp_path / "run"
    wait_for_none(f"{MARK}={tmp_path / 'run'}")


def at_a_moment(run: subprocess.Popen[str], rng: random.Random, n_lines: int) -> None:
    """Wait for a random number of blocks, and a while more."""
    assert run.stdout is not None
    for _ in range(rng.randrange(n_lines)):
        run.stdout.readline()
    time.sleep(rng.uniform(0.0, 0.03))


def records(folder: Path) -> list[dict[str, object]]:
    """Entries of the ledger; a torn line is none."""
    found = []
    for line in (folder / "run" / LEDGER).read_bytes().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def check(folder: Path, whole: dict[str, bytes], kills: int = 1) -> None:
    """Maps are those of an undisturbed run, nothing is left over or was done in vain."""
    found = nearfield_multires_run.content(folder)
    assert found.keys() == whole.keys()
    assert [name for name in whole if found[name] != whole[name]] == []
    done = Counter(r["key"] for r in records(folder) if r.get("status") == "done")
    assert len(done) > 50
    assert sum(n > 1 for n in done.values()) <= WORKERS * kills
    blocks = {path.stem for path in (folder / "run/blocks").iterdir()}
    assert blocks == set(done)  # no torn file either
    assert {path.name for path in (folder / "run").iterdir()} == {"blocks", LEDGER, "run.jsonl"}


def kill_the_driver(
    folder: Path, engine: str, moment: int, whole: tuple[dict[str, bytes], int]
) -> None:
    rng = random.Random(f"{engine} {moment}")
    run = started(folder, engine)
    at_a_moment(run, rng, whole[1])
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert run.returncode in (-signal.SIGKILL, 0)  # it may have been at its very end
    finished(started(folder, engine))  # at once: workers of the killed run may still be there
    check(folder, whole[0])


@pytest.mark.parametrize("moment", range(QUICK))
def test_a_killed_run_goes_on_to_the_same_maps(folder: Path, moment: int, whole) -> None:
    kill_the_driver(folder, "threads", moment, whole)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(QUICK, MANY))
def test_a_run_that_is_killed_at_any_moment(folder: Path, moment: int, whole) -> None:
    kill_the_driver(folder, "threads", moment, whole)


@pytest.mark.slow
def test_a_killed_run_with_worker_processes_goes_on(folder: Path, whole) -> None:
    kill_the_driver(folder, "processes", 0, whole)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(1, MANY))
def test_a_run_with_worker_processes_killed_at_any_moment(folder: Path, moment: int, whole) -> None:
    kill_the_driver(folder, "processes", moment, whole)


def test_a_run_that_is_killed_again_and_again(folder: Path, whole) -> None:
    rng, kills = random.Random(7), 0
    for _ in range(3):
        run = started(folder, "threads")
        at_a_moment(run, rng, whole[1] // 2)
        run.kill()
        run.communicate()
        kills += 1
    finished(started(folder, "threads"))
    check(folder, whole[0], kills)


def kill_a_worker(folder: Path, moment: int, whole: tuple[dict[str, bytes], int]) -> None:
    rng = random.Random(f"worker {moment}")
    run = started(folder, "processes")
    at_a_moment(run, rng, whole[1] - 10)
    crew = workers(f"{MARK}={folder}")
    if crew:
        os.kill(rng.choice(crew), signal.SIGKILL)
    finished(run)
    check(folder, whole[0])
    lost = [r for r in records(folder) if "retry" in r]
    assert len(lost) <= 1
    assert {r["kind"] for r in lost} <= {"WorkerLost"}


def test_a_run_whose_worker_is_killed_goes_on(folder: Path, whole) -> None:
    kill_a_worker(folder, 0, whole)


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(1, MANY))
def test_a_run_whose_worker_is_killed_at_any_moment(folder: Path, moment: int, whole) -> None:
    kill_a_worker(folder, moment, whole)


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_run_that_is_stopped_leaves_nothing_behind(number: int, folder: Path, whole) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    try:
        run = started(folder, "processes")
        at_a_moment(run, random.Random(int(number)), whole[1] // 2)
        run.send_signal(number)
        run.communicate(timeout=60.0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert run.returncode != 0
    assert {path.name for path in (folder / "run").iterdir()} == {"blocks", LEDGER, "run.jsonl"}
    wait_for_none(f"{MARK}={folder}", 5.0)
    assert others(f"{MARK}={folder}") == {}
    finished(started(folder, "threads"))
    check(folder, whole[0])
