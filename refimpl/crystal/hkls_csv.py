"""The published table of reflections, ``hkls.csv``: every member of every ring on one line.

Columns ``h k l D-spacing RingNr g1 g2 g3 Theta 2Theta Radius``, blanks between, %f; Å, 1/Å,
degrees, µm. Source: MIDAS ``GetHKLList`` (manual version 10). The published program loops Miller
indices over -10..10 and sorts to 1e-3 Å only, so a large cell loses rings (Al2O3: 12 of 64 at
0.2 Å) and its ring numbers are not always monotonic in d; ``published_limits=True`` does the
same. Files are written by the callers, through :mod:`refimpl.io.atomic`.

The near-field program ``GetHKLListNF`` writes the same columns with 17 digits, sorts by d alone
and compares each d with that of the ring's first row.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refimpl.crystal.calibrants import Calibrant
from refimpl.crystal.cell import Cell, b_matrix, checked_cell, d_spacing
from refimpl.crystal.reflections import equivalents, space_group, unique_reflections
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64, I64
from refimpl.reading import read_text
from refimpl.units import DEG, UM

__all__ = ["HEADER", "HklTable", "format_hkls", "nearfield_hkls", "parse_hkls", "published_hkls"]
__all__ += ["read_hkls_csv"]

HEADER = "h k l D-spacing RingNr g1 g2 g3 Theta 2Theta Radius"
"""First line of the file."""

PUBLISHED_MAX_INDEX = 10
"""Largest |h|, |k|, |l| that the published program visits."""

SAME_RING_ANGSTROM = 1e-4
"""A row opens a new ring when its d differs by this much from the row before."""


@dataclass(frozen=True, eq=False)
class HklTable:
    """Rows of an ``hkls.csv``.

    Attributes
    ----------
    hkl
        (n, 3).
    d_angstrom
        (n,).
    ring
        (n,) number of the ring, from 1.
    g
        (n, 3) [1/Å] reciprocal vector B h, without 2 pi.
    theta_rad
        (n,) Bragg angle.
    radius_mm
        (n,) on the plane across the beam at the distance of the table.
    """

    hkl: I64
    d_angstrom: F64
    ring: I64
    g: F64
    theta_rad: F64
    radius_mm: F64

    def ring_two_theta_rad(self) -> tuple[I64, F64]:
        """Ring numbers in order of appearance and the 2-theta [rad] of each one's first row."""
        _, first = np.unique(self.ring, return_index=True)
        first = np.sort(first)
        return self.ring[first], 2.0 * self.theta_rad[first]

    def of_rings(self, numbers: Sequence[int]) -> HklTable:
        """Rows of some rings, in the order in which the rings are listed (RingsToUse).

        Raises
        ------
        ConfigError
            A ring is not in the table.
        """
        for number in numbers:
            if number not in self.ring:
                raise ConfigError(
                    f"ring {number}: the table has rings {self.ring.min()} to {self.ring.max()}",
                    key="RingsToUse",
                    got=number,
                )
        rows = np.concatenate([np.flatnonzero(self.ring == n) for n in numbers])
        return HklTable(
            self.hkl[rows],
            self.d_angstrom[rows],
            self.ring[rows],
            self.g[rows],
            self.theta_rad[rows],
            self.radius_mm[rows],
        )


