"""The search for the crystal: limits, lattice vectors, and the best of the cells they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.reduction import cell_of_basis
from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64, I64
from refimpl.metrology.indexing.candidates import Candidate, KnownSymmetry, reduced_cells
from refimpl.metrology.indexing.fft1d import projection_vectors
from refimpl.metrology.indexing.fft3d import fourier_resolution, fourier_vectors
from refimpl.metrology.indexing.grid_search import known_edge_vectors
from refimpl.metrology.indexing.max_cell import longest_cell
from refimpl.metrology.indexing.rank import ranked
from refimpl.metrology.indexing.result import CandidateRow
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.metrology.indexing.spots import Spots, mapped

__all__ = ["Search", "entering_of", "resolution"]

MAX_CELL_MULTIPLIER = 1.3
LONGEST_CELL = 2.0
"""Reduced cells with edges beyond this multiple of ``max_cell`` are no candidates."""
CELLS_TOLD = 3
"""Cells that an error names, the best of those below."""
CELLS_TRIED = 20
CANDIDATES = {False: 50, True: 5}
"""Candidates tried of a rotation, and of a still."""


class Search:
    """Where to look, and what is found there.

    Parameters
    ----------
    experiments
        The scans, without crystal.
    spots
        Those to be looked at.
    settings, known
        What was chosen, and the symmetry and cell that are known.

    Attributes
    ----------
    max_cell, d_min
        Limits of the search [Å].
    within
        (n,) spots within ``d_min``.
    points
        Their reciprocal lattice points [1/Å].

    Raises
    ------
    ConfigError
        The longest edge is below the shortest.
    FormatError
        Too few spots are within the resolution.
    ConvergenceError
        The longest cell cannot be told from the spots.
    """

    def __init__(
        self,
        experiments: Sequence[Experiment],
        spots: Spots,
        settings: IndexSettings,
        known: KnownSymmetry,
        threads: int | None = None,
    ) -> None:
        self.start, self.spots, self.settings, self.known = experiments, spots, settings, known
        self.threads = threads
        points, s1 = mapped(experiments, spots)
        self.max_cell = self._max_cell(points, s1)
        if self.max_cell <= settings.min_cell_angstrom:
            raise ConfigError(
                f"longest cell edge {self.max_cell:.2f} Å is not above min_cell_angstrom = "
                f"{settings.min_cell_angstrom:g}"
            )
        d = resolution(points)
        self.d_min = settings.d_min_angstrom or max(
            fourier_resolution(self.max_cell, settings.n_grid), float(d.min())
        )
        self.within = d >= self.d_min
        self.points = points[self.within]
        if len(self.points) < settings.min_spots:
            raise FormatError(
                f"{len(self.points)} of {len(d)} spots are within {self.d_min:.2f} Å: indexing "
                f"needs at least {settings.min_spots}; give a smaller max_cell_angstrom or "
                "d_min_angstrom"
            )

    def _max_cell(self, points: F64, s1: F64) -> float:
        longest = self.known.longest_edge
        if self.settings.max_cell_angstrom is not None:
            return self.settings.max_cell_angstrom
        if longest is not None:
            return MAX_CELL_MULTIPLIER * longest
        entering = entering_of(self.start, self.spots.scan, s1)
        return longest_cell(points, self.spots.phi, entering, self.spots.scan)

    def vectors(self) -> F64:
        """Lattice vectors (m, 3) [Å] by the method that was chosen."""
        chosen = self.settings
        if chosen.method == "fft3d":
            return fourier_vectors(self.points, self.d_min, self.max_cell, chosen, self.threads)
        if chosen.method == "fft1d":
            return projection_vectors(self.points, self.max_cell, chosen, self.threads)
        assert self.known.primitive is not None
        cell = cell_of_basis(self.known.primitive)
        return known_edge_vectors(self.points, cell, chosen.direction_step_rad, self.threads)

    def best(self, vectors: F64) -> tuple[tuple[Experiment, ...], list[CandidateRow]]:
        """Experiments with the winning crystal after its short refinement, and all rows."""
        chosen = self.settings
        most = chosen.max_candidates or CANDIDATES[self.start[0].is_still]
        longest = LONGEST_CELL * self.max_cell
        cells = reduced_cells(vectors, chosen.min_cell_angstrom, longest, self.known.volumes)
        matches = (c for basis in cells if (c := self.known.match(basis)) is not None)
        candidates = list(islice(matches, most))
        if not candidates:
            raise self._no_match(vectors)
        order = ranked(candidates, self.start, self.spots.select(self.within), self.points, chosen)
        if not order or order[0][2].fraction < chosen.min_indexed_fraction:
            raise self._poor(candidates, order[0][2] if order else None)
        candidate, fit, _ = order[0]
        model = fit.model.experiments(self.start, candidate.hall)
        return model, [row for _, _, row in order]

    def _poor(self, candidates: list[Candidate], best: CandidateRow | None) -> ConvergenceError:
        limit = f"looked for edges up to {self.max_cell:.0f} Å"
        if best is None:
            return ConvergenceError(
                f"no lattice found: none of {len(candidates)} cells can be refined, the first is "
                f"{_words(candidates[0].cell)}; {limit}"
            )
        return ConvergenceError(
            f"no lattice found: the best of {len(candidates)} cells, {_words(best.cell)}, indexes "
            f"{100.0 * best.fraction:.0f} % of the spots, expected at least "
            f"{100.0 * self.settings.min_indexed_fraction:.0f} %; {limit}"
        )

    def _no_match(self, vectors: F64) -> ConvergenceError:
        found = "; ".join(
            f"{_words(row.cell)} ({100.0 * row.fraction:.0f} % of the spots)"
            for row in self._cells_there(vectors)
        )
        known = self.settings
        wanted = [] if known.unit_cell is None else [f"unit cell {_words(known.unit_cell)}"]
        wanted += [] if known.space_group is None else [f"space group {known.space_group}"]
        return ConvergenceError(
            f"no lattice matches {' and '.join(wanted) or 'the limits'} within "
            f"{100.0 * known.relative_length_tolerance:.0f} % and "
            f"{known.angle_tolerance_deg:g} degrees; reduced cells found: {found or 'none'}"
        )

    def _cells_there(self, vectors: F64) -> list[CandidateRow]:
        """Best reduced cells of any kind, for the message that none is the known one."""
        free = replace(self.settings, unit_cell=None, space_group=None, method="fft3d")
        longest = LONGEST_CELL * self.max_cell
        cells = islice(reduced_cells(vectors, free.min_cell_angstrom, longest), CELLS_TRIED)
        any_kind = KnownSymmetry(free)
        candidates = [c for basis in cells if (c := any_kind.match(basis)) is not None]
        spots = self.spots.select(self.within)
        order = ranked(candidates, self.start, spots, self.points, free)
        good = [row for _, _, row in order if row.fraction >= free.min_indexed_fraction]
        return good[:CELLS_TOLD]


def resolution(points: F64) -> F64:
    """Spacing d [Å] of reciprocal lattice points (n, 3) [1/Å]."""
    return 1.0 / np.sqrt(np.maximum((points * points).sum(axis=1), 1e-300))


def entering_of(experiments: Sequence[Experiment], scan: I64, s1: F64) -> NDArray[np.bool_]:
    """Whether each beam belongs to a point that enters the Ewald sphere, s1.(s0 x e) < 0."""
    out = np.zeros(len(s1), dtype=bool)
    for k, e in enumerate(experiments):
        assert e.beam is not None
        if e.goniometer is not None:
            axis = e.goniometer.setting @ e.goniometer.rotation_axis
            rows = np.flatnonzero(scan == k)
            out[rows] = s1[rows] @ np.cross(e.beam.s0, axis) < 0.0
    return out


def _words(cell: Sequence[float]) -> str:
    return " ".join(f"{v:.2f}" for v in cell)
