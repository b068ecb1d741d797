"""Which symmetry the metric of a lattice has, within a tolerance, and the conventional axes for it.

Every two-fold axis of a lattice is a row of points perpendicular to a plane of points; the angle
by which the two miss is Le Page's delta. The two-folds below a limit generate the candidates: each
subgroup that they make is a Bravais lattice with its conventional cell and its largest delta. Not
here: symmetry of intensities, which a metric cannot tell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from refimpl.crystal.cell import Cell
from refimpl.crystal.reduction import (
    cell_of_basis,
    niggli_basis,
    point_rotations,
    space_group,
)
from refimpl.frames import F64, I64
from refimpl.units import DEG

if TYPE_CHECKING:
    import gemmi

__all__ = ["BravaisSetting", "bravais_settings", "bravais_symbol", "holohedry", "le_page_delta"]

_FAMILY = {1: "a", 2: "m", 4: "o", 6: "h", 8: "t", 12: "h", 24: "c"}
_HOLOHEDRY = {
    "triclinic": "P -1",
    "orthorhombic": "P m m m",
    "tetragonal": "P 4/m m m",
    "trigonal": "P 6/m m m",
    "hexagonal": "P 6/m m m",
    "cubic": "P m -3 m",
}
_CENTRINGS: dict[tuple[tuple[int, ...], ...], str] = {
    (): "P",
    ((0, 6, 6),): "A",
    ((6, 0, 6),): "B",
    ((6, 6, 0),): "C",
    ((6, 6, 6),): "I",
    ((0, 6, 6), (6, 0, 6), (6, 6, 0)): "F",
    ((4, 8, 8), (8, 4, 4)): "R",  # obverse
}
_LEAST_SYMMETRIC = {"aP": "P 1", "mP": "P 1 2 1", "mC": "C 1 2 1", "oP": "P 2 2 2"} | {
    "oC": "C 2 2 2", "oI": "I 2 2 2", "oF": "F 2 2 2", "tP": "P 4", "tI": "I 4", "hP": "P 3",
    "hR": "R 3", "cP": "P 2 3", "cI": "I 2 3", "cF": "F 2 3",
}  # fmt: skip


@dataclass(frozen=True)
class BravaisSetting:
    """A Bravais lattice that a basis has within some angle.

    Attributes
    ----------
    symbol
        Pearson's letters without the count, such as ``tP``.
    change
        (3, 3) conventional basis in terms of the given one, ``conventional = change @ basis``;
        integers.
    cell
        Conventional cell as measured [Å, degrees], not yet made symmetric.
    delta_deg
        Largest Le Page delta of its two-folds [degrees]; 0 for triclinic.
    """

    symbol: str
    change: I64
    cell: Cell
    delta_deg: float

    @property
    def least_group(self) -> str:
        """Space group of lowest symmetry that has this lattice, without screw axes."""
        return _LEAST_SYMMETRIC[self.symbol]


def le_page_delta(basis: F64, rotations: I64) -> float:
    """Largest angle [degrees] between two-fold axes of a point group in direct and dual space.

    Parameters
    ----------
    basis
        (3, 3) rows a, b, c [Å].
    rotations
        (m, 3, 3) of integers, acting on fractional columns; only the two-folds are looked at.

    Notes
    -----
    Source: Le Page (1982), J. Appl. Cryst. 15, 255.
    """
    dual = np.linalg.inv(basis).T
    worst = 0.0
    for w in rotations:
        if np.trace(w) != -1 or np.linalg.det(w) < 0:
            continue
        direct = _axis(w) @ basis
        normal = _axis(w.T) @ dual
        sine = np.linalg.norm(np.cross(direct, normal))
        worst = max(worst, float(np.arctan2(sine, abs(direct @ normal)) / DEG))
    return worst


def holohedry(group: gemmi.SpaceGroup) -> I64:
    """Rotations (m, 3, 3) that every lattice of this space group has."""
    system = group.crystal_system_str()
    if system == "monoclinic":  # whichever axis is unique
        return point_rotations(group)
    if system == "trigonal" and group.centring_type() == "R":
        return point_rotations(space_group("R -3 m:H"))
    if system == "trigonal" and group.ext == "R":
        return point_rotations(space_group("R -3 m:R"))
    return point_rotations(space_group(_HOLOHEDRY[system]))


def bravais_symbol(group: gemmi.SpaceGroup) -> str:
    """Bravais lattice of a space group in its setting, such as ``mC``; ``mI`` is possible too."""
    letter = {
        "triclinic": "a", "monoclinic": "m", "orthorhombic": "o", "tetragonal": "t",
        "trigonal": "h", "hexagonal": "h", "cubic": "c",
    }[group.crystal_system_str()]  # fmt: skip
    return letter + group.centring_type()


def bravais_settings(
    basis: F64, max_delta_deg: float = 5.0, only: str | None = None
) -> list[BravaisSetting]:
    """Bravais lattices that a primitive basis has within ``max_delta_deg``, most symmetric first.

    Parameters
    ----------
    basis
        (3, 3) rows of a primitive basis [Å].
    max_delta_deg
        Largest Le Page delta allowed [degrees].
    only
        The one lattice symbol that is wanted; None for all.

    Returns
    -------
    Of all lattices the last is ``aP``, the reduced cell, which is always there. Among lattices of
    one kind the one of least delta comes first.
    """
    import gemmi

    reduced, change = niggli_basis(basis)
    operators = gemmi.find_lattice_2fold_ops(gemmi.UnitCell(*cell_of_basis(reduced)), max_delta_deg)
    twofolds = [np.array(op.rot, dtype=np.int64) // op.DEN for op, _ in operators]
    found = []
    for members in _subgroups(twofolds):
        if only is not None and _FAMILY.get(len(members)) != only[0]:
            continue
        group = np.array(sorted(members), dtype=np.int64).reshape(-1, 3, 3)
        setting = _conventional(reduced, group)
        if setting is None:
            continue
        symbol, matrix = setting
        if only not in (None, symbol):
            continue
        cell = cell_of_basis(matrix @ reduced)
        delta = le_page_delta(reduced, group)
        if delta <= max_delta_deg:
            found.append((-len(group), delta, BravaisSetting(symbol, matrix @ change, cell, delta)))
    found.sort(key=lambda item: item[:2])
    return [setting for _, _, setting in found]


# --- groups ---------------------------------------------------------------------------------------


def _axis(rotation: I64) -> I64:
    """Smallest integer vector that a rotation leaves alone (fractional columns)."""
    power, total = np.eye(3, dtype=np.int64), np.zeros((3, 3), dtype=np.int64)
    for _ in range(12):  # every crystallographic order divides 12
        total += power
        power = power @ rotation
    column = total[:, np.argmax(np.abs(total).sum(axis=0))]
    column = column // np.gcd.reduce(column)
    return column if column[np.nonzero(column)[0][0]] > 0 else -column


_Member = tuple[int, ...]


def _closure(generators: Sequence[_Member]) -> frozenset[_Member] | None:
    """Group made by some rotations; None where it is no crystallographic point group."""
    members = {tuple(np.eye(3, dtype=np.int64).ravel().tolist()), *generators}
    fresh = set(members)
    while fresh:
        new = set()
        for p, q in itertools.product(fresh, generators):
            product = np.array(p).reshape(3, 3) @ np.array(q).reshape(3, 3)
            new.add(tuple(int(v) for v in product.ravel()))
        fresh = new - members
        members |= fresh
        if len(members) > 24:
            return None
    return frozenset(members)


def _subgroups(twofolds: Sequence[I64]) -> set[frozenset[_Member]]:
    """Every group that some of the two-folds make, the trivial one among them."""
    known = [tuple(int(v) for v in w.ravel()) for w in twofolds]
    trivial = _closure([])
    groups: set[frozenset[_Member]] = set()
    waiting = [] if trivial is None else [trivial]
    while waiting:
        group = waiting.pop()
        if group in groups:
            continue
        groups.add(group)
        for generator in known:
            if generator not in group:
                larger = _closure([*group, generator])
                if larger is not None:
                    waiting.append(larger)
    return groups


# --- conventional axes ----------------------------------------------------------------------------


def _conventional(reduced: F64, group: I64) -> tuple[str, I64] | None:
    """Symbol and axes, in terms of the reduced basis; None where the group is no lattice's own."""
    order = len(group)
    if order not in _FAMILY:
        return None
    for axes in _axis_choices(reduced, group):
        volume = round(np.linalg.det(axes))
        if volume == 0:
            continue
        right = axes if volume > 0 else -axes
        centring = _centring(right)
        if order in (8, 24, 4, 2) or centring == {1: "P", 6: "R", 12: "P"}[order]:
            symbol = _FAMILY[order] + centring
            if symbol in _LEAST_SYMMETRIC:
                return symbol, right
    return None


