"""Every key of the published panel program: it changes what an engine gets, or is refused."""

import re
from pathlib import Path

import numpy as np
import pytest

from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.io.midas_keys import KEYS
from refimpl.io.midas_params import read_params
from refimpl.powder.config import config_from
from refimpl.powder.panel_frames import check_files, read_published_frame, read_stored
from refimpl.powder.panel_keys import KEY_TABLE, markdown_table, notes
from refimpl.powder.panel_params import check_params, panel_grid_of
from refimpl.powder.panel_settings import panel_settings
from refimpl.powder.published_setup import continued, published_setup, start_geometry

ROOT = Path(__file__).parents[2]
SHAPE = (60, 64)
BASE = {
    "FileStem": "frame", "Folder": ".", "Ext": ".raw", "StartNr": "1", "EndNr": "1",
    "Padding": "6", "DataType": "4", "HeadSize": "0", "NrPixelsY": "64", "NrPixelsZ": "60",
    "px": "200", "Lsd": "300000", "BC": "31 29", "SpaceGroup": "225",
    "LatticeConstant": "5.4115 5.4115 5.4115 90 90 90", "Wavelength": "0.2", "RhoD": "42000",
    "tolTilts": "3", "tolBC": "20", "tolLsd": "15000", "tolP": "2e-3", "EtaBinSize": "5",
    "NPanelsY": "2", "NPanelsZ": "2", "PanelSizeY": "31", "PanelSizeZ": "28", "PanelGapsY": "2",
    "PanelGapsZ": "4", "PanelShiftsFile": "panelshifts.txt", "tolShifts": "1",
}  # fmt: skip
IMAGES = {"ours image", "published image"}
ENGINES = {"settings", "published"}
NO_PANELS = dict.fromkeys([
    "NPanelsY", "NPanelsZ", "PanelSizeY", "PanelSizeZ", "PanelGapsY", "PanelGapsZ",
    "PanelShiftsFile", "tolShifts",
])  # fmt: skip
TURNED = {
    "NrPixelsY": "60", "NrPixelsZ": "64", "PanelSizeY": "28", "PanelSizeZ": "31", "PanelGapsY": "4",
    "PanelGapsZ": "2",
}  # fmt: skip

