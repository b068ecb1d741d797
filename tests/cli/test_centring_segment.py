"""``refimpl centring train-segment`` and ``segment``: what they write, print and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from refimpl.centring.simulate import scene
from refimpl.cli.main import main

pytest.importorskip("torch", reason="needs the extra centring (torch)")


def run(*arguments: object) -> int:
    return main(["centring", *(str(a) for a in arguments)])


def test_train_and_segment(tmp_path: Path, capsys: Any) -> None:
    taught = ("train-segment", "--crystals", 6, "--views", 1, "--crops", 4, "--size", 32,
             "-o", tmp_path / "run")  # fmt: skip
    assert run(*taught, "--epochs", 2) == 0
    text = capsys.readouterr()
    assert "of 2, overlap 0." in text.out
    assert "epoch 2: loss " in text.err
    assert run(*taught, "--epochs", 2) == 2
    assert "last.ckpt of another run is there" in capsys.readouterr().err
    Image.fromarray(scene(5).picture(1.0, 0.0)).save(tmp_path / "view.png")
    asked = ("segment", tmp_path / "run" / "best.ckpt", tmp_path / "view.png", "--zoom", 1)
    assert run(*asked, "--probability", 0.001, "--step", 20, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["crystal"] == bool(found["pieces"])
    assert run(*asked, "--probability", 0.999999) == 0
    assert capsys.readouterr().out == "no crystal here\n"
    assert run(*asked, "--probability", 2) == 2
    assert "probability 2: expected between 0 and 1" in capsys.readouterr().err
    assert run("segment", tmp_path / "none.ckpt", tmp_path / "view.png", "--zoom", 1) == 2
    assert "none.ckpt: cannot read" in capsys.readouterr().err
    assert run("train-segment", "--size", 30, "-o", tmp_path / "other") == 2
    assert "size 30 px: expected a multiple of 4" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
