"""Reflection tables: every column type, both layouts of shoeboxes, and every refusal."""

from __future__ import annotations

import pickle
import struct
from dataclasses import replace

import msgpack
import numpy as np
import pytest

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.errors import ConfigError, FormatError
from refimpl.forward.experiment import Experiment
from refimpl.io.dials_files import (
    check_pair,
    check_sorted,
    check_variances,
    read_refl,
    sorted_rows,
    write_refl,
)
from refimpl.io.reflection_table import ReflectionTable, Shoeboxes, type_of

N = 5
RNG = np.random.default_rng(5)


def shoeboxes(flags=(2, 0, 2, 2, 0)) -> Shoeboxes:
    bbox = np.array([[3, 5, 7, 10, 0, 2]] * N, np.int32) + np.arange(N)[:, None].astype(np.int32)
    bbox[3, 5] = bbox[3, 4]  # an empty box with a flag
    flag = np.array(flags, np.uint8)
    sizes = np.prod(bbox[:, 1::2] - bbox[:, ::2], axis=1) * (flag > 0)
    start = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    m = int(start[-1])
    return Shoeboxes(
        np.arange(N, dtype=np.uint32), bbox, flag, start,
        RNG.normal(size=m).astype(np.float32),
        RNG.integers(0, 40, m).astype(np.int32 if 1 in flags else np.uint8),
        RNG.normal(size=m).astype(np.float32),
    )  # fmt: skip


COLUMNS = {
    "entering": np.array([True, False, True, True, False]),
    "id": np.array([0, -1, 0, 1, 1], np.int32),
    "panel": np.array([0, 1, 2, 0, 1], np.uint64),
    "flags": np.array([1, 2**40, 3, 4, 36], np.uint64),
    "d": np.array([1.5, np.nan, np.inf, -0.0, 2.0]),
    "two": RNG.normal(size=(N, 2)),
    "xyzobs.px.value": RNG.normal(size=(N, 3)),
    "turn": RNG.normal(size=(N, 3, 3)),
    "bbox": RNG.integers(-5, 5, (N, 6)).astype(np.int32),
    "miller_index": RNG.integers(-5, 5, (N, 3)).astype(np.int32),
    "note": np.array(["", "a", "Å", "longer text", "b"]),
}
TYPES = {
    "entering": "bool", "id": "int", "panel": "std::size_t", "flags": "std::size_t", "d": "double",
    "two": "vec2<double>", "xyzobs.px.value": "vec3<double>", "turn": "mat3<double>",
    "bbox": "int6", "miller_index": "cctbx::miller::index<>", "note": "std::string",
}  # fmt: skip


def table(**more) -> ReflectionTable:
    return ReflectionTable(
        COLUMNS, identifiers={0: "zero", 1: "one"}, shoeboxes={"shoebox": shoeboxes()}, **more
    )


def test_every_type_survives(tmp_path):
    made = table(version=1)
    got = read_refl(write_refl(tmp_path / "a.refl", made))
    assert dict(got.types) == {**TYPES, "shoebox": "Shoebox<>"}
    assert list(got.columns) == list(COLUMNS)
    for name, values in COLUMNS.items():
        assert got[name].dtype == values.dtype
        assert np.array_equal(got[name], values, equal_nan=values.dtype.kind == "f")
    assert (dict(got.identifiers), got.version, len(got)) == ({0: "zero", 1: "one"}, 1, N)
    assert np.signbit(got["d"][3])


@pytest.mark.parametrize("flags", [(2, 0, 2, 2, 0), (1, 0, 1, 1, 0), (1, 2, 0, 1, 2)])
def test_shoeboxes_of_both_versions(tmp_path, flags):
    made = shoeboxes(flags)
    path = write_refl(tmp_path / "a.refl", ReflectionTable({}, shoeboxes={"shoebox": made}))
    boxes = read_refl(path).shoeboxes["shoebox"]
    for name in ("panel", "bbox", "flag", "start", "data", "mask", "background"):
        assert np.array_equal(getattr(boxes, name), getattr(made, name)), name
    assert boxes.pixels(0)[0].shape == (2, 3, 2)
    assert boxes.pixels(3)[0].shape == (0, 3, 2)


def test_bytes_of_a_shoebox(tmp_path):
    """One box of one pixel in each version, packed by hand."""
    for flag, mask in ((1, struct.pack("<i", 300)), (2, b"\x05")):
        record = struct.pack("<I6iBf", 7, 1, 2, 3, 4, 5, 6, flag, 1.5) + mask + struct.pack("<f", 2)
        path = tmp_path / "one.refl"
        path.write_bytes(packed({"shoebox": ["Shoebox<>", [1, record]]}, 1))
        got = read_refl(path)
        box = got.shoeboxes["shoebox"]
        assert (box.panel[0], box.bbox[0].tolist()) == (7, [1, 2, 3, 4, 5, 6])
        assert [float(a[0, 0, 0]) for a in box.pixels(0)] == [1.5, 300 if flag == 1 else 5, 2.0]
        assert box.pixels(0)[0].shape == (1, 1, 1)
        again = write_refl(tmp_path / "two.refl", got)
        assert again.read_bytes() == path.read_bytes()


