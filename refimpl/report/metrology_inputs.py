"""Where the view of a refinement comes from: files of whatever program, or a refinement of ours.

Made of experiments before and after and of one table, so that any pair of files can be reported;
a refinement of ours adds its trajectory, uncertainties, gauge, weak modes and settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import ConfigError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.io.reflection_table import CENTROID_OUTLIER, USED_IN_REFINEMENT, ReflectionTable
from refimpl.metrology.answers import weak_modes_of
from refimpl.metrology.parameters import ModelSet, model_set
from refimpl.metrology.problem import observations_of
from refimpl.metrology.problem import predict as predict_rows
from refimpl.metrology.result import RefinementResult
from refimpl.metrology.weak_modes import panel_uncertainties
from refimpl.report.metrology_layout import panel_layout, panel_moves
from refimpl.report.metrology_view import DetectorView, MetrologyView
from refimpl.units import DEG

__all__ = ["view_of_files", "view_of_result"]

_MODES, _MOST = 5, 2500
"""Weak modes in a report, and free parameters above which there are none."""
_TO_MOVES = np.array([1e3, 1e3, 1e3, 1.0, 1.0, 1.0])
"""From the units of panel_uncertainties to those of panel_moves."""


def view_of_result(result: RefinementResult, title: str = "Refinement") -> MetrologyView:
    """View of a refinement of ours."""
    from refimpl.metrology.outputs import listing_of, symbol_of

    models = result.models
    view = _base(models.experiments, result.experiments, result.table, result.used, title)
    steps = result.trajectory.steps
    esd = np.sqrt(np.maximum(np.diag(result.trajectory.covariance), 0.0))
    start = models.initial[models.free]
    names = [n for n, free in zip(models.names, models.free, strict=True) if free]
    rows = zip(names, start.tolist(), result.trajectory.x.tolist(), esd.tolist(), strict=True)
    return replace(
        view,
        detectors=tuple(_told(result, k, d) for k, d in enumerate(view.detectors)),
        rmsd=np.array([s.rmsd for s in steps]) / np.array([1.0, 1.0, DEG]),
        objective=np.array([s.objective for s in steps]),
        parameters=[row for row in rows if not row[0].startswith("Detector")],
        cells=[
            (e.crystal.cell.tolist(), symbol_of(e.crystal.hall))
            for e in result.experiments if e.crystal is not None
        ],
        numbers=result.summary(),
        gauge=result.gauge,
        weak=weak_modes_of(result, _MODES) if len(names) <= _MOST else None,
        listing=listing_of(result),
    )  # fmt: skip


def _told(result: RefinementResult, k: int, view: DetectorView) -> DetectorView:
    """Same detector with uncertainties; in a gauge, with the moves within it."""
    models, own = result.models, result.models.detectors[k]
    full = models.initial.copy()
    full[models.free] = result.trajectory.x
    covariance = result.trajectory.covariance if result.gauge is None else result.gauge
    told = panel_uncertainties(models, full, covariance, view.counts, detector=k)
    moves = view.moves
    if result.gauge is not None:
        g = result.gauge
        whole = own.moved(g.siblings.composed(g.rigid, np.zeros_like(g.own)))
        moves = panel_moves(whole, own.moved(models.detector_values(full, k)))
    held = np.asarray(np.isnan(told.sigma).all(axis=1), dtype=np.bool_)
    return replace(view, moves=moves, sigma=told.sigma * _TO_MOVES, held=held)


def view_of_files(
    start: Sequence[Experiment],
    refined: Sequence[Experiment],
    table: ReflectionTable,
    title: str = "Refinement",
) -> MetrologyView:
    """View of experiments before and after, by the reflections that are marked as used.

    Without such marks every indexed reflection counts that is no outlier.

    Raises
    ------
    ConfigError
        The lists differ in length or in the number of panels, or no reflection can be shown.
    """
    if len(start) != len(refined):
        raise ConfigError(f"{len(start)} experiments before, {len(refined)} after: expected equal")
    for number, (a, b) in enumerate(zip(start, refined, strict=True)):
        panels = [0 if e.detector is None else len(e.detector) for e in (a, b)]
        if panels[0] != panels[1]:
            raise ConfigError(
                f"experiment {number} has {panels[0]} panels before and {panels[1]} after"
            )
    table.require("miller_index", "id", "flags")
    used = table.has_flags(USED_IN_REFINEMENT)
    if not used.any():
        used = np.any(table["miller_index"] != 0, axis=1) & ~table.has_flags(CENTROID_OUTLIER)
    rows = np.flatnonzero(used & (table["id"] >= 0))
    if len(rows) == 0:
        raise ConfigError("no indexed reflection to report on")
    return _base(start, refined, table, rows, title)


def _base(
    start: Sequence[Experiment],
    refined: Sequence[Experiment],
    table: ReflectionTable,
    rows: NDArray[np.intp],
    title: str,
) -> MetrologyView:
    """Part that files alone give."""
    models = [model_set(some) for some in (start, refined)]
    before, after = (_residuals(some, table, rows) for some in models)
    seen = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
    rows, before, after = rows[seen], before[seen], after[seen]
    experiment = np.asarray(table["id"][rows], dtype=np.int64)
    of_detector = models[0].of_detector
    views = []
    for k, own in enumerate(models[0].detectors):
        mine = of_detector[experiment] == k
        e = int(np.flatnonzero(of_detector == k)[0])
        last = refined[e].detector
        assert last is not None  # model_set demands one
        views.append(
            _of_detector(
                own.prefix, own.detector, last, table, rows[mine], before[mine], after[mine],
                still=start[e].is_still,
            )
        )  # fmt: skip
    return MetrologyView(
        title=title,
        detectors=tuple(views),
        experiments=[e.identifier or f"experiment {k}" for k, e in enumerate(start)],
        numbers={"n_used": len(rows)},
    )


def _of_detector(
    prefix: str, first: Hierarchy, last: Hierarchy, table: ReflectionTable, rows: NDArray[np.intp],
    before: F64, after: F64, *, still: bool,
) -> DetectorView:  # fmt: skip
    panel = np.asarray(table["panel"][rows], dtype=np.int64)
    pixel = np.array([m.pixel_size_mm for m in first.modules])
    mm = np.asarray(table["xyzobs.mm.value"][rows], dtype=np.float64)
    to_view = np.column_stack([pixel[panel], np.full(len(rows), DEG)])
    return DetectorView(
        prefix=prefix,
        layout=panel_layout(first),
        names=[m.name or f"panel {k}" for k, m in enumerate(first.modules)],
        panel=panel,
        experiment=np.asarray(table["id"][rows], dtype=np.int64),
        xy_px=mm[:, :2] / pixel[panel],
        angle_deg=np.full(len(rows), np.nan) if still else mm[:, 2] / DEG,
        before=before / to_view,
        after=after / to_view,
        pixel_mm=pixel,
        moves=panel_moves(first, last),
        sigma=np.full((len(first), 6), np.nan),
        held=np.zeros(len(first), dtype=bool),
    )


def _residuals(models: ModelSet, table: ReflectionTable, rows: NDArray[np.intp]) -> F64:
    """(n, 3) [mm, mm, rad] at the models as they are."""
    observed = observations_of(table, models.experiments, rows, np.ones((len(rows), 3)))
    out = np.empty((len(rows), 3))
    for e, pose in enumerate(models.poses(models.initial)):
        mine = np.flatnonzero(observed.experiment == e)
        if len(mine):
            some = observed.select(mine)
            out[mine] = predict_rows(pose, some)[0] - some.xyz
    return out
