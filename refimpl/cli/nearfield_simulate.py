"""``refimpl nearfield simulate``: a map of orientations to lit pixels and images."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import nearfield_files as files
from refimpl.cli import parse
from refimpl.cli.rules import goes_with
from refimpl.errors import ConfigError, GeometryError

if TYPE_CHECKING:
    from refimpl.forward.nearfield_stack import ImageModel, SimulatedPixels
    from refimpl.io.nearfield_params import NearfieldParams
    from refimpl.nearfield.maps import NearfieldMap

__all__ = ["EXAMPLES", "simulate"]

EXAMPLES = """\b
Examples:
  refimpl nearfield simulate ps.txt truth.mic -o sim
  refimpl nearfield simulate ps.txt truth.mic --counts 100 --background 10 --blur-px 1 -o sim
  refimpl nearfield simulate --example -o sim

Files: SpotsInfo.bin; unless OnlySpotsInfo is 1, SimulatedSpots.csv; with WriteImage 1 (its
default) raw images, numbered TIFF files as published, or one file of all frames where extOrig is
h5, hdf5, zarr or zip."""

IMAGE, WHAT = "Images", "What is simulated"
_TIFF, _WHOLE = ("tif", "tiff"), ("h5", "hdf5", "zarr", "zip")
_HEAD = "VoxRowNr\tDistanceNr\tFrameNr\tHorPx\tVerPx\tOmegaRaw\tYRaw\tZRaw"
_BLOCK = 64


@goes_with("example", "grains")
def simulate(
    paramfile: Annotated[Path | None, typer.Argument(
        metavar="PARAMFILE", help="Near-field parameter file, as published.")] = None,
    mic: Annotated[Path | None, typer.Argument(
        metavar="MIC", help="Map: .mic text or binary, or .h5. Voxels below MinConfidence, where "
                            "the file states it, are left out.")] = None,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for the files; default: OutputDirectory or "
                                           "DataDirectory.")] = None,
    example: Annotated[bool, typer.Option(
        "--example", rich_help_panel=WHAT, help="Make up a small experiment in DIR: ps.txt, "
        "truth.mic and Grains.csv, and simulate that.")] = False,
    grains: Annotated[int, typer.Option(
        metavar="N", min=1, rich_help_panel=WHAT, help="Of --example: number of grains.")] = 24,
    exact: Annotated[bool, typer.Option(
        "--exact", rich_help_panel=WHAT, help="Project at every distance by itself, whole "
        "footprints; default: scaled from the first one, as published and as maps are made.",
    )] = False,
    published_footprint: Annotated[bool, typer.Option(
        "--published-footprint", rich_help_panel=WHAT, help="Triangles that point down hollow, as "
        "published.")] = False,
    counts: Annotated[float, typer.Option(
        metavar="X", min=0.0, rich_help_panel=IMAGE, help="Counts that a spot adds to a pixel.",
    )] = 200.0,
    background: Annotated[float, typer.Option(
        metavar="X", min=0.0, rich_help_panel=IMAGE, help="Counts of every pixel.")] = 10.0,
    blur_px: Annotated[float, typer.Option(
        metavar="X", min=0.0, rich_help_panel=IMAGE, help="Standard deviation of the point "
        "spread.")] = 0.4,
    noise: Annotated[bool, typer.Option(rich_help_panel=IMAGE, help="Poisson noise.")] = True,
    seed: Annotated[int, typer.Option(
        min=0, rich_help_panel=IMAGE, help="Of the noise, and of --example.")] = 1,
    set_: files.SetValues = None,
    ncpus: files.Ncpus = None,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """Simulate what a map of orientations lights on the detector."""
    files.check_ncpus(ncpus)
    model = {
        "counts": counts, "background": background, "blur_px": blur_px, "noise": noise,
        "seed": seed,
    }  # fmt: skip
    if example:
        if paramfile is not None or mic is not None or out is None:
            raise ConfigError("simulate --example makes its own files: expected -o DIR alone")
        from refimpl.nearfield.example import write_example

        with parse.output_folder(out):
            made = write_example(out, n_grains=grains, seed=seed)
        paramfile, mic = made.parameters, made.truth
    if paramfile is None or mic is None:
        raise ConfigError("simulate: expected PARAMFILE and MIC, or --example -o DIR")
    return _simulate(
        files.load(paramfile, set_), mic, out,
        {"exact": exact, "published_footprint": published_footprint, "threads": ncpus},
        model, as_json,
    )  # fmt: skip


def _simulate(
    job: files.Job, mic: Path, out: Path | None, how: dict[str, Any], model: dict[str, Any],
    as_json: bool,
) -> int:  # fmt: skip
    from refimpl.forward.nearfield_stack import ImageModel, simulate_stack
    from refimpl.nearfield.grid import check_view

    files.notes(job.params)
    if job.params["WriteImage"] and not job.params["OnlySpotsInfo"]:
        _check_images(job.params)
    result = files.map_of(mic, job)
    keep = result.solved & (result.confidence >= job.min_confidence)
    if not keep.any():
        raise ConfigError(f"no voxel of confidence {job.min_confidence:g} or more", path=mic)
    folder = out or job.params.folder
    voxels, matrices = result.voxels[keep], result.matrices[keep]
    try:
        check_view(voxels, job.setup.detector)
    except GeometryError as error:
        raise ConfigError(str(error), path=mic) from error
    with parse.output_folder(folder), parse.progress() as tell:
        pixels = simulate_stack(
            job.setup, voxels, matrices, **how,
            progress=lambda n, of: tell("voxels", n / max(of, 1)),
        )  # fmt: skip
        if not len(pixels):
            raise ConfigError(
                "no pixel is lit: no spot is within OmegaRange, BoxSize and the detector",
                path=job.params.path, key="BoxSize",
            )  # fmt: skip
        written = _write(job, result, keep, pixels, folder, how, ImageModel(**model), tell)
    frames = pixels.shape[0] * pixels.shape[1]
    numbers = {
        "voxels": int(keep.sum()), "lit_pixels": len(pixels), "shape": list(pixels.shape),
        "touches": int(pixels.touches.sum()), "files": [str(path) for path in written],
    }  # fmt: skip
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text(numbers))
    else:
        typer.echo(f"{numbers['voxels']} voxels light {len(pixels)} pixels in {frames} frames")
        typer.echo("\n".join(f"wrote {path}" for path in _few(written)))
    return 0


def _check_images(params: NearfieldParams) -> None:
    """Refuse names and numbers that images cannot have, before anything is written."""
    from refimpl.nearfield.image_files import files_per_distance

    params.require("ReducedFileName")
    suffix, files = str(params["extOrig"]), files_per_distance(params)
    if suffix.lower() not in (*_TIFF, *_WHOLE):
        said = ", ".join((*_TIFF, *_WHOLE))
        raise params.refuse("extOrig", f"extOrig {suffix}: images are written as {said}")
    numbered = int(params.number("WFImages")) or int(params.number("RawStartNr"))
    if suffix in _WHOLE and (numbered or files != params.n_frames):
        raise params.refuse(
            "extOrig", f"extOrig {suffix}, one file for all frames, goes without RawStartNr, "
            "WFImages and images beyond EndNr",
        )  # fmt: skip


def _few(paths: list[Path]) -> list[str]:
    """Paths, of many numbered images the first and the last."""
    if len(paths) <= 5:
        return [str(path) for path in paths]
    return [*(str(path) for path in paths[:3]), f"... {paths[-1]} ({len(paths)} files)"]


def _write(
    job: files.Job, result: NearfieldMap, keep: Any, pixels: SimulatedPixels, folder: Path,
    how: dict[str, Any], model: ImageModel, tell: Any,
) -> list[Path]:  # fmt: skip
    from refimpl.io.spots_info import write_spots_info

    written = [write_spots_info(folder / "SpotsInfo.bin", pixels.key, pixels.shape)]
    if job.params["OnlySpotsInfo"]:
        return written
    written.append(_write_spots(job, result, keep, folder / "SimulatedSpots.csv", how))
    if job.params["WriteImage"]:
        written += _write_images(job, pixels, folder, model, tell)
    return written


def _write_spots(
    job: files.Job, result: NearfieldMap, keep: Any, path: Path, how: dict[str, Any]
) -> Path:
    """Every pixel of every spot, the published table; atomic, block by block.

    Each spot goes in as a voxel of its own, so that its pixels are known to be its.
    """
    import numpy as np

    from refimpl.forward.nearfield_pixels import pixels_of_setup
    from refimpl.forward.nearfield_spots import NearfieldSpots, spots_of_setup
    from refimpl.io.atomic import atomic_path
    from refimpl.units import DEG, UM

    rows, matrices = np.flatnonzero(keep), result.matrices
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(_HEAD + "\n")
        for first in range(0, len(rows), _BLOCK):
            own = rows[first : first + _BLOCK]
            spots = spots_of_setup(job.setup, matrices[own], threads=how["threads"])
            n = np.arange(len(spots))
            single = NearfieldSpots(
                spots.yl_mm, spots.zl_mm, spots.omega_rad,
                np.stack([np.ones_like(n), n], axis=1).astype(spots.key.dtype), spots.hkl_row,
            )  # fmt: skip
            hits = pixels_of_setup(job.setup, result.voxels[own[spots.owner]], single, **how)
            spot = hits[:, 0]
            lines = zip(
                own[spots.owner[spot]].tolist(), *hits[:, 1:].T.tolist(),
                (spots.omega_rad[spot] / DEG).tolist(), (spots.yl_mm[spot] / UM).tolist(),
                (spots.zl_mm[spot] / UM).tolist(), strict=True,
            )  # fmt: skip
            file.writelines(
                f"{v}\t{d}\t{f}\t{y}\t{z}\t{omega:f}\t{yl:f}\t{zl:f}\n"
                for v, d, f, y, z, omega, yl, zl in lines
            )
    return path


def _write_images(
    job: files.Job, pixels: SimulatedPixels, folder: Path, model: ImageModel, tell: Any
) -> list[Path]:
    """Raw images under the names that process-images looks for."""
    from refimpl.forward.nearfield_stack import stack_images
    from refimpl.io.nearfield_stack import write_published_tiffs, write_stack
    from refimpl.nearfield.image_files import files_per_distance

    params = job.params
    name, suffix = str(params["OrigFileName"]), str(params["extOrig"])
    n, frames, ny, nz = pixels.shape
    wide_field, start = int(params.number("WFImages")), int(params.number("RawStartNr"))

    def counted(distance: int) -> Iterator[Any]:
        for k, image in enumerate(stack_images(pixels, model, distance=distance)):
            tell(f"images {distance + 1}", (k + 1) / frames)
            yield image

    if suffix in _WHOLE:
        images = chain.from_iterable(counted(d) for d in range(n))
        return [write_stack(folder / f"{name}.{suffix}", images, n * frames, (nz, ny))]
    written: list[Path] = []
    for d in range(n):
        written += write_published_tiffs(
            folder, name, counted(d), d, start=start, wf_images=wide_field, suffix=suffix,
            files_per_distance=files_per_distance(params),
        )  # fmt: skip
    return written
