"""Outlier rejection job by job: experiment, panel, block of rotation angle.

Splitting matters: on a detector whose panels are not where the model has them, one panel's
residuals are another panel's outliers. Source: DIALS' centroid outlier rejection.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.metrology.selection import SelectionSettings
from refimpl.objective.outliers import reject
from refimpl.units import DEG

__all__ = ["Job", "OutlierReport", "reject_outliers", "split_jobs"]

Int = NDArray[np.integer[Any]]

_AUTO_BLOCK_DEG: Final = 18.0
_AUTO_BLOCK_REFLECTIONS: Final = 100


@dataclass(frozen=True)
class Job:
    """Reflections that are judged together.

    Attributes
    ----------
    rows
        Rows of the data set, ascending; may be empty.
    experiment, panel
        None where not separated.
    phi_range_deg
        First and last observed angle of the block; None where not separated.
    """

    rows: NDArray[np.intp]
    experiment: int | None = None
    panel: int | None = None
    phi_range_deg: tuple[float, float] | None = None


@dataclass(frozen=True)
class OutlierReport:
    """What was rejected, job by job.

    Attributes
    ----------
    rejected
        (n,) mask.
    jobs
        In the order of the published table.
    n_rejected
        Rejected reflections of each job.
    too_small
        Whether a job was rejected whole because it has too few reflections.
    method
        Rule that was applied.
    minimum_job_size
        Fewer reflections than this are too few.
    """

    rejected: NDArray[np.bool_]
    jobs: tuple[Job, ...]
    n_rejected: tuple[int, ...]
    too_small: tuple[bool, ...]
    method: str
    minimum_job_size: int

    def told(self) -> str:
        """How many were rejected, and how many of them with jobs that are too small."""
        n = int(self.rejected.sum())
        text = f"{n} reflections are rejected as outliers by {self.method}"
        if not any(self.too_small):
            return f"{text}: the models are far off"
        small = [len(j.rows) for j, few in zip(self.jobs, self.too_small, strict=True) if few]
        labels: dict[str, set[Any]] = {
            "separate_experiments": {j.experiment for j in self.jobs},
            "separate_panels": {j.panel for j in self.jobs},
            "separate_blocks": {j.phi_range_deg for j in self.jobs},
        }
        split = " or ".join(f"{key} = False" for key, own in labels.items() if len(own) > 1)
        return (
            f"{text}: {sum(small)} lie in {len(small)} jobs of fewer than {self.minimum_job_size}"
            f"{f'; {split} makes larger jobs' if split else ''}"
        )


def _groups(labels: Int, count: int) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Positions of each label from 0 to ``count - 1``, also of those that do not occur."""
    order = np.argsort(labels, kind="stable")
    edges = np.searchsorted(labels[order], np.arange(count + 1))
    for label in range(count):
        yield label, order[edges[label] : edges[label + 1]]


def _by_panel(job: Job, panels: Int) -> Iterator[Job]:
    here = panels[job.rows].astype(np.int64)
    for panel, positions in _groups(here, int(here.max()) + 1 if len(here) else 0):
        yield replace(job, rows=job.rows[positions], panel=panel)


def _by_block(job: Job, phi: F64, width_deg: float) -> Iterator[Job]:
    """Blocks of equal width over the observed range of angles, as near to a width as can be."""
    here = phi[job.rows]
    span = float(np.ptp(here)) if len(here) else 0.0
    if span == 0.0:
        yield job
        return
    count = max(1, round(span / (width_deg * DEG)))
    # Only inner edges: rounding of the outer ones must not lose the first or last reflection.
    inner = here.min() + np.arange(1, count) * (span / count)
    edges_deg = np.concatenate([[here.min()], inner, [here.max()]]) / DEG
    for block, positions in _groups(np.searchsorted(inner, here, side="right"), count):
        limits = (float(edges_deg[block]), float(edges_deg[block + 1]))
        yield replace(job, rows=job.rows[positions], phi_range_deg=limits)


