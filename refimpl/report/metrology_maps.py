"""Maps of a refined detector: mean residuals as vectors, and residuals of every spot."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.quiver import Quiver

from refimpl.frames import F64, I64
from refimpl.report import style
from refimpl.report.metrology_view import DetectorView
from refimpl.report.panel_map import EDGE, nice_below

__all__ = ["axes_at", "frame_layout", "outline", "residual_maps", "residual_vectors", "size_in"]
__all__ += ["residual_vectors_left", "window"]

_WIDTH_IN, LEFT, BELOW, ABOVE, _GAP = 9.6, 0.72, 0.6, 0.5, 0.3
_CELL = 25
"""Reflections that a cell of the vector map should have on average."""
_LEAST = 4
"""Fewest reflections of a cell that is drawn."""


def window(view: DetectorView) -> tuple[F64, F64]:
    """Lower and upper corner of what is shown: panels with reflections, and what is beside them."""
    outlines = view.layout.outlines
    seen = view.counts > 0
    mine = outlines[seen] if seen.any() else outlines
    whole = outlines.reshape(-1, 2)
    extent = np.median(mine.max(axis=1) - mine.min(axis=1), axis=0)
    low, high = mine.reshape(-1, 2).min(axis=0), mine.reshape(-1, 2).max(axis=0)
    pad = np.full(2, 0.35 * extent.min())
    edge = 0.006 * (high - low)  # or the lines at the rim would be cut in half
    return (
        np.maximum(low - pad, whole.min(axis=0) - edge),
        np.minimum(high + pad, whole.max(axis=0) + edge),
    )


def size_in(view: DetectorView, width_in: float, height_in: float) -> tuple[float, float]:
    """Largest (width, height) [in] of the window in true proportions within a box."""
    low, high = window(view)
    scale = min(width_in / (high[0] - low[0]), height_in / (high[1] - low[1]))
    return float((high[0] - low[0]) * scale), float((high[1] - low[1]) * scale)


def axes_at(figure: Figure, left: float, bottom: float, wide: float, tall: float) -> Axes:
    """Axes at a place [in]."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, bottom / h, wide / w, tall / h))


def frame_layout(ax: Axes, view: DetectorView, *, labels: bool = True) -> None:
    """Set up axes that show the window."""
    layout, (low, high) = view.layout, window(view)
    ax.set_aspect("equal")
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(*((high[1], low[1]) if layout.unit == "px" else (low[1], high[1])))
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    ax.set_facecolor("#ffffff")
    name = ("fast (px)", "slow (px)") if layout.unit == "px" else ("x (mm)", "y (mm)")
    if labels:
        ax.set(xlabel=name[0], ylabel=name[1])
    else:
        ax.set_xticks([])
        ax.set_yticks([])


def _pair(
    view: DetectorView, rows: int = 1, height_in: float = 4.6
) -> tuple[Figure, list[list[Axes]], list[Axes]]:
    """Figure of rows of two equal maps, and one place for a colour bar a row."""
    wide, tall = size_in(view, (_WIDTH_IN - LEFT - 1.15 - _GAP) / 2.0, height_in)
    step = tall + ABOVE + (0.0 if rows == 1 else 0.12)
    figure = style.new_figure(LEFT + 2.0 * wide + _GAP + 1.15, BELOW + step * rows + 0.05)
    maps, bars = [], []
    for row in range(rows):
        bottom = BELOW + step * (rows - 1 - row)
        maps.append(
            [axes_at(figure, LEFT + k * (wide + _GAP), bottom, wide, tall) for k in range(2)]
        )
        bars.append(
            axes_at(figure, LEFT + 2.0 * wide + _GAP + 0.2, bottom + 0.1 * tall, 0.17, 0.8 * tall)
        )
        for k, ax in enumerate(maps[-1]):
            frame_layout(ax, view)
            if k:
                ax.tick_params(labelleft=False)
                ax.set_ylabel("")
            if row + 1 < rows:
                ax.tick_params(labelbottom=False)
                ax.set_xlabel("")
    return figure, maps, bars


