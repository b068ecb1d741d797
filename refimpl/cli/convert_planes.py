"""Readers and writers of ``refimpl convert`` for formats of panels and of single planes.

The others, and what the pieces mean, are in :mod:`refimpl.cli.convert_files`.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.cli.convert_files import Options, Written
from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError, FormatError, GeometryError
from refimpl.interop.poni_file import ANGSTROM_PER_M
from refimpl.interop.setup import (
    DIALS_FROM_LAB,
    Setup,
    experiment_of,
    plane_of,
    setup_from_detector,
    setup_from_experiments,
    setup_from_model,
)
from refimpl.io.atomic import atomic_path, write_text
from refimpl.reading import read_text

__all__ = [
    "is_nexus_poni",
    "read_crystfel",
    "read_gsas",
    "read_hexrd_file",
    "read_imaged11",
    "read_pyfai",
    "read_pyfai_nexus",
    "upright",
    "write_crystfel",
    "write_hexrd_file",
    "write_imaged11",
    "write_pyfai",
    "write_pyfai_nexus",
]


def read_crystfel(path: Path, options: Options) -> Setup:
    """CrystFEL geometry, in the frame of DIALS."""
    from refimpl.interop.crystfel import experiment_from_crystfel, read_geom

    experiment = experiment_from_crystfel(read_geom(path), s0=np.array([0.0, 0.0, -1.0]))
    return setup_from_experiments((experiment,))


def write_crystfel(path: Path, setup: Setup) -> Written:
    """CrystFEL geometry; data path and mask are the user's to add."""
    from refimpl.interop.crystfel import crystfel_from_experiment
    from refimpl.interop.crystfel_file import crystfel_text

    text = crystfel_text(crystfel_from_experiment(experiment_of(setup)))
    return (write_text(path, text),), ()


def read_hexrd_file(path: Path, options: Options) -> Setup:
    """HEXRD instrument of one panel or several; the distortion of panels only if lossy."""
    from refimpl.interop.hexrd import detector_from_hexrd, read_hexrd

    found = read_hexrd(path)
    bent = [p.name for p in found.panels if p.distortion and any(p.distortion[1][:3])]
    said = (f"the distortion of {', '.join(bent)}",) if bent and options.lossy else ()
    places = {p.name: p.image_origin_px or (0, 0) for p in found.panels}
    ends = np.array([np.add(places[p.name], p.shape[::-1]) for p in found.panels]).max(axis=0)
    shape = options.shape or (int(ends[1]), int(ends[0]))
    detector = detector_from_hexrd(found, shape, places, ignore_distortion=options.lossy)
    return replace(setup_from_detector(detector, found.wavelength_angstrom), left_out=said)


def write_hexrd_file(path: Path, setup: Setup) -> Written:
    """HEXRD instrument as YAML."""
    from refimpl.interop.hexrd_write import hexrd_from_detector, hexrd_yaml

    data = hexrd_from_detector(setup.detector, _wavelength(setup))
    return (write_text(path, hexrd_yaml(data)),), ()


def _wavelength(setup: Setup) -> float:
    if setup.wavelength_angstrom is None:
        raise ConfigError("the wavelength is not stated: give --wavelength-angstrom")
    return setup.wavelength_angstrom


def read_pyfai(path: Path, options: Options) -> Setup:
    """``.poni``; without a shape in it the shape must be given."""
    from refimpl.interop.pyfai import read_poni, tilted_flat_from_poni

    poni = read_poni(path)
    model = tilted_flat_from_poni(poni, options.shape, image_transform=options.image_transform)
    return setup_from_model(model, poni.wavelength_angstrom)


def write_pyfai(path: Path, setup: Setup) -> Written:
    """``.poni`` of the image as stored."""
    from refimpl.interop.pyfai import format_poni, poni_from_tilted_flat

    poni = poni_from_tilted_flat(upright(setup), setup.wavelength_angstrom)
    return (write_text(path, format_poni(poni)),), ()


def is_nexus_poni(path: Path) -> bool:
    """Whether a ``.poni`` file names a file of corners."""
    from refimpl.interop.pyfai_nexus import detector_file

    try:
        return detector_file(read_text(path, errors="replace")) is not None
    except (OSError, FormatError):
        return False


def read_pyfai_nexus(path: Path, options: Options) -> Setup:
    """``.poni`` with a file of corners: what was written here, or one flat grid."""
    from refimpl.detector.panel import Detector
    from refimpl.interop import pyfai_nexus as nexus
    from refimpl.io.geometry_json import parse_geometry

    try:
        text = read_text(path, errors="replace")
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    name = nexus.detector_file(text)
    if name is None:
        raise FormatError("the detector is no NexusDetector", path=path)
    beside = path.parent / Path(name).name
    file = beside if beside.exists() else Path(name)
    geometry, corners = nexus.read_nexus_detector(file)
    poni = nexus.parse_nexus_poni(text, corners.shape[:2], path)
    if geometry is not None and nexus.belongs(geometry, poni):
        found = parse_geometry(dict(geometry), file)
        return Setup(found.detector, found.model, poni.wavelength_angstrom)
    panel = nexus.panel_of_corners(corners, poni)
    detector = Detector((panel,), panel.size_px[::-1])
    return setup_from_detector(detector, poni.wavelength_angstrom)


