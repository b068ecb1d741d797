"""``refimpl centring export``: a checkpoint as one ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refimpl.cli import parse

__all__ = ["EXAMPLES", "export"]

EXAMPLES = """\b
Examples:
  refimpl centring export run/best.ckpt -o net.onnx
  refimpl centring export run/best.ckpt --dense -o dense.onnx --json

The file takes plain pictures (input "picture", float32 of any brightness: crops of the edge that
the net was taught, or with --dense whole pictures drawn to the scale of the crops) and gives
"value", the target, and "count", reflections. It is checked by onnx's own evaluator.
Exit: 0 done; 2 bad input."""


def export(
    checkpoint: Annotated[Path, typer.Argument(
        metavar="CHECKPOINT", help="best.ckpt of a training.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="The ONNX file.")],
    dense: Annotated[bool, typer.Option(
        "--dense", help="A whole picture at once; fully convolutional nets.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> int:  # fmt: skip
    """Write a net as ONNX, with the standardisation of pictures and the way back to reflections."""
    parse.output_file(out)
    from refimpl.centring.export import export_onnx
    from refimpl.centring.modules import load_regressor
    from refimpl.io.atomic import json_text

    made = export_onnx(load_regressor(checkpoint), out, dense=dense)
    if as_json:
        typer.echo(json_text({
            "path": made.path, "bytes": made.bytes, "inputs": made.inputs,
            "outputs": made.outputs, "difference": made.difference, "notes": made.notes,
        }))  # fmt: skip
        return 0
    shapes = [f"{name} ({', '.join(str(n) for n in shape)})"
              for name, shape in [*made.inputs.items(), *made.outputs.items()]]  # fmt: skip
    typer.echo(f"wrote {made.path}: {made.bytes / 1e6:.1f} MB, {shapes[0]} to "
               f"{' and '.join(shapes[1:])}")  # fmt: skip
    typer.echo(f"onnx's evaluator and torch differ by {made.difference:.1e} at most")
    if "count" not in made.outputs:
        typer.echo("no counts: the target is per crystal, there is no way back to reflections")
    return 0
