"""Loops of a coarse-to-fine reconstruction: their settings, and what each of them found.

Not here: how they are run (:mod:`refimpl.nearfield.multires`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refimpl.clustering.published_grains import GreedyGrains, greedy_grains
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.nearfield.maps import NearfieldMap
from refimpl.units import DEG

__all__ = ["Loop", "Multires", "MultiresSettings", "Stage", "grains_of"]


MIXED = 0.5
"""Confidence below which even a point of several grains is bad (published MinConfidence)."""


@dataclass(frozen=True)
class MultiresSettings:
    """Grids of a run and what is good enough.

    Attributes
    ----------
    start_mm, factor, loops
        GridRefactor: edge of the coarsest grid, what the edge is divided by from loop to loop, and
        how many loops follow the first.
    bad_below
        MinConfidence: points below it are searched again; in loops before the last those below
        :attr:`mixed_below`, because a large point may hold several grains.
    grain_angle_rad
        MaxAngle: points nearer to the best one belong to its grain.
    grain_least
        Points below this confidence are of no grain (the published driver's -minConfidence).
    everywhere
        Compare every point with every grain and every bad point with all seeds, as published.
    settled_share
        A loop that changes at most this share of its points is the last; None: all are done.
    """

    start_mm: float
    factor: float
    loops: int
    bad_below: float = 0.5
    grain_angle_rad: float = 1.0 * DEG
    grain_least: float = 0.6
    everywhere: bool = False
    settled_share: float | None = None

    def __post_init__(self) -> None:
        checks = {
            "start_mm": (0.0 < self.start_mm < np.inf, "a positive size"),
            "factor": (1.0 < self.factor < np.inf, "a number above 1"),
            "loops": (self.loops >= 0, "0 or more"),
            "bad_below": (0.0 <= self.bad_below <= 1.0, "0 to 1"),
            "grain_angle_rad": (0.0 < self.grain_angle_rad <= np.pi, "a positive angle"),
            "grain_least": (0.0 <= self.grain_least <= 1.0, "0 to 1"),
            "settled_share": (
                self.settled_share is None or 0.0 <= self.settled_share < 1.0, "0 to 1"
            ),
        }  # fmt: skip
        for name, (good, wanted) in checks.items():
            if not good:
                got = getattr(self, name)
                raise ConfigError(
                    f"MultiresSettings: {name} {got}: expected {wanted}", key=name, got=got
                )

    @property
    def mixed_below(self) -> float:
        """Confidence from which an orientation of a coarse point is worth beginning from."""
        return min(self.bad_below, MIXED)

    def for_fit(self, method: str) -> MultiresSettings:
        """These, as a fit takes them: the steps from neighbours have no published fit."""
        return replace(self, everywhere=True) if method == "published" else self

    @property
    def sizes_mm(self) -> tuple[float, ...]:
        """Edge of the grid of each loop."""
        return tuple(self.start_mm / self.factor**k for k in range(self.loops + 1))


@dataclass(frozen=True)
class Stage:
    """One step of a loop: what it is, its points, orientations tried, and wall time [s].

    The time is that of all runs that worked on it.
    """

    name: str
    voxels: int
    evaluations: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Loop:
    """What a loop found.

    Attributes
    ----------
    number, size_mm
        0 for the coarsest; edge of its grid.
    grains
        Of the loop before, which seeded this one; None in loop 0.
    seeds
        (o, 4) orientations of these grains, or what loop 0 began with; None: the whole zone.
    first
        First pass.
    bad
        Rows that the second pass searched again.
    second
        What it found, one row for each of those; None where there was none.
    merged
        The better of both, row by row.
    stages
        Steps of it.
    changed
        Share of the points that are not what the nearest point of the loop before is; None in
        loop 0.
    """

    number: int
    size_mm: float
    grains: GreedyGrains | None
    seeds: F64 | None
    first: NearfieldMap
    bad: I64
    second: NearfieldMap | None
    merged: NearfieldMap
    stages: tuple[Stage, ...]
    changed: float | None = None

    @property
    def evaluations(self) -> int:
        """Orientations that were compared with the images, all passes."""
        return sum(stage.evaluations for stage in self.stages)


@dataclass(frozen=True, eq=False)
class Multires:
    """All loops; ``settled`` says that the last ones were not needed."""

    loops: tuple[Loop, ...]
    settings: MultiresSettings
    settled: bool = False

    @property
    def final(self) -> NearfieldMap:
        """Merged map of the finest grid."""
        return self.loops[-1].merged

    @property
    def grains(self) -> GreedyGrains:
        """Grains of the final map."""
        return grains_of(self.final, self.settings)

    @property
    def evaluations(self) -> int:
        """Orientations that were compared with the images."""
        return sum(loop.evaluations for loop in self.loops)


def grains_of(found: NearfieldMap, settings: MultiresSettings) -> GreedyGrains:
    """Grains of a map as Mic2GrainsList makes them."""
    return greedy_grains(
        found.quaternions, found.confidence, found.operators,
        limit_rad=settings.grain_angle_rad, least_confidence=settings.grain_least,
    )  # fmt: skip
