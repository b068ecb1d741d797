"""Published automatic start: arcs by a threshold, the beam centre from them, then the distance.

Source: MIDAS `AutoCalibrateZarr` as of its manual version 10, and the measurements of its steps on
a Pilatus 2M frame. The centre is good to several pixels and the distance to a per cent, since each
arc is reduced to three pixels; it is kept for comparison and for scripts that expect it. Quirks
that only cost accuracy are kept; FirstRingNr, which was compared with the wrong ring, is corrected
unless asked for. Positions here follow :mod:`refimpl.frames`, half a pixel from the published.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.errors import ConfigError, NoRingsError
from refimpl.frames import F64, I64, PIXEL_CENTRE

__all__ = [
    "Arcs",
    "automatic_threshold",
    "beam_centre_by_chords",
    "distance_by_ratios",
    "find_arcs",
    "radii_of_arcs",
    "rho_d_of_corners_mm",
]

SMALLEST_ARC_PX = 300
SAME_RING_PX = 20.0
SAME_RATIO = 0.02


def automatic_threshold(corrected: F64) -> float:
    """Published threshold of an image without its background: 100 (1 + std // 100) [counts]."""
    return float(100.0 * (1.0 + np.std(corrected) // 100.0))


@dataclass(frozen=True, eq=False)
class Arcs:
    """Connected bright pixels.

    Attributes
    ----------
    foreground
        (n_slow, n_fast) True in an arc of at least 300 px.
    labels
        (n_slow, n_fast) number of the connected piece, 8 neighbours, 0 for dark pixels; smaller
        pieces are 0 too, except the last (the published loop leaves it out).
    n_labels
        Connected pieces of any size.
    """

    foreground: NDArray[np.bool_]
    labels: NDArray[np.int32]
    n_labels: int


def find_arcs(corrected: F64, threshold: float) -> Arcs:
    """Threshold an image without its background and keep the connected pieces that may be arcs.

    Parameters
    ----------
    corrected
        (n_slow, n_fast) [counts] image less background.
    threshold
        [counts]; pixels at or above it and above 0 are bright.

    Raises
    ------
    NoRingsError
        No piece is large enough.
    """
    from scipy.ndimage import label

    bright = (corrected >= threshold) & (corrected > 0.0)
    labels, n_labels = label(bright, np.ones((3, 3)))
    size = np.bincount(labels.ravel(), minlength=n_labels + 1)
    kept = size >= SMALLEST_ARC_PX
    kept[-1] = True
    kept[0] = False
    if not (size[1:] >= SMALLEST_ARC_PX).any():
        raise NoRingsError(
            f"no ring found: none of {n_labels} connected pieces above the threshold {threshold:g} "
            f"has {SMALLEST_ARC_PX} px; lower the threshold or give BCGuess and LsdGuess"
        )
    return Arcs(kept[labels], np.where(kept[labels], labels, 0), int(n_labels))


def _pieces(labels: NDArray[np.int32], least: int) -> list[tuple[I64, I64]]:
    """Rows and columns of the pixels of each piece of at least `least` pixels, row by row."""
    n_fast = labels.shape[1]
    lit = np.flatnonzero(labels)
    number = labels.ravel()[lit]
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=0))
    pieces = np.split(lit[order], starts[1:])
    return [(p // n_fast, p % n_fast) for p in pieces if len(p) >= least]


def beam_centre_by_chords(arcs: Arcs) -> tuple[float, float]:
    """Beam centre (fast, slow) [px]: median over arcs of where two perpendicular bisectors meet.

    Each arc, here with 4 neighbours, gives three pixels: the middle of its first row, the one
    farthest from that, and the middle of those half-way between them.

    Raises
    ------
    NoRingsError
        No arc gives a centre.
    """
    from scipy.ndimage import label

    labels, _ = label(arcs.foreground)
    found = [_centre_of(*piece) for piece in _pieces(labels, SMALLEST_ARC_PX)]
    centres = np.array([c for c in found if c is not None])
    if len(centres) == 0:
        raise NoRingsError(
            f"no beam centre found from {len(found)} arcs: give BCGuess, or another threshold"
        )
    slow, fast = np.median(centres, axis=0)
    return float(fast) + PIXEL_CENTRE, float(slow) + PIXEL_CENTRE


def _centre_of(rows: I64, columns: I64) -> tuple[float, float] | None:
    """Where the bisectors of two chords of one arc meet, (row, column); None if nowhere useful."""
    first = np.flatnonzero(rows == rows[0])
    a = first[len(first) // 2]
    apart = np.hypot(rows - rows[a], columns - columns[a])
    b = int(np.argmax(apart))
    half_way = np.flatnonzero(np.abs(apart - apart[b] / 2.0) < 2.0)
    if len(half_way) == 0:
        return None
    c = half_way[len(half_way) // 2]
    (xa, xb, xc), (ya, yb, yc) = (v[[a, b, c]].astype(float) for v in (rows, columns))
    if yc == ya or yb == yc:
        return None
    slope_1, slope_2 = (xa - xc) / (yc - ya), (xc - xb) / (yb - yc)
    if abs(slope_1 - slope_2) < 1e-10:
        return None
    x1, y1, x2, y2 = (xa + xc) / 2.0, (ya + yc) / 2.0, (xc + xb) / 2.0, (yc + yb) / 2.0
    x = (y2 - y1 + slope_1 * x1 - slope_2 * x2) / (slope_1 - slope_2)
    y = slope_1 * (x - x1) + y1
    return None if x < 0.0 or y < 0.0 else (x, y)


def radii_of_arcs(arcs: Arcs, beam_centre_px: tuple[float, float]) -> F64:
    """Ring radii [px], rising: mean distance of an arc's pixels; of two within 20 px the first."""
    kept: list[float] = []
    for rows, columns in _pieces(arcs.labels, SMALLEST_ARC_PX + 1):
        slow, fast = rows + PIXEL_CENTRE, columns + PIXEL_CENTRE
        radius = float(np.mean(np.hypot(fast - beam_centre_px[0], slow - beam_centre_px[1])))
        if all(abs(radius - other) >= SAME_RING_PX for other in kept):
            kept.append(radius)
    return np.sort(np.array(kept))


def distance_by_ratios(
    radii_px: F64,
    two_theta_rad: F64,
    pixel_mm: float,
    first_ring: int = 1,
    *,
    published_first_ring: bool = False,
) -> float:
    """Distance [mm] at which the ratios of ring radii are those of the calibrant.

    Parameters
    ----------
    radii_px
        (m,) rising.
    two_theta_rad
        (k,) of the calibrant's rings, rising.
    pixel_mm
        Pixel size.
    first_ring
        Number (from 1) of the calibrant's ring that `radii_px` begins with.
    published_first_ring
        Take ratios to the calibrant's first ring whatever `first_ring`, as published: wrong for
        any `first_ring` but 1.

    Raises
    ------
    ConfigError
        There are no radii, or `first_ring` is not among the rings.
    NoRingsError
        No ratio agrees to 2 %.
    """
    if not 1 <= first_ring <= len(two_theta_rad):
        raise ConfigError(
            f"FirstRingNr = {first_ring}: expected 1 to {len(two_theta_rad)}", key="FirstRingNr"
        )
    if len(radii_px) == 0:
        raise ConfigError("no ring radii to find the distance from")
    tangent = np.tan(two_theta_rad)
    base = tangent[0 if published_first_ring else first_ring - 1]
    found = []
    for radius in radii_px:
        apart = np.abs(1.0 - (radius / radii_px[0]) / (tangent / base))
        apart[: first_ring - 1] = np.inf
        best = int(np.argmin(apart))
        if apart[best] < SAME_RATIO:
            found.append(radius * pixel_mm / tangent[best])
    if not found:
        raise NoRingsError(
            f"no distance found: the ratios of {len(radii_px)} radii fit no rings of the calibrant "
            f"from number {first_ring}; give LsdGuess or another FirstRingNr"
        )
    return float(np.median(found))


def rho_d_of_corners_mm(
    shape: tuple[int, int],
    beam_centre_px: tuple[float, float],
    pixel_mm: float,
    *,
    published: bool = False,
) -> float:
    """Distance from the beam centre to the farthest corner [mm], the automatic RhoD.

    With `published`, fast and slow of the beam centre are exchanged, as in the published program:
    wrong unless the image is square and the centre on its diagonal.
    """
    fast, slow = (v - PIXEL_CENTRE for v in beam_centre_px)
    if published:
        fast, slow = slow, fast
    corners = [(f, s) for f in (0.0, float(shape[1])) for s in (0.0, float(shape[0]))]
    return max(float(np.hypot(f - fast, s - slow)) for f, s in corners) * pixel_mm
