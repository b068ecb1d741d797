"""Figures of what the panels changed and rest on: residuals, strain, coverage."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from refimpl.report import style
from refimpl.report.numbers import count
from refimpl.report.panel_map import CLEAR, draw_panels, is_low, panel_label, panels_of
from refimpl.report.panel_view import PanelView
from refimpl.report.pictures import (
    draw_gaps,
    frame_detector,
    picture_size,
    place,
    scatter_strain,
    strain_limit,
)
from refimpl.report.view import PowderView
from refimpl.units import MICROSTRAIN

__all__ = ["panel_coverage", "panel_residuals", "panel_strain"]

_WIDTH_IN, _LEFT, _BELOW, _ABOVE = 9.6, 0.72, 0.58, 0.5
_DOTS = 96  # panels that have room for a dot of their own on a line
_BIN_DEG = 10.0


def _pair(
    view: PowderView, titles: tuple[str, str], details: tuple[str, str]
) -> tuple[Figure, Axes, Axes, Axes]:
    """Figure with two equal maps, side by side or in a column, and a place for one colour bar."""
    low = is_low(view)
    share = 1.0 if low else 0.5
    wide, tall = picture_size(view, share * (_WIDTH_IN - _LEFT - 1.15) - 0.3 * (1 - share), 5.2)
    step = (0.0, tall + 0.95) if low else (wide + 0.3, 0.0)
    figure = style.new_figure(_LEFT + step[0] + wide + 1.15, tall + step[1] + _BELOW + _ABOVE)
    axes = []
    for k in range(2):
        spot = (_LEFT + k * step[0], _BELOW + (1 - k) * step[1])
        ax = place(figure, *spot, wide, tall)
        frame_detector(ax, view)
        style.title(ax, titles[k], details[k])
        axes.append(ax)
    if not low:
        axes[1].tick_params(labelleft=False)
    all_ = tall + step[1]
    bar = place(figure, _LEFT + step[0] + wide + 0.2, _BELOW + 0.1 * all_, 0.17, 0.8 * all_)
    return figure, axes[0], axes[1], bar


def panel_residuals(view: PowderView) -> Figure:
    """Every point at the best single surface and with the panels, on one colour scale."""
    used = view.used
    with style.styled():
        after = used["strain"].to_numpy(dtype=float)
        before = used["strain_before"].to_numpy(dtype=float)
        finite = before[np.isfinite(before)]
        details = tuple(
            f"mean |strain| {np.mean(np.abs(s)) / MICROSTRAIN:.1f} µε" if len(s) else ""
            for s in (finite, after)
        )
        figure, left, right, cax = _pair(
            view, ("Single surface", "With panels"), (details[0], details[1])
        )
        # The wider of the two sets the colours: what the panels removed is to be seen.
        limit = max(strain_limit(finite), strain_limit(after))
        for ax, strain in ((left, before), (right, after)):
            draw_gaps(ax, view)
            if len(used):
                points = scatter_strain(ax, used, strain, limit, share=0.5)
            else:
                style.empty(ax, "no points were used")
        if not is_low(view):
            right.set(ylabel="")
        if len(used):
            bar = figure.colorbar(points, cax=cax, extend="both")
            bar.set_label("strain (µε)")
            bar.outline.set_linewidth(0.6)
        else:
            cax.axis("off")
    return figure


def panel_strain(view: PowderView) -> Figure:
    """Mean |strain| of every panel before and after: dots, or maps where there are very many."""
    panels = panels_of(view)
    if len(panels) > _DOTS:
        return _strain_maps(view)
    with style.styled():
        figure = style.new_figure(_WIDTH_IN, 3.6)
        ax = figure.add_axes((0.075, 0.16, 0.91, 0.72))
        before, after = panels.strain_before / MICROSTRAIN, panels.strain / MICROSTRAIN
        number = np.arange(len(panels))
        ax.vlines(number, before, after, color=style.GREY, lw=1.2, zorder=2)
        ax.plot(number, before, **_dot(style.VERMILLION, False), label="best single surface")
        ax.plot(number, after, **_dot(style.BLUE, True), label="with panels")
        seen = np.concatenate([before, after])
        top = float(np.nanmax(seen)) if np.isfinite(seen).any() else 1.0
        ax.set(xlabel="panel", ylabel="mean |strain| (µε)", ylim=(0.0, 1.22 * top))
        ax.set_xlim(-0.8, len(panels) - 0.2)
        ax.grid(axis="x", visible=False)
        _mark_lost(ax, panels)
        ax.set_xticks(_ticks(panels))
        _divide(ax, panels)
        better, seen_ = int(np.sum(after < before)), int(np.sum(np.isfinite(after - before)))
        style.title(ax, "Strain by panel", f"lower on {better} of {seen_} panels with points")
        ax.legend(loc="upper left", ncols=4, frameon=True, framealpha=0.9, edgecolor="none")
    return figure


def _dot(colour: str, filled: bool) -> dict[str, Any]:
    return {
        **{"ls": "", "marker": "o", "ms": 5.5, "mec": colour, "zorder": 3},
        "mfc": colour if filled else "#ffffff",
    }


def _mark_lost(ax: Axes, panels: PanelView) -> None:
    """Name on the axis the panels that are held, and those without points."""
    without = np.flatnonzero(panels.points == 0)
    held = np.setdiff1d(np.flatnonzero(panels.lost), without)
    for where, marker, label in ((held, "s", "held"), (without, "x", "no points")):
        if len(where):
            look: dict[str, Any] = {
                "ls": "",
                "marker": marker,
                "color": style.MUTED,
                "ms": 6,
                "mfc": "none",
            }
            ax.plot(where, np.zeros(len(where)), **look, label=label, clip_on=False, zorder=4)


def _ticks(panels: PanelView) -> list[int]:
    """Panels whose number is written: all if there are few, else the first of every column."""
    p = len(panels)
    if p <= 30:
        return list(range(p))
    if panels.grid is not None:
        first = np.flatnonzero(np.diff(panels.grid[:, 0], prepend=-1) != 0)
        if 1 < len(first) <= 30:
            return [int(i) for i in first]
    return list(range(0, p, int(10 ** np.floor(np.log10(p / 3.0)))))


def _divide(ax: Axes, panels: PanelView, *, rows: bool = False) -> None:
    """Thin lines between the columns of the grid."""
    if panels.grid is None:
        return
    for i in np.flatnonzero(np.diff(panels.grid[:, 0]) != 0):
        (ax.axhline if rows else ax.axvline)(i + 0.5, color=style.GREY, lw=0.6, zorder=1)


def _strain_maps(view: PowderView) -> Figure:
    panels = panels_of(view)
    with style.styled():
        both = (panels.strain_before / MICROSTRAIN, panels.strain / MICROSTRAIN)
        details = [f"median {np.nanmedian(s):.0f} µε" if np.isfinite(s).any() else "" for s in both]
        titles = ("Strain by panel: single surface", "With panels")
        figure, left, right, cax = _pair(view, titles, (details[0], details[1]))
        seen = np.concatenate(both)
        seen = seen[np.isfinite(seen)]
        norm = Normalize(0.0, float(np.percentile(seen, 98)) if seen.size else 1.0)
        for ax, strain in ((left, both[0]), (right, both[1])):
            drawn = draw_panels(ax, panels.boxes, strain, norm, style.SEQUENTIAL)
        if not is_low(view):
            right.set(ylabel="")
        bar = figure.colorbar(drawn, cax=cax, extend="max")
        bar.set_label("mean |strain| (µε)")
        bar.outline.set_linewidth(0.6)
    return figure


def panel_coverage(view: PowderView) -> Figure:
    """Points of every panel on the detector's layout, and by azimuth."""
    panels = panels_of(view)
    with style.styled():
        wide, tall = picture_size(view, 3.9, 4.6)
        height = max(tall, 3.4)
        figure = style.new_figure(_WIDTH_IN, height + _BELOW + _ABOVE + 0.65)
        base = _BELOW + 0.65
        ax = place(figure, _LEFT, base + height - tall, wide, tall)
        frame_detector(ax, view)
        style.title(ax, "Points per panel")
        number = panels.points.astype(np.float64)
        norm = Normalize(0.0, max(float(number.max(initial=0.0)), 1.0))
        drawn = draw_panels(ax, panels.boxes, number, norm, style.SEQUENTIAL, held=panels.lost)
        for mine, word, box in ((~panels.lost, "", None), (panels.lost, "\nheld", CLEAR)):
            texts = [f"{count(n)}{word}" if m else "" for n, m in zip(number, mine, strict=True)]
            size = 7.0 if len(panels) > 16 else 9.0
            panel_label(ax, panels.boxes, texts, fontsize=size, bbox=box)
        below = place(figure, _LEFT, base + height - tall - 0.72, wide, 0.13)
        bar = figure.colorbar(drawn, cax=below, orientation="horizontal")
        bar.set_label("points used")
        bar.outline.set_linewidth(0.6)
        left = _LEFT + wide + 0.75
        right = place(figure, left, base, _WIDTH_IN - left - 1.05, height)
        cax = place(figure, _WIDTH_IN - 0.8, base + 0.15 * height, 0.15, 0.7 * height)
        _draw_azimuth(figure, right, cax, view)
    return figure


