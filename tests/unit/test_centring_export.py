"""Nets as ONNX files: what onnx's own evaluator makes of plain pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")
onnx = pytest.importorskip("onnx", reason="needs the extra centring (onnx)")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from refimpl.centring.crops import standardised  # noqa: E402
from refimpl.centring.export import export_onnx  # noqa: E402
from refimpl.centring.modules import Regressor  # noqa: E402
from refimpl.centring.onnx_graph import GraphWriter  # noqa: E402
from refimpl.centring.targets import TARGETS, Target  # noqa: E402
from refimpl.cli.main import main  # noqa: E402
from refimpl.errors import ConfigError  # noqa: E402

F32 = np.float32


def made(arch: str = "a_fcn", target: str = "tanh", size: int = 32, **more: Any) -> Regressor:
    torch.manual_seed(3)
    taught = Target(target, 3.0 if target == "log_first" else 200.0, 1.5, 4.0, **more)
    net = Regressor(arch, taught.as_dict(), {"offset_px": 60.0, "slope_px": 60.0}, size=size)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):  # statistics that are not those of the start
            layer.running_mean.uniform_(-1.0, 1.0)
            layer.running_var.uniform_(0.5, 2.0)
    return net.eval()


def pictures(n: int, *edges: int) -> Any:
    rng = np.random.default_rng(5)
    bright = np.array([1.0, 30.0, 200.0, 0.01])[:n, None, None, None]
    return (bright * (3.0 + rng.normal(size=(n, 1, *edges)))).astype(F32)


def answers(path: Path, given: Any) -> list[Any]:
    return ReferenceEvaluator(str(path)).run(None, {"picture": given})


@pytest.mark.parametrize("arch", ["a1", "a4", "a9", "a_fcn"])
def test_a_file_takes_plain_pictures(arch: str, tmp_path: Path) -> None:
    net = made(arch)
    found = export_onnx(net, tmp_path / "net.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.onnx"]  # weights included
    given = pictures(4, 32, 32)
    value, count = answers(found.path, given)
    with torch.no_grad():
        wanted = net(torch.from_numpy(standardised(given.astype(float)).astype(F32))).numpy()
    np.testing.assert_allclose(value, wanted, atol=2e-5)
    np.testing.assert_allclose(count, net.target.invert(value), rtol=1e-5)
    assert found.difference < 1e-5
    assert answers(found.path, given[:1])[0].shape == (1,)


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_has_its_way_back(target: str) -> None:
    """The nodes alone, over more than the range of each target."""
    from refimpl.centring import export

    taught = made(target=target).target
    writer, given = GraphWriter(), np.linspace(-2.0, 2.0, 41).astype(F32)
    export._count(writer, "picture", taught)
    model = writer.model({"picture": ["n"]}, {"count": ["n"]}, {})
    (count,) = ReferenceEvaluator(model).run(None, {"picture": given})
    np.testing.assert_allclose(count, taught.invert(given), rtol=1e-6, atol=1e-6)


def test_a_picture_without_contrast_is_none_to_the_net(tmp_path: Path) -> None:
    net = made()
    for dense in (False, True):
        export_onnx(net, tmp_path / "net.onnx", dense=dense)
        flat = np.full((1, 1, 32, 32), 123.4, F32)
        value = answers(tmp_path / "net.onnx", flat)[0]
        with torch.no_grad():
            zeros = (
                net.net.heat(torch.zeros(1, 1, 32, 32)) if dense else net(torch.zeros(flat.shape))
            )
        np.testing.assert_allclose(value, zeros.numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [32, 33])
def test_the_dense_form_is_the_dense_heat_map(size: int, tmp_path: Path) -> None:
    from refimpl.centring.crops import CropRule
    from refimpl.centring.heatmap import heat_map

    net = made(size=size)
    found = export_onnx(net, tmp_path / "dense.onnx", dense=True)
    picture = pictures(2, 64, 96)
    _, count = answers(found.path, picture)
    assert count.shape == (2, 16, 24)
    # at scale 1 a heat map with a step of 4 px has its points where the file's are
    for one, seen in zip(count, picture, strict=True):
        heat = heat_map(
            net, seen[0], CropRule(float(size), 0.0), 1.0, net.target, step_px=4.0, size=size
        )
        np.testing.assert_allclose(one, heat.count, rtol=1e-4)


def test_what_a_file_says_of_itself(tmp_path: Path) -> None:
    found = export_onnx(made("a8"), tmp_path / "net.onnx")
    properties = {p.key: p.value for p in onnx.load(found.path).metadata_props}
    notes = json.loads(properties["refimpl"])
    assert notes == found.notes
    assert (notes["arch"], notes["form"], notes["size"]) == ("a8", "crops", 32)
    assert notes["crop"] == {"offset_px": 60.0, "slope_px": 60.0}
    assert Target(**notes["target"]) == made("a8").target
    first = found.path.read_bytes()
    assert export_onnx(made("a8"), tmp_path / "net.onnx").path.read_bytes() == first


def test_a_target_per_crystal_has_no_counts(tmp_path: Path) -> None:
    found = export_onnx(made(per_crystal="rank"), tmp_path / "net.onnx")
    assert list(found.outputs) == ["value"]


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="a4 is not fully convolutional: leave out dense"):
        export_onnx(made("a4"), tmp_path / "net.onnx", dense=True)
    net = made()
    net.net.layers.append(torch.nn.Softplus())
    with pytest.raises(ConfigError, match="no translation of the layer Softplus"):
        export_onnx(net, tmp_path / "net.onnx")
    with pytest.raises(ConfigError, match=r"the folder .*none does not exist"):
        export_onnx(made(), tmp_path / "none" / "net.onnx")
    # a file that does not do what the net does is not written
    right = GraphWriter.heat
    monkeypatch.setattr(GraphWriter, "heat", lambda self, *of: self.add("Neg", right(self, *of)))
    with pytest.raises(ConfigError, match="the file's values differ from the net's by"):
        export_onnx(made(), tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pytorch_lightning import Trainer

    net = made()
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(net)
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    out = tmp_path / "net.onnx"
    arguments = ["centring", "export", str(tmp_path / "best.ckpt"), "-o", str(out)]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "picture (n, 1, 32, 32) to value (n) and count (n)" in text
    assert main([*arguments, "--dense", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert numbers["inputs"] == {"picture": ["n", 1, "height", "width"]}
    assert numbers["bytes"] == out.stat().st_size
    (tmp_path / "bad.ckpt").write_text("no checkpoint")
    assert main(["centring", "export", str(tmp_path / "bad.ckpt"), "-o", str(out)]) == 2
    assert "no checkpoint of a regressor" in capsys.readouterr().err
    assert main([*arguments[:3], "-o", str(tmp_path / "none" / "net.onnx")]) == 2
    assert "Traceback" not in capsys.readouterr().err
