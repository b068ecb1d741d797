"""Confidence of orientations for voxels, screening of candidates, and the climb to the best.

All three compare what a voxel of an orientation should show with the lit pixels of a stack; the
counts are those of :mod:`refimpl.objective.overlap_counts`. Vectors are in the MIDAS near-field
frame. Not here: which candidates, and what to do with what is found
(:mod:`refimpl.nearfield.search`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.detector.lit_pixels import LitPixels
from refimpl.errors import ConfigError
from refimpl.forward.nearfield_setup import Setup
from refimpl.forward.nearfield_spots import spots_of_setup
from refimpl.frames import F64
from refimpl.objective.overlap_climb import climb
from refimpl.objective.overlap_counts import count_overlap
from refimpl.objective.overlap_kept import Kept, Screened
from refimpl.objective.overlap_scene import (
    coarser_setup,
    margin_px,
    pairs,
    scene_arrays,
    single_pixel,
    stack_of,
)
from refimpl.objective.overlap_spots import screen_spots

__all__ = [
    "Maximum",
    "Overlap",
    "Screened",
    "coarser_setup",
    "confidence",
    "maximise",
    "screen",
    "single_pixel",
]

I32 = NDArray[np.int32]

_BLOCK = 1 << 21  # confidences that a block of a screening holds
_MOST = 1 << 13  # candidates of a block, whose spots are held too, 50 bytes each


@dataclass(frozen=True, eq=False)
class Overlap:
    """What voxels of given orientations show.

    Attributes
    ----------
    confidence
        (n,) overlap / total, 0 where total is 0.
    overlap, total
        (n,) pixels lit at every distance, and pixels that every distance sees.
    by_distance
        (n, d) lit at each distance / total.
    """

    confidence: F64
    overlap: I32
    total: I32
    by_distance: F64


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where climbs ended.

    Attributes
    ----------
    orientations
        (n, 3, 3).
    confidence
        (n,).
    evaluations
        (n,) confidences asked for.
    """

    orientations: F64
    confidence: F64
    evaluations: I32


def confidence(
    vertices: F64,
    orientations: F64,
    setup: Setup,
    lit: LitPixels,
    *,
    published: bool = False,
    backend: str | None = None,
    threads: int | None = None,
) -> Overlap:
    """Confidence of orientations for voxels, one by one.

    Parameters
    ----------
    vertices
        (n, k, 2) or (k, 2) corners [mm]; one voxel goes with every orientation.
    orientations
        (n, 3, 3) or (3, 3) crystal to sample; one goes with every voxel.
    setup, lit
        The experiment and its lit pixels.
    published
        Count as MIDAS C does at the detector's edge and in clockwise triangles.

    Raises
    ------
    ConfigError
        Shapes that do not go together, or a stack of another size than the setup's.
    """
    vertices, orientations = pairs(vertices, orientations)
    count: Any = count_overlap  # with the arguments that @twin adds
    scene = scene_arrays(vertices, setup, lit)
    counts = count(vertices, orientations, *scene, published, backend=backend, threads=threads)
    total, overlap = counts[:, 0], counts[:, 1]
    some = np.maximum(total, 1)
    return Overlap(overlap / some, overlap, total, counts[:, 2:] / some[:, None])


