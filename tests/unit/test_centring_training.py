"""Training: the same seed, the same weights; runs that go on; checkpoints; scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

from refimpl.centring.modules import load_regressor  # noqa: E402
from refimpl.centring.samples import Samples  # noqa: E402
from refimpl.centring.scores import scores_of  # noqa: E402
from refimpl.centring.splits import Split, split_crystals  # noqa: E402
from refimpl.centring.training import Trained, TrainingSettings, train  # noqa: E402
from refimpl.errors import ConfigError, FormatError  # noqa: E402

SHORT = TrainingSettings(epochs=6, patience=9)


@pytest.fixture(scope="module")
def samples() -> Samples:
    """A spot in the middle, as bright as the reflections are many, on noise."""
    rng = np.random.default_rng(0)
    crystal, bright = rng.integers(0, 20, 160), rng.exponential(1.0, 160)
    images = 0.3 * rng.normal(size=(160, 32, 32))
    y, x = np.mgrid[:32, :32] - 15.5
    images += bright[:, None, None] * np.exp(-(x**2 + y**2) / 18.0)
    return Samples.of(images, rng.poisson(200.0 * bright), [f"c{k}" for k in crystal])


@pytest.fixture(scope="module")
def split(samples: Samples) -> Split:
    return split_crystals(samples.crystal.tolist(), samples.count)


def weights(net: Any) -> list[bytes]:
    return [v.numpy().tobytes() for v in net.state_dict().values()]


@pytest.fixture(scope="module")
def whole(samples: Samples, split: Split, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(samples, split, SHORT, folder=tmp_path_factory.mktemp("run"))


def test_it_learns_what_there_is(samples: Samples, split: Split, whole: Trained) -> None:
    last = whole.history[whole.best_epoch]
    assert last["val_mse"] < 0.6 * last["val_baseline_mse"]
    assert last["val_pearson"] > 0.9
    test = samples.some(np.flatnonzero(split.part_of(samples.crystal.tolist()) == "test"))
    with torch.no_grad():
        got = whole.net(torch.from_numpy(test.images)).numpy()
    target = whole.net.target
    taught = samples.some(np.flatnonzero(split.part_of(samples.crystal.tolist()) == "train"))
    found = scores_of(got, target.apply(test.count), target.apply(taught.count))
    assert found.mse < 0.6 * found.baseline_mse
    assert found.spearman > 0.7
    assert "predicting the mean" in found.sentences()[0]


@pytest.mark.parametrize("arch", ["a_fcn", "a4"])
def test_the_same_seed_gives_the_same_weights(
    samples: Samples, split: Split, whole: Trained, arch: str
) -> None:
    settings = replace(SHORT, arch=arch, epochs=2)
    one, two = (train(samples, split, settings) for _ in range(2))
    assert weights(one.net) == weights(two.net)
    other = train(samples, split, replace(settings, seed=1))
    assert weights(one.net) != weights(other.net)


@pytest.mark.parametrize("arch", ["a_fcn", "a4"])
def test_a_run_that_goes_on_ends_where_it_would_have(
    samples: Samples, split: Split, tmp_path: Path, arch: str
) -> None:
    settings = replace(SHORT, arch=arch)
    straight = train(samples, split, settings)
    train(samples, split, replace(settings, epochs=3), folder=tmp_path)
    on = train(samples, split, settings, folder=tmp_path, resume=True)
    assert weights(on.net) == weights(straight.net)
    assert on.history == straight.history


def test_a_checkpoint_predicts_alone(samples: Samples, whole: Trained) -> None:
    assert whole.checkpoint is not None
    net = load_regressor(whole.checkpoint)
    assert net.target == whole.net.target
    assert weights(net) == weights(whole.net)
    assert net.hparams["arch"] == "a_fcn"


def test_files_that_are_no_checkpoint(tmp_path: Path, whole: Trained) -> None:
    with pytest.raises(FormatError, match="cannot read: No such file"):
        load_regressor(tmp_path / "none.ckpt")
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(b"not a checkpoint")
    with pytest.raises(FormatError, match="no checkpoint of a regressor"):
        load_regressor(broken)
    assert whole.checkpoint is not None
    content = torch.load(whole.checkpoint, weights_only=True)
    content["hyper_parameters"]["schema"] = 99
    torch.save(content, broken)
    with pytest.raises(FormatError, match="schema 99: this refimpl reads 1: train again"):
        load_regressor(broken)


def test_what_cannot_be_trained(samples: Samples, split: Split) -> None:
    with pytest.raises(ConfigError, match="crystal 'other' is in no part of the split"):
        train(replace(samples, crystal=np.full(len(samples), "other")), split, SHORT)
    with pytest.raises(ConfigError, match="log_literal"):
        train(samples, split, replace(SHORT, target="log_literal"))
    with pytest.raises(ConfigError, match="all counts are equal"):
        train(replace(samples, count=np.ones(len(samples))), split, SHORT)


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 0), ("lr", 0.0), ("patience", -1), ("statistics", "test")]
)
def test_settings_that_cannot_be(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} .*: expected"):
        TrainingSettings(**{name: value})


def test_samples_that_cannot_be() -> None:
    images = np.zeros((2, 8, 8))
    with pytest.raises(ConfigError, match="2 pictures, 1 counts, 2 crystals"):
        Samples.of(images, [1.0], ["a", "b"])
    with pytest.raises(ConfigError, match="picture 1: reflection count nan"):
        Samples.of(images, [1.0, np.nan], ["a", "b"])
    images[1, 0, 0] = np.nan
    with pytest.raises(ConfigError, match="picture 1 has values that are not finite"):
        Samples.of(images, [1.0, 2.0], ["a", "b"])
    with pytest.raises(ConfigError, match=r"pictures of shape \(2, 8\)"):
        Samples.of(np.zeros((2, 8)), [1.0, 2.0], ["a", "b"])


def test_scores_by_hand() -> None:
    found = scores_of([1.0, 2.0, 4.0], [1.0, 3.0, 3.0], [0.0, 4.0])
    assert found.mse == pytest.approx(2.0 / 3.0)
    assert found.mae == pytest.approx(2.0 / 3.0)
    assert found.baseline_mse == pytest.approx(1.0)
    assert found.pearson == pytest.approx(0.75593, abs=1e-5)
    assert found.spearman == pytest.approx(0.86603, abs=1e-5)
    assert np.isnan(scores_of([1.0, 1.0], [1.0, 2.0]).pearson)
    with pytest.raises(ConfigError, match="2 predictions of 1 targets"):
        scores_of([1.0, 2.0], [1.0])
