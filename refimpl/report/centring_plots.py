"""Figures of a net's numbers: correlation, errors beside baselines, histograms, hits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.centring_view import NAMES, EvaluationView

if TYPE_CHECKING:
    from refimpl.centring.evaluation import Evaluation

__all__ = ["correlation", "draw_table", "errors", "histograms", "hits"]

_COLOURS = {"train": style.GREY, "val": style.SKY, "test": style.BLUE}


def _named(evaluation: Evaluation) -> str:
    return f"{evaluation.target.name} target"


def correlation(view: EvaluationView) -> Figure:
    """Predicted against real targets of each part, with the line x = y."""
    found = view.evaluation
    parts = sorted(found.scores, key=lambda name: name != found.judged)
    with style.styled():
        wide, tall = 9.6 if len(parts) > 1 else 5.9, 5.6
        figure = style.new_figure(wide, tall)
        low, high = _range(found.wanted, found.predicted)
        side = min(2.05, 4.9 / max(len(parts) - 1, 1) - 0.55)
        for k, name in enumerate(parts[:4]):
            box = (0.8, 0.6, 4.6, 4.6)
            if k:
                box = (6.6, 0.6 + 4.6 - k * side - (k - 1) * 0.6, side, side)
            ax = figure.add_axes((box[0] / wide, box[1] / tall, box[2] / wide, box[3] / tall))
            rows = found.part == name
            n = int(rows.sum())
            small = 1.0 if k == 0 else 0.55
            ax.plot(
                found.wanted[rows], found.predicted[rows], ls="", marker="o", mew=0,
                ms=small * float(np.clip(60.0 / np.sqrt(n), 1.4, 5.0)),
                alpha=float(np.clip(25.0 / np.sqrt(n), 0.15, 0.8)), color=style.POINT,
                rasterized=True,
            )  # fmt: skip
            ax.plot([low, high], [low, high], color=style.ORANGE, lw=1.3, label="x = y")
            ax.set(xlim=(low, high), ylim=(low, high))
            ax.set_aspect("equal")
            scores = found.scores[name]
            if k == 0:
                ax.set(xlabel=f"real, {_named(found)}", ylabel=f"predicted, {_named(found)}")
                ax.axhline(
                    float(found.wanted[rows].mean()), color=style.MUTED, ls=":", lw=1.0,
                    label="mean of the real ones",
                )  # fmt: skip
                ax.legend(loc="upper left")
                text = f"Pearson {scores.pearson:.3f}\nSpearman {scores.spearman:.3f}\n"
                text += f"MSE {scores.mse:.3g} (mean: {scores.baseline_mse:.3g})"
                style.note(ax, text, 0.98, 0.04)
            style.title(ax, NAMES[name].capitalize(), f"{n:,}" + (" pictures" if k == 0 else ""))
    return figure


def _range(*values: F64) -> tuple[float, float]:
    low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin


def errors(view: EvaluationView) -> Figure:
    """MSE and MAE of each part beside what predicting the mean and the median would give."""
    found = view.evaluation
    names = list(found.scores)
    at = np.arange(len(names))
    with style.styled():
        figure = style.new_figure(9.6, 3.3)
        for k, (kind, guess) in enumerate((("MSE", "mean"), ("MAE", "median"))):
            ax = figure.add_axes((0.07 + 0.49 * k, 0.12, 0.42, 0.74))
            ours = [getattr(found.scores[n], kind.lower()) for n in names]
            base = [getattr(found.scores[n], f"baseline_{kind.lower()}") for n in names]
            ax.bar(at - 0.19, ours, 0.36, color=style.POINT, label="net")
            ax.bar(at + 0.19, base, 0.36, color=style.GREY, label=f"the {guess} for all")
            for x, value in [
                *zip(at - 0.19, ours, strict=True),
                *zip(at + 0.19, base, strict=True),
            ]:
                ax.text(x, value, f"{value:.3g}", ha="center", va="bottom", fontsize=8.5)
            ax.set_xticks(at, [NAMES[n] for n in names])
            ax.set_ylim(0.0, 1.25 * max(*ours, *base))
            ax.grid(visible=False, axis="x")
            ax.legend(loc="upper right", ncols=2)
            style.title(ax, kind, _named(found))
    return figure


def histograms(view: EvaluationView) -> Figure:
    """Reflection counts and targets, of the whole and of each part."""
    found = view.evaluation
    whole = np.ones(len(found.part), dtype=bool)
    parts = [("whole", whole)]
    if len(found.scores) > 1:
        parts += [(NAMES[n], found.part == n) for n in found.scores]
    with style.styled():
        figure = style.new_figure(9.6, 4.6)
        wide = 0.93 / len(parts)
        for row, (values, what) in enumerate(
            ((found.samples.count, "reflections"), (found.wanted, _named(found)))
        ):
            edges = np.linspace(*_range(values), 41)
            for k, (name, chosen) in enumerate(parts):
                ax = figure.add_axes((0.06 + wide * k, 0.59 - 0.49 * row, wide - 0.048, 0.33))
                part = next((n for n in NAMES if NAMES[n] == name), "")
                ax.hist(values[chosen], list(edges), color=_COLOURS.get(part, style.POINT),
                        log=row == 0)  # fmt: skip
                ax.set_xlim(edges[0], edges[-1])
                ax.set_xlabel(what)
                if k == 0:
                    ax.set_ylabel("pictures per bin")
                if row == 0:
                    style.title(ax, name.capitalize(), f"{int(chosen.sum()):,}")
    return figure


def hits(view: EvaluationView) -> Figure:
    """Hits told from misses, in the part that counts."""
    found = view.evaluation.hits[view.evaluation.judged]
    names = (f"up to {found.least:g}", f"more than {found.least:g}")
    with style.styled():
        figure = style.new_figure(4.8, 4.2)
        ax = figure.add_axes((0.27, 0.16, 0.7, 0.7))
        draw_table(ax, found.table, names)
        ax.set(xlabel="predicted reflections", ylabel="real reflections")
        style.title(ax, "Hits", f"{found.accuracy:.1%} right")
    return figure


def draw_table(ax: Axes, table: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    """Draw a confusion matrix: rows the truth, columns the answer; colours are shares of a row."""
    counts = np.asarray(table, dtype=float)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    ax.imshow(share, cmap=style.SEQUENTIAL, vmin=0.0, vmax=1.0, origin="upper")
    for (i, j), value in np.ndenumerate(counts):
        ax.text(j, i, f"{int(value):,}\n{share[i, j]:.0%}", ha="center", va="center", fontsize=12)
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names, rotation=90, va="center")
    ax.grid(visible=False)
    ax.tick_params(length=0)
