"""What is read from EPU's XML of an exposure: where each quantity stands, and in which unit.

Everything is found by its whole path and its namespaces, never by a prefix or by the first element
of that name: ``ExposureTime`` and ``numericValue`` stand in several places. The files are in
metres, radians and volts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from refimpl.errors import FormatError
from refimpl.io.epu_names import seconds_of

__all__ = ["CUSTOM", "LABEL", "MISSED", "PATHS", "REQUIRED", "URI"]
__all__ += ["Fields", "convert", "fields_of"]


class Fields(NamedTuple):
    """Values of one file in the units of the table; NaN, "" or -1 where it does not tell.

    ``missing`` names those of :data:`MISSED` that are absent, and any value that cannot be read.
    """

    uid: str
    time: str
    time_s: float
    beam_shift_x: float
    beam_shift_y: float
    stage_x_um: float
    stage_y_um: float
    stage_z_um: float
    alpha_rad: float
    beta_rad: float
    beam_diameter_um: float
    beam_tilt_x: float
    beam_tilt_y: float
    image_shift_x: float
    image_shift_y: float
    pixel_size_angstrom: float
    image_to_stage_11: float
    image_to_stage_12: float
    image_to_stage_21: float
    image_to_stage_22: float
    voltage_kv: float
    magnification: float
    camera: str
    exposure_s: float
    epu_version: str
    instrument: str
    dose_per_angstrom2: float
    applied_defocus_um: float
    phase_plate: int
    missing: tuple[str, ...]


URI: Final = {
    "S": "http://schemas.datacontract.org/2004/07/Fei.SharedObjects",
    "T": "http://schemas.datacontract.org/2004/07/Fei.Types",
    "A": "http://schemas.microsoft.com/2003/10/Serialization/Arrays",
    "W": "http://schemas.datacontract.org/2004/07/System.Windows.Media",
}
PATHS: Final[dict[str, tuple[str, float]]] = {
    "uid": ("S:uniqueID", 0),
    "time": ("S:microscopeData/S:acquisition/S:acquisitionDateTime", 0),
    "beam_shift_x": ("S:microscopeData/S:optics/S:BeamShift/T:_x", 1),
    "beam_shift_y": ("S:microscopeData/S:optics/S:BeamShift/T:_y", 1),
    "stage_x_um": ("S:microscopeData/S:stage/S:Position/S:X", 1e6),
    "stage_y_um": ("S:microscopeData/S:stage/S:Position/S:Y", 1e6),
    "stage_z_um": ("S:microscopeData/S:stage/S:Position/S:Z", 1e6),
    "alpha_rad": ("S:microscopeData/S:stage/S:Position/S:A", 1),
    "beta_rad": ("S:microscopeData/S:stage/S:Position/S:B", 1),
    "beam_diameter_um": ("S:microscopeData/S:optics/S:BeamDiameter", 1e6),
    "beam_tilt_x": ("S:microscopeData/S:optics/S:BeamTilt/T:_x", 1),
    "beam_tilt_y": ("S:microscopeData/S:optics/S:BeamTilt/T:_y", 1),
    "image_shift_x": ("S:microscopeData/S:optics/S:ImageShift/T:_x", 1),
    "image_shift_y": ("S:microscopeData/S:optics/S:ImageShift/T:_y", 1),
    "pixel_size_angstrom": ("S:SpatialScale/S:pixelSize/S:x/S:numericValue", 1e10),
    "image_to_stage_11": ("S:ReferenceTransformation/S:matrix/W:_m11", 1e6),
    "image_to_stage_12": ("S:ReferenceTransformation/S:matrix/W:_m12", 1e6),
    "image_to_stage_21": ("S:ReferenceTransformation/S:matrix/W:_m21", 1e6),
    "image_to_stage_22": ("S:ReferenceTransformation/S:matrix/W:_m22", 1e6),
    "voltage_kv": ("S:microscopeData/S:gun/S:AccelerationVoltage", 1e-3),
    "magnification": ("S:microscopeData/S:optics/S:TemMagnification/S:NominalMagnification", 1),
    "camera": ("S:microscopeData/S:acquisition/S:camera/S:Name", 0),
    "exposure_s": ("S:microscopeData/S:acquisition/S:camera/S:ExposureTime", 1),
    "epu_version": ("S:microscopeData/S:core/S:ApplicationSoftwareVersion", 0),
    "instrument": ("S:microscopeData/S:instrument/S:InstrumentModel", 0),
}
"""Path below the root, and the factor into the table's unit (0: text)."""
CUSTOM: Final[dict[str, tuple[str, float]]] = {
    "dose_per_angstrom2": ("Dose", 1e-20),
    "applied_defocus_um": ("AppliedDefocus", 1e6),
    "phase_plate": ("PhasePlateUsed", -1),
}
"""Key in CustomData, and the factor (-1: true or false)."""
_FACTOR: Final = {name: factor for name, (_, factor) in (PATHS | CUSTOM).items()}
LABEL: Final = {
    name: "/".join(part.rpartition(":")[2] for part in path.split("/")[-2:])
    for name, (path, _) in PATHS.items()
} | {name: f"CustomData/{key}" for name, (key, _) in CUSTOM.items()}
"""What messages call a field."""
_UNKNOWN: Final[dict[str, Any]] = {
    name: "" if factor == 0 else -1 if factor == -1 else math.nan
    for name, factor in _FACTOR.items()
}
_TRUTH: Final = {"true": 1, "1": 1, "false": 0, "0": 0}
REQUIRED: Final = ("beam_shift_x", "beam_shift_y", "stage_x_um", "stage_y_um")
"""Without these, finite, a file is of no use."""
MISSED: Final = ("time", "beam_diameter_um")
"""What is reported where it is absent, though the file is of use."""


