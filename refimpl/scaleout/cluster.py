"""Parsl configurations for Slurm, PBS and one computer, written as files that people edit.

Such a file is a short Python program that assigns ``config``; ``--engine FILE.py`` runs it. One
job holds one node: the first blocks of work begin when the first node is free, a node that is lost
or whose time is up is replaced, and one without work is given back. The workers of a job end a
while before its time is up rather than in the middle of a block. Written after the documentation
of Parsl's providers; refimpl submits nothing here. Not here: running one
(:mod:`refimpl.scaleout.engines`).
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

from refimpl.errors import ConfigError, MissingExtra
from refimpl.io.atomic import atomic_path, check_target
from refimpl.scaleout.engines import load_config

__all__ = ["KINDS", "config_text", "write_config"]

KINDS = ("slurm", "pbs", "local")
"""Schedulers that :func:`write_config` knows; ``local`` is none."""

_WORD = re.compile(r"[\w.@%+:/=,-]+")  # what a line of a job script can hold as one value

_HEAD = '''"""Parsl configuration of refimpl: {title}

Use it with --engine {name}. It is yours to edit; Parsl's documentation explains every
setting. Nothing is submitted before a run begins, and nothing stays when it ends.
"""

{imports}from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.jobs.error_handlers import windowed_error_handler
from parsl.providers import {provider}

{counts}
# Shell commands before a worker starts: modules, the environment of refimpl. Each process works
# with one thread, and there are as many processes as CPUs.
WORKER_INIT = """
{init}
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
"""

config = Config(
    executors=[
        HighThroughputExecutor(
            label="{kind}",
            max_workers_per_node=CPUS,
            block_error_handler=windowed_error_handler,  # three failed starts in a row end the run
'''

_COUNTS = """# A run may state them (-nNodes, -nCPUs); these count where it does not.
NODES = globals().get("NODES", {nodes})
CPUS = globals().get("CPUS", {cpus})  # of a node

# Of this computer, as the nodes reach it. On a network of their own: address_by_interface("ib0")
try:
    ADDRESS = address_by_route()
except OSError:  # it has no network
    ADDRESS = "127.0.0.1"
"""

_LOCAL_COUNTS = """# A run may state it (-nCPUs); this counts where it does not.
CPUS = globals().get("CPUS", {cpus})
"""

_QUEUED = """\
            address=ADDRESS,
            heartbeat_period=30,  # s
            heartbeat_threshold=120,  # s without a sign of life until a node counts as lost
{drain}            provider={provider}(
{settings}                nodes_per_block=1,  # one job a node
                init_blocks=NODES,
                min_blocks=0,
                max_blocks=NODES,
                walltime="{walltime}",  # of a job, HH:MM:SS; a run may take longer than one job
                worker_init=WORKER_INIT,
            ),
        )
    ],
    strategy="htex_auto_scale",  # new jobs for lost ones; nodes without work are given back
    max_idletime=120.0,  # s
    retries=0,  # refimpl tries again what was lost, and notes it in the ledger
    run_dir="runinfo",  # Parsl's logs, and the output of the jobs in submit_scripts
)
"""

_DRAIN = """\
            drain_period={drain},  # s after which a job begins no block: {margin} s before its end
