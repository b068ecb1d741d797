"""``refimpl compare``: two results of any code side by side, with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refimpl.cli import parse
from refimpl.errors import ConfigError

__all__ = ["EXAMPLES", "compare"]

EXAMPLES = """\b
Examples:
  refimpl compare before.expt after.expt --tolerance two_theta_max_px=0.05
  refimpl compare geometry.json dioptas.poni --image-transform 2 --picture where.png
  refimpl compare truth.mic found.mic --space-group 225 --tolerance off_share=0.01
  refimpl compare indexed.refl theirs.refl --json
  refimpl compare panelshifts.txt theirs.txt --parameters ps.txt

A is what B is held to. Geometries: the formats of 'refimpl convert'.
Exit: 0 within the tolerances; 1 beyond one; 2 bad input."""


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="Result that B is held to.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Result to be judged.")],
    kind: Annotated[str | None, typer.Option(
        metavar="KIND", help="geometry, map, reflections or panels. Default: as the files "
                             "say.")] = None,
    tolerance: Annotated[list[str] | None, typer.Option(
        metavar="NAME=VALUE", help="Largest value of a measure, in the unit of its name, over the "
        "default; NAME=none lifts one. May be repeated.")] = None,
    image_transform: Annotated[list[int] | None, typer.Option(
        metavar="CODE", min=0, max=3, help="Of geometries: ImTransOpt codes that take the image "
        "of A to the one that B was made for: 1, 2 mirror, 3 transposes. May be "
        "repeated.")] = None,
    shape: Annotated[tuple[int, int] | None, typer.Option(
        metavar="ROWS COLUMNS", help="Of geometries: the image, where no file says.")] = None,
    pixel_size_um: Annotated[tuple[float, float] | None, typer.Option(
        metavar="FAST SLOW", help="Of geometries: pixels, where no file says.")] = None,
    parameters: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Of maps: near-field parameter file, for the space group and the "
        "cell. Of panels: MIDAS parameter file, for the places of the panels.")] = None,
    space_group: Annotated[int | None, typer.Option(
        metavar="N", min=1, max=230, help="Of maps, where no file says.")] = None,
    min_confidence: Annotated[float | None, typer.Option(
        metavar="X", min=0.0, max=1.0, help="Of maps: voxels of A below it do not count.")] = None,
    match_px: Annotated[float | None, typer.Option(
        metavar="PX", min=0.0, help="Of reflections: farthest that two spots may be apart and "
                                    "be one; default 2.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="FILE", help="Instead of stdout.")] = None,
    picture: Annotated[Path | None, typer.Option(
        metavar="FILE", help="Draw the differences, .png.")] = None,
) -> int:  # fmt: skip
    """Compare two geometries, maps, reflection tables or files of panel shifts."""
    from refimpl.cli.compare_files import Options, judgement_of
    from refimpl.io.atomic import json_text, write_text
    from refimpl.testing.judge import parse_tolerances

    if picture is not None and picture.suffix.lower() != ".png":
        raise ConfigError(f"--picture {picture}: expected a name that ends with .png")
    if pixel_size_um is not None and not min(pixel_size_um) > 0.0:
        raise ConfigError(f"--pixel-size-um {pixel_size_um}: expected sizes > 0")
    if shape is not None and min(shape) < 1:
        raise ConfigError(f"--shape {shape}: expected numbers from 1")
    options = Options(
        tuple(image_transform) if image_transform else None, shape, pixel_size_um, parameters,
        space_group, min_confidence, match_px,
    )  # fmt: skip
    for path in (out, picture):  # before the work
        parse.output_file(path)
    found = judgement_of(first, second, kind, parse_tolerances(tolerance or ()), options)
    if picture is not None:
        from refimpl.report.judged import judged_figure
        from refimpl.report.page import write_png

        write_png(picture, judged_figure(found))
    text = json_text(found.as_dict()) if as_json else found.text()
    if out is None:
        typer.echo(text)
    else:
        write_text(out, text.rstrip("\n") + "\n")
    return 0 if found.met else 1
