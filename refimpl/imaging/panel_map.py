"""Which panel each pixel belongs to, read off the masked rows and columns of an image.

The modules of a tiled detector are separated by rows and columns that are masked from one side
of the image to the other. Not modelled: panels that do not lie on a grid; give their map instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.frames import I64

__all__ = ["panel_grid", "runs"]

LEAST_PANEL = 16
"""Rows or columns below which a stretch between gaps is no panel of its own [px]."""


def runs(open_lines: NDArray[Any]) -> list[tuple[int, int]]:
    """Half-open stretches of consecutive True values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], open_lines, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def panel_grid(usable: NDArray[np.bool_]) -> tuple[I64, NDArray[np.int16]]:
    """Panels between the fully masked rows and columns.

    Parameters
    ----------
    usable
        (s, f) True for a pixel that counts.

    Returns
    -------
    boxes
        (p, 4) fast0, slow0, fast1, slow1 of each panel, half open; fast varies slowest, as in the
        published numbering (id = iY * NPanelsZ + iZ).
    panel_map
        (s, f) panel of each pixel, -1 in gaps.
    """
    columns = [r for r in runs(np.any(usable, axis=0)) if r[1] - r[0] >= LEAST_PANEL]
    rows = [r for r in runs(np.any(usable, axis=1)) if r[1] - r[0] >= LEAST_PANEL]
    panel_map = np.full(usable.shape, -1, dtype=np.int16)
    boxes = [(f0, s0, f1, s1) for f0, f1 in columns for s0, s1 in rows]
    for index, (f0, s0, f1, s1) in enumerate(boxes):
        panel_map[s0:s1, f0:f1] = index
    return np.array(boxes, dtype=np.int64).reshape(-1, 4), panel_map
