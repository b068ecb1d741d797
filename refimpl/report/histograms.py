"""Histograms of the residuals of a powder calibration, with the normal curves expected."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.pictures import strain_limit
from refimpl.report.plots import BOXED, NO_POINTS
from refimpl.report.view import PowderView
from refimpl.units import MICROSTRAIN

__all__ = ["draw_histogram", "residual_histogram"]


def residual_histogram(view: PowderView) -> Figure:
    """Histogram of strain and of strain over its own error, with the normal curves they claim."""
    with style.styled():
        figure = style.new_figure(9.6, 4.0)
        left = figure.add_axes((0.075, 0.14, 0.42, 0.74))
        right = figure.add_axes((0.565, 0.14, 0.415, 0.74))
        draw_histogram(left, view)
        style.title(left, "Residual strain")
        _draw_normalised(right, view)
        style.title(right, "Residual over its own error")
    return figure


def draw_histogram(ax: Axes, view: PowderView) -> None:
    """Draw signed strain, and what the stated error of every point predicts."""
    used = view.used
    ax.set(xlabel="strain (µε)", ylabel="points per bin")
    if used.empty:
        style.empty(ax, NO_POINTS)
        return
    strain = used["strain"].to_numpy(dtype=float) / MICROSTRAIN
    sigma = view.sigma_strain(used) / MICROSTRAIN
    limit = 1.6 * strain_limit(used["strain"].to_numpy(dtype=float))
    width = _bars(ax, strain, limit)
    grid = np.linspace(-limit, limit, 401)
    good = sigma[np.isfinite(sigma) & (sigma > 0)]
    top = ax.get_ylim()[1]
    if good.size:
        curve = _mixture(grid, good) * len(strain) * width
        ax.plot(grid, curve, color=style.VERMILLION, label="errors of the points alone")
    spread = float(np.std(strain))
    if spread > 0.0:
        bell = _mixture(grid - strain.mean(), np.array([spread])) * len(strain)
        bell *= width
        ax.plot(grid, bell, color=style.INK, ls="--", label="normal of the same spread")
    _headroom(ax, top)
    ax.set_xlim(-limit, limit)
    typical = f"\npoint error {np.median(good):.1f} µε" if good.size else ""
    style.note(ax, f"n = {len(strain):,}\nrms {np.sqrt(np.mean(strain**2)):.1f} µε{typical}")


def _bars(ax: Axes, values: F64, limit: float) -> float:
    """Draw the bars, the outermost with all that lies beyond; return the width of one."""
    edges = np.linspace(-limit, limit, 61)
    inside = np.clip(values, -limit, limit)
    ax.hist(inside, list(edges), color=style.SKY, alpha=0.85, histtype="stepfilled")
    return float(edges[1] - edges[0])


def _headroom(ax: Axes, bars: float) -> None:
    """Leave room for the legend above bars and curves; a curve far taller may leave the frame."""
    curves = [float(np.max(np.asarray(line.get_ydata()))) for line in ax.lines]
    ax.set_ylim(0, 1.38 * min(max([bars, *curves]), 2.5 * bars))
    ax.legend(loc="upper left", **BOXED)


def _mixture(x: F64, sigma: F64) -> F64:
    """(n,) density of a mixture of centred normals, by the quantiles of their sigmas."""
    some = np.quantile(sigma, (np.arange(64) + 0.5) / 64) if sigma.size > 64 else sigma
    density = np.exp(-0.5 * (x[:, None] / some) ** 2) / (some * np.sqrt(2.0 * np.pi))
    return density.mean(axis=1)


def _draw_normalised(ax: Axes, view: PowderView) -> None:
    """Draw strain over its error and the standard normal."""
    used = view.used
    ax.set(xlabel="strain / σ", ylabel="points per bin")
    if used.empty:
        style.empty(ax, NO_POINTS)
        return
    ratio = used["strain"].to_numpy(dtype=float) / view.sigma_strain(used)
    ratio = ratio[np.isfinite(ratio)]
    if ratio.size == 0:
        style.empty(ax, "the points carry no errors")
        return
    limit = float(np.clip(np.percentile(np.abs(ratio), 98) * 1.3, 4.0, 40.0))
    width = _bars(ax, ratio, limit)
    top = ax.get_ylim()[1]
    grid = np.linspace(-limit, limit, 401)
    curve = _mixture(grid, np.ones(1)) * ratio.size * width
    ax.plot(grid, curve, color=style.VERMILLION, label="expected: normal, σ = 1")
    _headroom(ax, top)
    ax.set_xlim(-limit, limit)
    robust = 1.4826 * float(np.median(np.abs(ratio - np.median(ratio))))
    style.note(ax, f"spread {np.std(ratio):.2f}\nrobust spread {robust:.2f}")
