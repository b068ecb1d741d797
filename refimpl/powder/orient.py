"""Which way up: find the image transform under which a given geometry fits an image.

Rings alone do not tell a picture from its mirror image. A published geometry does: its beam
centre and tilts fit only one, or a few, of the eight ways to lay the picture down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.crystal.rings import Rings
from refimpl.detector.model import TiltedFlat
from refimpl.detector.orientation import DIHEDRAL, transformed_shape
from refimpl.errors import GeometryError
from refimpl.io.image import Image
from refimpl.powder.grow import RingsAt, reach
from refimpl.powder.patches import PatchScore, score_maps

__all__ = ["Orientation", "find_transform"]

CLEAR_RATIO = 2.0
"""A transform is certain if no other that differs in effect scores within this factor."""


LEAST_PATCHES = 20
MOST_RMS_PX = 5.0
"""A geometry fits if it has so many ring patches and leaves no more; by chance 10 px are left."""


@dataclass(frozen=True, eq=False)
class Orientation:
    """How well a geometry fits the image, for each way to lay the image down.

    Attributes
    ----------
    transform
        Best codes; the image as stored is taken through them to the geometry's frame.
    score
        Patch score of the best.
    scores
        Mean |strain| by codes, ``inf`` where hardly a ring was found.
    certain
        Whether the best stands out.
    """

    transform: tuple[int, ...]
    score: PatchScore
    scores: dict[tuple[int, ...], float]
    certain: bool

    def sentence(self) -> str:
        """The outcome in words."""
        names = {1: "flipped left-right", 2: "flipped up-down", 3: "transposed"}
        how = ", then ".join(names[c] for c in self.transform) or "as stored"
        others = sorted(v for k, v in self.scores.items() if k != self.transform)
        return (
            f"The given geometry fits the image {how}: {self.score.mean_abs * 1e6:.0f} µε; "
            f"the next best way gives {others[0] * 1e6:.0f} µε"
            f"{'' if self.certain else ' (not certain)'}."
        )


def find_transform(
    image: Image, geometry: TiltedFlat, everything: Rings, *, threads: int | None = None
) -> Orientation:
    """Find how an image must be laid down for a given geometry.

    Parameters
    ----------
    image
        As read, in the file's pixel order (no transforms applied).
    geometry
        Its own ``image_transform`` is not used.
    everything
        Rings of the calibrant.
    threads
        See :func:`refimpl.dispatch.resolve_threads`.

    Raises
    ------
    GeometryError
        The geometry fits the image in no way.
    """
    stored = (image.data.shape[-2], image.data.shape[-1])
    scores: dict[tuple[int, ...], float] = {}
    best: tuple[float, tuple[int, ...], PatchScore] | None = None
    for codes in DIHEDRAL:
        if transformed_shape(codes, stored) != tuple(geometry.shape):
            continue
        model = geometry.replace(image_transform=codes)
        rings = RingsAt(everything)(reach(model))
        two_theta, eta = model.detector().maps()
        try:
            score = score_maps(image.data, ~image.mask, two_theta, eta, rings, threads=threads)
        except (ValueError, IndexError):  # not one patch
            scores[codes] = float("inf")
            continue
        # few patches with small residuals are chance: count against what the best found
        scores[codes] = score.mean_abs
        merit = score.mean_abs / max(len(score.strain), 1)
        if best is None or merit < best[0]:
            best = (merit, codes, score)
    if best is None or len(best[2].strain) < LEAST_PATCHES or best[2].rms_px > MOST_RMS_PX:
        left = (
            ""
            if best is None or len(best[2].strain) < LEAST_PATCHES
            else f": the best leaves {best[2].rms_px:.1f} px rms"
        )
        raise GeometryError(
            f"the given geometry (image {geometry.shape[0]} x {geometry.shape[1]} px, slow x fast) "
            f"fits the image ({stored[0]} x {stored[1]} px) in none of the eight ways{left}"
        )
    _, codes, score = best
    rest = [v for k, v in scores.items() if k != codes]
    certain = all(v > CLEAR_RATIO * score.mean_abs for v in rest) and bool(
        np.isfinite(score.mean_abs)
    )
    return Orientation(codes, score, scores, certain)
