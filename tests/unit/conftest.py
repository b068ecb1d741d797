"""Small simulations and what is found in them, shared by the tests of powder and near field."""

from __future__ import annotations

from pathlib import Path

import pytest
from nearfield_case import Case

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.forward.nearfield_setup import Setup
from refimpl.forward.powder_image import simulate
from refimpl.forward.scenes import panel_grid
from refimpl.forward.simulated_frame import SimulatedFrame
from refimpl.nearfield.calibrate_hexomap import hexomap_setup
from refimpl.nearfield.calibrate_model import Geometry
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.reconstruct import reconstruct
from refimpl.powder.calibrate import calibrate
from refimpl.powder.result import PowderResult
from refimpl.testing.nearfield_gold import RECORD
from refimpl.testing.nearfield_scan import write_numbered

WAVELENGTH = 0.25
"""[angstrom] of the small frame."""


@pytest.fixture(scope="session")
def small_model() -> TiltedFlat:
    """400 x 380 px of 0.2 mm, tilted, the beam off the middle, cut into 2 x 2 panels."""
    return TiltedFlat(
        (380, 400), (0.2, 0.2), 300.0, (188.0, 210.0), (0.0, 0.01, -0.015),
        panel_boxes=panel_grid([196, 197], [7], [182, 181], [17]),
    )  # fmt: skip


@pytest.fixture(scope="session")
def small_frame(small_model: TiltedFlat) -> SimulatedFrame:
    """Ceria on it: 6 rings, Poisson noise."""
    return simulate(
        small_model, rings("CeO2", WAVELENGTH, 0.3), wavelength_angstrom=WAVELENGTH,
        fwhm_rad=2e-3, peak_counts=2000.0, background=20.0, seed=3,
    )  # fmt: skip


@pytest.fixture(scope="session")
def small_result(small_frame: SimulatedFrame) -> PowderResult:
    """Calibration of the small frame from no guess."""
    return calibrate(
        small_frame.image, mask=small_frame.mask, wavelength_angstrom=WAVELENGTH, pixel_size_mm=0.2
    )


@pytest.fixture(scope="session")
def case() -> Case:
    """Four grains before two distances."""
    return Case()


@pytest.fixture(scope="session")
def found(case: Case) -> NearfieldMap:
    """Their map, from seeds that are off by a tenth of a degree."""
    return reconstruct(case.setup, case.lit, case.voxels, case.seeds, engine="serial")


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Folder with the numbered images of :mod:`refimpl.testing.nearfield_scan` in raw."""
    write_numbered(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def gold_setup() -> Setup:
    """Gold crystal before two detectors, :mod:`refimpl.testing.nearfield_gold`."""
    return hexomap_setup(RECORD, 8.0)


@pytest.fixture(scope="module")
def gold_start(gold_setup: Setup) -> Geometry:
    """Geometry of it, to start a calibration from."""
    return Geometry.of(gold_setup)