def test_selected_rows_take_their_pixels(tmp_path):
    made = table()
    for rows in (np.array([3, 0, 2]), COLUMNS["entering"], [4], np.empty(0, int), slice(1, 3)):
        got, index = made.select(rows), np.arange(N)[rows]
        assert len(got) == len(index)
        boxes, old = got.shoeboxes["shoebox"], made.shoeboxes["shoebox"]
        for new_row, row in enumerate(index):
            for a, b in zip(boxes.pixels(new_row), old.pixels(row), strict=True):
                assert np.array_equal(a, b)
        again = read_refl(write_refl(tmp_path / "s.refl", got))
        assert np.array_equal(again["two"], COLUMNS["two"][rows])


def test_an_empty_table(tmp_path):
    for made in (ReflectionTable(), table().select([])):
        got = read_refl(write_refl(tmp_path / "e.refl", made))
        assert (len(got), dict(got.types)) == (0, dict(made.types))


def test_columns_are_replaced_and_dropped():
    made = table()
    new = made.with_columns(
        {"xyzobs.px.value": np.zeros((N, 3))}, flags=np.arange(N), d=np.arange(N)
    )
    assert (new.types["flags"], new.types["d"]) == ("std::size_t", "int")
    assert made["d"][0] == 1.5
    assert "d" not in made.without("d", "absent")
    assert "shoebox" not in made.without("shoebox")
    assert made.has_flags(36).tolist() == [False, False, False, False, True]


def test_types_of_new_columns():
    assert type_of("n_signal", np.zeros(2, np.int64)) == "int"
    assert type_of("partial_id", np.zeros(2, np.int64)) == "std::size_t"
    for wrong in (np.zeros((2, 4)), np.zeros(2, complex), np.zeros((2, 2), bool)):
        with pytest.raises(FormatError, match=r"column 'c': .* has no type in a reflection file"):
            type_of("c", wrong)


def test_lengths_must_agree():
    with pytest.raises(FormatError, match=r"columns of different lengths: \{'a': 2, 'b': 3\}"):
        ReflectionTable({"a": np.zeros(2), "b": np.zeros(3)})


def test_missing_columns_are_named(tmp_path):
    made = read_refl(write_refl(tmp_path / "a.refl", ReflectionTable({"d": np.zeros(1)})))
    made.require("d")
    expected = r"a\.refl: missing columns miller_index, s1; there are: d"
    with pytest.raises(FormatError, match=expected):
        made.require("miller_index", "d", "s1")
    with pytest.raises(FormatError, match=r"a\.refl: missing column id; there are: d"):
        _ = made["id"]
    with pytest.raises(FormatError, match="missing column flags; there are: none"):
        ReflectionTable().has_flags(1)


def test_numbers_that_do_not_fit(tmp_path):
    made = ReflectionTable({"id": np.array([2**31])})
    with pytest.raises(FormatError, match="column 'id': 2147483648 to 2147483648 does not fit the"):
        write_refl(tmp_path / "a.refl", made)
    assert not list(tmp_path.iterdir())
    with pytest.raises(FormatError, match="column 'panel': -1 to -1 does not fit the type std::"):
        write_refl(tmp_path / "a.refl", ReflectionTable({"panel": np.array([-1])}))
    with pytest.raises(ConfigError, match="does not exist"):
        write_refl(tmp_path / "no" / "a.refl", table())


# --- refusals ------------------------------------------------------------------------------------


def packed(data, nrows=2, version=2, kind="dials::af::reflection_table", **more):
    return msgpack.packb([kind, version, {"identifiers": {}, "nrows": nrows, "data": data, **more}])


