"""The example scripts run as they are, are short, and print what they are for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_all_of_them_are_tested() -> None:
    text = Path(__file__).read_text()
    assert SCRIPTS
    for script in SCRIPTS:
        assert f'run("{script.name}"' in text, script.name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_they_are_short_and_say_what_they_show(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) < 60
    assert text.startswith('"""')


def test_calibrate_simulated(tmp_path: Path) -> None:
    text = run("calibrate_simulated.py", tmp_path, str(tmp_path / "out"))
    rows = re.findall(r"^(\w+) +(\S+) \+- +(\S+) (?:mm|px|deg) +(\S+)$", text, re.MULTILINE)
    assert [row[0] for row in rows] == ["Lsd", "BC_fast", "BC_slow", "ty", "tz"]
    for name, *numbers in rows:
        found, sigma, true = map(float, numbers)
        assert abs(found - true) < 5.0 * sigma, name
    assert (tmp_path / "out" / "report.html").exists()


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
