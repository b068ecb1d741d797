"""The passes of a coarse-to-fine run: what each loop searches, with which orientations.

Not here: which loops there are (:mod:`refimpl.nearfield.multires`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from refimpl.crystal.misorientation import misorientation
from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64, I64
from refimpl.ledger import Ledger
from refimpl.nearfield.blind import BlindSettings
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.loops import Loop, MultiresSettings, Stage, grains_of
from refimpl.nearfield.maps import NearfieldMap, provenance_of
from refimpl.nearfield.needs import needs_of
from refimpl.nearfield.neighbourhood import disputed, neighbour_table
from refimpl.nearfield.reconstruct import reconstruct

__all__ = ["Passes", "Progress"]

_BEHIND = 0.05  # confidence behind the typical one from which all grains are tried

Progress = Callable[[str, int, int], None]
"""Called with the name of a step, the points done of it and all of them."""


class Passes:
    """The passes of a run."""

    def __init__(
        self,
        setup: Setup,
        lit: LitPixels,
        search: SearchSettings,
        blind: BlindSettings | None,
        how: dict[str, Any],
        book: Ledger,
        progress: Progress | None,
        label: str = "",
    ) -> None:
        self.label = f"{label}, " if label else ""
        self.setup, self.lit, self.search, self.blind = setup, lit, search, blind
        self.how, self.book, self.progress = how, book, progress
        self.fit = self.careful = search.fit
        self.below = 0.0
        self.began_with: F64 | None = None
        self.stages: list[Stage] = []

    def set_loop(self, number: int, s: MultiresSettings) -> None:
        """Fits and limits of a loop: a coarse one is only where the next begins."""
        last = number == s.loops or s.settled_share is not None
        self.below = s.bad_below if last or s.everywhere else s.mixed_below
        self.search = replace(self.search, worth=self.below)
        coarse = self.search.fit.method == "restarted" and not last
        quick = replace(FitSettings.quick(), tolerance_rad=self.search.fit.tolerance_rad)
        self.fit = quick if coarse else self.search.fit
        # few points are at boundaries, and most of what is wrong in a map
        own = ("scatter_points", "scatter_best", "scatter_last", "scatter_starts")
        closely = {name: getattr(FitSettings(), name) for name in own}
        self.careful = replace(self.fit, **({"scatter_starts": 0} if not last else closely))

    def first_loop(self, voxels: Voxels, size: float, seeds: F64 | None) -> Loop:
        """Every orientation, on the coarsest grid."""
        self.stages, self.began_with = [], seeds
        found = self.solve("loop 0", voxels, seeds, whole=True)
        none = np.zeros(0, dtype=np.int64)
        return Loop(0, size, None, seeds, found, none, None, found, tuple(self.stages))

    def next_loop(
        self, before: Loop, voxels: Voxels, size: float, every: F64 | None, s: MultiresSettings
    ) -> Loop:
        """A pass from what the loop before found, one with everything where that is bad."""
        self.stages, number = [], before.number + 1
        with self.stage(f"loop {number}, grains", len(before.merged)) as count:
            grains = grains_of(before.merged, s)
            count(0)
        seeds = before.merged.quaternions[grains.centre]
        # loop 0 may not have had all seeds; from loop 1 on every bad point has been tried with them
        all_tried = number > 1 or every is self.began_with
        first, bad = self.seeded(number, before.merged, voxels, seeds, s, all_tried)
        second, merged = None, first
        if len(bad):
            second = self.solve(f"loop {number}, unseeded", voxels[bad], every)
            merged = _better(first, bad, second)
        if not s.everywhere:
            merged = self.boundaries(number, merged, s)
        return Loop(
            number, size, grains, seeds, first, bad, second, merged, tuple(self.stages),
            _changed(before.merged, merged, s),
        )  # fmt: skip

    def seeded(
        self,
        number: int,
        coarse: NearfieldMap,
        voxels: Voxels,
        seeds: F64,
        s: MultiresSettings,
        all_tried: bool,
    ) -> tuple[NearfieldMap, I64]:
        """First pass, and the rows that it leaves bad.

        `all_tried`: bad points of the coarse map have been searched with all seeds.
        """
        name = f"loop {number}, seeded"
        if s.everywhere:
            some = len(seeds) > 0
            first = self.solve(name, voxels, seeds, whole=True) if some else self.nothing(voxels)
            return first, np.flatnonzero(first.confidence < self.below)
        needs = needs_of(
            coarse, voxels, bad_below=s.mixed_below, grain_angle_rad=s.grain_angle_rad,
            factor=s.factor,
        )  # fmt: skip
        # no seed is far off: one loop has fitted them; boundaries have a step of their own
        close = replace(self.fit, reach_starts=0, scatter_starts=0)
        first = self.nothing(voxels)
        rows = np.flatnonzero(np.isfinite(needs.starts_euler_rad[:, 0, 0]))
        if len(rows):
            near = self.solve(
                f"loop {number}, neighbours", voxels[rows], None,
                starts=needs.starts_euler_rad[rows], fit=close,
            )  # fmt: skip
            first = first.with_rows(rows, near)
        good = first.confidence[first.confidence >= s.mixed_below]
        typical = float(np.median(good)) - _BEHIND if len(good) else s.mixed_below
        level = np.maximum(needs.level, typical)
        low = np.flatnonzero(~needs.empty & (first.confidence < level))
        if len(low) and len(seeds):
            first = _better(first, low, self.solve(name, voxels[low], seeds, fit=close))
        return first, np.flatnonzero(~(needs.empty & all_tried) & (first.confidence < self.below))

    def boundaries(self, number: int, found: NearfieldMap, s: MultiresSettings) -> NearfieldMap:
        """Points between grains, each from the orientations of all grains about it.

        Of two that explain a point equally well the more specific one counts. Points that all
        their neighbours dispute (NearestMisorientation) are among them, and flagged.
        """
        angle = self.search.disputed_angle_rad
        flagged = np.zeros(len(found), dtype=bool)
        if angle is not None:
            nearest, setup = neighbour_table(found.voxels), self.setup
            flagged = disputed(found.euler_rad, nearest, angle, setup.space_group, setup.cell)
            found = found.changed(disputed=flagged)
        about = needs_of(
            found, found.voxels, bad_below=s.mixed_below, grain_angle_rad=s.grain_angle_rad
        ).starts_euler_rad
        some, several = np.isfinite(about[:, :2, 0]).T
        rows = np.flatnonzero(several | (flagged & some))
        if not len(rows):
            return found
        again = self.solve(
            f"loop {number}, boundaries", found.voxels[rows], None, starts=about[rows],
            fit=self.careful,
        )  # fmt: skip
        return _better(found, rows, again, equal=True).changed(disputed=flagged)

    def solve(
        self,
        name: str,
        voxels: Voxels,
        seeds: F64 | None,
        starts: F64 | None = None,
        fit: FitSettings | None = None,
        whole: bool = False,
    ) -> NearfieldMap:
        """One pass over some points; only a whole grid knows which neighbours dispute a point."""

        def tell(done: int, of: int) -> None:
            if self.progress is not None:
                self.progress(name, done, of)

        search = replace(self.search, fit=fit or self.fit)
        if not whole:
            search = replace(search, disputed_angle_rad=None)
        blind = self.blind if seeds is None and starts is None else None
        with self.stage(name, len(voxels)) as count:
            found = reconstruct(
                self.setup, self.lit, voxels, seeds, search, starts=starts, blind=blind,
                progress=tell, **self.how,
            )  # fmt: skip
            count(int(found.evaluations.sum()))
        return found

    def nothing(self, voxels: Voxels) -> NearfieldMap:
        """A map on which nothing has been looked for."""
        v, d, n = len(voxels), self.setup.detector.n_distances, self.search.n_saved
        return NearfieldMap.of(
            voxels, np.full((v, 3), np.nan), np.zeros(v), self.setup.space_group,
            by_distance=np.full((v, d), np.nan), solutions_euler_rad=np.full((v, n, 3), np.nan),
            solutions_confidence=np.zeros((v, n)), phase=self.how["phase"],
            position_um=self.how["position_um"], setup=self.setup,
            provenance=provenance_of(
                self.how["inputs"], threads=self.how["threads"], seed=None,
                command=self.how["command"],
            ),
        )  # fmt: skip

    @contextmanager
    def stage(self, name: str, voxels: int) -> Iterator[Callable[[int], None]]:
        """Time a step, however it ends, and add what earlier runs worked on it."""
        key = self.label + name
        earlier = float(self.book.records.get(key, {}).get("seconds", 0.0))
        began, counted = time.perf_counter(), -1

        def count(evaluations: int) -> None:
            nonlocal counted
            counted = evaluations

        def note(status: str) -> float:
            spent = earlier + time.perf_counter() - began
            self.book.append({"key": key, "status": status, "seconds": round(spent, 3)})
            return spent

        try:
            yield count
        except BaseException:
            with suppress(ConfigError):  # a full disk: why we end is the better reason
                note("interrupted")
            raise
        self.stages.append(Stage(name, voxels, counted, note("done")))


def _better(
    first: NearfieldMap, rows: I64, second: NearfieldMap, *, equal: bool = False
) -> NearfieldMap:
    """First map with those of some rows that the second has better; all work is counted."""
    old = first.confidence[rows]
    won = (second.confidence > old) | (equal & (second.confidence == old) & second.solved)
    work = first.evaluations.copy()
    work[rows] += second.evaluations
    return first.with_rows(rows[won], second, np.flatnonzero(won)).changed(evaluations=work)


def _changed(coarse: NearfieldMap, fine: NearfieldMap, s: MultiresSettings) -> float:
    """Share of the points that are of another grain than the nearest coarser one, or new."""
    from scipy.spatial import cKDTree

    nearest = cKDTree(coarse.voxels.xy_mm).query(fine.voxels.xy_mm)[1]
    good = fine.confidence >= s.bad_below
    was = (coarse.confidence >= s.bad_below)[nearest]
    angle = misorientation(fine.quaternions, coarse.quaternions[nearest], fine.operators)
    return float(((good != was) | (good & was & (angle > s.grain_angle_rad))).mean())
