"""Raw frames of one near-field distance: numbered files, or a stack in one file, read by rows.

The background needs a few rows of every frame, and then each frame whole. Frames that lie plain in
a file (TIFF and npy as usually written, contiguous HDF5) are read where they are; what is
compressed or cut in chunks is unpacked once into a scratch file beside the outputs, which is gone
at the end. Every file is looked at before anything is computed: one that is missing, empty, cut
short or of another size is named.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.io.atomic import make_folder
from refimpl.io.frame_source import BROKEN, first_line
from refimpl.io.images import open_source

__all__ = ["NearfieldStack", "check_here", "open_stack"]

U16 = NDArray[np.uint16]

_TIFF = (".tif", ".tiff")
_PLAIN = (np.dtype("<u2"), np.dtype(">u2"), np.dtype("u1"))


@dataclass(frozen=True)
class _Place:
    """Where the pixels of a frame lie, one after the other."""

    path: Path
    offset: int
    dtype: np.dtype[Any]


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
    _places: tuple[_Place, ...]
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
    if frames is not None:
        places = _places_in(files[0], frames, shape, dataset)
        names = tuple(files[0] for _ in frames)
    else:
        check_here(files)
        places = [_place_of(path, shape) for path in files]
        names = tuple(files)
    if all(place is not None for place in places):
        return NearfieldStack(shape, names, tuple(p for p in places if p is not None))
    return _unpacked(files, frames, shape, scratch, names, dataset)


def check_here(files: Sequence[Path]) -> None:
    """Refuse files of which some are missing.

    Raises
    ------
    FormatError
        With the name of the first.
    """
    missing = [path for path in files if not path.exists()]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise FormatError(f"no such image{more}: {len(files)} are needed", path=missing[0])


def _check_frame(path: Path, got: tuple[int, ...], shape: tuple[int, int]) -> None:
    if tuple(got) != shape:
        raise FormatError(
            f"image of {' x '.join(map(str, got))} pixels (rows x columns): NrPixelsZ x "
            f"NrPixelsY is {shape[0]} x {shape[1]}",
            path=path,
        )


def _check_size(place: _Place, shape: tuple[int, int]) -> None:
    needed = place.offset + shape[0] * shape[1] * place.dtype.itemsize
    size = place.path.stat().st_size
    if size < needed:
        raise FormatError(f"truncated: {size} bytes, of {needed} or more", path=place.path)


def _place_of(path: Path, shape: tuple[int, int]) -> _Place | None:
    """Place of the frame of a numbered file; None where it has to be unpacked."""
    if path.is_file() and path.stat().st_size == 0:
        raise FormatError("the image is empty: 0 bytes", path=path)
    if path.suffix.lower() not in _TIFF:
        with open_source(path) as source:
            _check_one(path, source.n_frames)
            _check_frame(path, source.shape, shape)
        return None
    import tifffile

    try:
        with tifffile.TiffFile(path) as tif:
            page, several = tif.pages.first, len(tif.pages)
            plain = page.is_contiguous and page.compression == 1
            dtype = np.dtype(page.dtype).newbyteorder(tif.byteorder)
            offset, got = int(page.dataoffsets[0]), tuple(page.shape)
    except BROKEN as error:
        raise FormatError(f"not a readable TIFF: {first_line(error)}", path=path) from error
    _check_one(path, several)
    _check_frame(path, got, shape)
    if not plain or dtype not in _PLAIN:
        return None
    place = _Place(path, offset, dtype)
    _check_size(place, shape)
    return place


def _check_one(path: Path, n_frames: int) -> None:
    if n_frames != 1:
        raise FormatError(f"{n_frames} frames in a numbered image; one is expected", path=path)


def _places_in(
    path: Path, frames: Sequence[int], shape: tuple[int, int], dataset: str | None
) -> list[_Place | None]:
    """Places in a file of many frames, where its format lays them out plainly."""
    with open_source(path, dataset) as source:
        if max(frames) >= source.n_frames:
            raise FormatError(
                f"{source.n_frames} frames: number {max(frames)}, counted from 0, is needed",
                path=path,
            )
        _check_frame(path, source.shape, shape)
        name = source.dataset
    suffix = path.suffix.lower()
    first: _Place | None = None
    if suffix == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.flags.c_contiguous:
            first = _Place(path, int(array.offset), array.dtype)
    elif name is not None and not path.is_dir() and suffix != ".zip":
        import h5py

        with h5py.File(path, "r") as file:
            item = file.get(name)
            offset = item.id.get_offset() if isinstance(item, h5py.Dataset) else None
            if offset is not None:
                first = _Place(path, int(offset), item.dtype)
    if first is None or first.dtype not in _PLAIN:
        return [None] * len(frames)
    size = shape[0] * shape[1] * first.dtype.itemsize
    places = [_Place(path, first.offset + i * size, first.dtype) for i in frames]
    _check_size(places[int(np.argmax(frames))], shape)
    return list(places)


def _unpacked(
    files: Sequence[Path],
    frames: Sequence[int] | None,
    shape: tuple[int, int],
    scratch: Path,
    names: tuple[Path, ...],
    dataset: str | None,
) -> NearfieldStack:
    """Write all frames one after the other into a scratch file."""
    folder = Path(tempfile.mkdtemp(prefix=".scratch-", dir=make_folder(scratch)))
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
    places = tuple(_Place(target, i * size, dtype) for i in range(len(names)))
    return NearfieldStack(shape, names, places, folder)


def _counts(frame: NDArray[Any], path: Path, index: int) -> NDArray[Any]:
    """Little-endian 16-bit counts of a frame of any type."""
    if frame.dtype.kind == "f" and not np.array_equal(frame, np.trunc(frame)):
        raise FormatError(f"frame {index}: counts that are not whole numbers", path=path)
    if frame.size and frame.dtype not in _PLAIN:
        low, high = frame.min(), frame.max()
        if low < 0 or high > 65535:
            raise FormatError(
                f"frame {index}: counts from {low} to {high}; 0 to 65535 are read", path=path
            )
    return np.ascontiguousarray(frame, dtype="<u2")
