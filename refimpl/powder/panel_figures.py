"""What both engines say of a detector with panels, in the published terms and files.

:class:`PanelFigures` holds points, strains and geometry of one fit, of the published engine or of
ours; from it come the published table of points, the block of mean values and panelshifts.txt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.corrections import corrected_position
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import CORRECTION_FIELDS, ring_coordinates
from refimpl.frames import F64, I64, PIXEL_CENTRE
from refimpl.io.midas_outputs import CorrTable, MeanValues
from refimpl.objective.pseudo_strain import pseudo_strain, published_strain
from refimpl.powder.published import published_vector
from refimpl.powder.published_panel_run import PublishedPanelRun, panel_means
from refimpl.units import DEG, UM

if TYPE_CHECKING:
    from refimpl.powder.result import PowderResult

__all__ = ["PanelFigures", "mean_of"]

_D_FAST = CORRECTION_FIELDS.index("d_fast_px")
_D_LSD = CORRECTION_FIELDS.index("d_lsd_mm")


@dataclass(frozen=True, eq=False)
class PanelFigures:
    """One fit, whatever the engine; arrays have one entry a point unless said otherwise.

    Attributes
    ----------
    start, detector
        Geometry before and after, with their panels.
    fast_px, slow_px
        Raw position, model frame.
    panel
        -1 on a single surface.
    ring
        Ring number.
    two_theta_rad
        Of the ring.
    strain
        Signed.
    outlier
        By MultFactor and OutlierIterations, or as the engine decided.
    varied
        (p,) panels that were refined.
    mean_strain, std_strain
        As published.
    order
        DistortionOrder of the printed terms.
    """

    start: TiltedFlat
    detector: TiltedFlat
    fast_px: F64
    slow_px: F64
    panel: NDArray[np.int32]
    ring: I64
    two_theta_rad: F64
    strain: F64
    outlier: NDArray[np.bool_]
    varied: NDArray[np.bool_]
    mean_strain: float
    std_strain: float
    order: int

    @classmethod
    def of_run(cls, run: PublishedPanelRun) -> PanelFigures:
        """Figures of the published engine."""
        points = run.points
        return cls(
            *(run.start, run.detector, points.fast_px, points.slow_px, run.panel, points.ring),
            *(points.two_theta_rad, run.strain, run.outlier, run.varied),
            *(run.mean_strain, run.std_strain, run.options.distortion_order),
        )

    @classmethod
    def of_result(
        cls,
        result: PowderResult,
        start: TiltedFlat,
        mult_factor: float,
        outlier_iterations: int,
        order: int,
    ) -> PanelFigures:
        """Figures of our engine, its used points judged by the published rules."""
        points = result.points.select(result.points.used)
        detector, strain = result.model, result.strain[result.points.used]
        panels = 0 if detector.panel_boxes is None else len(detector.panel_boxes)
        varied = np.zeros(panels, dtype=bool)
        if result.panels is not None:
            active = [name in result.panels.refined for name in CORRECTION_FIELDS[2:]]
            varied = np.asarray((~result.panels.held[:, active]).any(axis=1))
        figures = published_strain(strain, mult_factor, outlier_iterations)
        return cls(
            *(start, detector, points.fast_px, points.slow_px),
            panel=(points.panel if panels else np.full(len(points), -1)).astype(np.int32),
            ring=np.asarray(result.rings.number)[points.ring].astype(np.int64),
            two_theta_rad=result.rings.two_theta_rad[points.ring],
            strain=strain,
            outlier=figures.outlier,
            varied=varied,
            mean_strain=figures.mean_strain,
            std_strain=figures.std_strain,
            order=order,
        )

    def at(self, detector: TiltedFlat) -> PanelFigures:
        """Copy told by another detector that maps every panel alike (``fixed_panel``)."""
        return replace(self, detector=detector)

    @property
    def counts(self) -> I64:
        """(p,) points of each panel."""
        return np.bincount(self.panel[self.panel >= 0], minlength=len(self.detector.corrections))

    def panel_means(self) -> F64:
        """(p,) mean absolute strain without outliers; NaN for a panel without points."""
        n_panels = len(self.detector.corrections)
        return panel_means(self.strain, self.panel, ~self.outlier, n_panels)

    def mean_values(self) -> MeanValues:
        """Block of mean values."""
        x = [float(v) for v in published_vector(self.detector)]
        p = self.detector.p
        shown = [n for n in range(15) if n < 4 or (n == 4 and self.order >= 6) or p[n] != 0.0]
        return MeanValues(
            lsd_um=x[0],
            bc_px=(x[1], x[2]),
            ty_deg=x[3],
            tz_deg=x[4],
            p={f"p{n}": float(p[n]) for n in shown},
            mean_strain=self.mean_strain,
            std_strain=self.std_strain,
        )

    @property
    def moves(self) -> F64:
        """(p, 7) corrections of the panels, by ``PANEL_FIELDS``."""
        return self.detector.corrections[:, _D_FAST:]

    def corr_table(self) -> CorrTable:
        """Table of points: at the result, at the start, and the corrected positions."""
        ends = [self._coordinates(detector) for detector in (self.detector, self.start)]
        y_px, z_px = self._moved()
        return CorrTable(
            *ends[0],
            *ends[1],
            self.two_theta_rad / DEG,
            self.outlier,
            y_px,
            z_px,
            self.ring,
        )

    def _coordinates(self, detector: TiltedFlat) -> tuple[F64, F64, F64]:
        """Eta [deg], absolute strain and radius [um] at a geometry.

        The published radius is the one on the plane at the distance of the panel.
        """
        table = detector.corrections
        panel = self.panel if len(table) else np.full_like(self.panel, -1)
        radius, eta, _ = ring_coordinates(
            self.fast_px, self.slow_px, panel, detector.geometry, table
        )
        strain = pseudo_strain(radius, detector.lsd_mm * np.tan(self.two_theta_rad))
        offset = np.append(table[:, _D_LSD], 0.0)[panel]
        return eta / DEG, np.abs(strain), radius * (1.0 + offset / detector.lsd_mm) / UM

    def _moved(self) -> tuple[F64, F64]:
        """Positions after rotation and shift of the panels, counted from pixel centres."""
        fast, slow = self.fast_px, self.slow_px
        if self.detector.panel_boxes is not None:
            boxes = np.asarray(self.detector.panel_boxes)[self.panel].T
            fast, slow = corrected_position(fast, slow, boxes, self.moves[self.panel].T)
        return fast - PIXEL_CENTRE, slow - PIXEL_CENTRE


def mean_of(values: Sequence[MeanValues]) -> MeanValues:
    """Mean over the files of a run, as the published block at the end."""

    def mean(numbers: Sequence[float]) -> float:
        return float(np.mean(numbers))

    names = values[0].p
    return MeanValues(
        lsd_um=mean([v.lsd_um for v in values]),
        bc_px=(mean([v.bc_px[0] for v in values]), mean([v.bc_px[1] for v in values])),
        ty_deg=mean([v.ty_deg for v in values]),
        tz_deg=mean([v.tz_deg for v in values]),
        p={name: mean([v.p.get(name, 0.0) for v in values]) for name in names},
        mean_strain=mean([v.mean_strain for v in values]),
        std_strain=mean([v.std_strain for v in values]),
    )
