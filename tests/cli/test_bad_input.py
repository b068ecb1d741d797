"""Bad input: one clear line on stderr, exit 2, no traceback, and nothing left behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage

from refimpl.cli.main import main

WAVELENGTH = ["--wavelength-angstrom", "0.25"]
PIXEL = ["--pixel-size-um", "300"]
OPTIONS = [*WAVELENGTH, *PIXEL]


def said(arguments: list[str], capsys: pytest.CaptureFixture[str], *, code: int = 2) -> str:
    """Run in this process; the one line on stderr without its beginning."""
    before = {p: p.stat().st_mtime_ns for p in Path().rglob("*")}
    assert main(arguments) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("refimpl: ")
    assert printed.err.endswith("\n")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    # nothing is written, made or changed, not even an empty folder
    assert {p: p.stat().st_mtime_ns for p in Path().rglob("*") if p != Path()} == before
    return printed.err[len("refimpl: ") : -1]


def refused(image: str, capsys: pytest.CaptureFixture[str], *options: str, code: int = 2) -> str:
    """What ``powder calibrate`` says of an image."""
    arguments = ["powder", "calibrate", image, *OPTIONS, *options, "-o", "new/out"]
    return said(arguments, capsys, code=code)


def write(name: str, image: np.ndarray) -> str:
    tifffile.imwrite(name, image)
    return name


def noise(shape: tuple[int, ...] = (240, 260)) -> np.ndarray:
    return np.random.default_rng(3).poisson(20.0, shape).astype(np.int32)


# ---------------------------------------------------------------------------- the image


def test_missing_file(here, capsys) -> None:
    assert refused("none.tif", capsys) == "none.tif: no such file"


@pytest.mark.parametrize("name", ["cut.tif", "cut.h5", "cut.npy", "cut.cbf", "cut.edf", "cut.ge2"])
def test_truncated_file(name, here, capsys, simulated) -> None:
    image = simulated.image
    whole = Path("whole").with_suffix(Path(name).suffix)
    if whole.suffix == ".tif":
        tifffile.imwrite(whole, image)
    elif whole.suffix == ".h5":
        with h5py.File(whole, "w") as file:
            file["image"] = image
    elif whole.suffix == ".npy":
        np.save(whole, image)
    elif whole.suffix == ".ge2":
        whole.write_bytes(bytes(8192) + bytes(2048 * 2048 * 2))
    else:
        kind = CbfImage if whole.suffix == ".cbf" else EdfImage
        kind(data=image).write(str(whole))
    content = whole.read_bytes()
    Path(name).write_bytes(content[: len(content) * 2 // 3])
    line = refused(name, capsys)
    assert line.startswith(f"{name}: ")
    assert len(line) > len(f"{name}: ") + 10


def test_not_an_image(here, capsys) -> None:
    Path("notes.tif").write_text("not an image")
    assert refused("notes.tif", capsys).startswith("notes.tif: ")
    Path("notes.xyz").write_text("not an image")
    assert refused("notes.xyz", capsys).startswith("notes.xyz: ")
    Path("folder.tif").mkdir()
    assert refused("folder.tif", capsys).startswith("folder.tif: ")


@pytest.mark.parametrize("shape", [(300,), (2, 2, 40, 50), (8, 9)])
def test_wrong_shape(shape, here, capsys) -> None:
    np.save("odd.npy", np.ones(shape, dtype=np.int32))
    line = refused("odd.npy", capsys)
    assert line.startswith("odd.npy: ")
    assert any(f"{shape[-1]}" in part for part in line.split())


def test_a_frame_that_is_not_there(here, capsys) -> None:
    assert "frame" in refused("ceria.tif", capsys, "--frames", "7")


def test_a_dataset_that_is_not_there(here, capsys, simulated) -> None:
    with h5py.File("a.h5", "w") as file:
        file["entry/image"] = simulated.image
    line = refused("a.h5", capsys, "--dataset", "entry/imgae")
    assert line.startswith("a.h5: ")
    assert "entry/image" in line


def test_all_dark(here, capsys) -> None:
    name = write("dark.tif", np.zeros((240, 260), np.int32))
    assert refused(name, capsys) == "dark.tif: all dark: every unmasked pixel holds 0"


def test_saturated(here, capsys) -> None:
    image = np.full((240, 260), 65535, np.uint16)
    image[:100] = noise()[:100]
    assert refused(write("bright.tif", image), capsys).startswith("bright.tif: saturated: 58% of")


def test_constant(here, capsys) -> None:
    name = write("flat.tif", np.full((240, 260), 7, np.int32))
    assert refused(name, capsys) == "flat.tif: constant: every unmasked pixel holds 7"


def test_no_rings(here, capsys) -> None:
    assert refused(write("noise.tif", noise()), capsys).startswith("noise.tif: no rings found: ")


def test_a_gradient_and_lines_are_no_rings(here, capsys) -> None:
    image = noise((120, 130)) + np.linspace(0.0, 500.0, 130).astype(np.int32)
    image[:, ::20] += 300
    line = refused(write("lines.tif", image), capsys)
    assert line.startswith("lines.tif: ")
    assert "rings" in line


def test_nan_is_masked(here, simulated, capsys) -> None:
    image = simulated.image.astype(np.float32)
    image[50:60, 70:90] = np.nan
    image[3, 3] = np.inf
    name = write("nan.tif", image)
    assert main(["powder", "calibrate", name, *OPTIONS, "--no-report", "-o", "out"]) == 0
    lsd = next(line for line in capsys.readouterr().out.splitlines() if "Lsd" in line)
    assert abs(float(lsd.split()[1]) - 250.0) < 0.01  # mm: ten times the uncertainty


def test_nothing_but_nan(here, capsys) -> None:
    name = write("nan.tif", np.full((240, 260), np.nan, np.float32))
    line = refused(name, capsys)
    assert line.startswith("nan.tif: ")
    assert "masked" in line


# ---------------------------------------------------------------------------- the calibrant


@pytest.mark.parametrize(("true", "told"), [("LaB6", "CeO2"), ("CeO2", "LaB6"), ("CeO2", "Si")])
def test_the_wrong_calibrant_is_named(true, told, here, capsys, frame_of) -> None:
    name = write("other.tif", frame_of(true).image)
    line = refused(name, capsys, "--calibrant", told)
    assert line.startswith(f"other.tif: the rings of the image are those of {true} ")
    assert f"not of {told}" in line


def test_a_wrong_lattice_parameter(here, capsys) -> None:
    line = refused("ceria.tif", capsys, "--lattice-parameter-angstrom", "4.2")
    assert "those of CeO2 (certified lattice parameter), not of CeO2 with a = 4.2 angstrom" in line


def test_unknown_calibrant(here, capsys) -> None:
    line = refused("ceria.tif", capsys, "--calibrant", "CeO")
    assert line.startswith("unknown calibrant 'CeO': did you mean 'CeO2'? (known: CeO2, ")


# ---------------------------------------------------------------------------- beam and detector


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PIXEL, "wavelength_angstrom: missing: give it"),
        (WAVELENGTH, "pixel_size_mm: missing: give it"),
        (["--wavelength-angstrom", "-0.2", *PIXEL], "beam.wavelength_angstrom: Input should be gr"),
        (["--wavelength-angstrom", "0", *PIXEL], "beam.wavelength_angstrom: Input should be great"),
        (["--wavelength-angstrom", "1e6", *PIXEL], "beam.wavelength_angstrom: Input should be les"),
        (["--wavelength-angstrom", "nan", *PIXEL], "beam.wavelength_angstrom: "),
        (["--energy-kev", "-60", *PIXEL], "--energy-kev -60: expected > 0"),
        (["--energy-kev", "60", *OPTIONS], "--wavelength-angstrom and --energy-kev: give one of"),
        ([*WAVELENGTH, "--pixel-size-um", "-5"], "detector.pixel_size_mm: Value error, expected 0"),
        ([*WAVELENGTH, "--pixel-size-um", "1e5"], "detector.pixel_size_mm: Value error, expected "),
        ([*OPTIONS, *PIXEL, *PIXEL], "--pixel-size-um: got 3 values: expected one or two"),
        ([*OPTIONS, "--image-transform", "4"], "detector.image_transform.0: Input should be 0, 1"),
        ([*OPTIONS, "--eta-bin-deg", "90"], "calibrate.eta_bin_deg: Input should be less than or "),
        ([*OPTIONS, "--solver", "magic"], "calibrate.solver: Input should be 'lm' or 'simplex'"),
        ([*OPTIONS, "--threads", "0"], "threads"),
    ],
)
def test_missing_or_absurd_numbers(options, message, here, capsys) -> None:
    arguments = ["powder", "calibrate", "ceria.tif", *options, "-o", "new/out"]
    assert said(arguments, capsys).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--refine", "tilt,tx"], "refine: 'tx' cannot be refined: a turn about the beam leaves"),
        (
            ["--refine", "distance,wavelength"],
            "refine: 'wavelength' cannot be refined: one frame at one distance cannot separate",
        ),
        (["--refine", "tilts"], "refine: unknown parameter 'tilts': expected some of distance, "),
        (["--refine", "p0..p20"], "refine: unknown parameter 'p15': expected some of"),
        (["--set", "wavelenght=0.2"], "unknown setting 'wavelenght'; did you mean 'wavelength_an"),
        (["--set", "eta_bin_deg"], "--set 'eta_bin_deg': expected NAME=VALUE"),
        (["--set", "eta_bin_deg=wide"], "calibrate.eta_bin_deg: Input should be a valid number"),
        (["--frames", "a:b"], "--frames 'a:b': expected N or N:M, from 0"),
    ],
)
def test_unknown_or_refused_names(options, message, here, capsys) -> None:
    assert refused("ceria.tif", capsys, *options).startswith(message)


# ---------------------------------------------------------------------------- parameter file


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


# ---------------------------------------------------------------------------- mask and dark


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


# ---------------------------------------------------------------------------- geometry


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


# ---------------------------------------------------------------------------- output


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


# ---------------------------------------------------------------------------- as a program


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.tif", *OPTIONS], "refimpl: none.tif: no such file\n"),
        (["noise.tif", *OPTIONS], "refimpl: noise.tif: no rings found: "),
    ],
)
def test_as_a_program(arguments, message, here) -> None:
    write("noise.tif", noise())
    command = [sys.executable, "-m", "refimpl.cli.main", "powder", "calibrate"]
    ended = subprocess.run([*command, *arguments, "-o", "out"], capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(message)
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""
    assert not Path("out").exists()


def _write_geometry(path: Path) -> None:
    from refimpl.detector.model import TiltedFlat
    from refimpl.io.geometry_json import write_geometry

    write_geometry(path, TiltedFlat((240, 260), (0.3, 0.3), 250.0, (128.3, 117.6)), 0.25)
