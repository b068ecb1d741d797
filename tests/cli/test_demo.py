"""``refimpl demo``: the whole of it on a small detector, and on the real one where that is here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from refimpl.cli import demo as module
from refimpl.cli.main import main
from refimpl.crystal.calibrants import calibrant
from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.forward.scenes import Scene

ROWS = ("Lsd mm", "BC_fast px", "BC_slow px", "ty deg", "tz deg")


def small(seed: int) -> Scene:
    """Ceria as in the demo, on a detector of a fiftieth of the pixels."""
    a, wavelength = (
        module.SETTINGS[n] for n in ("lattice_parameter_angstrom", "wavelength_angstrom")
    )
    model = TiltedFlat((240, 250), (0.172, 0.172), 150.0, (130.2, 117.8), (0.0, 0.01, -0.015))
    arguments = {
        "model": model,
        "rings": rings(calibrant("CeO2", a), wavelength, 0.25),
        "wavelength_angstrom": wavelength,
        "fwhm_rad": 3e-3,
        "peak_counts": 5000.0,
        "seed": seed,
    }
    return Scene("small", "CeO2", a, arguments)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr("refimpl.forward.scenes.pilatus2m", small)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_table(text: str) -> None:
    """Found against true: every row there, every error below 5 of its sigma."""
    for row in ROWS:
        numbers = re.search(rf"^{row} +(\S+) +(\S+) +(\S+) +(\S+)$", text, re.MULTILINE)
        assert numbers, row
        found, sigma, true, pull = map(float, numbers.groups())
        assert sigma > 0.0
        # the printed digits: five decimals of each
        assert pull == pytest.approx((found - true) / sigma, abs=2e-5 / sigma + 0.01)
        assert abs(pull) < 5.0, row


def test_it_simulates_calibrates_and_compares(quick, monkeypatch, capsys) -> None:
    monkeypatch.setattr(module.data, "path", refuse)
    assert main(["demo", "-o", "out", "--no-download"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    check_table(printed.out)
    assert "The real frame is left out: it is not here" in printed.out
    report = Path(printed.out.splitlines()[-1].removeprefix("report: "))
    assert report == quick / "out" / "simulated" / "report.html"
    assert "<html" in report.read_text()[:500]
    result = json.loads((report.parent / "result.json").read_text())
    assert result["converged"] is True
    assert (report.parent / "frame.h5").exists()


def refuse(name: str, *, allow_download: bool) -> Path:
    assert name == module.REAL
    raise ConfigError("it is not here" if not allow_download else "no network")


def test_no_network_is_no_failure(quick, monkeypatch, capsys) -> None:
    monkeypatch.setattr(module.data, "path", refuse)
    monkeypatch.setattr(module.data, "is_here", lambda name: False)
    assert module._real_frame(True) is None
    text = capsys.readouterr().out
    assert text.startswith("Fetching the real Pilatus 2M frame")
    assert text.endswith("The real frame is left out: no network\n")


def test_the_seed_makes_the_frame(quick, monkeypatch, capsys) -> None:
    monkeypatch.setattr(module, "_real_frame", lambda download: None)
    monkeypatch.setattr("refimpl.powder.result.PowderResult.save", lambda self, folder: folder)
    outputs = []
    for seed in ("1", "1", "2"):
        assert main(["demo", "-o", "out", "--seed", seed]) == 0
        lines = capsys.readouterr().out.splitlines()
        outputs.append([line for line in lines if line.startswith(ROWS)])
    assert outputs[0] == outputs[1] != outputs[2]


def test_the_real_frame_comes_second_and_its_report_last(quick, real_data, capsys) -> None:
    real_data(module.REAL)
    assert main(["demo", "-o", "out"]) == 0
    text = capsys.readouterr().out
    check_table(text)
    assert f"report of the simulated frame: {quick / 'out' / 'simulated' / 'report.html'}" in text
    assert re.search(r"^  Lsd +739\.7[6-9]\d* ", text, re.MULTILINE)
    assert "published: four codes find 739.769 to 739.793 mm on this frame" in text
    assert text.splitlines()[-1] == f"report: {quick / 'out' / 'pilatus2m' / 'report.html'}"


@pytest.mark.slow
def test_the_whole_demo(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(module, "_real_frame", lambda download: None)
    assert main(["demo", "-o", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    check_table(text)
    assert "48 half-modules" in text
