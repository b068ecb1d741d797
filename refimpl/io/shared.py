"""Large objects in one file that all processes of a computer map, instead of a copy for each.

An object is pickled (protocol 5); its contiguous arrays lie beside the pickle, whole and aligned,
and come back as read-only views of one memory map, so that every process of a node reads the same
pages. The layout, little-endian: 16 bytes of magic, the length of the pickle and the number of
arrays (uint64), offset and length of each array (uint64), the pickle, the arrays on multiples of
64 bytes. Such a file lives as long as its run: it is no format to keep, and like any pickle it is
to be read only by who wrote it. An array that is not contiguous lies in the pickle and is copied.
"""

from __future__ import annotations

import hashlib
import io
import mmap
import os
import pickle
import re
import secrets
import struct
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from refimpl.errors import FormatError
from refimpl.io.atomic import atomic_path, make_folder

try:
    import fcntl
except ImportError:  # Windows: files that are in use cannot be removed there, either
    fcntl = None  # type: ignore[assignment]

__all__ = ["read_shared", "remove_leftovers", "shared_file", "write_shared"]

_MAGIC = b"refimpl shared 1"
_ALIGN = 64  # bytes: a line of the cache
_SUFFIX = ".shared"
_TOKEN = r"-[0-9a-f]{16}-\d+-[0-9a-f]{8}\.shared"
_OURS = re.compile(r"[\w.+-]+" + _TOKEN)
_KEPT = 4  # objects that a process keeps at hand

_CACHE: OrderedDict[Path, tuple[tuple[int, ...], Any]] = OrderedDict()


def write_shared(obj: Any, path: str | os.PathLike[str]) -> Path:
    """Write an object, atomically; return the path.

    Parameters
    ----------
    obj
        Whatever can be pickled.
    path
        Target file; its folder must exist, a file of that name is replaced.

    Raises
    ------
    ConfigError
        The folder is missing or cannot be written to, or the disk is full.
    """
    pickled, buffers = _parts(obj)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        _write(file, pickled, buffers)
    return Path(path)


def read_shared(path: str | os.PathLike[str]) -> Any:
    """Read an object of :func:`write_shared`; its arrays are read-only views of the file.

    The last few objects are kept in the process, so that many blocks of work map a file once; a
    file that was written anew is read anew.

    Raises
    ------
    FormatError
        There is no such file, or it is another one or damaged.
    """
    key = Path(path).absolute()
    try:
        with open(key, "rb") as file:
            s = os.fstat(file.fileno())
            stamp = (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns)
            known = _CACHE.get(key)
            if known is None or known[0] != stamp:
                _CACHE[key] = known = (stamp, _read(file, s.st_size, key))
    except OSError as exc:
        raise FormatError(f"cannot read: {exc.strerror}", path=key) from exc
    _CACHE.move_to_end(key)
    while len(_CACHE) > _KEPT:
        _CACHE.popitem(last=False)
    return known[1]


@contextmanager
def shared_file(obj: Any, folder: str | os.PathLike[str], name: str) -> Iterator[Path]:
    """Share an object while the block runs; the file is gone on every way out of it.

    Parameters
    ----------
    obj
        As of :func:`write_shared`.
    folder
        For the file; made if missing. All workers must see it: a folder of the results, or on one
        computer one in memory.
    name
        Begins the file's name, which goes on with a digest of the object and a number of its own:
        what another run left is never taken for it.

    Yields
    ------
    The path, for :func:`read_shared`. Who has mapped it may go on reading after the end.

    Raises
    ------
    ConfigError
        As of :func:`write_shared`.
    """
    digest = _digest(obj)
    token = f"{digest[:16]}-{os.getpid()}-{secrets.token_hex(4)}"
    path = make_folder(folder) / f"{_plain(name)}-{token}{_SUFFIX}"
    try:
        write_shared(obj, path)
        with open(path, "rb") as held:
            _lock(held, wait=True)  # until we end, however that happens
            yield path
    finally:
        _CACHE.pop(path.absolute(), None)
        path.unlink(missing_ok=True)


