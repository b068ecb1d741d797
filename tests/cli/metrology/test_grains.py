"""``refimpl metrology grains`` on ruby, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from refimpl.cli.main import main
from refimpl.io.dials_files import read_expt


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


RUBY = ("--unit-cell", "4.7608,4.7608,12.99568,90,90,120")


def test_grains(real_data, tmp_path, monkeypatch, capsys) -> None:
    """Ruby: at least 20 % below the published geometry on grains that panels were not fitted to."""
    monkeypatch.chdir(tmp_path)
    picks = real_data("ff-ruby-dexela-hexrd/picks/dual_dexelas_composite.yml")
    table = real_data("ff-ruby-dexela-hexrd/composite_fit_grains_grains.out")
    given = (picks, "--picks", picks.parent, "--grains", table, *RUBY, "-o", "out")
    assert metrology("grains", *given, "--degree", "2", "--cross-validate", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(Path("out/result.json").read_text())
    assert found["n_spots"] + found["n_left_out"] == 734
    scores = [found["rmsd"][name]["rmsd_mm"] for name in ("published", "held_out", "refined")]
    assert np.all(np.array(scores[1]) < 0.8 * np.array(scores[0]))
    assert np.all(np.array(scores[2]) < scores[1])
    (refined,) = read_expt("out/refined.expt")
    assert len(refined.detector) == found["n_panels"] == 8
    assert {p["name"] for p in found["parameters"]} >= {"chi", "ff1.shift_fast_mm", "grain3.y_mm"}


def test_grains_refuse(real_data, tmp_path, monkeypatch, refused) -> None:
    monkeypatch.chdir(tmp_path)
    picks = real_data("ff-ruby-dexela-hexrd/picks/dual_dexelas_composite.yml")
    table = real_data("ff-ruby-dexela-hexrd/composite_fit_grains_grains.out")
    good = ("grains", picks, "--picks", picks.parent, "--grains", table, "-o", "out")
    said = refused(*good, "--unit-cell", "4,5")
    assert said == "--unit-cell '4,5': expected six numbers a,b,c,alpha,beta,gamma"
    said = refused(*good, "--unit-cell", "4,4,13,20,20,170")
    assert said.endswith("there is no such cell")
    said = refused(*good, *RUBY, "--fix", "grain7.")
    assert said == "cannot hold 'grain7.': no parameter is called so or begins so"
    np.save("one.npy", np.zeros((1, 12)))
    few = ("grains", picks, "--picks", picks.parent, "--grains", "one.npy", *RUBY, "-o", "out")
    assert "one.npy: 1 grains where" in refused(*few)
    none = ("grains", picks, "--picks", ".", "--grains", table, *RUBY, "-o", "out")
    assert refused(*none).endswith("no file NAME_picks.npz in this folder")
