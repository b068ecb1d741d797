"""The unit cell: validation, volume, the matrix B, and d-spacings.

A cell is ``(a, b, c, alpha_deg, beta_deg, gamma_deg)`` in Å and degrees. Degrees are kept here,
against the habit of the rest, because 90 and 120 must be exact for symmetry to hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.units import DEG

__all__ = ["Cell", "b_matrix", "cell_volume", "checked_cell", "d_spacing"]

Cell = tuple[float, float, float, float, float, float]
"""a, b, c [Å], alpha, beta, gamma [degrees]."""

_EXACT_COSINE = {60.0: 0.5, 90.0: 0.0, 120.0: -0.5}
"""cos(pi/2) is 6e-17 in double precision; symmetry wants the 0."""


def checked_cell(cell: Sequence[float]) -> Cell:
    """Cell as a tuple of six floats.

    Raises
    ------
    ConfigError
        Not six finite numbers, a length or angle out of range, or three angles that close no
        parallelepiped.
    """
    values = tuple(float(v) for v in cell)
    if len(values) != 6:
        raise ConfigError(
            f"unit cell has {len(values)} numbers: expected 6 (a, b, c in Å; alpha, beta, gamma "
            "in degrees)",
            got=cell,
        )
    lengths, angles = values[:3], values[3:]
    if not all(np.isfinite(v) and v > 0.0 for v in lengths):
        raise ConfigError(
            f"unit cell lengths {lengths}: expected positive numbers [Å]", key="cell", got=cell
        )
    if not all(np.isfinite(v) and 0.0 < v < 180.0 for v in angles):
        raise ConfigError(
            f"unit cell angles {angles}: expected 0 to 180 degrees", key="cell", got=cell
        )
    if _gram(angles) <= 0.0:
        raise ConfigError(
            f"unit cell angles {angles} close no cell: its volume is not positive", key="cell",
            got=cell,
        )  # fmt: skip
    a, b, c, alpha, beta, gamma = values
    return a, b, c, alpha, beta, gamma


def _cosine(angle_deg: float) -> float:
    return _EXACT_COSINE.get(angle_deg, float(np.cos(angle_deg * DEG)))


def _gram(angles_deg: Sequence[float]) -> float:
    """Squared volume of the cell with unit edges."""
    ca, cb, cg = (_cosine(v) for v in angles_deg)
    return 1.0 - ca * ca - cb * cb - cg * cg + 2.0 * ca * cb * cg


def cell_volume(cell: Sequence[float]) -> float:
    """Volume [Å^3]."""
    a, b, c, *angles = checked_cell(cell)
    return float(a * b * c * np.sqrt(_gram(angles)))


def b_matrix(cell: Sequence[float]) -> F64:
    r"""Matrix B that takes Miller indices to the crystal's Cartesian frame, without :math:`2\pi`.

    .. math::

       B = \begin{pmatrix} a^* & b^*\cos\gamma^* & c^*\cos\beta^* \\
           0 & b^*\sin\gamma^* & -c^*\sin\beta^*\cos\alpha \\ 0 & 0 & 1/c \end{pmatrix}

    Returns
    -------
    (3, 3) [1/Å]; ``d = 1 / |B h|``.

    Notes
    -----
    Source: Busing & Levy (1967), Acta Cryst. 22, 457, eq. 3; also MIDAS's convention for g1-g3.
    """
    a, b, c, *angles = checked_cell(cell)
    ca, cb, cg = (_cosine(v) for v in angles)
    sa, sb, sg = (float(np.sqrt(1.0 - v * v)) for v in (ca, cb, cg))
    volume = a * b * c * float(np.sqrt(_gram(angles)))
    a_star, b_star, c_star = b * c * sa / volume, a * c * sb / volume, a * b * sg / volume
    cos_beta_star = (ca * cg - cb) / (sa * sg)
    cos_gamma_star = (ca * cb - cg) / (sa * sb)
    sin_beta_star = np.sqrt(1.0 - cos_beta_star**2)
    sin_gamma_star = np.sqrt(1.0 - cos_gamma_star**2)
    return np.array(
        [
            [a_star, b_star * cos_gamma_star, c_star * cos_beta_star],
            [0.0, b_star * sin_gamma_star, -c_star * sin_beta_star * ca],
            [0.0, 0.0, 1.0 / c],
        ]
    )


def d_spacing(hkl: F64 | I64 | Sequence[Sequence[int]], cell: Sequence[float]) -> F64:
    """Spacing of lattice planes, 1 / |B h|.

    Parameters
    ----------
    hkl
        (h, 3) Miller indices, none of them (0, 0, 0).
    cell
        a, b, c [Å], alpha, beta, gamma [degrees].

    Returns
    -------
    (h,) [Å].

    Raises
    ------
    ConfigError
        A reflection is (0, 0, 0), or the cell is impossible.
    """
    indices = np.asarray(hkl, dtype=np.float64).reshape(-1, 3)
    if bool((indices == 0.0).all(axis=1).any()):
        raise ConfigError("reflection (0, 0, 0) has no d-spacing")
    g = indices @ b_matrix(cell).T
    return np.asarray(1.0 / np.sqrt((g * g).sum(axis=1)))
