r"""Which reflections a crystal has, how often each occurs, and how strong it is.

Space groups, systematic absences and form factors come from gemmi. There is no limit on Miller
indices: everything down to `d_min` is generated. Structure factors are kinematic, with neutral
atoms (International Tables 1992), one overall isotropic displacement and, where a wavelength is
given, the dispersion correction of Cromer & Liberman. *Not* modelled: extinction, absorption,
ionicity, texture.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refimpl.crystal.cell import Cell, b_matrix, cell_volume, checked_cell, d_spacing
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.units import HC_KEV_ANGSTROM

__all__ = [
    "MAX_REFLECTIONS",
    "Site",
    "equivalents",
    "space_group",
    "structure_factor_squared",
    "unique_reflections",
]

MAX_REFLECTIONS = 20_000_000
"""More than this in the sphere 1/d_min is taken for a mistake in the wavelength or cell."""

SAME_POSITION = 1e-5
"""Images of an atom closer than this, in fractions of the cell edges, are one atom."""


@dataclass(frozen=True)
class Site:
    """An atom of the asymmetric unit.

    Attributes
    ----------
    element
        Chemical symbol.
    fractional
        x, y, z in the setting of the space group.
    occupancy
        0 to 1.
    """

    element: str
    fractional: tuple[float, float, float]
    occupancy: float = 1.0


@functools.lru_cache(maxsize=64)
def space_group(name: str | int) -> Any:
    """``gemmi.SpaceGroup`` of a Hermann-Mauguin symbol (with setting) or a number 1-230.

    Raises
    ------
    ConfigError
        There is no such space group.
    """
    import gemmi

    number = int(name) if str(name).strip().isdecimal() else None
    found: Any = None
    if number is None:
        found = gemmi.find_spacegroup_by_name(str(name))
    elif 1 <= number <= 230:
        found = gemmi.find_spacegroup_by_number(number)
    if found is None:
        raise ConfigError(
            f"unknown space group {name!r}: expected a number from 1 to 230 or a Hermann-Mauguin "
            "symbol such as 'F m -3 m'",
            key="space_group",
            got=name,
        )
    return found


def checked_crystal(cell: Sequence[float], group: str | int) -> tuple[Cell, Any]:
    """Cell and space group that fit each other.

    Raises
    ------
    ConfigError
        The cell does not have the symmetry of the space group.
    """
    import gemmi

    good, sg = checked_cell(cell), space_group(group)
    if not gemmi.UnitCell(*good).is_compatible_with_spacegroup(sg):
        raise ConfigError(
            f"unit cell {good} does not have the symmetry of space group {sg.xhm()!r} "
            f"({sg.crystal_system_str()})",
            got=good,
        )
    return good, sg


@functools.lru_cache(maxsize=64)
def _rotations(group: str | int) -> I64:
    """(k, 3, 3) matrices R of the Laue class; ``h R`` runs through the equivalents of h."""
    import gemmi

    rows = [op.rot for op in space_group(group).operations().sym_ops]
    point = np.array(rows, dtype=np.int64) // gemmi.Op.DEN
    laue = np.unique(np.concatenate([point, -point]), axis=0)
    laue.flags.writeable = False
    return laue


def equivalents(hkl: I64, group: str | int) -> I64:
    """Images of reflections under the Laue class, Friedel mates included.

    Parameters
    ----------
    hkl
        (h, 3).
    group
        Space group.

    Returns
    -------
    (h, k, 3) for the k operations; an image occurs as often as operations produce it.
    """
    return np.asarray(np.einsum("hi,kij->hkj", np.asarray(hkl, dtype=np.int64), _rotations(group)))


def unique_reflections(
    cell: Sequence[float], group: str | int, d_min_angstrom: float
) -> tuple[I64, I64]:
    """Symmetry-unique reflections that the space group does not extinguish.

    Parameters
    ----------
    cell
        a, b, c [Å], alpha, beta, gamma [degrees].
    group
        Space group.
    d_min_angstrom
        Smallest d-spacing, inclusive to 1e-9 of it.

    Returns
    -------
    hkl
        (h, 3), sorted by falling d; of each set of equivalents the member with the fewest
        negative indices, then the largest h, k, l: (2 0 0), not (0 0 -2).
    multiplicity
        (h,) number of planes in the set, Friedel mates counted.

    Raises
    ------
    ConfigError
        `d_min_angstrom` is not positive, or so small that it must be a mistake.
    """
    import gemmi

    good, sg = checked_crystal(cell, group)
    if not (np.isfinite(d_min_angstrom) and d_min_angstrom > 0.0):
        raise ConfigError(f"d_min = {d_min_angstrom!r} Å: expected a positive number")
    count = 4.0 / 3.0 * np.pi * cell_volume(good) / d_min_angstrom**3
    if count > MAX_REFLECTIONS:
        raise ConfigError(
            f"d_min = {d_min_angstrom:g} Å asks for about {count:.1g} reflections "
            f"(at most {MAX_REFLECTIONS:.0e}): check the wavelength and its unit (Å)"
        )
    sphere = d_min_angstrom * (1.0 - 1e-9)
    made = gemmi.make_miller_array(gemmi.UnitCell(*good), sg, sphere, 0, True)
    hkl = np.asarray(made, dtype=np.int64).reshape(-1, 3)
    images = equivalents(hkl, group)
    order = images.shape[1]
    stabiliser = (images == hkl[:, None, :]).all(axis=2).sum(axis=1)
    big = int(np.abs(images).max(initial=0)) + 1
    base = np.array([4 * big * big, 2 * big, 1])
    rank = (images >= 0).sum(axis=2) * (8 * big**3) + (images + big) @ base
    best = images[np.arange(len(hkl)), rank.argmax(axis=1)]
    falling = np.argsort(-d_spacing(best, good), kind="stable") if len(best) else slice(None)
    return best[falling], (order // np.maximum(stabiliser, 1))[falling]


@functools.lru_cache(maxsize=64)
def _contents(group: str | int, sites: tuple[Site, ...]) -> tuple[tuple[str, float, F64], ...]:
    """Element, occupancy and (m, 3) fractional positions of each site's orbit."""
    import gemmi

    ops = list(space_group(group).operations())
    rot = np.array([op.rot for op in ops]) / gemmi.Op.DEN
    tran = np.array([op.tran for op in ops]) / gemmi.Op.DEN
    out = []
    for site in sites:
        image = (rot @ np.asarray(site.fractional) + tran) % 1.0
        gap = np.abs((image[:, None] - image[None] + 0.5) % 1.0 - 0.5).max(axis=2)
        seen_before = np.tril(gap < SAME_POSITION, -1).any(axis=1)
        out.append((site.element, site.occupancy, image[~seen_before]))
    return tuple(out)


