"""Spots of known crystals, indexed by each code with the cell known: what each finds, and how fast.

Every lattice point that crosses the sphere and meets a panel makes a spot, seen with errors of
0.2 px and 0.2 images of half a degree; for ten of a crystal two are of none. ImageD11 is given the
scattering vectors of the spots, refimpl the spots and the experiment, of which it refines beam and
detector with the crystals: the two share errors, so orientations move with the detector.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from asking import Answer, Asker
from page import Table, seconds

from refimpl.crystal.reduction import basis_of_cell
from refimpl.io.reflection_table import ReflectionTable
from refimpl.rotations import expmap
from refimpl.testing.lattice_spots import LatticeSpots, lattice_spots

CELL = (11.9, 15.2, 19.4, 90.0, 90.0, 90.0)
DEGREES, D_MIN, SPOTS = 60.0, 1.5, 1200
NOISE = 0.2  # of a crystal's spots
SEEN = 0.15  # of an index: what counts as explained


def bases(n: int) -> list[np.ndarray]:
    """Rows a, b, c of n orientations of the cell."""
    rng = np.random.default_rng(11)
    return [basis_of_cell(CELL) @ expmap(rng.normal(0.0, 1.5, 3)) for _ in range(n)]


def spots_of(lattices: Sequence[np.ndarray]) -> tuple[LatticeSpots, ReflectionTable]:
    """Return the spots of all in one table, mixed."""
    parts = [
        lattice_spots(basis, degrees=DEGREES, d_min=D_MIN, most=SPOTS, seed=k,
                      noise=int(NOISE * SPOTS))
        for k, basis in enumerate(lattices)
    ]  # fmt: skip
    names = ("panel", "xyzobs.px.value", "xyzobs.px.variance", "flags")
    columns = {n: np.concatenate([p.table[n] for p in parts]) for n in names}
    order = np.random.default_rng(5).permutation(len(columns["panel"]))
    return parts[0], ReflectionTable(columns).select(order)


def scattering_vectors(case: LatticeSpots, table: ReflectionTable) -> np.ndarray:
    """(n, 3) of the spots, turned back to angle zero [1/Å]."""
    experiment = case.experiment
    xyz = table["xyzobs.px.value"]
    panels, size = table["panel"].astype(int), experiment.detector.modules[0].pixel_size_mm[0]
    place = np.column_stack([size * xyz[:, :2], np.ones(len(xyz))])
    ray = np.einsum("nij,nj->ni", experiment.detector.d[panels], place)
    s0 = experiment.beam.s0
    ray *= np.sqrt(s0 @ s0) / np.linalg.norm(ray, axis=1, keepdims=True)
    axis = np.asarray(experiment.goniometer.rotation_axis)
    turns = [expmap(-angle * axis) for angle in experiment.scan.phi_of_frame(xyz[:, 2])]
    return np.einsum("nij,nj->ni", turns, ray - s0)


def indexing_tables(asker: Asker, size: float) -> list[Table]:
    """One crystal, and three in one scan."""
    counts = (1, 3) if size >= 1.0 else (1,)
    return [_table(asker, bases(n)) for n in counts]


def _table(asker: Asker, lattices: list[np.ndarray]) -> Table:
    case, spots = spots_of(lattices)
    vectors = scattering_vectors(case, spots)
    of_lattice = [_explained(vectors, np.linalg.inv(b)) for b in lattices]
    table = Table(
        f"Indexing: {len(spots):,} spots of {len(lattices)} crystal(s), "
        f"{DEGREES:g} degrees, the cell known", "code", "threads", "crystals found",
        "of them wrong", "orientation off [mrad]", "cell off [ppm]", "their spots explained",
        "wall", "times ours",
    )  # fmt: skip
    given = {
        "vectors": vectors, "cell": CELL, "n": len(lattices), "degrees": DEGREES,
        "panel": spots["panel"], "px": spots["xyzobs.px.value"],
        "variance": spots["xyzobs.px.variance"],
    }  # fmt: skip
    ours: Answer | None = None
    for code, packages in (("refimpl", ()), ("ImageD11", ("ImageD11", "xfab"))):
        got = asker.ask(code, "index", given, packages=packages, warm_up=False, window_s=0.0)
        ours = ours or got
        if got.timing is None or ours.timing is None:
            table.add(got.code, "", got.error, *[""] * 6)
            continue
        found = [np.linalg.inv(b) for b in got.arrays["bases"]]
        near = [_nearest(np.linalg.inv(b), found) for b in lattices]
        matched = [m for m in near if m is not None]
        part = [
            0.0 if m is None else _explained(vectors, m[2])[mine].mean()
            for m, mine in zip(near, of_lattice, strict=True)
        ]
        quiet = got.timing.quotable
        both = quiet and ours.timing.quotable and got is not ours
        table.add(
            got.code, asker.threads, len(matched), len(found) - len(matched),
            f"{max((m[0] for m in matched), default=np.nan):.3f}",
            f"{max((m[1] for m in matched), default=np.nan):.0f}",
            " ".join(f"{100.0 * p:.1f} %" for p in part),
            seconds(got.timing.median_s) if quiet else "–",
            f"{got.timing.median_s / ours.timing.median_s:.2g}" if both else
            "" if got is ours else "–",
        )  # fmt: skip
    return table


def _explained(vectors: np.ndarray, ub: np.ndarray) -> np.ndarray:
    """Whether each spot lies near a point of the lattice."""
    hkl = np.linalg.solve(ub, vectors.T).T
    return np.abs(hkl - np.rint(hkl)).max(axis=1) < SEEN


def _nearest(true: np.ndarray, found: list[np.ndarray]) -> tuple[float, float, np.ndarray] | None:
    """Return turn [mrad], worst strain [ppm] and matrix of whichever is the same lattice."""
    best = None
    for ub in found:
        change = np.rint(np.linalg.solve(true, ub))
        if abs(abs(np.linalg.det(change)) - 1.0) > 1e-6:
            continue
        u, stretch, vt = np.linalg.svd(ub @ np.linalg.inv(change) @ np.linalg.inv(true))
        turn = 1e3 * np.arccos(np.clip(0.5 * (np.trace(u @ vt) - 1.0), -1.0, 1.0))
        if turn < 20.0 and (best is None or turn < best[0]):
            best = (float(turn), 1e6 * float(np.abs(stretch - 1.0).max()), ub)
    return best