def outline(ax: Axes, view: DetectorView, *, fill: str = "#ffffff", zorder: float = 1.0) -> None:
    """Draw the panels: what the detector covers, and their edges."""
    width = 0.6 if view.n_panels < 100 else 0.35
    ax.add_collection(
        PolyCollection(
            list(view.layout.outlines), facecolors=fill, edgecolors=EDGE, linewidths=width,
            zorder=zorder,
        )
    )  # fmt: skip


# --- residuals ------------------------------------------------------------------------------------


def cells(view: DetectorView) -> tuple[I64, I64, F64]:
    """Split the panels into cells of some 25 reflections.

    Returns
    -------
    (n,) cell of each reflection, (c,) panel and (c, 2) middle [px] of each cell.
    """
    seen = view.counts[view.counts > 0]
    per_panel = max(1.0, float(np.median(seen)) / _CELL) if len(seen) else 1.0
    size = view.layout.size_px.astype(np.float64)
    ratio = float(np.median(size[:, 0] / size[:, 1]))
    n_fast = int(np.clip(round(np.sqrt(per_panel * ratio)), 1, 24))
    n_slow = int(np.clip(round(per_panel / n_fast), 1, 24))
    shape = np.array([n_fast, n_slow])
    where = np.clip((view.xy_px / size[view.panel] * shape).astype(np.int64), 0, shape - 1)
    of_point = (view.panel * n_slow + where[:, 1]) * n_fast + where[:, 0]
    panel = np.repeat(np.arange(view.n_panels), n_fast * n_slow)
    j, i = np.divmod(np.arange(n_fast * n_slow), n_fast)
    middle = (np.column_stack([i, j]) + 0.5) / shape
    return of_point, panel, np.tile(middle, (view.n_panels, 1)) * size[panel]


def _cell_means(view: DetectorView, residuals: F64) -> tuple[I64, F64, F64, I64]:
    """(c,) panel, (c, 2) middle, (c, 2) mean residual [px] and (c,) count of cells with enough."""
    of_point, panel, middle = cells(view)
    n = np.bincount(of_point, minlength=len(panel))
    least = min(_LEAST, int(np.max(n, initial=1)))
    keep = n >= least
    mean = np.stack([np.bincount(of_point, v, len(panel)) for v in residuals[:, :2].T], axis=1)
    return panel[keep], middle[keep], mean[keep] / n[keep, None], n[keep]


def residual_vectors(view: DetectorView) -> Figure:
    """Mean residual of every cell as an arrow, before and after, on one scale."""
    with style.styled():
        figure, ((left, right),), (cax,) = _pair(view)
        both = [_cell_means(view, r) for r in (view.before, view.after)]
        sizes = [np.linalg.norm(mean, axis=1) for _, _, mean, _ in both]
        top = float(np.percentile(sizes[0], 98)) if len(sizes[0]) else 1.0
        norm = Normalize(0.0, top or 1.0)
        scale = _arrow_scale(view, len(both[0][0]), top)
        for ax, (panel, middle, mean, _), size, name in zip(
            (left, right), both, sizes, ("Before", "After"), strict=True
        ):
            outline(ax, view)
            drawn = _arrows(ax, view, panel, middle, mean * scale, size, norm)
            median = f"median {np.median(size):.3f} px" if len(size) else ""
            style.title(ax, name, median)
        bar = figure.colorbar(drawn, cax=cax, extend="max")
        bar.set_label(f"mean residual of a cell (px)\narrows drawn {_times(scale)} times")
        bar.outline.set_linewidth(0.6)
    return figure


