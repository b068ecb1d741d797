"""``refimpl convert``: what is written, what is refused, what is said."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from refimpl.cli.convert_run import read_setup, write_setup
from refimpl.cli.main import main
from refimpl.detector.model import TiltedFlat
from refimpl.detector.panel_grid import PanelGrid
from refimpl.interop.gsas import read_imctrl, tilted_flat_from_imctrl
from refimpl.interop.setup import setup_from_detector, setup_from_model
from refimpl.io.geometry_json import write_geometry
from refimpl.io.xds_tables import write_corrections
from refimpl.testing.rotation_case import rotation_case

PLAIN = TiltedFlat((60, 80), (0.172, 0.172), 150.0, (33.0, 21.0), (0.0, 0.02, -0.03))
BENT = PLAIN.replace(p=(0.0, 0.0, 1e-3, 0.0, 2e-4, *(0.0,) * 10))

IMCTRL = """wavelength:0.25
distance:150.0
center:[5.0, 7.0]
tilt:-0.5
rotation:30.0
DetDepth:0.1
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_geometry(Path("plain.json"), PLAIN, 0.25)
    write_geometry(Path("bent.json"), BENT, 0.25)
    write_geometry(Path("white.json"), PLAIN)
    Path("one.imctrl").write_text(IMCTRL)
    Path("done").mkdir()
    write_geometry(Path("done/geometry.json"), PLAIN)


