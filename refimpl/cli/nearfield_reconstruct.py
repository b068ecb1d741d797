"""``refimpl nearfield reconstruct``: images or lit pixels to a map of orientations."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import nearfield_files as files
from refimpl.cli import nearfield_multires as many
from refimpl.cli import nearfield_run as own
from refimpl.cli import nearfield_summary as words
from refimpl.errors import ConfigError, ConvergenceError

if TYPE_CHECKING:
    from refimpl.nearfield.maps import NearfieldMap
    from refimpl.nearfield.workplace import Workplace

__all__ = ["EXAMPLES", "reconstruct"]

EXAMPLES = """\b
Examples:
  refimpl nearfield reconstruct ps.txt
  refimpl nearfield reconstruct ps.txt -nCPUs 8 -ffSeedOrientations 1 -o layer1
  refimpl nearfield reconstruct ps.txt --blind --report -o blind
  refimpl nearfield reconstruct ps.txt --estimate
  refimpl nearfield reconstruct ps.txt -startLayerNr 1 -endLayerNr 5 \\
      -resultFolder volume -machineName site.py -nNodes 4

Files: MicFileText and MicFileBinary with .AllMatches, .map, .map.kam, .map.grainId, .map.grod, .h5
(orix, ParaView by .xdmf), result.json; in DIR with -o, else where the file says. With GridRefactor
in the file: coarse to fine, and all files of the published output map.

