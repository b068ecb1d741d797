"""Figures of a session: beam shifts and their groups, the lattice folded, distances, cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon
from scipy.spatial import cKDTree

from refimpl.frames import F64, I64
from refimpl.report import style
from refimpl.report.epu_holes import HoleMap
from refimpl.report.epu_maps import draw_holes, draw_lattice, legend, place_axes
from refimpl.report.epu_view import EpuView

__all__ = ["beam_shifts", "cases_figure", "distance_histogram", "folded", "scatter_figure"]
__all__ += ["session_map"]

_MOST_NUMBERS = 300
_CLOSE_UP = 24.0
_CASES = 8
_HALO: dict[str, Any] = {"boxstyle": "round,pad=0.12", "fc": "#ffffff", "ec": "none", "alpha": 0.75}


def scatter_figure(
    beam_shift: F64, labels: I64, centres: F64,
    *, numbers: Sequence[int] | None = None, title: str = "Beam shifts", detail: str = "",
) -> Figure:  # fmt: skip
    """Draw beam shifts with the numbers of their groups, at equal scale on both axes.

    Parameters
    ----------
    beam_shift
        (n, 2).
    labels
        (n,) group of each, from 1; -1: none.
    centres
        (c, 2) of the groups; `labels - 1` is their row.
    numbers
        (c,) written at the centres; None: from 1.
    title, detail
        Above the figure.
    """
    with style.styled():
        figure = style.new_figure(7.2, 7.0)
        ax = figure.add_axes((0.115, 0.085, 0.86, 0.855))
        out = labels < 0
        size, alpha = _dots(len(beam_shift))
        ax.plot(*beam_shift[~out].T, ls="", marker="o", ms=size, mew=0, alpha=alpha,
                color=style.POINT, rasterized=True)  # fmt: skip
        if out.any():
            ax.plot(*beam_shift[out].T, ls="", marker="x", ms=5, color=style.VERMILLION,
                    label=f"in no group: {int(out.sum())}")  # fmt: skip
            ax.legend(loc="upper right")
        if 0 < len(centres) <= _MOST_NUMBERS:
            texts = range(1, len(centres) + 1) if numbers is None else numbers
            _numbers(ax, beam_shift[~out], labels[~out], centres, texts)
            many = ""
        else:
            many = "numbers left out" if len(centres) else ""
        ax.set(xlabel="beam shift x", ylabel="beam shift y")
        ax.set_aspect("equal", adjustable="datalim")
        ax.margins(0.06)
        style.title(ax, title, detail or many)
    return figure


def _dots(n: int) -> tuple[float, float]:
    """Size and opacity of n points that lie on one another: many show where most of them are."""
    few = float(np.sqrt(1000.0 / max(n, 1000)))
    return 1.2 + 2.8 * few, 0.08 + 0.62 * few


def _numbers(ax: Axes, points: F64, labels: I64, centres: F64, texts: Iterable[int]) -> None:
    """Number each group: in its middle where that is free, above it where a point is there."""
    apart = 1.0
    if len(centres) > 1:
        apart = float(np.median(cKDTree(centres).query(centres, k=2)[0][:, 1])) or 1.0
    near = np.hypot(*(points - centres[labels - 1]).T) < 0.08 * apart
    n = len(centres)
    covered = np.bincount(labels - 1, near, n) / np.maximum(np.bincount(labels - 1, minlength=n), 1)
    size = float(np.clip(160.0 / np.sqrt(len(centres)), 5.5, 11.0))
    for (x, y), part, text in zip(centres, covered, texts, strict=True):
        up = 0.17 * apart if part > 0.05 else 0.0
        ax.text(x, y + up, str(text), ha="center", va="center", fontsize=size, fontweight="bold",
                color=style.INK, zorder=5, clip_on=True,
                bbox=_HALO)  # fmt: skip


def beam_shifts(view: EpuView) -> Figure:
    """Scatter of the session's beam shifts with the groups of the view."""
    clusters = view.clusters
    assert clusters is not None
    return scatter_figure(
        view.session.beam_shift, clusters.labels, clusters.centres,
        detail=f"{len(clusters)} groups ({clusters.method}), {len(view.session):,} exposures",
    )  # fmt: skip


