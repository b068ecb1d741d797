"""From the outline of pin and loop to the point to aim at: lucid's walk from the tip.

Two points go from the tip along both sides of the outline; their middle is the way from the tip
into the loop. How the distance between the sides grows says what is seen (a narrow loop on edge,
a loop, a support), and that which part of the area walked is to lie before the target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from refimpl.frames import F64, I64

__all__ = ["Target", "target_of"]

_NEAR: Final = 25  # the first look: within this of the tip, and this far apart
_WIDE: Final = 55
_JUMP: Final = 70
_FELL: Final = 45
_SUPPORT: Final = 140
_SUPPORT_GREW: Final = 75
_TIP: Final = 40
_LONGEST: Final = 300
_LEFT: Final = 15
_STEPS: Final = 500


@dataclass(frozen=True)
class Target:
    """Point to aim at in the frame of the outline [px, lucid's count], and what is seen there."""

    x: int
    y: int
    kind: str
    tip: tuple[int, int]


@dataclass(frozen=True)
class _Walk:
    """Both sides at every step: points (n, 2), and the area between them so far (n,)."""

    one: I64
    other: I64
    area: F64

    @property
    def middle(self) -> F64:
        return (self.one + self.other) / 2.0


def target_of(points: I64) -> Target:
    """Where to aim, from an outline whose tip is its rightmost point.

    Parameters
    ----------
    points
        Points (n, 2) of the outline in order [px].
    """
    start = int(points[:, 0].argmax())
    tip = points[start]
    walk = _walk(points, start)
    kind, share, end = _judged(walk, tip)
    middle = walk.middle[: end + 1]
    if kind in ("narrow", "support"):
        near = np.flatnonzero(middle[:, 0] > tip[0] - _TIP)
    else:
        near = np.flatnonzero(walk.area[: end + 1] < share * walk.area[end])
    x, y = (middle[near[-1]] if near.size else tip).astype(int)
    return Target(int(x), int(y), kind, (int(tip[0]), int(tip[1])))


def _walk(points: I64, start: int) -> _Walk:
    """Walk both sides; the one that is further right goes next."""
    n = len(points)
    x, y = points.T.tolist()

    def cross(a: int, b: int) -> int:
        return x[a] * y[b] - y[a] * x[b]

    one = other = start
    steps: list[tuple[int, int]] = []
    doubled: list[int] = []
    path = 0  # twice the area that the path from one to the other sweeps about the origin
    for _ in range(min(_STEPS, n - 2)):
        if x[one] >= x[other]:
            one, before = (one - 1) % n, one
            path += cross(one, before)
        else:
            other, before = (other + 1) % n, other
            path += cross(before, other)
        steps.append((one, other))
        doubled.append(abs(path + cross(other, one)))
        low = min(x[one], x[other])
        if low < _LEFT or x[start] - low > _LONGEST:
            break
    index = np.array(steps)
    return _Walk(points[index[:, 0]], points[index[:, 1]], np.array(doubled) / 2.0)


def _judged(walk: _Walk, tip: I64) -> tuple[str, float, int]:
    """What the widths say: kind, share of the area before the target, last step looked at."""
    widths = np.abs(walk.one[:, 1] - walk.other[:, 1])
    lows = np.minimum(walk.one[:, 0], walk.other[:, 0])
    share, last, before = 0.008, len(widths) - 1, int(tip[0])
    for k, (width, low) in enumerate(zip(widths.tolist(), lows.tolist(), strict=True)):
        if tip[0] - low <= _NEAR:
            share = 0.05 if width > _NEAR else share
        elif share < 0.04:
            return "narrow", share, last
        if width > _SUPPORT:
            # a loop is as wide as a pin at once, a pin grows to its width
            near = widths[: k + 1][lows[: k + 1] <= low + _NEAR]
            return ("loop", 0.2, k) if width - near[0] > _SUPPORT_GREW else ("support", share, last)
        if width > _WIDE:
            share = max(share, 0.15)
        # a narrow end after a wide place is the end of a loop; any other leap may be a support
        if before - low > _JUMP and widths[: k + 1].max() - width > _FELL:
            return "loop", 0.4, k
        before = min(before, low)
    return "support", share, last
