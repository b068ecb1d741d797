"""``refimpl centring fuse``: what it prints, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main


def run(*arguments: object) -> int:
    return main(["centring", "fuse", *(str(a) for a in arguments)])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two crystals, 8 rotations; of b one point is glare, and c was seen once only."""
    rows = ["crystal,omega_deg,s_um,t_um"]
    for name, (s, y, z) in (("a", (10.0, 20.0, -5.0)), ("b", (-3.0, 0.0, 30.0))):
        for degrees in range(0, 360, 45):
            t = y * np.cos(np.radians(degrees)) + z * np.sin(np.radians(degrees))
            away = 80.0 if (name, degrees) == ("b", 90) else 0.0
            rows.append(f"{name},{degrees},{s:.3f},{t + away:.3f}")
    path = tmp_path / "points.csv"
    path.write_text("\n".join([*rows, "c,0,1,1", "c,90,,"]) + "\n")
    return path


def test_it_prints_places_moves_and_outliers(table: Path, capsys) -> None:
    assert run(table) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("a: s 10.0 +- 0.0, y 20.0 +- 0.0, z -5.0 +- 0.0 um from the beam")
    assert "move along the spindle -10.0 um, sample y -20.0 and z 5.0 um" in lines[1]
    assert "by 7 of 8 points" in lines[2]
    assert lines[4] == "  outliers: lines 12"
    assert lines[5] == "c: not fused: fusion: 1 points: 2 or more are needed"


def test_json(table: Path, capsys) -> None:
    assert run(table, "--json", "--omega-deg", "90", "--seek-axis") == 0
    a, b, c = json.loads(capsys.readouterr().out)
    assert a["centre_um"] == pytest.approx([10.0, 20.0, -5.0], abs=1e-2)
    assert a["moves"]["across_um"] == pytest.approx(5.0, abs=1e-2)
    assert b["used"].count(False) == 1
    assert "error" in c


def test_refusals(table: Path, tmp_path: Path, capsys) -> None:
    assert run(tmp_path / "none.csv") == 2
    assert "none.csv: cannot read" in capsys.readouterr().err
    one = tmp_path / "one.csv"
    one.write_text("omega_deg,s_um,t_um\n0,1,2\n180,1,2\n")
    assert run(one) == 2
    assert "too few sides to tell its depth" in capsys.readouterr().err
    rows = [f"{45 * k},{90 * (k % 3)},{90 * (k % 2)}" for k in range(8)]
    one.write_text("\n".join(["omega_deg,s_um,t_um", *rows]) + "\n")
    assert run(one) == 2
    assert "they are of different things" in capsys.readouterr().err
    assert run(one, "--most-um", 90) == 0
    capsys.readouterr()
    for options, text in (
        (("--middle", "1"), "--middle 1: expected X,Y"),
        (("--by", "colour"), "by 'colour': expected crystal or series"),
        (("--sigma-um", "-1"), "sigma -1 um"),
    ):
        assert run(table, *options) == 2
        assert text in capsys.readouterr().err
