"""``refimpl centring classify``: train the classifier of crystals and empty loops, and judge it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.classify import ClassEvaluation

__all__ = ["EXAMPLES", "classify", "finish"]

EXAMPLES = """\b
Examples:
  refimpl centring classify simulated:100 --size 64 -o classes
  refimpl centring classify loops -o classes
  refimpl centring classify loops --weigh --epochs 60 -o classes --resume
  refimpl centring evaluate classes/best.ckpt other-loops -o report

SOURCE: a folder with the folders crystal and empty, whose pictures are loop_1.png, loop_2.png or
loop/1.png: those of one loop are never parted; or simulated:N loops (or NxVIEWSxCROPS).
DIR gets best.ckpt, last.ckpt, split.json, run.json, classification.json, report.html, figures.
Exit: 0 done; 2 bad input; 130 interrupted: the same command with --resume goes on."""


def classify(
    source: Annotated[str, typer.Argument(
        metavar="SOURCE", help="Folder with crystal/ and empty/, or simulated:N.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder of the run.")],
    size: Annotated[int, typer.Option(
        metavar="PX", min=22, help="Edge of the pictures.")] = 128,
    epochs: Annotated[int, typer.Option(metavar="N", help="Most epochs.")] = 50,
    batch: Annotated[int, typer.Option(metavar="N", help="Pictures of a step.")] = 32,
    lr: Annotated[float, typer.Option(metavar="X", help="Step of Adam.")] = 1e-3,
    patience: Annotated[int, typer.Option(
        metavar="N", help="Epochs without a better validation before it stops.")] = 5,
    weigh: Annotated[bool, typer.Option(
        "--weigh", help="Let the rarer class weigh as much as the other.")] = False,
    empty: Annotated[float, typer.Option(
        metavar="PART", help="Part of the simulated loops that are empty.")] = 0.5,
    split: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parts of the loops, as split.json; default: 60/20/20, drawn.")
    ] = None,
    seed: Annotated[int, typer.Option(
        metavar="N", min=0, help="Of weights, order, turns, split and simulation.")] = 0,
    threads: Annotated[int, typer.Option(metavar="N", help="Of torch.")] = 1,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Go on where the run in DIR was stopped.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> int:  # fmt: skip
    """Train a net to tell crystals from empty loops."""
    from refimpl.centring.classes import open_classes
    from refimpl.centring.classify import train_classifier
    from refimpl.centring.splits import load_split, split_crystals
    from refimpl.centring.training_settings import TrainingSettings

    settings = TrainingSettings(
        arch="classifier", epochs=epochs, batch=batch, lr=lr, patience=patience, seed=seed,
        threads=threads,
    )  # fmt: skip
    done = [name for name in ("best.ckpt", "last.ckpt") if (out / name).exists()]
    if done and not resume:
        raise ConfigError(
            f"{done[0]} of another run is there: --resume goes on with it, or take another folder",
            path=out,
        )
    with parse.output_folder(out):
        with parse.progress() as tell:
            samples = open_classes(
                source, size=size, seed=seed, empty=empty,
                progress=lambda n, of: tell("pictures", n / max(of, 1)),
            )  # fmt: skip
        kept = out / "split.json"
        if split is not None:
            parts = load_split(split)
        elif resume and kept.exists():
            parts = load_split(kept)
        else:
            parts = split_crystals(samples.crystal.tolist(), samples.count, seed=seed)
        parts.save(kept)
        _write_run(out, source, settings, size, weigh)
        made = train_classifier(
            samples, parts, settings, weigh=weigh, folder=out, resume=resume, progress=_tell
        )
    finish(made.evaluation, out, as_json, str(out / "best.ckpt"), source, "")
    return 0


def _tell(epoch: int, row: dict[str, float]) -> None:
    typer.echo(
        f"epoch {epoch}: train {row['train_loss']:.4g}, validation {row['val_loss']:.4g}, "
        f"accuracy {row['val_acc']:.3f}",
        err=True,
    )
    sys.stderr.flush()


def _write_run(out: Path, source: str, settings: Any, size: int, weigh: bool) -> None:
    from refimpl import __version__
    from refimpl.io.atomic import write_json

    write_json(out / "run.json", {
        "kind": "refimpl.centring_classes", "schema": 1, "version": __version__,
        "command": parse.command_line(), "source": source, "size": size, "weigh": weigh,
        "settings": settings.as_dict(),
    })  # fmt: skip


def finish(
    found: ClassEvaluation, out: Path | None, as_json: bool, checkpoint: str, source: str,
    title: str,
) -> None:  # fmt: skip
    """Write the page and the numbers of a classifier, and print them."""
    from refimpl.io.atomic import json_text, write_json

    numbers = {
        "kind": "refimpl.centring_classification", "schema": 1, "checkpoint": checkpoint,
        "source": source, **found.as_dict(),
    }  # fmt: skip
    page = None
    if out is not None:
        from refimpl import hooks

        with parse.output_folder(out):
            write_json(out / "classification.json", numbers)
            page = hooks.call(
                "centring.classes", found, out, checkpoint=checkpoint, source=source,
                **({"title": title} if title else {}),
            )  # fmt: skip
    if as_json:
        typer.echo(json_text(numbers))
        return
    for line in found.sentences():
        typer.echo(line)
    if page is not None:
        typer.echo(f"wrote {page}")
