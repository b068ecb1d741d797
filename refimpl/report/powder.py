"""The report of a powder calibration: figures as PNG, and one HTML page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from refimpl.report import figures as draw
from refimpl.report import page, panel_sections, sections, style
from refimpl.report.histograms import draw_histogram
from refimpl.report.page import Entry
from refimpl.report.pictures import draw_overlay, draw_residual_map
from refimpl.report.plots import draw_strain
from refimpl.report.view import PanelView, PowderView, Quantity

__all__ = [
    "PanelView",
    "PowderView",
    "Quantity",
    "figure_names",
    "figures",
    "overview",
    "write_report",
]


_FIGURES = {
    "ring_overlay": Entry(
        draw.ring_overlay,
        "Calibrant image with the predicted rings, and four close-ups",
        "Predicted rings (orange) in every other 15° sector, so that the measured ring goes on "
        "where the line stops. In the close-ups, pixel by pixel, the line should run through the "
        "middle of the ring and through the fitted peaks (blue circles). Contrast is compressed.",
    ),
    "residual_map": Entry(
        draw.residual_map,
        "Map of the detector with every fitted point coloured by its signed strain",
        "A good calibration looks like confetti. Colour by module means that the modules stand "
        "apart; two or four lobes around the beam mean tilt or distortion; one colour inside and "
        "another outside means distance or radial distortion. Grey crosses were left out.",
    ),
    "cake": Entry(
        draw.cake_figure,
        "Intensity against two-theta and azimuth with the predicted angles",
        "Every ring should be a straight vertical line on its dashed prediction. A wave means a "
        "wrong centre (one period) or tilt (two periods); a constant offset, a wrong distance or "
        "wavelength.",
    ),
    "radial_profile": Entry(
        draw.radial_profile,
        "Mean intensity against two-theta with the predicted angles",
        "Peaks should stand on the predicted angles. A peak without a line is another phase or a "
        "wrong calibrant; a line without a peak is a weak ring or one outside the image.",
    ),
    "strain_against_two_theta": Entry(
        draw.strain_against_two_theta,
        "Strain against two-theta at each pass, and of every point after the last",
        "Left, the loop should level off. Right, the rings should settle on zero from pass to "
        "pass. Below, ring means off zero by more than their bars show what the model still lacks: "
        "a slope is distance or wavelength, a bend is radial distortion, one ring alone is an "
        "overlap or a bad peak.",
    ),
    "residual_against_eta": Entry(
        draw.residual_against_eta,
        "Mean strain by ring and azimuth, and its course around the beam",
        "Waves that all rings share are tilt or distortion that the model does not have; steps at "
        "fixed azimuths are module borders. Empty cells hold no points.",
    ),
    "residual_histogram": Entry(
        draw.residual_histogram,
        "Histogram of the residuals with the normal curves of their stated errors",
        "If peak noise were all, the bars would follow the orange curves. Wider bars are "
        "systematic residuals, which better statistics will not remove; outer bars hold all that "
        "lies beyond.",
    ),
    "correlations": Entry(
        draw.correlation_matrix,
        "Correlations of the refined parameters",
        "Pairs near +1 or −1 move together: their sum or difference is known far better than "
        "either of them.",
    ),
}

_PANEL_FIGURES = {
    "panel_shifts": Entry(
        draw.panel_shifts,
        "Map of the panels with an arrow for the shift of each",
        "Where each panel stands against its place in the ideal grid. Neighbours that move "
        "together point to the frame they are mounted on. Where the circle reaches the arrow's "
        "tail, the shift may as well be zero.",
    ),
    "panel_fields": Entry(
        draw.panel_fields,
        "Small maps of the panels, one for every refined number",
        "Numbers of one sign on one side of the detector, or rings of one colour around the beam, "
        "are no panel errors: there the model of the whole detector lacks a tilt or a distortion.",
    ),
    "panel_residuals": Entry(
        draw.panel_residuals,
        "Two maps of the detector with every fitted point coloured by its signed strain, at the "
        "best single surface and with panels",
        "Left, panels that stand apart show as patches of one colour. Right, they should be gone; "
        "a patch that remains is a panel that needs another degree of freedom, or is held.",
    ),
    "panel_strain": Entry(
        draw.panel_strain,
        "Mean absolute strain of every panel at the best single surface and with panels",
        "A panel that did not gain was in place, or is held. One that stays above the others is "
        "not flat, or its points are bad.",
    ),
    "panel_coverage": Entry(
        draw.panel_coverage,
        "Points per panel on the detector's layout, and by azimuth",
        "Few points, or a narrow range of azimuth, determine a shift along the radius only: look "
        "there first when a panel's error bars are long.",
    ),
    "panel_correlations": Entry(
        draw.panel_correlations,
        "Correlations of all refined parameters in blocks by kind, and of the global ones",
        "Strong colour in the first column means that panels together imitate a global parameter: "
        "there the gauge and the priors decide, not the data.",
    ),
}

_RESIDUALS = (
    *("residual_map", "strain_against_two_theta", "residual_against_eta"),
    "residual_histogram",
)


_ALL = _FIGURES | _PANEL_FIGURES


def figure_names(view: PowderView) -> list[str]:
    """Names of the figures that the view has data for, in the order of the page."""
    panels = view.panels
    skipped = {
        "cake": view.cake is None,
        "radial_profile": view.radial is None,
        "correlations": view.correlations is None or len(view.correlations[1]) < 2,
    }
    if panels is None:
        skipped |= dict.fromkeys(_PANEL_FIGURES, True)
    else:
        skipped["panel_shifts"] = not {"d_fast_px", "d_slow_px"} & set(panels.shown)
        skipped["panel_fields"] = not panels.shown
        skipped["panel_residuals"] = "strain_before" not in view.points or view.used.empty
        skipped["panel_correlations"] = len(panels.correlation_names) < 2
        skipped["correlations"] |= not skipped["panel_correlations"]  # it has them all
    return [name for name in _ALL if not skipped.get(name, False)]


def figures(view: PowderView) -> dict[str, Figure]:
    """Every figure that the view has data for, by name, in the order of the page."""
    return {name: _ALL[name].draw(view) for name in figure_names(view)}


def overview(view: PowderView) -> Figure:
    """One figure for a notebook: overlay, residual map, strain against 2-theta, histogram."""
    with style.styled():
        figure = style.new_figure(10.5, 9.2)
        axes = [
            figure.add_axes((left, bottom, 0.38, 0.385), anchor="W")
            for bottom in (0.56, 0.065)
            for left in (0.08, 0.56)
        ]
        draw_overlay(axes[0], view, label_space=0.06)
        style.title(axes[0], "Predicted rings")
        points = draw_residual_map(axes[1], view)
        style.title(axes[1], "Residual strain")
        if points is not None:
            bar = figure.colorbar(
                points, cax=figure.add_axes((0.9, 0.6, 0.015, 0.3)), extend="both"
            )
            bar.set_label("strain (µε)")
            bar.outline.set_linewidth(0.6)
        draw_strain(axes[2], view)
        style.title(axes[2], "Strain against 2θ")
        draw_histogram(axes[3], view)
        style.title(axes[3], "Residuals")
    return figure


def write_report(view: PowderView, folder: str | os.PathLike[str]) -> Path:
    """Write ``figures/<name>.png`` and ``report.html`` into a folder.

    The page holds its figures and style: it can be mailed, archived and opened without a network.
    Files appear whole or not at all; the page comes last.

    Parameters
    ----------
    view
        What to show.
    folder
        Made if it does not exist.

    What comes back and what is raised: as of :func:`refimpl.report.page.write`.
    """
    return page.write(folder, figures(view), _ALL, lambda inline: _page(view, inline))


def _page(view: PowderView, inline: dict[str, str]) -> str:
    """Put the page together."""

    def shown(*names: str) -> str:
        return "".join(inline.get(name, "") for name in names)

    parameters = sections.parameter_table(view)
    given = sections.free_rows(view)
    parts = [
        ("checks", "Is it good?", sections.check_list(view)),
        ("truth", "Found against true", sections.truth_table(view)),
        ("image", "Image", shown("ring_overlay", "cake", "radial_profile")),
        ("residuals", "Residuals", shown(*_RESIDUALS)),
        ("panels", "Panels", _panel_part(view, shown)),
        ("parameters", "Parameters", parameters + given + shown("correlations")),
        ("rings", "Rings", sections.ring_table(view)),
        ("reproduce", "How to reproduce", _reproduce(view)),
    ]
    lead = sections.key_numbers(view) + panel_sections.tiles(view) + sections.warning_box(view)
    version = view.provenance.get("version")
    made = page.text(f"refimpl {version}" if version else "refimpl")
    foot = f"Made by {made}. Angles in degrees, strain in µε (10⁻⁶)."
    return page.main(sections.top(view), lead, parts, foot, f"{view.title} – powder calibration")


def _panel_part(view: PowderView, shown: Callable[..., str]) -> str:
    """Figures and tables of the panels, or nothing."""
    if view.panels is None:
        return ""
    return (
        shown("panel_shifts", "panel_fields", "panel_residuals", "panel_strain", "panel_coverage")
        + panel_sections.panel_table(view)
        + panel_sections.held_table(view)
        + panel_sections.constraints(view)
        + shown("panel_correlations")
        + panel_sections.pair_table(view)
    )


def _reproduce(view: PowderView) -> str:
    return sections.reproduce(view) + sections.provenance(view) + sections.timing_table(view)
