"""The thesis's Tables 2.3 and 2.5 on simulated data, beside what it printed.

Ten nets and three targets are thirty trainings, which take a night: each is a block of work
(:mod:`refimpl.scaleout`) with a line in a ledger, and a run that was stopped or killed goes on,
also within a net. The tables themselves are of :mod:`refimpl.centring.reproduce_tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import refimpl
from refimpl.centring.reproduce_plan import CLASSIFIER, NIGHT, SMALL, Plan
from refimpl.centring.reproduce_tables import write_tables
from refimpl.errors import ConfigError
from refimpl.io.atomic import make_folder, remove_torn
from refimpl.scaleout import Block, GaveUp, Interrupted, Outcome, Run, fingerprint, run_blocks

__all__ = ["LEDGER", "NIGHT", "SMALL", "Plan", "Reproduction", "missing", "name_of", "reproduce"]

LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Reproduction:
    """What came of it.

    Attributes
    ----------
    folder
        With ``tables.md``, ``table_2_3.csv``, ``tables.json``, ``predictions/``.
    rows
        Of each net that is done, in the order of the plan: the numbers of
        :func:`refimpl.centring.reproduce_net.work`, and ``seconds``.
    failed
        Net to its error.
    engine
        What it ran on, in words.
    """

    folder: Path
    rows: tuple[Mapping[str, Any], ...]
    failed: Mapping[str, str]
    engine: str


def name_of(arch: str, target: str) -> str:
    """Name of a net in the ledger and of its files."""
    return f"{arch}-{target}" if target else arch


def reproduce(
    plan: Plan,
    folder: str | Path,
    *,
    jobs: int = 1,
    engine: str | Path = "serial",
    again: bool = False,
    keep: bool = False,
    progress: Callable[[Outcome, int, int], None] | None = None,
) -> Reproduction:
    """Train every net that the folder does not have, and write the tables.

    Parameters
    ----------
    plan
        What.
    folder
        For the results; made if missing. The tables are written anew also by a run that is
        stopped, of what is done.
    jobs, engine
        Nets at a time, and who works on them (:func:`refimpl.scaleout.run_blocks`): ``serial``,
        ``processes`` or a Parsl configuration. Nets are not trained in threads, which would share
        their random numbers.
    again
        Also what is done.
    keep
        Keep the best weights of each net in ``nets/``.
    progress
        Called with each outcome, the nets ended and all of them.

    Raises
    ------
    ConfigError
        An engine that cannot work, or a folder in which another run is at work.
    MissingExtra
        There is no torch, or the engine needs Parsl.
    refimpl.scaleout.Interrupted, refimpl.scaleout.GaveUp
        Ctrl-C, or an engine that is dead; the ledger and the tables hold what was done by then.
    """
    from refimpl.centring.reproduce_net import work  # says that torch is missing before the work

    if str(engine) in ("auto", "threads", "parsl"):
        raise ConfigError(
            f"engine {str(engine)!r}: nets share the random numbers of a process: expected serial, "
            "processes or the .py file of a Parsl configuration", key="engine", got=str(engine),
        )  # fmt: skip
    out = make_folder(folder)
    make_folder(out / "predictions")
    remove_torn(out / "predictions")
    blocks = _blocks(plan, out, keep)
    try:
        run = run_blocks(
            work, blocks, ledger=out / LEDGER, engine=engine, workers=jobs, again=again,
            progress=progress,
        )  # fmt: skip
    except (GaveUp, Interrupted) as stopped:
        _write(plan, out, stopped.run)
        raise
    return _write(plan, out, run)


def missing(plan: Plan, folder: str | Path) -> tuple[tuple[str, str], ...]:
    """Nets of the plan that the folder does not have yet."""
    from refimpl.ledger import Ledger

    out = Path(folder)
    if not (out / LEDGER).is_file():
        return plan.nets
    with Ledger(out / LEDGER) as book:
        records = dict(book.records)
    blocks = _blocks(plan, out, keep=False)
    return tuple(net for net, b in zip(plan.nets, blocks, strict=True) if not b.is_done(records))


def _blocks(plan: Plan, out: Path, keep: bool) -> list[Block]:
    from refimpl.centring.reproduce_net import Task

    blocks = []
    for arch, target in plan.nets:
        name = name_of(arch, target)
        mark = fingerprint(refimpl.__version__, plan.net_dict(), arch, target)
        table = out / "predictions" / f"{name}.csv"
        kept = out / "nets" / f"{name}.ckpt" if keep else None
        # by its mark: checkpoints of other settings must not be gone on with
        task = Task(arch, target, plan, table, out / "work" / f"{name}-{mark[:12]}", kept)
        blocks.append(Block(name, task, mark, (table, *([kept] if kept else []))))
    return blocks


def _write(plan: Plan, out: Path, run: Run) -> Reproduction:
    with suppress(OSError):  # it holds nets that were stopped, or there was nothing to do
        (out / "work").rmdir()
    done = {o.key: {**o.value, "seconds": o.seconds} for o in run.outcomes if o.status == "done"}
    names = [name_of(*net) for net in plan.nets]
    rows = tuple(done[name] for name in names if name in done)
    failed = {o.key: o.error for o in run.outcomes if o.status == "failed"}
    write_tables(
        plan, [r for r in rows if r["arch"] != CLASSIFIER],
        next((r for r in rows if r["arch"] == CLASSIFIER), None), failed, out,
    )  # fmt: skip
    return Reproduction(out, rows, failed, run.engine)
