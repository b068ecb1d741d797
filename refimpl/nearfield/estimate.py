"""What a reconstruction would cost, before it starts: from a sample that is really worked.

Evaluations, time, memory and disk of all loops, or of one grid, from what a few places of the map
spend (:mod:`refimpl.nearfield.estimate_sample`). Evaluations are the same for the same seed, times
are measured. The intervals are those of the draw: bootstrap-t over the places (B. Efron & R. J.
Tibshirani (1993), An Introduction to the Bootstrap, section 12.5).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from refimpl.detector.lit_pixels import LitPixels
from refimpl.dispatch import resolve_threads, use_threads
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64, I64
from refimpl.nearfield.blind import BlindSettings
from refimpl.nearfield.estimate_places import places_of, unseen_grains
from refimpl.nearfield.estimate_sample import Sampler
from refimpl.nearfield.estimate_sizes import disk_of, memory_of
from refimpl.nearfield.fit_settings import SearchSettings
from refimpl.nearfield.loops import Loop, MultiresSettings
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.reconstruct import _check, _problem

__all__ = ["Estimate", "StageEstimate", "estimate"]

_RESAMPLED, _SHARE = 1000, 0.9
_BLOCK, _BLIND_BLOCK = 64, 32

Interval = tuple[float, float]


@dataclass(frozen=True)
class StageEstimate:
    """One step: points, orientations compared, CPU time [s], each with its interval of 90 %."""

    name: str
    points: float
    evaluations: float
    evaluations_interval: Interval
    cpu_s: float
    cpu_interval: Interval


@dataclass(frozen=True)
class Estimate:
    """What a run would cost.

    Attributes
    ----------
    stages
        Steps in their order.
    totals
        Points of the grid of each loop.
    shares
        Expected shares of good, bad and empty points of each loop; empty ones are not looked at.
    evaluations, evaluations_interval
        Orientations compared with the images, and the interval of 90 %.
    cpu_s, cpu_interval
        CPU time, and what the interval of the evaluations makes of it.
    wall_s, wall_interval, threads
        Time with so many threads, if they do not hinder each other.
    memory_mb, disk_mb
        By what it is for.
    places, sample_evaluations, sample_cpu_s
        The sample, and what it has cost.
    grains
        Grains that the loops would compare bad points with; a lower bound.
    """

    stages: tuple[StageEstimate, ...]
    totals: tuple[int, ...]
    shares: tuple[tuple[float, float, float], ...]
    evaluations: float
    evaluations_interval: Interval
    cpu_s: float
    cpu_interval: Interval
    wall_s: float
    wall_interval: Interval
    threads: int
    memory_mb: Mapping[str, float]
    disk_mb: Mapping[str, float]
    places: int
    sample_evaluations: int
    sample_cpu_s: float
    grains: float

    def as_dict(self) -> dict[str, Any]:
        """Numbers, for JSON."""
        out = asdict(replace(self, memory_mb=dict(self.memory_mb), disk_mb=dict(self.disk_mb)))
        return out | {"memory_mb_total": self.memory, "disk_mb_total": self.disk}

    @property
    def memory(self) -> float:
        """Sum of the memory [MB]."""
        return sum(self.memory_mb.values())

    @property
    def disk(self) -> float:
        """Sum of the files [MB]."""
        return sum(self.disk_mb.values())

    def sentences(self) -> list[str]:
        """What it would cost, for people."""
        good, bad, empty = (100.0 * share for share in self.shares[-1])
        grids = " -> ".join(f"{n:,}" for n in self.totals)
        lines = [
            f"{grids} points; of the finest grid about {good:.0f} % good, {bad:.0f} % bad, "
            f"{empty:.0f} % empty",
            f"{self.evaluations:.3g} evaluations (90 %: {_span(self.evaluations_interval)})",
            f"{_time(self.cpu_s)} of CPU (90 %: {_times(self.cpu_interval)}); "
            f"{_time(self.wall_s)} with {self.threads} "
            f"{'threads' if self.threads > 1 else 'thread'} (90 %: {_times(self.wall_interval)})",
        ]
        for stage in self.stages:
            lines.append(
                f"  {stage.name}: {stage.points:,.0f} points, {stage.evaluations:.3g} evaluations "
                f"({_span(stage.evaluations_interval)}), {_time(stage.cpu_s)} of CPU"
            )
        for what, sizes, total in (
            ("memory", self.memory_mb, self.memory), ("disk", self.disk_mb, self.disk),
        ):  # fmt: skip
            parts = ", ".join(f"{name} {size:.3g}" for name, size in sizes.items())
            lines.append(f"{total:.3g} MB of {what} at least: {parts}")
        lines.append(
            f"from {self.places} places worked in {_time(self.sample_cpu_s)} of CPU; image "
            "processing is not counted, and a part of the sample that no place met costs more"
        )
        return lines


def _span(interval: Interval) -> str:
    return f"{interval[0]:.3g} to {interval[1]:.3g}"


def _time(seconds: float) -> str:
    if seconds < 100.0:
        return f"{seconds:.2g} s"
    return f"{seconds / 60.0:.0f} min" if seconds < 6000.0 else f"{seconds / 3600.0:.3g} h"


def _times(interval: Interval) -> str:
    return f"{_time(interval[0])} to {_time(interval[1])}"


def estimate(
    setup: Setup,
    lit: LitPixels,
    grid: Callable[[float], Voxels] | None,
    seeds: F64 | None,
    settings: MultiresSettings | None,
    search: SearchSettings | None = None,
    every_seed: F64 | None = None,
    *,
    blind: BlindSettings | None = None,
    threads: int | None = None,
    sample: int = 24,
    seed: int = 0,
    voxels: Voxels | None = None,
) -> Estimate:
    """Work a sample of the points, and say what all would cost.

    A place of a multiresolution run costs what its points of every grid cost, and the points about
    them that decide what is done there: on the coarsest grid a search for up to six points where
    the map is empty or at a boundary, for one within a grain.

    Parameters
    ----------
    setup, lit, grid, seeds, settings, search, every_seed, blind
        As of :func:`refimpl.nearfield.multires.multires`. Settings None: one grid, ``voxels``, as
        of :func:`refimpl.nearfield.reconstruct.reconstruct`; ``grid`` is then not asked.
    threads
        Of the run that is estimated; the sample is worked by one.
    sample
        Places, one of each of so many equal parts of the finest grid.
    seed
        Of the draw.
    voxels
        Grid of a run without loops.

    Raises
    ------
    ConfigError
        A sample below 2; no grid, or one without points; what the run itself would refuse.
    KeyboardInterrupt
        Ctrl-C.
    """
    if sample < 2:
        raise ConfigError(f"estimate: sample {sample}: expected 2 or more", key="sample")
    search = search or SearchSettings()
    if settings is not None and grid is not None:
        settings = settings.for_fit(search.fit.method)
        grids = [grid(size) for size in settings.sizes_mm]
    elif settings is None and voxels is not None:
        grids = [voxels]
    else:
        raise ConfigError("estimate: expected settings of loops and their grid, or voxels")
    for number, points in enumerate(grids):
        if not len(points):
            raise ConfigError(f"estimate: the grid of loop {number} has no points")
        _check(setup, lit, points, seeds)
    every = seeds if every_seed is None else every_seed
    for orientations in (seeds, every):
        _problem(setup, lit, orientations, search, blind if orientations is None else None)
    places = places_of(grids, sample, seed)
    run = Sampler(setup, lit, search, blind, places)
    began = time.process_time()
    with use_threads(1):
        loops = run.loops(seeds, every, settings)
    spent = time.process_time() - began
    n, grains = len(places.middle[0]), 0.0
    if settings is not None:
        unseen = unseen_grains(loops[0].merged, places.middle[0], settings)
        known = max((len(loop.seeds) for loop in loops[1:] if loop.seeds is not None), default=0)
        grains = known + unseen
        for step in run.steps:
            if step.name.endswith("seeded") and not step.name.endswith("unseeded"):
                step.evaluations += unseen
    draws = np.random.default_rng([seed, 1]).integers(n, size=(_RESAMPLED, n))
    n_threads, prepared, rows = resolve_threads(threads), set[str](), []
    each, once = np.zeros((3, n)), np.zeros(3)  # evaluations, CPU, wall: of each place, and once
    for step in run.steps:
        total, own = places.totals[step.loop], np.nan_to_num(step.evaluations)
        worked = total * float(np.isfinite(step.evaluations).mean())
        if not worked:
            continue
        began_with = run.tools.seconds.get(step.tool, 0.0) if step.tool not in prepared else 0.0
        prepared.add(step.tool)
        size = _BLIND_BLOCK if step.tool == "pyramid" else _BLOCK
        blocks = max(math.ceil(worked / size), 1)
        speed = step.seconds_each * np.array([1.0, math.ceil(blocks / n_threads) / blocks])
        each += total * own * np.array([1.0, *speed])[:, None]
        once += [0.0, began_with, began_with]
        rows.append(_stage(step.name, worked, total * own, speed[0], began_with, draws))
    spans = [_interval(values, draws, more) for values, more in zip(each, once, strict=True)]
    sums = [float(v) for v in each.mean(axis=1) + once]
    pairs = zip(loops, places.middle, strict=True)
    below = search.least if settings is None else settings.bad_below
    return Estimate(
        stages=tuple(rows), totals=places.totals,
        shares=tuple(_shares(loop, rows, below) for loop, rows in pairs),
        evaluations=sums[0], evaluations_interval=spans[0],
        cpu_s=sums[1], cpu_interval=spans[1],
        wall_s=sums[2], wall_interval=spans[2], threads=n_threads,
        memory_mb=memory_of(run, lit, seeds, every_seed, places.totals, loops),
        disk_mb=disk_of(lit, [row.points for row in rows], grids, loops),
        places=n, sample_evaluations=run.spent.evaluations, sample_cpu_s=spent, grains=grains,
    )  # fmt: skip


def _stage(
    name: str, points: float, evaluations: F64, speed: float, once: float, draws: I64
) -> StageEstimate:
    """A step of the whole grid, from what it would spend if all were like each place."""
    mean, (low, high) = float(evaluations.mean()), _interval(evaluations, draws)
    return StageEstimate(
        name, points, mean, (low, high), once + speed * mean,
        (once + speed * low, once + speed * high),
    )  # fmt: skip


def _interval(values: F64, draws: I64, more: float = 0.0) -> Interval:
    """Interval of 90 % of a mean, bootstrap-t: costs are skewed, few places cost most."""
    mean, drawn = float(values.mean()), values[draws]
    if len(values) == 1:  # all of the grid
        return mean + more, mean + more
    spread = _error(values)
    errors = _error(drawn)
    some = errors > 0.0
    if not spread or not some.any():
        return mean + more, mean + more
    t = (drawn.mean(axis=1)[some] - mean) / errors[some]
    high, low = mean - spread * np.quantile(t, [0.5 - _SHARE / 2, 0.5 + _SHARE / 2])
    return max(float(low), 0.0) + more, float(high) + more


def _error(values: F64) -> Any:
    """Standard error of means over the last axis."""
    return np.std(values, axis=-1, ddof=1) / np.sqrt(values.shape[-1])


def _shares(loop: Loop, middle: Any, bad_below: float) -> tuple[float, float, float]:
    """Good, bad and empty points: of the last nothing was looked at."""
    found: NearfieldMap = loop.merged
    good = (found.confidence >= bad_below)[middle]
    looked = (found.evaluations > 0)[middle]
    return float(good.mean()), float((looked & ~good).mean()), float((~looked).mean())
