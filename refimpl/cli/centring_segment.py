"""``refimpl centring segment`` and ``train-segment``: where a photograph shows crystal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refimpl.cli import parse
from refimpl.errors import ConfigError

__all__ = ["EXAMPLES", "TRAIN_EXAMPLES", "segment", "train_segment"]

EXAMPLES = """\b
Examples:
  refimpl centring segment masks/best.ckpt snapshot.jpg --zoom 3
  refimpl centring segment masks/best.ckpt snapshot.jpg --zoom 3 --probability 0.5 --json

Pieces of crystal, the surest and largest first: the middle and a box in px from the outer corner
of the picture. The net is one of refimpl centring train-segment.
Exit: 0 done, also where there is no crystal; 2 bad input."""

TRAIN_EXAMPLES = """\b
Examples:
  refimpl centring train-segment -o masks
  refimpl centring train-segment --crystals 1000 --epochs 12 -o masks --resume

Taught on simulated crystals, whose outlines are known. DIR gets best.ckpt, last.ckpt.
Exit: 0 done; 2 bad input; 130 interrupted: the same command with --resume goes on."""


def segment(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Trained net.")],
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="Photograph.")],
    zoom: Annotated[float, typer.Option(metavar="Z", help="Zoom of the camera.")],
    probability: Annotated[float, typer.Option(
        metavar="P", help="From which a point is crystal; less finds more, and more that is "
        "none.")] = 0.3,
    least: Annotated[float, typer.Option(
        metavar="PX2", help="Area of the smallest piece.")] = 0.0,
    step: Annotated[float, typer.Option(metavar="PX", help="Step of the grid.")] = 4.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the pieces as JSON.")] = False,
) -> int:  # fmt: skip
    """Say where a photograph shows crystal."""
    from dataclasses import asdict

    from refimpl.centring.segment import load_segmenter
    from refimpl.centring.segment import segment as pieces_of
    from refimpl.io.atomic import json_text
    from refimpl.io.photographs import read_photograph

    found = pieces_of(
        load_segmenter(checkpoint), read_photograph(picture), zoom, step_px=step,
        probability=probability, least_px2=least,
    )  # fmt: skip
    if as_json:
        pieces = [asdict(piece) for piece in found]
        typer.echo(json_text({"picture": picture, "crystal": bool(found), "pieces": pieces}))
        return 0
    for p in found:
        typer.echo(f"x = {p.x_px:.1f} px, y = {p.y_px:.1f} px: {p.right_px - p.left_px:.0f} x "
                   f"{p.bottom_px - p.top_px:.0f} px, probability {p.probability:.2f}")  # fmt: skip
    if not found:
        typer.echo("no crystal here")
    return 0


def train_segment(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Folder of the run.")],
    crystals: Annotated[int, typer.Option(
        metavar="N", min=5, help="Simulated crystals.")] = 300,
    views: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures of each.")] = 2,
    crops: Annotated[int, typer.Option(metavar="N", min=1, help="Crops of each picture.")] = 6,
    size: Annotated[int, typer.Option(metavar="PX", min=16, help="Edge of the crops.")] = 64,
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs.")] = 8,
    lr: Annotated[float, typer.Option(metavar="X", help="Largest step of Adam.")] = 4e-3,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of all that is random.")] = 0,
    resume: Annotated[bool, typer.Option(
        "--resume", help="Go on where the run in DIR was stopped.")] = False,
) -> int:  # fmt: skip
    """Train a net to tell where photographs show crystal."""
    from refimpl.centring.training_settings import TrainingSettings

    settings = TrainingSettings(
        epochs=epochs, lr=lr, patience=epochs, schedule="one-cycle", seed=seed
    )
    if not resume and (out / "last.ckpt").exists():
        raise ConfigError(
            "last.ckpt of another run is there: --resume goes on with it, or take another folder",
            path=out,
        )
    from refimpl.centring.segment import mask_samples, train_segmenter
    from refimpl.centring.splits import split_crystals

    with parse.output_folder(out):
        with parse.progress() as tell:
            masked = mask_samples(
                crystals, views, crops, size, seed,
                progress=lambda done, of: tell("pictures", done / max(of, 1)),
            )  # fmt: skip
        own = masked.samples
        split = split_crystals(own.crystal.tolist(), own.count, shares=(0.8, 0.1, 0.1), seed=seed)
        made = train_segmenter(
            masked, split, settings, folder=out, resume=resume,
            progress=lambda epoch, row: typer.echo(
                f"epoch {epoch + 1}: loss {row['train_loss']:.4f}, validation "
                f"{row['val_loss']:.4f}, overlap {row['val_overlap']:.3f}", err=True),
        )  # fmt: skip
    best = made.history[made.best_epoch]
    typer.echo(f"wrote {out / 'best.ckpt'}: epoch {made.best_epoch + 1} of {made.epochs}, overlap "
               f"{best['val_overlap']:.3f}")  # fmt: skip
    return 0
