"""Bases of a lattice: Niggli reduction, and the basis that satisfies a space group exactly.

A basis is a (3, 3) array of rows a, b, c [Å] in any Cartesian frame; a change of basis multiplies
it from the left with integers. Reduction makes the choice of axes unique, so that two bases of the
same lattice can be compared. Not here: which symmetry a lattice has, see
:mod:`refimpl.crystal.lattice_symmetry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from refimpl.crystal.cell import Cell, b_matrix
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.units import DEG

if TYPE_CHECKING:
    import gemmi

__all__ = [
    "basis_of_cell",
    "cell_of_basis",
    "cells_of_bases",
    "hall_group",
    "niggli_basis",
    "point_rotations",
    "primitive_basis",
    "space_group",
    "symmetrised_basis",
    "unimodular_changes",
]


def cells_of_bases(bases: F64) -> F64:
    """Cells (n, 6) [Å, degrees] of bases (n, 3, 3)."""
    gram = bases @ np.swapaxes(bases, -1, -2)
    lengths = np.sqrt(np.diagonal(gram, axis1=-2, axis2=-1))
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = [gram[..., i, j] / (lengths[..., i] * lengths[..., j]) for i, j in pairs]
    angles = np.arccos(np.clip(np.stack(cosines, axis=-1), -1.0, 1.0)) / DEG
    return np.concatenate([lengths, angles], axis=-1)


def cell_of_basis(basis: F64) -> Cell:
    """Cell a, b, c [Å], alpha, beta, gamma [degrees] of one basis."""
    a, b, c, alpha, beta, gamma = (float(v) for v in cells_of_bases(np.asarray(basis)))
    return a, b, c, alpha, beta, gamma


def basis_of_cell(cell: Sequence[float]) -> F64:
    """Rows a, b, c [Å] of a cell in the Cartesian frame of :func:`~refimpl.crystal.b_matrix`."""
    return np.asarray(np.linalg.inv(b_matrix(cell)), dtype=np.float64)


def niggli_basis(basis: F64) -> tuple[F64, I64]:
    """Niggli-reduced, right-handed basis of the same lattice.

    Returns
    -------
    Basis (3, 3) and the change of basis (3, 3) of integers, ``reduced = change @ basis``.

    Notes
    -----
    Source: Krivy & Gruber (1976), Acta Cryst. A32, 297, as implemented in gemmi.
    """
    import gemmi

    start = np.asarray(basis, dtype=np.float64)
    turn = np.eye(3, dtype=np.int64) if np.linalg.det(start) > 0.0 else -np.eye(3, dtype=np.int64)
    vector = gemmi.GruberVector(gemmi.UnitCell(*cell_of_basis(turn @ start)), "P", True)
    vector.niggli_reduce()
    operator = vector.change_of_basis
    change = np.array(operator.rot, dtype=np.int64).T // operator.DEN
    change = (change if np.linalg.det(change) > 0.0 else -change) @ turn
    return change @ start, change


@lru_cache(maxsize=2)
def unimodular_changes(largest: int = 1) -> I64:
    """All integer matrices (m, 3, 3) of determinant 1 with no element beyond ``largest``."""
    values = np.arange(-largest, largest + 1)
    grid = np.stack(np.meshgrid(*[values] * 9, indexing="ij"), axis=-1).reshape(-1, 3, 3)
    found = grid[np.rint(np.linalg.det(grid)) == 1]
    found.flags.writeable = False
    return found


def space_group(name: str | int) -> gemmi.SpaceGroup:
    """Space group by its Hermann-Mauguin symbol, ``P 4`` or ``P4``, or by its number.

    Raises
    ------
    ConfigError
        There is none of that name.
    """
    import gemmi

    if isinstance(name, int) or name.strip().isdecimal():
        found = gemmi.find_spacegroup_by_number(int(name))
    else:
        found = gemmi.find_spacegroup_by_name(name.strip())
    if found is None:
        raise ConfigError(
            f"space group {name!r} is not known: expected a Hermann-Mauguin symbol such as 'P 4' "
            "or 'C 2', or a number from 1 to 230",
            got=name,
        )
    return found


def hall_group(symbol: str) -> gemmi.SpaceGroup:
    """Space group by its Hall symbol, as files have it; ``P 4 2`` is P 4 2 2 here, not P 42.

    Raises
    ------
    ConfigError
        The symbol is no Hall symbol of a space group in a setting of the International Tables.
    """
    import gemmi

    try:
        found = gemmi.find_spacegroup_by_ops(gemmi.symops_from_hall(symbol.strip()))
    except (RuntimeError, ValueError):  # gemmi's ways to say that it cannot be parsed
        found = None
    if found is None:
        raise ConfigError(f"Hall symbol {symbol!r} is not that of a known space group", got=symbol)
    return found


def point_rotations(group: gemmi.SpaceGroup) -> I64:
    """Proper rotations (m, 3, 3) of a space group's Laue class; they act on fractional columns."""
    matrices = {
        tuple(int(v) for row in operator.rot for v in row)
        for operator in group.operations().sym_ops
    }
    found = np.array(sorted(matrices), dtype=np.int64).reshape(-1, 3, 3) // 24  # gemmi's Op.DEN
    proper = np.where(np.rint(np.linalg.det(found))[:, None, None] < 0, -found, found)
    return np.unique(proper, axis=0)


def primitive_basis(basis: F64, group: gemmi.SpaceGroup) -> F64:
    """Primitive basis of the lattice of which ``basis`` is the cell centred as ``group`` says."""
    change = np.array(group.centred_to_primitive().rot, dtype=np.float64) / 24.0
    return change.T @ np.asarray(basis, dtype=np.float64)


def symmetrised_basis(basis: F64, rotations: I64) -> F64:
    r"""Nearest basis whose metric satisfies a point group, in the same orientation.

    .. math:: \bar G = \frac{1}{m} \sum_W W^T G W, \qquad G = L L^T

    The orientation is the rotation that takes the new axes closest to the old ones.

    Parameters
    ----------
    basis
        (3, 3) rows a, b, c [Å].
    rotations
        (m, 3, 3) from :func:`point_rotations`.

    Returns
    -------
    (3, 3) rows a, b, c [Å].
    """
    gram = basis @ basis.T
    mean = np.mean([w.T @ gram @ w for w in rotations], axis=0)
    factor = np.linalg.cholesky(0.5 * (mean + mean.T))
    left, _, right = np.linalg.svd(np.linalg.solve(factor, basis))
    return factor @ (left @ right)
