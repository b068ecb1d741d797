"""How a net is trained; without torch, so that a recipe can be read where it is not installed."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from refimpl.centring.targets import PER_CRYSTAL, TARGETS
from refimpl.errors import ConfigError

__all__ = ["AUGMENT", "SCHEDULES", "TrainingSettings"]

AUGMENT = ("train", "all", "none")
"""Which pictures are turned and flipped."""

SCHEDULES = ("constant", "one-cycle")
"""How the step of Adam goes."""

_MAY_CHANGE = ("epochs", "patience", "threads", "workers")
"""Settings that a run which goes on may have otherwise than it began."""


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
        ``train`` (or True): turn and flip each picture of the training set at random, anew in each
        epoch; ``all``: every picture of every set in all eight ways, as the thesis's 96 000 pairs;
        ``none`` (or False).
    statistics
        ``train``: standardise counts by the training set; ``all``: "along the whole data set", as
        the thesis says, which lets the test set into the training.
    seed
        Of first weights, order and turns.
    threads
        Of torch; 1 is fastest for nets of this size on a shared machine.
    per_crystal
        ``rank`` or ``most``: targets by crystal, :func:`refimpl.centring.targets.alike`.
    plateau
        Epochs without a better validation after which the step of Adam shrinks to a third; 0:
        never.
    schedule
        Of the step of Adam: ``constant``, or ``one-cycle`` over all epochs, which learns most in a
        given time; a run that goes on must then have as many epochs as it began with.
    workers
        Processes that prepare pictures; the result is the same. 0 is fastest for pictures in
        memory.
    """

    arch: str = "a_fcn"
    target: str = "tanh"
    epochs: int = 100
    batch: int = 32
    lr: float = 1e-3
    patience: int = 5
    augment: bool | str = True
    statistics: str = "train"
    seed: int = 0
    threads: int = 1
    per_crystal: str | None = None
    plateau: int = 0
    schedule: str = "constant"
    workers: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.augment, bool):
            object.__setattr__(self, "augment", "train" if self.augment else "none")
        checks = {
            "epochs": self.epochs >= 1, "batch": self.batch >= 1, "patience": self.patience >= 0,
            "lr": math.isfinite(self.lr) and self.lr > 0.0, "threads": self.threads >= 1,
            "seed": self.seed >= 0, "statistics": self.statistics in ("train", "all"),
            "target": self.target in TARGETS, "augment": self.augment in AUGMENT,
            "per_crystal": self.per_crystal in (None, *PER_CRYSTAL), "plateau": self.plateau >= 0,
            "workers": self.workers >= 0, "schedule": self.schedule in SCHEDULES,
        }  # fmt: skip
        wanted = {
            "patience": "0 or more", "seed": "0 or more", "lr": "a positive number",
            "statistics": "train or all", "target": f"one of {', '.join(TARGETS)}",
            "augment": "train, all or none", "per_crystal": "rank or most",
            "plateau": "0 or more", "workers": "0 or more",
            "schedule": f"one of {', '.join(SCHEDULES)}",
        }  # fmt: skip
        for name, good in checks.items():
            if not good:
                raise ConfigError(
                    f"{name} {getattr(self, name)!r}: expected {wanted.get(name, '1 or more')}",
                    key=name, got=getattr(self, name),
                )  # fmt: skip
        if self.plateau and self.schedule != "constant":
            raise ConfigError(
                f"plateau {self.plateau} with the schedule {self.schedule}: the step can follow one"
                " of them", key="plateau", got=self.plateau,
            )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """For JSON; ``TrainingSettings(**content)`` restores it."""
        return asdict(self)

    def differences(self, other: TrainingSettings) -> tuple[str, ...]:
        """Names of settings that must not differ between parts of one run, and do."""
        own, theirs = self.as_dict(), other.as_dict()
        # the cycle is as long as all epochs
        free = set(_MAY_CHANGE) - ({"epochs"} if self.schedule == "one-cycle" else set())
        return tuple(n for n in own if n not in free and own[n] != theirs[n])
