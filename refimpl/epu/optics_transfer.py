"""Groups into STAR files that exist, and bad micrographs out of them (see `optics_star`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from refimpl.epu.optics_groups import OpticsGroups
from refimpl.epu.optics_star import (
    DATA_TABLES,
    GROUP,
    GROUP_NAME,
    data_table,
    name_column,
    used_groups,
)
from refimpl.epu.stems import StemIndex
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import I64
from refimpl.io.star import StarFile, StarTable

__all__ = ["UNMATCHED", "Changed", "drop", "prune", "regroup"]

UNMATCHED: Final = ("error", "drop", "keep")
"""What becomes of rows whose micrograph is of no exposure: refuse, leave out, or keep as it is."""


@dataclass(frozen=True, eq=False)
class Changed:
    """A STAR file with other rows or groups.

    Attributes
    ----------
    star
        What to write.
    n_before, n_after
        Rows of movies, micrographs or particles.
    unmatched
        `regroup`: micrographs of the file without an exposure. `drop`: names that are not in it.
    matched
        Names of exposures that were found in the file.
    notes
        What a user should know.
    """

    star: StarFile
    n_before: int
    n_after: int
    unmatched: tuple[str, ...] = ()
    matched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def regroup(
    star: StarFile, groups: OpticsGroups, *, replace_groups: bool = False, unmatched: str = "error"
) -> Changed:
    """Give the rows of a file to new optics groups; everything else stays.

    Parameters
    ----------
    star
        Movies, micrographs or particles.
    groups
        Of the exposures; a row belongs to the one whose name its file name contains.
    replace_groups
        Allow a file that has several groups already: each new group takes the optics of the old
        group of its members, which must be of one kind.
    unmatched
        One of :data:`UNMATCHED`. Rows that are kept keep their optics, in groups behind the new.

    Raises
    ------
    ConfigError
        The file has several groups and `replace_groups` is off, old groups of different optics
        would become one, or rows are of no exposure.
    FormatError
        No file that has optics groups, or no names of micrographs in it.
    """
    if unmatched not in UNMATCHED:
        raise ConfigError(f"unmatched {unmatched!r}: expected one of {', '.join(UNMATCHED)}")
    table, optics, old = data_table(star), star.table("optics"), used_groups(star)
    if len(optics) > 1 and not replace_groups:
        raise ConfigError(
            f"{len(optics)} optics groups are there already: replacing them must be asked for",
            path=star.path, key="replace",
        )  # fmt: skip
    rows = _rows_of(table, groups.stems, star)
    lost = tuple(dict.fromkeys(_names(table, np.flatnonzero(rows < 0))))
    if lost and (unmatched == "error" or (rows < 0).all()):
        raise ConfigError(f"{len(lost)} of its micrographs belong to no exposure, {lost[0]!r} "
                          "first", path=star.path, key="unmatched")  # fmt: skip
    ids = optics.integers(GROUP) if GROUP in optics else np.ones(1, dtype=np.int64)
    new = np.where(rows >= 0, groups.labels[rows], 0)
    stay = np.flatnonzero((rows >= 0) | (unmatched == "keep"))
    source = [_source(optics, ids, old[new == g], g, star) for g in range(1, len(groups) + 1)]
    names = list(groups.names)
    kept = sorted(set(old[stay][new[stay] == 0].tolist()), key=ids.tolist().index)
    for group in kept:
        at = ids.tolist().index(group)
        new[(new == 0) & (old == group)] = len(source) + 1
        source.append(at)
        names.append(_free(_old_name(optics, at), names))
    made = optics.take(source).replaced(GROUP_NAME, names)
    made = made.replaced(GROUP, list(range(1, len(source) + 1)))
    data = table.take(stay).replaced(GROUP, new[stay].tolist())
    notes = _empty_note(new[stay], len(source))
    if kept:
        notes += (
            f"micrographs of no exposure that keep their optics: {len(lost)}, in groups of "
            f"their own: {len(kept)}",
        )
    found = tuple(groups.stems[i] for i in sorted(set(rows[rows >= 0].tolist())))
    out = star.with_table(made).with_table(data)
    return Changed(out, len(table), len(stay), lost, found, notes)


def drop(star: StarFile, stems: Sequence[str]) -> Changed:
    """Leave out the rows of some exposures; the optics table stays as it is.

    Parameters
    ----------
    star
        Movies, micrographs, particles, or coordinates of picked particles.
    stems
        Names of the exposures.

    Raises
    ------
    FormatError
        No table names micrographs.
    ConfigError
        Nothing would be left.
    """
    before = after = 0
    found: set[int] = set()
    out, named = star, False
    for table in star.tables:
        if table.name == "optics" or name_column(table) is None:
            continue
        named = True
        rows = _rows_of(table, stems, star)
        found |= set(rows[rows >= 0].tolist())
        before, after = before + len(rows), after + int(np.count_nonzero(rows < 0))
        if (rows >= 0).any():
            out = out.with_table(table.take(np.flatnonzero(rows < 0)))
    if not named:
        raise FormatError("no table names micrographs", path=star.path)
    if before and not after:
        raise ConfigError(f"all {before} rows would go", path=star.path, key="drop")
    strange = tuple(stem for i, stem in enumerate(stems) if i not in found)
    notes: tuple[str, ...] = ()
    if "optics" in out and len([name for name in DATA_TABLES if name in out]) == 1:
        notes = _empty_note(_places(out), len(out.table("optics")))
    matched = tuple(stems[i] for i in sorted(found))
    return Changed(out, before, after, strange, matched, notes)


def prune(star: StarFile) -> StarFile:
    """Take optics groups without rows out of the table, and number the others from 1.

    Raises
    ------
    FormatError
        No file that has optics groups.
    """
    places, optics, table = _places(star), star.table("optics"), data_table(star)
    used = sorted(set(places.tolist()))
    if len(used) == len(optics):
        return star
    number = {place: i for i, place in enumerate(used, 1)}
    made = optics.take([place - 1 for place in used])
    made = made.replaced(GROUP, list(range(1, len(used) + 1)))
    data = table.replaced(GROUP, [number[place] for place in places.tolist()])
    return star.with_table(made).with_table(data)


def _places(star: StarFile) -> I64:
    """(n,) place of each row's group in the optics table, from 1."""
    optics = star.table("optics")
    used = used_groups(star)
    ids = optics.integers(GROUP).tolist() if GROUP in optics else [1]
    place = {group: i for i, group in enumerate(ids, 1)}
    return np.array([place[group] for group in used.tolist()], dtype=np.int64)


