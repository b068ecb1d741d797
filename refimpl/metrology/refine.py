"""Refinement as published: select, predict, reject, reduce, minimise, report.

The order is DIALS': reflections are accepted, predicted with the starting models, rejected as
outliers, then what has too few reflections is fixed (or is an error, or is removed), then the
rest is refined. What differs is the engine: ours goes to the minimum, ``levmar`` stops where the
published one does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from refimpl import hooks
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.io.reflection_table import (
    CENTROID_OUTLIER,
    PREDICTED,
    USED_IN_REFINEMENT,
    ReflectionTable,
)
from refimpl.metrology.constraints import tie_matrix
from refimpl.metrology.engines import ENGINES, Trajectory
from refimpl.metrology.gauge import Gauge, GaugeAnswer, state_gauge
from refimpl.metrology.outlier_jobs import OutlierReport, reject_outliers
from refimpl.metrology.parameters import FixSettings, ModelSet, model_set
from refimpl.metrology.problem import (
    Observations,
    RefinementProblem,
    observations_of,
    predict,
)
from refimpl.metrology.restraints import CellTarget, RestrainedProblem
from refimpl.metrology.rmsd import ResidualSummary, RmsdTable, rmsd_by_experiment, rmsd_by_panel
from refimpl.metrology.rmsd import summarise as summarise_residuals
from refimpl.metrology.robust import check_loss
from refimpl.metrology.selection import (
    PRESETS,
    STILLS_ANGLE_WEIGHT,
    SelectionSettings,
    accept,
    observation_weights,
    random_subset,
)
from refimpl.metrology.siblings import siblings
from refimpl.metrology.solve import solve
from refimpl.units import DEG

__all__ = ["RefineSettings", "RefinementResult", "refine"]


@dataclass(frozen=True)
class RefineSettings:
    """Settings of a refinement.

    Attributes
    ----------
    selection
        Acceptance, outliers, subset.
    fix
        What is held, and the level of the detector's tree that moves.
    engine
        ``arrow`` (ours), ``levmar`` or ``gauss_newton`` (published).
    auto_reduction
        What to do with a model that has too few reflections: ``fix`` it, ``fail``, or ``remove``
        its reflections.
    min_reflections_per_parameter
        That depend on it; all parameters of a model (a detector group, a beam, an orientation, a
        cell) are seen by the same reflections.
    bin_size_fraction
        Part of a pixel and of an image that the RMSDs need not go below; 0: never enough.
    max_steps
        Of the published engines.
    delpsi_constant
        Weight of the angle off the Ewald sphere of stills [rad^-2].
    gauge
        In which terms the answer is told (:attr:`RefinementResult.gauge`); it does not change it.
    loss
        ``none``, ``huber`` or ``biweight``: robust weights beside the rejection of outliers.
    constraints
        Parts of names of parameters that shift together, such as ``Dist``.
    cell_targets
        Cells that those of the crystals are drawn to.
    """

    selection: SelectionSettings = field(default_factory=lambda: PRESETS["tutorial"])
    fix: FixSettings = field(default_factory=FixSettings)
    engine: str = "arrow"
    auto_reduction: Literal["fix", "fail", "remove"] = "fix"
    min_reflections_per_parameter: int = 5
    bin_size_fraction: float = 0.0
    max_steps: int = 100
    delpsi_constant: float = STILLS_ANGLE_WEIGHT
    gauge: Gauge = field(default_factory=Gauge)
    loss: str = "none"
    constraints: tuple[str, ...] = ()
    cell_targets: tuple[CellTarget, ...] = ()

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(
                f"engine {self.engine!r}: expected one of {', '.join(ENGINES)}", key="engine"
            )
        if self.auto_reduction not in ("fix", "fail", "remove"):
            raise ConfigError(
                f"auto_reduction {self.auto_reduction!r}: expected fix, fail or remove",
                key="auto_reduction",
            )
        check_loss(self.loss)


@dataclass(frozen=True, eq=False)
class RefinementResult:
    """What a refinement found.

    Attributes
    ----------
    experiments
        Refined.
    table
        As given, with predictions (``xyzcal.mm``, ``s1``) and flags of the outcome.
    models
        Parameters, free or not.
    trajectory
        Of the engine.
    outliers
        Report of the rejection.
    reduced
        A sentence a model that had too few reflections.
    n_accepted, n_used
        Reflections before and after rejection.
    accepted
        Summary of residuals and weights at the start, before rejection.
    before, after
        The same at the start and the end, of what was used.
    by_experiment, by_panel
        RMSDs [px, px, images]; by panel of the first detector.
    residuals
        (n, 3) of the used reflections at the end.
    used
        (n,) their rows in the table.
    settings
        As given.
    gauge
        The detector told in the gauge of the settings; None in the published one.
    """

    experiments: tuple[Experiment, ...]
    table: ReflectionTable
    models: ModelSet
    trajectory: Trajectory
    outliers: OutlierReport
    reduced: tuple[str, ...]
    n_accepted: int
    n_used: int
    accepted: ResidualSummary
    before: ResidualSummary
    after: ResidualSummary
    by_experiment: RmsdTable
    by_panel: RmsdTable
    residuals: F64
    used: NDArray[np.intp]
    settings: RefineSettings
    gauge: GaugeAnswer | None = None

    @property
    def rmsd(self) -> F64:
        """(3,) overall [mm, mm, rad]."""
        return self.trajectory.steps[-1].rmsd

    def report(self, folder: str | Path) -> Path:
        """Write figures and ``report.html`` into a folder; return the path of the page."""
        return Path(hooks.call("metrology.report", self, Path(folder)))

    @property
    def n_parameters(self) -> int:
        """Free parameters; those that shift together count once."""
        free = [n for n, f in zip(self.models.names, self.models.free, strict=True) if f]
        return len(tie_matrix(free, self.settings.constraints)[1])

    def summary(self) -> dict[str, object]:
        """JSON-ready figures."""
        x, y, phi = (float(v) for v in self.rmsd)
        return {
            "rmsd_mm": [x, y],
            "rmsd_deg": phi / DEG,
            "n_used": self.n_used,
            "n_accepted": self.n_accepted,
            "n_outliers": int(self.outliers.rejected.sum()),
            "n_parameters": self.n_parameters,
            "objective": self.trajectory.steps[-1].objective,
            "steps": len(self.trajectory.steps) - 1,
            "reason": self.trajectory.reason,
            "undetermined": list(self.trajectory.undetermined),
            "reduced": list(self.reduced),
        }


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
        In the order of the table's ``id``; rotation data.
    table
        Indexed reflections.
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
        A setting is unknown, a model is missing, stills.
    ConvergenceError
        No reflection is left, or a model has too few and ``auto_reduction`` is ``fail``.
    FormatError
        The table lacks a column or holds bad variances.
    """
    settings = settings or RefineSettings()
    stills = [e.is_still for e in experiments]
    if any(stills) and not all(stills):
        raise ConfigError(
            f"experiment {stills.index(True)} is a still and {stills.index(False)} is not: refine "
            "them apart, their third residual is not the same"
        )
    models = model_set(experiments, settings.fix)
    observed = _accepted(experiments, table, settings)
    start = RefinementProblem(models, observed, threads)
    residuals = start.residuals(start.start)
    seen = np.isfinite(residuals).all(axis=1)
    order = np.argsort(start.order[seen], kind="stable")
    ordered, residuals = start.observed.select(np.flatnonzero(seen)[order]), residuals[seen][order]
    outliers = reject_outliers(
        residuals, ordered.experiment, ordered.panel, ordered.xyz[:, 2], settings.selection,
        still=all(stills),
    )  # fmt: skip
    used = ordered.select(~outliers.rejected)
    if len(used) == 0:
        raise ConvergenceError(
            f"all of {len(ordered)} reflections are rejected as outliers by {outliers.method}: "
            "the models are far off, or separate jobs are too small"
        )
    used = used.select(random_rows(used, experiments, settings))
    models, used, reduced = _reduced(models, used, settings)
    if settings.gauge.kind != "published":
        siblings(models, settings.gauge)  # refused before the work
    problem = RefinementProblem(models, used, threads)
    if settings.cell_targets:
        problem = RestrainedProblem(models, used, threads, settings.cell_targets)
    before = problem.residuals(problem.start)
    options: dict[str, object] = {"progress": progress}
    if settings.engine != "arrow":
        options |= {"max_steps": settings.max_steps, "target": _target(experiments, settings)}
    trajectory = solve(
        problem, settings.engine, loss=settings.loss, constraints=settings.constraints, **options
    )
    full = problem.full(trajectory.x)
    refined = models.moved(full)
    after = problem.residuals(trajectory.x)
    pixel, width = _units(experiments)
    return RefinementResult(
        experiments=refined,
        table=_marked(table, models, full, problem.observed, ordered.select(outliers.rejected)),
        models=models,
        trajectory=trajectory,
        outliers=outliers,
        reduced=reduced,
        n_accepted=len(ordered),
        n_used=len(used),
        accepted=summarise_residuals(residuals, ordered.weight),
        before=summarise_residuals(before, problem.observed.weight),
        after=summarise_residuals(after, problem.observed.weight),
        by_experiment=rmsd_by_experiment(after, problem.observed.experiment, pixel, width),
        by_panel=_by_panel(experiments, problem.observed, after),
        residuals=after,
        used=problem.observed.row,
        settings=settings,
        gauge=_told(models, full, settings.gauge, trajectory.covariance),
    )


