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

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64
from refimpl.ledger import Ledger
from refimpl.nearfield.blind import BlindSettings
from refimpl.nearfield.fit_settings import SearchSettings
from refimpl.nearfield.loops import Loop, Multires, MultiresSettings, Stage
from refimpl.nearfield.passes import Passes, Progress
from refimpl.nearfield.workplace import Workplace

__all__ = ["RUN_LEDGER", "Loop", "Multires", "MultiresSettings", "Stage", "multires"]

RUN_LEDGER = "run.jsonl"
"""Ledger of the passes, held as long as a run lasts; that of the blocks lies beside it."""


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
        How points are searched and fitted. The published fit takes the published passes:
        ``everywhere``.
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
    search = search or SearchSettings()
    settings = settings.for_fit(search.fit.method)
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
        run = Passes(setup, lit, search, blind, how, book, progress, label)
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
