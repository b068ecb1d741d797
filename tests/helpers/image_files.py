"""Frames with marked pixels, and writers of every format of them."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import tifffile
import zarr
from fabio.edfimage import EdfImage
from numpy.typing import NDArray

Frames = NDArray[np.int32]


def _h5(path: Path, frames: Frames) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("exchange/data", data=frames, chunks=(1, *frames.shape[1:]))


def _bitshuffle(path: Path, frames: Frames) -> None:
    with h5py.File(path, "w") as file:
        settings = hdf5plugin.Bitshuffle(cname="lz4")
        file.create_dataset("entry/data/data", data=frames, chunks=(1, 40, 60), **settings)


def _edf(path: Path, frames: Frames) -> None:
    image = EdfImage(data=frames[0])
    for frame in frames[1:]:
        image.append_frame(data=frame)
    image.write(str(path))


def write_zarr(path: Path, frames: Frames) -> None:
    store = zarr.storage.ZipStore(path, mode="w") if path.suffix == ".zip" else str(path)
    group = zarr.open_group(store, mode="w", zarr_format=2 if path.suffix == ".zip" else 3)
    group.create_array("exchange/data", data=frames, chunks=(1, *frames.shape[1:]))
    if path.suffix == ".zip":
        group.store.close()


def _gz(path: Path, frames: Frames) -> None:
    plain = path.with_suffix("")
    tifffile.imwrite(plain, frames, photometric="minisblack")
    path.write_bytes(gzip.compress(plain.read_bytes()))


def _raw(path: Path, frames: Frames) -> None:
    path.write_bytes(bytes(100) + frames.astype("<i4").tobytes())


WRITERS: dict[str, Callable[[Path, Frames], object]] = {
    "a.tif": lambda path, frames: tifffile.imwrite(path, frames, photometric="minisblack"),
    "deflate.tiff": lambda path, frames: tifffile.imwrite(
        path, frames, compression="zlib", photometric="minisblack"
    ),
    "a.tif.gz": _gz,
    "a.edf": _edf,
    "a.h5": _h5,
    "eiger.nxs": _bitshuffle,
    "a.zip": write_zarr,
    "a.zarr": write_zarr,
    "a.npy": lambda path, frames: np.save(path, frames),
    "a.raw": _raw,
}


def marked_frames() -> Frames:
    """Three frames (3, 40, 60) of Poisson counts with a gap column and two dead pixels."""
    counts = np.random.default_rng(7).poisson(50.0, (3, 40, 60)).astype(np.int32)
    counts[:, :, 10] = -1
    counts[:, 3, 4] = counts[:, 30, 50] = -2
    return counts
