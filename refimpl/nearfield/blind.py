"""Orientations of voxels without a list of seeds: the whole fundamental zone, coarse to fine.

A sparse even cover of the zone is compared with the stack at its coarsest level; the best
candidates are grouped in regions and followed down (:mod:`refimpl.nearfield.levels`), then climbed
from on the sharp stack (:mod:`refimpl.nearfield.refine`).
Vectors are in the MIDAS near-field frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64, I64
from refimpl.nearfield.fit_settings import SearchSettings, check_numbers
from refimpl.nearfield.levels import Level, follow, levels_down
from refimpl.nearfield.refine import climbed, scattered
from refimpl.nearfield.search import topped
from refimpl.nearfield.seeds import uniform_seeds
from refimpl.nearfield.solutions import Solutions, Tried, settled
from refimpl.objective.overlap import Screened, screen
from refimpl.rotations import matrix_of_quaternion, quaternion_of_matrix
from refimpl.scaleout import checkpoint
from refimpl.units import DEG

__all__ = ["BlindSettings", "Pyramid", "blind_search"]

_GROUP = 1.5  # candidates this many reaches apart are of two regions


@dataclass(frozen=True)
class BlindSettings:
    """How the whole zone is searched.

    Attributes
    ----------
    spacing_rad
        Of the cover of the fundamental zone: no orientation is farther from the nearest.
    kept
        Candidates of a voxel that are kept at the coarsest level.
    regions, narrow, fewest
        Groups of them that are followed, the best first; share of them that is followed from each
        level, but at least so many.
    region_kept
        Orientations of a region that are followed from each level.
    children
        Points strewn about each.
    sharp_rad
        Reach at which the climb on the sharp stack begins.
    """

    spacing_rad: float = 2.4 * DEG
    kept: int = 96
    regions: int = 40
    narrow: float = 0.4
    fewest: int = 6
    region_kept: int = 3
    children: int = 128
    sharp_rad: float = 0.2 * DEG

    def __post_init__(self) -> None:
        shares = ("spacing_rad", "sharp_rad", "narrow")
        check_numbers(self, shares, lambda v: 0.0 < v <= 1.0, "more than 0, at most 1")
        counts = ("kept", "regions", "fewest", "region_kept", "children")
        check_numbers(self, counts, lambda v: v >= 1, "1 or more")


@dataclass(frozen=True, eq=False)
class Pyramid:
    """A stack at every level, coarsest first, and the cover of the zone.

    Attributes
    ----------
    setup, lit
        The sharp stack.
    settings
        How it is searched.
    """

    setup: Setup
    lit: LitPixels
    settings: BlindSettings

    @classmethod
    def made(
        cls, setup: Setup, lit: LitPixels, settings: BlindSettings, seeds: F64,
        levels: tuple[Level, ...],
    ) -> Pyramid:  # fmt: skip
        """Pyramid whose cover and levels another one has made."""
        out = cls(setup, lit, settings)
        out.__dict__.update(seeds=seeds, levels=levels)  # where cached_property keeps them
        return out

    @cached_property
    def seeds(self) -> F64:
        """(o, 3, 3) cover of the fundamental zone."""
        group = operators(self.setup.space_group, self.setup.cell)
        return matrix_of_quaternion(uniform_seeds(self.settings.spacing_rad, group))

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Levels of falling reach."""
        s = self.settings
        return levels_down(self.setup, self.lit, s.spacing_rad, s.sharp_rad)


