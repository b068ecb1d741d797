"""HEXRD instruments: half a pixel, both layouts, and every refusal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError, FormatError, GeometryError, MissingExtra
from refimpl.interop import hexrd_file
from refimpl.interop.hexrd import (
    detector_from_hexrd,
    ge_41rt,
    hexrd_from_tilted_flat,
    parse_hexrd,
    read_hexrd,
    tilted_flat_from_hexrd,
)
from refimpl.interop.hexrd_file import read_tree
from refimpl.interop.hexrd_write import hexrd_from_detector, hexrd_yaml
from refimpl.rotations import expmap, rotation_vector

# The published single-surface geometry of the Pilatus 2M example (HEXRD/examples, acc6ae2a).
PILATUS = {
    "energy_keV": 61.3323,
    "beam_vector_azimuth_polar_deg": [90.0, 90.0],
    "panels": {
        "Pilatus2M": {
            "rows": 1679,
            "cols": 1475,
            "pixel_mm": [0.172, 0.172],
            "tilt_expmap_rad": [0.0006499325380605479, 0.0011429110077063199, -3.714e-07],
            "translation_mm": [-6.506475003571106, -5.490955125419854, -739.7787156897899],
        }
    },
}
OWN = {
    "beam": {"energy": 42.0, "vector": {"azimuth": 90.0, "polar_angle": 90.0}},
    "detectors": {
        "a": {
            "pixels": {"rows": 30, "columns": 50, "size": [0.2, 0.1]},
            "transform": {"tilt": [0.0, 0.0, 0.0], "translation": [0.0, 0.0, -100.0]},
        }
    },
}


def test_half_a_pixel_at_the_published_frame():
    # Independent formula: measured from the panel's centre, row 0 at +y, beam along -z
    panel = PILATUS["panels"]["Pilatus2M"]
    model = tilted_flat_from_hexrd(parse_hexrd(PILATUS))
    row, column = 100, 1300
    x, y = 0.172 * (column + 0.5 - 1475 / 2), 0.172 * (1679 / 2 - row - 0.5)
    p = expmap(np.array(panel["tilt_expmap_rad"])) @ np.array([x, y, 0.0])
    p = p + np.array(panel["translation_mm"])
    expected = np.arctan2(np.hypot(p[0], p[1]), -p[2])
    assert model.image_transform == (2,)
    up = 1679 - (row + 0.5)
    two_theta, eta = model.two_theta_eta(np.array([column + 0.5]), np.array([up]))
    assert two_theta[0] == pytest.approx(expected, abs=1e-15)  # eps at 0.2 rad
    assert eta[0] == pytest.approx(np.arctan2(p[0], p[1]), abs=1e-13)  # right is clockwise
    assert model.detector().maps()[0][row, column] == pytest.approx(expected, abs=1e-15)


def test_published_beam_centre():
    model = tilted_flat_from_hexrd(parse_hexrd(PILATUS))
    # printed with three decimals, counted from pixel centres: column 774.828, Z 870.924
    assert model.beam_centre_px == pytest.approx((774.828 + 0.5, 870.924 + 0.5), abs=1e-3)
    assert model.lsd_mm == pytest.approx(739.779, abs=0.01)


def test_own_layout_by_hand():
    instrument = parse_hexrd(OWN)
    model = tilted_flat_from_hexrd(instrument)
    assert model.pixel_size_mm == (0.1, 0.2)
    assert model.beam_centre_px == (25.0, 15.0)
    assert instrument.wavelength_angstrom == pytest.approx(0.29520047, abs=1e-8)  # hc / 42 keV
    several = {**OWN, "beam": {"XRS1": OWN["beam"], "XRS2": {"energy": 1.0}}}
    assert parse_hexrd(several) == instrument


def test_json_and_yaml(tmp_path):
    path = tmp_path / "g.json"
    path.write_text(json.dumps(OWN))
    assert read_hexrd(path) == parse_hexrd(OWN)
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    (tmp_path / "g.yml").write_text(yaml.safe_dump(OWN))
    assert read_hexrd(tmp_path / "g.yml") == parse_hexrd(OWN)
    (tmp_path / "bad.yml").write_text("a: [1\n")
    with pytest.raises(FormatError, match=r"bad.yml: not YAML: while parsing"):
        read_hexrd(tmp_path / "bad.yml")


def test_yaml_needs_a_package(tmp_path, monkeypatch):
    (tmp_path / "g.yml").write_text("a: 1\n")

    def refuse(name):
        raise ImportError(name)

    monkeypatch.setattr(hexrd_file.importlib, "import_module", refuse)
    with pytest.raises(MissingExtra, match="a YAML instrument file needs the extra 'interop'"):
        read_hexrd(tmp_path / "g.yml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "not a HEXRD instrument: no keys at the top"),
        ("{}", "not a HEXRD instrument: KeyError 'panels'"),
        ('{"energy_keV": 60, "panels": {}}', "the instrument has no detectors"),
        (
            '{"energy_keV": 60, "panels": {"a": {"rows": "x"}}}',
            "a HEXRD instrument: ValueError",
        ),
    ],
)
def test_broken_files(tmp_path, text, message):
    path = tmp_path / "g.json"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        read_hexrd(path)


def test_missing_file(tmp_path):
    with pytest.raises(FormatError, match=r"none.json: cannot be read as text"):
        read_hexrd(tmp_path / "none.json")


def test_several_panels_need_their_places():
    two = {**OWN, "detectors": {n: OWN["detectors"]["a"] for n in ("a", "b")}}
    instrument = parse_hexrd(two)
    with pytest.raises(GeometryError, match="the instrument has 2 panels, each with its own tilt"):
        tilted_flat_from_hexrd(instrument)
    with pytest.raises(ConfigError, match=r"2 panels in one image need .* \(missing: a, b\)"):
        detector_from_hexrd(instrument)
    with pytest.raises(ConfigError, match=r"\(missing: image_shape\)"):
        detector_from_hexrd(instrument, image_origins_px={"a": (0, 0), "b": (60, 0)})
    detector = detector_from_hexrd(instrument, (30, 110), {"a": (0, 0), "b": (60, 0)})
    two_theta, _ = detector.maps()
    assert np.isnan(two_theta[:, 50:60]).all()
    np.testing.assert_array_equal(two_theta[:, :50], two_theta[:, 60:])


def test_distortion_is_refused_or_left_out():
    panel = {
        **PILATUS["panels"]["Pilatus2M"],
        "distortion": {"function": "GE_41RT", "params": [1e-4, 0, 0, 2, 4, 2]},
    }
    bent = parse_hexrd({**PILATUS, "panels": {"ge": panel}})
    with pytest.raises(GeometryError, match="panel 'ge' has the distortion GE_41RT"):
        tilted_flat_from_hexrd(bent)
    plain = tilted_flat_from_hexrd(bent, ignore_distortion=True)
    assert plain.beam_centre_px == tilted_flat_from_hexrd(parse_hexrd(PILATUS)).beam_centre_px


def test_ge_41rt_by_hand():
    xy = np.array([[102.4, 0.0], [0.0, 204.8], [0.0, 0.0]])
    got = ge_41rt(xy, (0.1, 0.2, 0.4, 1.0, 2.0, 3.0))
    # rho = 1/2, phi = 0: 1 + 0.05 + 0.05 + 0.05; rho = 1, phi = 90 degrees: 1 - 0.1 + 0.2 + 0.4
    np.testing.assert_allclose(got, [[117.76, 0.0], [0.0, 307.2], [0.0, 0.0]], atol=1e-12)
    with pytest.raises(GeometryError, match="GE_41RT has 2 parameters: expected 6"):
        ge_41rt(xy, (1.0, 2.0))


def test_oblique_beam_is_turned_onto_the_axis():
    oblique = {**OWN, "beam": {"energy": 42.0, "vector": {"azimuth": 90.0, "polar_angle": 88.0}}}
    instrument = parse_hexrd(oblique)
    polar = np.radians(88.0)
    beam = -np.array([0.0, np.cos(polar), np.sin(polar)])
    np.testing.assert_allclose(instrument.to_lab() @ beam, [0.0, 0.0, 1.0], atol=1e-15)
    model = tilted_flat_from_hexrd(instrument)
    # the beam goes down by 2 degrees: it meets the panel 100 tan(2 deg) below its centre
    assert model.beam_centre_px[1] == pytest.approx(15.0 - 100 * np.tan(np.radians(2)) / 0.2)
    assert model.lsd_mm == pytest.approx(100 / np.cos(np.radians(2)))


@pytest.mark.parametrize(
    "vector",
    [
        (0.0, 0.0, 0.0),
        (1e-9, -2e-9, 0.0),
        (0.3, -0.2, 0.9),
        (2.0, 2.0, -1.0),
        (3.14159, 0.0, 0.0),
        (0.0, -3.14159, 0.0),
        (0.0, 0.0, 3.14159),
    ],
)
def test_rotation_vector_is_the_inverse_of_the_exponential_map(vector):
    # 1e-14: a few eps at an angle of pi
    np.testing.assert_allclose(rotation_vector(expmap(np.array(vector))), vector, atol=1e-14)


def test_what_an_instrument_cannot_hold():
    model = TiltedFlat((10, 20), (0.1, 0.1), 100.0, (5.0, 5.0), parallax_mm=0.1)
    with pytest.raises(GeometryError, match="a HEXRD instrument cannot hold parallax"):
        hexrd_from_tilted_flat(model, 0.2)


def test_published_24_panels(real_data):
    path = real_data("pilatus2m-ceria-hexrd/geometry_24panels.json")
    instrument = read_hexrd(path)
    places = {p.name: (494 * int(p.name[-1]), 212 * int(p.name[-3])) for p in instrument.panels}
    detector = detector_from_hexrd(instrument, (1679, 1475), places)
    single = read_hexrd(path.with_name("geometry_monolithic.json"))
    many, one = detector.maps()[0], tilted_flat_from_hexrd(single).detector().maps()[0]
    seen = np.isfinite(many)
    assert seen.sum() == 24 * 195 * 487
    shift_px = (np.tan(many[seen]) - np.tan(one[seen])) * 739.78 / 0.172
    # panels stand 0.16 px rms off the plane by the spec; a panel in a wrong place is 200 px off
    assert np.abs(np.median(shift_px)) < 0.2
    assert 0.05 < shift_px.std() < 0.5


def test_panels_of_one_image_are_written_with_their_places(tmp_path):
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    boxes = np.array([[0, 0, 30, 40], [37, 0, 67, 40]])
    flat = TiltedFlat((40, 67), (0.1, 0.2), 90.0, (31.0, 12.0), (0.01, 0.2, 0.1))
    detector = flat.replace(panel_boxes=boxes).detector()
    (tmp_path / "a.yml").write_text(hexrd_yaml(hexrd_from_detector(detector, 0.3)))
    found = read_hexrd(tmp_path / "a.yml")
    assert [p.image_origin_px for p in found.panels] == [(0, 0), (37, 0)]
    places = {p.name: p.image_origin_px for p in found.panels}
    again = detector_from_hexrd(found, (40, 67), places)
    for got, panel in zip(again.panels, detector.panels, strict=True):
        assert (got.size_px, got.pixel_size_mm) == (panel.size_px, panel.pixel_size_mm)
        np.testing.assert_allclose(got.origin_mm, panel.origin_mm, atol=1e-12)
        np.testing.assert_allclose(got.fast_axis, panel.fast_axis, atol=1e-14)


def test_small_numbers_are_numbers_in_yaml(tmp_path):
    pytest.importorskip("yaml", reason="PyYAML is not installed")
    (tmp_path / "a.yml").write_text(hexrd_yaml({"a": {"b c": 1e-05, "d": [2.5e-07, 3, -1e22]}}))
    assert read_tree(tmp_path / "a.yml") == {"a": {"b c": 1e-05, "d": [2.5e-07, 3, -1e22]}}


def test_hdf5_instruments(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.hexrd", "w") as file:
        panel = file.create_group("instrument/detectors/a")
        panel["pixels/rows"], panel["pixels/columns"] = [40], [30]
        panel["pixels/size"] = [0.1, 0.2]
        panel["transform/tilt"], panel["transform/translation"] = [0.0, 0.1, 0.0], [1.0, 2.0, -90.0]
        panel["buffer"] = np.ones((40, 30), dtype=bool)
        panel["distortion/function_name"], panel["distortion/parameters"] = "GE_41RT", [0.0] * 6
        file["instrument/beam/energy"] = [60.0]
        file["instrument/beam/vector/azimuth"] = [90.0]
        file["instrument/beam/vector/polar_angle"] = [90.0]
    (panel,) = read_hexrd(tmp_path / "a.hexrd").panels
    assert (panel.shape, panel.pixel_size_mm) == ((40, 30), (0.1, 0.2))
    assert panel.translation_mm == (1.0, 2.0, -90.0)
    assert panel.distortion == ("GE_41RT", (0.0,) * 6)
    with h5py.File(tmp_path / "b.hexrd", "w") as file:
        file["other"] = 1
    with pytest.raises(FormatError, match="no group 'instrument'"):
        read_hexrd(tmp_path / "b.hexrd")
    (tmp_path / "c.hexrd").write_bytes((tmp_path / "a.hexrd").read_bytes()[:600])
    with pytest.raises(FormatError, match="cannot be read as HDF5"):
        read_hexrd(tmp_path / "c.hexrd")
