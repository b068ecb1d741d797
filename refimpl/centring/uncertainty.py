"""How sure a heat map is: several nets, or one net with its dropout left on.

Nets that began with other weights agree where the pictures they were taught tell the answer, and
differ where they guess. Dropout left on while predicting does the same with one net (Gal and
Ghahramani 2016). Where the members do not agree on a place, a raster should measure instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.centring.crops import CropRule
from refimpl.errors import ConfigError, MissingExtra
from refimpl.frames import F64

try:
    import torch
    from torch import nn

    from refimpl.centring.heatmap import HIT_COUNT, HeatMap, Point, heat_map
except ImportError as error:
    raise MissingExtra("centring", "a heat map") from error

__all__ = ["Uncertain", "dropout_map", "ensemble_map"]

AGREE = 0.5
"""Part of the members that must point near the best point of all of them."""


@dataclass(frozen=True, eq=False)
class Uncertain:
    """The mean of several heat maps, and how they differ.

    Attributes
    ----------
    heat
        Mean of the values, and the reflections that it stands for.
    deviation
        (h, w) standard deviation of the values between the members.
    count_deviation
        (h, w) of the reflections; NaN where the target stands for none.
    members
        Heat maps of the members.
    """

    heat: HeatMap
    deviation: F64
    count_deviation: F64
    members: tuple[HeatMap, ...]

    def agreement(self, point: Point, apart_px: float, least: float = HIT_COUNT) -> float:
        """Part of the members whose best point is near a point; without one they disagree."""
        near = 0
        for member in self.members:
            best = member.best(1, least=least)
            near += bool(best) and (
                math.hypot(best[0].x_px - point.x_px, best[0].y_px - point.y_px) <= apart_px
            )
        return near / len(self.members)

    def verdict(self, apart_px: float, least: float = HIT_COUNT) -> Verdict:
        """Where to aim, or that a raster should say.

        Parameters
        ----------
        apart_px
            Distance to which best points are the same: about the beam's width.
        least
            Reflections below which there is no crystal.

        Raises
        ------
        ConfigError
            A distance that is not positive.
        """
        best = self.heat.best(1, apart_px=apart_px, least=least)
        if not best:
            seen = sum(bool(m.best(1, least=least)) for m in self.members) / len(self.members)
            return Verdict(None, 1.0 - seen, math.nan, seen > 1.0 - AGREE)
        agreed = self.agreement(best[0], apart_px, least)
        row = int(np.argmin(np.abs(self.heat.y_px - best[0].y_px)))
        column = int(np.argmin(np.abs(self.heat.x_px - best[0].x_px)))
        spread = float(self.count_deviation[row, column])
        return Verdict(best[0], agreed, spread, agreed < AGREE)


@dataclass(frozen=True)
class Verdict:
    """Where to aim, and whether to trust it.

    Attributes
    ----------
    point
        The best point of the mean map; None: no crystal here.
    agreement
        Part of the members that say the same.
    count_deviation
        Of the reflections predicted there.
    raster_instead
        Less than half of the members say the same: measure a raster.
    """

    point: Point | None
    agreement: float
    count_deviation: float
    raster_instead: bool


def ensemble_map(
    nets: Sequence[Any], picture: NDArray[Any], zoom: float, *, rule: CropRule | None = None,
    progress: Callable[[int, int], None] | None = None, **options: Any,
) -> Uncertain:  # fmt: skip
    """Predict with several regressors.

    Parameters
    ----------
    nets
        Two or more, taught the same kind of target.
    picture, zoom
        Photograph and zoom of the camera.
    rule
        Of the crops; None: that of each net.
    progress
        Called with members done, and how many there are.
    options
        Of :func:`refimpl.centring.heatmap.heat_map`.

    Raises
    ------
    ConfigError
        Fewer than two nets, targets of several kinds, or a net without a crop rule.
    """
    if len(nets) < 2:
        raise ConfigError(f"ensemble of {len(nets)} nets: expected two or more", key="ensemble")
    kinds = sorted({f"{n.target.name} {n.target.per_crystal or ''}".strip() for n in nets})
    if len(kinds) > 1:
        raise ConfigError(
            f"ensemble: nets of targets {', '.join(kinds)}: expected one kind", key="ensemble"
        )

    def members() -> Iterator[HeatMap]:
        for number, net in enumerate(nets):
            own = rule or net.crop
            if own is None:
                raise ConfigError(f"net {number + 1} of the ensemble has no crop rule", key="crop")
            size = int(net.hparams["size"])
            yield heat_map(net, picture, own, zoom, net.target, size=size, **options)
            if progress is not None:
                progress(number + 1, len(nets))

    return _united(tuple(members()), [n.target for n in nets])


def dropout_map(
    net: Any, picture: NDArray[Any], zoom: float, *, n: int = 20, seed: int = 0,
    rule: CropRule | None = None, progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Uncertain:  # fmt: skip
    """Predict several times with the dropout left on.

    Parameters
    ----------
    net
        A regressor with dropout.
    picture, zoom, rule, options
        As of :func:`ensemble_map`.
    n
        How often.
    seed
        Of what is dropped; the same for each prediction whatever else torch was asked.

    Raises
    ------
    ConfigError
        Fewer than two predictions, a net without dropout, or without a crop rule.
    """
    if n < 2:
        raise ConfigError(f"{n} predictions with dropout: expected two or more", key="dropout")
    if not any(isinstance(part, nn.Dropout) and part.p > 0.0 for part in net.modules()):
        raise ConfigError(
            f"{net.hparams['arch']} has no dropout to leave on: take an ensemble", key="dropout"
        )
    own = rule or net.crop
    if own is None:
        raise ConfigError("the net has no crop rule", key="crop")
    made = []
    with torch.random.fork_rng(devices=[]):
        for number in range(n):
            torch.manual_seed(int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
            made.append(
                heat_map(
                    _Dropping(net), picture, own, zoom, net.target,
                    size=int(net.hparams["size"]), **options,
                )
            )  # fmt: skip
            if progress is not None:
                progress(number + 1, n)
    net.eval()
    return _united(tuple(made), [net.target] * n)


class _Dropping(nn.Module):
    """A net whose dropout stays on where the rest of it predicts."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def train(self, mode: bool = True) -> _Dropping:
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.Dropout):
                part.training = True
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.net(images)
        return answer


def _united(members: tuple[HeatMap, ...], targets: Sequence[Any]) -> Uncertain:
    """Mean and deviation; values of other statistics are drawn to those of the first net."""
    first, target = members[0], targets[0]
    values = np.stack([
        m.value if own == target or not own.is_invertible
        else target.apply(np.maximum(m.count, 0.0))
        for m, own in zip(members, targets, strict=True)
    ])  # fmt: skip
    mean = values.mean(axis=0)
    count = target.invert(mean) if target.is_invertible else np.full(mean.shape, np.nan)
    counts = np.stack([m.count for m in members])
    heat = HeatMap(first.x_px, first.y_px, mean, count, first.outside)
    return Uncertain(heat, values.std(axis=0, ddof=1), counts.std(axis=0, ddof=1), members)
