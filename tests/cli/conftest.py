"""What the tests of the command line share: a calibrant frame, and how refusals are looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import tifffile

from refimpl.cli.main import main
from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.epu.simulate import Simulated
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


@pytest.fixture
def folder(
    small_epu: tuple[Path, Simulated], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A small EPU session; the folder worked in is empty."""
    monkeypatch.chdir(tmp_path)
    return small_epu[0]


@pytest.fixture
def edit() -> Callable[[str, str], None]:
    """Change the near-field parameter file ps.txt of the folder worked in."""

    def change(old: str, new: str) -> None:
        text = Path("ps.txt").read_text()
        assert old in text
        Path("ps.txt").write_text(text.replace(old, new))

    return change


@pytest.fixture
def line_of() -> Callable[[str], int]:
    """Number of the last line of ps.txt that begins so."""

    def number(start: str) -> int:
        lines = Path("ps.txt").read_text().splitlines()
        return max(k for k, line in enumerate(lines, start=1) if line.startswith(start))

    return number


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line with which a near-field command refuses; nothing is printed, made or changed."""

    def run(*arguments: object, code: int = 2) -> str:
        before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
        capsys.readouterr()
        assert main(["nearfield", *(str(a) for a in arguments)]) == code
        said = capsys.readouterr()
        assert said.out == ""
        lines = [line for line in said.err.splitlines() if not line.startswith("note:")]
        assert len(lines) == 1, said.err
        assert {p: p.stat().st_mtime_ns for p in Path().rglob("*")} == before
        return lines[0].removeprefix("refimpl: ")

    return run
