"""Copies of a file in another folder: the same exposure twice, not two exposures of one place."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refimpl.epu.files import layout_depth

__all__ = ["COPY", "without_copies"]

COPY = "copy of "
"""How the reason for leaving out a copy begins."""

_CONTENT = ("time", "beam_shift_x", "beam_shift_y", "stage_x_um", "stage_y_um")
_NO_UID = {"", "00000000-0000-0000-0000-000000000000"}


def without_copies(
    columns: Mapping[str, Any],
) -> tuple[NDArray[np.bool_], list[tuple[str, str, bool]]]:
    """Find the rows that are copies of others.

    Rows with the same ``uniqueID``, or the same name, and the same time, beam shift and stage
    position are one exposure. Kept is the one in EPU's own layout
    (:func:`refimpl.epu.files.layout_depth`), then the one with the shortest way, then the first by
    path: the order of the files plays no part. The same ``uniqueID`` or name with other content
    is another exposure; it stays and is told.

    Parameters
    ----------
    columns
        Columns of the table of exposures, (n,) each.

    Returns
    -------
    (n,) whether a row stays, and lines (path, reason, used) for the table of errors.
    """
    stays = np.ones(len(columns["path"]), dtype=bool)
    errors: list[tuple[str, str, bool]] = []
    for key, label in (("uid", "uniqueID"), ("name", "name")):
        for rows in _alike(columns[key], stays):
            kept = []
            for same in _alike_rows(rows, columns):
                best, *rest = sorted(same, key=lambda row: _rank(columns, row))
                kept.append(best)
                for row in rest:
                    stays[row] = False
                    why = f"{COPY}{columns['path'][best]} (same {label}, same exposure)"
                    errors.append((columns["path"][row], why, False))
            errors += _told(sorted(columns["path"][row] for row in kept), label)
    return stays, errors


def _alike(values: Any, stays: NDArray[np.bool_]) -> Iterable[list[int]]:
    """Rows that stay and share a value with another."""
    import pandas as pd

    several = pd.Series(values, dtype=object).where(stays).duplicated(keep=False).to_numpy()
    groups: dict[Hashable, list[int]] = {}
    for row in np.flatnonzero(several & stays).tolist():
        if values[row] not in _NO_UID:
            groups.setdefault(values[row], []).append(row)
    return groups.values()


def _alike_rows(rows: list[int], columns: Mapping[str, Any]) -> Iterable[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for row in rows:
        content = tuple(columns[name][row] for name in _CONTENT)
        groups.setdefault(content, []).append(row)
    return groups.values()


def _rank(columns: Mapping[str, Any], row: int) -> tuple[int, int, str]:
    path = columns["path"][row]
    return -layout_depth(path), path.count(os.sep), path


def _told(paths: list[str], label: str) -> list[tuple[str, str, bool]]:
    if len(paths) < 2:
        return []
    told = []
    for path in paths:
        other = paths[1] if path == paths[0] else paths[0]
        told.append((path, f"another exposure has the same {label}: {other}", True))
    return told
