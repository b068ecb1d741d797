"""Round trips of rotation data: reflection tables, images, trees of panels, experiment lists."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refimpl.crystal.crystal_model import Crystal
from refimpl.detector.hierarchy import Group, Hierarchy, Module
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.io.byte_offset import decode_byte_offset, encode_byte_offset
from refimpl.io.dials_files import read_expt, read_refl, write_expt, write_refl
from refimpl.io.reflection_table import TYPES, ReflectionTable
from refimpl.rotations import expmap

FEW = settings(max_examples=25)


@given(hnp.arrays(np.int32, st.integers(0, 300)))
def test_images_survive_byte_offsets(values):
    data = np.frombuffer(encode_byte_offset(values), np.uint8)
    for backend in ("python", None):
        pixels, end = decode_byte_offset(data, len(values), backend=backend)
        assert np.array_equal(pixels, values)
        assert end.tolist() == [len(values), len(data), 0]


@given(st.binary(max_size=400), st.integers(0, 300))
def test_any_bytes_decode_to_something(data, n):
    pixels, end = decode_byte_offset(np.frombuffer(data, np.uint8), n)
    assert len(pixels) == n
    assert 0 <= end[0] <= n
    assert 0 <= end[1] <= len(data)


@st.composite
def tables(draw):
    n = draw(st.integers(0, 6))
    labels = draw(st.lists(st.sampled_from(sorted(TYPES)), max_size=5))
    columns, types = {}, {}
    for k, label in enumerate(labels):
        kind = TYPES[label]
        columns[f"c{k}"] = draw(hnp.arrays(np.dtype(kind.dtype), (n, *kind.shape)))
        types[f"c{k}"] = label
    texts = draw(st.lists(st.text(alphabet="aÅ水\t ", max_size=4), min_size=n, max_size=n))
    columns["note"] = np.array(texts, dtype=np.str_)
    names = draw(st.dictionaries(st.integers(0, 9), st.text(max_size=5), max_size=3))
    return ReflectionTable(columns, types, names)


@FEW
@given(tables())
def test_tables_survive(table):
    with tempfile.TemporaryDirectory() as folder:
        got = read_refl(write_refl(Path(folder) / "a.refl", table))
    assert dict(got.types) == dict(table.types)
    assert dict(got.identifiers) == dict(table.identifiers)
    for name, values in table.columns.items():
        assert got[name].tobytes() == values.astype(got[name].dtype).tobytes()


NUMBER = st.floats(-300.0, 300.0)
ANGLE = st.floats(-3.0, 3.0)


@st.composite
def frames(draw):
    turn = expmap(np.array([draw(ANGLE), draw(ANGLE), draw(ANGLE)]))
    origin = tuple(draw(NUMBER) for _ in range(3))
    return tuple(turn[:, 0].tolist()), tuple(turn[:, 1].tolist()), origin


@st.composite
def detectors(draw):
    n = draw(st.integers(1, 5))
    modules = tuple(
        Module(f"p{k}", *draw(frames()), (draw(st.integers(1, 9)), 7), (0.1, 0.2)) for k in range(n)
    )
    if draw(st.booleans()):
        return Hierarchy(modules)
    nodes: list = list(draw(st.permutations(range(n))))
    for _ in range(draw(st.integers(0, 3))):  # gather some neighbours into a group
        first = draw(st.integers(0, len(nodes) - 1))
        last = draw(st.integers(first + 1, len(nodes)))
        group = Group("g", *draw(frames()), tuple(nodes[first:last]))
        nodes[first:last] = [group]
    return Hierarchy(modules, Group("root", *draw(frames()), tuple(nodes)))


@given(detectors(), st.data())
def test_panels_go_where_they_are_sent(detector, data):
    turn = expmap(np.array([data.draw(ANGLE) for _ in range(3)]))
    d = np.einsum("ij,pjk->pik", turn, detector.d)
    new = detector.with_d(d)
    assert np.allclose(new.d, d, rtol=0, atol=1e-11)  # mm, of numbers of 1e3
    assert new.root == detector.root


@given(detectors(), st.data())
def test_a_level_moves_as_bodies(detector, data):
    level = data.draw(st.integers(0, detector.depth or 1))
    groups = detector.groups(level)
    assert sorted(p for _, panels, _ in groups for p in panels) == list(range(len(detector)))
    turn = expmap(np.array([data.draw(ANGLE) for _ in range(3)]))
    sent = np.array([turn @ frame for _, _, frame in groups])
    new = detector.with_group_frames(level, sent)
    if detector.root is not None or level:  # all panels without a tree have the lab's frame
        assert np.allclose([f for _, _, f in new.groups(level)], sent, rtol=0, atol=1e-10)
    # every group was turned alike: so was every panel
    assert np.allclose(new.d, turn @ detector.d, rtol=0, atol=1e-10)


@FEW
@given(detectors(), st.data())
def test_experiments_survive(detector, data):
    turn = expmap(np.array([data.draw(ANGLE) for _ in range(3)]))
    made = Experiment(
        data.draw(st.text(max_size=5)),
        Beam(turn[:, 2], data.draw(st.floats(0.1, 10.0))),
        detector,
        Goniometer(turn[:, 0], turn, turn.T),
        Scan((data.draw(st.integers(1, 5)), data.draw(st.integers(5, 9))), (1.5, 0.25)),
        Crystal(np.diag([3.0, 4.0, 5.0]) @ turn),
    )
    still = Experiment("still", made.beam, detector)
    with tempfile.TemporaryDirectory() as folder:
        one, two = read_expt(write_expt(Path(folder) / "a.expt", [made, still]))
        again = read_expt(write_expt(Path(folder) / "b.expt", [one, two]))
        same = (Path(folder) / "a.expt").read_text() == (Path(folder) / "b.expt").read_text()
    assert same
    assert len(again) == 2
    assert one.detector is two.detector
    assert np.array_equal(one.detector.d, detector.d)
    assert [replace(m, extra={}) for m in one.detector.modules] == list(detector.modules)
    assert np.array_equal(one.beam.direction, made.beam.direction)
    assert np.array_equal(one.goniometer.setting, made.goniometer.setting)
    assert np.array_equal(one.crystal.real_space, made.crystal.real_space)
    assert one.scan.image_range == made.scan.image_range
    assert (one.identifier, two.goniometer, two.crystal) == (made.identifier, None, None)
