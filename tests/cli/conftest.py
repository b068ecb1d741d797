"""A small simulated calibrant frame that the tests of the command line share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.forward.powder_image import simulate
from refimpl.forward.simulated_frame import SimulatedFrame

WAVELENGTH = 0.25
TRUE = TiltedFlat(
    (240, 260), (0.3, 0.3), 250.0, (128.3, 117.6), (0.0, 0.01, -0.015), image_transform=(2,)
)


def frame(calibrant: str = "CeO2", **changes: object) -> SimulatedFrame:
    """Frame of a calibrant on the true detector."""
    arguments = {
        "wavelength_angstrom": WAVELENGTH,
        "fwhm_rad": 3.0e-3,
        "peak_counts": 3000.0,
        "seed": 5,
    }
    return simulate(TRUE, rings(calibrant, WAVELENGTH, 0.25), **(arguments | changes))


@pytest.fixture(scope="session")
def frame_of() -> Callable[..., SimulatedFrame]:
    """Make the frame of a calibrant by name."""
    return frame


@pytest.fixture(scope="session")
def simulated() -> SimulatedFrame:
    """Frame of CeO2."""
    return frame()


@pytest.fixture
def here(tmp_path: Path, simulated: SimulatedFrame, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with ceria.tif."""
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("ceria.tif", simulated.image)
    return tmp_path
