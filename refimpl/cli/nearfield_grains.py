"""``refimpl nearfield grains``: the grains of a map, as Mic2GrainsList lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from refimpl.cli import nearfield_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError

__all__ = ["EXAMPLES", "grains"]

EXAMPLES = """\b
Examples:
  refimpl nearfield grains ps.txt map.mic -o Grains.csv
  refimpl nearfield grains ps.txt map.mic -o Grains.csv --neighbours --min-confidence 0.6
  refimpl nearfield grains ps.txt map.mic.h5 -o Grains.csv --spatial --max-angle 2

\b
Mic2GrainsList ps.txt map.mic Grains.csv 1 8 0.6
  its argument 4, 1:      --neighbours
  its argument 5, nCPUs:  -nCPUs 8
  its argument 6:         --min-confidence 0.6 (the published multi-resolution
                          driver always passes 0.6)
  MaxAngle of the file:   --max-angle"""


def grains(
    paramfile: files.Paramfile,
    mic: Annotated[Path, typer.Argument(
        metavar="MIC", help="Map: .mic text or binary, or .h5.")],
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="FILE", help="File to write, as published.")],
    neighbours: Annotated[bool, typer.Option(
        "--neighbours", help="A grain ends where steps of two voxel edges do not reach.")] = False,
    spatial: Annotated[bool, typer.Option(
        "--spatial", help="Grains that follow neighbours no more than --max-angle apart, each with "
                          "the mean of its orientations; default: as published, what is near its "
                          "best voxel, with that voxel's orientation.")] = False,
    min_confidence: Annotated[float | None, typer.Option(
        "--min-confidence", metavar="C", min=0.0, max=1.0,
        help="Voxels below it do not count; default: MinFracAccept or MinConfidence, whichever the "
             "file states last, else 0.04, as the published program (its driver: 0.6).")] = None,
    max_angle_deg: Annotated[float | None, typer.Option(
        "--max-angle", metavar="DEG", help="Misorientation within a grain; default: MaxAngle, "
                                           "else 1.")] = None,
    ncpus: files.Ncpus = None,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """List the grains of a map as Grains.csv, for seeds of a finer one."""
    from refimpl.io.grains_csv import write_grains
    from refimpl.nearfield.grain_list import grain_list
    from refimpl.units import DEG, UM

    if neighbours and spatial:
        raise ConfigError("--neighbours and --spatial: one of them", key="--spatial")
    if max_angle_deg is not None and not 0.0 < max_angle_deg <= 180.0:
        raise ConfigError(
            f"--max-angle {max_angle_deg:g}: expected degrees, above 0 and up to 180",
            key="--max-angle", got=max_angle_deg,
        )  # fmt: skip
    files.check_ncpus(ncpus)
    parse.output_file(out)
    job = files.load(paramfile)
    result = files.map_of(mic, job)
    least = _least(job) if min_confidence is None else min_confidence
    angle = job.params.number("MaxAngle") if max_angle_deg is None else max_angle_deg
    try:
        table = grain_list(
            result, max_angle_rad=angle * DEG, least_confidence=least, neighbours=neighbours,
            spatial=spatial, threads=ncpus,
        )  # fmt: skip
    except ConfigError as error:
        raise ConfigError(str(error), path=mic, key=error.key) from error
    write_grains(out, table, result.space_group)
    used = int((result.solved & (result.confidence >= least)).sum())
    radius = table.radius_mm / UM
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text({
            "grains": len(table), "voxels": len(result), "counted": used, "max_angle_deg": angle,
            "min_confidence": least, "largest_radius_um": float(radius.max()), "file": str(out),
        }))  # fmt: skip
        return 0
    typer.echo(
        f"{len(table)} grains of {used} voxels of confidence {least:g} or more ({len(result)} in "
        f"all), radius up to {radius.max():.1f} um\nwrote {out}"
    )
    return 0


def _least(job: files.Job) -> float:
    """Last of MinFracAccept and MinConfidence that the file states, as the published program."""
    from refimpl.nearfield.grain_list import PUBLISHED_LEAST

    stated = [key for key in ("MinFracAccept", "MinConfidence") if key in job.params]
    if not stated:
        return PUBLISHED_LEAST
    return job.params.number(max(stated, key=lambda key: job.params.lines.get(key, 0)))
