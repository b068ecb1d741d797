"""Unit factors and physical constants: multiply to enter refimpl's units, divide to leave them.

Inside refimpl: mm, Å, rad, px, keV. ``value_deg * DEG`` is in rad, ``length_mm / UM`` in µm.
"""

from __future__ import annotations

import math

__all__ = ["DEG", "HC_KEV_ANGSTROM", "MICROSTRAIN", "UM", "M", "kev_to_angstrom"]

DEG = math.pi / 180.0
"""rad per degree."""
UM = 1e-3
"""mm per µm."""
M = 1e3
"""mm per m."""
MICROSTRAIN = 1e-6
"""Strain per µε."""
HC_KEV_ANGSTROM = 12.398419843320026
"""Planck constant times speed of light [keV Å], exact in the 2019 SI."""


def kev_to_angstrom(energy_kev: float) -> float:
    """Wavelength [Å] of a photon of the given energy [keV]; its own inverse."""
    return HC_KEV_ANGSTROM / energy_kev
