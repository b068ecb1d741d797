"""Where a simulated session goes: grid squares, stage positions, holes, and what goes wrong.

A visit is one stage position with the holes that are reached from it. Everything is in lattice
steps of the foil; what the optics and the stage make of it is in :mod:`refimpl.epu.simulate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from refimpl.epu.simulate_settings import SimulationSettings, lattice_of, pattern_of
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64

__all__ = ["Square", "Visit", "plan", "super_lattice"]

_STEPS = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])


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
        (2, 2) rows, this square's own (foils are wrinkled); for a lacey grid the unit matrix over
        ``points_um``.
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


@dataclass(frozen=True)
class Visit:
    """One stage position.

    Attributes
    ----------
    square
        Index of the square.
    origin
        (2,) site that the stage is sent to.
    sites
        (h, 2) sites that are exposed, in order.
    kind
        "normal", "revisit", "overlap", "missed".
    copy_of
        Visit whose holes it takes again; -1 where it has its own.
    same_ids
        Whether the holes keep their numbers then.
    """

    square: int
    origin: I64
    sites: I64
    kind: str = "normal"
    copy_of: int = -1
    same_ids: bool = False


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
            _reduced(np.array([[a, 0], [b, area // a]]))
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


def _reduced(vectors: I64) -> I64:
    """Lagrange reduction."""
    u, v = vectors
    while True:
        if u @ u > v @ v:
            u, v = v, u
        step = round(float(u @ v) / float(u @ u))
        if step == 0:
            return np.array([u, v], dtype=np.int64)
        v = v - step * u


def plan(
    settings: SimulationSettings, rng: np.random.Generator
) -> tuple[list[Square], list[Visit]]:
    """Lay out squares and visits, in the order in which they are taken.

    Raises
    ------
    ConfigError
        More overlaps, missed moves or revisits than the layout has room for.
    """
    squares = _squares(settings, rng)
    pattern = pattern_of(settings.pattern)
    steps = super_lattice(pattern) if settings.layout == "super-lattice" else None
    visits: list[Visit] = []
    for index, square in enumerate(squares):
        chosen = (
            _lacey(index, square, settings)
            if settings.lacey
            else _groups(index, square, pattern, steps, settings, rng)
        )
        visits.extend(chosen)
    if not settings.lacey:
        visits = _misplaced(visits, settings, rng)
    return squares, _with_revisits(visits, settings, rng)


def _squares(settings: SimulationSettings, rng: np.random.Generator) -> list[Square]:
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


def _groups(
    index: int,
    square: Square,
    pattern: I64,
    steps: I64 | None,
    settings: SimulationSettings,
    rng: np.random.Generator,
) -> list[Visit]:
    left = _selected(square, settings, rng)
    origins = _tiled(left, pattern, steps) if steps is not None else sorted(left)
    visits: list[Visit] = []
    while left and origins and len(visits) < settings.groups:
        if steps is None:
            counts = [sum((i + a, j + b) in left for a, b in pattern) for i, j in origins]
            origin = origins[int(np.argmax(counts))]
        else:
            origin = origins.pop(0)
        sites = [(origin[0] + int(a), origin[1] + int(b)) for a, b in pattern]
        sites = [s for s in sites if s in left]
        left -= set(sites)
        if steps is None:
            origins = [s for s in origins if s in left]
        if sites:
            visits.append(Visit(index, np.array(origin), np.array(sites)))
    return visits


def _tiled(left: set[tuple[int, int]], pattern: I64, steps: I64) -> list[tuple[int, int]]:
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
        and 2 * sum((i + a, j + b) in left for a, b in pattern) >= len(pattern)
    ]
    return [(i, j) for i, j, r in sorted(full, key=lambda o: (o[2], o[0] * (-1) ** o[2], o[1]))]


def _misplaced(
    visits: Sequence[Visit], settings: SimulationSettings, rng: np.random.Generator
) -> list[Visit]:
    """Put some groups one column short, and take some without a move."""
    out = list(visits)
    wanted = {"overlap": settings.overlaps, "missed": settings.missed}
    for i in rng.permutation(len(out)).tolist():
        if i == 0 or out[i - 1].square != out[i].square:
            continue
        untouched = out[i - 1].kind == "normal" and (
            i + 1 == len(out) or out[i + 1].kind == "normal"
        )
        if not untouched:
            continue
        if wanted["missed"] > 0:
            step = out[i - 1].origin - out[i].origin
            out[i] = replace(out[i], origin=out[i - 1].origin, sites=out[i].sites + step,
                             kind="missed")  # fmt: skip
            wanted["missed"] -= 1
        elif wanted["overlap"] > 0:
            before = {tuple(s) for v in out[:i] if v.square == out[i].square
                      for s in v.sites.tolist()}  # fmt: skip
            shared = [sum(tuple(s) in before for s in (out[i].sites + u).tolist()) for u in _STEPS]
            best = int(np.argmax(shared))
            if shared[best] == 0:
                continue
            u = _STEPS[best]
            out[i] = replace(out[i], origin=out[i].origin + u, sites=out[i].sites + u,
                             kind="overlap")  # fmt: skip
            wanted["overlap"] -= 1
    for name, key in (("missed", "missed"), ("overlap", "overlaps")):
        if wanted[name]:
            got = getattr(settings, key)
            raise ConfigError(
                f"{key} = {got}: the {len(out)} stage positions of this layout have room for "
                f"{got - wanted[name]}", key=key, got=got,
            )  # fmt: skip
    return out


def _with_revisits(
    visits: Sequence[Visit], settings: SimulationSettings, rng: np.random.Generator
) -> list[Visit]:
    """Repeat some groups at the end of their square or later in it."""
    normal = [i for i, v in enumerate(visits) if v.kind == "normal"]
    if settings.revisits > len(normal):
        raise ConfigError(
            f"revisits = {settings.revisits}: there are {len(normal)} groups", key="revisits",
            got=settings.revisits,
        )  # fmt: skip
    again = sorted(rng.permutation(normal)[: settings.revisits].tolist())
    keyed = [(float(i), i, v) for i, v in enumerate(visits)]
    last = {v.square: i for i, v in enumerate(visits)}
    fresh = rng.permutation(len(again)) < round(settings.revisit_new_ids * len(again))
    for n, i in enumerate(again):
        v = visits[i]
        # A move that is missed needs the visit just before it: nothing is put between the two.
        later = [j for j in range(i + 1, last[v.square] + 1)
                 if j + 1 == len(visits) or visits[j + 1].kind != "missed"]  # fmt: skip
        after = later[int(rng.integers(len(later)))] if later else last[v.square]
        copy = replace(v, kind="revisit", copy_of=i, same_ids=not bool(fresh[n]))
        keyed.append((after + 0.5, i, copy))
    ordered = sorted(keyed, key=lambda entry: entry[:2])
    where = {i: n for n, (key, i, _) in enumerate(ordered) if key == i}
    return [replace(v, copy_of=where[v.copy_of]) if v.copy_of >= 0 else v for _, _, v in ordered]


def _scattered(settings: SimulationSettings, rng: np.random.Generator) -> F64:
    """(h, 2) targets of a lacey grid: random, none nearer than the pitch to another."""
    radius, least = settings.square_radius_um, settings.pitch_um
    points: list[F64] = []
    for _ in range(int(6.0 * (radius / least) ** 2)):
        point = rng.uniform(-radius, radius, 2)
        near = any(((point - p) ** 2).sum() < least**2 for p in points)
        if not near and (point**2).sum() <= radius**2:
            points.append(point)
    return np.array(points)


def _lacey(index: int, square: Square, settings: SimulationSettings) -> list[Visit]:
    """Take targets by nearness: each group is the first one left and all within reach of it."""
    assert square.points_um is not None
    extent = np.abs(pattern_of(settings.pattern)).max() * settings.pitch_um + 1e-9
    left = np.lexsort((square.points_um[:, 1], square.points_um[:, 0] // (2.0 * extent)))
    visits: list[Visit] = []
    while len(left) and len(visits) < settings.groups:
        first = square.points_um[left[0]]
        near = (np.abs(square.points_um[left] - first) <= extent).all(axis=1)
        taken = left[near]
        order = np.argsort(((square.points_um[taken] - first) ** 2).sum(axis=1), kind="stable")
        sites = np.column_stack([taken[order], np.zeros(len(taken), dtype=np.int64)])
        visits.append(Visit(index, sites[0], sites))
        left = left[~near]
    return visits
