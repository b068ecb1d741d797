"""Observed spots of grains, and the terms of a panel's displacement table at them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import legval
from numpy.typing import NDArray

from refimpl.frames import F64, I64

__all__ = ["Spots", "table_basis"]


@dataclass(frozen=True, eq=False)
class Spots:
    """Observed spots.

    Attributes
    ----------
    grain, panel
        (n,) numbers.
    hkl
        (n, 3).
    xyo
        (n, 3) X, Y on the panel [mm] and omega [rad].
    entering
        (n,) crossing, as of :func:`~refimpl.forward.rotation.predict_rotation`.
    """

    grain: I64
    panel: NDArray[np.int32]
    hkl: F64
    xyo: F64
    entering: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.grain)

    def select(self, rows: NDArray[np.bool_] | I64) -> Spots:
        """Rows of a mask (n,), or by number."""
        return Spots(
            self.grain[rows], self.panel[rows], self.hkl[rows], self.xyo[rows], self.entering[rows]
        )


def table_basis(u: F64, v: F64, degree: int) -> tuple[F64, I64]:
    """Values of the table's terms.

    Parameters
    ----------
    u, v
        (n,) position over the panel, -1 to 1.
    degree
        Largest; 0 for no table.

    Returns
    -------
    values, of_degree
        (n, w), (w,) from 1.
    """
    pairs = [(t - j, j) for t in range(1, degree + 1) for j in range(t + 1)]
    eye = np.eye(degree + 1)
    a, b = legval(u, eye), legval(v, eye)
    values = [a[i] * b[j] for i, j in pairs]
    return (
        np.stack(values, axis=-1) if pairs else np.zeros((len(u), 0)),
        np.array([i + j for i, j in pairs], dtype=np.int64),
    )
