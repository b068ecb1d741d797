"""Map of the panels' shifts: an arrow a panel, drawn longer, with the ellipse of its error."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.numbers import with_uncertainty
from refimpl.report.panel_map import (
    CLEAR,
    EDGE,
    HATCHED,
    draw_panels,
    is_low,
    nice_below,
    panel_label,
    panels_of,
    room,
)
from refimpl.report.panel_view import PanelView
from refimpl.report.pictures import frame_detector, picture_size, place
from refimpl.report.view import PowderView

__all__ = ["panel_shifts"]

_WIDTH_IN = 9.6
_LEFT, _BELOW, _ABOVE = 0.72, 0.58, 0.48
_SCALES = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)  # steps of the arrows' magnification


def panel_shifts(view: PowderView) -> Figure:
    """Every panel's shift in the plane: an arrow drawn longer, on the colour of its size."""
    panels = panels_of(view)
    low = is_low(view)
    with style.styled():
        # The key stands beside the map, or below it where the detector is a strip.
        beside, below = (0.25, 2.05) if low else (2.75, 0.0)
        wide, tall = picture_size(view, _WIDTH_IN - _LEFT - beside, 7.2)
        height = tall if low else max(tall, 3.5)
        figure = style.new_figure(_LEFT + wide + beside, height + below + _BELOW + _ABOVE)
        upper = below + _BELOW + height
        ax = place(figure, _LEFT, upper - tall, wide, tall)
        frame_detector(ax, view)
        style.title(ax, "Shift of every panel in the plane")
        sure, held = panels.shift_sure, panels.shift_held
        size = panels.shift_px
        top = float(np.max(size[sure & ~held], initial=0.0)) or float(np.max(size, initial=0.0))
        norm = Normalize(0.0, top or 1.0)
        coloured = draw_panels(ax, panels.boxes, size, norm, style.SEQUENTIAL, sure=sure, held=held)
        scale = _arrow_scale(panels)
        _draw_arrows(ax, panels, scale)
        _name_panels(ax, panels, held)
        if low:
            spots = [(_LEFT, 1.2), (_LEFT + 2.5, 1.65), (_LEFT + 5.6, 1.35), (_LEFT, 0.95)]
        else:
            left = _LEFT + wide + 0.35
            spots = [(left, upper - fall) for fall in (0.62, 0.8, 2.75, 3.35)]
        _scale_arrow(figure, ax, scale, top, spots[0])
        _shift_key(figure, panels, *spots[1])
        bar = figure.colorbar(
            coloured, cax=place(figure, *spots[2], 2.1, 0.16), orientation="horizontal"
        )
        bar.set_label("length of the shift (px)")
        bar.outline.set_linewidth(0.6)
        _median_note(figure, panels, *spots[3])
    return figure


def _arrow_scale(panels: PanelView) -> float:
    """Pixels on the map for one pixel of shift, a round number."""
    size = panels.shift_px
    free = size[~panels.shift_held & (size > 0.0)]
    if not free.size:
        return 1.0
    # One stray panel must not shrink all the others to dots.
    largest = min(float(free.max()), 4.0 * float(np.median(free)))
    side = float(np.median(np.min(panels.boxes[:, 2:] - panels.boxes[:, :2], axis=1)))
    return nice_below(0.9 * side / largest, _SCALES)


def _draw_arrows(ax: Axes, panels: PanelView, scale: float) -> None:
    """Arrows on the panels' centres, and the ellipse of twice the uncertainty at their tips."""
    free = ~panels.shift_held
    tip = panels.centres + 0.5 * scale * panels.corrections[:, :2]
    refined = {"d_fast_px", "d_slow_px"} & set(panels.refined)
    if refined:
        ring = _ellipses(panels.shift_covariance[free]) * 2.0 * scale
        # An uncertainty larger than its panel only says that much: it must not cover the others.
        side = np.min(panels.boxes[free, 2:] - panels.boxes[free, :2], axis=1)[:, None, None]
        length = np.linalg.norm(ring, axis=2, keepdims=True)
        ring *= np.minimum(1.0, 0.6 * side / np.where(length > 0.0, length, 1.0))
        ring += tip[free, None, :]
        ax.add_collection(
            PolyCollection(
                list(ring), facecolors="none", edgecolors=style.VERMILLION, linewidths=0.7, zorder=4
            )
        )
    for mine, colour, width in (
        (free & ~panels.shift_sure, style.MUTED, 0.0016),
        (free & panels.shift_sure, style.INK, 0.0034),
    ):
        if mine.any():
            start, move = panels.centres[mine], scale * panels.corrections[mine, :2]
            ax.quiver(
                *(start[:, 0], start[:, 1], move[:, 0], move[:, 1]),
                **_arrow_style(colour, width if len(panels) < 100 else 0.55 * width),
            )


def _arrow_style(colour: str, width: float) -> dict[str, Any]:
    """Arrows in data units of the axes; `width` is a share of the axes' width."""
    how: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1.0, "units": "width"}
    head: dict[str, Any] = {"headwidth": 4.0, "headlength": 5.0, "headaxislength": 4.5}
    return {
        **how,
        **head,
        "width": width,
        "minlength": 0.0,
        "color": colour,
        "zorder": 5,
        "pivot": "mid",
    }


