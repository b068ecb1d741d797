"""Images in Zarr: a folder or a zip file, format 2 (as MIDAS writes it) or 3."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.errors import ConfigError, FormatError
from refimpl.io.frame_source import BROKEN, FrameSource, choose_dataset, first_line

__all__ = ["is_zarr_folder", "open_tree", "open_zarr"]

_MARKS = (".zgroup", ".zarray", "zarr.json")


def is_zarr_folder(path: Path) -> bool:
    """Whether a folder is the root of a Zarr tree."""
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def open_tree(path: Path) -> tuple[Any, Callable[[], None]]:
    """Open the root group or array; return it with the function that closes it.

    Raises
    ------
    FormatError
        Not a Zarr tree, or a damaged zip.
    """
    import zarr

    from refimpl.io.zarr_stores import CheckedLocalStore, CheckedZipStore

    store: Any = None
    try:
        if path.is_dir():
            return zarr.open(CheckedLocalStore(path, read_only=True), mode="r"), lambda: None
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if not any(name in _MARKS for name in names):
            raise FormatError("this zip is no Zarr archive: no .zgroup at its root", path=path)
        store = CheckedZipStore(path, mode="r")
        return zarr.open(store, mode="r"), store.close
    except FormatError:
        raise
    except BROKEN as error:
        if store is not None:
            store.close()
        raise FormatError(f"not a readable Zarr archive: {first_line(error)}", path=path) from error


def open_zarr(path: Path, dataset: str | None) -> FrameSource:
    """Open the image array of a Zarr folder or zip.

    Parameters
    ----------
    dataset
        Path of the array; None finds it as in HDF5 (MIDAS: ``exchange/data``).

    Raises
    ------
    FormatError
        Not Zarr, damaged, no or several candidates.
    ConfigError
        ``dataset`` does not exist or is no image.
    """
    import zarr

    root, close = open_tree(path)
    try:
        if isinstance(root, zarr.Array):
            name, array = "", root
        else:
            name = dataset.strip("/") if dataset is not None else _discover(root, path)
            array = root.get(name)
        if not isinstance(array, zarr.Array) or array.ndim not in (2, 3):
            raise ConfigError(
                f"{name!r} is no array (n_slow, n_fast) or (n_frames, n_slow, n_fast)",
                path=path,
                key="dataset",
            )
    except (ConfigError, FormatError):
        close()
        raise
    except BROKEN as error:
        close()
        raise FormatError(f"truncated or corrupt Zarr: {first_line(error)}", path=path) from error
    flat = array.ndim == 2
    return FrameSource(
        path=path,
        n_frames=1 if flat else array.shape[0],
        shape=(array.shape[-2], array.shape[-1]),
        dtype=np.dtype(array.dtype).newbyteorder("="),
        read=lambda index: np.asarray(array[:] if flat else array[index]),
        close=close,
        dataset=name or None,
        metadata={"format": "ZARR"},
    )


def _discover(root: Any, path: Path) -> str:
    import zarr

    arrays = {
        name: (item.shape, np.dtype(item.dtype))
        for name, item in root.members(max_depth=None)
        if isinstance(item, zarr.Array)
    }
    return choose_dataset(arrays, path)
