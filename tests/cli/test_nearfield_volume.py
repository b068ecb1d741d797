"""Layers of a volume: ``refimpl nearfield reconstruct -startLayerNr 1 -endLayerNr 2``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.io.mic import read_mic
from refimpl.io.nearfield_params import NearfieldParams, read_nearfield_params
from refimpl.nearfield.example import SMALL, write_example
from refimpl.nearfield.volume import layer_folder, layer_numbers, layer_params

LOOPS = {
    "GridRefactor": (24.0, 2.0, 1), "GridMask": (-35.0, 35.0, -35.0, 35.0),
    "SeedOrientationsAll": "seeds_all.txt", "SeedOrientations": "sub/seeds.txt",
    "MicFileText": "maps/MyMic", "GlobalPositionFirstLayer": 5.0, "LayerThickness": 2.0,
}  # fmt: skip
RUN = ("reconstruct", "ps.txt", "--no-report", "-nCPUs", 1, "-resultFolder", "volume")
TWO = ("-startLayerNr", 1, "-endLayerNr", 2)


def nearfield(*arguments: object) -> int:
    return main(["nearfield", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two layers: of the second the sample is turned over."""
    folder = tmp_path_factory.mktemp("made")
    write_example(folder, n_grains=3, seed=3, **(SMALL | LOOPS))
    (folder / "sub").mkdir()
    for name in ("sub/seeds.txt", "seeds_all.txt"):
        assert nearfield("seeds", folder / "ps.txt", "--from", "grains", "-o", folder / name) == 0
    frames = []
    for n in (1, 2):
        truth = folder / "truth.mic"
        rows = truth.read_text().splitlines()
        if n == 2:
            rows[4:] = _turned(rows[4:])
            truth = folder / "turned.mic"
            truth.write_text("\n".join(rows) + "\n")
        assert nearfield("simulate", folder / "ps.txt", truth, "--seed", n) == 0
        with h5py.File(folder / "example.h5") as file:
            frames.append(file["exchange/data"][()])
    with h5py.File(folder / "example.h5", "w") as file:
        file["exchange/data"] = np.concatenate(frames)
    for name in ("SpotsInfo.bin", "SimulatedSpots.csv"):
        (folder / name).unlink()
    return folder


def _turned(rows: list[str]) -> list[str]:
    """Rows of a map in which every point has the orientation of the one before."""
    words = [row.split("\t") for row in rows]
    angles = [row[7:10] for row in words]
    for row, angle in zip(words, angles[-1:] + angles[:-1], strict=True):
        row[7:10] = angle
    return ["\t".join(row) for row in words]


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_layers_have_folders_of_their_own_and_one_ledger(here, capsys) -> None:
    assert nearfield(*RUN, *TWO) == 0
    said = capsys.readouterr().out
    assert "layer 1:" in said
    assert "layer 2:" in said
    for n in (1, 2):
        folder = Path(f"volume/LayerNr_{n}")
        names = {p.name for p in folder.iterdir()}
        assert names >= {
            "ps.txt", "MyMic.0", "MyMic_merged.1", f"GrainsLayer{n}.csv", "seeds.txt.1",
            "seeds_all.txt_Backup", "SpotsInfo.bin", "midas_log", "lit_pixels_distance_0.h5",
        }  # fmt: skip
        assert not {"reconstruction", "ledger.jsonl"} & names
        assert read_mic(folder / "MyMic_merged.1").global_position_um == 3.0 + 2.0 * n
    maps = [read_mic(f"volume/LayerNr_{n}/MyMic_merged.1") for n in (1, 2)]
    assert not np.allclose(maps[0].euler_rad, maps[1].euler_rad)
    assert {p.name for p in Path("volume").iterdir()} == {
        "LayerNr_1", "LayerNr_2", "reconstruction",
    }  # fmt: skip
    lines = Path("volume/reconstruction/run.jsonl").read_text().splitlines()
    keys = {json.loads(line).get("key") for line in lines}
    assert any(str(key).startswith("layer 1") for key in keys)
    assert any(str(key).startswith("layer 2") for key in keys)
    # a further run does nothing again
    blocks = {p: p.stat().st_mtime_ns for p in Path("volume/reconstruction/blocks").iterdir()}
    assert nearfield(*RUN, *TWO, "--resume") == 0
    after = {p: p.stat().st_mtime_ns for p in Path("volume/reconstruction/blocks").iterdir()}
    assert after == blocks


