"""Maps of a near-field result: crystal directions, confidence, grains, misorientations.

x runs along the beam at omega = 0 and z, the rotation axis, towards the viewer. Each voxel is drawn
with the whole cell that it has in the grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from scipy.spatial import cKDTree

from refimpl.frames import F64, I64
from refimpl.report import style
from refimpl.report.nearfield_colours import DIRECTIONS, ipf_colours
from refimpl.report.nearfield_key import draw_key
from refimpl.report.nearfield_view import MapView

__all__ = ["confidence_by_distance", "confidence_map", "grain_map", "ipf_map", "ipf_others"]
__all__ += ["kam_map", "misorientation_map"]

_WIDTH, _LEFT, _BELOW, _ABOVE = 9.6, 0.75, 0.55, 0.42
_OVER_DARK = "#ffffff"
_MOST_CELLS, _PIXELS = 60_000, 1200
_LABELLED = 40
_SCALE: Colormap = colormaps["viridis"].with_extremes(bad="#ffffff")
# Light tints: numbers and boundaries are read on all of them.
_TINTS = np.array(
    [[166, 206, 227], [253, 205, 140], [178, 223, 158], [251, 174, 172], [202, 190, 220],
     [255, 243, 153], [190, 230, 220], [226, 196, 170]]
) / 255.0  # fmt: skip


def _limits(view: MapView) -> tuple[F64, F64]:
    """Corner of what is shown, and its size [um]."""
    rows = np.flatnonzero(view.shown) if view.shown.any() else np.arange(len(view.result))
    xy = view.xy_um[rows] if len(rows) else np.zeros((1, 2))
    low, high = xy.min(axis=0), xy.max(axis=0)
    edge = np.maximum(0.03 * (high - low), view.side_um)
    return low - edge, high - low + 2.0 * edge


def _map_axes(
    view: MapView, wide: float, tall_most: float, right: float, n: int = 1
) -> tuple[Figure, list[Axes]]:
    """Figure with n equal maps side by side, and room on the right [in]."""
    low, size = _limits(view)
    gap = 0.25
    w = (wide - _LEFT - right - gap * (n - 1)) / n
    scale = min(w / size[0], tall_most / size[1])
    w, h = scale * size[0], max(scale * size[1], 0.8)
    total = max(_LEFT + n * w + gap * (n - 1) + right, 5.2)
    figure = style.new_figure(total, _BELOW + h + _ABOVE)
    axes = []
    for k in range(n):
        ax = figure.add_axes(_part(figure, _LEFT + k * (w + gap), _BELOW, w, h))
        ax.set(xlim=(low[0], low[0] + size[0]), ylim=(low[1], low[1] + size[1]))
        ax.set_aspect("equal")
        ax.set_xlabel("x, along the beam at ω = 0 (µm)" if n == 1 else "x (µm)")
        ax.grid(visible=False)
        ax.set_facecolor("#ffffff")
        if k:
            ax.tick_params(labelleft=False)
        else:
            ax.set_ylabel("y (µm)")
        axes.append(ax)
    return figure, axes


def _part(figure: Figure, *inches: float) -> tuple[float, float, float, float]:
    wide, tall = (float(x) for x in figure.get_size_inches())
    left, bottom, w, h = inches
    return left / wide, bottom / tall, w / wide, h / tall


def _draw(ax: Axes, view: MapView, colours: F64, rows: I64) -> None:
    """Cells of voxels in (n, 3) colours; many of them as a picture."""
    if len(rows) <= _MOST_CELLS:
        ax.add_collection(
            PolyCollection(
                list(view.outlines(rows)), facecolors=colours, edgecolors=colours,
                linewidths=0.25, antialiaseds=False, rasterized=True, zorder=2,
            )
        )  # fmt: skip
        return
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    step = max(x1 - x0, y1 - y0) / _PIXELS
    x, y = np.arange(x0 + step / 2, x1, step), np.arange(y0 + step / 2, y1, step)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    away, nearest = cKDTree(view.xy_um[rows]).query(grid.reshape(-1, 2))
    picture = np.ones((*grid.shape[:2], 3))
    inside = (away <= view.pitch_um).reshape(grid.shape[:2])
    picture[inside] = colours[nearest.reshape(grid.shape[:2])[inside]]
    ax.imshow(picture, extent=(x0, x1, y0, y1), origin="lower", zorder=2)


def _draw_boundaries(ax: Axes, view: MapView, width: float = 0.9, colour: str = style.INK) -> None:
    ax.add_collection(
        LineCollection(
            list(view.boundaries()), colors=colour, linewidths=width, capstyle="round", zorder=4
        )
    )


def _draw_values(
    figure: Figure, ax: Axes, view: MapView, values: F64, norm: Normalize, label: str,
    **bar: Any,
) -> None:  # fmt: skip
    """Voxels coloured by a number, with its bar on the right."""
    rows = np.flatnonzero(view.shown & np.isfinite(values))
    _draw(ax, view, _SCALE(norm(values[rows]))[:, :3], rows)
    _colour_bar(figure, ax, norm, label, **bar)


def _colour_bar(figure: Figure, ax: Axes, norm: Normalize, label: str, **bar: Any) -> None:
    from matplotlib.cm import ScalarMappable

    box = ax.get_position()
    wide = float(figure.get_size_inches()[0])
    cax = figure.add_axes((box.x1 + 0.18 / wide, box.y0, 0.17 / wide, box.height))
    drawn = figure.colorbar(ScalarMappable(norm, _SCALE), cax=cax, **bar)
    drawn.set_label(label)
    drawn.outline.set_linewidth(0.6)


# --- inverse pole figures -------------------------------------------------------------------------


def _ipf(ax: Axes, view: MapView, direction: str) -> None:
    rows = np.flatnonzero(view.shown)
    turns = view.result.quaternions[rows]
    _draw(ax, view, ipf_colours(turns, view.result.space_group, DIRECTIONS[direction]), rows)
    _draw_boundaries(ax, view, 0.7)


def _add_key(figure: Figure, ax: Axes, view: MapView) -> None:
    box, (wide, tall) = ax.get_position(), figure.get_size_inches()
    size = 1.35
    key = figure.add_axes((box.x1 + 0.5 / wide, box.y1 - size / tall, size / wide, size / tall))
    draw_key(key, view.result.space_group)
    key.set_anchor("N")


def ipf_map(view: MapView) -> Figure:
    """Crystal direction along the rotation axis, with grain boundaries and the colour key."""
    with style.styled():
        figure, (ax,) = _map_axes(view, _WIDTH, 6.2, right=2.45)
        _ipf(ax, view, "z")
        style.title(ax, "Crystal direction along z", f"{view.n_grains} grains")
        _add_key(figure, ax, view)
    return figure


def ipf_others(view: MapView) -> Figure:
    """Crystal directions along the two other axes of the sample."""
    with style.styled():
        figure, axes = _map_axes(view, _WIDTH, 4.2, right=2.45, n=2)
        for ax, direction in zip(axes, "xy", strict=True):
            _ipf(ax, view, direction)
            style.title(ax, f"Along {direction}")
        _add_key(figure, axes[-1], view)
    return figure


# --- numbers --------------------------------------------------------------------------------------


def confidence_map(view: MapView) -> Figure:
    """Confidence of each voxel."""
    with style.styled():
        figure, (ax,) = _map_axes(view, _WIDTH, 5.6, right=1.1)
        c = view.result.confidence
        _draw_values(figure, ax, view, c, Normalize(0.0, 1.0), "confidence")
        _draw_boundaries(ax, view, 0.8, _OVER_DARK)
        mean = f"mean {c[view.shown].mean():.4f}" if view.shown.any() else ""
        style.title(ax, "Confidence", mean)
    return figure


def confidence_by_distance(view: MapView) -> Figure:
    """Confidence of each distance alone, on one scale."""
    with style.styled():
        columns = view.result.by_distance.T[:3]
        figure, axes = _map_axes(view, _WIDTH, 4.2, right=1.1, n=len(columns))
        norm = Normalize(0.0, 1.0)
        for k, (ax, values) in enumerate(zip(axes, columns, strict=True)):
            rows = np.flatnonzero(view.shown & np.isfinite(values))
            _draw(ax, view, _SCALE(norm(values[rows]))[:, :3], rows)
            style.title(ax, f"Distance {k + 1}", f"mean {np.mean(values[rows]):.4f}")
        _colour_bar(figure, axes[-1], norm, "confidence")
    return figure


def kam_map(view: MapView) -> Figure:
    """Mean misorientation with the neighbours of the same grain."""
    with style.styled():
        figure, (ax,) = _map_axes(view, _WIDTH, 5.6, right=1.1)
        kam = view.kam_deg
        some = kam[np.isfinite(kam)]
        top = float(np.percentile(some, 98.0)) if len(some) else 0.0
        norm = Normalize(0.0, max(top, 0.01))
        _draw_values(figure, ax, view, kam, norm, "mean misorientation (°)", extend="max")
        _draw_boundaries(ax, view, 0.8, _OVER_DARK)
        median = f"median {np.median(some):.4f}°" if len(some) else ""
        style.title(ax, "Within grains: misorientation with neighbours", median)
    return figure


def misorientation_map(view: MapView) -> Figure:
    """Misorientation from the reference, on a logarithmic scale."""
    with style.styled():
        figure, (ax,) = _map_axes(view, _WIDTH, 5.6, right=1.2)
        norm = LogNorm(0.005, 5.0)
        values = np.maximum(view.misorientation_deg, 0.005)
        _draw_values(
            figure, ax, view, values, norm, "misorientation (°)", extend="both",
            ticks=[0.005, 0.02, 0.1, 0.5, 2.0, 5.0], format="{x:g}",
        )  # fmt: skip
        _draw_boundaries(ax, view, 0.8, _OVER_DARK)
        style.title(
            ax,
            f"Misorientation from {view.reference or 'the reference'}",
            f"{_compared(view)} voxels",
        )
    return figure


def _compared(view: MapView) -> str:
    n = int(np.isfinite(view.misorientation_deg[view.shown]).sum())
    return f"{n:,}"


def grain_map(view: MapView) -> Figure:
    """Grains in colours that differ from their neighbours', the largest ones numbered."""
    with style.styled():
        figure, (ax,) = _map_axes(view, _WIDTH, 5.6, right=0.3)
        rows = np.flatnonzero(view.shown)
        tint = _tints(view)
        _draw(ax, view, _TINTS[tint[view.grain[rows]] % len(_TINTS)], rows)
        _draw_boundaries(ax, view)
        for grain in view.grains(_LABELLED):
            if grain.voxels >= 12 or view.n_grains <= 12:
                x, y = _inside(view, grain.number)
                ax.text(
                    x, y, str(grain.number), ha="center", va="center", fontsize=8.5,
                    color=style.INK, zorder=5,
                )  # fmt: skip
        angle = np.degrees(view.grain_angle_rad)
        style.title(ax, "Grains", f"{view.n_grains}, neighbours within {angle:g}°")
    return figure


def _inside(view: MapView, number: int) -> tuple[float, float]:
    """Place for the number of a grain: its voxel nearest to its centre."""
    xy = view.xy_um[view.grain == number]
    away = np.linalg.norm(xy - xy.mean(axis=0), axis=1)
    x, y = xy[np.argmin(away)]
    return float(x), float(y)


def _tints(view: MapView) -> I64:
    """(g + 1,) colour of each grain, the first that no neighbour of lower number has."""
    ends = np.unique(np.sort(view.grain[view.pairs[view.across]], axis=1), axis=0)
    tint = np.zeros(view.n_grains + 1, dtype=np.int64)
    lower: dict[int, set[int]] = {}
    for a, b in ends.tolist():
        lower.setdefault(b, set()).add(a)
    for number in range(1, view.n_grains + 1):
        taken = {int(tint[k]) for k in lower.get(number, ())}
        free = [k for k in range(len(_TINTS)) if k not in taken]
        choice = [k for k in free if k != (number - 1) % len(_TINTS)]
        preferred = (number - 1) % len(_TINTS)
        tint[number] = preferred if preferred in free else (choice[0] if choice else preferred)
    return tint
