"""``refimpl nearfield``: from simulated images to a map that is compared with the truth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl import __version__
from refimpl.cli.main import main
from refimpl.io.mic import read_mic
from refimpl.io.nearfield_files import read_grid, read_seed_spots, read_seeds
from refimpl.nearfield.example import SMALL, write_example
from refimpl.nearfield.outputs import read_map


def nearfield(*arguments: object) -> int:
    return main(["nearfield", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three grains, with their images."""
    folder = tmp_path_factory.mktemp("made")
    write_example(folder, n_grains=3, seed=3, **SMALL)
    assert nearfield("simulate", folder / "ps.txt", folder / "truth.mic") == 0
    return folder


@pytest.fixture(scope="module")
def mapped(made: Path) -> Path:
    """The same with lit pixels and a map."""
    assert nearfield("process-images", made / "ps.txt") == 0
    assert nearfield("reconstruct", made / "ps.txt", "-o", made / "map", "--no-report") == 0
    return made


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with parameters, truth, grains and images."""
    monkeypatch.chdir(tmp_path)
    for name in ("ps.txt", "truth.mic", "Grains.csv", "example.h5"):
        shutil.copy(made / name, tmp_path / name)
    return tmp_path


# ------------------------------------------------------------------------------ the whole way


def test_images_become_a_map_that_is_the_truth(mapped: Path, capsys) -> None:
    capsys.readouterr()
    found, truth = mapped / "map/map.mic", mapped / "truth.mic"
    assert nearfield("compare", mapped / "ps.txt", found, truth, "--json") == 0
    s = json.loads(capsys.readouterr().out)
    assert s["missing"] == 0
    assert s["pairs"] == len(read_mic(truth))
    # frames of 1.5 degrees, pixels of 4 um at 3 and 4.5 mm
    assert s["median_deg"] < 0.15
    assert s["below_deg"]["1"] > 0.97
    assert len(read_mic(found)) == len(read_grid_of(mapped))


def read_grid_of(folder: Path) -> np.ndarray:
    assert nearfield("grid", folder / "ps.txt", "-o", folder / "g.txt") == 0
    return read_grid(folder / "g.txt").edge_mm


def test_the_map_has_all_its_files(mapped: Path) -> None:
    names = {p.name for p in (mapped / "map").iterdir()}
    assert names >= {
        "map.mic", "map.mic.bin", "map.mic.AllMatches", "map.mic.bin.AllMatches", "map.mic.map",
        "map.mic.map.kam", "map.mic.map.grainId", "map.mic.map.grod", "map.mic.h5",
        "map.mic.xdmf", "result.json", "reconstruction",
    }  # fmt: skip
    numbers = json.loads((mapped / "map/result.json").read_text())
    assert numbers["provenance"]["inputs"]["parameters"].endswith("ps.txt")
    assert numbers["voxels"] == len(read_mic(mapped / "map/map.mic"))


def test_a_second_run_keeps_what_is_done(mapped: Path, capsys, monkeypatch) -> None:
    before = (mapped / "map/map.mic.bin").read_bytes()
    stamps = {p: p.stat().st_mtime_ns for p in (mapped / "map/reconstruction/blocks").iterdir()}
    capsys.readouterr()
    assert nearfield("process-images", mapped / "ps.txt", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["distances"]
    assert [row["kept"] for row in rows] == [True, True]
    call = ("reconstruct", mapped / "ps.txt", "-o", mapped / "map", "--no-report", "-nCPUs", 2)
    assert nearfield(*call) == 0
    assert (mapped / "map/map.mic.bin").read_bytes() == before
    after = {p: p.stat().st_mtime_ns for p in (mapped / "map/reconstruction/blocks").iterdir()}
    assert after == stamps


def test_published_switches(mapped: Path, tmp_path: Path, capsys) -> None:
    seeds = tmp_path / "seeds.txt"
    assert nearfield("seeds", mapped / "ps.txt", "--from", "grains", "-o", seeds) == 0
    assert len(read_seeds(seeds)) == 3
    text = (mapped / "ps.txt").read_text().replace("DataDirectory .", f"DataDirectory {mapped}")
    text += f"SeedOrientations {seeds}\nNrOrientations 99\nSimulationBatches 2\n"
    (tmp_path / "p.txt").write_text(
        text.replace("GrainsFile Grains", f"GrainsFile {mapped}/Grains")
    )
    capsys.readouterr()
    for switch in (1, 0):
        assert nearfield(
            "reconstruct", tmp_path / "p.txt", "-ffSeedOrientations", switch,
            "-doImageProcessing", 0, "-machineName", "serial", "--published-fit", "--no-report",
            "--published-rows", "-o", tmp_path / str(switch), "--json",
            "--set", "grid_mask_mm=[-0.015, 0.015, -0.015, 0.015]",
        ) == 0  # fmt: skip
        said = capsys.readouterr()
        numbers = json.loads(said.out)
        wanted = "Grains.csv" if switch else "seeds.txt"
        assert wanted in numbers["provenance"]["inputs"]["seeds"]
        assert ("NrOrientations 99, and the list has 3" in said.err) == (switch == 0)
        assert "note: SimulationBatches has no effect" in said.err
    # the list has 6 decimals, and the search does not depend on where seeds come from
    one, zero = (read_map(tmp_path / s / "map.mic.h5") for s in "10")
    assert np.abs(one.confidence - zero.confidence).max() < 0.2
    assert len(read_mic(tmp_path / "0/map.mic")) == int(zero.solved.sum())


FEW = ("--set", "grid_mask_mm=[-0.02, 0.02, -0.02, 0.02]", "--no-report", "-nCPUs", 1)


def test_fault_02_blocks_neither_lose_nor_shift_voxels(mapped: Path, tmp_path: Path) -> None:
    for size in (3, 100):
        call = ("reconstruct", mapped / "ps.txt", "-o", tmp_path / str(size))
        assert nearfield(*call, *FEW, "--block-voxels", size) == 0
    one, other = ((tmp_path / s / "map.mic.bin").read_bytes() for s in ("3", "100"))
    assert one == other
    # the rows are the grid's
    grid = ("grid", mapped / "ps.txt", *FEW[:2], "-o", tmp_path / "g.txt")
    assert nearfield(*grid) == 0
    np.testing.assert_allclose(
        read_mic(tmp_path / "3/map.mic.bin").xy_mm, read_grid(tmp_path / "g.txt").xy_mm, atol=1e-9
    )  # grid.txt has 6 decimals of a um


def test_fault_09_a_killed_run_goes_on_and_has_one_consolidated_file(
    mapped: Path, tmp_path: Path
) -> None:
    call = ("reconstruct", mapped / "ps.txt", "-o", tmp_path, *FEW, "--block-voxels", 3)
    assert nearfield(*call) == 0
    whole = (tmp_path / "map.mic.h5").read_bytes()
    blocks = sorted((tmp_path / "reconstruction/blocks").iterdir())
    stamp = blocks[0].stat().st_mtime_ns
    for path in (*blocks[2:], tmp_path / "map.mic", tmp_path / "map.mic.h5"):
        path.unlink()  # as if it had been killed
    assert nearfield(*call) == 0
    assert (tmp_path / "map.mic.h5").read_bytes() == whole
    assert blocks[0].stat().st_mtime_ns == stamp
    assert all(path.exists() for path in blocks)


# ------------------------------------------------------------------------------ single commands


def test_simulate_lights_what_the_images_show(made: Path, tmp_path: Path, capsys) -> None:
    capsys.readouterr()
    call = ("simulate", made / "ps.txt", made / "truth.mic", "--no-noise", "--blur-px", 0)
    assert nearfield(*call, "--background", 0, "-o", tmp_path, "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    with h5py.File(tmp_path / "example.h5") as f:
        images = f["exchange/data"][()]
    assert images.shape == (240, 256, 256)
    assert int((images > 0).sum()) == numbers["lit_pixels"]
    assert int(images.sum()) == 200 * numbers["touches"]
    bits = np.unpackbits(np.fromfile(tmp_path / "SpotsInfo.bin", np.uint8), bitorder="little")
    yz = images.reshape(2, 120, 256, 256)[..., ::-1, ::-1].transpose(0, 1, 3, 2)  # spec 1.0
    np.testing.assert_array_equal(bits.reshape(2, 120, 256, 256) > 0, yz > 0)
    rows = np.loadtxt(tmp_path / "SimulatedSpots.csv", skiprows=1)
    assert len(rows) == numbers["touches"]
    d, f, y, z = rows[:, 1:5].astype(int).T
    assert (yz[d, f, y, z] > 0).all()


def test_simulated_spots_are_those_of_the_published_program(real_data, tmp_path) -> None:
    folder = real_data("nearfield-golden")
    text = (folder / "ps_e1.txt").read_text().replace("OnlySpotsInfo 1", "OnlySpotsInfo 0")
    (tmp_path / "ps.txt").write_text(text)
    call = ("simulate", tmp_path / "ps.txt", folder / "in_e1.mic", "-o", tmp_path)
    assert nearfield(*call, "--set", "published_wedge=true") == 0
    ours = np.loadtxt(tmp_path / "SimulatedSpots.csv", skiprows=1)
    theirs = np.loadtxt(folder / "simspots_e1.csv.gz", skiprows=1)
    assert {tuple(r) for r in ours[:, :5].astype(int)} == {
        tuple(r) for r in theirs[:, :5].astype(int)
    }
    order = [np.lexsort(t[:, :5].T.round()) for t in (ours, theirs)]
    np.testing.assert_allclose(ours[order[0], 5:], theirs[order[1], 5:], atol=2e-6)  # 6 decimals


def test_the_newer_lit_pixels_count(mapped: Path, tmp_path: Path, capsys) -> None:
    """A simulation after process-images is not hidden by what that left."""
    from refimpl.cli.nearfield_files import load, saved_lit

    names = ("ps.txt", "SpotsInfo.bin", "lit_pixels_distance_0.h5", "lit_pixels_distance_1.h5")
    for name in names:
        shutil.copy2(mapped / name, tmp_path / name)
    job = load(tmp_path / "ps.txt")
    processed = saved_lit(job, tmp_path)
    bits = (tmp_path / "SpotsInfo.bin").read_bytes()
    (tmp_path / "SpotsInfo.bin").write_bytes(bytes(len(bits)))
    assert saved_lit(job, tmp_path).n_lit == 0
    for path in (tmp_path / name for name in names[2:]):
        path.touch()
    assert saved_lit(job, tmp_path).n_lit == processed.n_lit > 0


def test_no_images_where_none_are_asked_for(here, edit) -> None:
    Path("example.h5").unlink()
    edit("MinConfidence", "WriteImage 0\nMinConfidence")
    assert nearfield("simulate", "ps.txt", "truth.mic") == 0
    assert Path("SpotsInfo.bin").is_file()
    assert Path("SimulatedSpots.csv").is_file()
    assert not Path("example.h5").exists()


def test_numbered_images(here, edit, refused, capsys) -> None:
    edit("extOrig h5", "extOrig tif")
    Path("example.h5").unlink()
    edit("EndNr 119", "EndNr 3")
    edit("NrFilesPerDistance 120", "NrFilesPerDistance 5")
    assert nearfield("simulate", "ps.txt", "truth.mic", "--no-noise") == 0
    images = sorted(p.name for p in Path().glob("example_*.tif"))
    assert images == [f"example_{n:06d}.tif" for n in (0, 1, 2, 3, 5, 6, 7, 8)]
    assert "(10 files)" in capsys.readouterr().out
    assert nearfield("process-images", "ps.txt", "--no-spots-info") == 0
    Path("example_000006.tif").unlink()
    assert "example_000006.tif" in refused("process-images", "ps.txt", "--again")


def test_view_draws_what_it_is_asked_for(mapped: Path, tmp_path: Path, capsys) -> None:
    capsys.readouterr()
    ps, h5 = mapped / "ps.txt", mapped / "map/map.mic.h5"
    call = ("view", h5, "--figure", "ipf_z", "--figure", "grains", "-o", tmp_path)
    assert nearfield(*call) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"ipf_z.png", "grains.png"}
    assert "grains" in capsys.readouterr().out
    call = ("view", ps, h5, "--reference", mapped / "truth.mic", "--figure", "misorientation")
    assert nearfield(*call, "-o", tmp_path, "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["comparison"]["missing"] == 0
    assert nearfield("view", ps, h5, "--reference", mapped / "truth.mic", "-o", tmp_path) == 0
    page = (tmp_path / "report.html").read_text()
    for what, path in (("shown with parameters", ps), ("compared with", mapped / "truth.mic")):
        assert f"inputs: {what}</td><td>{path}</td>" in page
    assert f"Made by refimpl {__version__}." in page
    capsys.readouterr()
    assert nearfield("view", ps, h5, "--figure", "ipf", "-o", tmp_path) == 2
    said = capsys.readouterr()
    assert "--figure 'ipf': this map has ipf_z, ipf_xy, confidence" in said.err


def test_compare_ends_with_1_below_the_share(mapped: Path, capsys) -> None:
    call = ("compare", mapped / "ps.txt", mapped / "map/map.mic", mapped / "truth.mic")
    assert nearfield(*call, "--share", 0.5, "--limit-deg", 5) == 0
    assert nearfield(*call, "--share", 1.0, "--limit-deg", 0.0001) == 1
    capsys.readouterr()
    assert nearfield(*call, "--away-um", 8) == 0
    assert "that are more than 8 um from another grain are within 0.25 deg" in (
        capsys.readouterr().out
    )


def test_grid_and_seeds(here, edit, refused, capsys) -> None:
    assert nearfield("grid", "ps.txt", "--json") == 0
    assert json.loads(capsys.readouterr().out)["points"] == 96
    published = read_grid("grid.txt")
    assert nearfield("grid", "ps.txt", "--tiling", "-o", "t.txt") == 0
    assert not np.allclose(read_grid("t.txt").xy_mm, published.xy_mm)
    assert nearfield("grid", "ps.txt", "--set", "grid_mask_mm=[-0.01, 0.01, -0.01, 0.01]") == 0
    assert len(read_grid("grid.txt")) < 20
    assert nearfield("seeds", "ps.txt", "--spacing-deg", 20, "-o", "even.txt") == 0
    even = read_seeds("even.txt")
    assert 50 < len(even) < 200
    edit("GrainsFile Grains.csv", "GrainsFile Grains.csv\nSeedOrientations even.txt")
    assert nearfield("seeds", "ps.txt", "--from", "list", "--spots", "spots") == 0
    assert len(read_seed_spots("spots").orientations) == len(even)
    assert Path("spots/hkls.csv").read_text().startswith("h k l")
    for arguments, words in (
        (("--from", "sobol"), "--from 'sobol': expected even, published, grains or list"),
    ):
        assert words in refused("seeds", "ps.txt", *arguments)
    edit("SeedOrientations even.txt\n", "")
    edit("GrainsFile Grains.csv\n", "")
    assert "neither -o nor SeedOrientations" in refused("seeds", "ps.txt")
    assert "--from grains needs GrainsFile" in refused(
        "seeds", "ps.txt", "--from", "grains", "-o", "s.txt"
    )
    assert "--from list needs SeedOrientations" in refused(
        "seeds", "ps.txt", "--from", "list", "-o", "s.txt"
    )
    square = ("grid", "ps.txt", "--set", "grid=square")
    assert "grid.txt holds triangles" in refused(*square)


def test_an_example_is_made(tmp_path: Path, monkeypatch, refused) -> None:
    from refimpl.nearfield import example

    monkeypatch.setattr(example, "EXAMPLE", example.EXAMPLE | SMALL | {"OnlySpotsInfo": 1})
    call = ("simulate", "--example", "--grains", 4, "-o", tmp_path / "e")
    assert nearfield(*call) == 0
    names = {p.name for p in (tmp_path / "e").iterdir()}
    assert names == {"ps.txt", "truth.mic", "Grains.csv", "SpotsInfo.bin"}
    monkeypatch.chdir(tmp_path)
    assert "expected -o DIR alone" in refused("simulate", "--example")
    assert "or --example -o DIR" in refused("simulate", "e/ps.txt")
    assert "97 grains in" in refused(*call[:2], "--grains", 97, "-o", "f")
