"""``refimpl nearfield grid`` and ``seeds``: where a map is made, and candidate orientations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from refimpl.cli import nearfield_files as files
from refimpl.cli import parse
from refimpl.cli.rules import refuse
from refimpl.errors import ConfigError

__all__ = ["GRID_EXAMPLES", "SEEDS_EXAMPLES", "grid", "seeds"]

GRID_EXAMPLES = """\b
Examples:
  refimpl nearfield grid ps.txt
  refimpl nearfield grid ps.txt --set grid_size_mm=0.002 -o fine.txt
  refimpl nearfield grid ps.txt --tiling -o grid.txt"""

SEEDS_EXAMPLES = """\b
Examples:
  refimpl nearfield seeds ps.txt --spacing-deg 1.5 -o seeds.txt
  refimpl nearfield seeds ps.txt --from grains -o seeds.txt
  refimpl nearfield seeds ps.txt --from published -o seeds.txt

even: cover of the fundamental zone, no orientation farther than the spacing from a seed.
published: the cubochoric grid of 180^3 orientations (cubic: 243129), computed.
grains: those of GrainsFile, in the published 11 columns. list: SeedOrientations, checked."""


def grid(
    paramfile: files.Paramfile,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="FILE", help="File to write; default: GridFileName.")] = None,
    tiling: Annotated[bool, typer.Option(
        "--tiling", help="Triangles that tile the plane; the published ones, default, overlap and "
                         "leave gaps where y > 0.")] = False,
    set_: files.SetValues = None,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """Lay out the grid of a map, with its masks, as grid.txt."""
    import numpy as np

    from refimpl.io.nearfield_files import write_grid

    extra = [*(set_ or ()), *(["published_grid=false"] if tiling else [])]
    job = files.load(paramfile, extra)
    # laid out, not read: this command is what makes the file
    laid = job.config.grid.model_copy(update={"grid_file": None})
    job = files.Job(job.params, job.config.model_copy(update={"grid": laid}), job.setup)
    points = files.voxels_of(job)
    if points.shape != "triangle":
        raise ConfigError(
            "grid.txt holds triangles: a square grid is made by reconstruct, --set grid=square",
            key="grid",
        )
    target = out or job.params.file("GridFileName")
    assert target is not None  # it has a default
    parse.output_file(target)
    write_grid(target, points)
    size = np.ptp(points.xy_mm, axis=0) * 1e3
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text({"points": len(points), "size_um": size, "file": str(target)}))
    else:
        typer.echo(f"{len(points)} points over {size[0]:.1f} x {size[1]:.1f} um\nwrote {target}")
    return 0


def seeds(
    paramfile: files.Paramfile,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="FILE", help="File to write; default: SeedOrientations.")] = None,
    kind: Annotated[str, typer.Option(
        "--from", metavar="NAME", help="even, published, grains or list.")] = "even",
    spacing_deg: Annotated[float, typer.Option(
        metavar="X", min=0.1, max=30.0, help="Of even.")] = 1.5,
    spots: Annotated[Path | None, typer.Option(
        metavar="DIR", help="Write DiffractionSpots.bin, Key.bin, OrientMat.bin and hkls.csv for "
                            "them, too, as MakeDiffrSpots and GetHKLListNF do.")] = None,
    ncpus: files.Ncpus = None,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """Write a list of candidate orientations, and their spots."""
    from refimpl.io.nearfield_files import write_seeds

    if kind != "even":
        refuse(seeds, {"spacing_deg": spacing_deg}, ("spacing_deg",), f"with --from {kind}")
    job = files.load(paramfile)
    files.check_ncpus(ncpus)
    target = out or job.params.file("SeedOrientations")
    if target is None and (kind != "list" or spots is None):
        raise ConfigError("neither -o nor SeedOrientations", path=paramfile, key="SeedOrientations")
    found, table = _seeds(job, kind, spacing_deg)
    written: list[Path] = []
    if target is not None and kind != "list":
        parse.output_file(target)
        if table is None:
            written.append(write_seeds(target, found))
        else:
            from refimpl.nearfield.seeds import write_grain_seeds

            written.append(write_grain_seeds(target, table))
    if spots is not None:
        written += _write_spots(job, found, spots, ncpus)
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text({"seeds": len(found), "files": [str(p) for p in written]}))
    else:
        typer.echo("\n".join([f"{len(found)} orientations", *(f"wrote {p}" for p in written)]))
    return 0


def _seeds(job: files.Job, kind: str, spacing_deg: float) -> tuple[Any, Any]:
    """Seeds, and the grains that they are of."""
    from refimpl.io.grains_csv import read_grains
    from refimpl.io.nearfield_files import read_seeds
    from refimpl.nearfield.seeds import published_seeds, seeds_of_grains, uniform_seeds
    from refimpl.units import DEG

    search, params = job.config.search, job.params
    if kind == "even":
        return uniform_seeds(spacing_deg * DEG, job.operators), None
    if kind == "published":
        return published_seeds(job.operators), None
    if kind == "grains":
        if search.grains is None:
            raise ConfigError("--from grains needs GrainsFile", path=params.path, key="GrainsFile")
        table = read_grains(search.grains)
        return seeds_of_grains(table), table
    if kind == "list":
        if search.seeds is None:
            raise ConfigError("--from list needs SeedOrientations", path=params.path,
                              key="SeedOrientations")  # fmt: skip
        return files.check_seeds(job, read_seeds(search.seeds)), None
    raise ConfigError(f"--from {kind!r}: expected even, published, grains or list", key="from")


def _write_spots(job: files.Job, seeds: Any, folder: Path, ncpus: int | None) -> list[Path]:
    """The published files of theory spots, and the reflections that they are of."""
    from refimpl.nearfield.spot_files import write_hkls, write_spots

    with parse.output_folder(folder):
        write_spots(folder, job.setup, seeds, threads=ncpus)
        write_hkls(folder / "hkls.csv", job.config)
    names = ("DiffractionSpots.bin", "Key.bin", "OrientMat.bin", "hkls.csv")
    return [folder / name for name in names]
