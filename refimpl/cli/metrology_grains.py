"""``refimpl metrology grains``: panels of an instrument from spots that were picked with HEXRD."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import parse
from refimpl.errors import ConfigError, ConvergenceError

if TYPE_CHECKING:
    from refimpl.metrology.grain_run import GrainRefinement

__all__ = ["EXAMPLES", "grains"]

EXAMPLES = """\b
Examples:
  refimpl metrology grains instrument.yml --picks picks --grains grains.out \\
      --unit-cell 4.7608,4.7608,12.99568,90,90,120 --cross-validate -o out

Exit: 0 done; 2 bad input, one line says what and where; 4 no convergence."""


def grains(
    instrument: Annotated[Path, typer.Argument(
        metavar="INSTRUMENT", help="Instrument of HEXRD, .yml or .json.")],
    picks: Annotated[Path, typer.Option(
        metavar="DIR", help="Folder with NAME_picks.npz and NAME_pick_hkls.npz of each grain.")],
    grains_: Annotated[Path, typer.Option(
        "--grains", metavar="FILE", help="Table of the same grains in the order of their names, "
                                         "grains.out or grain_params.npy.")],
    unit_cell: Annotated[str, typer.Option(
        metavar="CELL", help="Unstrained cell a,b,c,alpha,beta,gamma [A, degrees].")],
    out: Annotated[Path, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for the results; made if missing.")],
    degree: Annotated[int, typer.Option(
        metavar="N", min=0, help="Of the displacement table of each panel; 0: rigid panels.")] = 3,
    fix: Annotated[list[str] | None, typer.Option(
        metavar="NAMES", help="Parameters that are held, or beginnings that end in a dot: "
                              "grain1.stretch_11, ff1.")] = None,
    cross_validate: Annotated[bool, typer.Option(
        "--cross-validate", help="Score each grain with panels that the others say.")] = False,
    as_json: Annotated[bool, typer.Option(
        "--json", help="Print the content of result.json.")] = False,
) -> int:  # fmt: skip
    """Refine panels and grains from picked spots of a polycrystal.

    Writes DIR/result.json and DIR/refined.expt, which has panels, beam and
    axis; the displacement tables are in result.json.
    """
    from refimpl.io.atomic import json_text, write_json
    from refimpl.io.dials_files import write_expt
    from refimpl.metrology.grain_run import read_grain_problem, refine_grains

    try:
        cell = [float(v) for v in unit_cell.replace(",", " ").split()]
    except ValueError:
        cell = []
    if len(cell) != 6:
        raise ConfigError(f"--unit-cell {unit_cell!r}: expected six numbers a,b,c,alpha,beta,gamma")
    problem, own = read_grain_problem(instrument, picks, grains_, cell)
    with parse.output_folder(out):
        with parse.progress() as tell:
            found = refine_grains(
                problem, degree=degree, held=files.words(fix), cross_validate=cross_validate,
                progress=tell,
            )  # fmt: skip
        numbers = found.summary()
        write_expt(out / "refined.expt", [found.experiment(own)])
        write_json(out / "result.json", numbers)
    if as_json:
        typer.echo(json_text(numbers))
    else:
        typer.echo("\n".join([*_lines(found), f"wrote {out / 'result.json'}"]))
    if not numbers["converged"]:
        raise ConvergenceError(f"not converged; what there is stands in {out}")
    return 0


def _lines(found: GrainRefinement) -> list[str]:
    """What came of it, for people."""
    import math

    words = {
        "published": "published panels and grains",
        "published_grains_fitted": "published panels, grains fitted",
        "refined": "panels and grains refined",
        "held_out": "held out, grain by grain",
    }
    lines = [f"{len(found.published)} spots, {found.left_out} left out as far off"]
    for name, (x, y, omega) in found.scores().items():
        lines.append(
            f"RMSD x {1e3 * x:7.2f} um, y {1e3 * y:7.2f} um, omega {math.degrees(omega):.4f} deg: "
            f"{words[name]}"
        )
    if names := found.fit.fit.undetermined:
        lines.append(f"not determined: {', '.join(names)}")
    return lines
