"""Curves of a refinement: residuals by value, experiment and angle, RMSDs by panel and step."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from refimpl.frames import F64, I64
from refimpl.report import style
from refimpl.report.metrology_view import DetectorView, MetrologyView
from refimpl.report.numbers import count

__all__ = ["residual_against_angle", "residual_histograms", "residuals_by_experiment"]
__all__ += ["rmsd_by_panel", "trajectory"]

_WIDTH_IN = 9.6
_KINDS = (("x", "px"), ("y", "px"), ("angle", "°"))
_BEFORE: dict[str, Any] = {"color": style.VERMILLION, "label": "before"}
_AFTER: dict[str, Any] = {"color": style.BLUE, "label": "after"}


def _row(height_in: float, n: int, bottom: float = 0.16) -> tuple[Figure, list[Axes]]:
    """Figure with n equal axes in a row."""
    figure = style.new_figure(_WIDTH_IN, height_in)
    left, space, right = 0.07, 0.07, 0.985
    wide = (right - left - (n - 1) * space) / n
    top = 1.0 - 0.42 / height_in
    axes = [
        figure.add_axes((left + k * (wide + space), bottom, wide, top - bottom)) for k in range(n)
    ]
    return figure, axes


def residual_histograms(view: MetrologyView) -> Figure:
    """Residuals of x, y and angle before and after, and the normal curve of the after's RMSD."""
    with style.styled():
        figure, axes = _row(3.3, 3)
        for k, (ax, (name, unit)) in enumerate(zip(axes, _KINDS, strict=True)):
            before, after = view.before[:, k], view.after[:, k]
            limit = float(np.percentile(np.abs(before), 99.5)) or 1.0
            edges = np.linspace(-limit, limit, 61)
            for values, look in ((before, _BEFORE), (after, _AFTER)):
                n, _ = np.histogram(np.clip(values, -limit, limit), edges)
                ax.stairs(n, edges, lw=1.4, **look)
            _normal(ax, after, edges)
            ax.set(xlabel=f"calculated − observed ({unit})", ylim=(0.0, None), xlim=(-limit, limit))
            ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            ax.xaxis.set_major_locator(MaxNLocator(5))
            rms = [np.sqrt(np.mean(v**2)) for v in (before, after)]
            style.title(ax, name, f"rms {rms[0]:.3g} → {rms[1]:.3g} {unit}")
            if k == 0:
                ax.set_ylabel("reflections")
                ax.legend(loc="upper left", handlelength=1.2)
    return figure


def _normal(ax: Axes, values: F64, edges: F64) -> None:
    """Normal curve about 0 of the values' robust spread, as a thin grey line."""
    sigma = 1.4826 * float(np.median(np.abs(values)))
    if sigma > 0.0:
        x = np.linspace(edges[0], edges[-1], 301)
        scale = len(values) * (edges[1] - edges[0]) / (sigma * np.sqrt(2.0 * np.pi))
        ax.plot(x, scale * np.exp(-0.5 * (x / sigma) ** 2), color=style.MUTED, lw=0.9, ls="--")


def residuals_by_experiment(view: MetrologyView) -> Figure:
    """Histograms of every experiment's residuals: curves one above the other, or rows of colour."""
    seen = np.unique(view.experiment)
    with style.styled():
        ridges = len(seen) <= _RIDGES
        tall = 1.1 + (0.42 if ridges else 0.012) * len(seen) + (0.0 if ridges else 1.6)
        tall = min(tall, 9.0)
        figure, axes = _row(tall, 3, bottom=0.55 / tall)
        for k, (ax, (name, unit)) in enumerate(zip(axes, _KINDS, strict=True)):
            limit = float(np.percentile(np.abs(view.before[:, k]), 99.0)) or 1.0
            edges = np.linspace(-limit, limit, 41)
            both = [
                np.array([_shares(r[view.experiment == e, k], edges) for e in seen])
                for r in (view.before, view.after)
            ]
            (_ridges if ridges else _rows)(ax, edges, *both)
            ax.set(xlabel=f"{name}: calculated − observed ({unit})", xlim=(-limit, limit))
            style.title(ax, name)
            ax.grid(axis="y", visible=False)
            _label_experiments(ax, view, seen, named=k == 0)
    return figure


_RIDGES = 12
"""Experiments up to which each has a curve."""


def _shares(values: F64, edges: F64) -> F64:
    """Share of the values in each bin; the outermost hold all beyond."""
    n, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    return np.asarray(n / max(len(values), 1))


def _ridges(ax: Axes, edges: F64, before: F64, after: F64) -> None:
    top = float(after.max(initial=1e-9)) / 1.5  # the highest curve is as tall as 1.5 rows
    for row, (first, last) in enumerate(zip(before, after, strict=True)):
        base, z = -float(row), 3.0 + row
        ax.stairs(base + last / top, edges, baseline=base, fill=True, color=style.BLUE, alpha=0.35,
                  lw=0, zorder=z)  # fmt: skip
        ax.stairs(base + last / top, edges, baseline=None, lw=1.1, color=style.BLUE, zorder=z)
        ax.stairs(
            base + first / top, edges, baseline=None, lw=1.0, color=style.VERMILLION, zorder=z
        )
    ax.set_ylim(-len(before) + 0.8, 1.7)


def _rows(ax: Axes, edges: F64, _: F64, after: F64) -> None:
    ax.pcolormesh(
        edges, 0.5 - np.arange(len(after) + 1.0), after, cmap=style.SEQUENTIAL, rasterized=True,
        vmin=0.0, vmax=float(np.percentile(after.max(axis=1), 90)) or 1.0,
    )  # fmt: skip
    ax.set_ylim(0.5 - len(after), 0.5)


