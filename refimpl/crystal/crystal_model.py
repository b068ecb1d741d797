r"""A crystal as files of rotation data hold it: the vectors of its cell in the goniometer's frame.

:math:`A = U B = (a\,b\,c)^{-T}`, so that a reciprocal lattice point is :math:`A h` [1/Å, without
2 pi] at rotation angle 0. B is that of dxtbx: the transpose of the fractionalisation matrix of the
Protein Data Bank's convention (a along x, b in the xy plane), hence lower triangular with c* along
z: not that of Busing & Levy in ``crystal.cell``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from refimpl.errors import GeometryError
from refimpl.frames import F64
from refimpl.units import DEG

__all__ = ["Crystal", "b_matrix_of_real_space"]


def b_matrix_of_real_space(real_space: F64) -> F64:
    r"""B (3, 3) [1/Å] of a cell, by its metric: :math:`B^T B = (R R^T)^{-1}`, lower triangular.

    Parameters
    ----------
    real_space
        (3, 3) rows a, b, c [Å] in any orientation.
    """
    # R R^T = L L^T with L lower triangular: the rows of L are a, b, c with a along x, b in xy.
    rows = np.linalg.cholesky(real_space @ real_space.T)
    return np.linalg.inv(rows)


@dataclass(frozen=True, eq=False)
class Crystal:
    """Cell vectors, symmetry, and what the file says besides.

    Attributes
    ----------
    real_space
        (3, 3) rows a, b, c [Å] at rotation angle 0, in the goniometer's frame.
    hall
        Hall symbol of the space group, as the file has it.
    extra
        The crystal's entry as the file has it (covariance of B, setting matrices at scan points,
        mosaicity), for the writer.

    Raises
    ------
    GeometryError
        The vectors span no cell, or are left-handed.
    """

    real_space: F64
    hall: str = " P 1"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = np.array(self.real_space, dtype=np.float64)
        whole = rows.shape == (3, 3) and bool(np.isfinite(rows).all())
        if not whole or not np.linalg.det(rows) > 0.0:
            raise GeometryError(
                f"cell vectors {rows.tolist()}: expected rows a, b, c that are right-handed"
            )
        rows.flags.writeable = False
        object.__setattr__(self, "real_space", rows)

    @property
    def A(self) -> F64:
        """(3, 3) setting matrix [1/Å], the inverse of the rows a, b, c."""
        return np.asarray(np.linalg.inv(self.real_space), dtype=np.float64)

    @property
    def B(self) -> F64:
        """(3, 3) [1/Å] reciprocal vectors in the crystal's own frame, lower triangular."""
        return b_matrix_of_real_space(self.real_space)

    @property
    def U(self) -> F64:
        """(3, 3) rotation from the crystal's own frame, ``A = U B``."""
        return self.A @ np.linalg.inv(self.B)

    @property
    def cell(self) -> F64:
        """(6,) a, b, c [Å], alpha, beta, gamma [degrees]."""
        length = np.sqrt((self.real_space**2).sum(axis=1))
        unit = self.real_space / length[:, None]
        cosines = np.array([unit[1] @ unit[2], unit[0] @ unit[2], unit[0] @ unit[1]])
        return np.concatenate([length, np.arccos(np.clip(cosines, -1.0, 1.0)) / DEG])

    def with_A(self, setting: F64) -> Crystal:
        """Same crystal with another setting matrix (3, 3) [1/Å].

        Covariances and scan points of the old setting do not ride along.
        """
        stale = ("B_covariance", "A_at_scan_points", "B_covariance_at_scan_points")
        kept = {k: v for k, v in self.extra.items() if k not in stale}
        return replace(
            self, real_space=np.linalg.inv(np.asarray(setting, dtype=np.float64)), extra=kept
        )
