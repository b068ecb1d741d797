"""Blocks of a reconstruction: what each works on, the file that it leaves, and what is made of all.

A block is some voxels in a row; its file is named after all that its answers depend on, so that one
of other input is never taken for it. Files appear whole or not at all, and the ledger of
:mod:`refimpl.scaleout` says which are done.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl import __version__
from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConvergenceError, FormatError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64
from refimpl.io.atomic import atomic_path, make_folder
from refimpl.nearfield.blind import Pyramid, blind_search
from refimpl.nearfield.fit_settings import SearchSettings
from refimpl.nearfield.levels import Level
from refimpl.nearfield.neighbourhood import disputed, from_neighbours, from_starts, neighbour_table
from refimpl.nearfield.search import levels_of, search
from refimpl.nearfield.solutions import Solutions, joined
from refimpl.scaleout import Block, Outcome, checkpoint, fingerprint, run_blocks

__all__ = ["LEDGER", "BlockRun", "Problem"]

LEDGER = "ledger.jsonl"
"""Ledger of a reconstruction, beside the folder ``blocks`` of what its blocks found."""

_AT_ONCE = 64  # voxels between two looks at whether to stop


@dataclass(frozen=True, eq=False)
class Problem:
    """What every block needs; the voxels are those of the block."""

    setup: Setup
    lit: LitPixels
    settings: SearchSettings
    seeds: F64 | None
    pyramid: Pyramid | None

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Coarse levels for seeds, made once."""
        return levels_of(self.setup, self.lit, self.settings)

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


@dataclass(frozen=True, eq=False)
class _Task:
    """Some voxels of a problem, and where their answers go."""

    problem: Problem
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


class BlockRun:
    """Blocks of a reconstruction, and where they leave what they find."""

    def __init__(
        self,
        folder: Path,
        engine: str | Path,
        threads: int,
        again: bool,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.folder, self.engine, self.threads = folder, engine, threads
        self.again, self.progress = again, progress
        make_folder(folder / "blocks")

    def all(
        self, problem: Problem, vertices: F64, size: int, starts: F64 | None = None
    ) -> Solutions:
        """Every voxel, block by block; from starts of its own where they are given."""
        if problem.pyramid is not None:
            _ = problem.pyramid.levels, problem.pyramid.seeds  # once, not in every thread
        elif starts is None:
            _ = problem.levels
        stamp = problem.stamp
        tasks, marks = [], []
        for first in range(0, max(len(vertices), 1), size):
            here = vertices[first : first + size]
            own = None if starts is None else starts[first : first + size]
            mark = fingerprint(stamp, _digest(here, *([] if own is None else [own])))
            path = self._path("voxels" if own is None else "starts", first, len(here), mark)
            tasks.append(_Task(problem, here, path, None, own))
            marks.append(mark)
        return self._done(tasks, marks)

    def second(
        self, problem: Problem, voxels: Voxels, vertices: F64, found: Solutions, size: int
    ) -> tuple[Solutions, NDArray[np.bool_]]:
        """Voxels that their neighbours dispute, fitted again from these (NearestMisorientation)."""
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
            tasks.append(_Task(problem, task[0], path, task[1], task[2]))
            marks.append(mark)
        return found.changed(rows, self._done(tasks, marks)), flagged

    def _path(self, kind: str, first: int, n: int, mark: str) -> Path:
        # named after what is in it: a file of other settings is never taken for it
        return self.folder / "blocks" / f"{kind}-{first:07d}-{n:04d}-{mark[:16]}.npz"

    def _done(self, tasks: list[_Task], marks: list[str]) -> Solutions:
        blocks = [
            Block(task.path.stem, task, mark, (task.path,))
            for task, mark in zip(tasks, marks, strict=True)
        ]
        sizes, done = {t.path.stem: len(t.vertices) for t in tasks}, 0

        def tell(outcome: Outcome, _: int, __: int) -> None:
            nonlocal done
            done += sizes[outcome.key]
            if self.progress is not None:
                self.progress(done, sum(sizes.values()))

        run = run_blocks(
            _work, blocks, ledger=self.folder / LEDGER, engine=self.engine, workers=self.threads,
            again=self.again, progress=tell,
        )  # fmt: skip
        bad = [o for o in run.outcomes if o.status != "done"]
        if bad:
            raise ConvergenceError(
                f"reconstruct: {len(bad)} of {len(blocks)} blocks failed; the first, {bad[0].key}: "
                f"{bad[0].error}"
            )
        return joined([_read(task.path) for task in tasks])


def _work(task: _Task) -> str:
    """Solve the voxels of a block, a few at a time, and write what was found."""
    parts = []
    for i in range(0, max(len(task.vertices), 1), _AT_ONCE):
        checkpoint()
        rows = slice(i, i + _AT_ONCE)
        p = task.problem
        if task.around is None:
            parts.append(p.solve(task.vertices[rows]))
            continue
        if task.before is None:
            own = (task.vertices[rows], task.around[rows])
            parts.append(from_starts(*own, p.setup, p.lit, p.settings))
            continue
        before = task.before.rows(np.arange(len(task.vertices))[rows])
        here = (task.vertices[rows], before, task.around[rows])
        parts.append(from_neighbours(*here, p.setup, p.lit, p.settings))
    found = joined(parts)
    with atomic_path(task.path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file, allow_pickle=False, **{f.name: getattr(found, f.name) for f in fields(found)}
        )
    return task.path.name


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
    except (KeyError, ValueError, zipfile.BadZipFile, OSError) as exc:
        raise FormatError(
            "not the file of a block of a reconstruction; remove it, its voxels are then done "
            "again", path=path,
        ) from exc  # fmt: skip
