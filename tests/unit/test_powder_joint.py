"""Joint calibration of images: what comes out, what is written, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from refimpl.crystal.rings import rings
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError, FormatError, NoRingsError
from refimpl.forward.panel_gauge import draw_panel_errors
from refimpl.forward.powder_image import simulate
from refimpl.forward.scenes import panel_grid
from refimpl.io.geometry_json import read_geometry
from refimpl.powder.frame_residuals import reach
from refimpl.powder.joint import JointFrame, JointResult, calibrate_joint
from refimpl.powder.joint_frames import FRAME_KEYS, frame_names, read_frame
from refimpl.powder.result import ONE_FRAME
from refimpl.units import kev_to_angstrom

PIXEL, TRUE_PIXEL = 0.2, 0.2002
BOXES = panel_grid([147, 146], [7], [142, 141], [17])
COMMON: dict[str, Any] = {"pixel_size_mm": PIXEL, "wavelength_angstrom": 0.25}


def frame(i: int, travel: float, *, panels: bool = True, **changes: Any) -> JointFrame:
    """Frame of the detector, whose pixels are 0.1 % larger than they are said to be."""
    rng = np.random.default_rng(4)
    widths = {"d_fast_px": 0.3, "d_slow_px": 0.3, "d_theta_rad": 1e-3}
    model = TiltedFlat(
        (300, 300), (TRUE_PIXEL, TRUE_PIXEL), 150.0 + travel, (146.0 + i, 152.0 - i),
        (0.0, 0.01, -0.015), panel_boxes=BOXES,
        panel_corrections=draw_panel_errors(BOXES, widths, rng) if panels else None,
    )  # fmt: skip
    model = model.replace(lsd_mm=model.lsd_mm - reach(model.geometry, (146.0, 152.0))[0])
    wavelength, calibrant = changes.pop("wavelength", 0.25), changes.pop("calibrant", "CeO2")
    picture = simulate(
        model, rings(calibrant, wavelength, 0.5), wavelength_angstrom=wavelength,
        fwhm_rad=0.45 / model.lsd_mm, peak_counts=4000.0, background=20.0, seed=10 + i,
    )  # fmt: skip
    return JointFrame(picture.image, mask=picture.mask, travel_mm=travel, **changes)


@pytest.fixture(scope="module")
def frames() -> list[JointFrame]:
    return [frame(0, 0.0, name="near"), frame(1, 90.0, name="far")]


@pytest.fixture(scope="module")
def joint(frames: list[JointFrame]) -> JointResult:
    return calibrate_joint(
        frames, panels_grid="auto", panel_refine=("shift", "rotation"), share=("tilt",), **COMMON
    )


def test_pixel_size_distances_and_panels(joint: JointResult) -> None:
    assert joint.converged
    assert joint.names == ("near", "far")
    pixel = joint["pixel_size"]
    assert pixel.status == "refined"
    assert abs(pixel.value - TRUE_PIXEL) < 4.0 * pixel.sigma
    assert pixel.sigma < 1e-4 * PIXEL  # from 150 mm to 240 mm
    assert joint.pixel_size_mm == pytest.approx((pixel.value, pixel.value))
    near, far = joint.frames
    assert near.model.pixel_size_mm == far.model.pixel_size_mm == joint.pixel_size_mm
    assert abs(near["Lsd"].value - 150.0) < 4.0 * near["Lsd"].sigma
    # the body travelled: the beam centre moved by 1 px on a detector that leans by 0.6 to 0.9 deg
    assert far["Lsd"].value - near["Lsd"].value == pytest.approx(90.0, abs=0.01)
    assert near.model.panel_corrections is not None
    assert np.array_equal(near.model.panel_corrections, far.model.panel_corrections)
    assert near["ty"].value == far["ty"].value
    table = joint.panels
    assert table is not None
    off = table.corrections[:, :3] - draw_panel_errors(
        BOXES, {"d_fast_px": 0.3, "d_slow_px": 0.3, "d_theta_rad": 1e-3}, np.random.default_rng(4)
    )[:, :3]  # fmt: skip
    pulls = off / table.sigma[:, :3]
    assert 0.2 < np.mean(pulls**2) < 2.2  # 99 % of 12 - 4 correlated normal numbers
    assert np.array_equal(table.points, near.panels.points + far.panels.points)
    assert joint.strain_before.clip_mean > 3.0 * joint.summary.clip_mean


def test_the_frames_say_what_was_done(joint: JointResult) -> None:
    text = "\n".join(joint.summary_lines())
    assert re.match(r"converged: parameters stand still\nnear: Lsd 1(50.0|49.9)", text)
    assert "note: Pixel size 0.200" in text
    assert "determined by the known travel of 90 mm" in text
    assert "note: One distance for all frames, 1" in text
    assert "note: Wavelength: held at 0.25 angstrom" in text
    for result in joint.frames:
        assert ONE_FRAME not in result.warnings
        assert "Calibrated together with 1 other frame." in result.warnings
        assert result.config.detector.pixel_size_mm == joint.pixel_size_mm
        assert result.cross_validated is not None
        assert result.cross_validated.clip_mean < 0.3 * result.cross_validated_single.clip_mean
    assert repr(joint).startswith("<JointResult 2 frames, refined pixel size 0.200")
    assert len(joint) == 2
    with pytest.raises(KeyError, match=r"'gain': known are pixel_size, wavelength\[1\]"):
        joint["gain"]
    assert list(joint.timing) == ["each frame alone", "one surface", "panels", "statistics"]


def test_what_is_written(joint: JointResult, tmp_path: Path) -> None:
    joint.save(tmp_path / "out", report=False)
    found = {p.name for p in (tmp_path / "out").iterdir()}
    assert found == {"near", "far", "joint.json", "joint.log", "panelshifts.txt"}
    content = json.loads((tmp_path / "out/joint.json").read_text())
    assert content["kind"] == "refimpl.powder.joint"
    assert [f["name"] for f in content["frames"]] == ["near", "far"]
    assert [f["travel_mm"] for f in content["frames"]] == [0.0, 90.0]
    assert content["pixel_size_mm"] == list(joint.pixel_size_mm)
    assert content["sentences"] == list(joint.sentences)
    assert content["fit"]["names"][0] == "lsd_mm"
    geometry = read_geometry(tmp_path / "out/far/geometry.json")
    assert geometry.model.lsd_mm == joint.frames[1].model.lsd_mm
    assert geometry.model.pixel_size_mm == joint.pixel_size_mm
    log = (tmp_path / "out/joint.log").read_text()
    assert log == "\n".join(joint.summary_lines()) + "\n"
    assert len((tmp_path / "out/panelshifts.txt").read_text().split("\n")) >= 4
    assert not [p for p in tmp_path.rglob("*.part*")]


def test_a_failing_save_leaves_no_sign_of_success(
    joint: JointResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joint.save(tmp_path, report=False)
    monkeypatch.setattr("refimpl.powder.joint_result.write_text", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        joint.save(tmp_path, report=False)
    assert not (tmp_path / "joint.json").exists()


def test_one_surface_without_travel(tmp_path: Path) -> None:
    """Two energies and calibrants, no panels, nothing known of the travel."""
    two = [
        frame(0, 0.0, panels=False, settings={"wavelength_angstrom": 0.25}),
        frame(
            1,
            30.0,
            panels=False,
            wavelength=0.3,
            calibrant="LaB6",
            settings={"wavelength_angstrom": 0.3, "calibrant": "LaB6"},
        ),
    ]
    unknown = [JointFrame(f.image, mask=f.mask, settings=f.settings) for f in two]
    stages: list[str] = []
    result = calibrate_joint(
        unknown, pixel_size_mm=PIXEL, progress=lambda stage, part: stages.append(stage)
    )
    assert result.names == ("frame_1", "frame_2")
    assert stages[0] == "frame frame_1"
    assert stages[-1] == "done"
    assert result.panels is None
    assert result.pixel_size_mm == (PIXEL, PIXEL)
    assert result["pixel_size"].status == "not determined"
    assert (
        "Pixel size: not determined: it scales with all distances; held at 0.2 mm. "
        in (result.sentences[0])
    )
    assert [v.frames for v in result.shared] == [(1, 2), (1,), (2,)]
    assert result["wavelength[2]"].given == 0.3
    # pixels that are larger than they are said to be make everything look nearer
    near, far = result.frames
    ratio = PIXEL / TRUE_PIXEL
    assert near["Lsd"].value == pytest.approx(150.0 * ratio, abs=5.0 * near["Lsd"].sigma)
    assert far.config.beam.wavelength_angstrom == 0.3
    assert far.config.calibrant.calibrant == "LaB6"
    assert far["Lsd"].value == pytest.approx(180.0 * ratio, abs=0.01 + 5.0 * far["Lsd"].sigma)
    result.save(tmp_path, report=False)
    assert {p.name for p in tmp_path.iterdir()} == {
        "frame_1", "frame_2", "joint.json", "joint.log",
    }  # fmt: skip


# --------------------------------------------------------------------------------- bad input


PICTURE = np.zeros((40, 40), dtype=np.int32)


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ([{}], COMMON, "a joint calibration needs two frames or more: got 1"),
        ([{"travel_mm": 1.0}, {}], COMMON,
         "travel_mm: frame_2 lacks it, other frames have it: expected on all frames or on none"),
        ([{}, {"image": np.zeros((40, 41), np.int32)}], COMMON,
         "frame frame_2 has 41 x 40 px, frame_1 has 40 x 40: frames of one detector have one "
         "shape"),
        ([{}, {}], COMMON | {"solver": "simplex"},
         "solver 'simplex', objective 'strain' with several frames: expected 'lm' and 'strain'"),
        ([{}, {}], COMMON | {"refine_shared": ("gain",)},
         "refine_shared: unknown 'gain': expected some of pixel_size, wavelength"),
        ([{}, {}], COMMON | {"share": ("parallax",)}, "share: 'parallax' is not refined"),
        ([{"settings": {"wavelength_angstrom": 0.2}}, {"name": "b"}], {"pixel_size_mm": 0.2},
         "frame b: wavelength_angstrom: missing: give it"),
        ([{}, {"name": "a/b"}], COMMON, "name: 'a/b' is no name of a folder"),
        ([{}, {"settings": {"lsd_mm": -1.0}}], COMMON,
         "frame frame_2: start.lsd_mm: Input should be greater than 0 (got -1.0)"),
        ([{}, {}], COMMON | {"colour": 1}, "unknown setting 'colour'"),
    ],
)  # fmt: skip
def test_bad_input(given: list[dict[str, Any]], settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        calibrate_joint([JointFrame(**{"image": PICTURE} | own) for own in given], **settings)
    assert str(error.value) == message


def test_what_goes_wrong_with_a_frame_names_it() -> None:
    noise = np.random.default_rng(0).poisson(30.0, (300, 300)).astype(np.int32)
    with pytest.raises(NoRingsError, match=r"^frame b: "):
        calibrate_joint([frame(0, 0.0), JointFrame(noise, name="b", travel_mm=1.0)], **COMMON)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": {"pixel_size_mm": 0.1}}, "a frame has no setting 'pixel_size_mm' of its own"),
        ({"settings": {"wavelenght_angstrom": 0.1}},
         "a frame has no setting 'wavelenght_angstrom' of its own; did you mean "
         "'wavelength_angstrom'?"),
        ({"travel_mm": "far"}, "travel_mm: got 'far': expected a number"),
        ({"travel_mm": np.nan}, "travel_mm: got nan: expected a number"),
    ],
)  # fmt: skip
def test_frames_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        JointFrame(PICTURE, **changes)
    assert str(error.value).startswith(message)


# -------------------------------------------------------------------------- files of a frame


def write(folder: Path, text: str) -> Path:
    path = folder / "far.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_describes_a_frame(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "x.tif", PICTURE)
    path = write(
        tmp_path,
        'image = "x.tif"\nmask = "m.tif"\ndark = "d.tif"\nframes = [2, 5]\ntravel_mm = 12\n'
        'energy_kev = 50.0\ncalibrant = "LaB6"\nwavelength_known = true\ngap_values = [-1.0]\n',
    )
    own = read_frame(path)
    assert own.image == tmp_path / "x.tif"
    assert own.mask == tmp_path / "m.tif"
    assert own.reading == {
        "dark": tmp_path / "d.tif", "frames": slice(2, 5), "gap_values": [-1.0],
    }  # fmt: skip
    assert own.name == "far"
    assert own.travel_mm == 12
    assert own.wavelength_known
    assert own.settings == {
        "calibrant": "LaB6", "wavelength_angstrom": kev_to_angstrom(50.0),
    }  # fmt: skip
    assert read_frame(write(tmp_path, 'image = "x.tif"\nname = "n"\nframes = 3\n')).name == "n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('image = "x"\ntravel = 3', ":2: unknown key 'travel'; did you mean 'travel_mm'?"),
        ('image = "x"\nzzz = 3', ":2: unknown key 'zzz': expected some of image, name, mask"),
        ("travel_mm = 1", ': image: missing: name the image of this frame, image = "..."'),
        ("image = 1", ': image: missing: name the image of this frame, image = "..."'),
        ('image = "x"\ntravel_mm = "a"', ":2: travel_mm: got 'a': expected a number"),
        ('image = "x"\nenergy_kev = 0', ":2: energy_kev: got 0: expected a number > 0"),
        ('image = "x"\nwavelength_known = 1',
         ":2: wavelength_known: got 1: expected true or false"),
        ('image = "x"\nmask = 1', ":2: mask: got 1: expected text"),
        ('image = "x"\nframes = [1]',
         ":2: frames: got [1]: expected a number, or two of them in brackets"),
        ('image = "x"\nwavelength_angstrom = 1\nenergy_kev = 9',
         ":3: wavelength_angstrom and energy_kev: give one of them"),
        ("image = ", ": not a TOML file: "),
    ],
)  # fmt: skip
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        read_frame(path)
    assert str(error.value).startswith(f"{path}{message}")


def test_no_file_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the frame's file: No such file"):
        read_frame(tmp_path / "nix.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not a TOML file"):
        read_frame(tmp_path / "b.toml")
    missing = JointFrame(tmp_path / "nix.tif")
    with pytest.raises(FormatError, match=r"nix\.tif: no such file"):
        calibrate_joint([missing, missing], **COMMON)


def test_names_of_frames() -> None:
    a = JointFrame(Path("x/run.tif"))
    assert frame_names([a, a, JointFrame(PICTURE), JointFrame(a.image, name="q")]) == (
        "run", "run_2", "frame_3", "q",
    )  # fmt: skip
    assert len(set(FRAME_KEYS)) == len(FRAME_KEYS)
