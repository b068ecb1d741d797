"""Every published switch, on a simulated frame; exit codes and one-line errors."""

import math
import re

import h5py
import numpy as np
import pytest
import tifffile

from refimpl.cli.autocalibrate import autocalibrate, main, parser
from refimpl.crystal.calibrants import calibrant_from_cell
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError
from refimpl.io.midas_outputs import read_corr, read_mean_values
from refimpl.io.midas_params import read_params
from refimpl.io.midas_zip import read_archive
from refimpl.powder.published_points import published_rings

CELL = (5.4115, 5.4115, 5.4115, 90.0, 90.0, 90.0)
PARAMS = """SpaceGroup 225
LatticeParameter 5.4115 5.4115 5.4115 90 90 90
Wavelength 0.2
px 200
tx 0
SkipFrame 0
"""
# model frame; the stored image is upside down
TRUTH = TiltedFlat(
    shape=(300, 280),
    pixel_size_mm=(0.2, 0.2),
    lsd_mm=260.0,
    beam_centre_px=(141.3, 150.8),
    rho_d_mm=40.0,
    image_transform=(2,),
)
GUESS = ["-LsdGuess", "260500", "-BCGuess", "140.5", "150.6"]


@pytest.fixture(scope="module")
def stored():
    two_theta, _ = TRUTH.maps()
    powder = calibrant_from_cell("CeO2", 225, CELL)
    rings = published_rings(powder, 0.2, TRUTH.lsd_mm, 30.0)
    frame = np.full(TRUTH.shape, 20.0)
    for t in rings.two_theta_rad:
        frame += 3000.0 * np.exp(-0.5 * ((two_theta - t) * TRUTH.lsd_mm / 0.28) ** 2)
    counts = np.random.default_rng(2).poisson(frame).astype(np.int32)
    counts[::37, 100:103] = -2  # bad pixels
    return counts[::-1].copy()


