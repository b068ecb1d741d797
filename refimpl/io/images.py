"""One way in for every image: ``read`` a file, or take an array, and get an :class:`Image`.

TIFF, CBF, EDF, GE and raw frames, HDF5 (Eiger too), Zarr (MIDAS archives too) and npy. Gaps and
dead pixels are told from counts on the stored integers of each frame, then frames are averaged,
the dark is subtracted and the transforms are applied. Memory is a few frames whatever the length
of the stack. Not done here: flat fields, panel geometry, finding the transform that fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, FormatError
from refimpl.io.flat_formats import GE_HEAD_SIZE, RAW_TYPES
from refimpl.io.frame_source import FrameSource, select_frames
from refimpl.io.image import Image, check_usable
from refimpl.io.image_assembly import Stored, assemble
from refimpl.io.transforms import apply_transforms, checked_codes, undo_transforms

__all__ = [
    "Image",
    "apply_transforms",
    "check_usable",
    "from_array",
    "has_image_name",
    "open_source",
    "read",
    "undo_transforms",
]

_RAW_SUFFIXES = {".ge", ".ge1", ".ge2", ".ge3", ".ge4", ".ge5", ".raw", ".bin"}
_SUFFIXES = {
    ".tif": "tiff", ".tiff": "tiff", ".cbf": "fabio", ".edf": "fabio", ".npy": "npy",
    ".h5": "hdf5", ".hdf5": "hdf5", ".hdf": "hdf5", ".nxs": "hdf5", ".zip": "zarr", ".zarr": "zarr",
}  # fmt: skip
_MAGIC = (
    (b"II*\x00", "tiff"), (b"MM\x00*", "tiff"), (b"II+\x00", "tiff"), (b"\x89HDF\r\n", "hdf5"),
    (b"\x93NUMPY", "npy"), (b"PK\x03\x04", "zarr"), (b"###CBF", "fabio"), (b"{", "fabio"),
)  # fmt: skip
_OF_DATA_TYPE = {6: "tiff", 7: "tiff", 8: "hdf5", 9: "tiff", 10: "fabio"}


def read(
    path: str | Path,
    *,
    dataset: str | None = None,
    frames: int | slice | Sequence[int] | None = None,
    dark: str | Path | NDArray[Any] | None = None,
    dark_dataset: str | None = None,
    mask: str | Path | NDArray[Any] | None = None,
    bad_values: float | Iterable[float] | None = None,
    gap_values: float | Iterable[float] | None = None,
    transforms: Sequence[int] = (),
    average: bool = True,
    data_type: int | None = None,
    head_size: int = GE_HEAD_SIZE,
    shape: tuple[int, int] | None = None,
    skip_frames: int = 0,
    saturation: float | None = None,
) -> Image:
    """Read an image of any known format.

    Parameters
    ----------
    path
        .tif .tiff .cbf .edf .ge .ge1-.ge5 .raw .bin .h5 .hdf5 .hdf .nxs .zarr .zip .npy, also
        gzipped TIFF, CBF and EDF; other names are known by their first bytes.
    dataset
        Dataset inside HDF5 or Zarr; None finds it or lists the candidates.
    frames
        Which frames of a stack: all, one, a slice or a list. Numbered from 0.
    dark, dark_dataset
        Dark frame(s), of the same shape, whose mean is subtracted. ``dark_dataset`` alone takes
        them from the same file.
    mask
        File or (n_slow, n_fast) array in the pixel order of the file: 1 (or 255) = masked.
    bad_values, gap_values
        Stored values that mark pixels, besides those detected
        (:func:`~refimpl.io.sentinels.detect_sentinels`).
    transforms
        ``ImTransOpt`` codes applied to data and mask at the end.
    average
        False keeps the selected frames as a stack.
    data_type, head_size, shape
        Raw files: MIDAS ``DataType`` (1 uint16, 2 double, 3 float, 4 uint32, 5 int32), header
        [bytes] and (n_slow, n_fast) [px]. 6, 7, 9: TIFF; 8: HDF5; 10: CBF.
    skip_frames
        Leave out this many frames at the start, of the dark file too.
    saturation
        Level from which a count is saturated; None takes the file's own statement, or the
        largest number of an 8- or 16-bit type.

    Raises
    ------
    FormatError
        Missing, truncated, corrupt or ambiguous file; shapes that do not fit; nothing unmasked.
    ConfigError
        An option that is out of range or contradicts another.

    Notes
    -----
    A pixel marked in any selected frame is masked. Sentinels are told on the raw integers before
    averaging; MIDAS 10 clamps values below 1 first, so that its marks are lost.
    """
    file = Path(path)
    raw: dict[str, Any] = {"data_type": data_type, "head_size": head_size, "shape": shape}
    with open_source(file, dataset, **raw) as source:
        dark_image = None
        if dark is not None or dark_dataset is not None:
            dark_image = _dark(dark if dark is not None else file, dark_dataset, skip_frames, raw)
        return assemble(
            source,
            select_frames(frames, skip_frames, source.n_frames, file),
            dark_image,
            _mask_array(mask),
            (_values(bad_values), _values(gap_values)),
            checked_codes(transforms),
            average,
            saturation,
        )


def from_array(
    array: NDArray[Any],
    *,
    mask: NDArray[Any] | None = None,
    dark: NDArray[Any] | None = None,
    bad_values: float | Iterable[float] | None = None,
    gap_values: float | Iterable[float] | None = None,
    transforms: Sequence[int] = (),
    saturation: float | None = None,
) -> Image:
    """Make an :class:`Image` of an array (n_slow, n_fast) or stack, with the rules of ``read``.

    Raises
    ------
    FormatError
        Not 2-D or 3-D numbers, shapes that do not fit, an ambiguous mask, nothing unmasked.
    """
    from refimpl.io.flat_formats import source_of_array

    source = source_of_array(np.asarray(array), Path("array"), {"format": "array"})
    dark_image = None if dark is None else from_array(dark)
    marks = (_values(bad_values), _values(gap_values))
    codes, indices = checked_codes(transforms), list(range(source.n_frames))
    stored = None if mask is None else (np.asarray(mask), None)
    return assemble(source, indices, dark_image, stored, marks, codes, True, saturation)


def _values(given: float | Iterable[float] | None) -> tuple[float, ...]:
    if given is None:
        return ()
    return tuple(given) if isinstance(given, Iterable) else (given,)


def open_source(
    path: Path,
    dataset: str | None = None,
    *,
    data_type: int | None = None,
    head_size: int = GE_HEAD_SIZE,
    shape: tuple[int, int] | None = None,
) -> FrameSource:
    """Open a file as frames: the reader is chosen by ``data_type``, name or first bytes.

    Raises
    ------
    FormatError, ConfigError
        As :func:`read`.
    """
    from refimpl.io import fabio_images, flat_formats, hdf5_images, zarr_images

    if not path.exists():
        raise FormatError("no such file", path=path)
    kind = _kind(path, data_type)
    if kind == "raw":
        return flat_formats.open_raw(path, data_type, head_size, shape)
    if kind == "hdf5":
        return hdf5_images.open_hdf5(path, dataset)
    if kind == "zarr":
        return zarr_images.open_zarr(path, dataset)
    if dataset is not None:
        raise ConfigError(
            f"dataset {dataset!r} is given, but a {kind} file has none", path=path, key="dataset"
        )
    openers: dict[str, Callable[[Path], FrameSource]] = {
        "tiff": flat_formats.open_tiff,
        "fabio": fabio_images.open_fabio,
        "npy": flat_formats.open_npy,
    }
    return openers[kind](path)


def has_image_name(path: Path) -> bool:
    """Whether the name alone says that this is an image of a known format."""
    return _suffix(path) in _RAW_SUFFIXES | _SUFFIXES.keys()


def _suffix(path: Path) -> str:
    """Last suffix of a name, that of a compression left out."""
    return Path(path.name.lower().removesuffix(".gz").removesuffix(".bz2")).suffix


def _kind(path: Path, data_type: int | None) -> str:
    from refimpl.io.zarr_images import is_zarr_folder

    if path.is_dir():
        if is_zarr_folder(path):
            return "zarr"
        raise FormatError("this folder is no Zarr tree; an image file is needed", path=path)
    if data_type is not None:
        return _OF_DATA_TYPE.get(data_type, "raw")
    suffix = _suffix(path)
    if suffix in _RAW_SUFFIXES:
        return "raw"
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    with open(path, "rb") as file:
        head = file.read(16)
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    raise FormatError(
        f"unknown image format {suffix or 'without a suffix'}; "
        "TIFF, CBF, EDF, GE, HDF5, Zarr and npy are read, raw frames with data_type",
        path=path,
    )


def _dark(
    dark: str | Path | NDArray[Any], dataset: str | None, skip_frames: int, raw: dict[str, Any]
) -> Image:
    """Mean dark; its own marked pixels are masked in the image too."""
    if isinstance(dark, np.ndarray):
        return from_array(dark)
    suffix = Path(dark).suffix.lower()
    own = suffix in _RAW_SUFFIXES or (raw["data_type"] in RAW_TYPES and suffix not in _SUFFIXES)
    options = raw if own else {}
    return read(dark, dataset=dataset, skip_frames=skip_frames, **options)


def _mask_array(
    mask: str | Path | NDArray[Any] | None,
) -> Stored | None:
    """Stored mask, before any rule about sentinels can touch it."""
    if mask is None:
        return None
    if isinstance(mask, (str, Path)):
        path = Path(mask)
        with open_source(path) as source:
            if source.n_frames != 1:
                raise FormatError(f"a mask of {source.n_frames} frames; one is needed", path=path)
            return source.frame(0), path
    return np.asarray(mask), None
