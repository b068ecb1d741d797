"""Statistics of the local signal in rings about the beam, by which ice is known.

Rings are so many whole pixels wide; a pixel belongs to the ring that its centre is in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refimpl.bounds import check_within
from refimpl.dispatch import twin
from refimpl.frames import F64, I64

__all__ = ["ring_histogram"]

F32 = NDArray[np.float32]


FARTHEST = 2**24
"""The beam may be so far from the image, and a ring so wide [px]: squares stay whole numbers."""


def _check_rings(beam_slow: int, beam_fast: int, margin: int, width: int, n_rings: int) -> None:
    check_within("beam_slow", beam_slow, -FARTHEST, FARTHEST)
    check_within("beam_fast", beam_fast, -FARTHEST, FARTHEST)
    check_within("margin", margin, 0, FARTHEST)
    check_within("width", width, 1, FARTHEST)
    check_within("n_rings", n_rings, 0, FARTHEST)


@twin("arithmetic", check=_check_rings, signal="f4 s,f", levels="f8 2")
def ring_histogram(
    signal: F32, beam_slow: int, beam_fast: int, margin: int, width: int, n_rings: int, levels: F64
) -> I64:
    """Count the pixels of each ring about the beam, and those below two levels.

    Parameters
    ----------
    signal
        (s, f) Z of :func:`refimpl.imaging.distl_signal.local_signal`.
    beam_slow, beam_fast
        Pixel of the beam.
    margin
        Pixels left out at each edge of the image.
    width
        Width of a ring [px].
    n_rings
        Number of rings.
    levels
        (2,) values of Z.

    Returns
    -------
    (n_rings, 3) number of pixels, of those below the first level and of those below the second.
    """
    inner = signal[margin : signal.shape[0] - margin, margin : signal.shape[1] - margin]
    slow, fast = np.ogrid[: inner.shape[0], : inner.shape[1]]
    square = (slow + margin - beam_slow) ** 2 + (fast + margin - beam_fast) ** 2
    ring = (np.sqrt(square.astype(np.float64)) / width).astype(np.int64)
    counts = [
        np.bincount(ring[chosen], minlength=n_rings)[:n_rings]
        for chosen in (np.full(inner.shape, True), inner < levels[0], inner < levels[1])
    ]
    return np.stack(counts, axis=1).astype(np.int64)
