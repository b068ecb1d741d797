"""Tell crystals from empty loops: approach II of the thesis (Schurmann & Lindhe 2019, 2.4).

The net is Keras's for little data, its answer the probability of an empty loop, its loss the binary
cross-entropy. A loop is in one part of the split only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.class_scores import ClassScores, class_scores
from refimpl.centring.classes import check_classes, of_windows
from refimpl.centring.samples import Samples
from refimpl.centring.simulate_windows import Windows
from refimpl.centring.splits import PARTS, Split
from refimpl.errors import ConfigError, MissingExtra
from refimpl.frames import F64

try:
    import torch

    from refimpl.centring.modules import Classifier, load_module
    from refimpl.centring.training import Trained, TrainingSettings, fit_module
    from refimpl.centring.turned_data import TurnedData, loader
except ImportError as error:
    raise MissingExtra("centring", "a classifier") from error

__all__ = [
    "ClassEvaluation",
    "TrainedClassifier",
    "empty_probability",
    "evaluate_classifier",
    "load_classifier",
    "train_classifier",
]


@dataclass(frozen=True, eq=False)
class ClassEvaluation:
    """Answers for labelled pictures.

    Attributes
    ----------
    samples
        The pictures; their count is the label.
    probability
        (n,) of an empty loop.
    part
        (n,) part of the split; ``all`` without one.
    scores
        Of each part, in the order of the split.
    """

    samples: Samples
    probability: F64
    part: NDArray[np.str_]
    scores: Mapping[str, ClassScores]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"parts": {name: scores.as_dict() for name, scores in self.scores.items()}}

    def sentences(self) -> list[str]:
        """For people."""
        return [f"{name}: {text}" for name, s in self.scores.items() for text in s.sentences()]


@dataclass(frozen=True, eq=False)
class TrainedClassifier(Trained):
    """A trained classifier; its history has train_loss, val_loss and val_acc.

    Attributes
    ----------
    evaluation
        Of all parts.
    """

    evaluation: ClassEvaluation

    @property
    def test(self) -> ClassScores:
        """Scores of the test set."""
        return self.evaluation.scores["test"]


def train_classifier(
    windows: Windows | Samples,
    split: Split,
    settings: TrainingSettings | None = None,
    *,
    weigh: bool = False,
    folder: str | Path | None = None,
    resume: bool = False,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> TrainedClassifier:
    """Train the classifier on the training loops, and stop where the validation ones say so.

    Parameters
    ----------
    windows, split
        Labelled pictures, and which loops are for what.
    settings
        How; its net and target are of no matter.
    weigh
        Let both classes weigh the same in the loss of the training, where one has fewer pictures.
    folder, resume, progress
        As :func:`refimpl.centring.training.train`.

    Raises
    ------
    ConfigError
        A class that has no pictures in a part, a loop without a part.
    """
    samples = of_windows(windows) if isinstance(windows, Windows) else windows
    s = settings or TrainingSettings()
    part = split.part_of(samples.crystal.tolist())
    sets = {name: samples.some(np.flatnonzero(part == name)) for name in PARTS}
    for name in PARTS:
        check_classes(sets[name], f"part {name}")
    place = None if folder is None else Path(folder)

    def make() -> Classifier:
        net = Classifier(size=samples.size, channels=samples.images.shape[1], lr=s.lr)
        if weigh:
            empty = float(sets["train"].count.sum())
            weight = torch.tensor((len(sets["train"]) - empty) / empty)
            loss = torch.nn.functional.binary_cross_entropy_with_logits
            net.loss_of = partial(loss, pos_weight=weight)
        return net

    made = _fit(make, sets["train"], sets["val"], s, place, resume, progress)
    return TrainedClassifier(
        made.net, made.best_epoch, made.epochs, made.history, made.checkpoint,
        evaluate_classifier(made.net, samples, split),
    )  # fmt: skip


def _fit(
    make: Callable[[], Classifier], taught: Samples, checked: Samples, s: TrainingSettings,
    folder: Path | None, resume: bool, progress: Callable[[int, dict[str, float]], None] | None,
) -> Trained:  # fmt: skip
    turns = {"train": "random", "all": "all"}.get(str(s.augment), "none")
    data = TurnedData(taught, taught.count, turns=turns, seed=s.seed)
    unseen = TurnedData(checked, checked.count, turns="all" if turns == "all" else "none")
    loaders = (
        loader(data, s.batch, shuffle=True, workers=s.workers),
        loader(unseen, 256, workers=s.workers),
    )
    return fit_module(make, s, loaders, folder=folder, resume=resume, progress=progress)


def empty_probability(net: Any, images: NDArray[np.float32], *, batch: int = 64) -> F64:
    """(n,) probability of an empty loop, of (n, channels, size, size) standardised pictures."""
    net.eval()
    place = next(net.parameters()).device
    answers = [np.empty(0)]
    with torch.no_grad():
        for i in range(0, len(images), batch):
            seen = torch.from_numpy(images[i : i + batch]).to(place)
            answers.append(torch.sigmoid(net(seen)).double().cpu().numpy())
    return np.concatenate(answers)


def evaluate_classifier(net: Any, samples: Samples, split: Split | None = None) -> ClassEvaluation:
    """Judge a classifier on each part of labelled pictures.

    Raises
    ------
    ConfigError
        Pictures of another size or number of channels than the net was taught, a label that is
        none, a class without pictures, a loop in no part of the split.
    """
    check_classes(samples, "pictures")
    wanted = int(net.hparams["channels"]), int(net.hparams["size"])
    if (samples.images.shape[1], samples.size) != wanted:
        raise ConfigError(
            f"pictures of {samples.images.shape[1]} channels and {samples.size} px: this net was "
            f"taught {wanted[0]} and {wanted[1]} px"
        )
    if split is None:
        part = np.full(len(samples), "all")
        taught = samples.count
    else:
        part = split.part_of(samples.crystal.tolist())
        taught = samples.count[part == "train"] if (part == "train").any() else samples.count
    answer = empty_probability(net, samples.images)
    names = [name for name in (*PARTS, "all") if (part == name).any()]
    scores = {
        name: class_scores(answer[part == name], samples.count[part == name], taught)
        for name in names
    }
    return ClassEvaluation(samples, answer, part, scores)


def load_classifier(path: str | Path) -> Classifier:
    """Read a checkpoint of :func:`train_classifier`.

    Raises
    ------
    FormatError
        The file is missing, no checkpoint of a classifier, or of another schema.
    """
    return load_module(Classifier, path, "a classifier")
