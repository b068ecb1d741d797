"""New HDF5 files where there is room and where there is not."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from refimpl.errors import ConfigError
from refimpl.hdf5 import writing
from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path


def write(path: Path) -> None:
    """Many small objects and one large one."""
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        for k in range(40):
            file.create_group(f"g{k}").attrs["text"] = "x" * 200
        file.create_dataset("large", data=np.arange(60_000.0), chunks=(1000,), compression="gzip")
        file["last"] = 1


def test_a_file_has_what_was_written(tmp_path: Path) -> None:
    write(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["large"], np.arange(60_000.0))
        assert file["last"][()] == 1
        assert file["g39"].attrs["text"] == "x" * 200


@pytest.mark.parametrize("room", [0, 100, 2000, 9000, 30_000, 60_000])
def test_no_room(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, put = room, writing._NeverRefusing._put

    def full(self: writing._NeverRefusing, data: memoryview) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        n = put(self, data[:left])
        left -= n
        return n

    monkeypatch.setattr(writing._NeverRefusing, "_put", full)
    with pytest.raises(ConfigError, match=r"a\.h5: cannot write: No space left on device"):
        write(tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_writer_is_its_own(tmp_path: Path) -> None:
    def fail() -> None:
        with atomic_path(tmp_path / "a.h5") as temporary, new_hdf5(temporary) as file:
            file["a"] = 1
            raise KeyError("of the writer")

    with pytest.raises(KeyError, match="of the writer"):
        fail()
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, runpy, sys
from pathlib import Path
write = runpy.run_path(sys.argv[1])["write"]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    write(Path(sys.argv[2]))
except Exception as exc:
    sys.exit(f"{type(exc).__name__}: {exc}")
"""


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limits of files here")
def test_the_process_goes_on_where_the_system_takes_no_more(tmp_path: Path) -> None:
    """The HDF5 library by itself crashes here when it closes the file."""
    command = [sys.executable, "-c", LIMITED, __file__, str(tmp_path / "a.h5"), "30000"]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ.copy())
    assert run.returncode == 1, run.stderr
    assert run.stderr.strip().endswith("a.h5: cannot write: File too large")
    assert not list(tmp_path.iterdir())
