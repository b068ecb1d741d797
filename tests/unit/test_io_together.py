"""Sets of files: all of them whole, or none changes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from refimpl.errors import ConfigError
from refimpl.io.together import together


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


@pytest.fixture
def old(tmp_path: Path) -> list[Path]:
    """Three targets, of which a.txt and c.txt are there from before."""
    for name in ("a", "c"):
        (tmp_path / f"{name}.txt").write_text(f"old {name}")
    return [tmp_path / f"{name}.txt" for name in "abc"]


OLD = {"a.txt": "old a", "c.txt": "old c"}


def test_all_appear_and_nothing_else_remains(old: list[Path]) -> None:
    with together(old) as places:
        for place in places:
            assert place.suffix == ".txt"
            place.write_text("new")
        assert OLD.items() <= texts(old[0].parent).items()
    assert texts(old[0].parent) == {"a.txt": "new", "b.txt": "new", "c.txt": "new"}


def test_an_error_in_the_middle_changes_nothing(old: list[Path]) -> None:
    def fail() -> None:
        with together(old) as places:
            places[0].write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert texts(old[0].parent) == OLD


@pytest.mark.parametrize("which", [1, 2, 3])
def test_a_rename_that_fails_takes_back_those_before(
    old: list[Path], which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.replace, []

    def failing(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == which:
            raise OSError(errno.ENOSPC, "No space left on device", str(source))
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)

    def write() -> None:
        with together(old) as places:
            for place in places:
                place.write_text("new")

    with pytest.raises(ConfigError, match=rf"{old[which - 1]}: cannot write: No space left on dev"):
        write()
    assert texts(old[0].parent) == OLD


def test_a_full_disk_while_writing(old: list[Path]) -> None:
    def write() -> None:
        with together(old) as places:
            places[0].write_text("new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(ConfigError, match="cannot write: No space left on device"):
        write()
    assert texts(old[0].parent) == OLD


def test_other_failures_are_the_callers(old: list[Path]) -> None:
    def write() -> None:
        with together(old):
            raise FileNotFoundError(errno.ENOENT, "No such file", "input")

    with pytest.raises(FileNotFoundError):
        write()


def test_what_was_not_written_is_missed_unless_it_is_optional(old: list[Path]) -> None:
    def write(**more: object) -> None:
        with together(old, **more) as places:
            for place in places[:2]:
                place.write_text("new")

    with pytest.raises(ConfigError, match=r"c\.txt: nothing was written to the temporary file"):
        write()
    assert texts(old[0].parent) == OLD
    write(optional=[old[2]])  # an old file of that name would be of another run
    assert texts(old[0].parent) == {"a.txt": "new", "b.txt": "new"}


def test_places_that_cannot_be_written_to(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"the folder .*no does not exist"),
        together([tmp_path / "a", tmp_path / "no" / "b"]),
    ):
        pass
    with (
        pytest.raises(ConfigError, match="a: named twice as a file to be written"),
        together([tmp_path / "a", tmp_path / "b", tmp_path / "a"]),
    ):
        pass


def test_a_file_system_without_links(old: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    with together(old) as places:
        for place in places:
            place.write_text("new")
    assert texts(old[0].parent) == {"a.txt": "new", "b.txt": "new", "c.txt": "new"}


def test_a_kill_while_writing_leaves_the_old_files(old: list[Path]) -> None:
    code = (
        "import os, signal; from pathlib import Path; from refimpl.io.together import together\n"
        f"with together([Path(p) for p in {[str(p) for p in old]}]) as places:\n"
        "    [place.write_text('new') for place in places]\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -signal.SIGKILL
    assert {k: v for k, v in texts(old[0].parent).items() if not k.startswith(".")} == OLD
