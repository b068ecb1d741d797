"""Proper rotations of the 11 Laue classes, as exact unit quaternions.

Frame: x along a*, z along c (that of :func:`refimpl.crystal.cell.b_matrix`), so that the hexagonal
a is 30 degrees before x. An operator S turns an orientation into an equivalent one, ``q S``.
Diffraction sees the Laue class only: of a space group without inversion, the rotations of its
class. Not here: the reflections and improper rotations, and rhombohedral axes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np

from refimpl.crystal.cell import checked_cell
from refimpl.crystal.reflections import space_group
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["LAUE_CLASSES", "laue_class", "laue_operators", "operators"]

_HALF, _ROOT2, _ROOT3 = 0.5, np.sqrt(2.0) / 2.0, np.sqrt(3.0) / 2.0
_COSINE = {0: 1.0, 30: _ROOT3, 45: _ROOT2, 60: _HALF, 90: 0.0, 120: -_HALF, 135: -_ROOT2}
_COSINE |= {150: -_ROOT3, 180: -1.0}

_LAST_OF_CLASS = {2: "-1", 15: "2/m", 74: "mmm", 88: "4/m", 142: "4/mmm", 148: "-3"}
_LAST_OF_CLASS |= {167: "-3m1", 176: "6/m", 194: "6/mmm", 206: "m-3", 230: "m-3m"}
_TWOFOLDS_ALONG_A_STAR = (149, 151, 153, 157, 159, 162, 163)

_TURNS: dict[str, tuple[int, tuple[int, ...]]] = {
    "-1": (1, ()),
    "mmm": (2, (0, 90)),
    "4/m": (4, ()),
    "4/mmm": (4, (0, 45, 90, 135)),
    "-3": (3, ()),
    "-31m": (3, (0, 60, 120)),
    "-3m1": (3, (30, 90, 150)),
    "6/m": (6, ()),
    "6/mmm": (6, (0, 30, 60, 90, 120, 150)),
}
"""Order of the axis along z, and directions of the two-folds across it [degrees from x]."""

LAUE_CLASSES = (*_TURNS, "2/m", "m-3", "m-3m")
"""The 11 classes; -3m counts twice, with its two-folds along a* (-31m) or along a (-3m1)."""


def laue_class(group: str | int) -> str:
    """Laue class of a space group, such as ``m-3m``.

    Raises
    ------
    ConfigError
        There is no such space group.
    """
    number = int(space_group(group).number)
    if number in _TWOFOLDS_ALONG_A_STAR:
        return "-31m"
    return next(name for last, name in _LAST_OF_CLASS.items() if number <= last)


def operators(group: str | int, cell: Sequence[float] | None = None) -> F64:
    """Operators of a space group's Laue class.

    Parameters
    ----------
    group
        Number 1-230, or a Hermann-Mauguin symbol.
    cell
        a, b, c [Å], alpha, beta, gamma [degrees]. It says which axis of a monoclinic crystal is
        unique: the one whose angle is not 90 degrees; b without a cell, or with three right angles.

    Returns
    -------
    (n, 4) w, x, y, z, the identity first; read-only.

    Raises
    ------
    ConfigError
        There is no such space group; a monoclinic cell has two oblique angles; the cell of a
        trigonal crystal is on rhombohedral axes.

    Notes
    -----
    Source: section 1.1 of the near-field specification. Its programs carry five decimals.
    """
    name = laue_class(group)
    axis = "y"
    if cell is not None:
        angles = checked_cell(cell)[3:]
        oblique = [letter for letter, v in zip("xyz", angles, strict=True) if v != 90.0]
        if name == "2/m" and len(oblique) > 1:
            raise ConfigError(
                f"monoclinic cell with angles {angles}: expected one that is not 90 degrees",
                key="cell",
                got=angles,
            )
        if name.startswith("-3") and len(oblique) == 3:
            raise ConfigError(
                f"space group {group} with angles {angles}: its operators are on hexagonal axes; "
                "expected 90, 90, 120 degrees",
                key="cell",
                got=angles,
            )
        if name == "2/m" and oblique:
            axis = oblique[0]
    return laue_operators(name, axis)


@functools.lru_cache(maxsize=64)
def laue_operators(name: str, unique_axis: str = "y") -> F64:
    """Operators of a Laue class by its name; read-only.

    Parameters
    ----------
    name
        One of :data:`LAUE_CLASSES`.
    unique_axis
        Of 2/m: x, y or z. The two-fold runs along a, b or c; with a cell of that setting, these
        are the Cartesian axes of the same letter.

    Raises
    ------
    ConfigError
        There is no such class.
    """
    rows: list[tuple[float, ...]]
    if name == "2/m":
        rows = [(1.0, 0.0, 0.0, 0.0), (0.0, *(float(unique_axis == letter) for letter in "xyz"))]
    elif name in ("m-3", "m-3m"):
        rows = _cubic(name == "m-3m")
    elif name in _TURNS:
        order, twofolds = _TURNS[name]
        halves = [180 * k // order for k in range(order)]
        rows = [(_cosine(h), 0.0, 0.0, _cosine(h - 90)) for h in halves]
        rows += [(0.0, _cosine(a), _cosine(a - 90), 0.0) for a in twofolds]
    else:
        raise ConfigError(f"unknown Laue class {name!r}: expected one of {', '.join(LAUE_CLASSES)}")
    table = np.array(rows)
    table = np.where(table[:, :1] < 0.0, -table, table) + 0.0  # no -0.0
    table.flags.writeable = False
    return table


def _cosine(degrees: int) -> float:
    return _COSINE[abs(degrees)]


def _cubic(with_fourfolds: bool) -> list[tuple[float, ...]]:
    """Quaternions of Hurwitz: 23, and with the four-folds 432."""
    rows: list[tuple[float, ...]] = [tuple(row) for row in np.eye(4).tolist()]
    rows += [(_HALF, *signs) for signs in itertools.product((_HALF, -_HALF), repeat=3)]
    if with_fourfolds:
        for i, j in itertools.combinations(range(4), 2):
            for sign in (1.0, -1.0):
                row = [0.0] * 4
                row[i], row[j] = _ROOT2, sign * _ROOT2
                rows.append(tuple(row))
    return rows
