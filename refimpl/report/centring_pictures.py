"""Photographs of the report of a net: galleries of crops, and heat maps over whole pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from refimpl.frames import I64
from refimpl.report import style

if TYPE_CHECKING:
    from refimpl.centring.heat_shown import Shown

__all__ = ["gallery", "heat_figure", "heat_maps"]

_COLUMNS = 6
_WARM = colormaps["plasma"]
_HALO: list[Any] = [withStroke(linewidth=3.2, foreground="#ffffff")]


def gallery(
    images: NDArray[np.float32], rows: I64, texts: Sequence[str], title: str, *, cross: bool = True
) -> Figure:
    """Crops with a red cross where the beam was, as the thesis has them.

    Parameters
    ----------
    images
        (n, channels, size, size) standardised.
    rows
        Which, in their order.
    texts
        Under each.
    title
        Above all.
    cross
        Draw it.
    """
    n_lines = max(-(-len(rows) // _COLUMNS), 1)
    with style.styled():
        tall = 1.95 * n_lines + 0.45
        figure = style.new_figure(9.6, tall)
        figure.text(0.012, 1.0 - 0.14 / tall, title, ha="left", va="top", fontweight="bold",
                    fontsize=11.0)  # fmt: skip
        for k, (row, text) in enumerate(zip(rows.tolist(), texts, strict=True)):
            left = 0.012 + (k % _COLUMNS) / _COLUMNS * 0.985
            bottom = 1.0 - (0.42 + 1.95 * (k // _COLUMNS) + 1.5) / tall
            ax = figure.add_axes((left, bottom, 1.5 / 9.6, 1.5 / tall))
            # standardised values, 2.5 deviations to both sides; a colour picture as it was taught
            seen = np.clip(np.moveaxis(images[row], 0, -1) / 5.0 + 0.5, 0.0, 1.0)
            ax.imshow(seen if seen.shape[2] == 3 else seen[..., 0], cmap="gray", vmin=0.0, vmax=1.0,
                      origin="upper")  # fmt: skip
            middle = (images.shape[-1] - 1) / 2.0
            if cross:
                ax.plot(middle, middle, marker="+", ms=11, mew=1.2, color="#ff2a1f")
            ax.set_axis_off()
            ax.text(0.5, -0.04, text, transform=ax.transAxes, ha="center", va="top", fontsize=8.5)
    return figure


def heat_maps(shown: Sequence[Shown], target: str) -> Figure:
    """Pictures with their heat maps, all on one scale of colours."""
    with style.styled():
        columns = min(len(shown), 3)
        n_lines = -(-len(shown) // columns)
        rows, width = shown[0].picture.shape[:2]
        edge = 8.4 / columns
        each = edge * rows / width + 0.32
        tall = each * n_lines + 0.35
        figure = style.new_figure(9.6, tall)
        values = np.concatenate([s.heat.value.ravel() for s in shown])
        scale = _scale(values)
        for k, one in enumerate(shown):
            left = 0.1 + (k % columns) * edge
            top = tall - 0.05 - each * (k // columns)
            ax = figure.add_axes(
                (left / 9.6, (top - each + 0.05) / tall, (edge - 0.08) / 9.6, (each - 0.32) / tall)
            )
            _draw(ax, one, scale)
            said = _said(one)
            style.title(ax, _short(one.title), said, pad=4.0)
        bar = figure.add_axes((0.9, 0.3 / tall, 0.018, 1.0 - 0.7 / tall))
        _colours(figure, bar, scale, target)
    return figure


def heat_figure(one: Shown, target: str) -> Figure:
    """Draw one picture beside its heat map laid over it, with crosses on the best points."""
    rows, columns = one.picture.shape[:2]
    with style.styled():
        edge = 4.35
        high = edge * rows / columns
        tall = max(high, 1.8) + 0.55
        figure = style.new_figure(9.9, tall)
        for k in range(2):
            ax = figure.add_axes((0.1 / 9.9 + k * 4.45 / 9.9, 0.12 / tall, edge / 9.9, high / tall))
            if k == 0:
                _photograph(ax, one)
                style.title(
                    ax, _short(one.title) or "Photograph", f"{columns} x {rows} px", pad=5.0
                )
            else:
                scale = _scale(one.heat.value)
                _draw(ax, one, scale, numbered=len(one.points) > 1)
                style.title(ax, "Heat map", _said(one), pad=5.0)
        bar = figure.add_axes((9.08 / 9.9, 0.12 / tall, 0.14 / 9.9, max(high, 1.8) / tall))
        _colours(figure, bar, scale, target)
    return figure


def _said(one: Shown) -> str:
    if not one.points:
        return "no crystal here"
    best = one.points[0]
    if np.isfinite(best.count):
        return f"best: {best.count:.0f} reflections"
    return f"best: x {best.x_px:.0f}, y {best.y_px:.0f} px"


def _short(text: str, most: int = 28) -> str:
    return text if len(text) <= most else "…" + text[1 - most :]


def _scale(values: NDArray[np.float64]) -> Normalize:
    low, high = float(values.min()), float(values.max())
    return Normalize(low, high if high > low else low + 1.0)


def _colours(figure: Figure, bar: Axes, scale: Normalize, target: str) -> None:
    figure.colorbar(ScalarMappable(scale, _WARM), cax=bar, label=f"predicted, {target} target")
    bar.grid(visible=False)


def _photograph(ax: Axes, one: Shown) -> None:
    rows, columns = one.picture.shape[:2]
    picture = np.asarray(one.picture, dtype=float)
    picture = picture[..., :3] if picture.ndim == 3 else picture
    low, high = float(picture.min()), float(picture.max())
    # the values of a colour picture must be 0 to 1
    picture = (picture - low) / (high - low if high > low else 1.0)
    ax.imshow(picture, cmap="gray", vmin=0.0, vmax=1.0, extent=(0.0, columns, rows, 0.0),
              origin="upper", interpolation="antialiased")  # fmt: skip
    ax.set(xlim=(0.0, columns), ylim=(rows, 0.0))
    ax.set_axis_off()


def _draw(ax: Axes, one: Shown, scale: Normalize, *, numbered: bool = False) -> None:
    _photograph(ax, one)
    heat = one.heat
    extent = (*_ends(heat.x_px), *_ends(heat.y_px)[::-1])
    strength = np.clip(np.asarray(scale(heat.value)), 0.0, 1.0)
    # low predictions leave the photograph to be seen
    ax.imshow(heat.value, cmap=_WARM, norm=scale, alpha=0.75 * strength**1.5, extent=extent,
              origin="upper", interpolation="nearest")  # fmt: skip
    rows, columns = one.picture.shape[:2]
    ax.set(xlim=(0.0, columns), ylim=(rows, 0.0))
    if one.on_crystal is not None and one.on_crystal.any() and not one.on_crystal.all():
        x, y = np.arange(columns) + 0.5, np.arange(rows) + 0.5
        ax.contour(x, y, one.on_crystal.astype(float), [0.5], colors="#ffffff", linewidths=1.2)
    if one.best_px is not None:
        ax.plot(*one.best_px, marker="+", ms=10, mew=1.6, color="#ffffff")
    for k, point in enumerate(one.points):
        ax.plot(point.x_px, point.y_px, marker="x", ms=9, mew=2.0, color="#000000",
                path_effects=_HALO)  # fmt: skip
        if numbered:
            ax.annotate(str(k + 1), (point.x_px, point.y_px), xytext=(7, 5),
                        textcoords="offset points", fontsize=9.0, fontweight="bold",
                        path_effects=_HALO)  # fmt: skip


def _ends(at: NDArray[np.float64]) -> tuple[float, float]:
    half = 0.5 * float(at[1] - at[0]) if len(at) > 1 else 0.5
    return float(at[0]) - half, float(at[-1]) + half
