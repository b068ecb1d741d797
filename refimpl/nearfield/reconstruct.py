"""A whole near-field map: blocks of voxels, each block a file, one row per voxel of the grid.

Blocks go through :mod:`refimpl.scaleout`: a run that was killed or stopped goes on with the blocks
that are not done, and each voxel is a matter of its own, so the map is the same for any number of
threads, any engine and any size of the blocks. The rows of a block are those of its voxels, from
the first to the last (the published split loses one and shifts the rest: spec 6.2, fault 2).
Vectors are in the MIDAS near-field frame. Not here: reading files, and the files of the map
(:mod:`refimpl.nearfield.outputs`).
"""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.lit_pixels import LitPixels
from refimpl.dispatch import resolve_threads
from refimpl.errors import ConfigError, ConvergenceError, FormatError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64
from refimpl.io.atomic import atomic_path, make_folder
from refimpl.nearfield.blind import BlindSettings, Pyramid, blind_search
from refimpl.nearfield.grid import check_view
from refimpl.nearfield.levels import Level
from refimpl.nearfield.maps import NearfieldMap, provenance_of
from refimpl.nearfield.search import (
    SearchSettings,
    disputed,
    from_neighbours,
    levels_of,
    neighbour_table,
    search,
)
from refimpl.nearfield.solutions import Solutions, joined
from refimpl.rotations import matrix_of_quaternion
from refimpl.scaleout import Block, Outcome, checkpoint, fingerprint, run_blocks

__all__ = ["LEDGER", "reconstruct"]

LEDGER = "ledger.jsonl"
"""Ledger of a reconstruction, beside the folder ``blocks`` of what its blocks found."""

_AT_ONCE = 64  # voxels between two looks at whether to stop


@dataclass(frozen=True, eq=False)
class _Problem:
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
        return fingerprint(_digest(*arrays), self.setup.space_group, how)


@dataclass(frozen=True, eq=False)
class _Task:
    """Some voxels of a problem, and where their answers go."""

    problem: _Problem
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


