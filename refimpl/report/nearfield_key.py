"""The colour key of crystal directions: the sector of a Laue class, stereographic."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from refimpl.crystal.symmetry_operators import laue_class
from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.nearfield_colours import SECTORS, colours_of_directions

__all__ = ["draw_key"]


def draw_key(ax: Axes, space_group: int) -> None:
    """Draw the colour key of a space group's Laue class, stereographic, its corners labelled."""
    name = laue_class(space_group)
    sector = SECTORS[name]
    corners = sector.directions
    rim = _rim_points(corners) if len(corners) > 2 else _circle(half=name == "2/m")
    low, high = rim.min(axis=0), rim.max(axis=0)
    pad = 0.02 * (high - low).max()
    n = 400
    x = np.linspace(low[0] - pad, high[0] + pad, n)
    y = np.linspace(low[1] - pad, high[1] + pad, n)
    gx, gy = np.meshgrid(x, y)
    r2 = gx**2 + gy**2
    h = np.stack([2.0 * gx, 2.0 * gy, 1.0 - r2], axis=-1) / (1.0 + r2)[..., None]
    picture = np.ones((n, n, 4))
    picture[..., :3] = colours_of_directions(h.reshape(-1, 3), name).reshape(n, n, 3)
    picture[..., 3] = sector.contains(h, slack=0.004) & (r2 <= 1.008)
    extent = (float(x[0]), float(x[-1]), float(y[0]), float(y[-1]))
    ax.imshow(picture, extent=extent, origin="lower", interpolation="bilinear")
    ax.plot(*rim.T, color=style.INK, lw=0.9, zorder=3)
    middle = 0.5 * (low + high)
    for corner, label in zip(corners, sector.labels, strict=True):
        at = corner[:2] / (1.0 + corner[2])
        away = at - middle
        ax.annotate(
            _overlined(label), at, textcoords="offset points", fontsize=9.0, color=style.INK,
            xytext=tuple(9.0 * np.sign(np.where(np.abs(away) < 1e-6, 0.0, away))),
            ha="center" if abs(away[0]) < 1e-6 else "left" if away[0] > 0 else "right",
            va="center",
        )  # fmt: skip
    ax.set_aspect("equal")
    ax.set_axis_off()


def _overlined(label: str) -> str:
    """Index with bars in place of minus signs, in round brackets for four figures."""
    if "*" in label:
        return label
    text = ""
    minus = False
    for character in label:
        if character == "-":
            minus = True
            continue
        text += rf"\overline{{{character}}}" if minus else character
        minus = False
    left, right = ("(", ")") if len(label.replace("-", "")) == 4 else ("[", "]")
    return f"${left}{text}{right}$"


def _rim_points(corners: F64) -> F64:
    """(n, 2) closed outline of a sector, great circles from corner to corner, on paper."""
    points = []
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        t = np.linspace(0.0, 1.0, 60)[:, None]
        p = (1.0 - t) * a + t * b
        p /= np.linalg.norm(p, axis=1, keepdims=True)
        points.append(p[:, :2] / (1.0 + p[:, 2:]))
    return np.concatenate(points)


def _circle(half: bool) -> F64:
    a = np.linspace(0.0, np.pi if half else 2.0 * np.pi, 200)
    circle = np.stack([np.cos(a), np.sin(a)], axis=1)
    return np.concatenate([circle, circle[:1]])
