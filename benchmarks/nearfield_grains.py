"""Published greedy clustering of a map: time by voxels and grains, and how it grows.

    python benchmarks/nearfield_grains.py [--update PAGE]

The definition, all pairs, is timed on a map that it can bear.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from harness import measure
from page import Table, add_options, finish, seconds

from refimpl.clustering.grains import segment
from refimpl.clustering.neighbours import image_pairs
from refimpl.clustering.published_grains import greedy_grains
from refimpl.crystal.symmetry_operators import laue_operators
from refimpl.rotations import multiply_quaternions
from refimpl.testing.strategies_crystal import random_quaternions
from refimpl.units import DEG

LIMIT = 1.0 * DEG
SPREAD = 0.1 * DEG
"""Rms of each component of a voxel's rotation from its grain."""


def a_map(voxels: int, grains: int, name: str = "m-3m") -> dict[str, Any]:
    """Square map whose grains are square too, by any of their names; confidences 0 to 1."""
    rng, group = np.random.default_rng(0), laue_operators(name)
    centres = random_quaternions(rng, grains)
    side, tiles = round(voxels**0.5), int(np.ceil(grains**0.5))
    tile = np.arange(side) * tiles // side
    own = (tile[:, None] * tiles + tile).ravel() % grains
    turn = np.column_stack([np.ones(side**2), 0.5 * SPREAD * rng.normal(size=(side**2, 3))])
    turn /= np.linalg.norm(turn, axis=1)[:, None]
    q = multiply_quaternions(centres[own], turn)
    q = multiply_quaternions(q, group[rng.integers(len(group), size=len(q))])
    return {"quaternion": q, "confidence": rng.random(len(q)), "operators": group}


def all_different(voxels: int) -> dict[str, Any]:
    """Random orientations, cubic."""
    rng = np.random.default_rng(1)
    q = random_quaternions(rng, voxels)
    return {"quaternion": q, "confidence": rng.random(voxels), "operators": laue_operators("m-3m")}


def growth(sizes: list[int], times: list[float]) -> float:
    """Exponent of the time, by a line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def sizes() -> Table:
    """CPU time of one core."""
    table = Table("Greedy clustering, limit 1 degree, one core", "map", "voxels", "grains", "time")

    def add(what: str, repeats: int = 3, **arguments: Any) -> float:
        found = greedy_grains(limit_rad=LIMIT, threads=1, **arguments)
        timing = measure(lambda: greedy_grains(limit_rad=LIMIT, threads=1, **arguments), repeats)
        table.add(what, f"{len(found.label):,}", f"{len(found.centre):,}", seconds(timing.cpu_s),
                  quiet=timing.quotable)  # fmt: skip
        return timing.cpu_s

    for name in ("m-3m", "6/mmm", "-1"):
        add(f"grains, {name}", **a_map(10**6, 10**3, name))
    million = a_map(10**6, 10**3)
    pairs = image_pairs((1000, 1000))
    add(f"grains, m-3m, by {len(pairs) / 1e6:.1f} million pairs", pairs=pairs, **million)
    counts = [10**4, 10**5, 10**6]
    same = [add(f"{n // 1000} voxels a grain", **a_map(n, 1000)) for n in counts]
    many = [add("1000 voxels a grain", **a_map(n, n // 1000)) for n in counts]
    apart = [add("all different", **all_different(n)) for n in (10**4, 10**5, 10**6)]
    table.note(
        f"Growth from 10^4 to 10^6 voxels: exponent {growth(counts, same):.2f} at 1000 grains, "
        f"{growth(counts, many):.2f} at 1000 voxels a grain, {growth(counts, apart):.2f} where all "
        "are different."
    )
    return table


def others() -> Table:
    """Two threads, the definition, and grains that follow neighbours."""
    table = Table("Greedy clustering beside others", "what", "time")
    million = a_map(10**6, 10**3)
    for threads in (1, 2):
        timing = measure(lambda t=threads: greedy_grains(limit_rad=LIMIT, threads=t, **million), 3)  # type: ignore[misc]
        table.add(f"10^6 voxels, {threads} threads, wall", seconds(timing.median_s),
                  quiet=timing.quotable)  # fmt: skip
    small = a_map(10**4, 100)
    from refimpl.dispatch import use_backend

    for backend in ("cython", "python"):
        with use_backend(backend):
            timing = measure(lambda: greedy_grains(limit_rad=LIMIT, threads=1, **small), 1)
        table.add(f"10^4 voxels, 100 grains, {backend}", seconds(timing.cpu_s),
                  quiet=timing.quotable)  # fmt: skip
    pairs = image_pairs((1000, 1000), diagonal=False)
    timing = measure(lambda: segment(million["quaternion"], pairs, million["operators"], LIMIT), 3)
    table.add("10^6 voxels, segmented by 2 million neighbours", seconds(timing.cpu_s),
              quiet=timing.quotable)  # fmt: skip
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_options(parser)
    options = parser.parse_args()
    return finish("nearfield-grains", [sizes(), others()], options)


if __name__ == "__main__":
    sys.exit(main())
