"""What ``reproduce`` does: which nets and targets, on how much simulated data, and how long."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from refimpl.centring.net_sizes import NETS
from refimpl.centring.published import TARGETS
from refimpl.centring.targets import TARGETS as KNOWN_TARGETS
from refimpl.errors import ConfigError

__all__ = ["CLASSIFIER", "NIGHT", "SMALL", "Plan"]

CLASSIFIER = "classifier"
CONVOLUTIONAL = "a_fcn"

_KNOWN = (*NETS, CONVOLUTIONAL)


@dataclass(frozen=True)
class Plan:
    """Nets, targets, data and training.

    The defaults fill a night on two cores; :data:`SMALL` takes minutes.

    Attributes
    ----------
    archs, targets
        Rows and columns of the table.
    classifier
        Whether Table 2.5 is made too.
    crystals, views, crops
        Simulated scenes, pictures of each, crops of each picture; 60, 20 and 20 % of the crystals
        are for training, validation and test.
    size
        Edge of the crops [px]; the thesis has 128.
    epochs, batch, lr, patience
        As in :class:`~refimpl.centring.training.TrainingSettings`.
    aim
        Unseen crystals that each net aims at; 0: none.
    step_um
        Of the grid of the heat maps that it aims by.
    seed
        Of data, split, first weights and training.
    threads
        Of torch, for each net.
    """

    archs: tuple[str, ...] = (*NETS, CONVOLUTIONAL)
    targets: tuple[str, ...] = TARGETS
    classifier: bool = True
    crystals: int = 240
    views: int = 2
    crops: int = 8
    size: int = 128
    epochs: int = 30
    batch: int = 32
    lr: float = 1e-3
    patience: int = 5
    aim: int = 30
    step_um: float = 24.0
    seed: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        for name, known in (("archs", _KNOWN), ("targets", KNOWN_TARGETS)):
            given = getattr(self, name)
            for word in given:
                if word not in known:
                    raise ConfigError(
                        f"{name}: {word!r}: expected some of {', '.join(known)}", key=name, got=word
                    )
            if len(set(given)) < len(given):
                raise ConfigError(f"{name}: {', '.join(given)}: a name twice", key=name, got=given)
        if "log_literal" in self.targets:
            raise ConfigError(
                "targets: log_literal is not defined for counts below the mean; take log",
                key="targets", got="log_literal",
            )  # fmt: skip
        if not (self.archs and self.targets) and not self.classifier:
            raise ConfigError("reproduce: neither nets nor the classifier: nothing to do")
        least = {"crystals": 5, "views": 1, "crops": 1, "size": 16, "epochs": 1, "batch": 1,
                 "patience": 0, "aim": 0, "seed": 0, "threads": 1}  # fmt: skip
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ConfigError(
                    f"{name} {getattr(self, name)}: expected {value} or more",
                    key=name, got=getattr(self, name),
                )  # fmt: skip
        for name in ("lr", "step_um"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise ConfigError(
                    f"{name} {getattr(self, name)!r}: expected a positive number", key=name
                )

    @property
    def nets(self) -> tuple[tuple[str, str], ...]:
        """Pairs of net and target, column by column; the classifier last, its target being ""."""
        pairs = [(arch, target) for target in self.targets for arch in self.archs]
        return (*pairs, *([(CLASSIFIER, "")] if self.classifier else []))

    @property
    def pictures(self) -> int:
        """Crops in all."""
        return self.crystals * self.views * self.crops

    def with_(self, **changes: Any) -> Plan:
        """Return it with some fields changed; those that are None stay."""
        return replace(self, **{k: v for k, v in changes.items() if v is not None})

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def net_dict(self) -> dict[str, Any]:
        """What the result of a single net depends on."""
        out = self.as_dict()
        for name in ("archs", "targets", "classifier"):
            del out[name]
        return out


NIGHT = Plan()
"""At 128 px, as in the thesis: hours."""

SMALL = Plan(
    crystals=48, views=2, crops=8, size=32, epochs=5, patience=3, aim=3, step_um=40.0,
)  # fmt: skip
"""All nets at 32 px on few pictures: it shows that everything works, and no more."""
