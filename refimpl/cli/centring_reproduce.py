"""``refimpl centring reproduce``: the thesis's tables on simulated data, beside what it printed."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.errors import ConfigError, ConvergenceError, MissingExtra

if TYPE_CHECKING:
    from refimpl.centring.reproduce import Plan, Reproduction
    from refimpl.scaleout import Outcome

__all__ = ["EXAMPLES", "reproduce"]

EXAMPLES = """\b
Examples:
  refimpl centring reproduce --simulated -o night
  refimpl centring reproduce --simulated --small -o minutes
  refimpl centring reproduce --simulated --archs a4,a8 --targets tanh --size 64 -o two

DIR gets tables.md (both tables, and what can be compared), table_2_3.csv, tables.json,
predictions/ and ledger.jsonl, by which the same command goes on where it was stopped or killed.
At 128 px a net in training takes up to 4 GB of disk and 3 GB of memory.
Exit: 0 all done; 2 bad input; 4 some net failed; 130 interrupted."""

_WHAT, _HOW = "What", "How"


def reproduce(
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder of the results; one that has some goes on.")],
    simulated: Annotated[bool, typer.Option(
        "--simulated", help="On simulated crystals: the thesis's data were never published.")
    ] = False,
    small: Annotated[bool, typer.Option(
        "--small", help="All nets at 32 px on few pictures: minutes instead of a night.")] = False,
    archs: Annotated[str | None, typer.Option(
        metavar="LIST", help="Of a1 to a10 and a_fcn; default: all. None with ''.",
        rich_help_panel=_WHAT)] = None,
    targets: Annotated[str | None, typer.Option(
        metavar="LIST", help="Of vanilla, log, tanh, slog, log_first; default: the first three.",
        rich_help_panel=_WHAT)] = None,
    classifier: Annotated[bool | None, typer.Option(
        "--classifier/--no-classifier", help="Also Table 2.5.", rich_help_panel=_WHAT)] = None,
    crystals: Annotated[int | None, typer.Option(
        metavar="N", help="Simulated loops.", rich_help_panel=_WHAT)] = None,
    views: Annotated[int | None, typer.Option(
        metavar="N", help="Pictures of each.", rich_help_panel=_WHAT)] = None,
    crops: Annotated[int | None, typer.Option(
        metavar="N", help="Crops of each picture.", rich_help_panel=_WHAT)] = None,
    size: Annotated[int | None, typer.Option(
        metavar="PX", help="Edge of the crops.", rich_help_panel=_WHAT)] = None,
    aim: Annotated[int | None, typer.Option(
        metavar="N", help="Unseen crystals that each net aims at.", rich_help_panel=_WHAT)] = None,
    epochs: Annotated[int | None, typer.Option(
        metavar="N", help="Most epochs.", rich_help_panel=_HOW)] = None,
    batch: Annotated[int | None, typer.Option(
        metavar="N", help="Pictures of a step.", rich_help_panel=_HOW)] = None,
    lr: Annotated[float | None, typer.Option(
        metavar="X", help="Step of Adam.", rich_help_panel=_HOW)] = None,
    patience: Annotated[int | None, typer.Option(
        metavar="N", help="Epochs without a better validation.", rich_help_panel=_HOW)] = None,
    seed: Annotated[int | None, typer.Option(
        metavar="N", help="Of everything that is random.", rich_help_panel=_HOW)] = None,
    threads: Annotated[int | None, typer.Option(
        metavar="N", help="Of each net; more than 1 is slower on a busy machine.",
        rich_help_panel=_HOW)] = None,
    jobs: Annotated[int | None, typer.Option(
        metavar="N", help="Nets at a time; default: 2 where there are two cores and Parsl.",
        rich_help_panel=_HOW)] = None,
    engine: Annotated[str | None, typer.Option(
        metavar="NAME", help="serial, processes, or the .py file of a Parsl configuration.",
        rich_help_panel=_HOW)] = None,
    keep: Annotated[bool, typer.Option(
        "--keep", help="Keep the weights of each net, up to 1 GB at 128 px.",
        rich_help_panel=_HOW)] = False,
    again: Annotated[bool, typer.Option(
        "--again", help="Train also what is done.", rich_help_panel=_HOW)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
) -> int:  # fmt: skip
    """Train the nets of the thesis and set its Tables 2.3 and 2.5 beside ours."""
    from refimpl.centring.reproduce_plan import NIGHT, SMALL

    if not simulated:
        raise ConfigError(
            "centring reproduce: the thesis's data were never published: give --simulated",
            key="simulated",
        )
    plan = (SMALL if small else NIGHT).with_(
        archs=_list(archs), targets=_list(targets), classifier=classifier, crystals=crystals,
        views=views, crops=crops, size=size, aim=aim, epochs=epochs, batch=batch, lr=lr,
        patience=patience, seed=seed, threads=threads,
    )  # fmt: skip
    number, chosen = _workers(jobs, engine)
    with parse.output_folder(out):
        found = _run(plan, out, number, chosen, keep=keep, again=again)
    if as_json:
        typer.echo((out / "tables.json").read_text(encoding="utf-8").rstrip("\n"))
    else:
        typer.echo((out / "tables.md").read_text(encoding="utf-8"))
        typer.echo(f"wrote {out / 'tables.md'}")
    if found.failed:
        name, why = next(iter(found.failed.items()))
        raise ConvergenceError(
            f"{len(found.failed)} of {len(plan.nets)} nets failed: {name}: {why}"
        )
    return 0


def _list(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(w.strip() for w in text.split(",") if w.strip())


def _workers(jobs: int | None, engine: str | None) -> tuple[int, str]:
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs {jobs}: expected 1 or more", key="jobs", got=jobs)
    if engine is not None:
        return jobs or 1, engine
    parsl = importlib.util.find_spec("parsl") is not None
    number = jobs or (2 if parsl and (os.cpu_count() or 1) > 1 else 1)
    if number > 1 and not parsl:
        raise MissingExtra("cluster", f"--jobs {number}")
    return number, "processes" if number > 1 else "serial"


def _run(plan: Plan, out: Path, jobs: int, engine: str, *, keep: bool, again: bool) -> Reproduction:
    from refimpl.centring import reproduce as room
    from refimpl.scaleout import Interrupted

    to_do = plan.nets if again else room.missing(plan, out)
    if to_do:
        from refimpl.centring.reproduce_time import estimate

        with parse.progress() as tell:
            guess = estimate(
                plan, to_do, progress=lambda done, of: tell("timing the nets", done / of)
            )
        typer.echo(guess.words(jobs), err=True)
    try:
        return room.reproduce(
            plan, out, jobs=jobs, engine=engine, again=again, keep=keep, progress=_tell
        )
    except Interrupted as stopped:
        done = sum(outcome.status == "done" for outcome in stopped.run.outcomes)
        typer.echo(f"{done} of {len(plan.nets)} nets are done: the same command goes on", err=True)
        raise


def _tell(outcome: Outcome, number: int, total: int) -> None:
    """One line a net on stderr, at once also into a file or pipe."""
    value: Any = outcome.value or {}
    if outcome.status != "done":
        words = f"{outcome.status}{': ' if outcome.error else ''}{outcome.error}"
    elif "mse" in value:
        words = (f"MSE {value['mse']:.4g} (mean: {value['baseline_mse']:.4g}), "
                 f"{value['epochs']} epochs")  # fmt: skip
    else:
        words = f"accuracy {value['accuracy']:.3f}, {value['epochs']} epochs"
    when = "done before" if outcome.kept else f"{outcome.seconds:.0f} s"
    typer.echo(f"[{number}/{total}] {outcome.key}: {words}, {when}", err=True)
    sys.stderr.flush()
