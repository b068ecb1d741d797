"""``refimpl epu calibrate``: what is printed, and the file that other sessions take."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from epu_folder import epu

from refimpl.epu.calibration import load_calibration


def test_words(folder, capsys) -> None:
    assert epu("calibrate", folder, "--method", "lattice") == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("lattice: k = 24.")
    assert "mirrored, then turned by 26." in said.out
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("method", ["lattice", "metadata"])
def test_json_and_file_say_the_same_and_the_truth(folder, small_epu, capsys, method: str) -> None:
    assert epu("calibrate", folder, "--method", method, "--json", "-o", "cal.json") == 0
    said = capsys.readouterr()
    assert said.err == "wrote cal.json\n"
    content = json.loads(said.out)
    assert content == json.loads(Path("cal.json").read_text())
    found = load_calibration("cal.json")
    assert found.method == method
    assert found.is_mirrored
    # 1 % of k: some hundred holes with 45 nm of scatter
    assert np.abs(found.matrix_um - small_epu[1].truth.matrix_um).max() < 0.25
    assert {"k", "matrix", "rms_um", "rotation_deg", "mirror", "anisotropy", "pitch_um",
            "alternatives", "margin", "magnification", "instrument"} <= content.keys()  # fmt: skip


def test_pictures(folder, capsys) -> None:
    arguments = ("--scatter", "s.png", "--report-picture", "m.png", "-o", "c.json")
    assert epu("calibrate", folder, *arguments) == 0
    said = capsys.readouterr().out
    assert said.endswith("wrote c.json\nwrote s.png\nwrote m.png\n")
    for name in ("s.png", "m.png"):
        assert Path(name).read_bytes().startswith(b"\x89PNG")


def test_a_failing_picture_leaves_the_old_files(folder, capsys, monkeypatch) -> None:
    for name in ("c.json", "s.png"):
        Path(name).write_text("old")
    real = os.replace

    def failing(source: object, target: object) -> None:
        if Path(str(target)).name == "s.png":
            raise OSError(errno.ENOSPC, "No space left on device", str(source))
        real(str(source), str(target))

    monkeypatch.setattr(os, "replace", failing)
    assert epu("calibrate", folder, "--scatter", "s.png", "-o", "c.json") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "refimpl: s.png: cannot write: No space left on device\n"
    assert {p.name: p.read_text() for p in Path().iterdir()} == {"c.json": "old", "s.png": "old"}


def test_given_values_come_back(folder, capsys) -> None:
    arguments = ("--k", 24.4, "--rotation-deg", 26.7, "--mirror", "--json")
    assert epu("calibrate", folder, *arguments) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["k"] == pytest.approx(24.4)
    assert content["rotation_deg"] == pytest.approx(26.7)
    assert content["mirror"] is True
    assert content["method"] == "affine"


def test_the_real_session(real_data, capsys) -> None:
    """A mirror, k 24.336 +- 0.05, rms below 0.06 um; no duplicates up to 0.5 um."""
    folder = real_data("epu-afis")
    assert epu("calibrate", folder, "--method", "lattice", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["mirror"] is True
    assert content["k"] == pytest.approx(24.336, abs=0.05)
    assert content["rms_um"] < 0.06
    for um in (0.2, 0.5):
        assert epu("duplicates", folder, "--method", "lattice", "--radius", um, "--json") == 0
        assert json.loads(capsys.readouterr().out)["n_duplicates"] == 0
    # the scalar flags three that are none; with shots of one hole 0.648 um apart
    assert epu("duplicates", folder, "--k", 24.5, "--json") == 0
    assert json.loads(capsys.readouterr().out)["n_duplicates"] == 3
    assert epu("duplicates", folder, "--method", "lattice", "--rad", 0.8, "--json") == 0
    assert json.loads(capsys.readouterr().out)["causes"]["same hole"] == 189
