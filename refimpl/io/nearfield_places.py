"""Where the raw frames of a near-field distance lie in their files, looked at before any is read.

Numbered files, or a stack in one file. A file that is missing, empty, cut short, of another size or
with too few frames is named here, so that nothing is computed before. Frames that lie plain in a
file (TIFF and npy as usually written, contiguous HDF5) have a place; what is compressed or cut in
chunks has none and is unpacked by :mod:`refimpl.io.nearfield_frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.errors import FormatError
from refimpl.hdf5 import read_hdf5
from refimpl.io.flat_formats import quiet
from refimpl.io.frame_source import BROKEN, first_line
from refimpl.io.images import open_source

__all__ = ["PLAIN", "Place", "places_of"]

PLAIN = (np.dtype("<u2"), np.dtype(">u2"), np.dtype("u1"))
"""Counts that are read where they lie."""

_TIFF = (".tif", ".tiff")


@dataclass(frozen=True)
class Place:
    """Where the pixels of a frame lie, one after the other."""

    path: Path
    offset: int
    dtype: np.dtype[Any]


def places_of(
    files: Sequence[Path],
    shape: tuple[int, int],
    *,
    frames: Sequence[int] | None = None,
    dataset: str | None = None,
) -> list[Place | None]:
    """Place of every frame of a distance; None for those that have to be unpacked.

    Parameters
    ----------
    files, shape, frames, dataset
        As for :func:`refimpl.io.nearfield_frames.open_stack`.

    Raises
    ------
    FormatError
        A file is missing, empty, truncated, no image or of another size; too few frames in the one
        file.
    """
    if frames is not None:
        return _places_in(files[0], frames, shape, dataset)
    _check_here(files)
    return [_place_of(path, shape) for path in files]


def _check_here(files: Sequence[Path]) -> None:
    """Refuse files of which some are missing, with the name of the first."""
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


def _check_size(place: Place, shape: tuple[int, int]) -> None:
    needed = place.offset + shape[0] * shape[1] * place.dtype.itemsize
    size = place.path.stat().st_size
    if size < needed:
        raise FormatError(f"truncated: {size} bytes, of {needed} or more", path=place.path)


def _place_of(path: Path, shape: tuple[int, int]) -> Place | None:
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
        with quiet("tifffile"), tifffile.TiffFile(path) as tif:
            page, several = tif.pages.first, len(tif.pages)
            plain = page.is_contiguous and page.compression == 1
            dtype = np.dtype(page.dtype).newbyteorder(tif.byteorder)
            offset, got = int(page.dataoffsets[0]), tuple(page.shape)
    except BROKEN as error:
        raise FormatError(f"not a readable TIFF: {first_line(error)}", path=path) from error
    _check_one(path, several)
    _check_frame(path, got, shape)
    if not plain or dtype not in PLAIN:
        return None
    place = Place(path, offset, dtype)
    _check_size(place, shape)
    return place


def _check_one(path: Path, n_frames: int) -> None:
    if n_frames != 1:
        raise FormatError(f"{n_frames} frames in a numbered image; one is expected", path=path)


def _places_in(
    path: Path, frames: Sequence[int], shape: tuple[int, int], dataset: str | None
) -> list[Place | None]:
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
    first: Place | None = None
    if suffix == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.flags.c_contiguous:
            first = Place(path, int(array.offset), array.dtype)
    elif name is not None and not path.is_dir() and suffix != ".zip":
        import h5py

        with read_hdf5(path) as file:
            item = file.get(name)
            offset = item.id.get_offset() if isinstance(item, h5py.Dataset) else None
            if offset is not None:
                first = Place(path, int(offset), item.dtype)
    if first is None or first.dtype not in PLAIN:
        return [None] * len(frames)
    size = shape[0] * shape[1] * first.dtype.itemsize
    places = [Place(path, first.offset + i * size, first.dtype) for i in frames]
    _check_size(places[int(np.argmax(frames))], shape)
    return list(places)
