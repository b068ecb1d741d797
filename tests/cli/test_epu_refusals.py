"""``refimpl epu``: every refusal is one line and exit 2; nothing is written, nothing changes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from epu_folder import epu, small_session, some_of

from refimpl.epu.csv_tables import write_csv
from refimpl.epu.session import Session, table_of


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("epu") / "session"
    small_session(folder)
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work beside the first 30 exposures of a session, S."""
    monkeypatch.chdir(tmp_path)
    some_of(made, Path("S"), 30)
    return tmp_path


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line with which a command refuses; no file is made or changed."""

    def run(*arguments: object, code: int = 2) -> str:
        before = {p: p.stat().st_mtime_ns for p in here.rglob("*") if p.is_file()}
        capsys.readouterr()
        assert epu(*arguments) == code
        said = capsys.readouterr()
        assert said.out == ""
        lines = [line for line in said.err.splitlines() if not line.startswith("note:")]
        assert len(lines) == 1, said.err
        assert {p: p.stat().st_mtime_ns for p in here.rglob("*") if p.is_file()} == before
        return lines[0].removeprefix("refimpl: ")

    return run


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--method", "magic"), "--method 'magic': expected one of auto, scalar, affine, meta"),
        (("--k", "24", "--method", "lattice"), "--k with --method lattice, which finds it itself"),
        (("--k", "24", "--matrix", "1,0,0,1"), "--matrix and --k: one of them"),
        (("--matrix", "1,0,0,1", "--mirror"), "--matrix and --mirror: one of them"),
        (("--matrix", "1,0,0,1", "--method", "scalar"), "--matrix with --method scalar: a given m"),
        (("--matrix", "1,0,0"), "--matrix '1,0,0': expected four numbers, A,B,C,D"),
        (("--matrix", "1,0,0,x"), "--matrix '1,0,0,x': expected four numbers, A,B,C,D"),
        (("--matrix", "1,1,1,1"), "calibration: matrix [[1.0, 1.0], [1.0, 1.0]]: expected 2 x 2"),
        (("--rotation-deg", "3"), "--rotation-deg without --k: there is nothing to turn"),
        (("--mirror",), "--mirror without --k: there is nothing to turn"),
        (("--method", "affine"), "--method affine: expected --matrix, or --k with --rotation-deg"),
        (("--method", "scalar", "--k", "24", "--mirror"), "--method scalar knows neither --rot"),
        (("--k", "0"), "k 0: expected a positive number"),
        (("--k", "-3", "--mirror"), "k -3: expected a positive number"),
        (("--method", "scalar"), "method scalar: expected k, or the spacing of the holes"),
        (("--clusters", "9"), "--clusters is of --method scalar without --k"),
        (("--rule", "min"), "--rule is of --method scalar without --k"),
        (("--method", "scalar", "--spacing", "2.5", "--rule", "mean"), "rule 'mean': expected one"),
        (("--max_iter", "300"), "--max_iter is of k-means: it goes with --clusters N"),
        (("--n_init", "10"), "--n_init is of k-means: it goes with --clusters N"),
        (("--spacing", "2.5", "--k", "24"), "--spacing does not act"),
        (("--spacing", "-2"), "--spacing -2: expected > 0"),
        (("--method", "scalar", "--spacing", "2.5", "--clusters", "99"), "99 clusters"),
        (("--calibration", "c.json", "--k", "24"), "--calibration FILE and --k: one of them"),
        (("--calibration", "c.json", "--method", "lattice"), "--calibration FILE and --method: "),
        (("--calibration", "none.json"), "none.json: cannot read: No such file or directory"),
        (("--calibration", "text.json"), "text.json: not JSON: "),
        (("--calibration", "other.json"), "other.json: not a calibration of beam shifts"),
        (("--csv",), "S: "),
        (("--csv", "--cache", "c.csv"), "--cache keeps what was read of a folder"),
        (("--cache", "no/c.csv"), "the folder no does not exist"),
        (("--cache", "text.json"), "text.json: not a cache of refimpl"),
        (("-o", "no/where"), "cannot write: the folder no does not exist"),
    ],
)
@pytest.mark.parametrize("command", ["duplicates", "calibrate"])
def test_options_of_the_calibration(refused, command: str, arguments, said: str) -> None:
    Path("text.json").write_text("no json")
    Path("other.json").write_text('{"kind": "else"}')
    assert said in refused(command, "S", *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "duplicates: expected SESSION, the folder of an EPU session"),
        (("S", "--epudata", "S"), "SESSION and --epudata: one of them"),
        (("S", "--radius", "0.2", "--rad", "0.2"), "--radius and --rad: one of them"),
        (("S", "--radius", "disc:1"), "radius 'disc:1': expected fixed:UM, beam:FACTOR, beam-radi"),
        (("S", "--rad", "-1"), "radius 'fixed:-1.0': expected fixed:UM"),
        (("S", "--rad", "nan"), "radius 'fixed:nan': expected fixed:UM"),
        (("S", "--montage-limit", "3"), "--montage-limit goes with --montage"),
        (("S", "--montage-file", "m.png"), "--montage-file goes with --montage"),
        (("S", "--resize", "--montage-file", "duplicates.json"), "--montage-file duplicates.json"),
        (("S", "--montage", "--montage-file", "no/m.png"), "the folder no does not exist"),
        (("S", "-o", "S/"), "-o 'S/': expected the start of file names, for instance S/duplicates"),
        (("S", "--rawdata", "raw"), "raw: no such folder of movies"),
        (("S", "--report", "text.json/page"), "text.json/page: cannot make the folder: "),
        (("S", "--watch", "0"), "interval 0 s: expected > 0"),
        (("S", "--watch", "5", "--strict"), "--strict with --watch: a file that is half-written"),
        (("S", "--watch", "5", "--cache", "c"), "--cache with --watch, which reads each file once"),
        (("nowhere",), "nowhere: the session folder does not exist"),
        (("text.json",), "text.json: the session folder is a file, a folder is needed"),
        (("empty",), "empty: no exposure (FoilHole_*_Data_*.xml) in this folder"),
        (("none.csv",), "none.csv: "),
        (("S", "--compat", "--json"), "--json with --compat, which takes find_dupl's options a"),
        (("S", "--compat", "--map"), "--map with --compat"),
        (("S", "--compat", "--method", "lattice"), "--method with --compat"),
        (("S", "--compat", "--radius", "0.2"), "--radius with --compat"),
        (("S", "--compat", "--ignore-same-hole"), "--ignore-same-hole with --compat"),
        (("S", "--k", "many"), "Invalid value for '--k': "),
        (("S", "--oops"), "No such option: --oops"),
        (("S", "T"), "unexpected extra argument(s) (T)"),
    ],
)
def test_options_of_duplicates(refused, arguments, said: str) -> None:
    Path("text.json").write_text("{}")
    Path("empty").mkdir()
    assert said in refused("duplicates", *arguments)


def test_a_radius_that_holds_everything(refused, monkeypatch) -> None:
    monkeypatch.setattr("refimpl.epu.pairs.MOST_PAIRS", 400)  # 30 exposures are no crowd
    said = refused("duplicates", "S", "--k", 24, "--rad", 50000)
    assert said.startswith(
        "radius 50000 um: 4.4e+02 pairs of the 30 exposures are within it (4e+02"
    )


def test_options_of_calibrate(refused) -> None:
    assert "Missing argument" in refused("calibrate")
    said = refused("calibrate", "S", "--scatter", "a.png", "--report-picture", "./a.png")
    assert said == "-o, --scatter and --report-picture: two of them are one file"
    assert "the folder no does not exist" in refused("calibrate", "S", "--scatter", "no/a.png")
    Path("a").mkdir()
    assert "this is a folder, a file name is needed" in refused("calibrate", "S", "-o", "a")


def test_the_beam_must_be_known_for_its_rules(refused) -> None:
    given = {"beam_shift_x": np.arange(5.0), "beam_shift_y": 0.0}
    table = table_of(**given, stage_x_um=0.0, stage_y_um=0.0)
    write_csv(Session(table), "t.csv")
    said = refused("duplicates", "t.csv", "--k", 2, "--radius", "beam:0.9")
    assert said == "radius beam:0.9: no exposure states its BeamDiameter; use fixed:UM"


# --------------------------------------------------------------------------------- bad sessions


def broken(path: Path, how: str) -> None:
    text = path.read_text()
    path.write_text({
        "truncated": text[: len(text) // 2],
        "without a beam shift": text.replace("BeamShift", "BeamShaft"),
        "another root": text.replace("MicroscopeImage", "Acquisition"),
        "a bomb": '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>' + text,
    }[how])  # fmt: skip


HOW = ("truncated", "without a beam shift", "another root", "a bomb")


@pytest.mark.parametrize("how", HOW)
def test_a_broken_file_is_told_and_the_rest_goes_on(here, capsys, how: str) -> None:
    """Published: crash, or all later names slip by one and wrong files are listed."""
    assert epu("duplicates", "S", "--k", 24.4, "--rad", 3, "--json") == 0
    whole = json.loads(capsys.readouterr().out)
    files = sorted(Path("S").rglob("*.xml"), key=lambda p: p.stem[-15:])
    broken(files[4], how)
    assert epu("duplicates", "S", "--k", 24.4, "--rad", 3, "--json") == 0
    said = capsys.readouterr()
    assert said.err.startswith(f"note: {files[4]}: ")
    assert len(said.err.splitlines()) == 1
    found = json.loads(said.out)
    assert found["n_exposures"] == whole["n_exposures"] - 1
    assert [row["path"] for row in found["errors"] if not row["used"]] == [str(files[4])]
    assert files[4].stem not in (*found["bad"], *found["kept"])
    assert whole["bad"]
    # what is 3 um from another exposure still is, unless that was the broken one
    lost = set(whole["bad"]) - set(found["bad"]) - {files[4].stem}
    partner = dict(zip(whole["bad"], whole["kept"], strict=True))
    assert all(partner[name] == files[4].stem for name in lost)


@pytest.mark.parametrize("how", HOW)
def test_strict_refuses_a_broken_file(here, refused, how: str) -> None:
    path = next(Path("S").rglob("*.xml"))
    broken(path, how)
    assert refused("duplicates", "S", "--strict").startswith(f"{path}: ")


def test_only_broken_files(here, refused) -> None:
    for path in Path("S").rglob("*.xml"):
        broken(path, "truncated")
    for command in ("duplicates", "calibrate"):
        assert "none of the 30 files can be used; the first: " in refused(command, "S")


def test_a_session_that_no_method_fits_exits_with_4(here, refused) -> None:
    """Random targets: a lacey grid has no lattice, and no spacing is told."""
    rng = np.random.default_rng(5)
    n = 120
    shift = rng.uniform(-0.2, 0.2, (n, 2))
    stage = np.repeat(rng.uniform(-500, 500, (n // 10, 2)), 10, axis=0)
    table = table_of(
        beam_shift_x=shift[:, 0], beam_shift_y=shift[:, 1], stage_x_um=stage[:, 0],
        stage_y_um=stage[:, 1], hole=np.arange(n), area=1, square=1,
    )  # fmt: skip
    write_csv(Session(table), "lacey.csv")
    for command in ("duplicates", "calibrate"):
        assert refused(command, "lacey.csv", code=4)


def test_few_exposures(here, refused) -> None:
    paths = sorted(Path("S").rglob("*.xml"))
    for path in paths[1:]:
        path.unlink()
    assert refused("calibrate", "S", code=4)
    assert epu("duplicates", "S", "--k", 24.4) == 0  # one exposure has no duplicate


# ------------------------------------------------------------------------- nothing half-written


OLD = ("duplicates.csv", "duplicates.json", "duplicates_badfiles_jpg.txt",
       "duplicates_badfiles_tiff.txt", "duplicates_groups.csv", "duplicates_map.png")  # fmt: skip


@pytest.fixture
def old(here: Path) -> None:
    for name in OLD:
        Path(name).write_text(f"old {name}")


@pytest.mark.parametrize("which", range(1, 7))
def test_a_full_disk_at_any_rename(old, refused, monkeypatch, which: int) -> None:
    real, calls = os.replace, []

    def failing(source: object, target: object) -> None:
        if Path(str(target)).name in OLD and str(source).find(".part") > 0:
            calls.append(target)
            if len(calls) == which:
                raise OSError(errno.ENOSPC, "No space left on device", str(source))
        real(str(source), str(target))

    monkeypatch.setattr(os, "replace", failing)
    said = refused("duplicates", "S", "--k", 24.4, "--map")
    assert "cannot write: No space left on device" in said
    assert {name: Path(name).read_text() for name in OLD} == {name: f"old {name}" for name in OLD}


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interruption_while_a_picture_is_drawn(old, here, monkeypatch, capsys, error) -> None:
    from refimpl import hooks

    def draw(*_: object) -> None:
        raise error

    monkeypatch.setattr(hooks, "call", draw)
    if error is KeyboardInterrupt:
        assert epu("duplicates", "S", "--k", 24.4, "--map") == 130
    else:
        with pytest.raises(MemoryError):
            epu("duplicates", "S", "--k", 24.4, "--map")
    assert {name: Path(name).read_text() for name in OLD} == {name: f"old {name}" for name in OLD}
    assert {p.name for p in Path().iterdir()} == {*OLD, "S"}


def test_a_place_that_cannot_be_written_to_is_found_before_the_reading(
    refused, monkeypatch
) -> None:
    monkeypatch.setattr("refimpl.epu.session.read_session", lambda *_, **__: 1 / 0)
    assert "the folder no does not exist" in refused("duplicates", "S", "-o", "no/x")
    assert "the folder no does not exist" in refused("calibrate", "S", "-o", "no/x.json")


def test_reading_changes_nothing_in_the_session(here, capsys) -> None:
    before = {p: p.read_bytes() for p in Path("S").rglob("*") if p.is_file()}
    assert epu("duplicates", "S", "--k", 24.4) == 0
    assert {p: p.read_bytes() for p in Path("S").rglob("*") if p.is_file()} == before
