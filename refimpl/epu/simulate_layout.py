"""Layout of a simulated session: grid squares, their holes, groups that share a stage position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.clustering.lattices import reduced
from refimpl.epu.simulate_geometry import lattice_of
from refimpl.epu.simulate_settings import SimulationSettings
from refimpl.epu.simulate_shapes import pattern_of
from refimpl.frames import F64, I64

__all__ = ["Square", "groups_of", "squares_of", "super_lattice"]


@dataclass(frozen=True)
class Square:
    """One grid square.

    Attributes
    ----------
    disc, number
        Grid, and the square's number in names.
    centre_um
        (2,) stage position of its middle, where lattice site (0, 0) is.
    lattice_um
        (2, 2) rows, this square's own (foils are wrinkled); a lacey grid does not use it.
    points_um
        (h, 2) targets of a lacey grid from the middle; None where there is a lattice.
    """

    disc: int
    number: int
    centre_um: F64
    lattice_um: F64
    points_um: F64 | None = None

    def place(self, sites: I64) -> F64:
        """(n, 2) [um] stage coordinates of (n, 2) sites; a lacey site is (number, 0)."""
        if self.points_um is None:
            return np.asarray(self.centre_um + sites @ self.lattice_um, dtype=np.float64)
        return np.asarray(self.centre_um + self.points_um[sites[:, 0]], dtype=np.float64)


def squares_of(settings: SimulationSettings, rng: np.random.Generator) -> list[Square]:
    """Squares on a grid bar lattice, two square widths apart, at irregular places."""
    count = settings.discs * settings.squares
    apart = 3.2 * settings.square_radius_um
    side = int(np.ceil(np.sqrt(2.0 * count)))
    cells = np.sort(rng.permutation(side * side)[:count])
    mean = lattice_of(settings)
    squares = []
    for i, cell in enumerate(cells):
        centre = apart * (np.array(divmod(int(cell), side)) - 0.5 * (side - 1))
        angle = np.radians(settings.square_turn_deg) * rng.normal()
        c, s = np.cos(angle), np.sin(angle)
        squares.append(Square(
            disc=1 + i // settings.squares,
            number=settings.first_hole - 6000 + 13 * i,
            centre_um=centre + rng.uniform(-5.0, 5.0, 2),
            lattice_um=mean @ np.array([[c, s], [-s, c]]),
            points_um=_scattered(settings, rng) if settings.lacey else None,
        ))  # fmt: skip
    return squares


def groups_of(
    square: Square, settings: SimulationSettings, rng: np.random.Generator
) -> list[tuple[I64, I64]]:
    """(2,) site that the stage is sent to, and (h, 2) sites that are exposed, group by group."""
    if settings.lacey:
        return _lacey(square, settings)
    left, pattern = _selected(square, settings, rng), pattern_of(settings.pattern)
    if settings.layout == "greedy":
        return _greedy(left, pattern, settings.groups)
    # Groups at the rim that would have less than half of their share of holes are left out.
    least = max(1.0, 0.5 * settings.hole_fraction * len(pattern))
    groups = []
    for origin in _tiled(left, pattern, super_lattice(pattern), least)[: settings.groups]:
        sites = _reached(origin, pattern, left)
        groups.append((np.array(origin), np.array(sites)))
    return groups


def _reached(
    origin: tuple[int, int], pattern: I64, left: set[tuple[int, int]]
) -> list[tuple[int, int]]:
    sites = [(origin[0] + a, origin[1] + b) for a, b in pattern.tolist()]
    return [s for s in sites if s in left]


def _greedy(left: set[tuple[int, int]], pattern: I64, most: int) -> list[tuple[I64, I64]]:
    """Put each group where it reaches most of the holes that are left."""
    left = set(left)
    groups: list[tuple[I64, I64]] = []
    while left and len(groups) < most:
        origins = sorted(left)
        counts = [len(_reached(o, pattern, left)) for o in origins]
        origin = origins[int(np.argmax(counts))]
        sites = _reached(origin, pattern, left)
        left -= set(sites)
        groups.append((np.array(origin), np.array(sites)))
    return groups


def super_lattice(pattern: I64) -> I64:
    """Smallest lattice of whole steps on which copies of a pattern do not overlap.

    Parameters
    ----------
    pattern
        (h, 2) holes.

    Returns
    -------
    (2, 2) rows, reduced. Of lattices of one area the most compact is taken.
    """
    apart = (pattern[:, None, :] - pattern[None, :, :]).reshape(-1, 2)
    apart = np.unique(apart[apart.any(axis=1)], axis=0)
    area = len(pattern)
    while True:
        found = [
            np.rint(reduced(np.array([[a, 0.0], [b, area // a]]))[0]).astype(np.int64)
            for a in range(1, area + 1)
            if area % a == 0
            for b in range(a)
            if not _hits(apart, a, b, area // a)
        ]
        if found:
            return min(found, key=lambda v: (int((v**2).sum()), v.tolist()))
        area += 1


def _hits(apart: I64, a: int, b: int, d: int) -> bool:
    """Whether a difference is a vector of the lattice (a, 0), (b, d)."""
    x, y = apart.T
    return bool(((y % d == 0) & ((x - b * (y // d)) % a == 0)).any())


def _selected(square: Square, settings: SimulationSettings, rng: np.random.Generator) -> set[
    tuple[int, int]
]:  # fmt: skip
    """Sites in the square where the ice is good: patches, by a few random waves."""
    reach = int(1.5 * settings.square_radius_um / settings.pitch_um) + 2
    axis = np.arange(-reach, reach + 1)
    sites = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    at = sites @ square.lattice_um
    sites, at = (v[(at**2).sum(axis=1) <= settings.square_radius_um**2] for v in (sites, at))
    waves = rng.normal(0.0, 2.0 / settings.square_radius_um, (6, 2))
    ice = np.cos(at @ waves.T + rng.uniform(0.0, 2.0 * np.pi, 6)).sum(axis=1)
    ice += 0.5 * rng.normal(size=len(at))
    keep = ice <= np.quantile(ice, settings.hole_fraction)
    return {(int(i), int(j)) for i, j in sites[keep]}


def _tiled(
    left: set[tuple[int, int]], pattern: I64, steps: I64, least: float
) -> list[tuple[int, int]]:
    """Sites of the super-lattice in serpentine order, those near the middle."""
    if not left:
        return []
    reach = max(max(abs(i), abs(j)) for i, j in left)
    axis = np.arange(-reach - 1, reach + 2)
    combos = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    origins = [(int(i), int(j), int(r)) for (i, j), r in zip(combos @ steps, combos[:, 1],
                                                             strict=True)]  # fmt: skip
    full = [
        (i, j, r)
        for i, j, r in origins
        if abs(i) <= reach + 2
        and abs(j) <= reach + 2
        and len(_reached((i, j), pattern, left)) >= least
    ]
    return [(i, j) for i, j, r in sorted(full, key=lambda o: (o[2], o[0] * (-1) ** o[2], o[1]))]


def _scattered(settings: SimulationSettings, rng: np.random.Generator) -> F64:
    """(h, 2) targets of a lacey grid: random, none nearer than the pitch to another."""
    radius, least = settings.square_radius_um, settings.pitch_um
    points: list[F64] = []
    for _ in range(int(6.0 * (radius / least) ** 2)):
        point = rng.uniform(-radius, radius, 2)
        near = any(((point - p) ** 2).sum() < least**2 for p in points)
        if not near and (point**2).sum() <= radius**2:
            points.append(point)
    return np.array(points).reshape(-1, 2)


def _lacey(square: Square, settings: SimulationSettings) -> list[tuple[I64, I64]]:
    """Take targets by nearness: each group is the first one left and all within reach of it."""
    assert square.points_um is not None
    extent = np.abs(pattern_of(settings.pattern)).max() * settings.pitch_um + 1e-9
    left = np.lexsort((square.points_um[:, 1], square.points_um[:, 0] // (2.0 * extent)))
    groups: list[tuple[I64, I64]] = []
    while len(left) and len(groups) < settings.groups:
        first = square.points_um[left[0]]
        near = (np.abs(square.points_um[left] - first) <= extent).all(axis=1)
        taken = left[near]
        order = np.argsort(((square.points_um[taken] - first) ** 2).sum(axis=1), kind="stable")
        sites = np.column_stack([taken[order], np.zeros(len(taken), dtype=np.int64)])
        groups.append((sites[0], sites))
        left = left[~near]
    return groups
