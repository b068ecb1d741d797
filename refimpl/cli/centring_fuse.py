"""``refimpl centring fuse``: points of photographs at several rotations to a place in space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.cli.centring_options import PinSide
from refimpl.cli.rules import goes_with
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.fusion import Centre
    from refimpl.centring.fusion_files import Points

__all__ = ["EXAMPLES", "fuse"]

EXAMPLES = """\b
Examples:
  refimpl centring fuse points.csv
  refimpl centring fuse points.csv --um-per-px 1.3 --middle 320,240 --json
  refimpl centring fuse loops/camera.csv --net run/best.ckpt --um-per-px 0.25,0.25 --by series
  refimpl centring fuse points.csv --seek-axis --sigma-um 5

The table has omega_deg and s_um, t_um (along the spindle, across it), or x_px, y_px, or with --net
image and zoom; crystal and series tell samples apart. Empty cells: no crystal was seen.
Exit: 0 done, also where some samples cannot be fused; 2 bad input, or none can."""


@goes_with("net", "least", "step")
def fuse(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV of points or of pictures.")],
    net: Annotated[Path | None, typer.Option(
        metavar="CHECKPOINT", help="Find the points in the table's pictures.")] = None,
    um_per_px: Annotated[str | None, typer.Option(
        metavar="UM|A,B", help="Scale; A,B: A + B zoom px/um.")] = None,
    middle: Annotated[str | None, typer.Option(
        metavar="X,Y", help="The beam in the pictures [px]; with --net: their middle.")] = None,
    pin_side: PinSide = "left",
    by: Annotated[str, typer.Option(
        metavar="COLUMN", help="What tells samples apart: crystal or series.")] = "crystal",
    sigma_um: Annotated[float | None, typer.Option(
        metavar="UM", help="Deviation of a point; default: from the points.")] = None,
    most_um: Annotated[float, typer.Option(
        metavar="UM", help="Deviation beyond which the points are no longer taken for one "
        "place.")] = 50.0,
    seek_axis: Annotated[bool, typer.Option(
        "--seek-axis", help="The rotation axis need not be in the beam.")] = False,
    omega_deg: Annotated[float, typer.Option(
        metavar="DEG", help="Rotation of the moves across and in depth.")] = 0.0,
    least: Annotated[float, typer.Option(
        metavar="N", help="Reflections below which --net sees no crystal.")] = 100.0,
    step: Annotated[float, typer.Option(metavar="PX", help="Grid of --net.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> int:  # fmt: skip
    """Fuse points of several rotations to one place, and say what brings it into the beam."""
    import math

    from refimpl.centring import fusion, fusion_files
    from refimpl.io.atomic import json_text

    options: dict[str, Any] = {
        "scale": None if um_per_px is None else fusion_files.scale_of(um_per_px),
        "middle_px": _pair(middle), "side": pin_side, "by": by,
    }  # fmt: skip
    if net is None:
        samples = fusion_files.read_points(table, **options)
    else:
        from refimpl.centring.fusion_pictures import points_of_pictures

        with parse.progress() as tell:
            samples = points_of_pictures(
                net, table, least=least, step_px=step,
                progress=lambda done, of: tell("pictures", done / max(of, 1)), **options,
            )  # fmt: skip
    made: list[tuple[Points, Centre | None, str]] = []
    for points in samples:
        try:
            found = fusion.fuse(
                points.st_um, points.omega_rad, sigma_um=sigma_um, most_um=most_um,
                axis_um=None if seek_axis else 0.0,
            )  # fmt: skip
            made.append((points, found, ""))
        except ConfigError as error:
            made.append((points, None, str(error)))
    if not any(centre for _, centre, _ in made):
        raise ConfigError(made[0][2], path=table)
    turned = math.radians(omega_deg)
    if as_json:
        typer.echo(json_text([
            {"name": p.name, "line": p.line} | ({"error": why} if c is None else
             c.as_dict() | {"moves": c.moves(turned)}) for p, c, why in made
        ]))  # fmt: skip
        return 0
    for points, centre, why in made:
        _print(points, centre, why, turned, omega_deg, seek_axis)
    return 0


def _pair(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--middle {text}: expected X,Y", key="middle", got=text) from None
    return x, y


def _print(
    points: Points, centre: Centre | None, why: str, omega_rad: float, omega_deg: float, seek: bool
) -> None:
    name = f"{points.name}: " if points.name else ""
    if centre is None:
        typer.echo(f"{name}not fused: {why}")
        return
    at = ", ".join(
        f"{label} {value:.1f} +- {deviation:.1f}"
        for label, value, deviation in zip(
            "syz", centre.centre_um, centre.deviation_um, strict=True
        )
    )
    typer.echo(f"{name}{at} um from the beam, by {int(centre.used.sum())} of {len(centre.used)} "
               f"points of +- {centre.sigma_um:.1f} um")  # fmt: skip
    if seek:
        typer.echo(f"  axis {centre.axis_um:.1f} +- {centre.axis_deviation_um:.1f} um from the "
                   "beam")  # fmt: skip
    moves = centre.moves(omega_rad)
    typer.echo(f"  move along the spindle {moves['along_um']:.1f} um, sample y "
               f"{moves['sample_y_um']:.1f} and z {moves['sample_z_um']:.1f} um; at "
               f"{omega_deg:g} degrees across {moves['across_um']:.1f} and in depth "
               f"{moves['depth_um']:.1f} um")  # fmt: skip
    out = [int(line) for line, used in zip(points.line, centre.used, strict=True) if not used]
    if out:
        typer.echo(f"  outliers: lines {', '.join(str(line) for line in out)}")
