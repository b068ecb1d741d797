"""CrystFEL geometry files: written, read back, and the place of a pixel by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from refimpl.errors import FormatError, GeometryError
from refimpl.interop.crystfel import (
    crystfel_frame,
    crystfel_from_experiment,
    experiment_from_crystfel,
    read_geom,
)
from refimpl.interop.crystfel_file import parse_geom
from refimpl.io.dials_files import read_expt
from refimpl.metrology.exports import write_geom
from refimpl.testing.rotation_case import rotation_case

# two panels by hand: the right one 128 px across, the left one turned by a quarter and 1 mm back
BY_HAND = """; a comment
photon_energy = 9500 eV
adu_per_photon = 1
clen = 100.0 mm
res = 10000
p0/min_fs = 0 ; inline
p0/max_fs = 127
p0/min_ss = 0
p0/max_ss = 63
p0/corner_x = 10.5
p0/corner_y = -20
p0/fs = x
p0/ss = +0.0x +1.0y
p1/min_fs = 128
p1/max_fs = 191
p1/min_ss = 0
p1/max_ss = 127
p1/corner_x = -5
p1/corner_y = 3
p1/fs = -1.0y
p1/ss = +1.0x
p1/coffset = 0.001
bad_beam/min_x = -3
rigid_group_a = p0
rigid_group_b = p1
rigid_group_collection_all = a,b
mask0_data = /mask
"""


def test_a_pixel_by_hand() -> None:
    geometry = parse_geom(BY_HAND)
    experiment = experiment_from_crystfel(geometry)
    detector = experiment.detector
    assert [m.size_px for m in detector.modules] == [(128, 64), (64, 128)]
    assert detector.modules[1].raw_image_offset == (128, 0)
    assert detector.modules[0].pixel_size_mm == pytest.approx((0.1, 0.1))
    d = detector.d
    # mm: (corner + 20 fs + 30 ss) / res
    np.testing.assert_allclose(d[0] @ [2.0, 3.0, 1.0], [3.05, 1.0, 100.0], atol=1e-12)
    np.testing.assert_allclose(d[1] @ [2.0, 3.0, 1.0], [2.5, -1.7, 101.0], atol=1e-12)
    assert experiment.beam.wavelength_angstrom == pytest.approx(12398.419843320026 / 9500)
    np.testing.assert_allclose(experiment.beam.s0[:2], 0.0, atol=1e-15)
    assert experiment.beam.s0[2] > 0.0
    assert [g[1] for g in detector.groups(1)] == [(0,), (1,)]


def test_frame() -> None:
    turn = crystfel_frame(np.array([0.0, 0.0, -1.0]))  # as in DIALS files
    np.testing.assert_allclose(turn, np.diag([-1.0, 1.0, -1.0]), atol=1e-15)
    for s0 in ([0.1, 0.2, -0.9], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]):
        turn = crystfel_frame(np.array(s0))
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-15)
        assert np.linalg.det(turn) == pytest.approx(1.0)
        np.testing.assert_allclose(turn @ s0 / np.linalg.norm(s0), [0, 0, 1], atol=1e-15)


def same(a, b) -> None:
    np.testing.assert_allclose(a.detector.d, b.detector.d, rtol=0, atol=1e-9)  # mm
    for m, n in zip(a.detector.modules, b.detector.modules, strict=True):
        assert m.size_px == n.size_px
        assert m.raw_image_offset == n.raw_image_offset
        assert m.pixel_size_mm == pytest.approx(n.pixel_size_mm, rel=1e-9)
    np.testing.assert_allclose(a.beam.s0, b.beam.s0, rtol=0, atol=1e-10)


def test_round_trip(tmp_path) -> None:
    (experiment,) = rotation_case(n=10, turn_mrad=20.0).truth
    path = write_geom(tmp_path / "a.geom", experiment)
    back = experiment_from_crystfel(read_geom(path), experiment.beam.s0)
    same(back, experiment)
    module = replace(experiment.detector.modules[2], pixel_size_mm=(0.1, 0.25))
    modules = (*experiment.detector.modules[:2], module, *experiment.detector.modules[3:])
    oblong = replace(experiment, detector=replace(experiment.detector, modules=modules))
    text = write_geom(tmp_path / "b.geom", oblong).read_text()
    assert "dim0" not in text
    same(experiment_from_crystfel(read_geom(tmp_path / "b.geom"), experiment.beam.s0), oblong)


@pytest.mark.parametrize(
    "name",
    ["refine/th82_60panel_lev1_tukey_refined.expt", "data/cspad_benchmark_level2d.expt",
     "data/i23_24_panel.expt"],
)  # fmt: skip
def test_measured_detectors(real_data, tmp_path, name) -> None:
    experiment = read_expt(real_data(f"metrology/{name}"))[0]
    path = write_geom(tmp_path / "a.geom", experiment)
    geometry = read_geom(path)
    same(experiment_from_crystfel(geometry, experiment.beam.s0), experiment)
    assert len({p.name for p in geometry.panels}) == len(experiment.detector)
    if name.startswith("data/cspad"):
        assert [len(members) for members in geometry.groups.values()] == [16] * 4


def test_stacks_have_planes(tmp_path) -> None:
    (experiment,) = rotation_case(n=10, shape=(1, 2)).truth
    modules = tuple(
        replace(m, raw_image_offset=(0, 0), name="same") for m in experiment.detector.modules
    )
    stack = replace(experiment, detector=replace(experiment.detector, modules=modules))
    geometry = crystfel_from_experiment(stack)
    assert [p.plane for p in geometry.panels] == [0, 1]
    assert [p.name for p in geometry.panels] == ["p0", "p1"]
    back = read_geom(write_geom(tmp_path / "a.geom", stack))
    assert [p.plane for p in back.panels] == [0, 1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("p0/corner_x = 10.5\n", "", "panel p0 has no corner_x"),
        ("100.0 mm", "/LCLS/detector_1/EncoderValue", "clen = '/LCLS/detector_1/EncoderValue': "
         "expected a number and one of m, mm"),
        ("p0/fs = x", "p0/fs = 1.0", r"fs = '1.0': expected a sum such as"),
        ("p0/fs = x", "p0/fs = 0.1y 1.0q", r"fs = '0.1y 1.0q': expected a sum such as"),
        ("photon_energy = 9500 eV\n", "", "neither photon_energy nor wavelength is given"),
        ("p0/max_fs = 127", "p0/max_fs = -1", "panel p0 is empty: fs 0 to -1"),
        ("adu_per_photon = 1", "adu_per_photon", "expected key = value, got 'adu_per_photon'"),
        ("p0/corner_y = -20", "p0/corner_y = up", "corner_y = 'up': expected a number"),
    ],
)  # fmt: skip
def test_refused(old, new, message) -> None:
    with pytest.raises(FormatError, match=message):
        parse_geom(BY_HAND.replace(old, new))


def test_refused_as_a_whole(tmp_path) -> None:
    with pytest.raises(FormatError, match="no panels: expected lines such as"):
        parse_geom("clen = 0.1\n")
    with pytest.raises(FormatError, match="not a readable text file"):
        read_geom(tmp_path / "none.geom")
    skew = parse_geom(BY_HAND.replace("p0/ss = +0.0x +1.0y", "p0/ss = +0.3x +1.0y"))
    with pytest.raises(GeometryError, match="CrystFEL panel p0: fs and ss are not perpendicular"):
        experiment_from_crystfel(skew)
    with pytest.raises(GeometryError, match="the experiment has no beam or no detector"):
        crystfel_from_experiment(replace(rotation_case(n=10).truth[0], beam=None))


def test_other_ways_to_say_it() -> None:
    other = parse_geom(BY_HAND.replace("photon_energy = 9500 eV", "wavelength = 1.5 A"))
    assert experiment_from_crystfel(other).beam.wavelength_angstrom == pytest.approx(1.5)
    apart = BY_HAND.replace("p1/coffset = 0.001", "p1/clen = 0.101")
    d = experiment_from_crystfel(parse_geom(apart)).detector.d
    np.testing.assert_allclose(d[:, 2, 2], [100.0, 101.0], rtol=0, atol=1e-12)
