r"""Orientations of voxels without a list of seeds: the whole fundamental zone, coarse to fine.

A sharp stack shows an orientation only within about 0.3 degrees, so that a list of a million would
be needed (spec 5.3). Here the lit pixels are made coarse first, in cells that are as large as an
error of the sparse cover moves a spot, and dilated by one: then the cover's nearest orientation
shows. Its surroundings are strewn with points, these are compared at the next finer level, and so
on until the climb on the sharp stack begins. Twins share many reflections and win at coarse levels;
so candidates are grouped in regions, each region is followed down on its own, and only the sharp
stack decides between them.
Vectors are in the MIDAS near-field frame. Not here: the climb (:mod:`refimpl.nearfield.refine`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from refimpl.crystal.misorientation import misorientation
from refimpl.crystal.symmetry_operators import operators
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64, I64
from refimpl.imaging.lit_pixels import LitPixels
from refimpl.nearfield.refine import climbed, points_in_ball, scattered, turned
from refimpl.nearfield.search import SearchSettings, topped
from refimpl.nearfield.seeds import uniform_seeds
from refimpl.nearfield.solutions import Solutions, Tried, settled
from refimpl.objective.overlap import Screened, coarser_setup, confidence, screen
from refimpl.rotations import matrix_of_quaternion, quaternion_of_matrix
from refimpl.scaleout import checkpoint
from refimpl.units import DEG

__all__ = ["BlindSettings", "Level", "Pyramid", "blind_search"]

_GROUP = 2.5  # candidates this many reaches apart are of two regions


@dataclass(frozen=True)
class BlindSettings:
    """How the whole zone is searched.

    Attributes
    ----------
    spacing_rad
        Of the cover of the fundamental zone: no orientation is farther from the nearest.
    kept
        Candidates of a voxel that are kept at the coarsest level.
    regions
        Groups of them that are followed, the best first.
    region_kept
        Orientations of a region that are followed from one level to the next.
    children
        Points strewn about each.
    shrink
        Reach of a level in that of the one before: how densely the children lie.
    sharp_rad
        Reach at which the climb on the sharp stack begins.
    """

    spacing_rad: float = 2.4 * DEG
    kept: int = 48
    regions: int = 4
    region_kept: int = 4
    children: int = 128
    shrink: float = 0.35
    sharp_rad: float = 0.35 * DEG

    def __post_init__(self) -> None:
        for name in ("spacing_rad", "sharp_rad"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(
                    f"BlindSettings: {name} {getattr(self, name)}: expected 0 to 1 rad", key=name
                )
        for name in ("kept", "regions", "region_kept", "children"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"BlindSettings: {name} {getattr(self, name)}: expected 1 or more", key=name
                )
        if not 0.0 < self.shrink < 1.0:
            raise ConfigError(f"BlindSettings: shrink {self.shrink}: expected 0 to 1", key="shrink")


@dataclass(frozen=True, eq=False)
class Level:
    """One level of the pyramid: what is compared with what.

    Attributes
    ----------
    reach_rad
        Error of an orientation that still shows here.
    px_bits, frame_bits
        Cells of 2^px_bits px by 2^frame_bits frames, dilated by one cell each way.
    setup, lit
        Of these cells.
    """

    reach_rad: float
    px_bits: int
    frame_bits: int
    setup: Setup
    lit: LitPixels


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

    @cached_property
    def seeds(self) -> F64:
        """(o, 3, 3) cover of the fundamental zone."""
        group = operators(self.setup.space_group)
        return matrix_of_quaternion(uniform_seeds(self.settings.spacing_rad, group))

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """Levels of falling reach.

        An error of the orientation moves a spot along its ring, by the error times the ring's
        radius, and in omega; a cell with its dilation covers one to two of its own sizes.
        """
        detector, scan = self.setup.detector, self.setup.scan
        radius = detector.lsd_mm[0] * np.tan(2.0 * self.setup.reflections.theta_rad)
        arc_px = float(np.median(radius)) / detector.pixel_size_mm if len(radius) else 1.0
        whole = abs(abs(scan.step_rad) * scan.n_frames - 2.0 * np.pi) < 0.5 * abs(scan.step_rad)
        out, reach = [], self.settings.spacing_rad
        while True:
            px = max(0, int(np.floor(np.log2(max(0.5 * reach * arc_px, 1.0)))))
            frames = max(0, int(np.floor(np.log2(max(reach / abs(scan.step_rad), 1.0)))))
            out.append(
                Level(
                    reach, px, frames, coarser_setup(self.setup, px, frames),
                    self.lit.coarser(px, frames, dilate=1, wraps=whole),
                )
            )  # fmt: skip
            reach *= self.settings.shrink
            if reach <= self.settings.sharp_rad:
                return tuple(out)


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
    group = operators(pyramid.setup.space_group)
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
    s, spent = pyramid.settings, 0
    ends, seed = [], []
    for founder, mine in zip(founders, members, strict=True):
        here = pyramid.seeds[rows[mine[: s.region_kept]]]
        reach = pyramid.levels[0].reach_rad
        for level in pyramid.levels[1:]:
            here, n = _finer(corners, here, reach, level, s)
            reach, spent = level.reach_rad, spent + n
        ends.append(here)
        seed += [rows[founder]] * len(here)
    starts = np.concatenate(ends) if ends else np.zeros((0, 3, 3))
    tried, n = _sharp(corners, starts, pyramid, settings)
    return (
        Tried(
            np.full(len(tried[1]), i), np.array(seed, dtype=np.int64)[tried[2]], tried[0],
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


def _finer(
    corners: F64, parents: F64, reach_rad: float, level: Level, s: BlindSettings
) -> tuple[F64, int]:
    """Best of the points strewn about the parents, at the next level."""
    vectors = points_in_ball(s.children) * reach_rad
    strewn = turned(parents[:, None], vectors).reshape(-1, 3, 3)
    c = confidence(corners, strewn, level.setup, level.lit, threads=1).confidence
    best = np.argsort(-c, kind="stable")[: s.region_kept]
    return strewn[best], len(strewn)


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
