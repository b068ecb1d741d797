"""Lattices in the plane, found from points that lie on them: by phases, then by least squares.

A vector q is of the reciprocal lattice if ``q . x`` differs by whole numbers between all points x.
The sum of ``exp(2 pi i q . x)`` is then as long as there are points: the peaks of its length over
the plane of q are the candidates (the periodogram; R. Bracewell (1986), The Fourier Transform and
its Applications, chapter 6).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from refimpl.errors import ConvergenceError
from refimpl.frames import F64, I64

C128 = NDArray[np.complex128]

MOST = 2000
"""Values of q on either side of 0: sums over the plane then need 0.4 GB."""

__all__ = ["axis_of", "centred", "means_of", "origins_of", "peaks_of", "phase_power", "reduced"]


def axis_of(reach: float, extent: float, parts: int = 4) -> F64:
    """Values of q from -reach to reach, so close that points `extent` apart keep their phase.

    Between two of them the phase of the outermost points changes by 1 / parts of a turn.

    Raises
    ------
    ConvergenceError
        There would be so many that the plane of q does not fit into memory.
    """
    n = np.ceil(reach * extent * parts)
    if not n <= MOST:
        raise ConvergenceError(
            f"no search for a lattice: points {extent:.4g} apart, steps of about {1.0 / reach:.2g}"
        )
    n = max(int(n), 1)
    return np.linspace(-reach, reach, 2 * n + 1)


def phase_power(points: F64, weights: C128, group: I64, axis: F64) -> F64:
    """(m, m) sum over groups of the squared length of the phase sum, at (axis[i], axis[j]).

    Parameters
    ----------
    points
        (n, 2).
    weights
        (n,) complex.
    group
        (n,) points of a group share an origin, which is unknown: groups add by length.
    axis
        (m,) values of each component of q.
    """
    total = np.zeros((len(axis), len(axis)))
    for name in np.unique(group):
        x, y = points[group == name].T
        along = np.exp(2j * np.pi * axis[:, None] * (x - x.mean())) * weights[group == name]
        sums = along @ np.exp(2j * np.pi * (y - y.mean())[:, None] * axis)
        total += sums.real**2 + sums.imag**2
    return total


def peaks_of(height: F64, axis: F64, least: float, most: int) -> tuple[F64, F64]:
    """((p, 2) places, (p,) heights) of local maxima of at least `least`, highest first."""
    top = (height == maximum_filter(height, size=3, mode="nearest")) & (height >= least)
    rows = np.argwhere(top)
    values = height[top]
    # equal heights come in the order of their places, so that the answer has one order
    order = np.lexsort((rows[:, 1], rows[:, 0], -values))[:most]
    return axis[rows[order]], values[order]


def reduced(basis: F64) -> tuple[F64, I64]:
    """Shortest basis of the same lattice (Lagrange, Gauss), and how it is made: ``n @ basis``.

    The first vector is the shorter one, the second turned from it like in the given basis.
    """
    b = np.array(basis, dtype=np.float64)
    n = np.eye(2, dtype=np.int64)
    while True:
        if b[1] @ b[1] < b[0] @ b[0]:
            b, n = np.stack([b[1], -b[0]]), np.stack([n[1], -n[0]])
        step = int(np.round((b[0] @ b[1]) / (b[0] @ b[0])))
        if step == 0:
            return b, n
        b[1] -= step * b[0]
        n[1] -= step * n[0]


def means_of(values: F64, group: I64) -> F64:
    """(g, 2) mean of each group, numbered from 0; 0 for a number without members."""
    n = np.maximum(np.bincount(group), 1)
    return np.stack([np.bincount(group, column) / n for column in values.T], axis=1)


def centred(values: F64, group: I64) -> F64:
    """(n, 2) values less the mean of their group."""
    return np.asarray(values - means_of(values, group)[group])


def origins_of(sites: F64, group: I64) -> F64:
    """(g, 2) what is over a whole number, on average, in each group: from the mean phase."""
    turn = np.exp(2j * np.pi * sites)
    parts = [np.arctan2(np.bincount(group, t.imag), np.bincount(group, t.real)) for t in turn.T]
    return np.stack(parts, axis=1) / (2.0 * np.pi)
