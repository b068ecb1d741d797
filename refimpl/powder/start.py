r"""The automatic start: beam centre and distance from a picture of rings, with no guess at all.

Ridges are found on a reduced picture; each ridge pixel's normal is a line through the centre of
its ring. The lines vote for the centre. The mean profile about it is then compared with the
calibrant's pattern: on a flat detector :math:`R = L \tan 2\theta`, so in log R the pattern only
shifts with L, and every (peak, ring) pair names a distance to try. Both are only a start: the
grow stage (:mod:`refimpl.powder.grow`) turns it into a geometry and judges the candidates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.crystal.rings import Rings
from refimpl.errors import NoRingsError
from refimpl.frames import F64
from refimpl.imaging.background import fast_background

__all__ = ["Candidate", "ReducedImage", "candidates", "reduce_image", "ring_centre"]

REDUCED_SIDE = 480
"""Longer side of the reduced picture [px], about."""

RIDGE_SCALE = 1.4
"""Width of the derivative filter [reduced px]: that of a ring after reduction."""

STRONGEST, MOST_RIDGE_PIXELS = 6000, 2500
"""Of the strongest ridge pixels, evenly many of every strength vote; weaker ones are noise."""


@dataclass(frozen=True, eq=False)
class ReducedImage:
    """Background-free picture in units of its noise, for looking at only.

    Attributes
    ----------
    signal
        (s, f) compressed excess over the background, 0 where masked.
    good
        (s, f) bool, most of the cell usable.
    factor
        Cell size [px] of the original.
    """

    signal: F64
    good: NDArray[np.bool_]
    factor: int


@dataclass(frozen=True)
class Candidate:
    """A start that the profile supports.

    Attributes
    ----------
    centre_px
        (fast, slow), corner origin.
    lsd_mm
        Distance.
    score
        Cosine similarity between the profile and the calibrant's pattern, 0..1.
    """

    centre_px: tuple[float, float]
    lsd_mm: float
    score: float


def reduce_image(counts: F64, usable: NDArray[np.uint8]) -> ReducedImage:
    """Average cells of the image, take the background off, divide by the noise, compress.

    The compression (inverse hyperbolic sine) keeps single bright grains from outvoting rings.
    """
    factor = max(1, round(max(counts.shape) / REDUCED_SIDE))
    s, f = (n // factor for n in counts.shape)
    cut = (slice(0, s * factor), slice(0, f * factor))
    cells = (s, factor, f, factor)
    weight = usable[cut].reshape(cells).sum(axis=(1, 3), dtype=np.int64)
    total = np.where(usable[cut] != 0, counts[cut], 0.0).reshape(cells).sum(axis=(1, 3))
    good = weight * 2 >= factor * factor
    if not good.any():
        raise NoRingsError("no rings found: the mask leaves no connected picture")
    mean = np.where(good, total / np.maximum(weight, 1), 0.0)
    background = fast_background(mean, ~good, block=max(12, REDUCED_SIDE // 24))
    excess = np.where(good, mean - background, 0.0)
    # noise of a cell: from the scatter below the background, which rings do not touch
    below = excess[good & (excess < 0.0)]
    noise = 1.4826 * float(np.median(-below)) if len(below) else 1.0
    local = np.sqrt(np.maximum(background, 0.0) / np.maximum(weight, 1))
    scale = np.maximum(np.maximum(local, noise), 1e-12)
    return ReducedImage(np.arcsinh(np.maximum(excess, 0.0) / scale), good, factor)


def _ridges(reduced: ReducedImage) -> tuple[F64, F64, F64]:
    """Positions (n, 2) in (fast, slow) reduced px, unit normals (n, 2), weights (n,)."""
    from scipy.ndimage import binary_erosion, gaussian_filter

    z = reduced.signal
    ss, ff, sf = (gaussian_filter(z, RIDGE_SCALE, order=o) for o in ((2, 0), (0, 2), (1, 1)))
    half, split = 0.5 * (ff + ss), np.hypot(0.5 * (ff - ss), sf)
    strength = np.abs(np.minimum(half - split, 0.0))  # the most negative curvature
    flat = np.abs(half + split)  # the curvature along the ridge
    inner = binary_erosion(reduced.good, iterations=3)
    angle = 0.5 * np.arctan2(2.0 * sf, ff - ss) + 0.5 * np.pi  # axis of the most negative one
    nf, ns = np.cos(angle), np.sin(angle)
    line = inner & (strength > 0.0) & (flat < 0.5 * strength)
    slow, fast = np.nonzero(line)
    # keep crests only: higher than one cell away on either side along the normal
    df, ds = np.rint(nf[line]).astype(int), np.rint(ns[line]).astype(int)
    smooth = gaussian_filter(z, RIDGE_SCALE)
    rows, columns = z.shape
    here = smooth[slow, fast]
    crest = np.ones(len(slow), dtype=bool)
    for sign in (1, -1):
        s = np.clip(slow + sign * ds, 0, rows - 1)
        f = np.clip(fast + sign * df, 0, columns - 1)
        crest &= here >= smooth[s, f]
    slow, fast = slow[crest], fast[crest]
    strong = strength[slow, fast]
    order = np.argsort(-strong, kind="stable")
    order = order[strong[order] > 0.15 * np.max(strong, initial=0.0)]
    order = order[:STRONGEST]
    order = order[:: -(-len(order) // MOST_RIDGE_PIXELS)] if len(order) else order
    slow, fast, strong = slow[order], fast[order], strong[order]
    position = np.column_stack([fast + 0.5, slow + 0.5])
    return position, np.column_stack([nf[slow, fast], ns[slow, fast]]), strong * strong


def _vote(position: F64, normal: F64, weight: F64, shape: tuple[int, int]) -> F64:
    """Cell where most lines cross, searched one and a half pictures beyond every edge."""
    cell = 4.0
    size = np.array([shape[1], shape[0]], dtype=np.float64)
    low = -1.5 * size
    n_cells = np.ceil((4.0 * size) / cell).astype(int)
    reach = 2.0 * float(np.hypot(*size))
    t = np.arange(-reach, reach, cell)
    votes = np.zeros(int(n_cells[0] * n_cells[1]))
    for part in range(0, len(position), 500):
        rows = slice(part, part + 500)
        points = position[rows, None, :] + t[None, :, None] * normal[rows, None, :]
        index = np.floor((points - low) / cell).astype(np.int64)
        inside = np.all((index >= 0) & (index < n_cells), axis=2)
        flat = (index[..., 1] * n_cells[0] + index[..., 0])[inside]
        w = np.broadcast_to(weight[rows, None], inside.shape)[inside]
        votes += np.bincount(flat, weights=w, minlength=len(votes))
    from scipy.ndimage import gaussian_filter

    grid = gaussian_filter(votes.reshape(n_cells[1], n_cells[0]), 1.5)
    # lines spread with the distance from their ridge: compare with the neighbourhood
    grid = grid - gaussian_filter(grid, 15.0)
    slow, fast = np.unravel_index(int(np.argmax(grid)), grid.shape)
    return low + (np.array([fast, slow]) + 0.5) * cell


def ring_centre(reduced: ReducedImage) -> tuple[float, float]:
    """Centre of the rings, (fast, slow) [px] of the original image, corner origin.

    Raises
    ------
    NoRingsError
        No ridges, or no point that their normals have in common.
    """
    position, normal, weight = _ridges(reduced)
    if len(position) < 30:
        raise NoRingsError(f"no rings found: only {len(position)} pixels look like part of a line")
    centre = _vote(position, normal, weight, reduced.signal.shape)
    angle = 0.15  # uncertainty of a normal [rad], falling as the crossing point sharpens
    for _ in range(12):
        away = centre - position
        distance = np.maximum(np.hypot(away[:, 0], away[:, 1]), 5.0)
        tangent = np.column_stack([-normal[:, 1], normal[:, 0]])
        miss = np.sum(tangent * away, axis=1) / distance
        w = weight / distance**2 / (1.0 + (miss / angle) ** 2) ** 2
        a = (tangent * w[:, None]).T @ tangent
        b = (tangent * w[:, None]).T @ np.sum(tangent * position, axis=1)
        new = np.linalg.solve(a + 1e-12 * np.trace(a) * np.eye(2), b)
        moved = float(np.hypot(*(new - centre)))
        centre, angle = new, max(0.6 * angle, 0.03)
        if moved < 1e-3:
            break
    if np.mean(np.abs(miss) < 0.1) < 0.15:
        raise NoRingsError("no rings found: the lines in the image have no common centre")
    return float(centre[0] * reduced.factor), float(centre[1] * reduced.factor)


def _profile(reduced: ReducedImage, centre_px: tuple[float, float]) -> tuple[F64, F64]:
    """Mean signal against radius: radius [px] and excess over a running median."""
    from scipy.ndimage import median_filter

    rows, columns = reduced.signal.shape
    f = (np.arange(columns) + 0.5) * reduced.factor - centre_px[0]
    s = (np.arange(rows) + 0.5) * reduced.factor - centre_px[1]
    radius = np.hypot(s[:, None], f[None, :])
    step = 0.5 * reduced.factor
    index = (radius[reduced.good] / step).astype(np.int64)
    count = np.bincount(index).astype(np.float64)
    mean = np.bincount(index, weights=reduced.signal[reduced.good]) / np.maximum(count, 1.0)
    filled = count >= 8
    mean = np.interp(np.arange(len(mean)), np.flatnonzero(filled), mean[filled])
    excess = np.maximum(mean - median_filter(mean, size=41, mode="nearest"), 0.0)
    excess[~filled] = 0.0
    return np.asarray((np.arange(len(mean)) + 0.5) * step), np.asarray(excess)


def candidates(
    reduced: ReducedImage,
    centre_px: tuple[float, float],
    rings: Rings,
    pixel_mm: float,
    lsd_mm: float | None = None,
    most: int = 4,
) -> list[Candidate]:
    """Distances that the radial profile supports, best first.

    Parameters
    ----------
    reduced, centre_px
        Picture and centre.
    rings
        The calibrant's, to as large an angle as can matter.
    pixel_mm
        Pixel size (mean of the two).
    lsd_mm
        Guess of the user; candidates then lie within 20 % of it.
    most
        Number of candidates.

    Raises
    ------
    NoRingsError
        The profile has no peaks.
    """
    from scipy.signal import find_peaks

    radius, excess = _profile(reduced, centre_px)
    noise = float(np.median(np.abs(np.diff(excess))))
    least = max(0.08 * float(np.max(excess)), 6.0 * noise, 1e-9)
    peaks, properties = find_peaks(excess, prominence=least)
    if len(peaks) == 0:
        raise NoRingsError("no rings found: the radial profile has no peaks")
    best = peaks[np.argsort(-properties["prominences"], kind="stable")[:10]]
    tangent = np.tan(rings.two_theta_rad)
    strong = np.argsort(-rings.intensity, kind="stable")[:14]
    trial = (radius[best][:, None] * pixel_mm / tangent[strong][None, :]).ravel()
    if lsd_mm is not None:
        trial = trial[np.abs(trial / lsd_mm - 1.0) < 0.2]
        trial = np.append(trial, lsd_mm)
    observed = np.sqrt(excess)

    def score(lsd: float) -> float:
        return _similarity(radius, observed, tangent, rings.intensity, lsd, pixel_mm)

    coarse = [Candidate(centre_px, float(lsd), score(float(lsd))) for lsd in np.unique(trial)]
    coarse.sort(key=lambda c: -c.score)
    scored = []
    for c in coarse[: 4 * most]:
        fine = c.lsd_mm * (1.0 + 0.002 * np.arange(-5, 6))
        scores = [score(float(d)) for d in fine]
        k = int(np.argmax(scores))
        scored.append(Candidate(centre_px, float(fine[k]), scores[k]))
    scored.sort(key=lambda c: -c.score)
    chosen: list[Candidate] = []
    for c in scored:
        if all(abs(c.lsd_mm / other.lsd_mm - 1.0) > 0.01 for other in chosen):
            chosen.append(c)
        if len(chosen) == most:
            break
    return chosen


def _similarity(
    radius: F64, observed: F64, tangent: F64, intensity: F64, lsd: float, pixel_mm: float
) -> float:
    """Cosine between the profile and a comb of the calibrant's rings at a distance."""
    centres = lsd * tangent / pixel_mm
    inside = centres < radius[-1] + 10.0
    if np.count_nonzero(inside) < 2:
        return 0.0
    step = radius[1] - radius[0]
    comb = np.zeros_like(radius)
    for r, i in zip(centres[inside], intensity[inside], strict=True):
        width = max(2.0 * step, 0.006 * r)
        near = slice(max(0, int((r - 4 * width) / step)), int((r + 4 * width) / step) + 2)
        line = np.sqrt(np.sqrt(i)) * np.exp(-0.5 * ((radius[near] - r) / width) ** 2)
        comb[near] = np.maximum(comb[near], line)
    norm = float(np.sqrt(np.sum(comb * comb) * np.sum(observed * observed)))
    return float(np.sum(comb * observed)) / norm if norm > 0.0 else 0.0
