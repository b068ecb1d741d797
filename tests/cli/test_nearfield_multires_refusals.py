"""``refimpl nearfield reconstruct`` refuses bad input of coarse-to-fine runs before it writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from nearfield_loops import RUN, loops, write_loops

from refimpl.io.mic import read_mic


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lit pixels of three grains, and their seeds."""
    return write_loops(tmp_path_factory.mktemp("made"))


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path in made.iterdir():
        shutil.copy(path, tmp_path / path.name)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ("-35.0 35.0 -35.0 35.0", "35.1 36 35.1 36", "GridRefactor",
         "GridRefactor: the grid of loop 0 with an edge of 24 um has no point within GridMask"),
        ("24.0 2.0 1", "24.0 1.0 1", "GridRefactor", "a factor above 1"),
        ("24.0 2.0 1", "24.0 2.0 1.5", "GridRefactor", "a whole number"),
        ("24.0 2.0 1", "24.0 2.0", "GridRefactor", "GridRefactor needs 3 values"),
        ("24.0 2.0 1", "0.01 100.0 1", "GridRefactor", "grid points; 1e+08 are the most"),
        ("seeds_all.txt", "seeds.txt", "SeedOrientationsAll", "both 'seeds.txt': they must differ"),
        ("seeds_all.txt", "./seeds.txt", "SeedOrientationsAll", "are one file: they must differ"),
        ("seeds_all.txt", "link.txt", "SeedOrientationsAll", "are one file: they must differ"),
        ("seeds_all.txt", "none.txt", "SeedOrientationsAll", "no such file: none.txt"),
        ("MinConfidence 0.5", "MinConfidence 50", "MinConfidence", "a confidence is 0 to 1"),
        ("MinConfidence 0.5", "MinConfidence -1", "MinConfidence", "must not be negative"),
        ("MinConfidence 0.5", "MaxAngle 0", "MaxAngle", "must be above zero"),
    ],
)  # fmt: skip
def test_bad_keys_have_file_line_and_key(
    here, edit, line_of, refused, old: str, new: str, key: str, said: str
) -> None:
    Path("link.txt").symlink_to("seeds.txt")
    edit(old, new)
    told = refused(*RUN)
    assert told.startswith(f"ps.txt:{line_of(key)}: ")
    assert key in told
    assert said in told


def test_a_grid_out_of_view(here, edit, line_of, refused) -> None:
    edit("GridMask -35.0 35.0 -35.0 35.0\n", "")
    edit("Rsample 40.0", "Rsample 900.0")
    said = refused(*RUN)
    assert said.startswith(f"ps.txt:{line_of('GridRefactor')}: GridRefactor: the grid of loop 0 ")
    assert "to its farther edge" in said


def test_seeds_of_another_format(here, refused) -> None:
    Path("seeds_all.txt").write_text("1,0,0,0\n0.5,0.5,0.5\n")
    assert refused(*RUN).startswith("seeds_all.txt:2: ")


def test_a_grid_size_that_does_not_count_is_said(here, edit, capsys) -> None:
    capsys.readouterr()
    assert loops() == 0
    said = capsys.readouterr().err
    assert "note: GridSize has no effect: GridRefactor states the sizes, from 24 um" in said
    edit("GridSize 12.0", "GridSize 24.0")
    assert loops() == 0
    assert "GridSize" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-machineName", "purdue"), "'refimpl cluster slurm -o site.py' writes such a file"),
        (("-nNodes", 2), "-nNodes 2: -machineName local is this computer alone"),
        (("-nNodes", 2, "-machineName", "processes"), "-nNodes 2: -machineName processes is this"),
        (("-nNodes", 0), "-nNodes 0: expected 1 or more"),
        (("--quick", "--published-fit"), "--quick and --published-fit: one of them"),
        (("-startLayerNr", 1), "layers of a volume go to -resultFolder"),
    ],
)
def test_options_that_cannot_be(here, refused, options: tuple, said: str) -> None:
    assert said in refused(*RUN, *options)


def test_options_of_loops_need_loops(here, edit, refused) -> None:
    edit("GridRefactor 24.0 2.0 1\n", "")
    for options in (("--everywhere",), ("--until-settled", 0.1), ("-minConfidence", 0.6)):
        said = refused(*RUN, *options)
        assert said == (
            f"ps.txt: {options[0]} is for coarse-to-fine runs: the file has no GridRefactor"
        )


def test_a_file_that_cannot_be_written_is_named(here) -> None:
    Path("out/map.mic_merged.1").mkdir(parents=True)
    assert loops() == 2
    # what was done by then is whole, and is kept
    assert len(read_mic("out/map.mic.1")) == 74
    Path("out/map.mic_merged.1").rmdir()
    assert loops("--resume") == 0
