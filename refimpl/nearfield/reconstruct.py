"""A whole near-field map: blocks of voxels, each block a file, one row per voxel of the grid.

Blocks go through :mod:`refimpl.scaleout`: a run that was killed or stopped goes on with the blocks
that are not done, and each voxel is a matter of its own, so the map is the same for any number of
threads, any engine and any size of the blocks. The rows of a block are those of its voxels, from
the first to the last (the published split loses one and shifts the rest: spec 6.2, fault 2).
Vectors are in the MIDAS near-field frame. Not here: reading files, and the files of the map
(:mod:`refimpl.nearfield.outputs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from refimpl.crystal.symmetry_operators import operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64
from refimpl.nearfield.blind import BlindSettings, Pyramid
from refimpl.nearfield.blocks import BlockRun, Problem
from refimpl.nearfield.fit_settings import SearchSettings
from refimpl.nearfield.grid import check_view
from refimpl.nearfield.maps import NearfieldMap, provenance_of
from refimpl.nearfield.workplace import LEDGER, Workplace
from refimpl.rotations import matrix_of_quaternion

__all__ = ["LEDGER", "reconstruct"]


def reconstruct(
    setup: Setup,
    lit: LitPixels,
    voxels: Voxels,
    seeds: F64 | None,
    settings: SearchSettings | None = None,
    *,
    blind: BlindSettings | None = None,
    starts: F64 | None = None,
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
    starts
        (v, m, 3) Euler angles that each voxel is fitted from, NaN beyond its last, instead of any
        search.
    folder
        Where blocks that are done are kept; a run with the same input goes on from them. All nodes
        must see it. None: for this computer; a run that is stopped begins anew. Or the open place
        of a driver that calls this more than once; how blocks are done is then the place's.
    engine, threads, nodes, cpus
        As of :func:`refimpl.scaleout.run_blocks`; blocks at a time.
    block_voxels
        Voxels of a block; default 64, without seeds 32.
    again
        Do all blocks, whatever the folder holds.
    retries, backoff_s, patience_s, limit_s
        As of :func:`refimpl.scaleout.run_blocks`: attempts at lost blocks, pauses before them [s],
        and when to give up [s].
    shared_folder
        Where other processes find images and seeds, in files that those of a node map; default: the
        folder. One in memory, such as ``/dev/shm``, serves a single node. They are removed at the
        end, what a killed run left by the next one with these two folders.
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
        Seeds of another shape or none at all, no seeds for the published fit, a stack of another
        size than the setup's, a block size below 1, a grid out of the detector's view, a folder in
        which another run works.
    FormatError
        A file of a block is damaged.
    ConvergenceError
        A block failed; what it raised is named. A :class:`~refimpl.scaleout.GaveUp`: the engine is
        dead, or patience or time ran out; what was done by then is kept.
    refimpl.scaleout.Interrupted
        Ctrl-C; what was done by then is kept in the folder.
    """
    settings = settings or SearchSettings()
    if starts is None:
        problem = _problem(setup, lit, seeds, settings, blind)
    else:
        _check_starts(starts, len(voxels), seeds, blind)
        problem = Problem(setup, lit, settings, None, None)
    _check(setup, lit, voxels, seeds)
    size = block_voxels if block_voxels is not None else (32 if seeds is None else 64)
    if size < 1:
        raise ConfigError(f"block_voxels {size}: expected 1 or more", key="block_voxels", got=size)
    vertices = voxels.vertices()
    place = (
        nullcontext(folder)
        if isinstance(folder, Workplace)
        else Workplace(
            folder, engine=engine, threads=threads, nodes=nodes, cpus=cpus, again=again,
            retries=retries, backoff_s=backoff_s, patience_s=patience_s, limit_s=limit_s,
            shared_folder=shared_folder,
        )
    )  # fmt: skip
    with place as here, here.layer(), BlockRun(here, problem, progress) as run:
        found = run.all(vertices, size, starts)
        flagged = np.zeros(len(voxels), dtype=bool)
        if settings.disputed_angle_rad is not None:
            found, flagged = run.second(voxels, vertices, found, size)
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
) -> Problem:
    if seeds is None:
        if settings.fit.method == "published":
            raise ConfigError(
                "reconstruct: the published fit starts from seeds: give a list, or take the "
                "restarted fit", key="method",
            )  # fmt: skip
        return Problem(setup, lit, settings, None, Pyramid(setup, lit, blind or BlindSettings()))
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
    return Problem(setup, lit, settings, matrices, None)


def _check_starts(starts: F64, n: int, seeds: F64 | None, blind: BlindSettings | None) -> None:
    if seeds is not None or blind is not None:
        raise ConfigError("reconstruct: starts, and seeds or a blind search: expected one of them")
    if np.ndim(starts) != 3 or np.shape(starts)[::2] != (n, 3):
        raise ConfigError(
            f"reconstruct: starts of shape {np.shape(starts)}: expected ({n}, m, 3) Euler angles"
        )


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
    operators(setup.space_group, setup.cell)  # refuses a cell on axes that they are not of
    check_view(voxels, detector)
