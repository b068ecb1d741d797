"""``refimpl centring heatmap``: near the loop, by several nets, with dropout left on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refimpl.cli.main import main

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")
cv2 = pytest.importorskip("cv2", reason="needs the extra centring (OpenCV)")


def run(*arguments: object) -> int:
    return main(["centring", "heatmap", *(str(a) for a in arguments)])


def checkpoint(path: Path, arch: str, seed: int) -> Path:
    from pytorch_lightning import Trainer

    from refimpl.centring.modules import Regressor

    torch.manual_seed(seed)
    target = {"name": "vanilla", "mean": 300.0, "deviation": 10.0, "least": 0.0}
    rule = {"offset_px": 80.0, "slope_px": 0.0}
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(Regressor(arch, target, rule, size=32))
    trainer.save_checkpoint(path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Nets that were taught nothing, and a photograph of a pin that ends in a ring."""
    place = tmp_path_factory.mktemp("nets")
    image = np.full((600, 800), 200, np.uint8)
    cv2.rectangle(image, (0, 250), (250, 350), 5, -1)
    cv2.line(image, (250, 300), (400, 300), 20, 9)
    cv2.ellipse(image, (450, 300), (50, 35), 0, 0, 360, 20, 7)
    noisy = image + np.random.default_rng(0).normal(0.0, 3.0, image.shape)
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(place / "ring.png")
    made = {
        name: checkpoint(place / f"{name}.ckpt", arch, seed)
        for name, arch, seed in (("one", "a_fcn", 0), ("two", "a_fcn", 1), ("a4", "a4", 2))
    }
    return made | {"ring": place / "ring.png"}  # fmt: skip


def numbers(capsys: Any, *arguments: object) -> dict[str, Any]:
    assert run(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_near_the_loop(files: dict[str, Path], capsys: Any) -> None:
    options = (files["one"], files["ring"], "--near-loop", "--reach", 100, "--step", 20)
    found = numbers(capsys, *options)
    assert abs(found["loop"]["x"] - 450.0) < 40.0
    assert abs(found["points"][0]["x_px"] - found["loop"]["x"]) <= 50.0  # 2 um/px
    assert run(*options) == 0
    assert capsys.readouterr().out.startswith("loop at x = ")


def test_an_ensemble_and_its_deviations(
    files: dict[str, Path], tmp_path: Path, capsys: Any
) -> None:
    options = (files["one"], files["ring"], "--ensemble", files["two"], "--step", 40)
    found = numbers(capsys, *options, "--map", tmp_path / "map.npz", "-o", tmp_path / "a.png")
    assert found["members"] == 2
    assert found["agreement"] in (0.0, 0.5, 1.0)
    assert found["raster_instead"] == (found["agreement"] < 0.5)
    with np.load(tmp_path / "map.npz") as kept:
        assert kept["deviation"].shape == kept["value"].shape == (15, 20)
    assert run(*options, "--map", tmp_path / "map.csv") == 0
    assert "% of 2 predictions say so" in capsys.readouterr().out
    header = (tmp_path / "map.csv").read_text().splitlines()[0]
    assert header == "x_px,y_px,target,count,outside,deviation"


def test_dropout(files: dict[str, Path], capsys: Any) -> None:
    found = numbers(capsys, files["a4"], files["ring"], "--dropout", 3, "--step", 100)
    assert found["members"] == 3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--dropout", "3"), "a_fcn has no dropout to leave on: take an ensemble"),
        (("--near-loop", "--dropout", "3"), "--near-loop with --ensemble or --dropout: choose one"),
        (("--near-loop", "--reach", "0"), "reach 0 um: expected a positive number"),
        (("--near-loop", "--pin-side", "up"), "pin side 'up'"),
        (("--ensemble", "none.ckpt"), "none.ckpt: cannot read"),
    ],
)
def test_refusals(options: tuple[str, ...], text: str, files: dict[str, Path], capsys: Any) -> None:
    assert run(files["one"], files["ring"], *options) == 2
    assert text in capsys.readouterr().err
