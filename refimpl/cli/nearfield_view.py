"""``refimpl nearfield view`` and ``compare``: pictures of a map, and a map beside another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.cli import nearfield_files as files
from refimpl.cli import parse
from refimpl.cli.rules import goes_with
from refimpl.errors import ConfigError

if TYPE_CHECKING:
    from refimpl.nearfield.compare import MapComparison
    from refimpl.nearfield.maps import NearfieldMap

__all__ = ["COMPARE_EXAMPLES", "VIEW_EXAMPLES", "compare", "view"]

VIEW_EXAMPLES = """\b
Examples:
  refimpl nearfield view ps.txt -o page
  refimpl nearfield view ps.txt other.mic --reference truth.mic -o page
  refimpl nearfield view map.mic.h5 --figure ipf_z -o page"""

COMPARE_EXAMPLES = """\b
Examples:
  refimpl nearfield compare ps.txt map.mic truth.mic
  refimpl nearfield compare ps.txt map.mic truth.mic --away-um 6 --limit-deg 0.05 --share 0.995

Exit: 0 done; 1 fewer than --share are below --limit-deg; 2 bad input."""

Paramfile = Annotated[Path, typer.Argument(
    metavar="PARAMFILE", help="Near-field parameter file, as published: space group, cell and "
                              "names. A map of ours, .h5, may stand here alone.")]  # fmt: skip
SpaceGroup = Annotated[int | None, typer.Option(
    metavar="N", min=1, max=230, help="Over the file's.")]  # fmt: skip
MinConfidence = Annotated[float | None, typer.Option(
    metavar="X", min=0.0, max=1.0, help="Voxels below it do not count; default: MinConfidence "
                                        "where the parameter file states it.")]  # fmt: skip
ReferenceLeast = Annotated[float, typer.Option(
    "--reference-min-confidence", metavar="X", min=0.0, max=1.0,
    help="The same for the reference.")]  # fmt: skip
GrainAngle = Annotated[float | None, typer.Option(
    "--grain-angle-deg", metavar="X", min=0.0, help="Misorientation of a grain boundary; default: "
                                                    "GBAngle.")]  # fmt: skip


@goes_with("reference", "reference_least")
def view(
    paramfile: Paramfile,
    mic: Annotated[Path | None, typer.Argument(
        metavar="MAP", help="Map: .mic text or binary, or .h5; default: MicFileText.")] = None,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for the figures and the report; default: "
                                           "beside the map.")] = None,
    reference: Annotated[Path | None, typer.Option(
        metavar="MAP", help="Map to show the misorientation from.")] = None,
    min_confidence: MinConfidence = None,
    reference_least: ReferenceLeast = 0.0,
    grain_angle: GrainAngle = None,
    figure: Annotated[list[str] | None, typer.Option(
        metavar="NAME", help="Write this figure only, as PNG: ipf_z, ipf_xy, confidence, grains, "
                             "kam, ... May be repeated.")] = None,
    space_group: SpaceGroup = None,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """Draw a map: crystal directions, confidence, grains, misorientation."""
    from refimpl.report.nearfield import MapView, figure_names, figures, write_report
    from refimpl.report.page import write_png

    job, path = _first(paramfile, mic)
    result = files.map_of(path, job, space_group)
    least = _least(job, min_confidence)
    angle = _angle(job, grain_angle)
    against = None
    if reference is not None:
        against = _against(result, reference, job, space_group, least, reference_least, angle)
    shown = MapView(
        _seen_with(result, job, reference), path.name, against,
        "" if reference is None else reference.name, least, angle,
    )  # fmt: skip
    names = figure_names(shown)
    for name in figure or ():
        if name not in names:
            raise ConfigError(f"--figure {name!r}: this map has {', '.join(names)}", key="figure")
    folder = out or path.parent
    with parse.output_folder(folder):
        if figure:
            written = []
            for name, one in figures(shown, list(figure)).items():
                written.append(folder / f"{name}.png")
                write_png(written[-1], one)
        else:
            written = [write_report(shown, folder)]
    if as_json:
        from refimpl.io.atomic import json_text

        extra = {"grains": shown.n_grains, "files": [str(p) for p in written]}
        typer.echo(json_text(result.summary() | extra | (
            {} if against is None else {"comparison": against.summary()})))  # fmt: skip
        return 0
    typer.echo(f"{len(result)} voxels, {int(shown.shown.sum())} shown, {shown.n_grains} grains")
    if against is not None:
        typer.echo("\n".join(against.sentences()))
    typer.echo("\n".join(f"wrote {p}" for p in written))
    return 0


def _seen_with(result: NearfieldMap, job: files.Job | None, reference: Path | None) -> NearfieldMap:
    """Map whose provenance also tells what else the page is made of."""
    beside = {
        "shown with parameters": None if job is None else job.params.path,
        "compared with": reference,
    }
    known = dict(result.provenance.get("inputs", {}))
    known |= {name: str(path) for name, path in beside.items() if path is not None}
    return result.changed(provenance=dict(result.provenance) | {"inputs": known})


def _first(paramfile: Path, mic: Path | None) -> tuple[files.Job | None, Path]:
    """Parameter file and map; the map of the file's own name, or the file itself."""
    if mic is None and _is_hdf5(paramfile):
        return None, paramfile
    job = files.load(paramfile)
    path = mic or job.params.file("MicFileText")
    if path is None:
        raise ConfigError("neither MAP nor MicFileText", path=paramfile, key="MicFileText")
    return job, path


