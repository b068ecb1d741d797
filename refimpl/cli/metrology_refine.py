"""``refimpl metrology refine``: options to settings, the refinement, its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import metrology_options as o
from refimpl.cli import parse
from refimpl.errors import ConvergenceError

if TYPE_CHECKING:
    from refimpl.forward.experiment import Experiment
    from refimpl.io.reflection_table import ReflectionTable
    from refimpl.metrology import RefinementResult, RefineSettings

__all__ = ["EXAMPLES", "refine"]

EXAMPLES = """\b
Examples:
  refimpl metrology refine indexed.expt indexed.refl -o level0
  refimpl metrology refine level0/refined.expt indexed.refl --hierarchy-level 1 \\
      --outlier tukey --json -o level1
  refimpl metrology refine level0/refined.expt indexed.refl --hierarchy-level 1 \\
      --engine levmar --fix beam.all,Group17Tau1 -o published
  refimpl metrology refine level0/refined.expt indexed.refl --hierarchy-level 1 \\
      --gauge zero-sum --weak-modes 3 -o level1

Exit: 0 done; 2 bad input, one line says what and where; 4 no convergence."""


@o.with_shared_options
def refine(
    experiments: o.Models,
    reflections: o.Reflections,
    out: o.Out,
    options: o.Options,
    gauge: o.GaugeName = "published",
    anchor: o.Anchor = None,
    out_of_plane: o.OutOfPlane = False,
    parallax: o.Parallax = False,
    threads: o.Threads = None,
    weak_modes: Annotated[int, typer.Option(
        metavar="N", min=0, help="Tell the N combinations of parameters that are known worst.")
    ] = 0,
    report: Annotated[bool, typer.Option(help="Write figures and the HTML report.")] = True,
    again: Annotated[bool, typer.Option(
        "--again", help="Refine also what is done already.")] = False,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print the content of result.json.")] = False,
) -> int:  # fmt: skip
    """Refine crystals, beam and detector against the centroids of a rotation scan."""
    settings = o.settings_of(options)
    models, table = files.read_refinable(experiments, reflections)
    kept = {name: value for name, value in options.items() if name not in o.NOT_SETTINGS}
    own = files.fingerprint([experiments, reflections], kept)
    wanted = ["result.json", "refined.expt", "refined.refl", *(["report.html"] if report else [])]
    if not again and files.is_done(out, "refine", own, wanted):
        _print_done(out, as_json)
        return 0
    from refimpl.io.atomic import json_text, write_json
    from refimpl.metrology.answers import told
    from refimpl.metrology.outputs import has_converged, result_dict, save

    inputs = (experiments.name, reflections.name)
    with parse.output_folder(out):
        result, changes = _run(models, table, settings, parallax, threads)
        save(result, out, report=report, inputs=inputs)
        found = result_dict(result, inputs)
        if weak_modes or parallax:
            found |= told(result, modes=weak_modes, threads=threads) if weak_modes else {}
            found |= {"parallax_changes_mm": list(changes)} if parallax else {}
            write_json(out / "result.json", found)
        wrong = _not_converged(result, changes) if has_converged(result) else (
            result.trajectory.reason)  # fmt: skip
        if wrong is None:
            files.mark(out, "refine", own)
    if as_json:
        typer.echo(json_text(found))
    else:
        lines = [*summary(result), *_more(found), f"wrote {_shown(out, report)}"]
        typer.echo("\n".join(lines))
    if wrong is not None:
        raise ConvergenceError(f"not converged: {wrong}; what there is stands in {out}")
    return 0


def _run(
    models: tuple[Experiment, ...],
    table: ReflectionTable,
    settings: RefineSettings,
    parallax: bool,
    threads: int | None,
) -> tuple[RefinementResult, tuple[float, ...]]:
    """Refine, once or until the parallax has settled; changes of the observed positions [mm]."""
    from refimpl.metrology import refine as run
    from refimpl.metrology.parallax import refine_with_parallax

    with parse.progress() as tell:

        def step(k: int, _: Any) -> None:
            tell(f"step {k}", min(k / 16.0, 1.0))

        if parallax:
            return refine_with_parallax(models, table, settings, progress=step, threads=threads)
        return run(models, table, settings, progress=step, threads=threads), ()


def _not_converged(result: RefinementResult, changes: tuple[float, ...]) -> str | None:
    """Why the parallax has not settled; None where it has."""
    from refimpl.metrology.parallax import TOLERANCE_MM

    if changes and changes[-1] >= TOLERANCE_MM:
        return f"after {len(changes)} rounds the parallax still moves spots by {changes[-1]:.2g} mm"
    return None


def _more(found: dict[str, Any]) -> list[str]:
    """What was asked for beside the refinement, for people."""
    lines = []
    if found["gauge"]["kind"] != "published":
        lines.append(f"gauge {found['gauge']['kind'].replace('_', '-')}:")
        lines += [f"     {text}" for text in found["gauge"]["sentences"]]
        lines += [
            f"     {row['name']} {row['value']:.4f} +- {row['sigma']:.4f}"
            for row in found["gauge"]["whole"]
        ]
    if "weak_modes" in found:
        lines += found["weak_modes"]["sentences"]
    if changes := found.get("parallax_changes_mm"):
        told = ", ".join(f"{1e3 * c:.3g}" for c in changes)
        lines.append(f"parallax made anew {len(changes)} times: moved spots by up to {told} um")
    return lines


def summary(result: RefinementResult) -> list[str]:
    """What came of it, for people."""
    numbers = result.summary()
    x, y, phi = (float(v) for v in result.by_experiment.pooled())
    start = result.trajectory.steps[0].rmsd
    reason, steps = result.trajectory.reason, numbers["steps"]
    lines = [
        f"{reason}{'' if ' after ' in reason else f' after {steps} steps'}, "
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
