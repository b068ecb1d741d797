"""Parameter files of the published panel program: checked, and made into what an engine needs.

Every key of the manual's "Complete Parameter Reference" (AutoCalibrate version 10, section 7) acts
or is refused by name; :data:`refimpl.powder.panel_keys.KEY_TABLE` says how. Errors name file, line,
key and what is allowed. Reading images is the business of :mod:`refimpl.powder.panel_frames`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from refimpl.crystal.calibrants import Calibrant, calibrant_from_cell
from refimpl.detector.corrections import fixed_panel
from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import transformed_shape
from refimpl.detector.panel_grid import PanelGrid
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import ConfigError, GeometryError, RefimplError
from refimpl.frames import F64
from refimpl.imaging.published_bins import RingWindows, ring_windows
from refimpl.interop.midas import tilted_flat_from_midas
from refimpl.io.midas_outputs import PanelShifts, read_panel_shifts
from refimpl.io.midas_params import MidasParams
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_panel_options import PanelOptions
from refimpl.powder.published_points import PublishedRings, published_rings, ring_pairs
from refimpl.units import DEG, UM

__all__ = [
    "PublishedSetup",
    "calibrant_of",
    "check_params",
    "continued",
    "corrections_from_shifts",
    "panel_grid_of",
    "published_setup",
    "refuse",
    "start_geometry",
]

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


def _number(params: MidasParams, key: str) -> float:
    value = params[key]
    return float(value) if isinstance(value, int | float) else 0.0


def panel_grid_of(params: MidasParams) -> PanelGrid | None:
    """Grid of panels; None for a single surface (no panel keys, or one panel).

    Raises
    ------
    ConfigError
        A key of the grid is missing, or they contradict each other.
    """
    across, up = (int(_number(params, f"NPanels{axis}")) for axis in "YZ")
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
    sizes = (int(_number(params, "PanelSizeY")), int(_number(params, "PanelSizeZ")))
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
        if _number(params, key) < 0.0:
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
    order = int(_number(params, "DistortionOrder"))
    if order not in (4, 6):
        refuse(params, "DistortionOrder", f"DistortionOrder {order}: expected 4 or 6")
    if order == 4 and _number(params, "tolP4") > 0.0:
        refuse(
            params, "tolP4", f"tolP4 {params['tolP4']} with DistortionOrder 4, which has no p4: "
            "give DistortionOrder 6, or tolP4 0"
        )  # fmt: skip
    if _number(params, "EtaBinSize") >= 90.0:
        refuse(params, "EtaBinSize", f"EtaBinSize {params['EtaBinSize']}: expected less than 90")
    codes = params["ImTransOpt"]
    if isinstance(codes, tuple) and len(codes) > MOST_TRANSFORMS:
        refuse(params, "ImTransOpt", f"{len(codes)} lines of ImTransOpt: at most {MOST_TRANSFORMS}")


def _check_files(params: MidasParams) -> None:
    """Keys of the files."""
    for name in ("FileStem", "Ext", "StartNr"):
        params.require(name)
    first, last = int(_number(params, "StartNr")), int(_number(params, "EndNr"))
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
    fix = int(_number(params, "FixPanelID"))
    if not 0 <= fix < len(grid):
        key = "FixPanelID" if "FixPanelID" in params else "NPanelsY"
        refuse(params, key, f"FixPanelID {fix}: the {len(grid)} panels are 0 to {len(grid) - 1}")
    if _number(params, "tolShifts") == 0.0:
        for key in ("tolRotation", "PerPanelLsd", "PerPanelDistortion"):
            if params[key]:
                refuse(
                    params, key, f"{key} {params[key]} with tolShifts 0, which takes the panels "
                    "out of the fit altogether: give a tolShifts above 0"
                )  # fmt: skip
    for key, switch in (("tolLsdPanel", "PerPanelLsd"), ("tolP2Panel", "PerPanelDistortion")):
        if params[switch] and _number(params, key) == 0.0:
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


def start_geometry(
    params: MidasParams, shape: tuple[int, int], *, published_padding: bool = False
) -> TiltedFlat:
    """Geometry to begin at, with the boxes of the panels.

    Parameters
    ----------
    params
        Checked.
    shape
        (n_slow, n_fast) of the image as stored.
    published_padding
        Take BC to count from the square frame that the published program pads; it then has
        no panels, whose boxes would count from there too.
    """
    start = tilted_flat_from_midas(params, shape, published_padding=published_padding)
    if start.panel_boxes is None:
        return start
    return start.replace(panel_corrections=np.zeros((len(start.panel_boxes), len(PANEL_FIELDS))))


def corrections_from_shifts(shifts: PanelShifts, n_panels: int) -> F64:
    """(p, 7) corrections, by :data:`PANEL_FIELDS`, of the rows of panelshifts.txt.

    Raises
    ------
    ConfigError
        Not one row for each of the panels 0 to `n_panels` - 1.
    """
    ids = shifts.panel_id
    if sorted(ids.tolist()) != list(range(n_panels)):
        wrong = sorted(set(ids.tolist()) ^ set(range(n_panels)))
        raise ConfigError(
            f"{len(ids)} panels, the grid has {n_panels} (0 to {n_panels - 1}); panel {wrong[0]} "
            f"is {'missing' if wrong[0] in range(n_panels) else 'none of them'}"
        )
    table = np.zeros((n_panels, len(PANEL_FIELDS)))
    columns = (shifts.d_y_px, shifts.d_z_px, shifts.d_theta_deg * DEG, shifts.d_lsd_um * UM)
    for k, column in enumerate((*columns, shifts.d_p2)):
        table[ids, k] = column
    return table


def continued(params: MidasParams, start: TiltedFlat) -> tuple[TiltedFlat, Path | None]:
    """Start with the corrections of an earlier run, if its PanelShiftsFile is there.

    The manual promises this; the program of that version did not do it. The panel of FixPanelID
    is brought to zero, the others and the global parameters following it exactly.

    Returns
    -------
    start, path
        The path is None where there was nothing to read.

    Raises
    ------
    ConfigError
        The file belongs to another detector.
    FormatError
        It is not such a file.
    """
    name = params["PanelShiftsFile"]
    if name is None or start.panel_boxes is None or not Path(str(name)).exists():
        return start, None
    path = Path(str(name))
    try:
        moves = corrections_from_shifts(read_panel_shifts(path), len(start.panel_boxes))
    except ConfigError as error:
        raise ConfigError(
            f"{error}: it belongs to another detector; remove it or name another PanelShiftsFile",
            path=path,
            key="PanelShiftsFile",
        ) from error
    moved = start.replace(panel_corrections=moves)
    return fixed_panel(moved, int(_number(params, "FixPanelID"))), path


def calibrant_of(params: MidasParams) -> Calibrant:
    """Crystal of SpaceGroup and LatticeConstant.

    Raises
    ------
    ConfigError
        The cell does not fit the space group.
    """
    cell: Any = params["LatticeConstant"]
    try:
        return calibrant_from_cell("calibrant", int(_number(params, "SpaceGroup")), cell)
    except RefimplError as error:
        refuse(params, "LatticeConstant", str(error))


@dataclass(frozen=True, eq=False)
class PublishedSetup:
    """What a run of the published engine is given.

    Attributes
    ----------
    start, rings, options, panels
        As :func:`~refimpl.powder.published_panels.calibrate_published_panels` takes them.
    """

    start: TiltedFlat
    rings: PublishedRings
    options: PublishedOptions
    panels: PanelOptions

    @property
    def tolerance_rad(self) -> float:
        """Published TthetaTol, half the angular width of a ring's window."""
        d, width = self.start, self.options.width_mm
        far = np.arctan((d.rho_d_mm + width) / d.lsd_mm)
        return float(far - np.arctan((d.rho_d_mm - width) / d.lsd_mm))

    def windows(self, detector: TiltedFlat) -> RingWindows:
        """Windows of the rings at a geometry."""
        return ring_windows(
            *(self.rings.number, self.rings.two_theta_rad, detector.lsd_mm, detector.rho_d_mm),
            *(self.options.width_mm, detector.pixel_size_mm[0], self.options.r_bin_divisions),
        )

    def groups(self, detector: TiltedFlat) -> list[tuple[int, ...]]:
        """Rings that are fitted together at a geometry, by position in :meth:`windows`."""
        separation = self.options.doublet_separation_px * detector.pixel_size_mm[0]
        return ring_pairs(self.windows(detector), separation)


