"""Objects in a file that processes share: what comes back, and that nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from refimpl.errors import ConfigError, FormatError
from refimpl.io import shared
from refimpl.io.shared import read_shared, remove_leftovers, shared_file, write_shared


@dataclass(frozen=True)
class Thing:
    name: str
    table: np.ndarray
    more: dict


def thing() -> Thing:
    rng = np.random.default_rng(3)
    return Thing(
        "Au", rng.normal(size=(7, 3)),
        {
            "bits": np.arange(11, dtype=np.uint8), "empty": np.zeros((0, 4)),
            "one": np.float64(7.5),
            "columns": np.asfortranarray(rng.normal(size=(4, 5))),
            "strided": np.arange(20.0)[::3], "words": ["a", None],
        },
    )  # fmt: skip


def same(a: Thing, b: Thing) -> None:
    assert (a.name, a.more["words"], a.more["one"]) == (b.name, b.more["words"], b.more["one"])
    pairs = [(a.table, b.table), *((a.more[n], b.more[n]) for n in a.more if n != "words")]
    for mine, yours in pairs:
        assert mine.dtype == yours.dtype
        assert mine.shape == yours.shape
        assert mine.tobytes() == yours.tobytes()


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = write_shared(thing(), tmp_path / "a.shared")
    same(thing(), read_shared(path))
    assert [p.name for p in tmp_path.iterdir()] == ["a.shared"]


@given(
    st.lists(
        arrays(
            st.sampled_from(["<f8", ">f4", "u1", "<i8", "?", "<c16", "S3", "<U2", "<M8[s]"]),
            array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
        ),
        max_size=4,
    )
)
def test_any_arrays_come_back(tables: list[np.ndarray]) -> None:
    with TemporaryDirectory() as folder:
        found = read_shared(write_shared({"tables": tables}, Path(folder) / "a.shared"))["tables"]
        assert len(found) == len(tables)
        for mine, yours in zip(tables, found, strict=True):
            assert (mine.dtype, mine.shape) == (yours.dtype, yours.shape)
            assert mine.tobytes() == yours.tobytes()


def test_arrays_are_read_only_views_of_the_file(tmp_path: Path) -> None:
    found = read_shared(write_shared(thing(), tmp_path / "a.shared"))
    for array in (found.table, found.more["bits"], found.more["columns"]):
        assert not array.flags.writeable
        assert not array.flags.owndata
        assert array.ctypes.data % 64 == 0
    with pytest.raises(ValueError, match="read-only"):
        found.table[0, 0] = 1.0
    assert found.more["columns"].flags.f_contiguous


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux tells of its pages")
def test_processes_share_the_pages(tmp_path: Path) -> None:
    path = write_shared(np.ones(4_000_000), tmp_path / "a.shared")  # 32 MB
    child = (
        "import sys; from refimpl.io.shared import read_shared; a = read_shared(sys.argv[1]);"
        "a.sum(); print('read', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", child, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        try:
            assert other.stdout.readline() == b"read\n"
            assert read_shared(path).sum() == 4e6
            lines = Path("/proc/self/smaps").read_text().split(str(path))[1].splitlines()
            kilobytes = {w[0]: int(w[1]) for line in lines[:15] if len(w := line.split()) == 3}
            assert kilobytes["Rss:"] > 30_000
            assert kilobytes["Pss:"] < 0.6 * kilobytes["Rss:"]  # half of each page is ours
        finally:
            other.communicate()


def test_a_file_is_mapped_once_and_anew_when_it_changed(tmp_path: Path) -> None:
    path = write_shared([1, np.arange(3)], tmp_path / "a.shared")
    first = read_shared(path)
    assert read_shared(str(path)) is first
    write_shared([2, np.arange(3)], path)
    assert read_shared(path)[0] == 2
    assert first[1].tolist() == [0, 1, 2]  # who mapped it before still has it


def test_few_objects_are_kept(tmp_path: Path) -> None:
    paths = [write_shared(np.arange(i), tmp_path / f"{i}.shared") for i in range(6)]
    first = read_shared(paths[0])
    for path in paths[1:]:
        read_shared(path)
    assert read_shared(paths[0]) is not first
    assert len(shared._CACHE) == 4


def test_a_shared_file_is_gone_at_the_end(tmp_path: Path) -> None:
    with shared_file(thing(), tmp_path / "new", "the images") as path:
        assert path.parent == tmp_path / "new"
        assert path.name.startswith("the_images-")
        found = read_shared(path)
        same(thing(), found)
    assert not list((tmp_path / "new").iterdir())
    same(thing(), found)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_shared_file_is_gone_after_an_error(error, tmp_path: Path) -> None:
    with pytest.raises(error), shared_file([1], tmp_path, "a"):
        raise error
    assert not list(tmp_path.iterdir())


def test_names_tell_objects_and_runs_apart(tmp_path: Path) -> None:
    with (
        shared_file([1], tmp_path, "a") as one, shared_file([1], tmp_path, "a") as two,
        shared_file([2], tmp_path, "a") as other,
    ):  # fmt: skip
        digests = [path.name.split("-")[1] for path in (one, two, other)]
        assert digests[0] == digests[1] != digests[2]
        assert len({one, two, other}) == 3


KILLED = """
import os, sys
from refimpl.io.shared import shared_file
with shared_file([1], sys.argv[1], "a") as path:
    print(path.name, flush=True)
    sys.stdin.read()
