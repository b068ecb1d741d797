"""The ``.MIDAS.zip`` archive: what AutoCalibrate converts TIFF, GE and HDF5 files to.

A zip store of Zarr format 2, chunks of one frame, Blosc (Zstandard 3, bit shuffle):
``/exchange/data`` (frames, z, y), ``/exchange/dark``, the parameters as arrays of one or a few
numbers under ``/analysis/process/analysis_parameters``, the pixel type under
``/measurement/process/scan_parameters``. Layout as the published converter writes it; its C
programs read chunk files by name, so every chunk is stored, zeros too. Pixels keep their type, so
the marks of signed detectors survive (the published converter reads TIFF as unsigned).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from refimpl.errors import ConfigError, FormatError
from refimpl.io.atomic import atomic_path
from refimpl.io.frame_source import BROKEN, FrameSource, first_line
from refimpl.io.image import Image
from refimpl.io.images import open_source, read
from refimpl.io.midas_keys import KEYS, find_key
from refimpl.io.midas_params import MidasParams
from refimpl.io.zarr_images import open_tree

__all__ = ["CONVERT_FILE", "convert", "read_archive"]

CONVERT_FILE = {0: "Zarr", 1: "HDF5", 2: "GE", 3: "TIFF"}
"""Meaning of the published switch ``-ConvertFile``."""
_SUFFIXES = {
    1: (".h5", ".hdf5", ".hdf", ".nxs"),
    2: (".ge", ".ge1", ".ge2", ".ge3", ".ge4", ".ge5", ".raw", ".bin"),
    3: (".tif", ".tiff"),
}
_NEEDED = ("SpaceGroup", "LatticeConstant", "Wavelength", "px")
_RENAMED = {"px": "PixelSize", "LatticeConstant": "LatticeParameter"}
_BACK = {stored: name for name, stored in _RENAMED.items()}
# Whole numbers that the published converter stores as double all the same.
_AS_DOUBLE = ("RingsToExclude", "BadPxIntensity", "GapIntensity")
_ANALYSIS = "analysis/process/analysis_parameters"
_SCAN = "measurement/process/scan_parameters"
_MOST_DARKS = 10_000
"""Dark frames that are looked at; those that are not stored take as long as others."""
# The published converter stands ten frames of zeros in for a missing dark; one says the same.
_N_DARK = 1


def convert(
    path: str | Path,
    params: MidasParams,
    output: str | Path | None = None,
    *,
    convert_file: Literal[0, 1, 2, 3] | None = None,
    dark: str | Path | None = None,
    dataset: str | None = None,
    dark_dataset: str | None = None,
) -> Path:
    """Convert a TIFF, GE or HDF5 file to a ``.MIDAS.zip`` archive; atomic.

    Parameters
    ----------
    path
        The file. All its frames are kept.
    params
        SpaceGroup, LatticeConstant, Wavelength and px are needed. Raw files: HeadSize, DataType,
        NrPixelsY, NrPixelsZ.
    output
        Archive to write; None: ``<stem>.MIDAS.zip`` beside the file.
    convert_file
        1 HDF5, 2 GE, 3 TIFF: checked against the name; None takes what the name says.
    dark, dataset, dark_dataset
        Dark file and datasets (``-darkFN``, ``-dataLoc``). Zeros where there is no dark.

    Returns
    -------
    The archive.

    Raises
    ------
    ConfigError
        A needed parameter is missing, ``convert_file`` does not fit the name, or the archive
        cannot be written.
    FormatError
        The file or the dark cannot be read, or they differ in shape.
    """
    file = Path(path)
    params.require(*_NEEDED)
    _check_kind(file, convert_file)
    target = Path(output) if output is not None else file.with_name(f"{file.stem}.MIDAS.zip")
    raw = {
        "data_type": params.given.get("DataType"),
        "head_size": params["HeadSize"],
        "shape": params.shape,
    }
    # DataType describes raw files; a TIFF or HDF5 file states its own type.
    options: dict[str, Any] = raw if file.suffix.lower() in _SUFFIXES[2] else {}
    with open_source(file, dataset, **options) as source, atomic_path(target) as temporary:
        _write(temporary, source, _dark_frames(source, file, dark, dark_dataset, options), params)
    return target


def _check_kind(file: Path, convert_file: int | None) -> None:
    if convert_file is None:
        return
    if convert_file not in _SUFFIXES:
        raise ConfigError(
            f"ConvertFile {convert_file} converts nothing; 1 HDF5, 2 GE, 3 TIFF", path=file
        )
    if file.suffix.lower() not in _SUFFIXES[convert_file]:
        raise ConfigError(
            f"ConvertFile {convert_file} is for {CONVERT_FILE[convert_file]} files "
            f"({', '.join(_SUFFIXES[convert_file])}), not {file.suffix or 'without a suffix'}",
            path=file,
            key="ConvertFile",
        )


def _dark_frames(
    source: FrameSource,
    file: Path,
    dark: str | Path | None,
    dark_dataset: str | None,
    options: dict[str, Any],
) -> np.ndarray[Any, Any]:
    """Dark frames (frames, z, y) as stored, or zeros."""
    if dark is None and dark_dataset is None:
        return np.zeros((_N_DARK, *source.shape), dtype=source.dtype)
    name = Path(dark) if dark is not None else file
    with open_source(name, dark_dataset, **options) as stored:
        if stored.shape != source.shape:
            raise FormatError(
                f"the dark has {stored.shape} pixels, the image {source.shape}", path=name
            )
        return np.stack([stored.frame(n) for n in range(stored.n_frames)])


def _write(
    path: Path, source: FrameSource, dark: np.ndarray[Any, Any], params: MidasParams
) -> None:
    import zarr

    store = zarr.storage.ZipStore(path, mode="w")
    try:
        root = zarr.group(store=store, zarr_format=2)
        data = _array(root, "exchange/data", (source.n_frames, *source.shape), source.dtype)
        for index in range(source.n_frames):
            data[index] = source.frame(index)
        for name in ("dark", "bright"):
            _array(root, f"exchange/{name}", dark.shape, dark.dtype)[:] = dark
        kind = np.array(source.dtype.name.encode())
        _array(root, f"{_SCAN}/datatype", (), kind.dtype)[...] = kind
        for name, value in _parameters(params).items():
            _array(root, f"{_ANALYSIS}/{name}", value.shape, value.dtype)[:] = value
    finally:
        store.close()


def _array(root: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Array with one chunk a frame, stored even where it holds only zeros."""
    from numcodecs import Blosc  # type: ignore[import-untyped, unused-ignore]

    chunks = (1, *shape[1:]) if len(shape) == 3 else shape
    return root.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        compressors=Blosc(cname="zstd", clevel=3, shuffle=Blosc.BITSHUFFLE),
        config={"write_empty_chunks": True},
    )


