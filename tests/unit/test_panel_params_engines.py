"""What engines make of a whole parameter file of the panel program, and which ones they refuse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from panel_param_files import NO_PANELS, SHAPE, TURNED, data_folder, parsed

from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.io.midas_params import read_params
from refimpl.powder.config import config_from
from refimpl.powder.panel_frames import check_files, read_published_frame, read_stored
from refimpl.powder.panel_params import check_params, panel_grid_of
from refimpl.powder.panel_settings import panel_settings
from refimpl.powder.published_setup import continued, published_setup, start_geometry


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return data_folder(tmp_path_factory.mktemp("params"))


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


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
