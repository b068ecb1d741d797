"""Confidence of many voxels with many orientations, from spots made beforehand.

Not here: the counts themselves (:mod:`refimpl.objective.overlap_counts`); which candidates are
kept (:mod:`refimpl.objective.overlap`). Vectors are in the MIDAS near-field frame.
"""

from __future__ import annotations

import numpy as np

from refimpl.bounds import check_finite, check_within
from refimpl.dispatch import twin
from refimpl.errors import ConfigError
from refimpl.frames import F64, I64
from refimpl.objective.overlap_counts import (
    I32,
    MOST_PIXELS,
    U8,
    U32,
    U64,
    Place,
    check_scene,
    count_voxel,
    turned_spots,
)

__all__ = ["screen_spots"]


def _check_screened(
    vertices: F64, yl_mm: F64, key: I64, camera: F64, distances: F64, scan: F64, coarse: U64,
    rank: I32, tiles: U32, near: U64, margin_px: int,
) -> None:  # fmt: skip
    check_scene(vertices.shape[1], camera, distances, scan, coarse, rank, tiles)
    check_finite(wedge=camera[12])
    check_within("count of spots", key[:, 0], 0, len(yl_mm))
    check_within("end of spots", key[:, 0] + np.minimum(key[:, 1], len(yl_mm) + 1), 0, len(yl_mm))
    check_within("first spot", key[:, 1], 0, len(yl_mm))
    check_within("margin_px", margin_px, 0, MOST_PIXELS)
    if len(near) not in (0, coarse.shape[1]):
        raise ConfigError(f"near has {len(near)} words: expected 0 or {coarse.shape[1]}")


@twin(
    "arithmetic", check=_check_screened, vertices="f8 n,k,2", single="u1 n", least="f8 n",
    yl_mm="f8 s", zl_mm="f8 s", omega_rad="f8 s", key="i8 o,2", camera="f8 15", distances="f8 d,4",
    scan="f8 3", coarse="u8 d,c", rank="i4 d,c", tiles="u4 t,32", near="u8 e",
)  # fmt: skip
def screen_spots(
    vertices: F64,
    single: U8,
    least: F64,
    yl_mm: F64,
    zl_mm: F64,
    omega_rad: F64,
    key: I64,
    camera: F64,
    distances: F64,
    scan: F64,
    coarse: U64,
    rank: I32,
    tiles: U32,
    near: U64,
    margin_px: int,
    published: bool,
) -> F64:
    """Confidence of every voxel with every orientation, where it reaches the voxel's least.

    Parameters
    ----------
    vertices, single, camera, distances, scan, coarse, rank, tiles, published
        As of :func:`refimpl.objective.overlap_counts.count_overlap`.
    least
        (n,) confidence below which 0 is returned.
    yl_mm, zl_mm, omega_rad
        (s,) spots of the orientations; those outside the scan count nothing.
    key
        (o, 2) number of spots and row of the first, of each orientation.
    near
        Tiles with lit pixels in them or within ``margin_px`` of them
        (:meth:`refimpl.detector.lit_pixels.LitPixels.near`): the twin does not look closer where
        they show that ``least`` is out of reach. Empty: it looks at everything. The definition
        always does; the result is the same.
    margin_px
        How far, at most, any pixel of a voxel is from where its middle projects.

    Returns
    -------
    (n, o), 0 where below ``least``.

    Notes
    -----
    Source: near-field specification 1.9, phase 1. Twin: ``refimpl/_ext/overlap_spots.pyx``.
    """
    place = Place(camera, distances, coarse, rank, tiles, published)
    spots, frame = turned_spots(yl_mm, zl_mm, omega_rad, scan)
    out = np.zeros((len(vertices), len(key)))
    for j, (count, first) in enumerate(key):
        rows = slice(first, first + count)
        for i, corner in enumerate(vertices):
            total, overlap = count_voxel(place, spots[rows], frame[rows], corner, bool(single[i]))[
                :2
            ]
            confidence = overlap / total if total else 0.0
            out[i, j] = confidence if confidence >= least[i] else 0.0
    return out
