"""Some places of a map, and all the steps of a run worked there: what an estimate rests on.

The very passes of :mod:`refimpl.nearfield.passes` run on the points of all places
(:mod:`refimpl.nearfield.estimate_places`); only what they spend at the middle of a place is
counted. Nothing is written to disk. Not here: what is made of it
(:mod:`refimpl.nearfield.estimate`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64, I64
from refimpl.nearfield.blind import BlindSettings, Pyramid, blind_search
from refimpl.nearfield.compare import pitch_mm
from refimpl.nearfield.estimate_places import FIRST, Places
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.levels import Level
from refimpl.nearfield.loops import Loop, MultiresSettings
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.neighbourhood import from_starts
from refimpl.nearfield.passes import Passes
from refimpl.nearfield.search import levels_of, search
from refimpl.nearfield.solutions import Solutions, joined
from refimpl.rotations import matrix_of_quaternion
from refimpl.scaleout import checkpoint

__all__ = ["Sampler", "Step"]

_AT_ONCE = 32  # points between two looks at whether to stop


@dataclass
class Step:
    """What a step spends: evaluations at n places, NaN where it does nothing, and its speed.

    ``tool`` is what it needs that is made once: see :class:`Tools`.
    """

    name: str
    loop: int
    evaluations: F64
    seconds_each: float
    tool: str = ""


@dataclass
class _Spent:
    evaluations: int = 0
    seconds: float = 0.0


@dataclass
class Tools:
    """What searches need beside the points, made once and timed."""

    setup: Setup
    lit: LitPixels
    blind: BlindSettings
    seconds: dict[str, float] = field(default_factory=dict)
    levels: dict[Any, tuple[Level, ...]] = field(default_factory=dict)

    def levels_for(self, settings: SearchSettings) -> tuple[Level, ...]:
        """Levels of a search with seeds."""
        key = min(settings.fit.reach_rad, settings.fit.tolerance_rad)
        if key not in self.levels:
            began = time.process_time()
            self.levels[key] = levels_of(self.setup, self.lit, settings)
            self.seconds["levels"] = time.process_time() - began
        return self.levels[key]

    @cached_property
    def pyramid(self) -> Pyramid:
        """Of a search without seeds."""
        began = time.process_time()
        made = Pyramid(self.setup, self.lit, self.blind)
        _ = made.levels, made.seeds
        self.seconds["pyramid"] = time.process_time() - began
        return made

    @property
    def lit_bytes(self) -> int:
        """Bytes of the lit pixels of all levels that were made."""
        made = [level for levels in self.levels.values() for level in levels]
        if "pyramid" in self.seconds:
            made += self.pyramid.levels
        return sum(level.lit.nbytes for level in made)


class Sampler(Passes):
    """The passes of a run on the points of some places.

    Attributes
    ----------
    steps
        What each step spent, in the order of the run.
    spent
        All evaluations and CPU time of the sample itself.
    """

    def __init__(
        self,
        setup: Setup,
        lit: LitPixels,
        search: SearchSettings,
        blind: BlindSettings | None,
        places: Places,
    ) -> None:
        how = {"phase": 1, "position_um": 0.0, "inputs": {}, "threads": 1, "command": ""}
        super().__init__(setup, lit, search, blind, how, None, None)  # type: ignore[arg-type]
        self.places, self.tools = places, Tools(setup, lit, blind or BlindSettings())
        self.steps: list[Step] = []
        self.spent = _Spent()

    def loops(
        self, seeds: F64 | None, every: F64 | None, settings: MultiresSettings | None
    ) -> list[Loop]:
        """Run all loops; one without settings."""
        sizes = settings.sizes_mm if settings is not None else (0.0,)
        done: list[Loop] = []
        for k, (size, voxels) in enumerate(zip(sizes, self.places.points, strict=True)):
            if settings is not None:
                self.set_loop(k, settings)
            if settings is None or k == 0:
                done.append(self.first_loop(voxels, size, seeds))
            else:
                done.append(self.next_loop(done[-1], voxels, size, every, settings))
        return done

    @contextmanager
    def stage(self, name: str, voxels: int) -> Iterator[Callable[[int], None]]:
        """Nothing is kept of a step."""
        yield lambda evaluations: None

    def solve(
        self,
        name: str,
        voxels: Voxels,
        seeds: F64 | None,
        starts: F64 | None = None,
        fit: FitSettings | None = None,
        whole: bool = False,
    ) -> NearfieldMap:
        """One pass over some points, in this process."""
        settings = replace(self.search, fit=fit or self.fit)
        loop = int(name.split(",")[0].split()[-1])
        if loop == 0:
            return self._first(name, voxels, seeds, settings)
        found, seconds = self._worked(voxels.vertices(), seeds, starts, settings)
        # a point is known by where it is: the pass has some rows of the grid only
        middles = self.places.points[loop].xy_mm[self.places.middle[loop]]
        own = {tuple(xy): i for i, xy in enumerate(voxels.xy_mm.tolist())}
        rows = np.array([own.get(tuple(xy), -1) for xy in middles.tolist()])
        self._count(name, loop, found.evaluations, rows, seconds, seeds, starts)
        return self._map(voxels, found)

    def _first(
        self, name: str, voxels: Voxels, seeds: F64 | None, settings: SearchSettings
    ) -> NearfieldMap:
        """Loop 0: the middles as in the run; the others from these where that explains them."""
        vertices, middle = voxels.vertices(), self.places.middle[0]
        done = np.unique(middle)
        found, seconds = self._worked(vertices[done], seeds, None, settings)
        rows = np.searchsorted(done, middle)
        self._count(name, 0, found.evaluations, rows, seconds, seeds, None)
        out = self._map(voxels[done], found)
        rest = np.setdiff1d(np.arange(len(voxels)), done)
        if not len(rest):
            return out
        whole = self.nothing(voxels).with_rows(done, out)
        good = np.flatnonzero(out.confidence >= self.search.worth)
        if len(good):
            away, near = cKDTree(voxels.xy_mm[done[good]]).query(voxels.xy_mm[rest])
            there = away <= (FIRST + 1.0) * pitch_mm(voxels)
            rows, near = rest[there], good[near[there]]
            close = replace(settings, fit=replace(
                FitSettings.quick(), tolerance_rad=settings.fit.tolerance_rad, scatter_starts=0
            ))  # fmt: skip
            starts = out.euler_rad[near][:, None]
            like, _ = self._worked(vertices[rows], None, starts, close)
            level = np.maximum(self.search.worth, out.confidence[near])
            kept = np.flatnonzero(like.confidence[:, 0] >= level)
            whole = whole.with_rows(rows[kept], self._map(voxels[rows], like), kept)
            rest = np.setdiff1d(rest, rows[kept])
        if not len(rest):
            return whole
        other, _ = self._worked(vertices[rest], seeds, None, settings)
        return whole.with_rows(rest, self._map(voxels[rest], other))

    def _worked(
        self, vertices: F64, seeds: F64 | None, starts: F64 | None, settings: SearchSettings
    ) -> tuple[Solutions, float]:
        """Answers of some points, and CPU time [s], without that of what is made once."""
        matrices = None if seeds is None else matrix_of_quaternion(seeds)
        if starts is None:
            _ = self.tools.pyramid if matrices is None else self.tools.levels_for(settings)
        parts, began = [], time.process_time()
        for i in range(0, max(len(vertices), 1), _AT_ONCE):
            checkpoint()
            here = vertices[i : i + _AT_ONCE]
            if starts is not None:
                own = starts[i : i + _AT_ONCE]
                parts.append(from_starts(here, own, self.setup, self.lit, settings))
            elif matrices is None:
                parts.append(blind_search(here, self.tools.pyramid, settings))
            else:
                levels = self.tools.levels_for(settings)
                parts.append(search(here, matrices, self.setup, self.lit, settings, levels))
        seconds, found = time.process_time() - began, joined(parts)
        self.spent.evaluations += int(found.evaluations.sum())
        self.spent.seconds += seconds
        return found, seconds

    def _count(
        self, name: str, loop: int, evaluations: I64, rows: I64, seconds: float,
        seeds: F64 | None, starts: F64 | None,
    ) -> None:  # fmt: skip
        """Keep what a step spent at the middles; rows of these, -1 where it did nothing."""
        there = np.append(evaluations.astype(np.float64), np.nan)
        tool = "" if starts is not None else "pyramid" if seeds is None else "levels"
        each = seconds / max(float(evaluations.sum()), 1.0)
        self.steps.append(Step(name, loop, there[rows], each, tool))

    def _map(self, voxels: Voxels, found: Solutions) -> NearfieldMap:
        return NearfieldMap.of(
            voxels, found.euler_rad[:, 0], found.confidence[:, 0], self.setup.space_group,
            by_distance=found.by_distance, seed=found.seed, n_kept=found.n_kept,
            evaluations=found.evaluations, solutions_euler_rad=found.euler_rad,
            solutions_confidence=found.confidence, setup=self.setup,
        )  # fmt: skip
