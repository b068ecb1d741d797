"""Misorientation: pairs a second and core in every Laue class, and grids of orientations.

    python benchmarks/nearfield_misorientation.py [--peer-python ORIX_PYTHON] [--update PAGE]

Peers: orix (pairs one by one, in its own interpreter) and the closed form of the cubic groups in
NumPy, acos and all. Reference runs elsewhere: orix 2.1 million pairs a second, NumPy 22 million.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from harness import measure, peer
from numpy.typing import NDArray
from page import Table, add_options, finish, seconds
from two_threads import speedup

from refimpl.crystal.fundamental_zone import cubochoric_grid
from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import LAUE_CLASSES, laue_operators

PAIRS = 2_000_000
PEER_PAIRS = 100_000


def pairs(n: int) -> NDArray[np.float64]:
    """(2, n, 4) random orientations."""
    q = np.random.default_rng(0).normal(size=(2, n, 4))
    return np.asarray(q / np.linalg.norm(q, axis=-1, keepdims=True))


def numpy_cubic(q1: NDArray[np.float64], q2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Closed form on the sorted components, in chunks that stay in the cache."""
    out = np.empty(len(q1))
    for start in range(0, len(q1), 1 << 14):
        part = slice(start, start + (1 << 14))
        a, b = q1[part].T, q2[part].T
        r = np.abs(
            [
                a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3],
                a[0] * b[1] - a[1] * b[0] - a[2] * b[3] + a[3] * b[2],
                a[0] * b[2] + a[1] * b[3] - a[2] * b[0] - a[3] * b[1],
                a[0] * b[3] - a[1] * b[2] + a[2] * b[1] - a[3] * b[0],
            ]
        )
        r.sort(axis=0)
        w = np.maximum(np.maximum(r[3], (r[2] + r[3]) * 0.5**0.5), 0.5 * r.sum(axis=0))
        out[part] = 2.0 * np.arccos(np.minimum(w, 1.0))
    return out


def rates(python: str | None) -> Table:
    """Million pairs a second and core."""
    table = Table(
        "Misorientation, million pairs a second and core", "Laue class", "operators", "refimpl",
        "orix", "NumPy closed form",
    )  # fmt: skip
    q1, q2 = pairs(PAIRS)
    request = {"pairs": PEER_PAIRS, "seed": 0, "classes": list(LAUE_CLASSES)}
    script = Path(__file__).parent / "peers" / "orix_misorientation.py"
    answer = peer(script, request, python=python)
    for name in LAUE_CLASSES:
        group = laue_operators(name)
        ours = measure(lambda s=group: misorientation(q1, q2, s, threads=1))  # type: ignore[misc]
        cells, quiet = ["", ""], ours.quotable
        if name in answer.get("timings", {}):
            other = answer["timings"][name]
            cells[0] = f"{PEER_PAIRS / other.cpu_s / 1e6:.2f}"
            quiet = quiet and other.quotable
        if name == "m-3m":
            other = measure(lambda: numpy_cubic(q1, q2), 3)
            cells[1] = f"{PAIRS / other.cpu_s / 1e6:.1f}"
            quiet = quiet and other.quotable
        table.add(name, len(group), f"{PAIRS / ours.cpu_s / 1e6:.0f}", *cells, quiet=quiet)
    group = laue_operators("m-3m")
    both = speedup(lambda threads: misorientation(q1, q2, group, threads=threads))
    table.note(both.note("cubic pairs"))
    if "error" in answer:
        table.note(f"orix was not measured: {answer['error']}.")
    return table


def grids() -> Table:
    """Grids of orientations of 180 points a side."""
    table = Table("Cubochoric grid, 180 points a side", "Laue class", "orientations", "time")
    for name in ("m-3m", "6/mmm", "mmm"):
        group = laue_operators(name)
        timing = measure(lambda s=group: cubochoric_grid(180, s), 3)  # type: ignore[misc]
        count = len(cubochoric_grid(180, group))
        table.add(name, f"{count:,}", seconds(timing.cpu_s), quiet=timing.quotable)
    table.note("orix 0.15 makes the cubic one in 17.6 s (reference run).")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peer-python", help="interpreter that has orix; by default this one")
    add_options(parser)
    options = parser.parse_args()
    return finish("nearfield-misorientation", [rates(options.peer_python), grids()], options)


if __name__ == "__main__":
    sys.exit(main())
