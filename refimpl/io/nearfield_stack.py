"""Stacks of raw near-field images written frame by frame: TIFF, HDF5, Zarr, or one TIFF a frame.

A distance is a file (.tif, .h5, .hdf5, .zarr, .zip), which :func:`refimpl.io.images.open_source`
reads, or a series of files with the published numbers,
RawStartNr + (L - 1)(NrFilesPerDistance + WFImages) + j (spec 1.8). Images are uint16 and stored as
they come: raw, row NZ - 1 - Z and column NY - 1 - Y. Not here: how they are made
(:mod:`refimpl.forward.nearfield_stack`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError
from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path, check_target, remove_torn, temporary_beside

__all__ = ["DATASET", "published_number", "write_published_tiffs", "write_stack"]

DATASET = "exchange/data"
"""Where the frames are in HDF5 and Zarr files (APS data exchange)."""

U16 = NDArray[np.uint16]

_SUFFIXES = (".tif", ".tiff", ".h5", ".hdf5", ".zarr", ".zip")


def _checked(frames: Iterable[U16], n_frames: int, shape: tuple[int, int]) -> Iterator[U16]:
    """Frames as they come, refused where they are not what was announced."""
    count = 0
    for frame in frames:
        if frame.shape != shape or frame.dtype != np.uint16:
            raise ConfigError(
                f"frame {count} is {frame.dtype} {frame.shape}: expected uint16 {shape}"
            )
        count += 1
        if count > n_frames:
            break
        yield frame
    if count != n_frames:
        more = "more" if count > n_frames else str(count)
        raise ConfigError(f"{more} frames came: expected {n_frames}")


def write_stack(
    path: str | Path, frames: Iterable[U16], n_frames: int, shape: tuple[int, int]
) -> Path:
    """Write the frames of one distance to one file, one at a time; return the path.

    Parameters
    ----------
    path
        Its suffix says the format: .tif, .tiff (a page a frame), .h5, .hdf5, .zarr (a folder) or
        .zip (Zarr in a zip).
    frames, n_frames, shape
        uint16 images of `shape` (rows, columns), `n_frames` of them.

    Raises
    ------
    ConfigError
        Another suffix, other frames than announced, or a place that cannot be written to; nothing
        is left behind then.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ConfigError(
            f"cannot tell the format of the stack: expected {', '.join(_SUFFIXES)}",
            path=target,
            got=suffix,
        )
    checked = _checked(frames, n_frames, shape)
    if suffix == ".zarr":
        _write_folder(target, checked, n_frames, shape)
        return target
    with atomic_path(target) as temporary:
        if suffix in (".tif", ".tiff"):
            _write_pages(temporary, checked)
        elif suffix == ".zip":
            _write_zip(temporary, checked, n_frames, shape)
        else:
            _write_hdf5(temporary, checked, n_frames, shape)
    return target


def _write_pages(path: Path, frames: Iterator[U16]) -> None:
    import tifffile

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for frame in frames:
            file.write(frame, contiguous=False, metadata=None, compression="zlib")


def _write_hdf5(path: Path, frames: Iterator[U16], n: int, shape: tuple[int, int]) -> None:
    with new_hdf5(path) as file:
        data = file.create_dataset(
            DATASET, (n, *shape), np.uint16, chunks=(1, *shape),
            compression="gzip", compression_opts=1, shuffle=True,
        )  # fmt: skip
        for i, frame in enumerate(frames):
            data[i] = frame


def _fill_zarr(store: Any, frames: Iterator[U16], n: int, shape: tuple[int, int]) -> None:
    import zarr

    root = zarr.open_group(store, mode="w")
    data = root.create_array(DATASET, shape=(n, *shape), dtype="uint16", chunks=(1, *shape))
    for i, frame in enumerate(frames):
        data[i] = frame


def _write_zip(path: Path, frames: Iterator[U16], n: int, shape: tuple[int, int]) -> None:
    import zarr

    store = zarr.storage.ZipStore(path, mode="w")
    try:
        _fill_zarr(store, frames, n, shape)
    finally:
        store.close()


def _write_folder(path: Path, frames: Iterator[U16], n: int, shape: tuple[int, int]) -> None:
    """A folder cannot replace another one at once: an existing one is refused."""
    check_target(path.parent / f"{path.name}.part")
    if path.exists():
        raise ConfigError("is already there: remove it, or give another name", path=path)
    remove_torn(path.parent)
    temporary = temporary_beside(path)
    try:
        _fill_zarr(str(temporary), frames, n, shape)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def published_number(
    start: int, files_per_distance: int, wf_images: int, distance: int, frame: int
) -> int:
    """Number of a raw file, spec 1.8; distance and frame from 0."""
    return start + distance * (files_per_distance + wf_images) + frame


def write_published_tiffs(
    folder: str | Path,
    stem: str,
    frames: Iterable[U16],
    distance: int,
    *,
    start: int = 0,
    files_per_distance: int,
    wf_images: int = 0,
    suffix: str = "tif",
) -> list[Path]:
    """Write one TIFF a frame of one distance, ``stem_%06d.suffix``; return their paths.

    Parameters
    ----------
    folder, stem, suffix
        DataDirectory, OrigFileName and extOrig; the folder must exist.
    start, files_per_distance, wf_images
        RawStartNr, NrFilesPerDistance, WFImages.

    Raises
    ------
    ConfigError
        More frames than files a distance, or a folder that cannot be written to.
    """
    import tifffile

    written = []
    for j, frame in enumerate(frames):
        if j >= files_per_distance:
            raise ConfigError(
                f"frame {j} of a distance: expected {files_per_distance} frames",
                key="NrFilesPerDistance",
            )
        number = published_number(start, files_per_distance, wf_images, distance, j)
        path = Path(folder) / f"{stem}_{number:06d}.{suffix}"
        with atomic_path(path) as temporary:
            tifffile.imwrite(temporary, frame, metadata=None, compression="zlib")
        written.append(path)
    return written
