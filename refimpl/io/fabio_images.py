"""CBF and EDF images through fabio, as a :class:`~refimpl.io.frame_source.FrameSource`."""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.io.cbf import read_bytes, read_cbf, read_head
from refimpl.io.flat_formats import quiet, source_of_array, stated_cutoff
from refimpl.io.frame_source import MOST_PACKED, FrameSource, first_line

__all__ = ["open_fabio"]

_CUT = "the pixels are cut or their checksum differs"
_PACKED: Final = (".gz", ".bz2")
_MOST_OF_HEAD: Final = 7000
"""Bytes before the binary section of a CBF; fabio looks for it in the first 8 KiB."""
_TEN_OR_MORE: Final = re.compile(rb"_0*[1-9][0-9]+\s*=")
"""End of the key ``Dim_10``, and of larger ones, without its letters, which are of any case."""


def open_fabio(path: Path) -> FrameSource:
    """Open a CBF or EDF through fabio, gzip and bzip2 included.

    Raises
    ------
    FormatError
        Not such a file, or truncated.
    """
    import fabio

    held, is_late = _check_kind(path)
    if is_late:
        pixels, text = read_cbf(path)
        return replace(
            source_of_array(pixels, path, {"format": "CBF", "header": text}),
            saturation=stated_cutoff(text),
        )
    try:
        with _quiet_fabio():
            image = fabio.open(str(path))
            n_frames, shape = int(image.nframes), tuple(int(n) for n in image.shape)
            dtype, header = np.dtype(image.dtype), {str(k): str(v) for k, v in image.header.items()}
    except Exception as error:  # fabio raises plain Exceptions as well
        # A cut CBF makes fabio assert (checksum) or trip over a missing section.
        own = isinstance(error, (AssertionError, AttributeError, TypeError))
        reason = _CUT if own else first_line(error)
        raise FormatError(f"not a readable CBF or EDF: {reason}", path=path) from error
    if len(shape) != 2:
        image.close()
        raise FormatError(f"frames of shape {shape} are not 2-D images", path=path)
    _check_stated_size(path, header, n_frames)
    _check_held(path, header, math.prod(shape), dtype.itemsize, held)

    def read(index: int) -> NDArray[Any]:
        try:
            with _quiet_fabio():
                frame = image if index == 0 else image.get_frame(index)
                if tuple(frame.shape) != shape:  # before its pixels, which fabio would make up
                    raise ValueError(f"it has {tuple(frame.shape)} pixels, the first one {shape}")
                return np.asarray(frame.data)
        except Exception as error:
            raise FormatError(
                f"frame {index} of {n_frames} cannot be read: {first_line(error)}", path=path
            ) from error

    return FrameSource(
        path=path,
        n_frames=n_frames,
        shape=(shape[0], shape[1]),
        dtype=dtype.newbyteorder("="),
        read=read,
        close=image.close,
        metadata={"format": type(image).__name__.removesuffix("Image").upper(), **header},
        saturation=stated_cutoff("\n".join(header.values())),
    )


def _check_kind(path: Path) -> tuple[int, bool]:
    """Refuse what is no CBF or EDF: fabio would try thirty other formats, with their libraries.

    A CBF whose binary section is not complete may keep it busy for ever; so may one whose section
    begins late.

    Returns
    -------
    How many bytes there are, unpacked, and whether they are such a late CBF.
    """
    late = False
    is_packed = path.suffix.lower() in _PACKED
    content = read_bytes(path) if is_packed else b""  # fabio unpacks all of it, and refuses no size
    head = content[:64] if is_packed else read_bytes(path, 64)
    if head.startswith(b"###CBF"):
        try:
            late = len(read_head(path)[0]) > _MOST_OF_HEAD
        except FormatError as error:
            raise FormatError(f"not a readable CBF or EDF: {_CUT}", path=path) from error
    elif not head.lstrip(b"\r\n").startswith(b"{"):
        raise FormatError(f"not a readable CBF or EDF: starts with {head[:8]!r}", path=path)
    elif is_packed:
        _check_dimensions(content, path)
    else:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as all_:
            _check_dimensions(all_, path)
    return len(content) if is_packed else path.stat().st_size, late


def _check_dimensions(content: bytes | mmap.mmap, path: Path) -> None:
    """Refuse an EDF that states a tenth dimension: fabio counts up to the N of any ``Dim_N``."""
    for found in _TEN_OR_MORE.finditer(content):
        start = found.start()
        key = content[max(start - 4, 0) : start].lower()
        if key.endswith(b"dim") and not (key[:1].isalnum() or key[:1] == b"_"):
            raise FormatError("frames of ten or more dimensions are not 2-D images", path=path)


@contextmanager
def _quiet_fabio() -> Iterator[None]:
    with ExitStack() as stack:
        for name in ("fabio.openimage", "fabio.edfimage", "fabio.cbfimage", "fabio.compression"):
            stack.enter_context(quiet(name))
        yield


def _check_held(
    path: Path, header: dict[str, str], n_pixels: int, itemsize: int, held: int
) -> None:
    """Refuse more pixels than the file has room for: fabio makes them up, gigabytes of zeros."""
    if "EDF_BinaryFileName" in header:  # beside the header, and not packed
        other = path.with_name(Path(header["EDF_BinaryFileName"]).name)
        held = other.stat().st_size if other.is_file() else 0
    least = float(n_pixels)  # of a CBF: byte offsets, none shorter than a byte
    if "X-Binary-Size" not in header:
        least *= itemsize
    if any(key.upper() == "COMPRESSION" for key in header):
        least /= MOST_PACKED
    if least > held:
        raise FormatError(f"truncated: {n_pixels} pixels are stated in {held} bytes", path=path)


def _check_stated_size(path: Path, header: dict[str, str], n_frames: int) -> None:
    """Compare the binary size that the header states with the file: fabio pads with zeros."""
    if path.suffix.lower() in _PACKED:
        return
    stated = next(
        (header[k] for k in ("EDF_BinarySize", "X-Binary-Size", "Size") if k in header), ""
    )
    if not stated.isdigit():
        return
    head = header.get("EDF_HeaderSize", "512").strip() if "X-Binary-Size" not in header else "0"
    needed = (int(stated) + (int(head) if head.isdigit() else 0)) * n_frames
    size = path.stat().st_size
    if size < needed:
        raise FormatError(
            f"truncated: the header states {needed} bytes for {n_frames} frame(s), the file has "
            f"{size}",
            path=path,
        )
