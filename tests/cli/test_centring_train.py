"""``refimpl centring train``: the files of a run, going on, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl.centring import recipe
from refimpl.centring.datasets import open_samples, write_hdf5
from refimpl.centring.modules import load_regressor
from refimpl.centring.predict import scores_on
from refimpl.centring.recipe import RECIPE, train_recipe
from refimpl.centring.samples import Samples
from refimpl.centring.simulate_view import crop_rule
from refimpl.centring.splits import load_split
from refimpl.cli.main import main

# what runs in the background inherits a Ctrl-C that is ignored
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from refimpl.cli.main import main; raise SystemExit(main())"
)
SHORT = ["--size", "16", "--epochs", "3", "--patience", "9"]


def run(*arguments: object) -> int:
    return main(["centring", "train", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(80, 16, 16))
    crystal = [f"c{k}" for k in rng.integers(0, 10, 80)]
    samples = Samples.of(images, rng.poisson(rng.exponential(300, 80)), crystal)
    return write_hdf5(samples, tmp_path_factory.mktemp("data") / "data.h5")


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_and_what_it_leaves(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run(data, *SHORT, "--target", "log", "--seed", 4, "-o", out) == 0
    told = capsys.readouterr()
    assert [line.split(":")[0] for line in told.err.splitlines()] == [
        "epoch 0",
        "epoch 1",
        "epoch 2",
    ]
    lines = told.out.splitlines()
    assert lines[0].startswith("a_fcn, log: 3 epochs, the best was epoch ")
    assert "predicting the mean" in lines[1]
    assert lines[-1] == f"wrote {out / 'best.ckpt'}"
    names = {"best.ckpt", "last.ckpt", "split.json", "history.csv", "run.json"}
    assert {p.name for p in out.iterdir()} == names
    kept = json.loads((out / "run.json").read_text())
    assert kept["settings"]["seed"] == 4
    rows = history(out)
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    best = min(rows, key=lambda row: float(row["val_loss"]))
    assert int(best["epoch"]) == kept["best_epoch"]
    # the checkpoint and the split give the printed scores again
    samples, split = open_samples(data, size=16), load_split(out / "split.json")
    part = split.part_of(samples.crystal.tolist())
    test, taught = (samples.some(np.flatnonzero(part == p)) for p in ("test", "train"))
    found = scores_on(load_regressor(out / "best.ckpt"), test, taught)
    assert found.as_dict() == pytest.approx(kept["scores"]["test"])
    assert f"MSE {found.mse:.4g}" in lines[1]


def test_going_on_ends_where_one_run_would(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(data, *SHORT, "--json", "-o", whole) == 0
    one = json.loads(capsys.readouterr().out)
    assert run(data, *SHORT[:2], "--epochs", 1, "--patience", 9, "-o", parts) == 0
    capsys.readouterr()
    assert run(data, *SHORT, "--json", "-o", parts) == 2
    assert "best.ckpt of another run is there: --resume" in capsys.readouterr().err
    assert run(data, *SHORT, "--json", "--resume", "-o", parts) == 0
    other = json.loads(capsys.readouterr().out)
    assert other["scores"] == one["scores"]
    assert (parts / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()
    assert run(data, *SHORT, "--resume", "--lr", 0.1, "-o", parts) == 2
    assert "the run began with lr 0.001, not 0.1" in capsys.readouterr().err


def test_pictures_are_packed_and_a_split_is_taken(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, packed = tmp_path / "one", tmp_path / "packed.h5"
    options = ["--size", 16, "--epochs", 1]
    assert run("simulated:6x1x3", *options, "--pack", packed, "-o", out, "--json") == 0
    first = json.loads(capsys.readouterr().out)
    assert first["crop"] == {"offset_px": 60.0, "slope_px": 60.0}
    assert load_regressor(out / "best.ckpt").crop is not None
    again = ["--split", out / "split.json", "-o", tmp_path / "two", "--json"]
    assert run(packed, *options, *again) == 0
    second = json.loads(capsys.readouterr().out)
    for key in ("crop", "scores", "pictures", "target"):
        assert second[key] == first[key]
    # the largest scale of all options at once
    many = ["--arch", "a9", "--batch", 8, "--augment", "all", "--statistics", "all", "--plateau", 1]
    more = ["--per-crystal", "most", "--threads", 1, "-o", tmp_path / "three", "--json"]
    assert run(packed, *options, *many, *more) == 0
    third = json.loads(capsys.readouterr().out)
    assert third["target"]["per_crystal"] == "most"
    assert third["settings"]["augment"] == "all"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--arch", "a11"], "net 'a11': expected one of a1"),
        (["--arch", "classifier"], "it tells empty loops and no counts"),
        (["--target", "cube"], "target 'cube': expected one of vanilla"),
        (["--target", "log_literal"], "counts are not above the mean"),
        (["--per-crystal", "half"], "per_crystal 'half': expected rank or most"),
        (["--augment", "some"], "augment 'some': expected train, all or none"),
        (["--crop", "3"], "--crop 3: expected A,B"),
        (["--crop", "3,1"], "cropped already: give no rule"),
        (["--channels", "2"], "channels 2: expected 1 or 3"),
        (["--channels", "3"], r"\(1, 16, 16\): expected \(3, 16, 16\)"),
        (["--size", "32"], r"\(1, 16, 16\): expected \(1, 32, 32\)"),
        (["--epochs", "0"], "epochs 0: expected 1 or more"),
        (["--split", "none.json"], r"none\.json: cannot read"),
        (["--pack", "x.csv"], r"--pack x\.csv: expected \.h5 or \.npz"),
        (["--schedule", "steps"], "schedule 'steps': expected one of constant"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    import re

    assert run(data, "--size", 16, *options, "-o", tmp_path / "run") == 2
    error = capsys.readouterr().err
    assert re.search(words, error)
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_crystal_in_two_parts(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    split = tmp_path / "split.json"
    parts = {"train": ["c0", "c1"], "val": ["c2"], "test": ["c1"]}
    split.write_text(json.dumps({"kind": "refimpl.centring_split", "schema": 1, **parts}))
    assert run(data, "--size", 16, "--split", split, "-o", tmp_path / "run") == 2
    assert "crystal 'c1' is in two places (train and test)" in capsys.readouterr().err


def test_without_torch_the_extra_is_named(tmp_path: Path) -> None:
    barred = ("torch", "pytorch_lightning", "torchmetrics", "cv2", "onnx")
    lines = [
        "import sys",
        f"sys.modules.update(dict.fromkeys({barred!r}))",
        "from refimpl.centring import datasets, datasets_made, samples, training_settings",
        "from refimpl.cli.main import main",
        f"sys.exit(main(['centring', 'train', 'simulated:3', '-o', {str(tmp_path / 'run')!r}]))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "refimpl: training needs the extra 'centring': pip install 'refimpl[centring]'"
    ]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_and_going_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-c", START, "centring", "train", str(data), "--size", "16",
               "--epochs", "4000", "--patience", "4000", "-o", str(out)]  # fmt: skip
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 100.0
    while not (out / "history.csv").exists() and time.monotonic() < end:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    told, error = child.communicate(timeout=60)
    assert child.returncode == 130, error
    assert told == ""
    lines = error.splitlines()
    assert "epochs are done: the same command with --resume goes on" in lines[-2]
    assert lines[-1] == "refimpl: interrupted"
    done = int(lines[-2].split()[0])
    command[command.index("4000")] = str(done + 2)
    again = subprocess.run([*command, "--resume"], capture_output=True, text=True, timeout=100)
    assert again.returncode == 0, again.stderr
    assert [row["epoch"] for row in history(out)] == [str(k) for k in range(done + 2)]


def test_the_recipe_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = replace(
        RECIPE, crystals=20, views=1, crops=2, size_px=16,
        settings=replace(RECIPE.settings, epochs=2),
    )  # fmt: skip
    monkeypatch.setattr(recipe, "RECIPE", small)
    out = tmp_path / "net"
    assert run("recipe", "--seed", 5, "-o", out) == 0
    split = load_split(out / "split.json")
    assert [len(split.train), len(split.val), len(split.test)] == [16, 2, 2]
    told = json.loads((out / "run.json").read_text())
    assert told["settings"]["schedule"] == "one-cycle"
    assert told["settings"]["seed"] == 5
    net = load_regressor(out / "best.ckpt")
    assert (net.hparams["size"], net.crop) == (16, crop_rule())
    expected = train_recipe(5, recipe=small).net.state_dict()
    assert all((value == expected[name]).all() for name, value in net.state_dict().items())
    capsys.readouterr()
    for option in (["--epochs", 3], ["--size", 64], ["--crop", "60,60"]):
        assert run("recipe", *option, "-o", tmp_path / "other") == 2
        assert "train recipe: the recipe says how it is trained" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
