"""The .poni file of pyFAI, versions 1 and 2: text to numbers and back, in pyFAI's own units.

What the numbers mean is in :mod:`refimpl.interop.pyfai`. *Not* read: splines, curved, hexagonal and
pixel-wise distorted detectors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from refimpl.errors import FormatError, GeometryError
from refimpl.frames import F64
from refimpl.reading import parse_json, read_text

__all__ = [
    "ANGSTROM_PER_M",
    "DETECTORS",
    "ORIENTATIONS",
    "Poni",
    "format_poni",
    "parse_poni",
    "read_poni",
]

ANGSTROM_PER_M: Final = 1e10

ORIENTATIONS: Final = {3: (), 2: (2,), 4: (1,), 1: (1, 2)}
"""pyFAI's orientation of the image it is given, as the flips that undo it."""

DETECTORS: Final = {
    "detector": (None, None),
    "pilatus": (None, 172e-6),
    "pilatus100k": ((195, 487), 172e-6),
    "pilatus200k": ((407, 487), 172e-6),
    "pilatus300k": ((619, 487), 172e-6),
    "pilatus300kw": ((195, 1475), 172e-6),
    "pilatus1m": ((1043, 981), 172e-6),
    "pilatus2m": ((1679, 1475), 172e-6),
    "pilatus6m": ((2527, 2463), 172e-6),
    "eiger": (None, 75e-6),
    "eiger500k": ((514, 1030), 75e-6),
    "eiger1m": ((1065, 1030), 75e-6),
    "eiger4m": ((2167, 2070), 75e-6),
    "eiger9m": ((3269, 3110), 75e-6),
    "eiger16m": ((4371, 4150), 75e-6),
    "eiger2500k": ((512, 1028), 75e-6),
    "eiger21m": ((1062, 1028), 75e-6),
    "eiger24m": ((2162, 2068), 75e-6),
    "eiger29m": ((3262, 3108), 75e-6),
    "eiger216m": ((4362, 4148), 75e-6),
}
"""Shape (rows, columns) and pixel size [m] of flat detectors that a file may give by name alone."""


@dataclass(frozen=True)
class Poni:
    """The numbers of a .poni file, in its own units.

    Attributes
    ----------
    dist_m, poni1_m, poni2_m
        Distance, and point of normal incidence along axis 1 (slow) and 2 (fast).
    rot1_rad, rot2_rad, rot3_rad
        Rotations.
    pixel1_m, pixel2_m
        Pixel size along axis 1 and 2.
    shape
        (rows, columns) of the image, or None where the file does not say.
    wavelength_m
        Or None.
    orientation
        1 to 4 as in EXIF; 3 is pyFAI's own.
    detector
        Name in the file.
    """

    dist_m: float
    poni1_m: float
    poni2_m: float
    rot1_rad: float = 0.0
    rot2_rad: float = 0.0
    rot3_rad: float = 0.0
    pixel1_m: float = 0.0
    pixel2_m: float = 0.0
    shape: tuple[int, int] | None = None
    wavelength_m: float | None = None
    orientation: int = 3
    detector: str = "Detector"

    def rotation(self) -> F64:
        """(3, 3) matrix R3 R2 R1 in pyFAI's axes."""
        (c1, c2, c3), (s1, s2, s3) = (f(self._rot) for f in (np.cos, np.sin))
        r1 = np.array([[1.0, 0.0, 0.0], [0.0, c1, s1], [0.0, -s1, c1]])
        r2 = np.array([[c2, 0.0, -s2], [0.0, 1.0, 0.0], [s2, 0.0, c2]])
        r3 = np.array([[c3, -s3, 0.0], [s3, c3, 0.0], [0.0, 0.0, 1.0]])
        return np.asarray(r3 @ r2 @ r1)

    @property
    def _rot(self) -> F64:
        return np.array([self.rot1_rad, self.rot2_rad, self.rot3_rad])

    @property
    def wavelength_angstrom(self) -> float | None:
        """Wavelength [Å], or None."""
        return None if self.wavelength_m is None else self.wavelength_m * ANGSTROM_PER_M


