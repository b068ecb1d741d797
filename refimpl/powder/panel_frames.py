"""Images of a parameter file of the published panel program: data, dark and masks.

Each file is an image of its own, the mean of its frames. (The published program sums frames, and
carries the sum on from file to file, so that the second is fitted on both: that is a known fault.)

``BadPxIntensity`` and ``GapIntensity`` have two readings. The published one: the pixels that hold
either value in the first frame of the *dark* are masked. Ours: those that hold it in the stored
*image*, before frames are averaged and the dark is subtracted, which is where detectors mark them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.io.image import Image
from refimpl.io.images import open_source, read
from refimpl.io.midas_params import MidasParams
from refimpl.io.sentinels import check_mask
from refimpl.io.transforms import apply_transforms
from refimpl.powder.panel_params import refuse
from refimpl.powder.published_summary import make_map_mode

__all__ = ["check_files", "file_mask", "read_published_frame", "read_stored", "value_mask"]

Mask = NDArray[np.bool_]

MASK_FILES = ("MaskFile", "GapFile", "BadPxFile")
NO_DARK = ("none", "/dev/null")
"""What stands for no dark; the published program takes any file that is not there for one."""

_KNOWN = (".tif", ".tiff", ".cbf", ".edf", ".h5", ".hdf5", ".hdf", ".nxs", ".zip", ".zarr", ".npy")


def check_files(params: MidasParams, *, published_quirks: bool = False) -> list[Path]:
    """Data files of the parameters, all of them there, and the dark and masks too.

    Parameters
    ----------
    params
        Checked by :func:`~refimpl.powder.panel_params.check_params`.
    published_quirks
        Take a dark that is not there for none, as published.

    Raises
    ------
    ConfigError
        A file is missing, or a raw format has no shape.
    """
    files = params.data_files()
    for file in files:
        if not file.exists():
            refuse(
                params, "FileStem", f"no file {file}: it is Folder/FileStem_ and StartNr to EndNr "
                "with Padding digits and Ext"
            )  # fmt: skip
    named = [key for key in MASK_FILES if key in params]
    if dark_file(params) is not None and not published_quirks:
        named.append("Dark")
    for key in named:
        if not Path(str(params[key])).exists():
            hint = "; write 'none' for no dark" if key == "Dark" else ""
            refuse(params, key, f"{key} {params[key]}: no such file{hint}")
    if _data_type(params) in (1, 2, 3, 4, 5) and params.shape is None:
        refuse(params, "DataType", "raw frames need NrPixelsY and NrPixelsZ, or NrPixels")
    return files


def dark_file(params: MidasParams) -> Path | None:
    """File of the dark, if one is named."""
    name = params["Dark"]
    return None if name is None or str(name).lower() in NO_DARK else Path(str(name))


def _data_type(params: MidasParams) -> int | None:
    """DataType, or None where the name of the file says it all and the key is not given."""
    if "DataType" not in params and str(params["Ext"]).lower() in _KNOWN:
        return None
    value = params["DataType"]
    return value if isinstance(value, int) else None


def _options(params: MidasParams) -> dict[str, Any]:
    """How the data files are read, without masks, marks and transforms."""
    options: dict[str, Any] = {"data_type": _data_type(params), "head_size": params["HeadSize"]}
    if params["SkipFrame"]:
        options["skip_frames"] = params["SkipFrame"]
    if params.shape is not None:
        options["shape"] = params.shape
    if "dataDataset" in params:
        options["dataset"] = params["dataDataset"]
    dark = dark_file(params)
    if dark is not None and dark.exists():
        options["dark"] = dark
    if "darkDataset" in params:
        options["dark_dataset"] = params["darkDataset"]
    return options


def file_mask(params: MidasParams, shape: tuple[int, int]) -> Mask | None:
    """(n_slow, n_fast) union of the mask files in the pixel order of the image file, True = bad.

    Raises
    ------
    ConfigError
        A mask has another shape than the image, or values that do not say which pixels it hides.
    """
    joined: Mask | None = None
    for key in (key for key in MASK_FILES if key in params):
        path = Path(str(params[key]))
        try:
            with open_source(path) as source:
                stored = source.frame(0)
            mask = check_mask(stored, shape)
        except FormatError as error:
            refuse(params, key, f"{key} {path}: {str(error).removeprefix(f'{path}: ')}")
        joined = mask if joined is None else joined | mask
    return joined


def value_mask(params: MidasParams, *, both: bool = False) -> Mask | None:
    """Published mask of BadPxIntensity and GapIntensity: pixels of the first dark frame.

    Parameters
    ----------
    params
        As read.
    both
        Take a key that is not given for 0, as published, so that one key alone masks every zero of
        the dark too.

    Returns
    -------
    (n_slow, n_fast) in the pixel order of the file, True = bad; None without these keys.

    Raises
    ------
    ConfigError
        There is no dark.
    """
    keys = ("BadPxIntensity", "GapIntensity")
    given = [key for key in keys if key in params]
    if not given:
        return None
    dark = dark_file(params)
    if (dark is None or not dark.exists()) and "darkDataset" not in params:
        refuse(
            params, given[0], f"{given[0]} without Dark: the published program finds these pixels "
            "in the first dark frame; give Dark or MaskFile, or leave --published out"
        )  # fmt: skip
    marks = [int(params[key] or 0) for key in (keys if both else given)]  # type: ignore[arg-type]
    file = params.data_files()[0] if dark is None else dark
    options: dict[str, Any] = {}
    if file.suffix.lower() not in _KNOWN:
        options = {"data_type": _data_type(params), "head_size": params["HeadSize"]}
        options["shape"] = params.shape
    name = params.given.get("darkDataset")  # without its default
    with open_source(file, None if name is None else str(name), **options) as source:
        first = source.frame(min(int(params["SkipFrame"] or 0), source.n_frames - 1))  # type: ignore[arg-type]
    if first.dtype.kind == "u":
        marks = [mark % 2 ** (8 * first.dtype.itemsize) for mark in marks]
    return np.isin(first, marks)


def read_stored(params: MidasParams, path: Path) -> Image:
    """Image of one file in its own pixel order, masked by our reading of the keys.

    Raises
    ------
    ConfigError, FormatError
        The file, the dark or a mask cannot be used.
    """
    marks = {
        name: params[key]
        for name, key in (("bad_values", "BadPxIntensity"), ("gap_values", "GapIntensity"))
        if key in params
    }
    options: Mapping[str, Any] = {**_options(params), **marks}
    if any(key in params for key in MASK_FILES):
        with open_source(path, options.get("dataset"), **_raw(options)) as source:
            shape = source.shape
        options = {**options, "mask": file_mask(params, shape)}
    return read(path, **options)


def _raw(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: options[k] for k in ("data_type", "head_size", "shape") if k in options}


def read_published_frame(
    params: MidasParams, path: Path, *, published_quirks: bool = False
) -> tuple[NDArray[np.float64], Mask, tuple[int, int]]:
    """Image and mask of one file in the model frame, masked by the published reading of the keys.

    Parameters
    ----------
    params, path
        Checked parameters, one of their files.
    published_quirks
        Mask nothing but what the keys say: marks in the image itself (-1, -2, 2^32 - 1) are
        data then, of value 0.

    Returns
    -------
    image, mask
        (n_slow, n_fast) float64 [counts] and bool, after ImTransOpt.
    shape
        (n_slow, n_fast) as stored.

    Raises
    ------
    ConfigError, FormatError
        The file, the dark or a mask cannot be used.
    """
    found = read(path, **_options(params))
    mask = np.zeros(found.shape, dtype=bool) if published_quirks else np.array(found.mask)
    if make_map_mode(params) == 1:
        marked = value_mask(params, both=published_quirks)
    else:
        marked = file_mask(params, found.shape)
    if marked is not None:
        if marked.shape != found.shape:
            refuse(
                params, "Dark", f"the dark has {marked.shape} pixels, the image {found.shape} "
                "(slow, fast)"
            )  # fmt: skip
        mask |= marked
    codes: Any = params["ImTransOpt"]
    image = np.array(apply_transforms(found.data, codes), dtype=np.float64)
    return image, np.array(apply_transforms(mask, codes)), found.shape
