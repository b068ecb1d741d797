"""``refimpl epu duplicates --watch``: told as they come, files anew, Ctrl-C ends it well."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from epu_folder import epu, some_of, xml_files

from refimpl.epu import live
from refimpl.epu.simulate import Simulated


@pytest.fixture
def here(
    small_epu: tuple[Path, Simulated], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Work beside the first 60 exposures of a session, S."""
    monkeypatch.chdir(tmp_path)
    some_of(small_epu[0], Path("S"), 60)
    return small_epu[0]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What happens between looks; after that comes Ctrl-C."""

    def say(*steps: Callable[[], object]) -> None:
        waiting, real = list(steps), live.watch

        def sleep(_: float) -> None:
            if not waiting:
                raise KeyboardInterrupt
            waiting.pop(0)()

        monkeypatch.setattr(live, "watch", lambda *a, **k: real(*a, **k, sleep=sleep))

    return say


@pytest.fixture
def matrix(small_epu: tuple[Path, Simulated]) -> str:
    return ",".join(repr(float(x)) for x in small_epu[1].truth.matrix_um.ravel())


def bad_of(small_epu: tuple[Path, Simulated], n: int) -> list[str]:
    """True duplicates among the first n exposures."""
    names = {path.stem for path in xml_files(small_epu[0])[:n]}
    table = small_epu[1].session.table
    return [name for name in table["name"][small_epu[1].truth.bad] if name in names]


def test_lines_and_files(here, small_epu, between, matrix: str, capsys) -> None:
    n = len(xml_files(here))
    between(lambda: None, lambda: some_of(here, Path("S"), n))
    assert epu("duplicates", "S", "--matrix", matrix, "--watch", 5, "-o", "live") == 0
    said = capsys.readouterr()
    assert said.err == "stopped\n"
    lines = said.out.splitlines()
    early, bad = bad_of(small_epu, 60), bad_of(small_epu, n)
    assert lines[0] == f"60 exposures, {len(early)} duplicates"
    assert lines[1].startswith("  calibrated: affine: k = 24.4")
    told = [line.split()[1] for line in lines if line.startswith("  duplicate ")]
    assert told == bad
    assert f"{n} exposures, {len(bad)} duplicates" in lines
    names = Path("live_badfiles_tiff.txt").read_text().split()
    assert names == [f"{name}_fractions.tiff" for name in bad]


def test_json_lines(here, small_epu, between, matrix: str, capsys) -> None:
    def half() -> None:
        path = xml_files(here)[60]
        place = Path("S") / path.relative_to(here)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes()[:900])

    between(half, lambda: some_of(here, Path("S"), 100))
    assert epu("duplicates", "S", "--matrix", matrix, "--watch", 5, "--json") == 0
    first, last = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (first["n_exposures"], last["n_exposures"]) == (60, 100)
    assert first["new"] + last["new"] == bad_of(small_epu, 100)
    assert last["n_duplicates"] == len(bad_of(small_epu, 100))
    assert sorted(p.name for p in Path().iterdir()) == ["S"]


def test_an_empty_folder_waits(between, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("S").mkdir()
    between()
    assert epu("duplicates", "S", "--watch", 5) == 0
    said = capsys.readouterr()
    assert said.out == "0 exposures, not searched yet\n"
    assert list(Path().iterdir()) == [Path("S")]


def test_why_it_is_not_calibrated_yet_and_what_is_unusable(here, between, capsys) -> None:
    for path in list(Path("S").rglob("*.xml"))[3:]:
        path.unlink()
    broken = next(Path("S").rglob("*.xml"))
    broken.write_text("<")
    between(*[lambda: None] * 6)
    assert epu("duplicates", "S", "--watch", 5) == 0
    said = capsys.readouterr()
    assert said.out.startswith("2 exposures, not searched yet\n")
    notes = said.err.splitlines()
    assert notes[0] == "note: files that cannot be read yet: 1"
    assert notes[1].startswith("note: not calibrated yet: ")
    assert [line for line in notes if line.startswith(f"note: {broken}: ")]


def test_a_process_that_is_interrupted_ends_with_0_and_whole_files(
    here, small_epu, matrix: str
) -> None:
    # a shell that starts the tests in the background lets its children ignore Ctrl-C
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from refimpl.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = ["epu", "duplicates", "S", "--matrix", matrix, "--watch", "0.05", "-o", "live"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        process.stdout.readline()
        some_of(here, Path("S"), 100)
        end = time.monotonic() + 60.0
        while time.monotonic() < end and "100 exposures" not in process.stdout.readline():
            pass
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert said.endswith("stopped\n")
    assert json.loads(Path("live.json").read_text())["bad"] == bad_of(small_epu, 100)
    assert not [p for p in Path().iterdir() if p.name.startswith(".")]
