"""``refimpl metrology validate``: refine two halves of the data apart, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from refimpl.cli import metrology_files as files
from refimpl.cli import metrology_options as o
from refimpl.cli import parse
from refimpl.errors import ConfigError, ConvergenceError

if TYPE_CHECKING:
    from refimpl.metrology.validate import SplitHalves

__all__ = ["EXAMPLES", "validate"]

EXAMPLES = """\b
Examples:
  refimpl metrology validate level0/refined.expt indexed.refl --hierarchy-level 1
  refimpl metrology validate level0/refined.expt indexed.refl --hierarchy-level 1 \\
      --halves phi --json -o halves

Exit: 0 done; 2 bad input, one line says what and where; 4 no convergence."""

HALVES: Final = {"odd-even": "odd_even", "phi": "phi"}


@o.with_shared_options
def validate(
    experiments: o.Models,
    reflections: o.Reflections,
    options: o.Options,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for validation.json, half1.expt and "
                                           "half2.expt; without it nothing is written.")] = None,
    halves: Annotated[str, typer.Option(
        metavar="NAME", help="odd-even: every other reflection by angle; phi: first and second "
                             "part of the rotation.")] = "odd-even",
    threads: o.Threads = None,
    again: Annotated[bool, typer.Option("--again", help="Also what is done already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> int:  # fmt: skip
    """Cross-validate a refinement by halves of the data.

    Each half is refined by itself, from the rejection of outliers on, and scored on the other,
    which it did not see; the two detectors are compared panel by panel.
    """
    settings = o.settings_of(options)
    if halves not in HALVES:
        raise ConfigError(f"--halves {halves!r}: expected one of {', '.join(HALVES)}")
    models, table = files.read_refinable(experiments, reflections)
    kept = {name: value for name, value in options.items() if name not in o.NOT_SETTINGS}
    own = files.fingerprint([experiments, reflections], kept)
    wanted = ("validation.json", "half1.expt", "half2.expt")
    if out is not None and not again and files.is_done(out, "validate", own, wanted):
        text = (out / "validation.json").read_text().rstrip("\n")
        typer.echo(text if as_json else f"wrote {out / 'validation.json'}")
        return 0
    from refimpl.io.atomic import json_text
    from refimpl.metrology import split_halves
    from refimpl.metrology.outputs import has_converged

    with parse.progress() as tell:
        found = split_halves(
            models, table, settings, HALVES[halves],  # type: ignore[arg-type]
            progress=lambda k, _: tell(f"step {k}", min(k / 16.0, 1.0)), threads=threads,
        )  # fmt: skip
    numbers = found.summary()
    good = all(has_converged(result) for result in found.results)
    if out is not None:
        _write(out, found, numbers)
        if good:
            files.mark(out, "validate", own)
    wrote = [] if out is None else [f"wrote {out / 'validation.json'}"]
    typer.echo(json_text(numbers) if as_json else "\n".join([*found.sentences(), *wrote]))
    if not good:
        raise ConvergenceError("a half did not converge: its numbers are of where it stopped")
    return 0


def _write(out: Path, found: SplitHalves, numbers: dict[str, Any]) -> None:
    from refimpl.io.atomic import write_json
    from refimpl.io.dials_files import write_expt

    with parse.output_folder(out):
        for k, result in enumerate(found.results):
            write_expt(out / f"half{k + 1}.expt", result.experiments)
        write_json(out / "validation.json", numbers)
