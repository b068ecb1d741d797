"""``refimpl powder panels PARAMFILE NCPUS``: the published call for detectors with panels.

The parameter file is the published one, and so are the console text and the files. The fit is
ours, or with ``--published`` that of the published program.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refimpl.cli import parse
from refimpl.errors import ConfigError, ConvergenceError

if TYPE_CHECKING:
    from refimpl.cli.powder_panels_engines import PanelJob
    from refimpl.powder.panel_figures import PanelFigures
    from refimpl.powder.result import PowderResult

__all__ = ["EXAMPLES", "panels"]

EXAMPLES = """\b
Examples:
  refimpl powder panels manual_params.txt 8
  refimpl powder panels manual_params.txt 8 -o out
  refimpl powder panels manual_params.txt --published

Files: PanelShiftsFile (read first where it exists) with .shifts.tif and .strain.tif, and
<data file>.corr.csv in Folder, or in DIR with -o.

Exit: 0 done; 2 bad input, one line says what and where; 4 the fit did not converge (what there is
is written)."""


def panels(
    paramfile: Annotated[Path, typer.Argument(
        metavar="PARAMFILE", help="Parameter file of CalibrantPanelShiftsOMP.")],
    ncpus: Annotated[int | None, typer.Argument(
        metavar="NCPUS", help="Threads; the result does not depend on it.")] = None,
    published: Annotated[bool, typer.Option(
        "--published", help="Fit as published: the L1 sum by a simplex, on true arcs.")] = False,
    published_chords: Annotated[bool, typer.Option(
        "--published-chords", help="With --published: bins of straight chords, +635 ppm in Lsd at "
                                   "EtaBinSize 5.")] = False,
    published_quirks: Annotated[bool, typer.Option(
        "--published-quirks", help="With --published: padded frames with zeros for data, RhoD cut "
                                   "to um, marks in the image not masked, a missing Dark ignored, "
                                   "points of the last pass with the geometry of the best.")
    ] = False,
    allow_masked_panels: Annotated[bool, typer.Option(
        "--allow-masked-panels", help="Hold panels that are masked from end to end, instead of "
                                      "refusing them; --published always does.")] = False,
    report: Annotated[bool, typer.Option(
        help="With -o: write figures and the HTML report of our fit.")] = True,
    out: Annotated[Path | None, typer.Option(
        "-o", "--out", metavar="DIR", help="Folder for .corr.csv, refined_MIDAS_params.txt and "
                                           "the result of our fit; made if missing.")] = None,
) -> int:  # fmt: skip
    """Calibrate a detector panel by panel, from a published parameter file."""
    if ncpus is not None and ncpus < 1:
        raise ConfigError(f"NCPUS {ncpus}: expected 1 or more", key="NCPUS", got=ncpus)
    if (published_chords or published_quirks) and not published:
        name = "--published-chords" if published_chords else "--published-quirks"
        raise ConfigError(f"{name} needs --published", key=name.lstrip("-"))
    options = _Options(
        published, published_chords, published_quirks, allow_masked_panels, ncpus, report, out
    )
    with _threads(ncpus):
        return _run(paramfile, options)


@dataclass(frozen=True)
class _Options:
    """What the command line says."""

    published: bool
    chords: bool
    quirks: bool
    allow_masked: bool
    threads: int | None
    report: bool
    out: Path | None


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """OMP_NUM_THREADS for the kernels of the published engine, put back afterwards."""
    before = os.environ.get("OMP_NUM_THREADS")
    if number is not None:
        os.environ["OMP_NUM_THREADS"] = str(number)
    try:
        yield
    finally:
        if number is not None:
            os.environ.pop("OMP_NUM_THREADS")
            if before is not None:
                os.environ["OMP_NUM_THREADS"] = before


def _run(paramfile: Path, options: _Options) -> int:
    """Check everything, fit file by file, then write."""
    from refimpl.cli import powder_panels_output as output
    from refimpl.cli.powder_panels_engines import read_first
    from refimpl.io.midas_params import read_params
    from refimpl.powder.panel_frames import check_files
    from refimpl.powder.panel_params import check_params

    began = time.perf_counter()
    params = read_params(paramfile)
    check_params(params)
    files = check_files(params, published_quirks=options.quirks)
    place: Any = nullcontext() if options.out is None else parse.output_folder(options.out)
    with place:
        targets = output.targets(params, files, options.out, ours=not options.published)
        job = read_first(
            *(params, files),
            published=options.published,
            chords=options.chords,
            quirks=options.quirks,
            allow_masked=options.allow_masked,
        )
        typer.echo(output.heading(job), nl=False)
        fits, results = _fit_all(job, files, options)
        typer.echo(f"Total time elapsed:\t{time.perf_counter() - began:f} s.")
        typer.echo(output.mean_text(fits), nl=False)
        output.write(job, fits, files, targets, typer.echo)
        _save(results, files, options)
    failed = [str(f) for f, r in zip(files, results, strict=False) if not r.converged]
    if failed:
        raise ConvergenceError(f"not converged: {', '.join(failed)}; what there is is written")
    return 0


def _fit_all(
    job: PanelJob, files: list[Path], options: _Options
) -> tuple[list[PanelFigures], list[PowderResult]]:
    """Fit every file alone and say what came out; results are those of our engine."""
    from refimpl.cli.powder_panels_engines import fit_ours, fit_published
    from refimpl.cli.powder_panels_output import file_text

    fits: list[PanelFigures] = []
    results: list[PowderResult] = []
    for file in files:
        clock = time.perf_counter()
        typer.echo(f"Reading calibrant file: {file}")
        if options.published:
            figures = fit_published(job, file, typer.echo)
        else:
            figures, result = fit_ours(job, file, options.threads)
            typer.echo("\n".join(result.summary_lines()))
            results.append(result)
        fits.append(figures)
        typer.echo(file_text(job, figures))
        typer.echo(f"Time elapsed for this file:\t{time.perf_counter() - clock:f} s.")
    return fits, results


def _save(results: list[PowderResult], files: list[Path], options: _Options) -> None:
    """Our own result folders: DIR itself, or a folder a file."""
    out = options.out
    if out is None:
        return
    for result, file in zip(results, files, strict=False):
        folder = out if len(results) == 1 else out / file.stem
        typer.echo(f"wrote {result.save(folder, report=options.report)}")
