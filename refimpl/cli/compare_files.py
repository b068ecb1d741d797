"""What ``refimpl compare`` reads: the kind of a result, and two of one kind for the judge."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from refimpl.errors import ConfigError, FormatError
from refimpl.hdf5 import read_hdf5

if TYPE_CHECKING:
    from refimpl.frames import F64, I64
    from refimpl.io.midas_outputs import PanelShifts
    from refimpl.testing.judge import Judgement

__all__ = ["Options", "judgement_of", "kind_of"]

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_GEOMETRIES: Final = (
    ".expt", ".poni", ".geom", ".yml", ".yaml", ".hexrd", ".imctrl", ".nxs", ".json", ".par",
    ".xds",
)  # fmt: skip
_SIGMAS: Final = ("sigma_dY_px", "sigma_dZ_px", "sigma_dTheta_deg", "sigma_dLsd_um", "sigma_dP2")


@dataclass(frozen=True)
class Options:
    """Options of single kinds, None where they were not given; names are those of the command."""

    image_transform: tuple[int, ...] | None = None
    shape: tuple[int, int] | None = None
    pixel_size_um: tuple[float, float] | None = None
    parameters: Path | None = None
    space_group: int | None = None
    min_confidence: float | None = None
    match_px: float | None = None


_OF_KIND: Final[Mapping[str, tuple[str, ...]]] = {
    "geometry": ("image_transform", "shape", "pixel_size_um"),
    "map": ("parameters", "space_group", "min_confidence"),
    "reflections": ("match_px",),
    "panels": ("parameters",),
}


def judgement_of(
    first: Path,
    second: Path,
    kind: str | None,
    tolerances: Mapping[str, float | None],
    options: Options,
) -> Judgement:
    """Compare two files.

    Parameters
    ----------
    first, second
        Files; the second is held to the first.
    kind
        geometry, map, reflections or panels; None: as the files say.
    tolerances
        By name of the measure.
    options
        Of the kind.

    Raises
    ------
    ConfigError
        Two kinds, an unknown kind, an option of another kind, a tolerance of no measure.
    FormatError
        A file cannot be read.
    """
    if kind is None:
        kinds = kind_of(first), kind_of(second)
        if kinds[0] != kinds[1]:
            raise ConfigError(
                f"{first} is read as {kinds[0]}, {second} as {kinds[1]}: two of one kind are "
                "compared; --kind says which"
            )
        kind = kinds[0]
    if kind not in _OF_KIND:
        raise ConfigError(f"--kind {kind!r}: expected one of {', '.join(_OF_KIND)}", key="kind")
    for name, value in vars(options).items():
        if value is not None and name not in _OF_KIND[kind]:
            raise ConfigError(f"--{name.replace('_', '-')} is no option of {kind}", key=name)
    run = {"geometry": _geometries, "map": _maps, "reflections": _reflections, "panels": _panels}
    return run[kind](first, second, tolerances, options)


def kind_of(path: Path) -> str:
    """Kind of a result, from its name, and from its first bytes where that does not tell.

    Raises
    ------
    FormatError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", path=path) from error
    suffix = path.suffix.lower()
    if suffix in (".refl", ".npz"):
        return "reflections"
    if suffix in _GEOMETRIES:
        return "geometry"
    if start.startswith(_HDF5):
        return "map" if _is_map(path) else "geometry"
    if suffix == ".mic" or start.startswith(b"%"):
        return "map"
    return "panels" if _is_table(start) else "geometry"


def _is_map(path: Path) -> bool:
    try:
        with read_hdf5(path) as file:
            return "crystal_map" in file
    except OSError as error:
        raise FormatError(f"not an HDF5 file: {error}", path=path) from error


def _is_table(start: bytes) -> bool:
    """Whether the first line that says something is a row of panel shifts: numbers alone."""
    lines = start.decode("utf-8", errors="replace").splitlines()
    said = [text for line in lines if (text := line.split("#", 1)[0].strip())]
    return bool(said) and re.fullmatch(r"\d+(\s+[-+.\deE]+){2,5}", said[0]) is not None


def _names(first: Path, second: Path) -> tuple[str, str]:
    return str(first), str(second)


# --- geometries -----------------------------------------------------------------------------------


def _geometries(
    first: Path, second: Path, tolerances: Mapping[str, float | None], options: Options
) -> Judgement:
    from refimpl.cli.compare_geometries import read_geometries
    from refimpl.testing.judge_geometry import geometry_judgement

    a, b = read_geometries((first, second), options.shape, options.pixel_size_um)
    return geometry_judgement(
        a, b, names=_names(first, second), tolerances=tolerances,
        image_transform=options.image_transform or (),
    )  # fmt: skip


# --- the others -----------------------------------------------------------------------------------


def _maps(
    first: Path, second: Path, tolerances: Mapping[str, float | None], options: Options
) -> Judgement:
    from refimpl.cli import nearfield_files
    from refimpl.testing.judge_maps import map_judgement

    job = None if options.parameters is None else nearfield_files.load(options.parameters)
    a, b = (nearfield_files.map_of(path, job, options.space_group) for path in (first, second))
    return map_judgement(
        a, b, names=_names(first, second), tolerances=tolerances,
        min_confidence=options.min_confidence or 0.0,
    )  # fmt: skip


def _reflections(
    first: Path, second: Path, tolerances: Mapping[str, float | None], options: Options
) -> Judgement:
    from refimpl.cli import metrology_files
    from refimpl.testing.judge_reflections import reflection_judgement
    from refimpl.testing.judge_spots import REACH_PX

    a, b = (metrology_files.read_table(path) for path in (first, second))
    reach = REACH_PX if options.match_px is None else options.match_px
    return reflection_judgement(
        a, b, names=_names(first, second), tolerances=tolerances, match_px=reach
    )


def _panels(
    first: Path, second: Path, tolerances: Mapping[str, float | None], options: Options
) -> Judgement:
    from refimpl.io.midas_outputs import read_panel_shifts
    from refimpl.testing.judge_panels import panel_judgement

    a, b = read_panel_shifts(first), read_panel_shifts(second)
    boxes = None if options.parameters is None else _boxes(options.parameters)
    return panel_judgement(
        a, b, boxes, names=_names(first, second), tolerances=tolerances,
        sigmas=tuple(_sigma(path, table) for path, table in ((first, a), (second, b))),
    )  # fmt: skip


def _boxes(path: Path) -> I64:
    from refimpl.interop.midas import panel_boxes
    from refimpl.io.midas_params import read_params

    boxes = panel_boxes(read_params(path))
    if boxes is None:
        raise ConfigError("no grid of panels (NPanelsY, NPanelsZ, ...)", path=path)
    return boxes


def _sigma(path: Path, table: PanelShifts) -> F64 | None:
    """(p, 5) uncertainties of the ``panels.csv`` beside, in the order of the table."""
    import numpy as np
    import pandas as pd

    beside = path.with_name("panels.csv")
    if path.name != "panelshifts.txt" or not beside.is_file():
        return None
    try:
        rows = pd.read_csv(beside).set_index("panel").loc[table.panel_id, list(_SIGMAS)]
    except (OSError, ValueError, KeyError) as error:
        raise FormatError(f"not the panels of {path.name}: {error}", path=beside) from error
    return np.asarray(rows.to_numpy(dtype=np.float64))
