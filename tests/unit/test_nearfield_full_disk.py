"""A disk that is full in the middle of a near-field run: clear words, and a later run completes."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nearfield_case import Case, same
from nearfield_multires_run import small_run

from refimpl import ledger
from refimpl.errors import ConfigError, ConvergenceError
from refimpl.io import shared
from refimpl.nearfield import blocks
from refimpl.nearfield.multires import RUN_LEDGER
from refimpl.nearfield.reconstruct import LEDGER

FULL = OSError(errno.ENOSPC, "No space left on device")


def completes(case: Case, folder: Path) -> None:
    """A later run has the bytes of one that nothing disturbed, in all files of blocks."""
    found = small_run(case, folder, engine="serial")
    whole = small_run(case, folder.parent / "whole", engine="serial")
    same(found.final, whole.final)
    names = {path.name for path in (folder / "blocks").iterdir()}
    assert names == {path.name for path in (folder.parent / "whole/blocks").iterdir()}
    for name in names:
        mine, yours = folder / "blocks" / name, folder.parent / "whole/blocks" / name
        with np.load(mine) as a, np.load(yours) as b:  # the archive itself states dates
            assert {k: a[k].tobytes() for k in a.files} == {k: b[k].tobytes() for k in b.files}
    assert {path.name for path in folder.iterdir()} == {"blocks", LEDGER, RUN_LEDGER}


def nothing_is_torn(folder: Path) -> None:
    for path in (folder / "blocks").iterdir():
        assert path.suffix == ".npz"
        assert ".part." not in path.name
        blocks._read(path)
    for name in (LEDGER, RUN_LEDGER):
        content = (folder / name).read_bytes()
        assert content.endswith(b"\n")
    assert not list(folder.glob("*.shared"))


@pytest.mark.parametrize("engine", ["serial", "threads"])
def test_no_room_for_a_block(
    engine: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, savez = count(1), np.savez

    def full(file: Any, **arrays: Any) -> None:
        call = next(calls)  # of threads, too, each has a number of its own
        savez(file, **arrays)
        if call > 12:
            file.seek(file.tell() // 2)
            file.truncate()
            raise FULL

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(blocks.np, "savez", full)
        message = r"blocks failed; the first, \w+-.*: cannot write: No space left on device.* 2 tim"
        with pytest.raises(ConvergenceError, match=message):
            small_run(case, folder, engine=engine, threads=2, backoff_s=(0.0,), retries=1)
    assert len(list((folder / "blocks").iterdir())) == 12
    nothing_is_torn(folder)
    completes(case, folder)


@pytest.mark.parametrize("room", [40, 400, 4000, 9000])
def test_no_room_for_the_ledger(
    room: int, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk takes what there is room for of a line, and nothing after it."""
    left, write = room, os.write

    def full(file: int, data: bytes) -> int:
        nonlocal left
        if not left:
            raise FULL
        n = write(file, data[:left])
        left -= n
        return n

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(ledger.os, "write", full)
        with pytest.raises(ConfigError, match="cannot write the ledger: No space left on device"):
            small_run(case, folder, engine="threads", threads=2)
    if room > 80:  # else there was none for the first lines
        nothing_is_torn(folder)
    completes(case, folder)


def test_no_room_for_what_workers_share(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise FULL

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(shared, "_write", full)
        with pytest.raises(ConfigError, match=r"\.shared: cannot write: No space left on device$"):
            small_run(case, folder, engine="processes", threads=1)
    nothing_is_torn(folder)
    completes(case, folder)


LIMITED = """
import resource, sys
from pathlib import Path
from nearfield_case import Case
from nearfield_multires_run import small_run
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    small_run(Case(), Path(sys.argv[1]), engine="threads", threads=2, backoff_s=(0.0,))
except Exception as exc:
    sys.exit(f"{type(exc).__name__}: {exc}")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files there")
@pytest.mark.parametrize("size", [1500, 6000])  # bytes: less than a block's file, and more
def test_a_system_that_takes_no_more(size: int, case: Case, tmp_path: Path) -> None:
    helpers = Path(__file__).parents[1] / "helpers"
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "run"), str(size)], capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": str(helpers)},
    )  # fmt: skip
    assert run.returncode == 1
    (line,) = run.stderr.splitlines()
    ledger_full = r"ConfigError: .*/ledger\.jsonl: cannot write the ledger: File too la.*"
    # how much of the ledger the failed blocks fill depends on the length of the folder's name
    blocks_full = r"ConvergenceError: .* 2 of 2 blocks failed; .*: cannot write: File too large"
    assert re.fullmatch(ledger_full if size == 6000 else f"{ledger_full}|{blocks_full}", line)
    n_blocks = len(list((tmp_path / "run/blocks").iterdir()))
    assert (n_blocks > 0) == (size == 6000)
    nothing_is_torn(tmp_path / "run")
    completes(case, tmp_path / "run")
