"""``refimpl centring heatmap``: where to aim in a photograph, by a trained net."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.cli.centring_options import crop_rule
from refimpl.cli.rules import goes_with
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.crops import CropRule
    from refimpl.centring.heat_shown import Shown

__all__ = ["EXAMPLES", "heatmap"]

EXAMPLES = """\b
Examples:
  refimpl centring heatmap run/best.ckpt snapshot.jpg --zoom 3 -o overlay.png
  refimpl centring heatmap run/best.ckpt snapshot.jpg --zoom 3 --n 3 --json
  refimpl centring heatmap run/best.ckpt snapshot.jpg --zoom 3 --mode exact --map map.csv
  refimpl centring heatmap run/best.ckpt snapshot.jpg --zoom 3 --turns 8 --smooth 8
  refimpl centring heatmap run/best.ckpt snapshot.jpg --zoom 3 --near-loop --um-per-px 1
  refimpl centring heatmap a/best.ckpt snapshot.jpg --zoom 3 --ensemble b/best.ckpt --json

Points are x, y in px from the outer corner of the picture, best first.
Exit: 0 done, also where there is no crystal; 2 bad input."""

_GRID, _LOOP, _SURE = "Heat map", "Loop first", "How sure it is"


@goes_with("near_loop", "um_per_px", "pin_side", "reach")
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
    near_loop: Annotated[bool, typer.Option(
        "--near-loop", help="Find the loop, and look near it only.", rich_help_panel=_LOOP)
    ] = False,
    um_per_px: Annotated[float | None, typer.Option(
        metavar="X", help="Scale; default: the 2 um/px that lucid is tuned for.",
        rich_help_panel=_LOOP)] = None,
    pin_side: Annotated[str, typer.Option(
        metavar="SIDE", help="Where the pin enters: left, right, top or bottom.",
        rich_help_panel=_LOOP)] = "left",
    reach: Annotated[float, typer.Option(
        metavar="UM", help="Half the edge of what is looked at.", rich_help_panel=_LOOP)] = 300.0,
    ensemble: Annotated[list[Path] | None, typer.Option(
        metavar="CHECKPOINT", help="Another net to be asked too; may be repeated.",
        rich_help_panel=_SURE)] = None,
    dropout: Annotated[int, typer.Option(
        metavar="N", help="Ask the net N times with its dropout left on.", rich_help_panel=_SURE)
    ] = 0,
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
    common: dict[str, Any] = {
        "title": picture.name, "n": n, "apart_px": apart, "least": least, "mode": mode,
        "step_px": step, "turns": turns, "smooth_px": smooth, "threads": threads,
    }  # fmt: skip
    more: dict[str, Any] = {}
    deviation = None
    if near_loop and (ensemble or dropout):
        raise ConfigError("--near-loop with --ensemble or --dropout: choose one", key="near_loop")
    with parse.progress() as tell:
        common["progress"] = lambda done, of: tell("heat map", done / max(of, 1))
        if near_loop:
            made, more = _near_loop(
                net, image, zoom or 0.0, rule, um_per_px=um_per_px, pin_side=pin_side,
                reach_um=reach, **common,
            )  # fmt: skip
        elif ensemble or dropout:
            nets = [net, *(load_regressor(path) for path in ensemble or [])]
            made, deviation, more = _by_many(nets, image, zoom or 0.0, rule, dropout, common)
        else:
            made = shown(net, image, zoom or 0.0, rule=rule, **common)
    _write(made, net.target.name, out, map_, deviation)
    _print(made, net, (picture, zoom, rule.edge_px(zoom or 0.0)), as_json, more)
    return 0


def _near_loop(
    net: Any, image: Any, zoom: float, rule: CropRule, **options: Any
) -> tuple[Shown, dict[str, Any]]:
    from refimpl.centring.heat_ways import shown_near_loop

    made, local = shown_near_loop(net, image, zoom, rule, **options)
    loop = {"x": local.loop.x_px, "y": local.loop.y_px} if local.is_local else None
    return made, {"loop": loop, "loop_s": local.loop_s, "map_s": local.map_s}


def _by_many(
    nets: list[Any], image: Any, zoom: float, rule: CropRule, dropout: int, options: dict[str, Any]
) -> tuple[Shown, Any, dict[str, Any]]:
    from refimpl.centring.heat_ways import shown_by_many

    made, many, verdict = shown_by_many(nets, image, zoom, rule, dropout=dropout, **options)
    return made, many.deviation, {
        "members": len(many.members), "agreement": verdict.agreement,
        "count_deviation": verdict.count_deviation, "raster_instead": verdict.raster_instead,
    }  # fmt: skip


def _write(made: Shown, target: str, out: Path | None, map_: Path | None, deviation: Any) -> None:
    if out is not None:
        from refimpl import hooks

        hooks.call("centring.overlay", made, target, out)
    if map_ is not None:
        from refimpl.centring.evaluation_files import write_map

        write_map(made.heat, map_, deviation)


def _print(
    made: Shown, net: Any, asked: tuple[Path, float | None, float], as_json: bool,
    more: dict[str, Any],
) -> None:  # fmt: skip
    from refimpl.io.atomic import json_text

    if as_json:
        points = [{"x_px": p.x_px, "y_px": p.y_px, "count": p.count} for p in made.points]
        typer.echo(json_text({
            "picture": asked[0], "zoom": asked[1], "crop_px": asked[2],
            "arch": net.hparams["arch"], "target": net.target.as_dict(),
            "crystal": bool(points), "points": points, "contrast": made.heat.contrast,
        } | more))  # fmt: skip
        return
    if "loop_s" in more:
        at = more["loop"]
        where = (
            f"at x = {at['x']:.1f} px, y = {at['y']:.1f} px" if at else "none, looked everywhere"
        )
        typer.echo(
            f"loop {where} ({1e3 * more['loop_s']:.0f} ms, map {1e3 * more['map_s']:.0f} ms)"
        )
    for p in made.points:
        typer.echo(f"x = {p.x_px:.1f} px, y = {p.y_px:.1f} px{_reflections(p.count)}")
    if not made.points:
        inside = made.heat.outside <= 0.5
        most = float(made.heat.count[inside].max()) if inside.any() else float("nan")
        typer.echo(f"no crystal here{_reflections(most, 'at most ')}")
    if "agreement" in more:
        share, advice = f"{100.0 * more['agreement']:.0f} % of {more['members']} predictions", ""
        if more["raster_instead"]:
            advice = ": measure a raster instead"
        typer.echo(f"{share} say so{advice}")


def _reflections(count: float, most: str = "") -> str:
    return "" if count != count else f": {most}{count:.0f} reflections predicted"
