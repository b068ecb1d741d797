"""``refimpl metrology index``: crystals, scans, and what it refuses."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.crystal.reduction import basis_of_cell
from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl
from refimpl.rotations import expmap
from refimpl.testing.lattice_spots import lattice_spots, small_experiment

CELL = (38.0, 47.0, 61.0, 82.0, 95.0, 104.0)
KNOWN = ("--unit-cell", "38,47,61,82,95,104", "--set", "n_grid=96", "--set", "macro_cycles=1")
BASIS = basis_of_cell(CELL) @ expmap(np.array([0.4, -1.1, 0.7]))


def metrology(*arguments: object) -> int:
    return main(["metrology", *(str(a) for a in arguments)])


@pytest.fixture
def two_scans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One crystal in two scans, and in each of them another one."""
    monkeypatch.chdir(tmp_path)
    other = BASIS @ expmap(np.array([-0.6, 0.3, 0.5]))
    first = small_experiment()
    scan = replace(first.scan, oscillation_deg=(80.0, 0.5))
    for name, experiment, seed in (("a", first, 0), ("b", replace(first, scan=scan), 2)):
        parts = [
            lattice_spots(basis, most=most, seed=seed + k, experiment=experiment).table
            for k, (basis, most) in enumerate([(BASIS, 300), (other, 180)])
        ]
        columns = {n: np.concatenate([p[n] for p in parts]) for n in parts[0].columns}
        write_expt(f"{name}.expt", [replace(experiment, identifier=name)])
        write_refl(f"{name}.refl", replace(parts[0], columns=columns))
    return tmp_path


def test_two_scans_and_two_crystals(two_scans, capsys) -> None:
    given = ("index", "a.expt", "a.refl", "b.expt", "b.refl", "--max-lattices", "2", *KNOWN)
    assert metrology(*given, "-o", "ix", "--threads", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_spots"] == 960
    assert [e["identifier"] for e in found["experiments"]][:2] == ["a", "b"]
    assert [e["n_indexed"] > 250 for e in found["experiments"]] == [True, True, False, False]
    assert sum(e["n_indexed"] for e in found["experiments"]) == found["n_indexed"] > 940
    assert found["notes"] == []
    experiments, table = read_expt("ix/indexed.expt"), read_refl("ix/indexed.refl")
    assert experiments[0].crystal is experiments[1].crystal
    assert experiments[2].crystal is experiments[3].crystal
    # equal in both files, so one from the start
    assert len({id(e.detector) for e in experiments}) == 1
    assert table.identifiers[1] == "b"
    assert np.bincount(table["imageset_id"]).tolist() == [480, 480]
    # 3e-3: 0.2 px of errors in 960 spots
    np.testing.assert_allclose(found["cell"], CELL, rtol=3e-3)
    log = Path("ix/index.log").read_text()
    assert "crystal 2: " in log
    assert metrology(*given, "-o", "ix", "--threads", "2", "--json") == 0
    assert "done before with the same input and settings" in capsys.readouterr().err


def test_each_scan_on_its_own(two_scans, capsys) -> None:
    spots = read_refl("b.refl")
    write_refl("few.refl", spots.select(np.arange(7)))
    given = ("index", "a.expt", "a.refl", "b.expt", "few.refl", *KNOWN, "--separate", "-o", "ix")
    assert metrology(*given) == 0
    said = capsys.readouterr().out
    assert "of 487 spots indexed" in said
    assert "experiment 1: 7 spots: indexing needs at least 20\n" in said
    assert len(read_expt("ix/indexed.expt")) == 1


def test_what_index_refuses(two_scans, refused) -> None:
    said = refused("index", "a.expt", "b.expt", "a.refl", "-o", "x")
    assert said == "2 experiment files and 1 of reflections: expected as many .expt as .refl"
    said = refused("index", "a.expt", "a.refl", "--max-lattices", "0", "-o", "x")
    assert said == "max_lattices = 0: expected at least 1"
    said = refused("index", "a.expt", "a.refl", "--threads", "0", "-o", "x")
    assert said.startswith("threads=0: expected a positive number")
    wrong = (*KNOWN[2:], "--unit-cell", "90,91,92,90,90,90")
    said = refused("index", "a.expt", "a.refl", *wrong, "-o", "x", code=4)
    assert said.startswith("no lattice matches unit cell 90.00 91.00 92.00 90.00 90.00 90.00 ")
    write_refl("few.refl", read_refl("a.refl").select(np.arange(12)))
    said = refused("index", "a.expt", "few.refl", "-o", "x")
    assert said == "few.refl: 12 spots: indexing needs at least 20"


def test_a_pickle_is_never_loaded(two_scans, refused) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (Path("loaded"),))

    for name in ("bad.refl", "bad.npz"):
        Path(name).write_bytes(pickle.dumps(Trap()))
        assert refused("index", "a.expt", name, "-o", "x").startswith(f"{name}: ")
    Path("bad.expt").write_bytes(pickle.dumps(Trap()))
    assert refused("index", "bad.expt", "a.refl", "-o", "x").startswith("bad.expt: ")
    assert refused("find-spots", "bad.expt", "-o", "x").startswith("bad.expt: ")
    assert not Path("loaded").exists()


def printed(capsys: pytest.CaptureFixture[str]) -> dict:
    captured = capsys.readouterr()
    return json.loads(captured.out)


@pytest.mark.slow
def test_index(real_data, tmp_path, monkeypatch, capsys) -> None:
    """th82 with the tutorial's command: at least 13,804 of 13,805."""
    monkeypatch.chdir(tmp_path)
    files = [real_data(f"metrology/index/i04_60_{n}") for n in ("imported.expt", "strong.refl")]
    known = ("--space-group", "P4", "--unit-cell", "57.8,57.8,150,90,90,90")
    assert metrology("index", *files, *known, "-o", "ix", "--json") == 0
    found = printed(capsys)
    assert found["n_indexed"] >= 13_804
    assert found["cell"][0] == pytest.approx(57.78, abs=0.02)
    assert {p.name for p in Path("ix").iterdir()} == {
        "indexed.expt", "indexed.refl", "index.log", "index.json", "done.json",
    }  # fmt: skip


def test_a_cell_that_does_not_match(real_data, here, refused) -> None:
    files = [real_data(f"metrology/index/i04_60_{n}") for n in ("imported.expt", "strong.refl")]
    wrong = ("--space-group", "P4", "--unit-cell", "91,91,35,90,90,90")
    said = refused("index", *files, *wrong, "-o", "ix", code=4)
    assert "cell" in said
