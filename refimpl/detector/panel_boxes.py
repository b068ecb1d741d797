"""Panels as boxes of pixels: what makes a list of them possible, and the frames they count in.

A box is fast0, slow0, fast1, slow1, half open [px].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.detector.orientation import model_from_file
from refimpl.errors import GeometryError
from refimpl.frames import I64

__all__ = ["boxes_in_model_frame", "check_boxes", "published_order"]


def check_boxes(boxes: I64, shape: tuple[int, int], names: Sequence[str] | None = None) -> None:
    """Refuse panels without pixels, outside the image, or on top of each other.

    Parameters
    ----------
    boxes
        (p, 4).
    shape
        (n_slow, n_fast) of the image in the same frame.
    names
        (p,) of the panels; their indices by default.

    Raises
    ------
    GeometryError
        Naming the panel; its index is the error's ``got``.
    """
    table = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
    named = [str(n) for n in range(len(table))] if names is None else list(names)
    for n, (f0, s0, f1, s1) in enumerate(table):
        if f1 <= f0 or s1 <= s0:
            raise GeometryError(
                f"panel {named[n]} has {f1 - f0} x {s1 - s0} px: expected 1 or more each way", got=n
            )
        if min(f0, s0) < 0 or f1 > shape[1] or s1 > shape[0]:
            raise GeometryError(
                f"panel {named[n]} spans fast {f0} to {f1} and slow {s0} to {s1}, outside the "
                f"image of {shape[1]} x {shape[0]} px (fast x slow)",
                got=n,
            )
    low = np.maximum(table[:, None, :2], table[None, :, :2])
    high = np.minimum(table[:, None, 2:], table[None, :, 2:])
    over = np.triu(np.all(low < high, axis=2), k=1)
    if over.any():
        first, second = (int(v[0]) for v in np.nonzero(over))
        (f0, s0), (f1, s1) = low[first, second], high[first, second]
        raise GeometryError(
            f"panel {named[second]} overlaps panel {named[first]} in fast {f0} to {f1}, "
            f"slow {s0} to {s1}",
            got=second,
        )


def boxes_in_model_frame(boxes: I64, codes: Sequence[int], file_shape: tuple[int, int]) -> I64:
    """(p, 4) boxes of the image as stored, in the model frame, in the same order.

    Parameters
    ----------
    boxes
        (p, 4), pixels counted as in the image file.
    codes
        ImTransOpt codes (:mod:`refimpl.detector.orientation`).
    file_shape
        (n_slow, n_fast) of the image as stored.
    """
    matrix, offset = model_from_file(codes, file_shape)
    table = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2)
    corners = table @ matrix.T + offset
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.int64)


def published_order(boxes: I64) -> I64:
    """(p,) indices that put boxes in the published order: by column, then upwards."""
    table = np.asarray(boxes, dtype=np.int64).reshape(-1, 4)
    return np.lexsort((table[:, 1], table[:, 0])).astype(np.int64)