TWO = struct.pack("<2d", 1.0, 2.0)
BOX = struct.pack("<I6iB", 0, 0, 1, 0, 1, 0, 1, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a reflection table: starts with b''"),
        (b'{"__id__": "ExperimentList"}', "not a reflection table: starts with b'{\"__id__"),
        (packed({}, kind="dials::af::something"), "not a reflection table: starts with b'.*dials"),
        (packed({}, version=3), "version 3 of the table: expected 1 or 2"),
        (packed({"d": ["double", [2, TWO]]})[:-3], r"truncated or corrupt after \d+ bytes"),
        (packed({"d": ["double", [2, TWO]]}) + b"\x00", r"truncated or corrupt after \d+ bytes"),
        (msgpack.packb(["dials::af::reflection_table", 2, {"nrows": 1}]), "missing key 'data'"),
        (msgpack.packb(["dials::af::reflection_table", 2, 5]), "missing key 'data'"),
        (packed({"d": ["double"]}), r"column 'd' is not \[type, \[n, bytes\]\]"),
        (packed({"d": ["double", [3, TWO]]}), "column 'd' has 3 rows: the table has 2"),
        (packed({"d": ["double", [2, TWO[:9]]]}), r"'d' \(double\) has 9 bytes: 16 for 2 rows"),
        (packed({"d": ["Odd<>", [2, TWO]]}), "column 'd' has the unknown type 'Odd<>': expected"),
        (packed({"t": ["std::string", [2, b"\x01\x00\x00\x00a"]]}),
         r"column 't' \(std::string\): 5 bytes are not 2 strings with their lengths"),
        (packed({"t": ["std::string", [1, b"\x01\x00\x00\x00\xff"]]}, 1), "are not 1 strings"),
        (packed({"s": ["Shoebox<>", [1, BOX[:-1]]]}, 1), "column 's' is cut in shoebox 0 of 1"),
        (packed({"s": ["Shoebox<>", [1, BOX]]}, 1), "column 's' has 29 bytes: its boxes need 38"),
        (packed({"s": ["Shoebox<>", [1, BOX[:-1] + b"\x07"]]}, 1),
         r"column 's': shoebox 0 has box \(0, 1, 0, 1, 0, 1\) and flag 7"),
        (packed({"s": ["Shoebox<>", [1, struct.pack("<I6iB", 0, 2, 1, 0, 1, 0, 1, 2)]]}, 1),
         r"column 's': shoebox 0 has box \(2, 1, 0, 1, 0, 1\) and flag 2"),
    ],
)  # fmt: skip
def test_refused_files(tmp_path, content, message):
    path = tmp_path / "bad.refl"
    path.write_bytes(content)
    with pytest.raises(
        FormatError, match=rf"bad\.refl: {message}|bad\.refl: .*{message}"
    ) as caught:
        read_refl(path)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    for protocol in (0, 2, 4):
        path = tmp_path / f"{protocol}.refl"
        path.write_bytes(pickle.dumps(Trap(), protocol))
        with pytest.raises(FormatError, match="this is a Python pickle, which is never loaded"):
            read_refl(path)
    assert not (tmp_path / "sprung").exists()


def test_no_such_file(tmp_path):
    with pytest.raises(FormatError, match=r"none\.refl: cannot be read: No such file"):
        read_refl(tmp_path / "none.refl")


# --- tables and experiments -----------------------------------------------------------------------


def experiments(*sizes):
    panel = Module("p", (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 9.0), (2, 2), (1.0, 1.0))
    return [
        Experiment(n, detector=Hierarchy((panel,) * s)) for n, s in zip("ab", sizes, strict=False)
    ]


def test_a_table_belongs_to_experiments():
    made = ReflectionTable({"id": np.array([0, 1, -1]), "panel": np.array([1, 2, 2])})
    check_pair(made, experiments(2, 3))
    with pytest.raises(FormatError, match=r"row 1 is of experiment 1: the list has 1, from 0"):
        check_pair(made, experiments(2))
    with pytest.raises(
        FormatError, match=r"row 1 is on panel 2: the detector of experiment 1 has 2 panels, from 0"
    ):
        check_pair(made, experiments(2, 2))
    with pytest.raises(FormatError, match="row 2 is of experiment -2"):
        check_pair(made.with_columns(id=np.array([0, 1, -2])), experiments(2, 3))
    named = replace(made, identifiers={1: "b"})
    check_pair(named, experiments(2, 3))
    for wrong, own in (({0: "z"}, "'a'"), ({5: "b"}, "None")):
        with pytest.raises(FormatError, match=f"is of experiment .*: the list has {own} there"):
            check_pair(replace(made, identifiers=wrong), experiments(2, 3))
    with pytest.raises(FormatError, match="missing column panel"):
        check_pair(made.without("panel"), experiments(2, 3))


def test_order_of_rows():
    made = ReflectionTable({"id": np.array([0, 1, 0, 1]), "panel": np.array([3, 1, 2, 0])})
    rows = sorted_rows(made)
    assert rows.tolist() == [2, 0, 3, 1]
    check_sorted(made.select(rows), "id", "panel")
    check_sorted(made.select(rows))
    with pytest.raises(FormatError, match=r"rows are not sorted by id: row 2 \(id 0\) comes after"):
        check_sorted(made)
    with pytest.raises(FormatError, match=r"by id, panel: row 1 \(id 0, panel 2\) comes after a l"):
        check_sorted(made.select([0, 2, 1, 3]), "id", "panel")


def test_variances():
    name = "xyzobs.mm.variance"
    made = ReflectionTable({name: np.array([[1.0, 1.0, 0.0], [1.0, 2.0, 3.0]])})
    check_variances(made)  # a still has no variance of its angle
    for bad in (-1.0, np.nan, np.inf):
        values = np.array([[1.0, 1.0, 1.0], [1.0, bad, 3.0]])
        with pytest.raises(
            FormatError, match=rf"{name} of row 1 is \[1.0, {bad}, 3.0\]: expected num.*1 rows are"
        ):
            check_variances(made.with_columns({name: values}))
