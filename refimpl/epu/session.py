"""A session: the exposures, what was wrong with the files, and what EPU planned."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from refimpl.epu.exposures import COLUMNS, empty_errors, table_of
from refimpl.errors import ConfigError, FormatError
from refimpl.frames import F64

if TYPE_CHECKING:
    import pandas as pd

    from refimpl.epu.file_cache import FileCache

__all__ = ["COLUMNS", "Session", "Source", "read_session", "table_of"]

Source = Callable[[str | os.PathLike[str]], "Session | pd.DataFrame | Mapping[str, Any]"]
"""What gives the exposures of a folder or file."""


def _no_foil_images() -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "path": pd.Series([], dtype=object),
            "square": np.empty(0, dtype=np.int64),
            "hole": np.empty(0, dtype=np.int64),
            "time_s": np.empty(0, dtype=np.float64),
        }
    )


@dataclass(frozen=True, eq=False)
class Session:
    """Everything that is known of an EPU session.

    Attributes
    ----------
    table
        One row an exposure, columns :data:`COLUMNS`, sorted by time and name (:func:`table_of`).
    errors
        ``path, reason, used``: files that cannot be used, copies of a file (the copy is not used),
        and what is missing in files that are used.
    holes
        ``square, hole, stage_x_um, stage_y_um`` as EPU planned them (``GridSquare_*.dm``), or None.
    hole_spacing_um, hole_size_um
        From ``EpuSession.dm``, or None.
    foil_images
        ``path, square, hole, time_s`` of the pictures of foil holes, by name; time in UTC.
    folder
        Where it was read from, or None.
    """

    table: pd.DataFrame
    errors: pd.DataFrame = field(default_factory=empty_errors)
    holes: pd.DataFrame | None = None
    hole_spacing_um: float | None = None
    hole_size_um: float | None = None
    foil_images: pd.DataFrame = field(default_factory=_no_foil_images)
    folder: Path | None = None

    def __post_init__(self) -> None:
        missing = [name for name in COLUMNS if name not in self.table.columns]
        if missing:
            raise ConfigError(f"not a table of exposures, use table_of: it lacks {missing}")

    def __len__(self) -> int:
        return len(self.table)

    @property
    def exposures(self) -> int:
        """Number of exposures."""
        return len(self.table)

    @property
    def beam_shift(self) -> F64:
        """(n, 2) beam shifts, dimensionless."""
        return self.table[["beam_shift_x", "beam_shift_y"]].to_numpy(np.float64)

    @property
    def stage_um(self) -> F64:
        """(n, 2) stage positions [um]."""
        return self.table[["stage_x_um", "stage_y_um"]].to_numpy(np.float64)


def read_session(
    folder: str | os.PathLike[str],
    *,
    source: str | Source = "epu",
    strict: bool = False,
    progress: Callable[[int, int], None] | None = None,
    cache: FileCache | str | os.PathLike[str] | None = None,
    allow_empty: bool = False,
) -> Session:
    """Read a session.

    Parameters
    ----------
    folder
        Folder of EPU, at any level; folders inside are searched, links followed. For the source
        ``csv`` the file that :func:`write_csv` wrote or one like it.
    source
        ``epu``, ``csv``, or a function that is given ``folder`` and returns a Session or the
        columns for :func:`table_of` (a mapping or a data frame).
    strict
        Raise at a file that cannot be used (a copy of another is no such file), where otherwise
        it goes to the table of errors.
    progress
        Called with the files done and their number (source ``epu``).
    cache
        Values of files that were read before (source ``epu``): a path of a CSV file that is made
        or brought up to date, or a :class:`FileCache` in memory.
    allow_empty
        Return a session without exposures, too; where it is watched, they may come.

    Raises
    ------
    ConfigError
        No such folder or source; no exposure in it.
    FormatError
        No exposure that can be used; with ``strict``, one that cannot; a CSV table or cache that
        is something else.
    """
    from refimpl.epu.csv_tables import read_csv
    from refimpl.epu.file_cache import FileCache
    from refimpl.epu.sources import read_epu

    if source == "epu":
        kept = cache if cache is None or isinstance(cache, FileCache) else FileCache.load(cache)
        session = read_epu(folder, progress=progress, cache=kept)
        if kept is not None and not isinstance(cache, FileCache) and cache is not None:
            kept.save(cache)
    elif source == "csv":
        session = read_csv(folder)
    elif callable(source):
        got = source(folder)
        session = got if isinstance(got, Session) else Session(table_of(**dict(got)))
    else:
        raise ConfigError(f"unknown source {source!r}; known: epu, csv, or a function", got=source)
    _check(session, Path(folder), strict, allow_empty)
    return session


def _check(session: Session, folder: Path, strict: bool, allow_empty: bool) -> None:
    from refimpl.epu.copies import COPY

    errors = session.errors
    bad = errors[~errors["used"].astype(bool) & ~errors["reason"].str.startswith(COPY)]
    first = bad.iloc[0] if len(bad) else None
    if strict and first is not None:
        raise FormatError(f"{first['reason']} ({len(bad)} such files)", path=first["path"])
    if len(session) or allow_empty:
        return
    if first is None:
        raise ConfigError("no exposure (FoilHole_*_Data_*.xml) in this folder", path=folder)
    raise FormatError(
        f"none of the {len(bad)} files can be used; the first: {first['reason']}",
        path=first["path"],
    )
