"""Experiment lists: models, old and new layouts, sharing, changes, and every refusal."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.hierarchy import Group, Hierarchy, Module
from refimpl.errors import ConfigError, FormatError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.io.dials_files import read_expt, write_expt

X, Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
FRAME = {"fast_axis": [1.0, 0.0, 0.0], "slow_axis": [0.0, -1.0, 0.0]}


def panel(**more):
    return {
        "name": "p", "type": "SENSOR_PAD", **FRAME, "origin": [-10.0, 10.0, -200.0],
        "image_size": [100, 110], "pixel_size": [0.2, 0.2], "trusted_range": [-1.0, 1e6], **more,
    }  # fmt: skip


def document(**more):
    """A list as an old version wrote it, with a key that nobody knows in every model."""
    return {
        "__id__": "ExperimentList",
        "history": ["one"],
        "experiment": [
            {"__id__": "Experiment", "beam": 0, "detector": 0, "goniometer": 0, "scan": 0,
             "crystal": 0, "imageset": 0, "profile": 0, "note": "kept"},
            {"__id__": "Experiment", "beam": 0, "detector": 0},
        ],
        "imageset": [{"__id__": "ImageSweep", "template": "x_####.cbf"}],
        "beam": [{"direction": [0.0, 0.0, 1.0], "wavelength": 0.9, "odd": {"a": [1, None]}}],
        "detector": [{"panels": [panel(odd=1)]}],
        "goniometer": [{"rotation_axis": [1.0, 0.0, 0.0],
                        "fixed_rotation": [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0], "odd": 2}],
        "scan": [{"image_range": [3, 4], "oscillation": [10.0, 0.5], "exposure_time": [1.0, 1.0],
                  "epochs": [0.0, 1.0]}],
        "crystal": [{"__id__": "crystal", "real_space_a": [10.0, 0.0, 0.0],
                     "real_space_b": [0.0, 20.0, 0.0], "real_space_c": [0.0, 0.0, 30.0],
                     "space_group_hall_symbol": " P 2 2", "B_covariance": [0.5],
                     "A_at_scan_points": [[1.0] * 9]}],
        "profile": [{"__id__": "gaussian_rs", "n": 3}],
        **more,
    }  # fmt: skip


@pytest.fixture
def stored(tmp_path):
    def store(content, name="a.expt"):
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return store


def written(tmp_path, experiments):
    return json.loads(write_expt(tmp_path / "out.expt", experiments).read_text())


def test_an_old_list_is_read(stored):
    one, other = read_expt(stored(document()))
    assert one.beam is other.beam
    assert one.detector is other.detector
    assert (other.goniometer, other.scan, other.crystal, other.imageset) == (None,) * 4
    assert other.is_still
    assert not one.is_still
    assert np.allclose(one.beam.s0, [0, 0, -1 / 0.9])
    assert one.detector.root is None
    assert one.detector.d[0].T.tolist() == [*FRAME.values(), [-10.0, 10.0, -200.0]]
    assert one.scan.oscillation_deg == (10.0, 0.5)
    assert one.crystal.cell.tolist() == pytest.approx([10, 20, 30, 90, 90, 90])
    assert np.array_equal(one.goniometer.setting, np.eye(3))


def test_what_is_not_changed_is_written_as_it_was(stored, tmp_path):
    assert written(tmp_path, read_expt(stored(document()))) == document()


def test_models_without_an_owner_are_kept(stored, tmp_path):
    content = document(scaling_model=[], crystal=[])
    del content["experiment"][0]["crystal"]
    content["beam"].append({"direction": [0.0, 1.0, 0.0], "wavelength": 2.0})
    assert written(tmp_path, read_expt(stored(content))) == content


def test_only_what_is_changed_is_written_anew(stored, tmp_path):
    one, other = read_expt(stored(document()))
    beam = one.beam.with_s0(np.array([0.0, 0.0, -0.5]))
    detector = one.detector.with_d(one.detector.d + np.array([[0, 0, 1], [0, 0, 0], [0, 0, 0]]))
    crystal = one.crystal.with_A(one.crystal.A / 2.0)
    scan = replace(one.scan, oscillation_deg=(11.0, 0.5))
    changed = replace(one, beam=beam, detector=detector, crystal=crystal, scan=scan)
    new = written(tmp_path, [changed, other])
    expected = document()
    expected["beam"] = [{**expected["beam"][0], "wavelength": 2.0}, expected["beam"][0]]
    moved = {"panels": [panel(odd=1, origin=[-9.0, 10.0, -200.0])]}
    expected["detector"] = [moved, expected["detector"][0]]
    expected["scan"][0]["oscillation"] = [11.0, 0.5]
    for key in ("B_covariance", "A_at_scan_points"):
        del expected["crystal"][0][key]
    for axis, length in zip("abc", (20.0, 40.0, 60.0), strict=True):
        row = np.array(new["crystal"][0].pop(f"real_space_{axis}"))
        assert np.allclose(row, length * np.eye(3)["abc".index(axis)])
        del expected["crystal"][0][f"real_space_{axis}"]
    expected["experiment"][1] |= {"beam": 1, "detector": 1}
    assert new == expected


SIZE = ((10, 20), (0.1, 0.1))


def new_experiment(tree=True):
    modules = (
        Module(
            "a", X, Y, (0.0, 0.0, 0.0), (10, 20), (0.1, 0.1), (0, 0), (0.0, 9.0), 0.3, 4.0, True
        ),
        Module("b", X, Y, (1.0, 0.0, 0.0), (10, 20), (0.1, 0.1), (10, 0), (0.0, 9.0)),
    )
    root = Group(
        "root", X, (0.0, -1.0, 0.0), (0.0, 0.0, -90.0), (Group("g", X, Y, (0.5,) * 3, (0,)), 1)
    )
    return Experiment(
        "id0",
        Beam(np.array([0.0, 0.0, 1.0]), 1.1),
        Hierarchy(modules, root if tree else None),
        Goniometer(np.array([0.0, 1.0, 0.0])),
        Scan((1, 3), (5.0, 0.1)),
        Crystal(np.diag([5.0, 6.0, 7.0]), " P 1"),
    )


def same(one: Experiment, two: Experiment) -> None:
    assert one.identifier == two.identifier
    assert np.array_equal(one.beam.s0, two.beam.s0)
    assert np.array_equal(one.detector.d, two.detector.d)
    for a, b in zip(one.detector.modules, two.detector.modules, strict=True):
        assert replace(a, extra={}) == replace(b, extra={})
    assert [g[:2] for g in one.detector.groups(1)] == [g[:2] for g in two.detector.groups(1)]
    for name in ("rotation_axis", "fixed", "setting"):
        assert np.array_equal(getattr(one.goniometer, name), getattr(two.goniometer, name))
    assert (one.scan.image_range, one.goniometer.names) == (
        two.scan.image_range,
        two.goniometer.names,
    )
    assert one.scan.oscillation_deg == pytest.approx(two.scan.oscillation_deg, rel=1e-12)
    assert np.array_equal(one.crystal.real_space, two.crystal.real_space)
    assert one.crystal.hall == two.crystal.hall


@pytest.mark.parametrize("tree", [True, False])
def test_new_experiments_survive(tmp_path, tree):
    made = new_experiment(tree)
    (got,) = read_expt(write_expt(tmp_path / "new.expt", [made]))
    same(made, got)
    content = json.loads((tmp_path / "new.expt").read_text())
    assert content["__id__"] == "ExperimentList"
    assert content["scan"][0]["properties"]["oscillation"] == pytest.approx([5.0, 5.1, 5.2])
    strategies = [p["px_mm_strategy"]["type"] for p in content["detector"][0]["panels"]]
    assert strategies == ["ParallaxCorrectedPxMmStrategy", "SimplePxMmStrategy"]
    assert written(tmp_path, [got]) == content


def test_several_axes_survive_and_a_refined_setting_makes_them_one(tmp_path):
    axes, names = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), ("x", "y", "z")
    made = Goniometer.multi_axis(axes, (10.0, 20.0, 30.0), names, 1)
    (got,) = read_expt(
        write_expt(tmp_path / "m.expt", [replace(new_experiment(), goniometer=made)])
    )
    assert (got.goniometer.scan_axis, got.goniometer.angles_deg) == (1, (10.0, 20.0, 30.0))
    same(replace(new_experiment(), goniometer=made), got)
    turned = replace(got.goniometer, setting=np.eye(3))
    (single,) = read_expt(write_expt(tmp_path / "s.expt", [replace(got, goniometer=turned)]))
    assert single.goniometer.scan_axis is None
    assert np.array_equal(single.goniometer.fixed, made.fixed)
    assert np.array_equal(single.goniometer.setting, np.eye(3))


def test_one_image_keeps_its_width(tmp_path):
    for width in (0.25, 0.0):
        made = replace(new_experiment(), scan=Scan((7, 7), (5.0, width)))
        (got,) = read_expt(write_expt(tmp_path / "one.expt", [made]))
        assert got.scan.oscillation_deg == (5.0, width)


def test_a_scan_without_angles_is_a_still(stored):
    content = document(scan=[{"image_range": [1, 2], "properties": {"exposure_time": [1, 1]}}])
    assert read_expt(stored(content))[0].is_still


def test_sensor_inside_the_strategy(stored, tmp_path):
    old = {"type": "ParallaxCorrectedPxMmStrategy", "mu": 5.0, "t0": 0.4}
    content = document(detector=[{"panels": [panel(mu=0.0, thickness=0.0, px_mm_strategy=old)]}])
    one, other = read_expt(stored(content))
    (module,) = one.detector.modules
    assert (module.mu_per_mm, module.thickness_mm, module.parallax) == (5.0, 0.4, True)
    assert written(tmp_path, [one, other]) == content
    changed = replace(one, detector=Hierarchy((replace(module, mu_per_mm=6.0),)))
    (again,) = read_expt(write_expt(tmp_path / "c.expt", [changed]))
    assert again.detector.modules[0].mu_per_mm == 6.0
    flat = replace(one, detector=Hierarchy((replace(module, parallax=False),)))
    (again,) = read_expt(write_expt(tmp_path / "f.expt", [flat]))
    assert not again.detector.modules[0].parallax


# --- refusals ------------------------------------------------------------------------------------


def test_no_such_file(tmp_path):
    with pytest.raises(FormatError, match=r"none\.expt: cannot be read: No such file"):
        read_expt(tmp_path / "none.expt")


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    for protocol in (0, 2, 5):
        path = tmp_path / f"{protocol}.expt"
        path.write_bytes(pickle.dumps(Trap(), protocol))
        with pytest.raises(FormatError, match="this is a Python pickle, which is never loaded"):
            read_expt(path)
    assert not (tmp_path / "sprung").exists()


def test_other_files(tmp_path, stored):
    text = json.dumps(document(), indent=1)
    cut = tmp_path / "cut.expt"
    cut.write_text(text[: len(text) // 2])
    with pytest.raises(FormatError, match=r"cut\.expt:\d+: truncated: the JSON text ends"):
        read_expt(cut)
    cut.write_text('{"a": 1,\n oops}')
    with pytest.raises(FormatError, match=r"cut\.expt:2: not JSON: "):
        read_expt(cut)
    cut.write_bytes(b"\x93\xbbdials::af::reflection_table\xff")
    with pytest.raises(FormatError, match="not an experiment list: no JSON text"):
        read_expt(cut)
    for content, got in (({"__id__": "DataBlock"}, "'DataBlock'"), ([], "'list'"), ({}, "None")):
        with pytest.raises(FormatError, match=f"not an experiment list: __id__ is {got}"):
            read_expt(stored(content))
    with pytest.raises(FormatError, match="beam is a dict: expected a list"):
        read_expt(stored(document(beam={})))


def without(entry, key):
    return {k: v for k, v in entry.items() if k != key}


CRYSTAL = document()["crystal"][0]
TREE = {**FRAME, "origin": [0.0, 0.0, 0.0]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"experiment": [{"beam": 3}]}, "experiment 0: beam 3 is not in the file, which has 1"),
        ({"experiment": [{"beam": "b.json"}]}, "experiment 0: beam 'b.json' is not in the file"),
        ({"experiment": ["x"]}, "experiment 0: expected an object, got str"),
        ({"beam": [{"direction": [0, 0, 1]}]}, "beam 0: missing key 'wavelength'"),
        ({"beam": [{"wavelength": 1.0}]}, "beam 0: missing key 'direction'"),
        ({"beam": [{"direction": [0, 0, 2], "wavelength": 1}]}, "beam 0: beam: direction"),
        ({"beam": [{"__id__": "polychromatic", "direction": [0, 0, 1]}]},
         "beam 0: a polychromatic beam: only monochromatic ones are read"),
        ({"detector": [{}]}, "detector 0: missing key 'panels'"),
        ({"detector": [{"panels": []}]}, "detector 0: a detector needs at least one panel"),
        ({"detector": [{"panels": ["x"]}]}, "detector 0 panel 0: 'str' object"),
        ({"detector": [{"panels": [panel(thickness="thick")]}]},
         "detector 0 panel 0: could not convert string to float"),
        ({"beam": [7]}, "beam 0: expected an object, got int"),
        ({"detector": [{"panels": [without(panel(), "pixel_size")]}]},
         "detector 0 panel 0: missing key 'pixel_size'"),
        ({"detector": [{"panels": [panel(origin=[1, 2])]}]},
         r"detector 0 panel 0: origin \[1, 2\]: expected 3 numbers"),
        ({"detector": [{"panels": [panel(origin="far")]}]},
         "detector 0 panel 0: origin 'far': expected 3 numbers"),
        ({"detector": [{"panels": [panel(px_mm_strategy={"type": "Odd"})]}]},
         "detector 0 panel 0: px_mm_strategy 'Odd': expected one of Simple"),
        ({"detector": [{"panels": [panel(px_mm_strategy={"mu": 1})]}]},
         "detector 0 panel 0 px_mm_strategy: missing key 'type'"),
        ({"detector": [{"panels": [panel()], "hierarchy": {**TREE, "children": [{"panel": 1}]}}]},
         r"detector 0: the hierarchy must hold each of the 1 panels once; wrong: \[0, 1\]"),
        ({"detector": [{"panels": [panel()], "hierarchy": {**TREE, "children": [TREE]}}]},
         "detector 0 hierarchy child 0: missing key 'children'"),
        ({"detector": [{"panels": [panel()], "hierarchy": TREE}]},
         "detector 0 hierarchy: missing key 'children'"),
        ({"goniometer": [{"fixed_rotation": [1.0] * 9}]}, "goniometer 0: missing key 'rotation_ax"),
        ({"goniometer": [{"rotation_axis": [1, 0, 0], "fixed_rotation": [1.0] * 8}]},
         r"goniometer 0: fixed_rotation \[1.0.*: expected 9 numbers"),
        ({"goniometer": [{"axes": [[1, 0, 0]], "angles": [0], "names": ["a"]}]},
         "goniometer 0: missing key 'scan_axis'"),
        ({"goniometer": [{"axes": [[1, 0, 0]], "angles": [0], "names": ["a"], "scan_axis": 1}]},
         "goniometer 0: goniometer: 1 axes, 1 angles, 1 names and scan_axis 1 do not fit"),
        ({"scan": [{"oscillation": [0, 1]}]}, "scan 0: missing key 'image_range'"),
        ({"scan": [{"image_range": [1, 3], "properties": {"oscillation": [0, 1]}}]},
         "scan 0: 2 oscillation angles for 3 images"),
        ({"scan": [{"image_range": [1, 3], "properties": {"oscillation": {"0": 1}}}]},
         "scan 0: no oscillation angles for 3 images"),
        ({"scan": [{"image_range": [1, 1], "properties": {"oscillation": ["x"]}}]},
         "scan 0: oscillation .*: expected 1 numbers"),
        ({"scan": [{"image_range": [1, 1], "properties": [1]}]},
         "scan 0: properties .*: expected an object"),
        ({"scan": [{"image_range": [1, 1],
                    "properties": {"oscillation": [1.0], "oscillation_width": []}}]},
         r"scan 0: oscillation_width \[\]: expected 1 numbers"),
        ({"scan": [{"image_range": [4, 3], "oscillation": [0, 1]}]}, "scan 0: scan: image_range"),
        ({"crystal": [without(CRYSTAL, "real_space_b")]}, "crystal 0: missing key 'real_space_b'"),
        ({"crystal": [{**CRYSTAL, "real_space_a": [-10.0, 0, 0]}]}, "crystal 0: cell vectors"),
        ({"crystal": [without(CRYSTAL, "space_group_hall_symbol")]}, "crystal 0: missing key 'sp"),
    ],
)  # fmt: skip
def test_refused_entries(stored, change, message):
    with pytest.raises(FormatError, match=rf"a\.expt: {message}") as caught:
        read_expt(stored(document(**change)))
    assert "\n" not in str(caught.value)


def test_nothing_to_write(tmp_path):
    with pytest.raises(ConfigError, match="no experiments to write"):
        write_expt(tmp_path / "x.expt", [])
    with pytest.raises(ConfigError, match="does not exist"):
        write_expt(tmp_path / "no" / "x.expt", [new_experiment()])
