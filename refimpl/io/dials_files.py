"""Files of rotation data: experiment lists (``.expt``) and reflection tables (``.refl``).

The one way in and out; layouts are in ``io.expt_files`` and ``io.refl_files``. Here too: whether a
table and an experiment list belong together, and the order of rows that calculations by experiment
and panel want.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refimpl.errors import FormatError
from refimpl.forward.experiment import Experiment
from refimpl.io.expt_files import read_expt, write_expt
from refimpl.io.refl_files import read_refl, write_refl
from refimpl.io.reflection_table import ReflectionTable

__all__ = [
    "check_pair",
    "check_sorted",
    "check_variances",
    "read_expt",
    "read_refl",
    "sorted_rows",
    "write_expt",
    "write_refl",
]


def check_pair(table: ReflectionTable, experiments: Sequence[Experiment]) -> None:
    """Demand that every row's experiment and panel exist; id -1 (not indexed) is allowed.

    Raises
    ------
    FormatError
        A row refers to an experiment or a panel that is not there, or the identifiers differ.
    """
    table.require("id", "panel")
    ids, panel = table["id"].astype(np.int64), table["panel"].astype(np.int64)
    wrong = np.flatnonzero((ids < -1) | (ids >= len(experiments)))
    for row in wrong[:1]:
        raise FormatError(
            f"row {row} is of experiment {ids[row]}: the list has {len(experiments)}, from 0 "
            "(several still images: import, find and index each by itself)",
            path=table.source,
            key="id",
        )
    counts = np.array([len(e.detector) if e.detector else 0 for e in experiments], dtype=np.int64)
    most = np.where(ids >= 0, counts[ids], counts.max(initial=0))
    for row in np.flatnonzero((panel < 0) | (panel >= most))[:1]:
        raise FormatError(
            f"row {row} is on panel {panel[row]}: the detector of experiment {ids[row]} has "
            f"{most[row]} panels, from 0",
            path=table.source,
            key="panel",
        )
    for number, text in table.identifiers.items():
        own = experiments[number].identifier if 0 <= number < len(experiments) else None
        if own not in ("", text):
            raise FormatError(
                f"id {number} is of experiment {text!r}: the list has {own!r} there",
                path=table.source,
                key="identifiers",
            )


def check_sorted(table: ReflectionTable, *names: str) -> None:
    """Demand rows in ascending order of columns (``id`` by default), the first the slowest.

    Raises
    ------
    FormatError
        They are not; names the first row out of order.
    """
    keys = names or ("id",)
    table.require(*keys)
    rank = np.argsort(sorted_rows(table, *keys))  # place of each row when sorted
    for row in np.flatnonzero(np.diff(rank) < 0)[:1]:
        late = int(row) + 1
        values = ", ".join(f"{k} {table[k][late]}" for k in keys)
        raise FormatError(
            f"rows are not sorted by {', '.join(keys)}: row {late} ({values}) comes after a "
            "larger one; table.select(sorted_rows(table)) sorts them",
            path=table.source,
            key=keys[0],
        )


def sorted_rows(table: ReflectionTable, *names: str) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """(n,) row numbers in ascending order of columns (``id``, ``panel`` by default), stable."""
    keys = names or ("id", "panel")
    table.require(*keys)
    return np.lexsort([table[name] for name in reversed(keys)])


def check_variances(table: ReflectionTable, *names: str) -> None:
    """Demand variances that are finite and not negative (``xyzobs.mm.variance`` by default).

    Raises
    ------
    FormatError
        One is not; names the row and the value.
    """
    keys = names or ("xyzobs.mm.variance",)
    table.require(*keys)
    for name in keys:
        values = table[name].reshape(len(table), -1)
        good = (values >= 0.0) & np.isfinite(values)
        for row in np.flatnonzero(~good.all(axis=1))[:1]:
            raise FormatError(
                f"{name} of row {row} is {values[row].tolist()}: expected numbers from 0 "
                f"({int((~good.all(axis=1)).sum())} rows are wrong)",
                path=table.source,
                key=name,
            )
