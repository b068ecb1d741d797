"""What several tests of the measured frame look at, computed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from refimpl.powder import PowderResult, calibrate

PILATUS2M = {
    "calibrant": "CeO2", "lattice_parameter_angstrom": 5.41153,
    "wavelength_angstrom": 0.20215155543, "pixel_size_mm": 0.172,
}  # fmt: skip


@pytest.fixture(scope="session")
def frame2m(real_data) -> Path:
    real_data("pilatus2m-ceria-hexrd/geometry_24panels.json")
    return real_data("pilatus2m-ceria-hexrd/ceria_50x30_740mm_000005_Pilatus2M.hdf5")


@pytest.fixture(scope="session")
def modules(frame2m: Path) -> PowderResult:
    """All of the 24 modules, everything refined, no guess."""
    return calibrate(frame2m, **PILATUS2M, panels_grid="pilatus2m")
