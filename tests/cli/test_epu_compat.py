"""``refimpl epu duplicates --compat``: find_dupl's two runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from epu_folder import epu, small_session, some_of, xml_files
from PIL import Image

from refimpl.cli.epu_compat import run
from refimpl.epu.published import duplicates, first_run, first_run_text
from refimpl.epu.session import read_session
from refimpl.errors import ConfigError
from refimpl.testing.golden import golden

HEAD, *_, FOOT = golden("published_listings/find_dupl").json()["lines"]
LISTS = ["duplicates_badfiles_jpg.txt", "duplicates_badfiles_tiff.txt"]


@pytest.fixture(scope="module")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compat") / "session"
    small_session(folder, images=True)
    return folder


@pytest.fixture
def folder(session_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The session; the folder worked in is empty."""
    monkeypatch.chdir(tmp_path)
    return session_folder


def compat(*arguments: object) -> int:
    return epu("duplicates", "--compat", *arguments)


def block(text: str) -> str:
    """The block of the first run out of everything that was printed."""
    lines = text.split("\n")
    return "\n".join(lines[lines.index(HEAD) : lines.index(FOOT) + 1])


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


# --- first run ----------------------------------------------------------------------------------


def test_fault_03_the_first_run_ends_well_with_its_picture(folder: Path, capsys):
    # find_dupl ends with a TypeError when its window is closed
    assert compat("--epudata", folder) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert block(said.out) == first_run_text(first_run(read_session(folder), 9).centres)
    assert names() == ["duplicates_clusters.png"]
    with Image.open("duplicates_clusters.png") as picture:
        assert min(picture.size) > 300
    assert "wrote duplicates_clusters.png\n" in said.out
    assert said.out.endswith("Now run again with --k.\n")
    assert "smallest_median" in said.out


def test_options_of_the_first_run(folder: Path, capsys):
    assert compat(folder, "--clusters", 4, "--max_iter", 50, "--n_init", 3, "--o", "a/b") == 2
    assert "cannot write" in capsys.readouterr().err
    Path("a").mkdir()
    assert compat(folder, "--clusters", 4, "--max_iter", 50, "--n_init", 3, "--o", "a/b") == 0
    found = first_run(read_session(folder), 4, max_iter=50, n_init=3)
    text = capsys.readouterr().out
    assert block(text) == first_run_text(found.centres)
    assert block(text).count("\n[") == 4
    assert sorted(p.name for p in Path("a").iterdir()) == ["b_clusters.png"]


def test_the_hole_spacing_of_the_session_gives_k(folder: Path, capsys):
    assert compat(folder, "--clusters", 21) == 0
    said = capsys.readouterr().out
    head, row = (
        next(line for line in said.split("\n") if line.startswith(start))
        for start in ("  rule", "  edge_mean")
    )
    assert head.endswith(f"   {read_session(folder).hole_spacing_um:g} um")  # of EpuSession.dm
    assert float(row.split()[-1]) == pytest.approx(24.4, rel=0.03)  # a scalar knows no better
    assert "by themselves" not in said
    assert compat(folder, "--clusters", 5) == 0
    assert "The beam shifts by themselves show 21 holes, not 5: --clusters 21\n" in (
        capsys.readouterr().out
    )


def test_fewer_exposures_than_clusters(folder: Path, tmp_path: Path, capsys):
    some_of(folder, tmp_path / "few", 3)
    assert compat(tmp_path / "few") == 2
    said = capsys.readouterr()
    assert said.err == "refimpl: 9 clusters of 3 points: ask for 3 or fewer\n"
    assert said.out == ""
    assert names() == ["few"]


# --- second run ---------------------------------------------------------------------------------


def test_the_lists_are_those_of_the_scalar_model(folder: Path, capsys):
    read = read_session(folder)
    found = duplicates(read, 24.4)
    assert 0 < found.bad.sum() < 84  # it misses some of the true ones
    assert compat("--epudata", folder, "--k", 24.4, "--o", "duplicates") == 0
    assert names() == LISTS
    paths = read.table["path"][found.bad].astype(str)
    jpg, tiff = (Path(name).read_text().splitlines() for name in LISTS)
    assert jpg == [str(Path(p).resolve().with_suffix(".jpg")) for p in paths]
    assert tiff == [f"{Path(p).stem}_fractions.tiff" for p in paths]
    said = capsys.readouterr()
    assert said.err == ""
    assert f"{found.bad.sum()} of 239 exposures (" in said.out
    assert "pairs: EPU did not move the stage between them, but went on collecting" in said.out


