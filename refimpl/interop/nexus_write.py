"""Write an NXmx file: beam, detector module by module, sample with its axes. Frame of NeXus = ours.

Vectors are turned so that the beam is along +Z. Each module has its own ``module_offset``; nothing
is approximated, lengths are in mm. What :mod:`refimpl.interop.nexus_experiment` reads is what is
written. Images are not: an empty NXdata says so to programs that look for them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from refimpl.detector.hierarchy import Hierarchy, Module
from refimpl.errors import GeometryError
from refimpl.forward.experiment import Experiment, Goniometer
from refimpl.frames import F64
from refimpl.hdf5.writing import new_hdf5
from refimpl.interop.crystfel import crystfel_frame
from refimpl.rotations import rotation_vector
from refimpl.units import DEG

__all__ = ["MU_FIELD", "turned", "write_nxmx"]

MU_FIELD: Final = "refimpl_mu"
"""Of the detector: attenuation of the sensor [1/mm], for which NeXus has no name."""


def turned(experiment: Experiment, turn: F64) -> Experiment:
    """Same experiment in a frame that is turned by a rotation (3, 3); the crystal with it."""
    beam, detector, g = experiment.beam, experiment.detector, experiment.goniometer
    if beam is not None:
        beam = replace(beam, direction=turn @ beam.direction)
    if detector is not None:
        columns = np.einsum("ij,pjk->pik", turn, detector.d)
        detector = Hierarchy(detector.modules).with_d(columns)
    if g is not None:
        axes = tuple(
            (float(x), float(y), float(z)) for x, y, z in np.array(g.axes).reshape(-1, 3) @ turn.T
        )
        g = replace(
            g, rotation_axis=turn @ g.rotation_axis, fixed=turn @ g.fixed @ turn.T,
            setting=turn @ g.setting @ turn.T, axes=axes,
        )  # fmt: skip
    crystal = experiment.crystal
    if crystal is not None:
        crystal = replace(crystal, real_space=crystal.real_space @ turn.T)
    return replace(experiment, beam=beam, detector=detector, goniometer=g, crystal=crystal)


def write_nxmx(path: str | Path, experiment: Experiment) -> None:
    """Write a file; the caller makes it appear whole (``io.atomic.atomic_path``).

    Raises
    ------
    GeometryError
        No beam or no detector.
    """
    if experiment.beam is None or experiment.detector is None:
        raise GeometryError("NXmx: the experiment has no beam or no detector")
    e = turned(experiment, crystfel_frame(experiment.beam.s0))
    assert e.beam is not None  # as before the turn
    with new_hdf5(path) as file:
        entry = _group(file, "entry", "NXentry")
        file.attrs["default"] = "entry"
        entry["definition"] = "NXmx"
        instrument = _group(entry, "instrument", "NXinstrument")
        beam = _group(instrument, "beam", "NXbeam")
        beam["incident_wavelength"] = e.beam.wavelength_angstrom
        beam["incident_wavelength"].attrs["units"] = "angstrom"
        _detector(_group(instrument, "detector", "NXdetector"), e)
        sample = _group(entry, "sample", "NXsample")
        _sample(sample, e)
        _group(entry, "data", "NXdata")


def _group(parent: Any, name: str, nx_class: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def _detector(group: Any, e: Experiment) -> None:
    assert e.detector is not None
    first = e.detector.modules[0]
    if first.trusted_range != (0.0, 0.0):
        group["underload_value"], group["saturation_value"] = first.trusted_range
    if any(_sensor(m) != _sensor(first) for m in e.detector.modules):
        raise GeometryError("NXmx: the panels have several sensors; one is written")
    if first.parallax:
        _quantity(group, "sensor_thickness", first.thickness_mm, "mm")
        group["sensor_material"] = first.material or "Si"
        _quantity(group, MU_FIELD, first.mu_per_mm, "1/mm")
    for k, (m, d) in enumerate(zip(e.detector.modules, e.detector.d, strict=True)):
        module = _group(group, f"module_{k}", "NXdetector_module")
        module["data_origin"] = np.array(m.raw_image_offset[::-1], dtype=np.int64)
        module["data_size"] = np.array(m.size_px[::-1], dtype=np.int64)
        module.attrs["local_name"] = m.name
        offset = _quantity(module, "module_offset", 1.0, "mm")
        length = float(np.sqrt(d[:, 2] @ d[:, 2]))
        if length > 0.0:
            offset[()] = length
        direction = d[:, 2] / length if length > 0.0 else np.array([0.0, 0.0, 1.0])
        _transformation(offset, "translation", direction, ".")
        for name, size, axis in (
            ("fast_pixel_direction", m.pixel_size_mm[0], d[:, 0]),
            ("slow_pixel_direction", m.pixel_size_mm[1], d[:, 1]),
        ):
            _transformation(_quantity(module, name, size, "mm"), "translation", axis,
                            module.name + "/module_offset")  # fmt: skip


def _sensor(m: Module) -> tuple[bool, float, float]:
    return m.parallax, m.thickness_mm, m.mu_per_mm


def _quantity(group: Any, name: str, value: Any, units: str) -> Any:
    group[name] = value
    group[name].attrs["units"] = units
    return group[name]


def _transformation(field: Any, kind: str, vector: F64, depends_on: str) -> None:
    field.attrs["transformation_type"] = kind
    field.attrs["vector"] = np.asarray(vector, dtype=np.float64)
    field.attrs["offset"] = np.zeros(3)
    field.attrs["offset_units"] = "mm"
    field.attrs["depends_on"] = depends_on


def _sample(group: Any, e: Experiment) -> None:
    """Rotations from the crystal outwards; a goniometer of one axis is one in the lab."""
    g = e.goniometer
    if g is None:
        group["depends_on"] = "."
        return
    place = _group(group, "transformations", "NXtransformations")
    names, axes, angles, moving = _axes(g)
    for k, (name, axis, angle) in enumerate(zip(names, axes, angles, strict=True)):
        values = np.array([angle])
        if k == moving and e.scan is not None:
            start, width = e.scan.oscillation_deg
            values = start + width * np.arange(e.scan.n_images)
            _quantity(place, f"{name}_increment_set", width, "deg")
        outer = f"{place.name}/{names[k + 1]}" if k + 1 < len(names) else "."
        _transformation(_quantity(place, name, values, "deg"), "rotation", axis, outer)
    group["depends_on"] = f"{place.name}/{names[0]}"


def _axes(g: Goniometer) -> tuple[list[str], list[F64], list[float], int]:
    """Names, axes, angles [deg] from the crystal outwards, and which one turns.

    Raises
    ------
    GeometryError
        Fixed and setting rotations that belong to no axes.
    """
    if g.axes and g.scan_axis is not None:
        axes = [np.array(axis) for axis in g.axes]
        return list(g.names), axes, list(g.angles_deg), g.scan_axis
    if np.abs(g.fixed - np.eye(3)).max() > 1e-12 or np.abs(g.setting - np.eye(3)).max() > 1e-12:
        out: tuple[list[str], list[F64], list[float]] = ([], [], [])
        for name, matrix in (("fixed", g.fixed), ("omega", None), ("setting", g.setting)):
            vector = g.rotation_axis if matrix is None else rotation_vector(matrix)
            angle = float(np.sqrt(vector @ vector))
            out[0].append(name)
            out[1].append(vector / angle if angle > 0.0 else np.array([1.0, 0.0, 0.0]))
            out[2].append(0.0 if matrix is None else angle / DEG)
        return *out, 1
    return ["omega"], [np.asarray(g.rotation_axis)], [0.0], 0