"""

_LOCAL = """\
            cores_per_worker=0.001,  # as many processes as stated, whatever this computer has
            address="127.0.0.1",
            heartbeat_period=1,  # s
            heartbeat_threshold=15,  # s
            provider=LocalProvider(
                init_blocks=1, min_blocks=1, max_blocks=1, worker_init=WORKER_INIT
            ),
        )
    ],
    strategy="simple",
    retries=0,  # refimpl tries again what was lost, and notes it in the ledger
    run_dir="runinfo",  # Parsl's logs
)
"""


def write_config(
    kind: str,
    path: str | Path,
    *,
    nodes: int = 1,
    cpus_per_node: int,
    walltime: str | None = None,
    account: str | None = None,
    partition: str | None = None,
    worker_init: str | None = None,
    replace: bool = False,
) -> Path:
    """Write a configuration and have Parsl check it; nothing is submitted.

    Parameters
    ----------
    kind, nodes, cpus_per_node, walltime, account, partition, worker_init
        As of :func:`config_text`.
    path
        Python file to write; it appears only if Parsl takes it.
    replace
        Whether a file of that name, which somebody may have edited, is replaced.

    Returns
    -------
    The path.

    Raises
    ------
    ConfigError
        A value that cannot be, a file that is there already or cannot be written, a
        configuration that Parsl refuses.
    MissingExtra
        Parsl is not here.
    """
    target = Path(path)
    if target.suffix != ".py":
        raise ConfigError("expected a name that ends in .py", path=target)
    text = config_text(
        kind, name=target.name, nodes=nodes, cpus_per_node=cpus_per_node, walltime=walltime,
        account=account, partition=partition, worker_init=worker_init,
    )  # fmt: skip
    check_target(target)
    if target.exists() and not replace:
        raise ConfigError("there is such a file already, which may have been edited", path=target)
    if not importlib.util.find_spec("parsl"):
        raise MissingExtra("cluster", "a Parsl configuration")
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8")
        load_config(temporary)
    return target


def config_text(
    kind: str,
    *,
    name: str = "cluster.py",
    nodes: int = 1,
    cpus_per_node: int,
    walltime: str | None = None,
    account: str | None = None,
    partition: str | None = None,
    worker_init: str | None = None,
) -> str:
    """Text of a configuration.

    Parameters
    ----------
    kind
        One of :data:`KINDS`.
    name
        Of the file, for its own words.
    nodes
        Nodes, at most; each is a job of its own.
    cpus_per_node
        Worker processes of a node.
    walltime
        Of a job, HH:MM:SS; needed with a scheduler.
    account, partition
        To charge, and where to queue (PBS: the queue); the scheduler's defaults if None.
    worker_init
        Shell commands before a worker starts; by default this Python is put first in PATH,
        which is right where the nodes see the same folders.

    Raises
    ------
    ConfigError
        A value that cannot be, or that this kind has no use for.
    """
    _check(kind, nodes, cpus_per_node, walltime, account, partition)
    init = worker_init if worker_init is not None else f"export PATH='{_folder()}':\"$PATH\""
    plain = init.strip("\n").replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    providers = {"slurm": "SlurmProvider", "pbs": "PBSProProvider", "local": "LocalProvider"}
    titles = {
        "slurm": "nodes of a cluster, by Slurm.", "pbs": "nodes of a cluster, by PBS Pro.",
        "local": "processes of one computer.",
    }  # fmt: skip
    counts = (_LOCAL_COUNTS if kind == "local" else _COUNTS).format(nodes=nodes, cpus=cpus_per_node)
    head = _HEAD.format(
        title=titles[kind], name=name, provider=providers[kind], counts=counts, init=plain,
        kind=kind,
        imports="" if kind == "local" else "from parsl.addresses import address_by_route\n",
    )  # fmt: skip
    if kind == "local":
        return head + _LOCAL
    assert walltime is not None  # see _check
    return head + _QUEUED.format(
        drain=_drain(walltime), provider=providers[kind], walltime=walltime,
        settings=_settings(kind, account, partition),
    )  # fmt: skip


def _folder() -> str:
    """Folder of this Python, between single quotes of a shell."""
    return str(Path(sys.executable).parent).replace("'", "'\\''")


def _check(
    kind: str,
    nodes: int,
    cpus_per_node: int,
    walltime: str | None,
    account: str | None,
    partition: str | None,
) -> None:
    if kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}: expected {', '.join(KINDS)}", got=kind)
    for name, count in (("nodes", nodes), ("cpus_per_node", cpus_per_node)):
        if count < 1:
            raise ConfigError(f"{name} {count}: expected 1 or more", key=name, got=count)
    words = {"account": account, "partition": partition}
    if kind == "local":
        stated = [name for name, value in {**words, "walltime": walltime}.items() if value]
        stated += ["nodes"] if nodes > 1 else []
        if stated:
            raise ConfigError(f"one computer has no queue: leave out {', '.join(stated)}")
        return
    for name, word in words.items():
        if word is not None and not _WORD.fullmatch(word):
            raise ConfigError(f"{name} {word!r}: expected one word", key=name, got=word)
    if walltime is None:
        raise ConfigError("walltime is needed: HH:MM:SS", key="walltime")
    if not re.fullmatch(r"\d{1,4}:[0-5]\d:[0-5]\d", walltime) or _seconds(walltime) < 60:
        raise ConfigError(
            f"walltime {walltime!r}: expected HH:MM:SS, a minute or more", key="walltime",
            got=walltime,
        )  # fmt: skip


def _seconds(walltime: str) -> int:
    hours, minutes, seconds = map(int, walltime.split(":"))
    return 3600 * hours + 60 * minutes + seconds


def _drain(walltime: str) -> str:
    """Line that ends a job early: a tenth of its time before, at most ten minutes."""
    whole = _seconds(walltime)
    margin = min(600, whole // 10)
    return _DRAIN.format(drain=whole - margin, margin=margin)


def _settings(kind: str, account: str | None, partition: str | None) -> str:
    """Lines of a provider that differ between schedulers."""
    queue = "partition" if kind == "slurm" else "queue"
    pairs = [
        f"account={account!r}," if account else "# account=...,  # to charge",
        f"{queue}={partition!r}," if partition else f"# {queue}=...,",
    ]
    if kind == "slurm":
        pairs += ["cores_per_node=CPUS,", "exclusive=True,  # whole nodes"]
        pairs += ["# scheduler_options='#SBATCH --mem=0',  # more lines for the job script"]
    else:
        pairs += ["cpus_per_node=CPUS,"]
        pairs += ["# scheduler_options='#PBS -l place=excl',  # more lines for the job script"]
    return "".join(f"                {pair}\n" for pair in pairs).replace("'", '"')
