"""A run of the published panel program as its files tell it, ready to be computed anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.model import TiltedFlat
from refimpl.errors import FormatError
from refimpl.frames import F64
from refimpl.interop.midas import tilted_flat_from_midas
from refimpl.io.midas_outputs import read_corr, read_mean_values, read_panel_shifts
from refimpl.io.midas_params import read_params
from refimpl.io.panel_files import corrections_from_shifts
from refimpl.powder.panel_figures import PanelFigures
from refimpl.powder.published_panels import panel_strain_of, published_panel_index
from refimpl.powder.published_points import PublishedPoints
from refimpl.units import DEG

__all__ = ["PanelRun"]


class PanelRun:
    """One run: its files, and the points behind its corr.csv in pixels as measured.

    Parameters
    ----------
    folder
        Holds ps.txt, out.txt, panelshifts.txt and the corr.csv of the frame.

    Raises
    ------
    FormatError
        A file is not what it should be, or a point is on no panel.
    """

    def __init__(self, folder: Path) -> None:
        self.params = read_params(folder / "ps.txt")
        self.mean = read_mean_values(folder / "out.txt")
        self.shifts = read_panel_shifts(folder / "panelshifts.txt")
        self.corr = read_corr(folder / "CeO2_740mm_000005.raw.corr.csv")
        self.text = (folder / "out.txt").read_text(errors="replace")
        end = {"Lsd": self.mean.lsd_um, "BC": self.mean.bc_px, "ty": self.mean.ty_deg}
        plain = tilted_flat_from_midas(
            {**self.params.given, **end, "tz": self.mean.tz_deg, **self.mean.p}
        )
        boxes = plain.panel_boxes
        moves = corrections_from_shifts(self.shifts, 0 if boxes is None else len(boxes))
        self.detector: TiltedFlat = plain.replace(panel_corrections=moves)
        self.panel, self.fast, self.slow = self._raw(folder)

    def _raw(self, folder: Path) -> tuple[NDArray[np.int32], F64, F64]:
        """Undo the shifts of the printed positions; the panel is where that lands."""
        corr, table = self.corr, self.detector.corrections
        out = np.full((3, len(corr.ring)), np.nan)
        for i, row in enumerate(table):
            cf, cs, df, ds, angle = row[:5]
            x, y = corr.y_px + 0.5 - cf - df, corr.z_px + 0.5 - cs - ds
            fast = cf + x * np.cos(angle) + y * np.sin(angle)
            slow = cs - x * np.sin(angle) + y * np.cos(angle)
            here = published_panel_index(self.detector, fast, slow) == i
            if not np.isnan(out[0, here]).all():
                raise FormatError("a point lies on two panels", path=folder)
            out[0, here], out[1, here], out[2, here] = i, fast[here], slow[here]
        if not np.isfinite(out).all():
            raise FormatError("a point lies on no panel", path=folder)
        return out[0].astype(np.int32), out[1], out[2]

    def points(self) -> PublishedPoints:
        """The points, without the bins that they came from."""
        tt = self.corr.ideal_two_theta_deg * DEG
        empty = np.zeros(len(tt))
        return PublishedPoints(self.corr.ring, tt, empty, empty, self.fast, self.slow, 6120, 0)

    def figures(self) -> PanelFigures:
        """What is printed and drawn of the run, from its points and its geometry."""
        points = self.points()
        strain = panel_strain_of(points, self.panel, self.detector)
        return PanelFigures(
            self.detector, self.detector, self.fast, self.slow, self.panel, self.corr.ring,
            points.two_theta_rad, strain, self.corr.outlier, np.zeros(48, dtype=np.bool_),
            0.0, 0.0, 6,
        )  # fmt: skip
