"""Images in HDF5: a named or discovered dataset, or an Eiger master file with linked data files.

Compressed data (gzip, LZF, bitshuffle, LZ4, Zstandard, Blosc) are read; ``hdf5plugin`` is
imported only where a dataset asks for one of its filters.
"""

from __future__ import annotations

import bisect
import difflib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.hdf5 import check_written, read_hdf5
from refimpl.io.frame_source import BROKEN, NAMED_DATASETS, FrameSource, choose_dataset, first_line

__all__ = ["open_hdf5"]

_EIGER_GROUP = "entry/data"
_EIGER_PART = re.compile(r"data_\d+$")
_DETECTOR = "entry/instrument/detector"
# Dectris' names for the highest count that can be trusted, newest first.
_SATURATION = (
    f"{_DETECTOR}/saturation_value",
    f"{_DETECTOR}/detectorSpecific/saturation_value",
    f"{_DETECTOR}/detectorSpecific/countrate_correction_count_cutoff",
)
_PIXEL_MASK = (f"{_DETECTOR}/pixel_mask", f"{_DETECTOR}/detectorSpecific/pixel_mask")


def open_hdf5(path: Path, dataset: str | None) -> FrameSource:
    """Open the image dataset of an HDF5 file.

    Parameters
    ----------
    dataset
        Path of a dataset, or of a group of Eiger parts (``data_000001`` ...); None finds it:
        ``exchange/data``, ``entry/data/data``, ``imageseries/images``, an Eiger master, else the
        one numeric 2-D or 3-D dataset of image size.

    Raises
    ------
    FormatError
        Not HDF5, truncated, no or several candidates, a linked file or a filter is missing.
    ConfigError
        ``dataset`` does not exist or is no image.
    """
    try:
        file = read_hdf5(path)
    except OSError as error:
        raise FormatError(f"not a readable HDF5 file: {first_line(error)}", path=path) from error
    try:
        name = dataset.strip("/") if dataset is not None else _discover(file, path)
        parts = _open_parts(file, name, path)
        return _source(file, name, parts, path)
    except (ConfigError, FormatError):
        file.close()
        raise
    except BROKEN as error:
        file.close()
        raise FormatError(f"truncated or corrupt HDF5: {first_line(error)}", path=path) from error


def _discover(file: Any, path: Path) -> str:
    """Name of the image: the well-known ones cost no walk through the file."""
    import h5py

    arrays: dict[str, tuple[tuple[int, ...], np.dtype[Any]]] = {}
    for name in NAMED_DATASETS:
        item = file.get(name)
        if isinstance(item, h5py.Dataset):
            arrays[name] = (item.shape, item.dtype)
    if not arrays and _eiger_names(file, _EIGER_GROUP):
        return _EIGER_GROUP

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            arrays.setdefault(name, (item.shape, item.dtype))

    if not arrays:
        file.visititems(note)
    return choose_dataset(arrays, path)


def _eiger_names(file: Any, name: str) -> list[str]:
    """Names of the parts of a stack in a group, in order; empty where it is no such group."""
    import h5py

    group = file.get(name)
    if not isinstance(group, h5py.Group):
        return []
    return sorted(key for key in group if _EIGER_PART.match(key))


def _nearest(file: Any, name: str) -> str:
    """Half a sentence that names the image dataset whose path is nearest to a wrong one."""
    import h5py

    found: list[str] = []

    def note(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.ndim in (2, 3):
            found.append(path)

    file.visititems(note)
    near = difflib.get_close_matches(name, found, n=1, cutoff=0.0)
    return f"; did you mean {near[0]!r}?" if near else ""


def _open_parts(file: Any, name: str, path: Path) -> list[Any]:
    """Datasets that make up the stack: one, or the linked files of an Eiger master."""
    import h5py

    parts = _eiger_names(file, name)
    if not parts:
        item = file.get(name)
        if item is None:
            near = _nearest(file, name)
            raise ConfigError(
                f"dataset {name!r} does not exist{near}", path=path, key="dataset", got=name
            )
        if not isinstance(item, h5py.Dataset) or item.ndim not in (2, 3):
            what = f"of shape {item.shape}" if isinstance(item, h5py.Dataset) else "a group"
            raise ConfigError(
                f"{name!r} is {what}; a dataset (n_slow, n_fast) or (n_frames, n_slow, n_fast) "
                "is needed",
                path=path,
                key="dataset",
            )
        return [item]
    opened = []
    for part in parts:
        link = file[name].get(part, getlink=True)
        try:
            opened.append(file[name][part])
        except (KeyError, OSError) as error:
            target = link.filename if isinstance(link, h5py.ExternalLink) else part
            raise FormatError(
                f"the linked data file {target} ({name}/{part}) is missing or unreadable", path=path
            ) from error
    return opened


def _source(file: Any, name: str, parts: list[Any], path: Path) -> FrameSource:
    for part in parts:
        _need_filters(part, path)
        check_written(part, path)
    shapes = {part.shape[-2:] for part in parts}
    if len(shapes) > 1:
        raise FormatError(f"the parts of {name} differ in shape: {sorted(shapes)}", path=path)
    n_slow, n_fast = shapes.pop()
    counts = [part.shape[0] if part.ndim == 3 else 1 for part in parts]
    metadata: dict[str, Any] = {"format": "HDF5"}
    if len(parts) > 1:
        metadata["n_parts"] = len(parts)
    return FrameSource(
        path=path,
        n_frames=sum(counts),
        shape=(int(n_slow), int(n_fast)),
        dtype=parts[0].dtype.newbyteorder("="),
        read=_reader(parts, counts),
        close=file.close,
        dataset=name,
        metadata=metadata,
        pixel_mask=_pixel_mask(file, (n_slow, n_fast)),
        saturation=_scalar(file, _SATURATION),
    )


def _reader(parts: list[Any], counts: list[int]) -> Callable[[int], NDArray[Any]]:
    ends = list(np.cumsum(counts))

    def read(index: int) -> NDArray[Any]:
        number = bisect.bisect_right(ends, index)
        part = parts[number]
        if part.ndim == 2:
            return np.asarray(part[()])
        return np.asarray(part[index - (ends[number] - counts[number])])

    return read


def _need_filters(part: Any, path: Path) -> None:
    """Make sure that every filter of a dataset can be had, loading hdf5plugin when needed."""
    import h5py

    settings = part.id.get_create_plist()
    for number in range(settings.get_nfilters()):
        code, _, _, label = settings.get_filter(number)
        if h5py.h5z.filter_avail(code):
            continue
        import hdf5plugin  # noqa: F401  registers its filters on import

        if not h5py.h5z.filter_avail(code):
            raise FormatError(
                f"{part.name} is compressed with HDF5 filter {code} "
                f"({label.decode(errors='replace')}), which is not available",
                path=path,
            )


def _scalar(file: Any, names: tuple[str, ...]) -> float | None:
    import h5py

    for name in names:
        item = file.get(name)
        if isinstance(item, h5py.Dataset) and item.size == 1 and item.dtype.kind in "iuf":
            return float(np.ravel(item[()])[0])
    return None


def _pixel_mask(file: Any, shape: tuple[int, int]) -> NDArray[np.bool_] | None:
    import h5py

    for name in _PIXEL_MASK:
        item = file.get(name)
        if isinstance(item, h5py.Dataset) and item.shape == shape:
            return np.asarray(item[()]) != 0
    return None