def published_hkls(
    powder: Calibrant,
    wavelength_angstrom: float,
    lsd_mm: float,
    max_ring_radius_mm: float,
    *,
    published_limits: bool = False,
) -> HklTable:
    """Every reflection whose ring is at most `max_ring_radius_mm` wide at `lsd_mm`.

    Parameters
    ----------
    powder
        A calibrant that is a crystal.
    wavelength_angstrom
        Wavelength.
    lsd_mm, max_ring_radius_mm
        The published Lsd and MaxRingRad (RhoD).
    published_limits
        Leave out what lies beyond Miller index 10, and sort to 1e-3 Å only.

    Raises
    ------
    ConfigError
        The calibrant is a bare list of d-spacings.
    """
    if powder.cell is None:
        raise ConfigError(f"{powder.name} has no unit cell: hkls.csv needs Miller indices")
    two_theta_max = np.arctan(max_ring_radius_mm / lsd_mm)
    d_min = wavelength_angstrom / (2.0 * np.sin(0.5 * two_theta_max))
    unique, _ = unique_reflections(powder.cell, powder.space_group, d_min)
    images = equivalents(unique, powder.space_group)
    hkl = np.concatenate([np.unique(i, axis=0) for i in images] or [np.zeros((0, 3), int)])
    d = d_spacing(hkl, powder.cell) if len(hkl) else np.zeros(0)
    if published_limits:
        inside = np.abs(hkl).max(axis=1, initial=0) <= PUBLISHED_MAX_INDEX
        hkl, d = hkl[inside], d[inside]
        order = _published_order(d)
    else:
        order = np.argsort(-np.round(d, 9), kind="stable")  # equal d to 1e-9 Å keep their order
    hkl, d = hkl[order], d[order]
    new = np.abs(np.diff(d, prepend=np.inf)) >= SAME_RING_ANGSTROM
    theta = np.arcsin(wavelength_angstrom / (2.0 * d))
    return HklTable(
        hkl=hkl,
        d_angstrom=d,
        ring=np.cumsum(new),
        g=hkl @ b_matrix(powder.cell).T,
        theta_rad=theta,
        radius_mm=lsd_mm * np.tan(2.0 * theta),
    )


def nearfield_hkls(
    cell: Sequence[float],
    group: int | str,
    wavelength_angstrom: float,
    lsd_mm: float,
    max_ring_radius_mm: float,
    *,
    published_limits: bool = False,
) -> HklTable:
    """Every reflection of a crystal whose ring is at most `max_ring_radius_mm` wide at `lsd_mm`.

    Parameters
    ----------
    cell
        a, b, c [Å], alpha, beta, gamma [degrees]; of a monoclinic crystal any axis may be unique.
    group
        Space group: a number 1-230, or a symbol with its setting.
    wavelength_angstrom
        Wavelength.
    lsd_mm, max_ring_radius_mm
        The last of the published Lsd lines, and MaxRingRad (RhoD; um in the file, whatever the
        manual says).
    published_limits
        Leave out what lies beyond Miller index 10.

    Returns
    -------
    Rows by falling d; a ring ends where d is 1e-4 Å away from that of its first row. The order
    inside a ring means nothing.

    Raises
    ------
    ConfigError
        The cell does not have the symmetry of the group, a number is not positive, or no
        reflection is left.

    Notes
    -----
    Source: section 1.2 of the near-field specification. No structure factors: reflections that
    only the atoms' positions extinguish stay in the list.
    """
    for name, value in (
        ("wavelength", wavelength_angstrom),
        ("Lsd", lsd_mm),
        ("MaxRingRad", max_ring_radius_mm),
    ):
        if not (np.isfinite(value) and value > 0.0):
            raise ConfigError(f"{name} = {value!r}: expected a positive number", key=name)
    good = checked_cell(cell)
    setting = _setting_of_cell(group, good)
    d_min = wavelength_angstrom / (2.0 * np.sin(0.5 * np.arctan(max_ring_radius_mm / lsd_mm)))
    unique, _ = unique_reflections(good, setting, d_min)
    images = equivalents(unique, setting)
    hkl = np.concatenate([np.unique(i, axis=0) for i in images] or [np.zeros((0, 3), np.int64)])
    if published_limits:
        hkl = hkl[np.abs(hkl).max(axis=1, initial=0) <= PUBLISHED_MAX_INDEX]
    if not len(hkl):
        raise ConfigError(
            f"no reflection with d >= {d_min:.4g} Å (wavelength {wavelength_angstrom:g} Å, Lsd "
            f"{lsd_mm:g} mm, MaxRingRad {max_ring_radius_mm:g} mm): check these three",
            key="max_ring_radius_mm",
        )
    d = d_spacing(hkl, good)
    order = np.argsort(-np.round(d, 9), kind="stable")  # equal d to 1e-9 Å keep their order
    hkl, d = hkl[order], d[order]
    theta = np.arcsin(np.minimum(wavelength_angstrom / (2.0 * d), 1.0))
    g = hkl @ b_matrix(good).T
    return HklTable(hkl, d, _rings_by_first_row(d), g, theta, lsd_mm * np.tan(2.0 * theta))


