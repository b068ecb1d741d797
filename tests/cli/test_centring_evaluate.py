"""``refimpl centring evaluate``, ``heatmap``, ``classify``: what they print, write and refuse."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from refimpl.cli.main import main

pytest.importorskip("torch", reason="needs the extra centring (torch)")
pytest.importorskip("cv2", reason="needs the extra centring (OpenCV)")


def run(*arguments: object) -> int:
    return main(["centring", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net that was taught next to nothing."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    source = "simulated:8x1x5"
    assert run("train", source, "--size", 32, "--epochs", 1, "--seed", 3, "-o", folder) == 0
    return folder / "best.ckpt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with counts: two of each of three crystals."""
    place, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    lines = ["image,rc,crystal,zoom"]
    for k in range(6):
        Image.fromarray(rng.integers(0, 255, (90, 120), dtype=np.uint8)).save(place / f"{k}.png")
        lines.append(f"{k}.png,{100 * k},c{k % 3},0.5")
    (place / "table.csv").write_text("\n".join(lines) + "\n")
    return place


def test_the_run_beside_the_checkpoint_is_judged(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report"
    assert run("evaluate", trained, "-o", out, "--aim", 2, "--maps", 1, "--step-um", 40) == 0
    text = capsys.readouterr().out
    for part in ("train", "val", "test"):
        assert f"{part}: " in text
    assert "(predicting the mean: " in text
    assert "aim, net: on the crystal in" in text
    assert "aim, lucid, corrected: " in text
    found = json.loads((out / "evaluation.json").read_text())
    assert found["judged"] == "test"
    assert found["source"] == "simulated:8x1x5"
    assert found["parts"]["test"]["n"] == 5
    assert found["aim"]["net"]["n"] == 2
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert {row["part"] for row in rows} == {"train", "val", "test"}
    assert (out / "figures" / "photo_heat.png").exists()
    assert (out / "report.html").exists()


def test_other_crystals_are_new(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("simulated:2x1x3", "--seed", 99, "--aim", 0, "--json")
    assert run("evaluate", trained, *options) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["parts"]) == ["new"]
    assert found["aim"] is None
    split = trained.parent / "split.json"
    assert run("evaluate", trained, *options, "--split", split) == 2
    assert "is in no part of the split" in capsys.readouterr().err


def test_a_folder_of_pictures_with_heat_maps(
    trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evaluate", trained, folder, "-o", tmp_path / "a", "--maps", 2) == 0
    assert "new: 6 pictures" in capsys.readouterr().out
    assert (tmp_path / "a" / "figures" / "photo_heat.png").exists()
    for words, why in (
        (("--step-um", 8), "--step-um does not act without an aim at simulated pictures (--aim N)"),
        (("--threads", 1), "--threads does not act without --aim N, or -o and its heat maps"),
    ):
        assert run("evaluate", trained, folder, *words) == 2
        assert why in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert run("evaluate", trained, tmp_path / "none.csv", "-o", tmp_path / "file") == 2
    assert "file: " in capsys.readouterr().err  # before the pictures are looked for
    assert run("evaluate", trained, folder, "--crop", "1,2") == 2
    assert "the net was taught crops of" in capsys.readouterr().err


def test_points_of_a_heat_map(
    trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("heatmap", trained, folder / "1.png", "--zoom", 0.5, "--step", 12)
    table, arrays = tmp_path / "map.csv", tmp_path / "map.npz"
    drawn = tmp_path / "overlay.png"
    assert run(*options, "--least", 0, "--n", 2, "--json", "--map", table, "-o", drawn) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["crystal"] is True
    assert found["crop_px"] == 90.0
    assert 1 <= len(found["points"]) <= 2
    assert drawn.read_bytes().startswith(b"\x89PNG")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 70
    assert list(rows[0]) == ["x_px", "y_px", "target", "count", "outside"]
    assert run(*options, "--map", arrays, "--mode", "exact") == 0
    with np.load(arrays) as kept:
        assert kept["value"].shape == (7, 10)


def test_no_crystal_is_an_answer(
    trained: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("heatmap", trained, folder / "0.png", "--zoom", 0.5, "--least", 1e9)
    assert run(*options) == 0
    assert capsys.readouterr().out.startswith("no crystal here: at most ")
    assert run(*options, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["crystal"], found["points"]) == (False, [])


def test_refusals_of_a_heat_map(
    trained: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = folder / "0.png"
    cases = (
        ((trained, picture), "--zoom: expected it"),
        ((trained, picture, "--zoom", -3), "expected 2 px or more"),
        ((trained, picture, "--zoom", "nan"), "expected 2 px or more"),
        ((trained, picture, "--zoom", 1, "--mode", "fast"), "expected auto, exact or dense"),
        ((trained, picture, "--zoom", 1, "--step", 0), "step 0 px"),
        ((trained, picture, "--zoom", 1, "--n", 0), "best points: n 0"),
        ((trained, picture, "--zoom", 1, "--threads", 0), "--threads 0"),
        ((trained, picture, "--zoom", 1, "--crop", "1"), "--crop 1: expected A,B"),
        ((trained, picture, "--zoom", 1, "--map", tmp_path / "m.txt"), "expected .npz or .csv"),
        ((trained, picture, "--zoom", 1, "-o", tmp_path / "no" / "o.png"), "does not exist"),
        ((trained, tmp_path / "none.png", "--zoom", 1), "none.png: cannot read"),
        ((picture, picture, "--zoom", 1), "no checkpoint of a regressor"),
    )
    for arguments, text in cases:
        assert run("heatmap", *arguments) == 2, arguments
        said = capsys.readouterr().err
        assert text in said
        assert len(said.strip().splitlines()) == 1


def test_refusals_of_an_evaluation(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone.ckpt"
    alone.write_bytes(trained.read_bytes())
    assert run("evaluate", alone) == 2
    assert "SOURCE: expected pictures" in capsys.readouterr().err
    (tmp_path / "run.json").write_text("[]")
    assert run("evaluate", alone) == 2
    assert "not a run of refimpl centring" in capsys.readouterr().err
    assert run("evaluate", trained, tmp_path / "none.csv") == 2
    assert "none.csv" in capsys.readouterr().err
    assert run("evaluate", tmp_path / "run.json", "simulated:2") == 2
    assert "no checkpoint of a regressor" in capsys.readouterr().err


def test_classify_and_judge_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "classes"
    options = ("classify", "simulated:12x1x3", "--size", 32, "--epochs", 2, "-o", out)
    assert run(*options, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parts"]["test"]["classes"] == ["crystal", "empty"]
    assert json.loads((out / "classification.json").read_text()) == found
    assert {"best.ckpt", "last.ckpt", "split.json", "run.json", "report.html"} <= {
        p.name for p in out.iterdir()
    }
    assert run(*options) == 2
    assert "best.ckpt of another run is there" in capsys.readouterr().err
    assert run(*options, "--resume") == 0
    capsys.readouterr()
    assert run("evaluate", out / "best.ckpt", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["parts"] == found["parts"]
    assert run("evaluate", out / "best.ckpt", "simulated:3x1x2", "--seed", 5) == 0
    assert "all: " in capsys.readouterr().out
    for words in (("--crop", "1,2"), ("--aim", 0), ("--mode", "exact"), ("--threads", 1)):
        assert run("evaluate", out / "best.ckpt", *words) == 2
        assert f"{words[0]} does not act on a classifier" in capsys.readouterr().err
    for words in (("--high", 0.5), ("--low", 0.5), ("--maps", 1)):
        assert run("evaluate", out / "best.ckpt", *words, "-o", tmp_path / "not") == 2
        assert f"{words[0]} does not act on a classifier" in capsys.readouterr().err
        assert not (tmp_path / "not").exists()
    assert run("classify", tmp_path / "none", "-o", tmp_path / "other") == 2
    assert "no such folder" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
