"""Where panels stand among each other: the columns and rows of a grid, found from their boxes."""

from __future__ import annotations

import numpy as np

from refimpl.frames import I64

__all__ = ["grid_positions"]

_LEAST_FILLED = 0.5  # share of the cells that hold a panel; below, calling it a grid misleads


def grid_positions(boxes: I64) -> I64 | None:
    """Column and row of every panel of a grid, from 0, columns along fast and rows along slow.

    A panel's column is the rank of its first fast pixel among those of all panels, its row that
    of its first slow pixel; gaps and sizes may differ, and panels may be missing. In a full grid
    these are iY and iZ as published.

    Parameters
    ----------
    boxes
        (p, 4) fast0, slow0, fast1, slow1, half open [px].

    Returns
    -------
    (p, 2) columns and rows; None where the panels form no grid: two in one cell, or more than
    half of the cells empty.
    """
    boxes = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
    if not len(boxes):
        return None
    columns, column = np.unique(boxes[:, 0], return_inverse=True)
    rows, row = np.unique(boxes[:, 1], return_inverse=True)
    cells = np.unique(column * len(rows) + row)
    if len(cells) < len(boxes) or len(boxes) < _LEAST_FILLED * len(columns) * len(rows):
        return None
    return np.stack([column, row], axis=1).astype(np.int64)
