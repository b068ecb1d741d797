"""Bursts of events, one a scan: where they begin and end, and which of two logs belong together."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from refimpl.frames import F64

__all__ = ["Bursts", "bursts", "overlap_offset", "paired_edges"]

_RIVAL: Final = 0.97
"""A second offset with so much of the best overlap is as good."""


class Bursts(NamedTuple):
    """First and last times [s] of bursts, in order; each (k,)."""

    first_s: F64
    last_s: F64


def bursts(times: F64, pause_s: float) -> Bursts:
    """Runs of sorted times without a pause longer than `pause_s`."""
    cut = np.flatnonzero(np.diff(times) > pause_s)
    return Bursts(
        times[np.concatenate([[0], cut + 1])], times[np.concatenate([cut, [len(times) - 1]])]
    )


def overlap_offset(ours: Bursts, theirs: Bursts, limit_s: float) -> tuple[float | None, bool]:
    """Offset that lays our bursts best over theirs, and whether another does as well.

    The overlap of two intervals is a trapezoid over the offset; the sum of all of them is straight
    between their corners, so its greatest value is at a corner, or between two that are equal:
    then their middle is given.

    Returns
    -------
    (offset, has rival); None where nothing overlaps within `limit_s`.
    """
    at, slope = _corners(ours, theirs, limit_s)
    if not len(at):
        return None, False
    # the ends of what is looked at are corners too, where nothing bends
    at, slope = np.append(at, [-limit_s, limit_s]), np.append(slope, [0.0, 0.0])
    order = np.argsort(at, kind="stable")
    at, slope = at[order], np.cumsum(slope[order])
    height = np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(at))])
    inside = np.abs(at) <= limit_s
    if not inside.any() or height[inside].max() <= 0.0:
        return None, False
    best = float(height[inside].max())
    top = np.flatnonzero(inside & (height >= best * (1.0 - 1e-9)))
    k = top[np.argmin(np.abs(at[top]))]
    end = k
    while end + 1 < len(at) and height[end + 1] >= best * (1.0 - 1e-9):
        end += 1
    while k > 0 and height[k - 1] >= best * (1.0 - 1e-9):
        k -= 1
    offset = 0.5 * float(at[k] + at[end])
    length = float(np.median(ours.last_s - ours.first_s))
    other = inside & (np.abs(at - offset) > 0.5 * length + 0.5 * float(at[end] - at[k]))
    return offset, bool((height[other] >= _RIVAL * best).any())


def _corners(ours: Bursts, theirs: Bursts, limit_s: float) -> tuple[F64, F64]:
    """Corners of all trapezoids, and by how much the slope changes there."""
    at, slope = [], []
    start = np.searchsorted(theirs.last_s, ours.first_s - limit_s)
    stop = np.searchsorted(theirs.first_s, ours.last_s + limit_s, side="right")
    for k in range(len(ours.first_s)):
        c, d = ours.first_s[k], ours.last_s[k]
        a, b = theirs.first_s[start[k] : stop[k]], theirs.last_s[start[k] : stop[k]]
        low, high = np.minimum(a - c, b - d), np.maximum(a - c, b - d)
        at += [a - d, low, high, b - c]
        one = np.ones(len(a))
        slope += [one, -one, -one, one]
    return np.concatenate(at or [np.empty(0)]), np.concatenate(slope or [np.empty(0)])


def paired_edges(
    ours: Bursts, theirs: Bursts, offset_s: float
) -> tuple[tuple[F64, F64], tuple[F64, F64]]:
    """Edges of the scans that both have.

    A scan that a gap has broken in one of the logs is put together: bursts that overlap are one.

    Returns
    -------
    Our first times and how far theirs are from them, our last times and how far theirs are.
    """
    start, end = ours.first_s + offset_s, ours.last_s + offset_s
    edges = sorted(
        [(float(a), float(b), 0, k) for k, (a, b) in enumerate(zip(start, end, strict=True))]
        + [(float(a), float(b), 1, k) for k, (a, b) in enumerate(zip(*theirs, strict=True))]
    )
    groups: list[tuple[list[int], list[int]]] = []
    until = -np.inf
    for a, b, which, k in edges:
        if a > until:
            groups.append(([], []))
        groups[-1][which].append(k)
        until = max(until, b)
    whole = [(o, t) for o, t in groups if o and t]
    first = np.array([(ours.first_s[min(o)], theirs.first_s[min(t)]) for o, t in whole])
    last = np.array([(ours.last_s[max(o)], theirs.last_s[max(t)]) for o, t in whole])
    return (first[:, 0], first[:, 1] - first[:, 0]), (last[:, 0], last[:, 1] - last[:, 0])
