"""Crystal models in the published listings of a refinement, character for character in layout."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from refimpl.frames import F64

__all__ = ["crystal_model", "final_crystal_models", "format_uncertain"]

_NO_UNCERTAINTY = 1e-15


def format_uncertain(value: float, sigma: float) -> str:
    """Value with its standard uncertainty in brackets: one digit of it, two below 1.95.

    A value that is exact (fixed by symmetry) has its shortest decimal form, ``90.0``.
    """
    if not sigma > _NO_UNCERTAINTY:
        text = f"{value:.6f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    places = -round(math.log10(sigma))
    if round(sigma * 10.0**places, 1) < 2.0:
        places += 1
    return f"{value:.{max(places, 0)}f}({sigma * 10.0**places:.0f})"


def _matrix(name: str, matrix: F64, digits: int) -> list[str]:
    opened = [f"    {name:<11}{{{{", *[" " * 16 + "{"] * 2]
    values = np.array(matrix, dtype=np.float64)
    values[np.abs(values) < 1e-12 * np.abs(values).max()] = 0.0  # rounding, not a negative zero
    rows = (", ".join(f"{v: .{digits}f}" for v in row) for row in values)
    ends = ("},", "},", "}}")
    return [a + row + b for a, row, b in zip(opened, rows, ends, strict=True)]


def crystal_model(
    cell: Sequence[float],
    space_group: str,
    u: F64,
    b: F64,
    *,
    cell_sigma: Sequence[float] | None = None,
    digits: int = 4,
) -> str:
    """Crystal with its cell, space group and the matrices U, B and A = UB.

    Parameters
    ----------
    cell
        (6,) [Å, deg].
    space_group
        Hermann-Mauguin symbol, ``P 4``.
    u, b
        (3, 3) orientation, and orthogonalisation of reciprocal space [1/Å].
    cell_sigma
        (6,) standard uncertainties where the listing shows them.
    digits
        Decimals of the matrices: 4 in the tutorial, where the cell is in brackets, 6 now.
    """
    if cell_sigma is None:
        values = ", ".join(f"{value:.3f}" for value in cell)
    else:
        values = ", ".join(map(format_uncertain, cell, cell_sigma))
    if digits == 4:
        values = f"({values})"
    lines = ["Crystal:", f"    Unit cell: {values}", f"    Space group: {space_group}"]
    for name, matrix in (("U matrix:", u), ("B matrix:", b), ("A = UB:", np.asarray(u) @ b)):
        lines += _matrix(name, matrix, digits)
    return "\n".join(lines)


def final_crystal_models(models: Sequence[tuple[int, str]]) -> str:
    """Final models, each with its number of reflections and the text of :func:`crystal_model`."""
    lines = ["Final refined crystal models:"]
    for number, (count, text) in enumerate(models, 1):
        lines += [f"model {number} ({count} reflections):", text]
    return "\n".join(lines)