def _draw_azimuth(figure: Figure, ax: Axes, cax: Axes, view: PowderView) -> None:
    """Points by azimuth and panel, 10 degrees a column and one row a panel."""
    panels, used = panels_of(view), view.used
    lost = np.flatnonzero(panels.lost)
    key = "; square: held" if len(lost) else ""
    style.title(ax, "Points by azimuth", f"{_BIN_DEG:.0f}° bins{key}")
    columns = round(360.0 / _BIN_DEG)
    panel = used["panel"].to_numpy(dtype=int)
    eta = np.degrees(used["eta_rad"].to_numpy(dtype=float))
    on = (panel >= 0) & (panel < len(panels))
    bin_ = np.floor((eta[on] + 180.0) / _BIN_DEG).astype(int) % columns
    table = np.bincount(panel[on] * columns + bin_, minlength=len(panels) * columns)
    table = table.reshape(len(panels), columns).astype(float)
    extent = (-180.0, 180.0, len(panels) - 0.5, -0.5)
    picture = ax.imshow(
        np.ma.masked_equal(table, 0.0),
        cmap=style.SEQUENTIAL, extent=extent, origin="upper", aspect="auto", vmin=0.0,
    )  # fmt: skip
    ax.set(xlabel="η (°)", ylabel="panel", xticks=np.arange(-180, 181, 90), yticks=_ticks(panels))
    ax.grid(visible=False)
    ax.spines[["top", "right"]].set_visible(True)
    _divide(ax, panels, rows=True)
    outside: dict[str, Any] = {"ls": "", "marker": "s", "ms": 4, "mfc": "none", "clip_on": False}
    ax.plot(np.full(len(lost), 187.0), lost, color=style.MUTED, **outside)
    ax.set_xlim(-180.0, 180.0)
    bar = figure.colorbar(picture, cax=cax)
    bar.set_label("points in the bin")
    bar.outline.set_linewidth(0.6)
