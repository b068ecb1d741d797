"""Small maps of the panels, one a refined number, on the detector's layout."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.numbers import with_uncertainty
from refimpl.report.panel_map import CLEAR, draw_panels, is_low, panel_label, panels_of
from refimpl.report.panel_view import FIELDS, SURE
from refimpl.report.pictures import frame_detector, picture_size, place
from refimpl.report.view import PowderView

__all__ = ["panel_fields"]


class _Map(NamedTuple):
    """One small map: what it shows, and (p,) values, uncertainties, what is sure, what is held."""

    title: str
    caption: str
    value: F64
    sigma: F64
    sure: NDArray[np.bool_]
    held: NDArray[np.bool_]


def _maps(view: PowderView) -> list[_Map]:
    """Small maps of a view: shifts seen from the beam, then every other number."""
    panels = panels_of(view)
    shown, shifts = panels.shown, ("d_fast_px", "d_slow_px")
    maps = []
    if set(shifts) <= set(shown):
        out, out_sigma, around, around_sigma = panels.polar_shift(view.model.beam_centre_px)
        held = panels.shift_held
        for title, words, value, sigma in (
            ("Outwards", "shift away from the beam (px)", out, out_sigma),
            ("Around", "shift around the beam (px)", around, around_sigma),
        ):
            given = not set(shifts) & set(panels.refined)
            sure = ~held & ((np.abs(value) >= SURE * sigma) & (sigma > 0.0) | given)
            maps.append(_Map(title, words, value, sigma, sure, held))
        shown = tuple(name for name in shown if name not in shifts)
    for name in shown:
        field, held = FIELDS[name], panels.held_in(name)
        maps.append(_Map(field.name, field.caption, *panels.values(name), panels.sure(name), held))
    return maps


def panel_fields(view: PowderView) -> Figure:
    """One small map a refined number: shifts, turn, height, tilts, distortion."""
    maps = _maps(view)
    columns = min(len(maps), 2) if is_low(view) else {1: 1, 2: 2, 4: 2}.get(len(maps), 3)
    columns = max(columns, 1)
    rows = -(-max(len(maps), 1) // columns)
    with style.styled():
        wide, tall = picture_size(view, 2.75 if columns == 3 else 3.9, 3.6)
        step = (wide + 0.35, tall + 1.1)
        figure = style.new_figure(columns * step[0], 0.3 + rows * step[1])
        height = figure.get_size_inches()[1]
        for k, one in enumerate(maps):
            left = 0.175 + (k % columns) * step[0]
            bottom = height - 0.35 - (k // columns) * step[1] - tall
            ax = place(figure, left, bottom, wide, tall)
            coloured = _draw_field(ax, view, one)
            box = (left + 0.1 * wide, bottom - 0.24, 0.8 * wide, 0.12)
            bar = figure.colorbar(
                coloured, cax=place(figure, *box), orientation="horizontal", extend="both"
            )
            bar.set_label(one.caption, fontsize=8.5)
            bar.ax.tick_params(labelsize=8.0)
            bar.locator = MaxNLocator(4)
            bar.update_ticks()
            bar.outline.set_linewidth(0.6)
        words = "Small field in the middle: below 2σ. Hatched: held." if maps else "none refined"
        muted: dict[str, Any] = {"fontsize": 8.5, "color": style.MUTED, "va": "bottom"}
        figure.text(0.175 / figure.get_size_inches()[0], 0.1 / height, words, **muted)
    return figure


def _draw_field(ax: Axes, view: PowderView, one: _Map) -> PolyCollection:
    """Draw one number of every panel; return the coloured part."""
    panels = panels_of(view)
    frame_detector(ax, view)
    ax.set(xlabel="", ylabel="", xticks=[], yticks=[])
    ax.set_title(one.title, loc="left", pad=5.0, fontsize=10.0)
    value, sigma, sure, held = one.value, one.sigma, one.sure, one.held
    free = value[sure & ~held] if (sure & ~held).any() else value[~held]
    top = (float(np.percentile(np.abs(free), 97)) if free.size else 0.0) or 1.0
    norm = Normalize(-top, top)
    coloured = draw_panels(ax, panels.boxes, value, norm, style.DIVERGING, sure=sure, held=held)
    words = [
        "held" if h else with_uncertainty(v, s).replace("-", "−")
        for v, s, h in zip(value, sigma, held, strict=True)
    ]
    if len(panels) > 16:  # numbers in some panels and not in others would confuse
        words = [word if h else "" for word, h in zip(words, held, strict=True)]
    panel_label(ax, panels.boxes, words, fontsize=7.0, bbox=CLEAR)
    unsure = int((~sure & ~held).sum())
    remarks = [f"{unsure} of {len(panels)} below 2σ"] if unsure else []
    remarks += [f"{int(held.sum())} held"] if held.any() else []
    muted: dict[str, Any] = {"fontsize": 8.0, "fontweight": "normal", "color": style.MUTED}
    ax.set_title(", ".join(remarks), loc="right", pad=5.0, **muted)
    return coloured
