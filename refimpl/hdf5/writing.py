"""New HDF5 files, on disks that may be full.

Where the HDF5 library cannot write, it raises from the middle of its own structures, and may crash
when the file is closed. So it writes through a file that never refuses: the first failure is
kept, what comes after it goes nowhere, and the failure is raised when the file is closed.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py
    from _typeshed import ReadableBuffer

__all__ = ["new_hdf5"]


@contextmanager
def new_hdf5(path: str | os.PathLike[str], **options: Any) -> Iterator[h5py.File]:
    """Give a new HDF5 file to write to; ``options`` are those of ``h5py.File``.

    Not atomic: ``path`` is what :func:`refimpl.io.atomic.atomic_path` has given.

    Raises
    ------
    OSError
        The file cannot be made or written: of the system, with its number.
    """
    import h5py

    with _NeverRefusing(path, "w+") as raw:
        try:
            with h5py.File(raw, "w", **options) as file:
                yield file
        except Exception:
            if raw.failure is not None:  # what the library says of it is no more than this
                raise raw.failure from None
            raise
        if raw.failure is not None:
            raise raw.failure


class _NeverRefusing(io.FileIO):
    """File whose first failure to write is kept, not raised."""

    failure: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all, or nothing once that has failed."""
        view = memoryview(data).cast("B")
        done = 0
        try:
            while done < len(view) and self.failure is None:
                done += self._put(view[done:])
        except OSError as error:
            self.failure = error
        return len(view)

    def _put(self, data: memoryview) -> int:
        return super().write(data) or 0

    def truncate(self, size: int | None = None, /) -> int:
        """Set the length, as far as the system can."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0
