"""Every setting of a near-field run: type, unit, default, range and help, in one place.

The fields are the registry for the TOML reader and writer, the command line and the documentation;
:mod:`refimpl.nearfield.config` reads, writes and uses them. How images are processed, where files
are and what they are called is said by the published parameter file alone.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from refimpl.io.settings_files import SettingsTable

__all__ = ["NearfieldConfig"]


class BeamTable(SettingsTable):
    """The beam."""

    wavelength_angstrom: float = Field(gt=0.001, lt=20.0, description="Wavelength [angstrom].")


class CrystalTable(SettingsTable):
    """The crystal and the reflections that are looked for."""

    space_group: int = Field(ge=1, le=230, description="Space group number.")
    cell: tuple[float, float, float, float, float, float] = Field(
        description="a, b, c [angstrom], alpha, beta, gamma [degrees]."
    )
    max_ring_radius_mm: float = Field(
        gt=0.0, description="Radius of the largest ring at the last distance [mm]."
    )
    rings: tuple[int, ...] = Field(
        default=(), description="Ring numbers to use, in this order; none: all."
    )
    phase: int = Field(default=1, ge=1, description="Number of this phase in the map.")
    n_phases: int = Field(default=1, ge=1, description="Number of phases in the map.")


class DetectorTable(SettingsTable):
    """The detector at its distances."""

    lsd_mm: tuple[float, ...] = Field(min_length=1, description="Distances from the axis [mm].")
    beam_centre_px: tuple[tuple[float, float], ...] = Field(
        min_length=1, description="Beam centre (Y, Z) at each distance [px], counted flipped."
    )
    tilts_deg: tuple[float, float, float] = Field(
        default=(0.0, 0.0, 0.0), description="Tilts tx, ty, tz [degrees]."
    )
    pixel_size_mm: float = Field(gt=0.0, le=10.0, description="Pixel size [mm].")
    shape_px: tuple[int, int] = Field(default=(2048, 2048), description="Numbers of pixels Y, Z.")


class ScanTable(SettingsTable):
    """The rotation and what counts of it."""

    omega_start_deg: float = Field(description="Leading edge of the first frame [degrees].")
    omega_step_deg: float = Field(description="Width of a frame, with its sign [degrees].")
    n_frames: int = Field(ge=1, description="Frames of a distance.")
    omega_ranges_deg: tuple[tuple[float, float], ...] = Field(
        default=(), description="Ranges of omega that count [degrees]; none: no spots."
    )
    boxes_mm: tuple[tuple[float, float, float, float], ...] = Field(
        default=(), description="ylo, yhi, zlo, zhi of the spots of each range [mm]."
    )
    exclude_pole_deg: float = Field(
        default=0.0, ge=0.0, lt=90.0, description="Leave out spots this near to the axis [degrees]."
    )
    wedge_deg: float = Field(
        default=0.0, gt=-90.0, lt=90.0, description="Lean of the rotation axis [degrees]."
    )
    published_wedge: bool = Field(
        default=False, description="Take the wedge as the published program does."
    )


class GridTable(SettingsTable):
    """Where the map is made."""

    grid: Literal["hexagonal", "square"] = Field(default="hexagonal", description="Kind of grid.")
    grid_size_mm: float | None = Field(
        default=None, gt=0.0, description="Edge of a triangle or square [mm]; none: of grid_file."
    )
    sample_radius_mm: float | None = Field(
        default=None, gt=0.0, description="Radius that the grid covers [mm]."
    )
    edge_mm: float | None = Field(
        default=None, gt=0.0, description="Edge of what is projected [mm]; none: the grid's."
    )
    published_grid: bool = Field(
        default=True, description="Triangles where the published program has them."
    )
    grid_file: str | None = Field(default=None, description="grid.txt to read instead.")
    tomo_image: str | None = Field(default=None, description="Raw square image of the sample.")
    tomo_pixel_mm: float | None = Field(default=None, gt=0.0, description="Its pixel size [mm].")
    published_tomo_rows: bool = Field(
        default=False, description="Read its rows as the published program does, one off."
    )
    grid_mask_mm: tuple[float, float, float, float] | None = Field(
        default=None, description="xmin, xmax, ymin, ymax of the points to keep [mm]."
    )


class SearchTable(SettingsTable):
    """Candidates, and how they are fitted."""

    seeds: str | None = Field(default=None, description="List of candidates, w,x,y,z a line.")
    grains: str | None = Field(default=None, description="Grains.csv of the far field.")
    seed_spacing_deg: float = Field(
        default=1.5, gt=0.1, le=30.0, description="Spacing of candidates where none are given."
    )
    min_confidence: float = Field(
        default=0.04, ge=0.0, le=1.0, description="Least confidence of a candidate (MinFracAccept)."
    )
    orient_tol_deg: float = Field(
        default=2.0, gt=0.0, le=90.0, description="Half width of the fit's range [degrees]."
    )
    n_solutions: int = Field(default=1, ge=1, description="Solutions saved a point.")
    min_solution_deg: float = Field(
        default=1.0, ge=0.0, description="Least misorientation of saved solutions [degrees]."
    )
    nearest_misorientation_deg: float = Field(
        default=0.0, ge=0.0,
        description="Points that differ by more from all nearest neighbours are flagged and fitted "
        "again from these [degrees]; 0: never.",
    )  # fmt: skip


class OutputTable(SettingsTable):
    """What is made of the map."""

    grain_boundary_deg: float = Field(
        default=5.0, gt=0.0, description="Misorientation of a grain boundary [degrees]."
    )


class CalibrationTable(SettingsTable):
    """How far the geometry is searched."""

    lsd_tol_mm: float = Field(default=0.3, gt=0.0, description="Of the first distance [mm].")
    lsd_relative_tol_mm: float = Field(
        default=0.3, gt=0.0, description="Of the steps between distances [mm]."
    )
    beam_centre_tol_px: tuple[float, float] = Field(
        default=(20.0, 20.0), description="Of the beam centres Y, Z [px]."
    )
    tilts_tol_deg: float = Field(default=2.0, gt=0.0, description="Of the tilts [degrees].")
    iterations: int = Field(default=20, ge=1, description="Most rounds.")


class NearfieldConfig(SettingsTable):
    """A whole near-field run."""

    schema_version: Literal[1] = Field(
        default=1, alias="schema", description="Version of this format."
    )
    beam: BeamTable
    crystal: CrystalTable
    detector: DetectorTable
    scan: ScanTable
    grid: GridTable = GridTable()
    search: SearchTable = SearchTable()
    output: OutputTable = OutputTable()
    calibration: CalibrationTable = CalibrationTable()
