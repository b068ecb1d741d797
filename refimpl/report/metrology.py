"""The report of a refinement: figures as PNG, and one HTML page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from refimpl.metrology.refine import RefinementResult
from refimpl.report import metrology_maps as maps
from refimpl.report import metrology_plots as plots
from refimpl.report import metrology_sections as sections
from refimpl.report import page
from refimpl.report.metrology_inputs import view_of_files, view_of_result
from refimpl.report.metrology_move_maps import panel_moves_figure
from refimpl.report.metrology_view import DetectorView, MetrologyView
from refimpl.report.page import Entry

__all__ = ["MetrologyView", "figure_names", "figures", "view_of_files", "view_of_result"]
__all__ += ["write_report"]


_OF_DETECTOR = {
    "residual_vectors": Entry(
        maps.residual_vectors,
        "Two maps of the detector with the mean residual of small cells as arrows",
        "Arrows point from observed to calculated, before and after on one scale. Arrows that are "
        "alike on one panel and change at its edge are a panel out of place; a whirl is a turn, "
        "arrows along the radius are a wrong distance. After the refinement none should be left.",
    ),
    "residual_vectors_left": Entry(
        maps.residual_vectors_left,
        "Map of the detector with the mean residual of small cells after, magnified",
        "Dark arrows are surely off zero. Where they agree over a panel, something of it is still "
        "wrong; where they change along it, it is bent or its chips stand apart; a pattern around "
        "the beam is distance, cell or parallax. Pale arrows are noise, whatever their length.",
    ),
    "residual_maps": Entry(
        maps.residual_maps,
        "Four maps of the detector with every reflection coloured by its residual",
        "Panels of one colour are out of place, and should look like confetti after. Stripes of "
        "rows or columns within a panel are steps between its chips, or bad pixels.",
    ),
    "panel_moves": Entry(
        panel_moves_figure,
        "Map of the panels with an arrow for the shift of each, and maps of height, turn and tilt",
        "Refined against starting panels, each about its own centre. Crosses mark numbers below "
        "twice their uncertainty. What all panels share (one distance, one turn) belongs to the "
        "detector as a whole, and is only as sure as crystal and beam are.",
    ),
    "rmsd_by_panel": Entry(
        plots.rmsd_by_panel,
        "RMSD of every panel before and after",
        "A panel that did not gain was in place, or is held; one that stays above the others is "
        "not flat, or its spots are bad.",
    ),
}
"""Figures of one detector."""

_FIGURES = {
    "residual_histograms": Entry(
        plots.residual_histograms,
        "Histograms of the residuals before and after",
        "The dashed curve is the normal one of the spread after the refinement (from the median). "
        "Two humps before are panels apart; wide feet after are outliers or a second lattice. The "
        "outermost bars hold all that lies beyond.",
    ),
    "residuals_by_experiment": Entry(
        plots.residuals_by_experiment,
        "Histograms of the residuals of every experiment",
        "Share of each experiment's reflections by residual. One that stands aside of zero, or is "
        "much wider than the others, has a lattice, a beam or a scan of its own trouble: look at "
        "it alone. The outermost bins hold all that lies beyond; with many experiments only the "
        "residuals after are shown, a row each.",
    ),
    "residual_against_angle": Entry(
        plots.residual_against_angle,
        "Mean residuals against the rotation angle",
        "A trend is a crystal that slips, or a cell that changes during the scan, which static "
        "models do not have: no move of a panel will cure it. Bands are standard errors.",
    ),
    "trajectory": Entry(
        plots.trajectory,
        "RMSDs and objective at every step",
        "The published search stops when the RMSDs stand still; the objective may still be above "
        "its minimum then.",
    ),
}
"""Figures of all reflections."""


def figure_names(view: MetrologyView) -> list[str]:
    """Names of the figures that the view has data for, in the order of the page.

    Those of the second detector end in ``_2``, and so on.
    """
    return list(_drawn(view))


def _drawn(view: MetrologyView) -> dict[str, tuple[Entry, DetectorView | MetrologyView]]:
    """What is drawn of what, by name."""
    angle = view.angle_deg
    skipped = {
        "residuals_by_experiment": len(np.unique(view.experiment)) < 2,
        "residual_against_angle": not np.isfinite(angle).all() or float(np.ptp(angle)) == 0.0,
        "trajectory": len(view.rmsd) < 2,
    }
    out: dict[str, tuple[Entry, DetectorView | MetrologyView]] = {}
    for k, detector in enumerate(view.shown):
        for name, entry in _OF_DETECTOR.items():
            still = bool(detector.held.all()) or not np.any(detector.moves)
            if len(detector) and not (name == "panel_moves" and still):
                out[_name(name, k)] = entry, detector
    return out | {k: (e, view) for k, e in _FIGURES.items() if not skipped.get(k, False)}


def _name(name: str, detector: int) -> str:
    return name if detector == 0 else f"{name}_{detector + 1}"


def figures(view: MetrologyView) -> dict[str, Figure]:
    """Every figure that the view has data for, by name."""
    return {name: entry.draw(of) for name, (entry, of) in _drawn(view).items()}


def write_report(result: RefinementResult | MetrologyView, folder: str | os.PathLike[str]) -> Path:
    """Write ``figures/<name>.png`` and ``report.html`` into a folder.

    Files appear whole or not at all; the page comes last.

    Parameters
    ----------
    result
        A refinement, or the view of one.
    folder
        Made if it does not exist.

    What comes back and what is raised: as of :func:`refimpl.report.page.write`.
    """
    view = result if isinstance(result, MetrologyView) else view_of_result(result)
    entries = {name: entry for name, (entry, _) in _drawn(view).items()}
    for name in entries.keys() - _OF_DETECTOR.keys() - _FIGURES.keys():  # said once, of the first
        entries[name] = replace(entries[name], caption="")
    return page.write(folder, figures(view), entries, lambda inline: _page(view, inline))


def _page(view: MetrologyView, inline: dict[str, str]) -> str:
    """Put the page together."""

    def shown(*names: str) -> str:
        return "".join(inline.get(name, "") for name in names)

    residuals = sections.detector_table(view) if len(view.detectors) > 1 else ""
    residuals += _by_detector(
        view, shown, "residual_vectors", "residual_vectors_left", "residual_maps"
    )
    residuals += shown("residual_histograms", "residuals_by_experiment", "residual_against_angle")
    parts = [
        ("checks", "Is it good?", sections.checks(view)),
        ("residuals", "Residuals", residuals),
        ("panels", "Panels", sections.gauge(view) + _by_detector(
            view, shown, "panel_moves", "rmsd_by_panel", table=sections.panel_table)),
        ("modes", "What is known badly", sections.weak_modes(view)),
        ("parameters", "Beam and crystals", sections.parameter_table(view)),
        ("trajectory", "Trajectory", shown("trajectory")),
        ("listing", "Listing", sections.listing(view)),
    ]  # fmt: skip
    foot = "Made by refimpl. Residuals are calculated − observed."
    return page.main(
        sections.top(view), sections.tiles(view), parts, foot, f"{view.title} – refinement"
    )


def _by_detector(
    view: MetrologyView,
    shown: Callable[..., str],
    *names: str,
    table: Callable[[DetectorView], str] = lambda _: "",
) -> str:
    """Figures and table of each detector under its name; of the only one without."""
    out = ""
    for k, detector in enumerate(view.shown):
        body = shown(*(_name(name, k) for name in names)) + table(detector)
        out += body if len(view.detectors) == 1 else sections.of_detector(detector, body)
    return out
