"""Image files without an inner tree: TIFF, npy, and raw frames (GE and MIDAS DataType).

Each opener returns a :class:`~refimpl.io.frame_source.FrameSource`. Truncation is told from the
sizes that the headers state, because some readers pad what is missing with zeros.
"""

from __future__ import annotations

import io
import logging
import math
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.io.frame_source import BROKEN, MOST_PACKED, FrameSource, first_line
from refimpl.reading import MOST_OF_TABLES, read_unpacked

__all__ = [
    "GE_HEAD_SIZE",
    "GE_SHAPE",
    "RAW_TYPES",
    "open_npy",
    "open_raw",
    "open_tiff",
    "quiet",
    "stated_cutoff",
]

GE_HEAD_SIZE = 8192
"""Bytes before the first frame of a GE file."""
GE_SHAPE = (2048, 2048)
"""(n_slow, n_fast) of the GE 41RT detector."""
RAW_TYPES: dict[int, str] = {1: "<u2", 2: "<f8", 3: "<f4", 4: "<u4", 5: "<i4"}
"""MIDAS ``DataType`` codes of raw files; 6, 7 and 9 are TIFF, 8 is HDF5, 10 is CBF."""

# Dectris writes this into TIFF descriptions and CBF headers.
_CUTOFF = re.compile(r"count_cutoff\s*[:=]?\s*(\d+)", re.IGNORECASE)


def stated_cutoff(text: str) -> float | None:
    """Highest trustworthy count that a description states, or None."""
    found = _CUTOFF.search(text)
    return float(found.group(1)) if found else None


def _inflated(path: Path) -> io.BytesIO | str:
    """Open what may be gzipped; tifffile and numpy want a name or a seekable file."""
    if path.suffix.lower() != ".gz":
        return str(path)
    return io.BytesIO(read_unpacked(path, most=MOST_OF_TABLES))


def open_tiff(path: Path) -> FrameSource:
    """Open a TIFF: one page a frame, or one contiguous ImageJ stack.

    Raises
    ------
    FormatError
        Not a TIFF, truncated, in colour, or pages of different sizes.
    """
    import tifffile

    tif = None
    try:
        with quiet("tifffile"):
            tif = tifffile.TiffFile(_inflated(path))
            pages = list(tif.pages)
            stated = _next_page(tif, pages[-1])
            if not all(isinstance(n, int) for page in pages for n in page.shape):
                raise ValueError("the size of a page is no whole number")
            description = str(pages[0].tags.valueof("ImageDescription", ""))
            stack = _stack(tif, path) if len(pages) == 1 else None
    except BROKEN as error:
        if tif is not None:
            tif.close()
        raise FormatError(f"not a readable TIFF: {first_line(error)}", path=path) from error
    grey = [page for page in pages if len(page.shape) == 2]
    if stated or not grey:
        tif.close()
        shape = pages[0].shape
        raise FormatError(
            f"truncated: a page is stated at byte {stated}, where the file holds none"
            if stated
            else f"not a grey-scale image: a page has the shape {shape}",
            path=path,
        )
    read: Callable[[int], NDArray[Any]] = lambda index: _pixels(grey[index])  # noqa: E731
    if stack is not None:
        read = stack.__getitem__
    try:
        return FrameSource(
            path=path,
            n_frames=len(grey) if stack is None else len(stack),
            shape=(int(grey[0].shape[0]), int(grey[0].shape[1])),
            dtype=np.dtype(grey[0].dtype).newbyteorder("="),
            read=read,
            close=tif.close,
            metadata={"format": "TIFF", **({"description": description} if description else {})},
            saturation=stated_cutoff(description),
        )
    except BaseException:  # pixels that are no numbers
        tif.close()
        raise


def _pixels(page: Any) -> NDArray[Any]:
    """Pixels of a page; one that lacks pieces is cut, not dark.

    Raises
    ------
    ValueError
        It lacks pieces, or states more pixels than they can hold.
    """
    pieces, needed = len(page.dataoffsets), math.prod(page.chunked)
    if pieces < needed:
        raise ValueError(f"{pieces} of {needed} pieces")
    held = sum(page.databytecounts)
    if page.nbytes > MOST_PACKED * held:
        raise ValueError(f"{page.nbytes} bytes are stated, in {held}")
    return np.asarray(page.asarray())


