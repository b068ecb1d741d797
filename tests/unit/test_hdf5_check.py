"""No HDF5 file may make this process hang or crash: it is looked at by another one first."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

import refimpl
from refimpl.errors import FormatError
from refimpl.hdf5 import check as hdf5_check
from refimpl.hdf5 import check_hdf5, read_hdf5
from refimpl.io.images import read
from refimpl.testing.nearfield_scan import write_hdf5

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processor time is bounded by POSIX")


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process yet, and none left."""
    helpers: dict[int, hdf5_check._Helper] = {}
    monkeypatch.setattr(hdf5_check, "_helpers", helpers)
    yield
    for helper in helpers.values():
        helper.end()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_check, "HANG_SECONDS", 0.15)


def _endless(path: Path, beside: str = "") -> Path:
    """A heap whose second object is said to be so long that the third one is the second one."""
    with h5py.File(path, "w") as file:
        file["exchange/data"] = np.arange(16 * 17, dtype="u2").reshape(16, 17)
        if beside:
            file[beside] = 5
        file["exchange/data"].attrs["units"] = np.array(["counts", "of photons"], dtype=object)
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    at = data.index(b"of photons", heap) - 8
    assert int.from_bytes(data[at : at + 8], "little") == len("of photons")
    data[at : at + 8] = (2**64 - 16).to_bytes(8, "little")
    path.write_bytes(data)
    return path


