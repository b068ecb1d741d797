"""geometry.json: the same detector back, and a clear line for anything else."""

from __future__ import annotations

import json

import numpy as np
import pytest

from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL
from refimpl.errors import ConfigError, FormatError
from refimpl.io.angle_maps import write_maps
from refimpl.io.geometry_json import geometry_dict, read_geometry, write_geometry
from refimpl.io.transforms import apply_transforms

P = (1e-3, -5e-4, 8e-4, 44.0, 2e-4, -3e-4, 12.0, 4e-4, -70.0, 3e-4, 20.0, 1e-4, 5.0, -2e-4, 33.0)


def model(codes=(2,), panels=True) -> TiltedFlat:
    boxes = np.array([[0, 0, 20, 31], [22, 0, 40, 31]]) if panels else None
    moves = np.array([[0.3, -0.2, 0.01, 0.4, 1e-4], [0.1, 0.2, -0.01, 0.0, 0.0]])
    return TiltedFlat(
        (31, 40), (0.2, 0.2), 50.0, (14.3, 19.8), (0.4, 0.05, -0.07), 9.0, P, 0.2, boxes,
        moves if panels else None, codes,
    )  # fmt: skip


@pytest.mark.parametrize("panels", [True, False])
@pytest.mark.parametrize("codes", DIHEDRAL)
def test_round_trip_gives_identical_maps(tmp_path, codes, panels) -> None:
    m = model(codes, panels)
    path = write_geometry(tmp_path / "geometry.json", m, 0.2, note="kept")
    back = read_geometry(path)
    for a, b in zip(back.detector.maps(), m.detector().maps(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert back.model is not None
    # degrees in the file: a last bit of the tilts
    for a, b in zip(back.model.maps(), m.maps(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-13)
    assert back.model.image_transform == codes
    assert back.model.p == P
    assert back.wavelength_angstrom == 0.2
    assert back.extra == {"note": "kept"}


def test_the_vectors_alone_are_enough(tmp_path) -> None:
    content = geometry_dict(model())
    del content["model"]
    path = tmp_path / "geometry.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    back = read_geometry(path)
    assert back.model is None
    assert back.wavelength_angstrom is None
    np.testing.assert_array_equal(back.detector.maps()[0], model().detector().maps()[0])


def test_plain_panels_can_be_read_by_any_code(tmp_path) -> None:
    """2-theta from the vectors with five lines of NumPy, as another code would (no distortion)."""
    flat = model().replace(p=(0.0,) * 15, parallax_mm=0.0)
    content = json.loads(write_geometry(tmp_path / "g.json", flat).read_text())
    two_theta = np.full(content["image_shape"], np.nan)
    for panel, d_lsd in zip(content["panels"], (0.4, 0.0), strict=True):
        (nf, ns), (f0, s0) = panel["size_px"], panel["image_origin_px"]
        f, s = np.meshgrid((np.arange(nf) + 0.5) * 0.2, (np.arange(ns) + 0.5) * 0.2)
        axes = np.array(panel["fast_axis"]), np.array(panel["slow_axis"])
        lab = panel["origin_mm"] + f[..., None] * axes[0] + s[..., None] * axes[1]
        angle = np.arccos(lab[..., 2] / np.linalg.norm(lab, axis=-1))
        two_theta[s0 : s0 + ns, f0 : f0 + nf] = angle
        assert d_lsd >= 0.0
    expected, _ = flat.replace(
        panel_corrections=flat.corrections[:, 2:] * [1, 1, 1, 1, 0, 1, 1]
    ).maps()
    got = apply_transforms(two_theta, flat.image_transform)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)  # arccos of nearly 1 loses bits


def broken(change) -> str:
    content = geometry_dict(model(), 0.2)
    change(content)
    return json.dumps(content)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"geometry\.json:1: not JSON: Expecting property name"),
        ("[1]", r"not a geometry: expected an object of kind 'refimpl\.geometry'"),
        ('{"kind": "other"}', r"not a geometry: expected an object of kind"),
        (
            broken(lambda c: c.update(schema=2)),
            r"schema 2 is not the one known here \(1\); upgrade",
        ),
        (broken(lambda c: c.pop("panels")), "missing entry 'panels'"),
        (broken(lambda c: c["panels"][0].pop("origin_mm")), "missing entry 'origin_mm'"),
        (
            broken(lambda c: c["panels"][0].update(origin_mm=[1, 2])),
            "bad entry: expected 3 numbers",
        ),
        (broken(lambda c: c["panels"][0].update(fast_axis=[1, 1, 0])), "is not a unit vector"),
        (broken(lambda c: c["panels"][1].update(name="p0")), "panel names are not unique"),
        (broken(lambda c: c["distortion"].update(p=[0] * 14)), "bad entry: expected 15 numbers"),
        (broken(lambda c: c["model"].update(lsd_mm=-1)), r"lsd_mm = -1\.0: expected a positive"),
        (broken(lambda c: c["model"].update(lsd_mm="far")), "bad entry: could not convert string"),
        (broken(lambda c: c.update(image_shape=None)), "bad entry: "),
    ],
)
def test_anything_else_is_refused(tmp_path, text, message) -> None:
    path = tmp_path / "geometry.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=message) as caught:
        read_geometry(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_no_such_file(tmp_path) -> None:
    with pytest.raises(FormatError, match=r"none\.json: cannot read the geometry: .*No such file"):
        read_geometry(tmp_path / "none.json")


def test_maps_are_written_in_the_files_order(tmp_path) -> None:
    import tifffile

    detector = model((3, 1)).detector()
    files = write_maps(tmp_path / "new" / "folder", detector, tiff=True)
    assert [f.name for f in files] == ["two_theta.npy", "two_theta.tif", "eta.npy", "eta.tif"]
    two_theta, eta = detector.maps()
    for name, wanted in (("two_theta", two_theta), ("eta", eta)):
        got = np.load(tmp_path / "new" / "folder" / f"{name}.npy")
        assert got.dtype == np.float64
        np.testing.assert_array_equal(got, wanted)
        picture = tifffile.imread(tmp_path / "new" / "folder" / f"{name}.tif")
        np.testing.assert_array_equal(picture, wanted)
    assert np.isnan(two_theta).any()
    assert {p.name for p in (tmp_path / "new" / "folder").iterdir()} == {f.name for f in files}


def test_maps_into_a_file_are_refused(tmp_path) -> None:
    (tmp_path / "taken").write_text("here")
    with pytest.raises(ConfigError, match="cannot make the folder: File exists"):
        write_maps(tmp_path / "taken", model().detector())
