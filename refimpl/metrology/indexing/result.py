"""What indexing found, and how it got there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.crystal.cell import Cell
from refimpl.forward.experiment import Experiment
from refimpl.frames import F64
from refimpl.io.reflection_table import ReflectionTable

__all__ = ["CandidateRow", "CycleRow", "IndexResult", "LatticeRow", "SearchRows"]


@dataclass(frozen=True)
class CandidateRow:
    """One crystal that was tried.

    Attributes
    ----------
    cell
        After the short refinement [Å, degrees].
    volume
        [Å^3].
    n_indexed, fraction
        Spots that it indexes, of those within the resolution.
    rmsd_xy_mm
        Root mean square of fast and slow residuals together [mm].
    score
        The lowest wins: log2 of volume and of rmsd, each over the least of all candidates, less
        log2 of the fraction over the largest.
    """

    cell: Cell
    volume: float
    n_indexed: int
    fraction: float
    rmsd_xy_mm: float
    score: float


@dataclass(frozen=True)
class CycleRow:
    """One macro-cycle.

    Attributes
    ----------
    d_min_angstrom
        Resolution of the spots that took part [Å].
    n_spots, n_indexed, n_used
        Spots within it, those indexed, those left after outlier rejection.
    rmsd
        x, y [mm] and rotation angle [rad] (of a still, to the Ewald sphere) after refinement.
    cells
        Of each crystal [Å, degrees].
    """

    d_min_angstrom: float
    n_spots: int
    n_indexed: int
    n_used: int
    rmsd: tuple[float, float, float]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class LatticeRow:
    """One Bravais lattice that the metric allows.

    Attributes
    ----------
    symbol
        Such as ``tP``.
    cell
        Conventional cell with the symmetry imposed and refined [Å, degrees].
    delta_deg
        Largest Le Page delta [degrees].
    rmsd_xy_mm
        After a short refinement with the symmetry [mm].
    fits
        Whether that is at most 1.5 times the triclinic one.
    """

    symbol: str
    cell: Cell
    delta_deg: float
    rmsd_xy_mm: float
    fits: bool


@dataclass(frozen=True)
class SearchRows:
    """How one crystal was found.

    Attributes
    ----------
    scans
        Numbers of the scans that were searched together.
    n_spots
        Spots that were searched: of a second crystal those that the first left.
    max_cell_angstrom, d_min_angstrom
        Limits that were used in the search [Å].
    vectors
        (m, 3) lattice vectors that the cells were made of [Å].
    candidates
        The cells tried, the best first.
    cycles
        The macro-cycles, of all crystals of these scans found so far.
    lattices
        Bravais lattices that the metric allows, the most symmetric first; empty where the space
        group was given.
    """

    scans: tuple[int, ...]
    n_spots: int
    max_cell_angstrom: float
    d_min_angstrom: float
    vectors: F64
    candidates: tuple[CandidateRow, ...]
    cycles: tuple[CycleRow, ...]
    lattices: tuple[LatticeRow, ...]

    def lines(self) -> list[str]:
        """Lines of the log."""
        lines = [
            f"max cell {self.max_cell_angstrom:.1f} Å, d_min {self.d_min_angstrom:.2f} Å, "
            f"{len(self.vectors)} lattice vectors",
            "",
            "candidate cells                             volume  indexed      %  rmsd mm   score",
        ]
        lines += [
            f"{_cell(r.cell)} {r.volume:10.0f} {r.n_indexed:8d} {100.0 * r.fraction:6.1f} "
            f"{r.rmsd_xy_mm:8.4f} {r.score:7.2f}"
            for r in self.candidates
        ]
        lines += ["", "cycle  d_min   spots indexed    used   x mm     y mm     phi mrad  cell"]
        for k, r in enumerate(self.cycles):
            lines.append(
                f"{k + 1:5d} {r.d_min_angstrom:6.2f} {r.n_spots:7d} {r.n_indexed:7d} "
                f"{r.n_used:7d} {r.rmsd[0]:8.5f} {r.rmsd[1]:8.5f} {1000.0 * r.rmsd[2]:9.4f}  "
                f"{_cell(r.cells[0])}"
            )
            lines += [f"{'':66s}{_cell(cell)}" for cell in r.cells[1:]]
        if self.lattices:
            lines += ["", "lattice  delta deg  rmsd mm  fits  cell"]
            lines += [
                f"{r.symbol:7s} {r.delta_deg:10.3f} {r.rmsd_xy_mm:8.4f}  "
                f"{'yes ' if r.fits else 'no  '}  {_cell(r.cell)}"
                for r in self.lattices
            ]
        return lines


@dataclass(frozen=True)
class IndexResult:
    """Outcome of :func:`~refimpl.metrology.indexing.index`.

    Attributes
    ----------
    experiments
        Refined: the scans with the first crystal, the scans with the second, and so on; of scans
        that were indexed each on its own, scan after scan.
    table
        All spots, with ``miller_index``, ``id`` (-1 where not indexed), ``imageset_id`` (the
        scan), ``flags``, ``rlp``, ``s1``, ``entering`` and positions in mm.
    searches
        One for every crystal that was found.
    notes
        Why no further crystal was taken, and scans in which none was found.
    """

    experiments: tuple[Experiment, ...]
    table: ReflectionTable
    searches: tuple[SearchRows, ...]
    notes: tuple[str, ...] = ()

    @property
    def cycles(self) -> tuple[CycleRow, ...]:
        """Macro-cycles of all searches."""
        return tuple(row for search in self.searches for row in search.cycles)

    @property
    def n_indexed(self) -> int:
        """Spots with Miller indices."""
        return int((self.table["id"] >= 0).sum())

    @property
    def per_experiment(self) -> tuple[int, ...]:
        """Spots indexed in each experiment."""
        ids = np.asarray(self.table["id"]).astype(np.int64)
        counts = np.bincount(ids[ids >= 0], minlength=len(self.experiments))
        return tuple(int(n) for n in counts)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Cell of each experiment's crystal [Å, degrees]."""
        out = []
        for e in self.experiments:
            assert e.crystal is not None
            a, b, c, alpha, beta, gamma = (float(v) for v in e.crystal.cell)
            out.append((a, b, c, alpha, beta, gamma))
        return tuple(out)

    @property
    def cell(self) -> Cell:
        """Cell of the first crystal [Å, degrees]."""
        return self.cells[0]

    def text(self) -> str:
        """Candidates, macro-cycles and the outcome, for people."""
        lines: list[str] = []
        for k, search in enumerate(self.searches):
            if len(self.searches) > 1:
                scans = ", ".join(str(n) for n in search.scans)
                lines += ["", f"crystal {k + 1}: {search.n_spots} spots of scan {scans}"]
            lines += search.lines()
        lines += ["", *self.notes] if self.notes else []
        lines.append("")
        if len(self.experiments) > 1:
            lines += [
                f"experiment {k}: {n} spots indexed, cell {_cell(cell)}"
                for k, (n, cell) in enumerate(zip(self.per_experiment, self.cells, strict=True))
            ]
        lines.append(f"{self.n_indexed} of {len(self.table)} spots indexed")
        return "\n".join(lines).lstrip("\n") + "\n"


def _cell(cell: Cell) -> str:
    return " ".join(f"{v:6.2f}" for v in cell)
