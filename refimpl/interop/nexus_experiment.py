"""An experiment from a NeXus file (NXmx): beam, detector, goniometer and scan.

The frame stays that of NeXus (+Z along the beam). Detectors are read module by module
(:mod:`refimpl.interop.nexus`); the goniometer is what the sample depends on, from the crystal
outwards, and the scan is its one rotation that takes several values, or that states an increment.
Translations of the sample are left out: they bring the crystal to the axis. *Not* read: a beam that
is not along +Z, several rotations that move at once, and plain detector files without modules.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from refimpl.detector.attenuation import silicon_mu_per_mm
from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.detector.panel import Panel
from refimpl.errors import ConfigError, FormatError
from refimpl.forward.experiment import Beam, Experiment, Goniometer, Scan
from refimpl.frames import F64
from refimpl.hdf5 import read_hdf5
from refimpl.hdf5.damage import whole_hdf5
from refimpl.interop.nexus import (
    _ANGLES,
    _LENGTHS,
    _LONGEST_CHAIN,
    _groups,
    _text,
    _the_detector,
    _unit,
    _unit_vector,
    detector_from_nexus,
)
from refimpl.units import DEG

__all__ = ["experiment_from_nexus"]

_WAVELENGTHS: Final = {"angstrom": 1.0, "Angstrom": 1.0, "A": 1.0, "nm": 10.0, "m": 1e10}
_UNEVEN_DEG: Final = 1e-3
"""Largest difference of a scan's angles from equal steps."""


def experiment_from_nexus(
    path: str | Path,
    name: str | None = None,
    mu_per_mm: float | None = None,
    *,
    need_range: bool = True,
) -> Experiment:
    """Experiment that an NXmx file states.

    Parameters
    ----------
    path
        HDF5 file.
    name
        Path of the NXdetector group in it; None takes the only one that has modules.
    mu_per_mm
        Attenuation of the sensor; None takes that of the file if it was written here, else that
        of silicon at the wavelength.
    need_range
        Refuse a detector without a saturation value, which images need and a geometry does not.

    Returns
    -------
    Experiment without a crystal; stills have no goniometer and no scan.

    Raises
    ------
    FormatError
        The file cannot be read, lacks a field that is needed (named), or says something that is
        not understood.
    ConfigError
        Several detectors and no name; a sensor that is not silicon and no ``mu_per_mm``.
    """
    panels = detector_from_nexus(path, name).panels
    with whole_hdf5(path), read_hdf5(path) as file:
        wavelength = _wavelength(file, path)
        group = _the_detector(file, path, name)
        if mu_per_mm is None and "refimpl_mu" in group:
            mu_per_mm = float(group["refimpl_mu"][()])
        sensor = _sensor(group, wavelength, mu_per_mm, path, need_range)
        axes = _sample_axes(file, path)
    goniometer, scan = _goniometer_and_scan(axes, path)
    return Experiment(
        beam=Beam(np.array([0.0, 0.0, -1.0]), wavelength),
        detector=Hierarchy(tuple(_module(panel, sensor) for panel in panels)),
        goniometer=goniometer,
        scan=scan,
        imageset={"__id__": "ImageSequence", "template": str(path), "params": {}},
    )


def _wavelength(file: Any, path: str | Path) -> float:
    """Wavelength [Å] of the only beam."""
    beams = [g for g in _groups(file, "NXbeam") if "incident_wavelength" in g]
    if not beams:
        raise FormatError("no NXbeam with incident_wavelength", path=path)
    fields = [group["incident_wavelength"] for group in beams]
    values = [
        float(np.mean(np.asarray(f[()], dtype=np.float64))) * _unit(f, "units", _WAVELENGTHS, path)
        for f in fields
    ]
    if max(values) - min(values) > 1e-6 * max(values):
        raise FormatError(f"several beams of different wavelength: {values} Å", path=path)
    return values[0]


