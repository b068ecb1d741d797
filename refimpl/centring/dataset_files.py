"""Samples in HDF5 and npz files: ours, and arrays that others made."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.crops import CropRule
from refimpl.centring.samples import Samples
from refimpl.errors import ConfigError, FormatError
from refimpl.hdf5 import check_written, read_hdf5
from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path
from refimpl.io.frame_source import BROKEN, first_line

__all__ = ["Columns", "read_columns", "samples_of", "write_hdf5", "write_npz"]

KIND = "refimpl.centring_samples"
SCHEMA = 1

Columns = dict[str, NDArray[Any]]
"""Arrays of a file by name: images, count, crystal, and perhaps zoom, omega_rad, name."""

_NAMES = {
    "images": ("images", "image", "pictures", "x"),
    "count": ("count", "rc", "counts", "spot_total", "y"),
    "crystal": ("crystal", "crystal_id", "crystals", "sample"),
    "zoom": ("zoom",),
    "omega_rad": ("omega_rad",),
    "name": ("name", "names", "file"),
}


def write_hdf5(
    samples: Samples, path: str | os.PathLike[str], *, rule: CropRule | None = None
) -> Path:
    """Write samples, and how they were cropped where that is known; return the path.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    import h5py

    with atomic_path(path) as temporary, new_hdf5(temporary) as file:
        for name, values in _content(samples, rule).items():
            if values.dtype.kind == "U":
                texts = values.astype(object)
                file.create_dataset(name, data=texts, dtype=h5py.string_dtype("utf-8"))
            else:
                file.create_dataset(name, data=values)
    return Path(path)


def write_npz(
    samples: Samples, path: str | os.PathLike[str], *, rule: CropRule | None = None
) -> Path:
    """Write samples as arrays of one file (no pickles); return the path.

    Raises
    ------
    ConfigError
        The file cannot be written.
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, allow_pickle=False, **_content(samples, rule))
    return Path(path)


def _content(samples: Samples, rule: CropRule | None) -> Columns:
    content: Columns = {"kind": np.array([KIND]), "schema": np.array([SCHEMA])}
    if rule is not None:
        content["crop_px"] = np.array([rule.offset_px, rule.slope_px])
    return content | {name: getattr(samples, name) for name in _NAMES}


def read_columns(path: str | os.PathLike[str]) -> Columns:
    """Arrays of an HDF5 or npz file under our names of them.

    Raises
    ------
    FormatError
        Not such a file, of a newer schema, or without pictures, counts or crystals.
    """
    place = Path(path)
    read = _read_npz if place.suffix.lower() == ".npz" else _read_hdf5
    found: Mapping[str, NDArray[Any]] = read(place)
    schema = _schema(found, place) if "schema" in found and "kind" in found else SCHEMA
    if schema > SCHEMA:
        raise FormatError(f"schema {schema} is newer than this refimpl ({SCHEMA})", path=place)
    out = {name: found[name] for name in ("kind", "crop_px") if name in found}
    for name, known in _NAMES.items():
        own = [key for key in found if key.lower() in known]
        if len(own) > 1:
            raise FormatError(f"{' and '.join(own)}: two arrays of one meaning", path=place)
        if own:
            out[name] = found[own[0]]
        elif name in ("images", "count", "crystal"):
            raise FormatError(
                f"no array {' or '.join(known)} among {', '.join(found) or 'none'}",
                path=place, key=name,
            )  # fmt: skip
    n = len(np.atleast_1d(out["images"]))
    for name in _NAMES:
        if name in out and (out[name].ndim == 0 or len(out[name]) != n):
            raise FormatError(
                f"{name} of shape {out[name].shape} for {n} pictures", path=place, key=name
            )
    return out


def _schema(found: Mapping[str, NDArray[Any]], path: Path) -> int:
    try:
        return int(np.ravel(found["schema"])[0])
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise FormatError("schema is no number", path=path, key="schema") from error


def _read_hdf5(path: Path) -> Columns:
    import h5py

    try:
        with read_hdf5(path) as file:
            out = {}
            for name, item in file.items():
                if isinstance(item, h5py.Dataset) and item.ndim:
                    check_written(item, path)
                    text = h5py.check_string_dtype(item.dtype) is not None
                    out[str(name)] = item.asstr()[...].astype(np.str_) if text else item[...]
            return out
    except FormatError:
        raise
    except BROKEN as error:
        raise FormatError(f"cannot read as HDF5: {first_line(error)}", path=path) from error


def _read_npz(path: Path) -> Columns:
    try:
        with np.load(path, allow_pickle=False) as file:
            # a member that is no array comes as bytes
            out = {name: np.asarray(file[name]) for name in file.files}
        for values in out.values():
            if values.dtype.kind == "U":
                values.tolist()  # which refuses what is no text
        return out
    except BROKEN as error:
        raise FormatError(f"cannot read as npz: {first_line(error)}", path=path) from error


def samples_of(
    columns: Columns, path: Path, seen: Callable[[NDArray[Any], float], NDArray[Any]], *,
    size: int, channels: int,
) -> Samples:  # fmt: skip
    """Samples of the arrays of a file.

    Parameters
    ----------
    columns, path
        What :func:`read_columns` gave of which file.
    seen
        Makes (channels, size, size) of a picture (h, w[, 3]) at a zoom, for files that are not
        ours.
    size, channels
        That are expected.

    Raises
    ------
    ConfigError
        Our file has pictures of another size or number of channels; counts that are none.
    """
    images, kind = columns["images"], columns.get("kind")
    rest = {name: columns[name] for name in ("zoom", "omega_rad", "name") if name in columns}
    try:
        count = columns["count"].astype(np.float64)
        if kind is not None and kind.size and str(kind.flat[0]) == KIND:
            if images.ndim != 4 or images.shape[1:] != (channels, size, size):
                raise ConfigError(
                    f"pictures of (channels, size, size) {images.shape[1:]}: expected "
                    f"{(channels, size, size)}; give the channels and the size of the file"
                )
            return Samples(
                images.astype(np.float32, copy=False), count, columns["crystal"].astype(np.str_),
                **rest,
            )  # fmt: skip
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (3, 4)):
            raise ConfigError(
                f"pictures of shape {images.shape}: expected (n, h, w) or (n, h, w, 3)"
            )
        zoom = rest.get("zoom", np.full(len(images), np.nan)).astype(np.float64)
        made = np.empty((len(images), channels, size, size), dtype=np.float32)
        for i, picture in enumerate(images):
            made[i] = seen(picture, float(zoom[i]))
        return Samples(made, count, columns["crystal"].astype(np.str_), **rest)
    except ConfigError as error:
        raise ConfigError(str(error), path=path) from error
    except ValueError as error:
        raise FormatError(f"count: expected numbers: {error}", path=path, key="count") from error
