"""``refimpl powder batch``: calibrate many frames with the options of ``calibrate``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.errors import ConvergenceError

if TYPE_CHECKING:
    from refimpl.powder.batch import BatchResult
    from refimpl.powder.config import PowderConfig
    from refimpl.scaleout import Outcome

__all__ = ["register"]

EXAMPLES = """\b
Examples:
  refimpl powder batch frames --calibrant CeO2 --wavelength-angstrom 0.2022 \\
      --pixel-size-um 172 -o out
  refimpl powder batch 'run7/*.tif' --params config.toml --jobs 4 -o out
  refimpl powder batch stack.h5 --each --frames 0:100 --params config.toml -o out

Run the same command again to go on after an interruption: what is done with the same input and
settings is kept. Exit: 0 all frames converged; 2 bad input, one line says what and where; 4 some
frame failed or did not converge (summary.csv says which and why); 130 interrupted."""

_NOT_HERE = (
    "image", "threads", "report", "save_plots_hdf", "as_json", "joint", "refine_shared", "share",
)  # fmt: skip
"""Options of ``calibrate`` that make no sense for many frames, or mean something else."""

Settled = Callable[[Mapping[str, Any]], "tuple[PowderConfig, dict[str, Any]]"]


def register(app: typer.Typer, calibrate: Callable[..., int], settled: Settled) -> None:
    """Add the command to a group; every option of ``calibrate`` is an option of it.

    Parameters
    ----------
    app
        The group.
    calibrate
        Command whose options are taken over.
    settled
        Turns them into a configuration and reading options.
    """

    def batch(**options: Any) -> int:
        return _batch(options, settled)

    batch.__signature__ = _signature(calibrate)  # type: ignore[attr-defined]
    batch.__doc__ = _own.__doc__
    app.command("batch", epilog=EXAMPLES, short_help="Calibrate many frames, resumable.")(batch)


def _own(
    images: Annotated[list[str], typer.Argument(metavar="IMAGES", help=(
        "Image files, folders of images, or patterns in quotes."))],
    jobs: Annotated[int | None, typer.Option(
        metavar="N", help="Frames at a time, one thread each; default: the CPUs. The result does "
                          "not depend on it.")] = None,
    each: Annotated[bool, typer.Option(
        "--each", help="Every frame of a stack by itself, not their average.")] = False,
    again: Annotated[bool, typer.Option(
        "--again", help="Calibrate also what is done already.")] = False,
    engine: Annotated[str, typer.Option(
        metavar="NAME", help="auto (Parsl's threads, or plain ones without Parsl), parsl, "
                             "threads, serial, processes, or the .py file of a Parsl "
                             "configuration: see 'refimpl cluster'.")
    ] = "auto",
    report: Annotated[bool, typer.Option(help="Figures and HTML report of each frame.")] = False,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print the rows of the summary.")] = False,
) -> None:  # fmt: skip
    """Calibrate every frame of a folder, pattern or stack by itself; resumable.

    DIR gets a folder of results for each frame, summary.csv with one row a frame (all parameters
    with uncertainties), and ledger.jsonl, by which the same command goes on where it stopped.
    """


def _signature(calibrate: Callable[..., int]) -> inspect.Signature:
    """Arguments of ``calibrate`` between our own."""
    theirs = inspect.signature(calibrate, eval_str=True).parameters.values()
    images, *ours = inspect.signature(_own, eval_str=True).parameters.values()
    taken = [p for p in theirs if p.name not in _NOT_HERE]
    keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (images, *taken, *ours)]
    return inspect.Signature(keyword, return_annotation=int)


def _batch(options: dict[str, Any], settled: Settled) -> int:
    """Find the frames, calibrate them, and say what came of it."""
    from refimpl.powder.batch import LEDGER, calibrate_frames
    from refimpl.powder.batch_frames import find_frames
    from refimpl.scaleout import Interrupted

    config, reading = settled(options)
    frames = find_frames(
        options["images"],
        each=options["each"],
        frames=reading.get("frames"),
        dataset=reading.get("dataset"),
        leave_out=[reading[name] for name in ("mask", "dark") if name in reading],
    )
    with parse.output_folder(options["out"]) as out:
        try:
            result = calibrate_frames(
                frames, out, config=config, geometry=options["geometry"], reading=reading,
                report=options["report"], jobs=options["jobs"], engine=options["engine"],
                again=options["again"], progress=_tell,
            )  # fmt: skip
        except Interrupted as stopped:
            done = sum(outcome.status == "done" for outcome in stopped.run.outcomes)
            typer.echo(
                f"{done} of {len(frames)} frames are done, {out / LEDGER} knows which: the same "
                "command goes on", err=True,
            )  # fmt: skip
            raise
    _print(result, options["as_json"])
    if not result.converged:
        raise ConvergenceError(_trouble(result))
    return 0


def _tell(outcome: Outcome, number: int, total: int) -> None:
    """Write one line of progress to stderr, at once also into a file or pipe."""
    from refimpl.powder.batch_tables import progress_line

    typer.echo(progress_line(outcome, number, total), err=True)
    sys.stderr.flush()


def _print(result: BatchResult, as_json: bool) -> None:
    """Write the result to stdout: for people, or for machines."""
    from refimpl.io.atomic import json_text
    from refimpl.powder.batch_tables import SUMMARY

    if as_json:
        typer.echo(json_text(list(result.rows)))
        return
    typer.echo(f"{result.count('converged')} of {len(result.rows)} frames converged")
    typer.echo(f"engine: {result.engine}")
    typer.echo(f"wrote {result.folder / SUMMARY}")


def _trouble(result: BatchResult) -> str:
    counts = [(result.count(status), status) for status in ("failed", "not converged")]
    what = ", ".join(f"{n} {status}" for n, status in counts if n)
    return f"{what} of {len(result.rows)} frames; summary.csv in {result.folder} says why"
