"""Attenuation of X-rays in the sensor of a detector.

Silicon only: mass attenuation coefficients of NIST (Hubbell & Seltzer 1995, NISTIR 5632, table 3)
between the K edge and 200 keV, interpolated in the logarithms, times a density of 2.33 g/cm3.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from refimpl.errors import ConfigError

__all__ = ["HC_KEV_ANGSTROM", "silicon_mu_per_mm"]

HC_KEV_ANGSTROM: Final = 12.398419843320026
"""Energy of a photon times its wavelength [keV Å] (exact in SI units)."""

_DENSITY: Final = 2.33  # g/cm3
_SILICON: Final = np.array(
    [
        [1.8389, 3.192e3], [2.0, 2.777e3], [3.0, 9.784e2], [4.0, 4.529e2], [5.0, 2.450e2],
        [6.0, 1.470e2], [8.0, 6.468e1], [10.0, 3.389e1], [15.0, 1.034e1], [20.0, 4.464],
        [30.0, 1.436], [40.0, 7.012e-1], [50.0, 4.385e-1], [60.0, 3.207e-1], [80.0, 2.228e-1],
        [100.0, 1.835e-1], [150.0, 1.448e-1], [200.0, 1.275e-1],
    ]
)  # fmt: skip
"""Photon energy [keV], mass attenuation coefficient [cm2/g]."""


def silicon_mu_per_mm(wavelength_angstrom: float) -> float:
    """Attenuation coefficient of silicon [1/mm].

    Parameters
    ----------
    wavelength_angstrom
        0.062 to 6.74 Å (200 to 1.84 keV).

    Raises
    ------
    ConfigError
        Outside the table.
    """
    energy = HC_KEV_ANGSTROM / wavelength_angstrom if wavelength_angstrom > 0.0 else np.inf
    if not _SILICON[0, 0] <= energy <= _SILICON[-1, 0]:
        raise ConfigError(
            f"wavelength {wavelength_angstrom} Å: attenuation of silicon is known from "
            f"{HC_KEV_ANGSTROM / _SILICON[-1, 0]:.3f} to {HC_KEV_ANGSTROM / _SILICON[0, 0]:.3f} Å"
        )
    table = np.log(_SILICON)
    mass = np.exp(np.interp(np.log(energy), table[:, 0], table[:, 1]))
    return float(mass * _DENSITY / 10.0)