def _rows_of(table: StarTable, stems: Sequence[str], star: StarFile) -> I64:
    """(n,) row of each micrograph's exposure, -1 where there is none."""
    column = name_column(table)
    if column is None:
        raise FormatError(f"data_{table.name} names no micrographs", path=star.path)
    names = table.column(column)
    index = StemIndex(stems)
    row = {name: index.find(name) for name in set(names)}  # particles repeat their micrograph
    return np.array([row[name] for name in names], dtype=np.int64)


def _names(table: StarTable, rows: I64) -> list[str]:
    column = name_column(table)
    assert column is not None  # _rows_of refused it
    return table.take(rows).column(column)


def _source(optics: StarTable, ids: I64, old: I64, group: int, star: StarFile) -> int:
    """Row of the optics table that a new group takes its values from."""
    places = [ids.tolist().index(g) for g in sorted(set(old.tolist()))]
    for column in optics.columns if len(places) > 1 else ():
        if column in (GROUP, GROUP_NAME):
            continue
        values = optics.column(column)
        found = {values[i] for i in places}
        if len(found) > 1:
            raise ConfigError(
                f"new group {group} would join old groups {', '.join(str(ids[i]) for i in places)},"
                f" whose _{column} differ: {', '.join(sorted(found))}",
                path=star.path, key=column,
            )  # fmt: skip
    return places[0] if places else 0


def _old_name(optics: StarTable, at: int) -> str:
    return optics.column(GROUP_NAME)[at] if GROUP_NAME in optics else f"kept{at + 1}"


def _free(name: str, taken: Sequence[str]) -> str:
    """Name that is not taken yet."""
    if name not in taken:
        return name
    return next(n for i in range(1, len(taken) + 2) if (n := f"{name}_kept{i}") not in taken)


def _empty_note(labels: I64, n: int) -> tuple[str, ...]:
    empty = n - len(set(labels.tolist()))
    if not empty:
        return ()
    return (f"{empty} of {n} optics groups have no micrographs; they stay in the table",)
