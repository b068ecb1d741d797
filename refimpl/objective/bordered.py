r"""Normal equations of many small blocks that share a border, with linear constraints.

A detector of p panels has a few global parameters (the border) and m of its own for each panel
(a block); panels meet in the border only, so the normal matrix is an arrow. Eliminating the
blocks costs :math:`O(p\,m^3)` instead of :math:`O((pm)^3)`:

.. math::

   S = \begin{pmatrix} A & 0 \\ 0 & 0 \end{pmatrix}
       - \sum_i \begin{pmatrix} F_i \\ C_i \end{pmatrix} B_i^{-1}
         \begin{pmatrix} F_i^T & C_i^T \end{pmatrix}

with A the border, :math:`B_i` the blocks, :math:`F_i` what couples them and :math:`C_i` the
columns of the constraints :math:`\sum_i C_i x_i = 0` (Lagrange multipliers are part of the
border). Source: Nocedal and Wright, Numerical Optimization, 2nd ed., 16.2 (Schur complement).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64
from refimpl.objective.least_squares import UNDETERMINED, weakest

__all__ = ["Bordered"]

DEPENDENT = 1e-10
"""Eigenvalue of the constraints' Gram matrix, relative to the largest, of a constraint that the
others imply already."""

IMITATED = 1e-6
"""Part of a border parameter's curvature that its scale does not fall below."""


