"""Files that are no checkpoint, or not the right one, in every command that reads one."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refimpl.cli.main import main

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")
pytest.importorskip("cv2", reason="needs the extra centring (OpenCV)")

BAD = {
    "empty": "no checkpoint of a {kind}: an empty file",
    "folder": "cannot read: Is a directory",
    "absent": "cannot read: No such file",
    "text": "no checkpoint of a {kind}: another kind of file, or cut short",
    "truncated": "no checkpoint of a {kind}: another kind of file, or cut short",
    "pickle": "no checkpoint of a {kind}: another kind of file, or cut short",
    "program": "no checkpoint of a {kind}: it holds more than tensors and plain values",
    "list": "no checkpoint of a {kind}: list indices must be",
    "weights": "no checkpoint of a {kind}: it has no 'pytorch-lightning_version'",
    "other": "no checkpoint of a {kind}",
}
COMMANDS = {
    "heatmap": ("regressor", "{ckpt} view.png --zoom 1 -o out.png"),
    "evaluate": ("regressor", "{ckpt} simulated:2 -o report"),
    "export": ("regressor", "{ckpt} -o net.onnx"),
    "fuse": ("regressor", "pictures.csv --net {ckpt} --um-per-px 1"),
    "mesh": ("regressor", "mesh.csv --picture view.png --net {ckpt} --zoom 1 --um-per-px 1"),
    "segment": ("segmenter", "{ckpt} view.png --zoom 1"),
}


TRAIN = ("train", "simulated:6x1x1", "--size", 32, "--epochs", 2)


class Program:
    """What a pickle of a stranger may be."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("the-program-ran",)


def run(*arguments: object) -> int:
    return main(["centring", *(str(a) for a in arguments)])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a net that was taught nothing."""
    from refimpl.centring.modules import Regressor, load_regressor

    target = {"name": "vanilla", "mean": 0.0, "deviation": 100.0, "least": 0.0}
    net = Regressor("a9", target, {"offset_px": 0.0, "slope_px": 40.0}, size=32)
    path = tmp_path_factory.mktemp("good") / "best.ckpt"
    torch.save(
        {
            "pytorch-lightning_version": "2.0.0",
            "state_dict": net.state_dict(),
            "hyper_parameters": dict(net.hparams),
        },
        path,
    )
    assert load_regressor(path).target.name == "vanilla"
    return path


@pytest.fixture(scope="module")
def files(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One bad file of each kind, and what the commands want beside them."""
    folder = tmp_path_factory.mktemp("files")
    whole = good.read_bytes()
    (folder / "empty.ckpt").touch()
    (folder / "folder.ckpt").mkdir()
    (folder / "text.ckpt").write_text("hello\nworld\n")
    (folder / "truncated.ckpt").write_bytes(whole[: len(whole) // 2])
    (folder / "pickle.ckpt").write_bytes(pickle.dumps({"state_dict": {}}))
    torch.save({"state_dict": Program()}, folder / "program.ckpt")
    torch.save([1, 2], folder / "list.ckpt")
    torch.save({"state_dict": {}, "hyper_parameters": {}}, folder / "weights.ckpt")
    content = torch.load(good, weights_only=True)
    content["hyper_parameters"]["target"] = {"name": "vanilla", "mean": "x"}
    content["state_dict"] = {}
    torch.save(content, folder / "other.ckpt")
    Image.fromarray(np.full((100, 160), 200, np.uint8)).save(folder / "view.png")
    (folder / "mesh.csv").write_text("s_um,t_um,rc\n0,0,1\n10,0,2\n")
    (folder / "pictures.csv").write_text("image,omega_deg,zoom\nview.png,0,1\nview.png,90,1\n")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_no_checkpoint(
    command: str, files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(files)
    before = sorted(files.iterdir())
    kind, words = COMMANDS[command]
    for name, text in BAD.items():
        assert run(command, *words.format(ckpt=f"{name}.ckpt").split()) == 2, name
        said = capsys.readouterr().err
        assert f"{name}.ckpt: " + text.format(kind=kind) in said
        assert said.count("\n") == 1
        assert len(said) < 300
    assert sorted(files.iterdir()) == before


def test_targets_that_cannot_be(
    good: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(good, weights_only=True)
    for key, value in (("target", {"colour": 1}), ("target", 3), ("crop", {"offset_px": 1.0})):
        changed = content | {"hyper_parameters": content["hyper_parameters"] | {key: value}}
        torch.save(changed, tmp_path / "net.ckpt")
        assert run("heatmap", tmp_path / "net.ckpt", files / "view.png", "--zoom", 1) == 2
        assert "net.ckpt: no checkpoint of a regressor: " in capsys.readouterr().err


def test_nothing_to_go_on_from(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("truncated", "program"):
        (tmp_path / name).mkdir()
        shutil.copy(files / f"{name}.ckpt", tmp_path / name / "last.ckpt")
        assert run(*TRAIN, "-o", tmp_path / name, "--resume") == 2
        said = capsys.readouterr().err.splitlines()[-1]
        assert "last.ckpt: no checkpoint to go on from: " in said


def test_what_segment_refuses(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from refimpl.centring import segment
    from refimpl.centring.crops import CropRule

    net = segment.Segmenter(CropRule(0.0, 16.0).as_dict(), size=32).eval()
    monkeypatch.setattr(segment, "load_segmenter", lambda path: net)
    (tmp_path / "no.png").write_text("no picture")
    view = files / "view.png"
    for words, text in (
        ((tmp_path / "none.png", "--zoom", 1), "none.png: cannot read"),
        ((tmp_path, "--zoom", 1), "Is a directory"),
        ((tmp_path / "no.png", "--zoom", 1), "no.png: "),
        ((view,), "Missing option '--zoom'"),
        ((view, "--zoom", "nan"), "px"),
        ((view, "--zoom", -1), "px"),
        ((view, "--zoom", 1, "--step", 0), "step 0 px"),
        ((view, "--zoom", 1, "--step", "nan"), "step nan px"),
        ((view, "--zoom", 1, "--probability", "nan"), "expected between 0 and 1"),
        ((view, "--zoom", 1, "--probability", 0), "expected between 0 and 1"),
        ((view, "--zoom", 1, "--least", -1), "least -1 px2: expected 0 or more"),
        ((view, "--zoom", 1, "--least", "nan"), "least nan px2: expected 0 or more"),
    ):
        assert run("segment", "best.ckpt", *words) == 2, words
        said = capsys.readouterr().err
        assert text in said
        assert said.count("\n") == 1
