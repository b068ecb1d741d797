"""The report of a near-field map: figures as PNG, and one HTML page that needs nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from refimpl import __version__
from refimpl.nearfield.maps import NearfieldMap
from refimpl.report import nearfield_maps as maps
from refimpl.report import nearfield_plots as plots
from refimpl.report import nearfield_sections as sections
from refimpl.report import page
from refimpl.report.nearfield_view import MapView
from refimpl.report.page import Entry

__all__ = ["MapView", "figure_names", "figures", "write_report"]

_FIGURES = {
    "ipf_z": Entry(
        maps.ipf_map,
        "Map of the voxels coloured by the crystal direction along z, with grain boundaries",
        "z is the rotation axis and points to the viewer. Key after Nolze and Hielscher (2016), as "
        "orix and MTEX draw it. One grain has one colour; speckles within a grain are voxels that "
        "went to another orientation. Two grains of like colour are told apart by the line between "
        "them, or by their colours along x and y.",
    ),
    "ipf_xy": Entry(
        maps.ipf_others,
        "Two maps of the voxels coloured by the crystal directions along x and y",
        "x runs along the beam at ω = 0. What looks like one grain along z may be two here.",
    ),
    "confidence": Entry(
        maps.confidence_map,
        "Map of the confidence",
        "Share of the predicted pixels that are lit at every distance. It falls at boundaries, "
        "where a voxel holds two grains, and outside of the sample. Low everywhere: the geometry "
        "is off. Low in one grain: it is deformed, or its spots are masked or too weak.",
    ),
    "confidence_by_distance": Entry(
        maps.confidence_by_distance,
        "Maps of the confidence of each distance",
        "A distance that is worse than the others has a wrong Lsd or beam centre, or other images.",
    ),
    "confidence_histogram": Entry(
        plots.confidence_histogram,
        "Histogram of the confidence, and share of voxels above each confidence",
        "A hump near 0 is what lies outside of the sample; where it ends is the confidence to cut "
        "the map at. With n predicted spots it goes in steps of about 1/n.",
    ),
    "grains": Entry(
        maps.grain_map,
        "Map of the grains with their numbers",
        "Voxels that are joined through neighbours below the angle of a boundary. The colours only "
        "tell neighbours apart.",
    ),
    "grain_sizes": Entry(
        plots.grain_sizes,
        "Histograms of grain sizes",
        "Diameter of the circle of equal area. Grains at the rim of the map are cut.",
    ),
    "kam": Entry(
        maps.kam_map,
        "Map of the mean misorientation with neighbours within the grain",
        "In a deformed grain this is its curvature; in a perfect one the scatter of the fit. The "
        "scale ends at the 98th percentile.",
    ),
    "boundaries": Entry(
        plots.boundary_histogram,
        "Histograms of the misorientation of neighbours",
        "On the left the noise of the fit and what deformation adds; bars on the right near 60° "
        "in a cubic metal are twin boundaries, or voxels that went to the wrong twin.",
    ),
    "misorientation": Entry(
        maps.misorientation_map,
        "Map of the misorientation from the reference",
        "Logarithmic. Errors along a boundary are voxels that hold two grains; errors within a "
        "grain are fits that stopped short.",
    ),
    "misorientation_histogram": Entry(
        plots.misorientation_histogram,
        "Histogram of the misorientation from the reference, and against boundary distance",
        "Dashed: 0.05° and 0.25°. Points at 60° in a cubic metal are wrong twins.",
    ),
}


def _drawn(view: MapView) -> list[str]:
    known = view.result.by_distance[view.shown]
    several = known.shape[1] > 1 and bool(np.isfinite(known).any())
    skipped = {
        "confidence_by_distance": not several,
        "kam": not len(view.pairs) or bool(view.across.all()),
        "boundaries": not len(view.pairs),
        "misorientation": view.comparison is None,
        "misorientation_histogram": view.comparison is None,
    }
    return [name for name in _FIGURES if view.shown.any() and not skipped.get(name, False)]


def figure_names(view: MapView) -> list[str]:
    """Names of the figures that the view has data for, in the order of the page."""
    return _drawn(view)


def figures(view: MapView, names: list[str] | None = None) -> dict[str, Figure]:
    """Figures by name; all that the view has data for, or some of them."""
    return {name: _FIGURES[name].draw(view) for name in (_drawn(view) if names is None else names)}


def write_report(
    result: NearfieldMap | MapView, folder: str | os.PathLike[str], **options: Any
) -> Path:
    """Write ``figures/<name>.png`` and ``report.html`` into a folder; the page comes last.

    Parameters
    ----------
    result
        A map, or the view of one.
    folder
        Made if it does not exist.
    options
        Of a map: the other attributes of :class:`~refimpl.report.nearfield_view.MapView`.

    What comes back and what is raised: as of :func:`refimpl.report.page.write`.
    """
    view = result if isinstance(result, MapView) else MapView(result, **options)
    return page.write(folder, figures(view), _FIGURES, lambda inline: _page(view, inline))


def _page(view: MapView, inline: dict[str, str]) -> str:
    def shown(*names: str) -> str:
        return "".join(inline.get(name, "") for name in names)

    parts = [
        ("map", "Map", shown("ipf_z", "ipf_xy")),
        ("checks", "Is it good?", sections.checks(view)),
        ("reference", "Against the reference", shown("misorientation", "misorientation_histogram")),
        ("confidence", "Confidence",
         shown("confidence", "confidence_by_distance", "confidence_histogram")),
        ("grains", "Grains", shown("grains", "grain_sizes") + sections.grain_table(view)),
        ("deformation", "Within grains and across", shown("kam", "boundaries")),
        ("provenance", "Where it comes from", sections.provenance(view)),
    ]  # fmt: skip
    foot = (
        f"Made by refimpl {__version__}. Angles are misorientations of the Laue class, in degrees."
    )
    return page.main(
        sections.top(view), sections.tiles(view), parts, foot, f"{view.title} – near-field map"
    )