def _told(models: ModelSet, full: F64, gauge: Gauge, covariance: F64) -> GaugeAnswer | None:
    """Answer in the gauge that is asked for; None in the published one."""
    if gauge.kind == "published":
        return None
    return state_gauge(models, full, gauge, covariance)


def _accepted(
    experiments: Sequence[Experiment], table: ReflectionTable, settings: RefineSettings
) -> Observations:
    """Accepted rows with their weights."""
    accepted = accept(table, experiments, settings.selection).accepted
    rows = np.flatnonzero(accepted)
    if len(rows) == 0:
        raise ConvergenceError(f"none of {len(table)} reflections is fit for refinement")
    still = experiments[0].is_still
    weight = observation_weights(table.select(rows), still=still)
    if still:
        weight[:, 2] = settings.delpsi_constant
    return observations_of(table, experiments, rows, weight)


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


def _by_panel(experiments: Sequence[Experiment], observed: Observations, r: F64) -> RmsdTable:
    first = experiments[0].detector
    mine = np.array([e.detector is first for e in experiments])[observed.experiment]
    pixel = np.array([m.pixel_size_mm for m in first.modules])  # type: ignore[union-attr]
    width = _width(experiments[0])
    return rmsd_by_panel(r[mine], observed.panel[mine], pixel, width)