def _setting_of_cell(group: int | str, cell: Cell) -> str:
    """Symbol of the group's setting: of a bare number, the first that the cell fits."""
    import gemmi

    first = space_group(group)
    if str(group).strip().isdecimal():
        unit_cell = gemmi.UnitCell(*cell)
        for other in gemmi.spacegroup_table():
            if other.number == first.number and unit_cell.is_compatible_with_spacegroup(other):
                return str(other.xhm())
    return str(first.xhm())


def _rings_by_first_row(d: F64) -> I64:
    """(n,) ring numbers from 1 of falling d: a ring reaches 1e-4 Å below its first row."""
    ring = np.empty(len(d), dtype=np.int64)
    number, first = 0, np.inf
    for i, value in enumerate(d):
        if abs(value - first) >= SAME_RING_ANGSTROM:
            number, first = number + 1, value
        ring[i] = number
    return ring


def _published_order(d: F64) -> I64:
    """Stable sort by the published comparator, ``(int)(1000 b - 1000 a)``: not transitive."""

    def compare(i: int, j: int) -> int:
        return int(1000.0 * d[j] - 1000.0 * d[i])

    return np.array(sorted(range(len(d)), key=functools.cmp_to_key(compare)), dtype=np.int64)


def format_hkls(table: HklTable, *, digits: int | None = None) -> str:
    """Text of the file, in the published format.

    Parameters
    ----------
    table
        The reflections.
    digits
        Significant digits of every number, 17 for the near-field program; None is its far-field
        sister's %f.
    """
    form = "f" if digits is None else f".{digits}g"
    lines = [HEADER]
    for i in range(len(table.ring)):
        h, k, l = (int(v) for v in table.hkl[i])
        theta = table.theta_rad[i] / DEG
        numbers = (*table.g[i], theta, 2.0 * theta, table.radius_mm[i] / UM)
        text = " ".join(f"{v:{form}}" for v in numbers)
        lines.append(f"{h} {k} {l} {table.d_angstrom[i]:{form}} {int(table.ring[i])} {text}")
    return "\n".join(lines) + "\n"


def parse_hkls(text: str, path: str | Path | None = None) -> HklTable:
    """Table from the text of an ``hkls.csv``.

    Raises
    ------
    FormatError
        The header is another, a line has not 11 numbers, or there are no lines.
    """
    lines = text.splitlines()
    if not lines or lines[0].split() != HEADER.split():
        got = lines[0][:60] if lines else ""
        raise FormatError(f"first line {got!r}: expected {HEADER!r}", path=path, line=1)
    rows: list[list[float]] = []
    for number, line in enumerate(lines[1:], start=2):
        words = line.split()
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if words and len(values) != 11:
            raise FormatError(f"{line[:60]!r}: expected 11 numbers", path=path, line=number)
        if words:
            rows.append(values)
    if not rows:
        raise FormatError("no reflections after the header", path=path)
    t = np.array(rows)
    return HklTable(
        hkl=t[:, :3].astype(np.int64),
        d_angstrom=t[:, 3],
        ring=t[:, 4].astype(np.int64),
        g=t[:, 5:8],
        theta_rad=t[:, 8] * DEG,
        radius_mm=t[:, 10] * UM,
    )


def read_hkls_csv(path: str | Path) -> HklTable:
    """Table of a file; see :func:`parse_hkls`."""
    return parse_hkls(read_text(path, errors="replace"), path)
