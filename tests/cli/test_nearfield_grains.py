"""``refimpl nearfield grains``: the list of a map's grains, and the published switches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.main import main
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.io.grains_csv import read_grains
from refimpl.nearfield.example import SMALL, write_example
from refimpl.nearfield.outputs import read_map
from refimpl.rotations import quaternion_of_matrix

Capture = pytest.CaptureFixture[str]


def grains(*arguments: object) -> int:
    return main(["nearfield", "grains", *(str(a) for a in arguments)])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Parameters and the true map of three grains."""
    write_example(tmp_path, n_grains=3, seed=3, **SMALL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("switch", [[], ["--neighbours"], ["--spatial"], ["-nCPUs", "2"]])
def test_the_grains_of_the_truth_are_those_it_was_made_of(
    here: Path, switch: list[str], capsys: Capture
) -> None:
    assert grains("ps.txt", "truth.mic", "-o", "found.csv", *switch) == 0
    assert capsys.readouterr().out.startswith("3 grains of ")
    found, made = read_grains("found.csv"), read_grains("Grains.csv")
    np.testing.assert_array_equal(found.cells, made.cells)
    q = quaternion_of_matrix(found.orientations)
    voxels = read_map("truth.mic", space_group=225).quaternions
    away = [misorientation(voxels, np.broadcast_to(x, voxels.shape), operators(225)) for x in q]
    assert np.min(away, axis=0).max() < 1e-6  # the map has six decimals
    assert (np.min(away, axis=1) < 1e-6).all()


def test_the_confidence_that_the_file_states_last_counts(here: Path, capsys: Capture) -> None:
    text = Path("ps.txt").read_text()
    stated = ("MinFracAccept ", "MinConfidence ", "MaxAngle ")
    kept = [line for line in text.splitlines() if not line.startswith(stated)]
    for more, least in (
        ([], 0.04),
        (["MinConfidence 0.3", "MinFracAccept 0.2"], 0.2),
        (["MinFracAccept 0.2", "MinConfidence 0.3"], 0.3),
    ):
        Path("ps.txt").write_text("\n".join([*kept, *more, "MaxAngle 2.5"]) + "\n")
        assert grains("ps.txt", "truth.mic", "-o", "g.csv", "--json") == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["min_confidence"], said["max_angle_deg"], said["grains"]) == (least, 2.5, 3)
    wanted = ["--min-confidence", "0.6", "--max-angle", "120"]
    assert grains("ps.txt", "truth.mic", "-o", "g.csv", "--json", *wanted) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["min_confidence"], said["max_angle_deg"], said["grains"]) == (0.6, 120.0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["truth.mic", "-o", "g.csv", "--neighbours", "--spatial"], "--neighbours and --spatial"),
        (["truth.mic", "-o", "g.csv", "--max-angle", "0"], "--max-angle 0: expected degrees"),
        (["truth.mic", "-o", "g.csv", "--max-angle", "nan"], "--max-angle nan: expected degrees"),
        (["truth.mic", "-o", "no/g.csv"], "no"),
        (["no.mic", "-o", "g.csv"], "no.mic"),
        (["weak.mic", "-o", "g.csv"], "weak.mic: no voxel of confidence 0.9 or more"),
    ],
)
def test_what_is_refused_leaves_no_file(
    here: Path, arguments: list[str], message: str, capsys: Capture
) -> None:
    if "weak.mic" in arguments:
        arguments = [*arguments, "--min-confidence", "0.9"]
        rows = Path("truth.mic").read_text().splitlines()
        lines = [x if x.startswith("%") else "\t".join([*x.split()[:10], "0.5", *x.split()[11:]])
                 for x in rows]  # fmt: skip
        Path("weak.mic").write_text("\n".join(lines) + "\n")
    assert grains("ps.txt", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not Path("g.csv").exists()
