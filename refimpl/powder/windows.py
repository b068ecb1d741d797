"""Windows in 2-theta around the rings, and which rings must be fitted together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import F64, I64

__all__ = ["RingGroups", "ring_groups"]

PAIR_FWHM = 5.0
"""Rings closer than this many widths share a fit: half the gap would hold too little background."""

BLEND_FWHM = 1.3
"""Rings closer than this many widths cannot be told apart and are left out."""


@dataclass(frozen=True, eq=False)
class RingGroups:
    """Groups of one ring, or of two neighbours that are fitted together.

    Attributes
    ----------
    members
        (g, 2) positions in the list of rings, the second -1 for a ring alone.
    expected_rad
        (g, 2) their 2-theta, the second NaN for a ring alone.
    windows_rad
        (g, 2) from, to; rising, not overlapping.
    fwhm_rad
        (g,) start value of the width.
    """

    members: I64
    expected_rad: F64
    windows_rad: F64
    fwhm_rad: F64

    def __len__(self) -> int:
        return len(self.members)


def ring_groups(
    two_theta_rad: F64,
    fwhm_rad: F64,
    half_width_rad: F64,
    use: NDArray[np.bool_] | None = None,
    *,
    pair_rad: float = 0.0,
) -> RingGroups:
    """Group neighbouring rings and give each group its window.

    Parameters
    ----------
    two_theta_rad
        (h,) rising, all rings of the calibrant: also those not used push their neighbours' windows
        in.
    fwhm_rad, half_width_rad
        (h,) width, and wanted half width of the window, of each ring.
    use
        (h,) bool; groups without a used ring are left out. Default: all.
    pair_rad
        Neighbours nearer than this share a fit however narrow they are (DoubletSeparation).

    Returns
    -------
    RingGroups
    """
    n = len(two_theta_rad)
    wanted = np.ones(n, dtype=bool) if use is None else np.asarray(use, dtype=bool)
    gap = np.diff(two_theta_rad)
    width = np.maximum(fwhm_rad[:-1], fwhm_rad[1:])
    blended = np.zeros(n, dtype=bool)
    blended[:-1] |= gap < BLEND_FWHM * width
    blended[1:] |= gap < BLEND_FWHM * width
    groups: list[tuple[int, int]] = []
    i = 0
    while i < n:
        paired = i + 1 < n and gap[i] < max(PAIR_FWHM * width[i], pair_rad)
        # a third ring close by goes with its nearer neighbour
        if paired and i + 2 < n and gap[i + 1] < gap[i]:
            paired = False
        groups.append((i, i + 1 if paired else -1))
        i += 2 if paired else 1
    members, expected, windows, start = [], [], [], []
    for first, second in groups:
        last = second if second >= 0 else first
        if blended[first] or blended[last] or not (wanted[first] or wanted[last]):
            continue
        below = 0.5 * gap[first - 1] if first > 0 else np.inf
        above = 0.5 * gap[last] if last + 1 < n else np.inf
        # symmetric, so that a neighbour's tail does not pull on one side only
        half = min(half_width_rad[first], half_width_rad[last], below, above)
        members.append((first, second))
        expected.append((two_theta_rad[first], two_theta_rad[second] if second >= 0 else np.nan))
        windows.append((two_theta_rad[first] - half, two_theta_rad[last] + half))
        start.append(max(fwhm_rad[first], fwhm_rad[last]))
    return RingGroups(
        np.array(members, dtype=np.int64).reshape(-1, 2),
        np.array(expected, dtype=np.float64).reshape(-1, 2),
        np.array(windows, dtype=np.float64).reshape(-1, 2),
        np.array(start, dtype=np.float64),
    )
