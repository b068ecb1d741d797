"""The classifier: scores by hand, labelled folders, training, checkpoints, what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl.centring.class_scores import class_scores  # noqa: E402
from refimpl.centring.classes import of_windows, open_classes  # noqa: E402
from refimpl.centring.classify import (  # noqa: E402
    TrainedClassifier,
    empty_probability,
    evaluate_classifier,
    load_classifier,
    train_classifier,
)
from refimpl.centring.modules import load_regressor  # noqa: E402
from refimpl.centring.samples import Samples  # noqa: E402
from refimpl.centring.simulate_windows import windows  # noqa: E402
from refimpl.centring.splits import Split, split_crystals  # noqa: E402
from refimpl.centring.training import TrainingSettings  # noqa: E402
from refimpl.errors import ConfigError, FormatError  # noqa: E402

SHORT = TrainingSettings(epochs=10, patience=99)


@pytest.fixture(scope="module")
def samples() -> Samples:
    """A spot in the middle is a crystal, noise alone an empty loop; 3 of 4 are crystals."""
    rng = np.random.default_rng(0)
    loop = np.repeat(np.arange(40), 4)
    label = (loop % 4 == 0).astype(float)
    y, x = np.mgrid[:24, :24] - 11.5
    images = 0.3 * rng.normal(size=(160, 24, 24))
    images += (1.0 - label)[:, None, None] * np.exp(-(x**2 + y**2) / 12.0)
    return Samples.of(images, label, [str(k) for k in loop])


@pytest.fixture(scope="module")
def split(samples: Samples) -> Split:
    return split_crystals(samples.crystal.tolist(), samples.count)


@pytest.fixture(scope="module")
def trained(
    samples: Samples, split: Split, tmp_path_factory: pytest.TempPathFactory
) -> TrainedClassifier:
    return train_classifier(samples, split, SHORT, folder=tmp_path_factory.mktemp("run"))


def test_scores_by_hand() -> None:
    found = class_scores([0.2, 0.8, 0.6, 0.9], [0, 0, 1, 1], [0, 0, 0, 1])
    assert found.confusion == ((1, 1), (0, 2))
    assert found.members == (2, 2)
    assert found.accuracy == 0.75
    assert found.balanced_accuracy == 0.75
    assert found.loss == pytest.approx(-math.log(0.8 * 0.2 * 0.6 * 0.9) / 4.0)
    assert found.baseline_accuracy == 0.5
    assert found.baseline_loss == pytest.approx(-math.log(0.75**2 * 0.25**2) / 4.0)
    assert found.as_dict()["confusion"] == [[1, 1], [0, 2]]
    assert found.sentences()[1].startswith("of 2 crystals 1 were called empty, of 2 empty loops 0")
    # a half is no answer of "empty"; a missing class has no share of right answers
    alone = class_scores([0.5], [0])
    assert (alone.accuracy, alone.baseline_accuracy) == (1.0, 1.0)
    assert math.isnan(alone.balanced_accuracy)
    assert math.isfinite(class_scores([1.0], [0]).loss)


@pytest.mark.parametrize(
    ("probability", "label", "text"),
    [
        ([], [], "0 answers of 0 labels"),
        ([0.5], [0, 1], "1 answers of 2 labels"),
        ([1.5], [1], "expected probabilities of 0 to 1"),
        ([float("nan")], [1], "expected probabilities of 0 to 1"),
        ([0.5], [2], "expected labels 0 .crystal. and 1"),
    ],
)
def test_scores_that_cannot_be(probability: Any, label: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        class_scores(probability, label)


def test_it_learns_what_there_is(trained: TrainedClassifier) -> None:
    assert trained.test.accuracy > 0.95 > trained.test.baseline_accuracy
    assert trained.test.loss < 0.6 * trained.test.baseline_loss
    assert trained.test.members == (24, 8)
    assert set(trained.evaluation.scores) == {"train", "val", "test"}
    assert trained.epochs == len(trained.history) == 10
    assert "val_acc" in trained.history[0]
    assert trained.evaluation.sentences()[0].startswith("train: 96 pictures: loss")


def test_the_same_seed_gives_the_same_answers(
    samples: Samples, split: Split, trained: TrainedClassifier
) -> None:
    again = train_classifier(samples, split, SHORT)
    np.testing.assert_array_equal(again.evaluation.probability, trained.evaluation.probability)
    weighed = train_classifier(samples, split, replace(SHORT, epochs=1), weigh=True)
    plain = train_classifier(samples, split, replace(SHORT, epochs=1))
    # the rarer class, empty loops, weighs three times as much
    assert weighed.evaluation.probability.mean() > plain.evaluation.probability.mean()


def test_a_checkpoint_answers_alone(samples: Samples, trained: TrainedClassifier) -> None:
    assert trained.checkpoint is not None
    net = load_classifier(trained.checkpoint)
    np.testing.assert_array_equal(
        empty_probability(net, samples.images), trained.evaluation.probability
    )
    alone = evaluate_classifier(net, samples)
    assert list(alone.scores) == ["all"]
    assert alone.scores["all"].n == 160
    with pytest.raises(FormatError, match="no checkpoint of a regressor"):
        load_regressor(trained.checkpoint)
    with pytest.raises(ConfigError, match="pictures of 1 channels and 30 px"):
        evaluate_classifier(net, Samples.of(np.zeros((2, 30, 30)), [0, 1], ["a", "b"]))


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot read: No such file"):
        load_classifier(tmp_path / "none.ckpt")
    (tmp_path / "broken.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(FormatError, match="no checkpoint of a classifier"):
        load_classifier(tmp_path / "broken.ckpt")


def test_an_empty_class_is_refused(samples: Samples, split: Split) -> None:
    crystals = samples.some(np.flatnonzero(samples.count == 0.0))
    with pytest.raises(ConfigError, match="part train: the class 'empty' has no pictures"):
        train_classifier(crystals, split, SHORT)
    with pytest.raises(ConfigError, match="expected labels 0"):
        train_classifier(replace(samples, count=samples.count + 1.0), split, SHORT)
    with pytest.raises(ConfigError, match="the class 'empty' has no pictures"):
        open_classes("simulated:2x1x1", size=24, empty=0.0)


def test_simulated_windows() -> None:
    made = windows(4, 1, 2, 24)
    found = of_windows(made)
    np.testing.assert_array_equal(found.count, made.label)
    same = open_classes("simulated:4x1x2", size=24)
    np.testing.assert_array_equal(same.images, found.images)
    with pytest.raises(ConfigError, match="expected simulated:N or simulated:NxVIEWSxCROPS"):
        open_classes("simulated:4x1")


def test_folders_of_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    names = ["crystal/a_1.png", "crystal/a_2.png", "crystal/b/7.jpg", "empty/loop3-1.png",
             "empty/77.png"]  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 60), dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "empty" / "notes.txt").write_text("no picture")
    seen: list[tuple[int, int]] = []
    found = open_classes(tmp_path, size=24, progress=lambda *n: seen.append(n))
    assert found.images.shape == (5, 1, 24, 24)
    assert found.count.tolist() == [0, 0, 0, 1, 1]
    assert found.crystal.tolist() == ["crystal/a", "crystal/a", "crystal/b", "empty/77",
                                      "empty/loop3"]  # fmt: skip
    assert seen[-1] == (5, 5)
    for path in (tmp_path / "empty").glob("*.png"):
        path.unlink()
    with pytest.raises(ConfigError, match="the class 'empty' has no pictures: expected some in"):
        open_classes(tmp_path, size=24)
    with pytest.raises(FormatError, match="no such folder"):
        open_classes(tmp_path / "none")


@pytest.mark.slow
def test_simulated_crystals_are_told_from_empty_loops() -> None:
    made = open_classes("simulated:80x2x5", size=64)
    parts = split_crystals(made.crystal.tolist(), made.count)
    found = train_classifier(made, parts, TrainingSettings(epochs=12)).test
    assert found.baseline_accuracy < 0.55
    assert found.accuracy > 0.75
    assert found.loss < 0.8 * found.baseline_loss