def published_setup(
    params: MidasParams,
    shape: tuple[int, int],
    *,
    published_padding: bool = False,
    published_restore: bool = False,
    **changes: Any,
) -> PublishedSetup:
    """Everything that the published engine takes from a parameter file.

    Parameters
    ----------
    params
        Checked.
    shape
        (n_slow, n_fast) of the image as stored.
    published_padding, published_restore
        Quirks of the published program, off by default.
    **changes
        Of :class:`PublishedOptions`.

    Raises
    ------
    ConfigError
        No ring within RhoD, every ring excluded, or a range of a term that this version lacks.
    """
    for n in range(5, 15):
        if f"tolP{n}" in params and _number(params, f"tolP{n}") > 0.0:
            refuse(
                params, f"tolP{n}", f"tolP{n} {params[f'tolP{n}']}: the published program of this "
                "version refines p0 to p4; leave --published out"
            )  # fmt: skip
    start = start_geometry(params, shape, published_padding=published_padding)
    rings = published_rings(
        calibrant_of(params), _number(params, "Wavelength"), start.lsd_mm, start.rho_d_mm
    )
    excluded = params["RingsToExclude"]
    rings = rings.without(tuple(excluded) if isinstance(excluded, tuple) else ())  # type: ignore[arg-type]
    if not len(rings.number):
        refuse(params, "RingsToExclude", "RingsToExclude leaves no ring within RhoD")
    return PublishedSetup(
        start,
        rings,
        PublishedOptions.from_params(params, **changes),
        PanelOptions.from_params(params, published_restore=published_restore),
    )
