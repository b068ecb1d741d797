"""The program that looks at HDF5 files before they are opened: a process of its own.

The HDF5 library loops for ever, or crashes, on some damaged files, inside of calls that nothing in
Python can end. :mod:`refimpl.hdf5.check` therefore has each file walked through here first: all
groups, attributes, links, indexes of chunks and small data sets. A file is refused where this
process does not live, and where anything in it but numbers cannot be read: what the library does
with the rest of such a file depends on what it did before, and may differ in the other process.

It is run as a file, not imported by ``refimpl``: it knows h5py only, so that it starts fast. One
JSON object a line comes in (first the paths of modules, then a file each), one a line goes out: why
the file must not be opened (empty: it may), and whether this process ends here.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["MOST_GIB", "Damage", "Walk", "main"]

MOST_GIB = 4.0
"""Address space that looking at a file may take."""
_WHOLE = 1 << 20  # bytes of a data set that is read whole
_CHUNKS = 1000  # of a data set that is read whole; none is ever read in one long call
_CHUNK = 1 << 24  # bytes of a chunk that is unpacked to see the filters work
_TEXTS = 100_000  # elements of variable length that are read, each one from a heap
_BUILT_IN = {1, 2, 3, 4, 5, 6}  # filters of the library itself: deflate to scale-offset


class Damage(Exception):
    """Something in the file cannot be read."""


class Walk:
    """What can be reached from a file, each object once.

    Parameters
    ----------
    seconds
        Of the processor, looked at between calls of the library: what is left of a sound file that
        takes longer is not looked at.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.process_time() + seconds
        self.seen: set[tuple[int, int]] = set()

    def file(self, path: str) -> None:
        """Look at everything."""
        import h5py

        try:
            file = h5py.File(path, "r")
        except Exception:  # a refusal, whichever: who opens the file is told the same
            return
        with file:
            left: list[Any] = [file]
            while left and time.process_time() < self.end:
                node = left.pop()
                with _read(node):
                    self._look(node, left)

    def _look(self, node: Any, left: list[Any]) -> None:
        import h5py

        about = h5py.h5o.get_info(node.id)
        if (about.fileno, about.addr) in self.seen:
            return
        self.seen.add((about.fileno, about.addr))
        names: list[bytes] = []  # as they are: not all need be text
        h5py.h5a.iterate(node.id, names.append)
        for name in names:
            with _read(b"attribute " + name, types=True):
                node.attrs[name]
            if time.process_time() > self.end:
                return
        if isinstance(node, h5py.Group):
            for name in list(node.id):
                if node.id.links.get_info(name).type == h5py.h5l.TYPE_HARD:
                    with _read(name, types=True):
                        left.append(node[name])
                else:
                    with _read(name, types=True), suppress(KeyError, OSError):  # it may be away
                        left.append(node[name])
                if time.process_time() > self.end:
                    return
        elif isinstance(node, h5py.Dataset):
            with _read(node, types=True):
                self._values(node)

    def _values(self, data: Any) -> None:
        settings = data.id.get_create_plist()
        codes = [settings.get_filter(number)[0] for number in range(settings.get_nfilters())]
        if data.is_virtual:
            data.virtual_sources()
            return
        data.id.get_offset()
        data.id.get_storage_size()
        chunks = data.chunks
        n_chunks = data.id.get_num_chunks() if chunks else 0
        if not set(codes) <= _BUILT_IN or not data.size:
            return
        if data.dtype.hasobject:
            if data.ndim:
                rows = max(1, _TEXTS * len(data) // data.size)
                data[:rows]
            else:
                data[()]
            return
        # a number that its filter refuses is told when its frame is read: others may be sound
        with suppress(OSError):
            if data.nbytes <= _WHOLE and n_chunks <= _CHUNKS:
                data[()]
            elif chunks and _product(chunks) * data.dtype.itemsize <= _CHUNK:
                data[tuple(slice(0, n) for n in chunks)]


@contextmanager
def _read(what: Any, *, types: bool = False) -> Iterator[None]:
    """Take errors for damage; with ``types``, not those of a type that h5py does not know.

    Those end what is inside, unseen: it must be no more than the one thing that has the type.
    """
    try:
        yield
    except (Damage, MemoryError):
        raise
    except Exception as error:
        if types and isinstance(error, (TypeError, NotImplementedError, UnicodeError)):
            return
        name = what if isinstance(what, bytes) else _name(what)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Damage(f"{name.decode(errors='replace')}: {reason}") from error


def _name(node: Any) -> bytes:
    import h5py

    return h5py.h5i.get_name(node.id) or b"/"


def _product(sizes: tuple[int, ...]) -> int:
    out = 1
    for size in sizes:
        out *= size
    return out


def _limit_memory() -> None:
    """Bound the address space, where the system can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        most, hardest = used + int(MOST_GIB * 2**30), resource.getrlimit(resource.RLIMIT_AS)
        if hardest[0] == resource.RLIM_INFINITY or most < hardest[0]:
            resource.setrlimit(resource.RLIMIT_AS, (most, hardest[1]))


def _alarm(seconds: float) -> None:
    """Let the system end this process after some processor time; 0 calls it off."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _reason(request: dict[str, Any]) -> str:
    _alarm(request["hang_seconds"])
    try:
        Walk(request["look_seconds"]).file(request["path"])
    except Damage as error:
        return f"damaged HDF5: {error}"
    except MemoryError:
        return f"the HDF5 library asks for more than {MOST_GIB:g} GiB to look at it"
    except Exception as error:
        return f"damaged HDF5: {(str(error).splitlines() or [type(error).__name__])[0]}"
    finally:
        _alarm(0.0)
    return ""


def main() -> None:
    """Answer until the other side closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other side, which ends us
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
    requests = sys.stdin.buffer
    sys.path[:] = json.loads(requests.readline())
    import h5py

    of_files = h5py.h5f.OBJ_ALL & ~h5py.h5f.OBJ_DATATYPE  # h5py has types of its own
    _limit_memory()
    for line in requests:
        reason = _reason(json.loads(line))
        # an object that the library would not close may be taken for one of the next file
        ends = bool(h5py.h5f.get_obj_count(h5py.h5f.OBJ_ALL, of_files))
        os.write(1, json.dumps({"reason": reason, "ends": ends}).encode() + b"\n")


if __name__ == "__main__":
    main()