def session_map(view: EpuView) -> Figure:
    """Map of the exposures: hole by hole, or all of them with a close-up of the fullest place."""
    with style.styled():
        p = view.duplicates.positions_um
        low, high = (p.min(axis=0), p.max(axis=0)) if len(p) else (np.zeros(2), np.ones(2))
        edge = 0.03 * float((high - low).max()) + 1.5
        frame = low - edge, high + edge
        size = frame[1] - frame[0]
        if view.is_small:
            wide = float(min(8.6, 8.0 * size[0] / size[1]))
            tall = float(wide * size[1] / size[0])
            figure = style.new_figure(9.4, tall + 1.35)
            ax = place_axes(figure, (0.5 * (9.4 - wide) + 0.2, 0.85, wide, tall), frame)
            _draw_close(ax, view, frame)
            style.title(ax, "Exposures on the specimen", _said(view))
        else:
            wide, tall = _fitting(size, 4.9, 5.4)
            figure = style.new_figure(wide + 5.4 + 1.55, max(tall, 5.0) + 1.35)
            ax = place_axes(figure, (0.8, 0.85, wide, tall), frame)
            _draw_all(ax, view)
            style.title(ax, "All exposures", _said(view))
            middle = _fullest(view)
            half = 0.5 * _CLOSE_UP * _pitch(view.holes)
            near = middle - half, middle + half
            close = place_axes(figure, (wide + 1.4, 0.85, 5.0, 5.0), near, named_y=False)
            close.tick_params(labelleft=True)
            _draw_close(close, view, near)
            style.title(close, "Close-up", "most duplicates" if view.duplicates.bad.any() else "")
            corner = near[0]
            ax.add_patch(
                Polygon(corner + 2.0 * half * np.array([[0, 0], [1, 0], [1, 1], [0, 1]]),
                        closed=True, fill=False, ec=style.INK, lw=1.0, zorder=6)
            )  # fmt: skip
        legend(figure, has_bad=bool(view.duplicates.bad.any()))
    return figure


def _said(view: EpuView) -> str:
    found = view.duplicates
    return f"{found.n_duplicates:,} of {len(view.session):,} bad at {found.radius_um:g} µm"


def _fitting(size: F64, wide: float, tall: float) -> tuple[float, float]:
    scale = min(wide / float(size[0]), tall / float(size[1]))
    return scale * float(size[0]), scale * float(size[1])


def _pitch(holes: HoleMap) -> float:
    """Distance of neighbouring holes, or 2.5 um where it is not known."""
    return 2.5 if holes.lattice_um is None else float(np.hypot(*holes.lattice_um.T).min())


