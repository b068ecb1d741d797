"""How long ``reproduce`` takes at most, from timing a few steps of each net on this machine."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from refimpl.centring.crops import crop, standardised
from refimpl.centring.reproduce_plan import CLASSIFIER, Plan
from refimpl.centring.simulate_view import SHAPE, crop_rule
from refimpl.errors import MissingExtra

try:
    import torch

    from refimpl.centring.nets import build
except ImportError as error:
    raise MissingExtra("centring", "training") from error

__all__ = ["Estimate", "estimate"]

_GRID_UM2 = 960.0 * 768.0 * 0.45
"""Mean area of a picture in the sample over zooms 1 to 4 [um^2]: how many points a heat map has."""


@dataclass(frozen=True)
class Estimate:
    """Seconds of work, if no net stops early.

    Attributes
    ----------
    nets
        How many.
    total_s
        One after the other.
    longest_s
        Of a single net.
    """

    nets: int
    total_s: float
    longest_s: float

    def wall_s(self, jobs: int) -> float:
        """At so many nets at a time [s]."""
        return max(self.total_s / jobs, self.longest_s)

    def words(self, jobs: int) -> str:
        """Say it for people."""
        at_once = f", {jobs} at a time" if jobs > 1 else ""
        return (
            f"{self.nets} nets{at_once}: at most about {_time(self.wall_s(jobs))} on this machine "
            "as it is now, less where nets stop early"
        )


def _time(value_s: float) -> str:
    if value_s < 90.0:
        return f"{value_s:.0f} s"
    return f"{value_s / 60.0:.0f} min" if value_s < 5400.0 else f"{value_s / 3600.0:.1f} h"


def estimate(
    plan: Plan, nets: tuple[tuple[str, str], ...], *, steps: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> Estimate:  # fmt: skip
    """Time a few steps of each kind of net, and count.

    Parameters
    ----------
    plan, nets
        What is to be done; nets that are done already left out.
    steps
        Timed after one that is not, for each kind.
    progress
        Called with the kinds that are timed and all of them.
    """
    torch.set_num_threads(plan.threads)
    kinds = list(dict.fromkeys(arch for arch, _ in nets))
    whole: dict[str, float] = {}
    crop_s = _crop_s(plan.size)
    taught, held = math.ceil(0.6 * plan.pictures), math.ceil(0.2 * plan.pictures)
    for i, kind in enumerate(kinds):
        step_s, look_s = _measure(kind, plan, steps)
        whole[kind] = plan.epochs * (math.ceil(taught / plan.batch) * step_s + held * look_s)
        if kind != CLASSIFIER:
            points = plan.aim * _GRID_UM2 / plan.step_um**2
            whole[kind] += points * (look_s + crop_s)
        if progress is not None:
            progress(i + 1, len(kinds))
    each = [whole[arch] for arch, _ in nets]
    return Estimate(len(nets), sum(each), max(each, default=0.0))


def _crop_s(size: int) -> float:
    """Seconds of cutting a crop out of a picture."""
    picture = np.random.default_rng(0).normal(size=SHAPE)
    edge = crop_rule().edge_px(2.5)
    standardised(crop(picture, (300.0, 240.0), edge, size))
    start = time.perf_counter()
    for k in range(5):
        standardised(crop(picture, (200.0 + 30.0 * k, 240.0), edge, size))
    return (time.perf_counter() - start) / 5


def _measure(kind: str, plan: Plan, steps: int) -> tuple[float, float]:
    """Seconds of a training step, and of looking at one picture."""
    with torch.random.fork_rng(devices=[]):
        device = "cuda" if torch.cuda.is_available() else "cpu"
        net = build(kind, size=plan.size).to(device)
        moved = torch.optim.Adam(net.parameters())
        images = torch.randn(plan.batch, 1, plan.size, plan.size, device=device)
        wanted = torch.randn(plan.batch, device=device)

        def step() -> None:
            moved.zero_grad()
            torch.nn.functional.mse_loss(net(images), wanted).backward()
            moved.step()

        def look() -> None:
            with torch.no_grad():
                net(images).sum().item()

        def timed(call: Callable[[], None], n: int) -> float:
            call()
            look()  # waits for a GPU
            start = time.perf_counter()
            for _ in range(n):
                call()
            look()
            return (time.perf_counter() - start) / n

        return timed(step, steps), timed(look, 1) / plan.batch
