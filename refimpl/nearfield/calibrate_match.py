"""Which blob belongs to which predicted spot: the nearest, in images and frames, one to one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64
from refimpl.nearfield.calibrate_blobs import Blobs
from refimpl.nearfield.calibrate_model import SpotList

__all__ = ["SIZE_FACTOR", "Matches", "match_blobs"]

SIZE_FACTOR = 6.0
"""A blob this many times larger or smaller than the median of its distance is not a whole spot."""

_LEAST_FOR_MEDIAN = 8
"""Fewer matched spots at a distance say nothing about the usual size."""


@dataclass(frozen=True, eq=False)
class Matches:
    """Spots with a blob at every distance.

    Attributes
    ----------
    spots
        (s,) predicted spots.
    yz_px, frame
        (s, d, 2) centroids and (s,) mean frame of their blobs.
    n_frames
        (s,) frames that the widest of them spans.
    blob
        (s, d) rows of the blobs.
    n_predicted
        Spots that were looked for.
    """

    spots: SpotList
    yz_px: F64
    frame: F64
    n_frames: I64
    blob: I64
    n_predicted: int

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, keep: NDArray[np.bool_]) -> Matches:
        """Some of them."""
        return Matches(
            self.spots[keep], self.yz_px[keep], self.frame[keep], self.n_frames[keep],
            self.blob[keep], self.n_predicted,
        )  # fmt: skip


def match_blobs(
    spots: SpotList, blobs: Blobs, n_distances: int, radius_px: float, frames: float
) -> Matches:
    """Nearest blob of every spot at every distance, within an ellipsoid.

    Parameters
    ----------
    spots
        Predicted spots.
    blobs
        Of all distances.
    n_distances
        Number of distances; a spot must have a blob at each.
    radius_px, frames
        Half axes of the ellipsoid, in the images and along the frames.

    Notes
    -----
    A blob that several spots claim goes to the nearest of them. Blobs that touch an edge and
    blobs of unusual size (:data:`SIZE_FACTOR`) are left out.
    """
    from scipy.spatial import cKDTree

    row = np.full((len(spots), n_distances), -1, dtype=np.int64)
    across = radius_px / frames
    for d in range(n_distances):
        at = np.flatnonzero((blobs.distance == d) & blobs.whole)
        if not len(at) or not len(spots):
            continue
        tree = cKDTree(np.column_stack([blobs.yz_px[at], across * blobs.frame[at]]))
        where = np.column_stack([spots.yz_px[:, d], across * spots.frame])
        far, nearest = tree.query(where, distance_upper_bound=radius_px)
        found = _one_to_one(far, nearest)
        row[found, d] = at[nearest[found]]
    keep = np.asarray((row >= 0).all(axis=1))
    keep[keep] &= _usual(blobs.n_pixels[row[keep]])
    chosen = row[keep]
    return Matches(
        spots[keep], blobs.yz_px[chosen], blobs.frame[chosen].mean(axis=1),
        blobs.n_frames[chosen].max(axis=1, initial=1), chosen, len(spots),
    )  # fmt: skip


def _one_to_one(far: F64, nearest: I64) -> NDArray[np.bool_]:
    """(s,) spots that are the nearest of those that claim their blob."""
    found = np.isfinite(far)
    order = np.flatnonzero(found)[np.argsort(far[found], kind="stable")]
    _, first = np.unique(nearest[order], return_index=True)
    kept = np.zeros(len(far), dtype=bool)
    kept[order[first]] = True
    return kept


def _usual(n_pixels: I64) -> NDArray[np.bool_]:
    """(s,) spots all of whose blobs (s, d) have a usual size."""
    if len(n_pixels) < _LEAST_FOR_MEDIAN:
        return np.ones(len(n_pixels), dtype=bool)
    ratio = n_pixels / np.median(n_pixels, axis=0)
    return np.asarray(((ratio < SIZE_FACTOR) & (ratio > 1.0 / SIZE_FACTOR)).all(axis=1))
