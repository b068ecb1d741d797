"""Lattice vectors by one-dimensional Fourier transforms of the spots along many directions.

Along the direction of a lattice vector the projections of all spots bunch into equal steps; the
transform of their histogram peaks at the vector's length. Source: Steller, Bolotovsky & Rossmann
(1997), J. Appl. Cryst. 30, 1036.
"""

from __future__ import annotations

import numpy as np

from refimpl.dispatch import resolve_threads
from refimpl.errors import ConvergenceError
from refimpl.frames import F64
from refimpl.metrology.indexing.cosine_sums import cosine_sums
from refimpl.metrology.indexing.settings import IndexSettings
from refimpl.metrology.indexing.vectors import (
    distinct_vectors,
    hemisphere,
    refined_vectors,
    without_multiples,
)

__all__ = ["projection_vectors"]

STEP_RAD = 0.029
SAMPLES = 5
"""Histogram bins to one period of the longest cell."""
BLOCK = 256
"""Directions transformed at once: this bounds the memory."""
BEST = 0.35
"""A direction whose peak is lower than this part of the best one's is dropped."""
GROUPS = 60


def projection_vectors(
    points: F64, max_cell_angstrom: float, settings: IndexSettings, threads: int | None = None
) -> F64:
    """Lattice vectors (m, 3) [Å], the best first.

    Parameters
    ----------
    points
        (n, 3) reciprocal lattice points [1/Å].
    max_cell_angstrom
        Longest vector looked for [Å].
    settings
        ``min_cell_angstrom``, ``direction_step_rad``, ``max_vectors``.
    threads
        As everywhere, see :func:`refimpl.dispatch.resolve_threads`.

    Raises
    ------
    ConvergenceError
        Fewer than three vectors: no lattice shows.
    """
    step = STEP_RAD if settings.direction_step_rad is None else settings.direction_step_rad
    directions = hemisphere(step)
    length, height = _best_lengths(points, directions, max_cell_angstrom, settings, threads)
    good = height > BEST * height.max()
    heads, _ = distinct_vectors(directions[good] * length[good, None], height[good], GROUPS)
    refined = refined_vectors(points, heads, step)
    size = np.linalg.norm(refined, axis=1)
    fits = (size > settings.min_cell_angstrom) & (size < max_cell_angstrom)
    scores = cosine_sums(points, refined, threads=threads)  # type: ignore[call-arg]
    fits &= scores > BEST * scores.max()
    heads, scores = without_multiples(*distinct_vectors(refined[fits], scores[fits], GROUPS))
    if len(heads) < 3:
        raise ConvergenceError(
            f"no lattice found: {len(points)} spots bunch along {len(heads)} directions, expected "
            "at least 3; check beam centre and wavelength, or give the cell"
        )
    return heads[: settings.max_vectors]


def _best_lengths(
    points: F64, directions: F64, max_cell: float, settings: IndexSettings, threads: int | None
) -> tuple[F64, F64]:
    """Length of the strongest period along each direction [Å] and the height of its peak."""
    from scipy import fft

    reach = float(np.sqrt((points * points).sum(axis=1).max()))
    width = 1.0 / (SAMPLES * max_cell)
    bins = fft.next_fast_len(int(2.0 * reach / width) + 2, real=True)
    lengths = np.arange(bins // 2 + 1) / (bins * width)
    allowed = (lengths >= settings.min_cell_angstrom) & (lengths <= max_cell)
    first = int(np.argmax(allowed))
    best, height = np.empty(len(directions)), np.empty(len(directions))
    for start in range(0, len(directions), BLOCK):
        some = directions[start : start + BLOCK]
        place = ((some @ points.T + reach) / width).astype(np.int64)
        place += bins * np.arange(len(some))[:, None]
        counts = np.bincount(place.ravel(), minlength=bins * len(some)).reshape(-1, bins)
        wave = fft.rfft(counts.astype(np.float32), axis=1, workers=resolve_threads(threads))
        power = np.abs(wave[:, allowed])
        peak = power.argmax(axis=1)
        best[start : start + BLOCK] = lengths[first + peak]
        height[start : start + BLOCK] = power[np.arange(len(some)), peak]
    return best, height
