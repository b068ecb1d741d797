"""Refinement as published: select, predict, reject, reduce, minimise, report.

The order is DIALS': reflections are accepted, predicted with the starting models, rejected as
outliers, then what has too few reflections is fixed (or is an error, or is removed), then the
rest is refined. What differs is the engine: ours goes to the minimum, ``levmar`` stops where the
published one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.io.reflection_table import ReflectionTable
from refimpl.metrology.gauge import GaugeAnswer, state_gauge
from refimpl.metrology.kept_covariance import kept_covariance
from refimpl.metrology.marking import marked
from refimpl.metrology.observations import (
    Observations,
    check_panels,
    check_rotation,
    indexed_rows,
    observations_of,
)
from refimpl.metrology.outlier_jobs import reject_outliers
from refimpl.metrology.parameters import ModelSet, model_set
from refimpl.metrology.problem import RefinementProblem
from refimpl.metrology.reduction import reduced
from refimpl.metrology.refine_settings import RefineSettings
from refimpl.metrology.restraints import RestrainedProblem
from refimpl.metrology.result import RefinementResult
from refimpl.metrology.rmsd import RmsdTable, rmsd_by_experiment, rmsd_by_panel
from refimpl.metrology.rmsd import summarise as summarise_residuals
from refimpl.metrology.selection import accept, observation_weights, random_subset, table_order
from refimpl.metrology.siblings import siblings
from refimpl.metrology.solve import solve
from refimpl.units import DEG

__all__ = ["RefineSettings", "RefinementResult", "refine"]


def refine(
    experiments: Sequence[Experiment],
    table: ReflectionTable,
    settings: RefineSettings | None = None,
    *,
    progress: Callable[[int, F64], None] | None = None,
    threads: int | None = None,
) -> RefinementResult:
    """Refine crystals, beam and detector against observed centroids.

    Parameters
    ----------
    experiments
        In the order of the table's ``id``; rotation scans or stills, not both.
    table
        Indexed reflections, in any order: they are taken by ``id`` as published, then ``panel``.
    settings
        Default: the tutorial's selection, the beam in the spindle plane and the wavelength held,
        the whole detector as one, our engine.
    progress
        Called with the number of a step and its RMSDs [mm, mm, rad].
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Raises
    ------
    ConfigError
        A setting is unknown or matches nothing, a model is missing, scans and stills are mixed, a
        model has too few reflections and ``auto_reduction`` is ``fail``.
    FormatError
        The table lacks a column, holds bad variances or panels, or no reflection is left; stills
        were seen at different rotation angles.
    ConvergenceError
        A published engine finds a parameter that no reflection depends on, or a singular matrix.
    """
    settings = settings or RefineSettings()
    _check_alike(experiments)
    models = model_set(experiments, settings.fix)
    observed = _accepted(experiments, table, settings)
    ordered, residuals = _predicted(models, observed, threads)
    outliers = reject_outliers(
        residuals, ordered.experiment, ordered.panel, ordered.xyz[:, 2], settings.selection,
        still=experiments[0].is_still,
    )  # fmt: skip
    if outliers.rejected.all():
        raise FormatError(f"all of {outliers.told()}", path=table.source)
    used = ordered.select(~outliers.rejected)
    used = used.select(random_rows(used, experiments, settings))
    models, used, held = reduced(
        models, used, settings.auto_reduction, settings.min_reflections_per_parameter
    )
    if settings.gauge.kind != "published":
        siblings(models, settings.gauge)  # refused before the work
    problem = RefinementProblem(models, used, threads)
    if settings.cell_targets:
        problem = RestrainedProblem(models, used, threads, settings.cell_targets)
    before = problem.residuals(problem.start)
    options: dict[str, object] = {"progress": progress, "max_steps": settings.step_limit}
    if settings.engine != "arrow":
        options["target"] = _target(experiments, settings)
    trajectory = solve(
        problem, settings.engine, loss=settings.loss, constraints=settings.constraints, **options
    )
    if settings.loss == "none":  # a robust loss brings its own
        judged = residuals[:, :2] if experiments[0].is_still else residuals
        trajectory = kept_covariance(
            problem, trajectory, outliers, judged, ordered.row, settings.constraints,
            iqr_multiplier=settings.selection.iqr_multiplier,
        )  # fmt: skip
    full, after = problem.full(trajectory.x), problem.residuals(trajectory.x)
    o, (pixel, width) = problem.observed, _units(experiments)
    return RefinementResult(
        experiments=models.moved(full),
        table=marked(table, models, full, o.row, ordered.row[outliers.rejected], threads),
        models=models,
        trajectory=trajectory,
        outliers=outliers,
        reduced=held,
        n_accepted=len(ordered),
        n_used=len(used),
        accepted=summarise_residuals(residuals, ordered.weight),
        before=summarise_residuals(before, o.weight),
        after=summarise_residuals(after, o.weight),
        by_experiment=rmsd_by_experiment(after, o.experiment, pixel, width),
        by_detector=_by_detector(models, o, after),
        residuals=after,
        used=o.row,
        settings=settings,
        gauge=_told(models, full, settings, trajectory.covariance),
    )  # fmt: skip


def _check_alike(experiments: Sequence[Experiment]) -> None:
    stills = [e.is_still for e in experiments]
    if not stills:
        raise ConfigError("no experiments given: expected at least one")
    if any(stills) and not all(stills):
        raise ConfigError(
            f"experiment {stills.index(True)} is a still and {stills.index(False)} is not: refine "
            "them apart, their third residual is not the same"
        )


def _told(
    models: ModelSet, full: F64, settings: RefineSettings, covariance: F64
) -> GaugeAnswer | None:
    """Answer in the gauge that is asked for; None in the published one."""
    if settings.gauge.kind == "published":
        return None
    return state_gauge(models, full, settings.gauge, covariance)


def _accepted(
    experiments: Sequence[Experiment], table: ReflectionTable, settings: RefineSettings
) -> Observations:
    """Accepted rows with their weights, in the published order."""
    found = accept(table, experiments, settings.selection)
    check_panels(table, experiments, indexed_rows(table))  # all of them are predicted at the end
    check_rotation(table, experiments)
    rows = np.flatnonzero(found.accepted)
    if len(rows) == 0:
        why = ", ".join(f"{n} {reason}" for reason, n in found.reasons.items() if n)
        raise FormatError(
            f"none of {len(table)} reflections is fit for refinement: {why or 'an empty table'}",
            path=table.source,
        )
    rows = rows[table_order(table.select(rows))]
    weight = observation_weights(
        table, rows, still=experiments[0].is_still, angle_weight=settings.delpsi_constant
    )
    return observations_of(table, experiments, rows, weight)


def _predicted(
    models: ModelSet, observed: Observations, threads: int | None
) -> tuple[Observations, F64]:
    """What the starting models predict, in the order given, and its residuals (n, 3)."""
    start = RefinementProblem(models, observed, threads)
    residuals = start.residuals(start.start)
    seen = np.isfinite(residuals).all(axis=1)
    if not seen.any():
        raise FormatError(
            f"none of {len(observed)} reflections is predicted by the starting models: their cell, "
            "orientation or detector is not that of the reflections"
        )
    order = np.argsort(start.order[seen], kind="stable")
    return start.observed.select(np.flatnonzero(seen)[order]), residuals[seen][order]


def random_rows(
    used: Observations, experiments: Sequence[Experiment], settings: RefineSettings
) -> NDArray[np.intp]:
    """Random subset of the used reflections, in their order."""
    if settings.selection.reflections_per_degree is None:
        return np.arange(len(used))
    return np.flatnonzero(random_subset(used.experiment, experiments, settings.selection))


def _target(experiments: Sequence[Experiment], settings: RefineSettings) -> F64 | None:
    if settings.bin_size_fraction <= 0.0:
        return None
    pixel, width = _units(experiments)
    return settings.bin_size_fraction * np.array([*pixel[0], width[0]])


def _units(experiments: Sequence[Experiment]) -> tuple[F64, F64]:
    """(e, 2) pixel size of each experiment's first panel [mm]; (e,) image width [rad]."""
    pixel = np.array([e.detector.modules[0].pixel_size_mm for e in experiments])  # type: ignore[union-attr]
    return pixel, np.array([_width(e) for e in experiments])


def _width(experiment: Experiment) -> float:
    """Rotation during one image [rad]; a degree for stills, whose angle is printed in degrees."""
    return DEG if experiment.scan is None else abs(experiment.scan.oscillation_deg[1]) * DEG or DEG


def _by_detector(models: ModelSet, observed: Observations, r: F64) -> tuple[RmsdTable, ...]:
    """RMSDs by panel of each detector; images are those of its first experiment."""
    detector = models.of_detector[observed.experiment]
    out = []
    for k, own in enumerate(models.detectors):
        mine = detector == k
        pixel = np.array([m.pixel_size_mm for m in own.detector.modules])
        width = _width(models.experiments[int(np.flatnonzero(models.of_detector == k)[0])])
        out.append(rmsd_by_panel(r[mine], observed.panel[mine], pixel, width))
    return tuple(out)
