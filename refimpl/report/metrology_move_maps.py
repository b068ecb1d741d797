"""Map of a detector with the moves of its panels: shifts as arrows, the rest as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.metrology_maps import (
    ABOVE,
    BELOW,
    LEFT,
    axes_at,
    frame_layout,
    outline,
    size_in,
    window,
)
from refimpl.report.metrology_view import DetectorView
from refimpl.report.panel_map import HATCHED, nice_below

__all__ = ["panel_moves_figure"]

_LONGEST = 1.6
"""Longest arrow over the shorter side of a panel: one runaway must not cover its neighbours."""


def panel_moves_figure(view: DetectorView) -> Figure:
    """Refined against starting panels: shift as an arrow; height, tilts and turn as colours."""
    with style.styled():
        wide, tall = size_in(view, 5.3, 5.6)
        tall = max(tall, 3.6)
        small = size_in(view, 2.2, (tall - 0.9) / 3.0)
        across = LEFT + wide + 0.5 + max(small[0] + 0.95, 2.35)
        figure = style.new_figure(across, BELOW + tall + ABOVE + 0.55)
        base = BELOW + 0.55
        own = size_in(view, wide, tall)
        ax = axes_at(figure, LEFT, base + tall - own[1], *own)
        frame_layout(ax, view)
        _shifts(figure, ax, view, (LEFT, wide))
        tilt = np.hypot(view.moves[:, 3], view.moves[:, 4])
        spread = np.hypot(view.sigma[:, 3], view.sigma[:, 4])
        kinds: list[tuple[str, F64, F64, bool]] = [
            ("Away from the sample (µm)", view.moves[:, 2], view.sigma[:, 2], True),
            ("Turn in the plane (mrad)", view.moves[:, 5], view.sigma[:, 5], True),
            ("Tilt (mrad)", tilt, spread, False),
        ]
        step = (tall - small[1]) / 2.0
        for k, (name, values, sigma, signed) in enumerate(kinds):
            place = (LEFT + wide + 0.5, base + tall - small[1] - k * step, *small)
            _small_map(figure, view, place, name, values, sigma, signed)
    return figure


def _shifts(figure: Figure, ax: Axes, view: DetectorView, place: tuple[float, float]) -> None:
    """Large map: arrows, and colours for their length."""
    shift = view.moves[:, :2] * 1e-3 / view.pixel_mm  # px
    size = np.linalg.norm(shift, axis=1)
    free = ~view.held
    top = float(np.max(size[free], initial=0.0)) or 1.0
    norm = Normalize(0.0, top)
    coloured = _filled(ax, view, size, norm, style.SEQUENTIAL)
    side = float(np.median(np.min(view.layout.size_px, axis=1)))
    longest = max(min(top, 3.0 * float(np.median(size[free]))), 1e-9) if free.any() else 1.0
    scale = nice_below(1.1 * side / longest, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
    at = view.layout.centres[free]
    panel = np.flatnonzero(free)
    along = view.layout.vectors(panel, shift[free]) * scale
    cut = size[free] * scale > _LONGEST * side
    along[cut] *= (_LONGEST * side / (size[free][cut] * scale))[:, None]
    ax.quiver(
        at[:, 0], at[:, 1], along[:, 0], along[:, 1], angles="xy", scale_units="xy", scale=1.0,
        pivot="mid", width=0.005 if view.n_panels < 100 else 0.003, minlength=0.0,
        color=np.where(cut, style.VERMILLION, style.INK), headwidth=4.0, headlength=4.5,
        headaxislength=4.0, zorder=5,
    )  # fmt: skip
    _names(figure, ax, view)
    drawn = f"arrows drawn {scale:,.0f} times" + (
        "; orange: longer than drawn" if cut.any() else ""
    )
    style.title(ax, "Shift of every panel", drawn if place[1] > 4.0 else "")
    bar_ax = axes_at(figure, place[0] + 0.1 * place[1], 0.52, 0.8 * place[1], 0.15)
    bar = figure.colorbar(coloured, cax=bar_ax, orientation="horizontal")
    held = int(view.held.sum())
    note = f"; hatched: {held} held" if held else ""
    wide = place[1] > 4.0
    bar.set_label(("length of the shift (px)" if wide else f"shift (px); arrows ×{scale:g}") + note)
    bar.outline.set_linewidth(0.6)


def _filled(
    ax: Axes, view: DetectorView, values: F64, norm: Normalize, cmap: Any
) -> PolyCollection:
    """Colour the panels that moved, hatch those that are held."""
    outlines = list(view.layout.outlines)
    outline(ax, view)
    held: NDArray[np.bool_] = view.held
    if held.any():
        ax.add_collection(
            PolyCollection([o for o, h in zip(outlines, held, strict=True) if h], **HATCHED)
        )
    drawn = PolyCollection(
        [o for o, h in zip(outlines, held, strict=True) if not h], cmap=cmap, norm=norm,
        linewidths=0, zorder=2,
    )  # fmt: skip
    drawn.set_array(values[~held])
    ax.add_collection(drawn)
    outline(ax, view, fill="none", zorder=2.5)
    return drawn


def _names(figure: Figure, ax: Axes, view: DetectorView) -> None:
    """Number of each panel in its corner, where there is room."""
    width = figure.get_size_inches()[0] * ax.get_position().width
    low, high = window(view)
    extent = view.layout.outlines.max(axis=1) - view.layout.outlines.min(axis=1)
    inches = extent * width / (high[0] - low[0])
    for k, (wide, tall) in enumerate(inches):
        corner = view.layout.outlines[k]
        whole = np.all((corner >= low) & (corner <= high))  # or the number would be cut
        if wide > 0.24 and tall > 0.16 and whole:
            place = corner[0] + 0.06 * (corner[2] - corner[0])
            upper = corner[0, 1] < corner[:, 1].mean()
            up = upper == (view.layout.unit == "px")
            side = "left" if corner[0, 0] < corner[:, 0].mean() else "right"
            ax.text(
                place[0], place[1], str(k), fontsize=6.5, color=style.MUTED, ha=side,
                va="top" if up else "bottom", zorder=6, clip_on=True,
            )  # fmt: skip


def _small_map(
    figure: Figure, view: DetectorView, place: tuple[float, float, float, float], name: str,
    values: F64, sigma: F64, signed: bool,
) -> None:  # fmt: skip
    """One number of every panel; those below twice their uncertainty are small fields."""
    ax = axes_at(figure, *place)
    frame_layout(ax, view, labels=False)
    free = ~view.held
    top = float(np.max(np.abs(values[free]), initial=0.0)) or 1.0
    norm = TwoSlopeNorm(0.0, -top, top) if signed else Normalize(0.0, top)
    drawn = _filled(ax, view, values, norm, style.DIVERGING if signed else style.SEQUENTIAL)
    unsure = free & np.isfinite(sigma) & (np.abs(values) < 2.0 * sigma)
    if unsure.any() and len(values) < 200:
        at = view.layout.centres[unsure]
        for colour, width in (("#ffffff", 2.2), (style.INK, 0.9)):
            ax.plot(
                at[:, 0], at[:, 1], ls="", marker="x", ms=3.8, mew=width, color=colour, zorder=6
            )
    ax.set_title(name, fontsize=9.5, pad=5.0)
    left, bottom, wide, tall = place
    bar = figure.colorbar(drawn, cax=axes_at(figure, left + wide + 0.12, bottom, 0.12, tall))
    bar.outline.set_linewidth(0.6)
    bar.ax.tick_params(labelsize=8.0)
