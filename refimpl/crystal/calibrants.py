"""Reference powders by name, each with its lattice parameter and where that number is from.

Lattice parameters are certified values where a certificate exists (22.5 degrees Celsius). A
certificate holds for its own batch: override with the value of the powder at hand. Positions and
B of the atoms only set relative intensities; they are literature values, not certified.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from refimpl.crystal.cell import Cell
from refimpl.crystal.reflections import Site, checked_crystal, space_group
from refimpl.errors import ConfigError

__all__ = [
    "CALIBRANTS",
    "Calibrant",
    "calibrant",
    "calibrant_from_cell",
    "calibrant_from_d_spacings",
    "lamellar",
]


@dataclass(frozen=True)
class Calibrant:
    """A reference powder: a crystal, or a bare list of d-spacings.

    Attributes
    ----------
    name
        As reported in results.
    space_group
        Hermann-Mauguin symbol with setting; empty for a list of d-spacings.
    cell
        a, b, c [Å], alpha, beta, gamma [degrees]; None for a list of d-spacings.
    citation
        Where the lattice parameter is from.
    sites
        Atoms of the asymmetric unit; empty where intensities are unknown.
    b_iso_angstrom2
        Isotropic displacement of every atom [Å^2].
    d_spacings_angstrom, d_hkl
        Falling d-spacings that replace the crystal, and their indices if they have any.
    """

    name: str
    space_group: str
    cell: Cell | None
    citation: str
    sites: tuple[Site, ...] = ()
    b_iso_angstrom2: float = 0.0
    d_spacings_angstrom: tuple[float, ...] = ()
    d_hkl: tuple[tuple[int, int, int], ...] = ()

    @property
    def space_group_number(self) -> int:
        """International Tables number; 0 for a list of d-spacings."""
        return int(space_group(self.space_group).number) if self.space_group else 0

    def with_lattice_parameter(
        self, lattice_parameter_angstrom: float | Sequence[float]
    ) -> Calibrant:
        """Copy with another lattice parameter.

        Parameters
        ----------
        lattice_parameter_angstrom
            a of a cubic crystal, (a, c) of a trigonal, hexagonal or tetragonal one, (a, b, c) of
            an orthorhombic one, all six numbers of any; d(001) of a lamellar calibrant.

        Raises
        ------
        ConfigError
            The count of numbers does not fit the crystal, or they are not positive.
        """
        values = tuple(float(v) for v in np.atleast_1d(lattice_parameter_angstrom))
        note = f"lattice parameter given by the user; default: {self.citation}"
        if not values or not all(np.isfinite(v) and v > 0.0 for v in values):
            raise ConfigError(
                f"{self.name}: lattice parameter {lattice_parameter_angstrom!r}: expected "
                "positive numbers [Å]",
                got=lattice_parameter_angstrom,
            )
        if self.cell is None:
            if len(values) != 1:
                raise ConfigError(f"{self.name}: expected one number, the largest d-spacing [Å]")
            scale = values[0] / self.d_spacings_angstrom[0]
            scaled = tuple(scale * d for d in self.d_spacings_angstrom)
            return dataclasses.replace(self, d_spacings_angstrom=scaled, citation=note)
        cell, _ = checked_crystal(self._cell_from(values, self.cell), self.space_group)
        return dataclasses.replace(self, cell=cell, citation=note)

    def _cell_from(self, values: tuple[float, ...], default: Cell) -> tuple[float, ...]:
        """Six numbers from as many as the crystal system leaves free."""
        system = space_group(self.space_group).crystal_system_str()
        free = {"cubic": 1, "tetragonal": 2, "hexagonal": 2, "trigonal": 2, "orthorhombic": 3}
        wanted = free.get(system, 6)
        if len(values) == 6:
            return values
        if len(values) != wanted:
            names = {1: "a", 2: "a, c", 3: "a, b, c", 6: "a, b, c, alpha, beta, gamma"}[wanted]
            raise ConfigError(
                f"{self.name} is {system}: got {len(values)} lattice parameter(s), expected "
                f"{wanted} ({names}) or all six",
                got=values,
            )
        a = values[0]
        b = values[1] if wanted == 3 else a
        c = values[-1]
        return (a, b, c, *default[3:])


def _hexagonal(a: float, c: float) -> Cell:
    return a, a, c, 90.0, 90.0, 120.0


def _cubic(a: float) -> Cell:
    return a, a, a, 90.0, 90.0, 90.0


def lamellar(
    d001_angstrom: float, orders: int, name: str = "lamellar", citation: str = "given by the user"
) -> Calibrant:
    """Calibrant whose rings are the orders (0 0 n) of one long spacing.

    Raises
    ------
    ConfigError
        The spacing or the number of orders is not positive.
    """
    if not (np.isfinite(d001_angstrom) and d001_angstrom > 0.0) or orders < 1:
        raise ConfigError(
            f"lamellar calibrant: d001 = {d001_angstrom!r} Å, {orders} orders: expected positive"
        )
    n = range(1, orders + 1)
    return Calibrant(
        name,
        "",
        None,
        citation,
        d_spacings_angstrom=tuple(d001_angstrom / k for k in n),
        d_hkl=tuple((0, 0, k) for k in n),
    )


CALIBRANTS: dict[str, Calibrant] = {
    c.name: c
    for c in (
        Calibrant(
            "CeO2",
            "F m -3 m",
            _cubic(5.411651),
            "NIST SRM 674b, a = 5.411651 Å (as in GSAS-II and pyFAI; HEXRD's examples use "
            "5.41153, 22 ppm less)",
            (Site("Ce", (0.0, 0.0, 0.0)), Site("O", (0.25, 0.25, 0.25))),
            0.4,
        ),
        Calibrant(
            "LaB6",
            "P m -3 m",
            _cubic(4.156826),
            "NIST SRM 660c certificate, a = 4.156826(80) Å at 22.5 C (660b: 4.15689, 15 ppm more)",
            (Site("La", (0.0, 0.0, 0.0)), Site("B", (0.1993, 0.5, 0.5))),
            0.4,
        ),
        Calibrant(
            "Si",
            "F d -3 m:1",
            _cubic(5.431144),
            "NIST SRM 640f, a = 5.431144(80) Å at 22.5 C, doi:10.1017/S0885715620000366 "
            "(CODATA ideal crystal in vacuum: 5.431020511, 23 ppm less)",
            (Site("Si", (0.0, 0.0, 0.0)),),
            0.469,
        ),
        Calibrant(
            "Al2O3",
            "R -3 c:H",
            _hexagonal(4.759091, 12.991779),
            "NIST SRM 676a certificate, a = 4.759091, c = 12.991779 Å; atoms: Newnham & de Haan "
            "(1962), Z. Kristallogr. 117, 235",
            (Site("Al", (0.0, 0.0, 0.3520)), Site("O", (0.306, 0.0, 0.25))),
            0.3,
        ),
        Calibrant(
            "Cr2O3",
            "R -3 c:H",
            _hexagonal(4.958979, 13.59592),
            "NIST SRM 674b, a = 4.958979, c = 13.59592 Å (as in pyFAI); atoms: Newnham & de Haan "
            "(1962), Z. Kristallogr. 117, 235",
            (Site("Cr", (0.0, 0.0, 0.3475)), Site("O", (0.306, 0.0, 0.25))),
            0.3,
        ),
        lamellar(
            58.380,
            13,
            "AgBh",
            "silver behenate, d(001) = 58.380(3) Å, 13 orders: Huang et al. (1993), J. Appl. "
            "Cryst. 26, 180",
        ),
        Calibrant(
            "Ni",
            "F m -3 m",
            _cubic(3.52387),
            "Taylor (1950), J. Inst. Met. 77, 585, a = 3.52387 Å (as in pyFAI; GSAS-II uses "
            "3.52475, 250 ppm more: not a certified standard)",
            (Site("Ni", (0.0, 0.0, 0.0)),),
            0.36,
        ),
        Calibrant(
            "Au",
            "F m -3 m",
            _cubic(4.0782),
            "Maeland & Flanagan (1964), Can. J. Phys. 42, 2364, a = 4.0782 Å (as in pyFAI: not a "
            "certified standard)",
            (Site("Au", (0.0, 0.0, 0.0)),),
            0.62,
        ),
    )
}
"""The calibrants by name."""


def calibrant(
    name: str, lattice_parameter_angstrom: float | Sequence[float] | None = None
) -> Calibrant:
    """Calibrant by name.

    Parameters
    ----------
    name
        One of :data:`CALIBRANTS`, in any case.
    lattice_parameter_angstrom
        Replaces the default, see :meth:`Calibrant.with_lattice_parameter`.

    Raises
    ------
    ConfigError
        The name is unknown (the nearest one is named), or the parameter does not fit.

    Examples
    --------
    >>> calibrant("LaB6").cell[0]
    4.156826
    >>> calibrant("CeO2", 5.41153).cell
    (5.41153, 5.41153, 5.41153, 90.0, 90.0, 90.0)
    """
    by_lower = {key.lower(): key for key in CALIBRANTS}
    key = by_lower.get(str(name).strip().lower())
    if key is None:
        near = difflib.get_close_matches(str(name).strip().lower(), by_lower, n=1, cutoff=0.0)
        raise ConfigError(
            f"unknown calibrant {name!r}: did you mean {by_lower[near[0]]!r}? "
            f"(known: {', '.join(CALIBRANTS)})",
            key="calibrant",
            got=name,
        )
    found = CALIBRANTS[key]
    if lattice_parameter_angstrom is None:
        return found
    return found.with_lattice_parameter(lattice_parameter_angstrom)


def calibrant_from_cell(
    name: str,
    group: str | int,
    cell: Sequence[float],
    *,
    sites: Sequence[Site] = (),
    b_iso_angstrom2: float = 0.0,
    citation: str = "given by the user",
) -> Calibrant:
    """Calibrant from a space group and a cell; without `sites`, every |F| is taken as 1.

    Raises
    ------
    ConfigError
        Space group or cell are impossible or do not fit each other.
    """
    good, sg = checked_crystal(cell, group)
    return Calibrant(name, sg.xhm(), good, citation, tuple(sites), b_iso_angstrom2)


def calibrant_from_d_spacings(
    name: str, d_spacings_angstrom: Sequence[float], *, citation: str = "given by the user"
) -> Calibrant:
    """Calibrant from its d-spacings [Å], in any order.

    Raises
    ------
    ConfigError
        The list is empty or holds a number that is not positive.
    """
    d = sorted((float(v) for v in d_spacings_angstrom), reverse=True)
    if not d or not all(np.isfinite(v) and v > 0.0 for v in d):
        raise ConfigError(
            f"calibrant {name!r}: d-spacings {list(d_spacings_angstrom)!r}: expected at least one "
            "positive number [Å]",
            got=d_spacings_angstrom,
        )
    return Calibrant(name, "", None, citation, d_spacings_angstrom=tuple(d))
