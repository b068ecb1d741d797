"""The header of a mini-CBF: the lines of ``#`` that Pilatus and Eiger detectors write.

Units are those of the file on the way in and ours (mm, Å, degrees by name) on the way out. The
words of the lines are those of measured Pilatus3 6M headers and of dxtbx's published reader; there
is no measured Eiger header among our data, whose lines are taken to be alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from refimpl.errors import FormatError
from refimpl.io.cbf import read_head

__all__ = ["Header", "header_fields", "read_header"]


def header_fields(text: str) -> dict[str, str]:
    """Values of a mini header by their first word; the time of the image is ``timestamp``.

    Lines that start with ``#``: ``=`` and ``:`` are dropped, the first word is the key.
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("#") or line.startswith("###CBF"):
            continue
        if len(line.split()) <= 2 and line.count(":") == 2:
            fields["timestamp"] = line.split()[-1]
            continue
        words = line.replace("=", "").replace(":", "").split()[1:]
        if words:
            fields[words[0]] = " ".join(words[1:])
    return fields


@dataclass(frozen=True)
class Header:
    """Geometry that a mini header states, in our units.

    Attributes
    ----------
    detector
        Model and serial number, as written.
    size_px, pixel_size_mm, beam_px
        Along (fast, slow).
    distance_mm, wavelength_angstrom
        As written.
    thickness_mm, material
        Of the sensor; 0 and empty where it is not stated.
    count_cutoff
        Largest count that is valid.
    start_angle_deg, increment_deg
        Rotation at the start of the image and during it; 0 where it is not stated.
    exposure_s
        Time.
    two_theta_deg
        Of the arm that carries the detector; 0 where it is not stated.
    """

    detector: str
    size_px: tuple[int, int]
    pixel_size_mm: tuple[float, float]
    beam_px: tuple[float, float]
    distance_mm: float
    wavelength_angstrom: float
    thickness_mm: float
    material: str
    count_cutoff: float
    start_angle_deg: float
    increment_deg: float
    exposure_s: float
    two_theta_deg: float = 0.0


def read_header(path: str | Path) -> Header:
    """Header of a mini-CBF; the pixels are not decoded.

    Raises
    ------
    FormatError
        Not such a file, or a line that is needed is missing or holds no number; it is named.
    """
    file = Path(path)
    text, section = read_head(file)
    fields = header_fields(text)
    pixel = _numbers(fields, "Pixel_size", 2, file)
    sensor = next((k for k in ("Silicon", "CdTe", "GaAs") if k in fields), "")
    thickness = _numbers(fields, sensor, 1, file)[0] * 1e3 if sensor else 0.0
    turns = [
        _numbers(fields, k, 1, file)[0] if k in fields else 0.0
        for k in ("Start_angle", "Angle_increment", "Exposure_time", "Detector_2theta")
    ]
    return Header(
        detector=fields.get("Detector", ""),
        size_px=tuple(  # type: ignore[arg-type]
            int(_numbers(section, f"X-Binary-Size-{n}-Dimension", 1, file)[0])
            for n in ("Fastest", "Second")
        ),
        pixel_size_mm=(pixel[0] * 1e3, pixel[1] * 1e3),
        beam_px=_pair(_numbers(fields, "Beam_xy", 2, file)),
        distance_mm=_numbers(fields, "Detector_distance", 1, file)[0] * 1e3,
        wavelength_angstrom=_numbers(fields, "Wavelength", 1, file)[0],
        thickness_mm=thickness,
        material={"Silicon": "Si"}.get(sensor, sensor),
        count_cutoff=_numbers(fields, "Count_cutoff", 1, file)[0],
        start_angle_deg=turns[0],
        increment_deg=turns[1],
        exposure_s=turns[2],
        two_theta_deg=turns[3],
    )


def _numbers(fields: Mapping[str, str], key: str, n: int, file: Path) -> list[float]:
    """First ``n`` numbers of a line."""
    if key not in fields:
        raise FormatError(f"no line {key!r} in the header: not a mini-CBF", path=file, key=key)
    found = re.findall(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", fields[key])
    if len(found) < n:
        raise FormatError(f"{key} {fields[key]!r}: expected {n} number(s)", path=file, key=key)
    return [float(v) for v in found[:n]]


def _pair(values: Sequence[float]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