def _sensor(
    group: Any, wavelength: float, mu_per_mm: float | None, path: str | Path, need_range: bool
) -> dict[str, Any]:
    """What the modules share: sensor and trusted range."""
    top = next(
        (group[k] for k in ("saturation_value", "countrate_correction_count_cutoff") if k in group),
        None,
    )
    if top is None and need_range:
        raise FormatError(f"{group.name} has no field saturation_value", path=path)
    low = float(np.ravel(group["underload_value"][()])[0]) if "underload_value" in group else 0.0
    high = 0.0 if top is None else float(np.ravel(top[()])[0])
    out: dict[str, Any] = {"trusted_range": (low, high)}
    if "sensor_thickness" not in group:
        return out
    field = group["sensor_thickness"]
    thickness = float(np.ravel(field[()])[0]) * _unit(field, "units", _LENGTHS, path)
    material = _text(group["sensor_material"][()]) if "sensor_material" in group else None
    silicon = material in ("Si", "Silicon", "silicon")
    if mu_per_mm is None and not silicon:
        raise ConfigError(f"attenuation of {material} is not known: give mu_per_mm", path=path)
    mu = silicon_mu_per_mm(wavelength) if mu_per_mm is None else mu_per_mm
    return out | {
        "thickness_mm": thickness,
        "mu_per_mm": mu,
        "parallax": True,
        "material": "Si" if silicon else str(material),
    }


def _module(panel: Panel, sensor: dict[str, Any]) -> Module:
    return Module(
        panel.name,
        panel.fast_axis,
        panel.slow_axis,
        panel.origin_mm,
        panel.size_px,
        panel.pixel_size_mm,
        raw_image_offset=panel.image_origin_px,
        **sensor,
    )


# --- goniometer -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Axis:
    """A rotation that the sample depends on: unit vector, angles and increment [deg]."""

    name: str
    vector: F64
    angles: F64
    increment: float | None


def _sample_axes(file: Any, path: str | Path) -> list[_Axis]:
    """Rotations from the crystal outwards."""
    samples = list(_groups(file, "NXsample"))
    field = next((s["depends_on"] for s in samples if "depends_on" in s), None)
    if field is None:
        where = samples[0].name if samples else "the file"
        raise FormatError(f"no goniometer: {where} has no sample with depends_on", path=path)
    axes: list[_Axis] = []
    node, target = field, _text(field[()])
    for _ in range(_LONGEST_CHAIN):
        if target in (".", None):
            return axes
        try:
            node = file[posixpath.normpath(posixpath.join(node.parent.name, str(target)))]
        except KeyError as error:
            raise FormatError(
                f"{node.name} depends on {target!r}, which is not in the file", path=path
            ) from error
        if _text(node.attrs.get("transformation_type")) == "rotation":
            axes.append(_axis(node, path))
        target = _text(node.attrs.get("depends_on"))
    raise FormatError(f"{field.name}: its depends_on goes round in a circle", path=path)


def _axis(node: Any, path: str | Path) -> _Axis:
    name = node.name.rsplit("/", 1)[-1]
    scale = _unit(node, "units", _ANGLES, path) / DEG
    angles = np.ravel(np.asarray(node[()], dtype=np.float64)) * scale
    if angles.size == 0 or not np.isfinite(angles).all():
        raise FormatError(f"{node.name} holds no angles", path=path)
    increment = None
    for other, less in ((f"{name}_increment_set", 0.0), (f"{name}_end", float(angles[0]))):
        if increment is None and other in node.parent:
            value = float(np.ravel(node.parent[other][()])[0])
            increment = value * scale - less
    return _Axis(name, _unit_vector(node, path), angles, increment)


def _goniometer_and_scan(
    axes: list[_Axis], path: str | Path
) -> tuple[Goniometer | None, Scan | None]:
    """Goniometer and scan; (None, None) where nothing turns."""
    moving = [k for k, axis in enumerate(axes) if np.ptp(axis.angles) > _UNEVEN_DEG]
    single = [k for k, axis in enumerate(axes) if axis.increment] if not moving else []
    if len(moving) > 1:
        names = ", ".join(axes[k].name for k in moving)
        raise FormatError(f"several rotations move: {names}; one is read", path=path)
    if not moving and not single:
        return None, None
    k = (moving or single)[0]
    angles, n = axes[k].angles, len(axes[k].angles)
    width = float(angles[-1] - angles[0]) / (n - 1) if moving else float(axes[k].increment or 0.0)
    if n > 1 and np.abs(angles - angles[0] - width * np.arange(n)).max() > _UNEVEN_DEG:
        raise FormatError(f"the angles of {axes[k].name} are not in equal steps", path=path)
    scan = Scan((1, n), (float(angles[0]), width))
    if len(axes) == 1:
        return Goniometer(axes[0].vector), scan
    vectors = [axis.vector.tolist() for axis in axes]
    dial = [float(axis.angles[0]) for axis in axes]
    return Goniometer.multi_axis(vectors, dial, [axis.name for axis in axes], k), scan
