"""Least squares for the matrix and the hole lattice, once whole numbers say which hole is which."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from refimpl.clustering.lattices import centred, origins_of
from refimpl.epu.visits import Visits
from refimpl.frames import F64, I64

__all__ = ["LatticeFit", "fitted"]


@dataclass(frozen=True, eq=False)
class LatticeFit:
    """A matrix and the hole lattice that it makes.

    Attributes
    ----------
    matrix, lattice
        (2, 2) M and rows of U [um].
    site
        (h, 2) whole numbers of each hole, from an origin in its square.
    away
        (h, 2) [um] from the lattice.
    sigma
        (2, 2) [um] standard uncertainties of the matrix.
    """

    matrix: F64
    lattice: F64
    site: I64
    away: F64
    sigma: F64

    @property
    def rms(self) -> float:
        """Root mean square distance of the holes from the lattice [um]."""
        return float(np.sqrt((self.away**2).sum(axis=1).mean()))

    @property
    def misfit(self) -> float:
        """Rms over the root of the area of a hole."""
        return self.rms / math.sqrt(abs(float(np.linalg.det(self.lattice))))


def fitted(
    visits: Visits, basis: F64, lattice: F64, matrix: F64 | None = None
) -> LatticeFit | None:
    """Fit M, U and an origin for each square, and whole numbers, by turns.

    The scatter of the holes is in the beam shift, which brings the beam to them; the stage is read
    to a nanometre. So the beam shift is what is explained: the other way round its scatter would
    make the matrix too small. Holes of one stay err alike in part (real session: 47 nm in all,
    27 nm within a stay); to weigh them for that would make the matrix 5 % more exact
    (docs/theory/epu), so they are not.

    Parameters
    ----------
    visits
        Holes.
    basis
        (2, 2) steps of the beam shift from hole to hole.
    lattice, matrix
        Where to begin; the matrix follows from the lattice if it is not given.

    Returns
    -------
    None where the equations do not have one answer.
    """
    square = np.unique(visits.square, return_inverse=True)[1].reshape(-1)
    shift, stage = (centred(v, square) for v in (visits.beam_shift, visits.stage_um))
    start = np.linalg.solve(basis, lattice) if matrix is None else matrix
    m, u, site = np.asarray(start, dtype=np.float64), lattice, np.zeros((0, 2))
    for _ in range(40):
        x = (stage + shift @ m) @ np.linalg.inv(u)
        now = np.round(x - origins_of(x, square)[square])
        if np.array_equal(now, site):
            break
        site = now
        answer = _solved(shift, np.hstack([-stage, centred(site, square)]))
        if answer is None:
            return None
        m, u = answer
    free = len(stage) - 4 - (int(square.max()) + 1)
    if free <= 0:
        return None
    sites = centred(site, square)
    away = stage + shift @ m - sites @ u
    a = np.hstack([-stage, sites])
    # error of M = inv(W): - M dW M, where the columns of dW err like those of the beam shift
    normal = m @ np.linalg.inv(a.T @ a)[:2, :2] @ m.T
    sigma = np.sqrt(np.outer(np.diag(normal), np.diag(away.T @ away) / free))
    return LatticeFit(m, u, site.astype(np.int64), np.asarray(away), np.asarray(sigma))


def _solved(shift: F64, a: F64) -> tuple[F64, F64] | None:
    """M and U of ``shift = a @ (inv(M), U inv(M))``; None where they are not determined."""
    if np.linalg.matrix_rank(a) < 4:
        return None
    answer = np.linalg.lstsq(a, shift, rcond=None)[0]
    if abs(np.linalg.det(answer[:2])) < 1e-9 or abs(np.linalg.det(answer[2:])) < 1e-12:
        return None
    m = np.linalg.inv(answer[:2])
    return np.asarray(m), np.asarray(answer[2:] @ m)
