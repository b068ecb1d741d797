"""The report of an EPU session: figures as PNG, one HTML page, and the pictures by themselves."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from refimpl import __version__
from refimpl.clustering.beam_shift import cluster
from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import Duplicates
from refimpl.epu.session import Session
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.frames import F64, I64
from refimpl.report import epu_maps as maps
from refimpl.report import epu_plots as plots
from refimpl.report import epu_sections as sections
from refimpl.report import page
from refimpl.report.epu_view import EpuView
from refimpl.report.page import Entry
from refimpl.units import DEG

__all__ = ["EpuView", "comparison", "figure_names", "figures", "write_comparison", "write_map"]
__all__ += ["write_report", "write_scatter"]

_FIGURES = {
    "map": Entry(
        plots.session_map,
        "Map of the exposures in their holes, with the lines of the hole lattice",
        "Cells of one colour were exposed without a move of the stage between them. Holes must sit "
        "on the crossings, and cells must fit together: cells that overlap, with holes in red, are "
        "holes that were visited twice, or a wrong calibration. Red crosses are bad exposures.",
    ),
    "cases": Entry(
        plots.cases_figure,
        "Discs of the beam of the first duplicates",
        "Blue: the exposure that is kept. Red: the one that came later. Grey: others. Lines are "
        "those of the hole lattice; the size of the discs is the beam's.",
    ),
    "distances": Entry(
        plots.distance_histogram,
        "Histogram of the distance of the nearest exposure, with the radius of the search",
        "The radius should lie in a gap: what is left of it are duplicates. Shots of one hole are "
        "near each other on purpose. The scale of the numbers is linear below 10.",
    ),
    "folded": Entry(
        plots.folded,
        "All holes laid on one cell of the hole lattice",
        "Each point is a visit of a hole, seen from the nearest crossing of the lattice; dashed is "
        "the radius of the search. With the right matrix all lie within it.",
    ),
    "two_maps": Entry(
        lambda view: comparison(view),
        "Two maps of the session side by side: one number k, and the matrix",
        "The same exposures. Left: beam shifts times one number, as published. Right: times the "
        "matrix of this calibration. Red holes lie on one another, which holes cannot do.",
    ),
    "beam_shifts": Entry(
        plots.beam_shifts,
        "Scatter of the beam shifts with the numbers of their groups",
        "Groups are numbered ring by ring from the middle, anticlockwise.",
    ),
}  # fmt: skip


def _drawn(view: EpuView) -> list[str]:
    known = view.calibration.lattice_um is not None
    skipped = {
        "map": not len(view.session),
        "cases": not len(view.cases),
        "distances": len(view.session) < 2,
        "folded": not known,
        "two_maps": not known or view.is_scalar or not view.is_small,
        "beam_shifts": view.clusters is None,
    }
    return [name for name in _FIGURES if not skipped.get(name, False)]


def figure_names(view: EpuView) -> list[str]:
    """Names of the figures that the view has data for, in the order of the page."""
    return _drawn(view)


def figures(view: EpuView, names: list[str] | None = None) -> dict[str, Figure]:
    """Figures by name; all that the view has data for, or some of them."""
    return {name: _FIGURES[name].draw(view) for name in (_drawn(view) if names is None else names)}


def write_report(
    result: Duplicates | EpuView, folder: str | os.PathLike[str], **options: Any
) -> Path:
    """Write ``figures/<name>.png`` and ``report.html`` into a folder; the page comes last.

    Parameters
    ----------
    result
        Duplicates of a session, or the view of them.
    folder
        Made if it does not exist.
    options
        Of duplicates: the other attributes of :class:`~refimpl.report.epu_view.EpuView`. Without
        a title the folder's name is taken, without clusters those that the beam shifts show.

    What comes back and what is raised: as of :func:`refimpl.report.page.write`.
    """
    view = result if isinstance(result, EpuView) else _view(result, **options)
    return page.write(folder, figures(view), _FIGURES, lambda inline: _page(view, inline))


def _view(found: Duplicates, **options: Any) -> EpuView:
    """View with the groups that the beam shifts show, and the name of the folder."""
    if "clusters" not in options:
        try:
            options["clusters"] = cluster(found.session.beam_shift)
        except (ConvergenceError, ConfigError):  # no level of grouping, or no exposure
            options["clusters"] = None
    folder = found.session.folder
    if folder is not None and folder.resolve().name:
        options.setdefault("title", folder.resolve().name)
    return EpuView(found, **options)


def _page(view: EpuView, inline: dict[str, str]) -> str:
    def shown(*names: str) -> str:
        return "".join(inline.get(name, "") for name in names)

    parts = [
        ("map", "Map", shown("map")),
        ("checks", "Is it good?", sections.checks(view)),
        ("duplicates", "Duplicates",
         shown("cases") + sections.duplicate_table(view) + sections.square_table(view)
         + shown("distances")),
        ("calibration", "Calibration",
         sections.calibration_table(view) + shown("folded", "two_maps")),
        ("groups", "Groups of beam shifts", sections.group_table(view) + shown("beam_shifts")),
        ("files", "Files", sections.error_table(view)),
        ("provenance", "Where it comes from", sections.provenance(view)),
    ]  # fmt: skip
    foot = f"Made by refimpl {__version__}. Positions are those of the stage, in micrometres."
    return page.main(
        sections.top(view), sections.tiles(view), parts, foot, f"{view.title} – EPU session"
    )


def comparison(view: EpuView) -> Figure:
    """Two maps side by side: one number, and the matrix of the calibration."""
    c, radius = view.calibration, view.duplicates.radius_um
    turn = f"turned {c.rotation_rad / DEG:.1f}°"
    titles = (
        f"One number: k = {view.scalar.k_um:.2f}",
        f"Matrix: k = {c.k_um:.2f}, {'mirrored, ' if c.is_mirrored else ''}{turn}",
    )
    details = tuple(
        f"{_pairs(len(holes.together))} of holes on one another\n{bad} of {len(view.session):,} "
        f"exposures bad at {radius:g} µm\nholes off the lattice by {1e3 * holes.rms_um:.0f} nm rms"
        for holes, bad in (
            (view.scalar_holes, view.scalar_duplicates.n_duplicates),
            (view.holes, view.duplicates.n_duplicates),
        )
    )
    return maps.two_maps(
        (view.scalar_holes, view.holes), titles, (details[0], details[1]),
        hole_um=view.session.hole_size_um,
    )  # fmt: skip


def _pairs(n: int) -> str:
    return {0: "no pair", 1: "1 pair"}.get(n, f"{n} pairs")


def write_comparison(result: Duplicates | EpuView, path: str | os.PathLike[str]) -> Path:
    """Write :func:`comparison` as a PNG; return its path."""
    view = result if isinstance(result, EpuView) else EpuView(result)
    page.write_png(Path(path), comparison(view))
    return Path(path)


def write_map(
    session: Session, calibration: Calibration, duplicates: Duplicates,
    path: str | os.PathLike[str],
) -> Path:  # fmt: skip
    """Write the map of the exposures as a PNG.

    Parameters
    ----------
    session, calibration
        Those of the duplicates: they know both.
    duplicates
        What is marked.
    path
        The picture.

    Returns
    -------
    Its path.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    page.write_png(Path(path), plots.session_map(EpuView(duplicates)))
    return Path(path)


def write_scatter(
    beam_shift: F64, labels: I64, centres: F64, path: str | os.PathLike[str],
    *, numbers: Sequence[int] | None = None, title: str = "Beam shifts",
) -> Path:  # fmt: skip
    """Write the scatter of beam shifts with the numbers of their groups as a PNG.

    Parameters
    ----------
    beam_shift
        (n, 2).
    labels
        (n,) group of each, from 1: row `labels - 1` of the centres; -1: none.
    centres
        (c, 2).
    path
        The picture.
    numbers
        (c,) what is written at each centre; None: 1, 2, 3...
    title
        Above it.

    Returns
    -------
    Its path.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    detail = f"{len(centres)} groups, {len(beam_shift):,} exposures"
    figure = plots.scatter_figure(
        beam_shift, labels, centres, numbers=numbers, title=title, detail=detail
    )
    page.write_png(Path(path), figure)
    return Path(path)
