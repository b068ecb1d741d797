"""Panels on the layout of the detector: colours, hatching and labels that all panel maps share.

A number below twice its standard uncertainty must look like one: its colour fills a small field
in the middle of the panel. A held panel is hatched, whatever its value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, Normalize
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.report.panel_view import PanelView
from refimpl.report.pictures import picture_size
from refimpl.report.view import PowderView

__all__ = ["CLEAR", "EDGE", "HATCHED", "draw_panels", "is_low", "nice_below", "panel_label"]
__all__ += ["panels_of", "room"]

HATCHED: dict[str, Any] = {"fc": "#ffffff", "ec": "#c3cad2", "lw": 0.0, "hatch": "/////"}
EDGE, _GAP = "#b4bdc7", "#e3e6ea"
CLEAR: dict[str, Any] = {"boxstyle": "round,pad=0.15", "fc": "#ffffff", "ec": "none", "alpha": 0.85}
"""Box behind a label that stands on a colour."""
_INSET = 0.45  # side of the small field over that of the panel


def panels_of(view: PowderView) -> PanelView:
    """Panels of a view.

    Raises
    ------
    ConfigError
        The view is of a single surface.
    """
    if view.panels is None:
        raise ConfigError("PowderView.panels is None: a single surface has no map of panels")
    return view.panels


def is_low(view: PowderView) -> bool:
    """Whether the detector is a strip, more than twice as wide as tall."""
    wide, tall = picture_size(view, 1.0, 1.0)
    return wide > 2.0 * tall


def nice_below(value: float, steps: tuple[float, ...] = (1.0, 2.0, 5.0)) -> float:
    """Largest of these steps times a power of ten that is not above a positive value."""
    power = 10.0 ** np.floor(np.log10(value) + 1e-9)
    return float(max(step for step in steps if step <= value / power * (1.0 + 1e-9)) * power)


def _corners(boxes: F64, share: float = 1.0) -> F64:
    """(p, 4, 2) corners of boxes shrunk about their middle to that share of their sides."""
    middle = 0.5 * (boxes[:, None, :2] + boxes[:, None, 2:])
    half = 0.5 * share * (boxes[:, None, 2:] - boxes[:, None, :2])
    return middle + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


def draw_panels(
    ax: Axes,
    boxes: I64,
    values: F64,
    norm: Normalize,
    cmap: Colormap,
    *,
    sure: NDArray[np.bool_] | None = None,
    held: NDArray[np.bool_] | None = None,
) -> PolyCollection:
    """Draw (p,) values as colours of (p, 4) boxes; return the coloured part.

    `sure` panels are filled, others coloured in a small field in the middle; `held` ones are
    hatched and have no colour, ones with a NaN are white.
    """
    p = len(boxes)
    sure = np.ones(p, dtype=bool) if sure is None else sure
    held = np.zeros(p, dtype=bool) if held is None else held
    outline = _corners(np.asarray(boxes, dtype=np.float64))
    known = np.isfinite(values) & ~held
    fields = np.where(
        sure[:, None, None], outline, _corners(np.asarray(boxes, dtype=np.float64), _INSET)
    )
    ax.set_facecolor(_GAP)
    ax.add_collection(PolyCollection(list(outline), facecolors="#ffffff", linewidths=0, zorder=1))
    if held.any():
        ax.add_collection(PolyCollection(list(outline[held]), **HATCHED, zorder=1.5))
    coloured = PolyCollection(list(fields[known]), cmap=cmap, norm=norm, linewidths=0, zorder=2)
    coloured.set_array(values[known])
    ax.add_collection(coloured)
    # Edges last: a panel of the palest colour must still be seen as one.
    width = 0.6 if p < 100 else 0.35
    edges = PolyCollection(
        list(outline), facecolors="none", edgecolors=EDGE, linewidths=width, zorder=2.5
    )
    ax.add_collection(edges)
    return coloured


def room(ax: Axes, boxes: I64) -> F64:
    """(p, 2) width and height of boxes on paper [in], in axes that show the whole detector."""
    figure = ax.get_figure(root=True)
    assert figure is not None  # axes of a figure of ours
    size = np.asarray(figure.get_size_inches()) * ax.get_position().size
    span = np.array([np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())])
    return np.asarray((boxes[:, 2:] - boxes[:, :2]) * size / span, dtype=np.float64)


def panel_label(
    ax: Axes, boxes: I64, texts: list[str], *, at: tuple[float, float] = (0.5, 0.5), **kw: Any
) -> None:
    """Write one text a panel where it has room, at a share of its box; empty ones are left out."""
    size = float(kw.setdefault("fontsize", 7.5))
    space = room(ax, boxes)
    kw.setdefault("ha", "center" if at[0] == 0.5 else "left")
    kw.setdefault("va", "center" if at[1] == 0.5 else "top" if at[1] > 0.5 else "bottom")
    for box, text, (wide, tall) in zip(boxes, texts, space, strict=True):
        lines = text.split("\n")
        # A digit of this font is 0.64 of its size wide, a line 1.3 of it tall; 72 points an inch.
        need = (0.64 * max(map(len, lines)) * size / 72.0 + 0.04, 1.3 * len(lines) * size / 72.0)
        if text and need[0] <= wide and need[1] <= tall:
            x, y = box[:2] + np.array(at) * (box[2:] - box[:2])
            ax.text(float(x), float(y), text, zorder=6, **kw)
