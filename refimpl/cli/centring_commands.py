"""Commands of ``refimpl centring``: parse, call, print; what they do is in refimpl.centring."""

from __future__ import annotations

from collections.abc import Callable

import typer

from refimpl.cli import (
    centring_classify,
    centring_count,
    centring_evaluate,
    centring_export,
    centring_fuse,
    centring_heatmap,
    centring_loop,
    centring_match,
    centring_mesh,
    centring_reproduce,
    centring_segment,
    centring_simulate,
    centring_train,
)
from refimpl.cli.grouped import GroupedCommand

__all__ = ["app"]

app = typer.Typer(
    rich_markup_mode=None,
    help="Crystals in the beam: where to aim, by photographs and reflection counts.",
)


def _command(name: str, run: Callable[..., int], short_help: str, epilog: str) -> None:
    app.command(name, cls=GroupedCommand, short_help=short_help, epilog=epilog)(run)


_command("loop", centring_loop.loop, "Find the loop in a photograph, as lucid does.",
         centring_loop.EXAMPLES)  # fmt: skip
_command("simulate", centring_simulate.simulate, "Simulate photographs of known crystals.",
         centring_simulate.EXAMPLES)  # fmt: skip
_command("count", centring_count.count, "Count reflections of diffraction images, or read logs.",
         centring_count.EXAMPLES)  # fmt: skip
_command("match", centring_match.match, "Match photographs to reflection counts by time.",
         centring_match.EXAMPLES)  # fmt: skip
_command("reproduce", centring_reproduce.reproduce, "The thesis's tables beside ours, resumable.",
         centring_reproduce.EXAMPLES)  # fmt: skip
_command("export", centring_export.export, "Write a net as an ONNX file.",
         centring_export.EXAMPLES)  # fmt: skip
_command("fuse", centring_fuse.fuse, "Fuse points of several rotations to a place.",
         centring_fuse.EXAMPLES)  # fmt: skip
_command("train", centring_train.train, "Train a net to tell reflection counts from photographs.",
         centring_train.EXAMPLES)  # fmt: skip
_command("mesh", centring_mesh.mesh, "Find crystals in a raster of reflection counts.",
         centring_mesh.EXAMPLES)  # fmt: skip
_command("evaluate", centring_evaluate.evaluate, "Judge a net, with the thesis's figures.",
         centring_evaluate.EXAMPLES)  # fmt: skip
_command("heatmap", centring_heatmap.heatmap, "Say where to aim in a photograph.",
         centring_heatmap.EXAMPLES)  # fmt: skip
_command("classify", centring_classify.classify, "Tell crystals from empty loops.",
         centring_classify.EXAMPLES)  # fmt: skip
_command("segment", centring_segment.segment, "Say where a photograph shows crystal.",
         centring_segment.EXAMPLES)  # fmt: skip
_command("train-segment", centring_segment.train_segment, "Train a net to see crystals.",
         centring_segment.TRAIN_EXAMPLES)  # fmt: skip
