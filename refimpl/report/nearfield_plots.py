"""Histograms of a near-field map: confidence, grains, boundaries, and the error against a truth."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.nearfield_view import MapView
from refimpl.units import DEG

__all__ = ["boundary_histogram", "confidence_histogram", "grain_sizes", "misorientation_histogram"]

_SIZE = (9.6, 3.6)


def _pair() -> tuple[Figure, Axes, Axes]:
    figure = style.new_figure(*_SIZE)
    return (
        figure,
        figure.add_axes((0.075, 0.155, 0.40, 0.71)),
        figure.add_axes((0.565, 0.155, 0.415, 0.71)),
    )


def _bars(ax: Axes, values: F64, edges: F64, colour: str = style.SKY, **more: object) -> None:
    inside = np.clip(values, edges[0], edges[-1])
    ax.hist(inside, list(edges), color=colour, histtype="stepfilled", alpha=0.85, **more)  # type: ignore[arg-type]
    ax.set_xlim(edges[0], edges[-1])


def confidence_histogram(view: MapView) -> Figure:
    """Voxels by confidence, pooled, and the share of voxels at or above each confidence."""
    with style.styled():
        figure, left, right = _pair()
        c = view.result.confidence[view.result.solved]
        _bars(left, c, np.linspace(0.0, 1.0, 51))
        left.set(xlabel="confidence", ylabel="voxels per bin")
        style.title(left, "Confidence", f"{int((c >= 1.0).sum()):,} of {len(c):,} are 1")
        if len(c):
            ordered = np.sort(c)
            share = 1.0 - np.arange(len(c)) / len(c)
            right.step(ordered, share, color=style.BLUE, where="post", label="all distances")
            d = view.result.by_distance
            for k, colour in zip(
                range(d.shape[1]), (style.ORANGE, style.GREEN, style.VERMILLION), strict=False
            ):
                own = np.sort(d[np.isfinite(d[:, k]), k])
                if len(own):
                    right.step(
                        own, 1.0 - np.arange(len(own)) / len(own), color=colour, where="post",
                        lw=1.0, label=f"distance {k + 1}",
                    )  # fmt: skip
            right.legend(loc="lower left")
        if view.min_confidence > 0.0:
            for ax in (left, right):
                ax.axvline(view.min_confidence, color=style.MUTED, ls="--", lw=1.0)
        right.set(xlabel="confidence", ylabel="share of voxels at or above", xlim=(0, 1),
                  ylim=(0, 1.03))  # fmt: skip
        style.title(right, "How many are as good")
    return figure


def grain_sizes(view: MapView) -> Figure:
    """Equivalent diameters of the grains, by number and by area."""
    with style.styled():
        figure, left, right = _pair()
        grains = view.grains()
        d = np.array([g.diameter_um for g in grains])
        area = np.array([g.area_um2 for g in grains])
        top = float(d.max(initial=1.0)) * 1.05
        edges = np.linspace(0.0, top, 31)
        _bars(left, d, edges)
        left.set(xlabel="equivalent diameter (µm)", ylabel="grains per bin")
        left.yaxis.set_major_locator(MaxNLocator(integer=True))
        style.title(left, "Grain sizes", f"{len(d)} grains")
        if len(d):
            right.hist(
                d, list(edges), weights=100.0 * area / area.sum(), color=style.SKY, alpha=0.85,
                histtype="stepfilled",
            )  # fmt: skip
        right.set(xlabel="equivalent diameter (µm)", ylabel="share of the area (%)", xlim=(0, top))
        mean = float((d * area).sum() / area.sum()) if len(d) else 0.0
        style.title(right, "By area", f"mean {mean:.1f} µm" if len(d) else "")
    return figure


def boundary_histogram(view: MapView) -> Figure:
    """Misorientation of neighbours: within grains, and across boundaries."""
    with style.styled():
        figure, left, right = _pair()
        inside = view.pair_rad[~view.across] / DEG
        across = view.pair_rad[view.across] / DEG
        top = max(float(np.percentile(inside, 99.0)), 0.01) if len(inside) else 1.0
        _bars(left, inside, np.linspace(0.0, top, 51))
        left.set(xlabel="misorientation (°)", ylabel="pairs per bin")
        median = f"median {np.median(inside):.4f}°" if len(inside) else ""
        style.title(left, "Neighbours within a grain", median)
        most = float(across.max(initial=view.grain_angle_rad / DEG)) * 1.05
        _bars(right, across, np.linspace(0.0, most, 41), style.ORANGE)
        right.set(xlabel="misorientation (°)", ylabel="pairs per bin")
        length = len(across) * view.side_um
        style.title(right, "Across boundaries", f"{length:,.0f} µm of boundary")
    return figure


def misorientation_histogram(view: MapView) -> Figure:
    """Error against the reference: its distribution, and where it is large."""
    with style.styled():
        figure, left, right = _pair()
        comparison = view.comparison
        deg = np.zeros(0) if comparison is None else comparison.misorientation_deg
        if comparison is None or not len(deg):
            for ax in (left, right):
                style.empty(ax, "nothing to compare")
            return figure
        edges = np.logspace(-4, 2, 61)
        left.set_xscale("log")
        _bars(left, deg, edges)
        left.set(xlabel="misorientation (°)", ylabel="voxels per bin")
        left.xaxis.set_major_formatter("{x:g}")
        for limit in (0.05, 0.25):
            left.axvline(limit, color=style.MUTED, ls="--", lw=1.0)
        below = 100.0 * float((deg < 0.25).mean())
        style.title(left, "Error", f"median {np.median(deg):.4f}°, {below:.2f} % < 0.25°")
        away = 1e3 * comparison.boundary_mm
        some = np.isfinite(away)
        if not some.any():
            style.empty(right, "the reference has no boundary")
            return figure
        right.scatter(
            away[some], np.maximum(deg[some], 1e-4), s=7, color=style.POINT, alpha=0.5,
            linewidths=0, rasterized=True,
        )  # fmt: skip
        right.set_yscale("log")
        right.yaxis.set_major_formatter("{x:g}")
        right.set(
            xlabel="distance from another grain (µm)", ylabel="misorientation (°)",
            ylim=(8e-5, 100.0), xlim=(0.0, None),
        )  # fmt: skip
        style.title(right, "Where it is large", f"{int(comparison.twin.sum())} wrong twins")
    return figure
