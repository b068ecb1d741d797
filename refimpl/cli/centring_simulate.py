"""``refimpl centring simulate``: a data collection with known truth, as a folder of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.cli import parse
from refimpl.cli.rules import goes_with
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.centring.simulate_collection import Collection

__all__ = ["EXAMPLES", "simulate"]

EXAMPLES = """\b
Examples:
  refimpl centring simulate -o loops
  refimpl centring simulate --crystals 40 --empty 10 --seconds 8 -o loops
  refimpl centring simulate --scans helical,mesh --side any --mount mesh -o loops
  refimpl centring simulate --offset-s 0.35 --drift 2e-5 --dropped 0.2 -o loops
  refimpl centring simulate --sheet sheet.png --crystals 6

Files: pictures, camera.csv and detector.csv (the logs of two clocks), counts.csv, table.csv (the
true pairs), mesh.csv, truth.json.
Exit: 0 done; 2 bad input."""


@goes_with("out", "format_")
def simulate(
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder of the collection; new or empty.")] = None,
    crystals: Annotated[int, typer.Option(
        metavar="N", min=0, help="Loops with a crystal.")] = 6,
    empty: Annotated[int, typer.Option(metavar="N", min=0, help="Empty loops.")] = 0,
    scans: Annotated[str, typer.Option(
        metavar="LIST", help="Scans of each: helical, rotational, mesh.")] = "helical,rotational",
    seconds: Annotated[float, typer.Option(
        metavar="S", help="Length of a helical or rotational scan.")] = 5.0,
    seed: Annotated[int, typer.Option(
        metavar="N", min=0, help="Of everything that is random.")] = 0,
    zooms: Annotated[str, typer.Option(
        metavar="LOW,HIGH", help="Range of the zoom: 0.25 + 0.25 zoom px/um.")] = "1,4",
    mount: Annotated[str | None, typer.Option(
        metavar="KIND", help="loop, teardrop or mesh; default: all of them.")] = None,
    side: Annotated[str, typer.Option(
        metavar="SIDE", help="Pin from left, top, right, bottom or any.")] = "left",
    offset_s: Annotated[float, typer.Option(
        "--offset-s", metavar="S", help="Detector's clock ahead of the camera's.")] = 0.35,
    drift: Annotated[float, typer.Option(
        metavar="RATE", help="Seconds a second by which it gains.")] = 0.0,
    dropped: Annotated[float, typer.Option(
        metavar="PART", help="Part of the pictures that is lost.")] = 0.05,
    jitter_s: Annotated[float, typer.Option(
        "--jitter-s", metavar="S", help="Deviation of a picture's moment.")] = 0.01,
    camera_hz: Annotated[float, typer.Option(
        "--camera-hz", metavar="HZ", help="Pictures a second.")] = 8.0,
    frame_hz: Annotated[float, typer.Option(
        "--frame-hz", metavar="HZ", help="Frames of the detector a second.")] = 20.0,
    format_: Annotated[str, typer.Option(
        "--format", metavar="KIND", help="Pictures as jpg or png.")] = "jpg",
    sheet: Annotated[Path | None, typer.Option(
        metavar="FILE", help="A picture of the scenes beside their count maps.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> int:  # fmt: skip
    """Simulate photographs of loops and crystals with reflection counts."""
    if out is None and sheet is None:
        raise ConfigError("centring simulate: expected -o DIR or --sheet FILE", key="out")
    from refimpl.centring.simulate_collection import Plan, collect
    from refimpl.centring.simulate_files import write_collection
    from refimpl.centring.simulate_stream import StreamSettings

    plan = Plan(
        crystals=crystals, empty=empty, seconds=seconds, zooms=_range(zooms), mount=mount,
        side=side, scans=tuple(name.strip() for name in scans.split(",") if name.strip()),
    )  # fmt: skip
    clocks = StreamSettings(
        camera_hz=camera_hz, frame_hz=frame_hz, jitter_s=jitter_s, dropped=dropped,
        offset_s=offset_s, drift=drift,
    )  # fmt: skip
    parse.output_file(sheet)
    made = collect(plan, clocks, seed=seed)
    pictures = 0
    if out is not None:
        with parse.progress() as tell:
            pictures = write_collection(
                made, out, suffix=format_,
                progress=lambda done, of: tell("pictures", done / max(of, 1)),
            )  # fmt: skip
    if sheet is not None:
        _write_sheet(made, sheet)
    _print_numbers(made, out, pictures, as_json)
    return 0


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--zooms {text}: expected LOW,HIGH", key="zooms", got=text) from None
    if not low <= high:
        raise ConfigError(f"--zooms {text}: expected LOW <= HIGH", key="zooms", got=text)
    return low, high


def _write_sheet(made: Collection, path: Path) -> None:
    from PIL import Image

    from refimpl.centring.simulate_sheet import sheet_of
    from refimpl.io.atomic import atomic_path

    with atomic_path(path) as temporary:
        Image.fromarray(sheet_of(made.shown)).save(temporary)


def _print_numbers(made: Collection, out: Path | None, pictures: int, as_json: bool) -> None:
    from refimpl.io.atomic import json_text

    counts = made.stream.frame_rc
    numbers = {
        "folder": out, "scenes": len(made.shown), "scans": len(made.scans),
        "pictures": pictures, "frames": len(counts), "hits": int((counts > 100).sum()),
        "rc_max": int(counts.max()), "offset_s": made.stream.settings.offset_s,
        "drift": made.stream.settings.drift,
    }  # fmt: skip
    if as_json:
        typer.echo(json_text(numbers))
        return
    typer.echo(f"{len(made.shown)} scenes, {len(made.scans)} scans, {len(counts)} frames, "
               f"{numbers['hits']} of them with more than 100 reflections")  # fmt: skip
    if out is not None:
        typer.echo(f"wrote {pictures} pictures to {out}")
