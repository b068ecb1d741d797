"""``refimpl nearfield process-images``: raw images to lit pixels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import nearfield_files as files
from refimpl.cli import parse
from refimpl.errors import FormatError

if TYPE_CHECKING:
    from refimpl.nearfield.image_result import ProcessedImages

__all__ = ["EXAMPLES", "process_images"]

EXAMPLES = """\b
Examples:
  refimpl nearfield process-images ps.txt
  refimpl nearfield process-images ps.txt 2 -nCPUs 8
  refimpl nearfield process-images ps.txt --stack d1.h5 --stack d2.h5 --dataset exchange/data

Files in OutputDirectory or DataDirectory: lit_pixels_distance_<d>.h5, SpotsInfo.bin, and the
median and maximum images of each distance. Distances that are done are kept."""


def process_images(
    paramfile: files.Paramfile,
    layer: Annotated[int, typer.Argument(
        metavar="LAYER", min=1, help="Layer of the sample, from 1.")] = 1,
    stack: Annotated[list[Path] | None, typer.Option(
        metavar="FILE", help="File with the frames of a distance (TIFF, HDF5, Zarr), once for "
        "each distance, or one for all; default: the numbered images of the parameter file.",
    )] = None,
    dataset: Annotated[str | None, typer.Option(
        metavar="NAME", help="Data set in HDF5 and Zarr files.")] = None,
    sigmas: Annotated[float, typer.Option(
        metavar="X", min=0.0, help="A lit pixel exceeds its background, besides "
        "BlanketSubtraction, by so many times its own noise.")] = 0.0,
    published_fill: Annotated[bool, typer.Option(
        "--published-fill", help="Fill the outlines of the Laplacian of Gaussian along the rows, "
        "as published.")] = False,
    fake_pixel: Annotated[bool, typer.Option(
        "--fake-pixel", help="Light pixel 2045 of a frame without spots, as published.")] = False,
    spots_info: Annotated[bool, typer.Option(help="Write SpotsInfo.bin.")] = True,
    memory_mb: Annotated[float, typer.Option(
        metavar="X", min=1.0, help="Memory for the frames that the median is made of.")] = 128.0,
    ncpus: files.Ncpus = None,
    again: files.Again = False,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """Find the lit pixels of raw images: median background, filters, threshold."""
    from refimpl.io.nearfield_params import read_nearfield_params
    from refimpl.nearfield.images import filters_of
    from refimpl.nearfield.images import process_images as run

    files.check_ncpus(ncpus)
    params = read_nearfield_params(paramfile)
    ours = {"sigmas": sigmas, "published_fill": published_fill, "fake_pixel": fake_pixel}
    files.notes(params)
    with parse.progress() as tell:

        def step(what: str, distance: int, done: int, of: int) -> None:
            tell(f"{what} {distance}", done / max(of, 1))

        found = run(
            params, layer, filters=filters_of(params, **ours) if any(ours.values()) else None,
            stacks=stack, dataset=dataset, spots_info=spots_info, again=again,
            memory_mb=memory_mb, threads=ncpus, progress=step,
        )  # fmt: skip
    _tell(found, as_json)
    if not found.lit.n_lit:
        raise FormatError(
            "no pixel exceeds its background in any frame: look at BlanketSubtraction and the "
            "images", path=found.reports[0].path,
        )  # fmt: skip
    return 0


def _tell(found: ProcessedImages, as_json: bool) -> None:
    frames = found.lit.shape[1]
    if as_json:
        from refimpl.io.atomic import json_text

        rows: list[dict[str, Any]] = [
            {"distance": r.distance, "lit": r.n_lit, "empty_frames": list(r.empty_frames),
             "outside": r.outside, "kept": r.kept, "file": str(r.path)}
            for r in found.reports
        ]  # fmt: skip
        shown = {"distances": rows, "lit": found.lit.n_lit, "shape": list(found.lit.shape)}
        typer.echo(json_text(shown | {"spots_info": found.spots_info}))
        return
    for r in found.reports:
        empty = f", {len(r.empty_frames)} empty" if r.empty_frames else ""
        outside = f", {r.outside} outside of the detector left out" if r.outside else ""
        kept = ", kept from an earlier run" if r.kept else ""
        typer.echo(
            f"distance {r.distance}: {r.n_lit} lit pixels in {frames} frames{empty}{outside}{kept}"
        )
    for path in (*(r.path for r in found.reports), found.spots_info):
        if path is not None:
            typer.echo(f"wrote {path}")
