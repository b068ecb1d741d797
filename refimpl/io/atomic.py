"""Files appear whole or not at all: written to a temporary name beside the target, then renamed.

``os.replace`` within one folder is atomic on POSIX and Windows, so a reader, a crash or a failing
calculation never sees half a file. Nothing is flushed to the platter (no ``fsync``): the promise
is about other programs, not about a power cut. A program that is killed on the spot leaves its
temporary file; the next one that works in that folder removes it (:func:`remove_torn`).
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import platform
import re
import secrets
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refimpl.errors import ConfigError, RefimplError

__all__ = [
    "atomic_path",
    "check_target",
    "json_text",
    "make_folder",
    "remove_torn",
    "temporary_beside",
    "unwritable",
    "write_json",
    "write_npy",
    "write_text",
]

# Failures of the place that is written to; any other OSError belongs to the caller's own work.
_UNWRITABLE = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EISDIR, errno.EFBIG,
}  # fmt: skip
_SHORT = re.compile(r"\d+ requested and \d+ written")  # numpy's tofile, which loses the number
_PROBE = bytes(1 << 20)

_TIDIED: set[str] = set()
"""Folders that this process has looked through for what killed programs left."""

_TORN = re.compile(r"\.([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.(?:part|old)(?:\.[^.]*)?$")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes ``path`` when the block succeeds.

    Parameters
    ----------
    path
        Target file. Its folder must exist; a file of that name is replaced.

    Yields
    ------
    A path in the same folder with the same suffix. On an exception it is removed and ``path`` is
    left as it was.

    Raises
    ------
    ConfigError
        The folder is missing or cannot be written to, or ``path`` is a folder.
    """
    target = Path(path)
    check_target(target)
    temporary = temporary_beside(target)
    try:
        yield temporary
        if not temporary.exists():
            raise ConfigError("nothing was written to the temporary file", path=target)
        os.replace(temporary, target)
    except (OSError, RuntimeError) as error:
        reason = unwritable(error, target.parent)
        if reason is None:
            raise
        raise ConfigError(f"cannot write: {reason}", path=target) from error
    finally:
        temporary.unlink(missing_ok=True)


def unwritable(error: Exception, folder: Path) -> str | None:
    """Return what about a folder made writing fail; None where the failure was another.

    Some libraries (PyTorch, Pillow, NumPy) raise errors without the system's number when a disk is
    full. What they wrote is still there then, and so a test of the folder tells.
    """
    if isinstance(error, RefimplError):
        return None
    number = error.errno if isinstance(error, OSError) else None
    if number is not None:
        return os.strerror(number) if number in _UNWRITABLE else None
    if _SHORT.search(str(error)):
        return "there was no room for all of it"
    probe = temporary_beside(folder / "probe")
    try:
        probe.write_bytes(_PROBE)
    except OSError as why:
        return why.strerror if why.errno in _UNWRITABLE else None
    finally:
        probe.unlink(missing_ok=True)
    return None


def temporary_beside(target: Path, kind: str = "part") -> Path:
    """Return a new name in the target's folder, of its suffix, that tells who writes there."""
    folder = os.path.abspath(target.parent)
    if folder not in _TIDIED:  # once, since it may hold a hundred thousand files
        _TIDIED.add(folder)
        remove_torn(target.parent)
    token = f"{_here()}-{os.getpid()}-{secrets.token_hex(4)}"
    return target.parent / f".{target.name}.{token}.{kind}{target.suffix}"


def remove_torn(folder: Path) -> None:
    """Remove what killed programs left under names of :func:`temporary_beside`, folders too.

    Only where the process that gave the name ran on this computer and is no longer there: whether
    one of another computer lives cannot be told from here.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            found = _TORN.search(entry.name) if entry.name.startswith(".") else None
            if found is None or found[1] != _here() or _is_alive(int(found[2])):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with suppress(OSError):
                    os.unlink(entry.path)


def _here() -> str:
    """Eight digits for where process numbers mean what they mean here: computer, container."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        space = ""
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()):08x}"


def _is_alive(pid: int) -> bool:
    if os.name == "nt":  # there, signal 0 would end the process
        return True
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def check_target(target: Path) -> None:
    """Refuse a target that cannot work before any time is spent on its content.

    Raises
    ------
    ConfigError
        The folder is missing or cannot be written to, or the target is a folder.
    """
    folder = target.parent
    if not folder.is_dir():
        kind = "is not a folder" if folder.exists() else "does not exist"
        raise ConfigError(f"cannot write: the folder {folder} {kind}", path=target)
    if target.is_dir():
        raise ConfigError("cannot write: this is a folder, a file name is needed", path=target)
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"cannot write: no permission in the folder {folder}", path=target)


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make an output folder and its parents; an existing one is fine, without torn files.

    Raises
    ------
    ConfigError
        A parent is a file, or is not writable.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder: {error.strerror}", path=folder) from error
    remove_torn(folder)
    return folder


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write UTF-8 text, line ends as they are; return the path."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
    return Path(path)


def write_npy(path: str | os.PathLike[str], array: ArrayLike) -> Path:
    """Write one array as .npy (no pickles); return the path."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, np.asarray(array), allow_pickle=False)
    return Path(path)


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write ``json_text(value)``; return the path."""
    return write_text(path, json_text(value) + "\n")


def json_text(value: Any) -> str:
    """Serialise to strict JSON, numpy and dataclasses included.

    NaN and infinities become ``null`` (JSON has no such numbers). Keys keep their order, so equal
    values give equal bytes. Floats are written with the shortest digits that restore them.
    Lists of plain numbers or strings stay on one line.

    Raises
    ------
    ConfigError
        A value has no JSON form.
    """
    return _layout(_plain(value), 0)


def _plain(value: Any) -> Any:
    """Reduce to dict, list, str, int, float, bool and None."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return [_plain(item) for item in sorted(value)]
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    raise ConfigError(f"a value of type {type(value).__name__} has no JSON form", got=value)


def _layout(value: Any, depth: int) -> str:
    """Indent by two blanks a level, flat lists on one line."""
    pad, end = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value:
        items = [
            f"{pad}{json.dumps(key, ensure_ascii=False)}: {_layout(item, depth + 1)}"
            for key, item in value.items()
        ]
        return "{\n" + ",\n".join(items) + f"\n{end}}}"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        items = [pad + _layout(item, depth + 1) for item in value]
        return "[\n" + ",\n".join(items) + f"\n{end}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