def test_a_poni_is_written_and_said(capsys) -> None:
    assert main(["convert", "plain.json", "a.poni"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("read again: pixels within ")
    assert out[-1] == "wrote a.poni (geometry to poni)"
    assert "Wavelength: 2.5" in Path("a.poni").read_text()


def test_json_for_machines(capsys) -> None:
    assert main(["convert", "bent.json", "a.geom", "--lossy", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["source"], found["target"], found["written"]) == (
        "geometry",
        "crystfel",
        ["a.geom"],
    )
    assert found["essential"] == 1
    assert found["largest_mm"] < 1e-9
    assert found["lost"] == ["the distortion of the ring radius (p2, p4)"]


REFUSED = {
    "no place": (["bent.json", "a.poni"], "no place for the distortion of the ring radius (p2, p"),
    "able": (["bent.json", "a.geom"], "(formats that have one: geometry, midas, pyfai)"),
    "whole": (["done", "a.poni"], "done is a folder; its geometry is done/geometry.json"),
    "suffix": (["plain.json", "a.xyz"], "the format of a.xyz does not follow from its name"),
    "format": (["plain.json", "a.poni", "--to", "fit2d"], "format 'fit2d': expected one of geome"),
    "itself": (["plain.json", "./plain.json"], "is the file that is converted: name another"),
    "wavelength": (["white.json", "a.expt"], "the wavelength is not stated: give --wavelength"),
    "other": (["plain.json", "a.poni", "--wavelength-angstrom", "0.3"], "a wavelength of 0.25"),
    "shape": (["plain.json", "a.poni", "--shape", "3"], "--shape '3': expected ROWS,COLUMNS"),
    "codes": (["plain.json", "a.poni", "--image-transform", "up"], "expected whole numbers"),
    "negative": (["plain.json", "a.poni", "--wavelength-angstrom", "-1"], "expected above 0"),
    "absent": (["none.poni", "a.expt"], "cannot be read"),
    "nothing": (["none.json", "a.expt"], "cannot read the geometry"),
    "folder": (["plain.json", "no/a.expt"], "no"),
    "stated": (["plain.json", "a.poni", "--shape", "6,8"], "states (60, 80) px: --shape (6, 8)"),
    "flips": (
        ["plain.json", "a.poni", "--image-transform", "2"],
        "--image-transform is of pyFAI .poni only: it does not act on geometry.json of refimpl",
    ),
    "pixels": (
        ["plain.json", "a.poni", "--pixel-size-um", "1", "1"],
        "--pixel-size-um is of GSAS-II image controls only",
    ),
    "gsas": (["plain.json", "a.imctrl"], "a.imctrl: GSAS-II image controls are read, not written"),
    "untold": (["one.imctrl", "a.poni"], "states neither the image nor the pixels"),
    "depth": (
        ["one.imctrl", "a.poni", "--shape", "60,80", "--pixel-size-um", "172", "172"],
        "no place for the penetration correction (DetDepth 0.1) of GSAS-II here; --lossy",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_line(name: str, capsys) -> None:
    arguments, message = REFUSED[name]
    assert main(["convert", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert not list(Path().glob("a.*"))


def test_image_controls_of_gsas(capsys) -> None:
    told = ("--shape", "60,80", "--pixel-size-um", "172", "150")
    assert main(["convert", "one.imctrl", "a.json", "--lossy", *told]) == 0
    out = capsys.readouterr().out
    assert "note: the penetration correction (DetDepth)" in out
    setup, _ = read_setup(Path("a.json"))
    controls = read_imctrl("one.imctrl")
    model = tilted_flat_from_imctrl(controls, (60, 80), (0.172, 0.15), ignore_depth=True)
    columns, rows = np.array([3.0, 70.5]), np.array([0.5, 20.0])
    for found, true in zip(
        setup.detector.two_theta_eta(columns, rows, 0),
        model.detector().two_theta_eta(columns, rows, 0),
        strict=True,
    ):
        np.testing.assert_allclose(found, true, rtol=0.0, atol=1e-13)  # rounding
    assert setup.wavelength_angstrom == 0.25
    Path("two.imctrl").write_text(IMCTRL.replace("DetDepth:0.1", "DetDepth:0.0"))
    assert main(["convert", "two.imctrl", "b.json", *told]) == 0
    assert "penetration" not in capsys.readouterr().out


def test_a_wavelength_is_added() -> None:
    assert main(["convert", "white.json", "a.expt", "--wavelength-angstrom", "0.3"]) == 0
    assert read_setup(Path("a.expt"))[0].wavelength_angstrom == 0.3


def test_what_imaged11_does_not_say(capsys) -> None:
    assert main(["convert", "plain.json", "a.par"]) == 0
    kept = [s for s in Path("a.par").read_text().splitlines() if not s.startswith("image_")]
    Path("b.par").write_text("\n".join(kept) + "\ncell__a 5.4\n")
    assert main(["convert", "b.par", "b.poni"]) == 2
    assert "does not state the shape of the image" in capsys.readouterr().err
    assert main(["convert", "b.par", "b.poni", "--shape", "60,80", "--lossy"]) == 0
    out = capsys.readouterr().out
    assert "left out: the rotation axis" in out
    assert "note: the unit cell" in out


def test_rotation_data_to_everything(capsys) -> None:
    (experiment,) = rotation_case(n=10).truth
    write_setup(Path("r.expt"), read_back(experiment))
    for name in ("a.nxs", "XPARM.XDS", "a.geom", "a.txt"):
        held = name == "XPARM.XDS"
        assert main(["convert", "r.expt", name]) == (0 if held else 2)
        assert held or "--lossy" in capsys.readouterr().err
        capsys.readouterr()
        assert main(["convert", "r.expt", name, "--lossy", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["largest_mm"] < 1e-9


def read_back(experiment):
    from refimpl.interop.setup import setup_from_experiments

    return setup_from_experiments((experiment,))


def test_panels_left_out_say_how_far_they_were_off(capsys) -> None:
    boxes = PanelGrid(2, 1, 38, 60, (4,), ()).boxes()
    moves = np.zeros((2, 7))
    moves[0, 0], moves[1, 0] = 1.5, -1.5
    model = PLAIN.replace(panel_boxes=boxes, panel_corrections=moves)
    write_setup(Path("m.txt"), setup_from_model(model, 0.25))
    assert main(["convert", "m.txt", "a.poni"]) == 2
    assert "no place for panels that are not on one grid of pixels (up to 1.5 px" in (
        capsys.readouterr().err
    )
    assert main(["convert", "m.txt", "a.poni", "--lossy"]) == 0
    assert "left out: where one panel ends" in capsys.readouterr().out
    Path("m.panelshifts.txt").unlink()
    assert main(["convert", "m.txt", "a.poni"]) == 0
    assert "m.panelshifts.txt is not there" in capsys.readouterr().out


def test_panels_that_midas_cannot_number() -> None:
    boxes = np.array([[0, 0, 30, 60], [40, 0, 80, 60]])  # of two sizes, and flat
    model = PLAIN.replace(panel_boxes=boxes)
    setup = setup_from_detector(model.detector(), 0.25)
    _, _, _, _, said, _ = write_setup(Path("m.txt"), setup)
    assert "no grid that MIDAS can number" in said[0]
    assert "NPanelsY" not in Path("m.txt").read_text()


def test_without_a_package_to_read_it_again(capsys, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["convert", "plain.json", "a.yml"]) == 0
    out = capsys.readouterr().out
    assert "note: not read again" in out
    assert "pixels within" not in out


def test_a_stack_of_images_is_no_image(capsys) -> None:
    boxes = PanelGrid(2, 1, 38, 60, (4,), ()).boxes()
    detector = PLAIN.replace(panel_boxes=boxes).detector()
    panels = tuple(replace(p, image_origin_px=(0, 0)) for p in detector.panels)
    write_setup(Path("s.geom"), setup_from_detector(replace(detector, panels=panels), 0.25))
    assert main(["convert", "s.geom", "a.expt"]) == 0
    for name in ("a.txt", "a.poni", "XPARM.XDS"):
        assert main(["convert", "a.expt", name, "--lossy"]) == 2
        assert "do not share one image" in capsys.readouterr().err


def test_tables_beside_an_xparm_belong_to_it(capsys) -> None:
    assert main(["convert", "plain.json", "XPARM.XDS"]) == 0
    zero = np.zeros((60, 80))
    write_corrections(Path(), zero, zero, "xds")
    assert main(["convert", "XPARM.XDS", "a.poni"]) == 2
    assert "tables" not in capsys.readouterr().err  # they correct nothing
    write_corrections(Path(), zero + 0.5, zero, "xds")
    assert main(["convert", "XPARM.XDS", "b.poni"]) == 2
    assert "tables of spatial corrections (X-CORRECTIONS.cbf" in capsys.readouterr().err
    assert main(["convert", "XPARM.XDS", "a.expt"]) == 0
    assert read_setup(Path("a.expt"))[0].tables == (
        Path("X-CORRECTIONS.cbf").absolute(), Path("Y-CORRECTIONS.cbf").absolute()
    )  # fmt: skip


def test_json_of_others_is_known() -> None:
    from refimpl.interop.hexrd import hexrd_from_tilted_flat

    Path("h.json").write_text(json.dumps(hexrd_from_tilted_flat(PLAIN, 0.25)))
    assert read_setup(Path("h.json"))[1].name == "hexrd"
    assert main(["convert", "plain.json", "e.expt"]) == 0
    Path("e.expt").rename("e.json")
    assert read_setup(Path("e.json"))[1].name == "dials"


def test_a_hexrd_distortion_is_left_out_and_said(capsys) -> None:
    from refimpl.interop.hexrd import hexrd_from_tilted_flat

    data = hexrd_from_tilted_flat(PLAIN, 0.25)
    data["detectors"]["detector"]["distortion"] = {
        "function_name": "GE_41RT", "parameters": [1e-4, 0, 0, 2, 2, 2]
    }  # fmt: skip
    Path("h.json").write_text(json.dumps(data))
    assert main(["convert", "h.json", "a.poni"]) == 2
    assert main(["convert", "h.json", "a.poni", "--lossy"]) == 0
    assert "note: the distortion of detector" in capsys.readouterr().out


def test_a_pyfai_detector_that_was_moved_is_not_followed(capsys) -> None:
    assert main(["convert", "bent.json", "a.poni", "--to", "pyfai"]) == 0
    assert read_setup(Path("a.poni"))[0].model.p == BENT.p
    text = Path("a.poni").read_text().replace("Poni1: 0.0", "Poni1: 0.001")
    Path("a.poni").write_text(text)
    assert main(["convert", "a.poni", "b.txt"]) == 2
    assert "off a flat grid" in capsys.readouterr().err


def test_a_flat_pyfai_detector_is_read_from_its_corners() -> None:
    assert main(["convert", "plain.json", "a.poni", "--to", "pyfai"]) == 0
    text = Path("a.poni").read_text()
    Path("a.poni").write_text(text.replace("Rot3: 0.0", "Rot3: 0.1"))
    panel = read_setup(Path("a.poni"))[0].detector.panels[0]
    c, s = np.cos(0.1), np.sin(0.1)
    turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])  # up turns to the right: -x
    expected = PLAIN.detector().panels[0]
    # 1e-4 mm: corners have single precision
    for name in ("origin_mm", "fast_axis", "slow_axis"):
        got, was = getattr(panel, name), np.array(getattr(expected, name))
        np.testing.assert_allclose(got, turn.T @ was, atol=1e-4, err_msg=name)