def _reduced(
    models: ModelSet, used: Observations, settings: RefineSettings
) -> tuple[ModelSet, Observations, tuple[str, ...]]:
    """Deal with models that have too few reflections for their free parameters."""
    free, said = models.free.copy(), []
    lost = np.zeros(len(used), dtype=bool)
    for name, at, mine in _owners(models, used):
        n_free, n = int(np.count_nonzero(free[at])), int(np.count_nonzero(mine))
        need = settings.min_reflections_per_parameter
        if n_free == 0 or n >= need:
            continue
        text = f"{name}: {n} reflections, fewer than {need}"
        if settings.auto_reduction == "fail":
            raise ConvergenceError(f"{text}; auto_reduction fix would hold it")
        free[at] = False
        if settings.auto_reduction == "remove":
            lost |= mine
        said.append(f"{text}: {'removed' if settings.auto_reduction == 'remove' else 'held'}")
    if not free.any():
        raise ConvergenceError("too few reflections: no parameter is left to refine")
    return models.with_free(free), used.select(~lost), tuple(said)


def _owners(models: ModelSet, used: Observations) -> list[tuple[str, slice, NDArray[np.bool_]]]:
    """Name, place of its parameters, and reflections (n,) of every model."""
    out: list[tuple[str, slice, NDArray[np.bool_]]] = []
    detector = models.of_detector[used.experiment]
    for k, own in enumerate(models.detectors):
        start = models.detector_at(k).start
        groups = own.group_of[used.panel]
        for g in range(len(own.members)):
            label = own.prefix if len(own.detector) == 1 else f"{own.prefix}Group{g + 1}"
            at = slice(start + 6 * g, start + 6 * g + 6)
            out.append((label, at, (detector == k) & (groups == g)))
    for k, beam in enumerate(models.beams):
        out.append((beam.prefix, models.beam_at(k), models.of_beam[used.experiment] == k))
    for k, orientation in enumerate(models.orientations):
        mine = models.of_crystal[used.experiment] == k
        out.append((f"{orientation.prefix} orientation", models.orientation_at(k), mine))
        out.append((f"{orientation.prefix} cell", models.cell_at(k), mine))
    return out


def _marked(
    table: ReflectionTable,
    models: ModelSet,
    full: F64,
    used: Observations,
    rejected: Observations,
) -> ReflectionTable:
    """Table with predictions of every indexed reflection, and what became of each."""
    flags = np.asarray(table["flags"]).copy()
    clear = ~np.array(USED_IN_REFINEMENT | CENTROID_OUTLIER, dtype=flags.dtype)
    flags &= clear
    flags[used.row] |= np.array(USED_IN_REFINEMENT, dtype=flags.dtype)
    flags[rejected.row] |= np.array(CENTROID_OUTLIER, dtype=flags.dtype)
    calculated, ray = np.zeros((len(table), 3)), np.array(table["s1"]) if "s1" in table else None
    poses = models.poses(full)
    indexed = np.flatnonzero(np.any(table["miller_index"] != 0, axis=1) & (table["id"] >= 0))
    everything = observations_of(table, models.experiments, indexed, np.ones((len(indexed), 3)))
    for e in range(len(models.experiments)):
        mine = np.flatnonzero(everything.experiment == e)
        if not len(mine):
            continue
        some = everything.select(mine)
        xyz, s1, status = predict(poses[e], some)
        good = status == 0
        calculated[some.row[good]] = xyz[good]
        flags[some.row[good]] |= np.array(PREDICTED, dtype=flags.dtype)
        if ray is not None:
            ray[some.row[good]] = s1[good]
    columns = {"xyzcal.mm": calculated, "flags": flags} | ({} if ray is None else {"s1": ray})
    return table.with_columns(columns)
