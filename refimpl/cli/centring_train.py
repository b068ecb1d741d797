"""``refimpl centring train``: from pictures with counts to a checkpoint that predicts alone."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.cli.centring_options import crop_rule
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.datamodule import CrystalDataModule
    from refimpl.centring.scores import Scores
    from refimpl.centring.training import Trained
    from refimpl.centring.training_settings import TrainingSettings

__all__ = ["EXAMPLES", "train"]

EXAMPLES = """\b
Examples:
  refimpl centring train simulated:100 --size 64 -o run
  refimpl centring train recipe -o net
  refimpl centring train pairs.csv --crop 60,60 -o run
  refimpl centring train pairs.csv --crop 60,60 --arch a9 --patience 0 --pack data.h5 -o thesis
  refimpl centring train data.h5 --split run/split.json --target log -o log
  refimpl centring train data.h5 --target log --split run/split.json -o log --resume

SOURCE: a CSV table with image, rc, crystal and perhaps zoom, omega_deg (as refimpl centring match
writes it) or its folder; an .h5 or .npz file; simulated:N crystals (or NxVIEWSxCROPS); or
"recipe": the shipped one, which says itself how it is trained.
DIR gets best.ckpt (all that predicting needs), last.ckpt, split.json, history.csv, run.json.
Exit: 0 done; 2 bad input; 130 interrupted: the same command with --resume goes on."""

_DATA, _HOW = "Pictures", "Training"
_DONE = ("best.ckpt", "last.ckpt")


def train(
    source: Annotated[str, typer.Argument(
        metavar="SOURCE", help="Pictures: CSV, folder, .h5, .npz, simulated:N, or recipe.")],
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder of the run.")],
    arch: Annotated[str, typer.Option(
        metavar="NAME", help="Net: a1 to a10, a_fcn, resnet18, resnet18_slim.")] = "a_fcn",
    target: Annotated[str, typer.Option(
        metavar="NAME", help="vanilla, log, tanh, slog, log_first or log_literal.")] = "tanh",
    per_crystal: Annotated[str | None, typer.Option(
        metavar="NAME", help="Counts as rank or part of the most of their crystal: rank, most.")
    ] = None,
    epochs: Annotated[int, typer.Option(
        metavar="N", help="Most epochs.", rich_help_panel=_HOW)] = 100,
    batch: Annotated[int, typer.Option(
        metavar="N", help="Pictures of a step.", rich_help_panel=_HOW)] = 32,
    lr: Annotated[float, typer.Option(
        metavar="X", help="Step of Adam.", rich_help_panel=_HOW)] = 1e-3,
    patience: Annotated[int, typer.Option(
        metavar="N", help="Epochs without a better validation before it stops; 0 as the thesis.",
        rich_help_panel=_HOW)] = 5,
    plateau: Annotated[int, typer.Option(
        metavar="N", help="Epochs without a better validation before the step shrinks to a third.",
        rich_help_panel=_HOW)] = 0,
    schedule: Annotated[str, typer.Option(
        metavar="NAME", help="Of the step: constant, or one-cycle over all epochs.",
        rich_help_panel=_HOW)] = "constant",
    augment: Annotated[str, typer.Option(
        metavar="SET", help="Turn and flip pictures: of train at random, of all in eight ways, "
        "or none.", rich_help_panel=_HOW)] = "train",
    statistics: Annotated[str, typer.Option(
        metavar="SET", help="Mean and deviation of counts from train, or from all as the thesis.",
        rich_help_panel=_HOW)] = "train",
    seed: Annotated[int, typer.Option(
        metavar="N", help="Of weights, order, turns, split and simulation.",
        rich_help_panel=_HOW)] = 0,
    threads: Annotated[int, typer.Option(
        metavar="N", help="Of torch; more than 1 is slower on a busy machine.",
        rich_help_panel=_HOW)] = 1,
    workers: Annotated[int, typer.Option(
        metavar="N", help="Processes that turn pictures.", rich_help_panel=_HOW)] = 0,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Go on where the run in DIR was stopped.", rich_help_panel=_HOW)] = False,
    size: Annotated[int, typer.Option(
        metavar="PX", help="Edge of the pictures.", rich_help_panel=_DATA)] = 128,
    channels: Annotated[int, typer.Option(
        metavar="N", help="1 grey, 3 colour.", rich_help_panel=_DATA)] = 1,
    crop: Annotated[str | None, typer.Option(
        metavar="A,B", help="Crop to A + B zoom px about the middle; default: the largest square.",
        rich_help_panel=_DATA)] = None,
    split: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Parts of the crystals, as split.json; default: 60/20/20, drawn.",
        rich_help_panel=_DATA)] = None,
    pack: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Write the prepared pictures as .h5 or .npz, to read them faster.",
        rich_help_panel=_DATA)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> int:  # fmt: skip
    """Train a net to tell reflection counts from photographs."""
    from refimpl.centring.training_settings import TrainingSettings

    settings = TrainingSettings(
        arch=arch, target=target, per_crystal=per_crystal, epochs=epochs, batch=batch, lr=lr,
        patience=patience, plateau=plateau, schedule=schedule, augment=augment,
        statistics=statistics, seed=seed, threads=threads, workers=workers,
    )  # fmt: skip
    rule = crop_rule(crop)
    _check_place(out, resume)
    parse.output_file(pack)
    if pack is not None and pack.suffix.lower() not in (".h5", ".hdf5", ".npz"):
        raise ConfigError(f"--pack {pack}: expected .h5 or .npz", key="pack")
    from refimpl.centring.datamodule import CrystalDataModule
    from refimpl.centring.training import check_net

    check_net(arch, size=size, channels=channels)
    shares = (0.6, 0.2, 0.2)
    if source == "recipe":
        given = size != 128 or channels != 1 or rule is not None or split is not None
        source, settings, size, shares = _recipe(settings, given)
    with parse.output_folder(out):
        goes_on = (out / "last.ckpt").exists()
        with parse.progress() as tell:
            data = CrystalDataModule(
                source, split, settings, size=size, channels=channels, rule=rule,
                shares=shares, keep=None if goes_on else out / "split.json",
                progress=lambda done, of: tell("pictures", done / max(of, 1)),
            )  # fmt: skip
            data.setup("fit")
        if pack is not None:
            _pack(data, pack)
        made = _fit(data, out, resume)
        scores = _scores(data, made.net)
        _write_run(data, made, scores, out)
    _print(data, made, scores, out, as_json)
    return 0


def _recipe(
    asked: TrainingSettings, given: bool
) -> tuple[str, TrainingSettings, int, tuple[float, float, float]]:
    """Source, settings, size and shares of the recipe.

    Raises
    ------
    ConfigError
        An option says something that the recipe says.
    """
    from refimpl.centring.recipe import RECIPE
    from refimpl.centring.training_settings import TrainingSettings

    free = {name: getattr(asked, name) for name in ("seed", "threads", "workers")}
    if given or asked != TrainingSettings(**free):
        raise ConfigError(
            "train recipe: the recipe says how it is trained; expected no options but -o, --seed, "
            "--threads, --workers, --pack, --resume and --json", key="source", got="recipe",
        )  # fmt: skip
    return RECIPE.source, replace(RECIPE.settings, **free), RECIPE.size_px, RECIPE.shares


def _check_place(out: Path, resume: bool) -> None:
    found = [name for name in _DONE if (out / name).exists()]
    if found and not resume:
        raise ConfigError(
            f"{found[0]} of another run is there: --resume goes on with it, or take another folder",
            path=out,
        )


def _pack(data: CrystalDataModule, path: Path) -> None:
    from refimpl.centring.datasets import write_hdf5, write_npz

    write = write_npz if path.suffix.lower() == ".npz" else write_hdf5
    write(data.samples, path, rule=data.rule)


def _fit(data: CrystalDataModule, out: Path, resume: bool) -> Trained:
    from refimpl.centring.training import fit

    history = _History(out / "history.csv", resume)
    began = len(history.rows)
    try:
        made = fit(data, folder=out, resume=resume, progress=history.add)
    except KeyboardInterrupt:
        done = len(history.rows)
        if done > began or resume:
            typer.echo(f"{done} epochs are done: the same command with --resume goes on", err=True)
        raise
    history.write(made.history)
    return made


class _History:
    """One line an epoch on stderr, and in a file."""

    def __init__(self, path: Path, resume: bool) -> None:
        self.path = path
        self.rows: list[Mapping[str, Any]] = []
        if resume and path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                self.rows = list(csv.DictReader(file))

    def add(self, epoch: int, row: dict[str, float]) -> None:
        # an epoch after which the program was killed is done again
        self.write([*self.rows[:epoch], {"epoch": epoch, **row}])
        typer.echo(
            f"epoch {epoch}: train {row['train_loss']:.4g}, validation {row['val_loss']:.4g} "
            f"(mean: {row['val_baseline_mse']:.4g}), Pearson {row['val_pearson']:.3f}",
            err=True,
        )
        sys.stderr.flush()

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        import io

        from refimpl.io.atomic import write_text

        self.rows = [{"epoch": number, **row} for number, row in enumerate(rows)]
        text = io.StringIO()
        names = list(self.rows[0]) if self.rows else ["epoch"]
        writer = csv.DictWriter(text, names, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())


def _scores(data: CrystalDataModule, net: Any) -> dict[str, Scores]:
    from refimpl.centring.predict import scores_on

    taught = data.parts["train"]
    return {
        part: scores_on(net, data.parts[part], taught, threads=data.settings.threads)
        for part in ("train", "val", "test")
        if len(data.parts[part])
    }


def _write_run(
    data: CrystalDataModule, made: Trained, scores: Mapping[str, Scores], out: Path
) -> None:
    from importlib import metadata

    from refimpl import __version__
    from refimpl.io.atomic import write_json

    write_json(out / "run.json", {
        "kind": "refimpl.centring_run", "schema": 1, "version": __version__,
        "torch": metadata.version("torch"), "command": parse.command_line(),
        **_numbers(data, made, scores, out),
    })  # fmt: skip


def _numbers(
    data: CrystalDataModule, made: Trained, scores: Mapping[str, Scores], out: Path
) -> dict[str, Any]:
    return {
        "folder": out, "source": data.hparams["source"], "crop": data.hparams["crop"],
        "size": data.samples.size, "channels": data.samples.channels,
        "settings": data.settings.as_dict(), "target": data.target.as_dict(),
        "pictures": {part: len(rows) for part, rows in data.parts.items()},
        "parameters": sum(p.numel() for p in made.net.parameters()),
        "epochs": made.epochs, "best_epoch": made.best_epoch,
        "scores": {part: found.as_dict() for part, found in scores.items()},
    }  # fmt: skip


def _print(
    data: CrystalDataModule, made: Trained, scores: Mapping[str, Scores], out: Path, as_json: bool
) -> None:
    from refimpl.io.atomic import json_text

    if as_json:
        typer.echo(json_text(_numbers(data, made, scores, out)))
        return
    s = data.settings
    typer.echo(f"{s.arch}, {s.target}: {made.epochs} epochs, the best was epoch {made.best_epoch}")
    for part in ("test",) if "test" in scores else tuple(scores):
        for line in scores[part].sentences():
            typer.echo(f"{part}: {line}")
    typer.echo(f"wrote {out / 'best.ckpt'}")
