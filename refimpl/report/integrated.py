"""Figures of the integrated image: cake and radial profile."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.rings import spread
from refimpl.report.view import PowderView

__all__ = ["cake_figure", "radial_profile"]


def cake_figure(view: PowderView) -> Figure:
    """Intensity over 2-theta and eta, with the predicted angles: straight lines if all is well."""
    with style.styled():
        figure = style.new_figure(9.6, 5.2)
        ax = figure.add_axes((0.075, 0.11, 0.905, 0.76))
        style.title(ax, "Cake: rings straightened by the calibrated geometry", pad=20.0)
        if view.cake is None or not np.isfinite(view.cake[2]).any():
            style.empty(ax, "no cake was made")
            return figure
        angle, eta, intensity = (np.asarray(a, dtype=float) for a in view.cake)
        shown = np.ma.masked_invalid(style.stretch(style.pool_maxima(intensity, 1600)[0]))
        extent = (*_edges_deg(angle), *_edges_deg(eta))
        ax.imshow(shown, cmap=style.PICTURE, vmin=0, vmax=1, extent=extent, aspect="auto")
        ring = np.degrees(view.ring_two_theta)
        low = np.arange(-180.0, 180.0, 30.0)
        segments = [[(t, e), (t, e + 15.0)] for t in ring for e in low]
        lines = LineCollection(segments, colors=style.VERMILLION, linewidths=0.8, zorder=3)
        ax.add_collection(lines)
        ax.set(xlim=extent[:2], ylim=extent[2:], xlabel="2θ (°)", ylabel="η (°)")
        ax.set_yticks([t for t in range(-180, 181, 45) if extent[2] - 1 <= t <= extent[3] + 1])
        ax.grid(visible=False)
        _label_rings(ax, view)
    return figure


def _edges_deg(centres: F64) -> tuple[float, float]:
    """Outer edges [degrees] of evenly spaced bin centres [rad]."""
    half = 0.5 * (centres[-1] - centres[0]) / max(len(centres) - 1, 1)
    return float(np.degrees(centres[0] - half)), float(np.degrees(centres[-1] + half))


def _label_rings(ax: Axes, view: PowderView) -> None:
    """Miller indices above the axes, where there is room."""
    ring = np.degrees(view.ring_two_theta)
    low, high = ax.get_xlim()
    inside = np.where((ring >= low) & (ring <= high), ring, np.nan)
    for row in spread(inside, 0.026 * (high - low)):
        ax.annotate(
            view.hkl_text(row),
            (ring[row], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=7.0,
            color=style.VERMILLION,
        )


def radial_profile(view: PowderView) -> Figure:
    """Mean intensity against 2-theta, with the predicted angles."""
    with style.styled():
        figure = style.new_figure(9.6, 3.7)
        ax = figure.add_axes((0.085, 0.15, 0.895, 0.68))
        style.title(ax, "Radial profile", pad=20.0)
        if view.radial is None or not np.isfinite(view.radial[1]).any():
            style.empty(ax, "no radial profile was made")
            return figure
        angle = np.degrees(np.asarray(view.radial[0], dtype=float))
        intensity = np.asarray(view.radial[1], dtype=float)
        ring = np.degrees(view.ring_two_theta)
        ax.vlines(
            *(ring, 0, 1),
            transform=ax.get_xaxis_transform(),
            color=style.VERMILLION,
            lw=0.7,
            alpha=0.7,
        )
        ax.plot(angle, intensity, color=style.INK, lw=1.0)
        seen = np.isfinite(intensity)
        ax.set(xlim=(angle[seen].min(), angle[seen].max()), xlabel="2θ (°)")
        positive = intensity[seen & (intensity > 0)]
        # Peaks far above the background are only seen together with it on a logarithmic scale.
        if positive.size and positive.max() > 20.0 * np.median(positive):
            ax.set_yscale("log")
            ax.set_ylim(bottom=0.8 * float(np.percentile(positive, 1)))
        ax.set_ylabel("mean intensity per pixel")
        ax.grid(axis="x", visible=False)
        _label_rings(ax, view)
    return figure
