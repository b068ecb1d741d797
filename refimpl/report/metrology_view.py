"""What the report of a refinement shows: residuals before and after, and how the panels moved.

Made of experiments before and after and of one table, so that any pair of files can be reported,
of whatever program; a refinement of ours adds its trajectory, uncertainties and settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.hierarchy import Hierarchy, axes_of
from refimpl.errors import ConfigError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64, I64
from refimpl.io.reflection_table import CENTROID_OUTLIER, USED_IN_REFINEMENT, ReflectionTable
from refimpl.metrology.parameters import ModelSet, model_set
from refimpl.metrology.problem import observations_of
from refimpl.metrology.problem import predict as predict_rows
from refimpl.metrology.refine import RefinementResult
from refimpl.rotations import rotation_vector
from refimpl.units import DEG

__all__ = ["MOVES", "Layout", "MetrologyView", "panel_layout", "view_of_files", "view_of_result"]

MOVES = (
    "shift along fast (µm)", "shift along slow (µm)", "away from the sample (µm)",
    "tilt about fast (mrad)", "tilt about slow (mrad)", "turn in the plane (mrad)",
)  # fmt: skip
"""What the columns of :attr:`MetrologyView.moves` are."""
_SCALE = np.array([1e3, 1e3, 1e3, 1e3, 1e3, 1e3])


@dataclass(frozen=True, eq=False)
class Layout:
    """Panels on paper: each a parallelogram at ``corner``, spanned by ``fast`` and ``slow``.

    Attributes
    ----------
    corner
        (p, 2) place of the first pixel's corner.
    fast, slow
        (p, 2) what one pixel is along each axis.
    size_px
        (p, 2) pixels (fast, slow).
    unit
        ``px``: as the stored image, y down; ``mm``: seen from the source, y up.
    """

    corner: F64
    fast: F64
    slow: F64
    size_px: I64
    unit: str

    def points(self, panel: I64, xy_px: F64) -> F64:
        """(n, 2) places of points in panel pixels (n, 2)."""
        x, y = xy_px[:, :1], xy_px[:, 1:]
        return np.asarray(self.corner[panel] + x * self.fast[panel] + y * self.slow[panel])

    def vectors(self, panel: I64, xy_px: F64) -> F64:
        """(n, 2) directions on paper of differences in panel pixels."""
        return np.asarray(xy_px[:, :1] * self.fast[panel] + xy_px[:, 1:] * self.slow[panel])

    @property
    def outlines(self) -> F64:
        """(p, 4, 2) corners."""
        f = self.fast * self.size_px[:, :1]
        s = self.slow * self.size_px[:, 1:]
        c = self.corner
        return np.stack([c, c + f, c + f + s, c + s], axis=1)

    @property
    def centres(self) -> F64:
        """(p, 2) middles."""
        return np.asarray(self.outlines.mean(axis=1))


def panel_layout(detector: Hierarchy) -> Layout:
    """Lay panels on paper: by their place in the stored image, else as the source sees them."""
    size = np.array([m.size_px for m in detector.modules])
    offset = np.array([m.raw_image_offset for m in detector.modules], dtype=np.float64)
    p = len(size)
    if p == 1 or not _overlap(offset, offset + size):
        return Layout(offset, np.tile([1.0, 0.0], (p, 1)), np.tile([0.0, 1.0], (p, 1)), size, "px")
    pixel = np.array([m.pixel_size_mm for m in detector.modules])
    d = detector.d
    return Layout(d[:, :2, 2], d[:, :2, 0] * pixel[:, :1], d[:, :2, 1] * pixel[:, 1:], size, "mm")


def _overlap(low: F64, high: F64) -> bool:
    """Whether any two boxes share more than an edge."""
    order = np.argsort(low[:, 0], kind="stable")
    low, high = low[order], high[order]
    for i in range(len(low)):
        rivals = slice(i + 1, int(np.searchsorted(low[:, 0], high[i, 0], side="left")))
        if np.any((low[rivals, 1] < high[i, 1]) & (high[rivals, 1] > low[i, 1])):
            return True
    return False


@dataclass(frozen=True, eq=False)
class MetrologyView:
    """One refinement as its report shows it; n reflections of the first detector's p panels.

    Attributes
    ----------
    title
        Of the page.
    layout
        Panels on paper.
    names
        Of the panels.
    panel
        (n,) panel of each reflection used.
    xy_px, angle_deg
        (n, 2) observed position in panel pixels; (n,) rotation angle, NaN for stills.
    before, after
        (n, 3) calculated minus observed x, y [px] and angle [degrees].
    pixel_mm
        (p, 2).
    moves, sigma
        (p, 6) see :data:`MOVES`; uncertainties NaN where they are not known.
    held
        (p,) panels that nothing moved.
    rmsd, objective
        (m, 3) [mm, mm, degrees] and (m,) at each step; empty where not known.
    parameters
        Name, start, value, sigma of beam and crystals.
    cells
        Cell and space group of each crystal.
    numbers
        ``n_used, n_outliers, n_parameters, reason, converged, reduced``, any of them.
    listing
        Published listing, or empty.
    """

    title: str
    layout: Layout
    names: Sequence[str]
    panel: I64
    xy_px: F64
    angle_deg: F64
    before: F64
    after: F64
    pixel_mm: F64
    moves: F64
    sigma: F64
    held: NDArray[np.bool_]
    rmsd: F64 = field(default_factory=lambda: np.empty((0, 3)))
    objective: F64 = field(default_factory=lambda: np.empty(0))
    parameters: Sequence[tuple[str, float, float, float]] = ()
    cells: Sequence[tuple[Sequence[float], str]] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    listing: str = ""

    def __len__(self) -> int:
        return len(self.panel)

    @property
    def n_panels(self) -> int:
        """Panels of the detector."""
        return len(self.names)

    @property
    def counts(self) -> I64:
        """(p,) reflections used."""
        return np.bincount(self.panel, minlength=self.n_panels)

    def by_panel(self, residuals: F64) -> tuple[F64, F64]:
        """(p, 3) means and root-mean-squares of residuals; NaN on panels without reflections."""
        n = np.where(self.counts > 0, self.counts, np.nan)[:, None]
        sums = [
            np.stack([np.bincount(self.panel, v, self.n_panels) for v in (residuals**k).T], axis=1)
            for k in (1, 2)
        ]
        return sums[0] / n, np.sqrt(sums[1] / n)


def view_of_result(result: RefinementResult, title: str = "Refinement") -> MetrologyView:
    """View of a refinement of ours."""
    from refimpl.metrology.outputs import has_converged, listing_of, symbol_of

    view = _base(result.models.experiments, result.experiments, result.table, result.used, title)
    steps = result.trajectory.steps
    sigma, held = _sigma(result, view.n_panels)
    esd = np.sqrt(np.maximum(np.diag(result.trajectory.covariance), 0.0))
    start = result.models.initial[result.models.free]
    names = [n for n, free in zip(result.models.names, result.models.free, strict=True) if free]
    rows = zip(names, start.tolist(), result.trajectory.x.tolist(), esd.tolist(), strict=True)
    return replace(
        view,
        sigma=sigma,
        held=held,
        rmsd=np.array([s.rmsd for s in steps]) / np.array([1.0, 1.0, DEG]),
        objective=np.array([s.objective for s in steps]),
        parameters=[row for row in rows if not row[0].startswith("Detector")],
        cells=[
            (e.crystal.cell.tolist(), symbol_of(e.crystal.hall))
            for e in result.experiments if e.crystal is not None
        ],
        numbers=result.summary() | {"converged": has_converged(result)},
        listing=listing_of(result),
    )  # fmt: skip


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
    first, last = start[0].detector, refined[0].detector
    if first is None or last is None:
        raise ConfigError("experiment 0 has no detector")
    mine = np.array([e.detector is first for e in start])[np.asarray(table["id"])[rows]]
    rows = rows[mine]
    before, after = (_residuals(model_set(some), table, rows) for some in (start, refined))
    panel = np.asarray(table["panel"][rows], dtype=np.int64)
    pixel = np.array([m.pixel_size_mm for m in first.modules])
    mm = np.asarray(table["xyzobs.mm.value"][rows], dtype=np.float64)
    to_view = np.column_stack([pixel[panel], np.full(len(rows), DEG)])
    still = start[0].is_still
    return MetrologyView(
        title=title,
        layout=panel_layout(first),
        names=[m.name or f"panel {k}" for k, m in enumerate(first.modules)],
        panel=panel,
        xy_px=mm[:, :2] / pixel[panel],
        angle_deg=np.full(len(rows), np.nan) if still else mm[:, 2] / DEG,
        before=before / to_view,
        after=after / to_view,
        pixel_mm=pixel,
        moves=panel_moves(first, last),
        sigma=np.full((len(first), 6), np.nan),
        held=np.zeros(len(first), dtype=bool),
        numbers={"n_used": len(rows)},
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


# --- how panels moved -----------------------------------------------------------------------------


def _outward(d: F64, centres: F64) -> F64:
    """(p, 3, 3) columns fast, slow, normal away from the sample."""
    out = axes_of(d)
    out[:, :, 2] *= np.where(np.sum(out[:, :, 2] * centres, axis=1) < 0.0, -1.0, 1.0)[:, None]
    return out


def panel_moves(before: Hierarchy, after: Hierarchy) -> F64:
    """(p, 6) moves of the panels about their own centres, see :data:`MOVES`.

    In the frame of each panel before; a positive turn goes from fast to slow.
    """
    old, new = before.d, after.d
    centre = before.centres(old)
    shift = np.einsum("pij,pi->pj", _outward(old, centre), before.centres(new) - centre)
    axes, moved = axes_of(old), axes_of(new)
    turn = [a.T @ rotation_vector(b @ a.T) for a, b in zip(axes, moved, strict=True)]
    return np.asarray(np.hstack([shift, turn]) * _SCALE)


def _sigma(result: RefinementResult, p: int) -> tuple[F64, NDArray[np.bool_]]:
    """(p, 6) uncertainties of the moves, linear in the group's parameters; (p,) panels held."""
    models, own = result.models, result.models.detectors[0]
    full = models.initial.copy()
    full[models.free] = result.trajectory.x
    at = models.detector_at(0)
    values = models.detector_values(full, 0)
    d, slopes = own.d(values), own.derivatives(values)
    half, frame = own.detector.half_mm, _outward(d, own.detector.centres(d))
    position = np.cumsum(models.free) - 1
    out, held = np.zeros((p, 6)), np.zeros(p, dtype=bool)
    for k in range(p):
        rows = at.start + 6 * int(own.group_of[k]) + np.arange(6)
        free = models.free[rows]
        held[k] = not free.any()
        if held[k]:
            continue
        by = slopes[k][free]  # (m, 3, 3)
        move = by[:, :, 0] * half[k, 0] + by[:, :, 1] * half[k, 1] + by[:, :, 2]
        fast, slow = d[k][:, 0], d[k][:, 1]
        normal = np.cross(fast, slow)
        turns = [by[:, :, 1] @ normal, -by[:, :, 0] @ normal, by[:, :, 0] @ slow]
        linear = np.column_stack([move @ frame[k], *turns]) * _SCALE
        mine = position[rows[free]]
        covariance = result.trajectory.covariance[np.ix_(mine, mine)]
        out[k] = np.sqrt(np.maximum(np.einsum("mi,mn,ni->i", linear, covariance, linear), 0.0))
    return out, held
