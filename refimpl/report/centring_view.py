"""What the report of a net shows: its evaluation, and which pictures go into the galleries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import I64

if TYPE_CHECKING:
    from refimpl.centring.evaluation import Evaluation

__all__ = ["NAMES", "EvaluationView"]

NAMES = {
    "train": "training", "val": "validation", "test": "test", "new": "new crystals",
    "all": "all pictures",
}  # fmt: skip
"""Parts as readers know them."""


@dataclass(frozen=True, eq=False)
class EvaluationView:
    """An evaluation as its report shows it.

    Attributes
    ----------
    evaluation
        What was found.
    title
        Of the page.
    high, low
        Predicted targets above and below which a picture may be in a gallery; the thesis has 0.7
        and 0.
    most
        Pictures in a gallery.
    seed
        Of the draw of pictures into the galleries.
    """

    evaluation: Evaluation
    title: str = ""
    high: float = 0.7
    low: float = 0.0
    most: int = 12
    seed: int = 0

    @property
    def name(self) -> str:
        """Title, or else the net and its target."""
        return self.title or f"{self.evaluation.arch}, target {self.evaluation.target.name}"

    @cached_property
    def judged(self) -> I64:
        """Rows of the part that counts."""
        return np.flatnonzero(self.evaluation.part == self.evaluation.judged)

    @property
    def high_rows(self) -> I64:
        """Rows drawn from those predicted high, highest first; else those that are highest."""
        return self._drawn(self.evaluation.predicted > self.high, -1)[::-1]

    @property
    def low_rows(self) -> I64:
        """Rows drawn from those predicted low, lowest first; else those that are lowest."""
        return self._drawn(self.evaluation.predicted < self.low, 1)

    @property
    def worst_rows(self) -> I64:
        """Rows of the largest errors, largest first."""
        error = np.abs(self.evaluation.predicted - self.evaluation.wanted)[self.judged]
        return self.judged[np.argsort(-error, kind="stable")[: self.most]]

    def how_many(self, chosen: NDArray[np.bool_]) -> int:
        """Judged pictures that a mask has."""
        return int(np.count_nonzero(chosen[self.judged]))

    def _drawn(self, chosen: NDArray[np.bool_], order: int) -> I64:
        rows = self.judged[chosen[self.judged]]
        if not len(rows):
            found = self.evaluation.predicted[self.judged]
            rows = self.judged[np.argsort(order * found, kind="stable")[: self.most]]
        if len(rows) > self.most:
            rows = np.random.default_rng(self.seed).choice(rows, self.most, replace=False)
        return np.asarray(rows[np.argsort(self.evaluation.predicted[rows], kind="stable")])
