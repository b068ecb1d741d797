"""Where the predicted rings run on the image, and which of them have room for a label."""

from __future__ import annotations

import numpy as np

from refimpl.frames import F64
from refimpl.report.view import PowderView

__all__ = ["label_positions", "ring_curve", "sectors", "spread"]

SECTOR_RAD = np.pi / 12.0
"""Rings are drawn in every other sector of this width: where the line stops, the data go on."""


def ring_curve(view: PowderView, two_theta: float, eta: F64) -> tuple[F64, F64]:
    """Pixel positions (fast, slow) of a ring at (n,) eta [rad]; NaN off the image.

    Panel corrections are applied where the uncorrected position falls on a panel.
    """
    radius = np.full(len(eta), view.model.lsd_mm * np.tan(two_theta))
    fast, slow = view.model.pixel_position(radius, eta)
    if view.model.panel_boxes is not None:
        panel = view.model.panel_index(fast, slow)
        on_panel = panel >= 0
        if on_panel.any():
            fast[on_panel], slow[on_panel] = view.model.pixel_position(
                radius[on_panel], eta[on_panel], panel[on_panel]
            )
    off = (fast < 0) | (slow < 0) | (fast > view.model.shape[1]) | (slow > view.model.shape[0])
    off |= ~(np.isfinite(fast) & np.isfinite(slow))
    return np.where(off, np.nan, fast), np.where(off, np.nan, slow)


def sectors(step_rad: float = np.pi / 360.0) -> F64:
    """(n,) eta [rad] over the circle, NaN in every other sector, to draw interrupted rings."""
    eta = np.arange(-np.pi, np.pi + step_rad / 2, step_rad)
    drawn = np.floor(eta / SECTOR_RAD).astype(int) % 2 == 0
    return np.where(drawn, eta, np.nan)


def spread(positions: F64, least: float) -> list[int]:
    """Indices of ascending positions that stand at least ``least`` apart, the first kept."""
    kept: list[int] = []
    for index, position in enumerate(positions):
        if np.isfinite(position) and (not kept or position - positions[kept[-1]] >= least):
            kept.append(index)
    return kept


def label_positions(view: PowderView, least_px: float) -> list[tuple[int, float, float]]:
    """(ring row, fast, slow) of one label a ring where there is room, near the upper right.

    Of all directions the one with the most visible rings is taken, eta = 45 degrees at a tie.
    """
    best: list[tuple[int, float, float]] = []
    for eta_deg in (45, -45, 135, -135, 0, 90, -90, 180):
        here = []
        for row, angle in enumerate(view.ring_two_theta):
            fast, slow = ring_curve(view, float(angle), np.array([np.radians(eta_deg)]))
            here.append((row, float(fast[0]), float(slow[0])))
        # A label that would be cut by the edge is no label.
        seen = [
            spot
            for spot in here
            if 0.6 * least_px < spot[1] < view.model.shape[1] - 0.6 * least_px
            and 0.4 * least_px < spot[2] < view.model.shape[0] - 0.4 * least_px
        ]
        bf, bs = view.model.beam_centre_px
        radii = np.array([np.hypot(f - bf, s - bs) for _, f, s in seen])
        kept = [seen[i] for i in spread(radii, least_px)]
        if len(kept) > len(best):
            best = kept
    return best
