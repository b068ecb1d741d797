"""``refimpl cluster``: write a Parsl configuration for a scheduler, to be edited and run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["EXAMPLES", "cluster"]

EXAMPLES = """\b
Examples:
  refimpl cluster slurm -o site.py --nodes 4 --cpus-per-node 32 --walltime 04:00:00 \\
      --account beam7 --partition short --worker-init 'module load python; . ~/venv/bin/activate'
  refimpl cluster local -o here.py --cpus-per-node 8
  refimpl powder batch frames --params config.toml --engine site.py -o out

The file is checked by Parsl and submits nothing; it is commented, for editing. Needs the extra
'cluster'. Exit: 0 written; 2 bad input, one line says what and where."""


def cluster(
    kind: Annotated[str, typer.Argument(metavar="slurm|pbs|local", help=(
        "Scheduler; local: worker processes of this computer."))],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE.py", help="File to write.")],
    cpus_per_node: Annotated[int, typer.Option(
        metavar="N", help="Worker processes of a node, one thread each.")],
    nodes: Annotated[int, typer.Option(
        metavar="N", help="Nodes at most, each a job of its own.")] = 1,
    walltime: Annotated[str | None, typer.Option(
        metavar="HH:MM:SS", help="Of a job; a run may take longer than one.")] = None,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="To charge.")] = None,
    partition: Annotated[str | None, typer.Option(
        "--partition", "--queue", metavar="NAME", help="Where to queue.")] = None,
    worker_init: Annotated[str | None, typer.Option(
        metavar="TEXT", help="Shell commands before a worker starts; default: put this Python "
                             "first in PATH.")] = None,
    replace: Annotated[bool, typer.Option(
        "--replace", help="Replace a file that is there already.")] = False,
) -> int:  # fmt: skip
    """Write a Parsl configuration for --engine: nodes of a cluster, or processes."""
    from refimpl.scaleout.cluster import write_config

    write_config(
        kind, out, nodes=nodes, cpus_per_node=cpus_per_node, walltime=walltime, account=account,
        partition=partition, worker_init=worker_init, replace=replace,
    )  # fmt: skip
    typer.echo(f"wrote {out}: use it with --engine {out}")
    return 0
