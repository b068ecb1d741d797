"""``refimpl epu groups``: from a session to STAR files, and what it says of what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from refimpl.cli.main import main
from refimpl.epu.csv_tables import write_csv
from refimpl.epu.session import Session, table_of
from refimpl.io.star import StarFile, StarTable, read_star, write_star

HOLES = 0.1 * np.array([(x, y) for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)])
STEMS = [f"FoilHole_{i // 2}_Data_{5 + i % 2}_9_20200206_1706{i % 60:02d}" for i in range(54)]
MIDDLE = [stem for i, stem in enumerate(STEMS) if (i // 2) % 9 == 4]
"""Exposures of the hole in the middle, group 1."""


def groups(*arguments: object) -> int:
    return main(["epu", "groups", *(str(a) for a in arguments)])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a session of nine holes, two shots each, three times; and movies."""
    monkeypatch.chdir(tmp_path)
    shots = np.array([(0.008, 0.003), (-0.008, -0.003)])
    points = np.tile((HOLES[:, None] + shots).reshape(-1, 2), (3, 1))
    n = len(points)
    write_csv(Session(table_of(
        name=STEMS, time_s=np.arange(float(n)), beam_shift_x=points[:, 0],
        beam_shift_y=points[:, 1], stage_x_um=np.zeros(n), stage_y_um=np.zeros(n),
        area=[5 + i % 2 for i in range(n)], pixel_size_angstrom=0.87, voltage_kv=300.0,
        uid=[f"u{i}" for i in range(n)],
    )), "session.csv")  # fmt: skip
    (tmp_path / "Movies").mkdir()
    for stem in STEMS[:-1]:
        (tmp_path / "Movies" / f"{stem}_EER.eer").touch()
    return tmp_path


@pytest.fixture
def micrographs(here: Path) -> Path:
    """Micrographs as RELION's CTF job writes them, one group with refined aberrations."""
    optics = StarTable.of("optics", {"rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1],
                                     "rlnVoltage": [300.0], "rlnBeamTiltX": [0.25]})  # fmt: skip
    names = [f"MotionCorr/job002/Movies/{stem}_EER.mrc" for stem in STEMS]
    rows = StarTable.of("micrographs", {"rlnMicrographName": names, "rlnOpticsGroup": [1] * 54,
                                        "rlnDefocusU": np.linspace(5e3, 2e4, 54)})  # fmt: skip
    return write_star("micrographs_ctf.star", StarFile((optics, rows)))


