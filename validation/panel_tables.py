"""What the tables of the panels share: settings, Markdown, and the limit of a difference."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["FLAGGED", "FRAME", "SETTINGS", "listed", "markdown"]

FRAME = "pilatus2m-ceria-hexrd"
SETTINGS = {
    "calibrant": "CeO2", "lattice_parameter_angstrom": 5.41153,
    "wavelength_angstrom": 0.20215155543, "pixel_size_mm": 0.172, "eta_bin_deg": 1.0,
}  # fmt: skip
FLAGGED = 3.0
"""Differences beyond this many of our standard uncertainties are looked into."""


def markdown(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Table with a bold title."""
    lines = [f"**{title}**", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def listed(names: Sequence[int]) -> str:
    """Numbers with commas."""
    return ", ".join(map(str, names)) or "none"