def _label_experiments(ax: Axes, view: MetrologyView, seen: I64, *, named: bool) -> None:
    """Number each row as it is in the table, or every so many."""
    step = max(1, -(-len(seen) // 24))
    at = np.arange(0, len(seen), step)
    ax.set_yticks(-at, [str(seen[k]) for k in at] if named else [])
    if named:
        ax.set_ylabel("experiment")
    if named and len(seen) <= _RIDGES:
        lines = [
            Line2D([], [], color=look["color"], label=look["label"]) for look in (_BEFORE, _AFTER)
        ]
        ax.legend(
            handles=lines, loc="lower right", bbox_to_anchor=(1.0, 1.0), handlelength=1.2, ncols=2,
            borderaxespad=0.1,
        )  # fmt: skip


def residual_against_angle(view: MetrologyView) -> Figure:
    """Mean residuals of blocks of rotation angle, with their standard errors."""
    with style.styled():
        figure, axes = _row(3.0, 3, bottom=0.18)
        angle = view.angle_deg
        bins = int(np.clip(len(view) // 60, 4, 60))
        edges = np.linspace(angle.min(), np.nextafter(angle.max(), np.inf), bins + 1)
        which = np.clip(np.searchsorted(edges, angle, side="right") - 1, 0, bins - 1)
        n = np.bincount(which, minlength=bins)
        keep = n > 4
        middle = 0.5 * (edges[1:] + edges[:-1])
        for k, (ax, (name, unit)) in enumerate(zip(axes, _KINDS, strict=True)):
            ax.axhline(0.0, color=style.GREY, lw=0.8)
            for values, look in ((view.before[:, k], _BEFORE), (view.after[:, k], _AFTER)):
                mean = np.bincount(which, values, bins)[keep] / n[keep]
                square = np.bincount(which, values**2, bins)[keep] / n[keep]
                error = np.sqrt(np.maximum(square - mean**2, 0.0) / n[keep])
                at = middle[keep]
                ax.fill_between(
                    at, mean - error, mean + error, color=look["color"], alpha=0.2, lw=0
                )
                ax.plot(at, mean, lw=1.3, **look)
            ax.set(xlabel="rotation angle (°)")
            style.title(ax, f"{name} ({unit})")
            if k == 0:
                ax.set_ylabel("mean residual")
                ax.legend(loc="best", handlelength=1.2)
    return figure


def rmsd_by_panel(view: DetectorView) -> Figure:
    """RMSD of x and y of every panel with reflections, before and after."""
    with style.styled():
        figure = style.new_figure(_WIDTH_IN, 4.6)
        seen = np.flatnonzero(view.counts > 0)
        place = np.arange(len(seen))
        both = [view.by_panel(r)[1][seen] for r in (view.before, view.after)]
        dots = len(seen) <= 120
        for k, name in enumerate(("x", "y")):
            ax = figure.add_axes((0.075, 0.59 - 0.47 * k, 0.91, 0.325))
            first, last = (b[:, k] for b in both)
            ax.vlines(place, first, last, color=style.GREY, lw=1.1 if dots else 0.5, zorder=2)
            for values, look, filled in ((first, _BEFORE, False), (last, _AFTER, True)):
                colour = look["color"]
                ax.plot(
                    place, values, ls="", marker="o", ms=5.0 if dots else 2.0, mec=colour,
                    mfc=colour if filled else "#ffffff", label=look["label"], zorder=3,
                )  # fmt: skip
            top = float(np.nanmax(both[0][:, k], initial=0.0))
            ax.set(ylabel="RMSD (px)", ylim=(0.0, 1.3 * max(top, float(last.max(initial=0.0)))))
            ax.set_xlim(-0.8, len(seen) - 0.2)
            ax.grid(axis="x", visible=False)
            step = max(1, -(-len(seen) // 40))
            ax.set_xticks(place[::step], [str(p) for p in seen[::step]])
            better = int(np.count_nonzero(last < first))
            style.title(ax, name, f"lower on {better} of {len(seen)} panels with reflections")
            if k == 0:
                ax.legend(loc="upper right", ncols=2)
            else:
                ax.set_xlabel("panel")
    return figure


def trajectory(view: MetrologyView) -> Figure:
    """RMSDs at every step, and how far the objective is above its end."""
    with style.styled():
        figure, axes = _row(3.2, 3, bottom=0.17)
        step = np.arange(len(view.rmsd))
        for k, (name, colour) in enumerate((("x", style.BLUE), ("y", style.ORANGE))):
            axes[0].plot(step, view.rmsd[:, k], marker="o", ms=4, color=colour, label=name)
        axes[0].legend(loc="upper right")
        axes[0].set(xlabel="step", ylabel="RMSD (mm)", ylim=(0.0, None))
        style.title(axes[0], "Positions")
        axes[1].plot(step, view.rmsd[:, 2], marker="o", ms=4, color=style.GREEN)
        axes[1].set(xlabel="step", ylabel="")
        style.title(axes[1], "Angle (°)")
        excess = view.objective / view.objective[-1] - 1.0
        keep = excess > 1e-15
        axes[2].semilogy(step[keep], excess[keep], marker="o", ms=4, color=style.INK)
        axes[2].set(xlabel="step")
        style.title(axes[2], "Objective over its end, − 1")
        for ax in axes:
            ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
            ax.set_xlim(-0.4, len(step) - 0.6)
        if not keep.any():
            style.empty(axes[2], f"{count(len(step))} step: nothing to compare")
    return figure