"""


def test_leftovers_of_a_killed_run_are_removed_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        left = tmp_path / run.stdout.readline().decode().strip()
        assert remove_leftovers(tmp_path) == ()  # it is held
        run.send_signal(signal.SIGKILL)
    assert left.exists()
    half = left.with_name(f".{left.name}.{run.pid}-0123abcd.part.shared")
    half.write_bytes(b"torn")
    alive = left.name.replace(f"-{run.pid}-", f"-{os.getpid()}-")
    written = left.with_name(f".{alive}.{os.getpid()}-0123abcd.part.shared")
    written.write_bytes(b"in work")
    for name in ("mine.shared", "map.mic", "a-12.shared"):
        (tmp_path / name).write_bytes(b"")
    with shared_file([1], tmp_path, "a") as ours:
        assert remove_leftovers(tmp_path) == (half, left)
        assert ours.exists()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"mine.shared", "map.mic", "a-12.shared", written.name}
    assert remove_leftovers(tmp_path / "none") == ()


def test_leftovers_of_a_name(tmp_path: Path) -> None:
    paths = []
    for name in ("a", "a-b", "b", "a b"):
        with shared_file([1], tmp_path, name) as path:
            paths.append(path)
    ours, longer, other, spaced = paths
    # of this very number, as a run in a container may have it that goes on after a kill
    half = ours.with_name(f".{ours.name}.{os.getpid()}-0123abcd.part.shared")
    theirs = longer.with_name(f".{longer.name}.1-0123abcd.part.shared")
    for path in (*paths, half, theirs):
        path.write_bytes(b"left")
    assert set(remove_leftovers(tmp_path, "a")) == {half, ours}
    assert remove_leftovers(tmp_path, "a b") == (spaced,)
    assert {path.name for path in tmp_path.iterdir()} == {longer.name, other.name, theirs.name}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a file of shared objects"),
        (b"P5 640 480 of something else, long enough", "not a file of shared objects"),
    ],
)
def test_another_file(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.shared"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=rf"a\.shared: {message}$"):
        read_shared(path)


def test_a_truncated_file(tmp_path: Path) -> None:
    path = write_shared(thing(), tmp_path / "a.shared")
    whole = path.read_bytes()
    for n in (40, len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(FormatError, match=r"a\.shared: truncated file of shared objects$"):
            read_shared(path)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"none\.shared: cannot read: No such file or directory$"):
        read_shared(tmp_path / "none.shared")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shared, "_write", full)
    with (
        pytest.raises(ConfigError, match=r"a-.*\.shared: cannot write: No space left on device$"),
        shared_file([1], tmp_path, "a"),
    ):
        pass
    assert not list(tmp_path.iterdir())