def _centring(axes: I64) -> str:
    """Letter of the lattice points inside a cell, or ``?``; ``axes`` are rows, integers."""
    volume = abs(round(np.linalg.det(axes)))
    if volume > 4:
        return "?"
    steps = np.array(list(itertools.product(range(volume), repeat=3)))
    inside = np.rint(12.0 * (steps @ np.linalg.inv(axes))).astype(np.int64) % 12
    points = sorted({tuple(int(v) for v in row) for row in inside} - {(0, 0, 0)})
    return _CENTRINGS.get(tuple(points), "?")


def _axis_choices(reduced: F64, group: I64) -> list[I64]:
    """Triples of lattice vectors (3, 3), the preferred first, for a group's crystal system."""
    by_order = {n: [w for w in group if np.trace(w) == t and not _is_one(w)] for n, t in
                ((2, -1), (3, 0), (4, 1), (6, 2))}  # fmt: skip
    size = {1: _triclinic, 2: _monoclinic, 4: _orthorhombic}.get(len(group))
    if size is not None:
        return size(reduced, by_order[2])
    if len(group) == 24:
        return [np.array(_distinct([_axis(w) for w in by_order[4]]))]
    unique = by_order[{6: 3, 8: 4, 12: 6}[len(group)]][0]
    turn = by_order[4][0] if len(group) == 8 else by_order[3][0]
    c = _axis(unique)
    flat = [v for v in (_axis(w) for w in by_order[2]) if not np.array_equal(np.abs(v), np.abs(c))]
    flat.sort(key=lambda v: float(np.linalg.norm(v @ reduced)))
    choices = []
    for a in flat:
        b = turn @ a
        choices += [np.array([a, b, c]), np.array([-a, -b, c])]
    return [m if np.linalg.det(m) > 0 else np.array([m[1], m[0], m[2]]) for m in choices]