def convert(name: str, text: str) -> Any:
    """Value of a field from its text.

    Raises
    ------
    ValueError
        The text is blank, or not what the field holds.
    """
    text, factor = text.strip(), _FACTOR[name]
    if not text:
        raise ValueError(f"{LABEL[name]} is empty")
    if factor == 0:
        return text
    if factor == -1:
        if text not in _TRUTH:
            raise ValueError(f"{LABEL[name]} is not true or false: {text!r}")
        return _TRUTH[text]
    value = float(text) * factor
    # Python also takes 1_000 and the digits of other scripts; XML does not
    if not math.isfinite(value) or "_" in text or not text.isascii():
        raise ValueError(f"{LABEL[name]} is not a finite number: {text!r}")
    return value


def fields_of(texts: Mapping[str, str]) -> tuple[Fields, bool]:
    """Fields from the texts of the elements, and whether each text could be read.

    Parameters
    ----------
    texts
        Text by field; fields that are absent or blank are left out.

    Raises
    ------
    FormatError
        One of :data:`REQUIRED` is absent or not a finite number.
    """
    values: dict[str, Any] = dict(_UNKNOWN)
    missing, is_readable = [], True
    for name in _FACTOR:
        text = texts.get(name)
        if text is None:
            if name in REQUIRED:
                raise FormatError(f"no {LABEL[name]}", key=name)
            if name in MISSED:
                missing.append(f"no {LABEL[name]}")
            continue
        try:
            values[name] = convert(name, text)
        except ValueError as error:
            reason = f"{LABEL[name]} cannot be read: {text.strip()!r}"
            if name in REQUIRED:
                raise FormatError(reason, key=name, got=text) from error
            missing.append(reason)
            is_readable = False
    values["time_s"] = seconds_of(values["time"])
    if values["time"] and math.isnan(values["time_s"]):
        missing.append(f"{LABEL['time']} cannot be read: {values['time']!r}")
        is_readable = False
    return Fields(**values, missing=tuple(missing)), is_readable
