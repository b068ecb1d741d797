"""What goes on beside the training: history, stopping, the step of Adam, files."""

from __future__ import annotations

import logging
import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.errors import ConfigError, MissingExtra

try:
    import pytorch_lightning as lightning
    import torch
except ImportError as error:
    raise MissingExtra("centring", "training") from error

__all__ = ["SHRINK", "Best", "Stop", "Watch", "one_cycle", "quiet", "shrinks", "stoppable"]

SHRINK = 1.0 / 3.0
"""By which the step of Adam shrinks where the validation does not improve."""


def shrinks(losses: Sequence[float], plateau: int) -> int:
    """How often the step has shrunk after validations: each time none of `plateau` was a new best.

    As ReduceLROnPlateau does, but from the history alone: a run that goes on needs no state of it
    (Lightning 2.6 changes the step only after checkpoints are written).
    """
    if plateau < 1:
        return 0
    best, waited, times = math.inf, 0, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited >= plateau:
            waited, times = 0, times + 1
    return times


def one_cycle(share: float) -> float:
    """Step of Adam in its largest, where a share of all steps is done (Smith and Topin 2018).

    Half a cosine up from 1/25 over the first three tenths, and another down to 0.
    """
    rise = 0.3
    if share < rise:
        return 0.04 + 0.96 * (1.0 - math.cos(math.pi * share / rise)) / 2.0
    return (1.0 + math.cos(math.pi * (share - rise) / (1.0 - rise))) / 2.0


class Watch(lightning.Callback):
    """Keeps the history, sets the step, and makes the dropout of a step that of its number."""

    def __init__(
        self, seed: int, progress: Callable[[int, dict[str, float]], None] | None, *,
        epochs: int, lr: float, plateau: int = 0, schedule: str = "constant",
    ) -> None:  # fmt: skip
        self.seed, self.progress = seed, progress
        self.epochs, self.lr, self.plateau, self.schedule = epochs, lr, plateau, schedule
        self.history: list[dict[str, float]] = []

    def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
        """Set the step by the validations so far."""
        times = shrinks([row["val_loss"] for row in self.history], self.plateau)
        _set_step(trainer, self.lr * SHRINK**times)

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, index: int) -> None:
        """Set the seed of the dropout, and the step where it goes by a schedule."""
        if self.schedule == "one-cycle":
            done = trainer.global_step / (self.epochs * trainer.num_training_batches)
            _set_step(trainer, self.lr * one_cycle(done))
        # of the step, not of the epoch: where a run goes on Lightning leaves out the hook for that
        own = np.random.SeedSequence([self.seed, trainer.global_step])
        torch.manual_seed(int(own.generate_state(1, np.uint64)[0] >> 1))

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Keep the numbers of the epoch."""
        row = {name: float(v) for name, v in trainer.callback_metrics.items() if "lr-" not in name}
        row["lr"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        self.history.append(row)

    def tell(self, epoch: int) -> None:
        """Call `progress`; after the files are written, so that it may end the run."""
        if self.progress is not None:
            self.progress(epoch, self.history[-1])

    def state_dict(self) -> dict[str, Any]:
        """History, for the checkpoint."""
        return {"history": self.history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the history of a run that goes on.

        Raises
        ------
        ConfigError
            It has done more epochs than are wanted.
        """
        self.history = list(state["history"])
        if len(self.history) > self.epochs:
            raise ConfigError(
                f"epochs {self.epochs}: the run has done {len(self.history)} already",
                key="epochs", got=self.epochs,
            )  # fmt: skip


def _set_step(trainer: Any, lr: float) -> None:
    for group in trainer.optimizers[0].param_groups:
        group["lr"] = lr


class Stop(lightning.callbacks.EarlyStopping):
    """Early stopping by the validation, with the patience of now where a run goes on."""

    def __init__(self, patience: int) -> None:
        super().__init__("val_loss", patience=patience, verbose=False)
        self.own = patience

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the best validation of a run that goes on, not its patience."""
        super().load_state_dict(state_dict | {"patience": self.own})

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Stop at once where it would have stopped."""
        # a run that had stopped by itself has nothing to go on with
        if self.wait_count > 0 and self.wait_count >= self.patience:
            trainer.should_stop = True


class Best(lightning.callbacks.Checkpoint):
    """The weights of the best validation, in memory and, with a folder, in a file.

    A checkpoint callback runs after all others, early stopping too: ``last.ckpt`` holds their
    states after the epoch.
    """

    def __init__(self, folder: Path | None, watch: Watch) -> None:
        self.folder, self.watch, self.loss, self.epoch = folder, watch, math.inf, -1
        self.weights: dict[str, Any] | None = None

    def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
        """Keep the weights if they are the best.

        Raises
        ------
        ConfigError
            The validation loss is not finite.
        """
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
        self.watch.tell(int(trainer.current_epoch))

    def state_dict(self) -> dict[str, Any]:
        """Best weights, for the checkpoint."""
        return {"loss": self.loss, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the best weights of a run that goes on."""
        self.loss, self.epoch, self.weights = state["loss"], state["epoch"], state["weights"]


def _save(trainer: Any, path: Path) -> None:
    """Whole or not at all."""
    from refimpl.io.atomic import atomic_path

    with atomic_path(path) as temporary:
        trainer.save_checkpoint(temporary)


@contextmanager
def stoppable() -> Iterator[None]:
    """Ctrl-C stays one: Lightning ends the program with status 1, and turns the signal off."""
    is_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if is_main else None
    try:
        yield
    except SystemExit as end:
        if isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


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
