"""The published listings of a refinement, character for character in layout.

Two layouts: ``tutorial``, that of the published metrology tutorial (ruled with dashes, cells to the
left), and ``current``, that of today's log files (corners marked, numbers to the right). Every
function takes numbers and returns text without a final newline; nothing here computes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.outlier_jobs import OutlierReport
from refimpl.metrology.rmsd import ResidualSummary, RmsdTable
from refimpl.metrology.text_table import Align, plain_table, ruled_table
from refimpl.units import DEG

__all__ = [
    "Layout",
    "crystal_model",
    "final_crystal_models",
    "format_uncertain",
    "modified_parameters",
    "outlier_jobs",
    "outliers_rejected",
    "parameter_names",
    "refinement_listing",
    "refinement_steps",
    "residual_summary",
    "rmsds_by_experiment",
    "rmsds_by_panel",
]

Layout = Literal["tutorial", "current"]
Cell = str | int | float

_SUMMARY_ROWS = (
    "Xc - Xo (mm)",
    "Yc - Yo (mm)",
    "Phic - Phio (deg)",
    "X weights",
    "Y weights",
    "Phi weights",
)
_NO_UNCERTAINTY = 1e-15


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], layout: str, align: Align = "decimal"
) -> str:
    if layout == "tutorial":
        return ruled_table(header, rows)
    if layout == "current":
        return plain_table(header, rows, align=align)
    raise ConfigError(f"layout {layout!r} is unknown: expected one of tutorial, current")


def modified_parameters(parameters: Mapping[str, Any]) -> str:
    """List what differs from the defaults, nested as the scopes are.

    Parameters
    ----------
    parameters
        Values or further mappings by name, in the order of the listing. True and False are
        written small, None as ``None``; a string as it is, so the choices of a list are the
        caller's (``null *tukey``).
    """
    lines = ["The following parameters have been modified:", ""]
    for name, value in parameters.items():
        lines += _scope(name, value, 0)
    return "\n".join(lines)


def _scope(name: str, value: Any, depth: int) -> list[str]:
    pad = "  " * depth
    if isinstance(value, Mapping):
        inner = [line for key, item in value.items() for line in _scope(key, item, depth + 1)]
        return [f"{pad}{name} {{", *inner, f"{pad}}}"]
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, float):
        value = f"{value:.10g}"
    return [f"{pad}{name} = {value}"]


def residual_summary(summary: ResidualSummary, layout: Layout = "tutorial") -> str:
    """Summary statistics of residuals and weights, 4 significant digits."""
    numbers = np.concatenate([summary.residuals, summary.weights], axis=1).T
    rows = [
        [label, *(f"{value:.4g}" for value in row)]
        for label, row in zip(_SUMMARY_ROWS, numbers, strict=True)
    ]
    count = f"{summary.n} " if layout == "current" else ""
    table = _table(["", "Min", "Q1", "Med", "Q3", "Max"], rows, layout, "right")
    return f"Summary statistics for {count}observations matched to predictions:\n{table}"


def outliers_rejected(count: int, layout: Layout = "tutorial") -> str:
    """Line that says how many reflections were rejected."""
    verb = "rejected" if layout == "tutorial" else "flagged"
    return f"{count} reflections have been {verb} as outliers"


def outlier_jobs(report: OutlierReport) -> str:
    """Rejections of each job, with remarks on jobs that were too small; current layout only."""
    remarks, rows = [], []
    header = ["Job"]
    some = report.jobs[0] if report.jobs else None
    header += ["Exp\nid"] if some and some.experiment is not None else []
    header += ["Panel\nid"] if some and some.panel is not None else []
    in_blocks = any(job.phi_range_deg for job in report.jobs)
    header += ["Block range\n(deg)"] if in_blocks else []
    for number, (job, n_out) in enumerate(zip(report.jobs, report.n_rejected, strict=True), 1):
        n = len(job.rows)
        percent = 100.0 * n_out / n if n else 0.0
        if report.too_small[number - 1]:
            remarks.append(
                f"For job {number}, fewer than {report.minimum_job_size} reflections are present. "
                "All reflections flagged as possible outliers."
            )
        if percent > 30.0:
            remarks.append(
                f"{percent:3.1f}% of reflections were flagged as outliers from job {number}"
            )
        start, end = job.phi_range_deg or (0.0, 0.0)
        place = [str(label) for label in (job.experiment, job.panel) if label is not None]
        place += [f"{start:.2f} - {end:.2f}"] if in_blocks else []
        rows.append([str(number), *place, str(n), str(n_out), f"{percent:.1f}"])
    table = plain_table([*header, "Nref", "Nout", "%out"], rows)
    count = outliers_rejected(sum(report.n_rejected), "current")
    return "\n".join([*remarks, count, "Outlier rejections per job:", table])


def parameter_names(names: Sequence[str]) -> str:
    """Free parameters with their numbers; current layout only."""
    lines = [f"Parameter {number:03d} : {name}" for number, name in enumerate(names, 1)]
    return "\n".join(["Parameter order : name mapping", *lines])


def refinement_steps(counts: Sequence[int], rmsds: F64, layout: Layout = "tutorial") -> str:
    """RMSDs at each step, 5 significant digits.

    Parameters
    ----------
    counts
        (m,) reflections at each step.
    rmsds
        (m, 3) [mm, mm, rad].
    layout
        See the module.
    """
    shown = np.asarray(rmsds, dtype=np.float64) / np.array([1.0, 1.0, DEG])
    rows = [
        [str(step), str(int(n)), *(f"{value:.5g}" for value in row)]
        for step, (n, row) in enumerate(zip(counts, shown, strict=True))
    ]
    header = ["Step", "Nref", "RMSD_X\n(mm)", "RMSD_Y\n(mm)", "RMSD_Phi\n(deg)"]
    return f"Refinement steps:\n{_table(header, rows, layout)}"


def _rmsd_rows(title: str, first: str, table: RmsdTable, layout: Layout) -> str:
    rows = [
        [str(int(label)), str(int(n)), *(f"{value:.5g}" for value in row)]
        for label, n, row in zip(table.labels, table.counts, table.values, strict=True)
    ]
    first = f"{first}\nid" if layout == "current" else first
    header = [first, "Nref", "RMSD_X\n(px)", "RMSD_Y\n(px)", "RMSD_Z\n(images)"]
    return f"{title}\n{_table(header, rows, layout)}"


def rmsds_by_experiment(table: RmsdTable, layout: Layout = "tutorial") -> str:
    """RMSDs of each experiment."""
    return _rmsd_rows("RMSDs by experiment:", "Exp", table, layout)


def rmsds_by_panel(table: RmsdTable, layout: Layout = "tutorial", *, detector: int = 1) -> str:
    """RMSDs of each panel of a detector, which the current layout numbers from 1."""
    prefix = f"Detector {detector} " if layout == "current" else ""
    return _rmsd_rows(f"{prefix}RMSDs by panel:", "Panel", table, layout)


def format_uncertain(value: float, sigma: float) -> str:
    """Value with its standard uncertainty in brackets: one digit of it, two below 1.95.

    A value that is exact (fixed by symmetry) has its shortest decimal form, ``90.0``.
    """
    if not sigma > _NO_UNCERTAINTY:
        text = f"{value:.6f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    places = -round(math.log10(sigma))
    if round(sigma * 10.0**places, 1) < 2.0:
        places += 1
    return f"{value:.{max(places, 0)}f}({sigma * 10.0**places:.0f})"


def _matrix(name: str, matrix: F64, digits: int) -> list[str]:
    opened = [f"    {name:<11}{{{{", *[" " * 16 + "{"] * 2]
    values = np.array(matrix, dtype=np.float64)
    values[np.abs(values) < 1e-12 * np.abs(values).max()] = 0.0  # rounding, not a negative zero
    rows = (", ".join(f"{v: .{digits}f}" for v in row) for row in values)
    ends = ("},", "},", "}}")
    return [a + row + b for a, row, b in zip(opened, rows, ends, strict=True)]


def crystal_model(
    cell: Sequence[float],
    space_group: str,
    u: F64,
    b: F64,
    *,
    cell_sigma: Sequence[float] | None = None,
    digits: int = 4,
) -> str:
    """Crystal with its cell, space group and the matrices U, B and A = UB.

    Parameters
    ----------
    cell
        (6,) [Å, deg].
    space_group
        Hermann-Mauguin symbol, ``P 4``.
    u, b
        (3, 3) orientation, and orthogonalisation of reciprocal space [1/Å].
    cell_sigma
        (6,) standard uncertainties where the listing shows them.
    digits
        Decimals of the matrices: 4 in the tutorial, where the cell is in brackets, 6 now.
    """
    if cell_sigma is None:
        values = ", ".join(f"{value:.3f}" for value in cell)
    else:
        values = ", ".join(map(format_uncertain, cell, cell_sigma))
    if digits == 4:
        values = f"({values})"
    lines = ["Crystal:", f"    Unit cell: {values}", f"    Space group: {space_group}"]
    for name, matrix in (("U matrix:", u), ("B matrix:", b), ("A = UB:", np.asarray(u) @ b)):
        lines += _matrix(name, matrix, digits)
    return "\n".join(lines)


def final_crystal_models(models: Sequence[tuple[int, str]]) -> str:
    """Final models, each with its number of reflections and the text of :func:`crystal_model`."""
    lines = ["Final refined crystal models:"]
    for number, (count, text) in enumerate(models, 1):
        lines += [f"model {number} ({count} reflections):", text]
    return "\n".join(lines)


def refinement_listing(
    *,
    parameters: Mapping[str, Any],
    before: ResidualSummary,
    n_rejected: int,
    after: ResidualSummary,
    counts: Sequence[int],
    rmsds: F64,
    reason: str,
    experiments: RmsdTable,
    panels: RmsdTable,
    saved: Sequence[str] = (),
    layout: Layout = "tutorial",
) -> str:
    """Whole listing of one refinement, in the order of the tutorial.

    Parameters
    ----------
    parameters
        See :func:`modified_parameters`.
    before, n_rejected, after
        Residuals before and after outlier rejection, and its count.
    counts, rmsds, reason
        See :func:`refinement_steps`; why the refinement ended.
    experiments, panels
        RMSDs of the last step.
    saved
        Lines on files written.
    layout
        Of the tables.
    """
    parts = [
        modified_parameters(parameters),
        "Configuring refiner",
        residual_summary(before, layout),
        outliers_rejected(n_rejected, layout),
        residual_summary(after, layout),
        "Performing refinement...",
        f"{refinement_steps(counts, rmsds, layout)}\n{reason}",
        rmsds_by_experiment(experiments, layout),
        "\n".join([rmsds_by_panel(panels, layout), *saved]),
    ]
    return "\n\n".join(parts)
