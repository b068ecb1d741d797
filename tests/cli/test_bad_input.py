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
from powder_refusals import OPTIONS, PIXEL, WAVELENGTH, noise, refused, said, write

from refimpl.cli.main import main


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (PIXEL, "wavelength_angstrom: missing: give it (--wavelength-angstrom or --energy-kev)"),
        (WAVELENGTH, "pixel_size_mm: missing: give it (--pixel-size-um)"),
        (["--wavelength-angstrom", "-0.2", *PIXEL], "beam.wavelength_angstrom: Input should be gr"),
        (["--wavelength-angstrom", "0", *PIXEL], "beam.wavelength_angstrom: Input should be great"),
        (["--wavelength-angstrom", "1e6", *PIXEL], "beam.wavelength_angstrom: Input should be les"),
        (["--wavelength-angstrom", "nan", *PIXEL], "beam.wavelength_angstrom: "),
        (["--energy-kev", "-60", *PIXEL], "--energy-kev -60: expected > 0"),
        (
            ["--energy-kev", "61332", *PIXEL],
            "--energy-kev 61332: expected keV; 61332 eV are 61.332",
        ),
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