A run that was stopped goes on where it was. Exit: 0 done; 2 bad input, one line says what and
where; 4 no voxel has an orientation."""

HOW, WHAT = "Where it starts from", "How it is done"
LOOPS, LAYERS = "Coarse to fine (GridRefactor in the file)", "Layers of a volume"


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
        "plateaus; default: restarted, to the middle of the highest plateau. Loops are then those "
        "of --everywhere.")] = False,
    quick: Annotated[bool, typer.Option(
        "--quick", rich_help_panel=WHAT, help="Half the time, less exact; for good seeds.",
    )] = False,
    published_rows: Annotated[bool, typer.Option(
        "--published-rows", rich_help_panel=WHAT, help="Leave voxels without an orientation out "
        "of the text maps, as published.")] = False,
    set_: files.SetValues = None,
    machine_name: Annotated[str, typer.Option(
        "-machineName", "--engine", metavar="NAME", rich_help_panel=WHAT,
        help="local (threads), serial, threads, processes, or a file with a Parsl configuration "
             "(refimpl cluster).")] = "local",
    nnodes: Annotated[int | None, typer.Option(
        "-nNodes", "--nodes", metavar="N", rich_help_panel=WHAT,
        help="Nodes, for NODES of a Parsl configuration; others have one.")] = None,
    ncpus: files.Ncpus = None,
    patience: Annotated[float | None, typer.Option(
        metavar="SECONDS", min=0.001, rich_help_panel=WHAT,
        help="End if nothing is done for so long; what is done is kept.")] = None,
    block_voxels: Annotated[int | None, typer.Option(
        metavar="N", min=1, rich_help_panel=WHAT, help="Voxels of a block; the map does not "
        "depend on it.")] = None,
    estimate: Annotated[bool, typer.Option(
        "--estimate", rich_help_panel=WHAT, help="Say from a sample what it would cost, and end.",
    )] = False,
    resume: Annotated[bool, typer.Option(
        "--resume", rich_help_panel=WHAT, help="Go on with what an earlier run did (as always), "
        "and end with 2 if there is none.")] = False,
    min_confidence: Annotated[float | None, typer.Option(
        "-minConfidence", "--min-confidence", metavar="C", min=0.0, max=1.0, rich_help_panel=LOOPS,
        help="Points below it are of no grain that seeds a loop; default 0.6, as published.",
    )] = None,
    everywhere: Annotated[bool, typer.Option(
        "--everywhere", rich_help_panel=LOOPS, help="The published loops: all points are compared "
        "with all grains, bad ones with all seeds; default: where the coarser map asks for it.",
    )] = False,
    until_settled: Annotated[float | None, typer.Option(
        "--until-settled", metavar="SHARE", min=0.0, max=0.999, rich_help_panel=LOOPS,
        help="End after a loop that changes at most this share of its points.")] = None,
    start_layer: Annotated[int | None, typer.Option(
        "-startLayerNr", "--start-layer", metavar="N", min=1, rich_help_panel=LAYERS,
        help="First layer; default 1.")] = None,
    end_layer: Annotated[int | None, typer.Option(
        "-endLayerNr", "--end-layer", metavar="N", min=1, rich_help_panel=LAYERS,
        help="Last layer; default: the first.")] = None,
    result_folder: Annotated[Path | None, typer.Option(
        "-resultFolder", "--result-folder", metavar="DIR", rich_help_panel=LAYERS,
        help="Folder of the folders LayerNr_n; default: OutputDirectory or DataDirectory.",
    )] = None,
    report: Annotated[bool, typer.Option(help="Write figures and the HTML report.")] = True,
    again: files.Again = False,
    as_json: files.AsJson = False,
) -> int:  # fmt: skip
    """Find the orientation of every voxel, from images or lit pixels."""
    files.check_ncpus(ncpus)
    own.check_engine(machine_name, nnodes)
    job = files.load(paramfile, set_)
    files.notes(job.params)
    choices = own.Choices(
        paramfile, blind, ff_seed_orientations, do_image_processing, published_fit, quick,
        published_rows, machine_name, nnodes, ncpus, block_voxels, report, again, resume,
        everywhere, until_settled, min_confidence, patience,
    )  # fmt: skip
    many.check_options(job, choices)
    volume = any(option is not None for option in (start_layer, end_layer, result_folder))
    if volume and (out is not None or layer != 1):
        raise ConfigError(
            "layers of a volume go to -resultFolder: -o and --layer are for one layer",
            key="resultFolder",
        )
    if not volume:
        jobs = [(job, own.Place(out or job.params.folder, out is not None, layer, layer))]
    else:
        from refimpl.nearfield.volume import layer_numbers

        layers = layer_numbers(start_layer, end_layer)
        root = result_folder or job.params.folder
        jobs = many.places_of(job, choices, layers, root)
    if estimate:
        return _estimate(jobs, choices, as_json)
    return _all(jobs, choices, as_json, volume)


def _estimate(jobs: list[tuple[files.Job, own.Place]], choices: own.Choices, as_json: bool) -> int:
    """Cost of the first layer, and how many there are."""
    found, n = many.estimate(jobs[0][0], choices, jobs[0][1]), len(jobs)
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text(found.as_dict() | {"layers": n}))
        return 0
    lines = [*found.sentences(), *([f"that is one of {n} layers"] if n > 1 else [])]
    typer.echo("\n".join(lines))
    return 0


def _all(
    jobs: list[tuple[files.Job, own.Place]], choices: own.Choices, as_json: bool, volume: bool
) -> int:
    """Do every layer, say what came of it; an empty one is an error in the end."""
    from refimpl.io.atomic import json_text
    from refimpl.nearfield.workplace import Workplace

    own.check_going_on(jobs[0][1], choices)
    first = _plan(*jobs[0], choices)  # what is wrong is said before anything is made
    told: list[dict[str, Any]] = []
    empty: list[Path] = []
    shared = Workplace(jobs[0][1].blocks, **choices.engine) if volume else nullcontext()
    with shared as work:
        for number, (job, place) in enumerate(jobs):
            plan = first if number == 0 else _plan(job, place, choices)
            result, numbers, lines, written = _one(plan, job, place, choices, work)
            if not result.solved.any():
                empty.append(place.folder)
            told.append(numbers | ({"layer": place.layer} if volume else {}))
            if not as_json:
                head = [f"layer {place.layer}:"] if volume else []
                typer.echo("\n".join([*head, *lines, f"wrote {written}"]))
    if as_json:
        typer.echo(json_text({"layers": told} if volume else told[0]))
    if empty:
        raise ConvergenceError(
            f"no voxel has an orientation of confidence {first.search.least:g} (MinFracAccept) or "
            f"more; what there is stands in {', '.join(map(str, empty))}"
        )
    return 0


def _plan(job: files.Job, place: own.Place, choices: own.Choices) -> own.OneGrid | many.Loops:
    kind = many.Loops if many.is_coarse_to_fine(job) else own.OneGrid
    return kind.of(job, choices, place)


def _one(
    plan: own.OneGrid | many.Loops,
    job: files.Job,
    place: own.Place,
    choices: own.Choices,
    work: Workplace | None,
) -> tuple[NearfieldMap, dict[str, Any], list[str], Path]:
    """Map of a layer: itself, its numbers, what to say, and what to look at first."""
    from refimpl.nearfield.outputs import result_dict

    if isinstance(plan, own.OneGrid):
        result, written = plan.run(job, choices, place, work)
        return result, result_dict(result), words.summary(result), written
    loops, written = plan.run(job, choices, place, work)
    lines = [*words.loops_summary(loops), *words.summary(loops.final)]
    return loops.final, result_dict(loops.final) | words.loops_dict(loops), lines, written
