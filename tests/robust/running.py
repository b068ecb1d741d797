"""Run a command in a fork of this process: killed, starved of room, or as another user.

The fork has the libraries loaded already, and nothing else done: what takes a second of imports
takes none, and so hundreds of moments can be tried.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import Job

__all__ = ["Ended", "load", "prepare", "run", "words_of"]

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink",
            "os.truncate"}  # fmt: skip


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code, or minus the signal; what it said; changes of files it made."""

    code: int
    out: str
    err: str
    changes: int
    seconds: float


_LIBRARIES = ("h5py", "matplotlib.figure", "numpy", "pandas", "scipy.optimize", "scipy.spatial",
              "tifffile", "refimpl.cli.main", "refimpl.report")  # fmt: skip


def load(group: str) -> None:
    """Import what the commands of a group will."""
    for name in (*_LIBRARIES, *(["pytorch_lightning"] if group == "centring" else [])):
        importlib.import_module(name)


def words_of(job: Job, inputs: Path, again: bool = False) -> list[str]:
    """Return the words of a command for inputs in a folder."""
    text = f"{job.words} {job.again}" if again else job.words
    return [w.replace("IN/", f"{inputs}/", 1) if w.startswith("IN/") else w
            for w in shlex.split(text)]  # fmt: skip


def prepare(job: Job, inputs: Path, folder: Path) -> None:
    """Make the folder that a command works in."""
    folder.mkdir(parents=True)
    for name in job.copies:
        source = inputs / name
        if not source.exists():
            source = inputs / job.name.split()[0] / name
        shutil.copytree(source, folder / name)


def run(
    words: list[str],
    folder: Path,
    *,
    change: int | None = None,
    late_s: float = 0.0,
    after_s: float | None = None,
    stop: int = signal.SIGKILL,
    file_bytes: int | None = None,
    memory_bytes: int | None = None,
    plain: bool = False,
    temporary: Path | None = None,
    limit_s: float = 120.0,
) -> Ended:
    """Run a command in a folder.

    Parameters
    ----------
    words
        Behind ``refimpl``.
    folder
        Where it works.
    change, late_s
        Kill it before its change of files of this number, or so many seconds after.
    after_s, stop
        Send it this signal after so many seconds.
    file_bytes, memory_bytes
        Largest file, most address space beyond what is in use.
    plain
        Without root's right to write wherever it wants to.
    temporary
        Folder for temporary files.
    limit_s
        Kill it, and say so, if it is not done by then.
    """
    says = folder.parent / f"{folder.name}.said"
    shutil.rmtree(says, ignore_errors=True)
    says.mkdir()
    for name in ("out", "err", "changes"):
        (says / name).touch()
    sys.stdout.flush()
    sys.stderr.flush()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(words, folder, says, change, late_s, file_bytes, memory_bytes, plain, temporary)
    if stop == signal.SIGINT:  # not before there is somebody to hear it
        while not (says / "out").stat().st_size and time.monotonic() - began < limit_s:
            time.sleep(0.01)
        after_s = time.monotonic() - began + (after_s or 0.0)
    status = _wait(pid, began, after_s, stop, limit_s)
    seconds = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    code = -signal.SIGKILL if code == -signal.SIGALRM else code
    if seconds >= limit_s:
        raise TimeoutError(f"no end within {limit_s:g} s: refimpl {' '.join(words)}")
    out, err = ((says / n).read_text(errors="replace") for n in ("out", "err"))
    made = (says / "changes").read_bytes()
    return Ended(code, out, err, len(made), seconds)


def _wait(pid: int, began: float, after_s: float | None, stop: int, limit_s: float) -> int:
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status
        passed = time.monotonic() - began
        if after_s is not None and passed > after_s:
            os.kill(pid, stop)
            after_s = None
        if passed > limit_s:
            os.kill(pid, signal.SIGKILL)
            return os.waitpid(pid, 0)[1]
        time.sleep(0.002)


def _child(words: list[str], folder: Path, says: Path, change: int | None, late_s: float,
           file_bytes: int | None, memory_bytes: int | None, plain: bool,
           temporary: Path | None) -> None:  # fmt: skip
    code = 99
    try:
        os.chdir(folder)
        for number, name in ((1, "out"), (2, "err")):
            to = os.open(says / name, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
            os.dup2(to, number)
        tally = os.open(says / "changes", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
        if temporary is not None:
            os.environ["TMPDIR"], tempfile.tempdir = str(temporary), None
        if plain:
            _drop_override()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        _listen(folder, tally, change, late_s)
        if memory_bytes is not None:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + memory_bytes, used + memory_bytes))
        if file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
        from refimpl.cli.main import main

        code = main(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        with contextlib.suppress(OSError):
            traceback.print_exc()
        code = 98
    finally:
        os._exit(code)


def _drop_override() -> None:
    """Give up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: capabilities(7)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    if libc.capget(header, data) == 0:
        for k in range(3):  # effective, permitted, inheritable
            data[k] &= ~0b110
        if libc.capset(header, data) == 0:
            return
    raise OSError(ctypes.get_errno(), "cannot give up the rights of root")


def _listen(folder: Path, tally: int, change: int | None, late_s: float) -> None:
    """Count changes of files below a folder, and kill this process before one of them."""
    here = str(folder.absolute())
    n = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal n
        if event == "open":
            path, mode, flags = arguments
            writes = any(c in mode for c in "wax+") if mode else flags & 3
            if not writes:
                return
        elif event in _CHANGES:
            path = arguments[0]
        else:
            return
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        path = os.path.abspath(os.fsdecode(path))
        if not path.startswith(here):
            return
        os.write(tally, b".")
        if n == change:
            if late_s == 0.0:
                os.kill(os.getpid(), signal.SIGKILL)
            signal.setitimer(signal.ITIMER_REAL, late_s)
        n += 1

    sys.addaudithook(hook)
