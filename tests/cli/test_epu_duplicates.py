"""``refimpl epu duplicates``: from a folder of EPU to the lists of what is to be dropped."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from epu_folder import epu, xml_files

from refimpl.epu.csv_tables import write_csv
from refimpl.epu.session import read_session
from refimpl.epu.simulate import Simulated

NAMES = {"duplicates" + end for end in (
    ".csv", ".json", "_badfiles_jpg.txt", "_badfiles_tiff.txt", "_groups.csv")}  # fmt: skip


@pytest.fixture
def bad(small_epu: tuple[Path, Simulated]) -> list[str]:
    """Names of the true duplicates, in the order of time."""
    table = small_epu[1].session.table
    return table["name"][small_epu[1].truth.bad].tolist()


def as_json(capsys, *arguments: object) -> dict[str, object]:
    capsys.readouterr()
    assert epu("duplicates", *arguments, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert isinstance(content, dict)
    return content


# ------------------------------------------------------------------------------ the whole way


@pytest.mark.parametrize("method", ["auto", "lattice", "metadata"])
def test_the_true_duplicates_are_found(folder, bad, small_epu, capsys, method: str) -> None:
    found = as_json(capsys, folder, "--radius", "fixed:0.2", "--method", method)
    assert found["bad"] == bad
    assert found["n_duplicates"] == len(bad) == 84
    assert found["n_exposures"] == 239
    # 1 %: the lattice rests on some hundred holes with 45 nm of scatter
    assert found["k"] == pytest.approx(24.4, rel=0.01)
    assert np.array(found["matrix"]) == pytest.approx(small_epu[1].truth.matrix_um, abs=0.25)
    assert found["rms_um"] is not None
    assert list(Path().iterdir()) == []  # --json alone writes nothing


def test_files_and_words(folder, bad, capsys) -> None:
    assert epu("duplicates", folder) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "84 of 239 exposures (35.15 %) are duplicates: " in said.out
    assert "Radius of the search: 0.2 um (fixed)." in said.out
    assert {path.name for path in Path().iterdir()} == NAMES
    assert all(f"wrote {name}" in said.out for name in NAMES)
    jpg = Path("duplicates_badfiles_jpg.txt").read_text().splitlines()
    assert [Path(line).name for line in jpg] == [f"{name}.jpg" for name in bad]
    assert all(Path(line).with_suffix(".xml").is_file() for line in jpg)
    tiff = Path("duplicates_badfiles_tiff.txt").read_text().splitlines()
    assert tiff == [f"{name}_fractions.tiff" for name in bad]
    with open("duplicates.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["second"] for row in rows if row["second_status"] == "bad"} == set(bad)
    assert json.loads(Path("duplicates.json").read_text())["bad"] == bad


def test_the_prefix_names_the_folder_too_and_json_goes_with_it(folder, bad, capsys) -> None:
    Path("out").mkdir()
    found = as_json(capsys, folder, "-o", "out/s7")
    assert found["bad"] == bad
    assert Path("out/s7_badfiles_tiff.txt").exists()
    assert list(Path().iterdir()) == [Path("out")]


def test_movies_under_rawdata(folder, bad, capsys) -> None:
    raw = Path("raw/deep")
    raw.mkdir(parents=True)
    (raw / f"{bad[0]}_EER.eer").touch()
    (raw / f"x_{bad[2]}_Fractions.MRC").touch()
    assert epu("duplicates", folder, "--rawdata", "raw") == 0
    said = capsys.readouterr().out
    here = Path.cwd()
    assert Path("duplicates_badfiles_movies.txt").read_text().splitlines() == [
        f"{here}/raw/deep/{bad[0]}_EER.eer", f"{here}/raw/deep/x_{bad[2]}_Fractions.MRC",
    ]  # fmt: skip
    assert "2 files of the duplicates are under raw." in said
    assert f"82 of 84 duplicates have none there: {bad[1]}, {bad[3]}" in said
    found = as_json(capsys, folder, "--rawdata", "raw")
    assert found["badfiles_movies"] == [
        f"{here}/raw/deep/{bad[0]}_EER.eer", f"{here}/raw/deep/x_{bad[2]}_Fractions.MRC",
    ]  # fmt: skip


def test_pictures_and_the_page(folder, capsys) -> None:
    arguments = ("--montage", "--rescale", "--montage-limit", 3, "--map", "--report", "page")
    assert epu("duplicates", folder, *arguments) == 0
    said = capsys.readouterr().out
    assert "montage: 3 cases in duplicates_montage.png" in said
    assert "81 more are over the limit and left out" in said
    for name in ("duplicates_montage.png", "duplicates_map.png"):
        assert Path(name).read_bytes().startswith(b"\x89PNG")
    assert Path("page/report.html").is_file()
    assert epu("duplicates", folder, "--resize", "--montage-file", "m.png", "-o", "again") == 0
    assert Path("m.png").is_file()
    assert not Path("again_montage.png").exists()


def test_without_duplicates_old_pictures_go(folder, capsys) -> None:
    Path("duplicates_montage.png").write_text("old")
    assert epu("duplicates", folder, "--radius", "0.001", "--montage") == 0
    said = capsys.readouterr().out
    assert "No duplicates: no two exposures are that close." in said
    assert "No montage: there are no duplicates." in said
    assert not Path("duplicates_montage.png").exists()
    assert Path("duplicates_badfiles_jpg.txt").read_text() == ""


def test_a_table_gives_what_the_folder_gives(folder, bad, capsys) -> None:
    write_csv(read_session(folder), "table.csv")
    shutil.copy("table.csv", "table.txt")
    given = ("--method", "lattice", "--spacing", "2.5")
    assert as_json(capsys, "table.csv", *given)["bad"] == bad
    assert as_json(capsys, "table.txt", "--csv", *given)["bad"] == bad


def test_a_cache_gives_the_same_without_opening_a_file(folder, bad, capsys, monkeypatch) -> None:
    from refimpl.io.epu_templates import EpuReader

    given = ("--method", "lattice", "--cache", "seen.csv")
    assert as_json(capsys, folder, *given)["bad"] == bad
    monkeypatch.setattr(EpuReader, "read_file", lambda *_: 1 / 0)
    assert as_json(capsys, folder, *given)["bad"] == bad


def test_order_of_files_and_another_place_change_nothing(folder, capsys) -> None:
    first = as_json(capsys, folder)
    shutil.copytree(folder, "elsewhere")
    for path in xml_files(Path("elsewhere"))[::-1]:  # another order in the folder
        path.rename(path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
    again = as_json(capsys, "elsewhere")
    for key in ("bad", "kept", "k", "matrix", "causes", "squares"):
        assert again[key] == first[key]


# --------------------------------------------------------------------- calibration and radius


def test_a_calibration_that_is_not_decided_is_noted(folder, capsys) -> None:
    """Five places of the stage: the next lattice fits nearly as well, and is told to."""
    assert epu("calibrate", folder, "--method", "lattice", "-o", "c.json") == 0
    content = json.loads(Path("c.json").read_text())
    for decided in (True, False):
        Path("c.json").write_text(json.dumps(content | {"decided": decided}))
        capsys.readouterr()
        assert epu("duplicates", folder, "--calibration", "c.json", "--json") == 0
        note = "note: the calibration is not decided: see its notes\n"
        assert capsys.readouterr().err == ("" if decided else note)


def test_a_calibration_is_carried_over(folder, bad, capsys) -> None:
    assert epu("calibrate", folder, "-o", "titan.json") == 0
    assert as_json(capsys, folder, "--calibration", "titan.json")["bad"] == bad


def test_a_calibration_of_another_microscope_is_noted(folder, capsys) -> None:
    assert epu("calibrate", folder, "-o", "titan.json") == 0
    content = json.loads(Path("titan.json").read_text())
    content |= {"magnification": 130000.0, "instrument": "OTHER-1"}
    Path("titan.json").write_text(json.dumps(content))
    capsys.readouterr()
    assert epu("duplicates", folder, "--calibration", "titan.json") == 0
    assert capsys.readouterr().err.splitlines() == [
        "note: titan.json is for 130000 x, the session has 96000 x",
        "note: titan.json is for OTHER-1, the session is of SIMULATED",
    ]


def test_a_given_matrix_or_its_parts(folder, bad, small_epu, capsys) -> None:
    matrix = small_epu[1].truth.matrix_um
    text = ",".join(repr(float(x)) for x in matrix.ravel())
    found = as_json(capsys, folder, "--matrix", text)
    assert found["matrix"] == matrix.tolist()
    assert found["bad"] == bad
    # without the anisotropy of 1.2 %: 0.1 um at the rim of a pattern
    turned = as_json(capsys, folder, "--k", 24.4, "--rotation-deg", 26.7, "--mirror")
    assert turned["method"] == "affine"
    assert len(set(turned["bad"]) ^ set(bad)) <= 5


def test_k_alone_is_the_scalar_that_misses_what_only_a_matrix_sees(folder, bad, capsys) -> None:
    found = as_json(capsys, folder, "--k", 24.4)
    assert found["method"] == "scalar"
    assert found["matrix"] == [[24.4, 0.0], [0.0, 24.4]]
    assert found["bad"] != bad


def test_scalar_with_the_clusters_of_the_published_first_run(folder, capsys) -> None:
    given = ("--method", "scalar", "--spacing", "2.5", "--rule", "edge_mean", "--clusters", 21)
    found = as_json(capsys, folder, *given, "--max_iter", 300, "--n_init", 10)
    assert found["method"] == "scalar"
    assert found["k"] == pytest.approx(24.4, rel=0.02)


def test_options_of_find_dupl_that_mean_the_same(folder, capsys) -> None:
    ours = as_json(capsys, folder, "--radius", "fixed:0.3", "--k", 24.5, "-o", "ours")
    theirs = as_json(capsys, "--epudata", folder, "--rad", 0.3, "--k", 24.5, "--o", "theirs")
    assert ours["bad"] == theirs["bad"]
    ends = ("_badfiles_jpg.txt", "_badfiles_tiff.txt")
    assert all(Path(f"ours{e}").read_text() == Path(f"theirs{e}").read_text() for e in ends)


def test_radius_rules_and_shots_of_one_hole(folder, bad, capsys) -> None:
    """Two shots 0.75 um apart: within 0.9 of the beam's diameter, not of its radius."""
    wide = as_json(capsys, folder, "--radius", "beam:0.9")
    assert wide["radius_um"] == pytest.approx(0.855)
    assert wide["causes"]["same hole"] > 50
    ignoring = as_json(capsys, folder, "--radius", "beam:0.9", "--ignore-same-hole")
    assert ignoring["causes"]["same hole"] == 0
    assert set(bad) <= set(ignoring["bad"])
    assert as_json(capsys, folder, "--radius", "beam-radius:0.9")["radius_um"] == pytest.approx(
        0.4275
    )