def _parameters(params: MidasParams) -> dict[str, np.ndarray[Any, Any]]:
    """Numeric parameters under their names in the archive, as float64 or int32 arrays."""
    stored: dict[str, np.ndarray[Any, Any]] = {}
    for name in dict.fromkeys([*params, "SkipFrame", "tx"]):
        key, value = find_key(name), params[name]
        if key.kind == "str" or value is None:
            continue
        is_int = key.kind == "int" and name not in _AS_DOUBLE
        numbers = np.atleast_1d(np.asarray(value, dtype="<i4" if is_int else "<f8"))
        if name == "RingsToExclude":
            stored[name] = numbers[np.newaxis]
        elif name == "BC":
            stored["YCen"], stored["ZCen"] = numbers[:1], numbers[1:]
        elif numbers.size:
            stored[_RENAMED.get(name, name)] = numbers
    return stored


def read_archive(path: str | Path, **options: Any) -> tuple[Image, MidasParams]:
    """Read a ``.MIDAS.zip``: mean image after SkipFrame, dark subtracted, and the parameters.

    Parameters
    ----------
    path
        The archive.
    **options
        As for :func:`refimpl.io.images.read`; ``dark`` given there replaces the archive's.

    Returns
    -------
    The image, and the parameters that have a key in :data:`refimpl.io.midas_keys.KEYS`.

    Raises
    ------
    FormatError
        Not such an archive, damaged, or a parameter holds no finite number.
    """
    file = Path(path)
    if not file.exists():
        raise FormatError("no such file", path=file)
    params, has_dark = _read_tree(file)
    if "frames" not in options:
        options.setdefault("skip_frames", int(params.number("SkipFrame")))
    if has_dark and options.get("dark") is None:
        options.setdefault("dark_dataset", "exchange/dark")
    return read(file, dataset="exchange/data", **options), params


def _read_tree(file: Path) -> tuple[MidasParams, bool]:
    """Parameters of the archive, and whether its dark is more than a stand-in of zeros."""
    root, close = open_tree(file)
    try:
        if root.get("exchange/data") is None:
            raise FormatError("no exchange/data: not a MIDAS archive", path=file)
        group = root.get(_ANALYSIS)
        stored = {name: array[...] for name, array in group.arrays()} if group is not None else {}
        dark = root.get("exchange/dark")
        if dark is not None and dark.shape[0] > _MOST_DARKS:
            raise FormatError(
                f"exchange/dark states {dark.shape[0]} frames: expected at most {_MOST_DARKS}",
                path=file,
            )
        has_dark = dark is not None and any(np.any(dark[n]) for n in range(dark.shape[0]))
    except FormatError:
        raise
    except BROKEN as error:
        raise FormatError(f"damaged MIDAS archive: {first_line(error)}", path=file) from error
    finally:
        close()
    given = {}
    for name, array in stored.items():
        key = KEYS.get(_BACK.get(name, name))
        if key is not None and key.kind != "str":
            given[key.name] = _value(key.kind, key.count, key.repeatable, array, file, name)
    if "YCen" in stored and "ZCen" in stored:
        centre = [_value("float", 1, False, stored[n], file, n) for n in ("YCen", "ZCen")]
        given["BC"] = tuple(float(v) for v in centre)
    return MidasParams(given, file), has_dark


def _value(
    kind: str, count: int, repeatable: bool, array: np.ndarray[Any, Any], file: Path, name: str
) -> Any:
    numbers = np.ravel(array)
    if numbers.dtype.kind not in "iuf" or not np.isfinite(numbers).all() or not numbers.size:
        raise FormatError(f"the parameter {name} holds no finite number", path=file, key=name)
    plain = tuple(int(n) if kind == "int" else float(n) for n in numbers)
    return plain if repeatable or count != 1 else plain[0]
