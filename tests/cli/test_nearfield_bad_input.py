"""``refimpl nearfield`` refuses bad input with one line: file, line, key, and what is accepted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from refimpl.cli.main import main
from refimpl.nearfield.example import SMALL, write_example

COMMANDS = {
    "simulate": ("simulate", "ps.txt", "truth.mic"),
    "process-images": ("process-images", "ps.txt"),
    "reconstruct": ("reconstruct", "ps.txt", "-o", "out"),
    "calibrate": ("calibrate", "ps.txt", "-o", "out"),
    "view": ("view", "ps.txt", "truth.mic", "-o", "out"),
    "compare": ("compare", "ps.txt", "truth.mic", "truth.mic"),
    "grid": ("grid", "ps.txt"),
    "seeds": ("seeds", "ps.txt", "-o", "s.txt"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Parameters, truth and grains; three frames of images; lit pixels of two voxels."""
    folder = tmp_path_factory.mktemp("bad")
    write_example(folder, n_grains=2, **SMALL, OnlySpotsInfo=1)
    assert main(["nearfield", "simulate", str(folder / "ps.txt"), str(folder / "truth.mic")]) == 0
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for path in made.iterdir():
        shutil.copy(path, tmp_path / path.name)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_too_few_lines_of_lsd_or_bc(here, edit, line_of, refused, command: str) -> None:
    edit("BC 128.2 6.7\n", "")
    said = refused(*COMMANDS[command])
    assert said == f"ps.txt:{line_of('BC')}: 1 lines of BC, but nDistances is 2"


def test_too_many_lines_of_lsd(here, edit, line_of, refused) -> None:
    edit("Lsd 4500.0\n", "Lsd 4500.0\nLsd 6000\n")
    said = refused(*COMMANDS["reconstruct"])
    assert said == f"ps.txt:{line_of('Lsd')}: 3 lines of Lsd, but nDistances is 2"


@pytest.mark.parametrize("command", COMMANDS)
def test_an_omega_range_without_its_box(here, edit, line_of, refused, command: str) -> None:
    edit("OmegaRange -90.0 90.0\n", "OmegaRange -90.0 0\nOmegaRange 0 90.0\n")
    said = refused(*COMMANDS[command])
    assert (
        said
        == f"ps.txt:{line_of('OmegaRange')}: 2 OmegaRange and 1 BoxSize lines: they go in pairs"
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_space_group(here, edit, line_of, refused, command: str) -> None:
    edit("SpaceGroup 225", "SpaceGroup 231")
    said = refused(*COMMANDS[command])
    assert said.startswith(f"ps.txt:{line_of('SpaceGroup')}: ")
    assert "SpaceGroup" in said
    assert "231" in said


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ("90.0 90.0 90.0", "10.0 90.0 170.0", "LatticeParameter", "close no cell"),
        ("MaxRingRad 800.0", "MaxRingRad 1", "MaxRingRad", "no reflection with d >= "),
        ("OmegaStart -90.0", "OmegaStart -400", "OmegaStart", "frames from omega -400 to -220"),
        ("GridSize 12.0", "GridSize 0.0001", "GridSize", "1.3e+12 grid points; 1e+08 are the most"),
    ],
)
def test_what_the_physics_refuses_has_its_line_too(
    here, edit, line_of, refused, old: str, new: str, key: str, said: str
) -> None:
    edit(old, new)
    for command in ("reconstruct", "grid"):
        told = refused(*COMMANDS[command])
        assert told.startswith(f"ps.txt:{line_of(key)}: ")
        assert said in told


def test_a_setting_over_the_file_has_no_line_in_it(here, refused) -> None:
    said = refused(*COMMANDS["reconstruct"], "--set", "cell=[4, 4, 4, 10, 90, 170]")
    assert said.startswith("unit cell angles (10.0, 90.0, 170.0) close no cell")


def test_a_key_that_there_is_not(here, edit, refused) -> None:
    edit("OmegaStep", "OmegaStpe")
    said = refused(*COMMANDS["reconstruct"])
    assert said.startswith("ps.txt:")
    assert "OmegaStpe" in said
    assert "OmegaStep" in said


def test_a_missing_file(here, refused) -> None:
    for command in COMMANDS.values():
        said = refused(command[0], "none.txt", *command[2:])
        assert "none.txt" in said
    assert "none.mic: cannot be read" in refused("simulate", "ps.txt", "none.mic")


def test_lit_pixels_that_are_missing_or_of_another_size(here, edit, refused) -> None:
    edit("EndNr 119", "EndNr 118")
    said = refused(*COMMANDS["reconstruct"])
    assert "SpotsInfo.bin" in said
    Path("SpotsInfo.bin").unlink()
    for command in ("reconstruct", "calibrate"):
        if command == "calibrate":
            edit("SpaceGroup 225", "SpaceGroup 225\nGridPoints 0 0 0 0 0 1 1 0 0 0 1 1")
        said = refused(*COMMANDS[command])
        assert "neither lit_pixels_distance_*.h5 nor SpotsInfo.bin: run" in said


def test_dark_stacks(here, refused) -> None:
    Path("SpotsInfo.bin").write_bytes(bytes(Path("SpotsInfo.bin").stat().st_size))
    assert "no pixel is lit in any frame" in refused(*COMMANDS["reconstruct"])


