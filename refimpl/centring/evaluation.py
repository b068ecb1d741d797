"""A trained net judged: errors of each part beside the baseline, hits told, and where it aims.

The thesis judges by mean square errors, correlation plots, galleries and heat maps (Schurmann &
Lindhe 2019, section 2.1.7). Here each error has a baseline, MAE stands beside MSE, and where the
truth is known the aim is judged too: that is what the net is for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.aiming import Aiming
from refimpl.centring.heat_shown import Shown
from refimpl.centring.predict import predict
from refimpl.centring.samples import Samples
from refimpl.centring.scores import Scores, scores_of
from refimpl.centring.splits import PARTS, Split
from refimpl.centring.targets import HIT_COUNT, Target
from refimpl.errors import ConfigError
from refimpl.frames import F64

__all__ = ["Evaluation", "HitTable", "evaluate", "hit_table", "parts_of"]

NEW, ALL = "new", "all"
"""Parts of crystals that a split does not know, and of all where there is no split."""


@dataclass(frozen=True)
class HitTable:
    """Whether pictures with many reflections are told from those with few.

    Attributes
    ----------
    least
        Reflections above which a picture is a hit.
    table
        Pictures by truth (rows: no hit, hit) and prediction (columns: no hit, hit).
    """

    least: float
    table: tuple[tuple[int, int], tuple[int, int]]

    @property
    def accuracy(self) -> float:
        """Part of right answers."""
        return (self.table[0][0] + self.table[1][1]) / sum(map(sum, self.table))

    @property
    def baseline_accuracy(self) -> float:
        """Part of right answers of always saying what is more frequent."""
        return max(map(sum, self.table)) / sum(map(sum, self.table))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "least": self.least, "table": [list(row) for row in self.table],
            "accuracy": self.accuracy, "baseline_accuracy": self.baseline_accuracy,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions of a net with all that its report shows.

    Attributes
    ----------
    arch, target
        The net's name and what it was taught.
    samples
        The pictures.
    predicted, wanted
        (n,) targets.
    part
        (n,) train, val, test; ``new`` for crystals that the split does not know, ``all`` without
        a split.
    scores
        Of each part.
    hits
        Of each part; none where the target has no way back to reflections.
    aiming
        Where the net aims in pictures of known truth, and others beside it.
    shown
        Heat maps of whole pictures.
    checkpoint, source
        Where the net and the pictures came from.
    notes
        What could not be done, and why.
    """

    arch: str
    target: Target
    samples: Samples
    predicted: F64
    wanted: F64
    part: NDArray[np.str_]
    scores: Mapping[str, Scores]
    hits: Mapping[str, HitTable]
    aiming: Aiming | None = None
    shown: tuple[Shown, ...] = ()
    checkpoint: Path | None = None
    source: str = ""
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def judged(self) -> str:
        """Part that counts: the test set, else what is new, else all."""
        return next(name for name in ("test", NEW, ALL, *PARTS) if name in self.scores)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": "refimpl.centring_evaluation", "schema": 1, "checkpoint": self.checkpoint,
            "source": self.source, "arch": self.arch, "target": self.target.as_dict(),
            "judged": self.judged, "baseline": "train" if "train" in self.scores else "own part",
            "parts": {
                name: {
                    **scores.as_dict(),
                    "crystals": len(set(self.samples.crystal[self.part == name].tolist())),
                    "hits": self.hits[name].as_dict() if name in self.hits else None,
                }
                for name, scores in self.scores.items()
            },
            "aim": None if self.aiming is None else self.aiming.as_dict(),
            "notes": list(self.notes),
        }  # fmt: skip

    def sentences(self) -> list[str]:
        """For people."""
        lines = [f"{self.arch}, target {self.target.name}"]
        for name, scores in self.scores.items():
            lines += [f"{name}: {text}" for text in scores.sentences()]
            if name in self.hits:
                hits = self.hits[name]
                lines.append(
                    f"{name}: more than {hits.least:g} reflections or not is told right for "
                    f"{hits.accuracy:.3f} (always the more frequent: {hits.baseline_accuracy:.3f})"
                )
        return [*lines, *(self.aiming.sentences() if self.aiming else ()), *self.notes]


def evaluate(
    net: Any, samples: Samples, split: Split | None = None, *, part: NDArray[np.str_] | None = None,
    checkpoint: str | Path | None = None, source: str = "",
) -> Evaluation:  # fmt: skip
    """Predict pictures and score each part.

    Parameters
    ----------
    net
        A :class:`~refimpl.centring.modules.Regressor`.
    samples
        Pictures as it was taught.
    split
        Which crystals it was taught; None: all pictures are one part.
    part
        (n,) parts from :func:`parts_of` in place of a split.
    checkpoint, source
        Said in the result.

    Raises
    ------
    ConfigError
        No pictures, or of another size or number of channels than the net was taught, a crystal in
        no part, a count that the target refuses.
    """
    if part is None:
        known = None if split is None else split.part_of(samples.crystal.tolist())
        part = np.full(len(samples), ALL) if known is None else known
    if not len(samples):
        raise ConfigError("no pictures to judge the net by")
    target, predicted = net.target, predict(net, samples)
    wanted = samples.targets(target)
    # the baseline is what the net could have known: the mean of what it was taught
    taught = wanted[part == "train"] if (part == "train").any() else None
    names = [name for name in (*PARTS, NEW, ALL) if (part == name).any()]
    scores = {n: scores_of(predicted[part == n], wanted[part == n], taught) for n in names}
    hits = {}
    if target.is_invertible:
        told = target.invert(predicted)
        hits = {n: hit_table(told[part == n], samples.count[part == n]) for n in names}
    return Evaluation(
        str(net.hparams["arch"]), target, samples, predicted, wanted, part, scores, hits,
        checkpoint=None if checkpoint is None else Path(checkpoint), source=source,
    )  # fmt: skip


def parts_of(samples: Samples, split: Split) -> NDArray[np.str_]:
    """(n,) part of each picture; ``new`` where the split does not know its crystal."""
    known = {name: part for part in PARTS for name in getattr(split, part)}
    return np.array([known.get(str(c), NEW) for c in samples.crystal.tolist()], dtype=np.str_)


def hit_table(predicted: F64, true: F64, least: float = HIT_COUNT) -> HitTable:
    """Count hits and what was taken for one, of predicted and true reflections."""
    said, known = np.asarray(predicted) > least, np.asarray(true) > least
    table = [
        [int(((known == t) & (said == p)).sum()) for p in (False, True)] for t in (False, True)
    ]
    return HitTable(least, ((table[0][0], table[0][1]), (table[1][0], table[1][1])))
