"""Options of coarse-to-fine runs of ``refimpl nearfield reconstruct``."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from nearfield_loops import RUN, loops, nearfield, write_loops

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


@pytest.fixture
def numbers(capsys: pytest.CaptureFixture[str]):
    """Numbers of a run that ends well."""

    def run(*arguments: object) -> dict:
        capsys.readouterr()
        assert loops("--json", *arguments) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_max_angle_says_what_one_grain_is(here, edit, numbers) -> None:
    assert numbers()["grains"] == 3
    edit("GridMask", "MaxAngle 100\nGridMask")
    assert numbers()["grains"] == 1


def test_points_below_min_confidence_seed_nothing(here, numbers) -> None:
    rows = numbers("-minConfidence", 1.0)["loops"]
    fewer = numbers("-minConfidence", 0.6)["loops"]
    assert rows[1]["seeds"] <= fewer[1]["seeds"] == 3
    assert Path("out/midas_log/mic2grains_1_out.csv").read_text().endswith(
        "of confidence 0.6 or more\n"
    )  # fmt: skip


def test_everywhere_compares_every_point_with_every_grain(here, numbers) -> None:
    log = Path("out/midas_log/midas_nf_workflow_multires.log")
    numbers("--everywhere")
    text = log.read_text()
    assert "loop 1, seeded: 74 points" in text
    assert "neighbours" not in text
    numbers()
    assert "loop 1, neighbours: " in log.read_text()


def test_a_settled_run_ends(here, edit, numbers) -> None:
    edit("GridRefactor 24.0 2.0 1", "GridRefactor 24.0 2.0 3")
    found = numbers("--until-settled", 0.9)
    assert found["settled"] is True
    assert [row["loop"] for row in found["loops"]] == [0, 1]
    assert Path("out/map.mic_merged.1.h5").is_file()
    assert not Path("out/map.mic.2").exists()


def test_a_quick_fit_tries_less(here, numbers) -> None:
    whole, quick = numbers(), numbers("--quick", "--again")
    assert quick["loops"][1]["evaluations"] < whole["loops"][1]["evaluations"]


def test_the_published_fit(here, numbers) -> None:
    found = numbers("--published-fit", "--everywhere")
    assert found["solved"] > 60


def test_published_rows(here) -> None:
    for name in ("seeds.txt", "seeds_all.txt"):  # nobody knows the third grain
        lines = Path(name).read_text().splitlines(keepends=True)
        Path(name).write_text("".join(lines[:2]))
    assert loops("--everywhere") == 0
    whole = read_mic("out/map.mic_merged.1")
    assert loops("--everywhere", "--published-rows") == 0
    solved = int((whole.confidence > 0).sum())
    assert 0 < len(read_mic("out/map.mic_merged.1")) == solved < len(whole) == 74


def test_without_seeds_the_zone_is_searched(here, edit, numbers) -> None:
    edit("GridRefactor 24.0 2.0 1", "GridRefactor 48.0 2.0 1")
    found = numbers("--blind", "-nCPUs", 2)
    assert found["loops"][0]["seeds"] is None
    assert found["provenance"]["inputs"]["seeds"] == "the fundamental zone"


def test_all_seeds_begin_where_no_others_are_named(here, edit, numbers) -> None:
    edit("SeedOrientations seeds.txt\n", "")
    edit("GrainsFile Grains.csv\n", "")
    found = numbers()
    assert found["loops"][0]["seeds"] == 3
    assert found["provenance"]["inputs"]["seeds"].endswith("seeds_all.txt")
    assert Path("out/SeedOrientations.1").is_file()


def test_grains_of_the_far_field(here, numbers) -> None:
    found = numbers("-ffSeedOrientations", 1)
    assert found["provenance"]["inputs"]["seeds"].endswith("Grains.csv")


def test_one_grid_is_a_run_too(here, edit, numbers) -> None:
    edit("GridRefactor 24.0 2.0 1", "GridRefactor 24.0 2.0 0")
    assert len(numbers()["loops"]) == 1
    assert Path("out/map.mic.0.map").is_file()
    assert np.loadtxt("out/Key.txt", skiprows=1).shape == (3, 2)


def test_no_grain_is_no_end(here, edit) -> None:
    edit("OmegaStart -90.0", "OmegaStart -80.0")  # nothing fits
    edit("MinFracAccept 0.2", "MinFracAccept 0.9")
    assert loops() == 4
    assert len(read_mic("out/map.mic_merged.1")) == 74
    assert Path("out/Grains.csv.1").read_text().startswith("%NumGrains 0\n")
    assert Path("out/GrainsLayer1.csv").read_text().startswith("%NumGrains 0\n")
    assert Path("out/Key.txt").read_text() == "0\n"


def test_resume_goes_on_with_what_is_there(here, refused, capsys) -> None:
    said = refused(*RUN, "--resume")
    assert said.startswith("out/reconstruction/ledger.jsonl: nothing to resume")
    assert loops() == 0
    blocks = {p: p.stat().st_mtime_ns for p in Path("out/reconstruction/blocks").iterdir()}
    assert loops("--resume") == 0
    assert {p: p.stat().st_mtime_ns for p in Path("out/reconstruction/blocks").iterdir()} == blocks
    capsys.readouterr()
    assert "--resume and --again: one of them" in refused(*RUN, "--resume", "--again")


def test_worker_processes_make_the_same_map(here) -> None:
    pytest.importorskip("parsl")
    assert loops() == 0
    one = Path("out/map.mic_merged.1").read_bytes()
    shutil.rmtree("out")
    assert loops("-machineName", "processes", "-nNodes", 1) == 0
    assert Path("out/map.mic_merged.1").read_bytes() == one


def test_nodes_and_cpus_reach_a_configuration(here, monkeypatch, numbers) -> None:
    from refimpl.nearfield import workplace

    asked = {}

    class Spied(workplace.Workplace):
        def __init__(self, folder: Path, **options: object) -> None:
            asked.update(options)
            super().__init__(folder, engine="serial")

    monkeypatch.setattr(workplace, "Workplace", Spied)
    Path("site.py").write_text("config = None\n")
    numbers("-machineName", "site.py", "-nNodes", 3, "-nCPUs", 2, "--patience", 60)
    wanted = {"engine": "site.py", "nodes": 3, "cpus": 2, "threads": 2, "patience_s": 60.0}
    assert {name: asked[name] for name in wanted} == wanted


def test_a_second_run_in_the_folder_touches_nothing(here, refused) -> None:
    from refimpl.ledger import Ledger

    Path("out/reconstruction").mkdir(parents=True)
    with Ledger(Path("out/reconstruction/ledger.jsonl")):
        said = refused(*RUN)
    assert "another run is working with this ledger" in said


def test_the_report_is_written_and_named(here, capsys) -> None:
    capsys.readouterr()
    assert nearfield(*RUN, "-nCPUs", 1) == 0
    assert capsys.readouterr().out.endswith("wrote out/report.html\n")
    assert "loop 1" in Path("out/report.html").read_text()


def test_an_estimate_makes_nothing(here, monkeypatch, capsys) -> None:
    asked: list[tuple] = []

    class Estimate:
        def sentences(self) -> list[str]:
            return ["it takes long"]

        def as_dict(self) -> dict[str, int]:
            return {"points": 74}

    def estimate(*arguments: object, **options: object) -> Estimate:
        asked.append((arguments, options))
        return Estimate()

    module = ModuleType("refimpl.nearfield.estimate")
    module.estimate = estimate
    monkeypatch.setitem(sys.modules, "refimpl.nearfield.estimate", module)
    before = set(Path().rglob("*"))
    capsys.readouterr()
    assert loops("--estimate") == 0
    assert capsys.readouterr().out == "it takes long\n"
    assert loops("--estimate", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"points": 74, "layers": 1}
    assert set(Path().rglob("*")) == before
    arguments, options = asked[0]
    assert [len(arguments[2](size)) for size in arguments[4].sizes_mm] == [19, 74]
    assert len(arguments[3]) == len(options["every_seed"]) == 3


def test_an_estimate_of_what_comes(here, edit, capsys) -> None:
    for line in ("GridRefactor 24.0 2.0 1\n", ""):
        edit("GridRefactor 24.0 2.0 1\n", line)
        capsys.readouterr()
        assert loops("--estimate") == 0
        assert "evaluations" in capsys.readouterr().out
    assert not Path("out").exists()