def _program(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in the place of the one that looks at files."""
    path.write_text(text)
    monkeypatch.setattr(hdf5_check, "_WALK", path)


def test_a_heap_without_an_end_is_refused(tmp_path: Path, short: None) -> None:
    path = _endless(tmp_path / "a.h5")
    began = time.process_time()
    with pytest.raises(FormatError, match=r"library does not come back within 0\.15 s"):
        read(path)
    assert time.process_time() - began < 2.0
    with pytest.raises(FormatError, match="does not come back"):  # and again: it is no known file
        check_hdf5(path)


def test_sound_files_are_read_after_a_damaged_one(tmp_path: Path, short: None) -> None:
    with pytest.raises(FormatError):
        check_hdf5(_endless(tmp_path / "a.h5"))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = 5
    with read_hdf5(tmp_path / "b.h5") as file:
        assert file["x"][()] == 5


def test_a_damaged_part_is_found_through_its_master(tmp_path: Path, short: None) -> None:
    """The file that is opened is sound; the one it links to is not."""
    _endless(tmp_path / "part.h5")
    with h5py.File(tmp_path / "a_master.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink("part.h5", "/exchange/data")
    with pytest.raises(FormatError, match="does not come back"):
        read(tmp_path / "a_master.h5")


def test_a_file_is_refused_where_its_content_cannot_be_listed(tmp_path: Path, short: None) -> None:
    """By its name the endless attribute can still be had."""
    path = _endless(tmp_path / "a.h5")
    data = bytearray(path.read_bytes())
    at = data.rindex(b"HEAP")  # of the group: names of its members
    data[at : at + 4] = b"PAEH"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=r"damaged HDF5: .*heap signature"):
        check_hdf5(path)


def test_a_name_that_is_no_text_hides_nothing(tmp_path: Path, short: None) -> None:
    """Errors of that name ended the look at the group; by name the endless attribute is had."""
    path = _endless(tmp_path / "a.h5", "exchange/before")
    data = bytearray(path.read_bytes())
    assert data.count(b"before\0") == 1
    path.write_bytes(data.replace(b"before\0", b"\xff\xfefore\0"))
    with pytest.raises(FormatError, match=r"damaged HDF5: "):
        check_hdf5(path)


def test_a_crash_is_told(tmp_path: Path, fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(
        tmp_path / "walk.py",
        "import os, signal, sys\nsys.stdin.readline()\nsys.stdin.readline()\n"
        "os.kill(os.getpid(), signal.SIGSEGV)\n",
        monkeypatch,
    )
    (tmp_path / "a.h5").write_bytes(b"x")
    with pytest.raises(FormatError, match=r"a\.h5: damaged HDF5: .* crashes on it \(SIGSEGV\)"):
        check_hdf5(tmp_path / "a.h5")


def test_a_process_that_is_gone_is_started_again(tmp_path: Path, short: None) -> None:
    """The files before may have damaged it: no file goes unseen for that."""
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = 5
    check_hdf5(tmp_path / "b.h5")
    process = hdf5_check._helpers[os.getpid()].process
    assert process is not None
    process.send_signal(signal.SIGSEGV)
    time.sleep(0.1)
    with pytest.raises(FormatError, match="does not come back"):
        check_hdf5(_endless(tmp_path / "a.h5"))


def test_waiting_ends_too(tmp_path: Path, fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that uses no processor time, as on a disk that does not answer."""
    _program(tmp_path / "walk.py", "import time\ntime.sleep(60)\n", monkeypatch)
    monkeypatch.setattr(hdf5_check, "_WAIT_SECONDS", 0.2)
    (tmp_path / "a.h5").write_bytes(b"x")
    with pytest.raises(FormatError, match="cannot be looked at"):
        check_hdf5(tmp_path / "a.h5")


def test_without_a_second_process_files_are_read(
    tmp_path: Path, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = 5
    with read_hdf5(tmp_path / "b.h5") as file:
        assert file["x"][()] == 5
    _program(tmp_path / "walk.py", "no program\n", monkeypatch)
    check_hdf5(tmp_path / "b.h5")


def test_a_file_is_looked_at_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(hdf5_check._Helper, "ask", lambda _, path: asked.append(path) or "")
    monkeypatch.setattr(hdf5_check, "_TICK_NS", -1)
    path = tmp_path / "a.h5"
    for content in (b"one", b"three"):
        path.write_bytes(content)
        check_hdf5(path)
        check_hdf5(path)
    assert asked == [str(path.resolve())] * 2


def test_a_file_of_this_moment_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another of its size could be written over it within one step of the clock of files."""
    asked: list[str] = []
    monkeypatch.setattr(hdf5_check._Helper, "ask", lambda _, path: asked.append(path) or "")
    monkeypatch.setattr(hdf5_check, "_TICK_NS", 60_000_000_000)
    (tmp_path / "a.h5").write_bytes(b"one")
    for _ in range(2):
        check_hdf5(tmp_path / "a.h5")
    assert len(asked) == 2


def test_a_file_with_the_times_of_another_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As programs leave it that write in place and keep the times of the source."""
    asked: list[str] = []
    monkeypatch.setattr(hdf5_check._Helper, "ask", lambda _, path: asked.append(path) or "")
    monkeypatch.setattr(hdf5_check, "_TICK_NS", -1)
    path = tmp_path / "a.h5"
    for content in (b"one", b"two"):
        path.write_bytes(content)
        os.utime(path, (1e9, 1e9))
        time.sleep(0.02)
        check_hdf5(path)
    assert len(asked) == 2


def test_what_is_no_file_is_left_to_the_library(tmp_path: Path) -> None:
    for path in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(OSError):
            read_hdf5(path)


def test_the_process_ends_with_the_one_it_serves(tmp_path: Path) -> None:
    """Killed, and so without a farewell."""
    path = tmp_path / "f.h5"
    write_hdf5(path, np.zeros((1, 16, 17), np.uint8))
    code = (
        "import os, sys\nfrom refimpl.hdf5 import check as hdf5_check\n"
        "hdf5_check.check_hdf5(sys.argv[1])\n"
        "print(hdf5_check._helpers[os.getpid()].process.pid, flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        helper = int(process.stdout.readline())
        os.kill(helper, 0)
        process.send_signal(signal.SIGKILL)
    for _ in range(100):
        state = Path(f"/proc/{helper}/stat")
        if not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return
        time.sleep(0.05)
    pytest.fail("it is still there")


def test_one_process_looks_at_many_files(tmp_path: Path) -> None:
    numbers = set()
    for name in ("a.h5", "b.h5"):
        with h5py.File(tmp_path / name, "w") as file:
            file["x"] = 5
        check_hdf5(tmp_path / name)
        process = hdf5_check._helpers[os.getpid()].process
        assert process is not None
        numbers.add(process.pid)
    assert len(numbers) == 1


def test_a_fork_has_a_process_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write_hdf5(path, np.zeros((1, 16, 17), np.uint8))
    code = (
        "import os, sys\nfrom refimpl.hdf5 import check as hdf5_check\nmine = hdf5_check\n"
        "mine.check_hdf5(sys.argv[1])\nmine._known.clear()\n"
        "if os.fork() == 0:\n"
        "    mine.check_hdf5(sys.argv[1])\n"
        "    os._exit(0 if len({h.process.pid for h in mine._helpers.values()}) == 2 else 1)\n"
        "status = os.wait()[1]\nmine.check_hdf5(sys.argv[1])\nsys.exit(status)\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(path)], timeout=60)
    assert done.returncode == 0


def _reads(path: Path) -> list[int]:
    """Lines that open HDF5 for reading without the look."""
    lines: list[int] = []
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)) if "h5py.File" in text else ():
        if not isinstance(node, ast.Call) or not ast.unparse(node.func).endswith("h5py.File"):
            continue
        mode = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "mode")]
        if not mode or not isinstance(mode[0], ast.Constant) or mode[0].value in ("r", "r+", "a"):
            lines.append(node.lineno)
    return lines


def test_every_reader_goes_through_the_door(tmp_path: Path) -> None:
    folder = Path(refimpl.__file__).parent
    door = {folder / "hdf5" / name for name in ("check.py", "walk.py")}
    assert all(_reads(path) for path in door)
    others = {path: _reads(path) for path in folder.rglob("*.py") if path not in door}
    assert {str(path): lines for path, lines in others.items() if lines} == {}
