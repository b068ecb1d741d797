"""Readers and writers of ``refimpl convert``: a file to a setup and back, format by format.

What the numbers mean is in :mod:`refimpl.interop`; here is what to read, and where to put it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from refimpl.detector.model import TiltedFlat
from refimpl.errors import ConfigError, GeometryError
from refimpl.interop.setup import (
    DIALS_FROM_LAB,
    Setup,
    experiment_of,
    model_of,
    setup_from_experiments,
    setup_from_model,
)
from refimpl.io.atomic import atomic_path, write_json, write_text
from refimpl.reading import parse_json, read_bytes

__all__ = [
    "Options",
    "Written",
    "is_xparm",
    "kind_of_json",
    "midas_model",
    "read_dials",
    "read_geometry_json",
    "read_midas",
    "read_nxmx",
    "read_xds",
    "write_dials",
    "write_geometry_json",
    "write_midas",
    "write_nxmx_file",
    "write_xds",
]

Written = tuple[tuple[Path, ...], tuple[str, ...]]
"""Paths written, and sentences about what stands in them that the source did not say."""

_TABLES: Final = ("x_corrections", "y_corrections")
_XDS_TABLES: Final = ("X-CORRECTIONS.cbf", "Y-CORRECTIONS.cbf")


@dataclass(frozen=True)
class Options:
    """What a file may leave open.

    Attributes
    ----------
    shape
        (n_slow, n_fast) of the image.
    wavelength_angstrom
        Where the file has none.
    pixel_size_mm
        Along (fast, slow), where the file has none.
    image_transform
        For .poni: codes that take the stored image to the one that pyFAI was given.
    lossy
        Read what can be read of a file that says more.
    """

    shape: tuple[int, int] | None = None
    wavelength_angstrom: float | None = None
    pixel_size_mm: tuple[float, float] | None = None
    image_transform: tuple[int, ...] = ()
    lossy: bool = False


# --- ours and MIDAS -------------------------------------------------------------------------------


def kind_of_json(path: Path) -> str:
    """Name of the format of a ``.json`` file."""
    try:
        content = parse_json(read_bytes(path))
    except (OSError, ValueError, RecursionError):
        return "geometry"  # whose reader says what is wrong
    if isinstance(content, dict) and content.get("__id__") == "ExperimentList":
        return "dials"
    ours = not isinstance(content, dict) or "kind" in content
    return "geometry" if ours else "hexrd"


def read_geometry_json(path: Path, options: Options) -> Setup:
    """Ours."""
    from refimpl.io.geometry_json import read_geometry

    found = read_geometry(path)
    return Setup(found.detector, found.model, found.wavelength_angstrom)


def write_geometry_json(path: Path, setup: Setup) -> Written:
    """Ours; the parameters ride along where the panels came from some."""
    from refimpl.io.geometry_json import detector_dict

    content = detector_dict(setup.detector, setup.model, setup.wavelength_angstrom)
    return (write_json(path, content),), ()


_MIDAS_GEOMETRY: Final = {
    "Lsd", "BC", "px", "tx", "ty", "tz", "RhoD", "MaxRingRad", "Parallax", "Wavelength",
    "ImTransOpt", "NrPixels", "NrPixelsY", "NrPixelsZ", *(f"p{i}" for i in range(15)),
}  # fmt: skip


def read_midas(path: Path, options: Options) -> Setup:
    """Parameters and, where they name one that is there, the PanelShiftsFile."""
    from refimpl.interop.midas import stored_shape, tilted_flat_from_midas
    from refimpl.io.midas_params import read_params
    from refimpl.io.panel_files import read_corrections

    params = read_params(path)
    stated = stored_shape(params)
    if None not in (stated, options.shape) and stated != options.shape:
        raise ConfigError(f"states {stated} px: --shape {options.shape} differs", path=path)
    model = tilted_flat_from_midas(params, options.shape)
    said = []
    name = params["PanelShiftsFile"]
    if name and model.panel_boxes is not None:
        shifts = path.parent / str(name)
        if shifts.exists():
            moves = read_corrections(shifts, len(model.panel_boxes))
            model = model.replace(panel_corrections=moves)
        else:
            said.append(f"{name} is not there: the panels are taken as uncorrected")
    other = [k for k in params if k not in _MIDAS_GEOMETRY and "Panel" not in k]
    if other:
        said.append(f"keys that are no geometry: {', '.join(sorted(other))}")
    wavelength = params.get("Wavelength")
    setup = setup_from_model(model, None if wavelength is None else float(str(wavelength)))
    return replace(setup, left_out=tuple(said))


def write_midas(path: Path, setup: Setup) -> Written:
    """Parameters; panels that a file can number go into ``<stem>.panelshifts.txt`` beside it."""
    from refimpl.interop.midas import midas_from_tilted_flat
    from refimpl.io.midas_params import write_params
    from refimpl.io.panel_files import write_corrections

    model, said = midas_model(setup)
    values = midas_from_tilted_flat(model)
    if setup.wavelength_angstrom is not None:
        values["Wavelength"] = setup.wavelength_angstrom
    moves = model.panel_corrections
    if moves is None or not np.any(moves):
        return (write_params(path, values),), said
    shifts = path.with_name(f"{path.stem}.panelshifts.txt")
    values["PanelShiftsFile"] = shifts.name
    written = write_corrections(shifts, moves)
    return (write_params(path, values), *written), said


def midas_model(setup: Setup) -> tuple[TiltedFlat, tuple[str, ...]]:
    """Model whose panels are a grid that MIDAS can number, or of the whole image in one.

    Raises
    ------
    GeometryError
        Panels that depart from one plane and are no such grid.
    """
    from refimpl.interop.midas import midas_from_tilted_flat

    model = model_of(setup)
    try:
        midas_from_tilted_flat(model)
    except GeometryError as error:
        if "grid" not in str(error) or (
            model.panel_corrections is not None and np.abs(model.panel_corrections).max() > 1e-9
        ):
            raise
        plain = model.replace(panel_boxes=None, panel_corrections=None)
        return plain, ("the panels are no grid that MIDAS can number: written as one surface",)
    return model, ()


# --- vectors --------------------------------------------------------------------------------------


def read_dials(path: Path, options: Options) -> Setup:
    """Experiments, and the tables that their image set names."""
    from refimpl.io.dials_files import read_expt

    setup = setup_from_experiments(read_expt(path))
    named = [(setup.experiments[0].imageset or {}).get(key) for key in _TABLES]
    if all(named):
        setup = replace(setup, tables=(Path(str(named[0])), Path(str(named[1]))))
    return setup


def write_dials(path: Path, setup: Setup) -> Written:
    """Experiments as they came, or one of what there is."""
    from refimpl.io.dials_files import write_expt
    from refimpl.metrology.pixels import with_corrections

    experiments = setup.experiments or (experiment_of(setup),)
    if setup.tables is not None and not (experiments[0].imageset or {}).get(_TABLES[0]):
        experiments = tuple(with_corrections(e, *setup.tables) for e in experiments)
    return (write_expt(path, experiments),), ()


def is_xparm(path: Path) -> bool:
    """Whether a file begins as XPARM.XDS does, whatever it is called."""
    try:
        with path.open("rb") as stream:
            return stream.read(80).lstrip().startswith(b"XPARM.XDS")
    except OSError:
        return False


def read_xds(path: Path, options: Options) -> Setup:
    """XPARM.XDS; correction tables that lie beside it and correct something belong to it."""
    from refimpl.interop.xds import experiment_from_xparm, read_xparm
    from refimpl.io.xds_tables import read_corrections

    xparm = read_xparm(path)
    setup = setup_from_experiments((experiment_from_xparm(xparm),))
    first, second = (path.parent / name for name in _XDS_TABLES)
    if first.exists() and second.exists():
        tables = read_corrections(first, second, xparm.size_px[::-1])
        if any(np.any(table) for table in tables):
            setup = replace(setup, tables=(first, second))
    return setup


def write_xds(path: Path, setup: Setup) -> Written:
    """XPARM.XDS; a still has an axis all the same."""
    from refimpl.interop.xds import xparm_from_experiment
    from refimpl.interop.xparm_file import format_xparm

    experiment = experiment_of(setup)
    said = []
    if experiment.goniometer is None:
        said.append("no rotation axis is known: (1, 0, 0) is written")
    if experiment.scan is None:
        said.append("no scan is known: image 1, angle 0, width 0 are written")
    text = format_xparm(xparm_from_experiment(experiment))
    return (write_text(path, text),), tuple(said)


def read_nxmx(path: Path, options: Options) -> Setup:
    """NXmx, in the frame of DIALS."""
    from refimpl.interop.nexus_experiment import experiment_from_nexus
    from refimpl.interop.nexus_write import turned

    experiment = experiment_from_nexus(path, need_range=False)
    return setup_from_experiments((turned(experiment, DIALS_FROM_LAB),))


def write_nxmx_file(path: Path, setup: Setup) -> Written:
    """NXmx without images."""
    from refimpl.interop.nexus_write import write_nxmx

    experiment = experiment_of(setup)
    with atomic_path(path) as temporary:
        write_nxmx(temporary, experiment)
    return (path,), ()
