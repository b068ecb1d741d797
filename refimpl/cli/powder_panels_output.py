"""Text and files of ``refimpl powder panels``, in the published layouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.cli.powder_panels_engines import PanelJob
from refimpl.errors import ConfigError
from refimpl.io.atomic import check_target
from refimpl.io.midas_outputs import mean_values_text, write_corr
from refimpl.io.midas_params import MidasParams, write_refined
from refimpl.io.panel_files import (
    shifts_from_corrections,
    write_corrections,
    write_shifts_tif,
    write_strain_tif,
)
from refimpl.powder.panel_figures import PanelFigures, mean_of
from refimpl.powder.published_panel_text import (
    indices_map,
    passes_line,
    ring_lines,
    ring_table,
    shift_statistics,
    strain_map,
)
from refimpl.powder.published_summary import make_map_mode, summary_box
from refimpl.units import DEG, UM

__all__ = ["Targets", "file_text", "heading", "mean_text", "targets", "write"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Targets:
    """Where results go.

    Attributes
    ----------
    corr
        Table of points of each data file.
    shifts
        PanelShiftsFile, if it is named.
    refined
        refined_MIDAS_params.txt of all files together, with -o.
    """

    corr: tuple[Path, ...]
    shifts: Path | None
    refined: Path | None


def targets(params: MidasParams, files: Sequence[Path], out: Path | None, *, ours: bool) -> Targets:
    """Names of the result files, checked before the work.

    Raises
    ------
    ConfigError
        One could not be written.
    """
    corr = tuple((f.parent if out is None else out) / f"{f.name}.corr.csv" for f in files)
    name = params["PanelShiftsFile"]
    shifts = None if name is None else Path(str(name))
    # our own result folder holds this file already
    refined = (
        None if out is None or (ours and len(files) == 1) else out / "refined_MIDAS_params.txt"
    )
    for path in (*corr, shifts):
        if path is not None:
            try:
                check_target(path)
            except ConfigError as error:
                hint = "" if path is shifts else "; -o DIR puts it elsewhere"
                raise ConfigError(f"{error}{hint}", key="PanelShiftsFile") from error
    return Targets(corr, shifts, refined)


def heading(job: PanelJob) -> str:
    """What is printed before the first file."""
    params, count = job.params, 0 if job.grid is None else len(job.grid)
    lines = [f"Generated {count} panels.\n"] if count else []
    lines.append(summary_box(params, job.shape, count))
    lines += [f"note: {text}" for text in job.notes]
    if job.continued_from is not None:
        lines.append(f"Panel shifts read from {job.continued_from}.")
    codes: Any = params["ImTransOpt"]
    excluded: Any = params["RingsToExclude"]
    if job.setup is not None:
        rings, tolerance = job.setup.rings, job.setup.tolerance_rad
        lines.append(ring_lines(rings.two_theta_rad, excluded, tolerance, codes))
        lines.append(f"makeMap: {make_map_mode(params)}")
        n_eta = int(np.ceil(359.99 / job.setup.options.eta_bin_deg))
        lines.append(f"Number of eta bins: {n_eta}.")
    return "\n".join(lines) + "\n"


def file_text(job: PanelJob, figures: PanelFigures) -> str:
    """What is printed after each file: clip, coverage, deviation by ring and by panel."""
    params, lines = job.params, []
    factor, passes = params["MultFactor"], params["OutlierIterations"]
    lines += _beyond_width(job, figures)
    clipped = passes_line(figures.strain, float(factor or 0.0), int(passes or 1))  # type: ignore[arg-type]
    lines += [clipped] if clipped else []
    if job.grid is not None and job.setup is None:  # the published engine said it already
        lines.append(
            "From here on as published: pixels count from their centres, and panel "
            f"{job.fix_panel} (FixPanelID) is where it should be."
        )
        across, up = job.grid.n_fast, job.grid.n_slow
        lines.append(indices_map(figures.counts, across, up, job.fix_panel))
    lines.append(f"StdStrain {figures.std_strain:.12f}")
    detector = figures.detector
    lines.append(
        ring_table(
            *(figures.ring, figures.two_theta_rad, figures.strain, figures.outlier),
            *(detector.lsd_mm, detector.pixel_size_mm[0]),
        )
    )
    if job.grid is not None:
        lines.append(strain_map(figures.panel_means(), job.grid.n_fast, job.grid.n_slow))
    return "\n".join(lines)


def _beyond_width(job: PanelJob, figures: PanelFigures) -> list[str]:
    """What lies outside the published search about the start; our engine finds it all the same."""
    width_um = job.params["Width"]
    if job.setup is not None or not isinstance(width_um, int | float):
        return []
    table = figures.corr_table()
    ideal_um = figures.start.lsd_mm / UM * np.tan(figures.two_theta_rad)
    far = int(np.count_nonzero(np.abs(table.rad_calc_um - ideal_um) > 2.0 * width_um))
    if far == 0:
        return []
    return [
        f"note: {far} of {len(figures.ring)} ring points lie more than {2.0 * width_um:g} um from "
        "where the start puts them, beyond the search width (twice Width): the published windows "
        "miss them"
    ]


def mean_text(fits: Sequence[PanelFigures]) -> str:
    """Block of mean values, over all files."""
    return mean_values_text(mean_of([f.mean_values() for f in fits]))


def write(
    job: PanelJob, fits: Sequence[PanelFigures], files: Sequence[Path], targets: Targets, say: Say
) -> None:
    """Write every published file, each atomic, and say which.

    Corrections and panel strains are means over the files, as the printed mean values are.
    """
    for path, figures in zip(targets.corr, fits, strict=True):
        write_corr(path, figures.corr_table())
        say(f"Saved ring points to {path}")
    if targets.refined is not None:
        write_refined(targets.refined, _refined(job, fits))
        say(f"Saved refined parameters to {targets.refined}")
    if job.grid is None or job.start.panel_boxes is None:
        return
    moves = np.mean([f.moves for f in fits], axis=0)
    varied = np.any([f.varied for f in fits], axis=0)
    varied[job.fix_panel] = False  # 0 by convention, whether the fit held it or not
    boxes, shape = job.start.panel_boxes, job.start.shape
    if targets.shifts is not None:
        for written in write_corrections(targets.shifts, moves):
            say(f"Saved panel shifts to {written}")
    say(
        shift_statistics(
            shifts_from_corrections(moves),
            varied,
            job.fix_panel,
            all_fields=bool(moves[:, 3:].any()),
        )
    )
    if targets.shifts is not None:
        maps = write_shifts_tif(f"{targets.shifts}.shifts.tif", boxes, moves, shape)
        say(f"Saved shift map to {maps} ({shape[1]} x {shape[0]}, float32)")
        means = np.array([f.panel_means() for f in fits])
        seen = np.isfinite(means)
        total = np.where(seen, means, 0.0).sum(axis=0)
        strain = np.where(seen.any(axis=0), total / np.maximum(seen.sum(axis=0), 1), np.nan)
        maps = write_strain_tif(f"{targets.shifts}.strain.tif", boxes, strain, shape)
        say(f"Saved per-panel strain map to {maps}")


def _refined(job: PanelJob, fits: Sequence[PanelFigures]) -> Mapping[str, Any]:
    """Keys of the parameter file, with the refined values in their place."""
    values, detector = mean_of([f.mean_values() for f in fits]), fits[0].detector
    rows, columns = job.shape
    return {
        **job.params.given,
        "Lsd": values.lsd_um,
        "BC": values.bc_px,
        "tx": float(np.mean([f.detector.tilts_rad[0] for f in fits])) / DEG,
        "ty": values.ty_deg,
        "tz": values.tz_deg,
        **values.p,
        "RhoD": detector.rho_d_mm / UM,
        "NrPixelsY": columns,
        "NrPixelsZ": rows,
        "ImTransOpt": job.params["ImTransOpt"],
    }
