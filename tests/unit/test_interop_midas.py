"""MIDAS parameters: half a pixel, panels, padding, and every refusal."""

from __future__ import annotations

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError, GeometryError
from refimpl.interop.midas import midas_from_tilted_flat, panel_boxes, tilted_flat_from_midas
from refimpl.io.midas_params import read_params, write_params
from refimpl.units import DEG, UM

BASE = {
    "Lsd": 739846.4,
    "BC": (774.785, 870.914),
    "ty": -0.0172,
    "tz": 0.0656,
    "p0": 1e-3,
    "p3": -2.7,
    "RhoD": 200500.0,
    "px": 172.0,
    "NrPixelsY": 1475,
    "NrPixelsZ": 1679,
    "ImTransOpt": (2,),
}


def test_half_a_pixel():
    # Independent formula: pixel (Y, Z) counts from centres; y = -(Y - ybc) px, z = (Z - zbc) px,
    # v = Rx Ry Rz (0, y, z), R = L hypot(vy, vz) / (L + vx), no distortion
    params = {k: v for k, v in BASE.items() if not k.startswith("p") or k == "px"}
    model = tilted_flat_from_midas({**params, "ty": 1.1, "tz": -2.3})
    y, z = -(100 - 774.785) * 172, (1500 - 870.914) * 172
    cy, sy, cz, sz = (f(a * DEG) for a in (1.1, -2.3) for f in (np.cos, np.sin))
    v = np.array([-cy * sz * y + sy * z, cz * y, sy * sz * y + cy * z])
    tangent = np.hypot(v[1], v[2]) / (739846.4 + v[0])
    got, eta = model.two_theta_eta(np.array([100.5]), np.array([1500.5]))
    assert got[0] == pytest.approx(np.arctan(tangent), abs=1e-15)  # eps at 0.2 rad
    assert eta[0] == pytest.approx(np.arctan2(-v[1], v[2]), abs=1e-13)


def test_every_number_arrives():
    p = {f"p{i}": 0.01 * (i + 1) for i in range(15)}
    model = tilted_flat_from_midas({**BASE, **p, "tx": 0.5, "Parallax": 30.0})
    assert model.p == tuple(0.01 * (i + 1) for i in range(15))
    assert model.tilts_rad == pytest.approx((0.5 * DEG, -0.0172 * DEG, 0.0656 * DEG), rel=1e-15)
    assert model.parallax_mm == pytest.approx(0.03, rel=1e-15)
    assert model.rho_d_mm == 200500.0 * UM
    assert (model.shape, model.image_transform) == ((1679, 1475), (2,))


def test_defaults():
    model = tilted_flat_from_midas(
        {"Lsd": 1e6, "BC": (5, 6), "px": 200, "MaxRingRad": 3e5, "ImTransOpt": (0,)}, (64, 32)
    )
    assert model.rho_d_mm == 300.0
    assert model.image_transform == ()
    assert model.shape == (64, 32)
    assert tilted_flat_from_midas({**BASE, "ImTransOpt": (3, 0)}).shape == (1475, 1679)
    assert tilted_flat_from_midas({**BASE, "ImTransOpt": 2}).image_transform == (2,)


def test_a_parameter_file_goes_in_and_out(tmp_path):
    path = tmp_path / "ps.txt"
    write_params(path, midas_from_tilted_flat(tilted_flat_from_midas(BASE)))
    model = tilted_flat_from_midas(read_params(path))
    np.testing.assert_allclose(
        model.geometry, tilted_flat_from_midas(BASE).geometry, rtol=1e-14, atol=1e-17
    )  # one conversion of units each way
    assert model.image_transform == (2,)


def test_panels_of_the_published_grid():
    # 6 x 8 half-modules of 243 x 195, gaps 1 7 1 7 1 and seven times 17
    grid = {
        "NPanelsY": 6,
        "NPanelsZ": 8,
        "PanelSizeY": 243,
        "PanelSizeZ": 195,
        "PanelGapsY": (1, 7, 1, 7, 1),
        "PanelGapsZ": (17,) * 7,
    }
    model = tilted_flat_from_midas({**BASE, **grid})
    boxes = model.panel_boxes
    assert boxes is not None
    assert boxes[0].tolist() == [0, 0, 243, 195]
    assert boxes[1].tolist() == [0, 212, 243, 407]  # id = iY * NPanelsZ + iZ
    assert boxes[8].tolist() == [244, 0, 487, 195]
    assert boxes[47].tolist() == [1232, 1484, 1475, 1679]  # ends where the detector ends
    back = midas_from_tilted_flat(model)
    assert {k: back[k] for k in grid} == grid


def test_one_panel_is_no_grid():
    assert panel_boxes({"NPanelsY": 1, "NPanelsZ": 1}) is None
    assert panel_boxes({}) is None


@pytest.mark.parametrize("missing", ["Lsd", "BC", "px"])
def test_missing_keys(missing):
    with pytest.raises(ConfigError, match=f"MIDAS parameters lack {missing}$"):
        tilted_flat_from_midas({k: v for k, v in BASE.items() if k != missing})


def test_missing_shape():
    with pytest.raises(ConfigError, match="MIDAS parameters lack NrPixelsY and NrPixelsZ"):
        tilted_flat_from_midas({k: v for k, v in BASE.items() if k != "NrPixelsY"})


@pytest.mark.parametrize(
    "bad", [{"PanelSizeY": 0, "PanelGapsY": (1,)}, {"PanelSizeY": 9, "PanelGapsY": (1, 2)}]
)
def test_impossible_grids(bad):
    with pytest.raises(GeometryError, match="NPanelsY 2: expected a PanelSizeY above 0 and 1"):
        panel_boxes({"NPanelsY": 2, "NPanelsZ": 1, **bad})


def test_what_midas_cannot_hold():
    model = TiltedFlat((10, 20), (0.1, 0.2), 100.0, (5.0, 5.0))
    with pytest.raises(GeometryError, match=r"one pixel size: 0.1 x 0.2 mm are not square"):
        midas_from_tilted_flat(model)
    odd = model.replace(
        pixel_size_mm=(0.1, 0.1), panel_boxes=np.array([[0, 0, 5, 10], [6, 0, 20, 10]])
    )
    with pytest.raises(GeometryError, match="not a grid of equal ones"):
        midas_from_tilted_flat(odd)


@pytest.mark.parametrize(
    ("codes", "moved"),
    [((2,), (0, 0)), ((1,), (204, 0)), ((1, 2), (204, 0)), ((), (0, 0)), ((3,), (0, 0))],
)
def test_published_padding(codes, moved):
    # 1475 x 1679 in a square of 1679: flipping the short axis puts 204 columns of padding first
    plain = tilted_flat_from_midas({**BASE, "ImTransOpt": codes})
    padded = tilted_flat_from_midas({**BASE, "ImTransOpt": codes}, published_padding=True)
    shift = np.subtract(plain.beam_centre_px, padded.beam_centre_px)
    assert shift.tolist() == pytest.approx(list(moved), abs=1e-12)