def residual_vectors_left(view: DetectorView) -> Figure:
    """What is left after, magnified; colours say by how many standard errors it is off zero."""
    with style.styled():
        wide, tall = size_in(view, 7.2, 6.0)
        figure = style.new_figure(LEFT + wide + 1.45, BELOW + tall + ABOVE)
        ax = axes_at(figure, LEFT, BELOW, wide, tall)
        frame_layout(ax, view)
        outline(ax, view)
        panel, middle, mean, n = _cell_means(view, view.after)
        size = np.linalg.norm(mean, axis=1)
        spread = np.sqrt(np.mean(view.after[:, :2] ** 2)) if len(view) else 1.0
        scale = _arrow_scale(view, len(panel), float(np.percentile(size, 98)) if len(size) else 0.0)
        sure = size / (spread / np.sqrt(n))  # a Rayleigh distribution where nothing is left
        drawn = _arrows(ax, view, panel, middle, mean * scale, sure, Normalize(1.0, _SURE))
        off = int(np.count_nonzero(sure > _SURE))
        style.title(ax, "What is left", f"{off} of {len(sure)} cells beyond {_SURE:g} errors")
        bar_ax = axes_at(figure, LEFT + wide + 0.2, BELOW + 0.1 * tall, 0.17, 0.8 * tall)
        bar = figure.colorbar(drawn, cax=bar_ax, extend="both")
        bar.set_label(f"mean over its standard error\narrows drawn {_times(scale)} times")
        bar.outline.set_linewidth(0.6)
    return figure


_SURE = 5.0
"""Standard errors at which a mean residual is surely off zero."""


def _arrows(
    ax: Axes, view: DetectorView, panel: I64, middle: F64, mean: F64, colour: F64, norm: Normalize
) -> Quiver:
    """Arrows of (c, 2) lengths [px] in the panels' own directions."""
    at, along = view.layout.points(panel, middle), view.layout.vectors(panel, mean)
    return ax.quiver(
        at[:, 0], at[:, 1], along[:, 0], along[:, 1], colour, cmap=_ARROWS, norm=norm,
        angles="xy", scale_units="xy", scale=1.0, pivot="mid", width=0.0036, minlength=0.0,
        headwidth=3.4, headlength=3.8, headaxislength=3.4, zorder=4,
    )  # fmt: skip


def _times(scale: float) -> str:
    return f"{scale:,.0f}" if scale >= 1.0 else f"{scale:.3g}"


_ARROWS = LinearSegmentedColormap.from_list("refimpl_arrows", ["#a6cde8", "#2f7db8", "#08306b"])


def _arrow_scale(view: DetectorView, cells: int, top: float) -> float:
    """Magnification that makes the longest arrows as long as a cell."""
    if not (cells and top > 0.0):
        return 1.0
    n = max(1.0, cells / max(int(np.count_nonzero(view.counts)), 1))
    area = float(np.median(np.prod(view.layout.size_px, axis=1)))
    return nice_below(1.15 * np.sqrt(area / n) / top, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))


def residual_maps(view: DetectorView) -> Figure:
    """Every reflection coloured by its x, y residual, before and after, on one scale a row."""
    kinds = ("x", "y")
    with style.styled():
        figure, maps, bars = _pair(view, rows=2, height_in=3.9)
        at = view.layout.points(view.panel, view.xy_px)
        size = float(np.clip(14000.0 / max(len(view), 1), 0.6, 9.0))
        rng = np.random.default_rng(0)  # order on paper: none of the panels always on top
        order = rng.permutation(len(view))
        for k, (row, cax) in enumerate(zip(maps, bars, strict=True)):
            both = [view.before[:, k], view.after[:, k]]
            limit = float(np.percentile(np.abs(both[0]), 97)) or 1.0
            for ax, values, name in zip(row, both, ("before", "after"), strict=True):
                outline(ax, view, fill="#ffffff")
                drawn = ax.scatter(
                    at[order, 0], at[order, 1], c=values[order], s=size, cmap=style.DIVERGING,
                    vmin=-limit, vmax=limit, linewidths=0, zorder=3, rasterized=True,
                )  # fmt: skip
                rms = np.sqrt(np.mean(values**2))
                style.title(ax, f"{kinds[k]} {name}", f"rms {rms:.4f} px")
            bar = figure.colorbar(drawn, cax=cax, extend="both")
            bar.set_label(f"{kinds[k]}: calculated − observed (px)")
            bar.outline.set_linewidth(0.6)
    return figure