def _is_one(w: I64) -> bool:
    return bool(np.array_equal(w, np.eye(3, dtype=np.int64)))


def _distinct(vectors: Sequence[I64]) -> list[I64]:
    """Vectors without repeats; :func:`_axis` gives each axis one sign."""
    return [np.array(v) for v in sorted({tuple(int(x) for x in v) for v in vectors})]


def _triclinic(reduced: F64, twofolds: Sequence[I64]) -> list[I64]:
    return [np.eye(3, dtype=np.int64)]


def _monoclinic(reduced: F64, twofolds: Sequence[I64]) -> list[I64]:
    """The unique axis as b; a and c the shortest in the plane that leave P or C, beta obtuse."""
    w = twofolds[0]
    b = _axis(w)
    grid = np.array(list(itertools.product(range(-3, 4), repeat=3)))
    plane = grid[(grid @ w.T == -grid).all(axis=1) & (grid != 0).any(axis=1)]
    lengths = np.linalg.norm(plane @ reduced, axis=1)
    plane = plane[np.argsort(lengths, kind="stable")][:16]
    choices = []
    for a, c in itertools.permutations(plane, 2):
        if (a @ reduced) @ (c @ reduced) > 1e-6 * np.linalg.norm(reduced) ** 2:
            continue  # beta is obtuse
        m = np.array([a, b, c])
        m[1] *= 1 if np.linalg.det(m) > 0.0 else -1
        if np.linalg.det(m) > 0.5 and _centring(m) in ("P", "C"):
            size = float((np.linalg.norm(m @ reduced, axis=1) ** 2).sum())
            choices.append((round(size, 6), float(np.linalg.norm(a @ reduced)), m))
    choices.sort(key=lambda item: item[:2])
    return [m for _, _, m in choices]


def _orthorhombic(reduced: F64, twofolds: Sequence[I64]) -> list[I64]:
    """The three two-folds by length; where one face is centred it is made C."""
    axes = _distinct([_axis(w) for w in twofolds])
    axes.sort(key=lambda v: float(np.linalg.norm(v @ reduced)))
    a, b, c = axes
    return [np.array(m) for m in ((a, b, c), (b, c, a), (a, c, b))]
