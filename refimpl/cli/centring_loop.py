"""``refimpl centring loop``: where the loop is in photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from refimpl.cli.centring_options import PinSide

__all__ = ["EXAMPLES", "loop"]

EXAMPLES = """\b
Examples:
  refimpl centring loop snapshot.jpeg
  refimpl centring loop snapshot.jpeg --um-per-px 1.3 --pin-side right --json
  refimpl centring loop snapshot.jpeg --mode lucid3 --json

Modes: corrected gives x, y in px from the outer corner of the picture; lucid3 and lucid2 give what
the published programs would, whole numbers counted from the centre of the first pixel.
Exit: 0 done, also where there is no loop; 2 bad input."""


def loop(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Photograph of the sample.")],
    mode: Annotated[str, typer.Option(
        metavar="NAME", help="corrected, lucid3 or lucid2.")] = "corrected",
    um_per_px: Annotated[float | None, typer.Option(
        metavar="X", help="Scale; default: the 2 um/px that lucid is tuned for.")] = None,
    pin_side: PinSide = "left",
    as_json: Annotated[bool, typer.Option("--json", help="Print x and y as JSON.")] = False,
) -> int:  # fmt: skip
    """Find the loop in a photograph; it need not be where the crystal is."""
    from refimpl.centring.loop import locate_loop

    found = locate_loop(image, mode=mode, um_per_px=um_per_px, pin_side=pin_side)
    x: float | None
    y: float | None
    if not found.is_found:
        x = y = None
    elif mode == "corrected":
        x, y = found.x_px, found.y_px
    else:
        _, x, y = found.coord
    if as_json:
        typer.echo(json.dumps({"x": x, "y": y}))
    else:
        typer.echo("no loop detected" if x is None else f"x = {x:g} px, y = {y:g} px")
    return 0
