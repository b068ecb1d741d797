"""Parameter files: every key known, every slip named with its line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from refimpl.errors import ConfigError, FormatError
from refimpl.io.midas_keys import KEYS, find_key
from refimpl.io.midas_params import (
    REFINED_ORDER,
    MidasParams,
    read_params,
    write_params,
    write_refined,
)

# The two tables of the manual, version 10: "Input Parameter File" and "Complete Parameter
# Reference".
MANUAL_TABLES = """SpaceGroup LatticeParameter Wavelength px RingsToExclude SkipFrame tx
    FileStem Folder Ext Dark StartNr EndNr Padding HeadSize DataType SkipFrame NrPixels NrPixelsY
    NrPixelsZ px Lsd BC tx ty tz p0 p1 p2 p3 ImTransOpt SpaceGroup LatticeConstant Wavelength RhoD
    BadPxIntensity GapIntensity MaskFile tolTilts tolBC tolLsd tolP tolP0 tolP1 tolP2 tolP3
    tolShifts tolRotation Width EtaBinSize RingsToExclude MultFactor MinIndicesForFit NPanelsY
    NPanelsZ PanelSizeY PanelSizeZ PanelGapsY PanelGapsZ PanelShiftsFile FixPanelID nIterations
    DoubletSeparation NormalizeRingWeights WeightByRadius OutlierIterations DistortionOrder tolP4
    PerPanelLsd tolLsdPanel PerPanelDistortion tolP2Panel"""
MANUAL = MANUAL_TABLES.split()
DEFAULTS = {
    "Padding": 6, "HeadSize": 8192, "DataType": 1, "SkipFrame": 0, "tx": 0, "ty": 0, "tz": 0,
    "p0": 0, "p3": 0, "BadPxIntensity": 0, "GapIntensity": 0, "tolShifts": 1.0, "tolRotation": 0,
    "MultFactor": 0, "MinIndicesForFit": 1, "NPanelsY": 0, "PanelSizeZ": 0, "FixPanelID": 0,
    "nIterations": 1, "DoubletSeparation": 0, "NormalizeRingWeights": 0, "WeightByRadius": 0,
    "OutlierIterations": 1, "DistortionOrder": 4, "tolP4": 0, "PerPanelLsd": 0,
    "tolLsdPanel": 100, "PerPanelDistortion": 0, "tolP2Panel": 1e-4,
}  # fmt: skip


def _read(tmp_path: Path, text: str) -> MidasParams:
    path = tmp_path / "ps.txt"
    path.write_text(text)
    return read_params(path)


@pytest.mark.parametrize("name", MANUAL)
def test_every_key_of_the_manual_is_known(name: str) -> None:
    key = find_key(name)
    assert key.help
    assert name in (key.name, *key.aliases)


@pytest.mark.parametrize("name", DEFAULTS)
def test_defaults_of_the_manual(name: str) -> None:
    assert MidasParams()[name] == DEFAULTS[name]


def test_spellings_are_unique() -> None:
    spellings = [s for key in KEYS.values() for s in (key.name, *key.aliases)]
    assert len(spellings) == len(set(spellings))


def test_reading(tmp_path: Path) -> None:
    params = _read(
        tmp_path,
        "# calibrant\n\nLsd\t740000 # um\nBC 775.0  871\nRingsToExclude 7\nRingsToExclude 12\n"
        "FileStem CeO2#1 scan\nLatticeParameter 5.4 5.4 5.4 90 90 90\nskipFrame 2\n"
        "BadPxIntensity -2.0\nPanelGapsY 1 7 1 7 1\nNPanelsY 6\ntolP 2E-3\n",
    )
    assert params["Lsd"] == 740000.0
    assert params["BC"] == (775.0, 871.0)
    assert params["RingsToExclude"] == (7, 12)
    assert params["FileStem"] == "CeO2#1 scan"
    assert params["LatticeConstant"] == (5.4, 5.4, 5.4, 90.0, 90.0, 90.0)
    assert params["SkipFrame"] == 2
    assert params["BadPxIntensity"] == -2
    assert params["PanelGapsY"] == (1, 7, 1, 7, 1)
    assert (params["tolP0"], params["tolP2"], params["tolP3"]) == (2e-3, 2e-3, 45.0)
    assert params.lines["Lsd"] == 3
    assert "Lsd" in params
    assert "tolP0" not in params
    assert len(params) == 10
    assert params.number("Padding") == 6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Lsd 1\nTolTilts 3\n", r"ps.txt:2: unknown key 'TolTilts'; did you mean 'tolTilts'?"),
        (
            "LatticeConst 5\n",
            "ps.txt:1: unknown key 'LatticeConst'; did you mean 'LatticeConstant'",
        ),
        ("zzz 5\n", "unknown key 'zzz'; did you mean"),
        ("Lsd 1\nLsd 2\n", "ps.txt:2: duplicate key 'Lsd', first given in line 1"),
        (
            "SkipFrame 1\n\nskipFrame 2\n",
            "ps.txt:3: duplicate key 'skipFrame', first given in line",
        ),
        (
            "BC 775\n",
            "ps.txt:1: BC needs 2 values (Beam centre Y Z, counted from pixel centres), got",
        ),
        ("Lsd\n", "ps.txt:1: Lsd needs 1 value (Sample-to-detector distance), got 0"),
        ("FileStem\n", "FileStem needs 1 value (Base of the file name), got 0"),
        ("PanelGapsY\n", "PanelGapsY needs 1 or more values"),
        ("Lsd 740 mm\n", "Lsd needs 1 value (Sample-to-detector distance), got 2"),
        ("Lsd far\n", "ps.txt:1: Lsd needs a number, got 'far'"),
        ("Lsd nan\n", "Lsd needs a number, got 'nan'"),
        ("Lsd inf\n", "Lsd needs a number, got 'inf'"),
        ("Padding 2.5\n", "Padding needs an integer, got '2.5'"),
        ("Lsd -5\n", "Lsd must be above zero, got -5"),
        ("DataType 11\n", "DataType must be 1 to 10, got 11"),
        ("ImTransOpt 4\n", "ImTransOpt must be 0 to 3, got 4"),
        ("SpaceGroup 0\n", "SpaceGroup must be 1 to 230, got 0"),
        ("NPanelsY 6\nPanelGapsY 1 7 1\n", "ps.txt:2: PanelGapsY has 3 gaps, 6 panels need 5"),
        ("NPanelsZ 2\n", "ps.txt:1: PanelGapsZ has 0 gaps, 2 panels need 1"),
    ],
)
def test_slips(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        _read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_params(tmp_path / "no.txt")
    (tmp_path / "ps.txt").write_bytes(b"Lsd 1\x00\x00")
    with pytest.raises(FormatError, match="not a text file; a MIDAS parameter file is needed"):
        read_params(tmp_path / "ps.txt")


def test_missing_keys_are_all_named(tmp_path: Path) -> None:
    params = _read(tmp_path, "px 172\n")
    with pytest.raises(ConfigError, match=r"ps\.txt: missing keys: SpaceGroup, Wavelength"):
        params.require("SpaceGroup", "px", "Wavelength")
    with pytest.raises(ConfigError, match="the key 'Lsd' is needed"):
        params.number("Lsd")
    with pytest.raises(ConfigError, match="missing keys: FileStem, Ext, StartNr"):
        params.data_files()


def test_files_and_options(tmp_path: Path) -> None:
    params = _read(
        tmp_path,
        "Folder /data\nFileStem CeO2\nExt .raw\nStartNr 5\nEndNr 6\nDataType 4\nHeadSize 0\n"
        "NrPixelsY 1475\nNrPixelsZ 1679\nImTransOpt 2\nImTransOpt 1\nSkipFrame 1\nMaskFile m.tif\n"
        "GapIntensity -1\nBadPxIntensity -2\n",
    )
    assert params.data_files() == [Path("/data/CeO2_000005.raw"), Path("/data/CeO2_000006.raw")]
    assert params.shape == (1679, 1475)
    assert params.image_options() == {
        "transforms": (2, 1), "skip_frames": 1, "data_type": 4, "head_size": 0,
        "shape": (1679, 1475), "bad_values": -2, "gap_values": -1, "mask": "m.tif",
    }  # fmt: skip
    assert MidasParams({"NrPixels": 2048}).shape == (2048, 2048)
    assert MidasParams().shape is None
    assert MidasParams().image_options() == {"transforms": (0,)}
    single = MidasParams({"FileStem": "a", "Ext": ".ge3", "StartNr": 7, "Padding": 3})
    assert single.data_files() == [Path("a_007.ge3")]
    with pytest.raises(ConfigError, match="EndNr 4 is before StartNr 5"):
        MidasParams({**params.given, "EndNr": 4}).data_files()


def test_write_then_read(tmp_path: Path) -> None:
    values = {
        "Lsd": 740261.3220474316, "BC": (774.775536532598, 870.921092546861), "RingsToExclude":
        (7, 8), "p0": 1e-300, "FileStem": "CeO2 b", "SpaceGroup": 225, "Dark": None,
        "PanelGapsY": (1, 7), "PanelGapsZ": (),
    }  # fmt: skip
    write_params(tmp_path / "ps.txt", values)
    back = read_params(tmp_path / "ps.txt")
    assert dict(back.given) == {k: v for k, v in values.items() if v not in (None, ())}
    assert (tmp_path / "ps.txt").read_text().splitlines()[2:4] == [
        "RingsToExclude 7",
        "RingsToExclude 8",
    ]
    with pytest.raises(ConfigError, match="unknown key 'Lds'; did you mean 'Lsd'"):
        write_params(tmp_path / "ps.txt", {"Lds": 1.0})


REFINED = {
    "Lsd": 739775.0, "BC": (774.8, 870.9), "ty": -0.02, "tz": 0.07, "RhoD": 200500.0,
    "Wavelength": 0.20215155543, "px": 172.0, "NrPixelsY": 1475, "NrPixelsZ": 1679,
}  # fmt: skip
# Spec of the published writer: "exact key order".
PUBLISHED_ORDER = """Lsd BC tx ty tz p0 p1 p2 p3 RhoD Wavelength px RMin RMax RBinSize EtaMin EtaMax
    NrPixelsY NrPixelsZ EtaBinSize DoSmoothing DoPeakFit skipFrame MultiplePeaks DataType"""
PUBLISHED = PUBLISHED_ORDER.split()


def test_refined_order_and_constants(tmp_path: Path) -> None:
    write_refined(tmp_path / "r.txt", REFINED)
    lines = (tmp_path / "r.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [*PUBLISHED, "ImTransOpt"]
    assert lines[0] == "Lsd 739775.0"
    for line in ("RMin 10", "RMax 1000", "RBinSize 1", "EtaMin -180", "EtaMax 180",
                 "EtaBinSize 5", "DoSmoothing 1", "DoPeakFit 1", "MultiplePeaks 1",
                 "ImTransOpt 0", "skipFrame 0", "tx 0"):  # fmt: skip
        assert line in lines


def test_refined_round_trip_with_panels_and_more(tmp_path: Path) -> None:
    values = REFINED | {
        "p4": 1.9e-4, "p14": 3.0, "SpaceGroup": 225, "ImTransOpt": (2, 1), "NPanelsY": 2,
        "NPanelsZ": 1, "PanelSizeY": 243, "PanelSizeZ": 195, "PanelGapsY": (1,), "tolShifts": 1,
        "PanelShiftsFile": "panelshifts.txt", "BadPxIntensity": -2, "GapIntensity": -1,
    }  # fmt: skip
    write_refined(tmp_path / "r.txt", values)
    names = [line.split()[0] for line in (tmp_path / "r.txt").read_text().splitlines()]
    assert names == [
        *PUBLISHED, "NPanelsY", "NPanelsZ", "PanelSizeY", "PanelSizeZ", "PanelGapsY",
        "PanelShiftsFile", "tolShifts", "ImTransOpt", "ImTransOpt", "BadPxIntensity",
        "GapIntensity", "p4", "p14", "SpaceGroup",
    ]  # fmt: skip
    back = read_params(tmp_path / "r.txt")
    assert {name: back[name] for name in values} == values
    assert list(back) == [*dict.fromkeys(find_key(name).name for name in names)]
    assert all(name in KEYS for name in REFINED_ORDER)


def test_refined_needs_the_geometry(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"r\.txt: the refined parameters lack 'Lsd'"):
        write_refined(tmp_path / "r.txt", {"BC": (1.0, 2.0)})
    assert not (tmp_path / "r.txt").exists()


@pytest.mark.parametrize("run", ["autocal", "chord", "panels-full-it10", "single-eta1"])
def test_parameter_files_of_published_runs(real_data: Callable[[str], Path], run: str) -> None:
    params = read_params(real_data(f"powder-golden/{run}/ps.txt"))
    assert params.shape == (1679, 1475)
    assert params["ImTransOpt"] == (2,)
    assert params["LatticeConstant"] == (5.41153, 5.41153, 5.41153, 90.0, 90.0, 90.0)
    if run == "autocal":
        assert params["RingsToExclude"] == (7, 8, 12, 13, 15, 16)
    if run == "panels-full-it10":
        assert params["PanelGapsZ"] == (17,) * 7
        assert params["FixPanelID"] == 20
