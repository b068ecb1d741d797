"""The .poni file: half a pixel, both versions, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.interop.pyfai import (
    Poni,
    format_poni,
    parse_poni,
    poni_from_tilted_flat,
    read_poni,
    tilted_flat_from_poni,
)
from refimpl.units import UM

V1 = """# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis
# Calibration done at Wed Nov 02 14:25:47 2016
PixelSize1: 0.000172
PixelSize2: 0.000172
Distance: 0.207392133664
Poni1: 0.0887343847853
Poni2: 0.0808035652931
Rot1: 0.00025661542868
Rot2: -0.00121007952056
Rot3: -1.7995720789e-10
Wavelength: 4.0663e-11
"""
V2 = """poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 0.0001, "pixel2": 0.0002, "max_shape": [300, 400], "orientation": 2}
Distance: 0.5
Poni1: 0.01
Poni2: 0.02
Rot1: 0.1
Rot2: 0.0
Rot3: 0.0
"""


def test_flat_geometry_by_hand():
    # no rotation: the beam hits (poni2, poni1); a pixel's centre is half a pixel in
    poni = Poni(0.1, 0.0105, 0.0205, pixel1_m=1e-4, pixel2_m=2e-4, shape=(200, 150))
    model = tilted_flat_from_poni(poni)
    assert model.lsd_mm == pytest.approx(100.0, abs=1e-12)
    assert model.beam_centre_px == pytest.approx((102.5, 105.0), abs=1e-10)
    two_theta, eta = model.two_theta_eta(np.array([102.5, 103.5]), np.array([105.5, 105.0]))
    # half a pixel up, then one pixel to the right
    assert two_theta == pytest.approx([np.arctan(0.05 / 100), np.arctan(0.2 / 100)], abs=1e-13)
    assert eta == pytest.approx([0.0, np.pi / 2], abs=1e-9)  # clockwise from the top


def test_half_a_pixel_at_the_published_frame():
    # Independent formula: pixel (row, column) of the flipped image lies at ((row + 1/2) p - poni1,
    # (column + 1/2) p - poni2); small rotations move the beam to poni - L tan(rot), to 2nd order.
    poni = parse_poni(V1)
    model = tilted_flat_from_poni(poni, (1043, 981), image_transform=(2,))
    row, column, pixel = 700, 200, 172 * UM
    c1, s1 = np.cos(poni.rot1_rad), np.sin(poni.rot1_rad)
    c2, s2 = np.cos(poni.rot2_rad), np.sin(poni.rot2_rad)
    up = (row + 0.5) * pixel - 88.7343847853
    right = (column + 0.5) * pixel - 80.8035652931
    length = 207.392133664
    t1 = c2 * up + s1 * s2 * right - c1 * s2 * length
    t2 = c1 * right + s1 * length
    t3 = s2 * up - s1 * c2 * right + c1 * c2 * length  # rot3 is 1e-10: no roll in two-theta
    expected = np.arctan2(np.hypot(t1, t2), t3)
    assert model.image_transform == (2,)
    got, _ = model.two_theta_eta(np.array([column + 0.5]), np.array([row + 0.5]))
    assert got[0] == pytest.approx(expected, abs=1e-14)  # eps at 0.2 rad
    # and in the order of the stored file, row 0 on top
    stored = model.detector().maps()[0]
    assert stored[1042 - row, column] == pytest.approx(expected, abs=1e-14)
    step = abs(stored[1042 - row, column] - stored[1041 - row, column])
    assert step > 1e-4  # a pixel is 1e10 times the tolerance


def test_both_versions_are_read(tmp_path):
    first, second = parse_poni(V1), parse_poni(V2)
    assert (first.shape, first.pixel1_m, first.wavelength_angstrom) == (
        None,
        0.000172,
        pytest.approx(0.40663, rel=1e-15),
    )
    assert (second.shape, second.orientation, second.pixel2_m) == ((300, 400), 2, 0.0002)
    assert second.wavelength_angstrom is None
    path = tmp_path / "a.poni"
    path.write_text(V2)
    assert read_poni(path) == second
    assert parse_poni(format_poni(second)) == second
    assert parse_poni(V1 + V1.replace("0.207392133664", "0.3")).dist_m == 0.3  # the last counts


@pytest.mark.parametrize(
    ("name", "shape", "pixel"),
    [
        ("Pilatus 2M", (1679, 1475), 172e-6),
        ("Pilatus CdTe 2M", (1679, 1475), 172e-6),
        ("Pilatus3_X_2M", (1679, 1475), 172e-6),
        ("Pilatus300k", (619, 487), 172e-6),
        ("Eiger 4M", (2167, 2070), 75e-6),
        ("Eiger2 CdTe 4M", (2162, 2068), 75e-6),
    ],
)
def test_detectors_by_name(name, shape, pixel):
    poni = parse_poni(f"Detector: {name}\nDistance: 1\nPoni1: 0\nPoni2: 0\n")
    assert (poni.shape, poni.pixel1_m, poni.pixel2_m) == (shape, pixel, pixel)


def test_orientations_flip_the_image():
    model = tilted_flat_from_poni(parse_poni(V2))
    assert model.image_transform == (2,)
    as_stored = tilted_flat_from_poni(parse_poni(V2), image_transform=(2,))
    assert as_stored.image_transform == ()  # two flips undo each other
    assert as_stored.geometry.tolist() == model.geometry.tolist()
    turned = tilted_flat_from_poni(parse_poni(V2), (400, 300), image_transform=(3,))
    assert turned.image_transform == (3, 2)
    assert turned.shape == (300, 400)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("nonsense\n", FormatError, "g.poni:1: 'nonsense': expected 'key: value'"),
        ("poni_version: 3\n", FormatError, "g.poni: poni_version 3 is newer than 2"),
        (V1.replace("Poni1", "Ponny"), FormatError, "g.poni: the key 'poni1' is missing"),
        (V1.replace("0.207392133664", "far"), FormatError, "distance: 'far' is not a number"),
        (V1.replace("0.207392133664", "nan"), FormatError, "distance: 'nan' is not a number"),
        (V1.replace("PixelSize1: 0.000172\n", ""), FormatError, "no pixel size"),
        (V1 + "SplineFile: f.spline\n", GeometryError, "distortion spline 'f.spline' cannot be"),
        (V2.replace("{", "[{").replace("}", "}]"), FormatError, "expected a JSON object"),
        (V2.replace("}", ""), FormatError, "Detector_config is not JSON"),
        (V2.replace(": 2}", ": 5}"), GeometryError, "orientation 5: expected 1 to 4"),
        (
            V2.replace('{"pixel1"', '{"splineFile": "x", "pixel1"'),
            GeometryError,
            "a detector with a distortion file cannot be read",
        ),
        (
            V1 + "Detector: Aarhus\n",
            GeometryError,
            "detector 'Aarhus' is not known as a flat one",
        ),
    ],
)
def test_broken_files(text, error, message):
    with pytest.raises(error, match=message):
        parse_poni(text, "g.poni")


def test_missing_file(tmp_path):
    with pytest.raises(FormatError, match=r"none.poni: cannot be read: No such file"):
        read_poni(tmp_path / "none.poni")


def test_shape_is_needed_and_must_fit():
    with pytest.raises(ConfigError, match="does not give the shape of the image"):
        tilted_flat_from_poni(parse_poni(V1))
    with pytest.raises(ConfigError, match=r"of shape \(5, 6\) with a geometry for \(300, 400\)"):
        tilted_flat_from_poni(parse_poni(V2), (5, 6))


def test_what_a_poni_cannot_hold():
    model = TiltedFlat((10, 20), (0.1, 0.1), 100.0, (5.0, 5.0), image_transform=(3,))
    with pytest.raises(GeometryError, match=r"cannot hold the transposed image transform \[3\]"):
        poni_from_tilted_flat(model)
    with pytest.raises(GeometryError, match=r"a .poni file cannot hold p2"):
        poni_from_tilted_flat(model.replace(p=(0, 0, 1e-3) + (0.0,) * 12))


def test_wavelength_goes_through():
    model = TiltedFlat((10, 20), (0.1, 0.1), 100.0, (5.0, 5.0))
    text = format_poni(poni_from_tilted_flat(model, 0.40663))
    assert parse_poni(text).wavelength_angstrom == pytest.approx(0.40663, rel=1e-15)
    assert "Wavelength" not in format_poni(poni_from_tilted_flat(model))


def test_published_file(real_data):
    poni = read_poni(real_data("pilatus1m-ceria-cpf/CeO2_cal_Dioptas.poni"))
    model = tilted_flat_from_poni(poni, (1043, 981), image_transform=(2,))
    assert model.lsd_mm == pytest.approx(207.3923, abs=1e-3)  # L / (cos rot1 cos rot2)
    # poni / pixel, moved by L tan(rot) / pixel = +0.3 px right, +1.5 px down: two decimals
    assert model.beam_centre_px == pytest.approx((469.48, 514.44), abs=0.01)
