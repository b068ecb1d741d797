"""HEXRD instrument files: the panels and the beam, in HEXRD's own terms.

What the numbers mean is in :mod:`refimpl.interop.hexrd`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from refimpl.errors import FormatError, MissingExtra
from refimpl.frames import F64
from refimpl.hdf5 import read_hdf5
from refimpl.hdf5.damage import whole_hdf5
from refimpl.reading import check_numbers, parse_json, read_text
from refimpl.rotations import expmap
from refimpl.units import DEG, kev_to_angstrom

__all__ = [
    "LAB_FROM_HEXRD",
    "HexrdInstrument",
    "HexrdPanel",
    "parse_hexrd",
    "read_hexrd",
    "read_tree",
]

LAB_FROM_HEXRD: Final = np.diag([-1.0, 1.0, -1.0])
"""Half a turn about y; its own inverse."""
LAB_FROM_HEXRD.flags.writeable = False


@dataclass(frozen=True)
class HexrdPanel:
    """One detector of an instrument, in HEXRD's own terms.

    Attributes
    ----------
    name
        Key in the instrument.
    shape
        (rows, columns).
    pixel_size_mm
        (row, column), as in the file.
    tilt
        (3,) exponential map [rad].
    translation_mm
        (3,) of the panel's centre.
    distortion
        Function name and parameters, or None.
    image_origin_px
        (fast, slow) of the first pixel in an image of several panels (``roi``), or None.
    """

    name: str
    shape: tuple[int, int]
    pixel_size_mm: tuple[float, float]
    tilt: tuple[float, float, float]
    translation_mm: tuple[float, float, float]
    distortion: tuple[str, tuple[float, ...]] | None = None
    image_origin_px: tuple[int, int] | None = None


@dataclass(frozen=True)
class HexrdInstrument:
    """Panels and beam of an instrument.

    Attributes
    ----------
    energy_kev
        Photon energy.
    azimuth_deg, polar_deg
        Direction of the beam; 90, 90 is along -z.
    panels
        In the order of the file.
    """

    energy_kev: float
    azimuth_deg: float
    polar_deg: float
    panels: tuple[HexrdPanel, ...]

    @property
    def wavelength_angstrom(self) -> float:
        """Wavelength [Å]."""
        return kev_to_angstrom(self.energy_kev)

    def to_lab(self) -> F64:
        """(3, 3) rotation from HEXRD's lab to ours."""
        azimuth, polar = self.azimuth_deg * DEG, self.polar_deg * DEG
        beam = -np.array(
            [np.sin(polar) * np.cos(azimuth), np.cos(polar), np.sin(polar) * np.sin(azimuth)]
        )
        axis = np.cross(beam, [0.0, 0.0, -1.0])
        sine, cosine = float(np.sqrt(axis @ axis)), -float(beam[2])
        if sine < 1e-15:  # 90 degrees are not exact in binary: 6e-17 is along -z
            return LAB_FROM_HEXRD
        return np.asarray(LAB_FROM_HEXRD @ expmap(axis / sine * np.arctan2(sine, cosine)))


def parse_hexrd(data: Mapping[str, Any], path: str | Path | None = None) -> HexrdInstrument:
    """Instrument from the content of a file: HEXRD's own layout, or the plain one.

    HEXRD's has ``beam.energy``, ``beam.vector`` and ``detectors.NAME.{pixels,transform}``; the
    plain one has ``energy_keV`` and ``panels.NAME.{rows,cols,pixel_mm,tilt_expmap_rad,
    translation_mm}``.

    Raises
    ------
    FormatError
        A key is missing or holds something else.
    """
    try:
        if "detectors" in data:
            beam = data["beam"]
            if "vector" not in beam:  # several beams by name: the first
                beam = next(iter(beam.values()))
            angles = beam["vector"]["azimuth"], beam["vector"]["polar_angle"]
            panels = [_panel_of_hexrd(n, p) for n, p in data["detectors"].items()]
            energy = beam["energy"]
        else:
            angles = tuple(data.get("beam_vector_azimuth_polar_deg", (90.0, 90.0)))
            panels = [_panel_of_plain(n, p) for n, p in data["panels"].items()]
            energy = data["energy_keV"]
        instrument = HexrdInstrument(
            float(energy), float(angles[0]), float(angles[1]), tuple(panels)
        )
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, IndexError) as exc:
        raise FormatError(
            f"not a HEXRD instrument: {type(exc).__name__} {exc} (expected beam and detectors, or "
            "energy_keV and panels)",
            path=path,
        ) from exc
    if not instrument.panels:
        raise FormatError("the instrument has no detectors", path=path)
    return instrument


