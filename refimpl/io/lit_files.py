"""Lit pixels of the frames of one near-field distance, as a value and as a sparse HDF5 file.

``y`` and ``z`` (uint16, near-field pixels, sorted by y, then z, within a frame), ``ptr`` (int64,
frames + 1: where each frame begins), the size of the detector, and a digest of what the pixels were
made from. Files are written and read frame by frame, so memory does not grow with the scan. The
published form of all distances at once is written here too, as a stream, and read by
:mod:`refimpl.io.spots_info`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import FormatError
from refimpl.frames import I64
from refimpl.hdf5 import read_hdf5
from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path
from refimpl.io.frame_source import BROKEN, first_line
from refimpl.io.spots_info import spots_info_bytes

__all__ = ["FramePixels", "append_frame_pixels", "lit_of_frames", "open_frame_pixels"]
__all__ += ["read_frame_pixels", "stream_spots_info", "write_frame_pixels"]

U16 = NDArray[np.uint16]

_KIND, _SCHEMA = "refimpl lit pixels", 1
_CHUNK = 1 << 16  # pixels that are compressed together
_HELD = 1 << 20  # pixels that wait to be written
_PAGE = 4096  # bytes of SpotsInfo.bin that are written, or left out if all are zero


@dataclass(frozen=True, eq=False)
class FramePixels:
    """Lit pixels of the frames of one distance, frame after frame.

    Attributes
    ----------
    shape_px
        (NY, NZ).
    y, z
        (n,) pixels, near-field convention; arrays, or data sets of an open file.
    ptr
        (frames + 1,) where each frame begins.
    source
        What they were made from, a digest; may be empty.
    """

    shape_px: tuple[int, int]
    y: U16
    z: U16
    ptr: I64
    source: str = ""

    def __post_init__(self) -> None:
        n = len(self.y)
        ends = len(self.ptr) > 1 and self.ptr[0] == 0 and self.ptr[-1] == n
        if len(self.z) != n or not ends or (np.diff(self.ptr) < 0).any():
            raise FormatError(f"lit pixels: {n} y, {len(self.z)} z: the frames do not fit them")

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.ptr) - 1

    @property
    def n_lit(self) -> int:
        """Number of lit pixels in all frames."""
        return int(self.ptr[-1])

    @property
    def empty_frames(self) -> I64:
        """Frames without a lit pixel."""
        return np.flatnonzero(np.diff(self.ptr) == 0)

    def frames(self) -> Iterator[I64]:
        """(k,) flat index y NZ + z of the lit pixels of each frame.

        Raises
        ------
        FormatError
            A pixel outside the detector.
        """
        ny, nz = self.shape_px
        for first, last in zip(self.ptr[:-1].tolist(), self.ptr[1:].tolist(), strict=True):
            y, z = self.y[first:last].astype(np.int64), self.z[first:last].astype(np.int64)
            if len(y) and (y.max() >= ny or z.max() >= nz):
                raise FormatError(
                    f"lit pixels: y to {y.max()}, z to {z.max()}: outside the detector of "
                    f"{ny} x {nz} pixels"
                )
            yield y * nz + z


def lit_of_frames(distances: Sequence[FramePixels]) -> LitPixels:
    """Sparse stack of one or more distances, frame by frame.

    Raises
    ------
    FormatError
        The distances differ in frames or in pixels; a pixel outside the detector.
    """
    shape = _stack_shape(distances)

    def images() -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
        for d, one in enumerate(distances):
            for f, flat in enumerate(one.frames()):
                image = np.zeros(one.shape_px, dtype=bool)
                image.reshape(-1)[flat] = True
                yield d, f, image

    return LitPixels.from_frames(images(), shape)


def _stack_shape(distances: Sequence[FramePixels]) -> tuple[int, int, int, int]:
    first = distances[0]
    for one in distances:
        if (one.n_frames, one.shape_px) != (first.n_frames, first.shape_px):
            raise FormatError(
                f"lit pixels: {one.n_frames} frames of {one.shape_px} pixels, the first distance "
                f"has {first.n_frames} of {first.shape_px}"
            )
    return len(distances), first.n_frames, *first.shape_px


def stream_spots_info(path: str | Path, distances: Sequence[FramePixels]) -> Path:
    """Write SpotsInfo.bin (spec 1.8, step 5) frame by frame, dark pages as holes; atomic.

    Raises
    ------
    FormatError
        As :func:`lit_of_frames`.
    """
    shape = _stack_shape(distances)
    frame_bits, start, carried = shape[2] * shape[3], 0, 0
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.truncate(spots_info_bytes(shape))
        for one in distances:
            for flat in one.frames():
                # a frame may begin within a byte: the one before left that byte's first bits
                bits = np.zeros((start & 7) + frame_bits, dtype=np.uint8)
                bits[flat + (start & 7)] = 1
                packed = np.packbits(bits, bitorder="little")
                packed[0] |= carried
                _write_pages(file, start >> 3, packed)
                start += frame_bits
                carried = int(packed[-1]) if start & 7 else 0
    return Path(path)


def _write_pages(file: Any, at: int, packed: NDArray[np.uint8]) -> None:
    edges = np.arange(0, len(packed), _PAGE)
    for page in np.flatnonzero(np.bitwise_or.reduceat(packed, edges)).tolist():
        file.seek(at + page * _PAGE)
        file.write(packed[page * _PAGE : (page + 1) * _PAGE].data)


@contextmanager
def append_frame_pixels(
    path: str | Path, shape_px: tuple[int, int], source: str = ""
) -> Iterator[Callable[[U16, U16], None]]:
    """Write the lit pixels of one distance as HDF5; atomic.

    Yields
    ------
    A function that takes the y and z of the next frame.
    """
    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        file.attrs.update(kind=_KIND, schema=_SCHEMA, source=source, shape_px=shape_px)
        more: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        columns = [
            file.create_dataset(name, (0,), "u2", maxshape=(None,), chunks=(_CHUNK,), **more)
            for name in ("y", "z")
        ]
        held: list[tuple[U16, U16]] = []
        ptr = [0]

        def flush() -> None:
            for i, column in enumerate(columns):
                values = np.concatenate([np.zeros(0, np.uint16), *(part[i] for part in held)])
                n = len(column)
                column.resize((n + len(values),))
                column[n:] = values
            held.clear()

        def append(y: U16, z: U16) -> None:
            held.append((y, z))
            ptr.append(ptr[-1] + len(y))
            if ptr[-1] - len(columns[0]) >= _HELD:
                flush()

        yield append
        flush()
        file.create_dataset("ptr", data=np.array(ptr, dtype=np.int64))


def write_frame_pixels(path: str | Path, pixels: FramePixels) -> Path:
    """Write the lit pixels of one distance; see :func:`append_frame_pixels`."""
    with append_frame_pixels(path, pixels.shape_px, pixels.source) as append:
        for first, last in zip(pixels.ptr[:-1], pixels.ptr[1:], strict=True):
            append(pixels.y[first:last], pixels.z[first:last])
    return Path(path)


@contextmanager
def open_frame_pixels(path: str | Path) -> Iterator[FramePixels]:
    """Open what :func:`append_frame_pixels` wrote; the pixels stay in the file until asked for.

    Raises
    ------
    FormatError
        Missing, truncated, or another file.
    """
    if not Path(path).is_file():
        raise FormatError("no such file", path=path)
    try:
        file = read_hdf5(path)
    except FormatError:
        raise
    except BROKEN as error:
        raise FormatError(f"not a readable HDF5 file: {first_line(error)}", path=path) from error
    with file:
        try:
            opened = _opened(file, path)
        except FormatError:
            raise
        except BROKEN as error:
            raise FormatError(f"truncated or corrupt: {first_line(error)}", path=path) from error
        try:
            yield opened
        except (KeyError, OSError) as error:
            if getattr(error, "errno", None) is not None:  # not of HDF5, but of who reads
                raise
            raise FormatError(f"truncated or corrupt: {first_line(error)}", path=path) from error


def _opened(file: Any, path: str | Path) -> FramePixels:
    if str(file.attrs.get("kind")) != _KIND:
        raise FormatError("not a file of lit pixels", path=path)
    schema = int(file.attrs.get("schema", 0))
    if schema > _SCHEMA:
        raise FormatError(
            f"schema {schema} is newer than this refimpl ({_SCHEMA}); upgrade", path=path
        )
    ny, nz = (int(n) for n in file.attrs["shape_px"])
    for name in ("y", "z", "ptr"):
        if file[name].ndim != 1 or file[name].dtype.kind not in "iu":
            raise FormatError(f"{name} is no list of whole numbers", path=path, key=name)
    ptr, source = file["ptr"][()], str(file.attrs["source"])
    return FramePixels((ny, nz), file["y"], file["z"], ptr, source)


def read_frame_pixels(path: str | Path) -> FramePixels:
    """Read what :func:`append_frame_pixels` wrote into memory, 4 bytes a pixel.

    Raises
    ------
    FormatError
        As :func:`open_frame_pixels`.
    """
    with open_frame_pixels(path) as one:
        return FramePixels(one.shape_px, one.y[:], one.z[:], one.ptr, one.source)
