"""Correlations of panel fits: hundreds of parameters in blocks by kind, without a soup of ticks."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.numbers import count, parameter
from refimpl.report.panel_map import panels_of
from refimpl.report.panel_view import PanelView
from refimpl.report.pictures import place
from refimpl.report.view import PowderView

__all__ = ["panel_correlations", "strongest"]

_WIDTH_IN = 9.6


def panel_correlations(view: PowderView) -> Figure:
    """Correlations by kind: all of them, the global ones, and how panels imitate the global."""
    panels = panels_of(view)
    blocks = list(panels.blocks())
    with style.styled():
        figure = style.new_figure(_WIDTH_IN, 6.3)
        ax = place(figure, 0.85, 0.85, 4.9, 4.9)
        order = [row for _, rows in blocks for row in rows]
        matrix = np.asarray(panels.correlation, dtype=float)[np.ix_(order, order)]
        style.title(ax, "Correlations of all parameters", f"{count(len(order))} parameters")
        picture = _draw_matrix(ax, matrix)
        _name_blocks(ax, blocks)
        # The empty half of the square is the place of the key.
        bar = figure.colorbar(
            picture, cax=place(figure, 3.75, 5.3, 1.85, 0.13), orientation="horizontal"
        )
        bar.set_label("correlation")
        bar.set_ticks([-1.0, 0.0, 1.0])
        bar.outline.set_linewidth(0.6)
        top = dict(blocks).get("global", [])
        if top:
            _draw_global(figure, panels, top, blocks)
    return figure


def _draw_matrix(ax: Axes, matrix: F64) -> AxesImage:
    """Lower triangle of correlations; the diagonal says nothing."""
    k = len(matrix)
    lower = np.where(np.tril(np.ones((k, k), dtype=bool), -1), matrix, np.nan)
    small, factor = strongest(lower)
    end = len(small) * factor - 0.5
    picture = ax.imshow(
        np.ma.masked_invalid(small),
        cmap=style.DIVERGING, vmin=-1.0, vmax=1.0, origin="upper", extent=(-0.5, end, end, -0.5),
    )  # fmt: skip
    ax.set(xticks=[], yticks=[])
    if k > 1:
        ax.set(xlim=(-0.5, k - 1.5), ylim=(k - 0.5, 0.5))
    ax.grid(visible=False)
    return picture


def strongest(matrix: F64, limit: int = 600) -> tuple[F64, int]:
    """Shrink a matrix by a whole factor, keeping the strongest value of each block.

    There are fewer dots on paper than parameters; without this a single strong pair is lost.
    """
    factor = max(1, -(-len(matrix) // limit))
    low, _ = style.pool_maxima(-matrix, limit)
    high, _ = style.pool_maxima(matrix, limit)
    return np.where(low > high, -low, high), factor


def _name_blocks(ax: Axes, blocks: list[tuple[str, list[int]]]) -> None:
    """Names of the kinds along both axes, and lines between them."""
    start = 0
    total = sum(len(rows) for _, rows in blocks)
    for name, rows in blocks:
        middle = start + 0.5 * len(rows) - 0.5
        beside: dict[str, Any] = {"fontsize": 9.0, "clip_on": False}
        left, below = ax.get_yaxis_transform(), ax.get_xaxis_transform()
        ax.text(-0.015, middle, name, ha="right", va="center", transform=left, **beside)
        narrow = len(rows) < 0.13 * total  # its name would run into the next
        turn: dict[str, Any] = {"rotation": 45, "ha": "right"} if narrow else {"ha": "center"}
        ax.text(middle, -0.015, name, va="top", transform=below, **turn, **beside)
        start += len(rows)
        if start < total:
            line: dict[str, Any] = {"color": style.INK, "lw": 0.6}
            ax.plot([-0.5, start - 0.5], [start - 0.5] * 2, **line)
            ax.plot([start - 0.5] * 2, [start - 0.5, total - 0.5], **line)


def _draw_global(
    figure: Figure, panels: PanelView, top: list[int], blocks: list[tuple[str, list[int]]]
) -> None:
    """Global parameters among themselves, and the largest correlation with each kind."""
    names = [_short(panels.correlation_names[i]) for i in top]
    matrix = np.asarray(panels.correlation, dtype=float)
    g, size = len(top), 8.0 if len(top) <= 12 else 6.5
    small, low = place(figure, 6.85, 3.75, 2.0, 2.0), place(figure, 6.85, 0.85, 2.0, 1.9)
    for ax, text in ((small, "Global parameters"), (low, "Largest |r| with any panel's")):
        ax.set_title(text, fontsize=10.0, loc="left", pad=6.0)
        ax.grid(visible=False)
    _draw_matrix(small, matrix[np.ix_(top, top)])
    small.set_yticks(range(1, g), names[1:], fontsize=size)
    small.set_xticks(range(g - 1), names[:-1], fontsize=size, rotation=90 if g > 5 else 45)
    kinds = [(name, rows) for name, rows in blocks if name != "global"]
    peak = np.array([[np.max(np.abs(matrix[i, rows])) for _, rows in kinds] for i in top])
    if kinds:
        low.imshow(peak, cmap=style.SEQUENTIAL, vmin=0.0, vmax=1.0, origin="upper", aspect="auto")
    turn: dict[str, Any] = {"rotation": 45, "ha": "right"} if len(kinds) > 4 else {}
    low.set_xticks(range(len(kinds)), [name for name, _ in kinds], fontsize=8.0, **turn)
    low.set_yticks(range(g), names, fontsize=size)
    for i in range(g):
        for j in range(i if g <= 8 else 0):
            _write(small, j, i, matrix[top[i], top[j]], signed=True)
        for j in range(len(kinds) if g <= 20 else 0):
            _write(low, j, i, peak[i, j], signed=False)


def _short(name: str) -> str:
    """Short name of a global parameter: there is little room."""
    text = parameter(name)[0]
    for long, short in (("distance ", ""), ("beam centre, ", "BC "), ("tilt ", "")):
        text = text.replace(long, short)
    return text


def _write(ax: Axes, x: int, y: int, value: float, *, signed: bool) -> None:
    """Write a correlation in its cell; only the signed scale has colours that are dark."""
    if not np.isfinite(value):
        return
    text = f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")
    ax.text(
        *(x, y, text),
        ha="center",
        va="center",
        fontsize=6.5,
        color="#ffffff" if signed and abs(value) > 0.5 else style.INK,
    )
