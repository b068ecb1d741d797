"""How good predictions are, beside what predicting the mean would give.

The thesis states mean square errors without a baseline (Schurmann & Lindhe 2019, Table 2.3); an
error says nothing without the variance of what was predicted.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Scores", "pearson", "scores_of", "spearman"]


@dataclass(frozen=True)
class Scores:
    """Errors of predicted targets.

    Attributes
    ----------
    n
        Pictures.
    mse, mae
        Mean square and mean absolute error.
    baseline_mse, baseline_mae
        Of the mean of the training set, and of its median, predicted for all.
    pearson, spearman
        Correlation of predictions and truth, and of their ranks; NaN where one is constant.
    """

    n: int
    mse: float
    mae: float
    baseline_mse: float
    baseline_mae: float
    pearson: float
    spearman: float

    def as_dict(self) -> dict[str, float]:
        """For JSON."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """For people."""
        return [
            f"{self.n} pictures: MSE {self.mse:.4g} (predicting the mean: {self.baseline_mse:.4g}),"
            f" MAE {self.mae:.4g} (predicting the median: {self.baseline_mae:.4g})",
            f"Pearson {self.pearson:.3f}, Spearman {self.spearman:.3f}",
        ]


def scores_of(predicted: ArrayLike, true: ArrayLike, taught: ArrayLike | None = None) -> Scores:
    """Score predictions.

    Parameters
    ----------
    predicted, true
        (n,) targets.
    taught
        Targets of the training set, whose mean and median are the baselines; None: of `true`.

    Raises
    ------
    ConfigError
        No predictions, another number of them, or one that is not finite.
    """
    p, t = (np.asarray(v, dtype=np.float64).ravel() for v in (predicted, true))
    known = t if taught is None else np.asarray(taught, dtype=np.float64).ravel()
    if not len(p) or len(p) != len(t) or not len(known):
        raise ConfigError(f"scores: {len(p)} predictions of {len(t)} targets")
    if not np.isfinite(p).all() or not np.isfinite(t).all():
        raise ConfigError("scores: predictions and targets must be finite")
    return Scores(
        len(p), float(((p - t) ** 2).mean()), float(np.abs(p - t).mean()),
        float(((known.mean() - t) ** 2).mean()), float(np.abs(np.median(known) - t).mean()),
        pearson(p, t), spearman(p, t),
    )  # fmt: skip


def pearson(a: F64, b: F64) -> float:
    """Correlation; NaN where one of them is constant."""
    x, y = a - a.mean(), b - b.mean()
    size = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / size if size > 0.0 else float("nan")


def spearman(a: F64, b: F64) -> float:
    """Correlation of ranks, equal values with their mean rank."""
    from scipy.stats import rankdata

    return pearson(rankdata(a), rankdata(b))