def maximise(
    vertices: F64,
    orientations: F64,
    setup: Setup,
    lit: LitPixels,
    *,
    edges_rad: Any,
    size_rad: float,
    max_evaluations: int = 400,
    enough: float = 1.0,
    published: bool = False,
    backend: str | None = None,
    threads: int | None = None,
) -> Maximum:
    """Climb in confidence, each voxel from an orientation of its own.

    Parameters
    ----------
    vertices, orientations, setup, lit, published
        As of :func:`confidence`; the pairs are independent of each other.
    edges_rad
        (e,) first edge of each simplex; the next starts from the best so far.
    size_rad
        A simplex ends when it is this small, see :func:`refimpl.objective.overlap_climb.climb`.
    max_evaluations
        For one simplex.
    enough
        Confidence to stop at.

    Raises
    ------
    ConfigError
        As of :func:`confidence`; edges or size that are not positive; less than four evaluations.
    """
    vertices, orientations = pairs(vertices, orientations)
    edges = np.atleast_1d(np.asarray(edges_rad, dtype=np.float64))
    if not (edges > 0.0).all() or not size_rad > 0.0:
        raise ConfigError(
            f"maximise: edges_rad {edges.tolist()} and size_rad {size_rad}: expected positive"
        )
    if max_evaluations < 4:
        raise ConfigError(f"maximise: max_evaluations = {max_evaluations}: expected 4 up")
    run: Any = climb  # with the arguments that @twin adds
    scene = (*scene_arrays(vertices, setup, lit), published)
    task = (edges, size_rad, max_evaluations, enough)
    return Maximum(*run(vertices, orientations, *scene, *task, backend=backend, threads=threads))


def screen(
    vertices: F64,
    orientations: F64,
    setup: Setup,
    lit: LitPixels,
    *,
    least: float,
    keep: int | None = None,
    abandon: bool = True,
    published: bool = False,
    progress: Callable[[int, int], None] | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Screened:
    """Every candidate whose confidence is at least ``least``, or the ``keep`` best, of each voxel.

    Parameters
    ----------
    vertices
        (v, k, 2) corners [mm].
    orientations
        (o, 3, 3) candidates; their spots are made once, a block at a time.
    setup, lit, published
        As of :func:`confidence`.
    least
        Smallest confidence kept; one of 0 is never kept.
    keep
        At most this many of each voxel; None keeps all.
    abandon
        Leave a candidate as soon as it cannot reach ``least``, or the ``keep`` best so far. The
        answer is the same; False is for tests of that and for timing.
    progress
        Called with candidates done and all of them.

    Raises
    ------
    ConfigError
        As of :func:`confidence`; ``least`` outside 0 to 1, ``keep`` below 1.
    """
    vertices, _ = pairs(vertices, np.eye(3))
    orientations = stack_of("orientations", orientations, (3, 3))
    if not 0.0 <= least <= 1.0:
        raise ConfigError(f"screen: least = {least}: expected 0 to 1")
    if keep is not None and keep < 1:
        raise ConfigError(f"screen: keep = {keep}: expected 1 up")
    scene = _Scene(vertices, setup, lit, abandon, published, backend, threads)
    kept = Kept(len(vertices), least, keep)
    size = max(64, min(_MOST, _BLOCK // max(len(vertices), 1)))
    for first in range(0, len(orientations), size):
        block = orientations[first : first + size]
        kept.add(scene.confidences(block, kept.floor), first)
        if progress is not None:
            progress(first + len(block), len(orientations))
    return kept.result()


class _Scene:
    """Voxels before a stack, to be shown block after block of candidates."""

    def __init__(
        self, vertices: F64, setup: Setup, lit: LitPixels, abandon: bool, published: bool,
        backend: str | None, threads: int | None,
    ) -> None:  # fmt: skip
        self.vertices, self.setup, self.published = vertices, setup, published
        self.where = {"backend": backend, "threads": threads}
        self.scene = scene_arrays(vertices, setup, lit)
        self.margin = margin_px(vertices, setup)
        quick = abandon and self.margin is not None
        self.near = lit.near(self.margin or 0) if quick else np.zeros(0, dtype=np.uint64)

    def confidences(self, orientations: F64, least: F64) -> F64:
        spots = spots_of_setup(self.setup, orientations, **self.where)  # type: ignore[arg-type]
        single, _, _, _, _, camera, distances, scan, coarse, rank, tiles = self.scene
        out: F64 = screen_spots(
            self.vertices, single, least, spots.yl_mm, spots.zl_mm, spots.omega_rad, spots.key,
            camera, distances, scan, coarse, rank, tiles, self.near, self.margin or 0,
            self.published, **self.where,
        )  # fmt: skip
        return out
