"""The campaigns find what is there; whole commands, killed, starved and fed with 10 GB (slow)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what Linux tells of processes")

SLOW = ("powder*", "metrology*", "nearfield*", "epu*", "centring*", "con*", "validate", "cluster")


def ran(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(HERE / script), *words]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ.copy())


@pytest.mark.slow
@pytest.mark.parametrize("names", SLOW)
def test_killed_commands_leave_nothing_torn_and_end_the_same(names: str) -> None:
    run = ran("kill.py", names, "--moments", "2")
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("names", SLOW)
def test_places_that_cannot_be_written_to(names: str) -> None:
    run = ran("places.py", names)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.slow
def test_inputs_of_ten_gigabytes() -> None:
    run = ran("big.py")
    assert run.returncode == 0, run.stdout + run.stderr


PROBE = """
import sys
sys.path.insert(0, {here!r})
from pathlib import Path
import refimpl.cli.main as program
from commands import Job
from kill import Kill

def atomic(out):
    Path(out + ".new").write_text("whole" * 9)
    Path(out + ".new").replace(out)

def in_place(out):
    with open(out, "w") as file:
        file.write("half")
        file.flush()
        open("log", "w").close()
        file.write("whole" * 9)

program.main = lambda words: ({how}(words[0]), 0)[1]
job = Job("probe", "out.txt", kept=("*.new",), grows=("log",))
killed = Kill(job, Path("none"), Path({place!r}))
for change in range(killed.changes):
    killed.moment(change=change)
print(killed.kills, len([f for f in killed.findings if "out.txt" in f]))
"""


@pytest.mark.parametrize(("how", "found"), [("atomic", False), ("in_place", True)])
def test_a_file_that_is_written_in_place_is_found(how: str, found: bool, tmp_path: Path) -> None:
    code = PROBE.format(here=str(HERE), how=how, place=str(tmp_path / "place"))
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    kills, torn = map(int, run.stdout.split())
    assert kills >= 2
    assert (torn > 0) is found
