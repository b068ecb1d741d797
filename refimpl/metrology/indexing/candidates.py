"""From lattice vectors to cells: triples of vectors, reduced, and matched to a known symmetry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.cell import Cell
from refimpl.crystal.lattice_symmetry import (
    bravais_settings,
    bravais_symbol,
    holohedry,
    le_page_delta,
)
from refimpl.crystal.reduction import (
    basis_of_cell,
    cell_of_basis,
    cells_of_bases,
    niggli_basis,
    point_rotations,
    primitive_basis,
    space_group,
    symmetrised_basis,
    unimodular_changes,
)
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.units import DEG

if TYPE_CHECKING:
    import gemmi

__all__ = ["Candidate", "KnownSymmetry", "reduced_cells", "triples"]

LEAST_ANGLE_DEG = 20.0
LEAST_VOLUME = 0.01
VOLUME_RANGE = 1.6
MOST_LATTICES = 1000
"""Lattices that are looked at; the right one is among the first, made of the best vectors."""
CHUNK = 2048


@dataclass(frozen=True)
class Candidate:
    """A crystal that might be.

    Attributes
    ----------
    basis
        (3, 3) rows a, b, c [Å] at angle zero, in the conventional setting, symmetry imposed.
    rotations
        (m, 3, 3) proper point group that the metric satisfies, for the refinement.
    hall
        Hall symbol.
    delta_deg
        Largest Le Page delta before the symmetry was imposed [degrees].
    """

    basis: F64
    rotations: I64
    hall: str
    delta_deg: float

    @property
    def cell(self) -> Cell:
        """a, b, c [Å], alpha, beta, gamma [degrees]."""
        return cell_of_basis(self.basis)


def triples(vectors: F64, volumes: tuple[float, float] = (0.0, np.inf)) -> Iterator[F64]:
    """Bases (m, 3, 3) of three of the vectors, in blocks, those of the best vectors first.

    Triples i < j < k by rising i^2 + j^2 + k^2; angles of at least 20 degrees; turned so that the
    angles are obtuse where they can be, and right-handed; of at least a hundredth of the volume of
    a box of the same edges, and of a volume [Å^3] between ``volumes``.
    """
    n = len(vectors)
    i, j = np.triu_indices(n, 1)
    third = [np.arange(last + 1, n) for last in j]
    k = np.concatenate([*third, np.empty(0, dtype=np.int64)])
    counts = n - 1 - j
    i, j = np.repeat(i, counts), np.repeat(j, counts)
    order = np.argsort(i**2 + j**2 + k**2, kind="stable")
    for start in range(0, len(order), CHUNK):
        some = order[start : start + CHUNK]
        bases = np.stack([vectors[i[some]], vectors[j[some]], vectors[k[some]]], axis=1)
        size = np.abs(np.linalg.det(bases))
        yield _usable(bases[(size > volumes[0]) & (size < volumes[1])])


def _usable(bases: F64) -> F64:
    """Triples with decent angles and volume, obtuse and right-handed."""
    lengths = np.linalg.norm(bases, axis=2)
    unit = bases / lengths[:, :, None]
    dot = np.stack([(unit[:, p] * unit[:, q]).sum(axis=1) for p, q in ((0, 1), (0, 2), (1, 2))])
    good = (np.abs(dot) < np.cos(LEAST_ANGLE_DEG * DEG)).all(axis=0)
    good &= np.abs(np.linalg.det(unit)) > LEAST_VOLUME
    out = bases[good]
    # make a.b and a.c obtuse by turning b and c; then the hand by turning all three
    out[:, 1] *= np.where(dot[0, good] > 0.0, -1.0, 1.0)[:, None]
    out[:, 2] *= np.where(dot[1, good] > 0.0, -1.0, 1.0)[:, None]
    return out * np.where(np.linalg.det(out) < 0.0, -1.0, 1.0)[:, None, None]


def reduced_cells(
    vectors: F64,
    shortest: float,
    longest: float,
    volumes: tuple[float, float] = (0.0, np.inf),
) -> Iterator[F64]:
    """Niggli bases (3, 3) of triples, each lattice once, at most :data:`MOST_LATTICES`.

    Parameters
    ----------
    vectors
        (m, 3) [Å], the best first.
    shortest, longest
        Limits of the edges [Å].
    volumes
        Limits of the volume [Å^3].
    """
    seen: list[F64] = []
    for bases in triples(vectors, volumes):
        for known in seen:
            bases = bases[~_same_lattice(bases, known)]
        while len(bases) and len(seen) < MOST_LATTICES:
            reduced = niggli_basis(bases[0])[0]
            seen.append(reduced)
            bases = bases[1:][~_same_lattice(bases[1:], reduced)]
            edges = np.linalg.norm(reduced, axis=1)
            if edges.min() >= shortest and edges.max() <= longest:
                yield reduced


def _same_lattice(bases: F64, other: F64) -> NDArray[np.bool_]:
    """Which of some bases (m, 3, 3) span a lattice, each vector within 0.1 of a period."""
    change = bases @ np.linalg.inv(other)
    whole = np.rint(change)
    near = np.abs(change - whole).max(axis=(1, 2)) < 0.1
    return np.asarray(near & (np.abs(np.abs(np.linalg.det(whole)) - 1.0) < 0.1))


class KnownSymmetry:
    """What is known of the crystal, and how to find it in a reduced basis.

    Parameters
    ----------
    settings
        ``space_group`` and ``unit_cell``, of which either may be None, and the tolerances.

    Attributes
    ----------
    group
        The space group; P 1 where none is known.
    primitive
        (3, 3) reduced primitive basis of the known cell, or None.

    Raises
    ------
    ConfigError
        The cell does not have the symmetry of the space group, or the space group's setting is
        not the standard one and no cell is given.
    """

    def __init__(self, settings: IndexSettings) -> None:
        self.settings = settings
        self.group: gemmi.SpaceGroup = space_group(settings.space_group or "P 1")
        self.rotations = point_rotations(self.group)
        self.lattice_rotations = holohedry(self.group)
        self.primitive: F64 | None = None
        if settings.unit_cell is not None:
            self._take_cell(basis_of_cell(settings.unit_cell))
        elif self.group.ext == "R" or bravais_symbol(self.group) not in _STANDARD:
            raise ConfigError(
                f"space group {self.group.xhm()!r} is not in the standard setting of its lattice: "
                "give unit_cell too"
            )

    def _take_cell(self, basis: F64) -> None:
        exact = symmetrised_basis(basis, self.rotations)
        strain = float(np.abs(cells_of_bases(exact) / cells_of_bases(basis) - 1.0).max())
        if strain > 0.02:
            raise ConfigError(
                f"unit cell {_words(cell_of_basis(basis))} does not have the symmetry of "
                f"{self.group.xhm()!r}: expected one near {_words(cell_of_basis(exact))}"
            )
        self.target = cell_of_basis(exact)
        self.primitive, change = niggli_basis(primitive_basis(exact, self.group))
        to_primitive = np.linalg.solve(exact.T, primitive_basis(exact, self.group).T).T
        self._conventional = np.linalg.inv(change @ to_primitive)

    @property
    def longest_edge(self) -> float | None:
        """Longest edge of the reduced primitive cell [Å], where a cell is known."""
        return None if self.primitive is None else cell_of_basis(self.primitive)[:3][2]

    @property
    def volumes(self) -> tuple[float, float]:
        """Limits of the volume of a primitive cell that could be the known one [Å^3]."""
        if self.primitive is None:
            return 0.0, np.inf
        volume = abs(float(np.linalg.det(self.primitive)))
        return volume / VOLUME_RANGE, volume * VOLUME_RANGE

    def match(self, reduced: F64) -> Candidate | None:
        """Candidate in the conventional setting, or None where the basis is of another crystal."""
        if self.primitive is not None:
            return self._match_cell(reduced, self.primitive)
        symbol = bravais_symbol(self.group)
        if symbol == "aP":
            return self._candidate(reduced, 0.0)
        for setting in bravais_settings(reduced, self.settings.max_delta_deg, symbol):
            return self._candidate(setting.change @ reduced, setting.delta_deg)
        return None

    def _candidate(self, basis: F64, delta_deg: float) -> Candidate:
        exact = symmetrised_basis(basis, self.rotations)
        return Candidate(exact, self.rotations, f" {self.group.hall}", delta_deg)

    def _match_cell(self, reduced: F64, primitive: F64) -> Candidate | None:
        """Of all settings near the known cell, the one whose symmetry is least broken."""
        # the lengths of a reduced basis are those of the lattice's shortest vectors: a quick test
        edges = np.linalg.norm(reduced, axis=1) / np.linalg.norm(primitive, axis=1)
        if np.abs(edges - 1.0).max() > 2.5 * self.settings.relative_length_tolerance:
            return None
        bases = unimodular_changes() @ reduced
        found, wanted = cells_of_bases(bases), np.array(cell_of_basis(primitive))
        near = (
            np.abs(found[:, :3] / wanted[:3] - 1.0) < self.settings.relative_length_tolerance
        ).all(axis=1)
        near &= (np.abs(found[:, 3:] - wanted[3:]) < self.settings.angle_tolerance_deg).all(axis=1)
        best: tuple[float, float, F64] | None = None
        for basis in self._conventional @ bases[near]:
            delta = le_page_delta(basis, self.lattice_rotations)
            misfit = _strain(basis, self.target)
            if delta > self.settings.max_delta_deg:
                continue
            broken = _strain(basis, cell_of_basis(symmetrised_basis(basis, self.rotations)))
            if best is None or (broken + 0.1 * misfit, delta) < best[:2]:
                best = (broken + 0.1 * misfit, delta, basis)
        return None if best is None else self._candidate(best[2], best[1])


_STANDARD = {
    "aP", "mP", "mC", "oP", "oC", "oI", "oF", "tP", "tI", "hP", "hR", "cP", "cI", "cF",
}  # fmt: skip


def _strain(basis: F64, cell: Cell) -> float:
    """Largest change of length or angle [rad] from a basis to a cell."""
    ours, other = cells_of_bases(basis), np.array(cell)
    lengths, angles = np.abs(ours[:3] / other[:3] - 1.0), np.abs(ours[3:] - other[3:]) * DEG
    return round(float(max(lengths.max(), angles.max())), 9)


def _words(cell: Cell) -> str:
    return " ".join(f"{v:.2f}" for v in cell)
