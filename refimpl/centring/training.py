"""Train a net: the same seed gives the same weights, and a run that was stopped goes on."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.centring.samples import Samples
from refimpl.centring.splits import PARTS, Split
from refimpl.centring.targets import Target, fit_target
from refimpl.errors import ConfigError, MissingExtra

try:
    import pytorch_lightning as lightning
    import torch
    from torch.utils.data import DataLoader, Dataset, Sampler

    from refimpl.centring.modules import Regressor
except ImportError as error:
    raise MissingExtra("centring", "training") from error

__all__ = ["Trained", "TrainingSettings", "quiet", "train"]


@dataclass(frozen=True)
class TrainingSettings:
    """How a net is trained; the thesis states Adam, the MSE and early stopping, no numbers.

    Attributes
    ----------
    arch, target
        Names of the net and of the target.
    epochs, batch, lr, patience
        Most epochs, pictures of a step, step of Adam, epochs without a better validation before
        it stops (0, Keras's default, is faithful).
    augment
        Turn and flip the pictures of the training set at random.
    statistics
        ``train``: standardise counts by the training set; ``all``: "along the whole data set", as
        the thesis says, which lets the test set into the training.
    seed
        Of first weights, order and turns.
    threads
        Of torch; 1 is fastest for nets of this size on a shared machine.
    """

    arch: str = "a_fcn"
    target: str = "tanh"
    epochs: int = 100
    batch: int = 32
    lr: float = 1e-3
    patience: int = 5
    augment: bool = True
    statistics: str = "train"
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        checks = {
            "epochs": self.epochs >= 1, "batch": self.batch >= 1, "patience": self.patience >= 0,
            "lr": math.isfinite(self.lr) and self.lr > 0.0, "threads": self.threads >= 1,
            "seed": self.seed >= 0, "statistics": self.statistics in ("train", "all"),
        }  # fmt: skip
        wanted = {"patience": "0 or more", "seed": "0 or more", "lr": "a positive number",
                  "statistics": "train or all"}  # fmt: skip
        for name, good in checks.items():
            if not good:
                raise ConfigError(
                    f"{name} {getattr(self, name)!r}: expected {wanted.get(name, '1 or more')}",
                    key=name, got=getattr(self, name),
                )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained net.

    Attributes
    ----------
    net
        With the weights of the best validation.
    best_epoch, epochs
        Counted from 0; how many were done.
    history
        Of each epoch: train_loss, val_loss, val_baseline_mse, val_pearson.
    checkpoint
        File of the best weights, or None.
    """

    net: Any
    best_epoch: int
    epochs: int
    history: tuple[dict[str, float], ...]
    checkpoint: Path | None


class _Turned(Dataset[Any]):
    """Pictures and targets; each epoch turns every picture anew, by the seed and the epoch."""

    def __init__(self, samples: Samples, wanted: Any, *, augment: bool, seed: int) -> None:
        self.images = torch.from_numpy(samples.images)
        self.wanted = torch.from_numpy(np.asarray(wanted, dtype=np.float32))
        self.augment, self.seed, self.epoch = augment, seed, 0

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        image = self.images[row]
        if self.augment:
            which = int(np.random.default_rng([self.seed, self.epoch, row]).integers(8))
            image = torch.flip(image, (-1,)) if which >= 4 else image
            image = torch.rot90(image, which % 4, (-2, -1))
        return image, self.wanted[row]


class _Shuffled(Sampler[int]):
    """An order for each epoch, by the seed and the epoch: a run that goes on has the same one."""

    def __init__(self, data: _Turned) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.data.seed, self.data.epoch])
        yield from rng.permutation(len(self.data)).tolist()

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls it before each epoch."""
        self.data.epoch = epoch


class _Watch(lightning.Callback):
    """Keeps the history, tells progress, and makes the dropout of a step that of its number."""

    def __init__(self, seed: int, progress: Callable[[int, dict[str, float]], None] | None):
        self.seed, self.progress = seed, progress
        self.history: list[dict[str, float]] = []

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        # of the step, not of the epoch: where a run goes on Lightning leaves out the hook for that
        torch.manual_seed(
            int(
                np.random.SeedSequence([self.seed, trainer.global_step]).generate_state(
                    1, np.uint64
                )[0]
                >> 1
            )
        )

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        row = {name: float(v) for name, v in trainer.callback_metrics.items()}
        self.history.append(row)
        if self.progress is not None:
            self.progress(trainer.current_epoch, row)

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = list(state["history"])


def train(
    samples: Samples,
    split: Split,
    settings: TrainingSettings | None = None,
    *,
    folder: str | Path | None = None,
    crop: dict[str, Any] | None = None,
    resume: bool = False,
    progress: Callable[[int, dict[str, float]], None] | None = None,
) -> Trained:
    """Train a net on the training crystals, and stop where the validation ones say so.

    Parameters
    ----------
    samples, split
        Pictures, and which crystals are for what.
    settings
        How.
    folder
        For ``best.ckpt`` and ``last.ckpt``; None: nothing is kept.
    crop
        Content of the crop rule, for the checkpoint.
    resume
        Go on from ``last.ckpt`` of the folder, if it is there.
    progress
        Called with each epoch and its numbers.

    Raises
    ------
    ConfigError
        A crystal without a part, an empty part, a target that the counts do not allow.
    """
    s = settings or TrainingSettings()
    part = split.part_of(samples.crystal.tolist())
    sets = {name: samples.some(np.flatnonzero(part == name)) for name in PARTS}
    for name in ("train", "val"):
        if not len(sets[name]):
            raise ConfigError(f"no pictures of the crystals of {name}", key=name)
    target = fit_target(s.target, (sets["train"] if s.statistics == "train" else samples).count)
    torch.set_num_threads(s.threads)
    lightning.seed_everything(s.seed, workers=True, verbose=False)
    taught, checked = (_data(sets[name], target, s, name == "train") for name in ("train", "val"))
    net = Regressor(
        s.arch, target.as_dict(), crop, size=samples.size, channels=samples.images.shape[1],
        lr=s.lr, baseline=float(target.apply(sets["train"].count).mean()),
    )  # fmt: skip
    watch, place = _Watch(s.seed, progress), None if folder is None else Path(folder)
    last = None if place is None else place / "last.ckpt"
    with quiet():
        trainer, best = _trainer(s, place, watch)
        trainer.fit(
            net,
            DataLoader(taught, s.batch, sampler=_Shuffled(taught)),
            DataLoader(checked, 256),
            ckpt_path=str(last) if resume and last is not None and last.exists() else None,
            weights_only=True,
        )
    kept = best.state()
    if kept is not None:
        net.load_state_dict(kept)
    net.eval()
    path = None if place is None else place / "best.ckpt"
    return Trained(net, best.epoch, len(watch.history), tuple(watch.history), path)


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's advice, and warnings that do not concern data in memory, are kept back."""
    names = ("pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities")
    loggers = [logging.getLogger(n) for n in names]
    loggers += [
        logging.getLogger(n) for n in logging.root.manager.loggerDict if n.startswith(names)
    ]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)  # 2.6 with torch 2.13
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _loader(data: _Turned, batch: int, **options: Any) -> DataLoader[Any]:
    """A loader that leaves the random numbers of the dropout alone."""
    return DataLoader(data, batch, generator=torch.Generator().manual_seed(data.seed), **options)


