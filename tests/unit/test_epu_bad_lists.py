"""Files of a search: the published lists, tables, summary; all together."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from refimpl.epu.bad_lists import outputs_of, write_outputs
from refimpl.epu.calibration import Calibration
from refimpl.epu.duplicates import Duplicates, find_duplicates
from refimpl.epu.movies import index_movies
from refimpl.epu.session import Session, table_of
from refimpl.errors import ConfigError

NAMES = [f"FoilHole_{7 + k}_Data_1_3_20200206_20000{k}" for k in range(4)]
ENDS = ("_badfiles_jpg.txt", "_badfiles_tiff.txt", ".csv", "_groups.csv", ".json")


def search(*x_um: float, folder: str = "/data/s1/Data") -> Duplicates:
    n = len(x_um)
    table = table_of(
        name=NAMES[:n], path=[f"{folder}/{name}.xml" for name in NAMES[:n]],
        stage_x_um=np.array(x_um), stage_y_um=0.0, beam_shift_x=0.0, beam_shift_y=0.0,
        hole=np.arange(7, 7 + n), square=5, beam_diameter_um=0.95,
    )  # fmt: skip
    return find_duplicates(Session(table=table), Calibration("affine", np.eye(2)))


def test_the_published_lists(tmp_path: Path) -> None:
    write_outputs(search(0.0, 5.0, 0.1, 5.1), tmp_path / "duplicates")
    assert (tmp_path / "duplicates_badfiles_jpg.txt").read_text() == (
        f"/data/s1/Data/{NAMES[2]}.jpg\n/data/s1/Data/{NAMES[3]}.jpg\n"
    )
    assert (tmp_path / "duplicates_badfiles_tiff.txt").read_text() == (
        f"{NAMES[2]}_fractions.tiff\n{NAMES[3]}_fractions.tiff\n"
    )


def test_relative_folders_become_full_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_outputs(search(0.0, 0.1, folder="./Data"), "d")
    assert Path("d_badfiles_jpg.txt").read_text() == f"{tmp_path}/Data/{NAMES[1]}.jpg\n"


def test_movies_that_are_there(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in (f"{NAMES[2]}_Fractions.mrc", f"x_{NAMES[2]}_EER.eer", f"{NAMES[1]}_EER.eer"):
        (raw / name).touch()
    found = search(0.0, 5.0, 0.1, 5.1)
    written = write_outputs(found, tmp_path / "d", movies=index_movies(raw))
    assert tmp_path / "d_badfiles_movies.txt" in written
    assert (tmp_path / "d_badfiles_movies.txt").read_text() == (
        f"{raw}/{NAMES[2]}_Fractions.mrc\n{raw}/x_{NAMES[2]}_EER.eer\n"
    )
    assert (tmp_path / "d_badfiles_tiff.txt").read_text() == (
        f"{raw}/{NAMES[2]}_Fractions.mrc\n{NAMES[3]}_fractions.tiff\n"
    )
    content = json.loads((tmp_path / "d.json").read_text())
    assert content["without_movie"] == [NAMES[3]]
    assert content["badfiles_movies"] == [
        f"{raw}/{NAMES[2]}_Fractions.mrc", f"{raw}/x_{NAMES[2]}_EER.eer",
    ]  # fmt: skip


def test_tables_and_summary(tmp_path: Path) -> None:
    found = search(0.0, 5.0, 0.1, 5.1)
    write_outputs(found, tmp_path / "d")
    table = pd.read_csv(tmp_path / "d.csv")
    assert table["first"].tolist() == NAMES[:2]
    assert table["second"].tolist() == NAMES[2:]
    assert table["first_status"].tolist() == ["kept", "kept"]
    assert table["second_status"].tolist() == ["bad", "bad"]
    assert table["distance_um"].tolist() == pytest.approx([0.1, 0.1])
    assert table["cause"].tolist() == ["revisit", "revisit"]
    assert table["group"].tolist() == [1, 2]
    assert table["x_um"].tolist() == pytest.approx([0.1, 5.1])
    groups = pd.read_csv(tmp_path / "d_groups.csv")
    assert groups["name"].tolist() == [NAMES[0], NAMES[2], NAMES[1], NAMES[3]]
    assert groups["kept"].fillna("").tolist() == ["", NAMES[0], "", NAMES[1]]
    content = json.loads((tmp_path / "d.json").read_text())
    assert content["n_duplicates"] == 2
    assert content["squares"] == [
        {"square": 5, "exposures": 4, "duplicates": 2, "percent": 50.0, "pairs": 2, "repeat": 0,
         "same hole": 0, "same position": 0, "revisit": 2, "neighbour": 0}
    ]  # fmt: skip
    assert {Path(f"{tmp_path}/d{end}") for end in ENDS} == set(tmp_path.iterdir())


def test_no_duplicates_replace_the_lists_of_an_earlier_run(tmp_path: Path) -> None:
    """No file is written, so that a list of files to delete remains from another run."""
    files = outputs_of(tmp_path / "d")
    write_outputs(search(0.0, 0.1), tmp_path / "d")
    files.movies.write_text("/old/movie.tiff\n")
    picture = tmp_path / "d_montage.png"
    picture.write_text("old")
    written = write_outputs(search(0.0, 3.0), tmp_path / "d", pictures=[(picture, lambda _: None)])
    assert files.jpg.read_text() == files.tiff.read_text() == ""
    assert json.loads(files.json.read_text())["n_duplicates"] == 0
    assert files.csv.read_text().startswith("group,first,second,")
    assert not files.movies.exists()
    assert not picture.exists()
    assert written == [files.jpg, files.tiff, files.csv, files.groups, files.json]


def test_a_picture_that_cannot_be_drawn_leaves_all_files_as_they_were(tmp_path: Path) -> None:
    write_outputs(search(0.0, 0.1), tmp_path / "d")
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}

    def fail(path: Path) -> None:
        path.write_text("half")
        raise ConfigError("no such picture")

    with pytest.raises(ConfigError, match="no such picture"):
        write_outputs(search(0.0, 3.0), tmp_path / "d", pictures=[(tmp_path / "m.png", fail)])
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_tables_without_paths_have_names(tmp_path: Path) -> None:
    table = table_of(name=["m1", "m2"], path="", stage_x_um=np.zeros(2), stage_y_um=0.0,
                     beam_shift_x=0.0, beam_shift_y=0.0)  # fmt: skip
    found = find_duplicates(Session(table=table), Calibration("affine", np.eye(2)))
    write_outputs(found, os.fspath(tmp_path / "d"))
    assert (tmp_path / "d_badfiles_jpg.txt").read_text() == "m2.jpg\n"
