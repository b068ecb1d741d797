"""Which spots of two reflection tables are one, and which axes their indices are of."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.spatial import cKDTree

from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64, I64
from refimpl.io.reflection_table import ReflectionTable

__all__ = ["PLACES", "REACH_PX", "match_spots", "numbers", "reindexing"]

PLACES: Final = ("xyzobs.px.value", "xyzcal.px")
"""Columns that spots are matched by, the first that both tables have."""
REACH_PX: Final = 2.0
"""How far two places of one spot may be apart [px]."""
_REACH_IMAGES, _APART = 2.0, 1e6


def numbers(table: ReflectionTable, name: str, *shape: int) -> F64:
    """(n, ...) numbers of a column, of which an ``.npz`` may hold anything.

    Parameters
    ----------
    table, name
        Where from.
    shape
        Of a row.

    Raises
    ------
    FormatError
        No such column, no numbers, or another shape.
    """
    values = np.asarray(table[name])
    if values.dtype.kind not in "biuf" or values.shape[1:] != shape:
        raise FormatError(
            f"column {name}: {values.dtype} of shape {values.shape}: expected numbers of shape "
            f"{(len(values), *shape)}",
            path=table.source,
            key=name,
        )
    return values.astype(np.float64)


def match_spots(a: ReflectionTable, b: ReflectionTable, match_px: float) -> tuple[I64, str]:
    """Pairs of spots that are each other's nearest.

    Parameters
    ----------
    a, b
        Tables with ``panel`` and one of ``xyzobs.px.value``, ``xyzcal.px`` in common.
    match_px
        Reach [px]; along the rotation it is 2 images.

    Returns
    -------
    (n, 2) rows of a and of b, and the column.

    Raises
    ------
    FormatError
        A column is missing.
    ConfigError
        A reach that is not positive.
    """
    if not match_px > 0.0:
        raise ConfigError(f"--match-px {match_px:g}: expected > 0", key="match-px")
    for table in (a, b):
        table.require("panel")
    column = next((c for c in PLACES if c in a and c in b), None)
    if column is None:
        raise FormatError(
            f"no places in common: both tables need one of {', '.join(PLACES)}", path=b.source
        )
    group = "imageset_id" if "imageset_id" in a and "imageset_id" in b else ""
    if not group and all("id" in t and len(np.unique(t["id"])) > 1 for t in (a, b)):
        group = "id"
    places = []
    for table in (a, b):
        xyz = numbers(table, column, 3)
        xyz[:, 2] *= match_px / _REACH_IMAGES
        part = numbers(table, group) if group else np.zeros(len(table))
        keys = np.stack([numbers(table, "panel"), part], axis=1)
        places.append(np.hstack([xyz, _APART * keys]))
    good = [np.flatnonzero(np.isfinite(p).all(axis=1)) for p in places]
    if not len(good[0]) or not len(good[1]):
        return np.zeros((0, 2), dtype=np.int64), column
    one, two = (p[g] for p, g in zip(places, good, strict=True))
    away, there = cKDTree(two).query(one)
    back = cKDTree(one).query(two)[1]
    keep = (away <= match_px) & (back[there] == np.arange(len(one)))
    return np.stack([good[0][keep], good[1][there[keep]]], axis=1), column


def reindexing(first: I64, second: I64) -> I64:
    """(3, 3) integer matrix M with h_second = M h_first, of determinant 1 or -1; else identity.

    Parameters
    ----------
    first, second
        (n, 3) indices of the same reflections.
    """
    keep = np.ones(len(first), dtype=bool)
    eye = np.eye(3, dtype=np.int64)
    for _ in range(5):
        if np.linalg.matrix_rank(first[keep]) < 3:
            return eye
        m = np.linalg.lstsq(first[keep].astype(float), second[keep].astype(float), rcond=None)[0].T
        away = np.abs(second - first @ m.T).max(axis=1)
        new = away <= max(0.5, float(np.median(away)))
        if (new == keep).all():
            break
        keep = new
    whole = np.rint(m).astype(np.int64)
    same = int((first @ whole.T == second).all(axis=1).sum())
    unimodular = abs(round(float(np.linalg.det(whole)))) == 1
    better = same > int((first == second).all(axis=1).sum())
    return whole if unimodular and better else eye
