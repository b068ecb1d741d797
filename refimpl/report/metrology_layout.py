"""Panels of a detector laid on paper, and how they moved there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refimpl.detector.hierarchy import Hierarchy, axes_of
from refimpl.frames import F64, I64
from refimpl.rotations import rotation_vector

__all__ = ["MOVES", "Layout", "panel_layout", "panel_moves"]

MOVES = (
    "shift along fast (µm)", "shift along slow (µm)", "away from the sample (µm)",
    "tilt about fast (mrad)", "tilt about slow (mrad)", "turn in the plane (mrad)",
)  # fmt: skip
"""What the columns of :func:`panel_moves` are."""
_SCALE = 1e3


@dataclass(frozen=True, eq=False)
class Layout:
    """Panels on paper: each a parallelogram at ``corner``, spanned by ``fast`` and ``slow``.

    Attributes
    ----------
    corner
        (p, 2) place of the first pixel's corner.
    fast, slow
        (p, 2) what one pixel is along each axis.
    size_px
        (p, 2) pixels (fast, slow).
    unit
        ``px``: as the stored image, y down; ``mm``: seen from the source, y up.
    """

    corner: F64
    fast: F64
    slow: F64
    size_px: I64
    unit: str

    def points(self, panel: I64, xy_px: F64) -> F64:
        """(n, 2) places of points in panel pixels (n, 2)."""
        x, y = xy_px[:, :1], xy_px[:, 1:]
        return np.asarray(self.corner[panel] + x * self.fast[panel] + y * self.slow[panel])

    def vectors(self, panel: I64, xy_px: F64) -> F64:
        """(n, 2) directions on paper of differences in panel pixels."""
        return np.asarray(xy_px[:, :1] * self.fast[panel] + xy_px[:, 1:] * self.slow[panel])

    @property
    def outlines(self) -> F64:
        """(p, 4, 2) corners."""
        f = self.fast * self.size_px[:, :1]
        s = self.slow * self.size_px[:, 1:]
        c = self.corner
        return np.stack([c, c + f, c + f + s, c + s], axis=1)

    @property
    def centres(self) -> F64:
        """(p, 2) middles."""
        return np.asarray(self.outlines.mean(axis=1))


def panel_layout(detector: Hierarchy) -> Layout:
    """Lay panels on paper: by their place in the stored image, else as the source sees them."""
    size = np.array([m.size_px for m in detector.modules])
    offset = np.array([m.raw_image_offset for m in detector.modules], dtype=np.float64)
    p = len(size)
    if p == 1 or not _overlap(offset, offset + size):
        return Layout(offset, np.tile([1.0, 0.0], (p, 1)), np.tile([0.0, 1.0], (p, 1)), size, "px")
    pixel = np.array([m.pixel_size_mm for m in detector.modules])
    d = detector.d
    return Layout(d[:, :2, 2], d[:, :2, 0] * pixel[:, :1], d[:, :2, 1] * pixel[:, 1:], size, "mm")


def _overlap(low: F64, high: F64) -> bool:
    """Whether any two boxes share more than an edge."""
    order = np.argsort(low[:, 0], kind="stable")
    low, high = low[order], high[order]
    for i in range(len(low)):
        rivals = slice(i + 1, int(np.searchsorted(low[:, 0], high[i, 0], side="left")))
        if np.any((low[rivals, 1] < high[i, 1]) & (high[rivals, 1] > low[i, 1])):
            return True
    return False


def _outward(d: F64, centres: F64) -> F64:
    """(p, 3, 3) columns fast, slow, normal away from the sample."""
    out = axes_of(d)
    out[:, :, 2] *= np.where(np.sum(out[:, :, 2] * centres, axis=1) < 0.0, -1.0, 1.0)[:, None]
    return out


def panel_moves(before: Hierarchy, after: Hierarchy) -> F64:
    """(p, 6) moves of the panels about their own centres, see :data:`MOVES`.

    In the frame of each panel before; a positive turn goes from fast to slow.
    """
    old, new = before.d, after.d
    centre = before.centres(old)
    shift = np.einsum("pij,pi->pj", _outward(old, centre), before.centres(new) - centre)
    axes, moved = axes_of(old), axes_of(new)
    turn = [a.T @ rotation_vector(b @ a.T) for a, b in zip(axes, moved, strict=True)]
    return np.asarray(np.hstack([shift, turn]) * _SCALE)