def test_fault_16_success_is_0_and_the_order_of_files_changes_nothing(
    folder: Path, tmp_path: Path, monkeypatch
):
    listed = []
    for order in (1, -1):
        there = tmp_path / f"order{order}"
        shutil.copytree(folder, there / "session")
        for path in xml_files(there / "session")[::order]:  # written anew, in another order
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)
        monkeypatch.chdir(there)
        assert compat("--epudata", "session") == 0
        assert compat("--epudata", "session", "--k", 24.4) == 0
        listed.append([Path(name).read_text().replace(str(there), "") for name in LISTS])
    assert listed[0] == listed[1]
    assert listed[0][1]


def test_without_duplicates_an_old_list_is_emptied(folder: Path, capsys):
    assert compat(folder, "--k", 24.4) == 0
    assert all(Path(name).read_text() for name in LISTS)
    assert compat(folder, "--k", 24.4, "--rad", 1e-6, "--montage") == 0
    assert [Path(name).read_text() for name in LISTS] == ["", ""]
    assert names() == LISTS
    assert capsys.readouterr().out.endswith("No montage: there are no duplicates.\n")


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--montage",), "duplicates_100.png"),
        (("--resize",), "duplicates_all_resize.png"),
        (("--montage", "--rad", 0.02), "duplicates_all.png"),
    ],
)
def test_montage_is_named_as_published(folder: Path, capsys, options, name: str):
    for other in ("100", "all", "400_resize", "all_resize"):
        Path(f"duplicates_{other}.png").write_bytes(b"of an earlier run")
    assert compat(folder, "--k", 24.4, *options) == 0
    stale = {"duplicates_100.png", "duplicates_all.png"}
    stale = {n.replace(".png", "_resize.png").replace("100", "400") for n in stale} | stale
    same_kind = {n for n in stale if ("resize" in n) == ("resize" in name)}
    assert set(names()) == {*LISTS, *(stale - same_kind), name}
    with Image.open(name) as picture:
        assert picture.mode == "L"
    said = capsys.readouterr().out
    assert f"wrote {name}\n" in said
    assert f" in {name}" in said  # how many cases, and how many were left out


def test_movies_are_found_whatever_their_suffix(folder: Path, capsys):
    found = duplicates(read_session(folder), 24.4)
    stem = read_session(folder).table["name"][found.bad].tolist()[0]
    movie = Path("raw", "sub", f"{stem}_EER.eer")
    movie.parent.mkdir(parents=True)
    movie.write_bytes(b"")
    assert compat(folder, "--k", 24.4, "--rawdata", "raw") == 0
    lines = Path(LISTS[1]).read_text().splitlines()
    assert lines[0] == str(movie.resolve())
    assert all(line.endswith("_fractions.tiff") for line in lines[1:])


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0.0}, "--k 0.0: expected a positive number"),
        ({"k": 24.0, "rad": -1.0}, "--rad -1.0: expected a positive number"),
        ({"k": np.inf}, "--k inf: expected a positive number"),
        ({"k": 24.0, "rawdata": Path("none")}, "none: no such folder of movies"),
    ],
)
def test_refusals(folder: Path, options: dict[str, object], message: str):
    with pytest.raises(ConfigError) as caught:
        run(folder, **options)  # type: ignore[arg-type]
    assert str(caught.value) == message
    assert names() == []


def test_a_prefix_that_is_a_folder(folder: Path):
    with pytest.raises(ConfigError, match="--o 'out/': expected the start of file names"):
        run(folder, "out/", k=24.4)


def test_nothing_is_written_half(folder: Path, capsys, monkeypatch):
    monkeypatch.setattr("refimpl.epu.bad_lists.tiff_names", lambda *_: [1 / 0])
    with pytest.raises(ZeroDivisionError):
        run(folder, k=24.4)
    assert names() == []


def test_no_session(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert compat() == 2
    assert capsys.readouterr().err.startswith("refimpl: ")
