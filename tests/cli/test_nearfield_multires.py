"""``refimpl nearfield reconstruct`` with GridRefactor: every file of the manual's output map."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.crystal.hkls_csv import read_hkls_csv
from refimpl.io.grains_csv import read_grains
from refimpl.io.mic import MIC_COLUMNS, read_mic
from refimpl.io.nearfield_files import read_grid, read_seed_spots, read_seeds
from refimpl.io.spots_info import read_lit
from refimpl.nearfield.example import SMALL, write_example
from refimpl.nearfield.outputs import read_map

MASK = (-35.0, 35.0, -35.0, 35.0)
LOOPS = {
    "GridRefactor": (24.0, 2.0, 2), "GridMask": MASK, "SeedOrientations": "seeds.txt",
    "SeedOrientationsAll": "seeds_all.txt", "MicFileText": "MyMic", "MicFileBinary": "MyMic.bin",
}  # fmt: skip

STAGES = ["hkls", "seed", "hex", "spots", "map", "parse", "mic2grains_1", "mic2grains_2"]
STAGES += ["fit0", "fit1", "fit2"]
IMAGE_STAGES = ["median1", "median2", "image1", "image2"]


def nearfield(*arguments: object) -> int:
    return main(["nearfield", *(str(a) for a in arguments)])


def loops(*arguments: object) -> int:
    return nearfield("reconstruct", *arguments, "--no-report", "-nCPUs", 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three grains with images; one of them is missing in the seeds of the first loop."""
    folder = tmp_path_factory.mktemp("made")
    write_example(folder, n_grains=3, seed=3, **(SMALL | LOOPS))
    assert nearfield("simulate", folder / "ps.txt", folder / "truth.mic") == 0
    assert nearfield("seeds", folder / "ps.txt", "--from", "grains", "-o", folder / "s") == 0
    lines = (folder / "s").read_text().splitlines(keepends=True)
    (folder / "seeds_all.txt").write_text("".join(lines))
    (folder / "seeds.txt").write_text("".join(lines[:2]))
    (folder / "SpotsInfo.bin").unlink()
    return folder


@pytest.fixture(scope="module")
def done(made: Path) -> Path:
    """The same after a run from the raw images, in the folder that the file says."""
    assert loops(made / "ps.txt") == 0
    return made


