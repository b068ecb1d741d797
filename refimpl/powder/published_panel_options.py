"""Options of the published calibration with panels, by its names in the descriptions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refimpl.detector.tilted_flat import CORRECTION_FIELDS
from refimpl.units import DEG, UM

__all__ = ["PanelOptions"]

LEAST_SHIFT_RANGE = 1e-12
"""tolShifts above this makes panels unknowns, as published."""

_D_FAST = CORRECTION_FIELDS.index("d_fast_px")


@dataclass(frozen=True)
class PanelOptions:
    """What a published run with panels is told beyond :class:`PublishedOptions`.

    Attributes
    ----------
    fix_panel
        FixPanelID: no number of this panel is varied.
    tol_shift_px, tol_rotation_deg
        tolShifts and tolRotation; 0 leaves shifts (then all of the panels), or rotations, out.
    per_panel_lsd, tol_panel_lsd_mm, per_panel_p2, tol_panel_p2
        PerPanelLsd, tolLsdPanel, PerPanelDistortion, tolP2Panel.
    min_points
        MinIndicesForFit: a panel with fewer points is held at zero. (The manual says "per ring";
        the program counts by panel.)
    weighted_mean
        FitOrWeightedMean: points are weighted means instead of fitted peaks.
    published_restore
        Where an earlier iteration was the best, restore its geometry but leave the points of the
        last iteration, as published. Off: its points come with it.
    """

    fix_panel: int = 0
    tol_shift_px: float = 1.0
    tol_rotation_deg: float = 0.0
    per_panel_lsd: bool = False
    tol_panel_lsd_mm: float = 0.1
    per_panel_p2: bool = False
    tol_panel_p2: float = 1e-4
    min_points: int = 1
    weighted_mean: bool = False
    published_restore: bool = False

    @staticmethod
    def from_params(params: Mapping[str, Any], **changes: Any) -> PanelOptions:
        """Read from parameters by published key; `changes` override them."""
        values: dict[str, Any] = {
            "fix_panel": int(params["FixPanelID"]),
            "tol_shift_px": float(params["tolShifts"]),
            "tol_rotation_deg": float(params["tolRotation"]),
            "per_panel_lsd": bool(params["PerPanelLsd"]),
            "tol_panel_lsd_mm": float(params["tolLsdPanel"]) * UM,
            "per_panel_p2": bool(params["PerPanelDistortion"]),
            "tol_panel_p2": float(params["tolP2Panel"]),
            "min_points": int(params["MinIndicesForFit"]),
            "weighted_mean": bool(params["FitOrWeightedMean"]),
        }
        return PanelOptions(**(values | changes))

    def unknowns(self) -> tuple[tuple[int, float, float], ...]:
        """Column of the corrections, unit and half width (in that unit) of a panel's unknowns."""
        if self.tol_shift_px <= LEAST_SHIFT_RANGE:
            return ()
        shift, rotation = self.tol_shift_px, self.tol_rotation_deg
        found = [(_D_FAST, 1.0, shift), (_D_FAST + 1, 1.0, shift)]
        if rotation > 0.0:
            found.append((_D_FAST + 2, DEG, rotation))
        if self.per_panel_lsd:
            found.append((_D_FAST + 3, UM, self.tol_panel_lsd_mm / UM))
        if self.per_panel_p2:
            found.append((_D_FAST + 4, 1.0, self.tol_panel_p2))
        return tuple(found)