# key: what is changed (None: left out), and which parts of what the engines get must change
CASES = {
    "FileStem": ({"FileStem": "other"}, {"files", *IMAGES}),
    "Folder": ({"Folder": "sub"}, {"files", *IMAGES}),
    "Ext": ({"Ext": ".bin"}, {"files", *IMAGES}),
    "Dark": ({"Dark": "dark.raw"}, IMAGES),
    "StartNr": ({"StartNr": "2", "EndNr": "2"}, {"files", *IMAGES}),
    "EndNr": ({"EndNr": "2"}, {"files"}),
    "Padding": ({"Padding": "4"}, {"files", *IMAGES}),
    "HeadSize": ({"HeadSize": "15360"}, IMAGES),  # the first of two frames becomes the header
    "SkipFrame": ({"SkipFrame": "1"}, IMAGES),
    "NrPixels": ({"NrPixels": "48", "NrPixelsY": None, "NrPixelsZ": None, "FileStem": "square",
                  **NO_PANELS}, {"files", "start", "settings", *IMAGES}),
    "NrPixelsY": (TURNED, {"start", *IMAGES}),
    "NrPixelsZ": (TURNED, {"start", *IMAGES}),
    "px": ({"px": "172"}, {"start", "settings"}),
    "Lsd": ({"Lsd": "330000"}, {"start", *ENGINES}),  # and so which rings are within RhoD
    "BC": ({"BC": "30 31"}, {"start"}),
    "tx": ({"tx": "1"}, {"start"}),
    "ty": ({"ty": "0.1"}, {"start"}),
    "tz": ({"tz": "0.1"}, {"start"}),
    **{f"p{n}": ({f"p{n}": "0.001"}, {"start"}) for n in (0, 1, 2, 4, 5, 7, 9, 11, 13)},
    "p3": ({"p3": "10"}, {"start"}),
    **{f"p{n}": ({f"p{n}": "10"}, {"start"}) for n in (6, 8, 10, 12, 14)},
    "ImTransOpt": ({"ImTransOpt": "2"}, {"start", "published image"}),  # ours by the start
    "SpaceGroup": ({"SpaceGroup": "227", "LatticeConstant": "5.43 5.43 5.43 90 90 90"}, ENGINES),
    "LatticeConstant": ({"LatticeConstant": "5.40 5.40 5.40 90 90 90"}, ENGINES),
    "Wavelength": ({"Wavelength": "0.21"}, ENGINES),
    "RhoD": ({"RhoD": "35000"}, {"start", *ENGINES}),
    "MaxRingRad": ({"RhoD": None, "MaxRingRad": "35000"}, {"start", *ENGINES}),
    "Parallax": ({"Parallax": "50"}, {"start"}),
    "MaskFile": ({"MaskFile": "mask.npy"}, IMAGES),
    "GapFile": ({"GapFile": "mask.npy"}, IMAGES),
    "BadPxFile": ({"BadPxFile": "mask.npy"}, IMAGES),
    "tolTilts": ({"tolTilts": "2"}, ENGINES),
    "tolBC": ({"tolBC": "0"}, ENGINES),
    "tolLsd": ({"tolLsd": "1000"}, ENGINES),
    "tolP": ({"tolP": "1e-3"}, ENGINES),
    **{f"tolP{n}": ({f"tolP{n}": "1e-3"}, ENGINES) for n in range(3)},
    "tolP3": ({"tolP3": "10"}, ENGINES),
    "tolP4": ({"tolP4": "1e-3", "DistortionOrder": "6"}, ENGINES),
    **{f"tolP{n}": ({f"tolP{n}": "1e-3"}, {"settings", "published refuses"})
       for n in (5, 7, 9, 11, 13)},
    **{f"tolP{n}": ({f"tolP{n}": "10", f"p{a}": "1e-4"}, {"start", "settings", "published refuses"})
       for n, a in ((6, 0), (8, 7), (10, 9), (12, 11), (14, 13))},
    "tolShifts": ({"tolShifts": "2"}, ENGINES),
    "tolRotation": ({"tolRotation": "1"}, ENGINES),
    "EtaBinSize": ({"EtaBinSize": "2"}, ENGINES),
    "RingsToExclude": ({"RingsToExclude": "2"}, ENGINES),
    "MultFactor": ({"MultFactor": "2.5"}, ENGINES),
    "MinIndicesForFit": ({"MinIndicesForFit": "9"}, ENGINES),
    "NPanelsY": ({"NPanelsY": "1", "PanelSizeY": "64", "PanelGapsY": None}, {"start"}),
    "NPanelsZ": ({"NPanelsZ": "1", "PanelSizeZ": "60", "PanelGapsZ": None}, {"start"}),
    "PanelSizeY": ({"PanelSizeY": "30", "PanelGapsY": "4"}, {"start"}),
    "PanelGapsY": ({"PanelSizeY": "30", "PanelGapsY": "4"}, {"start"}),
    "PanelSizeZ": ({"PanelSizeZ": "30", "PanelGapsZ": "0"}, {"start"}),
    "PanelGapsZ": ({"PanelSizeZ": "30", "PanelGapsZ": "0"}, {"start"}),
    "FixPanelID": ({"FixPanelID": "3"}, ENGINES),
    "nIterations": ({"nIterations": "4"}, ENGINES),
    "DoubletSeparation": ({"DoubletSeparation": "25"}, ENGINES),
    "NormalizeRingWeights": ({"NormalizeRingWeights": "1"}, ENGINES),
    "WeightByRadius": ({"WeightByRadius": "1"}, ENGINES),
    "DistortionOrder": ({"DistortionOrder": "6"}, {"published"}),  # ours: with tolP4
    "PerPanelLsd": ({"PerPanelLsd": "1"}, ENGINES),
    "tolLsdPanel": ({"PerPanelLsd": "1", "tolLsdPanel": "50"}, ENGINES),
    "PerPanelDistortion": ({"PerPanelDistortion": "1"}, ENGINES),
    "tolP2Panel": ({"PerPanelDistortion": "1", "tolP2Panel": "2e-4"}, ENGINES),
    "dataDataset": ({"DataType": "8", "Ext": ".h5", "dataDataset": "a/two"}, {"files", *IMAGES}),
    "darkDataset": ({"DataType": "8", "Ext": ".h5", "dataDataset": "a/one", "darkDataset": "dark"},
                    {"files", *IMAGES}),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data files that differ, a dark and a mask."""
    import h5py

    here = tmp_path_factory.mktemp("params")
    random = np.random.default_rng(7)
    (here / "sub").mkdir()
    names = ["frame_000001.raw", "frame_000002.raw", "frame_0001.raw", "other_000001.raw",
             "frame_000001.bin", "sub/frame_000001.raw", "dark.raw"]  # fmt: skip
    for name in names:
        random.poisson(20.0, (2, *SHAPE)).astype("<u4").tofile(here / name)
    random.poisson(20.0, (48, 48)).astype("<u4").tofile(here / "square_000001.raw")
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[3, 5:9] = 1
    np.save(here / "mask.npy", mask)
    np.save(here / "wrong.npy", mask[1:])
    np.save(here / "unclear.npy", mask + 1)
    with h5py.File(here / "frame_000001.h5", "w") as file:
        for key in ("a/one", "a/two", "dark"):
            file[key] = random.poisson(20.0, (1, *SHAPE)).astype(np.uint16)
    return here


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def parsed(tmp_path, changes=None, base=BASE):
    """Parameters of the base with changes; a list gives a key on several lines."""
    values = {**base, **(changes or {})}
    path = tmp_path / "ps.txt"
    path.write_text("".join(f"{k} {v}\n" for k, v in values.items() if v is not None))
    return read_params(path)


def parts(params):
    """Everything that the engines get from a parameter file, by part."""
    check_params(params)
    files = check_files(params)
    ours, theirs = read_stored(params, files[0]), read_published_frame(params, files[0])
    check_params(params, ours.shape)
    start = start_geometry(params, ours.shape)
    try:
        setup = published_setup(params, theirs[2])
        rings = setup.rings.number.tolist(), setup.rings.two_theta_rad.tolist()
        published = (setup.options, setup.panels, rings)
    except ConfigError:
        published = None
    boxes = None if start.panel_boxes is None else start.panel_boxes.tolist()
    return {
        "files": files,
        "ours image": (ours.data.tolist(), ours.mask.tolist()),
        "published image": (theirs[0].tolist(), theirs[1].tolist()),
        "start": (start.geometry.tolist(), start.p, start.shape, boxes, start.image_transform),
        "settings": panel_settings(params),
        "published": published,
    }


@pytest.fixture(scope="module")
def base_parts(folder, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return parts(parsed(tmp_path_factory.mktemp("base")))


@pytest.mark.parametrize("key", CASES)
def test_a_key_acts_where_the_table_says(key, here, tmp_path, base_parts):
    changes, expected = CASES[key]
    found = parts(parsed(tmp_path, changes))
    changed = {part for part in found if found[part] != base_parts[part]}
    if "published refuses" in expected:
        assert found["published"] is None
        expected = (expected - {"published refuses"}) | {"published"}
    assert changed == expected


def test_every_key_has_a_row_and_a_test():
    assert [row.key for row in KEY_TABLE] == list(dict.fromkeys(row.key for row in KEY_TABLE))
    assert {row.key for row in KEY_TABLE} == set(KEYS)
    for row in KEY_TABLE:
        file, function = row.test.split("::")
        text = (ROOT / file).read_text()
        assert f"def {function}(" in text, row
        if function == "test_a_key_acts_where_the_table_says":
            assert row.key in CASES
        if function == "test_a_key_without_effect_is_said":
            assert row.key in WITHOUT_EFFECT


MANUAL = (
    "FileStem Folder Ext Dark StartNr EndNr Padding HeadSize DataType SkipFrame NrPixels NrPixelsY "
    "NrPixelsZ px Lsd BC tx ty tz p0 p1 p2 p3 ImTransOpt SpaceGroup LatticeConstant Wavelength "
    "RhoD BadPxIntensity GapIntensity MaskFile tolTilts tolBC tolLsd tolP tolP0 tolP1 tolP2 tolP3 "
    "tolShifts tolRotation Width EtaBinSize RingsToExclude MultFactor MinIndicesForFit NPanelsY "
    "NPanelsZ PanelSizeY PanelSizeZ PanelGapsY PanelGapsZ PanelShiftsFile FixPanelID nIterations "
    "DoubletSeparation NormalizeRingWeights WeightByRadius OutlierIterations DistortionOrder tolP4 "
    "PerPanelLsd tolLsdPanel PerPanelDistortion tolP2Panel"
)
"""The keys of the manual's Complete Parameter Reference, in its order."""


def test_the_rows_are_the_manuals_reference_in_its_order():
    assert [row.key for row in KEY_TABLE if row.in_manual] == MANUAL.split()


def test_the_page_of_the_docs_is_the_table():
    page = (ROOT / "docs" / "panels-parameters.md").read_text()
    assert page.endswith(markdown_table()), "write docs/panels-parameters.md anew"
    assert "panels-parameters" in (ROOT / "docs" / "index.md").read_text()


WITHOUT_EFFECT = {
    "RBinDivisions": ("8", "RBinDivisions has no effect: peaks are fitted to pixels", False),
    "Wedge": ("1", "Wedge has no effect: it is no part of a calibration", True),
    **{
        key: ("1", f"{key}: no effect here, keys of the integration", True)
        for key in ("RMin", "RMax", "RBinSize", "EtaMin", "EtaMax", "DoSmoothing", "DoPeakFit",
                    "MultiplePeaks")
    },
}  # fmt: skip


@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_a_key_without_effect_is_said(key, here, tmp_path, base_parts):
    value, text, everywhere = WITHOUT_EFFECT[key]
    params = parsed(tmp_path, {key: value})
    assert [said for said in notes(params, SHAPE, published=False) if text in said]
    assert bool([s for s in notes(params, SHAPE, published=True) if text in s]) == everywhere
    found = parts(params)
    assert found["settings"] == base_parts["settings"]
    assert (found["published"] != base_parts["published"]) != everywhere  # it acts where not said


@pytest.mark.parametrize(
    ("changes", "published", "text"),
    [
        ({"tolLsdPanel": "50"}, False, "tolLsdPanel has no effect: PerPanelLsd is 0"),
        ({"tolP2Panel": "1e-5"}, True, "tolP2Panel has no effect: PerPanelDistortion is 0"),
        ({"OutlierIterations": "3"}, True, "OutlierIterations has no effect: MultFactor is 0"),
        ({"PanelShiftsFile": None}, False, "no PanelShiftsFile: the corrections are printed, but"),
        ({"GapIntensity": "-1", "MaskFile": "m"}, True, "GapIntensity: no effect beside a mask"),
        ({"ImTransOpt": "2", **TURNED}, False, None),
        ({"ImTransOpt": "2"}, False, "and its BC is larger by 0 4 px"),
    ],
)  # fmt: skip
def test_what_has_another_effect_than_meant_is_said(changes, published, text, tmp_path):
    params = parsed(tmp_path, changes)
    said = notes(params, params.shape, published=published)
    assert said == [] if text is None else any(text in line for line in said), said
    assert notes(parsed(tmp_path), SHAPE, published=published) == []


# what is changed; the key whose line is named; the message
BAD = [
    ({"Lsd": None}, None, "missing key: Lsd"),
    ({"LatticeConstant": None, "BC": None}, None, "missing keys: BC, LatticeConstant"),
    ({"FileStem": None}, None, "missing key: FileStem"),
    ({"StartNr": "3"}, "EndNr", "EndNr 1 is before StartNr 3"),
    ({"StartNr": "-1"}, "StartNr", "StartNr -1: expected 0 or more"),
    ({"SkipFrame": "-1"}, "SkipFrame", "SkipFrame -1: expected 0 or more"),
    ({"tolShifts": "-1"}, "tolShifts", "tolShifts -1.0: expected 0 or more"),
    ({"MultFactor": "-2"}, "MultFactor", "MultFactor -2.0: expected 0 or more"),
    ({"NrPixels": "64"}, "NrPixelsZ", "NrPixelsZ 60 contradicts NrPixels 64, which sets both"),
    ({"NrPixelsZ": None}, "NrPixelsY", "NrPixelsY without NrPixelsZ: both are needed"),
    ({"DistortionOrder": "5"}, "DistortionOrder", "DistortionOrder 5: expected 4 or 6"),
    ({"tolP4": "1e-4"}, "tolP4", "tolP4 0.0001 with DistortionOrder 4, which has no p4: give"),
    ({"EtaBinSize": "90"}, "EtaBinSize", "EtaBinSize 90.0: expected less than 90"),
    ({"ImTransOpt": "\nImTransOpt ".join("12" * 6)}, "ImTransOpt", "12 lines of ImTransOpt: at"),
    ({"dataDataset": "x"}, "dataDataset", "dataDataset is for HDF5 files, and DataType is 4"),
    ({"darkDataset": "x"}, "darkDataset", "darkDataset is for HDF5 files, and DataType is 4"),
    ({"FixPanelID": "4"}, "FixPanelID", "FixPanelID 4: the 4 panels are 0 to 3"),
    ({"FixPanelID": "-1"}, "FixPanelID", "FixPanelID -1: the 4 panels are 0 to 3"),
    ({"NPanelsZ": None, "PanelGapsZ": None}, "NPanelsY", "NPanelsY without NPanelsZ: both are"),
    ({"PanelSizeY": None}, "NPanelsY", "NPanelsY without PanelSizeY"),
    ({"PanelGapsY": "1 2"}, "PanelGapsY", "PanelGapsY has 2 gaps, 2 panels need 1"),
    ({"PanelGapsY": None}, "NPanelsY", "PanelGapsY has 0 gaps, 2 panels need 1"),
    ({"PanelGapsY": "-2", "PanelSizeY": "33"}, "PanelGapsY", "PanelGapsY has a gap of -2 px"),
    ({"PanelSizeZ": "31"}, "PanelSizeZ", "the grid of 2 x 2 panels of 31 x 31 px (Y x Z, fast x "
     "slow) spans 64 x 66 px, the image has 64 x 60"),
    ({"PanelSizeY": "28", "PanelSizeZ": "31"}, "PanelSizeZ", "spans 58 x 66 px, the image has"),
    ({"PanelSizeY": "30"}, "PanelSizeY", "spans 62 x 60 px, the image has 64 x 60"),
    ({**NO_PANELS, "PanelGapsY": "2"}, "PanelGapsY", "PanelGapsY without NPanelsY and NPanelsZ"),
    ({**NO_PANELS, "PanelShiftsFile": "a"}, "PanelShiftsFile", "PanelShiftsFile without NPanelsY"),
    ({**NO_PANELS, "tolRotation": "1"}, "tolRotation", "tolRotation 1.0 without panels: NPanelsY"),
    ({**NO_PANELS, "PerPanelLsd": "1"}, "PerPanelLsd", "PerPanelLsd 1 without panels"),
    ({**NO_PANELS, "PerPanelDistortion": "1"}, "PerPanelDistortion", "without panels: NPanelsY"),
    ({**NO_PANELS, "FixPanelID": "2"}, "FixPanelID", "FixPanelID 2 without panels"),
    ({"tolShifts": "0", "tolRotation": "1"}, "tolRotation", "tolRotation 1.0 with tolShifts 0"),
    ({"PerPanelLsd": "1", "tolLsdPanel": "0"}, "tolLsdPanel", "tolLsdPanel 0 with PerPanelLsd 1"),
    ({"PerPanelDistortion": "1", "tolP2Panel": "0"}, "tolP2Panel", "tolP2Panel 0 with PerPanelD"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "text"), BAD, ids=[b[2][:40] for b in BAD])
def test_bad_keys_are_refused_by_name(changes, key, text, here, tmp_path):
    with pytest.raises(ConfigError, match=re.escape(text)) as caught:
        check_params(parsed(tmp_path, changes))
    if key is None:
        assert str(caught.value).startswith(f"{tmp_path / 'ps.txt'}: ")
        return
    if changes == {"PanelGapsY": None}:  # a line that is not there
        assert (caught.value.key, key) == ("PanelGapsY", "NPanelsY")
    else:
        assert caught.value.key == key
    lines = (tmp_path / "ps.txt").read_text().splitlines()
    start = f"{tmp_path / 'ps.txt'}:"
    number = int(re.match(rf"{re.escape(start)}(\d+): ", str(caught.value))[1])
    assert lines[number - 1].startswith(f"{key} ")


def test_every_wrong_file_is_refused_by_name(here, tmp_path):
    for changes, text in [
        ({"StartNr": "5", "EndNr": "5"}, "no file frame_000005.raw: it is Folder/FileStem_ and"),
        ({"Dark": "nodark.raw"}, "Dark nodark.raw: no such file; write 'none' for no dark"),
        ({"MaskFile": "nomask"}, "MaskFile nomask: no such file"),
        ({"DataType": "1", "NrPixelsY": None, "NrPixelsZ": None}, "raw frames need NrPixelsY and"),
    ]:
        with pytest.raises(ConfigError, match=re.escape(text)):
            check_files(parsed(tmp_path, changes))
    assert check_files(parsed(tmp_path, {"Dark": "none"}))
    assert check_files(parsed(tmp_path, {"Dark": "nodark.raw"}), published_quirks=True)
    for name, text in [
        ("wrong.npy", "MaskFile wrong.npy: the mask has (59, 64) pixels, the image (60, 64)"),
        ("unclear.npy", "MaskFile unclear.npy: ambiguous mask: it holds 1, 2; 0 (good) and 1 or"),
    ]:
        params = parsed(tmp_path, {"MaskFile": name})
        for reader in (read_stored, read_published_frame):
            with pytest.raises(ConfigError, match=re.escape(text)) as caught:
                reader(params, here / "frame_000001.raw")
            assert caught.value.line == params.lines["MaskFile"]


def test_an_image_of_another_shape_is_refused(tmp_path):
    params = parsed(tmp_path)
    text = "the image has 60 x 64 px (Y x Z), the parameters say 64 x 60"
    with pytest.raises(ConfigError, match=re.escape(text)):
        check_params(params, (64, 60))
    square = parsed(tmp_path, {"NrPixels": "48", "NrPixelsY": None, "NrPixelsZ": None, **NO_PANELS})
    with pytest.raises(ConfigError, match="the image has 48 x 50 px") as caught:
        check_params(square, (50, 48))
    assert caught.value.key == "NrPixels"


def test_panels_count_in_the_turned_image(tmp_path):
    turned = {k: v for k, v in TURNED.items() if k.startswith("Panel")}
    check_params(parsed(tmp_path, {"ImTransOpt": "3", **turned}))
    with pytest.raises(ConfigError, match="PanelSizeY 29 and PanelSizeZ 30 would fit"):
        check_params(parsed(tmp_path, {"ImTransOpt": "3"}))
    grid = panel_grid_of(parsed(tmp_path))
    assert (grid.n_fast, grid.n_slow, grid.gaps_fast_px, grid.gaps_slow_px) == (2, 2, (2,), (4,))
    one = {"NPanelsY": "1", "NPanelsZ": "1", "PanelSizeY": "64", "PanelSizeZ": "60"}
    assert panel_grid_of(parsed(tmp_path, {**one, "PanelGapsY": None, "PanelGapsZ": None})) is None


OTHERS = [
    ({"SpaceGroup": "221", "LatticeConstant": "5 5 5 90 90 90"}, "LatticeConstant", "space group "
     "221 with a = 5 angstrom is none of the calibrants CeO2, LaB6"),
    ({"SpaceGroup": "167", "LatticeConstant": "4.76 4.76 12.99 90 90 120"}, "LatticeConstant",
     "the cell of Al2O3 differs from the certified one by 191 ppm, which only a cubic one may"),
    ({"FitOrWeightedMean": "1"}, "FitOrWeightedMean", "FitOrWeightedMean 1: peaks are always"),
    ({"tolShifts": "0"}, "tolShifts", "tolShifts 0 holds every panel: give a range above 0, leave"),
    ({"EtaBinSize": "0.01"}, "EtaBinSize", "EtaBinSize 0.01: expected 0.1 to 45"),
    ({"RhoD": "3000"}, "RhoD", "no ring is left within RhoD 3000 um"),
    ({"RhoD": "21000", "RingsToExclude": "1"}, "RingsToExclude", "no ring is left within RhoD"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "key", "text"), OTHERS)
def test_what_our_engine_lacks_is_refused_by_name(changes, key, text, tmp_path):
    params = parsed(tmp_path, changes)
    check_params(params)
    with pytest.raises(ConfigError, match=re.escape(text)) as caught:
        panel_settings(params)
    assert (caught.value.key, caught.value.line) == (key, params.lines[key])


def test_what_the_published_engine_lacks_is_refused_by_name(tmp_path):
    for changes, text in [
        ({"tolP7": "1e-3"}, "tolP7 0.001: the published program of this version refines p0 to p4"),
        ({"RhoD": "21000", "RingsToExclude": "1"}, "RingsToExclude leaves no ring within RhoD"),
        ({"RhoD": "3000"}, "no ring of calibrant within RhoD = 3000 um"),
        ({"LatticeConstant": "5 6 7 90 90 90"}, "LatticeConstant"),
    ]:
        params = parsed(tmp_path, changes)
        with pytest.raises(ConfigError) as caught:
            published_setup(params, SHAPE)
        assert text in str(caught.value) or caught.value.key == text


def test_the_settings_of_a_whole_file(tmp_path):
    params = parsed(
        tmp_path,
        {"tolRotation": "2", "PerPanelLsd": "1", "tolLsdPanel": "50", "PerPanelDistortion": "1",
         "DistortionOrder": "6", "tolP4": "1e-4", "FixPanelID": "2", "MinIndicesForFit": "7"},
    )  # fmt: skip
    found = panel_settings(params)
    assert found["calibrant"] == "CeO2"
    assert found["lattice_parameter_angstrom"] == 5.4115
    assert found["pixel_size_mm"] == (0.2, 0.2)
    assert found["refine"] == ("distance", "beam_centre", "tilt", "p0", "p1", "p2", "p3", "p4")
    assert found["tolerances"] == pytest.approx(
        {"distance": 15.0, "beam_centre": 20.0, "tilt": np.radians(3.0), "p0": 2e-3, "p1": 2e-3,
         "p2": 2e-3, "p3": 45.0, "p4": 1e-4}
    )  # fmt: skip
    assert found["panel_refine"] == ("shift", "rotation", "height", "p2")
    assert found["panel_tolerances"] == pytest.approx(
        {"shift": 1.0, "rotation": np.radians(2.0), "height": 0.05}
    )  # tolP2Panel is not given: its published default is no bound here
    assert (found["fix_panel"], found["min_indices"], found["panels_grid"]) == (2, 7, "start")
    config_from(found)  # every name and value is one of ours
    assert min(found["exclude_rings"]) == 6  # 400, 8.48 degrees: 44.7 mm at 300 mm; 222: 38.6 mm


def test_a_single_surface_and_open_ranges(tmp_path):
    bare = {**NO_PANELS, "tolP": None, "tolLsd": None, "tolTilts": "0", "RhoD": None}
    found = panel_settings(parsed(tmp_path, bare))
    assert found["refine"] == ("distance", "beam_centre")
    assert found["tolerances"] == {"beam_centre": 20.0}
    assert "panel_refine" not in found
    assert "exclude_rings" not in found
    hexagonal = {"SpaceGroup": "167", "LatticeConstant": "4.759091 4.759091 12.991779 90 90 120"}
    assert panel_settings(parsed(tmp_path, hexagonal))["calibrant"] == "Al2O3"


def test_going_on_from_a_file_of_shifts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params = parsed(tmp_path, {"FixPanelID": "1"})
    start = start_geometry(params, SHAPE)
    assert continued(params, start) == (start, None)
    rows = ["# ID dY dZ dTheta dLsd dP2", *(f"{i} 0.{i} -0.{i} 0.01 20 1e-5" for i in range(4))]
    Path("panelshifts.txt").write_text("\n".join(rows))
    moved, path = continued(params, start)
    assert path == Path("panelshifts.txt")
    assert not moved.panel_corrections[1, :5].any()  # FixPanelID; the others follow
    assert moved.panel_corrections[2, :2] == pytest.approx([0.1, -0.1], abs=0.01)
    assert moved.lsd_mm == pytest.approx(300.02)
    Path("panelshifts.txt").write_text("\n".join(rows[:4]))
    with pytest.raises(FormatError, match=r"panelshifts.txt: panel corrections of another detect"):
        continued(params, start)


MANUAL_EXAMPLE = """Folder .
FileStem CeO2_scan
Ext .tif
StartNr 1
EndNr 1
Padding 6
DataType 9                # 1=uint16, 2=double, 3=float, 4=uint32, 5=int32
Dark none
HeadSize 8192             # Header size (bytes), for binary formats
NPanelsY 6                # Number of panels in Y direction
NPanelsZ 8                # Number of panels in Z direction
PanelSizeY 195            # Pixels per panel in Y
PanelSizeZ 487            # Pixels per panel in Z
PanelGapsY 1 7 1 7 1      # Gap widths between Y panels (NPanelsY-1 values)
PanelGapsZ 17 17 17 17 17 17 17  # Gap widths between Z panels (NPanelsZ-1 values)
PanelShiftsFile panelshifts.txt  # File to save/load panel corrections
FixPanelID 0              # Panel held fixed (anchor)
tolShifts 1.0             # Search range for dY, dZ (pixels)
tolRotation 1.0           # Search range for dTheta (degrees); 0 = disabled
nIterations 10
NormalizeRingWeights 1
DistortionOrder 6
tolP4 0.0001
PerPanelDistortion 1
OutlierIterations 3
DoubletSeparation 25
px 172
Lsd 740000
BC 775 871
SpaceGroup 225
LatticeConstant 5.41153 5.41153 5.41153 90 90 90
Wavelength 0.20215155543
RhoD 200500
"""  # the blocks of the manual's section 7, and what its refined_MIDAS_params.txt brings


def test_the_manuals_example_parses_and_its_panel_sizes_contradict_the_image(tmp_path):
    path = tmp_path / "manual_params.txt"
    path.write_text(MANUAL_EXAMPLE)
    params = read_params(path)
    check_params(params)  # without an image nothing contradicts
    assert panel_grid_of(params).shape == (4015, 1187)
    with pytest.raises(ConfigError) as caught:
        check_params(params, (1679, 1475))
    line = (
        MANUAL_EXAMPLE.splitlines().index("PanelSizeZ 487            # Pixels per panel in Z") + 1
    )
    assert str(caught.value) == (
        f"{path}:{line}: the grid of 6 x 8 panels of 195 x 487 px (Y x Z, fast x slow) spans 1187 "
        "x 4015 px, the image has 1475 x 1679: PanelSizeY 243 and PanelSizeZ 195 would fit these "
        "gaps (487 px is a whole module, two halves of 243 and a gap of 1)"
    )
    path.write_text(MANUAL_EXAMPLE.replace("Y 195", "Y 243").replace("Z 487", "Z 195"))
    fits = read_params(path)
    check_params(fits, (1679, 1475))
    assert len(start_geometry(fits, (1679, 1475)).panel_boxes) == 48
    found = panel_settings(fits)
    assert found["panel_refine"] == ("shift", "rotation", "p2")
    assert found["doublet_separation_px"] == 25.0
    assert published_setup(fits, (1679, 1475)).options.n_iterations == 10


def test_a_geometry_error_is_no_traceback(tmp_path):
    """The grid's own error type does not leak: its message is told with file and line."""
    with pytest.raises(ConfigError) as caught:
        check_params(parsed(tmp_path, {"PanelSizeZ": "20"}))
    assert not isinstance(caught.value, GeometryError)
