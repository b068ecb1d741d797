"""``refimpl nearfield reconstruct``: images or lit pixels to a map of orientations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import nearfield_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError, ConvergenceError, FormatError

if TYPE_CHECKING:
    from refimpl.detector.lit_pixels import LitPixels
    from refimpl.frames import F64
    from refimpl.nearfield.fit_settings import SearchSettings
    from refimpl.nearfield.maps import NearfieldMap

__all__ = ["EXAMPLES", "reconstruct", "save_map", "summary"]

EXAMPLES = """\b
Examples:
  refimpl nearfield reconstruct ps.txt
  refimpl nearfield reconstruct ps.txt -nCPUs 8 -ffSeedOrientations 1 -o layer1
  refimpl nearfield reconstruct ps.txt --blind --report -o blind

Files: MicFileText and MicFileBinary with .AllMatches, .map, .map.kam, .map.grainId, .map.grod, .h5
(orix, ParaView by .xdmf), result.json; in DIR with -o, else where the file says.

A run that was stopped goes on where it was. Exit: 0 done; 2 bad input, one line says what and
where; 4 no voxel has an orientation."""

_ZONE = "the fundamental zone"
HOW, WHAT = "Where it starts from", "How it is done"


def reconstruct(
    paramfile: files.Paramfile,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for the map; default: OutputDirectory or "
                                           "DataDirectory.")] = None,
    ff_seed_orientations: Annotated[int | None, typer.Option(
        "-ffSeedOrientations", "--ff-seed-orientations", metavar="0|1", min=0, max=1,
        rich_help_panel=HOW, help="1: seeds are the grains of GrainsFile. 0: SeedOrientations. "
                                  "Default: what the file has of the two, the list first.",
    )] = None,
    blind: Annotated[bool, typer.Option(
        "--blind", rich_help_panel=HOW, help="Search the whole fundamental zone, coarse to fine, "
        "whatever seeds there are; done anyway where there are none.")] = False,
    do_image_processing: Annotated[int | None, typer.Option(
        "-doImageProcessing", "--do-image-processing", metavar="0|1", min=0, max=1,
        rich_help_panel=HOW, help="1: from raw images (distances that are done are kept). 0: from "
                                  "the lit pixels or SpotsInfo.bin that are there. Default: 1 "
                                  "where the raw images are.")] = None,
    layer: Annotated[int, typer.Option(
        metavar="N", min=1, rich_help_panel=HOW, help="Layer of the sample, from 1.")] = 1,
    published_fit: Annotated[bool, typer.Option(
        "--published-fit", rich_help_panel=WHAT, help="The published simplex, which stops on "
        "plateaus; default: restarted, to the middle of the highest plateau.")] = False,
    published_rows: Annotated[bool, typer.Option(
        "--published-rows", rich_help_panel=WHAT, help="Leave voxels without an orientation out "
        "of the text map, as published.")] = False,
    set_: files.SetValues = None,
    machine_name: Annotated[str, typer.Option(
        "-machineName", "--engine", metavar="NAME", rich_help_panel=WHAT,
        help="local (threads), serial, or a file with a Parsl configuration.")] = "local",
    ncpus: files.Ncpus = None,
    block_voxels: Annotated[int | None, typer.Option(
        metavar="N", min=1, rich_help_panel=WHAT, help="Voxels of a block; the map does not "
        "depend on it.")] = None,
    report: Annotated[bool, typer.Option(help="Write figures and the HTML report.")] = True,
    again: files.Again = False,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """Find the orientation of every voxel, from images or lit pixels."""
    files.check_ncpus(ncpus)
    job = files.load(paramfile, set_)
    files.notes(job.params)
    settings = _settings(job, published_fit)
    _names(job, out is not None)  # refused before the work
    voxels = files.voxels_of(job)
    seeds, named = (None, _ZONE) if blind else _seeds(job, ff_seed_orientations)
    folder = out or job.params.folder
    from refimpl.nearfield.config import layer_position_um
    from refimpl.nearfield.reconstruct import reconstruct as run

    with parse.output_folder(folder), parse.progress() as tell:
        lit = _lit(job, do_image_processing, layer, ncpus, tell)
        result = run(
            job.setup, lit, voxels, seeds, settings, folder=folder / "reconstruction",
            engine=_engine(machine_name), threads=ncpus, block_voxels=block_voxels, again=again,
            phase=job.config.crystal.phase, position_um=layer_position_um(job.params, layer),
            inputs={
                "parameters": paramfile, "seeds": named, "lit pixels": job.params.folder,
            },
            command=parse.command_line(), progress=lambda n, of: tell("voxels", n / max(of, 1)),
        )  # fmt: skip
        tell("files", 1.0)
        written = save_map(job, result, folder, out is not None, published_rows, report)
    from refimpl.io.atomic import json_text
    from refimpl.nearfield.outputs import result_dict

    if as_json:
        typer.echo(json_text(result_dict(result)))
    else:
        typer.echo("\n".join([*summary(result), f"wrote {written}"]))
    if not result.solved.any():
        raise ConvergenceError(
            f"no voxel has an orientation of confidence {settings.least:g} (MinFracAccept) or more;"
            f" what there is stands in {folder}"
        )
    return 0


def _settings(job: files.Job, published_fit: bool) -> SearchSettings:
    from refimpl.nearfield.fit_settings import FitSettings, settings_of

    try:
        return settings_of(job.config.search, FitSettings.published() if published_fit else None)
    except ConfigError as error:
        if error.key not in job.params.table:
            raise
        raise job.params.refuse(str(error.key), str(error)) from error


def _seeds(job: files.Job, far_field: int | None) -> tuple[F64 | None, str]:
    """Seeds of the run, None where there are none, and where they are from."""
    from refimpl.nearfield.seeds import seeds_of

    search, params = job.config.search, job.params
    if far_field == 1 and search.grains is None:
        raise ConfigError("-ffSeedOrientations 1 needs GrainsFile", path=params.path,
                          key="GrainsFile")  # fmt: skip
    if far_field == 0 and search.seeds is None:
        raise ConfigError("-ffSeedOrientations 0 needs SeedOrientations", path=params.path,
                          key="SeedOrientations")  # fmt: skip
    if search.seeds is None and search.grains is None:
        return None, _ZONE
    hidden: dict[str, None] = (
        {} if far_field is None else {"seeds" if far_field else "grains": None}
    )
    chosen = search.model_copy(update=hidden)
    seeds = seeds_of(chosen, job.operators)
    if chosen.seeds is not None:
        return files.check_seeds(job, seeds), chosen.seeds
    return seeds, str(chosen.grains)


def _engine(name: str) -> str:
    """Engine of a machine's name.

    Raises
    ------
    ConfigError
        It is neither a name that we know nor a file.
    """
    if name == "local":
        return "auto"
    if name in ("serial", "threads") or Path(name).is_file():
        return name
    raise ConfigError(
        f"-machineName {name!r}: expected local, serial, threads, or the file of a Parsl "
        "configuration (the machines of the published driver are no part of refimpl)",
        key="machineName",
    )


def _lit(job: files.Job, wanted: int | None, layer: int, ncpus: int | None, tell: Any) -> LitPixels:
    """Lit pixels: made of raw images, or those that are there."""
    from refimpl.nearfield.image_files import plan_of
    from refimpl.nearfield.images import process_images

    process = wanted == 1
    if wanted is None:
        try:
            process = plan_of(job.params, layer).files(0)[0].exists()
        except (ConfigError, FormatError):
            process = False
        process = process or bool(job.params["Ice9Input"])
    if not process:
        return files.lit_pixels(job, job.params.folder, layer)

    def step(what: str, distance: int, done: int, of: int) -> None:
        tell(f"{what} {distance}", done / max(of, 1))

    return process_images(job.params, layer, spots_info=False, threads=ncpus, progress=step).lit


def _names(job: files.Job, flat: bool) -> tuple[str, str]:
    """Names of the text and the binary map, without their folders if `flat`.

    Raises
    ------
    ConfigError
        They are one and the same.
    """
    text = str(job.params["MicFileText"] or "map.mic")
    binary = str(job.params["MicFileBinary"] or "map.mic.bin")
    if flat:
        text, binary = Path(text).name, Path(binary).name
    if Path(text) == Path(binary):
        raise job.params.refuse("MicFileBinary", f"MicFileBinary and MicFileText are both {text}")
    return text, binary


def save_map(
    job: files.Job, result: NearfieldMap, folder: Path, flat: bool, rows: bool, report: bool
) -> Path:
    """Write the files of a map under the names of the parameter file; return the main one.

    ``flat`` leaves folders in these names out.
    """
    from refimpl import hooks
    from refimpl.nearfield.outputs import save
    from refimpl.units import DEG

    text, binary = _names(job, flat)
    angle = job.config.output.grain_boundary_deg * DEG
    written = save(
        result, folder, text=text, binary=binary, n_phases=job.config.crystal.n_phases,
        published_rows=rows, grain_angle_rad=angle,
        grain_space_group=int(job.params.number("SGNr")),
    )  # fmt: skip
    if report:
        page: Path = hooks.call(
            "nearfield.report", result, folder, title=Path(text).name,
            min_confidence=job.min_confidence, grain_angle_rad=angle,
        )  # fmt: skip
        return page
    return written.text


def summary(result: NearfieldMap) -> list[str]:
    """What came of it, for people."""
    s = result.summary()
    lines = [f"{s['voxels']} voxels, {s['solved']} with an orientation"]
    if s["solved"]:
        each = ", ".join(f"{c:.4f}" for c in s["by_distance"] if c is not None)
        lines[0] += f", mean confidence {s['mean_confidence']:.4f}" + (
            f" (by distance {each})" if each else ""
        )
    lines.append(
        f"{s['seeds_kept']} candidates fitted, {s['evaluations']} evaluations, "
        f"{s['evaluations'] / max(s['voxels'], 1):.0f} a voxel"
    )
    if s["disputed"]:
        lines.append(f"{s['disputed']} disagreed with all neighbours, fitted again from these")
    return lines
