"""Simulated frames as files: TIFF or HDF5 with the truth inside as JSON.

The TIFF carries the truth as its image description, the HDF5 file as the data set ``truth`` beside
``entry/data/data`` (the image), ``entry/data/mask``, ``entry/data/defects`` and
``entry/data/expectation``. Any reader of the format sees an ordinary image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from refimpl.errors import ConfigError, FormatError
from refimpl.forward.simulated_frame import SimulatedFrame
from refimpl.hdf5 import read_hdf5
from refimpl.hdf5.writing import new_hdf5
from refimpl.io.atomic import atomic_path, json_text
from refimpl.io.flat_formats import quiet
from refimpl.io.frame_source import BROKEN
from refimpl.reading import parse_json

__all__ = ["DATASET", "TRUTH", "load_truth", "save"]

DATASET = "entry/data/data"
"""Where the image is in the HDF5 file."""

TRUTH = "truth"
"""Where the truth is in the HDF5 file, JSON text."""

_HEADING = "refimpl simulated frame\n"  # bare JSON with a "shape" is tifffile's own dialect
_TIFF, _HDF5 = (".tif", ".tiff"), (".h5", ".hdf5")


def _check_suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _TIFF + _HDF5:
        raise ConfigError(
            f"cannot tell the format of a simulated frame: expected {', '.join(_TIFF + _HDF5)}",
            path=path,
            got=suffix,
        )
    return suffix


def save(frame: SimulatedFrame, path: str | Path) -> Path:
    """Write a simulated frame; return the path.

    Raises
    ------
    ConfigError
        The suffix is none of .tif, .tiff, .h5, .hdf5, or the place cannot be written to.
    """
    target = Path(path)
    suffix = _check_suffix(target)
    truth = json_text(frame.truth.as_dict())
    with atomic_path(target) as temporary:
        if suffix in _TIFF:
            _write_tiff(frame, truth, temporary)
        else:
            _write_hdf5(frame, truth, temporary)
    return target


def _write_tiff(frame: SimulatedFrame, truth: str, path: Path) -> None:
    import tifffile

    image = frame.image if frame.image.dtype.kind == "i" else frame.image.astype(np.float32)
    tifffile.imwrite(path, image, description=_HEADING + truth, metadata=None, software="refimpl")


def _write_hdf5(frame: SimulatedFrame, truth: str, path: Path) -> None:
    folder, name = DATASET.rsplit("/", 1)
    with new_hdf5(path) as file:
        file[TRUTH] = truth
        group = file.create_group(folder)
        options: dict[str, Any] = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
        group.create_dataset(name, data=frame.image, **options)
        group.create_dataset("mask", data=frame.mask, **options)
        group.create_dataset("defects", data=frame.defects, **options)
        expected = frame.expectation.astype(np.float32)  # 1e-7 of a count is enough for looking
        group.create_dataset("expectation", data=expected, **options)


def load_truth(path: str | Path) -> dict[str, Any]:
    """Truth of a simulated frame, as :meth:`~refimpl.forward.simulated_frame.PowderTruth.as_dict`.

    Raises
    ------
    FormatError
        The file is missing, or holds no truth.
    """
    source = Path(path)
    suffix = _check_suffix(source)
    try:
        text = _tiff_text(source) if suffix in _TIFF else _hdf5_text(source)
        truth = parse_json(text)
    except FileNotFoundError:
        raise FormatError("no such file", path=source) from None
    except BROKEN as error:
        raise FormatError(f"holds no truth of a simulated frame ({error})", path=source) from error
    if not isinstance(truth, dict) or "model" not in truth:
        raise FormatError("holds no truth of a simulated frame", path=source)
    return truth


def _tiff_text(path: Path) -> str:
    import tifffile

    with quiet("tifffile"), tifffile.TiffFile(path) as file:
        return str(file.pages[0].description).removeprefix(_HEADING)


def _hdf5_text(path: Path) -> str:
    with read_hdf5(path) as file:
        return str(file[TRUTH].asstr()[()])