def _block_width_deg(phi: F64, settings: SelectionSettings) -> float:
    """Width as set, or wide enough for the reflections of one experiment."""
    if settings.block_width_deg is not None:
        return settings.block_width_deg
    span_deg = float(np.ptp(phi)) / DEG if len(phi) else 0.0
    return max(_AUTO_BLOCK_DEG, span_deg * _AUTO_BLOCK_REFLECTIONS / max(len(phi), 1))


def split_jobs(
    ids: Int,
    panels: Int,
    phi_obs_rad: F64,
    settings: SelectionSettings,
    *,
    still: bool = False,
) -> tuple[Job, ...]:
    """Split n reflections by experiment, then panel, then block of rotation angle.

    Every panel up to the highest of an experiment has a job, so jobs may be empty.

    Parameters
    ----------
    ids, panels
        (n,) experiment and panel numbers, not negative.
    phi_obs_rad
        (n,) observed rotation angles; equal angles (stills) are not split.
    settings
        Which splits, and the width of blocks.
    still
        Whether these are stills, see :attr:`SelectionSettings.separate_experiments`.

    Raises
    ------
    ConfigError
        The width of blocks is not positive.
    """
    if settings.block_width_deg is not None and not settings.block_width_deg > 0.0:
        raise ConfigError(
            f"block_width_deg = {settings.block_width_deg}: expected a positive number",
            key="block_width_deg",
        )
    apart = settings.separate_experiments
    if apart is None:
        apart = not (still and settings.separate_panels)
    if apart:
        count = int(ids.max()) + 1 if len(ids) else 0
        first = [Job(rows, experiment=number) for number, rows in _groups(ids, count)]
    else:
        first = [Job(np.arange(len(ids)))]
    jobs: list[Job] = []
    for job in first:
        width_deg = _block_width_deg(phi_obs_rad[job.rows], settings)
        for part in _by_panel(job, panels) if settings.separate_panels else (job,):
            if settings.separate_blocks:
                jobs += _by_block(part, phi_obs_rad, width_deg)
            else:
                jobs.append(part)
    return tuple(jobs)


def reject_outliers(
    residuals: F64,
    ids: Int,
    panels: Int,
    phi_obs_rad: F64,
    settings: SelectionSettings,
    *,
    still: bool = False,
) -> OutlierReport:
    """Apply the rule of the settings to each job by itself.

    Each job starts from the same seed, so its result does not hang on the others. A job of
    fewer than ``minimum_job_size`` reflections is rejected whole, but not by the rule ``null``.

    Parameters
    ----------
    residuals
        (n, 3) calculated minus observed x, y [mm] and angle [rad].
    ids, panels, phi_obs_rad
        (n,), see :func:`split_jobs`.
    settings
        Rule and splits.
    still
        Whether these are stills: ``auto`` is then ``sauter_poon``, and only x and y are judged.

    Raises
    ------
    ConfigError
        Residuals are not finite, or the rule is unknown.
    """
    method = settings.outlier
    if method == "auto":
        method = "sauter_poon" if still else "mcd"
    jobs = split_jobs(ids, panels, phi_obs_rad, settings, still=still)
    columns = residuals[:, :2] if still else residuals
    rejected = np.zeros(len(residuals), dtype=bool)
    too_small = []
    for job in jobs:
        small = 0 < len(job.rows) < settings.minimum_job_size and method != "null"
        too_small.append(small)
        if small:
            rejected[job.rows] = True
        elif len(job.rows):
            rejected[job.rows] = reject(
                columns[job.rows],
                method,
                iqr_multiplier=settings.iqr_multiplier,
                alpha=settings.mcd_alpha,
                seed=settings.seed,
            )
    counts = tuple(int(rejected[job.rows].sum()) for job in jobs)
    return OutlierReport(
        rejected, jobs, counts, tuple(too_small), method, settings.minimum_job_size
    )