def write_pyfai_nexus(path: Path, setup: Setup) -> Written:
    """``.poni`` and ``<stem>.detector.h5`` with the corners of all pixels."""
    from refimpl.interop.pyfai_nexus import nexus_poni_text, write_nexus_detector
    from refimpl.io.geometry_json import detector_dict

    corners = path.with_name(f"{path.stem}.detector.h5")
    content = detector_dict(setup.detector, setup.model, setup.wavelength_angstrom)
    with atomic_path(corners) as temporary:
        poni = write_nexus_detector(temporary, setup.detector, plane_of(setup), content)
    wavelength = setup.wavelength_angstrom
    if wavelength is not None:
        poni = replace(poni, wavelength_m=wavelength / ANGSTROM_PER_M)
    said = (
        f"pyFAI looks for {corners.name} at {corners.absolute()}: mend the path if it is moved",
        "pyFAI keeps corners in single precision: its 2-theta is within about 1e-7 rad",
    )
    return (write_text(path, nexus_poni_text(poni, corners.absolute())), corners), said


def upright(setup: Setup) -> TiltedFlat:
    """Whole image as one surface whose image transform has no transpose, the roll takes its place.

    Raises
    ------
    GeometryError
        No plane that the beam crosses.
    """
    from refimpl.interop.plane import tilted_flat_from_panel

    panel = plane_of(setup)
    found, problem = [], GeometryError("no plane")
    for codes in ((2,), (), (1,), (1, 2)):
        try:
            found.append(tilted_flat_from_panel(panel, image_transform=codes))
        except GeometryError as error:
            problem = error
    if not found:
        raise problem
    return min(found, key=lambda m: abs(m.tilts_rad[0]))


def read_gsas(path: Path, options: Options) -> Setup:
    """GSAS-II image controls; the penetration correction is left out, if that is allowed."""
    from refimpl.interop.gsas import read_imctrl, tilted_flat_from_imctrl

    if options.shape is None or options.pixel_size_mm is None:
        raise ConfigError(
            "an .imctrl file states neither the image nor the pixels: give --shape and "
            "--pixel-size-um", path=path,
        )  # fmt: skip
    controls = read_imctrl(path)
    deep = controls.det_depth != 0.0
    if deep and not options.lossy:
        raise GeometryError(
            f"{path}: no place for the penetration correction (DetDepth {controls.det_depth:g}) of "
            "GSAS-II here; --lossy leaves that out and says so"
        )
    model = tilted_flat_from_imctrl(
        controls, options.shape, options.pixel_size_mm, ignore_depth=deep
    )
    said = ("the penetration correction (DetDepth)",) if deep else ()
    return replace(setup_from_model(model, controls.wavelength_angstrom), left_out=said)


def read_imaged11(path: Path, options: Options) -> Setup:
    """ImageD11 parameters; a wavelength of 0 is none."""
    from refimpl.detector.panel import Detector
    from refimpl.forward.experiment import Goniometer
    from refimpl.interop.imaged11 import axis_of_par, panel_of_par, read_par

    values = read_par(path)
    panel = panel_of_par(values, options.shape)
    wavelength = float(values.get("wavelength", 0.0)) or options.wavelength_angstrom
    setup = setup_from_detector(Detector((panel,), panel.size_px[::-1]), wavelength)
    if any(name in values for name in ("wedge", "chi", "omegasign")) and wavelength:
        axis = DIALS_FROM_LAB @ axis_of_par(values)
        setup = replace(
            setup, experiments=(replace(experiment_of(setup), goniometer=Goniometer(axis)),)
        )
    other = [name for name in values if name.startswith("cell_")]
    return replace(setup, left_out=("the unit cell",) if other else ())


def write_imaged11(path: Path, setup: Setup) -> Written:
    """ImageD11 parameters."""
    from refimpl.interop.crystfel import crystfel_frame
    from refimpl.interop.imaged11 import format_par, par_from_panel, par_of_axis

    values: dict[str, Any] = par_from_panel(plane_of(setup), setup.wavelength_angstrom)
    said: tuple[str, ...] = ("no rotation axis is known: the vertical one is written",)
    e = setup.experiments[0] if setup.experiments else None
    if e is not None and e.goniometer is not None and e.beam is not None:
        axis = e.goniometer.setting @ e.goniometer.rotation_axis
        values |= par_of_axis(crystfel_frame(e.beam.s0) @ axis)
        said = ()
    return (write_text(path, format_par(values)),), said
