r"""The least-squares problem of one or several frames on the same panels, as an arrow.

The border holds what belongs to the detector as a whole: the global parameters of each frame and
what frames share (:mod:`refimpl.powder.frame_residuals`). The blocks are the panels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.objective.bordered import Bordered
from refimpl.objective.least_squares import Normal, accumulate_blocks, accumulate_normal
from refimpl.powder.frame_residuals import FrameProblem
from refimpl.powder.panel_setup import PanelSetup

__all__ = ["PanelProblem"]


@dataclass(frozen=True, eq=False)
class PanelProblem:
    """All frames, and what is refined.

    Attributes
    ----------
    frames
        At least one.
    names, start, lower, upper
        (g,) of the border.
    setup
        What the panels may do; None: there are none, or they stay as they are.
    moves
        (p, 9) corrections to start from; p may be 0.
    free
        (p, m) what is refined of the panels.
    floating
        (q, p, m) directions in which all panels move alike, of which the priors say nothing; the
        last q of the border say how far the priors' zero is moved. None: the priors are about 0.
    """

    frames: tuple[FrameProblem, ...]
    names: tuple[str, ...]
    start: F64
    lower: F64
    upper: F64
    setup: PanelSetup | None
    moves: F64
    free: NDArray[np.bool_]
    floating: F64 | None = None

    @property
    def along(self) -> F64 | None:
        """(p, m, g) what of the border the priors add to the panels' parameters."""
        if self.floating is None:
            return None
        q, p, m = self.floating.shape
        out = np.zeros((p, m, self.g))
        out[:, :, self.g - q :] = np.where(
            self.free[..., None], np.moveaxis(self.floating, 0, 2), 0.0
        )
        return out

    def seen_by_priors(self, x: F64) -> F64:
        """(p, m) what the priors expect to be about 0."""
        own = x[self.g :].reshape(self.p, len(self.fields))
        along = self.along
        return own if along is None else own + along @ x[: self.g]

    @property
    def g(self) -> int:
        """Parameters of the border."""
        return len(self.names)

    @property
    def p(self) -> int:
        """Panels."""
        return len(self.free)

    @property
    def fields(self) -> tuple[str, ...]:
        """(m,) fields of a panel that are refined."""
        return () if self.setup is None else self.setup.fields

    @property
    def all_names(self) -> tuple[str, ...]:
        """(g + p m,) of the border, then ``3.d_fast_px`` panel by panel."""
        return (*self.names, *(f"{i}.{f}" for i in range(self.p) for f in self.fields))

    @property
    def boxes(self) -> I64:
        """(p, 4) of the panels."""
        boxes = self.frames[0].globals.model.panel_boxes
        return np.zeros((0, 4), dtype=np.int64) if boxes is None else np.asarray(boxes)

    def places(self, name: str) -> list[int]:
        """Where the frames' parameters of a name stand in the border, each once."""
        found = (int(f.at[f.globals.names.index(name)]) for f in self.frames
                 if name in f.globals.names)  # fmt: skip
        return sorted(set(found))

    def corrections(self, x: F64) -> F64:
        """(p, 9) table at the parameters."""
        table = self.moves.copy()
        if self.setup is not None:
            table[:, 2 + self.setup.columns] = x[self.g :].reshape(self.p, -1)
        return table

    def _own(self) -> F64:
        if self.setup is None:
            return np.zeros((self.p, 0))
        return np.asarray(self.moves[:, 2 + self.setup.columns])

    def first(self) -> F64:
        """(g + p m,) parameters to start from."""
        return np.concatenate([self.start, self._own().ravel()])

    def bounds(self) -> tuple[F64, F64]:
        """Search range about the start; a held parameter's is a point."""
        own = self._own()
        reach = np.zeros(own.shape)
        if self.setup is not None:
            reach = np.where(self.free, self.setup.reach(), 0.0)
        low = np.concatenate([self.lower, (own - reach).ravel()])
        return low, np.concatenate([self.upper, (own + reach).ravel()])

    def strains(self, x: F64) -> list[F64]:
        """Strain (n,) of each frame's points."""
        corrections = self.corrections(x)
        return [f.strain(x[: self.g], corrections) for f in self.frames]

    def possible(self, x: F64) -> bool:
        """Whether every frame's distance is positive."""
        return all(f.geometry(x[: self.g])[0] > 0.0 for f in self.frames)

    def normal(self, x: F64, weights: list[F64], precision: F64, rows: F64) -> Bordered:
        """Arrow-shaped normal equations, priors included.

        Parameters
        ----------
        x
            (g + p m,).
        weights
            (n,) of each frame's points.
        precision
            (m,) of the priors.
        rows
            (q, p, m) constraints.
        """
        g = self.g
        sums = self._sums(x, weights)
        cost, gradient = float(np.sum(sums[:, 0, 0])), np.sum(sums[:, 1 : 1 + g, 0], axis=0)
        border = np.sum(sums[:, 1 : 1 + g, 1 : 1 + g], axis=0)
        cross = sums[:, 1 : 1 + g, 1 + g :].copy()
        blocks, slopes = sums[:, 1 + g :, 1 + g :].copy(), sums[:, 1 + g :, 0].copy()
        own = self.seen_by_priors(x)
        cost += float(np.sum(precision * own * own))
        np.einsum("pii->pi", blocks)[...] += precision
        slopes += precision * own
        if (along := self.along) is not None:
            gradient += np.einsum("pmg,m,pm->g", along, precision, own)
            border += np.einsum("pmg,m,pmh->gh", along, precision, along)
            cross += np.einsum("pmg,m->pgm", along, precision)
        n = sum(int(np.count_nonzero(w)) for w in weights)
        down = np.concatenate([gradient, slopes.ravel()])
        return Bordered(cost, down, n, border, cross, blocks, rows)

    def _sums(self, x: F64, weights: list[F64]) -> F64:
        """(p, 1 + g + m, 1 + g + m) normal matrices of the panels, frame added to frame."""
        g, m, corrections = self.g, len(self.fields), self.corrections(x)
        total = np.zeros((self.p, 1 + g + m, 1 + g + m))
        for frame, weight in zip(self.frames, weights, strict=True):
            strain, jacobian = frame.linearised(x[:g], corrections, self.fields)
            sums = accumulate_blocks(strain, jacobian, weight, frame.first)
            at = np.concatenate([[0], 1 + frame.columns, 1 + g + np.arange(m)])
            total[np.ix_(np.arange(self.p), at, at)] += sums
        return total

    def dense(self, x: F64, weights: list[F64]) -> Normal:
        """Normal equations of the border alone."""
        g, corrections = self.g, self.corrections(x)
        cost, gradient, hessian = 0.0, np.zeros(g), np.zeros((g, g))
        for frame, weight in zip(self.frames, weights, strict=True):
            strain, jacobian = frame.linearised(x[:g], corrections, ())
            own, slope, matrix = accumulate_normal(strain, jacobian, weight)
            cost += own
            gradient[frame.columns] += slope
            hessian[np.ix_(frame.columns, frame.columns)] += matrix
        n = sum(int(np.count_nonzero(w)) for w in weights)
        return Normal(cost, gradient, hessian, n)
