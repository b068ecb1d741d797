"""``refimpl metrology validate``: halves that are refined apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.io.dials_files import read_refl, write_refl

LEVEL1 = ("--hierarchy-level", "1", "--outlier", "null")


@pytest.fixture(scope="module")
def made(nine_panels: Path) -> Path:
    return nine_panels


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


def test_validate(here, capsys) -> None:
    assert metrology("validate", "start.expt", "spots.refl", *LEVEL1, "--json", "-o", "out") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found == json.loads(Path("out/validation.json").read_text())
    assert {p.name for p in Path("out").iterdir()} == {
        "validation.json", "half1.expt", "half2.expt", "done.json",
    }  # fmt: skip
    for half in found["halves"]:
        # errors of 0.02 mm; 60 parameters from 2700 numbers
        assert 0.018 < half["own"]["rmsd_mm"][0] < 0.022
        assert half["held_out"]["rmsd_mm"][0] < 0.5 * half["held_out_before"]["rmsd_mm"][0]
    assert found["congruence"]["panels"] == 9
    assert 0.4 < found["chi_squared"] < 2.0
    again = ("validate", "start.expt", "spots.refl", *LEVEL1, "-o", "out")
    assert metrology(*again) == 0
    assert "kept" in capsys.readouterr().err
    assert metrology(*again[:-2], "--halves", "phi") == 0
    said = capsys.readouterr()
    assert "on the other half, which it did not see" in said.out
    assert metrology("compare", "out/half1.expt", "out/half2.expt", "--json") == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared["congruence"]["in_plane_mm"] < 4.0 * found["congruence"]["in_plane_mm"]


def test_validate_refuses(here, refused) -> None:
    given = ("validate", "start.expt", "spots.refl", "-o", "out")
    said = refused(*given, "--halves", "random")
    assert said == "--halves 'random': expected one of odd-even, phi"
    said = refused(*given, "--engine", "newton")
    assert said.startswith("engine 'newton': expected one of")
    write_refl("few.refl", read_refl("spots.refl").select(np.arange(6)))
    said = refused("validate", "start.expt", "few.refl", "-o", "out")
    assert said.startswith("few.refl: all of 3 reflections are rejected as outliers")
