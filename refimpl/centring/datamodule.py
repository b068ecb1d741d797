"""Pictures for Lightning: split by crystal, targets fitted, four loaders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.centring.crops import CropRule
from refimpl.centring.datasets import Source, open_samples, rule_of
from refimpl.centring.samples import Samples
from refimpl.centring.splits import PARTS, Split, load_split, split_crystals
from refimpl.centring.targets import Target, fit_target
from refimpl.centring.training_settings import TrainingSettings
from refimpl.errors import ConfigError, MissingExtra

try:
    import pytorch_lightning as lightning
    from torch.utils.data import DataLoader

    from refimpl.centring.turned_data import TurnedData, loader
except ImportError as error:
    raise MissingExtra("centring", "training") from error

__all__ = ["CrystalDataModule"]


class CrystalDataModule(lightning.LightningDataModule):
    """Pictures with counts, in parts that share no crystal.

    Parameters
    ----------
    source
        Samples, or what :func:`refimpl.centring.datasets.open_samples` reads.
    split
        Which crystals are for what; a file of it; None: drawn by the seed.
    settings
        Target, batch, augmentation, statistics, seed, workers.
    size, channels, rule
        Of the pictures of a source that is read.
    shares
        Of the crystals for training, validation and test, where the split is drawn.
    keep
        Where to write the ids of the parts as JSON.
    progress
        Called while a source is read.

    Attributes
    ----------
    samples, parts, target
        After ``setup``: all pictures, those of each part, and the fitted target.
    """

    samples: Samples
    parts: dict[str, Samples]
    target: Target
    split: Split | None

    def __init__(
        self, source: Samples | Source, split: Split | str | Path | None = None,
        settings: TrainingSettings | None = None, *, size: int = 128, channels: int = 1,
        rule: CropRule | None = None, shares: tuple[float, float, float] = (0.6, 0.2, 0.2),
        keep: str | Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.settings = settings or TrainingSettings()
        self.source, self.shares, self.keep, self.tell = source, shares, keep, progress
        self.split = split if split is None or isinstance(split, Split) else load_split(split)
        self.is_set_up = False
        if isinstance(source, Samples):
            size, channels, self.rule = source.size, source.channels, rule
        else:
            self.rule = rule_of(source, rule)
        own = {
            "source": None if isinstance(source, Samples) else os.fspath(source),
            "size": size, "channels": channels,
            "crop": None if self.rule is None else self.rule.as_dict(),
        }  # fmt: skip
        # for the checkpoint; not for loggers, where the target of the module has the same name
        self.save_hyperparameters(own | self.settings.as_dict(), logger=False)
        self._given_rule = rule

    def setup(self, stage: str | None = None) -> None:
        """Read the pictures, split them and fit the target; once, whatever the stage.

        Raises
        ------
        ConfigError
            A crystal without a part, no pictures for training or validation, a target that the
            counts do not allow.
        FormatError
            The source is not what it should be.
        """
        if self.is_set_up:
            return
        s = self.settings
        self.samples = self._opened()
        names = self.samples.crystal.tolist()
        if self.split is None:
            self.split = split_crystals(names, self.samples.count, shares=self.shares, seed=s.seed)
        part = self.split.part_of(names)
        self.parts = {name: self.samples.some(np.flatnonzero(part == name)) for name in PARTS}
        for name in ("train", "val"):
            if not len(self.parts[name]):
                raise ConfigError(f"no pictures of the crystals of {name}", key=name)
        known = self.parts["train"] if s.statistics == "train" else self.samples
        self.target = fit_target(s.target, known.count, known.crystal, per_crystal=s.per_crystal)
        for rows in self.parts.values():
            rows.targets(self.target)  # refused here, before a split is written
        if self.keep is not None:
            self.split.save(self.keep)
        self.is_set_up = True

    def _opened(self) -> Samples:
        if isinstance(self.source, Samples):
            return self.source
        return open_samples(
            self.source, size=self.hparams["size"], channels=self.hparams["channels"],
            rule=self._given_rule, seed=self.settings.seed, progress=self.tell,
        )  # fmt: skip

    @property
    def baseline(self) -> float:
        """Mean target of the training set: what is predicted by one who has learnt nothing."""
        return float(self.parts["train"].targets(self.target).mean())

    def train_dataloader(self) -> DataLoader[Any]:
        """Training pictures, turned, in a new order each epoch."""
        turns = {"train": "random", "all": "all"}.get(str(self.settings.augment), "none")
        return self._loader(self.parts["train"], turns, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Validation pictures as they are, or in all eight ways."""
        return self._loader(self.parts["val"])

    def test_dataloader(self) -> DataLoader[Any]:
        """Test pictures as they are, or in all eight ways."""
        return self._loader(self.parts["test"])

    def predict_dataloader(self) -> DataLoader[Any]:
        """All pictures as they are, in their order."""
        return loader(self._data(self.samples, "none"), 256)

    def _loader(
        self, samples: Samples, turns: str | None = None, *, shuffle: bool = False
    ) -> DataLoader[Any]:
        own = turns or ("all" if self.settings.augment == "all" else "none")
        batch = self.settings.batch if shuffle else 256
        return loader(
            self._data(samples, own), batch, shuffle=shuffle, workers=self.settings.workers
        )

    def _data(self, samples: Samples, turns: str) -> TurnedData:
        wanted = samples.targets(self.target)
        return TurnedData(samples, wanted, turns=turns, seed=self.settings.seed)

    def state_dict(self) -> dict[str, Any]:
        """What a run that goes on must find again."""
        split = self.split
        return {
            "settings": self.settings.as_dict(), "target": self.target.as_dict(),
            "split": None if split is None else {p: list(getattr(split, p)) for p in PARTS},
            "data": self._fingerprint(),
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Refuse to go on with other data or settings.

        Raises
        ------
        ConfigError
            They are not those that the run began with.
        """
        began = TrainingSettings(**state["settings"])
        other = began.differences(self.settings)
        if other:
            raise ConfigError(
                f"the run began with {other[0]} {getattr(began, other[0])!r}, not "
                f"{getattr(self.settings, other[0])!r}: go on with the same, or begin in another "
                "folder", key=other[0],
            )  # fmt: skip
        now = self.state_dict()
        for key, what in (
            ("data", "other pictures"), ("split", "another split"), ("target", "another target"),
        ):  # fmt: skip
            if state[key] != now[key]:
                raise ConfigError(
                    f"the run began with {what}: go on with the same, or begin in another folder",
                    key=key,
                )

    def _fingerprint(self) -> str:
        """Of the counts, the crystals and a pixel of each picture."""
        digest = hashlib.sha256("\n".join(self.samples.crystal.tolist()).encode())
        digest.update(np.ascontiguousarray(self.samples.count).tobytes())
        middle = self.samples.size // 2
        digest.update(np.ascontiguousarray(self.samples.images[:, :, middle, middle]).tobytes())
        return digest.hexdigest()