def _panel_of_hexrd(name: str, data: Mapping[str, Any]) -> HexrdPanel:
    pixels, transform = data["pixels"], data["transform"]
    distortion = data.get("distortion")
    return HexrdPanel(
        name,
        (int(pixels["rows"]), int(pixels["columns"])),
        (float(pixels["size"][0]), float(pixels["size"][1])),
        _triple(transform["tilt"]),
        _triple(transform["translation"]),
        None
        if not distortion
        else (_word(distortion["function_name"]), _floats(distortion["parameters"])),
        None if pixels.get("roi") is None else (int(pixels["roi"][1]), int(pixels["roi"][0])),
    )


def _word(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _panel_of_plain(name: str, data: Mapping[str, Any]) -> HexrdPanel:
    distortion = data.get("distortion")
    return HexrdPanel(
        name,
        (int(data["rows"]), int(data["cols"])),
        (float(data["pixel_mm"][0]), float(data["pixel_mm"][1])),
        _triple(data["tilt_expmap_rad"]),
        _triple(data["translation_mm"]),
        None if not distortion else (distortion["function"], _floats(distortion["params"])),
    )


def _triple(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def read_hexrd(path: str | Path) -> HexrdInstrument:
    """Instrument of a JSON, YAML or HDF5 (.hexrd) file; YAML needs the package PyYAML.

    Raises
    ------
    FormatError
        It cannot be read, or is not an instrument.
    MissingExtra
        It is YAML and PyYAML is not installed.
    """
    return parse_hexrd(read_tree(path), path)


def read_tree(path: str | Path) -> dict[str, Any]:
    """All that an instrument file says, as it says it; raises as :func:`read_hexrd`."""
    file = Path(path)
    if _is_hdf5(file):
        return _hdf5(file)
    try:
        text = read_text(file)
    except (OSError, UnicodeDecodeError) as exc:
        raise FormatError(f"cannot be read as text: {exc}", path=path) from exc
    data = _json(text, path) if file.suffix.lower() == ".json" else _yaml(text, path)
    if not isinstance(data, dict):
        raise FormatError("not a HEXRD instrument: no keys at the top", path=path)
    return data


def _is_hdf5(file: Path) -> bool:
    """Whether a file is HDF5, as those with the suffix ``.hexrd`` are."""
    try:
        with file.open("rb") as stream:
            return stream.read(8) == b"\x89HDF\r\n\x1a\n"
    except OSError:
        return False


def _hdf5(file: Path) -> dict[str, Any]:
    """Keys below ``instrument`` of an HDF5 file; masks of pixels are left out."""

    def tree(group: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, node in group.items():
            if hasattr(node, "keys"):
                out[name] = tree(node)
            elif node.ndim < 2:
                value = np.ravel(node[()])
                out[name] = value[0] if value.size == 1 else value.tolist()
        return out

    try:
        with read_hdf5(file) as content, whole_hdf5(file):
            if "instrument" not in content:
                raise FormatError("not a HEXRD instrument: no group 'instrument'", path=file)
            return tree(content["instrument"])
    except OSError as exc:
        raise FormatError(f"cannot be read as HDF5: {exc}", path=file) from exc


def _json(text: str, path: str | Path) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError) as exc:  # a number of 5000 digits, 1000 brackets, too
        raise FormatError(f"not JSON: {exc}", path=path) from exc


def _yaml(text: str, path: str | Path) -> Any:
    try:
        yaml = importlib.import_module("yaml")
    except ImportError as exc:
        raise MissingExtra("interop", "reading a YAML instrument file") from exc
    try:
        return check_numbers(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise FormatError(f"not YAML: {str(exc).splitlines()[0]}", path=path) from exc
