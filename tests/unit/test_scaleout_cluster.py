"""Configurations for Slurm, PBS and one computer: what stands in them, and that they work."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
import scaleout_work
from scaleout_blocks import blocks, square

from refimpl.errors import ConfigError, MissingExtra
from refimpl.scaleout import Block, GaveUp, run_blocks
from refimpl.scaleout.cluster import config_text, write_config
from refimpl.scaleout.engines import load_config

QUEUED = {"nodes": 3, "cpus_per_node": 16, "walltime": "04:00:00"}


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_what_is_asked_for_reaches_parsl(kind: str, tmp_path: Path) -> None:
    path = write_config(
        kind, tmp_path / "site.py", **QUEUED, account="beam7", partition="short",
        worker_init='module load "x y"\nexport A=${B}\\n"""',
    )  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["site.py"]
    (executor,) = load_config(path).executors
    p = executor.provider
    assert type(p).__name__ == {"slurm": "SlurmProvider", "pbs": "PBSProProvider"}[kind]
    assert (p.nodes_per_block, p.init_blocks, p.min_blocks, p.max_blocks) == (1, 3, 0, 3)
    assert p.walltime == "04:00:00"
    assert executor.max_workers_per_node == 16
    assert executor.drain_period == 4 * 3600 - 600
    assert 'module load "x y"\nexport A=${B}\\n"""\n' in p.worker_init
    assert "OMP_NUM_THREADS=1" in p.worker_init
    if kind == "slurm":
        assert (p.account, p.partition, p.cores_per_node) == ("beam7", "short", 16)
        assert p.exclusive
    else:
        assert (p.account, p.queue, p.cpus_per_node) == ("beam7", "short", 16)


@pytest.mark.parametrize("kind", ["slurm", "pbs"])
def test_a_run_may_state_nodes_and_cpus(kind: str, tmp_path: Path) -> None:
    path = write_config(kind, tmp_path / "site.py", **QUEUED)
    (executor,) = load_config(path, nodes=7).executors
    assert (executor.provider.max_blocks, executor.max_workers_per_node) == (7, 16)
    (executor,) = load_config(path, nodes=7, cpus=4).executors
    assert (executor.provider.init_blocks, executor.max_workers_per_node) == (7, 4)


def test_globals_of_a_configuration_reach_it_only_if_stated(tmp_path: Path) -> None:
    file, ledger = tmp_path / "site.py", tmp_path / "ledger.jsonl"
    file.write_text("raise ValueError((globals().get('NODES'), globals().get('CPUS')))")
    with pytest.raises(ConfigError, match=r"ValueError: \(None, None\)$"):
        run_blocks(square, blocks(1), ledger=ledger, engine=file, workers=3)
    with pytest.raises(ConfigError, match=r"ValueError: \(5, 8\)$"):
        run_blocks(square, blocks(1), ledger=ledger, engine=file, nodes=5, cpus=8)


def test_the_nodes_find_this_python_unless_told_otherwise() -> None:
    text = config_text("slurm", **QUEUED)
    assert f"export PATH='{Path(sys.executable).parent}':\"$PATH\"\n" in text
    assert "export PATH" not in config_text("slurm", **QUEUED, worker_init="")


def test_no_account_and_partition_are_comments_to_fill_in() -> None:
    text = config_text("pbs", **QUEUED)
    assert "# account=...," in text
    assert "# queue=...," in text


@pytest.mark.parametrize("kind", ["slurm", "pbs", "local"])
def test_the_text_can_be_read(kind: str) -> None:
    text = config_text(kind, **(QUEUED if kind != "local" else {"cpus_per_node": 2}))
    assert all(len(line) <= 100 for line in text.splitlines())
    compile(text, "site.py", "exec")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "lsf"}, r"^unknown kind 'lsf': expected slurm, pbs, local$"),
        ({"nodes": 0}, r"^nodes 0: expected 1 or more$"),
        ({"cpus_per_node": 0}, r"^cpus_per_node 0: expected 1 or more$"),
        ({"walltime": None}, r"^walltime is needed: HH:MM:SS$"),
        ({"walltime": "4h"}, r"^walltime '4h': expected HH:MM:SS"),
        ({"walltime": "00:00:59"}, r"^walltime '00:00:59': expected HH:MM:SS, a minute or more$"),
        ({"walltime": "01:60:00"}, r"^walltime '01:60:00': expected HH:MM:SS"),
        ({"account": "a b"}, r"^account 'a b': expected one word$"),
        ({"partition": "x\n#SBATCH --wrap=ls"}, r"^partition 'x\\n#SBATCH .*': expected one word$"),
        ({"partition": ""}, r"^partition '': expected one word$"),
        ({"kind": "local"}, r"^one computer has no queue: leave out walltime, nodes$"),
    ],
)
def test_what_cannot_be(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        write_config(**{"kind": "slurm", "path": tmp_path / "site.py", **QUEUED, **options})
    assert not list(tmp_path.iterdir())


def test_an_edited_file_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "site.py"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"site\.py: there is such a file already"):
        write_config("slurm", path, **QUEUED)
    assert path.read_text() == "mine"
    write_config("slurm", path, **QUEUED, replace=True)
    assert "SlurmProvider" in path.read_text()


