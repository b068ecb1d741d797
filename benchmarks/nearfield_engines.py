"""The published gold case from coarse to fine on different engines: wall time, and the same bits.

    python benchmarks/nearfield_engines.py [--update docs/benchmarks.md]

The quick fit on grids of 10, 5 and 2.5 um with 204 seeds, as ``nearfield_multires.py`` has it. The
start of worker processes counts; blocks are of 64 voxels, and in the last row each pass that is
large enough is cut into four.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import numpy as np
from nearfield_forward import gold, gold_map
from nearfield_multires import LEAST, grid, lit_of
from page import Table, add_options, finish, seconds

from refimpl.crystal.symmetry_operators import operators
from refimpl.data import path as data_path
from refimpl.forward.nearfield_setup import Voxels
from refimpl.io.grains_csv import read_grains
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.loops import MultiresSettings
from refimpl.nearfield.multires import multires
from refimpl.nearfield.seeds import random_seeds
from refimpl.rotations import quaternion_of_matrix
from refimpl.units import UM

CASES = (
    ("serial", 1, None), ("threads", 2, None), ("processes", 1, None), ("processes", 2, None),
    ("processes", 2, 864),
)  # fmt: skip


def engines() -> Table:
    """One row an engine."""
    table = Table(
        "Gold map, 10 to 5 to 2.5 um, quick, by engine", "engine", "workers", "voxels of a block",
        "wall", "of serial", "same bits",
    )  # fmt: skip
    setup = gold()
    voxels, u = gold_map()
    filled = Voxels(voxels.xy_mm, np.full(len(voxels), 2.5 * UM), voxels.up)
    lit = lit_of(setup, filled, u)
    few = quaternion_of_matrix(read_grains(data_path("nearfield-golden/grs.csv")).orientations)
    seeds = np.concatenate([few, random_seeds(200, operators(225), 1)])
    search = SearchSettings(least=LEAST, fit=FitSettings.quick())
    settings = MultiresSettings(10.0 * UM, 2.0, 2)
    first, bits = 0.0, b""
    for engine, workers, block in CASES:
        began = time.perf_counter()
        found = multires(
            setup, lit, grid, seeds, settings, search, engine=engine, threads=workers,
            block_voxels=block,
        )  # fmt: skip
        wall = time.perf_counter() - began
        own = found.final.euler_rad.tobytes() + found.final.confidence.tobytes()
        first, bits = first or wall, bits or own
        table.add(
            engine, str(workers), str(block or 64), seconds(wall), f"{wall / first:.2f}",
            "yes" if own == bits else "NO", quiet=os.getloadavg()[0] < workers + 0.5,
        )  # fmt: skip
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser)
    return finish("nearfield-engines", [engines()], parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
