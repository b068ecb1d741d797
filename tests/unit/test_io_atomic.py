"""Writing: whole files or none, strict JSON."""

from __future__ import annotations

import dataclasses
import errno
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.io import atomic


def test_success_replaces_and_leaves_no_temporary(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic.atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_failure_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with atomic.atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.txt: cannot write: the folder .*no does not exist"):
        atomic.write_text(tmp_path / "no" / "a.txt", "x")


def test_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is not a folder"):
        atomic.write_text(tmp_path / "file" / "a.txt", "x")


def test_target_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a folder, a file name is needed"):
        atomic.write_text(tmp_path, "x")


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A mode of 0o500 does not stop root, so the answer of the system is put in its mouth.
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigError, match="no permission in the folder"):
        atomic.write_text(tmp_path / "a.txt", "x")


def test_full_disk_is_one_line_and_other_errors_pass(tmp_path: Path) -> None:
    def fail(code: int) -> None:
        with atomic.atomic_path(tmp_path / "a.txt") as temporary:
            temporary.write_text("half")
            raise OSError(code, "No space left on device")

    with pytest.raises(ConfigError, match=r"a\.txt: cannot write: No space left on device"):
        fail(errno.ENOSPC)
    with pytest.raises(OSError, match="No space"):
        fail(errno.EIO)
    assert not list(tmp_path.iterdir())


def test_nothing_written(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match="nothing was written"),
        atomic.atomic_path(tmp_path / "a.txt"),
    ):
        pass


def test_make_folder(tmp_path: Path) -> None:
    made = atomic.make_folder(tmp_path / "a" / "b")
    assert made.is_dir()
    assert atomic.make_folder(made) == made
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        atomic.make_folder(tmp_path / "file" / "b")


def test_write_npy(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3)
    atomic.write_npy(tmp_path / "map.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "map.npy"), array)


@dataclasses.dataclass(frozen=True)
class _Value:
    name: str
    numbers: tuple[float, ...]


def test_json_of_everything(tmp_path: Path) -> None:
    value = {
        "z": np.float32(0.5),
        "a": [np.int64(3), True, np.bool_(False), None],
        "nan": [np.nan, np.inf, 1.0],
        "array": np.eye(2),
        "value": _Value("b", (0.1, 1e-300)),
        "path": Path("x") / "y",
        "set": {3, 1, 2},
        "empty": {"list": [], "dict": {}},
        5: "µε",
    }
    atomic.write_json(tmp_path / "r.json", value)
    text = (tmp_path / "r.json").read_text(encoding="utf-8")
    back = json.loads(text)
    assert list(back) == ["z", "a", "nan", "array", "value", "path", "set", "empty", "5"]
    assert back["a"] == [3, True, False, None]
    assert back["nan"] == [None, None, 1.0]
    assert back["array"] == [[1, 0], [0, 1]]
    assert back["value"] == {"name": "b", "numbers": [0.1, 1e-300]}
    assert back["set"] == [1, 2, 3]
    assert back["empty"] == {"list": [], "dict": {}}
    assert '"a": [3, true, false, null]' in text
    assert "µε" in text
    assert text.endswith("}\n")


def test_json_refuses_what_has_no_form() -> None:
    with pytest.raises(ConfigError, match="a value of type complex has no JSON form"):
        atomic.json_text({"a": 1j})


KILLED = """
import os, signal, sys
from pathlib import Path
from refimpl.io.atomic import atomic_path
from refimpl.io.together import together
from refimpl.io.whole_folder import whole_folder
folder = Path(sys.argv[1])
with atomic_path(folder / "a.map") as one, together([folder / "b"]) as (two,):
    with whole_folder(folder / "c") as three:
        for path in (one, two, three / "d"):
            path.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def torn(tmp_path: Path) -> list[str]:
    """What a killed writer left in the folder."""
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("no SIGKILL here")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    return sorted(path.name for path in tmp_path.iterdir())


def test_what_a_killed_writer_left_goes_with_the_next_file(tmp_path: Path, torn: list[str]) -> None:
    assert len(torn) == 3
    atomic.write_text(tmp_path / "other.txt", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["other.txt"]


def test_what_a_killed_writer_left_goes_when_the_folder_is_used_again(
    tmp_path: Path, torn: list[str]
) -> None:
    assert [name.split(".")[1] for name in torn] == ["a", "b", "c"]
    elsewhere = tmp_path / re.sub(r"\.[0-9a-f]{8}-", ".00000000-", torn[0])
    elsewhere.write_bytes(b"of another computer")
    (tmp_path / ".mine.part").write_bytes(b"no name of ours")
    with atomic.atomic_path(tmp_path / "b") as ours:
        ours.write_bytes(b"in work")
        atomic.make_folder(tmp_path)
        kept = {ours.name, elsewhere.name, ".mine.part"}
        assert {path.name for path in tmp_path.iterdir()} == kept


@pytest.mark.parametrize("full", [True, False])
def test_libraries_that_do_not_say_why(
    full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch and Pillow lose the number of the system's error; the folder itself tells it."""

    def no_room(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail() -> None:
        with atomic.atomic_path(tmp_path / "net.ckpt"):
            raise RuntimeError("file write failed")

    if full:
        monkeypatch.setattr(Path, "write_bytes", no_room)
    expected, why = (ConfigError, "No space left") if full else (RuntimeError, "file write failed")
    with pytest.raises(expected, match=why):
        fail()
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


def test_numbers_that_numpy_could_not_write(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic.atomic_path(tmp_path / "map.npy"):
            raise OSError("62400 requested and 12766 written")

    with pytest.raises(ConfigError, match=r"map\.npy: cannot write: there was no room for all"):
        fail()
