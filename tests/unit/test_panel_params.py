"""Every key of the published panel program: it changes what an engine gets, or is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from panel_param_files import NO_PANELS, SHAPE, TURNED, data_folder, parsed

from refimpl.errors import ConfigError
from refimpl.io.midas_keys import KEYS
from refimpl.powder.panel_frames import check_files, read_published_frame, read_stored
from refimpl.powder.panel_keys import KEY_TABLE, markdown_table, notes
from refimpl.powder.panel_params import check_params
from refimpl.powder.panel_settings import panel_settings
from refimpl.powder.published_setup import published_setup, start_geometry


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return data_folder(tmp_path_factory.mktemp("params"))


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


ROOT = Path(__file__).parents[2]
IMAGES = {"ours image", "published image"}
ENGINES = {"settings", "published"}
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
    assert "panels-parameters" in (ROOT / "docs/howto/index.md").read_text()


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