def remove_leftovers(folder: str | os.PathLike[str], name: str | None = None) -> tuple[Path, ...]:
    """Remove the files that killed runs left in a folder; return them.

    Only names that :func:`shared_file` gives, finished or half written, and none that a running
    process holds. On a file system without locks nobody can tell: call it where the folder is
    one's own, with its ledger held.

    Parameters
    ----------
    folder
        Where they are.
    name
        Only files of this name; no other run that is alive may give it to its own.
    """
    removed = []
    ours = _OURS if name is None else re.compile(re.escape(_plain(name)) + _TOKEN)
    for path in sorted(Path(folder).glob(f"*{_SUFFIX}")):
        half = path.name.endswith(f".part{_SUFFIX}")
        if not (ours.match(path.name[1:]) if half else ours.fullmatch(path.name)):
            continue
        with suppress(FileNotFoundError, PermissionError), open(path, "rb") as file:
            written = half and name is None and _is_being_written(path)
            if written or not _lock(file, wait=False):
                continue
            path.unlink()
            removed.append(path)
    return tuple(removed)


def _plain(name: str) -> str:
    """Name without what a file's name cannot hold."""
    return re.sub(r"[^\w.+-]", "_", name)


def _is_being_written(path: Path) -> bool:
    """Whether the process whose number a half-written file bears is alive on this computer."""
    found = re.search(r"-(\d+)-[0-9a-f]{8}\.shared\.", path.name)
    try:
        os.kill(int(found[1]) if found else 0, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return found is not None


def _lock(file: IO[bytes], *, wait: bool) -> bool:
    """Hold a file together with others (`wait`), or see that nobody holds it."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_SH if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _parts(obj: Any) -> tuple[bytes, list[memoryview]]:
    """Pickle, and the arrays that lie beside it."""
    found: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    pickle.Pickler(stream, protocol=5, buffer_callback=found.append).dump(obj)
    return stream.getvalue(), [buffer.raw() for buffer in found]


def _digest(obj: Any) -> str:
    """Hexadecimal sha256 of an object's pickle and arrays."""
    pickled, buffers = _parts(obj)
    out = hashlib.sha256(pickled)
    for buffer in buffers:
        out.update(buffer)
    return out.hexdigest()


def _places(n_pickle: int, sizes: list[int]) -> list[int]:
    """Offsets of the arrays."""
    end = len(_MAGIC) + 16 + 16 * len(sizes) + n_pickle
    places = []
    for size in sizes:
        start = -(-end // _ALIGN) * _ALIGN
        places.append(start)
        end = start + size
    return places


def _write(file: IO[bytes], pickled: bytes, buffers: list[memoryview]) -> None:
    sizes = [buffer.nbytes for buffer in buffers]
    places = _places(len(pickled), sizes)
    file.write(_MAGIC + struct.pack("<QQ", len(pickled), len(sizes)))
    for place, size in zip(places, sizes, strict=True):
        file.write(struct.pack("<QQ", place, size))
    file.write(pickled)
    for place, buffer in zip(places, buffers, strict=True):
        file.write(bytes(place - file.tell()))
        file.write(buffer)


def _read(file: IO[bytes], n_bytes: int, path: Path) -> Any:
    head = len(_MAGIC) + 16
    if n_bytes < head or file.read(len(_MAGIC)) != _MAGIC:
        raise FormatError("not a file of shared objects", path=path)
    n_pickle, n_buffers = struct.unpack("<QQ", file.read(16))
    start = head + 16 * n_buffers
    if start + n_pickle > n_bytes:
        raise FormatError("truncated file of shared objects", path=path)
    view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    numbers = struct.unpack(f"<{2 * n_buffers}Q", view[head:start])
    places = list(zip(numbers[::2], numbers[1::2], strict=True))
    if any(place + size > n_bytes for place, size in places):
        raise FormatError("truncated file of shared objects", path=path)
    buffers = [view[place : place + size] for place, size in places]
    return pickle.loads(view[start : start + n_pickle], buffers=buffers)
