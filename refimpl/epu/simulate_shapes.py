"""Patterns of holes that are reached from one stage position."""

from __future__ import annotations

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import I64

__all__ = ["pattern_of"]

_LARGEST_PATTERN = 21


def pattern_of(text: str) -> I64:
    """(h, 2) holes of a pattern in lattice steps from its middle, nearest first.

    Raises
    ------
    ConfigError
        Neither a size (``3x4``, ``5x5-corners``) nor rows of ``#`` and ``.``; more than 21 rows
        or columns; no hole.
    """
    mask = _drawn(text) if "#" in text else _sized(text)
    if mask.size == 0 or not mask.any() or max(mask.shape) > _LARGEST_PATTERN:
        raise ConfigError(
            f"pattern {text!r}: expected a size such as 5x5 or 5x5-corners, or rows of # and ., "
            f"up to {_LARGEST_PATTERN} holes wide", key="pattern", got=text,
        )  # fmt: skip
    row, column = np.nonzero(mask[::-1])
    ij = np.column_stack([column, row]).astype(np.int64)
    middle = ij[np.argmin(((ij - ij.mean(axis=0)) ** 2).sum(axis=1))]
    ij = ij - middle
    order = np.lexsort((np.arctan2(ij[:, 1], ij[:, 0]), (ij**2).sum(axis=1)))
    return np.asarray(ij[order], dtype=np.int64)


def _drawn(text: str) -> I64:
    rows = [r.strip() for r in text.replace("/", "\n").splitlines() if r.strip()]
    if set("".join(rows)) - set("#."):
        return np.zeros((0, 0), dtype=np.int64)
    width = max(map(len, rows))
    return np.array([[c == "#" for c in r.ljust(width, ".")] for r in rows], dtype=np.int64)


def _sized(text: str) -> I64:
    size, _, cut = text.partition("-")
    numbers = size.split("x")
    if cut not in ("", "corners") or len(numbers) != 2 or not all(n.isdigit() for n in numbers):
        return np.zeros((0, 0), dtype=np.int64)
    mask = np.ones((min(int(numbers[1]), 99), min(int(numbers[0]), 99)), dtype=np.int64)
    if cut and mask.size:
        mask[np.ix_([0, -1], [0, -1])] = 0
    return mask
