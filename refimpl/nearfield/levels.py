"""Coarse levels of a stack of lit pixels, and the way down them from sparse orientations.

A sharp stack shows an orientation only within about 0.3 degrees (spec 5.3). With cells as large as
an error of the orientation moves a spot, dilated by one, it shows at that error too; its
surroundings are then strewn with points, which are compared at the next finer level, and so on.
Twins, and other grains that lie near, win at coarse levels: candidates that are far apart are
followed side by side, fewer of them at each level, and the sharp stack decides.
Vectors are in the MIDAS near-field frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from refimpl.detector.lit_pixels import LitPixels
from refimpl.forward.nearfield_setup import Setup
from refimpl.frames import F64, I64
from refimpl.nearfield.refine import points_in_ball, turned
from refimpl.objective.overlap import coarser_setup, confidence

__all__ = ["Level", "follow", "level_of", "levels_down"]

_MADE: WeakKeyDictionary[LitPixels, list[tuple[Setup, tuple[float, float], tuple[Level, ...]]]] = (
    WeakKeyDictionary()
)  # a coarse-to-fine run needs the same ones for every pass

SHRINK = 0.35
"""Reach of a level in that of the one before: about 128 points fill a ball that densely."""


@dataclass(frozen=True, eq=False)
class Level:
    """One level: what is compared with what.

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


def level_of(setup: Setup, lit: LitPixels, reach_rad: float) -> Level:
    """Level at which orientations show that are wrong by at most an angle.

    An error moves a spot along its ring, by the angle times the ring's radius, and in omega; a
    cell with its dilation covers one to two of its own sizes.
    """
    detector, scan = setup.detector, setup.scan
    radius = detector.lsd_mm[0] * np.tan(2.0 * setup.reflections.theta_rad)
    arc_px = float(np.median(radius)) / detector.pixel_size_mm if len(radius) else 1.0
    px = int(np.log2(max(0.5 * reach_rad * arc_px, 1.0)))
    frames = int(np.log2(max(reach_rad / abs(scan.step_rad), 1.0)))
    whole = abs(abs(scan.step_rad) * scan.n_frames - 2.0 * np.pi) < 0.5 * abs(scan.step_rad)
    return Level(
        reach_rad, px, frames, coarser_setup(setup, px, frames),
        lit.coarser(px, frames, dilate=1, wraps=bool(whole)),
    )  # fmt: skip


def levels_down(
    setup: Setup, lit: LitPixels, reach_rad: float, sharp_rad: float
) -> tuple[Level, ...]:
    """Levels from a reach down, the last the first whose successor would need no level.

    Parameters
    ----------
    setup, lit
        The sharp stack.
    reach_rad
        Of the coarsest level.
    sharp_rad
        Reach at which the sharp stack takes over.
    """
    made = _MADE.setdefault(lit, [])
    for of, reaches, levels in made:
        if of is setup and reaches == (reach_rad, sharp_rad):
            return levels
    new = tuple(_levels_down(setup, lit, reach_rad, sharp_rad))
    made.append((setup, (reach_rad, sharp_rad), new))
    return new


def _levels_down(setup: Setup, lit: LitPixels, reach_rad: float, sharp_rad: float) -> list[Level]:
    levels = [level_of(setup, lit, reach_rad)]
    while (reach := levels[-1].reach_rad * SHRINK) > sharp_rad:
        levels.append(level_of(setup, lit, reach))
    return levels


def follow(
    corners: F64,
    parents: Sequence[F64],
    levels: Sequence[Level],
    *,
    children: int,
    kept: int,
    narrow: float,
    fewest: int,
    floor: float = 0.0,
) -> tuple[F64, I64, int]:
    """Follow regions of orientations of one voxel down to the sharp stack.

    Parameters
    ----------
    corners
        (k, 2) of the voxel [mm].
    parents
        Of each region (m, 3, 3), within the reach of the first level from the truth, if it is
        this region.
    levels
        Of falling reach; the parents were found at the first.
    children
        Points strewn about each orientation, at each level but the first.
    kept
        Orientations of a region that are followed from each level.
    narrow, fewest
        Share of the regions that are followed from each level, but at least so many.
    floor
        Confidence already reached on the sharp stack: a region that shows less at a coarse level
        is given up.

    Returns
    -------
    (n, 3, 3) where the sharp stack is to begin, the region of each, and evaluations.
    """
    alive = list(enumerate(parents))
    spent, reach = 0, levels[0].reach_rad
    for level in levels[1:]:
        vectors = points_in_ball(children) * reach
        strewn = [turned(u[:, None], vectors).reshape(-1, 3, 3) for _, u in alive]
        if not strewn:
            break
        every = np.concatenate(strewn)
        c = confidence(corners, every, level.setup, level.lit, threads=1).confidence
        spent, reach = spent + len(every), level.reach_rad
        parts = np.split(c, np.cumsum([len(u) for u in strewn])[:-1])
        best = np.array([part.max() for part in parts])
        n = max(fewest, int(np.ceil(narrow * len(alive))))
        order = [i for i in np.argsort(-best, kind="stable")[:n] if best[i] > floor]
        alive = [
            (alive[i][0], strewn[i][np.argsort(-parts[i], kind="stable")[:kept]]) for i in order
        ]
    if not alive:
        return np.zeros((0, 3, 3)), np.zeros(0, dtype=np.int64), spent
    ends = np.concatenate([u for _, u in alive])
    return ends, np.repeat([i for i, _ in alive], [len(u) for _, u in alive]), spent
