"""Figures made from the image: ring overlay with close-ups, residual map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.rings import label_positions, ring_curve, sectors
from refimpl.report.view import PowderView
from refimpl.units import MICROSTRAIN

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["draw_gaps", "draw_overlay", "draw_residual_map", "frame_detector", "picture_size"]
__all__ += ["place", "residual_map", "ring_overlay", "scatter_strain", "strain_limit"]

_CLOSE_UPS = (("top", 0.0), ("right", 90.0), ("bottom", 180.0), ("left", -90.0))
_HALF_PX = 20  # half the side of a close-up: wide enough for one ring, pixels still visible
_WIDTH_IN = 9.6
# Room around pictures [in]: left and below for labels, above for the title.
_LEFT, _BELOW, _ABOVE, _SPACE = 0.72, 0.58, 0.48, 0.32


def picture_size(view: PowderView, width_in: float, height_in: float) -> tuple[float, float]:
    """Largest (width, height) [in] of the detector in true proportions within a box."""
    tall = view.model.shape[0] * view.model.pixel_size_mm[1]
    wide = view.model.shape[1] * view.model.pixel_size_mm[0]
    scale = min(width_in / wide, height_in / tall)
    return wide * scale, tall * scale


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches."""
    w, h = figure.get_size_inches()
    return figure.add_axes((left / w, bottom / h, width / w, height / h))


