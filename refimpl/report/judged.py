"""The picture of a comparison: maps of the differences and their histograms side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from refimpl.frames import F64, I64
from refimpl.report import style

if TYPE_CHECKING:
    from refimpl.testing.judge import Judgement, Picture

__all__ = ["judged_figure"]

_MOST_POINTS, _MOST_ARROWS = 20_000, 400
_SIDE_IN, _HIGH_IN = 4.9, 4.6
_BINS = 60


def judged_figure(judgement: Judgement) -> Figure:
    """Draw all pictures of a comparison in one row, with the verdict above.

    Parameters
    ----------
    judgement
        Of :func:`refimpl.testing.judge.compare_results`.
    """
    shown = judgement.pictures
    with style.styled():
        wide = max(_SIDE_IN * max(len(shown), 1), 6.0)
        figure = style.new_figure(wide, _HIGH_IN + 0.7)
        word = "met" if judgement.met else f"not met: {', '.join(m.name for m in judgement.failed)}"
        figure.text(0.012, 0.955, f"{judgement.kind}: {word}", fontsize=12.0, fontweight="bold",
                    color=style.INK if judgement.met else style.VERMILLION)  # fmt: skip
        names = f"A: {_tail(judgement.first)}    B: {_tail(judgement.second)}"
        figure.text(0.012, 0.91, names, fontsize=9.0, color=style.MUTED)
        for k, picture in enumerate(shown):
            left = (k + 0.17) / len(shown)
            ax = figure.add_axes((left, 0.13, 0.66 / len(shown), 0.66))
            style.title(ax, picture.title)
            if not np.isfinite(picture.value).any():
                style.empty(ax, "nothing to show")
            elif picture.xy is None:
                _draw_histogram(ax, picture)
            else:
                _draw_map(figure, ax, picture, picture.xy)
    return figure


def _tail(name: str, length: int = 60) -> str:
    return name if len(name) <= length else f"…{name[-length:]}"


def _draw_histogram(ax: Axes, picture: Picture) -> None:
    value = picture.value[np.isfinite(picture.value)]
    low, high = np.percentile(value, [0.5, 99.5])
    pad = 0.05 * (high - low) or 0.5 * max(abs(high), 1e-12)
    edges = np.linspace(low - pad, high + pad, _BINS + 1)
    ax.hist(value, bins=edges.tolist(), color=style.POINT, label="found")
    if picture.normal:
        middle = 0.5 * (edges[1:] + edges[:-1])
        density = np.exp(-0.5 * middle**2) / np.sqrt(2.0 * np.pi)
        height = len(value) * (edges[1] - edges[0]) * density
        ax.plot(middle, height, color=style.VERMILLION, label="if σ were all there is")
        ax.legend(loc="upper right")
    ax.set(xlabel=picture.label, ylabel="number", xlim=(edges[0], edges[-1]))
    outside = int(((value < edges[0]) | (value > edges[-1])).sum())
    if outside:
        style.note(ax, f"{outside:,} outside the frame", 0.02, 0.96)


def _draw_map(figure: Figure, ax: Axes, picture: Picture, xy: F64) -> None:
    rows = np.flatnonzero(np.isfinite(picture.value) & np.isfinite(xy).all(axis=1))
    rows = rows[:: -(-len(rows) // _MOST_POINTS)]
    value, at = picture.value[rows], xy[rows]
    signed = bool((value < 0.0).any())
    top = float(np.percentile(np.abs(value), 99.0)) or 1.0
    colours: dict[str, Any] = {"cmap": style.SEQUENTIAL, "vmin": 0.0, "vmax": top}
    if signed:
        colours = {"cmap": style.DIVERGING, "vmin": -top, "vmax": top}
    size = float(np.clip(40_000.0 / len(rows), 3.0, 60.0))
    points = ax.scatter(at[:, 0], at[:, 1], size, value, linewidths=0, marker="s", **colours)
    if picture.arrows is not None and np.any(_thinned(picture.arrows, rows)):
        u, v = _thinned(picture.arrows, rows).T
        quiver = ax.quiver(*_thinned(xy, rows).T, u, v, color=style.INK, width=0.004, angles="xy")
        key = float(f"{np.sqrt((u * u + v * v).max()):.1g}")
        if key > 0.0:
            ax.quiverkey(quiver, 0.78, -0.14, key, f"{key:g} {picture.arrow_text}",
                         labelpos="E", fontproperties={"size": 8.0})  # fmt: skip
    ax.set(xlabel=picture.axes[0], ylabel=picture.axes[1], facecolor="#e4e9ee")
    spread = np.ptp(at, axis=0)
    if spread.min(initial=np.inf) > 0.1 * spread.max(initial=0.0):
        ax.set_aspect("equal", adjustable="datalim")
    bar = figure.colorbar(points, ax=ax, extend="max" if not signed else "both", fraction=0.046)
    bar.set_label(picture.label)
    bar.outline.set_linewidth(0.6)


def _thinned(values: F64, rows: I64) -> F64:
    """(m, 2) some of the rows, evenly, few enough to be seen."""
    return np.asarray(values[rows[:: -(-len(rows) // _MOST_ARROWS)]])