@dataclass(frozen=True, eq=False)
class Bordered:
    """Arrow-shaped normal matrix; x is the border's parameters, then block after block.

    Attributes
    ----------
    cost, gradient, n
        As of :class:`~refimpl.objective.least_squares.Linearised`; gradient (g + p m,).
    border
        (g, g).
    cross
        (p, g, m) between the border and each block.
    blocks
        (p, m, m).
    constraints
        (q, p, m) coefficients of q linear combinations of block parameters that are kept at 0.
    """

    cost: float
    gradient: F64
    n: int
    border: F64
    cross: F64
    blocks: F64
    constraints: F64

    @property
    def g(self) -> int:
        """Parameters of the border."""
        return len(self.border)

    def curvature(self) -> F64:
        """(k,) diagonal of the normal matrix."""
        return np.concatenate([np.diag(self.border), np.einsum("pii->pi", self.blocks).ravel()])

    def weak(self, free: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], float]:
        """Parameters that are not determined: first within each block, then in the border."""
        weak = np.zeros(len(free), dtype=bool)
        own = free[self.g :].reshape(len(self.blocks), -1)
        for i in np.flatnonzero(self._doubtful(own)):
            lost, _ = weakest(self.blocks[i], own[i])
            at = self.g + i * own.shape[1]
            weak[at : at + own.shape[1]] = lost
        use = free & ~weak
        schur, _, _ = self._reduced(use, 0.0)
        g = self.g
        if schur.shape[0] > g:  # the constraints hold: their multipliers go, too
            inverse = np.linalg.pinv(schur[g:, g:], hermitian=True)
            schur = schur[:g, :g] - schur[:g, g:] @ inverse @ schur[g:, :g]
        # what rounding leaves of a parameter that the blocks imitate in full is nothing
        noise = np.diag(schur) < UNDETERMINED * np.diag(self.border)
        weak[:g] |= use[:g] & noise
        lost, condition = weakest(schur[:g, :g], use[:g] & ~noise)
        weak[:g] |= lost
        return weak, condition

    def step(self, x: F64, damping: float, use: NDArray[np.bool_]) -> F64:
        """(k,) damped step that also brings the constraints to 0."""
        schur, solved, rows = self._reduced(use, damping)
        g, own = self.g, use[self.g :].reshape(len(self.blocks), -1)
        blocks_x = x[g:].reshape(own.shape)
        down = np.where(own, self.gradient[g:].reshape(own.shape), 0.0)
        right = np.concatenate([-np.where(use[:g], self.gradient[:g], 0.0), np.zeros(len(rows))])
        right[g:] = -np.einsum("qpm,pm->q", rows, blocks_x)
        right += np.einsum("pmk,pm->k", solved, down)
        top = _solve_symmetric(schur, right, self.border)
        first = np.linalg.solve(self._damped(own, damping), -down[..., None])[..., 0]
        step = np.zeros(len(x))
        step[:g] = np.where(use[:g], top[:g], 0.0)
        step[g:] = (first - np.einsum("pmk,k->pm", solved, top)).ravel()
        return np.where(use, step, 0.0)

    def covariance(self, use: NDArray[np.bool_]) -> F64:
        """(k, k) inverse over `use` under the constraints, 0 elsewhere."""
        schur, solved, _ = self._reduced(use, 0.0)
        g, own = self.g, use[self.g :].reshape(len(self.blocks), -1)
        p, m = own.shape
        middle = _inverse_symmetric(schur, self.border)
        out = np.zeros((len(use), len(use)))
        out[:g, :g] = middle[:g, :g]
        arms = solved.reshape(p * m, -1)
        out[g:, :g] = -np.einsum("ik,kj->ij", arms, middle[:, :g])
        out[:g, g:] = out[g:, :g].T
        right = np.einsum("ik,kj->ij", arms, middle)
        out[g:, g:] = np.einsum("ik,jk->ij", right, arms, optimize=True)
        inverse = np.linalg.inv(self._damped(own, 0.0))
        for i in range(p):
            at = slice(g + i * m, g + (i + 1) * m)
            out[at, at] += inverse[i]
        return np.where(np.outer(use, use), 0.5 * (out + out.T), 0.0)

    def _doubtful(self, own: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """(p,) blocks that may not determine what they have; all at once, as most do."""
        blocks = self._damped(own, 0.0)
        diagonal = np.einsum("pii->pi", blocks)
        scale = 1.0 / np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
        values = np.linalg.eigvalsh(blocks * scale[:, :, None] * scale[:, None, :])
        poor = values[:, 0] <= 2.0 * UNDETERMINED * values[:, -1]
        return np.asarray(np.any(own, axis=1) & (poor | np.any(own & ~(diagonal > 0.0), axis=1)))

    def variances(self, use: NDArray[np.bool_], along: F64 | None = None) -> F64:
        """(p, m) variances of the blocks' parameters alone: no (k, k) matrix is made.

        With `along` (p, m, g) those of the parameters plus ``along @ border``.
        """
        schur, solved, _ = self._reduced(use, 0.0)
        if along is not None:
            solved[:, :, : self.g] -= np.where(use[: self.g], along, 0.0)
        own = use[self.g :].reshape(len(self.blocks), -1)
        middle = _inverse_symmetric(schur, self.border)
        inverse = np.linalg.inv(self._damped(own, 0.0))
        shared = np.einsum("pmk,kl,pml->pm", solved, middle, solved, optimize=True)
        return np.where(own, np.einsum("pii->pi", inverse) + shared, 0.0)

    def border_variances(self, use: NDArray[np.bool_]) -> F64:
        """(g,) variances of the border's parameters alone, 0 for those not in `use`."""
        schur, _, _ = self._reduced(use, 0.0)
        variances = np.diag(_inverse_symmetric(schur, self.border))[: self.g]
        return np.where(use[: self.g], variances, 0.0)

    def _damped(self, own: NDArray[np.bool_], damping: float) -> F64:
        """(p, m, m) blocks; the row of a held parameter is that of the identity."""
        both = own[:, :, None] & own[:, None, :]
        blocks = np.where(both, self.blocks, 0.0)
        diagonal = np.einsum("pii->pi", blocks)
        held = np.where(own, diagonal * (1.0 + damping), 1.0)
        np.einsum("pii->pi", blocks)[...] = held
        return blocks

    def _reduced(self, use: NDArray[np.bool_], damping: float) -> tuple[F64, F64, F64]:
        """Schur complement (g + q, g + q), B^-1 [F^T C^T] (p, m, g + q), constraints (q, p, m)."""
        g, own = self.g, use[self.g :].reshape(len(self.blocks), -1)
        rows = _independent(np.where(own, self.constraints, 0.0))
        cross = np.where(use[:g, None] & own[:, None, :], self.cross, 0.0)
        arms = np.concatenate([cross, np.moveaxis(rows, 0, 1)], axis=1)  # (p, g + q, m)
        solved = np.linalg.solve(self._damped(own, damping), np.swapaxes(arms, 1, 2))
        schur = -np.einsum("pkm,pml->kl", arms, solved)
        border = np.where(np.outer(use[:g], use[:g]), self.border, 0.0)
        border[np.diag_indices(g)] = np.where(use[:g], np.diag(self.border) * (1.0 + damping), 1.0)
        schur[:g, :g] += border
        return schur, solved, rows


def _independent(rows: F64) -> F64:
    """(q', p, m) orthonormal combinations of the constraints that do not imply each other."""
    flat = rows.reshape(len(rows), rows.shape[1] * rows.shape[2])
    size = np.sqrt(np.einsum("qi,qi->q", flat, flat))
    flat = flat[size > 0.0] / size[size > 0.0, None]
    if len(flat) == 0:
        return np.zeros((0, *rows.shape[1:]))
    values, vectors = np.linalg.eigh(np.einsum("qi,ri->qr", flat, flat))
    good = values > DEPENDENT * values[-1]
    out = (vectors[:, good] / np.sqrt(values[good])).T @ flat
    return np.asarray(out.reshape(len(out), *rows.shape[1:]))


def _scale(matrix: F64, border: F64) -> F64:
    """Scale that makes the diagonal about +-1: parameters and multipliers have any units.

    What rounding leaves of a border parameter that the blocks imitate in full, and only the
    constraints determine, is no scale: the border's own (g, g) gives the least.
    """
    size = np.abs(np.diag(matrix))
    size[: len(border)] = np.maximum(size[: len(border)], IMITATED * np.diag(border))
    return np.asarray(1.0 / np.sqrt(np.maximum(size, np.finfo(float).tiny)))


def _solve_symmetric(matrix: F64, right: F64, border: F64) -> F64:
    if len(matrix) == 0:
        return right
    d = _scale(matrix, border)
    return np.asarray(np.linalg.solve(matrix * np.outer(d, d), right * d) * d)


def _inverse_symmetric(matrix: F64, border: F64) -> F64:
    if len(matrix) == 0:
        return matrix
    d = _scale(matrix, border)
    return np.asarray(np.linalg.inv(matrix * np.outer(d, d)) * np.outer(d, d))
