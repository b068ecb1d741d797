"""Lit pixels of the frames of one near-field distance, as a value and as a sparse HDF5 file.

``y`` and ``z`` (uint16, near-field pixels, sorted by y, then z, within a frame), ``ptr`` (int64,
frames + 1: where each frame begins), the size of the detector, and a digest of what the pixels were
made from. The published form of all distances at once is :mod:`refimpl.io.spots_info`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.frames import I64
from refimpl.imaging.lit_pixels import LitPixels
from refimpl.io.atomic import atomic_path
from refimpl.io.frame_source import BROKEN, first_line

__all__ = ["FramePixels", "lit_of_frames", "read_frame_pixels", "write_frame_pixels"]

U16 = NDArray[np.uint16]

_KIND, _SCHEMA = "refimpl lit pixels", 1


@dataclass(frozen=True, eq=False)
class FramePixels:
    """Lit pixels of the frames of one distance, frame after frame.

    Attributes
    ----------
    shape_px
        (NY, NZ).
    y, z
        (n,) pixels, near-field convention.
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
        ends = len(self.ptr) > 0 and self.ptr[0] == 0 and self.ptr[-1] == n
        if len(self.z) != n or not ends or (np.diff(self.ptr) < 0).any():
            raise FormatError(f"lit pixels: {n} y, {len(self.z)} z: the frames do not fit them")
        if n and (int(self.y.max()) >= self.shape_px[0] or int(self.z.max()) >= self.shape_px[1]):
            raise FormatError(
                f"lit pixels: y to {self.y.max()}, z to {self.z.max()}: outside the detector of "
                f"{self.shape_px[0]} x {self.shape_px[1]} pixels"
            )

    @property
    def n_frames(self) -> int:
        """Number of frames."""
        return len(self.ptr) - 1

    @property
    def empty_frames(self) -> I64:
        """Frames without a lit pixel."""
        return np.flatnonzero(np.diff(self.ptr) == 0)

    def keys(self, distance: int) -> I64:
        """(n,) numbers of the pixels in SpotsInfo.bin, ascending; see :mod:`refimpl.io.spots_info`.

        `distance` is counted from 0; all distances have as many frames.
        """
        ny, nz = self.shape_px
        frame = np.repeat(np.arange(self.n_frames), np.diff(self.ptr)) + distance * self.n_frames
        return np.asarray((frame * ny + self.y) * nz + self.z)

    def images(self) -> Iterator[NDArray[np.bool_]]:
        """(NY, NZ) image of each frame, indexed [Y, Z]."""
        for first, last in zip(self.ptr[:-1], self.ptr[1:], strict=True):
            image = np.zeros(self.shape_px, dtype=bool)
            image[self.y[first:last], self.z[first:last]] = True
            yield image


def lit_of_frames(distances: Sequence[FramePixels]) -> LitPixels:
    """Sparse stack of one or more distances, frame by frame.

    Raises
    ------
    FormatError
        The distances differ in frames or in pixels.
    """
    first = distances[0]
    for one in distances:
        if (one.n_frames, one.shape_px) != (first.n_frames, first.shape_px):
            raise FormatError(
                f"lit pixels: {one.n_frames} frames of {one.shape_px} pixels, the first distance "
                f"has {first.n_frames} of {first.shape_px}"
            )
    images = ((d, f, im) for d, one in enumerate(distances) for f, im in enumerate(one.images()))
    return LitPixels.from_frames(images, (len(distances), first.n_frames, *first.shape_px))


def write_frame_pixels(path: str | Path, pixels: FramePixels) -> Path:
    """Write the lit pixels of one distance as HDF5; atomic."""
    import h5py

    with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(kind=_KIND, schema=_SCHEMA, source=pixels.source)
        file.attrs["shape_px"] = pixels.shape_px
        file.create_dataset("ptr", data=pixels.ptr)
        for name, values in (("y", pixels.y), ("z", pixels.z)):
            more: dict[str, Any] = {"compression": "gzip", "shuffle": True} if len(values) else {}
            file.create_dataset(name, data=values, **more)
    return Path(path)


def read_frame_pixels(path: str | Path) -> FramePixels:
    """Read what :func:`write_frame_pixels` wrote.

    Raises
    ------
    FormatError
        Missing, truncated, or another file.
    """
    import h5py

    if not Path(path).is_file():
        raise FormatError("no such file", path=path)
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("kind") != _KIND:
                raise FormatError("not a file of lit pixels", path=path)
            if int(file.attrs["schema"]) > _SCHEMA:
                raise FormatError(
                    f"schema {int(file.attrs['schema'])} is newer than this refimpl ({_SCHEMA}); "
                    "upgrade", path=path,
                )  # fmt: skip
            ny, nz = (int(n) for n in file.attrs["shape_px"])
            y, z, ptr = (file[name][()] for name in ("y", "z", "ptr"))
            return FramePixels((ny, nz), y, z, ptr, str(file.attrs["source"]))
    except FormatError:
        raise
    except BROKEN as error:
        raise FormatError(f"not a readable HDF5 file: {first_line(error)}", path=path) from error
