"""``refimpl centring heatmap``: where to aim in a photograph, by a trained net."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.cli.centring_options import crop_rule
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.heat_shown import Shown

__all__ = ["EXAMPLES", "heatmap"]

EXAMPLES = """\b
Examples:
  refimpl centring heatmap run/best.ckpt snapshot.jpg --zoom 3 -o overlay.png
  refimpl centring heatmap run/best.ckpt snapshot.jpg --zoom 3 --n 3 --json
  refimpl centring heatmap run/best.ckpt snapshot.jpg --zoom 3 --mode exact --map map.csv
  refimpl centring heatmap run/best.ckpt snapshot.jpg --zoom 3 --turns 8 --smooth 8

Points are x, y in px from the outer corner of the picture, best first.
Exit: 0 done, also where there is no crystal; 2 bad input."""

_GRID = "Heat map"


def heatmap(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Trained net.")],
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="Photograph.")],
    zoom: Annotated[float | None, typer.Option(
        metavar="Z", help="Zoom of the camera; the crop is linear in it.")] = None,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="FILE", help="Picture and heat map with crosses, as PNG.")] = None,
    map_: Annotated[Path | None, typer.Option(
        "--map", metavar="FILE", help="Predictions of all points, as .npz or .csv.")] = None,
    n: Annotated[int, typer.Option(metavar="N", help="Best points.")] = 1,
    apart: Annotated[float, typer.Option(
        metavar="PX", help="Least distance of the points.")] = 40.0,
    least: Annotated[float | None, typer.Option(
        metavar="R", help="Predicted reflections below which there is no crystal; default: 100.")
    ] = None,
    mode: Annotated[str, typer.Option(
        metavar="NAME", help="exact: crop by crop; dense: all at once; auto: dense where the net "
        "can.", rich_help_panel=_GRID)] = "auto",
    step: Annotated[float, typer.Option(
        metavar="PX", help="Step of the grid.", rich_help_panel=_GRID)] = 10.0,
    turns: Annotated[int, typer.Option(
        metavar="N", help="Average over 1 or all 8 ways to turn and flip the picture.",
        rich_help_panel=_GRID)] = 1,
    smooth: Annotated[float, typer.Option(
        metavar="PX", help="Smooth the map; about the beam's width is apt.",
        rich_help_panel=_GRID)] = 0.0,
    crop: Annotated[str | None, typer.Option(
        metavar="A,B", help="Crops of A + B zoom px, where the checkpoint does not say.",
        rich_help_panel=_GRID)] = None,
    threads: Annotated[int, typer.Option(
        metavar="N", help="Of torch.", rich_help_panel=_GRID)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the points as JSON.")] = False,
) -> int:  # fmt: skip
    """Predict reflections all over a photograph, and say where to aim."""
    parse.output_file(out)
    parse.output_file(map_)
    if map_ is not None and map_.suffix.lower() not in (".npz", ".csv"):
        raise ConfigError(f"--map {map_}: expected .npz or .csv", key="map", got=str(map_))
    if threads < 1:
        raise ConfigError(f"--threads {threads}: expected 1 or more", key="threads", got=threads)
    from refimpl.centring.heat_shown import rule_for, shown
    from refimpl.centring.modules import load_regressor
    from refimpl.io.photographs import read_photograph

    net, image = load_regressor(checkpoint), read_photograph(picture)
    rule = rule_for(net, crop_rule(crop))
    if zoom is None and rule.slope_px:
        raise ConfigError("--zoom: expected it, the crop is linear in the zoom", key="zoom")
    with parse.progress() as tell:
        made = shown(
            net, image, zoom or 0.0, title=picture.name, n=n, apart_px=apart, least=least,
            rule=rule, mode=mode, step_px=step, turns=turns, smooth_px=smooth, threads=threads,
            progress=lambda done, of: tell("heat map", done / max(of, 1)),
        )  # fmt: skip
    _write(made, net.target.name, out, map_)
    _print(made, net, (picture, zoom, rule.edge_px(zoom or 0.0)), as_json)
    return 0


def _write(made: Shown, target: str, out: Path | None, map_: Path | None) -> None:
    if out is not None:
        from refimpl import hooks

        hooks.call("centring.overlay", made, target, out)
    if map_ is not None:
        from refimpl.centring.evaluation_files import write_map

        write_map(made.heat, map_)


def _print(made: Shown, net: Any, asked: tuple[Path, float | None, float], as_json: bool) -> None:
    from refimpl.io.atomic import json_text

    if as_json:
        points = [{"x_px": p.x_px, "y_px": p.y_px, "count": p.count} for p in made.points]
        typer.echo(json_text({
            "picture": asked[0], "zoom": asked[1], "crop_px": asked[2],
            "arch": net.hparams["arch"], "target": net.target.as_dict(),
            "crystal": bool(points), "points": points, "contrast": made.heat.contrast,
        }))  # fmt: skip
        return
    for p in made.points:
        typer.echo(f"x = {p.x_px:.1f} px, y = {p.y_px:.1f} px{_reflections(p.count)}")
    if not made.points:
        inside = made.heat.outside <= 0.5
        most = float(made.heat.count[inside].max()) if inside.any() else float("nan")
        typer.echo(f"no crystal here{_reflections(most, 'at most ')}")


def _reflections(count: float, most: str = "") -> str:
    return "" if count != count else f": {most}{count:.0f} reflections predicted"
