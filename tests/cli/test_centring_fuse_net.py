"""``refimpl centring fuse --net`` and ``mesh --picture``: where a net looks at pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from refimpl.cli.main import main

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")


def run(*arguments: object) -> int:
    return main(["centring", *(str(a) for a in arguments)])


class Darkness(torch.nn.Module):
    """A net that needs no teaching: the darker the middle of a crop, the more reflections."""

    def forward(self, images: Any) -> Any:
        half = images.shape[-1] // 2
        return -images[:, 0, half - 2 : half + 2, half - 2 : half + 2].mean(dim=(1, 2))


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> None:
    from refimpl.centring import modules

    target = {"name": "vanilla", "mean": 0.0, "deviation": 100.0, "least": 0.0}
    made = modules.Regressor("a9", target, {"offset_px": 0.0, "slope_px": 40.0}, size=32)
    made.net = Darkness()
    monkeypatch.setattr(modules, "load_regressor", lambda path: made.eval())


def spot(path: Path, x: float, y: float, shape: tuple[int, int] = (100, 160)) -> None:
    """A dark spot on a bright field."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    image = 220.0 - 150.0 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 40.0)
    noise = np.random.default_rng(0).normal(0.0, 2.0, shape)
    Image.fromarray(np.clip(image + noise, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A point at s 30, y 20, z -10 um seen at 1 um/px, and a field with nothing in it."""
    lines = ["image,omega_deg,zoom,series"]
    for degrees in range(0, 360, 45):
        omega = math.radians(degrees)
        t = 20.0 * math.cos(omega) - 10.0 * math.sin(omega)
        spot(tmp_path / f"{degrees}.png", 80.0 + 30.0, 50.0 + t)
        lines.append(f"{degrees}.png,{degrees},1,a")
    for degrees in (0, 90):
        Image.fromarray(np.full((100, 160), 200, np.uint8)).save(tmp_path / f"e{degrees}.png")
        lines.append(f"e{degrees}.png,{degrees},1,empty")
    path = tmp_path / "camera.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.usefixtures("net")
def test_a_net_finds_the_points_that_are_fused(pictures: Path, capsys: Any) -> None:
    options = ("fuse", pictures, "--net", "best.ckpt", "--by", "series", "--step", 8)
    assert run(*options, "--um-per-px", 1, "--json") == 0
    found, empty = json.loads(capsys.readouterr().out)
    assert found["centre_um"] == pytest.approx([30.0, 20.0, -10.0], abs=4.0)
    assert found["points"] == 8
    assert empty["error"] == "fusion: 0 points: 2 or more are needed"
    assert run(*options, "--um-per-px", "0.5,0.5") == 0  # 0.5 + 0.5 zoom px/um is 1 at zoom 1
    assert capsys.readouterr().out.startswith("a: s ")
    assert run(*options) == 2
    assert "a scale (um/px) is needed" in capsys.readouterr().err
    pictures.write_text("image,omega_deg,zoom\n0.png,,1\n")
    assert run(*options, "--um-per-px", 1) == 2
    assert "camera.csv:2: rotation nan, zoom 1: expected numbers" in capsys.readouterr().err


@pytest.mark.usefixtures("net")
def test_a_mesh_beside_the_heat_map_of_a_picture(tmp_path: Path, capsys: Any) -> None:
    spot(tmp_path / "view.png", 110.0, 70.0)  # s 30, t 20 um from the middle
    at = [(s, t) for t in range(-40, 41, 10) for s in range(-70, 71, 10)]
    lines = [f"{s},{t},{2 + 500 * math.exp(-((s - 30) ** 2 + (t - 20) ** 2) / 200):.0f}"
             for s, t in at]  # fmt: skip
    table = tmp_path / "mesh.csv"
    table.write_text("s_um,t_um,rc\n" + "\n".join(lines) + "\n")
    options = ("mesh", table, "--picture", tmp_path / "view.png", "--net", "best.ckpt",
               "--zoom", 1, "--um-per-px", 1)  # fmt: skip
    assert run(*options, "--json") == 0
    heat = json.loads(capsys.readouterr().out)["heat_map"]
    assert heat["away_um"] < 5.0
    assert heat["relative"] > 0.8
    assert heat["spearman"] > 0.5
    assert run(*options, "--at", "30,20") == 0  # the picture is said to be elsewhere
    assert "its best point is 36" in capsys.readouterr().out
    assert run(*options, "--at", "30") == 2
    assert "--at 30: expected S,T" in capsys.readouterr().err
