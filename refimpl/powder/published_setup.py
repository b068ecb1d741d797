"""What the engines take from a checked parameter file: start, rings, options, corrections."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.crystal.calibrants import Calibrant, calibrant_from_cell
from refimpl.detector.corrections import fixed_panel
from refimpl.detector.model import TiltedFlat
from refimpl.detector.tilted_flat import PANEL_FIELDS
from refimpl.errors import RefimplError
from refimpl.imaging.published_bins import RingWindows, ring_windows
from refimpl.interop.midas import padding_px, tilted_flat_from_midas
from refimpl.io.midas_params import MidasParams
from refimpl.io.panel_files import read_corrections
from refimpl.powder.panel_params import number_of, panel_grid_of, refuse
from refimpl.powder.published_options import PublishedOptions
from refimpl.powder.published_panel_options import PanelOptions
from refimpl.powder.published_points import PublishedRings, published_rings, ring_pairs

__all__ = [
    "PublishedSetup",
    "calibrant_of",
    "continued",
    "published_setup",
    "start_geometry",
]


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
        Take BC to count from the square frame that the published program pads.

    Raises
    ------
    ConfigError
        With `published_padding`, panels, and a transform that turns the padding to the low side:
        panels begin at pixel 0, so the published ones would lie in the padding.
    """
    codes: Any = params["ImTransOpt"]
    if published_padding and panel_grid_of(params) is not None and padding_px(codes, shape).any():
        refuse(
            params,
            "ImTransOpt",
            f"ImTransOpt {' '.join(map(str, codes))} turns the padding of the published square "
            "frame to the low side, and the panels would lie in it: leave --published-quirks out",
        )
    start = tilted_flat_from_midas(params, shape, published_padding=published_padding)
    if start.panel_boxes is None:
        return start
    return start.replace(panel_corrections=np.zeros((len(start.panel_boxes), len(PANEL_FIELDS))))


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
    FormatError
        It is not such a file, or one of another detector.
    """
    name = params["PanelShiftsFile"]
    if name is None or start.panel_boxes is None or not Path(str(name)).exists():
        return start, None
    path = Path(str(name))
    moves = read_corrections(path, len(start.panel_boxes))
    moved = start.replace(panel_corrections=moves)
    return fixed_panel(moved, int(number_of(params, "FixPanelID"))), path


def calibrant_of(params: MidasParams) -> Calibrant:
    """Crystal of SpaceGroup and LatticeConstant.

    Raises
    ------
    ConfigError
        The cell does not fit the space group.
    """
    cell: Any = params["LatticeConstant"]
    try:
        return calibrant_from_cell("calibrant", int(number_of(params, "SpaceGroup")), cell)
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
        if f"tolP{n}" in params and number_of(params, f"tolP{n}") > 0.0:
            refuse(
                params, f"tolP{n}", f"tolP{n} {params[f'tolP{n}']}: the published program of this "
                "version refines p0 to p4; leave --published out"
            )  # fmt: skip
    start = start_geometry(params, shape, published_padding=published_padding)
    rings = published_rings(
        calibrant_of(params), number_of(params, "Wavelength"), start.lsd_mm, start.rho_d_mm
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
