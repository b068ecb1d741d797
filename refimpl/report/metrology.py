"""The report of a refinement: figures as PNG, and one HTML page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from refimpl.io.atomic import atomic_path, make_folder, write_text
from refimpl.metrology.refine import RefinementResult
from refimpl.report import metrology_maps as maps
from refimpl.report import metrology_plots as plots
from refimpl.report import metrology_sections as sections
from refimpl.report import page, style
from refimpl.report.metrology_view import MetrologyView, view_of_files, view_of_result

__all__ = ["MetrologyView", "figure_names", "figures", "view_of_files", "view_of_result"]
__all__ += ["write_report"]


class _Entry(NamedTuple):
    """One figure: how it is drawn, and what its reader should look for."""

    draw: Callable[[MetrologyView], Figure]
    alt: str
    caption: str


_FIGURES = {
    "residual_vectors": _Entry(
        maps.residual_vectors,
        "Two maps of the detector with the mean residual of small cells as arrows",
        "Arrows point from observed to calculated, before and after on one scale. Arrows that are "
        "alike on one panel and change at its edge are a panel out of place; a whirl is a turn, "
        "arrows along the radius are a wrong distance. After the refinement none should be left.",
    ),
    "residual_maps": _Entry(
        maps.residual_maps,
        "Four maps of the detector with every reflection coloured by its residual",
        "Panels of one colour are out of place, and should look like confetti after. Stripes of "
        "rows or columns within a panel are steps between its chips, or bad pixels.",
    ),
    "residual_histograms": _Entry(
        plots.residual_histograms,
        "Histograms of the residuals before and after",
        "The dashed curve is the normal one of the spread after the refinement (from the median). "
        "Two humps before are panels apart; wide feet after are outliers or a second lattice. The "
        "outermost bars hold all that lies beyond.",
    ),
    "residual_against_angle": _Entry(
        plots.residual_against_angle,
        "Mean residuals against the rotation angle",
        "A trend is a crystal that slips, or a cell that changes during the scan, which static "
        "models do not have: no move of a panel will cure it. Bands are standard errors.",
    ),
    "panel_moves": _Entry(
        maps.panel_moves_figure,
        "Map of the panels with an arrow for the shift of each, and maps of height, turn and tilt",
        "Refined against starting panels, each about its own centre. Crosses mark numbers below "
        "twice their uncertainty. What all panels share (one distance, one turn) belongs to the "
        "detector as a whole, and is only as sure as crystal and beam are.",
    ),
    "rmsd_by_panel": _Entry(
        plots.rmsd_by_panel,
        "RMSD of every panel before and after",
        "A panel that did not gain was in place, or is held; one that stays above the others is "
        "not flat, or its spots are bad.",
    ),
    "trajectory": _Entry(
        plots.trajectory,
        "RMSDs and objective at every step",
        "The published search stops when the RMSDs stand still; the objective may still be above "
        "its minimum then.",
    ),
}


def figure_names(view: MetrologyView) -> list[str]:
    """Names of the figures that the view has data for, in the order of the page."""
    skipped = {
        "trajectory": len(view.rmsd) < 2,
        "residual_against_angle": not np.isfinite(view.angle_deg).all()
        or float(np.ptp(view.angle_deg)) == 0.0,
        "panel_moves": bool(view.held.all()) or not np.any(view.moves),
    }
    return [name for name in _FIGURES if not skipped.get(name, False)]


def figures(view: MetrologyView) -> dict[str, Figure]:
    """Every figure that the view has data for, by name."""
    return {name: _FIGURES[name].draw(view) for name in figure_names(view)}


def write_report(result: RefinementResult | MetrologyView, folder: str | os.PathLike[str]) -> Path:
    """Write ``figures/<name>.png`` and ``report.html`` into a folder.

    Files appear whole or not at all; the page comes last.

    Parameters
    ----------
    result
        A refinement, or the view of one.
    folder
        Made if it does not exist.

    Returns
    -------
    Path of ``report.html``.

    Raises
    ------
    ConfigError
        The folder cannot be made or written to.
    """
    view = result if isinstance(result, MetrologyView) else view_of_result(result)
    target = make_folder(folder)
    pictures = make_folder(target / "figures")
    inline = {}
    for name, figure in figures(view).items():
        data = style.png(figure)
        with atomic_path(pictures / f"{name}.png") as temporary:
            temporary.write_bytes(data)
        size = np.asarray(figure.get_size_inches()) * 96.0  # a CSS pixel is 1/96 inch
        entry = _FIGURES[name]
        inline[name] = page.figure(name, data, (size[0], size[1]), entry.alt, entry.caption)
    return write_text(target / "report.html", _page(view, inline))


def _page(view: MetrologyView, inline: dict[str, str]) -> str:
    """Put the page together."""

    def shown(*names: str) -> str:
        return "".join(inline.get(name, "") for name in names)

    parts = [
        ("checks", "Is it good?", sections.checks(view)),
        ("residuals", "Residuals", shown(
            "residual_vectors", "residual_maps", "residual_histograms", "residual_against_angle")),
        ("panels", "Panels", shown("panel_moves", "rmsd_by_panel") + sections.panel_table(view)),
        ("parameters", "Beam and crystals", sections.parameter_table(view)),
        ("trajectory", "Trajectory", shown("trajectory")),
        ("listing", "Listing", sections.listing(view)),
    ]  # fmt: skip
    links = "".join(f'<li><a href="#{name}">{head}</a></li>' for name, head, body in parts if body)
    body = (
        f'{sections.top(view)}<nav aria-label="Sections"><ul>{links}</ul></nav>\n<main>\n'
        + sections.tiles(view)
        + "".join(page.section(name, head, body) for name, head, body in parts)
        + "</main>\n<footer>Made by refimpl. Residuals are calculated − observed.</footer>\n"
    )
    return page.document(f"{view.title} – refinement", body)