def ring_overlay(view: PowderView) -> Figure:
    """Image with the predicted rings, and four close-ups at full resolution."""
    with style.styled():
        small = 1.55
        strip = 2 * small + 0.15
        wide, tall = picture_size(view, _WIDTH_IN - _LEFT - _SPACE - strip - 0.1, 6.2)
        tall_in = max(tall, 2 * small + 0.45)
        figure = style.new_figure(_LEFT + wide + _SPACE + strip + 0.1, tall_in + _BELOW + _ABOVE)
        ax = place(figure, _LEFT, _BELOW + tall_in - tall, wide, tall)
        draw_overlay(ax, view)
        style.title(ax, "Predicted rings on the image")
        for index, (name, eta_deg) in enumerate(_CLOSE_UPS):
            left = _LEFT + wide + _SPACE + (small + 0.15) * (index % 2)
            bottom = _BELOW + tall_in - small - 0.22 - (small + 0.45) * (index // 2)
            spot = _close_up(view, eta_deg)
            _draw_close_up(place(figure, left, bottom, small, small), view, spot, name)
            if spot is not None:
                ax.add_patch(_square(spot))
        _key(figure, _LEFT + wide + _SPACE, _BELOW + tall_in - 2 * small - 1.05)
    return figure


def _key(figure: Figure, left_in: float, top_in: float) -> None:
    """Legend of the overlay, below the close-ups where the picture leaves room."""
    width, height = figure.get_size_inches()
    if top_in < 1.0:
        return
    line = Line2D([], [], color=style.VERMILLION, label="predicted ring")
    hollow: dict[str, Any] = {"ls": "", "mfc": "none", "mec": style.BLUE}
    point = Line2D([], [], marker="o", ms=6, label="fitted peak", **hollow)
    square = Line2D([], [], marker="s", ms=8, label="place of a close-up", **hollow)
    cross = Line2D([], [], ls="", marker="+", ms=10, mew=1.6, color=style.BLUE, label="beam centre")
    gap = Patch(fc=style.GAP, label="masked, gap")
    figure.legend(
        handles=[line, point, square, cross, gap],
        loc="upper left",
        bbox_to_anchor=(left_in / width - 0.012, top_in / height),
        borderaxespad=0.0,
        labelspacing=0.7,
    )


def draw_overlay(ax: Axes, view: PowderView, label_space: float = 0.035) -> None:
    """Draw the pooled image and the interrupted rings; labels take that share of its side."""
    n_slow, n_fast = view.model.shape
    _show_image(ax, view.image)
    eta = sectors()
    width = 0.9 if len(view.ring_two_theta) < 25 else 0.6
    lines = [np.column_stack(ring_curve(view, float(t), eta)) for t in view.ring_two_theta]
    ax.add_collection(LineCollection(lines, colors=style.VERMILLION, linewidths=width, zorder=3))
    for row, fast, slow in label_positions(view, least_px=label_space * max(n_slow, n_fast)):
        ax.text(
            *(fast, slow, view.hkl_text(row)),
            fontsize=7.0,
            color=style.VERMILLION,
            ha="center",
            va="center",
            bbox={"boxstyle": "round,pad=0.15", "fc": "#ffffff", "ec": "none", "alpha": 0.85},
            zorder=4,
            clip_on=True,
        )
    bf, bs = view.model.beam_centre_px
    ax.plot(bf, bs, marker="+", ms=11, mew=1.6, color=style.BLUE, zorder=5, clip_on=True)
    frame_detector(ax, view)


def _show_image(ax: Axes, image: F64) -> None:
    """Put a pooled, compressed image in true pixel coordinates."""
    small, factor = style.pool_maxima(image)
    extent = (0, small.shape[1] * factor, 0, small.shape[0] * factor)
    shown = np.ma.masked_invalid(style.stretch(small).astype(np.float32))
    ax.imshow(shown, cmap=style.PICTURE, vmin=0, vmax=1, extent=extent, origin="lower")


def frame_detector(ax: Axes, view: PowderView) -> None:
    """Axes of the whole detector, square pixels, both edges drawn."""
    n_slow, n_fast = view.model.shape
    ax.set(xlim=(0, n_fast), ylim=(0, n_slow), xlabel="fast (px)", ylabel="slow (px)")
    ax.set_aspect(view.model.pixel_size_mm[1] / view.model.pixel_size_mm[0])
    ax.grid(visible=False)
    ax.spines[["top", "right"]].set_visible(True)


def _close_up(view: PowderView, eta_deg: float) -> tuple[float, float] | None:
    """Centre of a close-up: the point of the outermost ring with points near this direction."""
    used = view.used
    if used.empty:
        return None
    turn = np.angle(np.exp(1j * (used["eta_rad"].to_numpy(dtype=float) - np.radians(eta_deg))))
    near = used.assign(turn=np.abs(turn))[np.abs(turn) < np.radians(30.0)]
    if near.empty:
        return None
    # A strong ring shows more than the faint last one: the outermost of the stronger half.
    strength = near.groupby("ring")["amplitude"].median()
    near = near[near["ring"] == strength[strength >= strength.median()].index.max()]
    near = near.sort_values("turn")
    # The nearest that is clear of gaps; failing that, the clearest.
    spots = near[["fast_px", "slow_px"]].to_numpy(dtype=float)
    seen = np.array([_seen(view.image, spot) for spot in spots])
    best = int(np.argmax(np.minimum(seen, 0.97)))
    return float(spots[best, 0]), float(spots[best, 1])


def _window(image: F64, spot: F64 | tuple[float, float]) -> tuple[int, int, int, int]:
    """Pixels fast0, slow0, fast1, slow1 around a spot, within the image, half open."""
    n_slow, n_fast = image.shape
    fast = int(np.clip(int(spot[0]), _HALF_PX, max(n_fast - _HALF_PX, _HALF_PX)))
    slow = int(np.clip(int(spot[1]), _HALF_PX, max(n_slow - _HALF_PX, _HALF_PX)))
    return (
        *(fast - _HALF_PX, slow - _HALF_PX),
        *(min(fast + _HALF_PX, n_fast), min(slow + _HALF_PX, n_slow)),
    )


def _seen(image: F64, spot: F64) -> float:
    """Share of the pixels around a spot that are not masked."""
    f0, s0, f1, s1 = _window(image, spot)
    return float(np.isfinite(image[s0:s1, f0:f1]).mean())


def _square(spot: tuple[float, float]) -> Rectangle:
    corner = (spot[0] - _HALF_PX, spot[1] - _HALF_PX)
    return Rectangle(
        corner, 2 * _HALF_PX, 2 * _HALF_PX, fill=False, ec=style.BLUE, lw=1.4, zorder=6
    )


def _draw_close_up(ax: Axes, view: PowderView, spot: tuple[float, float] | None, name: str) -> None:
    """Full-resolution pixels around a spot, the predicted rings, and the fitted points."""
    ax.set_title(name, fontsize=9.5, pad=4)
    ax.grid(visible=False)
    ax.spines[["top", "right"]].set_visible(True)
    if spot is None:
        style.empty(ax, "no points here")
        ax.set_box_aspect(1)
        return
    f0, s0, f1, s1 = _window(view.image, spot)
    patch = np.asarray(view.image[s0:s1, f0:f1], dtype=np.float64)
    shown = np.ma.masked_invalid(style.stretch(patch, 2.0, 99.9))
    extent = (f0, f1, s0, s1)
    ax.imshow(shown, cmap=style.PICTURE, vmin=0, vmax=1, extent=extent, origin="lower")
    eta = np.linspace(-np.pi, np.pi, 7201)
    for angle in view.ring_two_theta:
        # Dashed: a ring can be as narrow as the line.
        curve = ring_curve(view, float(angle), eta)
        ax.plot(*curve, color=style.VERMILLION, lw=1.3, ls=(0, (5, 5)))
    used = view.used
    ax.plot(used["fast_px"], used["slow_px"], ls="", marker="o", ms=6, mfc="none", mec=style.BLUE)
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
    ax.set_aspect("equal")


def strain_limit(strain: F64) -> float:
    """Symmetric colour or axis limit [µε]: the 97th percentile of the size, rounded up."""
    finite = np.abs(strain[np.isfinite(strain)]) / MICROSTRAIN
    if finite.size == 0:
        return 1.0
    level = max(float(np.percentile(finite, 97)), 1e-6)
    step = 10.0 ** np.floor(np.log10(level)) / 2.0
    return float(np.ceil(level / step) * step)


def residual_map(view: PowderView) -> Figure:
    """Points on the detector, coloured by signed strain."""
    with style.styled():
        wide, tall = picture_size(view, _WIDTH_IN - _LEFT - 1.5, 7.2)
        figure = style.new_figure(_LEFT + wide + 1.5, tall + _BELOW + _ABOVE)
        ax = place(figure, _LEFT, _BELOW, wide, tall)
        points = draw_residual_map(ax, view)
        style.title(ax, "Residual at every point of the detector")
        if points is not None:
            box = (_LEFT + wide + 0.25, _BELOW + 0.15 * tall, 0.2, 0.7 * tall)
            bar = figure.colorbar(points, cax=place(figure, *box), extend="both")
            bar.set_label("strain (µε)", labelpad=2.0)
            bar.outline.set_linewidth(0.6)
            for y, text in ((1.09, "ring too small"), (-0.09, "ring too large")):
                where: dict[str, Any] = {"transform": bar.ax.transAxes, "ha": "center"}
                where["va"] = "center"
                bar.ax.text(2.0, y, text, fontsize=8.5, color=style.MUTED, **where)
    return figure


def draw_residual_map(ax: Axes, view: PowderView) -> PathCollection | None:
    """Draw gaps, panels and points; return the coloured points, None if there are none."""
    draw_gaps(ax, view)
    out = view.left_out
    if len(out):
        away = (out["fast_px"], out["slow_px"])
        ax.plot(*away, ls="", marker="x", ms=3, mew=0.6, color=style.GREY, label="left out")
        ax.legend(loc="upper right", frameon=True, framealpha=0.9, edgecolor="#d0d7de")
    used = view.used
    if used.empty:
        style.empty(ax, "no points were used")
        return None
    strain = used["strain"].to_numpy(dtype=float)
    return scatter_strain(ax, used, strain, strain_limit(strain))


def draw_gaps(ax: Axes, view: PowderView) -> None:
    """Draw what is masked, in the frame of the whole detector."""
    small, factor = style.pool_maxima(view.image, 500)
    shown = np.ma.masked_where(~np.isfinite(small), np.zeros_like(small))
    extent = (0, small.shape[1] * factor, 0, small.shape[0] * factor)
    ax.imshow(shown, cmap=style.PICTURE, vmin=0, vmax=1, extent=extent, origin="lower")
    frame_detector(ax, view)


def scatter_strain(
    ax: Axes, points: pd.DataFrame, strain: F64, limit: float, share: float = 1.0
) -> PathCollection:
    """Draw (n,) points coloured by strain, from -limit to limit [µε]; `share` scales their area."""
    # About 3000 points fill the rings without hiding one another.
    size = share * float(np.clip(30000.0 / len(points), 3.0, 24.0))
    x, y = points["fast_px"].to_numpy(dtype=float), points["slow_px"].to_numpy(dtype=float)
    return ax.scatter(
        *(x, y, size, strain / MICROSTRAIN),
        cmap=style.DIVERGING,
        vmin=-limit,
        vmax=limit,
        linewidths=0,
    )
