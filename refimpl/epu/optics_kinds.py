"""Exposures of one kind: the same pixel size and voltage, which an optics group must share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from refimpl.frames import F64, I64

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["middle", "optics_kinds"]

_SAME_PIXEL: Final = 1e-3
_SAME_VOLTAGE_KV: Final = 1.0


def optics_kinds(table: pd.DataFrame) -> tuple[I64, tuple[str, ...]]:
    """Sets of exposures with the same pixel size and voltage.

    Parameters
    ----------
    table
        n exposures.

    Returns
    -------
    (n,) set of each, the largest 0, and notes. What is unknown is as most others are.
    """
    sets = [
        _runs(np.log(table["pixel_size_angstrom"].to_numpy(np.float64)), _SAME_PIXEL),
        _runs(table["voltage_kv"].to_numpy(np.float64), _SAME_VOLTAGE_KV),
    ]
    pairs, kinds = np.unique(np.column_stack(sets), axis=0, return_inverse=True)
    sizes = np.bincount(kinds, minlength=len(pairs))
    rank = np.empty(len(pairs), dtype=np.int64)
    rank[np.lexsort((np.arange(len(pairs)), -sizes))] = np.arange(len(pairs))
    notes: tuple[str, ...] = ()
    if len(pairs) > 1:
        counts = ", ".join(str(size) for size in sorted(sizes.tolist(), reverse=True))
        notes = (f"{len(pairs)} pixel sizes or voltages are grouped apart: {counts} exposures",)
    return rank[kinds], notes


def _runs(values: F64, tolerance: float) -> I64:
    """(n,) numbers of runs of nearly equal values, from 0."""
    known = np.isfinite(values)
    out = np.zeros(len(values), dtype=np.int64)
    if known.any():
        order = np.argsort(values[known], kind="stable")
        steps = np.diff(values[known][order], prepend=values[known][order][0]) > tolerance
        runs = np.empty(int(known.sum()), dtype=np.int64)
        runs[order] = np.cumsum(steps)
        out[known] = runs
        out[~known] = int(np.argmax(np.bincount(runs)))
    return out


def middle(values: F64) -> float:
    """Median of what is known; NaN where nothing is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