def _data(samples: Samples, target: Target, s: TrainingSettings, turn: bool) -> _Turned:
    return _Turned(samples, target.apply(samples.count), augment=s.augment and turn, seed=s.seed)


class _Best(lightning.Callback):
    """The weights of the best validation, in memory and, with a folder, in a file."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.loss, self.epoch = folder, math.inf, -1
        self.weights: dict[str, Any] | None = None

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        loss = float(trainer.callback_metrics["val_loss"])
        if not math.isfinite(loss):
            raise ConfigError(f"epoch {trainer.current_epoch}: the validation loss is {loss}")
        if loss < self.loss:
            self.loss, self.epoch = loss, int(trainer.current_epoch)
            self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}
            if self.folder is not None:
                _save(trainer, self.folder / "best.ckpt")
        if self.folder is not None:
            _save(trainer, self.folder / "last.ckpt")

    def state(self) -> dict[str, Any] | None:
        return self.weights

    def state_dict(self) -> dict[str, Any]:
        return {"loss": self.loss, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.loss, self.epoch, self.weights = state["loss"], state["epoch"], state["weights"]


def _save(trainer: Any, path: Path) -> None:
    """Whole or not at all."""
    from refimpl.io.atomic import atomic_path

    with atomic_path(path) as temporary:
        trainer.save_checkpoint(temporary)


def _trainer(s: TrainingSettings, folder: Path | None, watch: _Watch) -> tuple[Any, _Best]:
    from refimpl.io.atomic import make_folder

    best = _Best(None if folder is None else make_folder(folder))
    stop = lightning.callbacks.EarlyStopping("val_loss", patience=s.patience)
    trainer = lightning.Trainer(
        max_epochs=s.epochs, callbacks=[watch, best, stop], logger=False, deterministic=True,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, accelerator="cpu" if not torch.cuda.is_available() else "auto",
        devices=1,
    )  # fmt: skip
    return trainer, best
