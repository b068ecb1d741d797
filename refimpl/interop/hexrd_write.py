"""Write HEXRD instruments: several panels, as the YAML that HEXRD reads.

Each panel says where it begins in the image by ``pixels.roi`` (row, column) and belongs to one
``group``. The beam is along -Z of HEXRD's frame. YAML is written here, without a package: keys,
numbers and lists of numbers are all that an instrument needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from refimpl.detector.panel import Detector
from refimpl.interop.hexrd_file import LAB_FROM_HEXRD
from refimpl.rotations import rotation_vector
from refimpl.units import kev_to_angstrom

__all__ = ["hexrd_from_detector", "hexrd_yaml"]


def hexrd_from_detector(detector: Detector, wavelength_angstrom: float) -> dict[str, Any]:
    """Instrument in HEXRD's own layout; the distortion of the detector is left out.

    Parameters
    ----------
    detector
        Panels in the lab frame.
    wavelength_angstrom
        Of the beam.
    """
    whole = len(detector.panels) == 1 and (detector.panels[0].size_px == detector.image_shape[::-1])
    detectors: dict[str, Any] = {}
    for panel in detector.panels:
        columns, rows = panel.size_px
        fast, slow = (LAB_FROM_HEXRD @ np.array(v) for v in (panel.fast_axis, panel.slow_axis))
        centre = panel.lab_mm(np.array(0.5 * columns), np.array(0.5 * rows))
        matrix = np.stack([fast, -slow, np.cross(fast, -slow)], axis=1)
        pixels: dict[str, Any] = {
            "rows": rows,
            "columns": columns,
            "size": [panel.pixel_size_mm[1], panel.pixel_size_mm[0]],
        }
        if not whole:
            pixels["roi"] = [panel.image_origin_px[1], panel.image_origin_px[0]]
        detectors[panel.name] = {
            **({} if whole else {"group": "image"}),
            "pixels": pixels,
            "transform": {
                "tilt": [float(v) for v in rotation_vector(matrix)],
                "translation": [float(v) for v in LAB_FROM_HEXRD @ centre],
            },
        }
    vector = {"azimuth": 90.0, "polar_angle": 90.0}
    beam = {"energy": kev_to_angstrom(wavelength_angstrom), "vector": vector}
    return {"beam": beam, "detectors": detectors}


def hexrd_yaml(data: Mapping[str, Any]) -> str:
    """YAML of nested keys, numbers and lists of numbers."""
    return "\n".join(_lines(data, "")) + "\n"


def _lines(data: Mapping[str, Any], pad: str) -> list[str]:
    out: list[str] = []
    for key, value in data.items():
        name = key if str(key).replace("_", "").isalnum() else f'"{key}"'
        if isinstance(value, Mapping):
            out += [f"{pad}{name}:", *_lines(value, pad + "  ")]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            out.append(f"{pad}{name}: [{', '.join(_scalar(v) for v in value)}]")
        else:
            out.append(f"{pad}{name}: {_scalar(value)}")
    return out


def _scalar(value: Any) -> str:
    """Digits that restore a number; YAML 1.1 takes 1e-05 for a word, but not 1.0e-05."""
    if not isinstance(value, float):
        return str(value)
    text = repr(value)
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else text