def blind_search(vertices: F64, pyramid: Pyramid, settings: SearchSettings) -> Solutions:
    """Find the orientation of each voxel, whatever it is.

    Parameters
    ----------
    vertices
        (v, k, 2) corners of the voxels [mm].
    pyramid
        The stack and the cover.
    settings
        How solutions are fitted and which are kept.

    Returns
    -------
    One row per voxel; `seed` is the row in the cover of the best candidate of the region that won,
    `n_kept` counts the candidates kept at the coarsest level.
    """
    coarsest, seeds = pyramid.levels[0], pyramid.seeds
    kept = screen(
        vertices, seeds, coarsest.setup, coarsest.lit, least=settings.least,
        keep=pyramid.settings.kept, threads=1,
    )  # fmt: skip
    group = operators(pyramid.setup.space_group, pyramid.setup.cell)
    spent = np.full(len(vertices), len(seeds), dtype=np.int64)
    parts = [Tried(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, 3, 3)), np.zeros(0))]
    for i in range(len(vertices)):
        checkpoint()
        got, n = _one(i, vertices[i], kept, pyramid, group, settings)
        parts.append(got)
        spent[i] += n
    tried = Tried(
        np.concatenate([p.voxel for p in parts]), np.concatenate([p.seed for p in parts]),
        np.concatenate([p.orientations for p in parts]),
        np.concatenate([p.confidence for p in parts]),
    )  # fmt: skip
    tried = topped(vertices, tried, spent, pyramid.setup, pyramid.lit, settings.fit)
    return settled(
        vertices, tried, np.diff(kept.start), spent, pyramid.setup, pyramid.lit,
        n_saved=settings.n_saved, angle_rad=settings.saved_angle_rad, operators=group,
    )  # fmt: skip


def _one(
    i: int,
    corners: F64,
    kept: Screened,
    pyramid: Pyramid,
    group: F64,
    settings: SearchSettings,
) -> tuple[Tried, int]:
    """Follow the regions of one voxel down the levels; its candidates, and evaluations."""
    rows = kept.orientation[kept.start[i] : kept.start[i + 1]]
    founders, members = _regions(pyramid.seeds[rows], pyramid, group)
    s = pyramid.settings
    parents = [pyramid.seeds[rows[mine[: s.region_kept]]] for mine in members]
    starts, region, spent = follow(
        corners, parents, pyramid.levels, children=s.children, kept=s.region_kept,
        narrow=s.narrow, fewest=s.fewest,
    )  # fmt: skip
    seed = rows[np.array(founders, dtype=np.int64)[region]]
    tried, n = _sharp(corners, starts, pyramid, settings)
    return (
        Tried(
            np.full(len(tried[1]), i), seed[tried[2]].astype(np.int64), tried[0],
            tried[1],
        ),
        spent + n,
    )  # fmt: skip


def _regions(seeds: F64, pyramid: Pyramid, group: F64) -> tuple[list[int], list[I64]]:
    """Group candidates, best first, around the first that is far from all others before it."""
    q = quaternion_of_matrix(seeds)
    apart = _GROUP * pyramid.levels[0].reach_rad
    founders: list[int] = []
    members: list[list[int]] = []
    for row in range(len(q)):
        if founders:
            here = np.repeat(q[row][None], len(founders), axis=0)
            angle = misorientation(q[founders], here, group)
            nearest = int(angle.argmin())
            if angle[nearest] < apart:
                members[nearest].append(row)
                continue
        if len(founders) < pyramid.settings.regions:
            founders.append(row)
            members.append([row])
    return founders, [np.array(m, dtype=np.int64) for m in members]


def _sharp(
    corners: F64, starts: F64, pyramid: Pyramid, settings: SearchSettings
) -> tuple[tuple[F64, F64, I64], int]:
    """Climb on the sharp stack from every start; strew points about the best if that is low.

    Orientations, confidences and the row of the start of each; evaluations.
    """
    fit, many = settings.fit, np.repeat(corners[None], len(starts), axis=0)
    if not len(starts):
        return (starts, np.zeros(0), np.zeros(0, dtype=np.int64)), 0
    sharp = (pyramid.setup, pyramid.lit, fit)
    got = climbed(many, starts, *sharp, fit.first_edges_rad, fit.first_size_rad)
    spent = int(got.evaluations.sum())
    near = np.flatnonzero(got.confidence >= got.confidence.max() - fit.behind)
    again = climbed(many[near], got.orientations[near], *sharp, fit.edges_rad, fit.size_rad)
    spent += int(again.evaluations.sum())
    u, c, row = got.orientations.copy(), got.confidence.copy(), np.arange(len(starts))
    u[near], c[near] = again.orientations, again.confidence
    if fit.scatter_least <= c.max() < fit.scatter_below:
        first = np.argsort(-c, kind="stable")[: fit.scatter_starts]
        more = scattered(many[first], u[first], *sharp)
        spent += int(more.evaluations.sum())
        u, c = np.concatenate([u, more.orientations]), np.concatenate([c, more.confidence])
        row = np.concatenate([row, first])
    return (u, c, row), spent
