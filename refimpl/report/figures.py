"""Every figure of a powder report, each a function from a view to a Matplotlib Figure."""

from refimpl.report.histograms import residual_histogram
from refimpl.report.integrated import cake_figure, radial_profile
from refimpl.report.panel_correlations import panel_correlations
from refimpl.report.panel_fields import panel_fields
from refimpl.report.panel_plots import panel_coverage, panel_residuals, panel_strain
from refimpl.report.panels import panel_shifts
from refimpl.report.pictures import residual_map, ring_overlay
from refimpl.report.plots import (
    correlation_matrix,
    residual_against_eta,
    strain_against_two_theta,
)

__all__ = [
    "cake_figure",
    "correlation_matrix",
    "panel_correlations",
    "panel_coverage",
    "panel_fields",
    "panel_residuals",
    "panel_shifts",
    "panel_strain",
    "radial_profile",
    "residual_against_eta",
    "residual_histogram",
    "residual_map",
    "ring_overlay",
    "strain_against_two_theta",
]
