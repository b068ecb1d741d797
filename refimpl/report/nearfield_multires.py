"""The report of a coarse-to-fine reconstruction: figures as PNG, and one HTML page.

Everything but the times of the steps is the same for equal runs. Not here: the report of one map
(:mod:`refimpl.report.nearfield`), whose figures and texts are used here.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from refimpl import __version__
from refimpl.nearfield.loops import Multires
from refimpl.report import nearfield_maps as maps
from refimpl.report import nearfield_multires_plots as plots
from refimpl.report import nearfield_multires_tables as tables
from refimpl.report import nearfield_sections as sections
from refimpl.report import page
from refimpl.report.nearfield_multires_view import MultiresView
from refimpl.report.page import Entry
from refimpl.units import UM

__all__ = ["MultiresView", "figures", "write_report"]

_FIGURES = {
    "confidence_by_loop": Entry(
        plots.confidence_by_loop,
        "Histogram of the confidence of each loop, and share of points above each confidence",
        "The left scale is linear below 1 %. A finer grid has fewer points that hold two grains: "
        "its curve should lie to the right of the one before. Where it does not, the coarse loop "
        "was too coarse, or the images have no more to tell.",
    ),
    "confidence": Entry(
        lambda view: maps.confidence_map(view.final),
        "Map of the confidence of the final map",
        "Share of the predicted pixels that are lit at every distance. It falls at boundaries and "
        "at the rim of the sample.",
    ),
    "grains": Entry(
        lambda view: maps.grain_map(view.final),
        "Map of the grains of the final map with their numbers",
        "Points that are joined through neighbours: two grains of one orientation that do not "
        "touch are two here, and one in the table of Mic2GrainsList. The numbers are those of the "
        "table below.",
    ),
    "work_by_step": Entry(
        plots.work_by_step,
        "Bars of the evaluations by loop and step",
        "Neighbours: points that begin from the orientations of the coarser map about them. "
        "Seeded: by the grains of the loop before. Unseeded: bad points, by all seeds. Boundaries: "
        "points between grains, each from the orientations of all about it.",
    ),
}


def _entries(view: MultiresView) -> dict[str, Entry]:
    """Figures of the page: one map a loop, and those of all loops."""
    loops = {
        f"ipf_loop{loop.number}": Entry(
            partial(plots.loop_map, number=loop.number),
            f"Map of loop {loop.number} coloured by the crystal direction along z",
            f"Loop {loop.number}: {len(loop.merged):,} points with edges of "
            f"{loop.size_mm / UM:.4g} µm. White: below a confidence of "
            f"{view.maps[loop.number].min_confidence:g}, or outside of the sample.",
        )
        for loop in view.result.loops
        if view.maps[loop.number].shown.any()
    }
    dark = not view.final.shown.any()
    return loops | {k: v for k, v in _FIGURES.items() if not (dark and k == "grains")}


def figures(view: MultiresView) -> dict[str, Figure]:
    """All figures by name."""
    return {name: entry.draw(view) for name, entry in _entries(view).items()}


def write_report(
    result: Multires | MultiresView, folder: str | os.PathLike[str], **options: Any
) -> Path:
    """Write ``figures/<name>.png`` and ``report.html`` into a folder; the page comes last.

    Parameters
    ----------
    result
        All loops, or the view of them.
    folder
        Made if it does not exist.
    options
        Of a result: the other attributes of
        :class:`~refimpl.report.nearfield_multires_view.MultiresView`.

    What comes back and what is raised: as of :func:`refimpl.report.page.write`.
    """
    view = result if isinstance(result, MultiresView) else MultiresView(result, **options)
    return page.write(folder, figures(view), _entries(view), lambda inline: _page(view, inline))


def _page(view: MultiresView, inline: dict[str, str]) -> str:
    by_loop = [text for name, text in inline.items() if name.startswith("ipf_loop")]
    final = view.final
    parts = [
        ("map", "Map", by_loop[-1] if by_loop else ""),
        ("checks", "Is it good?", sections.checks(final)),
        ("loops", "Loops", tables.loop_table(view) + "".join(by_loop[:-1])),
        ("confidence", "Confidence", inline["confidence_by_loop"] + inline["confidence"]),
        ("grains", "Grains",
         tables.grain_table(view) + inline.get("grains", "") + sections.grain_table(final)),
        ("work", "Time and work", tables.stage_table(view) + inline["work_by_step"]),
        ("settings", "Settings", tables.settings_table(view)),
        ("provenance", "Where it comes from", sections.provenance(final)),
    ]  # fmt: skip
    foot = (
        f"Made by refimpl {__version__}. Angles are misorientations of the Laue class, in degrees."
    )
    return page.main(
        tables.top(view), tables.tiles(view), parts, foot, f"{view.title} – near-field map"
    )