def test_seeds_of_another_format(here, edit, refused) -> None:
    Path("seeds.txt").write_text("1,0,0,0\n0.5,0.5,0.5\n")
    edit("GrainsFile Grains.csv", "SeedOrientations seeds.txt")
    assert refused(*COMMANDS["reconstruct"]).startswith("seeds.txt:2: ")
    Path("seeds.txt").write_text("a b c d\n")
    assert refused(*COMMANDS["reconstruct"]).startswith("seeds.txt:1: ")
    Path("seeds.txt").unlink()
    assert "seeds.txt" in refused(*COMMANDS["reconstruct"])


def test_grains_of_another_format(here, edit, refused) -> None:
    Path("Grains.csv").write_text("1 2 3\n")
    assert refused(*COMMANDS["reconstruct"]).startswith("Grains.csv:1: ")
    edit("GrainsFile Grains.csv\n", "")
    said = refused(*COMMANDS["reconstruct"], "-ffSeedOrientations", 1)
    assert said == "ps.txt: -ffSeedOrientations 1 needs GrainsFile"
    said = refused(*COMMANDS["reconstruct"], "-ffSeedOrientations", 0)
    assert said == "ps.txt: -ffSeedOrientations 0 needs SeedOrientations"


def test_a_grid_outside_of_the_view(here, edit, line_of, refused) -> None:
    edit("Rsample 40.0", "Rsample 900.0")
    for command in ("grid", "reconstruct"):
        said = refused(*COMMANDS[command])
        assert said.startswith(f"ps.txt:{line_of('Rsample')}: grid point (")
        assert "to its farther edge" in said


def test_a_map_outside_of_the_view(here, refused) -> None:
    lines = Path("truth.mic").read_text().splitlines()
    words = lines[-1].split("\t")
    words[3] = "9000.0"
    Path("truth.mic").write_text("\n".join([*lines[:-1], "\t".join(words)]) + "\n")
    said = refused("simulate", "ps.txt", "truth.mic")
    assert said.startswith("truth.mic: grid point (9, ")


def test_a_grid_that_is_not_given_or_not_left(here, edit, refused) -> None:
    said = refused(*COMMANDS["grid"], "--set", "grid_mask_mm=[5, 6, 5, 6]")
    assert "leaves no grid point" in said
    edit("Rsample 40.0\n", "")
    assert "missing: sample_radius_mm (Rsample)" in refused(*COMMANDS["grid"])


def test_options_out_of_range(here, edit, line_of, refused) -> None:
    call = COMMANDS["reconstruct"]
    assert "nCPUs 0: expected 1 or more" in refused(*call, "-nCPUs", 0)
    said = refused(*call, "-machineName", "orthrosnew")
    assert "-machineName 'orthrosnew': expected local, serial, threads" in said
    assert "orient_tol_deg" in refused(*call, "--set", "orient_tol=1")
    assert "--tilts 'all': expected shared" in refused(*COMMANDS["calibrate"], "--tilts", "all")
    assert "GridPoints" in refused(*COMMANDS["calibrate"])
    edit("MicFileBinary map.mic.bin", "MicFileBinary map.mic")
    assert refused(*call) == (
        f"ps.txt:{line_of('MicFileBinary')}: MicFileBinary and MicFileText are both map.mic"
    )
    edit("MinFracAccept 0.2", "MinFracAccept 2")
    assert refused(*call) == (
        f"ps.txt:{line_of('MinFracAccept')}: MinFracAccept 2.0: a confidence is 0 to 1"
    )


def test_maps_that_do_not_fit(here, edit, refused) -> None:
    edit("MicFileText map.mic\n", "")
    assert "neither MAP nor MicFileText" in refused("view", "ps.txt", "-o", "out")
    Path("bad.mic").write_text("%TriEdgeSize 1\n1 2 3\n")
    said = refused("compare", "ps.txt", "bad.mic", "truth.mic")
    assert said.startswith("bad.mic:2: ")


def test_a_sample_that_lights_nothing(here, edit, refused) -> None:
    edit("BoxSize -450.0 450.0 20.0 900.0", "BoxSize -1 1 1 2")
    said = refused("simulate", "ps.txt", "truth.mic", "-o", "out")
    assert "no pixel is lit: no spot is within OmegaRange, BoxSize and the detector" in said
    edit("MinConfidence 0.5", "MinConfidence 1.0")
    text = Path("truth.mic").read_text().replace("\t1.000000\t1\n", "\t0.900000\t1\n")
    Path("truth.mic").write_text(text)
    said = refused("simulate", "ps.txt", "truth.mic", "-o", "out")
    assert said == "truth.mic: no voxel of confidence 1 or more"


def test_a_map_in_which_nothing_is_found(here, edit, capsys) -> None:
    edit("OmegaStart -90.0", "OmegaStart -80.0")  # nothing fits
    edit("MinFracAccept 0.2", "MinFracAccept 0.9")
    capsys.readouterr()
    call = [*COMMANDS["reconstruct"], "--no-report"]
    assert main(["nearfield", *call]) == 4
    said = capsys.readouterr()
    assert "no voxel has an orientation of confidence 0.9 (MinFracAccept) or more" in said.err
    assert Path("out/map.mic").is_file()
