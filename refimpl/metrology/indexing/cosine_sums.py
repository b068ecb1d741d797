r"""How well lattice vectors fit reciprocal lattice points: sums of cosines.

For a vector v of the lattice every product r.v is near a whole number, so that
:math:`\sum_j \cos(2\pi\, r_j \cdot v)` is near the number of points; for any other vector it is
near zero. The sums are made vector by vector: the matrix of all products is never held.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from refimpl.dispatch import twin
from refimpl.frames import F64

__all__ = ["CHUNK", "cosine_of_turns", "cosine_sums"]

CHUNK: Final = 256
"""Points in a partial sum."""

ROUND: Final = 6755399441055744.0
"""1.5 * 2**52: adding and subtracting it rounds to a whole number."""

SERIES: Final = tuple((-1.0) ** k * math.pi ** (2 * k + 1) / math.factorial(2 * k + 1)
                      for k in range(8))  # fmt: skip
"""sin(pi t) = t * sum of SERIES[k] * t**(2 k); the next term is below 4e-11 for \\|t\\| <= 1/2."""


def cosine_of_turns(turns: F64) -> F64:
    r"""Cosine of an angle in turns, :math:`\cos 2\pi t = 1 - 2\sin^2 \pi t`.

    Parameters
    ----------
    turns
        Any shape; below 1e9 in size.

    Returns
    -------
    Same shape. NaN for NaN.

    Notes
    -----
    Accuracy: 3e-11, by a series of eight terms, so that arithmetic alone, the same bits
    everywhere, makes it.
    """
    t = turns - ((turns + ROUND) - ROUND)
    square = t * t
    sine = np.full_like(t, SERIES[-1])
    for term in SERIES[-2::-1]:
        sine = sine * square + term
    sine = sine * t
    return 1.0 - 2.0 * (sine * sine)


@twin("arithmetic", points="f8 n,3", vectors="f8 m,3")
def cosine_sums(points: F64, vectors: F64) -> F64:
    r"""Sum of :math:`\cos(2\pi\, r_j \cdot v)` over all points r, for every vector v.

    Parameters
    ----------
    points
        (n, 3) reciprocal lattice points [1/Å].
    vectors
        (m, 3) [Å].

    Returns
    -------
    (m,) between -n and n. NaN where a point or the vector is not finite.

    Notes
    -----
    Twin: ``refimpl/_ext/cosine_sums.pyx``. Sums by chunks of :data:`CHUNK` points, in order.
    """
    total = np.zeros(len(vectors))
    for start in range(0, len(points), CHUNK):
        p = points[start : start + CHUNK]
        turns = p[:, :1] * vectors[:, 0] + p[:, 1:2] * vectors[:, 1] + p[:, 2:] * vectors[:, 2]
        total = total + np.cumsum(cosine_of_turns(turns), axis=0)[-1]  # cumsum adds in order
    return total