@pytest.fixture
def copy(made: Path, done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with the parameters, seeds and images, and nothing else."""
    monkeypatch.chdir(tmp_path)
    for name in ("ps.txt", "seeds.txt", "seeds_all.txt", "Grains.csv", "example.h5"):
        shutil.copy(made / name, tmp_path / name)
    return tmp_path


def test_every_file_of_the_output_map(done: Path) -> None:
    maps = ["MyMic.0", "MyMic.1", "MyMic_all_solutions.1", "MyMic_merged.1"]
    maps += ["MyMic.2", "MyMic_all_solutions.2", "MyMic_merged.2"]
    supporting = ["grid.txt", "grid_old.txt", "hkls.csv", "Grains.csv.1", "Grains.csv.2"]
    supporting += ["seeds.txt.1", "seeds.txt.2", "seeds_all.txt_Backup", "SpotsInfo.bin"]
    supporting += [f"{n}.{e}" for n in ("DiffractionSpots", "Key", "OrientMat")
                   for e in ("bin", "txt")]  # fmt: skip
    supporting += ["GrainsLayer1.csv", "result.json"]
    final = ["MyMic.bin", "MyMic.bin.AllMatches"]
    final += [f"MyMic_merged.2.{e}" for e in ("AllMatches", "map", "map.kam", "map.grainId")]
    final += [f"MyMic_merged.2.{e}" for e in ("map.grod", "h5", "xdmf")]
    for name in maps + supporting + final:
        assert (done / name).is_file(), name
    logs = {f"{s}_{e}.csv" for s in STAGES + IMAGE_STAGES for e in ("out", "err")}
    log = "midas_nf_workflow_multires.log"
    assert {p.name for p in (done / "midas_log").iterdir()} == logs | {log}
    assert not list(done.rglob("*.part*"))


def test_maps_have_the_published_columns_and_a_row_for_every_point(done: Path) -> None:
    points = {0: 19, 1: 74, 2: 309}
    for k, n in points.items():
        names = [f"MyMic.{k}"] + ([f"MyMic_merged.{k}"] if k else [])
        for name in names:
            lines = (done / name).read_text().splitlines()
            assert lines[3] == "%" + "\t".join(MIC_COLUMNS)
            assert {len(line.split("\t")) for line in lines[4:]} == {12}
            table = read_mic(done / name)
            assert len(table) == n, name
            np.testing.assert_allclose(table.edge_mm, 0.024 / 2**k)
    fine = read_map(done / "MyMic_merged.2", space_group=225)
    np.testing.assert_allclose(fine.voxels.xy_mm, read_grid(done / "grid.txt").xy_mm, atol=1e-9)
    own = read_map(done / "MyMic_merged.2.h5")
    np.testing.assert_allclose(own.confidence, fine.confidence, atol=5.1e-7)  # 6 decimals
    assert len(read_mic(done / "MyMic.bin")) == points[2]
    assert len(read_grid(done / "grid_old.txt")) > points[2]


def test_bad_points_are_searched_with_all_seeds(done: Path) -> None:
    assert len(read_seeds(done / "seeds.txt")) == 2
    assert (done / "seeds_all.txt_Backup").read_bytes() == (done / "seeds_all.txt").read_bytes()
    first, merged = (read_mic(done / name) for name in ("MyMic.1", "MyMic_merged.1"))
    again = read_mic(done / "MyMic_all_solutions.1")
    bad = np.flatnonzero(first.confidence < 0.5)
    assert len(bad) >= len(again) > 10
    rows = [np.flatnonzero((first.xy_mm == xy).all(axis=1))[0] for xy in again.xy_mm]
    assert set(rows) <= set(bad)
    assert (merged.confidence >= first.confidence).all()
    better = again.confidence > first.confidence[rows]
    assert better.any()
    assert (merged.confidence[rows] >= again.confidence).all()
    # the third grain seeds the next loop
    assert [len(read_grains(done / f"Grains.csv.{k}")) for k in (1, 2)] == [2, 3]


def test_a_loop_without_bad_points_leaves_an_empty_second_map(done: Path) -> None:
    lines = (done / "MyMic_all_solutions.2").read_text().splitlines()
    assert lines == (done / "MyMic.2").read_text().splitlines()[:4]
    assert len(read_mic(done / "MyMic_all_solutions.2")) == 0


def test_grains_and_seeds_of_the_loops(done: Path) -> None:
    for k in (1, 2):
        table, seeds = read_grains(done / f"Grains.csv.{k}"), read_seeds(done / f"seeds.txt.{k}")
        assert len(table) == len(seeds)
        assert len((done / f"seeds.txt.{k}").read_text().splitlines()[0].split(",")) == 11
    last = (done / "GrainsLayer1.csv").read_text().splitlines()
    assert last[0] == "%NumGrains 3"
    # of the merged map, and not of the first pass
    merged = read_mic(done / "MyMic_merged.2")
    best = read_grains(done / "GrainsLayer1.csv").position_mm[:, :2]
    far = np.hypot(*(merged.xy_mm[:, None] - best[None]).transpose(2, 0, 1)).min(axis=0)
    np.testing.assert_allclose(far, 0.0, atol=1e-6)


def test_spots_are_those_of_the_last_seeds_in_both_forms(done: Path) -> None:
    spots = read_seed_spots(done)
    key = np.loadtxt(done / "Key.txt", skiprows=1, dtype=int)
    assert (done / "Key.txt").read_text().splitlines()[0] == "3"
    np.testing.assert_array_equal(key, spots.key)
    matrices = np.loadtxt(done / "OrientMat.txt").reshape(-1, 3, 3)
    np.testing.assert_allclose(matrices, spots.orientations, atol=1e-9)
    grains = read_grains(done / "Grains.csv.2")
    np.testing.assert_allclose(matrices, grains.orientations, atol=1e-9)
    rows = np.loadtxt(done / "DiffractionSpots.txt")
    wanted = np.stack([spots.yl_mm * 1e3, spots.zl_mm * 1e3, np.degrees(spots.omega_rad)], axis=1)
    np.testing.assert_allclose(rows, wanted, atol=1e-6)
    assert len(read_hkls_csv(done / "hkls.csv").ring) > 50


def test_spots_info_is_whole_and_has_holes(done: Path) -> None:
    stat = (done / "SpotsInfo.bin").stat()
    assert stat.st_size == 2 * 120 * 256 * 256 // 8
    assert stat.st_blocks * 512 < stat.st_size
    assert read_lit(done / "SpotsInfo.bin", (2, 120, 256, 256)).n_lit > 1000


def test_logs_have_a_line_for_each_point(done: Path) -> None:
    log = done / "midas_log"
    for k in (0, 1, 2):
        lines = [line.split() for line in (log / f"fit{k}_out.csv").read_text().splitlines()]
        first = read_mic(done / f"MyMic.{k}")
        again = read_mic(done / f"MyMic_all_solutions.{k}") if k else first.rows(np.zeros(0, int))
        assert len(lines) == len(first) + len(again)
        assert [int(line[1]) for line in lines[: len(first)]] == list(range(len(first)))
        assert [float(line[4]) for line in lines] == [*first.confidence, *again.confidence]
    for stage in STAGES + IMAGE_STAGES:
        assert (log / f"{stage}_out.csv").stat().st_size > 0, stage
        assert (log / f"{stage}_err.csv").stat().st_size == 0, stage


def content(folder: Path) -> dict[str, bytes]:
    """Files of a folder by name, but for the log that has times, and the ledgers and blocks."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.suffix != ".log" and "reconstruction" not in p.parts
    }


