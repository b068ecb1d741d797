"""The example scripts run as they are, are short, and print what they are for.

Pages of the gallery (``plot_*.py``) run in this process: their start would cost more than they do.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


def run(name: str, folder: Path, *arguments: str) -> str:
    """Run in an empty folder; standard output."""
    environment = os.environ | {"PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def page(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run a page of the gallery in an empty folder; what it leaves behind."""
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.use("Agg")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(pyplot, "show", lambda: None)
    try:
        found = runpy.run_path(str(EXAMPLES / name))
        assert pyplot.get_fignums()
    finally:
        pyplot.close("all")
    assert not list(folder.iterdir())
    return found


def test_all_of_them_are_tested() -> None:
    text = Path(__file__).read_text()
    assert SCRIPTS
    for script in SCRIPTS:
        call = "page" if script.name.startswith("plot_") else "run"
        assert f'{call}("{script.name}"' in text, script.name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_they_are_short_and_say_what_they_show(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) < 60
    assert text.startswith('"""')
    if script.name.startswith("plot_"):  # sphinx-gallery wants a title
        title, line = text.splitlines()[1:3]
        assert line == "=" * len(title)


def test_calibrate_simulated(tmp_path: Path) -> None:
    text = run("calibrate_simulated.py", tmp_path, str(tmp_path / "out"))
    rows = re.findall(r"^(\w+) +(\S+) \+- +(\S+) (?:mm|px|deg) +(\S+)$", text, re.MULTILINE)
    assert [row[0] for row in rows] == ["Lsd", "BC_fast", "BC_slow", "ty", "tz"]
    for name, *numbers in rows:
        found, sigma, true = map(float, numbers)
        assert abs(found - true) < 5.0 * sigma, name
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
def test_score_geometry(tmp_path: Path) -> None:
    text = run("score_geometry.py", tmp_path)
    scores = re.findall(r"^(.{14})\d+ patches: mean \|strain\| (\S+) µε", text, re.MULTILINE)
    strain = {name.strip(): float(value) for name, value in scores}
    assert list(strain) == ["true", "calibrated", "0.1 px off", "0.1 % too far"]
    # within a tenth: the score of the truth is the noise of the patches
    assert strain["calibrated"] == pytest.approx(strain["true"], rel=0.1)
    assert strain["0.1 px off"] > 1.5 * strain["true"]
    assert strain["0.1 % too far"] == pytest.approx(1000.0, rel=0.2)  # -0.1 % in strain
    assert not list(tmp_path.iterdir())


def test_which_way_up(tmp_path: Path) -> None:
    text = run("which_way_up.py", tmp_path)
    assert text.startswith("The given geometry fits the image flipped up-down: ")
    assert "not certain" not in text
    assert text.splitlines()[2].startswith("2 ")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_panels(tmp_path: Path) -> None:
    text = run("panels.py", tmp_path)
    rows = re.findall(r"^ +(\d+) +(\d+) +(\S+) +(\S+) +(\S+) \+- (\S+) +(\S+)$", text, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(12))
    for panel, _, *numbers in rows:
        out, true_out, found, sigma, true = map(float, numbers)
        assert abs(out - true_out) < 0.02, panel  # px; shifts of 0.3 px rms
        assert abs(found - true) < 5.0 * sigma, panel
    strain = [float(v) for v in re.findall(r"median (\S+) µε", text)]
    assert strain[0] < 0.1 * strain[1]  # with panels, and at the best single surface
    assert not list(tmp_path.iterdir())


def test_nearfield_map(tmp_path: Path) -> None:
    out = run("nearfield_map.py", tmp_path)
    assert re.search(r"^\d+ voxels light \d+ pixels", out)
    found = re.search(r"mean confidence (\S+), by", out)
    assert found is not None
    assert float(found[1]) > 0.95
    assert "0 missing" in out


@pytest.mark.slow
def test_epu_duplicates(tmp_path: Path) -> None:
    text = run("epu_duplicates.py", tmp_path, str(tmp_path / "page"))
    rows = re.findall(
        r"^(.{10}): +(\d+) found, +(\d+) of them wrong, +(\d+) missed$", text, re.MULTILINE
    )
    true = int(re.search(r", (\d+) of them are duplicates", text)[1])  # type: ignore[index]
    found = {name.strip(): [int(v) for v in numbers] for name, *numbers in rows}
    assert found["matrix"] == [true, 0, 0]
    assert found["one number"][2] > 0.2 * true
    assert (tmp_path / "page" / "report.html").exists()


