"""The models of a DIALS experiment list, one JSON entry each, to and from frozen values.

Layout: dxtbx ``to_dict`` and ``from_dict`` of each model, old and new. The detector is in
``io.expt_detector``, lists and indices of the file in ``io.expt_files``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from refimpl.crystal.crystal_model import Crystal
from refimpl.forward.experiment import Beam, Goniometer, Scan
from refimpl.io.expt_detector import detector_entry, read_detector
from refimpl.io.expt_entry import Entry, Where, changed, merged, plain

__all__ = ["READERS", "WRITERS"]


def _beam(entry: Entry, where: Where) -> Beam:
    if "wavelength" not in entry and entry.get("__id__") not in (None, "monochromatic"):
        raise where.error(f"a {entry['__id__']} beam: only monochromatic ones are read", "__id__")
    (wavelength,) = where.numbers({"wavelength": [where.get(entry, "wavelength")]}, "wavelength", 1)
    direction = np.array(where.numbers(entry, "direction", 3))
    return where.build(Beam, direction, wavelength, entry)


def _beam_entry(beam: Beam) -> dict[str, Any]:
    new = {"__id__": "monochromatic"} if not beam.extra else {}
    keys = {"direction": "direction", "wavelength_angstrom": "wavelength"}
    return {**new, **merged(beam, _beam, keys)}


def _goniometer(entry: Entry, where: Where) -> Goniometer:
    if "axes" in entry:
        axes = [where.numbers({"axes": a}, "axes", 3) for a in where.get(entry, "axes")]
        parts = (where.get(entry, key) for key in ("angles", "names", "scan_axis"))
        return where.build(Goniometer.multi_axis, axes, *parts, entry)
    eye = {"fixed_rotation": np.eye(3).ravel(), "setting_rotation": np.eye(3).ravel()}
    fixed, setting = (
        np.array(where.numbers({**eye, **entry}, key, 9)).reshape(3, 3) for key in eye
    )
    axis = np.array(where.numbers(entry, "rotation_axis", 3))
    return where.build(Goniometer, axis, fixed, setting, extra=entry)


def _goniometer_entry(goniometer: Goniometer) -> dict[str, Any]:
    if goniometer.scan_axis is not None:
        keys = {"axes": "axes", "angles_deg": "angles", "names": "names", "scan_axis": "scan_axis"}
        turned = changed(goniometer, _goniometer, {"setting": "", "rotation_axis": "", "fixed": ""})
        if not goniometer.extra or not turned:
            return merged(goniometer, _goniometer, keys)
        # A refined setting is no product of dial angles: only the single-axis layout can hold it.
    keys = {
        "rotation_axis": "rotation_axis", "fixed": "fixed_rotation", "setting": "setting_rotation"
    }  # fmt: skip
    if "axes" in goniometer.extra:
        return {key: plain(getattr(goniometer, name)) for name, key in keys.items()}
    return merged(goniometer, _goniometer, keys)


def _scan(entry: Entry, where: Where) -> Scan:
    first, last = where.whole(entry, "image_range", 2)
    if "oscillation" in entry:
        start, width = where.numbers(entry, "oscillation", 2)
        return where.build(Scan, (first, last), (start, width), entry)
    properties = entry.get("properties") or {}
    if not isinstance(properties, dict):
        raise where.error(f"properties {properties!r:.60}: expected an object", "properties")
    stated: Any = properties.get("oscillation")
    n = last - first + 1
    if not stated:
        return where.build(Scan, (first, last), (0.0, 0.0), entry)
    if not isinstance(stated, list) or len(stated) != n:
        got = len(stated) if isinstance(stated, list) else "no"
        raise where.error(f"{got} oscillation angles for {n} images", "oscillation")
    angles = where.numbers(properties, "oscillation", n)
    if n > 1:
        width = angles[1] - angles[0]
    else:
        own: Any = properties.get("oscillation_width", entry.get("oscillation_width", 0.0))
        one = {"oscillation_width": own if isinstance(own, list) else [own]}
        (width,) = where.numbers(one, "oscillation_width", 1)
    return where.build(Scan, (first, last), (angles[0], width), entry)


def _scan_entry(scan: Scan) -> dict[str, Any]:
    keys = {"image_range": "image_range", "oscillation_deg": "oscillation"}
    other = changed(scan, _scan, keys)
    entry = dict(scan.extra) or {"batch_offset": 0, "valid_image_ranges": {}}
    if "image_range" in other:
        entry["image_range"] = list(scan.image_range)
    if other and "oscillation" in entry:
        entry["oscillation"] = list(scan.oscillation_deg)
    elif other:
        start, width = scan.oscillation_deg
        angles = [start + width * k for k in range(scan.n_images)]
        entry["properties"] = {**entry.get("properties", {}), "oscillation": angles}
        if scan.n_images == 1:
            entry["properties"]["oscillation_width"] = [width]
    return entry


def _crystal(entry: Entry, where: Where) -> Crystal:
    rows = [where.numbers(entry, f"real_space_{axis}", 3) for axis in "abc"]
    return where.build(
        Crystal, np.array(rows), str(where.get(entry, "space_group_hall_symbol")), entry
    )


def _crystal_entry(crystal: Crystal) -> dict[str, Any]:
    entry = dict(crystal.extra) or {"__id__": "crystal"}
    if changed(crystal, _crystal_or_new, {"real_space": ""}):
        for axis, row in zip("abc", crystal.real_space, strict=True):
            entry[f"real_space_{axis}"] = row.tolist()
    entry["space_group_hall_symbol"] = crystal.hall
    return entry


def _crystal_or_new(entry: Entry, where: Where) -> Crystal:
    """Crystal of an entry that may lack the cell: covariances alone may have been added."""
    whole = {"real_space_a": [1, 0, 0], "real_space_b": [0, 1, 0], "real_space_c": [0, 0, 1]}
    return _crystal({"space_group_hall_symbol": " P 1", **whole, **entry}, where)


READERS: Final[Mapping[str, Callable[[Entry, Where], Any]]] = {
    "beam": _beam, "detector": read_detector, "goniometer": _goniometer, "scan": _scan,
    "crystal": _crystal,
}  # fmt: skip
WRITERS: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = {
    "beam": _beam_entry, "detector": detector_entry, "goniometer": _goniometer_entry,
    "scan": _scan_entry, "crystal": _crystal_entry,
}  # fmt: skip