def parse_poni(text: str, path: str | Path | None = None) -> Poni:
    """Geometry from the text of a .poni file; of several entries the last counts, as in pyFAI.

    Raises
    ------
    FormatError
        A line is not ``key: value``, a value is not a number, a needed key is missing, or the
        version is newer than 2.
    GeometryError
        The detector is not a plain flat one.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        key, colon, value = words.partition(":")
        if not colon:
            raise FormatError(f"{words[:60]!r}: expected 'key: value'", path=path, line=number)
        found[key.strip().lower()] = value.strip()
    version = _number(found, "poni_version", path, 1.0)
    if version >= 3:
        raise FormatError(f"poni_version {version:g} is newer than 2", path=path)
    if (spline := found.get("splinefile", "None")) not in ("None", ""):
        raise GeometryError(f"distortion spline {spline!r} cannot be read", path=path)
    name = found.get("detector", "Detector")
    config = _config(found.get("detector_config", "{}"), path)
    shape, pixel = _known_detector(name, config, path)
    sizes = [
        _number(found, f"pixelsize{axis}", path, _pixel(config, axis, path) or pixel or 0.0)
        for axis in (1, 2)
    ]
    if min(sizes) <= 0.0:
        raise FormatError("no pixel size: PixelSize1 or Detector_config is needed", path=path)
    return Poni(
        dist_m=_number(found, "distance", path),
        poni1_m=_number(found, "poni1", path),
        poni2_m=_number(found, "poni2", path),
        rot1_rad=_number(found, "rot1", path, 0.0),
        rot2_rad=_number(found, "rot2", path, 0.0),
        rot3_rad=_number(found, "rot3", path, 0.0),
        pixel1_m=sizes[0],
        pixel2_m=sizes[1],
        shape=shape,
        wavelength_m=_number(found, "wavelength", path) if "wavelength" in found else None,
        orientation=_orientation(config, path),
        detector=name,
    )


def _number(
    found: Mapping[str, str], key: str, path: str | Path | None, default: float | None = None
) -> float:
    if key not in found:
        if default is None:
            raise FormatError(f"the key {key!r} is missing", path=path, key=key)
        return default
    try:
        value = float(found[key])
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise FormatError(f"{key}: {found[key]!r} is not a number", path=path, key=key)
    return value


def _config(text: str, path: str | Path | None) -> dict[str, Any]:
    try:
        config = parse_json(text)
    except (ValueError, RecursionError) as exc:  # a number of 5000 digits, 1000 brackets, too
        raise FormatError(f"Detector_config is not JSON: {exc}", path=path) from exc
    if not isinstance(config, dict):
        raise FormatError(f"Detector_config {text[:40]!r}: expected a JSON object", path=path)
    return config


def _known_detector(
    name: str, config: Mapping[str, Any], path: str | Path | None
) -> tuple[tuple[int, int] | None, float | None]:
    """Shape and pixel size by name and configuration, for flat detectors only."""
    if config.get("splineFile") or config.get("x_offset_file"):
        raise GeometryError("a detector with a distortion file cannot be read", path=path)
    key = re.sub(r"[ _-]|cdte", "", name.lower())
    key = re.sub(r"^pilatus3x?(?=\d+m|300k|$)", "pilatus", key)  # Pilatus3 2M is a Pilatus 2M
    if key not in DETECTORS and not ("pixel1" in config and "max_shape" in config):
        raise GeometryError(
            f"detector {name!r} is not known as a flat one: its pixel size and shape are needed "
            "(pixel1, pixel2 and max_shape in Detector_config, with detector 'Detector')",
            path=path,
        )
    shape, pixel = DETECTORS.get(key, (None, None))
    listed = config.get("max_shape")
    if not listed:
        return shape, pixel
    try:
        n_slow, n_fast = (int(n) for n in listed)
    except (TypeError, ValueError, OverflowError) as exc:
        raise FormatError(f"max_shape {listed!r}: expected two whole numbers", path=path) from exc
    return (n_slow, n_fast), pixel


def _pixel(config: Mapping[str, Any], axis: int, path: str | Path | None) -> float | None:
    """Pixel size [m] in the configuration, None where it is not given."""
    value = config.get(f"pixel{axis}")
    try:
        return float(value) if value else None
    except (TypeError, ValueError, OverflowError) as exc:
        raise FormatError(f"pixel{axis} {value!r}: expected a number", path=path) from exc


def _orientation(config: Mapping[str, Any], path: str | Path | None) -> int:
    value = config.get("orientation") or 3  # 0 means not given
    if value not in ORIENTATIONS:
        raise GeometryError(
            f"orientation {value!r}: expected 1 to 4 (pyFAI has no transposed ones)", path=path
        )
    return int(value)


def read_poni(path: str | Path) -> Poni:
    """Geometry of a .poni file; see :func:`parse_poni`."""
    try:
        text = read_text(path, errors="replace")
    except OSError as exc:
        raise FormatError(f"cannot be read: {exc.strerror}", path=path) from exc
    return parse_poni(text, path)


def format_poni(poni: Poni) -> str:
    """Text of a .poni file, version 2.1, numbers with 17 digits."""
    config: dict[str, Any] = {"pixel1": poni.pixel1_m, "pixel2": poni.pixel2_m}
    config["max_shape"] = None if poni.shape is None else list(poni.shape)
    config["orientation"] = poni.orientation
    lines = [
        "# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis",
        "poni_version: 2.1",
        "Detector: Detector",
        f"Detector_config: {json.dumps(config)}",
        f"Distance: {poni.dist_m!r}",
        f"Poni1: {poni.poni1_m!r}",
        f"Poni2: {poni.poni2_m!r}",
        f"Rot1: {poni.rot1_rad!r}",
        f"Rot2: {poni.rot2_rad!r}",
        f"Rot3: {poni.rot3_rad!r}",
    ]
    if poni.wavelength_m is not None:
        lines.append(f"Wavelength: {poni.wavelength_m!r}")
    return "\n".join(lines) + "\n"