def test_a_layer_by_itself_is_that_of_the_volume(here) -> None:
    assert nearfield(*RUN, *TWO) == 0
    own = Path("volume/LayerNr_2")
    kept = {name: (own / name).read_bytes() for name in ("MyMic_merged.1", "GrainsLayer2.csv")}
    # its parameter file, moved by nobody, is a run of its own
    assert nearfield("reconstruct", own / "ps.txt", "--no-report", "-o", "alone") == 0
    assert Path("alone/MyMic_merged.1").read_bytes() == kept["MyMic_merged.1"]
    assert nearfield(*RUN, "-startLayerNr", 2) == 0
    assert (own / "MyMic_merged.1").read_bytes() == kept["MyMic_merged.1"]
    assert nearfield("reconstruct", "ps.txt", "--no-report", "--layer", 2, "-o", "one") == 0
    for name, content in kept.items():
        assert (Path("one") / name).read_bytes() == content


def test_layers_of_a_single_resolution(here, edit, capsys) -> None:
    edit("GridRefactor 24.0 2.0 1\n", "")
    capsys.readouterr()
    assert nearfield(*RUN, *TWO, "--json") == 0
    rows = json.loads(capsys.readouterr().out)["layers"]
    assert [row["layer"] for row in rows] == [1, 2]
    assert all(Path(f"volume/LayerNr_{n}/MyMic").is_file() for n in (1, 2))
    assert Path("volume/reconstruction/ledger.jsonl").is_file()


def test_lit_pixels_of_process_images_count(here) -> None:
    for layer in (1, 2):
        assert nearfield("process-images", "ps.txt", layer) == 0
    Path("example.h5").unlink()
    assert nearfield(*RUN, "-startLayerNr", 2, "-doImageProcessing", 0) == 0
    assert len(read_mic("volume/LayerNr_2/MyMic_merged.1")) == 74


def test_refusals_make_nothing(here, refused) -> None:
    said = refused(*RUN, "-startLayerNr", 2, "-endLayerNr", 1)
    assert said == "-endLayerNr 1 is before -startLayerNr 2"
    said = refused(*RUN, "-endLayerNr", 3)
    assert said.startswith("example.h5: ") or "/example.h5: " in said
    assert "480 frames" in said
    assert "layers of a volume go to -resultFolder" in refused(*RUN, "--layer", 2)
    Path("seeds_all.txt").unlink()
    assert "SeedOrientationsAll: no such file" in refused(*RUN, *TWO)
    assert "nothing to resume" in refused(*RUN, *TWO, "--resume")
    assert "neither lit_pixels" in refused(*RUN, *TWO, "-doImageProcessing", 0)
    Path("example.h5").unlink()
    assert "neither lit_pixels" in refused(*RUN, *TWO)
    assert "example_000000.h5" in refused(*RUN, *TWO, "-doImageProcessing", 1)


def test_parameters_of_a_layer(tmp_path: Path) -> None:
    given = {
        "DataDirectory": "data", "nDistances": 2, "StartNr": 0, "EndNr": 9, "WFImages": 1,
        "NrFilesPerDistance": 12, "RawStartNr": 100, "SeedOrientations": "s.txt",
        "GridFileName": "g.txt", "MicFileText": "a/b.mic", "GlobalPositionFirstLayer": 1.0,
        "LayerThickness": 4.0, "Lsd": (1000.0, 2000.0), "BC": ((1.0, 2.0), (1.0, 2.0)),
    }  # fmt: skip
    params = NearfieldParams(given, tmp_path / "ps.txt")
    layer = layer_params(params, 3, layer_folder(tmp_path / "out", 3))
    assert layer.number("RawStartNr") == 100 + 2 * 2 * (12 + 1)
    assert layer.folder == tmp_path / "out/LayerNr_3"
    assert layer.file("SeedOrientations") == tmp_path / "data/s.txt"
    assert (layer["MicFileText"], layer["GridFileName"]) == ("b.mic", "g.txt")
    assert layer.number("GlobalPositionFirstLayer") == 9.0
    (tmp_path / "data").mkdir()
    (tmp_path / "data/g.txt").touch()  # now it is a grid to be read
    layer = layer_params(params, 1, tmp_path)
    assert layer["GridFileName"] == str(tmp_path / "data/g.txt")
    assert list(layer_numbers(None, None)) == [1]
    assert list(layer_numbers(2, 4)) == [2, 3, 4]


def test_the_file_of_a_layer_is_read_again(here) -> None:
    assert nearfield(*RUN, "-startLayerNr", 2) == 0
    params = read_nearfield_params("volume/LayerNr_2/ps.txt")
    assert params.number("RawStartNr") == 240
    assert params.folder == (here / "volume/LayerNr_2").resolve()
