"""``refimpl powder``: what the commands print, write and return, on a small simulated frame."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import refimpl
from refimpl.cli import parse
from refimpl.cli.main import main
from refimpl.errors import ConfigError
from refimpl.io.geometry_json import read_geometry
from refimpl.powder import calibrate as library_call
from refimpl.powder.config import config_from, read_config

OPTIONS = ["--wavelength-angstrom", "0.25", "--pixel-size-um", "300"]
CALIBRATE = ["powder", "calibrate", "ceria.tif", *OPTIONS]
FILES = {
    "autocal.log",
    "calibrant_screen_out.csv",
    "config.toml",
    "geometry.json",
    "points.csv",
    "refined_MIDAS_params.txt",
    "result.json",
}


def parameters(folder: Path | str) -> dict[str, float]:
    result = json.loads((Path(folder) / "result.json").read_text())
    return {p["name"]: p["value"] for p in result["parameters"]}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, simulated) -> Path:
    """Folder of a calibration with everything on."""
    folder = tmp_path_factory.mktemp("done")
    image = folder / "ceria.tif"
    tifffile.imwrite(image, simulated.image)
    plots = str(folder / "plots.h5")
    arguments = ["powder", "calibrate", str(image), *OPTIONS, "--save-plots-hdf", plots]
    assert main([*arguments, "-o", str(folder / "deep" / "out")]) == 0
    return folder


def test_every_file_is_there_and_tells_the_truth(done, simulated) -> None:
    out = done / "deep" / "out"
    assert {p.name for p in out.iterdir()} == FILES | {"report.html", "figures"}
    result = json.loads((out / "result.json").read_text())
    assert result["converged"] is True
    true = simulated.model
    truth = {
        "Lsd": true.lsd_mm,
        "BC_fast": true.beam_centre_px[0],
        "BC_slow": true.beam_centre_px[1],
        "ty": np.degrees(true.tilts_rad[1]),
        "tz": np.degrees(true.tilts_rad[2]),
    }
    for p in result["parameters"]:
        if p["name"] in truth:
            assert abs(p["value"] - truth[p["name"]]) < 5.0 * p["sigma"]  # once in 350,000 runs
    assert "<html" in (out / "report.html").read_text()[:500]
    assert len(list((out / "figures").glob("*.png"))) >= 5
    assert not list(done.rglob("*.part*"))


def test_the_library_call_gives_the_same(done, simulated) -> None:
    result = library_call(simulated.image, wavelength_angstrom=0.25, pixel_size_mm=0.3)
    assert parameters(done / "deep" / "out") == {p.name: p.value for p in result.parameters}


def test_intermediates_are_in_the_file(done) -> None:
    with h5py.File(done / "plots.h5") as file:
        assert file["raw_image_data/raw_image"].shape == (240, 260)
        assert file["metadata"].attrs["file_name"].endswith("ceria.tif")
        assert any(name.startswith("strain_tth_data_iter") for name in file)


def test_the_written_configuration_repeats_the_run(done, tmp_path, capsys) -> None:
    out = done / "deep" / "out"
    arguments = ["--params", str(out / "config.toml"), "--no-report"]
    image = str(done / "ceria.tif")
    assert main(["powder", "calibrate", image, *arguments, "-o", str(tmp_path / "again")]) == 0
    assert parameters(tmp_path / "again") == parameters(out)
    assert {p.name for p in (tmp_path / "again").iterdir()} == FILES
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"converged after \d+ passes: ", lines[0])
    assert re.match(r"  Lsd +(249\.99|250\.00)\d+ \+- 0\.\d+ mm$", lines[1])
    assert lines[-1] == f"wrote {tmp_path / 'again' / 'result.json'}"


def test_maps_are_the_model_in_the_order_of_the_file(done, tmp_path, capsys) -> None:
    geometry = done / "deep" / "out" / "geometry.json"
    assert main(["powder", "map", str(geometry), "-o", str(tmp_path / "maps"), "--tiff"]) == 0
    two_theta, eta = (np.load(tmp_path / "maps" / f"{n}.npy") for n in ("two_theta", "eta"))
    model = read_geometry(geometry).model
    assert model is not None
    expected = [m[::-1] for m in model.maps()]  # the image transform is a flip up-down
    np.testing.assert_allclose(two_theta, expected[0], rtol=0.0, atol=1e-12)  # rad, panel vectors
    np.testing.assert_allclose(eta, expected[1], rtol=0.0, atol=1e-11)  # rad, near the beam
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "maps" / "two_theta.tif"), two_theta)
    assert capsys.readouterr().out.count("wrote ") == 4


def test_integrate_takes_the_geometry(done, tmp_path, capsys) -> None:
    files = [str(done / "ceria.tif"), str(done / "deep" / "out" / "geometry.json")]
    assert main(["powder", "integrate", *files, "-o", str(tmp_path / "pattern")]) == 0
    assert (tmp_path / "pattern" / "pattern.csv").exists()
    assert "counts" in capsys.readouterr().out


def test_options_win_over_the_file_and_may_complete_it(here, capsys) -> None:
    (here / "part.toml").write_text("[calibrate]\neta_bin_deg = 6.0\nmax_iterations = 30\n")
    arguments = ["--params", "part.toml", "--eta-bin-deg", "8", "--set", "ring_multiplier=0"]
    arguments += ["--refine", "distance,beam_centre", "--refine", "p0..p1", "--no-report"]
    assert main([*CALIBRATE, *arguments, "-o", "out"]) == 0
    config = read_config("out/config.toml")
    assert config.calibrate.eta_bin_deg == 8.0
    assert config.calibrate.max_iterations == 30
    assert config.calibrate.ring_multiplier == 0.0
    assert config.calibrate.refine == ("distance", "beam_centre", "p0", "p1")
    assert config.detector.pixel_size_mm == (0.3, 0.3)


def test_json_is_for_machines(here, capsys) -> None:
    assert main([*CALIBRATE, "--json", "--no-report", "-o", "out"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads(Path("out/result.json").read_text())
    assert printed.err == ""


def test_energy_stands_for_the_wavelength(here) -> None:
    arguments = ["--energy-kev", "49.5936793728", *OPTIONS[2:], "--no-report"]  # hc / 0.25
    assert main(["powder", "calibrate", "ceria.tif", *arguments, "-o", "out"]) == 0
    assert read_config("out/config.toml").beam.wavelength_angstrom == pytest.approx(
        0.25,
        rel=1e-10,  # digits of the energy
    )


def test_a_published_geometry_says_which_way_up(here, done, capsys) -> None:
    geometry = str(done / "deep" / "out" / "geometry.json")
    assert main([*CALIBRATE, "--geometry", geometry, "--no-report", "-o", "out"]) == 0
    assert "note: The given geometry fits the image flipped up-down" in capsys.readouterr().out


def test_no_convergence_is_exit_4_and_says_where_the_rest_is(here, capsys) -> None:
    assert main([*CALIBRATE, "--set", "max_iterations=1", "--no-report", "-o", "out"]) == 4
    printed = capsys.readouterr()
    assert printed.out.startswith("NOT CONVERGED after 1 passes")
    assert printed.err == (
        "refimpl: not converged: stopped after 1 passes; what there is stands in out\n"
    )
    assert json.loads(Path("out/result.json").read_text())["converged"] is False
    assert json.loads(Path("out/geometry.json").read_text())["converged"] is False


@pytest.mark.parametrize(
    "command", ["", "info", "demo", "powder", "powder calibrate", "powder map", "powder integrate"]
)
def test_help(command, capsys) -> None:
    assert main([*command.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: refimpl {command}".rstrip())
    assert "list[" not in text
    assert max(map(len, text.splitlines())) <= 92


def test_help_of_calibrate_has_examples_that_parse(capsys) -> None:
    main(["powder", "calibrate", "--help"])
    text = capsys.readouterr().out.replace("\\\n", " ")
    examples = re.findall(r"^ +refimpl (powder calibrate .*)$", text, re.MULTILINE)
    assert len(examples) == 4
    for example in examples:
        assert main(example.split()) == 2  # the files are not there, the options are
        assert re.search(r"(ceria\.tif|ge\.h5|config\.toml): ", capsys.readouterr().err)
    assert "4 the fit did not converge" in " ".join(text.split())


def test_published_switches_are_passed_on(capsys) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["powder", "autocalibrate", "-h"])
    assert "-StoppingStrain" in capsys.readouterr().out


def test_version_and_info(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{refimpl.__version__}\n"
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refimpl"] == refimpl.__version__


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Missing command; see 'refimpl --help'"),
        ("powder", "Missing command; see 'refimpl powder --help'"),
        ("powder calibrat", "No such command 'calibrat'"),
        ("powder calibrate -o out", "Missing argument 'IMAGE'"),
        ("powder calibrate x.tif", "Missing option '-o' / '--out'"),
        ("powder calibrate x.tif -o out --lambda 1", "No such option: --lambda"),
        ("powder calibrate x.tif -o out --threads two", "Invalid value for '--threads'"),
        ("powder map", "Missing argument 'GEOMETRY'"),
        ("demo --seed -1", "Invalid value for '--seed'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments.split()) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"refimpl: {message}")
    assert printed.err.count("\n") == 1
    assert "--help'" in printed.err
    assert printed.out == ""
    assert not list(tmp_path.iterdir())


def test_debug_shows_the_traceback(tmp_path) -> None:
    arguments = ["--debug", "powder", "map", str(tmp_path / "no.json"), "-o", str(tmp_path)]
    with pytest.raises(refimpl.errors.RefimplError, match=r"no\.json"):
        main(arguments)


def test_interrupted(monkeypatch, capsys) -> None:
    def stop(as_json: bool) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("refimpl.cli.info.main", stop)
    assert main(["info"]) == 130
    assert capsys.readouterr().err.strip() == "refimpl: interrupted"


def test_a_reader_that_leaves_is_no_traceback() -> None:
    code = "import sys; from refimpl.cli.main import main; sys.exit(main(['powder', 'calibrate', '--help']))"  # noqa: E501
    pipe = f"{sys.executable} -c \"{code}\" | {sys.executable} -c 'import os; os.close(0)'"
    ended = subprocess.run(pipe, shell=True, capture_output=True, text=True, check=True)
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        ([], None),
        (["tilt"], ("tilt",)),
        (["tilt, p0..p2", "tilt"], ("tilt", "p0", "p1", "p2")),
        (["p3-p4"], ("p3", "p4")),
    ],
)
def test_names(given, expected) -> None:
    assert parse.names(given) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("3", 3), ("2:5", slice(2, 5)), (":4", slice(None, 4)), ("1:", slice(1, None))],
)
def test_frames(text, expected) -> None:
    assert parse.frames(text) == expected


@pytest.mark.parametrize(
    ("call", "argument", "message"),
    [
        (parse.names, ["p4..p2"], r"^--refine 'p4\.\.p2': the span runs backwards$"),
        (parse.frames, "1:2:3", r"^--frames '1:2:3': expected N or N:M, from 0$"),
        (parse.frames, "-1", r"^--frames '-1': expected N or N:M, from 0$"),
        (parse.frames, "", r"^--frames '': expected N or N:M"),
        (parse.settings, ["solver"], r"^--set 'solver': expected NAME=VALUE$"),
        (parse.settings, ["=1"], r"^--set '=1': expected NAME=VALUE$"),
        (parse.pixel_size_mm, [1.0, 2.0, 3.0], r"^--pixel-size-um: got 3 values: expected one or"),
    ],
)
def test_bad_values(call, argument, message) -> None:
    with pytest.raises(ConfigError, match=message):
        call(argument)


def test_values() -> None:
    assert parse.settings(["a = 1", "b=[2, 3]", "c=lm", 'd="x y"', "e=true"]) == {
        "a": 1,
        "b": [2, 3],
        "c": "lm",
        "d": "x y",
        "e": True,
    }
    assert parse.pixel_size_mm([172.0]) == (0.172, 0.172)
    assert parse.pixel_size_mm([75.0, 55.0]) == (0.075, 0.055)
    assert parse.pixel_size_mm(None) is None
    assert parse.wavelength_angstrom(0.2, None) == 0.2
    with pytest.raises(ConfigError, match=r"^--energy-kev -3: expected > 0$"):
        parse.wavelength_angstrom(None, -3.0)
    with pytest.raises(ConfigError, match="--energy-kev: give one of them"):
        parse.wavelength_angstrom(0.2, 60.0)


def test_the_output_folder_is_left_as_it_was(tmp_path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "result.json").write_text("{}")
    for folder in (tmp_path / "a" / "b", tmp_path / "old"):
        with pytest.raises(ZeroDivisionError), parse.output_folder(folder) as made:
            _ = 1 / (not made.is_dir())  # fails only if the folder is there
    assert [p.name for p in tmp_path.rglob("*")] == ["old", "result.json"]


def test_a_folder_without_permission_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with (
        pytest.raises(ConfigError, match="cannot write: no permission in this folder"),
        parse.output_folder(tmp_path / "new"),
    ):
        pytest.fail("the work must not begin")
    assert not (tmp_path / "new").exists()


def test_settings_on_the_command_line_are_the_librarys() -> None:
    settings = parse.settings(["wavelength_angstrom=0.2", "pixel_size_mm=0.1", "solver=simplex"])
    assert config_from(settings).calibrate.solver == "simplex"
