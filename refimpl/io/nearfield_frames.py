"""Raw frames of one near-field distance: numbered files, or a stack in one file, read by rows.

The background needs a few rows of every frame, and then each frame whole. Frames that lie plain in
a file (:mod:`refimpl.io.nearfield_places`) are read where they are; what is compressed or cut in
chunks is unpacked once into a scratch file beside the outputs, which is gone at the end.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.io.atomic import make_folder, temporary_beside
from refimpl.io.frame_source import first_line
from refimpl.io.images import open_source
from refimpl.io.nearfield_places import PLAIN, Place, places_of

__all__ = ["NearfieldStack", "open_stack"]

U16 = NDArray[np.uint16]


@dataclass(frozen=True, eq=False)
class NearfieldStack:
    """Frames of one distance, to be used as a context.

    Attributes
    ----------
    shape
        (rows, columns) of the raw frames, that is (NZ, NY).
    names
        File of each frame, for messages.
    """

    shape: tuple[int, int]
    names: tuple[Path, ...]
    _places: tuple[Place, ...]
    _scratch: Path | None = None

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self._places)

    def __enter__(self) -> NearfieldStack:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def frame(self, index: int) -> U16:
        """(rows, columns) counts of one frame; may be called from several threads.

        Raises
        ------
        FormatError
            The file has become shorter, or is gone.
        """
        out = np.empty(self.shape, dtype=np.uint16)
        self._fill(index, 0, out)
        return out

    def rows(self, first: int, last: int) -> U16:
        """(frames, last - first, columns) counts of some rows of every frame.

        Raises
        ------
        FormatError
            As for :meth:`frame`.
        """
        out = np.empty((self.n_frames, last - first, self.shape[1]), dtype=np.uint16)
        for index in range(self.n_frames):
            self._fill(index, first, out[index])
        return out

    def _fill(self, index: int, first_row: int, out: U16) -> None:
        place = self._places[index]
        raw = out if place.dtype == np.dtype("<u2") else np.empty(out.shape, place.dtype)
        try:
            with open(place.path, "rb", buffering=0) as file:
                file.seek(place.offset + first_row * self.shape[1] * place.dtype.itemsize)
                got = _read_into(file, raw)
        except OSError as error:
            raise FormatError(f"cannot be read: {error.strerror}", path=place.path) from error
        if got != raw.nbytes:
            raise FormatError(
                f"truncated: {got} bytes where frame {index} has {raw.nbytes}", path=place.path
            )
        if raw is not out:
            out[...] = raw


def _read_into(file: Any, out: NDArray[Any]) -> int:
    """Bytes that were read; one call may give fewer than asked for."""
    view, done = out.data.cast("B"), 0
    while done < len(view):
        n = file.readinto(view[done:])
        if not n:
            break
        done += n
    return done


def open_stack(
    files: Sequence[Path],
    shape: tuple[int, int],
    scratch: Path,
    *,
    frames: Sequence[int] | None = None,
    dataset: str | None = None,
) -> NearfieldStack:
    """Open the frames of one distance.

    Parameters
    ----------
    files
        A file for each frame; or, with `frames`, the one file that holds them.
    shape
        (rows, columns) that every frame must have.
    scratch
        Folder for what has to be unpacked: twice as many bytes as there are pixels.
    frames
        Numbers from 0 of the frames in the one file.
    dataset
        Data set in an HDF5 or Zarr file, see :func:`refimpl.io.images.read`.

    Raises
    ------
    FormatError
        A file is missing, empty, truncated, no image or of another size; counts that are not
        whole numbers from 0 to 65535; too few frames in the one file.
    ConfigError
        No room for the scratch file.
    """
    places = places_of(files, shape, frames=frames, dataset=dataset)
    names = tuple(files) if frames is None else tuple(files[0] for _ in frames)
    if all(place is not None for place in places):
        return NearfieldStack(shape, names, tuple(p for p in places if p is not None))
    return _unpacked(files, frames, shape, scratch, names, dataset)


def _unpacked(
    files: Sequence[Path],
    frames: Sequence[int] | None,
    shape: tuple[int, int],
    scratch: Path,
    names: tuple[Path, ...],
    dataset: str | None,
) -> NearfieldStack:
    """Write all frames one after the other into a scratch file."""
    folder = temporary_beside(make_folder(scratch) / "scratch")  # goes after a kill, too
    folder.mkdir()
    target, size = folder / "frames.raw", shape[0] * shape[1] * 2
    try:
        with open(target, "wb") as out:
            if frames is not None:
                with open_source(files[0], dataset) as source:
                    for index in frames:
                        out.write(_counts(source.frame(index), files[0], index).data)
            else:
                for path in files:
                    with open_source(path) as source:
                        out.write(_counts(source.frame(0), path, 0).data)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigError(
            f"cannot unpack {len(names)} frames of {size} bytes into {scratch}: "
            f"{error.strerror or first_line(error)}",
            path=files[0],
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    dtype = np.dtype("<u2")
    places = tuple(Place(target, i * size, dtype) for i in range(len(names)))
    return NearfieldStack(shape, names, places, folder)


def _counts(frame: NDArray[Any], path: Path, index: int) -> NDArray[Any]:
    """Little-endian 16-bit counts of a frame of any type."""
    if frame.dtype.kind == "f" and not np.array_equal(frame, np.trunc(frame)):
        raise FormatError(f"frame {index}: counts that are not whole numbers", path=path)
    if frame.size and frame.dtype not in PLAIN:
        low, high = frame.min(), frame.max()
        if low < 0 or high > 65535:
            raise FormatError(
                f"frame {index}: counts from {low} to {high}; 0 to 65535 are read", path=path
            )
    return np.ascontiguousarray(frame, dtype="<u2")
