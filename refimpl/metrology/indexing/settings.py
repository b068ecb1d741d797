"""What indexing may be told, with the defaults of the published program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refimpl.crystal.cell import Cell, checked_cell
from refimpl.crystal.reduction import space_group
from refimpl.errors import ConfigError

__all__ = ["ASSIGNMENTS", "METHODS", "IndexSettings"]

METHODS = ("fft3d", "fft1d", "grid_search")
"""Ways to find the vectors of a lattice; ``grid_search`` needs the cell."""
ASSIGNMENTS = ("global", "local")
"""Ways to give spots their Miller indices."""


@dataclass(frozen=True)
class IndexSettings:
    """Choices of :func:`~refimpl.metrology.indexing.index`.

    Attributes
    ----------
    method
        One of :data:`METHODS`.
    space_group, unit_cell
        Known symmetry (symbol or number) and cell a, b, c [Å], alpha, beta, gamma [degrees], or
        None. A cell without a space group is taken as P 1.
    min_cell_angstrom, max_cell_angstrom
        Shortest lattice vector looked for and longest edge of the primitive cell; None works the
        longest out from the known cell, or from the distances between spots.
    d_min_angstrom
        Resolution at which lattices are searched and the macro-cycles begin; None works it out
        from ``max_cell_angstrom`` and ``n_grid``.
    n_grid
        Points of the Fourier transform along each edge (fft3d).
    peak_rmsd, peak_volume_fraction
        Threshold on the transform in multiples of its rms deviation, and the smallest peak kept
        as a fraction of the largest (fft3d).
    direction_step_rad
        Angle between neighbouring directions; None is 0.029 rad for fft1d, 0.02 rad for the grid
        search.
    max_vectors, max_candidates
        Lattice vectors combined to cells, and cells tried; None is 50 cells for a rotation, 5 for
        a still.
    relative_length_tolerance, angle_tolerance_deg, max_delta_deg
        How near a cell must come to the known one, and the largest Le Page delta.
    hkl_tolerance
        Largest distance from a lattice point, as a fraction of the reciprocal axes.
    assignment
        One of :data:`ASSIGNMENTS`.
    macro_cycles
        Rounds of assignment and refinement, the resolution stepping down to that of all spots.
    reflections_per_degree
        Reflections used to refine each candidate.
    choose_lattice
        Without a known space group: take the most symmetric lattice that fits as well as the
        triclinic one. As published it is left triclinic.
    min_spots
        Fewest spots that are tried.
    max_lattices
        Crystals looked for, each but the first among the spots that the ones before leave.
    min_rest_fraction
        Part of the spots that must be left for another crystal to be looked for.
    min_separation_deg
        Least misorientation of two crystals of the same cell [degrees]: nearer ones are one.
    joint
        Several scans: whether they see the same crystals, or each its own; None is the same for
        scans, its own for stills.
    min_indexed_fraction
        Smallest part of the spots that a lattice must index. Any lattice of large cell indexes
        11 % of random points within ``hkl_tolerance`` 0.3.
    """

    method: str = "fft3d"
    space_group: str | None = None
    unit_cell: Cell | None = None
    min_cell_angstrom: float = 3.0
    max_cell_angstrom: float | None = None
    d_min_angstrom: float | None = None
    n_grid: int = 256
    peak_rmsd: float = 15.0
    peak_volume_fraction: float = 0.15
    direction_step_rad: float | None = None
    max_vectors: int = 100
    max_candidates: int | None = None
    relative_length_tolerance: float = 0.1
    angle_tolerance_deg: float = 5.0
    max_delta_deg: float = 5.0
    hkl_tolerance: float = 0.3
    assignment: str = "global"
    macro_cycles: int = 5
    reflections_per_degree: float = 20.0
    choose_lattice: bool = False
    min_spots: int = 20
    min_indexed_fraction: float = 0.2
    max_lattices: int = 1
    min_rest_fraction: float = 0.1
    min_separation_deg: float = 5.0
    joint: bool | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises
        ------
        ConfigError
            A name or number is not accepted; says which are.
        """
        _one_of("method", self.method, METHODS)
        _one_of("assignment", self.assignment, ASSIGNMENTS)
        if self.space_group is not None:
            space_group(self.space_group)
        if self.unit_cell is not None:
            object.__setattr__(self, "unit_cell", checked_cell(self.unit_cell))
        elif self.method == "grid_search":
            raise ConfigError(
                "method 'grid_search' looks for a known cell: give unit_cell, or use fft3d or fft1d"
            )
        for name in (
            "min_cell_angstrom", "max_cell_angstrom", "d_min_angstrom", "peak_rmsd",
            "peak_volume_fraction", "direction_step_rad", "relative_length_tolerance",
            "angle_tolerance_deg", "max_delta_deg", "hkl_tolerance", "reflections_per_degree",
            "min_rest_fraction", "min_separation_deg",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 1e6:
                raise ConfigError(f"{name} = {value}: expected a positive number", key=name)
        for name, least in (
            ("n_grid", 32), ("max_vectors", 3), ("max_candidates", 1), ("macro_cycles", 1),
            ("min_spots", 4), ("max_lattices", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < least:
                raise ConfigError(f"{name} = {value}: expected at least {least}", key=name)
        if self.max_lattices > 1 and self.assignment == "local":
            raise ConfigError(
                f"assignment 'local' takes one lattice: got max_lattices = {self.max_lattices}; "
                "use global",
                key="assignment",
            )


def _one_of(key: str, got: str, accepted: Sequence[str]) -> None:
    if got not in accepted:
        raise ConfigError(
            f"{key} {got!r} is not known: expected one of {', '.join(accepted)}", key=key, got=got
        )