def _ellipses(covariance: F64) -> F64:
    """(p, 25, 2) outlines of one standard deviation."""
    value, vector = np.linalg.eigh(np.where(np.isfinite(covariance), covariance, 0.0))
    root = vector * np.sqrt(np.maximum(value, 0.0))[:, None, :]
    angle = np.linspace(0.0, 2.0 * np.pi, 25)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return np.asarray(np.einsum("pij,nj->pni", root, circle), dtype=np.float64)


def _name_panels(ax: Axes, panels: PanelView, held: NDArray[np.bool_]) -> None:
    """Number of every panel in its corner, and which are held, where there is room."""
    small: dict[str, Any] = {"fontsize": 6.5, "color": style.INK}
    tall = room(ax, panels.boxes)[:, 1] >= 0.3
    numbers = [str(i) if tall[i] and not held[i] else "" for i in range(len(panels))]
    panel_label(ax, panels.boxes, numbers, at=(0.04, 0.97), **small)
    words = [f"{i}\nheld" if t else "held" for i, t in enumerate(tall)]
    words = [word if h else "" for word, h in zip(words, held, strict=True)]
    panel_label(ax, panels.boxes, words, color=style.INK, bbox=CLEAR)
    sigma = panels.shift_sigma_px
    spacious = room(ax, panels.boxes).min(axis=1) > 0.9
    known = [
        f"{with_uncertainty(s, e)} px" if ok and not h else ""
        for s, e, ok, h in zip(panels.shift_px, sigma, spacious, held, strict=True)
    ]
    panel_label(ax, panels.boxes, known, at=(0.98, 0.03), ha="right", bbox=CLEAR)


def _scale_arrow(
    figure: Figure, ax: Axes, scale: float, top: float, spot: tuple[float, float]
) -> None:
    """Labelled arrow of a round length, on the scale of the map."""
    wide_in = 2.1
    per_in = np.ptp(ax.get_xlim()) / (figure.get_size_inches()[0] * ax.get_position().width)
    key = place(figure, *spot, wide_in, 0.2)
    key.set(xlim=(0.0, wide_in * per_in), ylim=(-1.0, 1.0))
    key.axis("off")
    value = nice_below(min(2.0 * max(top, 1e-9), 1.6 * per_in / scale))
    # The width of the arrow is a share of its axes, which are narrower than the map.
    width = 0.0034 * ax.get_position().width / key.get_position().width
    key.quiver(
        [0.5 * value * scale], [0.0], [value * scale], [0.0], **_arrow_style(style.INK, width)
    )
    key.set_gid("scale_arrow")
    factor = f"{scale:,.0f}" if scale >= 1.0 else f"{scale:g}"
    key.set_title(f"{value:g} px, drawn {factor} times", fontsize=9.0, fontweight="normal", pad=3.0)


def _shift_key(figure: Figure, panels: PanelView, left: float, top: float) -> None:
    """Legend: what is sure, what is not, what is held."""
    width, height = figure.get_size_inches()
    filled = Patch(fc="#6fb4de", ec=EDGE, lw=0.6)
    rest = (Patch(fc="#ffffff", ec=EDGE, lw=0.6), _inset_mark())
    marks: list[tuple[Any, str]] = [(filled, "at least 2σ"), (rest, "below 2σ: not sure of it")]
    if {"d_fast_px", "d_slow_px"} & set(panels.refined):
        hollow: dict[str, Any] = {"ls": "", "mfc": "none", "mec": style.VERMILLION, "mew": 0.8}
        marks.append((Line2D([], [], marker="o", ms=9, **hollow), "2σ of the arrow's tip"))
    if panels.shift_held.any():
        hatched = Patch(**{**HATCHED, "lw": 0.6, "ec": style.GREY})
        marks.append((hatched, f"held: {int(panels.shift_held.sum())} of {len(panels)}"))
    figure.legend(
        [m for m, _ in marks],
        [t for _, t in marks],
        handler_map={tuple: HandlerTuple(ndivide=1)},
        loc="upper left",
        bbox_to_anchor=(left / width - 0.008, top / height),
        borderaxespad=0.0,
        labelspacing=0.8,
    )


def _inset_mark() -> Line2D:
    return Line2D([], [], ls="", marker="s", ms=4, mfc="#6fb4de", mec="none")


def _median_note(figure: Figure, panels: PanelView, left: float, top: float) -> None:
    """Median and largest shift in words."""
    free = np.flatnonzero(~panels.shift_held)
    if not free.size:
        return
    size, sigma = panels.shift_px, panels.shift_sigma_px
    worst = int(free[np.argmax(size[free])])
    words = (
        f"median {np.median(size[free]):.3g} px\n"
        f"largest {with_uncertainty(size[worst], sigma[worst])} px, panel {worst}"
    )
    w, h = figure.get_size_inches()
    spot: dict[str, Any] = {"fontsize": 9.0, "color": style.INK, "va": "top", "linespacing": 1.5}
    figure.text(left / w, top / h, words, **spot)
