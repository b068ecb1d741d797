"""Coarse to fine against a single resolution: the published gold case, and a map of 20 grains.

    python benchmarks/nearfield_multires.py [--sample N] [--update docs/benchmarks.md]

The gold map of the MIDAS example (``REFIMPL_DATA``) simulated with filled triangles of 2.5 um, and
204 seeds: the four grains of its list and 200 random orientations. Quoted beside it: MIDAS C and
its Python successor, sections 5.1 and 5.2 of the near-field specification. The map of 20 grains
stands before the same detector and is searched without seeds; ``--sample`` voxels of it are
searched at the finest grid alone for comparison.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from harness import measure
from nearfield_forward import gold, gold_map
from nearfield_reconstruct import accuracy
from page import Table, add_options, finish, seconds
from process import peak_memory_mb

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.data import path as data_path
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.forward.nearfield_stack import simulate_stack
from refimpl.frames import F64
from refimpl.io.grains_csv import read_grains
from refimpl.nearfield.example import grain_map
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings
from refimpl.nearfield.grid import hex_grid
from refimpl.nearfield.loops import Multires, MultiresSettings
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.multires import multires
from refimpl.nearfield.reconstruct import reconstruct
from refimpl.nearfield.seeds import random_seeds
from refimpl.rotations import euler_of_matrix, matrix_of_quaternion, quaternion_of_matrix
from refimpl.units import DEG, UM

RADIUS = 50.0 * UM
LEAST = 0.1  # MinFracAccept of the specification's runs


def lit_of(setup: Setup, voxels: Voxels, u: F64) -> LitPixels:
    """Lit pixels of a simulated map."""
    stack = simulate_stack(setup, voxels, u)
    return LitPixels.from_hits(stack.pixels().astype(np.int64), stack.shape)


def grid(size_mm: float) -> Voxels:
    """Published grid of an edge."""
    return hex_grid(size_mm, RADIUS)


def tiling(size_mm: float) -> Voxels:
    """Grid of an edge that tiles the hexagon."""
    return hex_grid(size_mm, RADIUS, published=False)


def published_case() -> Table:
    """10, 5, 2.5 um with 204 seeds."""
    table = Table(
        "Gold map, 10 to 5 to 2.5 um, 204 seeds, one thread", "what", "CPU", "rows",
        "mean confidence", "median [deg]", "< 0.05 deg [%]", "< 0.25 deg [%]", "wrong twins [%]",
    )  # fmt: skip
    setup = gold()
    voxels, u = gold_map()
    filled = Voxels(voxels.xy_mm, np.full(len(voxels), 2.5 * UM), voxels.up)
    known = NearfieldMap.of(filled, euler_of_matrix(u), np.ones(len(u)), 225)
    lit = lit_of(setup, filled, u)
    few = quaternion_of_matrix(read_grains(data_path("nearfield-golden/grs.csv")).orientations)
    seeds = np.concatenate([few, random_seeds(200, operators(225), 1)])
    settings = MultiresSettings(10.0 * UM, 2.0, 2)
    for name, fit in (("quick", FitSettings.quick()), ("standard", FitSettings())):
        found: list[Multires] = []

        def run(fit: FitSettings = fit, found: list[Multires] = found) -> None:
            search = SearchSettings(least=LEAST, fit=fit)
            found.append(multires(setup, lit, grid, seeds, settings, search, engine="serial"))

        timing = measure(run, 1)
        final = found[-1].final
        table.add(
            name, seconds(timing.cpu_s), f"{len(final)} of 3456", *accuracy(final, known),
            quiet=timing.quotable,
        )  # fmt: skip
    table.add("MIDAS C (quoted)", "61 s", "3177 of 3456", "0.9942", "0.0335", "", "98.28", "")
    table.add("its Python (quoted)", "369 s", "3173 of 3456", "0.9945", "0.0435", "", "96.83", "")
    table.note(f"Peak memory of this process: {peak_memory_mb():.0f} MB.")
    return table


def twenty_grains(sample: int) -> Table:
    """20, 10, 5, 2.5 um without seeds, against 2.5 um alone."""
    table = Table(
        "Map of 20 grains without seeds, 3456 voxels of 2.5 um", "what", "evaluations a voxel",
        "CPU", "< 0.05 deg of the truth [%]", "within 0.05 deg of each other [%]",
    )  # fmt: skip
    setup = gold()
    voxels = tiling(2.5 * UM)
    q, label = grain_map(voxels, 20, 5, 225)
    u = matrix_of_quaternion(q)[label]
    lit, search = lit_of(setup, voxels, u), SearchSettings(least=LEAST)
    settings = MultiresSettings(20.0 * UM, 2.0, 3, bad_below=0.9)
    began = time.process_time()
    found = multires(setup, lit, tiling, None, settings, search, engine="serial")
    spent = time.process_time() - began
    group, n = operators(225), len(voxels)
    each = found.evaluations / n
    final = found.final.quaternions
    error = misorientation(final, q[label], group)
    right = f"{100.0 * (error < 0.05 * DEG).mean():.2f}"
    table.add("20 to 10 to 5 to 2.5 um", f"{each:.0f}", seconds(spent), right, "")
    rows = np.sort(np.random.default_rng(0).choice(n, min(sample, n), replace=False))
    began = time.process_time()
    single = reconstruct(setup, lit, voxels[rows], None, search, engine="threads", threads=1)
    spent = (time.process_time() - began) * n / len(rows)
    alone, count = single.quaternions, float(single.evaluations.mean())
    error = misorientation(alone, q[label][rows], group)
    apart = misorientation(alone, final[rows], group)
    table.add(
        f"2.5 um alone ({len(rows)} voxels, drawn with seed 0, CPU scaled to all)", f"{count:.0f}",
        seconds(spent), f"{100.0 * (error < 0.05 * DEG).mean():.2f}",
        f"{100.0 * (apart < 0.05 * DEG).mean():.2f}",
    )  # fmt: skip
    table.note(f"{count / each:.1f} times fewer orientation evaluations from coarse to fine.")
    missed = [20 - len(np.unique(label_of(loop.merged, q))) for loop in found.loops]
    table.note(f"Grains missing from the merged map of each loop: {missed}.")
    return table


def label_of(found: NearfieldMap, q: F64) -> F64:
    """Grains, of those with orientations q, that a map holds within half a degree."""
    own, group = found.quaternions[found.solved], operators(225)
    near = [misorientation(np.broadcast_to(g, own.shape), own, group).min() for g in q]
    return np.flatnonzero(np.array(near) < 0.5 * DEG)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=300, help="voxels searched alone")
    add_options(parser)
    options = parser.parse_args()
    tables = [published_case(), twenty_grains(options.sample)]
    return finish("nearfield-multires", tables, options)


if __name__ == "__main__":
    sys.exit(main())