def _next_page(tif: Any, last: Any) -> int:
    """Offset of the page after the last one found: not 0 where the file is cut."""
    layout, file = tif.tiff, tif.filehandle
    file.seek(last.offset)
    (n_tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(last.offset + layout.tagnosize + n_tags * layout.tagsize)
    (offset,) = struct.unpack(layout.offsetformat, file.read(layout.offsetsize))
    return int(offset)


def _stack(tif: Any, path: Path) -> NDArray[Any] | None:
    """Frames that ImageJ writes back to back behind a single page, memory mapped."""
    import tifffile

    if len(tif.series[0].shape) != 3 or len(tif.pages[0].shape) != 2 or path.suffix == ".gz":
        return None
    return np.asarray(tifffile.memmap(path, mode="r"))


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Silence a library's logger: what it says is in the error that we raise."""
    logger = logging.getLogger(name)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def open_npy(path: Path) -> FrameSource:
    """Open a .npy file of one frame (n_slow, n_fast) or a stack (n_frames, n_slow, n_fast).

    Raises
    ------
    FormatError
        Not such a file, truncated, or of other dimensions.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except BROKEN as error:
        raise FormatError(f"not a readable .npy array: {first_line(error)}", path=path) from error
    if array.dtype == np.bool_:  # a mask of Python: 1 = masked
        array = array.view(np.uint8)
    return source_of_array(array, path, {"format": "NPY"})


def source_of_array(array: NDArray[Any], path: Path, metadata: dict[str, Any]) -> FrameSource:
    """Present an array (memory mapped or not) as a source of frames.

    Raises
    ------
    FormatError
        Not 2-D or 3-D.
    """
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3):
        shape = getattr(array, "shape", None)
        raise FormatError(
            f"an array of shape {shape} is no image; (n_slow, n_fast) or "
            "(n_frames, n_slow, n_fast) is accepted",
            path=path,
        )
    stack = array[np.newaxis] if array.ndim == 2 else array
    return FrameSource(
        path=path,
        n_frames=stack.shape[0],
        shape=(stack.shape[1], stack.shape[2]),
        dtype=stack.dtype.newbyteorder("="),
        read=lambda index: np.array(stack[index]),
        metadata=metadata,
    )


def open_raw(
    path: Path, data_type: int | None, head_size: int, shape: tuple[int, int] | None
) -> FrameSource:
    """Open frames stored back to back after a header, little-endian: GE and MIDAS raw files.

    Parameters
    ----------
    data_type
        MIDAS ``DataType`` 1-5; 1 (uint16) where None and the name is .ge, .ge1 ... .ge5.
    head_size
        Bytes before the first frame [8192 in GE files].
    shape
        (n_slow, n_fast) [px]; 2048 x 2048 where None and the name is .ge...

    Raises
    ------
    ConfigError
        The type or shape is needed and not given, or the type is no raw type.
    FormatError
        The size of the file is not the header plus a whole number of frames.
    """
    is_ge = path.suffix.lower().startswith(".ge")
    if not is_ge and (data_type is None or shape is None):
        raise ConfigError(
            "raw frames need data_type (1 uint16, 2 double, 3 float, 4 uint32, 5 int32) and "
            "shape (n_slow, n_fast)",
            path=path,
        )
    code, (n_slow, n_fast) = data_type or 1, shape or GE_SHAPE
    if code not in RAW_TYPES:
        raise ConfigError(f"DataType {code} is not a raw type (1 to 5)", path=path, key="DataType")
    dtype = np.dtype(RAW_TYPES[code])
    frame_bytes = n_slow * n_fast * dtype.itemsize
    n_frames, rest = divmod(path.stat().st_size - head_size, frame_bytes)
    if n_frames < 1 or rest:
        raise FormatError(
            f"{path.stat().st_size} bytes are not a header of {head_size} and whole frames of "
            f"{n_slow} x {n_fast} {dtype.name} ({frame_bytes} bytes each): truncated, or "
            "head_size, data_type or shape are other",
            path=path,
        )

    def read(index: int) -> NDArray[Any]:
        offset = head_size + index * frame_bytes
        flat = np.fromfile(path, dtype=dtype, count=n_slow * n_fast, offset=offset)
        return flat.reshape(n_slow, n_fast)

    return FrameSource(
        path=path,
        n_frames=n_frames,
        shape=(n_slow, n_fast),
        dtype=dtype.newbyteorder("="),
        read=read,
        metadata={"format": "RAW", "head_size": head_size, "data_type": code},
    )
