"""A file of frames, seen one frame at a time: what every image format is reduced to.

A reader of a format returns a :class:`FrameSource`; nothing else in ``refimpl`` knows formats. A
frame comes as it is stored (native integers, file's pixel order), so sentinel values can be told
from counts before anything is averaged. No source holds more than one frame in memory.
"""

from __future__ import annotations

import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError

__all__ = ["BROKEN", "FrameSource", "choose_dataset", "first_line", "select_frames"]

# What the libraries below raise on a broken file, every one of them seen: a division by a stated
# size of 0, a name that no branch has set, a header that NumPy parses as Python, an array of the
# stated shape that no memory holds. Only around their calls: a defect of ours has the same types.
BROKEN = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    NameError,
    RuntimeError,
    AssertionError,
    SyntaxError,
    SystemError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
)

MOST_OF_FRAME = 4 << 30
"""Largest frame [bytes]: more is stated by damage, or by malice."""

MOST_PACKED = 2e6
"""Factor by which no compression of images shortens a frame, not even one of zeros: deflate does
by 1030, bzip2 (measured on 200 MB) by 1.1 million."""

# Where the facilities put the image: APS data exchange, NeXus, HEXRD imageseries.
NAMED_DATASETS = ("exchange/data", "entry/data/data", "imageseries/images")
# A dataset smaller than this on a side is a table, not an image.
_SMALLEST_SIDE = 16
# Frames less than this fraction of the largest are thumbnails or tables beside the image.
_RIVAL = 0.25


def first_line(error: BaseException) -> str:
    """First line of an error's text, for one-line messages."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@dataclass(frozen=True)
class FrameSource:
    """An open image file.

    Attributes
    ----------
    path
        The file.
    n_frames
        Number of frames.
    shape
        (n_slow, n_fast) [px].
    dtype
        Type of the pixels as stored, native byte order.
    read
        Frame by index, as stored: (n_slow, n_fast).
    dataset
        Path inside a container file, or None.
    metadata
        What the file says about itself.
    pixel_mask
        (n_slow, n_fast) bool, True = bad, as the detector wrote it, or None.
    saturation
        Highest trustworthy count as the file states it, or None.
    """

    path: Path
    n_frames: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    read: Callable[[int], NDArray[Any]]
    close: Callable[[], None] = lambda: None
    dataset: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    pixel_mask: NDArray[np.bool_] | None = None
    saturation: float | None = None

    def __post_init__(self) -> None:
        if self.n_frames < 1:
            raise FormatError("the file holds no frame", path=self.path)
        if self.dtype.kind not in "iuf":
            raise FormatError(
                f"pixels of type {self.dtype} are not numbers; integers or floats are read",
                path=self.path,
            )
        if math.prod(self.shape) * self.dtype.itemsize > MOST_OF_FRAME:
            raise FormatError(
                f"frames of more than {MOST_OF_FRAME / 2**30:.3g} GiB are stated", path=self.path
            )

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def frame(self, index: int) -> NDArray[Any]:
        """One frame, C-contiguous, native byte order, owned by the caller.

        Raises
        ------
        FormatError
            The file is truncated or corrupt here.
        """
        try:
            frame = np.asarray(self.read(index))
        except FormatError:
            raise
        except BROKEN as error:
            raise FormatError(
                f"frame {index} of {self.n_frames} cannot be read, the file is truncated or "
                f"corrupt: {first_line(error)}",
                path=self.path,
            ) from error
        if frame.shape != self.shape:
            raise FormatError(
                f"frame {index} has {frame.shape} pixels, the first one {self.shape}",
                path=self.path,
            )
        if frame.dtype.kind not in "iuf":
            raise FormatError(
                f"frame {index} has pixels of type {frame.dtype}, the first one of {self.dtype}",
                path=self.path,
            )
        own = np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("="))
        return own.copy() if own.base is not None and not own.flags.writeable else own


_MOST_FRAMES = 10_000_000  # a damaged header can state any number; their list must fit in memory


def select_frames(
    frames: int | slice | Sequence[int] | None, skip_frames: int, n_frames: int, path: Path
) -> list[int]:
    """Turn the two ways of choosing frames into a list of indices.

    Raises
    ------
    ConfigError
        Both are used, nothing is left, or a frame does not exist.
    FormatError
        The file states more frames than any file holds.
    """
    if n_frames > _MOST_FRAMES:
        raise FormatError(f"states {n_frames} frames: not believed", path=path)
    have = f"the file has {n_frames} frame{'s' if n_frames > 1 else ''}, numbered from 0"
    if skip_frames < 0:
        raise ConfigError(f"skip_frames = {skip_frames} is negative", path=path, key="SkipFrame")
    if frames is None:
        if skip_frames >= n_frames:
            raise ConfigError(f"skip_frames = {skip_frames} leaves none: {have}", path=path)
        return list(range(skip_frames, n_frames))
    if skip_frames:
        raise ConfigError("frames and skip_frames are both given; use one", path=path)
    if isinstance(frames, slice):
        chosen = list(range(n_frames))[frames]
    else:
        wanted = [frames] if isinstance(frames, (int, np.integer)) else list(frames)
        for index in wanted:
            if not -n_frames <= index < n_frames:
                raise ConfigError(f"frame {index} does not exist: {have}", path=path, got=index)
        chosen = [int(index) % n_frames for index in wanted]
    if not chosen:
        raise ConfigError(f"frames = {frames} selects none: {have}", path=path, got=frames)
    return chosen


def choose_dataset(arrays: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]], path: Path) -> str:
    """Find the image among the arrays of a container file.

    A well-known name wins; else the one numeric 2-D or 3-D array of image size.

    Raises
    ------
    FormatError
        There is none, or several could be meant: they are listed.
    """
    images = {
        name: shape
        for name, (shape, dtype) in arrays.items()
        if len(shape) in (2, 3) and dtype.kind in "iuf" and min(shape[-2:]) >= _SMALLEST_SIDE
    }
    named = [name for name in NAMED_DATASETS if name in images]
    if len(named) == 1:
        return named[0]
    if not images:
        raise FormatError("no 2-D or 3-D numeric dataset of image size found", path=path)
    largest = max(shape[-1] * shape[-2] for shape in images.values())
    rivals = named or sorted(
        name for name, shape in images.items() if shape[-1] * shape[-2] >= _RIVAL * largest
    )
    if len(rivals) == 1:
        return rivals[0]
    listed = ", ".join(f"{name} {images[name]}" for name in rivals[:8])
    more = f" and {len(rivals) - 8} more" if len(rivals) > 8 else ""
    raise FormatError(
        f"several datasets could be the image: {listed}{more}; name one (dataset=...)", path=path
    )
