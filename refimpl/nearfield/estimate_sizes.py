"""Memory and disk that a reconstruction would take, from the sizes of what a sample of it holds."""

from __future__ import annotations

import math

import numpy as np

from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Voxels
from refimpl.frames import F64
from refimpl.io.spots_info import spots_info_bytes
from refimpl.nearfield.estimate_sample import Sampler
from refimpl.nearfield.loops import Loop

__all__ = ["disk_of", "memory_of"]

_BLOCK = 64  # points
_MB = 1e6
# bytes of what is written, measured on the files of refimpl itself
_BLOCK_FILE, _LEDGER_LINE = 1500, 270  # beside the arrays of the points
_TEXT_ROW, _BINARY_ROW, _HDF5_ROW, _PIXEL = 105, 88, 350, 80


def _row_bytes(loop: Loop) -> int:
    """Bytes of the arrays of one point of a map, and of its place in the grid."""
    found = loop.merged
    arrays = [v for v in vars(found).values() if isinstance(v, np.ndarray)]
    arrays += [found.voxels.xy_mm, found.voxels.edge_mm, found.voxels.up]
    return sum(v.nbytes for v in arrays) // max(len(found), 1)


def memory_of(
    run: Sampler, lit: LitPixels, seeds: F64 | None, every: F64 | None, totals: tuple[int, ...],
    loops: list[Loop],
) -> dict[str, float]:  # fmt: skip
    """Arrays that are held at once [MB]; the interpreter and its libraries come on top.

    Parameters
    ----------
    run
        The sample, which knows what was made for the search.
    lit, seeds, every
        Inputs.
    totals
        Points of each grid.
    loops
        Of the sample.
    """
    lists = [s for s in (seeds, every) if s is not None]
    # quaternions and matrices; of a blind search the cover
    cover = run.tools.pyramid.seeds.nbytes if "pyramid" in run.tools.seconds else 0
    maps = 3 if len(totals) > 1 else 1  # first pass, second and merged, until the run ends
    return {
        "lit pixels": lit.nbytes / _MB,
        "coarse levels": run.tools.lit_bytes / _MB,
        "seeds": (sum(len(s) * 13 * 8 for s in lists) + cover) / _MB,
        "points": maps * sum(totals) * _row_bytes(loops[0]) / _MB,
    }


def disk_of(
    lit: LitPixels, worked: list[float], grids: list[Voxels], loops: list[Loop]
) -> dict[str, float]:
    """Files of a run [MB]: what is kept to go on, and the maps.

    Parameters
    ----------
    lit
        Their shape is that of SpotsInfo.bin.
    worked
        Points of each step.
    grids, loops
        Of the run, and of its sample.
    """
    blocks = sum(math.ceil(points / _BLOCK) for points in worked)
    n = loops[0].merged.n_solutions
    d = lit.shape[0]
    answer = 8 * (4 * n + d + 3)
    # text and binary, each with its .AllMatches, of the passes of every loop
    row = _TEXT_ROW + _BINARY_ROW + (7 + 4 * n) * (8 + 10)
    passes = len(grids[0]) + 3 * sum(len(grid) for grid in grids[1:])
    box = np.ptp(grids[-1].xy_mm, axis=0).prod() * 1e6
    return {
        "blocks": (sum(worked) * answer + blocks * (_BLOCK_FILE + _LEDGER_LINE)) / _MB,
        "published maps": passes * row / _MB,
        "final map": (len(grids[-1]) * _HDF5_ROW + box * _PIXEL) / _MB,
        "SpotsInfo.bin": spots_info_bytes(lit.shape) / _MB,
    }
