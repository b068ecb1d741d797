"""``refimpl metrology refine``: options to settings, the refinement, its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.errors import ConvergenceError

if TYPE_CHECKING:
    from refimpl.metrology.refine import RefinementResult, RefineSettings

__all__ = ["EXAMPLES", "refine", "settings_of"]

EXAMPLES = """\b
Examples:
  refimpl metrology refine indexed.expt indexed.refl -o level0
  refimpl metrology refine level0/refined.expt indexed.refl --hierarchy-level 1 \\
      --outlier tukey --json -o level1
  refimpl metrology refine level0/refined.expt indexed.refl --hierarchy-level 1 \\
      --engine levmar --fix beam.all,Group17Tau1 -o published

Exit: 0 done; 2 bad input, one line says what and where; 4 no convergence."""

Reflections = Annotated[Path, typer.Argument(
    metavar="REFL", help="Indexed reflections, .refl (or .npz, one array a column).")]  # fmt: skip
Models = Annotated[Path, typer.Argument(metavar="EXPT", help="Experiments, .expt.")]


def refine(
    experiments: Models,
    reflections: Reflections,
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for the results; made if missing.")],
    hierarchy_level: Annotated[int, typer.Option(
        metavar="N", min=0, help="Level of the detector's tree whose groups move: 0 the whole, "
                                 "1 its groups or panels, and so on.")] = 0,
    engine: Annotated[str, typer.Option(
        metavar="NAME", help="arrow (ours, to the optimum), levmar or gauss_newton (as published)."
    )] = "arrow",
    preset: Annotated[str, typer.Option(
        metavar="NAME", help="Selection and outlier rejection: tutorial (each panel by itself, "
                             "Tukey) or current (blocks of angle, FAST-MCD).")] = "tutorial",
    outlier: Annotated[str | None, typer.Option(
        metavar="NAME", help="auto, tukey, mcd, sauter_poon or null; default: the preset's.")
    ] = None,
    separate_panels: Annotated[bool | None, typer.Option(
        "--separate-panels/--no-separate-panels", help="Reject outliers panel by panel.")] = None,
    auto_reduction: Annotated[str, typer.Option(
        metavar="NAME", help="Models with too few reflections: fix (hold), fail or remove.")
    ] = "fix",
    min_reflections_per_parameter: Annotated[int, typer.Option(
        metavar="N", min=1, help="Fewer are too few.")] = 5,
    fix: Annotated[list[str] | None, typer.Option(
        metavar="NAMES", help="What is held: detector.distance, beam.all, crystal.cell, ..., or "
                              "ends of parameter names. Default beam: in_spindle_plane and "
                              "wavelength; beam.none frees it.")] = None,
    close_to_spindle_cutoff: Annotated[float | None, typer.Option(
        metavar="X", help="Least speed through the Ewald sphere [1/A^2].")] = None,
    max_steps: Annotated[int, typer.Option(
        metavar="N", min=1, help="Of the published engines.")] = 100,
    threads: Annotated[int | None, typer.Option(
        metavar="N", help="Threads; the result does not depend on it.")] = None,
    report: Annotated[bool, typer.Option(help="Write figures and the HTML report.")] = True,
    again: Annotated[bool, typer.Option(
        "--again", help="Refine also what is done already.")] = False,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print the content of result.json.")] = False,
) -> int:  # fmt: skip
    """Refine crystals, beam and detector against the centroids of a rotation scan."""
    options = dict(locals())  # as they stand above
    settings = settings_of(options)
    models, table = files.read_pair(experiments, reflections)
    left_out = ("experiments", "reflections", "out", "threads", "again", "as_json")
    kept = {name: value for name, value in options.items() if name not in left_out}
    own = files.fingerprint([experiments, reflections], kept)
    wanted = ["result.json", "refined.expt", "refined.refl", *(["report.html"] if report else [])]
    if not again and files.is_done(out, "refine", own, wanted):
        _print_done(out, as_json)
        return 0
    from refimpl.metrology import refine as run
    from refimpl.metrology.outputs import has_converged, result_dict, save

    inputs = (experiments.name, reflections.name)
    with parse.output_folder(out), parse.progress() as tell:
        result = run(
            models, table, settings, threads=threads,
            progress=lambda step, _: tell(f"step {step}", min(step / 16.0, 1.0)),
        )  # fmt: skip
        tell("writing", 1.0)
        save(result, out, report=report, inputs=inputs)
        if has_converged(result):
            files.mark(out, "refine", own)
    if as_json:
        from refimpl.io.atomic import json_text

        typer.echo(json_text(result_dict(result, inputs)))
    else:
        typer.echo("\n".join([*summary(result), f"wrote {_shown(out, report)}"]))
    if not has_converged(result):
        raise ConvergenceError(
            f"not converged: {result.trajectory.reason}; what there is stands in {out}"
        )
    return 0


def settings_of(options: Mapping[str, Any]) -> RefineSettings:
    """Settings that the options say."""
    from refimpl.metrology.outputs import fix_of
    from refimpl.metrology.refine import RefineSettings
    from refimpl.metrology.selection import preset

    names = ("outlier", "separate_panels", "close_to_spindle_cutoff")
    changes = {name: options[name] for name in names if options[name] is not None}
    return RefineSettings(
        selection=preset(options["preset"], **changes),
        fix=fix_of(files.words(options["fix"]), options["hierarchy_level"]),
        engine=options["engine"],
        auto_reduction=options["auto_reduction"],
        min_reflections_per_parameter=options["min_reflections_per_parameter"],
        max_steps=options["max_steps"],
    )


def summary(result: RefinementResult) -> list[str]:
    """What came of it, for people."""
    numbers = result.summary()
    x, y, phi = (float(v) for v in result.by_experiment.pooled())
    start = result.trajectory.steps[0].rmsd
    lines = [
        f"{result.trajectory.reason} after {numbers['steps']} steps, "
        f"{numbers['n_parameters']} parameters, {result.n_used} reflections used, "
        f"{numbers['n_outliers']} rejected as outliers",
        f"RMSD x {result.rmsd[0]:.5f} mm (was {start[0]:.5f}), y {result.rmsd[1]:.5f} mm "
        f"(was {start[1]:.5f}), phi {numbers['rmsd_deg']:.5f} deg",
        f"     x {x:.4f} px, y {y:.4f} px, phi {phi:.4f} images",
    ]
    if result.reduced:
        lines.append(f"{len(result.reduced)} models have too few reflections: {result.reduced[0]}")
    return lines


def _shown(out: Path, report: bool) -> Path:
    return out / ("report.html" if report else "result.json")


def _print_done(out: Path, as_json: bool) -> None:
    text = (out / "result.json").read_text()
    typer.echo(text.rstrip("\n") if as_json else f"wrote {out / 'result.json'}")
