"""The published calibration of a detector with panels (CalibrantPanelShiftsOMP), as an engine.

Source: MIDAS as of the AutoCalibrate manual version 10, its section 7 (commit 41fd5d04). The
unknowns are those of the single surface and dY, dZ, (dTheta), (dLsd), (dP2) of every panel but
FixPanelID; the objective is the published L1 sum, the method the published simplex. It stands
here for comparison; :func:`refimpl.powder.calibrate` fits the same model by least squares.

Not reproduced: the limit of 30 s on each simplex, which made the answer hang on the load of the
machine (the cap on evaluations stays), and, unless asked for, the mixing of two iterations where
an earlier one is restored: its points are restored with it here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import CORRECTION_FIELDS, ring_coordinates
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.objective.pseudo_strain import (
    pseudo_strain,
    published_l1,
    published_weights,
    truncated_rho_d_mm,
)
from refimpl.objective.simplex import Reason, minimise_simplex
from refimpl.powder.published import (
    from_published_vector,
    published_vector,
)
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_panel_options import PanelOptions
from refimpl.powder.published_points import PublishedPoints
from refimpl.units import UM

__all__ = [
    "fit_published_panels",
    "panel_strain_of",
    "published_panel_index",
    "varied_panels",
]

_D_FAST = CORRECTION_FIELDS.index("d_fast_px")


def published_panel_index(detector: TiltedFlat, fast_px: F64, slow_px: F64) -> NDArray[np.int32]:
    """(n,) panel by the published rule: the first whose pixel *centres* enclose the raw position.

    A position in the outer half of an edge pixel is in no panel (-1); there are some in a hundred
    of them. On a single surface all are -1.
    """
    y, z = np.asarray(fast_px) - 0.5, np.asarray(slow_px) - 0.5
    index = np.full(y.shape, -1, dtype=np.int32)
    boxes = [] if detector.panel_boxes is None else list(detector.panel_boxes)
    for i in reversed(range(len(boxes))):
        f0, s0, f1, s1 = (int(v) for v in boxes[i])
        index[(y >= f0) & (y <= f1 - 1) & (z >= s0) & (z <= s1 - 1)] = i
    return index


def panel_strain_of(points: PublishedPoints, panel: NDArray[np.int32], detector: TiltedFlat) -> F64:
    """(n,) signed pseudo-strain of points on their panels."""
    table = detector.corrections
    radius, _, _ = ring_coordinates(points.fast_px, points.slow_px, panel, detector.geometry, table)
    return pseudo_strain(radius, detector.lsd_mm * np.tan(points.two_theta_rad))


@dataclass(frozen=True, eq=False)
class _Unknowns:
    """The published vector: ten of the surface, then each varied panel's, in order of panels."""

    start: TiltedFlat
    row: I64
    column: I64
    unit: F64
    x0: F64
    reach: F64

    @classmethod
    def of(
        cls,
        start: TiltedFlat,
        varied: NDArray[np.bool_],
        options: PublishedOptions,
        panels: PanelOptions,
    ) -> _Unknowns:
        each = panels.unknowns()
        row = np.repeat(np.flatnonzero(varied), len(each))
        n = int(varied.sum())
        column, unit, half = (np.tile([e[k] for e in each], n) for k in range(3))
        column = column.astype(np.int64)
        tol_p4 = options.tol_p4 if options.distortion_order >= 6 else 0.0
        surface = [
            *(options.tol_lsd_mm / UM, options.tol_bc_px, options.tol_bc_px),
            *(options.tol_tilt_deg, options.tol_tilt_deg, options.tol_p0, options.tol_p1),
            *(options.tol_p2, options.tol_p3_deg, tol_p4),
        ]
        x0 = np.concatenate([published_vector(start), start.corrections[row, column] / unit])
        return cls(start, row, column, unit, x0, np.concatenate([surface, half]))

    def table(self, x: F64) -> F64:
        """(p, k) corrections at a vector."""
        table = self.start.corrections
        table[self.row, self.column] = x[10:] * self.unit
        return table

    def at(self, x: F64) -> TiltedFlat:
        found = from_published_vector(x[:10], self.start)
        if not len(self.row):
            return found
        return found.replace(panel_corrections=self.table(x)[:, _D_FAST:])