def reconstruct(
    setup: Setup,
    lit: LitPixels,
    voxels: Voxels,
    seeds: F64 | None,
    settings: SearchSettings | None = None,
    *,
    blind: BlindSettings | None = None,
    folder: str | Path | None = None,
    engine: str | Path = "auto",
    threads: int | None = None,
    block_voxels: int | None = None,
    again: bool = False,
    phase: int = 1,
    position_um: float = 0.0,
    inputs: Mapping[str, Any] | None = None,
    command: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> NearfieldMap:
    """Find the orientation of every voxel of a grid.

    Parameters
    ----------
    setup
        The experiment. RingsToUse: with the reflections of ``HklTable.of_rings``.
    lit
        Lit pixels of its stacks.
    voxels
        The grid.
    seeds
        (o, 4) orientations to look among (w, x, y, z); None: the whole fundamental zone.
    settings
        How it is searched and fitted; default as of :class:`SearchSettings`.
    blind
        How the zone is searched where there are no seeds.
    folder
        Where blocks that are done are kept; a run with the same input goes on from them. None: a
        run that is stopped begins anew.
    engine, threads
        As of :func:`refimpl.scaleout.run_blocks`; blocks at a time.
    block_voxels
        Voxels of a block; default 64, without seeds 32.
    again
        Do all blocks, whatever the folder holds.
    phase, position_um, inputs, command
        For the map: see :class:`~refimpl.nearfield.maps.NearfieldMap`.
    progress
        Called with the number of voxels done and that of all.

    Returns
    -------
    One row per voxel, always. Bit-identical for any threads, engine and size of blocks.

    Raises
    ------
    ConfigError
        Seeds of another shape or none at all, a stack of another size than the setup's, a block
        size below 1, a grid out of the detector's view, a folder in which another run works.
    FormatError
        A file of a block is damaged.
    ConvergenceError
        A block failed; what it raised is named.
    refimpl.scaleout.Interrupted
        Ctrl-C; what was done by then is kept in the folder.
    """
    settings = settings or SearchSettings()
    problem = _problem(setup, lit, seeds, settings, blind)
    _check(setup, lit, voxels, seeds)
    size = block_voxels if block_voxels is not None else (32 if seeds is None else 64)
    if size < 1:
        raise ConfigError(f"block_voxels {size}: expected 1 or more", key="block_voxels", got=size)
    vertices = voxels.vertices()
    where: AbstractContextManager[str | Path] = (
        tempfile.TemporaryDirectory(prefix="refimpl-nearfield-")
        if folder is None
        else nullcontext(folder)
    )
    with where as path:
        run = _Run(
            make_folder(path), engine, resolve_threads(threads), again, progress, len(voxels)
        )
        found = run.all(problem, vertices, size)
        flagged = np.zeros(len(voxels), dtype=bool)
        if settings.disputed_angle_rad is not None:
            found, flagged = run.second(problem, voxels, vertices, found, size)
    return NearfieldMap(
        voxels=voxels, euler_rad=found.euler_rad[:, 0], confidence=found.confidence[:, 0],
        by_distance=found.by_distance, space_group=setup.space_group, seed=found.seed,
        n_kept=found.n_kept, evaluations=found.evaluations, seconds=np.full(len(voxels), np.nan),
        solutions_euler_rad=found.euler_rad, solutions_confidence=found.confidence,
        disputed=flagged, phase=phase, position_um=position_um, setup=setup,
        provenance=provenance_of(inputs or {}, threads=threads, seed=None, command=command),
    )  # fmt: skip


def _problem(
    setup: Setup,
    lit: LitPixels,
    seeds: F64 | None,
    settings: SearchSettings,
    blind: BlindSettings | None,
) -> _Problem:
    if seeds is None:
        return _Problem(setup, lit, settings, None, Pyramid(setup, lit, blind or BlindSettings()))
    if blind is not None:
        raise ConfigError(
            "reconstruct: settings of a blind search, and seeds: expected one of them"
        )
    q = np.asarray(seeds, dtype=np.float64)
    if q.ndim != 2 or q.shape[1] != 4 or not len(q) or not np.isfinite(q).all():
        raise ConfigError(
            f"reconstruct: seeds of shape {q.shape}: expected (n, 4) finite numbers w, x, y, z, "
            "at least one row"
        )
    matrices = np.ascontiguousarray(matrix_of_quaternion(q))
    return _Problem(setup, lit, settings, matrices, None)


def _check(setup: Setup, lit: LitPixels, voxels: Voxels, seeds: F64 | None) -> None:
    """Refuse what every block would refuse."""
    detector = setup.detector
    shape = (detector.n_distances, setup.scan.n_frames, *detector.shape_px)
    if lit.shape != shape:
        raise ConfigError(
            f"reconstruct: lit pixels of {lit.shape} distances, frames, Y and Z: the setup has "
            f"{shape}"
        )
    if not len(setup.reflections):
        raise ConfigError("reconstruct: the setup has no reflections")
    check_view(voxels, detector)


class _Run:
    """Blocks of a reconstruction, and where they leave what they find."""

    def __init__(
        self,
        folder: Path,
        engine: str | Path,
        threads: int,
        again: bool,
        progress: Callable[[int, int], None] | None,
        n: int,
    ) -> None:
        self.folder, self.engine, self.threads = folder, engine, threads
        self.again, self.progress, self.n = again, progress, n
        make_folder(folder / "blocks")

    def all(self, problem: _Problem, vertices: F64, size: int) -> Solutions:
        """Every voxel, block by block."""
        if problem.pyramid is not None:
            _ = problem.pyramid.levels, problem.pyramid.seeds  # once, not in every thread
        else:
            _ = problem.levels
        stamp = problem.stamp
        tasks, marks = [], []
        for first in range(0, max(len(vertices), 1), size):
            here = vertices[first : first + size]
            mark = fingerprint(stamp, _digest(here))
            tasks.append(_Task(problem, here, self._path("voxels", first, len(here), mark)))
            marks.append(mark)
        return self._done(tasks, marks)

    def second(
        self, problem: _Problem, voxels: Voxels, vertices: F64, found: Solutions, size: int
    ) -> tuple[Solutions, NDArray[np.bool_]]:
        """Voxels that their neighbours dispute, fitted again from these (NearestMisorientation)."""
        angle = problem.settings.disputed_angle_rad
        assert angle is not None
        nearest, first = neighbour_table(voxels), found.euler_rad[:, 0]
        flagged = disputed(first, nearest, angle, problem.setup.space_group)
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
        if task.before is None or task.around is None:
            parts.append(task.problem.solve(task.vertices[rows]))
            continue
        p, before = task.problem, task.before.rows(np.arange(len(task.vertices))[rows])
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
