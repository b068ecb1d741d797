"""The look of every figure: colours that survive colour blindness, one font, one set of sizes.

Figures are drawn dark on white. The page inverts them for dark mode with a CSS filter that keeps
hues, so each figure is rendered once and its file on disk prints well.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import rc_context, rcParams, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure

from refimpl.frames import F64

__all__ = [
    *(
        "BLUE",
        "DIVERGING",
        "DPI",
        "GAP",
        "GREEN",
        "GREY",
        "INK",
        "MUTED",
        "ORANGE",
        "PICTURE",
        "POINT",
    ),
    *("SEQUENTIAL", "SKY", "VERMILLION", "empty", "new_figure", "note", "png", "pool_maxima"),
    *("stretch", "styled", "title"),
]

# Okabe and Ito's palette, distinguishable with every common colour blindness:
# https://jfly.uni-koeln.de/color (2008).
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
ORANGE, SKY = "#E69F00", "#56B4E9"
# Of middle lightness, so that faint points are seen as well when the page is inverted.
POINT = "#2f8fce"
INK, MUTED, GREY, GAP = "#1b1f24", "#59636e", "#9aa4af", "#d5dfea"
DPI = 125

# Blue to red through a grey that is darker than the paper, so that a point on its ring is seen.
DIVERGING: Colormap = LinearSegmentedColormap.from_list(
    "refimpl_diverging",
    ["#053061", "#2166ac", "#5fa2d0", "#bcc0c4", "#e08766", "#b2182b", "#67001f"],
).with_extremes(bad="#ffffff")
# Light to middle blue: lightness alone orders it, and dark text and arrows are read on all of it.
SEQUENTIAL: Colormap = LinearSegmentedColormap.from_list(
    "refimpl_sequential", ["#f2f6fa", "#b9d9ee", "#6fb4de", "#3f92c8"]
).with_extremes(bad="#ffffff")
PICTURE: Colormap = LinearSegmentedColormap.from_list(
    "refimpl_picture", ["#ffffff", "#101418"]
).with_extremes(bad=GAP)

_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9.0,
    "axes.labelsize": 10.0,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e7eb",
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "text.color": INK,
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "figure.facecolor": "#ffffff",
    "savefig.facecolor": "#ffffff",
    "image.interpolation": "nearest",
    "image.origin": "lower",
    "lines.linewidth": 1.4,
}
# Settings of the user's own matplotlibrc that could spoil a figure; the rest does no harm.
_RESET = ("text.usetex", "path.sketch", "axes.unicode_minus", "savefig.bbox", "axes.formatter")
_LOCK = threading.RLock()


@contextmanager
def styled() -> Iterator[None]:
    """Draw with this style; Matplotlib's own settings come back afterwards.

    They belong to the process, so a lock keeps two threads of ours from mixing them up.
    """
    settings: dict[Any, Any] = {k: rcParamsDefault[k] for k in rcParams if k.startswith(_RESET)}
    settings.update(_STYLE)
    with _LOCK, rc_context(settings):
        yield


def new_figure(width_in: float, height_in: float) -> Figure:
    """Figure with an Agg canvas of its own: no window, no pyplot."""
    figure = Figure(figsize=(width_in, height_in))
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """PNG of a figure; equal figures give equal bytes (no date, no version inside)."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(
            buffer, format="png", metadata={"Software": "refimpl"}, pil_kwargs={"compress_level": 5}
        )
    return buffer.getvalue()


def title(ax: Axes, text: str, detail: str = "", pad: float = 9.0) -> None:
    """Bold title on the left, and a muted detail at the right end of the same line.

    ``pad`` is the room below it [points]; more where labels stand above the axes.
    """
    ax.set_title(text, loc="left", pad=pad)
    if detail:
        muted: dict[str, Any] = {"fontsize": 9.0, "fontweight": "normal", "color": MUTED}
        ax.set_title(detail, loc="right", pad=pad, **muted)


def note(ax: Axes, text: str, x: float = 0.98, y: float = 0.96) -> None:
    """Small boxed remark inside axes; x and y are fractions of the axes."""
    ax.text(
        *(x, y, text),
        transform=ax.transAxes,
        ha="right" if x > 0.5 else "left",
        va="top" if y > 0.5 else "bottom",
        fontsize=9.0,
        color=INK,
        linespacing=1.35,
        bbox={"boxstyle": "round,pad=0.4", "fc": "#ffffff", "ec": "#d0d7de", "alpha": 0.9},
        zorder=10,
    )


def empty(ax: Axes, text: str) -> None:
    """Say why axes show nothing."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=MUTED)
    ax.set_xticks([])
    ax.set_yticks([])


def pool_maxima(image: F64, limit_px: int = 1000) -> tuple[F64, int]:
    """Shrink an image by a whole factor, keeping the largest value of each block.

    Thin rings and single spots survive, where averaging would wash them out. NaN is ignored; a
    block of NaN alone stays NaN, so that gaps remain visible.

    Parameters
    ----------
    image
        (n_slow, n_fast).
    limit_px
        Longest side allowed.

    Returns
    -------
    The (ceil(n_slow / factor), ceil(n_fast / factor)) maxima, and the factor.
    """
    factor = max(1, -(-max(image.shape, default=1) // limit_px))
    if factor == 1:
        return np.asarray(image, dtype=np.float64), 1
    slow = np.fmax.reduceat(image, np.arange(0, image.shape[0], factor), axis=0)
    return np.fmax.reduceat(slow, np.arange(0, image.shape[1], factor), axis=1), factor


def stretch(image: F64, low: float = 5.0, high: float = 99.7) -> F64:
    """Compress intensities to [0, 1] so that weak rings show beside strong ones; NaN stays.

    ``arcsinh`` of the distance from the median in units of three times the median absolute
    deviation: linear in the background, logarithmic in the peaks; then clipped to percentiles.
    """
    finite = image[np.isfinite(image)]
    if finite.size == 0:
        return np.full(np.shape(image), np.nan)
    middle = float(np.median(finite))
    width = 3.0 * float(np.median(np.abs(finite - middle))) or float(np.std(finite)) or 1.0
    squeezed = np.arcsinh((np.asarray(image, dtype=np.float64) - middle) / width)
    bottom, top = np.percentile(np.arcsinh((finite - middle) / width), [low, high])
    span = top - bottom
    return np.clip((squeezed - bottom) / (span if span > 0.0 else 1.0), 0.0, 1.0)
