"""Near-field reconstruction of the simulated gold map: with seeds, quick, blind; one core.

    python benchmarks/nearfield_reconstruct.py [--update docs/benchmarks.md]

The example of the MIDAS manual (``REFIMPL_DATA``): 3456 voxels, two distances, four seeds; accuracy
is that of its 1514 voxels with a known truth. Quoted beside it: MIDAS C and its Python successor,
section 5 of the near-field specification (another machine of the same kind).
"""

from __future__ import annotations

import argparse
import subprocess
import sys

import numpy as np
from harness import measure
from nearfield_forward import gold, gold_map
from page import Table, add_options, finish, seconds
from process import peak_memory_mb

from refimpl.data import path as data_path
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Voxels
from refimpl.io.nearfield_files import read_grid, read_seeds
from refimpl.nearfield.compare import compare_maps
from refimpl.nearfield.maps import NearfieldMap
from refimpl.nearfield.reconstruct import reconstruct
from refimpl.nearfield.refine import FitSettings
from refimpl.nearfield.search import SearchSettings
from refimpl.rotations import euler_of_matrix

FITS = {"standard": FitSettings(), "quick": FitSettings.quick()}
SAMPLE, SEED = 100, 0  # voxels that are searched blind, drawn with this seed


def stack() -> LitPixels:
    """Lit pixels of the simulated gold map."""
    with np.load(data_path("nearfield-golden/au_spotsinfo_sparse.npz")) as z:
        hits = np.stack([z["layer"], z["frame"], z["y"], z["z"]], axis=-1)
    return LitPixels.from_hits(hits.astype(np.int64), (2, 1440, 2048, 2048))


def truth() -> NearfieldMap:
    """Its voxels whose orientation is known."""
    voxels, u = gold_map()
    return NearfieldMap.of(voxels, euler_of_matrix(u), np.ones(len(u)), 225)


def accuracy(found: NearfieldMap, known: NearfieldMap) -> tuple[str, ...]:
    """Mean confidence, median and shares of misorientation of the voxels with a truth."""
    c = compare_maps(found, known)
    mean = c.summary()["mean_confidence"][0]
    error = c.misorientation_deg
    return (
        f"{mean:.4f}", f"{np.median(error):.4f}", f"{100.0 * (error < 0.05).mean():.2f}",
        f"{100.0 * (error < 0.25).mean():.2f}", f"{100.0 * c.twin.mean():.2f}",
    )  # fmt: skip


def seeded() -> Table:
    """The whole map with four seeds."""
    table = Table(
        "Gold map, 3456 voxels, 4 seeds, one thread", "what", "CPU", "evaluations a voxel",
        "mean confidence", "median [deg]", "< 0.05 deg [%]", "< 0.25 deg [%]", "wrong twins [%]",
    )  # fmt: skip
    setup, lit, known = gold(), stack(), truth()
    grid = read_grid(data_path("nearfield-golden/au_grid.txt"))
    seeds = read_seeds(data_path("nearfield-golden/au_seeds4.txt"))
    maps = []
    for name, fit in FITS.items():
        settings = SearchSettings(fit=fit)

        def run(settings: SearchSettings = settings, threads: int = 1) -> None:
            maps.append(
                reconstruct(setup, lit, grid, seeds, settings, engine="threads", threads=threads)
            )

        timing = measure(run, 1)
        table.add(
            name, seconds(timing.cpu_s), f"{maps[-1].evaluations.mean():.0f}",
            *accuracy(maps[-1], known), quiet=timing.quotable,
        )  # fmt: skip
        if name == "quick":
            two = measure(lambda: run(threads=2), 1)
            table.note(f"Quick, two threads: {timing.median_s / two.median_s:.2f} times one.")
    table.add("MIDAS C (quoted)", "35.4 s", "174", "0.9618", "0.0233", "77.1", "99.21", "0.46")
    table.add("its Python (quoted)", "69 s", "", "0.9385", "0.0326", "72.2", "97.95", "1.9")
    return table


def blind() -> Table:
    """A sample of the voxels with a truth, over the whole zone."""
    table = Table(
        "Gold map without seeds, one thread", "voxels", "CPU a voxel", "map of 3456, core hours",
        "mean confidence", "median [deg]", "< 0.05 deg [%]", "< 0.25 deg [%]", "wrong twins [%]",
    )  # fmt: skip
    setup, lit, known = gold(), stack(), truth()
    rows = np.sort(np.random.default_rng(SEED).choice(len(known), SAMPLE, replace=False))
    part = NearfieldMap.of(known.voxels[rows], known.euler_rad[rows], np.ones(SAMPLE), 225)
    maps = []
    timing = measure(
        lambda: maps.append(
            reconstruct(setup, lit, part.voxels, None, engine="threads", threads=1)
        ), 1,
    )  # fmt: skip
    each = timing.cpu_s / SAMPLE
    table.add(
        f"{SAMPLE}, drawn with seed {SEED}", seconds(each), f"{each * 3456 / 3600:.2f}",
        *accuracy(maps[-1], part), quiet=timing.quotable,
    )  # fmt: skip
    table.note("MIDAS C with the published list of 243,129: 6.5 core hours, 2 of 10 voxels right.")
    return table


def memory() -> Table:
    """Peak memory of fresh processes."""
    table = Table("Peak memory of a reconstruction, fresh process", "what", "peak memory")
    for what in ("seeds", "blind"):
        command = [sys.executable, __file__, "--worker", what]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        table.add(what, f"{float(done.stdout):.0f} MB")
    table.note("MIDAS C 590 to 1560 MB, its Python 3200 to 4200 MB (quoted).")
    return table


def worker(what: str) -> None:
    """Reconstruct a few voxels, and say how much memory that took."""
    grid = read_grid(data_path("nearfield-golden/au_grid.txt"))
    seeds = read_seeds(data_path("nearfield-golden/au_seeds4.txt"))
    few: Voxels = grid[::5] if what == "seeds" else grid[1500:1564]
    reconstruct(
        gold(), stack(), few, seeds if what == "seeds" else None, engine="threads", threads=1
    )
    print(peak_memory_mb())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", choices=("seeds", "blind"), help=argparse.SUPPRESS)
    add_options(parser)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker)
        return 0
    return finish("nearfield-reconstruct", [seeded(), blind(), memory()], options)


if __name__ == "__main__":
    sys.exit(main())
