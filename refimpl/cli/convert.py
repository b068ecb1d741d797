"""``refimpl convert``: the geometry of one file in the format of another program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refimpl.cli import parse
from refimpl.errors import ConfigError

__all__ = ["EXAMPLES", "convert"]

EXAMPLES = """\b
Formats, by suffix or by --from and --to:
  geometry (.json), midas (.txt), dials (.expt), poni (.poni), hexrd (.yml, .hexrd),
  crystfel (.geom), imaged11 (.par), xds (XPARM.XDS), nxmx (.nxs), to read only gsas (.imctrl),
  and by --to alone pyfai: a .poni with a NeXus detector beside it, for panels and distortion

\b
Examples:
  refimpl convert calibrated/geometry.json ceria.poni
  refimpl convert refined.expt detector.geom --lossy
  refimpl convert Params.txt instrument.yml --shape 2048,2048"""


def convert(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="File to convert.")],
    target: Annotated[Path, typer.Argument(metavar="TO", help="File to write.")],
    kind_from: Annotated[str | None, typer.Option(
        "--from", metavar="FORMAT", help="Format of FROM; default: by its name.")] = None,
    kind_to: Annotated[str | None, typer.Option(
        "--to", metavar="FORMAT", help="Format of TO; default: by its name.")] = None,
    lossy: Annotated[bool, typer.Option(
        "--lossy", help="Leave out what TO cannot hold, and say what; default: refuse.")] = False,
    shape: Annotated[str | None, typer.Option(
        metavar="ROWS,COLUMNS", help="Of the image, where FROM does not say.")] = None,
    wavelength_angstrom: Annotated[float | None, typer.Option(
        metavar="X", help="Wavelength, where FROM does not say.")] = None,
    pixel_size_um: Annotated[tuple[float, float] | None, typer.Option(
        metavar="FAST SLOW", help="Of an .imctrl, which does not say.")] = None,
    image_transform: Annotated[str | None, typer.Option(
        metavar="CODES", help="Of a .poni: flips that pyFAI's image went through, as 2 or 1,2.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> int:  # fmt: skip
    """Write the geometry of FROM in the format of TO.

    What TO cannot hold is refused or, with --lossy, left out and said. The file is read again, and
    the largest change of any panel's corners and of their 2-theta is printed.
    """
    from refimpl.cli.convert_files import Options
    from refimpl.cli.convert_run import convert as run

    parse.output_file(target)
    rows_columns = None if shape is None else _whole(shape, "--shape")
    if rows_columns is not None and (len(rows_columns) != 2 or min(rows_columns) <= 0):
        raise ConfigError(f"--shape {shape!r}: expected ROWS,COLUMNS")
    if wavelength_angstrom is not None and not wavelength_angstrom > 0.0:
        raise ConfigError(f"--wavelength-angstrom {wavelength_angstrom:g}: expected above 0")
    if pixel_size_um is not None and not min(pixel_size_um) > 0.0:
        raise ConfigError(f"--pixel-size-um {pixel_size_um}: expected sizes > 0")
    options = Options(
        None if rows_columns is None else (rows_columns[0], rows_columns[1]),
        wavelength_angstrom,
        None if pixel_size_um is None else (pixel_size_um[0] / 1e3, pixel_size_um[1] / 1e3),
        () if image_transform is None else _whole(image_transform, "--image-transform"),
        lossy,
    )
    done = run(source, target, kind_from=kind_from, kind_to=kind_to, options=options)
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text({**vars(done), "written": [str(path) for path in done.written]}))
        return 0
    for line in done.lost:
        typer.echo(f"left out: {line}")
    for line in done.said:
        typer.echo(f"note: {line}")
    mm, rad = done.largest_mm, done.largest_rad
    if mm == mm:  # NaN: a package to read it again is missing
        typer.echo(f"read again: pixels within {mm:.2g} mm and {rad:.2g} rad")
    typer.echo(f"wrote {', '.join(map(str, done.written))} ({done.source} to {done.target})")
    return 0


def _whole(text: str, option: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.replace("x", ",").split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {text!r}: expected whole numbers with commas") from error
