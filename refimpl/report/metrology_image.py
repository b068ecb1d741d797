"""One image of a scan with the spots that were found and those that are predicted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from refimpl.detector.hierarchy import Hierarchy
from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.io.reflection_table import ReflectionTable
from refimpl.report import style
from refimpl.report.page import write_png

__all__ = ["image_figure", "marks", "write_image"]

_WIDTH_IN = 9.6


def marks(
    table: ReflectionTable, column: str, detector: Hierarchy, frame: int, width: float
) -> F64:
    """(m, 2) places in the stored image [px] of the rows that are seen on one image.

    Parameters
    ----------
    table
        Reflections.
    column
        ``xyzobs.px.value`` or ``xyzcal.px``; a table without it has no marks.
    detector
        Its panels' offsets in the stored image.
    frame
        Index of the image along the scan: z of its start.
    width
        How far z may be from the middle of the image [images].
    """
    if column not in table:
        return np.empty((0, 2))
    xyz = np.asarray(table[column], dtype=np.float64)
    here = np.abs(xyz[:, 2] - (frame + 0.5)) <= width
    if column == "xyzcal.px":
        here &= np.any(xyz != 0.0, axis=1)  # zeros stand for: never predicted
    offset = np.array([m.raw_image_offset for m in detector.modules], dtype=np.float64)
    panel = np.asarray(table["panel"], dtype=np.int64)[here]
    if len(panel) and panel.max() >= len(offset):
        raise ConfigError(
            f"a reflection is on panel {panel.max()}: the detector has {len(offset)} panels"
        )
    return np.asarray(xyz[here, :2] + offset[panel])


def image_figure(
    image: NDArray[Any],
    detector: Hierarchy,
    observed: F64,
    predicted: F64,
    *,
    title: str,
    window: tuple[int, int, int, int] | None = None,
) -> Figure:
    """Picture of an image, dark on white, with circles on spots and crosses on predictions.

    Parameters
    ----------
    image
        (slow, fast) counts as stored.
    detector
        Its trusted range tells the gaps.
    observed, predicted
        (m, 2) fast, slow [px].
    title
        Above the picture.
    window
        fast0, slow0, fast1, slow1 [px] of the part that is shown; None for all.

    Raises
    ------
    ConfigError
        The window holds no pixel of the image.
    """
    low, high = detector.modules[0].trusted_range
    whole = np.where((image >= low) & (image <= max(high, low + 1.0)), image, np.nan)
    x0, y0, x1, y1 = window or (0, 0, image.shape[1], image.shape[0])
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, image.shape[1]), min(y1, image.shape[0])
    if x1 <= x0 or y1 <= y0:
        raise ConfigError(
            f"window {window}: an image of {image.shape[1]} x {image.shape[0]} px (fast x slow)"
        )
    small, factor = style.pool_maxima(whole[y0:y1, x0:x1].astype(np.float64), 1400)
    shade = np.sqrt(np.clip(small, 0.0, None))
    finite = shade[np.isfinite(shade)]
    ground, top = np.percentile(finite, [40.0, 99.8]) if finite.size else (0.0, 1.0)
    with style.styled():
        tall = _WIDTH_IN * 0.9 * (y1 - y0) / (x1 - x0)
        figure = style.new_figure(_WIDTH_IN, tall + 1.1)
        ax = figure.add_axes((0.08, 0.6 / (tall + 1.1), 0.9, tall / (tall + 1.1)))
        right, bottom = x0 + factor * small.shape[1], y0 + factor * small.shape[0]
        ax.imshow(
            shade, cmap=style.PICTURE, vmin=ground, vmax=max(top, ground + 1.0), origin="upper",
            extent=(x0, right, bottom, y0),
        )  # fmt: skip
        many = max(len(observed), len(predicted))
        size = float(np.clip(2500.0 / max(many, 1), 2.2, 7.0)) if window is None else 11.0
        look: dict[str, Any] = {"ls": "", "mew": 0.9, "zorder": 4}
        ax.plot(*observed.T, marker="o", ms=size + 2.0, mfc="none", mec=style.BLUE, **look)
        ax.plot(*predicted.T, marker="+", ms=size, color=style.VERMILLION, **look)
        ax.set(xlim=(x0, x1), ylim=(y1, y0), xlabel="fast (px)", ylabel="slow (px)")
        ax.grid(visible=False)
        style.title(ax, title, f"{len(observed)} found, {len(predicted)} predicted")
        handles = [
            Line2D([], [], ls="", marker="o", ms=7, mfc="none", mec=style.BLUE),
            Line2D([], [], ls="", marker="+", ms=7, color=style.VERMILLION),
        ]
        figure.legend(
            handles, ["found", "predicted"], loc="lower right", ncols=2,
            bbox_to_anchor=(0.98, 0.0), handlelength=1.0,
        )  # fmt: skip
    return figure


def write_image(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write a figure as PNG, whole or not at all.

    Raises
    ------
    ConfigError
        The place cannot be written to.
    """
    target = Path(path)
    write_png(target, figure)
    return target
