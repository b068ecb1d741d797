"""Runs that stop, by themselves or not, and go on."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra centring (torch)")

import pytorch_lightning as lightning  # noqa: E402

from refimpl.centring.callbacks import SHRINK, shrinks  # noqa: E402
from refimpl.centring.datamodule import CrystalDataModule  # noqa: E402
from refimpl.centring.predict import predict, scores_on  # noqa: E402
from refimpl.centring.samples import Samples  # noqa: E402
from refimpl.centring.splits import Split, split_crystals  # noqa: E402
from refimpl.centring.training import TrainingSettings, check_net, fit, train  # noqa: E402
from refimpl.errors import ConfigError, FormatError  # noqa: E402

# nothing can be learnt from noise: the validation soon gets worse
STOPS = TrainingSettings(epochs=30, patience=2, lr=3e-3, seed=1)


@pytest.fixture(scope="module")
def samples() -> Samples:
    rng = np.random.default_rng(7)
    crystal = [f"c{k}" for k in rng.integers(0, 12, 90)]
    return Samples.of(rng.normal(size=(90, 16, 16)), rng.poisson(rng.exponential(200, 90)), crystal)


@pytest.fixture(scope="module")
def split(samples: Samples) -> Split:
    return split_crystals(samples.crystal.tolist(), samples.count)


def weights(net: Any) -> list[bytes]:
    return [v.numpy().tobytes() for v in net.state_dict().values()]


class Ended(Exception):
    """As if the program were ended from outside."""


def end_after(epoch: int, error: type[BaseException]) -> Any:
    def progress(now: int, row: dict[str, float]) -> None:
        if now == epoch:
            raise error

    return progress


@pytest.mark.parametrize("plateau", [0, 1])
def test_stopping_and_shrinking_go_on(
    samples: Samples, split: Split, tmp_path: Path, plateau: int
) -> None:
    settings = replace(STOPS, plateau=plateau)
    straight = train(samples, split, settings)
    n = straight.epochs
    assert 3 < n < 30
    losses = [row["val_loss"] for row in straight.history]
    assert straight.best_epoch == int(np.argmin(losses)) == n - 1 - 2
    want = [settings.lr * SHRINK ** shrinks(losses[:k], plateau) for k in range(n)]
    assert [row["lr"] for row in straight.history] == pytest.approx(want)
    assert (want[-1] < want[0]) == bool(plateau)
    # ended within the patience: what was waited counts
    with pytest.raises(Ended):
        train(samples, split, settings, folder=tmp_path, progress=end_after(n - 2, Ended))
    told: list[int] = []
    on = train(
        samples, split, settings, folder=tmp_path, resume=True,
        progress=lambda epoch, row: told.append(epoch),
    )  # fmt: skip
    assert told == [n - 1]
    assert on.history == straight.history
    assert weights(on.net) == weights(straight.net)
    # one that had stopped by itself stays stopped, unless it is given more patience
    same = train(samples, split, settings, folder=tmp_path, resume=True)
    assert same.history == straight.history
    assert weights(same.net) == weights(straight.net)
    longer = train(samples, split, replace(settings, patience=3), folder=tmp_path, resume=True)
    assert longer.epochs > n


def test_ctrl_c_stays_one(samples: Samples, split: Split, tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(samples, split, STOPS, folder=tmp_path, progress=end_after(1, KeyboardInterrupt))
    assert signal.getsignal(signal.SIGINT) is handler
    assert (tmp_path / "last.ckpt").exists()


def test_folders_that_cannot_go_on(samples: Samples, split: Split, tmp_path: Path) -> None:
    short = replace(STOPS, epochs=2)
    train(samples, split, short, folder=tmp_path)
    with pytest.raises(ConfigError, match="epochs 1: the run has done 2 already"):
        train(samples, split, replace(short, epochs=1), folder=tmp_path, resume=True)
    with pytest.raises(ConfigError, match="the run began with arch 'a_fcn', not 'a9'"):
        train(samples, split, replace(short, arch="a9"), folder=tmp_path, resume=True)
    data = (tmp_path / "last.ckpt").read_bytes()
    (tmp_path / "last.ckpt").write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match="no checkpoint to go on from"):
        train(samples, split, short, folder=tmp_path, resume=True)


def test_shrinks_by_hand() -> None:
    losses = [3.0, 2.0, 2.5, 2.0, 1.0, 1.0, 1.5, 1.2, 1.1]
    assert [shrinks(losses[:k], 2) for k in range(10)] == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3]
    assert shrinks(losses, 0) == 0
    assert shrinks([], 3) == 0


def test_targets_per_crystal_are_learnt(samples: Samples, split: Split) -> None:
    made = train(samples, split, replace(STOPS, epochs=1, per_crystal="rank", augment="all"))
    assert made.net.target.per_crystal == "rank"
    scores = scores_on(made.net, samples, samples)
    assert scores.baseline_mse == pytest.approx(samples.targets(made.net.target).var())


def test_a_logger_gets_the_step(samples: Samples, split: Split, tmp_path: Path) -> None:
    logger = lightning.loggers.CSVLogger(tmp_path, name="", version="")
    fit(CrystalDataModule(samples, split, replace(STOPS, epochs=1)), logger=logger)
    header = (tmp_path / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"lr-Adam", "val_loss", "train_loss"} <= set(header)


def test_nets_and_pictures_that_do_not_go_together(samples: Samples) -> None:
    with pytest.raises(ConfigError, match="it tells empty loops and no counts"):
        check_net("classifier", size=64)
    with pytest.raises(ConfigError, match="a window of 3 does not fit"):
        check_net("a4", size=6)
    check_net("a5", size=128, channels=3)
    made = train(
        samples, split_crystals(samples.crystal.tolist(), samples.count),
        replace(STOPS, epochs=1, arch="a9"),
    )  # fmt: skip
    with pytest.raises(ConfigError, match="pictures of size 8: the net was taught 16"):
        predict(made.net, Samples.of(np.zeros((2, 8, 8)), [1, 2], ["a", "b"]))
    with pytest.raises(ConfigError, match="scores: no pictures"):
        scores_on(made.net, samples.some(np.array([], dtype=int)), samples)
    assert len(predict(made.net, samples, batch=7)) == len(samples)
