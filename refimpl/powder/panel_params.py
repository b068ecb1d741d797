"""Parameter files of the published panel program: checked, and made into what an engine needs.

Every key of the manual's "Complete Parameter Reference" (AutoCalibrate version 10, section 7) acts
or is refused by name; :data:`refimpl.powder.panel_keys.KEY_TABLE` says how. Errors name file, line,
key and what is allowed. Reading images is the business of :mod:`refimpl.powder.panel_frames`.
"""

from __future__ import annotations

from typing import NoReturn

from refimpl.detector.orientation import transformed_shape
from refimpl.detector.panel_grid import PanelGrid
from refimpl.errors import ConfigError, GeometryError
from refimpl.io.midas_params import MidasParams

__all__ = ["check_params", "number_of", "panel_grid_of", "refuse"]

MOST_TRANSFORMS = 10
NEEDED = ("Lsd", "BC", "px", "Wavelength", "SpaceGroup", "LatticeConstant")
NOT_NEGATIVE = (
    "Padding", "HeadSize", "SkipFrame", "tolTilts", "tolBC", "tolLsd", "tolP",
    *(f"tolP{n}" for n in range(15)), "tolShifts", "tolRotation", "MultFactor", "MinIndicesForFit",
    "DoubletSeparation", "OutlierIterations", "tolLsdPanel", "tolP2Panel", "NPanelsY", "NPanelsZ",
    "PanelSizeY", "PanelSizeZ",
)  # fmt: skip
ONLY_WITH_PANELS = ("tolRotation", "PerPanelLsd", "PerPanelDistortion", "FixPanelID")
GRID_KEYS = ("PanelSizeY", "PanelSizeZ", "PanelGapsY", "PanelGapsZ", "PanelShiftsFile")


def refuse(params: MidasParams, key: str, problem: str) -> NoReturn:
    """Raise the error of one key, with file and line."""
    line = params.lines.get(key)
    got = params.given.get(key)
    raise ConfigError(problem, path=params.path, line=line, key=key, got=got)


def number_of(params: MidasParams, key: str) -> float:
    """Value of a key of one number; 0 where it has none."""
    value = params[key]
    return float(value) if isinstance(value, int | float) else 0.0


def panel_grid_of(params: MidasParams) -> PanelGrid | None:
    """Grid of panels; None for a single surface (no panel keys, or one panel).

    Raises
    ------
    ConfigError
        A key of the grid is missing, or they contradict each other.
    """
    across, up = (int(number_of(params, f"NPanels{axis}")) for axis in "YZ")
    if not across and not up:
        for key in GRID_KEYS:
            if key in params:
                refuse(params, key, f"{key} without NPanelsY and NPanelsZ: the panels are unknown")
        return None
    for axis, count in (("Y", across), ("Z", up)):
        if not count:
            other = "NPanelsZ" if axis == "Y" else "NPanelsY"
            refuse(params, other, f"{other} without NPanels{axis}: both are needed, 1 or more each")
        if not params[f"PanelSize{axis}"]:
            refuse(params, f"NPanels{axis}", f"NPanels{axis} without PanelSize{axis}")
    gaps = [_gaps(params, axis, count) for axis, count in (("Y", across), ("Z", up))]
    sizes = (int(number_of(params, "PanelSizeY")), int(number_of(params, "PanelSizeZ")))
    grid = PanelGrid(across, up, *sizes, *gaps)
    return grid if len(grid) > 1 else None


def _gaps(params: MidasParams, axis: str, count: int) -> tuple[int, ...]:
    key = f"PanelGaps{axis}"
    gaps = params[key]
    found = tuple(int(v) for v in gaps) if isinstance(gaps, tuple) else ()
    if len(found) != count - 1:
        refuse(
            params,
            key if key in params else f"NPanels{axis}",
            f"{key} has {len(found)} gaps, {count} panels need {count - 1}",
        )
    if found and min(found) < 0:
        refuse(params, key, f"{key} has a gap of {min(found)} px: expected 0 or more")
    return found


def check_params(params: MidasParams, shape: tuple[int, int] | None = None) -> None:
    """Refuse what is missing, out of range or contradictory.

    Parameters
    ----------
    params
        As read.
    shape
        (n_slow, n_fast) of the image as stored, once it is known.

    Raises
    ------
    ConfigError
        With file, line, key and what is allowed.
    """
    params.require(*NEEDED)
    for key in NOT_NEGATIVE:
        if number_of(params, key) < 0.0:
            refuse(params, key, f"{key} {params[key]}: expected 0 or more")
    _check_surface(params)
    _check_files(params)
    grid = panel_grid_of(params)
    if grid is None:
        for key in ONLY_WITH_PANELS:
            if params[key]:
                refuse(
                    params, key, f"{key} {params[key]} without panels: NPanelsY and NPanelsZ give "
                    "two or more"
                )  # fmt: skip
    else:
        _check_panels(params, grid)
    _check_shape(params, grid, shape)