def _fullest(view: EpuView) -> F64:
    """Bad exposure (else: exposure) with most others like it around; the first of equals."""
    p = view.duplicates.positions_um
    p = p[view.duplicates.bad] if view.duplicates.bad.any() else p
    if len(p) > 20_000:
        p = p[:: -(-len(p) // 20_000)]
    if not len(p):
        return np.zeros(2)
    near = cKDTree(p).query_ball_point(p, 0.4 * _CLOSE_UP * _pitch(view.holes), return_length=True)
    return np.asarray(p[int(np.argmax(near))])


def _draw_all(ax: Axes, view: EpuView) -> None:
    p, bad = view.duplicates.positions_um, view.duplicates.bad
    size = float(np.clip(80.0 / np.sqrt(max(len(p), 1)), 0.5, 2.0))
    ax.plot(*p[~bad].T, ls="", marker="o", ms=size, mew=0, color=style.POINT, rasterized=True)
    ax.plot(*p[bad].T, ls="", marker="o", ms=2.5, mew=0, color=style.VERMILLION, zorder=4)


def _draw_close(ax: Axes, view: EpuView, frame: tuple[F64, F64]) -> None:
    """Holes of a part of the map, and the bad exposures."""
    holes = view.holes.within(*frame)
    draw_lattice(ax, holes, frame)
    draw_holes(ax, holes, hole_um=view.session.hole_size_um)
    bad = view.duplicates.positions_um[view.duplicates.bad]
    ax.plot(*bad.T, ls="", marker="x", ms=5.5, mew=1.4, color=style.VERMILLION, zorder=6)


def folded(view: EpuView) -> Figure:
    """All holes laid on one cell of the lattice: with the calibration, and with one number."""
    with style.styled():
        figure = style.new_figure(9.6, 4.9)
        shown = [(view.holes, f"{view.calibration.method}, k = {view.calibration.k_um:.3f}")]
        if not view.is_scalar:
            shown.append((view.scalar_holes, f"one number, k = {view.scalar.k_um:.2f}"))
        reach = 0.55 * float(np.abs(view.holes.cells()[:1] - view.holes.centres_um[:1]).max() * 2)
        for k, (holes, name) in enumerate(shown):
            frame = np.full(2, -reach), np.full(2, reach)
            ax = place_axes(figure, (0.7 + 4.75 * k, 0.55, 3.9, 3.9), frame, named_y=k == 0)
            ax.set(xlabel="from the node, x (µm)", ylabel="from the node, y (µm)" if k == 0 else "")
            ax.add_patch(
                Polygon(holes.cells()[0] - holes.centres_um[0], closed=True, fc="#eef2f6",
                        ec=style.GREY, lw=0.8)
            )  # fmt: skip
            size, alpha = _dots(len(holes.off_um))
            ax.plot(*holes.off_um.T, ls="", marker="o", ms=size, mew=0, alpha=alpha,
                    color=style.POINT, rasterized=True)  # fmt: skip
            ax.add_patch(Circle((0, 0), view.duplicates.radius_um, fill=False, ls="--", lw=1.1,
                                ec=style.VERMILLION, zorder=5))  # fmt: skip
            style.title(ax, name, f"rms {holes.rms_um:.3f} µm")
    return figure


def distance_histogram(view: EpuView) -> Figure:
    """Distances of the nearest exposure of the same visit of a hole, and of any other."""
    with style.styled():
        figure = style.new_figure(9.6, 3.6)
        ax = figure.add_axes((0.075, 0.155, 0.905, 0.71))
        same, other = view.nearest_um
        known = np.concatenate([same[np.isfinite(same)], other[np.isfinite(other)]])
        radius = view.duplicates.radius_um
        low = max(min(float(known.min(initial=radius)), 0.3 * radius), 1e-3)
        high = max(float(known.max(initial=radius)), 3.0 * radius)
        edges = np.geomspace(0.8 * low, 1.25 * high, 81)
        for values, colour, name in (
            (same, style.SKY, "another shot of the same visit"),
            (other, style.ORANGE, "any other exposure"),
        ):
            values = np.clip(values[np.isfinite(values)], edges[0], edges[-1])
            ax.hist(values, list(edges), color=colour, alpha=0.85, histtype="stepfilled",
                    label=name)  # fmt: skip
        ax.axvline(radius, color=style.VERMILLION, ls="--", lw=1.2, label=f"radius {radius:g} µm")
        ax.set_xscale("log")
        ax.set_yscale("symlog", linthresh=10.0)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set(xlabel="distance of the nearest (µm)", ylabel="exposures per bin",
               xlim=(edges[0], edges[-1]), ylim=(0.0, None))  # fmt: skip
        ax.legend(loc="upper left")
        style.title(ax, "How near the nearest exposure is", f"{len(same):,} exposures")
    return figure


def cases_figure(view: EpuView) -> Figure:
    """First cases as discs of the beam: what is kept, and what was exposed again."""
    with style.styled():
        cases = view.cases[:_CASES]
        rows = -(-len(cases) // 4)
        figure = style.new_figure(9.6, 2.75 * rows + 0.1)
        diameter = view.session.table["beam_diameter_um"].to_numpy(dtype=float)
        p, half = view.duplicates.positions_um, 1.35
        pairs = view.duplicates.pairs
        keys = zip(pairs["first"].tolist(), pairs["second"].tolist(), strict=True)
        cause = dict(zip(keys, pairs["cause"].tolist(), strict=True))
        for k, (first, second) in enumerate(cases):
            middle = 0.5 * (p[first] + p[second])
            ax = figure.add_axes(
                (0.01 + 0.2475 * (k % 4), 1.0 - (2.7 * (k // 4) + 2.6) / (2.75 * rows + 0.1),
                 0.2375, 2.3 / (2.75 * rows + 0.1))
            )  # fmt: skip
            low, high = middle - half, middle + half
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xticks=[], yticks=[])
            ax.set_aspect("equal")
            ax.spines[:].set_visible(True)
            draw_lattice(ax, view.holes, (low - 5.0, high + 5.0))
            near = np.flatnonzero(np.abs(p - middle).max(axis=1) < half + 1.0)
            others = near[~np.isin(near, (first, second))]
            for these, colour, width in ((others, style.GREY, 0.8), ([first], style.BLUE, 1.6),
                                         ([second], style.VERMILLION, 1.6)):  # fmt: skip
                size = np.where(np.isfinite(diameter[these]), diameter[these], 0.2)
                where: dict[str, Any] = {"units": "xy", "offset_transform": ax.transData}
                ax.add_collection(
                    EllipseCollection(size, size, np.zeros_like(size), offsets=p[these],
                                      facecolors=f"{colour}30", edgecolors=colour,
                                      linewidths=width, zorder=3, **where)
                )  # fmt: skip
            away = float(np.hypot(*(p[first] - p[second])))
            why = cause.get((int(first), int(second)), "")
            ax.set_title(f"{k + 1}: {1e3 * away:.0f} nm, {why}", fontsize=9.0, pad=4.0)
    return figure
