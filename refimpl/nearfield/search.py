"""Orientations of voxels from a list of seeds: screen all, fit what passes, keep the best.

Every seed is compared with every voxel as it stands; those whose confidence is at least
MinFracAccept are fitted, the best first. The order of voxels and their number at a time change
nothing: each voxel is a matter of its own. A last step looks at neighbours
(:func:`disputed`, :func:`from_neighbours`); the published keyword for it, NearestMisorientation, is
read by all published programs and acted on by none (spec 1.9).
Vectors are in the MIDAS near-field frame. Not here: no seeds at all
(:mod:`refimpl.nearfield.blind`), and whole maps (:mod:`refimpl.nearfield.reconstruct`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Setup, Voxels
from refimpl.frames import F64, I64
from refimpl.nearfield.compare import neighbours
from refimpl.nearfield.levels import Level, follow, levels_down
from refimpl.nearfield.refine import FitSettings, centred, climbed, published_fit
from refimpl.nearfield.settings import SearchTable
from refimpl.nearfield.solutions import Solutions, Tried, settled
from refimpl.objective.overlap import Screened, confidence, screen
from refimpl.rotations import matrix_of_euler, quaternion_of_euler
from refimpl.units import DEG

__all__ = [
    "SearchSettings",
    "disputed",
    "from_neighbours",
    "levels_of",
    "neighbour_table",
    "search",
    "topped",
]

_ENDS = 10  # orientations of a seed that are followed from each level
_SHARP = 0.1 * DEG  # reach at which a climb begins whatever the seeds were

PUBLISHED_ENOUGH = 1.0 - 1e-4
"""Confidence at which the published fit of a voxel stops, if one solution is asked for."""


@dataclass(frozen=True)
class SearchSettings:
    """How the orientations of voxels are looked for.

    Attributes
    ----------
    least
        MinFracAccept: seeds are fitted from this confidence on.
    n_saved
        SaveNSolutions.
    saved_angle_rad
        MinMisoNSaves: saved solutions differ at least by this.
    disputed_angle_rad
        NearestMisorientation: voxels whose nearest neighbours all differ by more are fitted again
        from theirs; None: no such step.
    fit
        How a candidate is fitted.
    """

    least: float = 0.04
    n_saved: int = 1
    saved_angle_rad: float = 1.0 * DEG
    disputed_angle_rad: float | None = None
    fit: FitSettings = field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        if not 0.0 <= self.least <= 1.0:
            raise ConfigError(f"MinFracAccept {self.least}: expected 0 to 1", key="MinFracAccept")
        if self.n_saved < 1:
            raise ConfigError(
                f"SaveNSolutions {self.n_saved}: expected 1 or more", key="SaveNSolutions"
            )
        for key, value in (
            ("MinMisoNSaves", self.saved_angle_rad),
            ("NearestMisorientation", self.disputed_angle_rad),
        ):
            if value is not None and not 0.0 <= value <= np.pi:
                raise ConfigError(f"{key} {value} rad: expected 0 to pi", key=key, got=value)


def settings_of(table: SearchTable, fit: FitSettings | None = None) -> SearchSettings:
    """Settings of a configuration or a published parameter file; degrees become radians here.

    Parameters
    ----------
    table
        Of the configuration.
    fit
        How a candidate is fitted; its tolerance is replaced by the table's.
    """
    angle = table.nearest_misorientation_deg
    return SearchSettings(
        least=table.min_confidence,
        n_saved=table.n_solutions,
        saved_angle_rad=min(table.min_solution_deg * DEG, np.pi),
        disputed_angle_rad=min(angle * DEG, np.pi) if angle > 0.0 else None,
        fit=replace(fit or FitSettings(), tolerance_rad=table.orient_tol_deg * DEG),
    )


def levels_of(setup: Setup, lit: LitPixels, settings: SearchSettings) -> tuple[Level, ...]:
    """Levels on which seeds are found that are wrong by more than a sharp stack shows."""
    fit = settings.fit
    return levels_down(setup, lit, min(fit.reach_rad, fit.tolerance_rad), _SHARP)


def search(
    vertices: F64,
    seeds: F64,
    setup: Setup,
    lit: LitPixels,
    settings: SearchSettings,
    levels: Sequence[Level] | None = None,
) -> Solutions:
    """Find the orientation of each voxel among seeds and near them.

    Parameters
    ----------
    vertices
        (v, k, 2) corners of the voxels [mm].
    seeds
        (o, 3, 3) orientations, crystal to sample.
    setup
        The experiment; the rings that count are those of its reflections (RingsToUse:
        :meth:`~refimpl.crystal.hkls_csv.HklTable.of_rings`).
    lit
        Lit pixels.
    settings
        How.
    levels
        Of :func:`levels_of`, where they are at hand.

    Returns
    -------
    One row per voxel, always. Of candidates that are equally good the one whose seed was better
    is taken, then the one of the smaller row (the published program takes the last).
    """
    screened = screen(vertices, seeds, setup, lit, least=settings.least, threads=1)
    n_kept = np.diff(screened.start)
    if settings.fit.method == "published":
        tried, spent = _published(vertices, seeds, screened, setup, lit, settings)
    else:
        levels = levels_of(setup, lit, settings) if levels is None else levels
        tried, spent = _restarted(vertices, seeds, screened, setup, lit, settings, levels)
    return settled(
        vertices, tried, n_kept, spent + len(seeds), setup, lit, n_saved=settings.n_saved,
        angle_rad=settings.saved_angle_rad, operators=operators(setup.space_group),
    )  # fmt: skip


def _restarted(
    vertices: F64,
    seeds: F64,
    kept: Screened,
    setup: Setup,
    lit: LitPixels,
    s: SearchSettings,
    levels: Sequence[Level],
) -> tuple[Tried, I64]:
    """Fit by climbing; the candidates by falling rank, then what the coarse levels found."""
    voxel = np.repeat(np.arange(len(vertices)), np.diff(kept.start))
    rank = np.arange(len(voxel)) - kept.start[voxel]
    tried = Tried(
        voxel, kept.orientation.astype(np.int64), seeds[kept.orientation], kept.confidence.copy()
    )
    best, spent = np.zeros(len(vertices)), np.zeros(len(vertices), dtype=np.int64)

    def climb(rows: I64, edges: tuple[float, ...], size: float) -> None:
        at = tried.voxel[rows]
        got = climbed(vertices[at], tried.orientations[rows], setup, lit, s.fit, edges, size)
        near = _within(got.orientations, seeds[tried.seed[rows]], s.fit.tolerance_rad)
        tried.orientations[rows[near]] = got.orientations[near]
        tried.confidence[rows[near]] = got.confidence[near]
        np.maximum.at(best, at, tried.confidence[rows])
        np.add.at(spent, at, got.evaluations)

    alone = s.n_saved == 1  # then a voxel is done when one of its candidates is good enough
    for r in range(int(rank.max(initial=-1)) + 1) if alone else (None,):
        turn = slice(None) if r is None else rank == r
        done = alone & (best[voxel[turn]] >= s.fit.enough)
        rows = np.arange(len(voxel))[turn][~done]
        climb(rows, s.fit.first_edges_rad, s.fit.first_size_rad)
    level = best[voxel] - s.fit.behind if alone else np.zeros(len(voxel))
    open_ = tried.confidence < s.fit.enough
    open_ &= (best[voxel] < s.fit.enough) | (not alone)
    climb(np.flatnonzero(open_ & (tried.confidence >= level)), s.fit.edges_rad, s.fit.size_rad)
    tried = tried + _followed(vertices, seeds, best, spent, setup, lit, s, levels)
    return topped(vertices, tried, spent, setup, lit, s.fit), spent


def _within(found: F64, starts: F64, tolerance_rad: float) -> NDArray[np.bool_]:
    """(n,) whether the rotation from start to end is within OrientTol."""
    trace = sum(found[:, i, j] * starts[:, i, j] for i in range(3) for j in range(3))
    return np.asarray(0.5 * (trace - 1.0) >= np.cos(tolerance_rad))


def _followed(
    vertices: F64,
    seeds: F64,
    best: F64,
    spent: I64,
    setup: Setup,
    lit: LitPixels,
    s: SearchSettings,
    levels: Sequence[Level],
) -> Tried:
    """Follow seeds down the levels, for voxels whose confidence stayed low."""
    fit, top = s.fit, levels[0]
    low = np.flatnonzero(best < fit.scatter_below) if fit.reach_starts else np.zeros(0, np.int64)
    kept = screen(
        vertices[low], seeds, top.setup, top.lit, least=fit.reach_least, keep=fit.reach_starts or 1,
        threads=1,
    )  # fmt: skip
    spent[low] += len(seeds)
    voxel, seed, starts = [], [], []
    for n, i in enumerate(low):
        rows = slice(kept.start[n], kept.start[n + 1])
        # what a seed shows at its reach, nothing within that reach can beat
        mine = kept.orientation[rows][kept.confidence[rows] > best[i]]
        ends, region, asked = follow(
            vertices[i], [seeds[r][None] for r in mine], levels, children=fit.reach_points,
            kept=_ENDS, narrow=0.0, fewest=2, floor=best[i],
        )  # fmt: skip
        if len(ends) > fit.reach_climbs:
            c = confidence(vertices[i], ends, setup, lit, threads=1).confidence
            first = np.argsort(-c, kind="stable")[: fit.reach_climbs]
            ends, region, asked = ends[first], region[first], asked + len(c)
        spent[i] += asked
        voxel.append(np.full(len(ends), i))
        seed.append(mine[region])
        starts.append(ends)
    at = np.concatenate([np.zeros(0, np.int64), *voxel])
    row = np.concatenate([np.zeros(0, np.int64), *seed]).astype(np.int64)
    u = np.concatenate([np.zeros((0, 3, 3)), *starts])
    got = climbed(vertices[at], u, setup, lit, fit, fit.edges_rad, fit.size_rad)
    np.add.at(spent, at, got.evaluations)
    ok = _within(got.orientations, seeds[row], fit.tolerance_rad)
    return Tried(at[ok], row[ok], got.orientations[ok], got.confidence[ok])


def topped(
    vertices: F64, tried: Tried, spent: I64, setup: Setup, lit: LitPixels, fit: FitSettings
) -> Tried:
    """Move the best candidate of each voxel to the middle of its plateau."""
    if not len(tried.voxel):
        return tried
    order = np.lexsort((np.arange(len(tried.voxel)), -tried.confidence, tried.voxel))
    first = order[np.flatnonzero(np.diff(tried.voxel[order], prepend=-1))]
    at = tried.voxel[first]
    got = centred(vertices[at], tried.orientations[first], tried.confidence[first], setup, lit, fit)
    spent[at] += got.evaluations
    tried.orientations[first], tried.confidence[first] = got.orientations, got.confidence
    return tried


def _published(
    vertices: F64, seeds: F64, kept: Screened, setup: Setup, lit: LitPixels, s: SearchSettings
) -> tuple[Tried, I64]:
    """Fit as published, in the order of the seeds; of equals the last (spec 1.9)."""
    voxel, seed, orientations, values = [], [], [], []
    spent = np.zeros(len(vertices), dtype=np.int64)
    for i in range(len(vertices)):
        rows = np.sort(kept.orientation[kept.start[i] : kept.start[i + 1]])
        fits = []
        for row in rows:
            got = published_fit(vertices[i], seeds[row], setup, lit, s.fit)
            spent[i] += got.evaluations[0]
            fits.append((i, int(row), got.orientations[0], got.confidence[0]))
            if s.n_saved == 1 and got.confidence[0] > PUBLISHED_ENOUGH:
                break
        for at, row, u, c in reversed(fits):  # the first of equals is taken: the last seed
            voxel.append(at)
            seed.append(row)
            orientations.append(u)
            values.append(c)
    return (
        Tried(
            np.array(voxel, dtype=np.int64), np.array(seed, dtype=np.int64),
            np.array(orientations).reshape(-1, 3, 3), np.array(values, dtype=np.float64),
        ),
        spent,
    )  # fmt: skip


def neighbour_table(voxels: Voxels) -> I64:
    """(v, m) rows of the voxels that share an edge with each, -1 where there are fewer.

    Parameters
    ----------
    voxels
        The grid; see :func:`refimpl.nearfield.compare.neighbours`.
    """
    pairs = neighbours(voxels)
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    count = np.bincount(both[:, 0], minlength=len(voxels))
    out = np.full((len(voxels), int(count.max(initial=0))), -1, dtype=np.int64)
    place = np.arange(len(both)) - np.repeat(np.cumsum(count) - count, count)
    out[both[:, 0], place] = both[:, 1]
    return out


def disputed(euler_rad: F64, nearest: I64, angle_rad: float, space_group: int) -> NDArray[np.bool_]:
    """(v,) voxels whose nearest neighbours all differ from them by more than an angle.

    Neighbours without a solution say nothing; a voxel without one is disputed if any of its
    neighbours has one. A voxel whose neighbours all say nothing is not disputed.

    Parameters
    ----------
    euler_rad
        (v, 3) orientations, NaN without a solution.
    nearest
        (v, m) of :func:`neighbour_table`.
    angle_rad
        NearestMisorientation.
    space_group
        Number.
    """
    q = quaternion_of_euler(euler_rad)
    solved: NDArray[np.bool_] = np.asarray(np.isfinite(euler_rad).all(axis=1))
    there = (nearest >= 0) & solved[nearest]
    i, j = np.nonzero(there)
    angle = np.full(nearest.shape, np.inf)
    angle[i, j] = misorientation(q[i], q[nearest[i, j]], operators(space_group))
    angle = np.where(np.isnan(angle), np.inf, angle)  # of a voxel without a solution
    return np.asarray(there.any(axis=1) & ~(there & (angle <= angle_rad)).any(axis=1))


def from_neighbours(
    vertices: F64,
    before: Solutions,
    orientations: F64,
    setup: Setup,
    lit: LitPixels,
    settings: SearchSettings,
) -> Solutions:
    """Fit voxels again from the orientations of their neighbours; accepted only if better.

    Parameters
    ----------
    vertices
        (v, k, 2) corners [mm].
    before
        (v rows) what they have; kept where the new confidence is not larger. Their saved solutions
        stay candidates.
    orientations
        (v, m, 3) Euler angles of the neighbours, NaN where there is none.
    setup, lit, settings
        As of :func:`search`.
    """
    v, d = len(vertices), np.isfinite(orientations[:, :, 0])
    at, which = np.nonzero(d)
    starts = matrix_of_euler(orientations[at, which])
    fit = settings.fit
    got = climbed(vertices[at], starts, setup, lit, fit, fit.first_edges_rad, fit.first_size_rad)
    spent = np.bincount(at, weights=got.evaluations, minlength=v).astype(np.int64)
    got = climbed(vertices[at], got.orientations, setup, lit, fit, fit.edges_rad, fit.size_rad)
    spent += np.bincount(at, weights=got.evaluations, minlength=v).astype(np.int64)
    mine, slot = np.nonzero(np.isfinite(before.euler_rad[:, :, 0]))
    old = Tried(
        mine, before.seed[mine], matrix_of_euler(before.euler_rad[mine, slot]),
        before.confidence[mine, slot],
    )  # fmt: skip
    tried = old + Tried(at, np.full(len(at), -1), got.orientations, got.confidence)
    new = settled(
        vertices, tried, before.n_kept, before.evaluations + spent, setup, lit,
        n_saved=settings.n_saved, angle_rad=settings.saved_angle_rad,
        operators=operators(setup.space_group),
    )  # fmt: skip
    worse = np.flatnonzero(~(new.confidence[:, 0] > before.confidence[:, 0]))
    kept = before.rows(worse)
    return new.changed(worse, kept).counted(new.evaluations)
