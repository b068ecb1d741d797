"""Table of exposures: its columns, their units, and how a valid one is made of arrays.

One row is one exposure and everything known about it, so that a file that cannot be read takes its
whole row with it and no name ever slips to another exposure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from refimpl.errors import ConfigError
from refimpl.frames import F64
from refimpl.io.epu_names import seconds_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "DTYPES", "REQUIRED", "empty_errors", "errors_of", "table_of"]

COLUMNS: Final[Mapping[str, str]] = {
    "name": "text",
    "path": "text",
    "uid": "text",
    "square": "id",
    "hole": "id",
    "area": "id",
    "area2": "id",
    "time": "text",
    "time_s": "number",
    "beam_shift_x": "number",
    "beam_shift_y": "number",
    "stage_x_um": "number",
    "stage_y_um": "number",
    "stage_z_um": "number",
    "alpha_rad": "number",
    "beta_rad": "number",
    "beam_diameter_um": "number",
    "beam_tilt_x": "number",
    "beam_tilt_y": "number",
    "image_shift_x": "number",
    "image_shift_y": "number",
    "pixel_size_angstrom": "number",
    "image_to_stage_11": "number",
    "image_to_stage_12": "number",
    "image_to_stage_21": "number",
    "image_to_stage_22": "number",
    "voltage_kv": "number",
    "magnification": "number",
    "camera": "text",
    "exposure_s": "number",
    "epu_version": "text",
    "instrument": "text",
    "dose_per_angstrom2": "number",
    "applied_defocus_um": "number",
    "phase_plate": "id",
}
"""Columns of the table in their order, and what is in them.

``text`` is str, empty where unknown; ``id`` is int64, -1 where unknown; ``number`` is float64, NaN
where unknown. ``time`` is the ISO text as written and ``time_s`` the seconds since 1970 UTC;
``image_to_stage`` is in um/px; ``phase_plate`` is 1 where one was used, 0 where not.
"""

REQUIRED: Final = ("beam_shift_x", "beam_shift_y", "stage_x_um", "stage_y_um")
"""Without these, finite, an exposure is of no use."""

DTYPES: Final[Mapping[str, Any]] = {"text": object, "id": np.int64, "number": np.float64}
"""Of the arrays that the columns are made of."""
_UNKNOWN: Final[Mapping[str, Any]] = {"text": "", "id": -1, "number": np.nan}


def table_of(**columns: Any) -> pd.DataFrame:
    """Make a valid table of exposures from arrays.

    Parameters
    ----------
    **columns
        Columns of :data:`COLUMNS`, each (n,) or one value for all; the :data:`REQUIRED` ones must
        be there. What is left out is unknown, except: ``time_s`` follows from ``time`` where that
        is given and is 0, 1, 2... otherwise; ``time`` follows from ``time_s``; ``name`` is
        ``exposure_000000`` and so on; ``path`` is the name with ``.xml``.

    Returns
    -------
    One row an exposure, all columns in their order, sorted by time, then name, then path (an
    unknown time is the last), numbered from 0. Rows that are in that order already keep it.

    Raises
    ------
    ConfigError
        A column is unknown or missing, lengths differ, or a required value is not finite.
    """
    import pandas as pd

    unknown = sorted(set(columns) - set(COLUMNS))
    if unknown:
        raise ConfigError(f"unknown columns {unknown}; known: {', '.join(COLUMNS)}", got=unknown)
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ConfigError(f"a table of exposures needs the columns {missing}", got=missing)
    n = _length(columns)
    given = {name: _column(name, values, n) for name, values in columns.items()}
    for name in REQUIRED:
        if not np.all(np.isfinite(given[name])):
            raise ConfigError(f"column {name}: a value is missing or not finite", key=name)
    given |= _derived(given, n)
    made = {
        name: pd.Series(
            given.get(name, np.full(n, _UNKNOWN[kind], dtype=DTYPES[kind])), dtype=DTYPES[kind]
        )
        for name, kind in COLUMNS.items()
    }
    table = pd.DataFrame(made)
    order = ["time_s", "name", "path"]
    return table.sort_values(order, kind="stable", na_position="last", ignore_index=True)


def empty_errors() -> pd.DataFrame:
    """Table of errors without a row."""
    return errors_of([])


def errors_of(rows: list[tuple[str, str, bool]]) -> pd.DataFrame:
    """Table of (path, reason, used), sorted; ``used`` where the exposure counts all the same."""
    import pandas as pd

    path, reason, used = zip(*sorted(rows), strict=True) if rows else ((), (), ())
    return pd.DataFrame(
        {
            "path": pd.Series(path, dtype=object),
            "reason": pd.Series(reason, dtype=object),
            "used": np.array(used, dtype=bool),
        }
    )


def _length(columns: Mapping[str, Any]) -> int:
    """Common length of what is given as arrays."""
    lengths = {
        name: len(np.asarray(values)) for name, values in columns.items() if np.ndim(values) > 0
    }
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"columns of different lengths: {lengths}", got=lengths)
    return next(iter(lengths.values()), 1)


def _column(name: str, values: Any, n: int) -> Any:
    kind = COLUMNS[name]
    try:
        made = np.asarray(values, dtype=DTYPES[kind])
    except (TypeError, ValueError) as error:
        raise ConfigError(f"column {name}: {error}", key=name) from error
    if made.ndim > 1:
        raise ConfigError(f"column {name} has the shape {made.shape}, (n,) is needed", key=name)
    if kind == "text" and not all(isinstance(text, str) for text in made.flat):
        raise ConfigError(f"column {name}: a value is not text", key=name)
    return np.broadcast_to(made, (n,)).copy()


def _derived(given: Mapping[str, Any], n: int) -> dict[str, Any]:
    """Names, paths and times that follow from others."""
    more: dict[str, Any] = {}
    if "name" not in given:
        more["name"] = np.array([f"exposure_{i:06d}" for i in range(n)], dtype=object)
    if "path" not in given:
        names = given.get("name", more.get("name"))
        more["path"] = np.array([f"{name}.xml" for name in names], dtype=object)
    if "time_s" not in given and "time" in given:
        more["time_s"] = np.array([seconds_of(time) for time in given["time"]])
    elif "time_s" not in given:
        more["time_s"] = np.arange(n, dtype=np.float64)
    if "time" not in given:
        more["time"] = _iso(given.get("time_s", more.get("time_s")))
    return more


def _iso(time_s: F64) -> Any:
    texts = [
        datetime.fromtimestamp(float(t), UTC).isoformat() if np.isfinite(t) else "" for t in time_s
    ]
    return np.array(texts, dtype=object)
