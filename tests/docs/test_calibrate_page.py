"""The page on powder calibration: its commands and its code, on a frame made from Bragg's law."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import refimpl
from refimpl.cli.main import main
from refimpl.powder.config import config_from

PAGE = (Path(__file__).parents[2] / "docs" / "howto" / "calibrate.md").read_text()
PIXEL_MM, WAVELENGTH, EDGE = 0.172, 0.20215155543, 5.41153
DISTANCE_MM, BEAM_PX, TILT_RAD = 640.0, (530.4, 391.8), (-0.004, 0.006)
"""About the horizontal, then the vertical; the beam from the corner of the first stored pixel."""

SHAPE = (850, 1150)


def _frame() -> np.ndarray:
    """Rings of CeO2 on a tilted plane, with a beam stop and a gap: row 0 is the top."""
    (cx, sx), (cy, sy) = ((np.cos(t), np.sin(t)) for t in TILT_RAD)
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ [[1, 0, 0], [0, cx, -sx], [0, sx, cx]]
    slow, fast = np.indices(SHAPE) + 0.5
    x, y = -(fast - BEAM_PX[0]) * PIXEL_MM, -(slow - BEAM_PX[1]) * PIXEL_MM
    place = turn[:, 0, None, None] * x + turn[:, 1, None, None] * y
    two_theta = np.arctan2(np.hypot(place[0], place[1]), place[2] + DISTANCE_MM)
    image = np.full(SHAPE, 20.0)
    for n in (3, 4, 8, 11, 12, 16, 19, 20, 24, 27, 32, 35, 36, 40):
        ring = 2.0 * np.arcsin(WAVELENGTH * np.sqrt(n) / (2.0 * EDGE))
        image += 400.0 / np.sqrt(n) * np.exp(-(((two_theta - ring) / 5e-4) ** 2) / 2.0)
    counts = np.random.default_rng(3).poisson(image).astype(np.int32)
    counts[np.hypot(x, y) < 4.0] = 0
    counts[700:800, 900:1100] = 0  # the dead chip of the page
    counts[:, 570:577] = -1
    return counts


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("ceria.tif", _frame())
    return tmp_path


def test_the_commands_and_the_code_calibrate_a_frame(here: Path) -> None:
    """With the mask that the page makes; the numbers mean what the page says."""
    masks, _ = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(masks, {})
    (line,) = (c for c in re.findall(r"```console\n\$ (.*?)```", PAGE, re.S) if "IMAGE" in c)
    words = shlex.split(line.replace("\\\n", " ").replace("IMAGE", "ceria.tif"))
    assert main([*words[1:], "--mask", "mask.npy", "--no-report"]) == 0
    found = {p["name"]: p for p in json.loads(Path("DIR/result.json").read_text())["parameters"]}
    rows = SHAPE[0]
    true = {
        "Lsd": DISTANCE_MM,
        "BC_fast": BEAM_PX[0],
        "BC_slow": rows - BEAM_PX[1],
        "ty": np.degrees(TILT_RAD[0]),
        "tz": np.degrees(TILT_RAD[1]),
    }
    for name, value in true.items():
        # five standard uncertainties: the noise is drawn once
        assert abs(found[name]["value"] - value) < 5.0 * found[name]["sigma"], name
    midas = Path("DIR/refined_MIDAS_params.txt").read_text()
    (beam,) = re.findall(r"^BC \S+ (\S+)$", midas, re.M)
    assert float(beam) == pytest.approx(found["BC_slow"]["value"] - 0.5)
    _the_pattern_is_read_as_shown()
    assert "mask" not in Path("DIR/config.toml").read_text().replace("masked", "")


def _the_pattern_is_read_as_shown() -> None:
    """The page on integration goes on with the same frame."""
    page = (Path(__file__).parents[2] / "docs" / "howto" / "integrate.md").read_text()
    for line in re.findall(r"^\$ refimpl (.*)$", page, re.M):
        assert main(shlex.split(line.replace("IMAGE", "ceria.tif"))) == 0
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    found: dict[str, Any] = {}
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.use("Agg")
    exec(code, found)
    assert pyplot.get_fignums()
    pyplot.close("all")
    columns = ", ".join(found["pattern"].columns)
    assert columns in page.replace("\n", " ")


def test_the_library_call_is_as_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its arguments are taken; a calibration is in the test above."""
    seen: dict[str, object] = {}

    class Saved:
        def save(self, folder: str) -> None:
            seen["folder"] = folder

    def taken(image: str, **settings: object) -> Saved:
        seen.update(settings, image=image)
        return Saved()

    monkeypatch.setattr(refimpl.powder, "calibrate", taken)
    _, call = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(call, {})
    assert seen.pop("folder") == "DIR"
    assert seen.pop("image") == "ceria.tif"
    assert config_from(seen).detector.pixel_size_mm == (PIXEL_MM, PIXEL_MM)
