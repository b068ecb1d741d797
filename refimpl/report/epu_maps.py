"""Maps of a session: exposures, holes and lattice where a calibration has them, in micrometres."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from refimpl.frames import F64
from refimpl.report import style
from refimpl.report.epu_holes import HoleMap

__all__ = ["Frame", "draw_holes", "draw_lattice", "legend", "place_axes", "two_maps"]

# Light tints: lines, discs and points are seen on all of them.
_TINTS = np.array(
    [[166, 206, 227], [253, 205, 140], [178, 223, 158], [202, 190, 220], [255, 240, 153],
     [190, 230, 220], [226, 196, 170], [214, 220, 228]]
) / 255.0  # fmt: skip
_LINES = "#bcc5ce"
_HOLE = 0.48
"""Diameter of a hole over the distance of holes where it is not known; R1.2/1.3 has 0.48."""

Frame = tuple[F64, F64]
"""Lower left and upper right corner of what a map shows [um]."""


def draw_lattice(ax: Axes, holes: HoleMap, frame: Frame) -> None:
    """Draw the lines through the nodes: of one square in the whole frame, of several near holes."""
    if holes.lattice_um is None:
        return
    low, high = frame
    inverse = np.linalg.inv(holes.lattice_um)
    corners = np.array([low, [low[0], high[1]], high, [high[0], low[1]]])
    lines = []
    for square, origin in enumerate(holes.origins_um):
        mine = holes.centres_um[holes.visits.square == square]
        mine = mine[((mine > low) & (mine < high)).all(axis=1)]
        if not len(mine):
            continue
        reached = mine if len(holes.origins_um) > 1 else corners
        steps = np.round((reached - origin) @ inverse)
        first, last = steps.min(axis=0) - 1.0, steps.max(axis=0) + 1.0
        for i in (0, 1):
            for k in np.arange(first[i], last[i] + 1.0):
                ends = np.array([first, last])
                ends[:, i] = k
                lines.append(origin + ends @ holes.lattice_um)
    ax.add_collection(LineCollection(lines, colors=_LINES, linewidths=0.6, zorder=2))


def draw_holes(ax: Axes, holes: HoleMap, *, hole_um: float | None = None) -> None:
    """Draw the lattice cell and the disc of each visited hole, and its exposures.

    Cells have the colour of the stay of the stage. Holes that lie on one another are red: there
    is no such thing on the specimen unless a hole was visited twice.
    """
    visits, lattice = holes.visits, holes.lattice_um
    wrong = np.zeros(len(visits), dtype=bool)
    wrong[holes.together] = True
    if lattice is not None:
        tints = _TINTS[visits.stay % len(_TINTS)]
        cells = list(holes.cells(0.97))
        ax.add_collection(
            PolyCollection(cells, facecolors=tints, alpha=0.8, linewidths=0, zorder=1)
        )
        hole_um = hole_um or _HOLE * float(np.hypot(*lattice.T).min())
    if hole_um is not None:
        for these, colour, width, fill in (
            (~wrong, style.MUTED, 0.7, "#ffffffd0"), (wrong, style.VERMILLION, 1.5, "#f6b48cd0"),
        ):  # fmt: skip
            size = np.full(int(these.sum()), hole_um)
            where: dict[str, Any] = {"units": "xy", "offset_transform": ax.transData, "zorder": 3}
            ax.add_collection(
                EllipseCollection(size, size, np.zeros_like(size), offsets=holes.centres_um[these],
                                  facecolors=fill, edgecolors=colour, linewidths=width,
                                  **where)
            )  # fmt: skip
    seen = wrong[visits.row]
    for these, colour in ((~seen, style.BLUE), (seen, style.VERMILLION)):
        ax.plot(*holes.positions_um[these].T, ls="", marker="o", ms=2.2, mew=0, color=colour,
                zorder=4)  # fmt: skip


def legend(figure: Figure, *, has_bad: bool = False) -> None:
    """Say at the bottom what the marks of :func:`draw_holes` mean, and that of bad exposures."""
    marks: dict[str, Any] = {"ls": "", "marker": "o", "mfc": "#ffffff"}
    handles: list[Line2D | Patch] = [
        Line2D([], [], ls="", marker="o", ms=3.5, mew=0, color=style.BLUE, label="exposure"),
        Line2D([], [], ms=9, mec=style.MUTED, label="hole", **marks),
        Patch(fc=_TINTS[0], label="lattice cells of one colour: one stay of the stage"),
        Line2D(
            [],
            [],
            ms=9,
            mew=2.0,
            mec=style.VERMILLION,
            label="holes on one another",
            **marks | {"mfc": "#f6b48c"},
        ),
    ]
    if has_bad:
        handles.append(Line2D([], [], ls="", marker="x", ms=5.5, mew=1.4, color=style.VERMILLION,
                              label="bad exposure"))  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), columnspacing=1.6,
                  handletextpad=0.5)  # fmt: skip


def place_axes(
    figure: Figure, box_in: tuple[float, float, float, float], frame: Frame, *, named_y: bool = True
) -> Axes:
    """Axes of a map at left, bottom, width, height [in], square to the micrometre."""
    wide, tall = (float(v) for v in figure.get_size_inches())
    left, bottom, w, h = box_in
    ax = figure.add_axes((left / wide, bottom / tall, w / wide, h / tall))
    low, high = frame
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel="stage x (µm)")
    ax.set_aspect("equal")
    ax.grid(visible=False)
    if named_y:
        ax.set_ylabel("stage y (µm)")
    else:
        ax.tick_params(labelleft=False)
    return ax


def two_maps(
    maps: tuple[HoleMap, HoleMap], titles: tuple[str, str], details: tuple[str, str],
    *, hole_um: float | None = None,
) -> Figure:  # fmt: skip
    """Draw two calibrations of one session side by side, in one window and at one scale.

    Parameters
    ----------
    maps
        The same visits with two calibrations.
    titles, details
        Above each map; a detail may have three lines.
    hole_um
        Diameter of the holes; None: not known.
    """
    with style.styled():
        both = np.concatenate([maps[0].centres_um, maps[1].centres_um])
        frame = both.min(axis=0) - 2.0, both.max(axis=0) + 2.0
        size = frame[1] - frame[0]
        wide = 3.7  # small, so that its words are read where a page shrinks it
        tall = float(wide * size[1] / size[0])
        figure = style.new_figure(0.65 + 2 * wide + 0.45, tall + 1.95)
        for k, holes in enumerate(maps):
            box = (0.65 + k * (wide + 0.3), 0.85, wide, tall)
            ax = place_axes(figure, box, frame, named_y=k == 0)
            draw_lattice(ax, holes, frame)
            draw_holes(ax, holes, hole_um=hole_um)
            style.title(ax, titles[k], pad=54.0)
            ax.text(0.0, 1.0 + 0.1 / tall, details[k], transform=ax.transAxes, fontsize=9.0,
                    color=style.MUTED, va="bottom", linespacing=1.35)  # fmt: skip
        legend(figure)
    return figure
