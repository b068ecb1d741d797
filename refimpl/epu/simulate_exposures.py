"""Exposures of a simulated session: where the beam goes, hole by hole and shot by shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from refimpl.epu.simulate_geometry import shots_of
from refimpl.epu.simulate_layout import Square
from refimpl.epu.simulate_plan import Visit
from refimpl.epu.simulate_settings import SimulationSettings
from refimpl.epu.simulate_truth import KINDS
from refimpl.frames import F64, I64

__all__ = ["Planned", "Rows", "exposures_of", "planned_holes", "stops_of"]


@dataclass(frozen=True, eq=False)
class Rows:
    """Exposures in the order in which they are taken.

    Attributes
    ----------
    visit
        (n,) stage position.
    hole
        (n,) number of the hole in names.
    shot
        (n,) which of the shots in a hole.
    target_um
        (n, 2) where the beam goes.
    kind
        (n,) index of :data:`~refimpl.epu.simulate_truth.KINDS`.
    """

    visit: I64
    hole: I64
    shot: I64
    target_um: F64
    kind: I64

    def part(self, rows: I64 | slice) -> Rows:
        """Some of them."""
        return Rows(*(getattr(self, f.name)[rows] for f in fields(self)))

    def with_more(self, after: I64, more: Rows) -> Rows:
        """Put others in, each after the row of this number."""
        order = np.argsort(np.concatenate([np.arange(len(self.visit)), after + 0.5]), kind="stable")
        return Rows(*(
            np.concatenate([getattr(self, f.name), getattr(more, f.name)])[order]
            for f in fields(self)
        ))  # fmt: skip


@dataclass(frozen=True, eq=False)
class Planned:
    """Holes as EPU notes them in the .dm files: where it takes them to be.

    Attributes
    ----------
    square
        (h,) index of the square.
    hole
        (h,) number.
    stage_um
        (h, 2) position.
    """

    square: I64
    hole: I64
    stage_um: F64


def stops_of(
    squares: Sequence[Square], visits: Sequence[Visit], settings: SimulationSettings,
    rng: np.random.Generator,
) -> F64:  # fmt: skip
    """(v, 2) [um] where the stage stops; a missed move leaves it where it was."""
    sent = np.array([squares[v.square].place(v.origin[None, :])[0] for v in visits])
    stops = sent + settings.landing_um / np.sqrt(2.0) * rng.normal(size=sent.shape)
    for i, visit in enumerate(visits):
        if visit.kind == "missed":
            stops[i] = stops[i - 1]
    return np.asarray(stops, dtype=np.float64)


def exposures_of(
    squares: Sequence[Square], visits: Sequence[Visit], settings: SimulationSettings,
    rng: np.random.Generator,
) -> Rows:  # fmt: skip
    """All shots of all visits, single repeats and near misses among them."""
    sizes = np.array([len(v.sites) for v in visits])
    centres = np.concatenate([squares[v.square].place(v.sites) for v in visits])
    shared = np.sqrt(settings.centring_shared) * rng.normal(size=(len(visits), 2))
    own = np.sqrt(1.0 - settings.centring_shared) * rng.normal(size=centres.shape)
    centres = centres + settings.centring_um / np.sqrt(2.0) * (np.repeat(shared, sizes, 0) + own)
    shots, m = shots_of(settings), len(centres)
    order = rng.permutation(settings.shots)
    rows = Rows(
        visit=np.repeat(np.repeat(np.arange(len(visits)), sizes), settings.shots),
        hole=np.repeat(np.concatenate(_numbers(visits, settings)), settings.shots),
        shot=np.tile(order, m),
        target_um=np.repeat(centres, settings.shots, axis=0) + np.tile(shots[order], (m, 1)),
        kind=np.repeat(_kinds(len(squares), visits), settings.shots),
    )
    return _with_near_misses(_with_singles(rows, settings, rng), settings, rng)


def planned_holes(
    rows: Rows, squares: Sequence[Square], visits: Sequence[Visit],
    settings: SimulationSettings, rng: np.random.Generator,
) -> Planned:  # fmt: skip
    """Where EPU takes the holes to be; those of a missed move lie where it did not go."""
    places = [squares[v.square].place(v.planned) for v in visits if not v.same_ids]
    square = np.repeat(
        [v.square for v in visits if not v.same_ids],
        [len(v.sites) for v in visits if not v.same_ids],
    ).astype(np.int64)
    hole = np.concatenate(
        [n for n, v in zip(_numbers(visits, settings), visits, strict=True) if not v.same_ids]
    )
    near = np.nonzero(rows.kind == KINDS.index("near"))[0]
    middle = rows.target_um[near] - shots_of(settings)[rows.shot[near]]
    own = np.array([v.square for v in visits], dtype=np.int64)[rows.visit[near]]
    at = np.concatenate([*places, middle])
    square, hole = np.concatenate([square, own]), np.concatenate([hole, rows.hole[near]])
    shift = settings.dm_offset_um * rng.normal(size=(len(squares), 2))
    at = at + (shift[square] + settings.dm_noise_um * rng.normal(size=at.shape)) / np.sqrt(2.0)
    return Planned(square, hole, at)


def _numbers(visits: Sequence[Visit], settings: SimulationSettings) -> list[I64]:
    """Numbers of the holes of each visit, counted up as they are first seen."""
    out: list[I64] = []
    free = settings.first_hole
    for visit in visits:
        if visit.same_ids:
            out.append(out[visit.copy_of])
        else:
            out.append(free + np.arange(len(visit.sites)))
            free += len(visit.sites)
    return out


def _kinds(squares: int, visits: Sequence[Visit]) -> I64:
    """Kind of each hole of each visit: normal where nothing was exposed before."""
    seen: list[set[tuple[int, int]]] = [set() for _ in range(squares)]
    out: list[int] = []
    for visit in visits:
        before = seen[visit.square]
        sites = [(i, j) for i, j in visit.sites.tolist()]
        # An ordinary group meets an exposed hole only where a misplaced one took it before.
        kind = KINDS.index("overlap" if visit.kind == "normal" else visit.kind)
        out += [kind if site in before else 0 for site in sites]
        before.update(sites)
    return np.array(out, dtype=np.int64)


def _with_singles(rows: Rows, settings: SimulationSettings, rng: np.random.Generator) -> Rows:
    """Take some shots again later in their visit: same hole, same area, centred anew."""
    n = len(rows.visit)
    which = np.sort(rng.permutation(n)[: settings.singles])
    last = np.searchsorted(rows.visit, rows.visit[which], side="right") - 1
    after = which + np.floor(rng.random(len(which)) * (last - which + 1)).astype(np.int64)
    again = rows.part(which)
    moved = settings.centring_um / np.sqrt(2.0) * rng.normal(size=(len(which), 2))
    kind = np.full(len(which), KINDS.index("single"))
    return rows.with_more(after, replace(again, target_um=again.target_um + moved, kind=kind))


def _with_near_misses(rows: Rows, settings: SimulationSettings, rng: np.random.Generator) -> Rows:
    """Add shots of new holes near one exposure and not nearer to any; fewer where no room is."""
    from scipy.spatial import cKDTree

    low, high = settings.near_um
    n, count = len(rows.visit), settings.near_misses
    tries = rng.permutation(np.repeat(np.arange(n), max(1, -(-40 * count // n))))[: 40 * count]
    angle = rng.uniform(0.0, 2.0 * np.pi, len(tries))
    length = rng.uniform(low, high, len(tries))
    at = rows.target_um[tries] + length[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    distance = cKDTree(rows.target_um).query(at)[0] if len(at) else np.zeros(0)
    good = np.nonzero(distance >= low)[0]
    chosen: list[int] = []
    for i in good.tolist():
        if len(chosen) == count:
            break
        if all(((at[i] - at[j]) ** 2).sum() > high**2 for j in chosen):
            chosen.append(i)
    pick = np.array(chosen, dtype=np.int64)
    pick = pick[np.argsort(tries[pick], kind="stable")]
    new = rows.part(tries[pick])
    hole = rows.hole.max(initial=settings.first_hole) + 1 + np.arange(len(pick))
    kind = np.full(len(pick), KINDS.index("near"))
    return rows.with_more(tries[pick], replace(new, hole=hole, target_um=at[pick], kind=kind))
