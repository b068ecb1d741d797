"""The published listings of a refinement, character for character in layout.

Two layouts: ``tutorial``, that of the published metrology tutorial (ruled with dashes, cells to the
left), and ``current``, that of today's log files (corners marked, numbers to the right). Every
function takes numbers and returns text without a final newline; nothing here computes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.crystal_listing import (
    crystal_model,
    final_crystal_models,
    format_uncertain,
)
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
    """RMSDs of each panel of a detector, by its number from 1.

    The current layout always shows it; that of the tutorial, which had one, from the second on.
    """
    prefix = f"Detector {detector} " if layout == "current" or detector > 1 else ""
    return _rmsd_rows(f"{prefix}RMSDs by panel:", "Panel", table, layout)


def refinement_listing(
    *,
    parameters: Mapping[str, Any],
    before: ResidualSummary,
    rejected: int | OutlierReport,
    after: ResidualSummary,
    counts: Sequence[int],
    rmsds: F64,
    reason: str,
    experiments: RmsdTable,
    panels: Sequence[RmsdTable],
    held: Sequence[str] = (),
    names: Sequence[str] = (),
    models: str = "",
    saved: Sequence[str] = (),
    layout: Layout = "tutorial",
) -> str:
    """Whole listing of one refinement, in the order of the tutorial.

    Parameters
    ----------
    parameters
        See :func:`modified_parameters`.
    before, rejected, after
        Residuals before and after outlier rejection; its count, or its report for the table of its
        jobs in the current layout.
    counts, rmsds, reason
        See :func:`refinement_steps`; why the refinement ended.
    experiments, panels
        RMSDs of the last step; by panel a table a detector.
    held
        Lines on models with too few reflections.
    names
        See :func:`parameter_names`.
    models
        See :func:`final_crystal_models`.
    saved
        Lines on files written: at once below the tables, as in the tutorial, or below the models.
    layout
        Of the tables.
    """
    by_panel = [rmsds_by_panel(t, layout, detector=k) for k, t in enumerate(panels, 1)]
    last = "\n".join(["\n\n".join(by_panel), *(() if models else saved)])
    parts = [
        modified_parameters(parameters),
        "Configuring refiner",
        residual_summary(before, layout),
        _rejected(rejected, layout),
        residual_summary(after, layout),
        "\n".join(held),
        parameter_names(names) if layout == "current" and names else "",
        "Performing refinement...",
        f"{refinement_steps(counts, rmsds, layout)}\n{reason}",
        rmsds_by_experiment(experiments, layout),
        last,
        models,
        "\n".join(saved) if models else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _rejected(rejected: int | OutlierReport, layout: Layout) -> str:
    if isinstance(rejected, int):
        return outliers_rejected(rejected, layout)
    if layout == "current":
        return outlier_jobs(rejected)
    return outliers_rejected(int(rejected.rejected.sum()), layout)
