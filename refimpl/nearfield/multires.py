"""Coarse to fine: a map on a coarse grid, its grains as seeds for the next finer one, and so on.

Loop 0 looks for every orientation on the coarsest grid. Each further loop k has a grid that is
finer by a factor and two passes: the first begins from what loop k - 1 found, the second looks for
every orientation at the points that stayed bad; a point takes what the second found only where
that is better, so no confidence falls and no row is lost (the published driver lets points without
a seed vanish and overwrites whatever the second pass did: near-field specification 6.2, faults 1
and 3). The grains that seed a loop are clustered from the merged map, best point first.

Differences from the published driver are stated in the how-to page; ``everywhere`` compares every
point with every grain as it does, by default :mod:`refimpl.nearfield.needs` spares most of that.
Blocks of all passes share one ledger: a run that was killed goes on. Not here: files
(:mod:`refimpl.nearfield.multires_files`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
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
from refimpl.nearfield.loops import Loop, Multires, MultiresSettings, Stage, grains_of
from refimpl.nearfield.maps import NearfieldMap, provenance_of
from refimpl.nearfield.needs import needs_of
from refimpl.nearfield.reconstruct import reconstruct
from refimpl.nearfield.workplace import Workplace

__all__ = ["RUN_LEDGER", "Loop", "Multires", "MultiresSettings", "Stage", "multires"]

RUN_LEDGER = "run.jsonl"
"""Ledger of the passes, held as long as a run lasts; that of the blocks lies beside it."""

_BEHIND = 0.05  # confidence behind the typical one from which all grains are tried

Progress = Callable[[str, int, int], None]


def multires(
    setup: Setup,
    lit: LitPixels,
    grid: Callable[[float], Voxels],
    seeds: F64 | None,
    settings: MultiresSettings,
    search: SearchSettings | None = None,
    *,
    every_seed: F64 | None = None,
    blind: BlindSettings | None = None,
    folder: str | Path | Workplace | None = None,
    engine: str | Path = "auto",
    threads: int | None = None,
    nodes: int | None = None,
    cpus: int | None = None,
    block_voxels: int | None = None,
    again: bool = False,
    retries: int = 2,
    backoff_s: Sequence[float] = (10.0, 20.0),
    patience_s: float | None = None,
    limit_s: float | None = None,
    shared_folder: str | Path | None = None,
    phase: int = 1,
    position_um: float = 0.0,
    inputs: Mapping[str, Any] | None = None,
    command: str = "",
    progress: Progress | None = None,
    on_loop: Callable[[Loop], None] | None = None,
    label: str = "",
) -> Multires:
    """Reconstruct a map from a coarse grid to a fine one.

    Parameters
    ----------
    setup, lit
        The experiment and its lit pixels.
    grid
        Makes the grid of an edge [mm], masked as it is to be.
    seeds
        (o, 4) orientations of loop 0 (SeedOrientations, w x y z); None: the whole zone.
    settings
        Grids, and what is good.
    search
        How points are searched and fitted.
    every_seed
        (o, 4) orientations for bad points (SeedOrientationsAll); None: those of loop 0.
    blind
        How the whole zone is searched.
    folder
        As of :func:`refimpl.nearfield.reconstruct.reconstruct`. The open place of a driver of many
        layers starts workers once for all of them; whoever made it tells how blocks are done.
    engine, threads, nodes, cpus, block_voxels, again, phase, position_um, inputs, command
        As there; workers are started once and serve all passes.
    retries, backoff_s, patience_s, limit_s, shared_folder
        As there; `limit_s` is for all passes together.
    progress
        Called with the name of the step, the points done of it and all of them.
    on_loop
        Called with each loop when it is done.
    label
        Of the layer, where several are done in one folder: time is counted for each by itself.

    Raises
    ------
    ConfigError
        A grid has no points; what ``reconstruct`` refuses; another run works in the folder.
    ConvergenceError
        A block failed; what is done is kept. A :class:`~refimpl.scaleout.GaveUp`: the engine is
        dead, or patience or time ran out.
    refimpl.scaleout.Interrupted
        Ctrl-C; what is done is kept in the folder.
    """
    if every_seed is None:
        every_seed = seeds
    opened = (
        nullcontext(folder)
        if isinstance(folder, Workplace)
        else Workplace(
            folder, engine=engine, threads=threads, nodes=nodes, cpus=cpus, again=again,
            retries=retries, backoff_s=backoff_s, patience_s=patience_s, limit_s=limit_s,
            shared_folder=shared_folder,
        )
    )  # fmt: skip
    with opened as place, place.layer(), Ledger(place.home / RUN_LEDGER) as book:
        how: dict[str, Any] = {
            "folder": place, "threads": threads, "block_voxels": block_voxels, "phase": phase,
            "position_um": position_um, "inputs": inputs or {}, "command": command,
        }  # fmt: skip
        run = _Run(setup, lit, search or SearchSettings(), blind, how, book, progress, label)
        run.all_tried = every_seed is seeds
        loops: list[Loop] = []
        for number, size in enumerate(settings.sizes_mm):
            run.set_loop(number, settings)
            voxels = _points(grid, size, number)
            if not loops:
                loop = run.first_loop(voxels, size, seeds)
            else:
                loop = run.next_loop(loops[-1], voxels, size, every_seed, settings)
            loops.append(loop)
            if on_loop is not None:
                on_loop(loop)
            if _is_settled(loop, settings):
                return Multires(tuple(loops), settings, number < settings.loops)
    return Multires(tuple(loops), settings)


def _points(grid: Callable[[float], Voxels], size: float, number: int) -> Voxels:
    voxels = grid(size)
    if not len(voxels):
        raise ConfigError(
            f"GridRefactor: the grid of loop {number} with an edge of {1e3 * size:g} um has no "
            "point within the sample: start with a smaller one", key="GridRefactor",
        )  # fmt: skip
    return voxels


def _is_settled(loop: Loop, settings: MultiresSettings) -> bool:
    share = settings.settled_share
    return share is not None and loop.changed is not None and loop.changed <= share


class _Run:
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
        self.below, self.all_tried = 0.0, True
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
        self.stages = []
        found = self.solve("loop 0", voxels, seeds)
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
        first, bad = self.seeded(number, before.merged, voxels, seeds, s)
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
        self, number: int, coarse: NearfieldMap, voxels: Voxels, seeds: F64, s: MultiresSettings
    ) -> tuple[NearfieldMap, I64]:
        """First pass, and the rows that it leaves bad."""
        name = f"loop {number}, seeded"
        if s.everywhere:
            first = self.solve(name, voxels, seeds) if len(seeds) else self.nothing(voxels)
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
        # loop 0 may not have had all seeds; from loop 1 on every bad point has been tried with them
        done = needs.empty & (number > 1 or self.all_tried)
        return first, np.flatnonzero(~done & (first.confidence < self.below))

    def boundaries(self, number: int, found: NearfieldMap, s: MultiresSettings) -> NearfieldMap:
        """Points between grains, each from the orientations of all grains about it.

        Of two that explain a point equally well the more specific one counts.
        """
        about = needs_of(
            found, found.voxels, bad_below=s.mixed_below, grain_angle_rad=s.grain_angle_rad
        ).starts_euler_rad
        rows = np.flatnonzero(np.isfinite(about[:, 1:2, 0]).any(axis=1))
        if not len(rows):
            return found
        again = self.solve(
            f"loop {number}, boundaries", found.voxels[rows], None, starts=about[rows],
            fit=self.careful,
        )  # fmt: skip
        return _better(found, rows, again, equal=True)

    def solve(
        self,
        name: str,
        voxels: Voxels,
        seeds: F64 | None,
        starts: F64 | None = None,
        fit: FitSettings | None = None,
    ) -> NearfieldMap:
        """One pass over some points."""

        def tell(done: int, of: int) -> None:
            if self.progress is not None:
                self.progress(name, done, of)

        search = replace(self.search, fit=fit or self.fit)
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
