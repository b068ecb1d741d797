"""A folder of EPU as a session.

Every file becomes one row or one line in the table of errors, with its own path, from the moment
it is found; there are no two lists to be kept in step.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from refimpl.epu.clock import utc_of_stamps
from refimpl.epu.copies import without_copies
from refimpl.epu.exposures import COLUMNS, DTYPES, errors_of, table_of
from refimpl.epu.file_cache import FileCache
from refimpl.epu.files import ExposureFile, Files, find_files
from refimpl.epu.session import Session
from refimpl.errors import FormatError
from refimpl.frames import F64
from refimpl.io.epu_dm import Grid, Target, read_grid, read_targets
from refimpl.io.epu_fields import Fields
from refimpl.io.epu_names import square_of
from refimpl.io.epu_templates import EpuReader

__all__ = ["read_epu"]

_Errors = list[tuple[str, str, bool]]

_BLOCK: Final = 4096
"""Files between two calls of ``progress``; then their values go from objects to arrays."""
_ROW: Final = ("path", "name", "square", "hole", "area", "area2", "stamp_s", *Fields._fields[:-1])
_KIND: Final = {**COLUMNS, "stamp_s": "number"}


def read_epu(
    folder: str | os.PathLike[str],
    *,
    progress: Callable[[int, int], None] | None = None,
    cache: FileCache | None = None,
) -> Session:
    """Read all exposures below a folder; see :func:`refimpl.epu.session.read_session`.

    Raises
    ------
    ConfigError
        There is no such folder.
    """
    files = find_files(folder)
    errors: _Errors = [(path, reason, False) for path, reason in files.unread]
    columns = _columns(files, len(str(folder)), errors, progress, cache)
    stamps, known = columns.pop("stamp_s"), columns["time_s"].copy()
    is_unknown = np.isnan(known)
    columns["time_s"][is_unknown] = utc_of_stamps(stamps[is_unknown], stamps, known)
    stays, copies = without_copies(columns)
    plans = FileCache() if cache is None else cache
    holes, grid = _holes(files, errors, plans), _grid(files, errors, plans)
    return Session(
        table=table_of(**{name: values[stays] for name, values in columns.items()}),
        errors=errors_of(errors + copies),
        holes=holes,
        hole_spacing_um=grid.hole_spacing_um,
        hole_size_um=grid.hole_size_um,
        foil_images=_foil_images(files, stamps, known),
        folder=Path(folder),
    )


def _columns(
    files: Files,
    root: int,
    errors: _Errors,
    progress: Callable[[int, int], None] | None,
    cache: FileCache | None,
) -> dict[str, Any]:
    """Columns of all files that can be used; ``root`` is the length of the folder's path."""
    reader, blocks = EpuReader(), [_arrays([])]
    for start in range(0, len(files.exposures), _BLOCK):
        rows = []
        for file in files.exposures[start : start + _BLOCK]:
            try:
                key = file.path[root:].lstrip(os.sep)
                fields = _read(reader, file.path, key, cache)
            except (FormatError, OSError) as error:
                errors.append((file.path, _reason(error), False))
                continue
            errors += [(file.path, reason, True) for reason in fields.missing]
            rows.append(_row(file, fields))
        blocks.append(_arrays(rows))
        if progress is not None:
            progress(min(start + _BLOCK, len(files.exposures)), len(files.exposures))
    return {name: np.concatenate([block[name] for block in blocks]) for name in _ROW}


def _read(reader: EpuReader, path: str, key: str, cache: FileCache | None) -> Fields:
    if cache is None:
        return reader.read_file(path)
    status = os.stat(path)  # before the reading: a file that grows meanwhile is read again
    fields = cache.get(key, status)
    if fields is None:
        fields = reader.read_file(path)
        cache.put(key, status, fields)
    return fields


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or error}"
    return str(error)


def _row(file: ExposureFile, fields: Fields) -> tuple[Any, ...]:
    name = file.name
    of_name = (file.stem, file.square, name.hole, name.area, name.area2, name.stamp_s)
    return (file.path, *of_name, *fields[:-1])


def _arrays(rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    columns = zip(*rows, strict=True) if rows else [()] * len(_ROW)
    return {
        name: np.array(values, dtype=DTYPES[_KIND[name]])
        for name, values in zip(_ROW, columns, strict=True)
    }


def _foil_images(files: Files, stamps: F64, known: F64) -> Any:
    import pandas as pd

    images = files.foil_images
    named = np.array([image.name.stamp_s for image in images], dtype=np.float64)
    return pd.DataFrame(
        {
            "path": pd.Series([image.path for image in images], dtype=object),
            "square": np.array([image.square for image in images], dtype=np.int64),
            "hole": np.array([image.name.hole for image in images], dtype=np.int64),
            "time_s": utc_of_stamps(named, stamps, known),
        }
    )


def _plans(
    paths: list[str], read: Callable[[bytes], Any], errors: _Errors, plans: FileCache
) -> list[Any]:
    """(path, what it says) of those that can be read."""
    found = []
    for path in paths:
        try:
            found.append((path, plans.plan(path, read)))
        except (FormatError, OSError) as error:
            errors.append((path, _reason(error), False))
    return found


def _holes(files: Files, errors: _Errors, cache: FileCache) -> Any:
    import pandas as pd

    found: list[tuple[str, tuple[Target, ...]]]
    found = _plans(files.squares, read_targets, errors, cache)
    rows = [(square_of(path), *target) for path, targets in found for target in targets]
    if not rows:
        return None
    holes = pd.DataFrame(rows, columns=["square", *Target._fields])
    holes = holes.drop_duplicates(["square", "hole"])  # a plan that was copied
    return holes.sort_values(["square", "hole"], ignore_index=True)


def _grid(files: Files, errors: _Errors, cache: FileCache) -> Grid:
    found: list[tuple[str, Grid]] = _plans(files.sessions, read_grid, errors, cache)
    grids = {grid for _, grid in found}
    if len(grids) == 1:
        return grids.pop()
    if grids:
        told = "the sessions below the folder differ in spacing or size of the holes: none is used"
        errors += [(path, told, True) for path, _ in found]
    return Grid(None, None)
