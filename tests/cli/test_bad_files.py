"""Files beside the image that calibration cannot use, and results that cannot be written."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from powder_refusals import OPTIONS, noise, refused, said, write

from refimpl.cli.main import main


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[calibrate]\neta_bin_dge = 2.0\n", "p.toml:2: unknown key 'eta_bin_dge'; did you mean"),
        ("[calibrat]\n", "p.toml:1: unknown key 'calibrat'; did you mean 'calibrat"),
        ("[calibrate]\n\neta_bin_deg = 99\n", "p.toml:3: calibrate.eta_bin_deg: "),
        ("[calibrate\n", "p.toml: not a TOML file: "),
        ("schema = 9\n", "p.toml: schema 9 is newer than this refimpl (1); upgrade"),
    ],
)
def test_bad_parameter_file(text, message, here, capsys) -> None:
    Path("p.toml").write_text(text)
    assert refused("ceria.tif", capsys, "--params", "p.toml").startswith(message)


def test_missing_parameter_file(here, capsys) -> None:
    line = refused("ceria.tif", capsys, "--params", "p.toml")
    assert line == "p.toml: cannot read the parameter file: No such file or directory"


def test_a_bad_option_is_not_blamed_on_the_file(here, capsys) -> None:
    Path("p.toml").write_text("[calibrate]\neta_bin_deg = 2.0\n")
    line = refused("ceria.tif", capsys, "--params", "p.toml", "--eta-bin-deg", "99")
    assert line.startswith("calibrate.eta_bin_deg: ")


def test_mask_that_hides_everything(here, capsys) -> None:
    write("mask.tif", np.ones((240, 260), np.uint8))
    assert "masked" in refused("ceria.tif", capsys, "--mask", "mask.tif")


def test_mask_that_hides_nearly_everything(here, capsys) -> None:
    mask = np.ones((240, 260), np.uint8)
    mask[100:130, 5:40] = 0
    write("mask.tif", mask)
    assert "no rings found" in refused("ceria.tif", capsys, "--mask", "mask.tif")


@pytest.mark.parametrize("option", ["--mask", "--dark"])
def test_mask_or_dark_of_the_wrong_shape(option, here, capsys) -> None:
    write("small.tif", np.zeros((100, 90), np.uint8))
    line = refused("ceria.tif", capsys, option, "small.tif")
    assert "(100, 90)" in line
    assert "(240, 260)" in line


@pytest.mark.parametrize("option", ["--mask", "--dark"])
def test_mask_or_dark_missing(option, here, capsys) -> None:
    assert refused("ceria.tif", capsys, option, "none.tif") == "none.tif: no such file"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("g.poni", "this is no geometry\n"),
        ("g.json", '{"a": 1}'),
        ("g.json", "{"),
        ("g.yml", "a: 1\n"),
        ("g.imctrl", "nothing\n"),
        ("g.txt", "nothing at all\n"),
    ],
)
def test_geometry_of_the_wrong_kind(name, text, here, capsys) -> None:
    Path(name).write_text(text)
    assert refused("ceria.tif", capsys, "--geometry", name).startswith(f"{name}:")


def test_missing_geometry(here, capsys) -> None:
    assert refused("ceria.tif", capsys, "--geometry", "g.poni").startswith("g.poni: ")
    assert said(["powder", "map", "g.json", "-o", "new"], capsys).startswith("g.json: ")


def test_geometry_of_another_image(here, capsys) -> None:
    Path("g.poni").write_text(
        "poni_version: 2.1\nDetector: Detector\n"
        'Detector_config: {"pixel1": 0.0003, "pixel2": 0.0003, "max_shape": [240, 260]}\n'
        "Distance: 0.9\nPoni1: 0.001\nPoni2: 0.09\nRot1: 0.2\nRot2: -0.1\nRot3: 0.0\n"
        "Wavelength: 2.5e-11\n"
    )
    line = refused("ceria.tif", capsys, "--geometry", "g.poni")
    assert "the given geometry (image 240 x 260 px, slow x fast) fits the image" in line
    assert "in none of the eight ways" in line


def test_map_of_what_is_no_geometry(here, capsys) -> None:
    Path("r.json").write_text('{"kind": "refimpl.powder.result", "schema": 1}')
    assert said(["powder", "map", "r.json", "-o", "new"], capsys).startswith("r.json: ")


@pytest.mark.parametrize("out", ["ceria.tif", "ceria.tif/out", "ceria.tif/deep/out"])
@pytest.mark.parametrize("command", ["calibrate", "map", "integrate", "demo"])
def test_output_under_a_file(out, command, here, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["refimpl.powder.calibrate"], "calibrate", None)  # never called
    monkeypatch.setattr("refimpl.forward.scenes.pilatus2m", None)
    geometry = Path(here).parent / "geometry.json"
    _write_geometry(geometry)
    arguments = {
        "calibrate": ["powder", "calibrate", "ceria.tif", *OPTIONS],
        "map": ["powder", "map", str(geometry)],
        "integrate": ["powder", "integrate", "ceria.tif", str(geometry)],
        "demo": ["demo"],
    }[command]
    line = said([*arguments, "-o", out], capsys)
    assert line.startswith(f"{out}: cannot make the folder: ")


def test_intermediates_where_they_cannot_be_written(here, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["refimpl.powder.calibrate"], "calibrate", None)  # never called
    line = refused("ceria.tif", capsys, "--save-plots-hdf", "none/plots.h5")
    assert line == "none/plots.h5: cannot write: the folder none does not exist"
    line = refused("ceria.tif", capsys, "--save-plots-hdf", ".")
    assert line.startswith(".: cannot write: this is a folder")


def test_a_failing_run_leaves_an_older_result_alone(here, capsys) -> None:
    out = Path("new/out")
    out.mkdir(parents=True)
    (out / "result.json").write_text("{}")
    write("noise.tif", noise())
    assert refused("noise.tif", capsys).startswith("noise.tif: no rings found")
    assert (out / "result.json").read_text() == "{}"


def test_a_disk_that_fills_up_leaves_no_result(here, capsys, monkeypatch) -> None:
    """result.json is written last and an older one goes first: where it stands, all is whole."""
    import refimpl.powder.outputs as outputs

    Path("out").mkdir()
    Path("out/result.json").write_text("{}")

    def full(*args: object) -> None:
        from refimpl.errors import ConfigError

        raise ConfigError("cannot write: No space left on device", path="out/points.csv")

    monkeypatch.setattr(outputs, "_screen", full)
    arguments = ["powder", "calibrate", "ceria.tif", *OPTIONS, "--no-report", "-o", "out"]
    assert main(arguments) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert not Path("out/result.json").exists()


def _write_geometry(path: Path) -> None:
    from refimpl.detector.model import TiltedFlat
    from refimpl.io.geometry_json import write_geometry

    write_geometry(path, TiltedFlat((240, 260), (0.3, 0.3), 250.0, (128.3, 117.6)), 0.25)
