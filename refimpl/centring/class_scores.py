"""How well crystals are told from empty loops, beside what always guessing the same would give.

Schurmann & Lindhe (2019), section 2.4, state a loss of 0.2604 and an accuracy of 0.891 and show a
confusion matrix; their classes were not balanced, and how far is not said, so an accuracy says
nothing without that of the larger class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from refimpl.errors import ConfigError

__all__ = ["CLASSES", "ClassScores", "class_scores"]

CLASSES = ("crystal", "empty")
"""Names of the labels 0 and 1: alphabetical, as Keras has them."""

_LEAST = 1e-7  # probabilities are kept from 0 and 1 by so much, as Keras does


@dataclass(frozen=True)
class ClassScores:
    """Answers of a classifier.

    Attributes
    ----------
    n
        Pictures.
    loss
        Mean binary cross-entropy (natural logarithm).
    accuracy
        Part of right answers.
    balanced_accuracy
        Mean of the parts of right answers of each class; NaN where a class is missing.
    baseline_loss, baseline_accuracy
        Of the part of empty loops in the training set, answered for all, and of its larger class.
    confusion
        Pictures by true class (rows) and answered class (columns), in the order of
        :data:`CLASSES`.
    """

    n: int
    loss: float
    accuracy: float
    balanced_accuracy: float
    baseline_loss: float
    baseline_accuracy: float
    confusion: tuple[tuple[int, int], tuple[int, int]]

    @property
    def members(self) -> tuple[int, int]:
        """Pictures of each class."""
        return sum(self.confusion[0]), sum(self.confusion[1])

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "n": self.n, "loss": self.loss, "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy, "baseline_loss": self.baseline_loss,
            "baseline_accuracy": self.baseline_accuracy, "classes": list(CLASSES),
            "confusion": [list(row) for row in self.confusion],
        }  # fmt: skip

    def sentences(self) -> list[str]:
        """For people."""
        (cc, ce), (ec, ee) = self.confusion
        return [
            f"{self.n} pictures: loss {self.loss:.4g} (always the same answer: "
            f"{self.baseline_loss:.4g}), accuracy {self.accuracy:.3f} (always the larger class: "
            f"{self.baseline_accuracy:.3f}), balanced {self.balanced_accuracy:.3f}",
            f"of {cc + ce} crystals {ce} were called empty, of {ec + ee} empty loops {ec} were "
            "called crystals",
        ]


def class_scores(
    probability: ArrayLike, label: ArrayLike, taught: ArrayLike | None = None
) -> ClassScores:
    """Score probabilities of an empty loop.

    Parameters
    ----------
    probability
        (n,) of an empty loop, 0 to 1; above 1/2 the answer is "empty".
    label
        (n,) 0 crystal, 1 empty.
    taught
        Labels of the training set, for the baselines; None: `label`.

    Raises
    ------
    ConfigError
        Nothing, different numbers, a probability outside 0 to 1, or a label that is none.
    """
    p = np.asarray(probability, dtype=np.float64).ravel()
    t, known = (
        np.asarray(v, dtype=np.float64).ravel()
        for v in (label, label if taught is None else taught)
    )
    if not len(p) or len(p) != len(t) or not len(known):
        raise ConfigError(f"class scores: {len(p)} answers of {len(t)} labels")
    if not ((p >= 0.0) & (p <= 1.0)).all():
        raise ConfigError("class scores: expected probabilities of 0 to 1")
    if not (np.isin(t, (0.0, 1.0)).all() and np.isin(known, (0.0, 1.0)).all()):
        raise ConfigError("class scores: expected labels 0 (crystal) and 1 (empty)")
    said = (p > 0.5).astype(np.float64)
    table = [[int(((t == true) & (said == answer)).sum()) for answer in (0, 1)] for true in (0, 1)]
    each = [row[k] / sum(row) if sum(row) else float("nan") for k, row in enumerate(table)]
    share = float(known.mean())
    return ClassScores(
        len(p), _entropy(p, t), float((said == t).mean()), float(np.mean(each)),
        _entropy(np.full(len(t), share), t), float((t == float(share > 0.5)).mean()),
        ((table[0][0], table[0][1]), (table[1][0], table[1][1])),
    )  # fmt: skip


def _entropy(p: np.ndarray[Any, Any], t: np.ndarray[Any, Any]) -> float:
    kept = np.clip(p, _LEAST, 1.0 - _LEAST)
    return float(-(t * np.log(kept) + (1.0 - t) * np.log1p(-kept)).mean())