def test_equal_runs_are_equal_but_for_their_times(done: Path, copy: Path) -> None:
    assert loops("ps.txt") == 0
    own = content(copy)
    log = Path("midas_log/midas_nf_workflow_multires.log")
    before = log.read_text()
    assert re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 .+\n)+", before)
    shutil.rmtree("reconstruction")
    assert loops("ps.txt") == 0
    assert content(copy) == own
    assert log.read_text().startswith(before)
    assert len(log.read_text()) > len(before)  # appended to
    stated = ("result.json", "MyMic_merged.2.h5")  # paths of the inputs
    names = [n for n in own if n not in stated and not n.startswith("lit_pixels")]
    other = content(done)
    assert [n for n in names if other[n] != own[n]] == []


def test_no_image_logs_where_no_image_was_processed(done: Path, tmp_path: Path) -> None:
    assert loops(done / "ps.txt", "-doImageProcessing", 0, "-o", tmp_path / "o") == 0
    logs = {p.name for p in (tmp_path / "o/midas_log").iterdir()}
    assert not any(f"{stage}_out.csv" in logs for stage in IMAGE_STAGES)
    # all files lie in the folder of -o, those that are named after an input too
    names = {p.name for p in (tmp_path / "o").iterdir()}
    assert names >= {"seeds.txt.2", "seeds_all.txt_Backup", "grid.txt", "SpotsInfo.bin"}
    for name in ("MyMic_merged.2", "SpotsInfo.bin", "GrainsLayer1.csv"):
        assert (tmp_path / "o" / name).read_bytes() == (done / name).read_bytes()


def test_the_grid_file_is_written_and_not_read(copy: Path, edit, done: Path) -> None:
    edit("GridMask", "GridFileName g.txt\nGridMask")
    Path("g.txt").write_text("1\n1 2 3 4 5\n")
    assert loops("ps.txt") == 0
    assert Path("g.txt").read_bytes() == (done / "grid.txt").read_bytes()
    assert not Path("grid.txt").exists()


def test_an_edge_that_is_stated_stays(copy: Path, edit) -> None:
    edit("GridRefactor 24.0 2.0 2", "GridRefactor 24.0 2.0 1\nEdgeLength 3.0")
    assert loops("ps.txt") == 0
    for name in ("MyMic.0", "MyMic_merged.1"):
        np.testing.assert_allclose(read_mic(name).edge_mm, 0.003)
    assert len(read_mic("MyMic_merged.1")) == 74


def test_a_tomography_image_masks_every_grid(copy: Path, edit) -> None:
    image = np.zeros((40, 40), dtype=np.uint8)
    image[:, :20] = 1  # x < 0
    image.tofile("tomo.bin")
    edit("GridMask -35.0 35.0 -35.0 35.0", "TomoImage tomo.bin\nTomoPixelSize 2.5")
    edit("GridRefactor 24.0 2.0 2", "GridRefactor 24.0 2.0 1")
    assert loops("ps.txt") == 0
    whole, half = read_grid("grid_unfilt.txt"), read_grid("grid.txt")
    assert len(half) < len(whole) == 96
    assert (read_mic("MyMic_merged.1").xy_mm[:, 0] < 0).all()
    assert not Path("grid_old.txt").exists()


def test_numbers_of_the_loops(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert loops(done / "ps.txt", "--json") == 0
    numbers = json.loads(capsys.readouterr().out)
    assert [row["points"] for row in numbers["loops"]] == [19, 74, 309]
    assert [row["size_um"] for row in numbers["loops"]] == [24.0, 12.0, 6.0]
    assert numbers["voxels"] == 309
    assert numbers["grains"] == 3
    assert numbers["settled"] is False
    assert loops(done / "ps.txt") == 0
    said = capsys.readouterr().out
    assert "loop 1, 12 um: 74 points, 2 seeds, " in said
    assert "note: GridSize has no effect: GridRefactor states the sizes, from 24 um" not in said
