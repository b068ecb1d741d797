"""Figures over all loops of a coarse-to-fine reconstruction: confidence, and where work went."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from refimpl.report import nearfield_maps as maps
from refimpl.report import style
from refimpl.report.nearfield_multires_view import MultiresView
from refimpl.report.numbers import count
from refimpl.units import UM

__all__ = ["confidence_by_loop", "loop_map", "work_by_step"]

_BINS = 50
_KINDS = {
    "neighbours": style.BLUE, "seeded": style.SKY, "unseeded": style.ORANGE,
    "boundaries": style.GREEN,
}  # fmt: skip
_FIRST = "all seeds"


def _colours(n: int) -> list[str]:
    """From light to dark: the finest grid stands out."""
    return [
        "#{:02x}{:02x}{:02x}".format(*(int(255 * c) for c in colormaps["viridis_r"](v)[:3]))
        for v in np.linspace(0.15, 0.95, n)
    ]


def loop_map(view: MultiresView, number: int) -> Figure:
    """Crystal directions of one loop."""
    shown, loop = view.maps[number], view.result.loops[number]
    figure = maps.ipf_map(shown)
    with style.styled():
        style.title(
            figure.axes[0], f"Loop {number}: crystal direction along z",
            f"edges of {loop.size_mm / UM:.4g} µm, {shown.n_grains} grains",
        )  # fmt: skip
    return figure


def confidence_by_loop(view: MultiresView) -> Figure:
    """Points by confidence, and the share of points at or above each confidence, loop by loop."""
    with style.styled():
        figure = style.new_figure(9.6, 3.8)
        left = figure.add_axes((0.075, 0.15, 0.40, 0.72))
        right = figure.add_axes((0.565, 0.15, 0.415, 0.72))
        loops = view.result.loops
        for loop, colour in zip(loops, _colours(len(loops)), strict=True):
            c = loop.merged.confidence
            share, edges = np.histogram(c, np.linspace(0.0, 1.0, _BINS + 1))
            name = f"loop {loop.number}, {loop.size_mm / UM:.4g} µm"
            left.stairs(100.0 * share / max(len(c), 1), edges, color=colour, lw=1.4, label=name)
            ordered = np.sort(c)
            above = 100.0 * (1.0 - np.arange(len(c)) / max(len(c), 1))
            right.step(ordered, above, color=colour, where="post", label=name)
        least = view.result.settings.bad_below
        for ax in (left, right):
            ax.axvline(least, color=style.MUTED, ls="--", lw=1.0)
        left.set(xlabel="confidence", ylabel="share of points per bin (%)", xlim=(0, 1))
        left.set_yscale("symlog", linthresh=1.0)
        left.set_ylim(0.0, 110.0)
        left.set_yticks([0.0, 1.0, 10.0, 100.0], ["0", "1", "10", "100"])
        right.set(xlabel="confidence", ylabel="share of points at or above (%)", xlim=(0, 1),
                  ylim=(0, 103))  # fmt: skip
        right.legend(loc="lower left")
        final = loops[-1].merged.confidence
        style.title(left, "Confidence", f"dashed: bad below {least:g}")
        style.title(right, "How many are as good", f"{int((final >= 1.0).sum()):,} are 1 at last")
    return figure


def work_by_step(view: MultiresView) -> Figure:
    """Orientations compared with the images, by loop and step."""
    with style.styled():
        loops = view.result.loops
        figure = style.new_figure(9.6, 1.25 + 0.42 * len(loops))
        tall = float(figure.get_size_inches()[1])
        ax = figure.add_axes((0.085, 0.6 / tall, 0.895, 1.0 - 1.1 / tall))
        seen: set[str] = set()
        for loop in loops:
            left = 0.0
            for stage in loop.stages:
                kind = stage.name.partition(", ")[2] or _FIRST
                if not stage.evaluations:
                    continue
                colour = _KINDS.get(kind, style.VERMILLION)
                label = kind if kind not in seen else None
                seen.add(kind)
                ax.barh(
                    loop.number, stage.evaluations, left=left, height=0.62, color=colour,
                    label=label, edgecolor="#ffffff", linewidth=0.6,
                )  # fmt: skip
                left += stage.evaluations
        ax.set_yticks([loop.number for loop in loops], [f"loop {loop.number}" for loop in loops])
        ax.set_ylim(len(loops) - 0.5, -0.5)
        ax.grid(visible=False, axis="y")
        ax.set_xlabel("evaluations of the confidence")
        ax.xaxis.set_major_formatter(lambda value, _: count(value))
        ax.legend(loc="upper right", ncols=5, bbox_to_anchor=(1.0, 1.0 + 0.31 / (tall - 1.1)),
                  borderaxespad=0.0)  # fmt: skip
        style.title(ax, "Work by step")
    return figure