def test_movies_of_a_session(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert groups("session.csv", "--movies", "Movies", "-o", "movies.star") == 0
    said = capsys.readouterr().out
    assert "54 exposures in 9 groups of 6 (beam shift: auto, holes)" in said
    assert f"exposures without a movie, left out: 1 ({STEMS[-1]})" in said
    star = read_star("movies.star")
    movies = star.table("movies")
    assert len(movies) == 53
    assert len(star.table("optics")) == 9
    found = dict(zip(movies.column("rlnMicrographMovieName"), movies.column("rlnOpticsGroup"),
                     strict=True))  # fmt: skip
    assert {found[f"Movies/{stem}_EER.eer"] for stem in MIDDLE} == {"1"}
    assert list(found.values()).count("1") == 6


def test_numbers_for_machines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert groups("session.csv", "--movies", "Movies", "-o", "m.star", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["grouping"]["n_groups"] == 9
    assert said["grouping"]["groups"][0] | {"beam_shift": 0} == {
        "id": 1, "name": "opticsGroup1", "n_exposures": 6, "beam_shift": 0,
        "pixel_size_angstrom": 0.87, "voltage_kv": 300.0,
    }  # fmt: skip
    assert (said["rows"], said["missing"], said["files"]) == (53, [STEMS[-1]], ["m.star"])


@pytest.mark.parametrize(
    ("options", "n"),
    [(["--level", "shots"], 18), (["--by", "area"], 2), (["--method", "kmeans", "-n", "9"], 9),
     (["--method", "hac", "-n", "3"], 3), (["--method", "dbscan", "--eps", "0.03"], 9)],
)  # fmt: skip
def test_ways_to_group(here: Path, options: list[str], n: int) -> None:
    assert groups("session.csv", "--prefix", "raw", "-o", "m.star", *options) == 0
    star = read_star("m.star")
    assert len(star.table("optics")) == n
    assert star.table("movies").column("rlnMicrographMovieName")[0].startswith("raw/FoilHole_")


def test_groups_of_a_session_into_a_file_that_exists(
    here: Path, micrographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert groups("session.csv", "--star", micrographs, "-o", "grouped.star") == 0
    assert "54 of 54 rows grouped, of 54 exposures" in capsys.readouterr().out
    star = read_star("grouped.star")
    assert star.table("optics").column("rlnBeamTiltX") == ["0.250000"] * 9
    rows = star.table("micrographs")
    names, numbers = rows.column("rlnMicrographName"), rows.integers("rlnOpticsGroup")
    assert {g for name, g in zip(names, numbers, strict=True) if STEMS.index(
        Path(name).name.removesuffix("_EER.mrc")) // 2 % 9 == 4} == {1}  # fmt: skip
    assert rows.column("rlnDefocusU") == read_star(micrographs).table("micrographs").column(
        "rlnDefocusU"
    )


def test_groups_of_one_file_into_another(here: Path, micrographs: Path) -> None:
    assert groups("session.csv", "--prefix", "Movies", "--suffix", "_EER.eer", "-o", "m.star",
                  "--group-name", "g") == 0  # fmt: skip
    assert groups("--from", "m.star", "--star", micrographs, "-o", "c.star") == 0
    star = read_star("c.star")
    assert star.table("optics").column("rlnOpticsGroupName")[8] == "g9"
    direct = here / "d.star"
    assert groups("session.csv", "--star", micrographs, "-o", direct) == 0
    assert read_star(direct).table("micrographs").rows == star.table("micrographs").rows


def test_bad_micrographs_go_and_the_optics_stay(
    here: Path, micrographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.txt").write_text("".join(f"/data/x/{stem}.jpg\n" for stem in [*MIDDLE, "none"]))
    assert groups("session.csv", "--star", micrographs, "-o", "all.star") == 0
    capsys.readouterr()
    assert groups("--drop", "bad.txt", "--star", "all.star", "-o", "clean.star") == 0
    said = capsys.readouterr().out
    assert "6 of 54 rows left out, of 6 micrographs" in said
    assert "names of the list that are not in the file: 1 (none)" in said
    assert "1 of 9 optics groups have no micrographs; they stay in the table" in said
    clean = read_star("clean.star")
    assert len(clean.table("optics")) == 9
    assert len(clean.table("micrographs")) == 48
    assert groups("--drop", "bad.txt", "--star", "all.star", "-o", "p.star", "--prune") == 0
    pruned = read_star("p.star")
    assert pruned.table("optics").integers("rlnOpticsGroup").tolist() == list(range(1, 9))
    assert min(pruned.table("micrographs").integers("rlnOpticsGroup")) == 1


def test_bad_micrographs_stay_out_of_new_files(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.txt").write_text(f"{STEMS[0]}_fractions.tiff\nother.tiff\n")
    assert groups("session.csv", "--movies", "Movies", "-o", "m.star", "--cryosparc", "g.csv",
                  "--drop", "bad.txt") == 0  # fmt: skip
    said = capsys.readouterr().out
    assert "exposures of the list left out: 1" in said
    assert "names of the list that are of no exposure: 1 (other)" in said
    assert "movies of no exposure" not in said
    assert STEMS[0] not in Path("m.star").read_text()
    lines = Path("g.csv").read_text().splitlines()
    assert lines[0] == "stem,exp_group_id,epu_uid,group_beam_shift_x,group_beam_shift_y"
    assert len(lines) == 54
    assert {line.split(",")[1] for line in lines[1:] if line.split(",")[0] in MIDDLE} == {"1"}


def test_movies_that_no_exposure_is_of_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("Movies", "FoilHole_99_Data_5_9_20200206_180000_EER.eer").touch()
    assert groups("session.csv", "--movies", "Movies", "-o", "m.star") == 0
    assert "movies of no exposure: 1 (Movies/FoilHole_99_Data" in capsys.readouterr().out


def test_a_file_with_groups_is_replaced_only_when_asked(
    here: Path, micrographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert groups("session.csv", "--star", micrographs, "-o", "a.star") == 0
    again = ("session.csv", "--by", "area", "--star", "a.star", "-o", "b.star")
    capsys.readouterr()
    assert groups(*again) == 2
    assert "9 optics groups are there already" in capsys.readouterr().err
    assert not Path("b.star").exists()
    assert groups(*again, "--replace") == 0
    assert len(read_star("b.star").table("optics")) == 2


REFUSED = {
    "nothing to group": (["-o", "m.star"], "nothing to group"),
    "nothing to write": (["session.csv"], "nothing to write"),
    "two sources": (["session.csv", "--from", "ctf.star", "-o", "m.star"], "give one of them"),
    "no names": (["session.csv", "-o", "m.star"], "says nothing of movies: give --movies DIR"),
    "both names": (["session.csv", "--movies", "Movies", "--prefix", "x", "-o", "m.star"],
                   "--movies and --prefix: give one of them"),
    "in place": (["session.csv", "--star", "micrographs_ctf.star", "-o", "micrographs_ctf.star"],
                 "-o is the file that is read"),
    "no output": (["session.csv", "--star", "micrographs_ctf.star", "--cryosparc", "g.csv"],
                  "--star needs -o FILE"),
    "new optics": (["session.csv", "--star", "micrographs_ctf.star", "-o", "a.star", "--mtf", "x"],
                   "--mtf is for a new STAR file"),
    "no target": (["--from", "micrographs_ctf.star", "-o", "a.star"], "needs --star"),
    "groups of nothing": (["--drop", "session.csv", "--star", "micrographs_ctf.star", "-o",
                           "a.star", "--cryosparc", "g.csv"], "needs a session or --from"),
    "replace what": (["session.csv", "--prefix", "x", "-o", "a.star", "--replace"],
                     "for a file given with --star"),
    "prune what": (["session.csv", "--cryosparc", "g.csv", "--prune"], "--prune is for a STAR"),
    "by what": (["session.csv", "--prefix", "x", "-o", "a.star", "--by", "hole"],
                "expected beam-shift or area"),
    "no folder": (["session.csv", "--prefix", "x", "-o", "no/a.star"], "does not exist"),
    "no STAR": (["session.csv", "--star", "session.csv", "-o", "a.star"], "not a STAR file"),
    "too many": (["session.csv", "--prefix", "x", "-o", "a.star", "--method", "kmeans", "-n",
                  "55"], "55 clusters of 54 points"),
    "cs": (["session.csv", "--prefix", "x", "-o", "a.star", "--cs-mm", "-1"], "cs_mm -1: expected"),
    "no movies": (["session.csv", "--movies", "empty", "-o", "a.star"], "no such folder of movies"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing(
    case: str, here: Path, micrographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, message = REFUSED[case]
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    assert groups(*arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert said.out == ""
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*")} == before


def test_no_level_is_no_convergence(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = default_rng(0).uniform(size=(2, 200))
    table = table_of(beam_shift_x=x, beam_shift_y=y, stage_x_um=x, stage_y_um=y,
                     pixel_size_angstrom=1.0, voltage_kv=300.0)  # fmt: skip
    write_csv(Session(table), "lacey.csv")
    assert groups("lacey.csv", "--prefix", "x", "-o", "a.star") == 4
    assert "state the number of clusters, or use dbscan" in capsys.readouterr().err
    assert not Path("a.star").exists()


@pytest.mark.parametrize("options", [[], ["--method", "kmeans", "-n", "21"],
                                     ["--method", "hac", "-n", "21"]])  # fmt: skip
def test_the_real_session_gives_the_published_files(
    options: list[str], tmp_path: Path, real_data: Callable[[str], Path]
) -> None:
    folder = real_data("epu-afis")
    out = tmp_path / "movies.star"
    assert groups(folder, "--prefix", "/nonexistent", "--pixel-size-angstrom", 1.0, "--mtf",
                  "MTF.star", "-o", out, *options) == 0  # fmt: skip
    ours = read_star(out)
    assert set(np.bincount(ours.table("movies").integers("rlnOpticsGroup"))[1:]) == {9}
    for published in ("kmeans.star", "hac.star"):
        theirs = read_star(folder / published)
        assert len(theirs.table("optics")) == 21
        assert ours.names == theirs.names
        for table in theirs.tables:
            found = ours.table(table.name)
            assert found.columns == table.columns
            for column in table.columns:
                assert found.column(column) == table.column(column), (published, column)


def test_the_real_session_tells_its_optics(
    tmp_path: Path, real_data: Callable[[str], Path]
) -> None:
    out = tmp_path / "movies.star"
    assert groups(real_data("epu-afis"), "--prefix", "Movies", "-o", out) == 0
    optics = read_star(out).table("optics")
    assert set(optics.column("rlnMicrographOriginalPixelSize")) == {"0.870768"}
    assert set(optics.column("rlnVoltage")) == {"300.000000"}
    assert "rlnMtfFileName" not in optics
