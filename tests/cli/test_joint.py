"""``refimpl powder calibrate --joint``: several frames by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tifffile

from refimpl.cli.main import main
from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.forward.powder_image import simulate

OPTIONS = ["--pixel-size-um", "300", "--no-report", "-o", "out"]
WAVELENGTH = ["--wavelength-angstrom", "0.25"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames of CeO2, the detector 150 mm farther in the second; its pixels are 301 um."""
    folder = tmp_path_factory.mktemp("pictures")
    for name, lsd in (("near", 250.0), ("far", 400.0)):
        model = TiltedFlat((240, 260), (0.301, 0.301), lsd, (128.3, 117.6), (0.0, 0.01, -0.015))
        frame = simulate(
            model, rings("CeO2", 0.25, 0.3), wavelength_angstrom=0.25, fwhm_rad=0.75 / lsd,
            peak_counts=3000.0, seed=5,
        )  # fmt: skip
        tifffile.imwrite(folder / f"{name}.tif", frame.image)
    return folder


@pytest.fixture
def here(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with descriptions of the frames."""
    monkeypatch.chdir(tmp_path)
    for name, travel in (("near", 0), ("far", 150)):
        image = json.dumps(str(pictures / f"{name}.tif"))
        (tmp_path / f"{name}.toml").write_text(
            f"image = {image}\ntravel_mm = {travel}\nwavelength_angstrom = 0.25\n"
        )
    return tmp_path


def calibrate(*arguments: object) -> int:
    return main(["powder", "calibrate", *(str(a) for a in arguments), *OPTIONS])


def test_frames_with_travel(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert calibrate("near.toml", "--joint", "far.toml", "--share", "tilt") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.startswith("converged: parameters stand still\nnear: Lsd 2")
    assert "determined by the known travel of 150 mm" in printed.out
    assert printed.out.endswith("wrote out/joint.json\n")
    assert {p.name for p in Path("out").iterdir()} == {"near", "far", "joint.json", "joint.log"}
    content = json.loads(Path("out/joint.json").read_text())
    shared = {v["name"]: v for v in content["shared"]}["pixel_size"]
    assert abs(shared["value"] - 0.301) < 4.0 * shared["sigma"]
    assert shared["sigma"] < 1e-4
    assert Path("out/far/geometry.json").exists()
    assert not Path("out/far/report.html").exists()


def test_images_without_travel(
    here: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [pictures / "near.tif", "--joint", pictures / "far.tif"]
    assert calibrate(*frames, *WAVELENGTH, "--refine-shared", "none", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["pixel_size_mm"] == [0.3, 0.3]
    assert content["fit"]["refined"] == content["fit"]["not_determined"] == []
    assert content["sentences"][0].startswith("Pixel size: held at 0.3 mm; these frames do not")


def test_no_convergence_is_exit_4(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["near.toml", "--joint", "far.toml", "--set", "max_iterations=1"]
    assert calibrate(*arguments) == 4
    printed = capsys.readouterr()
    assert printed.out.startswith("NOT CONVERGED: stopped after 1 passes\n")
    assert printed.err == (
        "refimpl: not converged: stopped after 1 passes; what there is stands in out\n"
    )
    assert json.loads(Path("out/joint.json").read_text())["converged"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["near.toml", "--refine-shared", "wavelength"],
         "--refine-shared: one frame shares nothing: name further frames with --joint"),
        (["near.toml", "--share", "tilt"],
         "--share: one frame shares nothing: name further frames with --joint"),
        (["near.toml", "--joint", "far.toml", "--share", "tilts"],
         "share: unknown 'tilts'; did you mean 'tilt'?"),
        (["near.toml", "--joint", "far.toml", "--refine-shared", "pixel_size,wavelenght"],
         "refine_shared: unknown 'wavelenght'; did you mean 'wavelength'?"),
        (["near.toml", "--joint", "far.toml", "--geometry", "old.poni"],
         "--geometry: not with --joint"),
        (["near.toml", "--joint", "far.toml", "--save-plots-hdf", "x.h5"],
         "--save-plots-hdf: not with --joint"),
        (["near.toml", "--joint", "no.toml"],
         "no.toml: cannot read the frame's file: No such file or directory"),
        (["near.toml", "--joint", "no.tif", *WAVELENGTH],
         "travel_mm: no lacks it, other frames have it: expected on all frames or on none"),
        (["no.tif", "--joint", "no.tif", *WAVELENGTH], "no.tif: no such file"),
        (["near.toml", "--joint", "no.tif"],
             "wavelength_angstrom: missing: give it (--wavelength-angstrom or --energy-kev)"),
        (["near.toml", "--joint", "far.toml", "--solver", "simplex"],
         "solver 'simplex', objective 'strain' with several frames: expected 'lm' and 'strain'"),
        (["near.toml", "--joint", "far.toml", "--mask", "no.tif"], "no.tif: no such file"),
    ],
)  # fmt: skip
def test_bad_input_is_exit_2_and_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert calibrate(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.err == f"refimpl: {message}\n"
    assert printed.out == ""
    assert not Path("out").exists()


def test_unknown_key_names_file_and_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (here / "far.toml").open("a") as file:
        file.write("travel = 3\n")
    assert calibrate("near.toml", "--joint", "far.toml") == 2
    assert capsys.readouterr().err == (
        "refimpl: far.toml:4: unknown key 'travel'; did you mean 'travel_mm'?\n"
    )


def test_batch_does_not_take_these_options(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["powder", "batch", "in", "--joint", "x.tif", "-o", "out"]) == 2
    assert "--joint" in capsys.readouterr().err
