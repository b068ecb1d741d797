"""A gold crystal before two detectors, for tests of calibration: a published geometry, rounded."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from refimpl.rotations import matrix_of_euler

__all__ = ["RECORD", "U"]

RECORD: Final[dict[str, Any]] = {
    "energy_keV": 65.351, "detL_mm": [4.5335, 6.5335], "detJ_px": [1013.71, 1031.60],
    "detK_px": [2016.39, 2014.33], "pixel_mm": 0.00148, "npix": 2048, "omega_deg": [-90, 90],
    "detRot_ZXZ_deg": [[89.746, 89.713, -0.413], [89.610, 89.282, -0.423]], "n_omega": 180,
    "lattice_A": 4.08,
}  # fmt: skip
"""Geometry of HEXOMAP's gold crystal; every number differs from the others."""
U: Final = matrix_of_euler(np.radians([41.06, 38.37, 349.2]))
"""Its orientation, crystal to sample."""
