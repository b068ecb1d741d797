"""GSAS-II image controls: half a pixel, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.errors import FormatError, GeometryError
from refimpl.interop.gsas import ImageControls, parse_imctrl, read_imctrl, tilted_flat_from_imctrl
from refimpl.units import DEG

TEXT = """type:PWDR
wavelength:0.420098095296
calibrant:CeO2  SRM674b
distance:200.585837269
center:[80.768255930957622, 90.949263529388276]
tilt:-0.576993745284
rotation:314.436595983
DetDepth:0.0
"""


def _two_theta(c: ImageControls, x_mm: float, y_mm: float) -> float:
    """GetTthAzmDsp of GSAS-II with its matrices, written out."""

    def matrix(angle: float, axis: int) -> np.ndarray:
        cosine, sine = np.cos(angle * DEG), np.sin(angle * DEG)
        m = np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
        return np.roll(np.roll(m, axis, axis=0), axis, axis=1)

    d = np.array([x_mm - c.centre_mm[0], y_mm - c.centre_mm[1], 0.0])
    z = (d @ matrix(c.rotation_deg, 2) @ matrix(c.tilt_deg, 0))[2]
    along = c.distance_mm / np.cos(c.tilt_deg * DEG) - z
    return float(np.arctan2(np.sqrt(d @ d - z * z), along))


@pytest.mark.parametrize(("tilt", "rotation"), [(-0.577, 314.4), (12.0, 33.0), (-25.0, 201.0)])
def test_half_a_pixel(tilt, rotation):
    c = ImageControls(0.42, 200.0, (80.7, 90.9), tilt, rotation)
    shape, sizes = (1043, 981), (0.15, 0.172)
    right = tilted_flat_from_imctrl(c, shape, sizes).detector()
    swapped = tilted_flat_from_imctrl(c, shape, sizes[::-1]).detector()
    for row, column in ((0, 0), (1042, 980), (10, 900), (700, 33)):
        expected = _two_theta(c, (column + 0.5) * 0.15, (row + 0.5) * 0.172)
        here = np.array([column + 0.5]), np.array([row + 0.5])
        got, other = (d.two_theta_eta(*here, 0)[0][0] for d in (right, swapped))
        assert got == pytest.approx(expected, abs=1e-13)  # 100 eps at 1 rad
        assert abs(other - expected) > 1e-6  # the pixel sizes matter


def test_published_numbers():
    controls = parse_imctrl(TEXT)
    assert controls.centre_mm == (80.768255930957622, 90.949263529388276)
    model = tilted_flat_from_imctrl(controls, (1043, 981), (0.172, 0.172))
    assert model.image_transform == (2,)  # row 0 on top
    assert model.lsd_mm == pytest.approx(200.585837269 / np.cos(0.576993745284 * DEG), rel=1e-14)
    expected = (80.768255930957622 / 0.172, 1043 - 90.949263529388276 / 0.172)
    assert model.beam_centre_px == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("distance:200.585837269\n", "", "c.imctrl: the key 'distance' is missing"),
        ("tilt:-0.57", "tilt:level", "c.imctrl: tilt:.*: expected 1 number"),
        ("center:[80.7", "center:[80.7, 1.0, 80.7", "c.imctrl: center:.*: expected 2 number"),
    ],
)
def test_broken_files(old, new, message):
    assert old in TEXT
    with pytest.raises(FormatError, match=message):
        parse_imctrl(TEXT.replace(old, new), "c.imctrl")


def test_missing_file(tmp_path):
    with pytest.raises(FormatError, match=r"none.imctrl: cannot be read: No such file"):
        read_imctrl(tmp_path / "none.imctrl")


def test_penetration_is_refused_or_left_out():
    controls = parse_imctrl(TEXT.replace("DetDepth:0.0", "DetDepth:-0.2687"))
    with pytest.raises(GeometryError, match=r"DetDepth = -0.2687: the penetration correction"):
        tilted_flat_from_imctrl(controls, (10, 10), (0.1, 0.1))
    assert tilted_flat_from_imctrl(controls, (10, 10), (0.1, 0.1), ignore_depth=True).lsd_mm > 200


def test_published_files(real_data):
    for name in ("CeO2_Pil207_E30_2Nov2016_001.imctrl", "CeO2_cal_GSAS.imctrl"):
        controls = read_imctrl(real_data(f"pilatus1m-ceria-cpf/{name}"))
        assert controls.distance_mm == pytest.approx(200.8, abs=0.3)  # the two disagree
        assert controls.wavelength_angstrom == pytest.approx(0.4198, abs=0.0003)
