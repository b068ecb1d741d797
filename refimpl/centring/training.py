"""Train a net: the same seed gives the same weights, and a run that was stopped goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refimpl.centring.checkpoints import check_archive, reason
from refimpl.centring.crops import CropRule
from refimpl.centring.samples import Samples
from refimpl.centring.splits import Split
from refimpl.centring.training_settings import TrainingSettings
from refimpl.errors import ConfigError, FormatError, MissingExtra

try:
    import pytorch_lightning as lightning
    import torch

    from refimpl.centring.callbacks import Best, Stop, Watch, quiet, stoppable
    from refimpl.centring.datamodule import CrystalDataModule
    from refimpl.centring.modules import Regressor
    from refimpl.centring.nets import build
except ImportError as error:
    raise MissingExtra("centring", "training") from error

__all__ = ["Trained", "TrainingSettings", "check_net", "fit", "fit_module", "quiet", "train"]


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
        Of each epoch: train_loss, val_loss, val_mse, val_baseline_mse, val_pearson, lr.
    checkpoint
        File of the best weights, or None.
    """

    net: Any
    best_epoch: int
    epochs: int
    history: tuple[dict[str, float], ...]
    checkpoint: Path | None


def check_net(arch: str, *, size: int, channels: int = 1) -> None:
    """Refuse a net that cannot be taught counts, before time is spent on pictures.

    Raises
    ------
    ConfigError
        An unknown name, the classifier, or pictures that are too small.
    """
    if arch == "classifier":
        raise ConfigError(
            "net 'classifier': it tells empty loops and no counts; expected another", key="arch"
        )
    with torch.device("meta"):  # shapes without weights
        build(arch, channels=channels, size=size)


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
        A crystal without a part, an empty part, a target that the counts do not allow; a run that
        began with other data or settings.
    FormatError
        ``last.ckpt`` is broken.
    """
    rule = None if crop is None else CropRule(**crop)
    data = CrystalDataModule(samples, split, settings, rule=rule)
    return fit(data, folder=folder, resume=resume, progress=progress)


def fit(
    data: CrystalDataModule, *, folder: str | Path | None = None, resume: bool = False,
    progress: Callable[[int, dict[str, float]], None] | None = None, logger: Any = None,
) -> Trained:  # fmt: skip
    """Train a net on a data module, by its settings.

    Parameters
    ----------
    data
        Pictures, split and settings.
    folder, resume, progress
        See :func:`train`.
    logger
        A logger of Lightning, which gets the step of Adam too; None: no logger.

    Raises
    ------
    ConfigError, FormatError
        See :func:`train`, and ``CrystalDataModule.setup``.
    """
    data.setup("fit")
    last = _last(None if folder is None else Path(folder)) if resume else None
    if last is not None:  # Lightning would load the weights first, and fail for another net
        data.load_state_dict(_began(last))

    def make() -> Regressor:
        return Regressor(
            data.settings.arch, data.target.as_dict(),
            None if data.rule is None else data.rule.as_dict(), size=data.samples.size,
            channels=data.samples.channels, lr=data.settings.lr, baseline=data.baseline,
        )  # fmt: skip

    return fit_module(
        make, data.settings, data, folder=folder, resume=resume, progress=progress, logger=logger
    )


def fit_module(
    make: Callable[[], Any], settings: TrainingSettings, data: Any, *,
    folder: str | Path | None = None, resume: bool = False,
    progress: Callable[[int, dict[str, float]], None] | None = None, logger: Any = None,
) -> Trained:  # fmt: skip
    """Train any module that logs ``val_loss``, by epochs, patience, plateau, seed and threads.

    Parameters
    ----------
    make
        Makes the module, after the seed is set.
    settings
        How.
    data
        A Lightning data module, or the loaders (training, validation).
    folder, resume, progress, logger
        See :func:`fit`. What `progress` raises ends the training and comes through; the epoch
        is in ``last.ckpt`` by then.

    Raises
    ------
    ConfigError
        The validation loss is not finite.
    FormatError
        ``last.ckpt`` is broken.
    """
    s = settings
    torch.set_num_threads(s.threads)
    lightning.seed_everything(s.seed, workers=True, verbose=False)
    net = make()
    place = None if folder is None else Path(folder)
    watch = Watch(
        s.seed, progress, epochs=s.epochs, lr=s.lr, plateau=s.plateau, schedule=s.schedule
    )
    sources = (
        {"train_dataloaders": data[0], "val_dataloaders": data[1]}
        if isinstance(data, tuple)
        else {"datamodule": data}
    )
    with quiet(), stoppable():
        trainer, best = _trainer(s, place, watch, logger)
        trainer.fit(net, ckpt_path=_last(place) if resume else None, weights_only=True, **sources)
    if best.weights is not None:
        net.load_state_dict(best.weights)
    net.eval()
    path = None if place is None else place / "best.ckpt"
    return Trained(net, best.epoch, len(watch.history), tuple(watch.history), path)


def _last(folder: Path | None) -> str | None:
    """Checkpoint to go on from, if there is one."""
    path = None if folder is None else folder / "last.ckpt"
    if path is None or not path.exists():
        return None
    check_archive(path, "to go on from")
    _content(path, "state_dict", "optimizer_states", "epoch")
    return str(path)


def _began(path: str) -> dict[str, Any]:
    """What the data module of a checkpoint was."""
    return dict(_content(path, "CrystalDataModule")[0])


def _content(path: str | Path, *keys: str) -> list[Any]:
    """Parts of a checkpoint."""
    try:
        # mapped: the weights stay on the disk
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        return [content[key] for key in keys]
    except Exception as error:  # torch, pickle and zip raise a dozen kinds for a broken file
        raise FormatError(f"no checkpoint to go on from: {reason(error)}", path=path) from error


def _trainer(
    s: TrainingSettings, folder: Path | None, watch: Watch, logger: Any
) -> tuple[Any, Best]:
    from refimpl.io.atomic import make_folder

    best = Best(None if folder is None else make_folder(folder), watch)
    callbacks: list[Any] = [watch, Stop(s.patience), best]
    if logger is not None:
        callbacks.insert(0, lightning.callbacks.LearningRateMonitor("epoch"))
    trainer = lightning.Trainer(
        max_epochs=s.epochs, callbacks=callbacks, logger=logger or False, deterministic=True,
        enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, accelerator="cpu" if not torch.cuda.is_available() else "auto",
        devices=1, log_every_n_steps=1,
    )  # fmt: skip
    return trainer, best