def _form_factor(element: str, stol2: F64, wavelength_angstrom: float | None) -> Any:
    """Atomic form factor [electrons], (h,), complex with dispersion."""
    import gemmi

    atom = gemmi.Element(element)
    if atom.atomic_number == 0 or not atom.it92:
        raise ConfigError(f"unknown element {element!r}: expected a chemical symbol", got=element)
    *pairs, c = atom.it92.get_coefs()
    a, b = np.array(pairs[:4]), np.array(pairs[4:])
    f = np.exp(-stol2[:, None] * b) @ a + c
    if wavelength_angstrom is None:
        return f
    energy_ev = 1e3 * HC_KEV_ANGSTROM / wavelength_angstrom
    f1, f2 = gemmi.cromer_liberman(atom.atomic_number, energy_ev)
    return f + (f1 + 1j * f2)


def structure_factor_squared(
    hkl: I64,
    cell: Sequence[float],
    group: str | int,
    sites: Sequence[Site],
    b_iso_angstrom2: float = 0.0,
    wavelength_angstrom: float | None = None,
) -> F64:
    r"""Squared modulus of the structure factor.

    .. math::

       F_h = \sum_j o_j\,\bigl(f_j(s) + f'_j + i f''_j\bigr) e^{-B s^2} e^{2\pi i\,h\cdot x_j},
       \quad s = \sin\theta / \lambda = 1 / 2d

    Parameters
    ----------
    hkl
        (h, 3).
    cell, group
        Crystal.
    sites
        Atoms of the asymmetric unit.
    b_iso_angstrom2
        Isotropic displacement B [Å^2] of every atom.
    wavelength_angstrom
        For the dispersion correction; None leaves it out.

    Returns
    -------
    (h,) [electrons^2] per cell. 0 where the atoms extinguish a reflection that the space group
    allows, such as (2 2 2) of silicon, to about 1e-20 of F(000)^2.

    Raises
    ------
    ConfigError
        An element is unknown.

    Notes
    -----
    Source: International Tables C (1992) table 6.1.1.4, valid to s = 2 /Å; Cromer & Liberman
    (1981). Anomalous scattering of a non-centrosymmetric crystal is not averaged over Friedel
    mates.
    """
    indices = np.asarray(hkl, dtype=np.float64).reshape(-1, 3)
    g = indices @ b_matrix(cell).T
    stol2 = 0.25 * (g * g).sum(axis=1)
    total = np.zeros(len(indices), dtype=np.complex128)
    for element, occupancy, positions in _contents(group, tuple(sites)):
        phase = np.exp(2j * np.pi * (indices @ positions.T)).sum(axis=1)
        total += occupancy * _form_factor(element, stol2, wavelength_angstrom) * phase
    damped = total * np.exp(-b_iso_angstrom2 * stol2)
    return np.asarray(damped.real**2 + damped.imag**2)
