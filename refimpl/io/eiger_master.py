"""What a master file of an Eiger says of its detector and beam, for counting spots on its frames.

The keys are those of Dectris' file writer (NeXus names under ``entry/instrument``); the detector
faces the beam. Frames are numbered from 1, as in the names of the pictures that are made of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import FormatError
from refimpl.hdf5 import read_hdf5
from refimpl.imaging.distl import FlatDetector
from refimpl.io.frame_source import BROKEN, FrameSource

__all__ = ["EigerGeometry", "eiger_counts", "read_eiger_geometry"]

_DETECTOR: Final = "entry/instrument/detector"
_METRES: Final = {"m": 1e3, "mm": 1.0, "um": 1e-3}
_LONGEST: Final = 1000  # numbers where one is looked for; some writers give one a frame
_ANGSTROM: Final = {"angstrom": 1.0, "a": 1.0, "nm": 10.0, "m": 1e10}


class EigerGeometry(NamedTuple):
    """Flat detector and the largest count that is valid."""

    detector: FlatDetector
    overload: int


def read_eiger_geometry(path: str | Path, shape: tuple[int, int]) -> EigerGeometry:
    """Geometry in a master file.

    Parameters
    ----------
    shape
        Pixels of a frame (slow, fast).

    Raises
    ------
    FormatError
        Not HDF5, or a key is missing, has no value or an unknown unit; it is named.
    """
    place = Path(path)
    try:
        with read_hdf5(place) as file:
            pixel = _length(file, f"{_DETECTOR}/x_pixel_size", place)
            beam = [_number(file, f"{_DETECTOR}/beam_center_{axis}", place)[0] for axis in "xy"]
            distance = _length(file, f"{_DETECTOR}/detector_distance", place)
            wave, unit = _wavelength(file, place)
            cutoff = f"{_DETECTOR}/detectorSpecific/countrate_correction_count_cutoff"
            overload = int(_number(file, cutoff, place)[0]) if cutoff in file else 2**31 - 2
    except FormatError:
        raise
    except BROKEN as error:
        raise FormatError("not a readable HDF5 file", path=place) from error
    scale = _ANGSTROM.get(unit.lower() or "angstrom")
    if scale is None:
        raise FormatError(f"wavelength in {unit!r}: expected angstrom, nm or m", path=place)
    at = (beam[0] * pixel, beam[1] * pixel)
    return EigerGeometry(FlatDetector(shape, pixel, distance, wave * scale, at), overload)


def eiger_counts(source: FrameSource, index: int) -> NDArray[np.int32]:
    """Counts of a frame, numbered from 0 here; gaps, masked and dead pixels are -1."""
    frame = source.frame(index)
    if frame.dtype.kind not in "iu":
        raise FormatError(f"pixels of type {frame.dtype}: expected counts", path=source.path)
    dead = frame == np.iinfo(frame.dtype).max if frame.dtype.kind == "u" else frame < 0
    if source.pixel_mask is not None:
        dead |= source.pixel_mask
    most = min(2**31 - 1, int(np.iinfo(frame.dtype).max))  # files of 8 and 16 bits are common
    out = np.minimum(frame, frame.dtype.type(most)).astype(np.int32)
    out[dead] = -1
    return out


def _number(file: Any, key: str, path: Path) -> tuple[float, str]:
    if key not in file:
        raise FormatError(f"no {key}: not a master file of an Eiger", path=path, key=key)
    item = file[key]
    try:
        if item.size > _LONGEST:
            raise ValueError(f"{item.size} numbers")
        value = float(np.ravel(item[()])[0])
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise FormatError(f"{key} holds no number", path=path, key=key) from error
    if not np.isfinite(value):
        raise FormatError(f"{key} is {value}: expected a finite number", path=path, key=key)
    unit = item.attrs.get("units", "")
    return value, unit.decode() if isinstance(unit, bytes) else str(unit)


def _length(file: Any, key: str, path: Path) -> float:
    """Length [mm]; the file writer's unit is the metre."""
    value, unit = _number(file, key, path)
    scale = _METRES.get(unit or "m")
    if scale is None or not value > 0.0:
        raise FormatError(f"{key} {value:g} {unit}: expected a length > 0 in m", path=path, key=key)
    return value * scale


def _wavelength(file: Any, path: Path) -> tuple[float, str]:
    keys = ("entry/instrument/beam/incident_wavelength", "entry/sample/beam/incident_wavelength")
    return _number(file, next((k for k in keys if k in file), keys[0]), path)
