"""Blocks of a reconstruction: what each works on, the file that it leaves, and what is made of all.

A block is some voxels in a row; its file is named after all that its answers depend on, so that one
of other input is never taken for it. Files appear whole or not at all, and the ledger of
:mod:`refimpl.scaleout` says which are done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl import __version__
from refimpl.detector.lit_pixels import LitPixels
from refimpl.dispatch import use_threads
from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64
from refimpl.io.atomic import atomic_path
from refimpl.io.frame_source import BROKEN
from refimpl.io.shared import read_shared
from refimpl.nearfield.blind import Pyramid, blind_search
from refimpl.nearfield.fit_settings import SearchSettings
from refimpl.nearfield.levels import Level
from refimpl.nearfield.neighbourhood import disputed, from_neighbours, from_starts, neighbour_table
from refimpl.nearfield.search import levels_of, search
from refimpl.nearfield.solutions import Solutions, joined
from refimpl.nearfield.workplace import BLOCKS, Workplace
from refimpl.scaleout import Block, Outcome, checkpoint, fingerprint

__all__ = ["BlockRun", "Problem"]

_AT_ONCE = 64  # voxels between two looks at whether to stop


@dataclass(frozen=True, eq=False)
class Problem:
    """What every block needs; the voxels are those of the block.

    Coarse levels for seeds are made once, by who hands it out.
    """

    setup: Setup
    lit: LitPixels
    settings: SearchSettings
    seeds: F64 | None
    pyramid: Pyramid | None
    levels: tuple[Level, ...] | None = None

    def solve(self, vertices: F64) -> Solutions:
        """Search, with seeds or without."""
        if self.pyramid is not None:
            return blind_search(vertices, self.pyramid, self.settings)
        assert self.seeds is not None  # one or the other, see reconstruct()
        return search(vertices, self.seeds, self.setup, self.lit, self.settings, self.levels)

    @property
    def stamp(self) -> str:
        """Digest of all that an answer depends on, but for the voxel."""
        d, s, r = self.setup.detector, self.setup.scan, self.setup.reflections
        arrays = [getattr(part, f.name) for part in (d, s, r) for f in fields(part)]
        arrays += [self.lit.coarse, self.lit.tiles, self.lit.shape]
        if self.seeds is not None:
            arrays.append(self.seeds)
        how = [asdict(self.settings)]
        how += [asdict(self.pyramid.settings)] if self.pyramid is not None else []
        own = [__version__, self.setup.space_group, list(self.setup.cell)]
        return fingerprint(_digest(*arrays), own, how)

    def made(self, place: Workplace) -> Problem:
        """Itself with its levels, or those of its pyramid, made: once for all of a run."""
        fit = self.settings.fit
        if self.pyramid is not None:
            mine = self.pyramid
            pyramid = place.once((self.setup, self.lit), mine.settings, lambda: mine)
            _ = pyramid.levels, pyramid.seeds
            return replace(self, pyramid=pyramid)
        if self.seeds is None or fit.method == "published" or not fit.reach_starts:
            return self  # nobody asks for levels
        return replace(self, levels=levels_of(self.setup, self.lit, self.settings))


@dataclass(frozen=True)
class _Handed:
    """A problem in files that other processes map: images, coarse images, what this one asks."""

    images: Path
    coarse: Path
    own: Path

    @classmethod
    def of(cls, problem: Problem, place: Workplace, stack: ExitStack) -> _Handed:
        """Files of a problem; those of its images last as long as the place."""
        images, p = (problem.setup, problem.lit), problem.pyramid
        if p is None:
            coarse = place.once((problem.levels,), "file", lambda: place.handed(problem.levels))
        else:
            coarse = place.once((p,), "file", lambda: place.handed((p.seeds, p.levels)))
        own = (problem.settings, problem.seeds, None if p is None else p.settings)
        return cls(
            place.once(images, "file", lambda: place.handed(images)), coarse,
            place.handed(own, stack),
        )  # fmt: skip

    def problem(self) -> Problem:
        """What was handed; arrays are read-only views of the files."""
        try:
            setup, lit = read_shared(self.images)
            coarse, (settings, seeds, blind) = read_shared(self.coarse), read_shared(self.own)
        except FormatError as exc:
            if not isinstance(exc.__cause__, FileNotFoundError):
                raise
            raise ConfigError(
                "a worker does not see this file: shared_folder must be one that all nodes see",
                path=self.images, key="shared_folder",
            ) from exc  # fmt: skip
        if blind is None:
            return Problem(setup, lit, settings, seeds, None, coarse)
        return Problem(setup, lit, settings, None, Pyramid.made(setup, lit, blind, *coarse))


@dataclass(frozen=True, eq=False)
class _Task:
    """Some voxels, and where their answers go."""

    vertices: F64
    path: Path
    before: Solutions | None = None
    around: F64 | None = None


def _digest(*arrays: Any) -> str:
    """Hexadecimal sha256 of arrays and numbers, their shapes and types included."""
    out = hashlib.sha256()
    for item in arrays:
        array = np.ascontiguousarray(item)
        out.update(f"{array.dtype}{array.shape}".encode())
        out.update(array.tobytes())
    return out.hexdigest()


class BlockRun(AbstractContextManager["BlockRun"]):
    """Blocks of one problem, at a place where they leave what they find; a context."""

    def __init__(
        self, place: Workplace, problem: Problem, progress: Callable[[int, int], None] | None
    ) -> None:
        self.place, self.problem, self.progress = place, problem, progress
        self._ready: Problem | _Handed | None = None
        self._stack = ExitStack()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def all(self, vertices: F64, size: int, starts: F64 | None = None) -> Solutions:
        """Every voxel, block by block; from starts of its own where they are given."""
        stamp = self.problem.stamp
        tasks, marks = [], []
        for first in range(0, max(len(vertices), 1), size):
            here = vertices[first : first + size]
            own = None if starts is None else starts[first : first + size]
            mark = fingerprint(stamp, _digest(here, *([] if own is None else [own])))
            path = self._path("voxels" if own is None else "starts", first, len(here), mark)
            tasks.append(_Task(here, path, None, own))
            marks.append(mark)
        return self._done(tasks, marks)

    def second(
        self, voxels: Voxels, vertices: F64, found: Solutions, size: int
    ) -> tuple[Solutions, NDArray[np.bool_]]:
        """Voxels that their neighbours dispute, fitted again from these (NearestMisorientation)."""
        problem = self.problem
        angle = problem.settings.disputed_angle_rad
        assert angle is not None
        nearest, first = neighbour_table(voxels), found.euler_rad[:, 0]
        flagged = disputed(first, nearest, angle, problem.setup.space_group, problem.setup.cell)
        rows = np.flatnonzero(flagged)
        if not len(rows):
            return found, flagged
        around = np.where((nearest >= 0)[:, :, None], first[nearest], np.nan)
        tasks, marks, stamp = [], [], problem.stamp
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            task = (vertices[part], found.rows(part), around[part])
            values = [getattr(task[1], f.name) for f in fields(Solutions)]
            mark = fingerprint(stamp, "again", _digest(task[0], task[2], *values))
            path = self._path("disputed", start, len(part), mark)
            tasks.append(_Task(task[0], path, task[1], task[2]))
            marks.append(mark)
        return found.changed(rows, self._done(tasks, marks)), flagged

    def _path(self, kind: str, first: int, n: int, mark: str) -> Path:
        # named after what is in it: a file of other settings is never taken for it
        return self.place.home / BLOCKS / f"{kind}-{first:07d}-{n:04d}-{mark[:16]}.npz"

    def _done(self, tasks: list[_Task], marks: list[str]) -> Solutions:
        blocks = [
            Block(task.path.stem, None, mark, (task.path,))
            for task, mark in zip(tasks, marks, strict=True)
        ]
        if self.place.waits(blocks):
            ready = self._given()
            blocks = [
                replace(block, argument=(ready, task))
                for block, task in zip(blocks, tasks, strict=True)
            ]
        sizes, done = {t.path.stem: len(t.vertices) for t in tasks}, 0

        def tell(outcome: Outcome, _: int, __: int) -> None:
            nonlocal done
            done += sizes[outcome.key]
            if self.progress is not None:
                self.progress(done, sum(sizes.values()))

        run = self.place.run(_work, blocks, tell)
        bad = [o for o in run.outcomes if o.status != "done"]
        if bad:
            raise ConvergenceError(
                f"reconstruct: {len(bad)} of {len(blocks)} blocks failed; the first, {bad[0].key}: "
                f"{bad[0].error}"
            )
        return joined([_read(task.path) for task in tasks])

    def _given(self) -> Problem | _Handed:
        """The problem as blocks get it, made when the first of them needs it."""
        if self._ready is None:
            problem = self.problem.made(self.place)
            apart = self.place.apart
            self._ready = _Handed.of(problem, self.place, self._stack) if apart else problem
        return self._ready


def _work(given: tuple[Problem | _Handed, _Task]) -> str:
    """Solve the voxels of a block, a few at a time, and write what was found."""
    p, task = given[0] if isinstance(given[0], Problem) else given[0].problem(), given[1]
    parts = []
    with use_threads(1):  # there are as many blocks at a time as threads
        for i in range(0, max(len(task.vertices), 1), _AT_ONCE):
            checkpoint()
            parts.append(_solved(p, task, slice(i, i + _AT_ONCE)))
    found = joined(parts)
    with atomic_path(task.path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file, allow_pickle=False, **{f.name: getattr(found, f.name) for f in fields(found)}
        )
    return task.path.name


def _solved(p: Problem, task: _Task, rows: slice) -> Solutions:
    if task.around is None:
        return p.solve(task.vertices[rows])
    here, around = task.vertices[rows], task.around[rows]
    if task.before is None:
        return from_starts(here, around, p.setup, p.lit, p.settings)
    before = task.before.rows(np.arange(len(task.vertices))[rows])
    return from_neighbours(here, before, around, p.setup, p.lit, p.settings)


def _read(path: Path) -> Solutions:
    """What a block found.

    Raises
    ------
    FormatError
        The file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return Solutions(**{f.name: file[f.name] for f in fields(Solutions)})
    except BROKEN as exc:
        raise FormatError(
            "not the file of a block of a reconstruction; remove it, its voxels are then done "
            "again", path=path,
        ) from exc  # fmt: skip
