"""The one door through which HDF5 files are read: no file can make the HDF5 library hang or crash.

On a damaged file the library may loop for ever or crash, where no exception and no signal handler
of Python is heard. A second process looks at the file first (:mod:`refimpl.hdf5.walk`); it is
started when the first file is read, waits for others, and ends with this one. A file is looked at
once, until it changes.

Bounds: what the walk leaves out is the content of large data sets, and what a file that takes
longer than :data:`LOOK_SECONDS` has left. Where no process can be started (``sys.executable`` is
empty, as in some programs that embed Python) the file is opened without.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refimpl.errors import FormatError

if TYPE_CHECKING:
    import h5py

__all__ = ["HANG_SECONDS", "LOOK_SECONDS", "check_hdf5", "check_written", "read_hdf5"]

LOOK_SECONDS: float = 1.0
"""Processor time after which the walk through a sound file is left as it is."""
HANG_SECONDS: float = 4.0
"""Processor time after which the library is taken to loop for ever."""
_WAIT_SECONDS: Final = 60.0  # on the wall: a disk that does not answer, a system without timers
_TICK_NS: Final = 20_000_000  # systems note times of files in steps of up to 10 ms
_MOST_KNOWN: Final = 4096
_WALK: Final = Path(__file__).with_name("walk.py")


def read_hdf5(path: str | Path) -> h5py.File:
    """Open an HDF5 file for reading, after a look at it from a process of its own.

    Raises
    ------
    FormatError
        The HDF5 library loops for ever or crashes on the file, or wants all memory.
    OSError
        As ``h5py.File``: no such file, no HDF5.
    """
    check_hdf5(path)
    import h5py

    return h5py.File(path, "r")


def check_hdf5(path: str | Path) -> None:
    """Refuse a file that the HDF5 library does not survive; see :func:`read_hdf5`."""
    try:
        place = Path(path).resolve()
        state = place.stat()
    except (OSError, RuntimeError, ValueError):
        return  # the library says it in its words
    changed = max(state.st_mtime_ns, state.st_ctime_ns)
    settled = time.time_ns() - changed > _TICK_NS
    known = (str(place), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    if known in _known or not place.is_file():
        return
    with _lock:
        reason = _helpers.setdefault(os.getpid(), _Helper()).ask(str(place))
    if reason:
        raise FormatError(reason, path=path)
    if not settled:  # what replaces it now may bear the same times
        return
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known.add(known)


def check_written(data: h5py.Dataset, path: str | Path) -> None:
    """Refuse a data set of which nothing was ever written: HDF5 would give zeros, however many."""
    if data.is_virtual or data.external or not data.size:
        return
    if data.id.get_storage_size() == 0:
        raise FormatError(
            f"{data.name} states the shape {data.shape}, and nothing of it was written", path=path
        )


_TIMER = -getattr(signal, "SIGPROF", 0)
_STOPPED: Final = {_TIMER, -getattr(signal, "SIGKILL", 0)} - {0}  # how a wait is ended


class _Helper:
    """The process that looks at files, started when it is needed, and again when it died."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_WALK)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                bufsize=0,
            )
            _send(self.process, sys.path)
        return self.process

    def ask(self, path: str) -> str:
        """Why a file must not be opened; empty where it may."""
        was_used = self.process is not None
        status = self._ask(path)
        if was_used and isinstance(status, int) and status not in _STOPPED:
            status = self._ask(path)  # the files before may have done it
        return status if isinstance(status, str) else _why(status)

    def _ask(self, path: str) -> str | int:
        """Answer of the process, or how it ended: minus a signal, or what is no signal."""
        request = {"path": path, "look_seconds": LOOK_SECONDS, "hang_seconds": HANG_SECONDS}
        try:
            process = self._started()
            _send(process, request)
            answer = _line(process)
        except OSError:  # it cannot be started, or is gone
            self.end()
            return 1
        except BaseException:  # Ctrl-C: an answer that nobody waits for is still to come
            self.end()
            raise
        if not answer:
            status = process.wait()
            self.end()
            return status
        said = json.loads(answer)
        if said["ends"]:
            self.end()
        return str(said["reason"])

    def end(self) -> None:
        """End the process, if there is one."""
        process, self.process = self.process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()
        process.wait()


def _send(process: subprocess.Popen[bytes], content: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(content).encode() + b"\n")


def _line(process: subprocess.Popen[bytes]) -> bytes:
    """Next answer; empty where the process ended, or was ended after the longest wait."""
    assert process.stdout is not None
    waited = threading.Timer(_WAIT_SECONDS, process.kill)
    waited.daemon = True
    waited.start()
    try:
        return process.stdout.readline()
    finally:
        waited.cancel()


def _why(status: int) -> str:
    """What the end of the process says of the file."""
    if status >= 0:  # it did not get as far as the file
        return ""
    if status == _TIMER:
        return f"damaged HDF5: the HDF5 library does not come back within {HANG_SECONDS:g} s"
    if status in _STOPPED:
        return f"cannot be looked at within {_WAIT_SECONDS:g} s: damaged HDF5, or a disk that hangs"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"damaged HDF5: the HDF5 library crashes on it ({name})"


_known: set[tuple[str, int, int, int, int]] = set()
_helpers: dict[int, _Helper] = {}  # by process: a fork has one of its own
_lock = threading.Lock()


def _end() -> None:
    if os.getpid() in _helpers:
        _helpers[os.getpid()].end()


def _forked() -> None:
    global _lock
    _lock = threading.Lock()  # a thread that is not in the fork may have held it


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