def fit_published_panels(
    points: PublishedPoints,
    panel: NDArray[np.int32],
    start: TiltedFlat,
    options: PublishedOptions,
    panels: PanelOptions,
    weights: F64 | None = None,
) -> tuple[TiltedFlat, int, Reason]:
    """Minimise the published L1 objective over points on panels.

    Parameters
    ----------
    points, panel
        Points and the panel of each, (n,); every one in a panel where there are panels.
    start
        Geometry to begin at, and the middle of the bounds. A panel with too few points is set
        to zero, as published.
    options, panels
        Tolerances, weights, limits.
    weights
        (n,) before WeightByRadius; default: by NormalizeRingWeights over these points.

    Returns
    -------
    detector, evaluations, reason

    Raises
    ------
    ConfigError
        FixPanelID is no panel.
    """
    varied, start = varied_panels(panel, start, panels)
    unknowns = _Unknowns.of(start, varied, options, panels)
    if weights is None:
        weights = published_weights(
            points.ring, np.ones(len(points)), normalize_ring_weights=options.normalize_ring_weights
        )
    objective = _objective(points, panel, unknowns, weights, options)
    x0, reach = unknowns.x0, unknowns.reach
    found = minimise_simplex(
        *(objective, x0, x0 - reach, x0 + reach, 1e-5, 1e-5, options.max_evaluations),
        restarts=options.restarts,
    )
    return unknowns.at(found.x), found.evaluations, found.reason


def varied_panels(
    panel: NDArray[np.int32], start: TiltedFlat, panels: PanelOptions
) -> tuple[NDArray[np.bool_], TiltedFlat]:
    """(p,) which panels are unknowns, and the start with the panels of too few points at zero."""
    n_panels = len(start.corrections)
    if n_panels == 0:
        return np.zeros(0, dtype=bool), start
    if not 0 <= panels.fix_panel < n_panels:
        raise ConfigError(
            f"FixPanelID {panels.fix_panel}: the detector has panels 0 to {n_panels - 1}",
            key="FixPanelID",
            got=panels.fix_panel,
        )
    few = np.bincount(panel[panel >= 0], minlength=n_panels) < max(panels.min_points, 1)
    moves = start.corrections[:, _D_FAST:].copy()
    moves[few] = 0.0
    varied = ~few if panels.unknowns() else np.zeros(n_panels, dtype=bool)
    varied[panels.fix_panel] = False
    return varied, start.replace(panel_corrections=moves)


def _objective(
    points: PublishedPoints,
    panel: NDArray[np.int32],
    unknowns: _Unknowns,
    weights: F64,
    options: PublishedOptions,
) -> Callable[[F64], float]:
    """Weighted sum of absolute strains as a function of the published vector."""
    rho_d = unknowns.start.rho_d_mm
    model = unknowns.start.replace(
        rho_d_mm=truncated_rho_d_mm(rho_d) if options.published_rho_d else rho_d
    )
    tangent = np.tan(points.two_theta_rad)
    where = (points.fast_px, points.slow_px, panel)

    def value(vector: F64) -> float:
        if vector[0] <= 0.0:
            return float("inf")
        table, geometry = unknowns.table(vector), from_published_vector(vector[:10], model).geometry
        radius, _, _ = ring_coordinates(*where, geometry, table)
        weight = weights
        if options.weight_by_radius:  # by the radius before the distortion
            table[:, _D_FAST + 4] = 0.0
            geometry[10:] = 0.0
            weight = weights * (ring_coordinates(*where, geometry, table)[0] / model.rho_d_mm)
        return published_l1(pseudo_strain(radius, geometry[0] * tangent), weight)

    return value