@pytest.fixture
def here(tmp_path, stored, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("ceo2.tif", stored)
    (tmp_path / "params.txt").write_text(PARAMS)
    return tmp_path


BASE = ["-paramFN", "params.txt", "-ImTransOpt", "2", "-EtaBinSize", "4", *GUESS, "-NoMedian", "1"]
TIFF = ["-dataFN", "ceo2.tif", "-ConvertFile", "3", *BASE]


def test_tiff_to_published_files(here, capsys):
    code = main([*TIFF, "-SavePlotsHDF", "cal.h5", "-MakePlots", "1"])
    shown = capsys.readouterr()
    assert code == 4  # StoppingStrain 40 ue is out of reach for 0.01 px here, as on most detectors
    assert re.match(r"(no progress|iteration cap): Lsd 2\d{5}\.\d{3} um, BC ", shown.out)
    assert "not converged (" in shown.err
    assert sorted(p.name for p in here.iterdir()) == [
        *("autocal.log", "autocal_start.png", "autocal_strain.png", "cal.h5"),
        *("calibrant_screen_out.csv", "ceo2.MIDAS.zip", "ceo2.corr.csv", "ceo2.tif"),
        *("params.txt", "refined_MIDAS_params.txt"),
    ]
    mean = read_mean_values("calibrant_screen_out.csv")
    assert mean.lsd_um == pytest.approx(260_000.0, rel=1e-3)
    assert mean.bc_px == pytest.approx((140.8, 150.3), abs=0.1)  # px; it stops early
    params = read_params("refined_MIDAS_params.txt")
    assert params["Lsd"] == mean.lsd_um
    assert params["ImTransOpt"] == (2,)
    assert params["EtaBinSize"] == 4.0
    assert len(read_corr("ceo2.corr.csv").ring) > 100
    with h5py.File("cal.h5") as file:
        assert "strain_tth_data_iter1/two_theta" in file
    log = (here / "autocal.log").read_text().splitlines()
    pattern = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - AutoCalibrate - INFO - "
    assert all(re.match(pattern, line) for line in log)
    assert sum(" - run " in line for line in log) >= 2


def test_the_archive_alone_is_enough(here, capsys):
    main(TIFF)
    image, params = read_archive("ceo2.MIDAS.zip")
    assert image.mask.sum() == 27
    assert params["LatticeConstant"] == CELL
    (here / "again").mkdir()
    switches = ["-ImTransOpt", "2", "-EtaBinSize", "4", *GUESS, "-o", "again"]
    assert main(["-dataFN", "ceo2.MIDAS.zip", *switches, "-StoppingStrain", "0.01"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("converged: Lsd ")
    assert (here / "again" / "refined_MIDAS_params.txt").exists()


def test_hdf5_with_its_dataset_and_a_dark(here, stored):
    with h5py.File("scan.h5", "w") as file:
        file["entry/here/data"] = np.stack([np.abs(stored) + 5, np.abs(stored) + 5])
    with h5py.File("dark.h5", "w") as file:
        file["exchange/data"] = np.full((1, *stored.shape), 5, dtype=np.int32)
    result = autocalibrate(
        [
            *("-dataFN", "scan.h5", "-ConvertFile", "1", "-dataLoc", "entry/here/data"),
            *("-darkFN", "dark.h5", *BASE, "--max-iterations", "1"),
        ]
    )
    assert result.status == "iteration cap"
    assert result.detector.lsd_mm == pytest.approx(260.0, rel=1e-3)


def test_no_guess_finds_the_start(here):
    switches = ["-dataFN", "ceo2.tif", "-ConvertFile", "3", "-paramFN", "params.txt"]
    # rings 1 and 2 are nearer than 20 px: the published list of radii begins with the second
    found = ["-Threshold", "900", "-FirstRingNr", "2"]
    result = autocalibrate([*switches, "-ImTransOpt", "2", *found])
    assert result.detector.lsd_mm == pytest.approx(260.0, rel=2e-3)


def test_published_chords_bias_the_distance(here):
    arcs = autocalibrate([*TIFF, "-EtaBinSize", "10", "--max-iterations", "4"])
    chords = autocalibrate(
        [*TIFF, "-EtaBinSize", "10", "--max-iterations", "4", "--published-chords"]
    )
    ratio = chords.detector.lsd_mm / arcs.detector.lsd_mm
    assert ratio - 1.0 == pytest.approx(2.55e-3, abs=6e-4)  # sin h / (h cos h) at 5 degrees


def test_published_quirks_run(here):
    result = autocalibrate([*TIFF, "--published-chords", "--published-quirks"])
    assert result.run.options.published_rho_d
    assert result.run.options.published_frame
    # exchanged axes: the corner of 280 x 300 seen from (150, 141)
    assert result.detector.rho_d_mm == pytest.approx(
        0.2 * max(math.hypot(150.6, 300 - 140.5), math.hypot(280 - 150.6, 300 - 140.5)), rel=1e-9
    )


def test_marks_of_bad_and_gap_pixels(here, stored):
    marked = np.abs(stored)
    marked[:, 60:64] = 65535
    tifffile.imwrite("ceo2.tif", marked.astype(np.uint16))
    plain = autocalibrate([*TIFF, "--max-iterations", "1", "-BadPxIntensity", "-2"])
    both = autocalibrate(
        [*TIFF, "--max-iterations", "1", "-BadPxIntensity", "-2", "-GapIntensity", "65535"]
    )
    assert len(both.run.points) <= len(plain.run.points)
    assert read_params("refined_MIDAS_params.txt")["GapIntensity"] == 65535


def test_the_log_is_appended(here):
    for _ in range(2):
        autocalibrate([*TIFF, "--max-iterations", "1"])
    log = (here / "autocal.log").read_text()
    assert log.count(" - start: ") == 2


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ([], "autocalibrate: the following arguments are required: -dataFN; -h lists the options"),
        (["-dataFN", "x", "-Foo", "1"], "autocalibrate: unrecognized arguments: -Foo 1"),
        (["-dataFN", "ceo2.tif", "-ConvertFile", "3"], "-paramFN is needed with -ConvertFile 3"),
        (["-dataFN", "no.zip"], "no.zip: no such file"),
        ([*TIFF[:2], "-ConvertFile", "1", *BASE], "ConvertFile 1 is for HDF5 files"),
        ([*TIFF, "-EtaBinSize", "0"], "EtaBinSize = 0 degrees: expected more than 0"),
        ([*TIFF, "-MultFactor", "two"], "argument -MultFactor: invalid float value: 'two'"),
        ([*TIFF, "--max-iterations", "0"], "max_iterations = 0: expected at least 1"),
        ([*TIFF, "-o", "ceo2.tif/x"], "cannot make the folder"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(here, capsys, switches, message):
    assert main(switches) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("refimpl: ")
    assert message in error
    assert not (here / "refined_MIDAS_params.txt").exists()


def test_no_rings_is_exit_2(here, capsys):
    tifffile.imwrite("ceo2.tif", np.random.default_rng(1).poisson(20.0, (300, 280)).astype("u2"))
    assert main(["-dataFN", "ceo2.tif", "-ConvertFile", "3", "-paramFN", "params.txt"]) == 2
    assert "no ring found" in capsys.readouterr().err
    assert "ERROR - no ring found" in (here / "autocal.log").read_text()


def test_missing_parameters_are_named(here):
    (here / "params.txt").write_text("px 200\nWavelength 0.2\n")
    with pytest.raises(ConfigError, match="missing keys: SpaceGroup, LatticeConstant"):
        autocalibrate(TIFF)


def test_every_switch_of_the_manual_has_its_default():
    # tables of the manual's section "Command-Line Arguments"
    manual = {
        **{"ConvertFile": 0, "paramFN": "", "darkFN": "", "dataLoc": "", "ImTransOpt": [0]},
        **{"StoppingStrain": 0.00004, "MultFactor": 2.5, "FirstRingNr": 1, "LsdGuess": 1e6},
        **{"BCGuess": [0.0, 0.0], "EtaBinSize": 5.0, "Threshold": 0.0, "NoMedian": 0},
        **{"MakePlots": 0, "SavePlotsHDF": ""},
    }
    found = vars(parser().parse_args(["-dataFN", "x"]))
    assert {k: found[k] for k in manual} == manual
    assert math.isnan(found["BadPxIntensity"])
    assert math.isnan(found["GapIntensity"])


def test_help_lists_the_switches(capsys):
    with pytest.raises(SystemExit) as left:
        main(["-h"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in ("-dataFN", "-FirstRingNr", "--published-chords"))