def _is_hdf5(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def _least(job: files.Job | None, given: float | None) -> float:
    if given is not None:
        return given
    return 0.0 if job is None else job.min_confidence


def _angle(job: files.Job | None, given_deg: float | None) -> float:
    from refimpl.units import DEG

    if given_deg is None:
        given_deg = 5.0 if job is None else job.config.output.grain_boundary_deg
    return given_deg * DEG


def _against(
    result: NearfieldMap, reference: Path, job: files.Job | None, space_group: int | None,
    least: float, reference_least: float, angle: float,
) -> MapComparison:  # fmt: skip
    from refimpl.nearfield.compare import compare_maps

    group = space_group if job is not None or space_group is not None else result.space_group
    other = files.map_of(reference, job, group)
    return compare_maps(
        result, other, min_confidence=least, reference_min_confidence=reference_least,
        grain_angle_rad=angle,
    )  # fmt: skip


def compare(
    paramfile: Paramfile,
    mic: Annotated[Path, typer.Argument(metavar="MAP", help="Map to be judged.")],
    reference: Annotated[Path, typer.Argument(
        metavar="REFERENCE", help="Map that it is compared with, such as the truth.")],
    min_confidence: Annotated[float, typer.Option(
        metavar="X", min=0.0, max=1.0, help="Voxels of MAP below it count as missing.")] = 0.0,
    reference_least: ReferenceLeast = 0.0,
    away_um: Annotated[float, typer.Option(
        metavar="X", min=0.0, help="Of --share: voxels of the reference farther than this from "
                                   "another grain only.")] = 0.0,
    limit_deg: Annotated[float, typer.Option(
        metavar="X", min=0.0, help="Of --share: misorientation that voxels have to be below.",
    )] = 0.25,
    share: Annotated[float | None, typer.Option(
        metavar="X", min=0.0, max=1.0, help="Exit with 1 if a smaller share of the voxels that "
                                            "count is below the limit; missing ones are not.",
    )] = None,
    grain_angle: GrainAngle = None,
    space_group: SpaceGroup = None,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """Compare two maps voxel by voxel: misorientation, wrong twins, boundaries."""
    job = files.load(paramfile)
    result = files.map_of(mic, job, space_group)
    found = _against(
        result, reference, job, space_group, min_confidence, reference_least,
        _angle(job, grain_angle),
    )  # fmt: skip
    away = found.boundary_mm > 1e-3 * away_um
    n = int(away.sum())
    good = int((found.misorientation_deg[away] < limit_deg).sum())
    # voxels without a partner count as wrong wherever they lie
    reached = good / max(n + found.missing, 1)
    if as_json:
        from refimpl.io.atomic import json_text

        judged = {"limit_deg": limit_deg, "away_um": away_um, "voxels": n, "below": good,
                  "share": reached}  # fmt: skip
        typer.echo(json_text(found.summary() | {"judged": judged}))
    else:
        typer.echo("\n".join(found.sentences()))
        far = f" that are more than {away_um:g} um from another grain" if away_um else ""
        typer.echo(
            f"{good} of {n} voxels{far} are within {limit_deg:g} deg"
            f"{f', {found.missing} are missing' if found.missing else ''}: {100.0 * reached:.2f} %"
        )
    return 0 if share is None or reached >= share else 1
