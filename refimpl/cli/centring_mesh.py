"""``refimpl centring mesh``: islands of crystal in a raster, and a heat map beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli.centring_options import PinSide
from refimpl.cli.rules import goes_with
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.mesh import Island, Mesh
    from refimpl.centring.mesh_heat import Compared

__all__ = ["EXAMPLES", "mesh"]

EXAMPLES = """\b
Examples:
  refimpl centring mesh loops/mesh.csv
  refimpl centring mesh counts.csv --grid 9x15 --step-um 20 --order snake --json
  refimpl centring mesh mesh.csv --picture view.png --net run/best.ckpt --zoom 2 --um-per-px 1.33

The table has s_um, t_um, rc (crystal and omega_deg tell meshes apart), or with --grid the frames
of a scan and their rc. Meshes of one crystal at several rotations give its place in space.
Exit: 0 done, also where there is no crystal; 2 bad input."""


@goes_with("grid", "step_um", "order", "fast", "first", "series")
@goes_with("picture", "net", "zoom", "um_per_px", "at", "pin_side")
def mesh(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="CSV of points or of frames.")],
    grid: Annotated[str | None, typer.Option(
        metavar="ROWSxCOLUMNS", help="Grid of a scan: rows across the spindle.")] = None,
    step_um: Annotated[str | None, typer.Option(
        metavar="UM[,UM]", help="Distance of its points along and across.")] = None,
    order: Annotated[str, typer.Option(
        metavar="NAME", help="rows, or snake: every second line backwards.")] = "rows",
    fast: Annotated[str, typer.Option(
        metavar="s|t", help="Lines run along the spindle (s) or across (t).")] = "s",
    first: Annotated[int | None, typer.Option(
        metavar="N", help="Frame of the first point; default: the lowest.")] = None,
    series: Annotated[str | None, typer.Option(
        metavar="NAME", help="Series of the frames.")] = None,
    least: Annotated[float | None, typer.Option(
        metavar="N", help="Reflections from which there is crystal; default: by the "
        "background.")] = None,
    picture: Annotated[Path | None, typer.Option(
        metavar="IMAGE", help="Photograph of the same view, to compare with its heat map.")] = None,
    net: Annotated[Path | None, typer.Option(
        metavar="CHECKPOINT", help="Net of the heat map.")] = None,
    zoom: Annotated[float | None, typer.Option(metavar="ZOOM", help="Of the photograph.")] = None,
    um_per_px: Annotated[float | None, typer.Option(
        metavar="X", help="Scale of the photograph.")] = None,
    at: Annotated[str, typer.Option(
        metavar="S,T", help="Point of the mesh [um] in the middle of the photograph.")] = "0,0",
    pin_side: PinSide = "left",
    crystal: Annotated[str | None, typer.Option(
        metavar="NAME", help="Only meshes of this crystal.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> int:  # fmt: skip
    """Find islands of crystal in a raster of reflection counts."""
    from refimpl.centring import mesh_files
    from refimpl.centring.mesh import distances_um
    from refimpl.io.atomic import json_text

    if grid is None:
        meshes = mesh_files.read_meshes(table)
    else:
        meshes = [mesh_files.read_grid_counts(
            table, _grid(grid), _steps(step_um), first=first, series=series, order=order, fast=fast,
        )]  # fmt: skip
    if crystal is not None:
        meshes = [one for one in meshes if one.name == crystal]
        if not meshes:
            raise ConfigError(f"no mesh of {crystal!r} in the table", path=table, key="crystal")
    compared = None
    if picture is not None:
        compared = _compared(meshes, picture, net, zoom, um_per_px, at, pin_side)
    found = [one.islands(least) for one in meshes]
    places = _places(meshes, least)
    if as_json:
        typer.echo(json_text({
            "meshes": [
                _numbers(one) | {"islands": [island.as_dict() for island in islands],
                                 "distances_um": distances_um(islands)}
                for one, islands in zip(meshes, found, strict=True)
            ],
            "centres": {name: centre.as_dict() for name, centre in places.items()},
            "heat_map": None if compared is None else compared.as_dict(),
        }))  # fmt: skip
        return 0
    for one, islands in zip(meshes, found, strict=True):
        _print(one, islands)
    for name, centre in places.items():
        s, y, z = centre.centre_um
        typer.echo(f"{name or 'sample'}: in space at s {s:.1f}, y {y:.1f}, z {z:.1f} um")
    if compared is not None:
        _print_compared(compared)
    return 0


def _grid(text: str) -> tuple[int, int]:
    try:
        rows, columns = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise ConfigError(f"--grid {text}: expected ROWSxCOLUMNS", key="grid", got=text) from None
    return rows, columns


def _steps(text: str | None) -> tuple[float, float]:
    if text is None:
        raise ConfigError("--grid: the distance of the points is needed: --step-um", key="step_um")
    numbers = _numbers_of(text, "step-um")
    if len(numbers) > 2:
        raise ConfigError(f"--step-um {text}: expected one or two numbers", key="step_um")
    return numbers[0], numbers[-1]


def _numbers_of(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"--{option} {text}: expected numbers", key=option, got=text) from None


def _compared(
    meshes: list[Mesh], picture: Path, net: Path | None, zoom: float | None,
    um_per_px: float | None, at: str, pin_side: str,
) -> Compared:  # fmt: skip
    if net is None or zoom is None or um_per_px is None:
        raise ConfigError("--picture: needs --net, --zoom and --um-per-px too", key="picture")
    if len(meshes) != 1:
        raise ConfigError(
            f"--picture: {len(meshes)} meshes in the table: choose one crystal at one rotation",
            key="picture",
        )
    place = _numbers_of(at, "at")
    if len(place) != 2:
        raise ConfigError(f"--at {at}: expected S,T", key="at", got=at)
    from refimpl.centring.camera import Camera
    from refimpl.centring.heatmap import heat_map
    from refimpl.centring.mesh_heat import compare
    from refimpl.centring.modules import load_regressor
    from refimpl.io.photographs import read_photograph

    model, seen = load_regressor(net), read_photograph(picture)
    if model.crop is None:
        raise ConfigError("the net does not know how pictures are cropped: train it with a crop")
    heat = heat_map(
        model, seen, model.crop, zoom, model.target, size=int(model.hparams["size"]), step_px=5.0
    )
    middle = (seen.shape[1] / 2.0, seen.shape[0] / 2.0)
    return compare(meshes[0], heat, Camera(um_per_px, middle, pin_side, (place[0], place[1])))


def _places(meshes: list[Mesh], least: float | None) -> dict[str, Any]:
    """Places in space of crystals with meshes at several rotations that tell it."""
    from refimpl.centring.mesh import centre_of_meshes

    made = {}
    for name in dict.fromkeys(one.name for one in meshes):
        own = [one for one in meshes if one.name == name]
        if len(own) < 2:
            continue
        try:
            centre = centre_of_meshes(own, least)
        except ConfigError:  # rotations that are alike or unknown
            centre = None
        if centre is not None:
            made[name] = centre
    return made


def _numbers(one: Mesh) -> dict[str, Any]:
    import numpy as np

    return {
        "crystal": one.name, "omega_deg": float(np.degrees(one.omega_rad)),
        "rows": len(one.t_um), "columns": len(one.s_um), "step_um": one.step_um,
        "points": int(np.isfinite(one.count).sum()), "most": float(np.nanmax(one.count)),
        "best_um": one.best_um, "background": one.background, "limit": one.limit(),
    }  # fmt: skip


def _print(one: Mesh, islands: tuple[Island, ...]) -> None:
    from refimpl.centring.mesh import distances_um

    n = _numbers(one)
    name = f"{one.name} " if one.name else ""
    turned = f"at {n['omega_deg']:g} degrees" if n["omega_deg"] == n["omega_deg"] else "mesh"
    typer.echo(f"{name}{turned}: {n['rows']} x {n['columns']} points, most {n['most']:g} at s "
               f"{n['best_um'][0]:.1f}, t {n['best_um'][1]:.1f} um, background "
               f"{n['background']:g}")  # fmt: skip
    if not islands:
        typer.echo("  no crystal here")
    for number, island in enumerate(islands, 1):
        rim = ", reaches the rim of the mesh" if island.at_rim else ""
        typer.echo(f"  island {number}: s {island.s_um:.1f} +- {island.s_deviation_um:.1f}, t "
                   f"{island.t_um:.1f} +- {island.t_deviation_um:.1f} um, {island.length_um:.0f} x "
                   f"{island.width_um:.0f} um, {island.points} points, {island.total:.0f} "
                   f"reflections{rim}")  # fmt: skip
    if len(islands) > 1:
        away = distances_um(islands)[0, 1:]
        typer.echo(f"  from island 1: {', '.join(f'{d:.1f}' for d in away)} um")


def _print_compared(found: Compared) -> None:
    typer.echo(f"heat map: {found.points} points in common, Pearson {found.pearson:.3f} (of "
               f"square roots), Spearman {found.spearman:.3f} (on crystal)")  # fmt: skip
    if found.away_um == found.away_um:
        typer.echo(f"  its best point is {found.away_um:.1f} um from the mesh's, and gets "
                   f"{100.0 * found.relative:.0f} % of the most reflections")  # fmt: skip
    else:
        typer.echo("  it shows no crystal")
    typer.echo(f"  hits: {found.hits_measured} measured, {found.hits_predicted} predicted, "
               f"{found.hits_both} both")  # fmt: skip
