"""Orientations of voxels from a list of seeds: screen all, fit what passes, keep the best.

Every seed is compared with every voxel as it stands; those whose confidence is at least
MinFracAccept are fitted, the best first. The order of voxels and their number at a time change
nothing: each voxel is a matter of its own.
Vectors are in the MIDAS near-field frame. Not here: no seeds at all
(:mod:`refimpl.nearfield.blind`), a second look at neighbours
(:mod:`refimpl.nearfield.neighbourhood`), and whole maps (:mod:`refimpl.nearfield.reconstruct`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.crystal.symmetry_operators import operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64, I64
from refimpl.nearfield.fit_settings import FitSettings, SearchSettings, settings_of
from refimpl.nearfield.levels import Level, follow, levels_down
from refimpl.nearfield.refine import centred, climbed, published_fit, within
from refimpl.nearfield.solutions import Solutions, Tried, settled
from refimpl.objective.overlap import Screened, confidence, screen
from refimpl.units import DEG

__all__ = ["SearchSettings", "best_of_each", "levels_of", "search", "settings_of", "topped"]

_ENDS = 4  # orientations of a seed that are followed from each level
_NEAR = 0.1  # a first climb that ends this far below the best of its voxel is not finished
_SHARP = 0.1 * DEG  # reach at which a climb begins whatever the seeds were

PUBLISHED_ENOUGH = 1.0 - 1e-4
"""Confidence at which the published fit of a voxel stops, if one solution is asked for."""


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
        tried, spent = _restarted(vertices, seeds, screened, setup, lit, settings, levels)
    return settled(
        vertices, tried, n_kept, spent + len(seeds), setup, lit, n_saved=settings.n_saved,
        angle_rad=settings.saved_angle_rad, operators=operators(setup.space_group, setup.cell),
    )  # fmt: skip


def _restarted(
    vertices: F64,
    seeds: F64,
    kept: Screened,
    setup: Setup,
    lit: LitPixels,
    s: SearchSettings,
    levels: Sequence[Level] | None,
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
        near = within(got.orientations, seeds[tried.seed[rows]], s.fit.tolerance_rad)
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
    if s.fit.reach_starts:
        levels = levels_of(setup, lit, s) if levels is None else levels
        tried = tried + _followed(vertices, seeds, best, spent, setup, lit, s, levels)
    return topped(vertices, tried, spent, setup, lit, s.fit), spent


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
    low = np.flatnonzero(best < fit.scatter_below)
    kept = screen(
        vertices[low], seeds, top.setup, top.lit, least=fit.reach_least, keep=fit.reach_starts,
        threads=1,
    )  # fmt: skip
    spent[low] += len(seeds)
    voxel, seed, starts = [], [], []
    for n, i in enumerate(low):
        rows = slice(kept.start[n], kept.start[n + 1])
        floor = max(best[i], s.worth)
        mine = kept.orientation[rows][kept.confidence[rows] > floor - fit.reach_behind]
        ends, region, asked = follow(
            vertices[i], [seeds[r][None] for r in mine], levels, children=fit.reach_points,
            kept=_ENDS, narrow=0.0, fewest=fit.reach_starts, floor=floor,
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
    if fit.reach_last < fit.reach_climbs:
        got = climbed(vertices[at], u, setup, lit, fit, fit.edges_rad[:1], fit.first_size_rad)
        np.add.at(spent, at, got.evaluations)
        last = best_of_each(at, got.confidence, fit.reach_last)
        last = last[got.confidence[last] >= best[at[last]] - _NEAR]
        at, row, u = at[last], row[last], got.orientations[last]
    got = climbed(vertices[at], u, setup, lit, fit, fit.edges_rad, fit.size_rad)
    np.add.at(spent, at, got.evaluations)
    ok = within(got.orientations, seeds[row], fit.tolerance_rad)
    return Tried(at[ok], row[ok], got.orientations[ok], got.confidence[ok])


def best_of_each(voxel: I64, values: F64, n: int) -> I64:
    """Rows of the n best values of each voxel, best first; of equals the earlier row."""
    order = np.lexsort((np.arange(len(voxel)), -values, voxel))
    falling = voxel[order]
    return order[np.arange(len(order)) - np.searchsorted(falling, falling) < n]


def topped(
    vertices: F64, tried: Tried, spent: I64, setup: Setup, lit: LitPixels, fit: FitSettings
) -> Tried:
    """Move the best candidate of each voxel to the middle of its plateau."""
    if not len(tried.voxel):
        return tried
    first = best_of_each(tried.voxel, tried.confidence, 1)
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