def _check_surface(params: MidasParams) -> None:
    """Keys of the whole detector and of the control."""
    order = int(number_of(params, "DistortionOrder"))
    if order not in (4, 6):
        refuse(params, "DistortionOrder", f"DistortionOrder {order}: expected 4 or 6")
    if order == 4 and number_of(params, "tolP4") > 0.0:
        refuse(
            params, "tolP4", f"tolP4 {params['tolP4']} with DistortionOrder 4, which has no p4: "
            "give DistortionOrder 6, or tolP4 0"
        )  # fmt: skip
    if number_of(params, "EtaBinSize") >= 90.0:
        refuse(params, "EtaBinSize", f"EtaBinSize {params['EtaBinSize']}: expected less than 90")
    codes = params["ImTransOpt"]
    if isinstance(codes, tuple) and len(codes) > MOST_TRANSFORMS:
        refuse(params, "ImTransOpt", f"{len(codes)} lines of ImTransOpt: at most {MOST_TRANSFORMS}")


def _check_files(params: MidasParams) -> None:
    """Keys of the files."""
    for name in ("FileStem", "Ext", "StartNr"):
        params.require(name)
    first, last = int(number_of(params, "StartNr")), int(number_of(params, "EndNr"))
    if first < 0:
        refuse(params, "StartNr", f"StartNr {first}: expected 0 or more")
    if "EndNr" in params and last < first:
        refuse(params, "EndNr", f"EndNr {last} is before StartNr {first}")
    for key in ("dataDataset", "darkDataset"):
        if key in params and params["DataType"] != 8:
            refuse(
                params, key, f"{key} is for HDF5 files, and DataType is {params['DataType']}: "
                "give DataType 8, or leave it out"
            )  # fmt: skip


def _check_panels(params: MidasParams, grid: PanelGrid) -> None:
    """Keys of the panels' refinement."""
    fix = int(number_of(params, "FixPanelID"))
    if not 0 <= fix < len(grid):
        key = "FixPanelID" if "FixPanelID" in params else "NPanelsY"
        refuse(params, key, f"FixPanelID {fix}: the {len(grid)} panels are 0 to {len(grid) - 1}")
    if number_of(params, "tolShifts") == 0.0:
        for key in ("tolRotation", "PerPanelLsd", "PerPanelDistortion"):
            if params[key]:
                refuse(
                    params, key, f"{key} {params[key]} with tolShifts 0, which takes the panels "
                    "out of the fit altogether: give a tolShifts above 0"
                )  # fmt: skip
    for key, switch in (("tolLsdPanel", "PerPanelLsd"), ("tolP2Panel", "PerPanelDistortion")):
        if params[switch] and number_of(params, key) == 0.0:
            refuse(params, key, f"{key} 0 with {switch} 1: give a range above 0, or {switch} 0")


def _check_shape(
    params: MidasParams, grid: PanelGrid | None, shape: tuple[int, int] | None
) -> None:
    """The stated shape against itself, the image and the panels."""
    square = params["NrPixels"]
    for key in ("NrPixelsY", "NrPixelsZ"):
        if square is not None and params[key] is not None and params[key] != square:
            refuse(
                params, key, f"{key} {params[key]} contradicts NrPixels {square}, which sets both "
                "sides: give one or the other"
            )  # fmt: skip
        other = "NrPixelsZ" if key == "NrPixelsY" else "NrPixelsY"
        if square is None and key in params and other not in params:
            refuse(params, key, f"{key} without {other}: both are needed, or NrPixels")
    stated = params.shape
    if stated is not None and shape is not None and stated != tuple(shape):
        key = "NrPixels" if square is not None else "NrPixelsY"
        refuse(
            params, key, f"the image has {shape[1]} x {shape[0]} px (Y x Z), the parameters say "
            f"{stated[1]} x {stated[0]}"
        )  # fmt: skip
    known = stated if shape is None else shape
    if grid is None or known is None:
        return
    codes = params["ImTransOpt"]
    try:
        grid.check(transformed_shape([c for c in codes if c], known))  # type: ignore[union-attr, misc]
    except GeometryError as error:
        big = transformed_shape([c for c in codes if c], known)  # type: ignore[union-attr, misc]
        axis = "Z" if grid.shape[0] != big[0] else "Y"
        refuse(params, f"PanelSize{axis}", str(error))