def test_places_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"site\.toml: expected a name that ends in \.py$"):
        write_config("slurm", tmp_path / "site.toml", **QUEUED)
    with pytest.raises(ConfigError, match=r"cannot write: the folder .*none does not exist$"):
        write_config("slurm", tmp_path / "none" / "site.py", **QUEUED)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"^a Parsl configuration needs the extra 'cluster'"):
        write_config("slurm", tmp_path / "site.py", **QUEUED)


@pytest.fixture
def workers_find_their_functions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(scaleout_work.__file__).parent))
    monkeypatch.chdir(tmp_path)  # for Parsl's runinfo


@pytest.mark.slow
@pytest.mark.usefixtures("workers_find_their_functions")
def test_processes_of_one_computer_work(tmp_path: Path) -> None:
    path = write_config("local", tmp_path / "here.py", cpus_per_node=2)
    work = [Block(str(i), 0.5) for i in range(4)]
    run = run_blocks(scaleout_work.slow_pid, work, ledger=tmp_path / "ledger", engine=path)
    assert run.engine == "Parsl, local (here.py)"
    assert len({o.value[0] for o in run.outcomes}) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("workers_find_their_functions")
def test_jobs_that_cannot_start_three_times_in_a_row_end_the_run(tmp_path: Path) -> None:
    path = write_config("local", tmp_path / "here.py", cpus_per_node=1,
                        worker_init="echo no such module >&2; exit 3")  # fmt: skip
    with pytest.raises(
        GaveUp, match=r"are gone: .* Error 1: .*no such module.* Error 3: "
    ) as caught:
        run_blocks(scaleout_work.twice, [Block("a", 1.0)], ledger=tmp_path / "ledger", engine=path)
    assert "Error 4" not in str(caught.value)


def program(path: Path, text: str) -> None:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.slow
@pytest.mark.usefixtures("workers_find_their_functions")
def test_jobs_of_slurm_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "slurm"  # a scheduler whose nodes are this computer
    folder.mkdir()
    jobs = tmp_path / "jobs"
    program(
        folder / "sbatch",
        f'setsid bash "$1" >/dev/null 2>&1 &\n'
        f'echo "$!" >> {jobs}; cp "$1" {tmp_path}/script; echo "Submitted batch job $!"\n',
    )
    program(folder / "sacct", "exit 1\n")
    program(folder / "squeue", f'for job in $(cat {jobs}); do echo "$job R"; done\n')
    program(folder / "scancel", 'for job; do kill -- "-$job"; done\n')  # fmt: skip
    monkeypatch.setenv("PATH", os.pathsep.join([str(folder), os.environ["PATH"]]))
    path = write_config(
        "slurm", tmp_path / "site.py", nodes=2, cpus_per_node=1, walltime="00:10:00",
        account="beam7", partition="short",
    )  # fmt: skip
    work = [Block(str(i), 3.0) for i in range(4)]
    run = run_blocks(scaleout_work.slow_pid, work, ledger=tmp_path / "ledger", engine=path)
    assert [o.status for o in run.outcomes] == ["done"] * 4
    script = (tmp_path / "script").read_text()
    for line in ("nodes=1", "time=10", "account=beam7", "partition=short", "exclusive"):
        assert f"#SBATCH --{line}\n" in script
    numbers = [int(line) for line in jobs.read_text().split()]
    assert len(numbers) == 2  # one job a node
    assert not [n for n in numbers if Path(f"/proc/{n}/cmdline").exists()
                and Path(f"/proc/{n}/cmdline").read_bytes()]  # fmt: skip
