r"""Simulated EPU sessions as arrays, with the truth: what a calibration and a search must find.

The beam hits :math:`p = s + b M` with the stage at :math:`s` and the beam shift :math:`b`. The
stage stops beside where it was sent; the shift makes up for it, as EPU does after it has centred
on a hole. What is recorded is :math:`s` with the jitter of the read-back and :math:`b` with noise.

Not simulated: drift during an exposure, beam shifts that are not linear, coma, image shift (0, as
in the real session), squares of two discs at the same place of the stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from refimpl.epu.simulate_plan import Square, Visit, plan
from refimpl.epu.simulate_settings import SimulationSettings, lattice_of, matrix_of, shots_of
from refimpl.epu.simulate_table import columns_of
from refimpl.epu.simulate_truth import RADIUS_UM, Truth, truth_of
from refimpl.epu.simulate_varied import varied
from refimpl.frames import F64, I64

if TYPE_CHECKING:
    from refimpl.epu.session import Session

__all__ = ["Simulated", "SimulationSettings", "Truth", "large", "simulate", "varied"]


@dataclass(frozen=True, eq=False)
class Simulated:
    """A session and the truth about it; rows of both in the order of time.

    Attributes
    ----------
    settings, seed
        What it was made from.
    columns
        Columns of the session's table.
    truth
        What happened.
    disc
        (n,) grid of each exposure, from 1.
    """

    settings: SimulationSettings
    seed: int
    columns: dict[str, object]
    truth: Truth
    disc: I64

    @cached_property
    def session(self) -> Session:
        """The session as if it had been read from files."""
        from refimpl.epu.session import Session, table_of

        return Session(table=table_of(**self.columns))


@dataclass(frozen=True)
class _Rows:
    """Exposures, in the order in which they are planned; see the columns of the session."""

    visit: I64
    hole: I64
    shot: I64
    target_um: F64
    kind: I64


def simulate(settings: SimulationSettings | None = None, *, seed: int = 0) -> Simulated:
    """Simulate one session.

    Parameters
    ----------
    settings
        None: the defaults, about 2,300 exposures.
    seed
        Same settings and seed, same session, to the bit.

    Raises
    ------
    ConfigError
        The layout has no room for the mistakes that are asked for.
    """
    return _simulate(settings or SimulationSettings(), seed, None)


def large(n: int, seed: int = 0) -> Simulated:
    """Simulate ``n`` exposures for timings: 0.1 % duplicates or so, squares as many as needed."""
    settings = SimulationSettings(
        squares=max(1, int(np.ceil(n / 750.0))), hole_fraction=1.0,
        revisits=n // 120_000, overlaps=n // 20_000, missed=n // 120_000, singles=n // 4000,
        near_misses=n // 2000, other_diameters=0, equal_times=0, shot_s=6.0,
    )  # fmt: skip
    return _simulate(settings, seed, n)


def _simulate(settings: SimulationSettings, seed: int, limit: int | None) -> Simulated:
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(4)]
    squares, visits = plan(settings, streams[0])
    stage = _stage(squares, visits, settings, streams[1])
    rows = _exposed(squares, visits, settings, streams[1])
    rows = _with_near_misses(_with_singles(rows, settings, streams[1]), settings, streams[1])
    if limit is not None:
        rows = _Rows(*(getattr(rows, n)[:limit] for n in _Rows.__dataclass_fields__))
    matrix = matrix_of(settings)
    true_um, stage_um = rows.target_um, stage[rows.visit]
    n = len(true_um)
    shift = (true_um - stage_um) @ np.linalg.inv(matrix)
    shift += settings.beam_shift_noise * streams[2].normal(size=(n, 2))
    read_um = stage_um + settings.readback_um * streams[2].normal(size=(n, 2))
    columns, order = columns_of(
        rows.visit, rows.hole, rows.shot, shift, read_um, squares, visits, settings, streams[3]
    )
    truth = truth_of(
        matrix, lattice_of(settings), true_um[order], rows.kind[order], lacey=settings.lacey
    )
    square = np.array([v.square for v in visits])[rows.visit]
    disc = np.array([s.disc for s in squares])[square][order]
    return Simulated(settings, seed, columns, truth, disc)


def _stage(
    squares: list[Square], visits: list[Visit], settings: SimulationSettings,
    rng: np.random.Generator,
) -> F64:  # fmt: skip
    """(v, 2) [um] where the stage stops; a missed move leaves it where it was."""
    sent = np.array([squares[v.square].place(v.origin[None, :])[0] for v in visits])
    stage = sent + settings.landing_um / np.sqrt(2.0) * rng.normal(size=sent.shape)
    for i, visit in enumerate(visits):
        if visit.kind == "missed":
            stage[i] = stage[i - 1]
    return np.asarray(stage, dtype=np.float64)


def _exposed(
    squares: list[Square], visits: list[Visit], settings: SimulationSettings,
    rng: np.random.Generator,
) -> _Rows:  # fmt: skip
    """Holes of all visits with their shots; the kind tells holes that were exposed before."""
    ids: list[I64] = []
    nearest, free = [], settings.first_hole
    seen: list[set[tuple[int, int]]] = [set() for _ in squares]
    kinds, targets = [], []
    for visit in visits:
        if visit.same_ids:
            ids.append(ids[visit.copy_of])
        else:
            ids.append(free + np.arange(len(visit.sites)))
            free += len(visit.sites)
        before = seen[visit.square]
        sites = [tuple(s) for s in visit.sites.tolist()]
        # An ordinary group meets an exposed hole only where a misplaced one took it before.
        code = KIND_CODES["overlap" if visit.kind == "normal" else visit.kind]
        kinds.append([code if s in before else 0 for s in sites])
        before.update(sites)
        targets.append(squares[visit.square].place(visit.sites))
        nearest.append(len(sites))
    centres = np.concatenate(targets)
    centres = centres + settings.centring_um / np.sqrt(2.0) * rng.normal(size=centres.shape)
    shots, m = shots_of(settings), len(centres)
    order = rng.permutation(settings.shots)
    return _Rows(
        visit=np.repeat(np.repeat(np.arange(len(visits)), nearest), settings.shots),
        hole=np.repeat(np.concatenate(ids), settings.shots),
        shot=np.tile(order, m),
        target_um=np.repeat(centres, settings.shots, axis=0) + np.tile(shots[order], (m, 1)),
        kind=np.repeat(np.concatenate(kinds).astype(np.int64), settings.shots),
    )


def _inserted(rows: _Rows, after: I64, new: _Rows) -> _Rows:
    """Put new rows after rows of these numbers."""
    order = np.argsort(np.concatenate([np.arange(len(rows.visit)), after + 0.5]), kind="stable")
    return _Rows(*(
        np.concatenate([getattr(rows, n), getattr(new, n)])[order]
        for n in _Rows.__dataclass_fields__
    ))  # fmt: skip


def _chosen(rows: _Rows, keep: I64) -> _Rows:
    return _Rows(*(getattr(rows, n)[keep] for n in _Rows.__dataclass_fields__))


def _with_singles(rows: _Rows, settings: SimulationSettings, rng: np.random.Generator) -> _Rows:
    """Take some shots again later in their visit: same hole, same area, centred anew."""
    n = len(rows.visit)
    which = np.sort(rng.permutation(n)[: settings.singles])
    last = np.searchsorted(rows.visit, rows.visit[which], side="right") - 1
    after = which + np.floor(rng.random(len(which)) * (last - which + 1)).astype(np.int64)
    again = _chosen(rows, which)
    moved = settings.centring_um / np.sqrt(2.0) * rng.normal(size=(len(which), 2))
    kind = np.full(len(which), KIND_CODES["single"])
    return _inserted(rows, after, replace(again, target_um=again.target_um + moved, kind=kind))


def _with_near_misses(rows: _Rows, settings: SimulationSettings, rng: np.random.Generator) -> _Rows:
    """Add shots of new holes that come near an exposure, and within the near span of none."""
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
    new = _chosen(rows, tries[pick])
    hole = rows.hole.max(initial=settings.first_hole) + 1 + np.arange(len(pick))
    kind = np.full(len(pick), KIND_CODES["near"])
    return _inserted(rows, tries[pick], replace(new, hole=hole, target_um=at[pick], kind=kind))


KIND_CODES = {
    "normal": 0, "revisit": 1, "overlap": 2, "missed": 3, "single": 4, "near": 5,
}  # fmt: skip
assert RADIUS_UM < 0.25
