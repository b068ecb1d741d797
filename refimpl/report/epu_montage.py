"""Montage of duplicates: what was kept, what was exposed again, and the pictures of their holes.

As published, four pictures a row: exposure 1, exposure 2, foil hole 1, foil hole 2. Published
versions differ in all else; here the limit counts cases, rows are streamed, and a picture that is
not there is a grey tile with its name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from refimpl.epu.foil_holes import foil_pictures
from refimpl.epu.session import Session
from refimpl.errors import ConfigError
from refimpl.frames import I64
from refimpl.report.montage import Case, Tile, draw_cases

if TYPE_CHECKING:
    import pandas as pd

    from refimpl.epu.duplicates import Duplicates

__all__ = ["LIMIT", "PER_ROW", "Montage", "cases_of", "stamp_of", "write_montage"]

LIMIT, PER_ROW = 100, 4
_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})_(\d{2})(\d{2})(\d{2})$")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".JPEG", ".PNG")


@dataclass(frozen=True)
class Montage:
    """What was drawn.

    Attributes
    ----------
    path
        The picture.
    cases, left_out
        How many are in it, and how many more there are.
    missing
        Pictures that are not there or cannot be read, ``name: why``.
    has_foil_holes
        Whether the session has pictures of foil holes.
    """

    path: Path
    cases: int
    left_out: int
    missing: tuple[str, ...]
    has_foil_holes: bool

    def sentences(self) -> tuple[str, ...]:
        """What a reader has to know."""
        lines = [f"montage: {self.cases} cases in {self.path}"]
        if self.left_out:
            lines.append(f"{self.left_out} more are over the limit and left out")
        if not self.has_foil_holes:
            lines.append("no picture of a foil hole in this session: two pictures a case")
        if self.missing:
            more = f", and {len(self.missing) - 3} more" if len(self.missing) > 3 else ""
            lines.append(
                f"{len(self.missing)} pictures missing: {'; '.join(self.missing[:3])}{more}"
            )
        return tuple(lines)


def stamp_of(name: str) -> str:
    """Date and time at the end of a name of EPU, ``2020-02-06 17:06:46``; "" if it has none."""
    found = _STAMP.search(name)
    if found is None:
        return ""
    year, month, day, hour, minute, second = found.groups()
    return f"{year}-{month}-{day} {hour}:{minute}:{second}"


def write_montage(
    session: Session,
    pairs: Duplicates | pd.DataFrame | ArrayLike,
    path: str | os.PathLike[str],
    *,
    limit: int = LIMIT,
    resize: bool = False,
    per_row: int = PER_ROW,
    progress: Callable[[int, int], Any] | None = None,
) -> Montage:
    """Write a montage of cases, one row of pictures at a time.

    Parameters
    ----------
    session
        Exposures and pictures of foil holes.
    pairs
        Duplicates (each bad exposure with the one that is kept), or rows of the session's table:
        a table with ``first`` and ``second``, or (p, 2).
    path
        A PNG.
    limit
        Most cases; 0: all.
    resize
        Half the size.
    per_row
        Pictures side by side, a multiple of 4.
    progress
        Called as ``progress(cases done, cases)``.

    Raises
    ------
    ConfigError
        There is no case, an option is impossible, or the file cannot be written.
    """
    if limit < 0:
        raise ConfigError(f"montage: limit {limit}: 0 (all) or more", key="limit", got=limit)
    if per_row < 1 or per_row % PER_ROW:
        raise ConfigError(
            f"montage: {per_row} pictures a row: a multiple of {PER_ROW} is needed, the pictures "
            "of a case", key="per_row", got=per_row,
        )  # fmt: skip
    rows, captions = _rows(pairs)
    cases = cases_of(session, rows[:limit] if limit else rows, captions)
    total = len(rows)
    if not cases:
        raise ConfigError("montage: there is no duplicate to show", path=Path(path))
    has_holes = len(cases[0].tiles) == PER_ROW
    more = f" of {total}" if total > len(cases) else ""
    title = f"{len(cases)}{more} cases: kept, exposed again" + (
        ", their foil holes" if has_holes else "; the session has no pictures of foil holes"
    )
    missing = draw_cases(
        path, cases, title=title, cases_a_row=per_row // len(cases[0].tiles), resize=resize,
        progress=progress,
    )  # fmt: skip
    return Montage(Path(path), len(cases), total - len(cases), missing, has_holes)


def _rows(pairs: Duplicates | pd.DataFrame | ArrayLike) -> tuple[I64, list[str]]:
    """(p, 2) kept and bad rows, and what is known of each beside its pictures."""
    import pandas as pd

    from refimpl.epu.duplicates import Duplicates

    if isinstance(pairs, Duplicates):
        bad = np.flatnonzero(pairs.bad)
        rows, table = np.stack([pairs.kept[bad], bad], axis=1), pairs.pairs
    elif isinstance(pairs, pd.DataFrame):
        rows, table = pairs[["first", "second"]].to_numpy(dtype=np.int64), pairs
    else:
        return np.asarray(pairs, dtype=np.int64).reshape(-1, 2), []
    keys = zip(table["first"].tolist(), table["second"].tolist(), strict=True)
    where = {key: place for place, key in enumerate(keys)}
    return rows, [_words(table, where.get((a, b), -1)) for a, b in rows.tolist()]


def _words(table: pd.DataFrame, row: int) -> str:
    """Distance, overlap and cause of a pair, those that the table has."""

    def value(column: str) -> float:
        known = row >= 0 and column in table.columns
        return float(table[column].iloc[row]) if known else float("nan")

    words = []
    if np.isfinite(away := value("distance_um")):
        words.append(f"{1e3 * away:.0f} nm apart")
    if np.isfinite(part := value("overlap")):
        words.append(f"{100.0 * part:.0f} % of the beam")
    if row >= 0 and "cause" in table.columns:
        words.append(str(table["cause"].iloc[row]))
    return ", ".join(words)


def cases_of(session: Session, rows: I64, captions: Sequence[str] = ()) -> list[Case]:
    """Pictures of each case; with two tiles where the session has no pictures of foil holes.

    Parameters
    ----------
    session
        Exposures and pictures of foil holes.
    rows
        (p, 2) rows of the session's table: what is kept, what is bad.
    captions
        What is said of each; the names follow by themselves.
    """
    names, paths = (session.table[column].tolist() for column in ("name", "path"))
    has_holes = len(session.foil_images) > 0
    holes: Sequence[str | None] = foil_pictures(session, rows.reshape(-1)) if has_holes else ()
    cases = []
    for k, pair in enumerate(rows.tolist()):
        words = captions[k] if k < len(captions) else ""
        shots = [
            Tile(_picture(Path(paths[row])), names[row], _stamp(role, names[row]))
            for row, role in zip(pair, ("kept", "again"), strict=True)
        ]
        if has_holes:
            shots += [_hole_tile(holes[2 * k + i], names[row]) for i, row in enumerate(pair)]
        named = f"{names[pair[0]]}, {names[pair[1]]}"
        # two pictures are not wide enough for all on one line
        lines = (
            (f"{k + 1}: {words}{', ' if words else ''}{named}",)
            if has_holes
            else (f"{k + 1}: {words}", named)
        )
        cases.append(Case(lines, tuple(shots)))
    return cases


def _stamp(role: str, name: str) -> str:
    return f"{role} {stamp_of(name)}".strip()


def _hole_tile(path: str | None, exposure: str) -> Tile:
    if path is None:
        return Tile(None, f"foil hole of {exposure}", "foil hole")
    return Tile(Path(path), Path(path).name, _stamp("foil hole", Path(path).stem))


def _picture(xml: Path) -> Path | None:
    """Picture beside an XML file; None where there is none."""
    for suffix in _SUFFIXES:
        if (found := xml.with_suffix(suffix)).is_file():
            return found
    return None
