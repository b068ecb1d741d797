"""Figures made from the points: strain against angle and azimuth, correlations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from refimpl.frames import F64, I64
from refimpl.report import style
from refimpl.report.numbers import parameter
from refimpl.report.pictures import strain_limit
from refimpl.report.view import PowderView
from refimpl.units import MICROSTRAIN

__all__ = ["BOXED", "NO_POINTS", "correlation_matrix", "draw_strain", "residual_against_eta"]
__all__ += ["strain_against_two_theta"]

_SIZES = (
    ("mean_all", "mean of all", style.GREY),
    ("median", "median", style.SKY),
    ("clip_mean", "clipped mean", style.BLUE),
)
NO_POINTS = "no points were used"
BOXED: dict[str, Any] = {"frameon": True, "framealpha": 0.9, "edgecolor": "none"}


def strain_against_two_theta(view: PowderView) -> Figure:
    """Convergence of the loop, mean strain a ring at each pass, and the final points."""
    with style.styled():
        figure = style.new_figure(9.6, 6.6)
        _draw_convergence(figure.add_axes((0.08, 0.6, 0.36, 0.33)), view)
        _draw_passes(figure.add_axes((0.55, 0.6, 0.34, 0.33)), view)
        ax = figure.add_axes((0.08, 0.085, 0.9, 0.385))
        draw_strain(ax, view)
        style.title(
            ax, "Final pass: every point, and the mean of each ring", "bars: ±2σ of the mean"
        )
    return figure


def _draw_convergence(ax: Axes, view: PowderView) -> None:
    style.title(ax, "Mean |strain| at each pass")
    if not view.iterations:
        style.empty(ax, "no passes recorded")
        return
    number = _column(view, "iteration")
    number = np.where(np.isfinite(number), number, np.arange(len(number)))
    ends: list[float] = []
    for key, label, colour in _SIZES:
        value = _column(view, key) / MICROSTRAIN
        if np.isfinite(value).any():
            ax.plot(number, value, marker="o", ms=4.5, color=colour, label=label)
            ends.extend(value[np.isfinite(value) & (value > 0)])
    if ends and max(ends) > 8.0 * min(ends):
        ax.set_yscale("log")
    ax.set(xlabel="pass", ylabel="|strain| (µε)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if ends:
        ax.legend(loc="upper right")


def _column(view: PowderView, key: str) -> F64:
    """(passes,) values of one key, NaN where a pass lacks it."""
    return np.array([float(row.get(key, np.nan)) for row in view.iterations])


def _draw_passes(ax: Axes, view: PowderView) -> None:
    style.title(ax, "Mean strain of each ring, by pass")
    passes = [row for row in view.iterations if "strain" in row and "two_theta" in row]
    if not passes:
        style.empty(ax, "no passes recorded")
        return
    colours = colormaps["viridis_r"](np.linspace(0.25, 1.0, len(passes)))
    for row, colour in zip(passes, colours, strict=True):
        last = row is passes[-1]
        angle = np.degrees(np.asarray(row["two_theta"], dtype=float))
        strain = np.asarray(row["strain"], dtype=float) / MICROSTRAIN
        ax.plot(angle, strain, color=colour, marker="o", ms=3.5, lw=1.8 if last else 1.0)
    ax.axhline(0.0, color=style.MUTED, lw=0.8, zorder=1)
    # Passes differ by orders of magnitude: linear near zero, logarithmic away from it.
    final = np.abs(np.asarray(passes[-1]["strain"], dtype=float)) / MICROSTRAIN
    typical = float(np.nanmedian(final)) if np.isfinite(final).any() else 1.0
    ax.set_yscale("symlog", linthresh=float(10.0 ** np.ceil(np.log10(max(typical, 1e-3)))))
    low, high = ax.get_ylim()
    ax.set(xlabel="2θ (°)", ylabel="strain (µε)", ylim=(1.5 * min(low, 0.0), 1.5 * max(high, 0.0)))
    _name_passes(ax, passes, colours)


def _name_passes(ax: Axes, passes: Sequence[Mapping[str, Any]], colours: F64) -> None:
    """Key to the passes at the right edge, first, middle and last if there are many."""
    shown = np.unique(np.linspace(0, len(passes) - 1, min(9, len(passes))).astype(int))
    for place, index in enumerate(shown):
        number = passes[index].get("iteration", index)
        ax.text(
            *(1.03, 0.97 - 0.105 * place, f"● {number}"),
            transform=ax.transAxes,
            color=colours[index],
            fontsize=9.0,
            va="top",
        )
    ax.text(1.03, 1.03, "pass", transform=ax.transAxes, fontsize=9.0, color=style.MUTED)


def draw_strain(ax: Axes, view: PowderView) -> None:
    """Draw signed strain against 2-theta: points, and ring means with twice their error."""
    used, out = view.used, view.left_out
    ax.set(xlabel="2θ (°)", ylabel="strain (µε)")
    if used.empty:
        style.empty(ax, NO_POINTS)
        return
    limit = 1.6 * strain_limit(used["strain"].to_numpy(dtype=float))
    for points, colour, label in ((out, style.GREY, "left out"), (used, style.POINT, "used")):
        angle = np.degrees(points["two_theta_rad"].to_numpy(dtype=float))
        strain = points["strain"].to_numpy(dtype=float) / MICROSTRAIN
        if len(points):
            ax.scatter(angle, strain, s=5, color=colour, alpha=0.55, linewidths=0, label=label)
    ring = used.groupby("ring")
    mean, error = ring["strain"].mean() / MICROSTRAIN, ring["strain"].sem() / MICROSTRAIN
    angle = np.degrees(ring["two_theta_rad"].mean())
    bars = 2.0 * error.fillna(0.0).to_numpy()
    ax.errorbar(
        *(angle.to_numpy(), mean.to_numpy(), bars),
        fmt="o",
        ms=5,
        color=style.VERMILLION,
        ecolor=style.VERMILLION,
        elinewidth=1.4,
        label="ring mean",
        zorder=4,
    )
    ax.axhline(0.0, color=style.INK, lw=0.8, zorder=3)
    ax.set_ylim(-limit, limit)
    ax.legend(loc="upper right", ncols=3, markerscale=1.6, **BOXED)
    _count_outside(ax, used, limit)


def _count_outside(ax: Axes, used: pd.DataFrame, limit: float) -> None:
    outside = int((np.abs(used["strain"]) / MICROSTRAIN > limit).sum())
    if outside:
        style.note(ax, f"{outside:,} used points outside the frame", 0.01, 0.03)


def residual_against_eta(view: PowderView) -> Figure:
    """Mean strain by ring and azimuth, and its course around the beam."""
    with style.styled():
        figure = style.new_figure(9.6, 6.6)
        top = figure.add_axes((0.08, 0.5, 0.8, 0.43))
        low = figure.add_axes((0.08, 0.085, 0.8, 0.31))
        style.title(top, "Mean strain by ring and azimuth")
        style.title(low, "Course around the beam, all rings", "line: median in 10° bins")
        used = view.used
        if used.empty:
            style.empty(top, NO_POINTS)
            style.empty(low, NO_POINTS)
            return figure
        eta = np.degrees(used["eta_rad"].to_numpy(dtype=float))
        strain = used["strain"].to_numpy(dtype=float) / MICROSTRAIN
        limit = strain_limit(used["strain"].to_numpy(dtype=float))
        _draw_ring_eta(figure, top, used["ring"].to_numpy(dtype=int), eta, strain)
        low.scatter(eta, strain, s=4, color=style.POINT, alpha=0.5, linewidths=0)
        middle = pd.Series(strain).groupby(np.clip(np.floor(eta / 10.0), -18, 17)).median()
        course = middle.reindex(np.arange(-18.0, 18.0))
        low.plot(course.index * 10.0 + 5.0, course, color=style.VERMILLION, marker="o", ms=4)
        low.axhline(0.0, color=style.INK, lw=0.8)
        low.set(xlabel="η (°)", ylabel="strain (µε)", xlim=(-180, 180), ylim=(-limit, limit))
        for ax in (top, low):
            ax.set_xticks(np.arange(-180, 181, 45))
    return figure


def _draw_ring_eta(figure: Figure, ax: Axes, ring: I64, eta: F64, strain: F64) -> None:
    """Draw the table of mean strains, 5 degrees a column and one row a ring."""
    rings = np.unique(ring)
    column = np.clip(np.floor((eta + 180.0) / 5.0).astype(int), 0, 71)
    cell = np.searchsorted(rings, ring) * 72 + column
    number = np.bincount(cell, minlength=72 * len(rings))
    total = np.bincount(cell, weights=strain, minlength=72 * len(rings))
    mean = np.divide(total, number, out=np.full(len(total), np.nan), where=number > 0)
    limit = strain_limit(mean * MICROSTRAIN)
    extent = (-180.0, 180.0, -0.5, len(rings) - 0.5)
    table = np.ma.masked_invalid(mean.reshape(len(rings), 72))
    options: dict[str, Any] = {
        "cmap": style.DIVERGING,
        "vmin": -limit,
        "vmax": limit,
        "aspect": "auto",
    }
    picture = ax.imshow(table, extent=extent, origin="lower", **options)
    step = max(1, len(rings) // 12)
    ax.set_yticks(np.arange(0, len(rings), step), [str(r) for r in rings[::step]])
    ax.set(ylabel="ring")
    ax.grid(visible=False)
    bar = figure.colorbar(picture, cax=figure.add_axes((0.9, 0.5, 0.018, 0.43)))
    bar.set_label("strain (µε)")
    bar.outline.set_linewidth(0.6)


def correlation_matrix(view: PowderView) -> Figure:
    """Correlations of the refined parameters."""
    names = [] if view.correlations is None else [parameter(n)[0] for n in view.correlations[1]]
    k = len(names)
    with style.styled():
        side = float(np.clip(2.6 + 0.42 * k, 4.2, 8.2))
        figure = style.new_figure(side + 0.9, side)
        ax = figure.add_axes((0.2, 0.2, 0.62, 0.62 * (side + 0.9) / side))
        if not k:
            style.empty(ax, "no correlations")
            return figure
        style.title(ax, "Correlations of the parameters")
        matrix = np.asarray(view.correlations[0], dtype=float)  # type: ignore[index]
        upper = np.triu(np.ones((k, k), dtype=bool))
        shown = np.ma.masked_where(upper | ~np.isfinite(matrix), matrix)
        picture = ax.imshow(shown, cmap=style.DIVERGING, vmin=-1, vmax=1, origin="upper")
        step = max(1, k // 30)
        ax.set_xticks(range(0, k, step), names[::step], rotation=60, ha="right", fontsize=8)
        ax.set_yticks(range(0, k, step), names[::step], fontsize=8)
        if k > 1:  # the diagonal says nothing
            ax.set(xlim=(-0.5, k - 1.5), ylim=(k - 0.5, 0.5))
        ax.grid(visible=False)
        if k <= 14:
            _write_cells(ax, matrix)
        bar = figure.colorbar(picture, cax=figure.add_axes((0.85, 0.3, 0.025, 0.5)))
        bar.set_label("correlation")
        bar.outline.set_linewidth(0.6)
    return figure


def _write_cells(ax: Axes, matrix: F64) -> None:
    """Write each value below the diagonal in its cell."""
    for i in range(len(matrix)):
        for j in range(i):
            if np.isfinite(matrix[i, j]):
                strong = abs(matrix[i, j]) > 0.5
                ax.text(
                    *(j, i, f"{matrix[i, j]:.2f}".replace("-", "−")),
                    ha="center",
                    va="center",
                    fontsize=7.0,
                    color="#ffffff" if strong else style.INK,
                    fontweight="bold" if abs(matrix[i, j]) > 0.95 else "normal",
                )