@pytest.mark.slow
def test_centring_match(tmp_path: Path) -> None:
    text = run("centring_match.py", tmp_path)
    known, off = re.search(r"known to (\S+) s, off by (\S+) s", text).groups()  # type: ignore[union-attr]
    assert float(off) < float(known) < 0.0625
    rows = re.findall(r" (\d+) pairs, (\S+) frames off, counts wrong by (\d+) ", text)
    (pairs, near, wrong), (_, far, worse) = ([float(v) for v in row] for row in rows)
    assert pairs > 900
    assert (near < 0.5, far > 5.0, wrong < 0.1 * worse) == (True, True, True)


@pytest.mark.slow
def test_centring_aim(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra centring (torch)")
    text = run("centring_aim.py", tmp_path)
    mse, baseline = re.search(r"square (\S+), predicting the mean (\S+)$", text, re.M).groups()  # type: ignore[union-attr]
    assert float(mse) < 0.85 * float(baseline)
    hit = {
        n.strip(): float(v)
        for n, v in re.findall(r"^(.{18}): on the crystal in (\S+),", text, re.M)
    }
    # far from what the recipe reaches, far above what any loop finder can
    assert hit["net"] > 0.5 > 2.0 * max(hit["lucid3, corrected"], hit["middle of the loop"])


def test_plot_rings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = page("plot_rings.py", tmp_path, monkeypatch)
    for name, true in zip(("ty", "tz"), np.degrees(found["true"].tilts_rad[1:]), strict=True):
        fitted = found["result"][name]
        assert abs(fitted.value - true) < 4.0 * fitted.sigma < 0.05


def test_plot_tilt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page("plot_tilt.py", tmp_path, monkeypatch)
    most = [int(v) for v in re.findall(r": (\d+) µrad", capsys.readouterr().out)]
    assert most[0] == 0  # a turn about the beam
    # half a degree tips the rim of 40 and 30 mm along the beam: R d / L^2 of it, to first order
    expected = [np.hypot(40, 30) * edge * np.radians(0.5) / 200.0**2 * 1e6 for edge in (30, 40)]
    assert most[1:] == pytest.approx(expected, rel=0.15)


def test_plot_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page("plot_rotation.py", tmp_path, monkeypatch)
    assert re.findall(r"^panel .*", capsys.readouterr().out, re.MULTILINE) == [
        "panel 7: its spots are -40.0, 20.0 µm away"
    ]


def test_plot_disorientation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = page("plot_disorientation.py", tmp_path, monkeypatch)
    q = found["q1"], found["q2"]
    angle = np.degrees(found["misorientation"](*q, found["operators"]("P m -3 m")))
    seen, edges = np.histogram(angle, np.arange(10.0, 45.0, 5.0))
    middle = 0.5 * (edges[1:] + edges[:-1])
    expected = 5.0 * len(angle) * np.interp(middle, np.degrees(found["omega"]), found["density"])
    assert np.all(np.abs(seen - expected) < 4.0 * np.sqrt(expected) + 0.01 * expected)
    assert angle.max() < 62.8


def test_plot_confidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = page("plot_confidence.py", tmp_path, monkeypatch)
    for curve in found["curves"].values():
        assert curve[200] == 1.0
        assert curve[[0, -1]].max() < 0.3
        assert len(np.unique(curve)) < 0.9 * len(curve)  # steps
    assert len(found["curves"]) == 3


def test_plot_beam_shift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page("plot_beam_shift.py", tmp_path, monkeypatch)
    far, near = re.findall(r": (\S+) µm from the truth", capsys.readouterr().out)
    assert float(far) > 1.0 > 50.0 * float(near)


def test_plot_crystal_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = page("plot_crystal_counts.py", tmp_path, monkeypatch)
    s, t = np.array(found["best"]).T
    assert np.abs(found["centre"].centre_um[0] - s).max() < 15.0
    assert found["centre"].seen_um(found["omegas"])[:, 1] == pytest.approx(t, abs=15.0)
    assert found["one"].rc_um(found["centre"].centre_um[None, :2], 0.0)[0] > 50.0
