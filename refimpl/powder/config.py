"""Every setting of a powder calibration: type, unit, default, range and help, in one place.

The fields are the registry for the TOML reader and writer, the library call, the command line and
the documentation. An unknown name is an error that names the nearest known one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from refimpl.io.settings_files import SettingsFile, SettingsTable

__all__ = ["PowderConfig", "config_from", "config_toml", "read_config", "setting_names"]


class BeamTable(SettingsTable):
    """The beam."""

    wavelength_angstrom: float = Field(gt=0.001, lt=20.0, description="Wavelength [angstrom].")
    polarisation: float | None = Field(
        default=None, ge=-1.0, le=1.0,
        description="Degree of linear polarisation in the horizontal plane; none: not corrected.",
    )  # fmt: skip


class CalibrantTable(SettingsTable):
    """The calibrant."""

    calibrant: str = Field(default="CeO2", description="Name of the calibrant.")
    lattice_parameter_angstrom: float | None = Field(
        default=None, gt=0.5, lt=1000.0, description="Lattice parameter a; none: the certified one."
    )
    exclude_rings: tuple[int, ...] = Field(
        default=(), description="Ring numbers to leave out, from 1."
    )


class DetectorTable(SettingsTable):
    """The detector, as far as it is known beforehand."""

    pixel_size_mm: tuple[float, float] = Field(description="Pixel size along (fast, slow) [mm].")
    image_transform: tuple[Literal[0, 1, 2, 3], ...] = Field(
        default=(2,),
        description="ImTransOpt codes that take the stored image to the model frame; the default "
        "is for files whose first row is the top of the picture seen along the beam.",
    )
    panels: Literal["auto", "none"] = Field(
        default="auto",
        description="Find panels from fully masked rows and columns, or take one surface.",
    )
    tx_deg: float = Field(default=0.0, description="Turn about the beam; carried, never refined.")
    rho_d_mm: float | None = Field(
        default=None,
        gt=0.0,
        description="Radius that normalises the distortion; none: farthest corner.",
    )
    gain: float = Field(
        default=1.0, gt=0.0, description="Variance of a pixel per unit of its value."
    )
    variance_floor: float = Field(
        default=0.0, ge=0.0, description="Variance at zero (read-out noise)."
    )

    @field_validator("pixel_size_mm")
    @classmethod
    def _plausible(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(1e-4 <= v <= 10.0 for v in value):
            raise ValueError("expected 0.0001 to 10 mm")
        return value


class StartTable(SettingsTable):
    """Start values; whatever is not given is found."""

    lsd_mm: float | None = Field(default=None, gt=0.0, description="Guess of the distance [mm].")
    beam_centre_px: tuple[float, float] | None = Field(
        default=None,
        description="Guess of the beam centre (fast, slow) in the file's pixel order [px].",
    )
    tilt_deg: tuple[float, float] = Field(
        default=(0.0, 0.0), description="Start of ty, tz [degrees]."
    )
    p: tuple[float, ...] = Field(
        default=(0.0,) * 15,
        min_length=15,
        max_length=15,
        description="Start of p0..p14, as published.",
    )
    parallax_mm: float = Field(default=0.0, description="Parallax length [mm].")


class CalibrateTable(SettingsTable):
    """What is refined, and how."""

    refine: tuple[str, ...] = Field(
        default=("distance", "beam_centre", "tilt"),
        description="What to refine: distance, beam_centre, tilt, parallax, p0..p14.",
    )
    tolerances: dict[str, float] = Field(
        default_factory=dict,
        description="Half width of the search range by the same names (mm, px, rad; phases deg).",
    )
    eta_bin_deg: float | None = Field(
        default=None,
        ge=0.1,
        le=45.0,
        description="Size of an azimuthal bin; none: 2 degrees, wider where rings are weak.",
    )
    solver: Literal["lm", "simplex"] = Field(
        default="lm", description="Levenberg-Marquardt, or Nelder-Mead on the same objective."
    )
    objective: Literal["strain", "published"] = Field(
        default="strain",
        description="Weighted squares of the pseudo-strain, or its published L1 sum.",
    )
    ring_multiplier: float = Field(
        default=2.5, ge=0.0,
        description="MultFactor: leave out rings whose mean |strain|, in units of what their "
        "points should scatter, exceeds this many times the median ring's; 0: never.",
    )  # fmt: skip
    clip_sigma: float = Field(default=5.0, gt=1.0, description="Outlier rule for points, iterated.")
    max_iterations: int = Field(
        default=20, ge=1, le=1000, description="Passes of extraction and fit."
    )
    stopping_strain: float | None = Field(
        default=None, gt=0.0, description="Also stop once the mean strain is below this."
    )
    least_coverage: float = Field(
        default=0.1, ge=0.0, le=1.0, description="Least usable part of a bin that gives a point."
    )
    least_snr: float = Field(
        default=4.0, ge=0.0, description="Least height of a peak over its error."
    )
    window_fwhm: float = Field(
        default=5.0, ge=2.0, description="Half width of a window in ring widths."
    )
    doublet_separation_px: float = Field(
        default=0.0, ge=0.0,
        description="DoubletSeparation: neighbours nearer than this are fitted together [px]; 0: "
        "those nearer than five ring widths.",
    )  # fmt: skip
    normalize_ring_weights: bool = Field(
        default=False, description="NormalizeRingWeights: every ring weighs the same."
    )
    weight_by_radius: bool = Field(
        default=False, description="WeightByRadius: points weigh in proportion to their radius."
    )
    seed: int = Field(
        default=0, ge=0, description="Nothing here is random; recorded with the result."
    )

    @field_validator("tolerances")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if bad := [k for k, v in value.items() if not v > 0.0]:
            raise ValueError(f"{', '.join(bad)}: expected numbers > 0")
        return value


class PanelsTable(SettingsTable):
    """Panels that are refined one by one."""

    panels_grid: str = Field(
        default="none",
        description="none: one surface. auto: from the gaps. start: those of the start geometry. "
        "Else a named grid (pilatus2m, pilatus2m-half, eiger16m, ...) or a description file.",
    )
    panel_refine: tuple[str, ...] = Field(
        default=("shift", "rotation", "height", "tilt"),
        description="What to refine of every panel: shift, rotation, height, tilt, p2.",
    )
    panel_priors: dict[str, Annotated[float, Field(gt=0.0, allow_inf_nan=True)]] = Field(
        default_factory=dict,
        description="Standard deviation about 0 before anything is measured, by the same names "
        "(px, rad, mm, rad, 1; inf: none); else shift 0.5, rotation 2e-3, height 0.3, tilt 3e-3, "
        "p2 1e-4.",
    )
    panel_learn_priors: bool = Field(
        default=True, description="Estimate these widths from the spread of the panels themselves."
    )
    panel_tolerances: dict[str, float] = Field(
        default_factory=dict,
        description="Half width of a hard search range by the same names; not named: none.",
    )
    panel_expansion: Literal["zero", "free"] = Field(
        default="zero",
        description="Radial expansion of all panels together: zero, so that it cannot stand in for "
        "the distance, or free.",
    )
    min_indices: int = Field(
        default=5, ge=1, description="MinIndicesForFit: a panel with fewer ring points is held."
    )
    allow_masked_panels: bool = Field(
        default=False, description="Hold panels that are masked from end to end; false: refuse."
    )
    fix_panel: int | None = Field(
        default=None, ge=0,
        description="FixPanelID: write the result so that this panel has no correction; the fit "
        "does not depend on it.",
    )  # fmt: skip


class PowderConfig(SettingsTable):
    """A whole powder calibration."""

    schema_version: Literal[1] = Field(
        default=1, alias="schema", description="Version of this format."
    )
    beam: BeamTable
    calibrant: CalibrantTable = CalibrantTable()
    detector: DetectorTable
    start: StartTable = StartTable()
    calibrate: CalibrateTable = CalibrateTable()
    panels: PanelsTable = PanelsTable()


def _widened(name: str, value: Any) -> Any:
    """One pixel size is that of both directions."""
    if name == "pixel_size_mm" and isinstance(value, int | float):
        return (float(value), float(value))
    return value


_FILE = SettingsFile(PowderConfig, widen=_widened)


def setting_names() -> dict[str, str]:
    """Every setting and the table that it stands in."""
    return _FILE.names()


def config_from(settings: Mapping[str, Any], *, base: PowderConfig | None = None) -> PowderConfig:
    """Build a configuration from flat settings, over a base.

    Parameters
    ----------
    settings
        Name to value; the names are those of all tables together. ``pixel_size_mm`` may be one
        number.
    base
        Values of what is not given.

    Raises
    ------
    ConfigError
        Unknown name (the nearest one is named), a value out of range, or a missing one.
    """
    return _FILE.of(settings, base=base)


def read_config(path: str | Path, settings: Mapping[str, Any] | None = None) -> PowderConfig:
    """Read a TOML parameter file.

    Parameters
    ----------
    path
        The file.
    settings
        Flat settings that win over the file's, as of :func:`config_from`; what they give need
        not stand in the file.

    Raises
    ------
    ConfigError
        No such file, not TOML, a newer schema, an unknown key, a bad or missing value.
    """
    return _FILE.read(path, settings)


def config_toml(config: PowderConfig) -> str:
    """Write a configuration as TOML, every value stated, with its help as a comment."""
    return _FILE.toml(config)
